"""The pair machine, path by path."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from executor.pair.messages import (
    Acked,
    EntriesAllowed,
    EntriesStopped,
    Event,
    FlattenRequested,
    GridRead,
    OperatorResumed,
    OrderReport,
    QueryAnswered,
    ReadGrid,
    Restarted,
    Send,
    SendFailed,
    StreamBack,
    StreamLost,
)
from executor.pair.order import OrderState, Purpose
from executor.pair.pricing import NO_MARKET, LegMarket
from executor.pair.state import Halt, Held, next_client_order_id
from shm.records import PairPhase
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, MARKETS, PRICES_E8, SIZE_E8, an_instrument, some_rules
from venues.contract import E8, OrderStatus, Outcome, Side

# ------------------------------------------------------------------------------ the ordinary trade


def test_both_legs_leave_in_one_batch_and_the_pair_is_hedged_when_both_are_filled() -> None:
    pair = Pair()

    first, second = pair.enter()

    assert (first.leg, first.side, second.leg, second.side) == (0, Side.BUY, 1, Side.SELL)
    assert not first.reduce_only
    assert not second.reduce_only
    assert pair.phase() is PairPhase.OPENING
    pair.fill(first)
    pair.fill(second)
    assert pair.phase() is PairPhase.HEDGED
    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)


@pytest.mark.parametrize("direction", [1, -1])
def test_a_round_trip_tells_its_result_to_the_last_digit(direction: int) -> None:
    """Bought at 100 and sold at 101, closed at 99.9 and 101.1, four fees of 0.001."""
    pair = Pair()
    for send in pair.enter(direction):
        pair.fill(send, price_e8=PRICES_E8[send.leg], fee_e8=E8 // 1000)
    for send in pair.exit():
        assert send.reduce_only
        market = MARKETS[send.leg]
        pair.fill(
            send, price_e8=market.bid_e8 if send.side is Side.SELL else market.ask_e8, fee_e8=E8 // 1000
        )

    (closed,) = pair.logged("trade_closed")

    entry = direction * (PRICES_E8[1] - PRICES_E8[0])
    exits = MARKETS[0].bid_e8 - MARKETS[1].ask_e8 if direction > 0 else MARKETS[1].bid_e8 - MARKETS[0].ask_e8
    assert closed["net_e8"] == (entry + exits) * SIZE_E8 // E8 - 4 * E8 // 1000
    assert closed["reason"] == "signal"
    assert pair.phase() is PairPhase.FLAT
    assert pair.state.trade is None


def test_limits_keep_the_band_around_the_detected_price() -> None:
    """Five bps of 100 and 101, on the tick, never past the band."""
    first, second = Pair(some_rules(price_band_bps=50)).enter()

    assert first.limit_price_e8 == 100 * E8 + E8 // 2
    assert second.limit_price_e8 == 101 * E8 - 5 * E8 // 10  # 0.505 rounds towards the touch


def test_equal_partial_fills_are_hedged_at_the_smaller_size() -> None:
    pair = Pair()
    for send in pair.enter():
        pair.fill(send, LOT_E8)

    assert pair.phase() is PairPhase.HEDGED
    assert pair.logged("trade_opened")[0]["size_e8"] == LOT_E8


def test_an_entry_that_fills_nothing_leaves_no_trade() -> None:
    pair = Pair()
    for send in pair.enter():
        pair.fill(send, 0)

    assert pair.phase() is PairPhase.FLAT
    assert pair.state.trade is None
    assert not pair.logged("trade_closed")


def test_layers_add_to_the_hedged_position_in_order() -> None:
    pair = Pair(some_rules(layers_max=2)).hedged()

    assert not pair.enter(layer=0)
    for send in pair.enter(layer=1):
        pair.fill(send)

    assert pair.positions_e8 == (2 * SIZE_E8, -2 * SIZE_E8)
    assert [line["layer"] for line in pair.logged("trade_opened")] == [0, 1]
    assert not pair.enter(layer=2)
    assert pair.logged("signal_refused")[-1]["gate"] == "layer"


def test_a_layer_that_fills_nothing_may_be_tried_again() -> None:
    pair = Pair(some_rules(layers_max=2)).hedged()
    for send in pair.enter(layer=1):
        pair.fill(send, 0)

    assert pair.phase() is PairPhase.HEDGED
    assert len(pair.enter(layer=1)) == 2


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"size_e8": LOT_E8 // 2}, "size"),
        ({"size_e8": 0}, "size"),
        ({"prices_e8": (0, PRICES_E8[1])}, "price"),
        ({"layer": 1}, "layer"),
        ({"signal_id": 0}, "signal_seen"),
    ],
)
def test_an_entry_that_cannot_be_is_refused_with_gate_value_and_limit(
    changes: dict[str, Any], gate: str
) -> None:
    pair = Pair()

    assert not pair.enter(**changes)

    (refusal,) = pair.logged("signal_refused")
    assert refusal["gate"] == gate
    assert {"value", "limit"} <= set(refusal)


def test_an_entry_below_a_venues_minimum_notional_is_refused() -> None:
    dear = (an_instrument(0), an_instrument(1, min_notional_e8=10 * E8))

    assert not Pair(some_rules(instruments=dear)).enter()


def test_entries_stop_and_exits_go_on() -> None:
    pair = Pair(some_rules(layers_max=2)).hedged()
    pair.feed(EntriesStopped(pair.at, "shutdown"))

    assert not pair.enter(layer=1)
    assert pair.state.view is not None
    assert not pair.state.view.entries_allowed
    pair.feed(EntriesAllowed(pair.at))
    assert pair.state.view.entries_allowed
    pair.feed(EntriesStopped(pair.at, "shutdown"))
    assert len(pair.exit()) == 2


# ---------------------------------------------------------------------------- a leg that does not fill


def test_a_refused_leg_is_tried_again_after_a_fixed_delay_at_a_wider_price() -> None:
    """order_retry 1/3, 2/3, 3/3; then the surviving leg is closed and proven flat."""
    pair = Pair(some_rules(max_retries=3, on_single_leg="complete", max_naked_ns=10**12))
    first, second = pair.enter()
    pair.fill(first)
    pair.refuse(second)

    limits = [second.limit_price_e8]
    for attempt in (1, 2, 3):
        assert not pair.wait(99)
        (retry,) = pair.wait(1)
        assert (retry.leg, retry.purpose, retry.attempt) == (1, Purpose.COMPLETE, attempt)
        limits.append(retry.limit_price_e8)
        closing = pair.refuse(retry)
    assert limits == sorted(limits, reverse=True)
    assert limits[-1] < limits[0]
    assert [(line["attempt"], line["limit"]) for line in pair.logged("order_retry")] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    (close,) = closing
    assert (close.leg, close.side, close.reduce_only) == (0, Side.SELL, True)
    pair.fill(close)
    assert len(pair.logged("leg_auto_close")) == 1
    assert pair.phase() is PairPhase.FLAT
    assert pair.logged("trade_closed")[0]["reason"] == "auto_close"


def test_what_is_missing_is_completed_and_no_more() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)
    pair.fill(second, LOT_E8)

    (rest,) = pair.wait(100)

    assert rest.size_e8 == SIZE_E8 - LOT_E8
    pair.fill(rest)
    assert pair.phase() is PairPhase.HEDGED
    naked = pair.logged("naked_end")[0]
    assert naked["naked_ms"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("second_bid", "expected"),
    [(PRICES_E8[1], Purpose.COMPLETE), (98 * E8, Purpose.UNWIND)],
)
def test_the_cheaper_way_is_taken_and_both_costs_are_logged(second_bid: int, expected: Purpose) -> None:
    """Completing at 101 keeps the gap; at 98 it would lock a loss that unwinding at 99.9 does not."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first, price_e8=PRICES_E8[0])
    pair.markets = (MARKETS[0], LegMarket(True, second_bid, second_bid + E8))

    (mend,) = [*pair.refuse(second), *pair.wait(100)]

    assert mend.purpose is expected
    line = (pair.logged("order_retry") + pair.logged("leg_auto_close"))[0]
    assert isinstance(line["complete_cost_e8"], int)
    assert isinstance(line["unwind_cost_e8"], int)
    assert (line["complete_cost_e8"] <= line["unwind_cost_e8"]) is (expected is Purpose.COMPLETE)


