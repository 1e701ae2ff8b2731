"""The real feed process on Paradex's binary protocol; frames are laid out here, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from struct import pack

import pytest
from picows import WSMsgType

from shm.records import QuoteFlags
from tests.feeds.instance import Instance
from tests.feeds.venue import ScriptedVenue, scripted_venue
from tests.waiting import wait_until

BTC, ETH = 1, 3  # Paradex's instruments of the two pairs
VALID, SNAPSHOT, STALE = QuoteFlags.VALID, QuoteFlags.SNAPSHOT, QuoteFlags.STALE


@pytest.fixture
def venue() -> Iterator[ScriptedVenue]:
    with scripted_venue() as listening:
        yield listening


def e8(value: float) -> int:
    return round(value * 10**8)


def a_bbo(sequence: int, bid: float, ask: float, symbol: str = "BTC-USD-PERP") -> bytes:
    """Template 2 of Paradex's SBE schema 1: header, six int64, the market's name."""
    block = pack("<6q", 1_790_000_000_000_000, sequence, e8(bid), e8(1), e8(ask), e8(2))
    return pack("<4H", len(block), 2, 1, 2) + block + bytes([len(symbol)]) + symbol.encode()


def a_heartbeat(sequence: int) -> bytes:
    """Template 40: the socket lives."""
    return pack("<4H", 16, 40, 1, 2) + pack("<2q", 1_790_000_000_000_000, sequence)


def test_a_sequence_that_does_not_rise_voids_the_quote_and_is_subscribed_anew(
    instance: Instance, venue: ScriptedVenue
) -> None:
    """A gap is counted, flagged and mended; the next quote is believed again."""
    instance.watch("paradex")
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(4)
        venue.send(a_bbo(7, 100.0, 100.1))
        wait_until(lambda: instance.count("quotes_total") == 3)  # two flagged at the start
        top = instance.top(BTC)
        assert top is not None
        assert (top.bid_e8, top.ask_e8, top.flags) == (e8(100.0), e8(100.1), VALID | SNAPSHOT)
        assert (top.venue_sequence, top.venue_unix_ns) == (7, 1_790_000_000_000_000_000)

        # The reply to the first subscription may still be under way; the protocol waits for it.
        wait_until(lambda: instance.count("frames_total") >= 5)
        venue.send(a_bbo(7, 100.2, 100.3))
        wait_until(lambda: instance.count("gaps_total") == 1)
        voided = instance.top(BTC)
        assert voided is not None
        assert voided.flags == 0
        wait_until(lambda: venue.subscriptions().count("bbo.BTC-USD-PERP") == 2)

        venue.send(a_bbo(3, 100.4, 100.5))
        wait_until(lambda: (instance.top(BTC) or voided).flags == VALID)
        assert [event["kind"] for event in instance.events_named("book_invalid")] == ["gap"]


def test_a_binary_message_in_pieces_stays_binary(instance: Instance, venue: ScriptedVenue) -> None:
    """Only the first piece says of what kind the message is."""
    instance.watch("paradex")
    frame = a_bbo(1, 100.0, 100.1)
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(4)
        venue.send(frame[:30], fin=False)
        venue.send(frame[30:], WSMsgType.CONTINUATION)
        wait_until(lambda: instance.count("quotes_total") == 3)  # two flagged at the start
        top = instance.top(BTC)

    assert top is not None
    assert top.flags == VALID | SNAPSHOT


def test_binary_heartbeats_do_not_keep_quotes_alive(instance: Instance, venue: ScriptedVenue) -> None:
    """They come from the gateway whether the matching engine runs or not."""
    instance.watch("paradex")

    def is_stale_despite_heartbeats() -> bool:
        venue.send_to_all(a_heartbeat(1))
        top = instance.top(BTC)
        return top is not None and top.flags == STALE and top.bid_e8 > 0

    with instance.feed(venue.url, stale_after_ms=600):
        venue.wait_for_subscriptions(4)
        venue.send(a_bbo(1, 100.0, 100.1))
        wait_until(is_stale_despite_heartbeats)

    assert instance.count("bad_frames_total") == 0
