"""One contract, one suite: what every venue promises, without a socket.

The other half, against the simulated venues over real sockets, is ``test_conformance_sockets``.
What a venue is to this suite stands in ``venue_case.Kit``; which there are, in ``venue_cases``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.venues.venue_case import INSTRUMENT_ID, NOW_UNIX_MS, Answer, Effect, Frame, OrderEvent, VenueCase
from tests.venues.venue_cases import VENUE_CASES
from venues.contract import (
    E8,
    Call,
    FaultKind,
    Fill,
    FrameError,
    HttpResponse,
    MarketData,
    OffGrid,
    OrderAck,
    OrderRef,
    OrderUpdate,
    Outcome,
    PrivateEvent,
    Side,
    SignedOrder,
    StreamReady,
    Trading,
    TransportError,
    VenueError,
)
from verification.fuzz.oracles import check_event, check_market_data

PORT = 1
each_venue = pytest.mark.parametrize("venue_case", VENUE_CASES.values(), ids=VENUE_CASES.keys())


def play(call: Call[Any], answers: Sequence[HttpResponse | TransportError]) -> Any:
    """Give a conversation its answers and return what it concludes; the answers must suffice."""
    next(call)
    for answer in answers:
        try:
            if isinstance(answer, TransportError):
                call.throw(answer)
            else:
                call.send(answer)
        except StopIteration as stop:
            return stop.value
    call.close()
    raise AssertionError("the conversation went on after the last answer")


def logged_in(venue_case: VenueCase) -> Trading:
    """An account that knows its instrument and has its tokens."""
    trading = venue_case.trading(venue_case.hosts(PORT))
    play(trading.fetch_instruments({venue_case.symbol: INSTRUMENT_ID}), venue_case.listing)
    play(trading.login(NOW_UNIX_MS), venue_case.login)
    return trading


def streaming(venue_case: VenueCase) -> Trading:
    """An account whose private stream is ready."""
    trading = logged_in(venue_case)
    trading.stream_connected(0)
    while frames := trading.stream_take_frames():
        for frame in frames:
            trading.stream_receive(*venue_case.acknowledge(frame), 5)
    assert trading.stream_take_events() == [StreamReady(5)]
    return trading


def subscribed(venue_case: VenueCase) -> MarketData:
    feed = venue_case.market_data(venue_case.hosts(PORT))
    feed.connected(0)
    return feed


def receive(feed: MarketData, frames: Sequence[Frame]) -> None:
    for frame in frames:
        feed.receive(*frame, 1)


def by_case(name: str) -> pytest.MarkDecorator:
    """Parametrise over all venues' cases of one kind."""
    cases = [(venue_case, case) for venue_case in VENUE_CASES.values() for case in getattr(venue_case, name)]
    return pytest.mark.parametrize(
        ("venue_case", "case"),
        cases,
        ids=[f"{venue_case.venue}-{getattr(case, 'name', case[0])}" for venue_case, case in cases],
    )


# --- market data ---


@each_venue
def test_every_connection_subscribes_for_itself(venue_case: VenueCase) -> None:
    """Venues remember nothing of the last connection; requests of two are never mistaken."""
    feed = subscribed(venue_case)
    first = [json.loads(frame) for frame in feed.take_frames()]
    receive(feed, venue_case.book(100, 101, 5))
    feed.connected(9)
    second = [json.loads(frame) for frame in feed.take_frames()]

    assert len(first) == len(second) > 0
    assert all(venue_case.symbol in json.dumps(request) for request in first)
    numbers = [{request["id"] for request in each if "id" in request} for each in (first, second)]
    assert not numbers[0] & numbers[1]
    assert (feed.take_tops(), feed.take_depths()) == ([], [])
    receive(feed, venue_case.book(90, 91, 1))  # counted anew, as the venue does
    assert feed.take_tops()[-1].bid_e8 == 90 * E8
    assert feed.take_faults() == []


@each_venue
def test_the_book_becomes_top_and_depth(venue_case: VenueCase) -> None:
    feed = subscribed(venue_case)

    receive(feed, venue_case.book(100, 101, 5))

    [top], [depth] = feed.take_tops(), feed.take_depths()
    assert top[:5] == (INSTRUMENT_ID, 100 * E8, E8, 101 * E8, E8)
    assert (list(depth.bids), list(depth.asks)) == ([(100 * E8, E8)], [(101 * E8, E8)])
    assert (top.is_valid, depth.is_valid) == (True, True)
    assert feed.take_faults() == []


@each_venue
def test_a_locked_book_is_real(venue_case: VenueCase) -> None:
    feed = subscribed(venue_case)
    receive(feed, venue_case.book(100, 100, 5))
    assert feed.take_tops()[-1].is_valid
    assert feed.take_faults() == []


