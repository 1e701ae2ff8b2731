"""The compiled listener: what it publishes, what it leaves to Python, and when it may not be used."""

from __future__ import annotations

import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from picows import WSMsgType

from feeds.native import NativeFeed
from feeds.publisher import Publisher
from runtime import native
from runtime.native import LISTENER, NotNative, build, load_extension, reader
from settings import PROJECT
from shm.counter_names import FRAMES_HANDED_OVER, handed_over
from shm.records import DepthBook, Quote, QuoteFlags
from tests.feeds.instance import Instance
from tests.feeds.venue import ScriptedVenue, a_book_frame, scripted_venue
from tests.venues.random_frames import RANDOM_FRAMES, SYMBOLS
from tests.waiting import wait_until
from venues.contract import FeedOptions, FrameError, MarketData, VenueHosts
from venues.registry import venue as venue_of

HOSTS = VenueHosts("http://127.0.0.1:1", "ws://127.0.0.1:1/ws", "ws://127.0.0.1:1/ws")
PACKAGES = (
    *("feeds", "runtime", "events", "observability", "venues", "shm", "configuration", "supervision"),
    *("executor", "detector", "persistence", "tools", "monitoring", "simulator"),
)
STILL_NS = 2_000_000_000
IDS = (0, 2)  # Vest's instruments in a feed's Instance, which has room for Paradex's too


@pytest.fixture(autouse=True)
def built() -> None:
    if native.missing():
        pytest.skip(native.missing())


@pytest.fixture
def venue() -> Iterator[ScriptedVenue]:
    with scripted_venue() as listening:
        yield listening


def a_protocol(venue: str) -> MarketData:
    protocol = venue_of(venue).market_data(HOSTS, dict(zip(SYMBOLS[venue], IDS, strict=True)), FeedOptions())
    protocol.connected(0)
    return protocol


class Way:
    """A feed's memory, and one of the two ways into it."""

    def __init__(self, instance: Instance, venue: str) -> None:
        self.instance = instance
        self.protocol = a_protocol(venue)
        counters = instance.memory.counters(f"feed-{venue}", writer=True)
        self.publisher = Publisher(instance.memory, venue, IDS, counters, lambda: self.now_mono_ns)
        self.publisher.awaited.clear()
        self.feed = NativeFeed(self.protocol.usual_frames, self.publisher, counters, still_ns_max=STILL_NS)
        self.now_mono_ns = 1

    def read_in_python(self, frame: bytes, is_binary: bool) -> None:
        try:
            self.protocol.receive(frame, is_binary, self.now_mono_ns)
        except FrameError:
            return
        finally:
            self.protocol.take_faults()
        for top in self.protocol.take_tops():
            self.publisher.publish(top, self.now_mono_ns)
        for depth in self.protocol.take_depths():
            self.publisher.publish_depth(depth, self.now_mono_ns)

    def take(self, frame: bytes, is_binary: bool) -> int:
        return int(load_extension(LISTENER).take(self.feed.address, frame, is_binary, self.now_mono_ns))

    def published(self) -> tuple[list[Quote], list[DepthBook | None], list[int]]:
        quotes = [quote._replace(publish_mono_ns=0) for quote in self.instance.read_ring()]
        counts = [self.instance.count(name) for name in ("quotes_total", "depths_total")]
        return quotes, [self.instance.depth(number) for number in IDS], counts

    def close(self) -> None:
        self.publisher.close()
        self.instance.close()


@pytest.mark.parametrize("name", ["vest", "paradex"])
def test_both_ways_leave_the_same_in_memory(name: str, tmp_path: Path) -> None:
    """Ring, slots, depths and counters, whichever of the two published what."""
    rng = Random(7)
    in_python, in_c = (Way(Instance(tmp_path / which, name), name) for which in ("python", "native"))
    in_c.feed.open()
    taken = 0
    for number in range(2, 500):
        frame = RANDOM_FRAMES[name](rng)
        for way in (in_python, in_c):
            way.now_mono_ns = number
            way.feed.tick(number)
        in_python.read_in_python(frame.content, frame.is_binary)
        if in_c.take(frame.content, frame.is_binary):
            in_c.read_in_python(frame.content, frame.is_binary)
        else:
            taken += 1
            assert in_c.feed.last_data_mono_ns == number
        alone, helped = in_python.published(), in_c.published()
        assert helped == alone
        quote = in_c.instance.top(IDS[0])
        assert quote is None or quote.publish_mono_ns >= quote.recv_mono_ns
    left = {reason: in_c.instance.count(handed_over(reason)) for reason in FRAMES_HANDED_OVER}
    in_python.close()
    in_c.close()

    assert taken > 40
    assert taken + sum(left.values()) == 498
    assert left["closed"] == 0


