"""What a connection makes of silences that a test of a real process would have to wait out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from picows import WSMsgType
from picows.picows import _make_test_ws_frame

from feeds.connection import UNREADABLE_NS_MAX, Connection
from feeds.liveness import Liveness
from feeds.native import NativeFeed
from feeds.publisher import Publisher
from observability.logs import Reporter
from runtime import native
from runtime.native import LISTENER, load_extension
from tests.feeds.instance import Instance
from tests.feeds.venue import a_book_frame
from venues.contract import VenueHosts
from venues.vest import VestMarketData

SYMBOLS = {0: "BTC-PERP", 2: "ETH-PERP"}
SECOND_NS = 10**9
STALE_NS = 20 * SECOND_NS


class Sent:
    """Takes what a connection sends."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, kind: WSMsgType, frame: bytes) -> None:
        self.frames.append(frame)

    def disconnect(self, *, graceful: bool) -> None:
        self.frames.append(b"disconnect")


class Played:
    """A connection whose time the test makes."""

    def __init__(self, directory: Path, *, is_native: bool) -> None:
        instance = self.instance = Instance(directory)
        self.now_mono_ns = time.monotonic_ns()
        counters = instance.memory.counters("feed-vest", writer=True)
        self.publisher = Publisher(instance.memory, "vest", SYMBOLS, counters, lambda: self.now_mono_ns)
        protocol = VestMarketData(VenueHosts("", "ws://localhost", ""), {b: a for a, b in SYMBOLS.items()})
        self.native = (
            NativeFeed(protocol.usual_frames, self.publisher, counters, still_ns_max=2 * SECOND_NS)
            if is_native
            else None
        )
        self.connection = Connection(
            protocol,
            self.publisher,
            Liveness(SYMBOLS, STALE_NS),
            counters,
            Reporter("feed-vest", run_id="test", level=None),
            symbols=SYMBOLS,
            stale_after_ns=STALE_NS,
            native=self.native,
        )
        self.sent = Sent()
        transport: Any = self.sent
        self.connection.on_ws_connected(transport)
        for symbol in SYMBOLS.values():
            self.quote(symbol)

    def quote(self, symbol: str) -> None:
        self.hear(a_book_frame(symbol, [("5", "1")], [("6", "1")]))

    def hear(self, content: bytes) -> None:
        taken = self.native is not None and not load_extension(LISTENER).take(
            self.native.address, content, False, self.now_mono_ns
        )
        if not taken:
            frame = _make_test_ws_frame(WSMsgType.TEXT, content, True, False)
            self.connection.on_frame(frame, self.now_mono_ns)

    def pass_time(self) -> None:
        """A second, with the looks that a session takes in it."""
        for _ in range(4):
            self.now_mono_ns += SECOND_NS // 4
            self.connection.tick(self.now_mono_ns)

    def is_valid(self, instrument_id: int) -> bool:
        top = self.instance.top(instrument_id)
        return top is not None and bool(top.flags & 1)


@pytest.fixture(params=["python", "native"])
def played(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Played]:
    if request.param == "native" and native.missing():
        pytest.skip(native.missing())
    made = Played(tmp_path / "memory", is_native=request.param == "native")
    yield made
    made.publisher.close()
    made.instance.close()


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
