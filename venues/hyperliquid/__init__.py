"""Hyperliquid: perpetuals on a chain of their own. JSON over WebSocket, actions signed one by one.

The names ``venues.registry`` looks for, and the venue's own.
"""

from venues.hyperliquid.funding import fetch_funding
from venues.hyperliquid.hosts import PRODUCTION_HOSTS, TESTNET_HOSTS
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

MarketData = HyperliquidMarketData
Trading = HyperliquidTrading
Credentials = HyperliquidCredentials

__all__ = [
    "PRODUCTION_HOSTS",
    "TESTNET_HOSTS",
    "WARM_REQUEST",
    "Credentials",
    "HyperliquidCredentials",
    "HyperliquidMarketData",
    "HyperliquidTrading",
    "MarketData",
    "Trading",
    "account_name",
    "fetch_funding",
    "fetch_instruments",
    "fetch_server_time_ms",
    "fetch_system_state",
    "fetch_touch",
]
