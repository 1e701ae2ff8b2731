"""Public market data: frames in, quotes, depth, faults and mending frames out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.venues.paradex.samples import (
    HOSTS,
    NOW_MS,
    bbo_frame,
    book_frame,
    captured_session,
    notification,
    sbe_frame,
)
from venues.contract import Depth, FaultKind, FeedFault, FrameError, TopOfBook
from venues.paradex import ParadexMarketData, sbe

SECOND_NS = 1_000_000_000
BTC_ID, ETH_ID = 7, 9


def a_feed(**options: Any) -> ParadexMarketData:
    """A feed of two markets on a connection that has just been made."""
    feed = ParadexMarketData(HOSTS, {"BTC-USD-PERP": BTC_ID, "ETH-USD-PERP": ETH_ID}, **options)
    feed.connected(0)
    return feed


def subscribed(**options: Any) -> ParadexMarketData:
    """The same with every subscription confirmed."""
    feed = a_feed(**options)
    confirm(feed)
    return feed


def confirm(feed: ParadexMarketData) -> list[tuple[str, str]]:
    """Play the venue: confirm what was asked; return it as (method, channel)."""
    requests = [json.loads(frame) for frame in feed.take_frames()]
    for request in requests:
        result = {"jsonrpc": "2.0", "id": request["id"], "result": {"channel": request["params"]["channel"]}}
        feed.receive(json.dumps(result).encode() + b"\n", False, 1)
    return [(request["method"], request["params"]["channel"]) for request in requests]


def kinds(feed: ParadexMarketData) -> list[tuple[FaultKind, int]]:
    return [(fault.kind, fault.instrument_id) for fault in feed.take_faults()]


def renewal(channel: str) -> list[tuple[str, str]]:
    return [("unsubscribe", channel), ("subscribe", channel)]


ETH = "ETH-USD-PERP"
BBO_BTC, BOOK_BTC = "bbo.BTC-USD-PERP", "order_book.BTC-USD-PERP.deltas"

# --- subscriptions ---


def test_an_sbe_connection_asks_for_its_version_and_bare_channel_names() -> None:
    """A deltas channel with parameters is refused on SBE connections."""
    feed = a_feed(schema_version=1)

    assert feed.url == "ws://127.0.0.1:1/v1?sbeSchemaId=1&sbeSchemaVersion=1"
    assert confirm(feed) == [
        ("subscribe", BBO_BTC),
        ("subscribe", BOOK_BTC),
        ("subscribe", "bbo.ETH-USD-PERP"),
        ("subscribe", "order_book.ETH-USD-PERP.deltas"),
    ]
    assert feed.take_faults() == []


def test_the_fallback_is_plain_json() -> None:
    """No version in the URL, and the book as snapshots that stand alone."""
    feed = a_feed(sbe=False)

    assert feed.url == "ws://127.0.0.1:1/v1"
    assert ("subscribe", "order_book.BTC-USD-PERP.snapshot@15@100ms") in confirm(feed)


def test_a_refused_subscription_is_named_and_asked_for_again() -> None:
    """A typing error in a channel would else be silence."""
    feed = a_feed()
    request = json.loads(feed.take_frames()[0])
    error = {"code": -32600, "message": "invalid subscribe request", "data": "invalid channel"}

    feed.receive(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode(), False, 1)

    (fault,) = feed.take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.REFUSED, BTC_ID)
    assert fault.detail == "subscribe bbo.BTC-USD-PERP: -32600 invalid subscribe request: invalid channel"
    feed.tick(6 * SECOND_NS)
    assert (FaultKind.REFUSED, BTC_ID) in kinds(feed)
    assert confirm(feed)[:2] == renewal(BBO_BTC)


def test_a_book_that_never_gets_its_snapshot_is_asked_for_again() -> None:
    """The acknowledgement alone brings no prices."""
    feed = subscribed()

    feed.tick(4 * SECOND_NS)
    assert kinds(feed) == []
    feed.tick(5 * SECOND_NS)

    assert kinds(feed) == [(FaultKind.REFUSED, BTC_ID), (FaultKind.REFUSED, ETH_ID)]
    assert confirm(feed) == [*renewal(BOOK_BTC), *renewal("order_book.ETH-USD-PERP.deltas")]


def test_a_standing_subscription_is_left_alone() -> None:
    """A quiet market changes nothing for hours, and that is no fault."""
    feed = subscribed()
    feed.receive(book_frame(1, bids=[(1, 1)], asks=[(2, 1)], is_snapshot=True), True, 1)
    feed.receive(
        book_frame(1, bids=[(1, 1)], asks=[(2, 1)], is_snapshot=True, symbol="ETH-USD-PERP"), True, 1
    )

    feed.tick(3_600 * SECOND_NS)

    assert (feed.take_frames(), feed.take_faults()) == ([], [])


def test_errors_and_replies_to_nothing_we_asked_are_named() -> None:
    """Not ours, so nothing can be mended; but not dropped in silence either."""
    feed = subscribed()

    feed.receive(b'{"id":0,"error":{"code":-32700,"message":"parse error"}}', False, 1)
    feed.receive(b'{"id":5,"result":{}}', False, 1)

    assert feed.take_faults() == [
        FeedFault(FaultKind.REFUSED, -1, "request 0: -32700 parse error"),
        FeedFault(FaultKind.UNKNOWN, -1, "a reply to request 5, never made"),
    ]


# --- top of book ---


def test_the_live_capture_gives_its_quotes_without_a_fault() -> None:
    """A real session: its acknowledgement with the newline, then 103 frames."""
    text, captured = captured_session()
    feed = ParadexMarketData(HOSTS, {"BTC-USD-PERP": BTC_ID})
    feed.connected(0)
    feed.take_frames()
    # The recorder's client counted from 1; ours does not, so its reply is one to nobody.
    feed.receive(text, False, 1)
    assert [fault.kind for fault in feed.take_faults()] == [FaultKind.UNKNOWN]

    for bbo in captured:
        feed.receive(bbo.frame, True, 2)

    assert feed.take_tops() == [
        TopOfBook(
            BTC_ID,
            bbo.bid_e8,
            bbo.bid_size_e8,
            bbo.ask_e8,
            bbo.ask_size_e8,
            bbo.unix_us * 1_000,
            bbo.sequence,
            True,
        )
        for bbo in captured
    ]
    assert feed.take_faults() == []


def test_bbo_from_json_equals_bbo_from_sbe() -> None:
    """Two encodings, one quote; a mix on one connection is allowed."""
    feed = subscribed()
    data = {
        "market": "BTC-USD-PERP",
        "seq_no": 70003,
        "bid": "65000",
        "bid_size": "1.5",
        "ask": "65000.1",
        "ask_size": "0.25",
        "last_updated_at": NOW_MS,
    }

    feed.receive(sbe_frame("bbo"), True, 1)
    feed.receive(notification(BBO_BTC, data), False, 2)

    binary, text = feed.take_tops()
    assert binary[:5] == text[:5] == (BTC_ID, 6_500_000_000_000, 150_000_000, 6_500_010_000_000, 25_000_000)
    assert (binary.venue_sequence, text.venue_sequence) == (70002, 70003)
    assert (binary.venue_unix_ns, text.venue_unix_ns) == (NOW_MS * 10**6 + 456_000, NOW_MS * 10**6)
    assert binary.is_valid
    assert text.is_valid


def test_a_bbo_of_a_later_version_goes_the_long_way_to_the_same_quote() -> None:
    """The hot path knows one layout; anything else is left to the codec."""
    feed = subscribed()
    frame = bbo_frame(5)
    longer = sbe.HEADER.pack(56, 2, 1, 9) + frame[8:56] + bytes(8) + frame[56:] + b"\x02hi"

    feed.receive(longer, True, 1)

    (top,) = feed.take_tops()
    assert (top.venue_sequence, top.bid_e8, top.is_valid) == (5, 65_000 * 10**8, True)


def test_a_sequence_that_skips_is_no_gap() -> None:
    """bbo counts with the book: most of the book's numbers never appear on it."""
    feed = subscribed()

    for sequence in (5, 6, 60):
        feed.receive(bbo_frame(sequence), True, 1)

    assert [top.is_valid for top in feed.take_tops()] == [True] * 3
    assert feed.take_faults() == []


