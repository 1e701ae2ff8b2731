"""The real feed process against a scripted venue on loopback, seen from shared memory."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator

import pytest
from picows import WSMsgType

from feeds.connection import STOOD_STILL_NS_MAX
from shm.records import Quote, QuoteFlags
from tests.feeds.instance import Instance
from tests.feeds.venue import ScriptedVenue, a_book_frame, scripted_venue
from tests.waiting import wait_until

BTC, ETH = 0, 2  # Vest's instruments of the two pairs
VALID, SNAPSHOT, STALE, CROSSED = QuoteFlags.VALID, QuoteFlags.SNAPSHOT, QuoteFlags.STALE, QuoteFlags.CROSSED


def e8(value: float) -> int:
    return round(value * 10**8)


@pytest.fixture
def venue() -> Iterator[ScriptedVenue]:
    with scripted_venue() as listening:
        yield listening


def quote_both(venue: ScriptedVenue) -> None:
    venue.quote("BTC-PERP", 100.0, 100.1)
    venue.quote("ETH-PERP", 10.0, 10.1)


def are_valid_when_quoted(instance: Instance, venue: ScriptedVenue) -> bool:
    """Quote once more; for tests whose limit may pass on a busy machine before the flags are read."""
    for symbol in ("BTC-PERP", "ETH-PERP"):
        venue.send_to_all(a_book_frame(symbol, [("100", "1")], [("101", "1")]))
    return all(top is not None and top.flags & VALID for top in map(instance.top, (BTC, ETH)))


def flags_are(instance: Instance, flags: int, *instrument_ids: int) -> bool:
    tops = [instance.top(number) for number in instrument_ids or (BTC, ETH)]
    return all(top is not None and top.flags == flags for top in tops)


def test_a_book_becomes_a_quote_and_a_depth(instance: Instance, venue: ScriptedVenue) -> None:
    """Slot, ring and depth agree; the first quote is marked, the times are in order."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        venue.book("BTC-PERP", [("100.5", "1.25"), ("100", "2")], [("100.75", "3"), ("101", "4")])
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT, BTC))
        top, depth = instance.top(BTC), instance.depth(BTC)
        ring = [quote for quote in instance.read_ring() if quote.flags & VALID]

    assert top is not None
    assert (top.bid_e8, top.bid_size_e8, top.ask_e8, top.ask_size_e8) == (
        e8(100.5),
        e8(1.25),
        e8(100.75),
        e8(3),
    )
    assert 0 < top.recv_mono_ns <= top.publish_mono_ns
    assert ring == [top]
    assert depth is not None
    assert list(depth.bids) == [(e8(100.5), e8(1.25)), (e8(100), e8(2))]
    assert list(depth.asks) == [(e8(100.75), e8(3)), (e8(101), e8(4))]
    assert depth.is_valid
    assert sorted(venue.subscriptions()) == ["BTC-PERP@depth", "ETH-PERP@depth"]


def test_a_thousand_quotes_arrive_unbroken_and_in_order(instance: Instance, venue: ScriptedVenue) -> None:
    """Every book sent is one record of the ring, none missing, none twice."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        for step in range(1_000):
            venue.quote("BTC-PERP", 100 + step, 2_000)
        wait_until(lambda: instance.count("frames_total") == 1_002)
        bids = [quote.bid_e8 for quote in instance.read_ring() if quote.flags & VALID]

    assert bids == [e8(100 + step) for step in range(1_000)]
    assert instance.ring.overtaken == 0
    assert instance.count("depths_total") == 1_000
    assert instance.counters.histogram("recv_to_publish").count == 1_000


def test_the_feed_says_when_it_is_live(instance: Instance, venue: ScriptedVenue) -> None:
    """connected follows the first data; feed_live every instrument's first quote."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        wait_until(lambda: instance.events_named("feed_connected") != [])
        assert instance.count("connected") == 0
        venue.quote("BTC-PERP", 100.0, 100.1)
        wait_until(lambda: instance.count("connected") == 1)
        assert instance.events_named("feed_live") == []
        venue.quote("ETH-PERP", 10.0, 10.1)
        wait_until(lambda: len(instance.events_named("feed_live")) == 1)
        venue.quote("ETH-PERP", 10.0, 10.1)
        wait_until(lambda: flags_are(instance, VALID, ETH))  # SNAPSHOT marks the first alone


def test_a_crossed_book_is_flagged_counted_and_said(instance: Instance, venue: ScriptedVenue) -> None:
    """And the next sound one is valid again; a locked one is real and passed on."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        venue.quote("BTC-PERP", 100.2, 100.1)
        wait_until(lambda: flags_are(instance, CROSSED, BTC))
        depth = instance.depth(BTC)
        assert depth is not None
        assert not depth.is_valid
        venue.quote("BTC-PERP", 100.1, 100.1)
        wait_until(lambda: flags_are(instance, VALID, BTC))
        assert instance.count("crossed_total") == 1
        assert [event["kind"] for event in instance.events_named("book_invalid")] == ["crossed"]


def test_a_side_gone_empty_makes_the_quote_invalid(instance: Instance, venue: ScriptedVenue) -> None:
    """One side is not a market."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        venue.book("BTC-PERP", [], [("100", "1")])
        wait_until(lambda: flags_are(instance, 0, BTC))
        assert instance.count("faults_total") == 1