def test_costs_are_those_of_the_needed_size_not_of_the_touch() -> None:
    """The touch at 101 holds a tenth of a lot; the rest costs 90: unwinding is cheaper."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)
    thin = LegMarket(True, PRICES_E8[1], 102 * E8, bids=((PRICES_E8[1], LOT_E8 // 10), (90 * E8, E8)))
    pair.markets = (MARKETS[0], thin)

    (mend,) = pair.refuse(second)

    assert mend.purpose is Purpose.UNWIND


def test_after_max_naked_ms_nothing_is_completed_any_more() -> None:
    pair = Pair(some_rules(max_retries=20, on_single_leg="complete", retry_delay_ns=400_000_000))
    first, second = pair.enter()
    pair.fill(first)
    sends = pair.refuse(second)
    purposes = []
    for _ in range(8):
        sends = sends or pair.wait(400)
        purposes.append(sends[0].purpose)
        sends = pair.refuse(sends[0])

    turning = purposes.index(Purpose.UNWIND)
    assert turning == 3  # at 400, 800 and 1200 ms; the limit is 1500
    assert set(purposes[turning:]) == {Purpose.UNWIND}


def test_a_venue_that_wants_to_be_left_alone_is_left_alone() -> None:
    pair = Pair(some_rules(on_single_leg="unwind", max_retries=3))
    first, second = pair.enter()
    pair.fill(first)
    (close,) = pair.refuse(second)
    pair.refuse_by_answer(close, retry_after_ms=700)

    assert not pair.wait(699)
    assert pair.wait(1)


def test_without_a_price_a_leg_waits_until_it_must_go() -> None:
    """No order without a limit; past max_naked_ms the last known touch gives one."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)
    pair.markets = (NO_MARKET, NO_MARKET)
    pair.refuse(second)

    assert not pair.wait(1_400)
    (close,) = pair.wait(200)
    assert close.limit_price_e8 < MARKETS[0].bid_e8