def test_a_closed_way_and_one_that_stood_still_publish_nothing(tmp_path: Path) -> None:
    way = Way(Instance(tmp_path / "memory"), "vest")
    frame = b'{"channel":"BTC-PERP@depth","data":{"bids":[["5","1"]],"asks":[["6","1"]]}}'
    before = way.published()

    way.feed.tick(1)
    closed = way.take(frame, False)
    way.feed.open()
    way.now_mono_ns = 2 + STILL_NS
    stood_still = way.take(frame, False)
    nothing = way.published()
    way.feed.tick(2)
    taken = way.take(frame, False)
    way.feed.close()
    closed_again = way.take(frame, False)
    quotes = way.published()[0]
    left = way.instance.count(handed_over("closed"))
    way.close()

    assert nothing == before
    assert (closed, stood_still, taken, closed_again) == (1, 1, 0, 1)
    assert [quote.bid_e8 for quote in quotes] == [5 * 10**8]
    assert left == 3


def test_a_sleeping_detector_is_woken_once_for_what_c_published(tmp_path: Path) -> None:
    way = Way(Instance(tmp_path / "memory", "vest"), "vest")
    bell = way.instance.memory.doorbell("detector")
    way.feed.open()
    way.feed.tick(1)
    frame = b'{"channel":"BTC-PERP@depth","data":{"bids":[["5","1"]],"asks":[["6","1"]]}}'
    rung = []
    for is_asleep in (False, True, False):
        if is_asleep:
            bell.announce_sleep()
        assert way.take(frame, False) == 0
        rung.append(bool(select.select([bell.fd], [], [], 0)[0]))
        if rung[-1]:
            bell.drain()
    way.close()

    assert rung == [False, True, False]


def test_usual_frames_never_pass_python(native_instance: Instance, venue: ScriptedVenue) -> None:
    """And what is odd is left to it, by its reason, and is told as ever."""
    instance = native_instance
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        for symbol in ("BTC-PERP", "ETH-PERP"):
            venue.quote(symbol, 100.0, 100.1)
        wait_until(lambda: instance.events_named("feed_live") != [])
        [started] = instance.events_named("process_started")
        left = instance.count(handed_over("closed"))
        for step in range(1_000):
            venue.quote("BTC-PERP", 100 + step, 2_000)
        wait_until(lambda: instance.count("quotes_total") >= 1_004)
        assert [instance.count(handed_over(reason)) for reason in FRAMES_HANDED_OVER] == [left, 0, 0, 0, 0]

        venue.book("BTC-PERP", [("2", "1")], [("1", "1")])
        wait_until(lambda: instance.count("crossed_total") == 1)
        crossed = instance.top(0)
        venue.send(b'{"channel": "BTC-PERP@depth", "data": {"bids": [["1", "1"]], "asks": [["2", "1"]]}}')
        wait_until(lambda: instance.count(handed_over("kind")) == 1)
        venue.send(b'{"channel":"BTC-PERP@depth","data":{"bids":[["1e0","1"]],"asks":[["2","1"]]}}')
        wait_until(lambda: instance.count("bad_frames_total") == 1)
        venue.quote("BTC-PERP", 7, 8)
        wait_until(lambda: (top := instance.top(0)) is not None and bool(top.flags & QuoteFlags.VALID))

    assert started["is_native"] is True
    assert instance.count("native") == 1
    assert crossed is not None
    assert crossed.flags == QuoteFlags.CROSSED
    assert instance.count(handed_over("sides")) == 1
    assert instance.count(handed_over("number")) == 1


