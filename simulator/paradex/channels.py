"""Channel names and what each may ask for.

Source: Paradex documentation, WebSocket channels; the rules about SBE connections are those seen
on the live service (bare name for the delta feed, one book channel per market).
"""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final, Literal, NamedTuple

from simulator.paradex.hub import JSON
from simulator.paradex.market_feed import SNAPSHOT_LEVELS, SNAPSHOT_RATES_MS

Kind = Literal["top", "trades", "deltas", "snapshots", "summary", "private", "silent"]

PRIVATE: Final = ("orders", "fills")  # by market or ALL
PRIVATE_WHOLE: Final = ("positions", "account")
# Channels of things that do not happen here: transfers, busts, listings. Heard, never used.
SILENT: Final = frozenset({"tradebusts", "transfers", "transaction", "mmp", "markets"})
SILENT_PRIVATE: Final = SILENT - {"markets"}

_BOOK: Final = re.compile(r"order_book\.(?P<market>[^@]+)\.(?P<feed>deltas|snapshot)(?P<suffix>@.*)?")


class InvalidChannel(Exception):
    """The name or its parameters are refused; the text is the venue's ``data``."""

    def __init__(self, data: str) -> None:
        super().__init__(data)
        self.data = data


class Channel(NamedTuple):
    name: str
    kind: Kind
    market: str = ""  # of book channels
    rate_ms: int = 0  # of the snapshot feed
    is_private: bool = False


def parse_channel(name: object, encoding: int, markets: Container[str]) -> Channel:
    """Read a channel name as a connection with this encoding may use it. Raises InvalidChannel."""
    if not isinstance(name, str):
        raise InvalidChannel("invalid channel")
    if name.startswith("order_book."):
        return _book_channel(name, encoding, markets)
    if name in PRIVATE_WHOLE:
        return Channel(name, "private", is_private=True)
    if name in SILENT:
        return Channel(name, "silent", is_private=name in SILENT_PRIVATE)
    if name == "markets_summary":
        return Channel(name, "summary")
    head, _, market = name.partition(".")
    if market != "ALL" and market not in markets:
        raise InvalidChannel("invalid channel")
    if head in PRIVATE:
        return Channel(name, "private", is_private=True)
    kinds: dict[str, Kind] = {"bbo": "top", "trades": "trades", "markets_summary": "summary"}
    if head not in kinds:
        raise InvalidChannel("invalid channel")
    return Channel(name, kinds[head])


def _book_channel(name: str, encoding: int, markets: Container[str]) -> Channel:
    match = _BOOK.fullmatch(name)
    if match is None or match["market"] not in markets:
        raise InvalidChannel("invalid channel")
    market, suffix = match["market"], match["suffix"] or ""
    if match["feed"] == "deltas":
        if encoding != JSON and suffix:
            raise InvalidChannel("no parameters expected for deltas topic.")
        if suffix not in ("", "@15@50ms"):
            raise InvalidChannel("invalid channel")
        return Channel(name, "deltas", market)
    depth, _, rate = suffix.removeprefix("@").partition("@")
    if depth != str(SNAPSHOT_LEVELS):
        raise InvalidChannel(f"Expecting depth={SNAPSHOT_LEVELS}")
    for rate_ms in SNAPSHOT_RATES_MS:
        if rate == f"{rate_ms}ms":
            return Channel(name, "snapshots", market, rate_ms)
    raise InvalidChannel(f"invalid refresh rate {rate[:20]!r}")