def test_a_send_that_never_left_is_known_dead_while_the_other_leg_lives() -> None:
    """One send throwing must not lose the other leg (a way others lose one)."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    assert not pair.feed(SendFailed(pair.at, second.client_order_id, "socket closed"))

    (close,) = pair.fill(first)

    assert (close.leg, close.reduce_only) == (0, True)


def test_halted_goes_on_reducing_and_states_the_exposure() -> None:
    pair = Pair(some_rules(max_retries=0, on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)
    (close,) = pair.refuse(second)

    pair.refuse(close)

    assert pair.phase() is PairPhase.HALTED
    (alert,) = pair.logged("halted")
    assert alert["reason"] == "not_mended"
    assert alert["positions_e8"] == [SIZE_E8, 0]
    assert alert["net_e8"] == SIZE_E8
    assert not pair.wait(1_999)
    (again,) = pair.wait(1)
    assert again.reduce_only
    pair.fill(again)
    assert pair.positions_e8 == (0, 0)
    assert pair.phase() is PairPhase.HALTED
    assert pair.logged("halted")[-1]["positions_e8"] == [0, 0]
    assert not pair.enter()
    pair.feed(OperatorResumed(pair.at))
    assert pair.phase() is PairPhase.FLAT
    pair.read(0, 0)
    pair.read(1, 0)
    assert len(pair.enter()) == 2


# ------------------------------------------------------------------------------------------- doubt


def test_silence_is_doubt_and_doubt_asks_and_sends_nothing() -> None:
    """Never a re-send, never taken for a fill, never for a death (three ways others lose a leg)."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)

    assert not pair.wait(799)
    assert not pair.wait(1)

    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]
    assert pair.phase() is PairPhase.REPAIRING
    assert pair.logged("leg_unknown")
    assert not pair.exit()
    assert not pair.enter(layer=1)
    pair.fill(second)
    assert pair.phase() is PairPhase.HEDGED
    assert pair.logged("leg_resolved")


def test_a_lost_reply_is_asked_for_at_once() -> None:
    pair = Pair()
    _, second = pair.enter()

    pair.feed(Acked(pair.at, second.client_order_id, Outcome.IN_DOUBT, text="connection reset"))

    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]


def test_not_found_four_times_and_then_filled_is_filled() -> None:
    pair = Pair(some_rules(unknown_answers_min=5))
    first, second = pair.enter()
    pair.fill(first)
    pair.wait(800)
    for _ in range(4):
        assert not pair.unknown(second)
        assert not pair.wait(250)
    pair.fill(second)

    assert pair.phase() is PairPhase.HEDGED
    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)


def test_denials_alone_do_not_end_doubt() -> None:
    """Not even many: the position must have been seen unmoved, after the order's validity."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)
    pair.wait(800)
    for _ in range(8):
        assert not pair.unknown(second)
        assert not pair.wait(250)

    assert not pair.read(1, 0)
    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT
    pair.now_mono_ns += pair.rules.query_interval_ns
    pair.read(1, 0)
    assert not pair.state.legs[1].live
    assert pair.state.legs[1].past[0].state is OrderState.ABSENT


def test_denials_before_the_order_expired_do_not_end_doubt() -> None:
    """Until its signature is invalid, an order on the wire may still come into being."""
    pair = Pair(some_rules(appear_ns=3_000_000_000))
    _, second = pair.enter()
    pair.wait(800)
    for _ in range(4):
        pair.unknown(second)
        pair.wait(250)

    pair.now_mono_ns += 3_000_000_000
    pair.read_twice(1, 0)

    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT


def test_positions_read_before_the_order_expired_do_not_end_doubt() -> None:
    pair = Pair(some_rules(appear_ns=3_000_000_000))
    _, second = pair.enter()
    pair.wait(800)
    pair.read_twice(1, 0)
    pair.wait(2_500)
    for _ in range(4):
        pair.unknown(second)
        pair.wait(250)

    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT


def test_denials_in_quick_succession_count_once() -> None:
    pair = Pair()
    _, second = pair.enter()
    pair.wait(800)
    for _ in range(5):
        pair.unknown(second)

    assert pair.state.legs[1].live[0].unknown_answers == 1


def _written_off(pair: Pair) -> None:
    first, second = pair.enter()
    pair.fill(first)
    pair.wait(800)
    for _ in range(4):
        pair.unknown(second)
        pair.wait(250)
    sends = pair.read_twice(1, 0)
    assert pair.state.legs[1].past[0].state is OrderState.ABSENT
    for send in sends or pair.wait(100):
        pair.fill(send)
    assert pair.positions_e8 == (0, 0)


def test_an_order_written_off_that_fills_after_all_is_taken_in_and_closed() -> None:
    """Declared dead, then filled (a way others lose a leg): told by the private stream."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    _written_off(pair)
    late = pair.state.legs[1].past[0]

    (close,) = pair.feed(_filled_told(pair, late.client_order_id))

    assert (close.leg, close.side, close.size_e8, close.reduce_only) == (1, Side.BUY, SIZE_E8, True)
    pair.fill(close)
    assert pair.phase() is PairPhase.FLAT


def test_an_order_written_off_that_only_shows_in_the_position_is_taken_in_too() -> None:
    pair = Pair(some_rules(on_single_leg="unwind"))
    _written_off(pair)

    (close,) = pair.read_twice(1, -SIZE_E8)

    assert (close.leg, close.side, close.reduce_only) == (1, Side.BUY, True)
    assert pair.logged("reconcile_diff")[0]["explained_by"] == pair.state.legs[1].past[0].client_order_id


def test_an_order_written_off_that_comes_alive_is_cancelled_and_awaited() -> None:
    pair = Pair(some_rules(on_single_leg="unwind"))
    _written_off(pair)
    late = pair.state.legs[1].past[0]

    pair.feed(_told(pair, late.client_order_id, OrderStatus.OPEN, 0))

    assert [cancel.client_order_id for cancel in pair.cancels()] == [late.client_order_id]
    assert not pair.enter()
    pair.feed(_told(pair, late.client_order_id, OrderStatus.CANCELLED, 0))
    assert pair.phase() is PairPhase.FLAT