# As if picows were another version, whose frames nothing is known of but their attributes' names.
UNKNOWN_FRAMES = "import picows.picows\ndel picows.picows._make_test_ws_frame"


@pytest.mark.parametrize("prelude", ["", UNKNOWN_FRAMES], ids=["known frames", "asked by name"])
def test_a_message_in_pieces_is_whole_before_it_is_read(
    prelude: str, native_instance: Instance, venue: ScriptedVenue
) -> None:
    """Its first piece looks like a book of its own."""
    instance = native_instance
    with instance.feed(venue.url, prelude=prelude):
        venue.wait_for_subscriptions(2)
        for symbol in ("BTC-PERP", "ETH-PERP"):
            venue.quote(symbol, 100.0, 100.1)
        wait_until(lambda: instance.events_named("feed_live") != [])
        left = instance.count(handed_over("closed"))
        instance.read_ring()
        venue.quote("BTC-PERP", 5.0, 6.0)
        venue.send(a_book_frame("BTC-PERP", [("7", "1")], [("8", "1")]), WSMsgType.TEXT, fin=False)
        venue.send(b" ", WSMsgType.CONTINUATION)
        venue.quote("BTC-PERP", 9.0, 10.0)
        wait_until(lambda: instance.count("frames_total") == 7)
        bids = [quote.bid_e8 // 10**8 for quote in instance.read_ring()]
        reasons = [instance.count(handed_over(reason)) for reason in FRAMES_HANDED_OVER]

    assert bids == [5, 7, 9]
    assert instance.count("bad_frames_total") == 0
    assert reasons == [left, 0, 0, 0, 0]  # what is in pieces is not asked about


def test_frames_of_a_connection_given_up_are_not_published(
    native_instance: Instance, venue: ScriptedVenue
) -> None:
    """They wait in the same buffer as the one that ended it."""
    instance = native_instance
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        for symbol in ("BTC-PERP", "ETH-PERP"):
            venue.quote(symbol, 100.0, 100.1)
        wait_until(lambda: instance.events_named("feed_live") != [])
        instance.read_ring()
        venue.send_and_quote([b"rubbish"] * 3, "BTC-PERP", 5.0, 6.0)
        wait_until(lambda: venue.connections == 2)
        prices = {quote.bid_e8 for quote in instance.read_ring()}

    assert 5 * 10**8 not in prices


def _spoil(path: Path) -> None:
    path.write_bytes(b"no library")


@pytest.mark.parametrize("make_unusable", [Path.unlink, _spoil], ids=["absent", "spoilt"])
@pytest.mark.parametrize("part", [LISTENER, reader("vest")], ids=lambda part: part.name)
def test_without_a_part_python_reads_all_and_one_line_says_so(
    part: native.Part,
    make_unusable: Callable[[Path], None],
    native_instance: Instance,
    venue: ScriptedVenue,
    tmp_path: Path,
) -> None:
    instance, project = native_instance, tmp_path / "project"
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, project / name)
    shutil.copy(PROJECT / "settings.py", project)
    make_unusable(project / part.path.relative_to(PROJECT))
    with instance.feed(venue.url, project=project):
        venue.wait_for_subscriptions(2)
        for symbol in ("BTC-PERP", "ETH-PERP") * 2:
            venue.quote(symbol, 100.0, 100.1)
        wait_until(lambda: instance.count("frames_total") == 6)
        [absent] = instance.events_named("native_absent")
        top = instance.top(0)

    assert absent["part"] == "listener of vest"
    assert "python -m runtime.native" in absent["detail"]
    assert instance.count("native") == 0
    assert top is not None
    assert top.flags == QuoteFlags.VALID


def test_a_listener_of_other_sources_is_refused(tmp_path: Path) -> None:
    compiler = native.compiler()
    assert compiler is not None
    made = LISTENER._replace(path=tmp_path / LISTENER.path.name)
    build(made, compiler)
    changed = tmp_path / "_words.h"
    changed.write_text("/* another one */\n")

    load_extension(made)
    with pytest.raises(NotNative, match="was built from other sources"):
        load_extension(made._replace(headers=(changed,)))