@each_venue
@pytest.mark.parametrize(
    ("bid", "ask", "kind"),
    [(102, 101, FaultKind.CROSSED), (0, 101, FaultKind.EMPTY_SIDE), (100, 0, FaultKind.EMPTY_SIDE)],
)
def test_a_book_that_cannot_be_traded_on_is_invalid_and_named(
    venue_case: VenueCase, bid: int, ask: int, kind: FaultKind
) -> None:
    """And the next good one mends it."""
    feed = subscribed(venue_case)
    receive(feed, venue_case.book(100, 101, 5))
    assert check_market_data(feed)

    receive(feed, venue_case.book(bid, ask, 6))

    assert {(fault.kind, fault.instrument_id) for fault in feed.take_faults()} == {(kind, INSTRUMENT_ID)}
    assert [top.is_valid for top in feed.take_tops()] == [False]
    assert [depth.is_valid for depth in feed.take_depths()] == [False]
    receive(feed, venue_case.book(100, 101, 7))
    assert feed.take_tops()[-1].is_valid


@by_case("public_frames")
def test_every_frame_has_one_effect(venue_case: VenueCase, case: tuple[str, Frame, Effect]) -> None:
    """News, a named fault, an error, or documented to be no news: nothing is dropped in silence."""
    _, frame, effect = case
    feed = subscribed(venue_case)
    feed.take_frames()

    if effect is Effect.ERROR:
        with pytest.raises(FrameError):
            receive(feed, [frame])
    else:
        receive(feed, [frame])

    tops, depths, faults = feed.take_tops(), feed.take_depths(), feed.take_faults()
    assert bool(tops or depths) is (effect is Effect.NEWS)
    assert bool(faults) is (effect is Effect.NAMED)