def test_an_amount_not_told_is_read_off_the_position() -> None:
    """Vest's cancels: over, but not how much; half was filled, half is completed."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)

    pair.reported(second, OrderStatus.CANCELLED, None)
    assert pair.queries()
    assert pair.asks_positions()
    pair.read_twice(1, -LOT_E8)

    (rest,) = pair.wait(100)
    assert rest.size_e8 == SIZE_E8 - LOT_E8


def test_one_read_that_surprises_is_not_believed() -> None:
    """A wrong position read, then the right one: nothing happens."""
    pair = Pair().hedged()

    assert not pair.read(0, 0)
    pair.now_mono_ns += pair.rules.query_interval_ns
    assert not pair.read(0, SIZE_E8)

    assert pair.phase() is PairPhase.HEDGED
    assert not pair.logged("reconcile_diff")


def test_a_venue_that_never_answers_halts_the_pair_and_is_asked_on() -> None:
    pair = Pair()
    first, _ = pair.enter()
    pair.fill(first)

    assert not pair.wait(6_000)

    assert pair.phase() is PairPhase.HALTED
    alert = pair.logged("halted")[-1]
    assert alert["reason"] == "in_doubt"
    assert alert["positions_e8"] == [SIZE_E8, 0]
    assert alert["under_way_e8"] == [0, -SIZE_E8]
    pair.feed(OperatorResumed(pair.at))
    assert pair.phase() is PairPhase.HALTED  # only the venue ends doubt
    pair.wait(2_000)
    assert pair.queries()


def test_an_open_order_that_falls_silent_is_cancelled_and_asked_for() -> None:
    pair = Pair()
    _, second = pair.enter()
    pair.feed(Acked(pair.at, second.client_order_id, Outcome.ACCEPTED, venue_order_id="v7"))

    pair.wait(800)

    assert [cancel.venue_order_id for cancel in pair.cancels() if cancel.leg == second.leg] == ["v7"]
    assert "v7" in [query.venue_order_id for query in pair.queries()]


def test_messages_doubled_late_and_before_the_ack_change_nothing() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.execution(first, "x", LOT_E8)
    pair.execution(first, "x", LOT_E8)
    assert pair.positions_e8 == (LOT_E8, 0)
    pair.execution(first, "y", LOT_E8)
    pair.fill(first)
    pair.fill(first)
    pair.feed(Acked(pair.at, first.client_order_id, Outcome.ACCEPTED))
    pair.fill(second)
    pair.reported(second, OrderStatus.OPEN, 0)

    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)
    assert pair.phase() is PairPhase.HEDGED


def test_a_partial_fill_on_a_cancelled_order_is_not_forgotten() -> None:
    """Cancelled with nothing, says the update; one lot, says the execution that follows."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first, 0)
    pair.fill(second, 0)
    assert pair.phase() is PairPhase.FLAT

    (close,) = pair.execution(second, "late", LOT_E8)

    assert (close.leg, close.side, close.size_e8, close.reduce_only) == (1, Side.BUY, LOT_E8, True)


def test_refused_and_yet_executed_is_asked_about() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)
    pair.execution(second, "x", LOT_E8)

    assert not pair.refuse_by_answer(second)

    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT
    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]


def test_a_refusal_that_comes_after_doubt_does_not_erase_an_execution() -> None:
    """An exception or a contradiction on the reply path must not lose a position."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)
    pair.execution(second, "x", LOT_E8)
    pair.wait(800)

    pair.refuse_by_answer(second)

    assert pair.state.legs[1].live[0].state is OrderState.IN_DOUBT
    assert pair.positions_e8 == (SIZE_E8, -LOT_E8)


def test_what_an_answer_alone_refused_is_asked_for_and_never_completed() -> None:
    """The answer may have been meant for another order: a second of this one would double it."""
    pair = Pair(some_rules(on_single_leg="complete"))
    first, second = pair.enter()
    pair.fill(first)

    (close,) = pair.refuse_by_answer(second)

    assert (close.leg, close.reduce_only) == (0, True)
    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]
    assert pair.asks_positions()


def test_nothing_is_opened_until_a_refused_order_can_no_longer_come_into_being() -> None:
    """A denial before that, and a position that has not moved yet, prove nothing."""
    pair = Pair()
    orders = pair.enter()
    for send in orders:
        pair.refuse_by_answer(send)
    for number, send in enumerate(orders):
        pair.unknown(send)
        pair.read(number, 0)
    assert not pair.enter()
    pair.wait(1_000)
    assert not pair.enter()

    for send in orders:
        pair.unknown(send)
    assert not pair.enter()
    for number in (0, 1):
        pair.read(number, 0)

    assert len(pair.enter()) == 2


def test_the_venues_own_word_ends_a_refusal_by_answer_at_once() -> None:
    """Its row, or its event."""
    pair = Pair()
    first, second = pair.enter()
    for number, send in enumerate((first, second)):
        pair.refuse_by_answer(send)
        pair.reported(send, OrderStatus.REJECTED, 0)
        pair.read(number, 0)

    assert len(pair.enter()) == 2


@pytest.mark.parametrize("filled_e8", [SIZE_E8, LOT_E8])
def test_a_position_is_laid_to_the_order_that_an_answer_called_refused(filled_e8: int) -> None:
    """However long ago: the other leg is gone by then, and so is what the order made."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)
    (close,) = pair.refuse_by_answer(second)
    pair.fill(close)
    pair.wait(3_000)
    pair.unknown(second)

    (again,) = pair.read_twice(1, -filled_e8)

    assert pair.logged("reconcile_diff")[-1]["explained_by"] == second.client_order_id
    assert (again.leg, again.size_e8, again.reduce_only) == (1, filled_e8, True)
    assert not pair.logged("halted")


