"""Hyperliquid's public market data: ``bbo`` for the top, ``l2Book`` for the depth, over one WebSocket.

Every frame is whole: there is no sequence and no gap, so age is the only witness. ``bbo`` comes when the
best bid or ask changes, ``l2Book`` about twice a second; the two are not of one instant, so a crossed market
is judged within each of them alone.

Source: the venue's documentation, "WebSocket subscriptions", read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, Literal

import msgspec
import orjson

from shm.records import DEPTH_LEVELS
from venues.contract import Depth, FaultKind, FeedFault, FrameError, TopOfBook, VenueHosts
from venues.hyperliquid.assumptions import PING_INTERVAL_NS, SUBSCRIPTION_TIMEOUT_NS, TIME_BACK_NS_MAX
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.messages import Level, UnixMs, decode, exact_e8
from venues.usual_frames import ChannelState, UsualFrames

_NS_PER_MS: Final = 1_000_000
_NO_INSTRUMENT: Final = -1
PING_FRAME: Final = b'{"method":"ping"}'
# Sent by some servers before anything else: the one frame that is no JSON.
GREETING: Final = b"Websocket connection established."
# Found in a frame that is no JSON, too: inside a JSON text its quotes would be escaped.
_COIN: Final = re.compile(rb'"coin"\s*:\s*"([^"\\]*)"')

Levels = list[tuple[int, int]]
Channel = Literal["bbo", "l2Book"]


def subscribe_frame(method: Literal["subscribe", "unsubscribe"], **subscription: str) -> bytes:
    return orjson.dumps({"method": method, "subscription": subscription})


class _Bbo(msgspec.Struct, gc=False):
    coin: str
    time: UnixMs
    bbo: tuple[Level | None, Level | None]


class _Book(msgspec.Struct, gc=False):
    coin: str
    time: UnixMs
    levels: tuple[list[Level], list[Level]]


class _BboFrame(msgspec.Struct, tag_field="channel", tag="bbo", gc=False):
    data: _Bbo


class _BookFrame(msgspec.Struct, tag_field="channel", tag="l2Book", gc=False):
    data: _Book


class _Subscription(msgspec.Struct):
    type: str
    coin: str = ""


class _Acknowledged(msgspec.Struct):
    method: str
    subscription: _Subscription


class _AcknowledgedFrame(msgspec.Struct, tag_field="channel", tag="subscriptionResponse"):
    data: _Acknowledged


class _ErrorFrame(msgspec.Struct, tag_field="channel", tag="error"):
    data: str


class _PongFrame(msgspec.Struct, tag_field="channel", tag="pong"):
    pass


_frame_decoder = msgspec.json.Decoder(_BboFrame | _BookFrame | _AcknowledgedFrame | _ErrorFrame | _PongFrame)


class _Stream:
    """One channel of one coin on this connection. ``state``: the time of its newest frame, in ns."""

    def __init__(self, channel: Channel, coin: str, instrument_id: int, state: ChannelState) -> None:
        self.channel = channel
        self.coin = coin
        self.instrument_id = instrument_id
        self.state = state
        self.forget()

    def forget(self) -> None:
        self.state.newest = 0
        self.was_valid = True
        self.asked_mono_ns: int | None = None  # until its first frame

    def asked(self, now_mono_ns: int) -> None:
        """It has been subscribed to."""
        self.asked_mono_ns = now_mono_ns
        self.state.is_plain = False

    def judged(self, *, is_valid: bool) -> None:
        """A frame has come."""
        self.was_valid = is_valid
        self.state.is_plain = is_valid

    def is_older(self, unix_ns: int) -> bool:
        """Whether a frame of this time comes from a server that lags behind the last one."""
        return unix_ns < self.state.newest <= unix_ns + TIME_BACK_NS_MAX


class HyperliquidMarketData:
    """Top of book and depth of Hyperliquid perpetuals. See ``contract.MarketData``.

    ``instruments``: symbol -> instrument_id.
    """

    def __init__(self, hosts: VenueHosts, instruments: Mapping[str, int]) -> None:
        self.venue = NAME
        self._url = hosts.public_ws_url
        kinds: tuple[Channel, ...] = ("bbo", "l2Book")
        streams = [(kind, coin, number) for coin, number in instruments.items() for kind in kinds]
        # What a frame has between its first quote and its time.
        self.usual_frames = UsualFrames(
            (number, f'{kind}","data":{{"coin":"{coin}'.encode()) for kind, coin, number in streams
        )
        self._streams = {
            (kind, coin): _Stream(kind, coin, number, self.usual_frames.state(place))
            for place, (kind, coin, number) in enumerate(streams)
        }
        self._instrument_ids = dict(instruments)
        self._ping_due_mono_ns = 0
        self._frames: list[bytes] = []
        self._tops: list[TopOfBook] = []
        self._depths: dict[int, Depth] = {}
        self._faults: list[FeedFault] = []

    @property
    def url(self) -> str:
        return self._url

    def refused(self, status: int) -> str:
        """There is nothing else to ask for."""
        return ""

    def connected(self, now_mono_ns: int) -> None:
        """Forget what the last connection left and subscribe."""
        self._frames.clear()
        self._tops.clear()
        self._depths.clear()
        self._faults.clear()
        self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
        for stream in self._streams.values():
            stream.forget()
            self._subscribe(stream, now_mono_ns)

    def _subscribe(self, stream: _Stream, now_mono_ns: int) -> None:
        stream.asked(now_mono_ns)
        self._frames.append(subscribe_frame("subscribe", type=stream.channel, coin=stream.coin))

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError if it is not as documented and names no coin of ours; never
        anything else."""
        try:
            if is_binary:
                raise ValueError("a binary frame")
            if frame.startswith(b"W") and frame == GREETING:
                return
            content = decode(_frame_decoder, frame)
            if type(content) is _BboFrame:
                self._take_bbo(content.data)
            elif type(content) is _BookFrame:
                self._take_book(content.data)
            elif type(content) is _AcknowledgedFrame:
                self._take_acknowledgement(content.data)
            elif type(content) is _ErrorFrame:
                self._fault(FaultKind.REFUSED, _NO_INSTRUMENT, content.data[:200])
        except ValueError as error:
            instrument_id = self._named_in(frame)
            if instrument_id is None:
                raise FrameError(NAME, str(error), frame) from None
            self._fault(FaultKind.UNREADABLE, instrument_id, str(error))

    def _named_in(self, frame: bytes) -> int | None:
        """The instrument whose coin a frame names, and no other; None where it does not say."""
        coins = set(_COIN.findall(frame))
        return self._instrument_ids.get(coins.pop().decode("utf-8", "replace")) if len(coins) == 1 else None

    def renew(self, instrument_id: int, now_mono_ns: int) -> None:
        """Unsubscribe and subscribe both channels of a coin that has fallen silent."""
        for stream in self._streams.values():
            if stream.instrument_id == instrument_id:
                self._renew(stream, now_mono_ns)

    def _renew(self, stream: _Stream, now_mono_ns: int) -> None:
        self._frames.append(subscribe_frame("unsubscribe", type=stream.channel, coin=stream.coin))
        self._subscribe(stream, now_mono_ns)

    def _take_bbo(self, bbo: _Bbo) -> None:
        stream = self._stream("bbo", bbo.coin)
        if stream is None:
            return
        bid, ask = bbo.bbo
        bid_e8, bid_size_e8 = _side(bid)
        ask_e8, ask_size_e8 = _side(ask)
        unix_ns = bbo.time * _NS_PER_MS
        if not self._is_news(stream, unix_ns):
            return
        is_valid = self._judge(stream, bid_e8, ask_e8)
        self._tops.append(
            TopOfBook(
                instrument_id=stream.instrument_id,
                bid_e8=bid_e8,
                bid_size_e8=bid_size_e8,
                ask_e8=ask_e8,
                ask_size_e8=ask_size_e8,
                venue_unix_ns=unix_ns,
                venue_sequence=0,
                is_valid=is_valid,
            )
        )

    def _take_book(self, book: _Book) -> None:
        stream = self._stream("l2Book", book.coin)
        if stream is None:
            return
        bids, asks = _levels(book.levels[0]), _levels(book.levels[1])
        if not _are_best_first(bids, -1) or not _are_best_first(asks, 1):
            raise ValueError(f"l2Book of {book.coin[:20]}: levels are not best first, each price once")
        bids, asks = bids[:DEPTH_LEVELS], asks[:DEPTH_LEVELS]
        unix_ns = book.time * _NS_PER_MS
        if not self._is_news(stream, unix_ns):
            return
        is_valid = self._judge(stream, bids[0][0] if bids else 0, asks[0][0] if asks else 0)
        self._depths[stream.instrument_id] = Depth(stream.instrument_id, bids, asks, unix_ns, 0, is_valid)

    def _stream(self, channel: Channel, coin: str) -> _Stream | None:
        stream = self._streams.get((channel, coin))
        if stream is None:
            self._fault(FaultKind.UNKNOWN, _NO_INSTRUMENT, f"{channel} of {coin[:40]!r}, never subscribed")
        return stream

    def _is_news(self, stream: _Stream, unix_ns: int) -> bool:
        stream.asked_mono_ns = None
        if stream.is_older(unix_ns):
            return False
        stream.state.newest = unix_ns
        return True

    def _judge(self, stream: _Stream, bid_e8: int, ask_e8: int) -> bool:
        """Whether the two best prices can be traded on; why not is named once, until they can."""
        was_valid = stream.was_valid
        stream.judged(is_valid=bool(bid_e8 and ask_e8 and bid_e8 <= ask_e8))
        if not stream.was_valid and was_valid:
            kind = FaultKind.CROSSED if bid_e8 and ask_e8 else FaultKind.EMPTY_SIDE
            self._fault(kind, stream.instrument_id, f"{stream.channel}: bid {bid_e8} e8, ask {ask_e8} e8")
        return stream.was_valid

    def _take_acknowledgement(self, echo: _Acknowledged) -> None:
        """The echo holds more fields than we sent: it is known by type and coin."""
        subscription = echo.subscription
        if echo.method not in ("subscribe", "unsubscribe") or not any(
            (stream.channel, stream.coin) == (subscription.type, subscription.coin)
            for stream in self._streams.values()
        ):
            detail = (
                f"{echo.method[:20]} of {subscription.type[:20]} {subscription.coin[:40]}, never asked for"
            )
            self._fault(FaultKind.UNKNOWN, _NO_INSTRUMENT, detail)

    def _fault(self, kind: FaultKind, instrument_id: int, detail: str) -> None:
        self._faults.append(FeedFault(kind, instrument_id, detail))

    def tick(self, now_mono_ns: int) -> None:
        """Queue the ping that is due, and subscribe anew to what was acknowledged and then silent."""
        if now_mono_ns >= self._ping_due_mono_ns:
            self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
            self._frames.append(PING_FRAME)
        for stream in self._streams.values():
            asked_mono_ns = stream.asked_mono_ns
            if asked_mono_ns is not None and now_mono_ns - asked_mono_ns >= SUBSCRIPTION_TIMEOUT_NS:
                detail = (
                    f"{stream.channel} of {stream.coin} brings no data, as of a coin that the venue does not"
                    " have, or has delisted"
                )
                self._fault(FaultKind.REFUSED, stream.instrument_id, detail)
                self._renew(stream, now_mono_ns)

    def take_frames(self) -> list[bytes]:
        taken, self._frames = self._frames, []
        return taken

    def take_tops(self) -> list[TopOfBook]:
        taken, self._tops = self._tops, []
        return taken

    def take_depths(self) -> list[Depth]:
        if not self._depths:
            return []
        taken, self._depths = self._depths, {}
        return list(taken.values())

    def take_faults(self) -> list[FeedFault]:
        taken, self._faults = self._faults, []
        return taken


def _side(level: Level | None) -> tuple[int, int]:
    """Price and size of one side, (0, 0) when nobody stands there."""
    if level is None:
        return 0, 0
    price_e8, size_e8 = exact_e8(level.px), exact_e8(level.sz)
    if not price_e8:
        raise ValueError("a level has the price 0")
    return (price_e8, size_e8) if size_e8 else (0, 0)


def _levels(rows: list[Level]) -> Levels:
    """(price_e8, size_e8) of every level. One without size holds nothing."""
    return [level for level in map(_side, rows) if level[0]]


def _are_best_first(levels: Levels, sign: int) -> bool:
    """Whether prices fall (``sign`` -1: bids) or rise, none of them twice."""
    return all((later[0] - price_e8) * sign > 0 for (price_e8, _), later in pairwise(levels))