@pytest.mark.parametrize("sequence", [59, 60])
def test_a_sequence_that_does_not_rise_voids_the_quote_and_subscribes_anew(sequence: int) -> None:
    """An older price must not be taken for a newer one; a new count is accepted afterwards."""
    feed = subscribed()
    feed.receive(bbo_frame(60), True, 1)
    feed.take_tops()

    feed.receive(bbo_frame(sequence), True, 2)

    (top,) = feed.take_tops()
    assert (top.instrument_id, top.bid_e8, top.ask_e8, top.is_valid) == (BTC_ID, 0, 0, False)
    assert kinds(feed) == [(FaultKind.GAP, BTC_ID)]
    assert confirm(feed) == renewal(BBO_BTC)
    feed.receive(bbo_frame(3), True, 3)
    assert [top.is_valid for top in feed.take_tops()] == [True]


def test_while_a_renewal_is_on_its_way_there_is_no_second_one() -> None:
    """Every bad frame asking again would be a storm."""
    feed = subscribed()

    for sequence in (60, 59, 70, 69):
        feed.receive(bbo_frame(sequence), True, 1)

    assert kinds(feed) == [(FaultKind.GAP, BTC_ID)] * 2
    assert confirm(feed) == renewal(BBO_BTC)


def test_a_crossed_quote_is_flagged_and_subscribed_anew_once() -> None:
    """Bid above ask is never a market; a run of them is one mending, and each is counted."""
    feed = subscribed()

    feed.receive(bbo_frame(5, bid_e8=10**10 + 1, ask_e8=10**10), True, 1)
    assert confirm(feed) == renewal(BBO_BTC)
    for sequence in (6, 7):
        feed.receive(bbo_frame(sequence, bid_e8=10**10 + 1, ask_e8=10**10), True, 1)

    assert [top.is_valid for top in feed.take_tops()] == [False] * 3
    assert kinds(feed) == [(FaultKind.CROSSED, BTC_ID)] * 3
    assert feed.take_frames() == []