@pytest.mark.parametrize("filled_e8", [None, LOT_E8])
def test_an_order_called_refused_that_the_venue_shows_cancelled_is_counted(filled_e8: int | None) -> None:
    """Vest does not say how much of it was filled: then the position does."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first, 0)
    pair.refuse_by_answer(second)
    sends = pair.reported(second, OrderStatus.CANCELLED, filled_e8)

    sends = sends or pair.read_twice(1, -LOT_E8)

    assert [(send.leg, send.size_e8, send.reduce_only) for send in sends] == [(1, LOT_E8, True)]


def test_an_answer_about_another_order_is_not_believed_and_asked_for_by_our_own_id() -> None:
    """A front end mixed up two connections: the create was answered with an older order's id."""
    pair = Pair().hedged()
    old = pair.state.legs[0].past[-1]
    first, second = pair.exit()
    pair.fill(second)
    pair.feed(Acked(pair.at, first.client_order_id, Outcome.ACCEPTED, "the old one's id"))
    pair.wait(800)
    assert [query.venue_order_id for query in pair.queries()] == ["the old one's id"]

    about_old = OrderReport(
        pair.at, old.client_order_id, OrderStatus.FILLED, SIZE_E8, side=old.side, size_e8=SIZE_E8
    )
    pair.feed(QueryAnswered(pair.at, first.client_order_id, pair.now_mono_ns, about_old, True))

    assert [query.venue_order_id for query in pair.queries()] == [""]
    assert pair.state.legs[0].live[0].state is OrderState.IN_DOUBT
    assert pair.positions_e8 == (SIZE_E8, 0)
    assert pair.logged("answer_disowned")[-1]["named_order_id"] == old.client_order_id


@pytest.mark.parametrize(
    "wrong",
    [{"side": Side.SELL}, {"size_e8": SIZE_E8 + LOT_E8}, {"size_e8": LOT_E8}, {"instrument_id": 1}],
    ids=str,
)
def test_what_does_not_fit_the_order_it_names_is_not_believed(wrong: dict[str, Any]) -> None:
    """In an event as in the answer to a question; the position is read, and says what has moved."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(second)
    reported = OrderReport(pair.at, first.client_order_id, OrderStatus.FILLED, None)

    pair.feed(reported._replace(**{"side": Side.BUY, "size_e8": SIZE_E8, "instrument_id": 0, **wrong}))

    assert pair.state.legs[0].live[0].state is OrderState.IN_DOUBT
    assert not pair.state.legs[0].live[0].filled_e8
    assert pair.asks_positions()


def test_a_reduce_only_order_that_its_venue_has_cut_down_is_still_the_same() -> None:
    pair = Pair().hedged()
    first, second = pair.exit()
    pair.fill(second)
    reported = OrderReport(pair.at, first.client_order_id, OrderStatus.FILLED, LOT_E8)

    pair.feed(reported._replace(side=Side.SELL, size_e8=LOT_E8))

    assert pair.positions_e8[0] == SIZE_E8 - LOT_E8


def test_an_unknown_venue_id_is_no_denial_of_the_order() -> None:
    """It may never have been the order's: what counts is that its own name is not known."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(second)
    pair.feed(Acked(pair.at, first.client_order_id, Outcome.ACCEPTED, "an id"))
    pair.wait(800)

    pair.feed(QueryAnswered(pair.at, first.client_order_id, pair.now_mono_ns, None, True))

    (order,) = pair.state.legs[0].live
    assert (order.unknown_answers, order.venue_order_id) == (0, "")
    assert [query.venue_order_id for query in pair.queries()] == [""]


def _grid_read(pair: Pair, leg: int) -> list[Send]:
    return pair.feed(GridRead(pair.at, leg, pair.now_mono_ns))


@pytest.mark.parametrize("is_by_answer", [True, False])
def test_an_order_refused_for_its_grid_has_it_read_and_is_tried_on_the_new_one(is_by_answer: bool) -> None:
    """By the answer to its create, or by the venue's event about it."""
    pair = Pair().hedged()
    first, second = pair.exit()
    pair.fill(first)
    refused: Event = Acked(pair.at, second.client_order_id, Outcome.REFUSED, is_of_grid=True)
    if not is_by_answer:
        refused = OrderReport(pair.at, second.client_order_id, OrderStatus.REJECTED, 0, is_of_grid=True)
    assert not pair.feed(refused)
    assert [command for command in pair.commands if isinstance(command, ReadGrid)] == [ReadGrid(1)]
    assert not pair.wait(300)  # the same again would be refused again

    coarse = an_instrument(1, tick_e8=E8)
    pair.rules = pair.rules._replace(instruments=(pair.rules.instruments[0], coarse))
    (again,) = _grid_read(pair, 1) or pair.wait(1)

    assert (again.leg, again.limit_price_e8 % E8, again.reduce_only) == (1, 0, True)


