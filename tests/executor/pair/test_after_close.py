"""After a close the venues are asked what is held; legs that differ for too long are both closed."""

from __future__ import annotations

from typing import Any

from executor.pair.machine import due_mono_ns
from executor.pair.messages import OrderReport, PositionRead
from executor.pair.order import OrderState, Purpose
from executor.pair.rules import PairRules
from executor.pair.state import Halt
from shm.records import PairPhase
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, MS, SIZE_E8, Budget, some_rules
from venues.contract import OrderStatus
from verification.explore import describe, explore

TOLERANT: dict[str, Any] = {"drift_lots_max": 1, "drift_bps_max": 5_000.0}
DRIFT: dict[str, Any] = {**TOLERANT, "hedge_drift_bps_max": 100.0, "hedge_drift_ns_max": 3_000 * MS}


def closed(rules: PairRules | None = None) -> tuple[Pair, int]:
    """A pair that has just closed a trade, and the trade's id."""
    pair = Pair(rules).hedged()
    assert pair.state.trade is not None
    trade_id = pair.state.trade.trade_id
    for send in pair.exit():
        pair.fill(send)
    assert pair.phase() is PairPhase.FLAT
    return pair, trade_id


# ------------------------------------------------------------------------------- after a close


def test_after_a_close_the_venues_are_asked_at_once_and_confirm_the_trade() -> None:
    pair, trade_id = closed()
    before = len(pair.logged("flat_confirmed"))
    assert due_mono_ns(pair.rules, pair.state) <= pair.now_mono_ns

    pair.wait(1)

    assert pair.asks_positions()
    pair.read(0, 0)
    pair.read(1, 0)
    reported = pair.logged("flat_confirmed")[before:]
    assert [(line["trade_id"], line["leg"]) for line in reported] == [(trade_id, 0), (trade_id, 1)]
    assert pair.enter()


def test_nothing_is_opened_before_the_venues_have_confirmed_the_close() -> None:
    pair, _ = closed()

    pair.read(0, 0)

    assert not pair.enter()


def test_a_venue_that_still_shows_a_closed_position_is_an_error_of_the_trade() -> None:
    pair, trade_id = closed()

    pair.read_twice(0, SIZE_E8)

    (reported,) = pair.logged("not_flat")
    assert (reported["trade_id"], reported["venue"], reported["position_e8"]) == (trade_id, "vest", SIZE_E8)
    assert pair.state.halt is Halt.UNEXPLAINED
    pair.read_twice(0, SIZE_E8)
    assert len(pair.logged("not_flat")) == 1


def test_a_read_that_may_be_older_than_the_last_fill_is_no_error_yet() -> None:
    """Venues keep positions and fills in different places: three seconds are theirs."""
    pair, trade_id = closed(some_rules(max_retries=3, read_lag_ns=3_000 * MS))

    for _ in range(5):
        pair.read_twice(0, SIZE_E8)
    assert not pair.logged("not_flat")
    assert pair.state.halt is Halt.NONE

    pair.read(0, 0)
    assert pair.logged("flat_confirmed")[-1]["trade_id"] == trade_id
    pair.now_mono_ns += 3_000 * MS
    pair.read_twice(1, -SIZE_E8)
    assert [line["leg"] for line in pair.logged("not_flat")] == [1]


def test_a_remainder_too_small_to_be_closed_is_confirmed_as_flat() -> None:
    """It is told with the confirmation, and is no position that was restored."""
    pair = Pair(some_rules(max_retries=3)).hedged()
    dust = LOT_E8 // 10
    for send in pair.exit():
        pair.fill(send, send.size_e8 - dust)
    assert pair.phase() is PairPhase.FLAT
    before = len(pair.logged("flat_confirmed"))

    pair.now_mono_ns += MS
    pair.feed(PositionRead(pair.at, 0, dust, pair.now_mono_ns))
    pair.feed(PositionRead(pair.at, 1, -dust, pair.now_mono_ns))

    assert [line["position_e8"] for line in pair.logged("flat_confirmed")[before:]] == [dust, -dust]
    assert not pair.logged("positions_restored")


# ------------------------------------------------------------------------------------ hedge drift


def drifted(**changes: Any) -> Pair:
    """A pair whose second leg filled by half, which its rules tolerate."""
    pair = Pair(some_rules(**{"max_retries": 3, **DRIFT, **changes}))
    first, second = pair.enter()
    pair.fill(first)
    pair.fill(second, LOT_E8)
    assert pair.phase() is PairPhase.HEDGED
    return pair


def test_legs_that_differ_for_too_long_are_both_closed() -> None:
    pair = drifted()
    assert not pair.wait(2_990)

    sends = pair.wait(20)

    assert [(send.leg, send.purpose, send.size_e8) for send in sends] == [
        (0, Purpose.EXIT, SIZE_E8),
        (1, Purpose.EXIT, LOT_E8),
    ]
    (reported,) = pair.logged("hedge_drift")
    assert (reported["drift_bps"], reported["limit_bps"]) == (5_000.0, 100.0)
    assert reported["drift_ms"] >= 3_000
    for send in sends:
        pair.fill(send)
    assert pair.logged("trade_closed")[-1]["reason"] == "hedge_drift"
    assert pair.positions_e8 == (0, 0)


def test_a_difference_within_the_tolerance_is_held() -> None:
    pair = drifted(hedge_drift_bps_max=5_000.0)

    assert not pair.wait(60_000)
    assert not pair.logged("hedge_drift")


def test_a_difference_that_ends_in_time_closes_nothing() -> None:
    pair = drifted()
    pair.wait(2_900)
    late = pair.state.legs[1].past[-1]  # the rest of it is told after its end
    pair.feed(OrderReport(pair.at, late.client_order_id, OrderStatus.FILLED, SIZE_E8, late.limit_price_e8))
    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)

    assert not pair.wait(10_000)


def test_without_a_tolerance_legs_may_differ_for_as_long_as_they_like() -> None:
    pair = drifted(hedge_drift_bps_max=0.0)

    assert not pair.wait(60_000)


def test_a_close_for_drift_that_fills_nothing_is_tried_again_after_the_same_time() -> None:
    pair = drifted(max_retries=0)
    for send in pair.wait(3_000):
        pair.fill(send, 0)
    assert pair.phase() is PairPhase.HEDGED
    assert pair.state.legs[0].past[-1].state is OrderState.CANCELLED

    assert not pair.wait(2_800)
    assert pair.wait(400)


def test_every_interleaving_of_a_drift_ends_flat_or_hedged() -> None:
    rules = some_rules(**DRIFT)
    result = explore(
        Budget(partials=1, delays=0, exits=0), depth=1_000, states_max=100_000, rules=rules, fates=()
    )

    assert result.counter_example is None, describe("hedge drift", result)
    assert result.is_complete
