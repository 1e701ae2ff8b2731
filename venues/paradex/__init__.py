"""Paradex: perpetuals on a StarkNet app chain. SBE market data, signed orders over WebSocket."""

from __future__ import annotations

from typing import Final

from venues.contract import ReadBudget, Venue
from venues.paradex.funding import fetch_funding
from venues.paradex.hosts import NAME, PRODUCTION_HOSTS, TESTNET_HOSTS
from venues.paradex.market_data import ParadexMarketData
from venues.paradex.rest import fetch_instruments, fetch_server_time_ms, fetch_system_state, fetch_touch
from venues.paradex.session import ParadexCredentials, account_name
from venues.paradex.trading import ParadexTrading

# Private GETs of an account, REST. Source: documentation, "Rate limits". What is public has 1500 of its own.
READ_BUDGET: Final = ReadBudget(per_minute=600, open_orders=1, account=1, positions=1, order=2)

VENUE: Final[Venue[ParadexCredentials]] = Venue(
    name=NAME,
    production_hosts=PRODUCTION_HOSTS,
    credentials=ParadexCredentials,
    account_name=account_name,
    market_data=lambda hosts, instruments, options: ParadexMarketData(
        hosts, instruments, sbe=not options.prefers_json
    ),
    trading=lambda hosts, keys, options: ParadexTrading(
        hosts,
        keys,
        client_id_prefix=options.client_id_prefix,
        create_transport="http" if options.over_http else "ws",
        recv_window_ms=options.recv_window_ms,
    ),
    taker_time_in_force=ParadexTrading.taker_time_in_force,
    quote="USD",
    fetch_instruments=fetch_instruments,
    fetch_touch=fetch_touch,
    fetch_funding=fetch_funding,
    fetch_server_time_ms=fetch_server_time_ms,
    fetch_system_state=fetch_system_state,
    read_budget=READ_BUDGET,
)

__all__ = [
    "PRODUCTION_HOSTS",
    "TESTNET_HOSTS",
    "VENUE",
    "ParadexCredentials",
    "ParadexMarketData",
    "ParadexTrading",
    "fetch_instruments",
    "fetch_server_time_ms",
    "fetch_system_state",
]