def test_a_locked_quote_passes() -> None:
    """Bid equal to ask is real on this venue."""
    feed = subscribed()

    feed.receive(bbo_frame(5, bid_e8=10**10, ask_e8=10**10), True, 1)

    assert [top.is_valid for top in feed.take_tops()] == [True]
    assert feed.take_faults() == []


@pytest.mark.parametrize(
    "empty", [{"ask_e8": sbe.NULL, "ask_size_e8": sbe.NULL}, {"ask_size_e8": 0}, {"ask_e8": 0}]
)
def test_an_empty_side_is_flagged_and_named_once(empty: dict[str, Any]) -> None:
    """It is a state of the market, not an event, and nothing a new subscription would mend."""
    feed = subscribed()

    feed.receive(bbo_frame(5, **empty), True, 1)
    feed.receive(bbo_frame(6, **empty), True, 1)

    tops = feed.take_tops()
    assert [(top.bid_e8, top.ask_e8, top.ask_size_e8, top.is_valid) for top in tops] == [
        (65_000 * 10**8, 0, 0, False)
    ] * 2
    assert kinds(feed) == [(FaultKind.EMPTY_SIDE, BTC_ID)]
    assert feed.take_frames() == []


@pytest.mark.parametrize("empty", ["", "0"])
def test_an_empty_side_in_json(empty: str) -> None:
    """The venue writes an empty text where a number is missing."""
    feed = subscribed(sbe=False)
    data = {"seq_no": 1, "bid": empty, "bid_size": empty, "ask": "2", "ask_size": "1", "last_updated_at": 1}

    feed.receive(notification(BBO_BTC, data), False, 1)

    (top,) = feed.take_tops()
    assert (top.bid_e8, top.ask_e8, top.is_valid) == (0, 2 * 10**8, False)