def test_a_grid_that_cannot_be_read_is_asked_for_again_and_does_not_hold_up_a_leg_for_ever() -> None:
    """Past max_naked_ms the try is made all the same: the refusal may have had another reason."""
    pair = Pair().hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.feed(Acked(pair.at, second.client_order_id, Outcome.REFUSED, is_of_grid=True))

    assert not pair.wait(1_400)
    assert sum(isinstance(command, ReadGrid) for command in pair.commands) >= 2
    (again,) = pair.wait(200)

    assert (again.leg, again.reduce_only) == (1, True)


def test_nothing_is_opened_until_the_grid_is_known() -> None:
    """A read that was asked for before the refusal may show the grid of before."""
    pair = Pair()
    first, second = pair.enter()
    asked_mono_ns = pair.now_mono_ns
    pair.wait(10)
    for send in (first, second):
        pair.feed(OrderReport(pair.at, send.client_order_id, OrderStatus.REJECTED, 0, is_of_grid=True))
    for leg in (0, 1):
        pair.feed(GridRead(pair.at, leg, asked_mono_ns))
    assert not pair.enter()

    for leg in (0, 1):
        _grid_read(pair, leg)

    assert len(pair.enter()) == 2


def test_a_halt_reports_what_the_venues_show_beside_what_we_know() -> None:
    """The operator must see both: which of the two is right is what is not known."""
    pair = Pair().hedged()
    pair.read_twice(1, -SIZE_E8 - LOT_E8)

    halted = pair.logged("halted")[-1]

    assert halted["positions_e8"] == [SIZE_E8, -SIZE_E8]
    assert halted["venue_positions_e8"][1] == -SIZE_E8 - LOT_E8


def test_a_refused_order_that_ended_filled_in_part_counts_once() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.refuse(second)
    pair.reported(second, OrderStatus.CANCELLED, LOT_E8)
    pair.execution(second, "x", LOT_E8)
    pair.fill(first, LOT_E8)

    assert pair.positions_e8 == (LOT_E8, -LOT_E8)
    assert pair.phase() is PairPhase.HEDGED


# --------------------------------------------------------------------------------- exits and flattening


def test_a_partial_exit_is_repeated_until_flat() -> None:
    pair = Pair().hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.fill(second, LOT_E8)

    (rest,) = pair.wait(100)

    assert (rest.leg, rest.size_e8, rest.reduce_only) == (1, LOT_E8, True)
    pair.fill(rest)
    assert pair.phase() is PairPhase.FLAT


def test_an_exit_that_finds_nothing_leaves_the_pair_hedged() -> None:
    """No harm is done: the detector asks again."""
    pair = Pair(some_rules(max_retries=1)).hedged()
    for _ in range(2):
        for send in pair.exit() or pair.wait(100):
            pair.fill(send, 0)

    assert pair.phase() is PairPhase.HEDGED
    assert len(pair.exit()) == 2


def test_an_exit_that_cannot_close_one_leg_halts_and_goes_on() -> None:
    pair = Pair(some_rules(max_retries=0)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.refuse(second)

    assert pair.phase() is PairPhase.HALTED
    (again,) = pair.wait(2_000)
    assert (again.leg, again.reduce_only) == (1, True)


def test_an_operator_who_asks_again_and_again_does_not_postpone_the_close() -> None:
    """A pair naked for too long halts again in the very step that resumes it."""
    pair = Pair(some_rules(max_retries=0, max_unmended_ns=1_000_000)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.refuse(second)

    sends = []
    for _ in range(50):
        sends += pair.wait(50) + pair.feed(OperatorResumed(pair.at, adopt=True))
        if sends:
            break
    assert [(send.leg, send.reduce_only) for send in sends] == [(1, True)]


def test_flatten_closes_a_naked_leg_instead_of_completing_it() -> None:
    pair = Pair(some_rules(on_single_leg="complete"))
    first, second = pair.enter()
    pair.fill(first)
    assert not pair.feed(FlattenRequested(pair.at, "kill"))

    (close,) = pair.refuse(second)

    assert (close.leg, close.purpose) == (0, Purpose.EXIT)
    pair.fill(close)
    assert pair.phase() is PairPhase.FLAT
    assert not pair.enter()
    pair.feed(OperatorResumed(pair.at))
    pair.read(0, 0)
    pair.read(1, 0)
    assert pair.enter()


def test_flatten_needs_no_market() -> None:
    pair = Pair().hedged()
    pair.markets = (NO_MARKET, NO_MARKET)

    assert len(pair.feed(FlattenRequested(pair.at, "kill"))) == 2


# ----------------------------------------------------------------- restarts, adoption, other people


def test_after_a_kill_everything_under_way_is_in_doubt_and_ids_begin_anew() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)

    pair.feed(Restarted(pair.at, 2))

    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]
    assert pair.phase() is PairPhase.REPAIRING
    assert not pair.wait(300)
    pair.fill(second)
    assert pair.phase() is PairPhase.HEDGED
    assert not pair.enter(layer=1)
    assert pair.logged("signal_refused")[-1]["gate"] == "positions_confirmed"


def test_a_reason_not_to_enter_ends_with_the_life_that_gave_it() -> None:
    """Killed while paused, resumed while dead: the next life never took the pause back."""
    pair = Pair()
    pair.feed(EntriesStopped(pair.at, "paused"))
    pair.feed(Restarted(pair.at, 2))
    for leg in (0, 1):
        pair.feed(StreamBack(pair.at, leg))
        pair.read(leg, 0)

    assert len(pair.enter()) == 2


