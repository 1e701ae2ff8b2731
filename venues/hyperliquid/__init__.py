"""Hyperliquid: perpetuals on a chain of their own. JSON over WebSocket, actions signed one by one."""

from __future__ import annotations

from typing import Final

from venues.contract import Venue
from venues.hyperliquid.assumptions import READ_BUDGET
from venues.hyperliquid.funding import fetch_funding
from venues.hyperliquid.hosts import NAME, PRODUCTION_HOSTS, QUOTE, TESTNET_HOSTS
from venues.hyperliquid.instruments import (
    fetch_instruments,
    fetch_server_time_ms,
    fetch_system_state,
    fetch_touch,
)
from venues.hyperliquid.market_data import HyperliquidMarketData
from venues.hyperliquid.rest import WARM_REQUEST
from venues.hyperliquid.session import HyperliquidCredentials, account_name
from venues.hyperliquid.trading import HyperliquidTrading

VENUE: Final[Venue[HyperliquidCredentials]] = Venue(
    name=NAME,
    production_hosts=PRODUCTION_HOSTS,
    credentials=HyperliquidCredentials,
    account_name=account_name,
    market_data=lambda hosts, instruments, options: HyperliquidMarketData(hosts, instruments),
    trading=lambda hosts, keys, options: HyperliquidTrading(
        hosts, keys, recv_window_ms=options.recv_window_ms
    ),
    taker_time_in_force=HyperliquidTrading.taker_time_in_force,
    quote=QUOTE,
    fetch_instruments=fetch_instruments,
    fetch_touch=fetch_touch,
    fetch_funding=fetch_funding,
    fetch_server_time_ms=fetch_server_time_ms,
    fetch_system_state=fetch_system_state,
    warm_request=WARM_REQUEST,
    read_budget=READ_BUDGET,
)

__all__ = [
    "PRODUCTION_HOSTS",
    "TESTNET_HOSTS",
    "VENUE",
    "HyperliquidCredentials",
    "HyperliquidMarketData",
    "HyperliquidTrading",
    "fetch_funding",
    "fetch_instruments",
    "fetch_server_time_ms",
    "fetch_system_state",
    "fetch_touch",
]
