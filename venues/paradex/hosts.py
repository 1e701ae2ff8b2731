"""Paradex's hosts, and its name in our records.

Source: Paradex documentation, "General information" and the WebSocket introduction, as read in
October 2026. The account's own chain constants are read from ``GET /system/config``, never from here.
"""

from __future__ import annotations

from typing import Final

from venues.contract import VenueHosts

NAME: Final = "paradex"

_JSON: Final = 0  # in place of a schema version
_BAD_REQUEST: Final = 400

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


class Encoding:
    """What a WebSocket connection asks for: SBE at some schema version, or JSON.

    The live service answers HTTP 400 to a handshake that asks for a version it does not have, or for
    none where it wants one. After such a refusal the next older version is asked for, then JSON, then
    the newest again: a service that refuses everything for a while must not leave us with the poorest.
    """

    def __init__(self, ws_url: str, *, sbe: bool, schema_version: int) -> None:
        self._ws_url = ws_url
        self._choices = [*range(schema_version, 0, -1), _JSON] if sbe else [_JSON]

    @property
    def is_sbe(self) -> bool:
        """Whether SBE is asked for, whatever its version."""
        return self._choices[0] != _JSON

    @property
    def url(self) -> str:
        """The WebSocket URL with the parameters that ask for the encoding."""
        asked = f"?sbeSchemaId=1&sbeSchemaVersion={self._choices[0]}" if self.is_sbe else ""
        return f"{self._ws_url}{asked}"

    def refused(self, status: int) -> str:
        """Take notice of a refused handshake; returns what is asked for from now on, if that changes."""
        if status != _BAD_REQUEST or len(self._choices) == 1:
            return ""
        self._choices.append(self._choices.pop(0))
        return f"SBE schema version {self._choices[0]}" if self.is_sbe else "JSON"
