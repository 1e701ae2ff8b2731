"""Where Paradex lives, and the name it goes by in our records.

Source: Paradex documentation, "General information" and the WebSocket introduction, as read in
October 2026. The account's own chain constants are read from ``GET /system/config``, never from here.
"""

from __future__ import annotations

from typing import Final

from venues.contract import VenueHosts

VENUE: Final = "paradex"

PRODUCTION_HOSTS: Final = VenueHosts(
    rest_url="https://api.prod.paradex.trade/v1",
    public_ws_url="wss://ws.api.prod.paradex.trade/v1",
    private_ws_url="wss://ws.api.prod.paradex.trade/v1",
)
TESTNET_HOSTS: Final = VenueHosts(
    rest_url="https://api.testnet.paradex.trade/v1",
    public_ws_url="wss://ws.api.testnet.paradex.trade/v1",
    private_ws_url="wss://ws.api.testnet.paradex.trade/v1",
)


def sbe_url(ws_url: str, *, sbe: bool, schema_version: int) -> str:
    """Return the WebSocket URL asking for binary payloads, or as it is when ``sbe`` is off.

    The live service answers HTTP 400 to a handshake that asks for no version or for one it does not
    have; version 1 is the one its documentation has always listed.
    """
    return f"{ws_url}?sbeSchemaId=1&sbeSchemaVersion={schema_version}" if sbe else ws_url