def test_a_life_with_an_old_epoch_is_refused() -> None:
    pair = Pair()

    with pytest.raises(AssertionError, match="larger epoch"):
        pair.feed(Restarted(pair.at, 1))


def test_nothing_is_opened_before_the_venues_confirm_the_positions() -> None:
    pair = Pair(confirmed=(0, LOT_E8))

    assert not pair.enter()
    assert pair.logged("signal_refused")[-1]["gate"] == "positions_confirmed"


def test_a_position_nobody_can_explain_is_reported_and_never_touched() -> None:
    """A pre-existing odd-sized position at start (a way others lose a leg)."""
    pair = Pair(confirmed=(0, 3 * LOT_E8))
    pair.now_mono_ns += pair.rules.query_interval_ns
    pair.read(1, 3 * LOT_E8)

    assert pair.phase() is PairPhase.HALTED
    assert pair.state.halt is Halt.UNEXPLAINED
    difference = pair.logged("reconcile_diff")[0]
    assert (difference["venue"], difference["difference_e8"]) == ("paradex", 3 * LOT_E8)
    assert not pair.wait(20_000)
    pair.read(0, 0)
    pair.read_twice(1, 0)  # the operator has closed it
    assert pair.phase() is PairPhase.FLAT


def test_the_operator_may_have_an_unexplained_position_adopted() -> None:
    pair = Pair(confirmed=(LOT_E8, -LOT_E8))
    pair.now_mono_ns += pair.rules.query_interval_ns
    pair.read(0, LOT_E8)
    pair.read(1, -LOT_E8)
    assert pair.state.halt is Halt.UNEXPLAINED

    pair.feed(OperatorResumed(pair.at))
    assert pair.phase() is PairPhase.HALTED
    pair.feed(OperatorResumed(pair.at, adopt=True))

    assert pair.phase() is PairPhase.HEDGED
    assert {send.size_e8 for send in pair.exit()} == {LOT_E8}


def _held() -> Held:
    return Held(
        trade_id=77,
        sizes_e8=(SIZE_E8, -SIZE_E8),
        prices_e8=PRICES_E8,
        fees_e8=(0, 0),
        layers=1,
        opened_mono_ns=5,
    )


def test_a_trade_the_journal_explains_is_adopted_and_its_exit_watched() -> None:
    pair = Pair(held=_held())

    assert pair.phase() is PairPhase.HEDGED
    assert len(pair.logged("positions_restored")) == 2
    for send in pair.exit():
        pair.fill(send, price_e8=100 * E8)
    closed = pair.logged("trade_closed")[0]
    assert (closed["trade_id"], closed["net_e8"]) == (77, SIZE_E8)  # a gap of exactly 1.0


def test_a_leg_liquidated_while_we_were_away_takes_the_other_one_with_it() -> None:
    pair = Pair(held=_held(), confirmed=(SIZE_E8, 0))
    pair.now_mono_ns += pair.rules.query_interval_ns

    (close,) = pair.read(1, 0)

    assert (close.leg, close.side, close.reduce_only) == (0, Side.SELL, True)
    pair.fill(close)
    assert pair.logged("trade_closed")[0]["is_estimated"] is True


def test_a_leg_reduced_from_outside_is_not_completed_any_more() -> None:
    """Half of the filled leg was closed by somebody while the other waited for its retry."""
    pair = Pair(some_rules(on_single_leg="complete"))
    first, second = pair.enter()
    pair.fill(first)
    pair.refuse(second)

    (close,) = pair.read_twice(0, LOT_E8)

    assert (close.leg, close.purpose, close.size_e8) == (0, Purpose.UNWIND, LOT_E8)


def test_a_surprising_read_holds_mending_back_until_it_is_confirmed_or_forgotten() -> None:
    pair = Pair(some_rules(on_single_leg="complete"))
    first, second = pair.enter()
    pair.fill(first)
    pair.refuse(second)
    pair.read(0, 0)

    assert not pair.wait(499)
    assert pair.wait(1)


def test_a_strangers_execution_stops_entries_until_the_position_is_read() -> None:
    pair = Pair()
    first, second = pair.enter()
    for send in (first, second):
        pair.fill(send, 0)
    stranger = first._replace(client_order_id=0)

    pair.execution(stranger, "z", LOT_E8, leg=1)

    assert pair.asks_positions()
    assert not pair.enter()
    pair.read(1, 0)
    assert len(pair.enter()) == 2


def test_an_order_of_a_foreign_life_that_filled_has_the_position_read() -> None:
    """A second instance on the same account, or an order of ours that was forgotten long ago."""
    pair = Pair()
    foreign = next_client_order_id(pair.rules, replace(pair.state, epoch=77), 1)
    for filled_e8, is_asked in ((0, False), (LOT_E8, True)):
        pair.feed(OrderReport(pair.at, foreign, OrderStatus.CANCELLED, filled_e8))
        assert pair.asks_positions() == is_asked

    assert not pair.enter()
    assert pair.read_twice(1, -LOT_E8) == []
    assert pair.phase() is PairPhase.HALTED
    assert pair.logged("reconcile_diff")[0]["explained_by"] is None


