"""Market data: the public connections and what was wrong with what they sent"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from events.event import Event, Text


class FeedConnected(Event, frozen=True, kw_only=True):
    """connected to a venue's public WebSocket and subscribed"""

    FLOOD_BY = ("venue",)
    venue: str


class FeedDisconnected(Event, frozen=True, kw_only=True):
    """the connection ended; when the next attempt comes"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue",)
    venue: str
    reason: Text
    live_s: float
    retry_in_ms: int


class FeedLive(Event, frozen=True, kw_only=True):
    """first valid quote of every instrument since the connection"""

    FLOOD_BY = ("venue",)
    venue: str
    since_connected_ms: float


class QuoteStale(Event, frozen=True, kw_only=True):
    """no data within the limit, of one symbol or any: flagged; asked for anew, or the connection replaced"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue", "symbol")
    venue: str
    symbol: str = ""
    silent_ms: float
    limit_ms: float
    detail: Text = ""


class BookInvalid(Event, frozen=True, kw_only=True):
    """a gap, a crossed book or an empty side: quotes flagged, subscription renewed"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue", "symbol", "kind")
    venue: str
    symbol: str = ""
    kind: str
    instrument_id: int | None
    detail: Text


class FrameRefused(Event, frozen=True, kw_only=True):
    """a frame that is not as documented; where it names its symbol, that one alone is void"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue", "symbol")
    venue: str
    symbol: str = ""
    kind: str | UnsetType = UNSET
    detail: Text
