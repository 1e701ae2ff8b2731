"""What a connection makes of silences that a test of a real process would have to wait out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from picows import WSMsgType
from picows.picows import _make_test_ws_frame

from feeds.connection import STOOD_STILL_NS_MAX, UNREADABLE_NS_MAX, Connection
from feeds.liveness import Liveness
from feeds.native import NativeFeed
from feeds.publisher import Publisher
from runtime import native
from runtime.native import LISTENER, load_extension
from shm.records import QuoteFlags
from tests.feeds.instance import Instance
from tests.feeds.venue import a_book_frame
from tests.venues.random_frames import SYMBOLS
from venues.contract import FeedOptions, VenueHosts
from venues.registry import venue as venue_of

SECOND_NS = 10**9
STALE_NS = 20 * SECOND_NS
IDS = (0, 2)


class Sent:
    """Takes what a connection sends."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, kind: WSMsgType, frame: bytes) -> None:
        self.frames.append(frame)

    def disconnect(self, *, graceful: bool) -> None:
        self.frames.append(b"disconnect")


class Played:
    """A connection whose time the test makes, with the session's looks at it.

    ``taken``: how many frames C took.
    """

    def __init__(
        self, directory: Path, venue: str = "vest", *, is_native: bool, stale_ns: int = STALE_NS
    ) -> None:
        instance = self.instance = Instance(directory, venue)
        self.now_mono_ns = 1_000 * SECOND_NS
        self.taken = 0
        self.events: list[str] = []
        self.sent = Sent()
        self._stale_ns = stale_ns
        self._symbols = dict(zip(IDS, SYMBOLS[venue], strict=True))
        self._counters = instance.memory.counters(f"feed-{venue}", writer=True)
        self.publisher = Publisher(instance.memory, venue, IDS, self._counters, lambda: self.now_mono_ns)
        self._protocol = venue_of(venue).market_data(
            VenueHosts("", "ws://localhost", ""), {b: a for a, b in self._symbols.items()}, FeedOptions()
        )
        self._liveness = Liveness(IDS, stale_ns)
        self._listener = load_extension(LISTENER) if is_native else None
        self.native = (
            NativeFeed(
                self._protocol.usual_frames, self.publisher, self._counters, still_ns_max=STOOD_STILL_NS_MAX
            )
            if is_native
            else None
        )
        self.connect()

    def report(self, event: object) -> None:
        """As a Reporter."""
        self.events.append(repr(event))

    def connect(self) -> None:
        reporter: Any = self
        self.connection = Connection(
            self._protocol,
            self.publisher,
            self._liveness,
            self._counters,
            reporter,
            symbols=self._symbols,
            stale_after_ns=self._stale_ns,
            native=self.native,
            clock_mono_ns=lambda: self.now_mono_ns,
        )
        transport: Any = self.sent
        self.connection.on_ws_connected(transport)

    def quote(self, symbol: str) -> None:
        self.hear(a_book_frame(symbol, [("5", "1")], [("6", "1")]))

    def hear(self, content: bytes, kind: WSMsgType = WSMsgType.TEXT, *, fin: bool = True) -> None:
        """A frame, the way that ``_listener.c`` sends it."""
        if self._listener is not None and self.native is not None and not self.connection.ended_because:
            is_usual = fin and kind in (WSMsgType.TEXT, WSMsgType.BINARY)
            address, is_binary = self.native.address, kind == WSMsgType.BINARY
            if is_usual and not self._listener.take(address, content, is_binary, self.now_mono_ns):
                self.taken += 1
                return
        self.connection.on_frame(_make_test_ws_frame(kind, content, fin, False), self.now_mono_ns)

    def tick(self) -> None:
        connection = self.connection
        connection.tick(self.now_mono_ns)
        if self.now_mono_ns - connection.last_data_mono_ns >= self._stale_ns:
            connection.end("no data")

    def pass_time(self) -> None:
        """A second, with the looks that are taken in it."""
        for _ in range(4):
            self.now_mono_ns += SECOND_NS // 4
            self.tick()

    def is_valid(self, instrument_id: int) -> bool:
        top = self.instance.top(instrument_id)
        return top is not None and bool(top.flags & QuoteFlags.VALID)

    def state(self) -> Mapping[str, object]:
        """Everything that others see of it; when something was published is C's to say."""
        counters = self._counters.snapshot()
        tops = [self.instance.top(number) for number in IDS]
        return {
            "ring": [quote._replace(publish_mono_ns=0) for quote in self.instance.read_ring()],
            "tops": [top and top._replace(publish_mono_ns=0) for top in tops],
            "depths": [self.instance.depth(number) for number in IDS],
            "counters": {name: value for name, value in counters.items() if "handed_over" not in name},
            "channels": self._protocol.usual_frames.words.tolist(),
            "sent": list(self.sent.frames),
            "events": list(self.events),
            "ended": self.connection.ended_because,
            "last data": self.connection.last_data_mono_ns,
            "live": self.connection.live_ns,
            "awaited": sorted(self.publisher.awaited),
        }

    def close(self) -> None:
        self.publisher.close()
        self.instance.close()


