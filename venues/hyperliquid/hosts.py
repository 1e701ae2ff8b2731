"""Where Hyperliquid lives, and which network a host belongs to.

Source: hyperliquid-python-sdk 0.24.0, ``utils/constants.py``.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from venues.contract import VenueHosts

NAME: Final = "hyperliquid"
QUOTE: Final = "USDC"  # the collateral of the main dex: results are paid in it, price for price

PRODUCTION_HOSTS: Final = VenueHosts(
    rest_url="https://api.hyperliquid.xyz",
    public_ws_url="wss://api.hyperliquid.xyz/ws",
    private_ws_url="wss://api.hyperliquid.xyz/ws",
)
TESTNET_HOSTS: Final = VenueHosts(
    rest_url="https://api.hyperliquid-testnet.xyz",
    public_ws_url="wss://api.hyperliquid-testnet.xyz/ws",
    private_ws_url="wss://api.hyperliquid-testnet.xyz/ws",
)


def is_mainnet(hosts: VenueHosts) -> bool:
    """Whether actions for these hosts are signed for the main net.

    Only for the production host, as the official SDK has it: what is signed for any other, the loopback
    simulator included, is worthless on the main net.
    """
    return urlsplit(hosts.rest_url).hostname == urlsplit(PRODUCTION_HOSTS.rest_url).hostname
