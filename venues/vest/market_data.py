"""Vest's public market data: full depth snapshots over one WebSocket.

Every ``{symbol}@depth`` push is the whole book, best level first, and replaces what was known:
there is no sequence, no gap, and nothing to mend but the next snapshot. Frames are JSON in UTF-8,
sent as binary frames by v2 and as text by v3; both are read alike.

Source: Vest API v2 documentation, "WebSocket streams"; v3 as seen live (protocol notes, 12.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

import msgspec

from shm.records import DEPTH_LEVELS
from venues.contract import Depth, FaultKind, FeedFault, FrameError, TopOfBook, VenueHosts, parse_e8
from venues.usual_frames import UsualFrames
from venues.vest.assumptions import PING_INTERVAL_NS, ROUTING_PARAMETER
from venues.vest.hosts import NAME, with_query
from venues.vest.messages import UnixMs, decode

_NS_PER_MS: Final = 1_000_000
_NO_INSTRUMENT: Final = -1
PING_FRAME: Final = b'{"method":"PING","params":[],"id":0}'
# Found in a frame that is no JSON, too: inside a JSON text its quotes would be escaped.
_CHANNEL: Final = re.compile(rb'"channel"\s*:\s*"([^"\\]*)"')

Levels = list[tuple[int, int]]


def subscribe_frame(channel: str, request_id: int) -> bytes:
    """The request that subscribes to one channel."""
    return _request_frame("SUBSCRIBE", channel, request_id)


def _request_frame(method: Literal["SUBSCRIBE", "UNSUBSCRIBE"], channel: str, request_id: int) -> bytes:
    return msgspec.json.encode({"method": method, "params": [channel], "id": request_id})


class _Book(msgspec.Struct, gc=False):
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class _Outcome(msgspec.Struct):
    requested: str
    status: str
    reason: str = ""


class _Frame(msgspec.Struct, gc=False):
    """Every kind of frame the server sends: a push, an acknowledgement, or a pong.

    Decoded in one typed pass: 7 us for 20 levels a side, the same as orjson without checking.
    """

    channel: str = ""
    data: _Book | str | None = None
    tsMs: UnixMs = 0  # v3 alone
    id: int | None = None
    code: int | None = None
    msg: str = ""
    subscription_outcomes: list[_Outcome] | None = None  # v3's acknowledgement


_frame_decoder = msgspec.json.Decoder(_Frame)


class _DecimalTexts(dict[str, int]):
    """Decimal texts already read, with their value in e8.

    Snapshots repeat most of their 80 texts, so nearly all are found here: 12 us a frame instead of
    65 when each is read again. Refilled from nothing when full, so memory stays bounded.
    """

    _LIMIT: Final = 16_384

    def __missing__(self, text: str) -> int:
        value_e8 = parse_e8(text)
        if value_e8 < 0:
            raise ValueError(f"{text[:40]!r} is negative")
        if len(self) >= self._LIMIT:
            self.clear()
        self[text] = value_e8
        return value_e8


class VestMarketData:
    """Top of book and depth of Vest instruments. See ``contract.MarketData``.

    ``instruments``: symbol -> instrument_id. ``generation`` chooses the dialect: the v2 API, or
    the v3 gateway the web application uses.
    """

    def __init__(
        self,
        hosts: VenueHosts,
        instruments: Mapping[str, int],
        *,
        generation: Literal["v2", "v3"] = "v2",
    ) -> None:
        self.venue = NAME
        routing = {ROUTING_PARAMETER: "restserver0"} if generation == "v2" else {}
        self._url = with_query(hosts.public_ws_url, {"version": "1.0", **routing})
        self._instrument_ids = {f"{symbol}@depth": number for symbol, number in instruments.items()}
        self._channels = {number: channel for channel, number in self._instrument_ids.items()}
        self._decimals = _DecimalTexts()
        self.usual_frames = UsualFrames(
            (number, channel.encode()) for channel, number in self._instrument_ids.items()
        )
        self._last_request_id = 0
        self._requests: dict[int, int] = {}  # request id -> instrument_id, until acknowledged
        self._ping_due_mono_ns = 0
        self._frames: list[bytes] = []
        self._tops: list[TopOfBook] = []
        self._depths: dict[int, Depth] = {}
        self._faults: list[FeedFault] = []

    @property
    def url(self) -> str:
        """The public WebSocket with the parameters of its dialect."""
        return self._url

    def refused(self, status: int) -> str:
        """There is nothing else to ask for."""
        return ""

    def connected(self, now_mono_ns: int) -> None:
        """Forget what the last connection left and subscribe, one request per channel."""
        self._frames.clear()
        self._tops.clear()
        self._depths.clear()
        self._faults.clear()
        self._requests.clear()
        self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
        for instrument_id in self._channels:
            self._request("SUBSCRIBE", instrument_id)

    def renew(self, instrument_id: int, now_mono_ns: int) -> None:
        """Unsubscribe and subscribe: a new subscription begins with the book as it is."""
        self._request("UNSUBSCRIBE", instrument_id)
        self._request("SUBSCRIBE", instrument_id)

    def _request(self, method: Literal["SUBSCRIBE", "UNSUBSCRIBE"], instrument_id: int) -> None:
        self._last_request_id += 1
        self._requests[self._last_request_id] = instrument_id
        self._frames.append(_request_frame(method, self._channels[instrument_id], self._last_request_id))

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame, text or binary alike. Raises FrameError if it is not as documented and names
        no instrument of ours."""
        try:
            content = decode(_frame_decoder, frame)
            if content.channel and content.data != "PONG":
                self._take_book(content.channel, content.data, content.tsMs * _NS_PER_MS)
                return
        except ValueError as error:
            instrument_id = self._named_in(frame)
            if instrument_id is None:
                raise FrameError(NAME, str(error), frame) from None
            self._faults.append(FeedFault(FaultKind.UNREADABLE, instrument_id, str(error)))
            return
        self._take_control(content, frame)

    def _take_book(self, channel: str, book: _Book | str | None, venue_unix_ns: int) -> None:
        if type(book) is not _Book:
            raise ValueError(f"{channel[:80]}: no book in it")
        bids = self._levels(book.bids)
        asks = self._levels(book.asks)
        if not _are_best_first(bids, -1) or not _are_best_first(asks, 1):
            raise ValueError(f"{channel[:80]}: levels are not best first, each price once")
        self._take_levels(channel, bids[:DEPTH_LEVELS], asks[:DEPTH_LEVELS], venue_unix_ns)

    def _named_in(self, frame: bytes) -> int | None:
        """The instrument whose channel a frame names, and no other; None where it does not say."""
        channels = set(_CHANNEL.findall(frame))
        if len(channels) != 1:
            return None
        return self._instrument_ids.get(channels.pop().decode("utf-8", "replace"))

    def _take_levels(self, channel: str, bids: Levels, asks: Levels, venue_unix_ns: int) -> None:
        """Take one book, best levels first."""
        instrument_id = self._instrument_ids.get(channel)
        if instrument_id is None:
            self._faults.append(
                FeedFault(FaultKind.UNKNOWN, _NO_INSTRUMENT, f"not subscribed: {channel[:80]}")
            )
            return
        is_valid = self._judge(instrument_id, bids, asks)
        bid_e8, bid_size_e8 = bids[0] if bids else (0, 0)
        ask_e8, ask_size_e8 = asks[0] if asks else (0, 0)
        self._tops.append(
            TopOfBook(
                instrument_id=instrument_id,
                bid_e8=bid_e8,
                bid_size_e8=bid_size_e8,
                ask_e8=ask_e8,
                ask_size_e8=ask_size_e8,
                venue_unix_ns=venue_unix_ns,
                venue_sequence=0,
                is_valid=is_valid,
            )
        )
        self._depths[instrument_id] = Depth(instrument_id, bids, asks, venue_unix_ns, 0, is_valid)

    def _levels(self, rows: list[tuple[str, str]]) -> Levels:
        """Return (price_e8, size_e8) of every level. One without size holds nothing."""
        decimals = self._decimals
        levels = [(decimals[price], size_e8) for price, size in rows if (size_e8 := decimals[size])]
        if any(not price_e8 for price_e8, _ in levels):
            raise ValueError("a level has the price 0")
        return levels

    def _judge(self, instrument_id: int, bids: Levels, asks: Levels) -> bool:
        """Return whether a book can be traded on, and record why not."""
        if not bids or not asks:
            side = "bids" if not bids else "asks"
            self._faults.append(FeedFault(FaultKind.EMPTY_SIDE, instrument_id, f"no {side}"))
            return False
        bid_e8, ask_e8 = bids[0][0], asks[0][0]
        if bid_e8 > ask_e8:
            detail = f"bid {bid_e8} e8 above ask {ask_e8} e8"
            self._faults.append(FeedFault(FaultKind.CROSSED, instrument_id, detail))
            return False
        return True

    def _take_control(self, content: _Frame, frame: bytes) -> None:
        if content.data == "PONG":
            return
        if content.subscription_outcomes is not None:
            for outcome in content.subscription_outcomes:
                self._take_outcome(outcome)
        elif content.id is not None:
            instrument_id = self._requests.pop(content.id, None)
            if content.code is not None:
                subject = _NO_INSTRUMENT if instrument_id is None else instrument_id
                self._faults.append(FeedFault(FaultKind.REFUSED, subject, f"{content.code} {content.msg}"))
            elif instrument_id is None:
                detail = f"a reply to request {content.id}, never made"
                self._faults.append(FeedFault(FaultKind.UNKNOWN, _NO_INSTRUMENT, detail))
        else:
            named, detail = self._named_in(frame), frame[:200].decode("utf-8", "replace")
            kind, subject = (
                (FaultKind.UNKNOWN, _NO_INSTRUMENT) if named is None else (FaultKind.UNREADABLE, named)
            )
            self._faults.append(FeedFault(kind, subject, detail))

    def _take_outcome(self, outcome: _Outcome) -> None:
        if outcome.status == "registered":
            return
        instrument_id = self._instrument_ids.get(outcome.requested, _NO_INSTRUMENT)
        detail = f"{outcome.requested} {outcome.status} {outcome.reason}"
        self._faults.append(FeedFault(FaultKind.REFUSED, instrument_id, detail))

    def tick(self, now_mono_ns: int) -> None:
        """Queue a ping when one is due: Vest ends connections without."""
        if now_mono_ns >= self._ping_due_mono_ns:
            self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
            self._frames.append(PING_FRAME)

    def take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first."""
        taken, self._frames = self._frames, []
        return taken

    def take_tops(self) -> list[TopOfBook]:
        """Tops of book gathered since the last call, oldest first."""
        taken, self._tops = self._tops, []
        return taken

    def take_depths(self) -> list[Depth]:
        """The newest depth of each instrument that changed since the last call."""
        taken, self._depths = self._depths, {}
        return list(taken.values())

    def take_faults(self) -> list[FeedFault]:
        """What was wrong since the last call, oldest first."""
        taken, self._faults = self._faults, []
        return taken


def _are_best_first(levels: Levels, sign: int) -> bool:
    """Whether prices fall (``sign`` -1: bids) or rise, none of them twice."""
    return all((later[0] - price_e8) * sign > 0 for (price_e8, _), later in pairwise(levels))