# --- the book ---


def with_book(**options: Any) -> ParadexMarketData:
    feed = subscribed(**options)
    feed.receive(
        book_frame(70, bids=[(99, 1), (98, 2)], asks=[(101, 3), (103, 4)], is_snapshot=True), True, 1
    )
    return feed


def prices(levels: Any) -> list[tuple[int, int]]:
    return [(price // 10**8, size // 10**8) for price, size in levels]


def test_snapshot_and_deltas_make_the_depth() -> None:
    """Only the newest depth is handed over, and only once; empty deltas count."""
    feed = with_book()
    feed.receive(book_frame(71, bids=[(98, 0), (97, 5)], asks=[(102, 6)]), True, 2)
    feed.receive(book_frame(72), True, 3)

    (depth,) = feed.take_depths()

    assert depth == Depth(
        BTC_ID,
        [(99 * 10**8, 10**8), (97 * 10**8, 5 * 10**8)],
        [(101 * 10**8, 3 * 10**8), (102 * 10**8, 6 * 10**8), (103 * 10**8, 4 * 10**8)],
        NOW_MS * 10**6,
        72,
        True,
    )
    assert feed.take_depths() == []
    assert feed.take_faults() == []


def test_depth_holds_at_most_what_the_record_holds() -> None:
    """The book itself keeps all levels: deep ones rise when the top is taken."""
    feed = subscribed()
    feed.receive(
        book_frame(1, bids=[(50 - n, 1) for n in range(40)], asks=[(60, 1)], is_snapshot=True), True, 1
    )
    (depth,) = feed.take_depths()
    assert prices(depth.bids) == [(50 - n, 1) for n in range(20)]

    feed.receive(book_frame(2, bids=[(50, 0)]), True, 1)

    (depth,) = feed.take_depths()
    assert prices(depth.bids)[-1] == (30, 1)


@pytest.mark.parametrize("sequence", [70, 69, 72, 1_000])
def test_a_delta_out_of_step_drops_the_book_and_asks_for_a_new_one(sequence: int) -> None:
    """There is no replay: unsubscribe, subscribe, and nothing is valid until the snapshot."""
    feed = with_book()

    feed.receive(book_frame(sequence, bids=[(100, 1)]), True, 2)

    (depth,) = feed.take_depths()
    assert (depth.bids, depth.asks, depth.is_valid) == ([], [], False)
    assert kinds(feed) == [(FaultKind.GAP, BTC_ID)]
    # What was still on the way belongs to the feed already given up.
    feed.receive(book_frame(sequence + 1, bids=[(100, 1)]), True, 2)
    assert (feed.take_depths(), feed.take_faults()) == ([], [])
    assert confirm(feed) == renewal(BOOK_BTC)
    feed.receive(book_frame(500, bids=[(90, 1)], asks=[(91, 1)], is_snapshot=True), True, 3)
    (depth,) = feed.take_depths()
    assert (prices(depth.bids), depth.venue_sequence, depth.is_valid) == ([(90, 1)], 500, True)
    feed.receive(book_frame(501), True, 3)
    assert feed.take_faults() == []


def test_a_gap_concerns_one_instrument() -> None:
    """The other book on the connection goes on."""
    feed = with_book()
    feed.receive(
        book_frame(1, bids=[(1, 1)], asks=[(2, 1)], is_snapshot=True, symbol="ETH-USD-PERP"), True, 1
    )
    feed.take_depths()

    feed.receive(book_frame(75), True, 2)
    feed.receive(book_frame(2, bids=[(1, 2)], symbol=ETH), True, 2)

    assert {depth.instrument_id: depth.is_valid for depth in feed.take_depths()} == {
        BTC_ID: False,
        ETH_ID: True,
    }


def test_a_book_that_crosses_is_dropped_and_asked_for_again() -> None:
    """The venue's API book never crosses: a delta was lost or is wrong."""
    feed = with_book()

    feed.receive(book_frame(71, bids=[(102, 1)]), True, 2)

    assert [depth.is_valid for depth in feed.take_depths()] == [False]
    assert kinds(feed) == [(FaultKind.CROSSED, BTC_ID)]
    assert confirm(feed) == renewal(BOOK_BTC)


def test_a_snapshot_crossed_from_the_start_is_not_asked_for_in_a_loop() -> None:
    """The same answer at once would come again and again: once per pause."""
    feed = subscribed()

    feed.receive(book_frame(5, bids=[(9, 1)], asks=[(8, 1)], is_snapshot=True), True, SECOND_NS)

    assert kinds(feed) == [(FaultKind.CROSSED, BTC_ID)]
    assert feed.take_frames() == []
    feed.tick(6 * SECOND_NS)
    assert ("subscribe", BOOK_BTC) in confirm(feed)


def test_a_locked_book_passes() -> None:
    """As for the quote."""
    feed = with_book()

    feed.receive(book_frame(71, bids=[(101, 1)]), True, 2)

    assert [depth.is_valid for depth in feed.take_depths()] == [True]
    assert feed.take_faults() == []


def test_a_book_with_an_empty_side_is_kept_but_not_valid() -> None:
    """It fills again by the next deltas; there is nothing to mend."""
    feed = with_book()

    feed.receive(book_frame(71, bids=[(99, 0), (98, 0)]), True, 2)
    assert [depth.is_valid for depth in feed.take_depths()] == [False]
    assert kinds(feed) == [(FaultKind.EMPTY_SIDE, BTC_ID)]
    feed.receive(book_frame(72, bids=[(97, 1)]), True, 2)

    assert [depth.is_valid for depth in feed.take_depths()] == [True]
    assert feed.take_frames() == []


def book_json(sequence: int, kind: str, **levels: list[tuple[str, str, str]]) -> bytes:
    data: dict[str, Any] = {"market": "BTC-USD-PERP", "seq_no": sequence, "last_updated_at": NOW_MS}
    data["update_type"] = kind
    for name in ("inserts", "updates", "deletes"):
        rows = levels.get(name, [])
        data[name] = [{"side": side, "price": price, "size": size} for side, price, size in rows]
    return notification("order_book.BTC-USD-PERP.snapshot@15@100ms", data)


def test_books_from_json() -> None:
    """Snapshots replace, deltas apply; numbers stay exact."""
    feed = subscribed(sbe=False)
    feed.receive(book_json(70, "s", inserts=[("BUY", "65000", "1.5"), ("SELL", "65000.1", "0.25")]), False, 1)
    feed.receive(
        book_json(
            71,
            "d",
            inserts=[("BUY", "64999.5", "3")],
            updates=[("SELL", "65000.1", "0.2")],
            deletes=[("BUY", "65000", "0")],
        ),
        False,
        2,
    )

    (depth,) = feed.take_depths()

    assert depth.bids == [(6_499_950_000_000, 300_000_000)]
    assert depth.asks == [(6_500_010_000_000, 20_000_000)]
    assert depth.is_valid


def test_json_snapshots_stand_alone_but_must_rise() -> None:
    """15 levels every 100 ms skip numbers; a step back is a fault all the same."""
    feed = subscribed(sbe=False)
    rows = [("BUY", "1", "1"), ("SELL", "2", "1")]
    feed.receive(book_json(70, "s", inserts=rows), False, 1)
    feed.receive(book_json(90, "s", inserts=rows), False, 1)
    assert feed.take_faults() == []

    feed.receive(book_json(90, "s", inserts=rows), False, 1)

    assert kinds(feed) == [(FaultKind.GAP, BTC_ID)]


# --- connections and rubbish ---


def test_a_new_connection_begins_from_nothing() -> None:
    """Old books, sequences and frames belong to the old connection."""
    feed = with_book()
    feed.receive(bbo_frame(900), True, 1)
    feed.receive(book_frame(99), True, 1)

    feed.connected(2)

    assert (feed.take_tops(), feed.take_depths()) == ([], [])
    assert [method for method, _ in confirm(feed)] == ["subscribe"] * 4
    feed.take_faults()
    feed.receive(bbo_frame(3), True, 3)
    feed.receive(book_frame(4, bids=[(99, 1)]), True, 3)
    assert [top.is_valid for top in feed.take_tops()] == [True]
    assert (feed.take_depths(), feed.take_faults()) == ([], [])


@pytest.mark.parametrize(
    "frame",
    [
        sbe.HEADER.pack(4, 99, 1, 2) + bytes(4),
        sbe_frame("trade"),
        bbo_frame(5, symbol="DOGE-USD-PERP"),
        book_frame(5, symbol="DOGE-USD-PERP", is_snapshot=True),
    ],
)
def test_what_was_never_asked_for_is_named_and_skipped(frame: bytes) -> None:
    """Templates and markets nobody subscribed: no quote of ours may come of them."""
    feed = subscribed()

    feed.receive(frame, True, 1)

    assert kinds(feed) == [(FaultKind.UNKNOWN, -1)]
    assert (feed.take_tops(), feed.take_depths(), feed.take_frames()) == ([], [], [])


def test_a_channel_never_asked_for_is_named() -> None:
    """The text form of the same."""
    feed = subscribed()

    feed.receive(notification("trades.BTC-USD-PERP", {}), False, 1)

    assert kinds(feed) == [(FaultKind.UNKNOWN, -1)]


def test_heartbeats_pass_in_silence() -> None:
    """Every 20 s on an idle connection; the session counts them as signs of life."""
    feed = subscribed()

    feed.receive(sbe_frame("heartbeat"), True, 1)

    assert feed.take_faults() == []


GOOD_BBO = {"seq_no": 1, "bid": "1", "bid_size": "1", "ask": "2", "ask_size": "1", "last_updated_at": 1}


@pytest.mark.parametrize(
    ("frame", "is_binary"),
    [
        (b"", True),
        (bbo_frame(5)[:-1], True),
        (sbe_frame("book_snapshot")[:-3], True),
        (b"", False),
        (b"\xff\xfe", False),
        (b"{}", False),
        (b'{"method":"subscription"}', False),
        (b"[" * 100_000, False),
        (notification("bbo.SOL-USD-PERP", GOOD_BBO)[:-5], False),
    ],
)
def test_rubbish_is_a_frame_error_and_nothing_of_it_is_used(frame: bytes, is_binary: bool) -> None:
    """The next good frame is taken as if it had not been."""
    feed = subscribed()

    with pytest.raises(FrameError):
        feed.receive(frame, is_binary, 1)

    assert (feed.take_tops(), feed.take_depths()) == ([], [])
    feed.receive(bbo_frame(1), True, 2)
    assert [top.is_valid for top in feed.take_tops()] == [True]


@pytest.mark.parametrize(
    ("frame", "is_binary"),
    [
        (bbo_frame(5, unix_us=-1), True),
        (bbo_frame(5, unix_us=2**62), True),
        (bbo_frame(5, bid_size_e8=-5), True),
        (bbo_frame(5)[:8] + bbo_frame(5)[16:], True),
        (book_frame(5, bids=[(-1, 1)], is_snapshot=True), True),
        (book_frame(5, bids=[(1, -1)], is_snapshot=True), True),
        (book_frame(5, bids=[(1, 1), (1, 2)], is_snapshot=True), True),
        (notification(BBO_BTC, {}), False),
        (notification(BBO_BTC, GOOD_BBO | {"bid": "1e3"}), False),
        (notification(BBO_BTC, GOOD_BBO | {"bid": "NaN"}), False),
        (notification(BBO_BTC, GOOD_BBO | {"bid": "-1"}), False),
        (notification(BBO_BTC, GOOD_BBO | {"bid": 1.5}), False),
        (notification(BBO_BTC, GOOD_BBO | {"seq_no": 2**63}), False),
        (notification(BBO_BTC, GOOD_BBO | {"last_updated_at": 10**18}), False),
        (notification(BBO_BTC, GOOD_BBO).replace(b'"1"', b"NaN", 1), False),
        (notification(BBO_BTC, GOOD_BBO)[:-5], False),
        (notification(BOOK_BTC, {"seq_no": 1}), False),
    ],
)
def test_a_frame_that_names_its_market_voids_that_one_alone(frame: bytes, is_binary: bool) -> None:
    """The other markets of the connection are as good as before, and so is this one's next frame."""
    feed = subscribed()

    feed.receive(frame, is_binary, 1)

    assert kinds(feed) == [(FaultKind.UNREADABLE, BTC_ID)]
    assert (feed.take_tops(), feed.take_depths()) == ([], [])
    feed.receive(bbo_frame(6), True, 2)
    assert [top.is_valid for top in feed.take_tops()] == [True]


def test_a_book_that_lost_an_unreadable_change_is_asked_for_but_never_in_a_storm() -> None:
    """Every delta of a market may be odd for hours: one renewal in five seconds is enough."""
    feed = with_book()
    feed.receive(
        book_frame(1, bids=[(1, 1)], asks=[(2, 1)], is_snapshot=True, symbol="ETH-USD-PERP"), True, 1
    )
    feed.take_frames()
    asked = 0
    for step in range(1, 121):
        now_mono_ns = 10 * SECOND_NS + step * SECOND_NS // 4
        feed.receive(book_frame(71, bids=[(97, -1)]), True, now_mono_ns)
        feed.tick(now_mono_ns)
        renewed = confirm(feed)
        asked += len(renewed) // 2
        if renewed:
            assert renewed == renewal(BOOK_BTC)
            feed.receive(book_frame(70, bids=[(98, 1)], asks=[(99, 1)], is_snapshot=True), True, now_mono_ns)
    assert 4 <= asked <= 7


def test_a_silent_market_is_asked_for_anew_on_both_channels() -> None:
    feed = with_book()
    feed.take_frames(), feed.take_depths()

    feed.renew(BTC_ID, 20 * SECOND_NS)

    assert confirm(feed) == [*renewal(BBO_BTC), *renewal(BOOK_BTC)]
    feed.receive(book_frame(71, bids=[(97, 1)]), True, 21 * SECOND_NS)  # of the subscription given up
    assert feed.take_depths() == []
    feed.receive(book_frame(7, bids=[(98, 1)], asks=[(99, 1)], is_snapshot=True), True, 21 * SECOND_NS)
    assert [depth.is_valid for depth in feed.take_depths()] == [True]


@given(st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=6))
def test_any_bytes_give_a_result_or_a_frame_error(frames: list[tuple[bytes, bool]]) -> None:
    """Never another exception, whatever the order."""
    feed = with_book()
    for frame, is_binary in frames:
        feed_one(feed, frame, is_binary)


@given(st.data())
def test_damaged_real_frames_never_give_an_impossible_quote(data: st.DataObject) -> None:
    """Nearly right is the harder kind of wrong: what comes out valid must be possible, and fit its record."""
    feed = with_book()
    good = [bbo_frame(80), book_frame(71, bids=[(97, 1)]), sbe_frame("book_snapshot"), book_frame(72)]
    for _ in range(data.draw(st.integers(1, 4))):
        frame = bytearray(data.draw(st.sampled_from(good)))
        for _ in range(data.draw(st.integers(0, 3))):
            frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
        feed_one(feed, bytes(frame), is_binary=True)
    for top in feed.take_tops():
        assert not top.is_valid or (
            0 < top.bid_e8 <= top.ask_e8 and min(top.bid_size_e8, top.ask_size_e8) > 0
        )
        assert all(-(2**63) <= number < 2**63 for number in top)
    for depth in feed.take_depths():
        assert not depth.is_valid or depth.bids[0][0] <= depth.asks[0][0]
        assert list(depth.bids) == sorted(depth.bids, reverse=True)
        assert 0 <= depth.venue_unix_ns < 2**63


def feed_one(feed: ParadexMarketData, frame: bytes, is_binary: bool) -> None:
    try:
        feed.receive(frame, is_binary, 1)
    except FrameError:
        return