def test_prices_that_waited_while_the_process_stood_still_are_not_told_as_new(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """A trade was closed on prices half a minute old, stamped with the time they were read: one leg filled,
    and the other one's price was long gone."""
    with instance.feed(venue.url) as process:
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT, BTC, ETH))
        process.send_signal(signal.SIGSTOP)
        stopped_mono_ns = time.monotonic_ns()
        for price in (90.0, 95.0):
            venue.quote("BTC-PERP", price, price + 0.1)
        wait_until(lambda: time.monotonic_ns() > stopped_mono_ns + 1.2 * STOOD_STILL_NS_MAX)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: instance.events_named("feed_disconnected") != [])
        venue.wait_for_subscriptions(4)
        venue.quote("BTC-PERP", 110.0, 110.1)
        reported: list[Quote] = []

        def is_the_new_price_told() -> bool:
            reported.extend(instance.read_ring())
            return any(quote.bid_e8 == e8(110) for quote in reported)

        wait_until(is_the_new_price_told)

    assert "stood still" in instance.events_named("feed_disconnected")[0]["reason"]
    prices_e8 = {quote.bid_e8 for quote in reported if quote.flags & VALID and quote.instrument_id == BTC}
    assert prices_e8 == {e8(100), e8(110)}


def test_silence_flags_every_quote_and_replaces_the_connection(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """Liveness is the age of data: pongs to our pings, even acknowledgements, do not count."""

    def are_stale_despite_pongs() -> bool:
        venue.send_to_all(b'{"data":"PONG"}')
        return flags_are(instance, STALE)

    with instance.feed(venue.url, stale_after_ms=600):
        venue.wait_for_subscriptions(2)
        wait_until(lambda: are_valid_when_quoted(instance, venue))
        wait_until(are_stale_despite_pongs)
        assert instance.count("connected") == 0
        assert [quote.flags for quote in instance.read_ring()[-2:]] == [STALE, STALE]
        wait_until(lambda: venue.connections == 2)
        wait_until(lambda: are_valid_when_quoted(instance, venue))
        stale = instance.events_named("quote_stale")

    assert stale[0]["silent_ms"] >= 600
    assert instance.events_named("feed_disconnected")[0]["reason"].startswith("no data for ")


def test_a_venue_that_breaks_the_connection_is_connected_to_again(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """The first retry is immediate, quotes are stale in between, the first ones after are marked."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        venue.close_connection(1012, b"restart")
        venue.wait_for_subscriptions(4)
        wait_until(lambda: flags_are(instance, STALE))
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        lost = instance.events_named("feed_disconnected")

    assert [event["reason"] for event in lost] == ["closed by the venue: 1012 restart"]
    assert lost[0]["retry_in_ms"] == 0


def test_a_venue_away_is_tried_until_it_is_back(instance: Instance, venue: ScriptedVenue) -> None:
    """Refused connections wait longer and longer, between 50 ms and 4 s, and do not end the feed."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        venue.go_away()
        wait_until(lambda: len(instance.events_named("feed_disconnected")) >= 4)
        assert flags_are(instance, STALE)
        venue.listen()
        venue.wait_for_subscriptions(4)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        delays = [event["retry_in_ms"] for event in instance.events_named("feed_disconnected")]

    assert delays[0] == 0
    assert all(50 <= delay <= 4_000 for delay in delays[1:])


def test_one_unreadable_frame_voids_the_quotes_and_nothing_else(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """What it said is unknown, so what stands is not believed; the connection may be fine."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        venue.send(b"\xff not json")
        wait_until(lambda: flags_are(instance, 0))
        depth = instance.depth(BTC)
        assert depth is not None
        assert not depth.is_valid
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID))

    assert (instance.count("bad_frames_total"), venue.connections) == (1, 1)
    assert "not json" in instance.events_named("frame_refused")[0]["detail"]


def test_unreadable_frames_in_a_row_replace_the_connection(instance: Instance, venue: ScriptedVenue) -> None:
    """Three within ten seconds, each of them kept."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        for _ in range(3):
            venue.send(b"rubbish")
        venue.wait_for_subscriptions(4)
        wait_until(lambda: len(instance.events_named("feed_disconnected")) == 1)

    assert instance.count("bad_frames_total") == 3
    assert ["rubbish" in line["detail"] for line in instance.events_named("frame_refused")] == [True] * 3


def test_a_venue_that_sends_nothing_but_rubbish_is_given_up_again_and_again(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """Each connection is replaced and drowned again: few frames of each are looked at, and reported."""
    with instance.feed(venue.url):
        for connection in range(1, 7):
            venue.wait_for_subscriptions(2 * connection)
            for _ in range(500):
                venue.send_to_all(b"rubbish")
        wait_until(lambda: instance.count("bad_frames_total") >= 18)
        refused = instance.events_named("frame_refused")

    assert 0 < len(refused) <= instance.count("bad_frames_total") < 500
    assert len(instance.heard) - len(refused) <= 6 * 3 + 2


def test_a_message_in_pieces_is_put_together(instance: Instance, venue: ScriptedVenue) -> None:
    """RFC 6455 lets any proxy on the way fragment a message."""
    frame = a_book_frame("BTC-PERP", [("100", "1")], [("101", "1")])
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        venue.send(frame[:20], fin=False)
        venue.send(frame[20:40], WSMsgType.CONTINUATION, fin=False)
        venue.send(b"", WSMsgType.PING)
        venue.send(frame[40:], WSMsgType.CONTINUATION)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT, BTC))


def test_a_ping_is_answered(instance: Instance, venue: ScriptedVenue) -> None:
    """Venues close connections whose pongs do not come."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        venue.send(b"", WSMsgType.PING)
        wait_until(lambda: venue.pongs == 1)


def test_sigterm_flags_the_quotes_and_closes_the_connection(instance: Instance, venue: ScriptedVenue) -> None:
    """Exit code 0, a close frame to the venue, nothing left that looks tradable."""
    with instance.feed(venue.url) as process:
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""

    assert flags_are(instance, STALE)
    assert instance.count("connected") == 0
    assert len(instance.events_named("process_stopped")) == 1
    wait_until(lambda: venue.open == [])
    assert len(venue.close_codes) == 1


def test_sigterm_ends_a_feed_that_waits_for_its_venue(instance: Instance, venue: ScriptedVenue) -> None:
    """A stop must not wait for a backoff."""
    venue.go_away()
    with instance.feed(venue.url) as process:
        wait_until(lambda: len(instance.events_named("feed_disconnected")) >= 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def test_the_successor_of_a_killed_feed_carries_on(instance: Instance, venue: ScriptedVenue) -> None:
    """Killed -9 amid a stream: readers keep their place, the epoch grows, old quotes are flagged."""
    with instance.feed(venue.url, epoch=1) as process:
        venue.wait_for_subscriptions(2)
        quote_both(venue)
        venue.book("BTC-PERP", [("100", "1")], [("101", "1")], times=2_000)
        wait_until(lambda: instance.count("quotes_total") > 100)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    before = instance.read_ring()
    with instance.feed(venue.url, epoch=2):
        wait_until(lambda: flags_are(instance, STALE))
        venue.wait_for_subscriptions(4)
        quote_both(venue)
        wait_until(lambda: flags_are(instance, VALID | SNAPSHOT))
        after = instance.read_ring()

    assert {quote.writer_epoch for quote in before} == {1}
    assert {quote.writer_epoch for quote in after} == {2}
    assert [quote.flags for quote in after[:2]] == [STALE, STALE]
    assert instance.ring.overtaken == 0
    assert all(
        one.publish_mono_ns <= other.publish_mono_ns for one, other in itertools.pairwise(before + after)
    )


def test_a_slot_left_half_written_is_repaired_and_flagged(instance: Instance, venue: ScriptedVenue) -> None:
    """The worst moment to be killed: readers got nothing, and learn from the successor what stands."""
    tops = instance.memory.tops("vest", writer=True)
    tops.write(BTC, Quote(BTC, e8(100), e8(101), 1, 1, 0, 0, 0, 0, int(VALID), 1))
    tops.table._words[BTC] += 1  # what a writer leaves that was killed between its two stores
    tops.close()
    assert instance.top(BTC) is None

    with instance.feed(venue.url):
        wait_until(lambda: flags_are(instance, STALE))
        top = instance.top(BTC)
        assert top is not None
        assert (top.bid_e8, top.ask_e8, top.writer_epoch) == (0, 0, 1)  # no prices out of a torn body


def test_a_plain_url_to_another_host_is_refused(instance: Instance) -> None:
    """Exit code 2 before anything is sent: this is a name, whatever it looks like."""
    with instance.feed("ws://127.999.0.1:8701/ws-api") as process:
        assert process.wait() == 2
        assert process.stderr is not None
        last = process.stderr.read().decode().splitlines()[-1]

    assert last.startswith("feeds: venues.vest.public_ws_url: 'ws://127.999.0.1:8701/ws-api' is refused")
    assert "wss://" in last


def test_the_heartbeat_beats_while_the_venue_is_away(instance: Instance, venue: ScriptedVenue) -> None:
    """A feed without its venue is healthy: the supervisor must not replace it."""
    venue.go_away()
    with instance.feed(venue.url):
        wait_until(lambda: instance.count("heartbeat_mono_ns") > 0)
        beats = instance.count("heartbeat_mono_ns")
        wait_until(lambda: instance.count("heartbeat_mono_ns") > beats)