words = st.sampled_from(
    ["channel", "data", "id", "code", "msg", "method", "params", "result", "error", "message", "tsMs",
     "subscription", "subscription_outcomes", "bids", "asks", "status", "requested", "registered", "PONG",
     "bbo.BTC-USD-PERP", "BTC-PERP@depth", "seq_no", "jsonrpc"]
)  # fmt: skip
values = st.recursive(
    st.none() | st.integers(-3, 3) | words | st.just("1.5"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=8,
)


@each_venue
@settings(max_examples=300)
@given(message=st.dictionaries(words, values, max_size=5))
def test_no_object_passes_in_silence(venue_case: VenueCase, message: dict[str, Any]) -> None:
    """Whatever JSON comes: an error, something to hand over, or one of the documented no-news."""
    feed = subscribed(venue_case)
    feed.take_frames()
    try:
        receive(feed, [Frame(json.dumps(message).encode())])
    except FrameError:
        return
    assert check_market_data(feed) or venue_case.is_no_news(message), message


RUBBISH = [
    b"",
    b"null",
    b"[]",
    b"17",
    b"not json",
    b'{"id":',
    b"\xff\xfe",
    b"<html>502</html>",
    b"[" * 100_000,
    b'{"data":' * 50_000,
]


@each_venue
@pytest.mark.parametrize("is_binary", [False, True])
@pytest.mark.parametrize("content", RUBBISH, ids=lambda content: repr(content[:12]))
def test_rubbish_is_a_frame_error_and_the_next_frame_is_read(
    venue_case: VenueCase, content: bytes, is_binary: bool
) -> None:
    """On both sockets: nothing of it is used, and nothing is broken by it."""
    feed, trading = subscribed(venue_case), streaming(venue_case)
    feed.take_frames()

    with pytest.raises(FrameError, match=venue_case.venue):
        feed.receive(content, is_binary, 1)
    with pytest.raises(FrameError, match=venue_case.venue):
        trading.stream_receive(content, is_binary, 1)

    assert not check_market_data(feed)
    assert trading.stream_take_events() == []
    receive(feed, venue_case.book(100, 101, 5))
    assert feed.take_tops()[-1].is_valid
    for frame in venue_case.order_events[0].frames:
        trading.stream_receive(*frame, 1)
    assert trading.stream_take_events()


@each_venue
def test_private_rubbish_is_a_frame_error_and_leaves_no_event(venue_case: VenueCase) -> None:
    """What nobody documented about an order must not become a state of it."""
    for frame in venue_case.private_rubbish:
        trading = streaming(venue_case)
        with pytest.raises(FrameError):
            trading.stream_receive(*frame, 1)
        assert trading.stream_take_events() == [], frame


@each_venue
def test_pings_are_sent_when_due_and_not_before(venue_case: VenueCase) -> None:
    """Where the protocol's own pings are enough, ticking a healthy connection sends nothing."""
    feed, trading = subscribed(venue_case), streaming(venue_case)
    for frame in feed.take_frames():
        receive(feed, [venue_case.acknowledge(frame)])
    receive(feed, venue_case.book(100, 101, 5))
    feed.tick(1)
    trading.stream_tick(1)
    assert (feed.take_frames(), trading.stream_take_frames()) == ([], [])

    minute_ns = 60 * 10**9
    feed.tick(minute_ns)
    trading.stream_tick(minute_ns)

    sent = feed.take_frames() + trading.stream_take_frames()
    assert len(sent) == (2 if venue_case.pings_by_itself else 0)
    assert feed.take_faults() == []


# --- orders ---


@each_venue
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"limit_price_e8": 90_000 * E8 + 1}, "price"),
        ({"limit_price_e8": 0}, "price"),
        ({"limit_price_e8": -90_000 * E8}, "price"),
        ({"size_e8": E8 + 1}, "size"),
        ({"size_e8": 0}, "size"),
        ({"size_e8": -E8}, "size"),
        ({"size_e8": E8 // 100}, "size"),  # below the minimum, on the lot
        ({"size_e8": 11 * E8}, "size"),  # above the maximum
        ({"limit_price_e8": 10 * E8, "size_e8": E8}, "notional"),
    ],
)
def test_an_order_off_the_grid_is_refused_before_anything_is_sent(
    venue_case: VenueCase, changes: dict[str, Any], field: str
) -> None:
    """Tick, lot, minimum, maximum, notional; the error names the rule, and nothing waits to be sent."""
    grid = venue_case.instrument._replace(min_size_e8=E8 // 10, max_size_e8=10 * E8, min_notional_e8=100 * E8)
    request = venue_case.order._replace(instrument=grid, size_e8=E8, limit_price_e8=90_000 * E8)
    trading = streaming(venue_case)
    assert trading.sign_create(request, NOW_UNIX_MS).request is request

    with pytest.raises(OffGrid) as refused:
        trading.sign_create(request._replace(**changes), NOW_UNIX_MS)

    assert (refused.value.field, refused.value.instrument) == (field, grid)
    assert venue_case.symbol in str(refused.value)
    assert trading.stream_take_frames() == []


@each_venue
def test_a_reduce_only_order_may_be_below_the_minimum_notional_alone(venue_case: VenueCase) -> None:
    """It may close a remainder; every other rule still holds."""
    grid = venue_case.instrument._replace(min_size_e8=E8 // 10, min_notional_e8=100 * E8)
    small = venue_case.order._replace(instrument=grid, size_e8=E8, limit_price_e8=10 * E8, reduce_only=True)
    trading = streaming(venue_case)

    assert trading.sign_create(small, NOW_UNIX_MS).request is small
    with pytest.raises(OffGrid):
        trading.sign_create(small._replace(size_e8=E8 // 100), NOW_UNIX_MS)


def written(signed: SignedOrder) -> bytes:
    return signed.wire if isinstance(signed.wire, bytes) else signed.wire.body


@each_venue
def test_a_signed_order_carries_our_id_and_a_validity_and_is_its_own(venue_case: VenueCase) -> None:
    """Of two orders made in one millisecond neither may pass for the other."""
    trading = streaming(venue_case)
    first = trading.sign_create(venue_case.order, NOW_UNIX_MS)
    second = trading.sign_create(
        venue_case.order._replace(client_order_id=venue_case.order.client_order_id + 1), NOW_UNIX_MS
    )

    assert str(venue_case.order.client_order_id).encode() in written(first)
    assert NOW_UNIX_MS < first.valid_until_unix_ms < NOW_UNIX_MS + 600_000
    assert json.loads(written(first)) != json.loads(written(second))
    sides = [written(trading.sign_create(venue_case.order._replace(side=side), NOW_UNIX_MS)) for side in Side]
    assert sides[0] != sides[1]


@by_case("create_answers")
def test_every_answer_to_a_create_is_an_outcome(venue_case: VenueCase, case: Answer) -> None:
    """Accepted, refused, refused for now, or in doubt; whatever it is, it is about our order."""
    trading = streaming(venue_case)
    if isinstance(case.answer, HttpResponse):
        ack: PrivateEvent = trading.parse_create_response(venue_case.order, case.answer)
    else:
        trading.stream_receive(*case.answer, 1)
        [ack] = trading.stream_take_events()

    assert isinstance(ack, OrderAck)
    assert (ack.client_order_id, ack.outcome) == (venue_case.order.client_order_id, case.outcome)
    assert (ack.retry_after_ms is not None) is case.names_pause
    assert bool(ack.venue_order_id) is (case.outcome is Outcome.ACCEPTED)
    if case.outcome is not Outcome.ACCEPTED:
        assert ack.code or ack.text


@by_case("order_events")
def test_every_state_of_an_order_is_told_in_the_contracts_words(
    venue_case: VenueCase, case: OrderEvent
) -> None:
    """Open, filled, cancelled, rejected; filled sizes only where the venue settles them."""
    trading = streaming(venue_case)
    events: list[PrivateEvent] = []
    for frame in case.frames:
        trading.stream_receive(*frame, 1)
        events += trading.stream_take_events()

    for event in events:
        check_event(event)
    updates = [event for event in events if isinstance(event, OrderUpdate)]
    assert len(updates) == len(case.frames)
    assert {update.client_order_id for update in updates} == {venue_case.order.client_order_id}
    assert (updates[-1].status, updates[-1].filled_e8) == (case.status, case.filled_e8)
    assert updates[-1].instrument_id in (INSTRUMENT_ID, -1)
    fills = [event for event in events if isinstance(event, Fill)]
    assert sum(fill.size_e8 for fill in fills) in (0, case.filled_e8, E8 // 25)


# --- session and queries ---


@each_venue
def test_before_login_nothing_is_signed_or_asked(venue_case: VenueCase) -> None:
    """A clear error of ours, not a refusal of the venue's."""
    trading = venue_case.trading(venue_case.hosts(PORT))
    for early in (
        lambda: trading.sign_create(venue_case.order, NOW_UNIX_MS),
        lambda: next(trading.query_account(NOW_UNIX_MS)),
        lambda: next(trading.cancel_order(OrderRef(1, venue_case.instrument, "x"), NOW_UNIX_MS)),
    ):
        with pytest.raises(RuntimeError, match=rf"{venue_case.venue}: log"):
            early()


@each_venue
def test_a_login_is_due_for_renewal_later_and_then_later_again(venue_case: VenueCase) -> None:
    trading = logged_in(venue_case)
    due_unix_ms = trading.renew_due_unix_ms
    assert due_unix_ms > NOW_UNIX_MS

    play(
        trading.renew(due_unix_ms),
        [answer._replace(now_unix_ms=due_unix_ms) for answer in venue_case.renewal],
    )

    assert trading.renew_due_unix_ms > due_unix_ms


@each_venue
def test_a_refused_login_is_an_error_with_the_venues_words(venue_case: VenueCase) -> None:
    trading = venue_case.trading(venue_case.hosts(PORT))
    with pytest.raises(VenueError) as refused:
        play(trading.login(NOW_UNIX_MS), [venue_case.refusal])
    assert refused.value.venue == venue_case.venue
    assert "UNAUTHORIZED" in str(refused.value)


@each_venue
@pytest.mark.parametrize("what", ["order", "open orders", "positions", "account", "instruments"])
def test_a_question_without_a_usable_answer_is_never_an_empty_one(venue_case: VenueCase, what: str) -> None:
    """No position, no order, no money: each would be acted upon."""

    def ask() -> Call[Any]:
        trading = logged_in(venue_case)
        calls: dict[str, Call[Any]] = {
            "order": trading.query_order(OrderRef(5, venue_case.instrument), NOW_UNIX_MS),
            "open orders": trading.query_open_orders(NOW_UNIX_MS),
            "positions": trading.query_positions(NOW_UNIX_MS),
            "account": trading.query_account(NOW_UNIX_MS),
            "instruments": trading.fetch_instruments({venue_case.symbol: INSTRUMENT_ID}),
        }
        return calls[what]

    for unreadable in (b"<html>", b"{}", b"", b"null", b"[" * 100_000):
        with pytest.raises(TransportError):
            play(ask(), [HttpResponse(200, {}, unreadable, NOW_UNIX_MS)])
    with pytest.raises(TransportError, match="cable cut"):
        play(ask(), [TransportError("cable cut")])
    with pytest.raises((TransportError, VenueError)):
        play(ask(), [HttpResponse(503, {}, b"<html>", NOW_UNIX_MS)])
    with pytest.raises(VenueError, match="UNAUTHORIZED"):
        play(ask(), [venue_case.refusal])


@each_venue
def test_a_cancel_nobody_answered_is_never_accepted(venue_case: VenueCase) -> None:
    """In doubt, or the transport's own error: the caller asks again either way."""
    call = logged_in(venue_case).cancel_order(OrderRef(5, venue_case.instrument, "0x1"), NOW_UNIX_MS)
    try:
        ack = play(call, [TransportError("cable cut")])
    except TransportError:
        return
    assert ack.outcome is Outcome.IN_DOUBT


@each_venue
def test_an_unknown_symbol_is_named(venue_case: VenueCase) -> None:
    with pytest.raises(VenueError, match="NOPE-PERP"):
        play(logged_in(venue_case).fetch_instruments({"NOPE-PERP": 1}), venue_case.listing)
