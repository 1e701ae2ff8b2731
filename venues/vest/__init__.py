"""Vest Markets: perpetuals, API v2 (signed REST orders, JSON over WebSocket) and v3 market data."""

from __future__ import annotations

from typing import Final

from venues.contract import Venue
from venues.vest.errors import CloseAction, close_action
from venues.vest.funding import fetch_funding
from venues.vest.hosts import DEVELOPMENT_HOSTS, NAME, PRODUCTION_HOSTS, V3_HOSTS
from venues.vest.instruments import fetch_instruments, fetch_touch
from venues.vest.market_data import VestMarketData
from venues.vest.session import VestCredentials, account_name
from venues.vest.trading import VestTrading

VENUE: Final[Venue[VestCredentials]] = Venue(
    name=NAME,
    production_hosts=PRODUCTION_HOSTS,
    credentials=VestCredentials,
    account_name=account_name,
    market_data=lambda hosts, instruments, options: VestMarketData(hosts, instruments),
    trading=lambda hosts, keys, options: VestTrading(hosts, keys, recv_window_ms=options.recv_window_ms),
    taker_time_in_force=VestTrading.taker_time_in_force,
    quote="USDC",
    fetch_instruments=fetch_instruments,
    fetch_touch=fetch_touch,
    fetch_funding=fetch_funding,
)

__all__ = [
    "DEVELOPMENT_HOSTS",
    "PRODUCTION_HOSTS",
    "V3_HOSTS",
    "VENUE",
    "CloseAction",
    "VestCredentials",
    "VestMarketData",
    "VestTrading",
    "close_action",
]
