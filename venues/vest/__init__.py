"""Vest Markets: perpetuals, API v2 (signed REST orders, JSON over WebSocket) and v3 market data."""

from venues.vest.errors import CloseAction, close_action
from venues.vest.funding import fetch_funding
from venues.vest.hosts import DEVELOPMENT_HOSTS, PRODUCTION_HOSTS, V3_HOSTS
from venues.vest.instruments import fetch_instruments, fetch_touch
from venues.vest.market_data import VestMarketData
from venues.vest.session import VestCredentials, account_name
from venues.vest.trading import VestTrading

MarketData = VestMarketData
Trading = VestTrading
Credentials = VestCredentials

__all__ = [
    "DEVELOPMENT_HOSTS",
    "PRODUCTION_HOSTS",
    "V3_HOSTS",
    "CloseAction",
    "Credentials",
    "MarketData",
    "Trading",
    "VestCredentials",
    "VestMarketData",
    "VestTrading",
    "account_name",
    "close_action",
    "fetch_funding",
    "fetch_instruments",
    "fetch_touch",
]