def test_after_a_leg_was_closed_both_venues_confirm_it_before_anything_is_opened() -> None:
    """Fills of single orders said so; what is held is looked at once more, and told."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)
    (unwind,) = pair.refuse(second)

    pair.fill(unwind)

    assert pair.phase() is PairPhase.FLAT
    assert pair.asks_positions()
    assert not pair.enter()
    confirmed = len(pair.logged("flat_confirmed"))
    pair.read(0, 0)
    pair.read(1, 0)
    assert len(pair.logged("flat_confirmed")) == confirmed + 2
    assert len(pair.enter()) == 2


def test_a_lost_stream_asks_for_what_is_under_way_and_stops_entries() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.feed(StreamLost(pair.at, 1))

    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]
    pair.fill(first, 0)
    pair.fill(second, 0)
    assert not pair.enter()


# --------------------------------------------------------------------------------------- remainders


def test_legs_that_differ_by_less_than_a_common_lot_are_hedged() -> None:
    fine = (an_instrument(0, lot_e8=LOT_E8 // 10, min_size_e8=LOT_E8 // 10), an_instrument(1))
    pair = Pair(some_rules(instruments=fine))
    first, second = pair.enter()
    pair.fill(first, SIZE_E8 - LOT_E8 // 10)
    pair.fill(second)

    assert pair.phase() is PairPhase.HEDGED
    exits = pair.exit()
    assert sorted(send.size_e8 for send in exits) == [SIZE_E8 - LOT_E8 // 10, SIZE_E8]


@pytest.mark.parametrize(
    ("missing_lots", "is_mended"), [(1, False), (2, False), (3, True), (20, True)], ids=str
)
def test_a_drift_beyond_lots_or_bps_is_corrected_and_a_smaller_one_let_be(
    missing_lots: int, is_mended: bool
) -> None:
    """Two lots of 1,000 are 20 bps: both limits are just met. The third lot costs more than its fees."""
    size_e8 = 1_000 * LOT_E8
    pair = Pair(some_rules(drift_lots_max=2, drift_bps_max=20.0))
    for send in pair.enter(size_e8=size_e8):
        pair.fill(send)
    held_e8 = -(size_e8 - missing_lots * LOT_E8)

    sends = pair.read_twice(1, held_e8) + pair.wait(1_000)

    assert [(send.leg, send.size_e8, send.purpose) for send in sends] == (
        [(0, missing_lots * LOT_E8, Purpose.UNWIND)] if is_mended else []
    )
    for send in sends:
        pair.fill(send)
    assert pair.phase() is PairPhase.HEDGED
    assert sorted(send.size_e8 for send in pair.exit())[0] == -held_e8


def test_the_drift_of_a_small_position_is_never_tolerated() -> None:
    """One lot of two is half of it, however many lots are let be."""
    pair = Pair(some_rules(drift_lots_max=5, drift_bps_max=100.0))
    first, second = pair.enter()
    pair.fill(first)

    pair.fill(second, LOT_E8)

    assert pair.phase() is PairPhase.REPAIRING


def test_a_leg_that_stands_alone_is_naked_whatever_is_tolerated() -> None:
    pair = Pair(some_rules(drift_lots_max=1_000, drift_bps_max=1_000.0, on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)

    (unwind,) = pair.refuse(second)

    assert (unwind.purpose, unwind.size_e8) == (Purpose.UNWIND, SIZE_E8)


def test_a_remainder_no_order_can_close_is_told_and_does_not_loop() -> None:
    """One lot is left where the venue takes no order below two."""
    coarse = (an_instrument(0, min_size_e8=2 * LOT_E8), an_instrument(1))
    pair = Pair(some_rules(instruments=coarse)).hedged()
    first, second = pair.exit()
    pair.fill(first, LOT_E8)
    pair.fill(second)

    assert not pair.wait(30_000)

    assert pair.phase() is PairPhase.FLAT
    assert pair.logged("trade_closed")[0]["remainders_e8"] == [LOT_E8, 0]


def test_a_difference_too_small_to_unwind_closes_the_whole_position() -> None:
    """Three lots against two, and the longer leg's venue takes no order of one."""
    coarse = (an_instrument(0, min_size_e8=2 * LOT_E8), an_instrument(1, min_size_e8=2 * LOT_E8))
    pair = Pair(some_rules(instruments=coarse, on_single_leg="unwind"))
    first, second = pair.enter(size_e8=3 * LOT_E8)
    pair.fill(first)

    sends = pair.fill(second, 2 * LOT_E8)

    assert {(send.leg, send.size_e8) for send in sends} == {(0, 3 * LOT_E8), (1, 2 * LOT_E8)}
    assert all(send.reduce_only for send in sends)


def test_a_late_fee_still_counts_and_a_missing_one_is_not_waited_for_for_ever() -> None:
    """One venue tells executions on another channel than order updates."""
    pair = Pair().hedged()
    first, second = pair.exit()
    pair.fill(first, price_e8=100 * E8)
    pair.reported(second, OrderStatus.FILLED, SIZE_E8)
    assert pair.phase() is PairPhase.FLAT
    assert not pair.logged("trade_closed")

    pair.wait(2_000)

    assert len(pair.logged("trade_closed")) == 1


def _told(pair: Pair, client_order_id: int, status: OrderStatus, filled_e8: int | None) -> OrderReport:
    return OrderReport(pair.at, client_order_id, status, filled_e8)


def _filled_told(pair: Pair, client_order_id: int) -> OrderReport:
    return _told(pair, client_order_id, OrderStatus.FILLED, SIZE_E8)
