"""Paradex: perpetuals on a StarkNet app chain. SBE market data, signed orders over WebSocket.

The names ``venues.registry`` looks for, and the venue's own.
"""

from venues.paradex.funding import fetch_funding
from venues.paradex.hosts import PRODUCTION_HOSTS, TESTNET_HOSTS
from venues.paradex.market_data import ParadexMarketData
from venues.paradex.rest import fetch_instruments, fetch_server_time_ms, fetch_system_state, fetch_touch
from venues.paradex.session import ParadexCredentials, account_name
from venues.paradex.trading import ParadexTrading

MarketData = ParadexMarketData
Trading = ParadexTrading
Credentials = ParadexCredentials

__all__ = [
    "PRODUCTION_HOSTS",
    "TESTNET_HOSTS",
    "Credentials",
    "MarketData",
    "ParadexCredentials",
    "ParadexMarketData",
    "ParadexTrading",
    "Trading",
    "account_name",
    "fetch_funding",
    "fetch_instruments",
    "fetch_server_time_ms",
    "fetch_system_state",
    "fetch_touch",
]