@pytest.fixture(params=["python", "native"])
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Played]:
    """Vest, both of its instruments quoted."""
    if request.param == "native" and native.missing():
        pytest.skip(native.missing())
    made = Played(tmp_path / "memory", is_native=request.param == "native")
    for symbol in SYMBOLS["vest"]:
        made.quote(symbol)
    yield made
    made.close()


UNREADABLE = b'{"channel":"BTC-PERP@depth","data":{"bids":[["1e0","1"]],"asks":[["2","1"]]}}'


def test_a_connection_that_brings_only_what_cannot_be_read_is_given_up(played: Played) -> None:
    """Each such frame names its instrument, so it counts as data and nothing is silent."""
    for _ in range(UNREADABLE_NS_MAX // SECOND_NS - 1):
        played.pass_time()
        played.hear(UNREADABLE)
        played.hear(UNREADABLE.replace(b"BTC", b"ETH"))
    assert played.connection.ended_because == ""
    played.pass_time()

    assert played.connection.ended_because == "no readable frame for 60 s"
    assert not played.is_valid(0)


def test_one_instrument_that_can_be_read_keeps_it(played: Played) -> None:
    for _ in range(UNREADABLE_NS_MAX // SECOND_NS + 5):
        played.pass_time()
        played.hear(UNREADABLE)
        played.quote("ETH-PERP")

    assert played.connection.ended_because == ""
    assert (played.is_valid(0), played.is_valid(2)) == (False, True)


def test_an_instrument_that_alone_falls_silent_is_flagged_and_asked_for_anew(played: Played) -> None:
    """And the connection replaced where that brings nothing."""
    for _ in range(STALE_NS // SECOND_NS - 1):
        played.pass_time()
        played.quote("ETH-PERP")
    subscribed = len(played.sent.frames)
    assert played.is_valid(0)
    played.pass_time()
    played.quote("ETH-PERP")
    assert (played.is_valid(0), played.is_valid(2)) == (False, True)
    assert len(played.sent.frames) == subscribed + 2  # from one channel, and to it

    for _ in range(STALE_NS // SECOND_NS + 1):
        played.pass_time()
        played.quote("ETH-PERP")
    assert played.connection.ended_because == "BTC-PERP is silent, though it was asked for anew"


def test_one_that_comes_back_is_valid_again_at_once(played: Played) -> None:
    for _ in range(STALE_NS // SECOND_NS + 1):
        played.pass_time()
        played.quote("ETH-PERP")
    assert not played.is_valid(0)
    played.quote("BTC-PERP")

    assert played.is_valid(0)
    for _ in range(STALE_NS // SECOND_NS + 1):
        played.pass_time()
        played.quote("ETH-PERP")
        played.quote("BTC-PERP")
    assert played.connection.ended_because == ""
    assert played.is_valid(0)
