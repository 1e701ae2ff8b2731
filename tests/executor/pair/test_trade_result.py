"""What a trade has earned: an estimate until every price and fee was told, then corrected, once."""

from __future__ import annotations

from typing import Any

from events.trades import TradeRetold
from executor.pair.accounting import events_to_repeat
from executor.pair.messages import FillReport, FillsRead, Send
from executor.pair.order_updates import fill_key
from executor.pair.state import OWED_ORDERS, PAST_ORDERS
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import SIZE_E8, some_rules
from venues.contract import E8, Fill, OrderStatus

FEE_E8 = E8 // 1_000


def an_execution(send: Send, fill_id: str, size_e8: int, **changes: Any) -> Fill:
    """One execution of an order at its limit, as the venue lists it."""
    reported = Fill(
        fill_id, send.client_order_id, "v", send.leg, send.side, send.limit_price_e8, size_e8, FEE_E8, 0, 0
    )
    return reported._replace(**changes)


def closed_without_account(pair: Pair) -> Send:
    """A round trip whose last order is told to be filled, without its fee. Returns that order."""
    for send in pair.enter():
        pair.fill(send, fee_e8=FEE_E8)
    reported, untold = pair.exit()
    pair.fill(reported, fee_e8=FEE_E8)
    pair.reported(untold, OrderStatus.FILLED, SIZE_E8)
    pair.wait(pair.rules.accounting_wait_ns / 1e6 + 1)
    return untold


def listed(pair: Pair, send: Send, *fills: Fill) -> None:
    pair.feed(FillsRead(pair.at, send.client_order_id, fills))


def test_a_missing_fee_makes_a_result_an_estimate_and_its_arrival_corrects_it() -> None:
    pair = Pair()
    untold = closed_without_account(pair)
    (closed,) = pair.logged("trade_closed")
    assert closed["is_estimated"]
    assert closed["fees_e8"] == 3 * FEE_E8

    listed(pair, untold, an_execution(untold, "f1", SIZE_E8))

    (corrected,) = pair.logged("trade_corrected")
    assert corrected["trade_id"] == closed["trade_id"]
    assert (corrected["fees_e8"], corrected["fees_change_e8"]) == (4 * FEE_E8, FEE_E8)
    assert corrected["net_change_e8"] == corrected["net_e8"] - closed["net_e8"] == -FEE_E8
    assert (corrected["was_estimated"], corrected["is_estimated"]) == (True, False)


def test_a_price_that_was_reckoned_at_the_limit_is_corrected_too() -> None:
    """Bought cheaper than the limit, sold dearer: what the limit cost in the estimate comes back."""
    pair = Pair()
    untold = closed_without_account(pair)
    better_e8 = untold.limit_price_e8 - untold.side * E8

    listed(pair, untold, an_execution(untold, "f1", SIZE_E8, price_e8=better_e8))

    (corrected,) = pair.logged("trade_corrected")
    assert corrected["gross_change_e8"] == SIZE_E8


def test_executions_count_once_however_they_come() -> None:
    """Part heard, then all listed, then the rest heard after all."""
    pair = Pair()
    untold = closed_without_account(pair)
    half_e8 = SIZE_E8 // 2
    first, second = an_execution(untold, "f1", half_e8), an_execution(untold, "f2", SIZE_E8 - half_e8)

    def heard(fill: Fill) -> None:
        reported = FillReport(pair.at, untold.leg, untold.client_order_id, *fill[:1], *fill[5:8])
        pair.feed(reported)

    heard(first)
    listed(pair, untold, first, second, second)
    heard(second)
    heard(first)
    listed(pair, untold, first, second)

    assert pair.logged("trade_corrected")[-1]["fees_e8"] == 5 * FEE_E8
    assert not pair.logged("trade_corrected")[-1]["is_estimated"]
    assert sum(line["fees_change_e8"] for line in pair.logged("trade_corrected")) == 2 * FEE_E8


def test_a_list_that_lags_behind_changes_nothing() -> None:
    """It knows less than was heard: the fee of what it lacks must not be lost."""
    pair = Pair()
    untold = closed_without_account(pair)
    pair.execution(untold, "f1", SIZE_E8 - 1)

    listed(pair, untold)
    listed(pair, untold, an_execution(untold, "f2", 1))

    assert all(line["is_estimated"] for line in pair.logged("trade_corrected"))
    assert pair.state.legs[untold.leg].past[-1].fill_ids == (fill_key("f1"),)


def test_the_fee_of_an_open_trade_is_put_into_it() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first, fee_e8=FEE_E8)
    pair.reported(second, OrderStatus.FILLED, SIZE_E8)
    assert pair.logged("trade_opened")[-1].get("is_estimated")
    assert pair.logged("holding")[-1]["is_estimated"]
    assert not pair.logged("holding")[-1]["happened_outside"]

    listed(pair, second, an_execution(second, "f1", SIZE_E8))

    assert not pair.logged("trade_corrected")
    assert not pair.logged("holding")[-1]["is_estimated"]
    (corrected,) = pair.logged("leg_corrected")
    assert (corrected["fee_e8"], corrected.get("is_estimated")) == (FEE_E8, None)


def test_an_order_that_is_not_accounted_for_is_remembered_among_many_that_are() -> None:
    """An answer may take as long as many trades: by then the order must still be known."""
    pair = Pair()
    untold = closed_without_account(pair)
    for _ in range(PAST_ORDERS):
        for send in pair.confirm().enter():
            pair.fill(send, fee_e8=FEE_E8)
        for send in pair.exit():
            pair.fill(send, fee_e8=FEE_E8)
    assert len(pair.state.legs[untold.leg].past) == PAST_ORDERS + 1

    listed(pair, untold, an_execution(untold, "f1", SIZE_E8))

    assert len(pair.logged("trade_corrected")) == 1
    assert pair.state.legs[untold.leg].past[0].is_accounted


def test_what_nobody_ever_accounts_for_does_not_grow_without_end() -> None:
    pair = Pair()
    for _ in range(OWED_ORDERS + 2 * PAST_ORDERS):
        closed_without_account(pair.confirm())
    assert all(len(leg.past) <= OWED_ORDERS + PAST_ORDERS for leg in pair.state.legs)
    assert len(pair.state.closed) <= OWED_ORDERS + PAST_ORDERS + 1


def test_a_trade_begun_again_by_a_late_execution_keeps_what_it_had_earned() -> None:
    """An order written off executes after all: what follows is added to the trade, not put in its place."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first, fee_e8=FEE_E8)
    (unwind,) = pair.fill(second, 0) or pair.wait(1_000)
    pair.fill(unwind, fee_e8=FEE_E8)
    (before,) = pair.logged("trade_closed")
    (cover,) = pair.execution(second, "late", SIZE_E8) or pair.wait(1_000)
    pair.fill(cover, fee_e8=FEE_E8)

    after = pair.logged("trade_closed")[-1]

    assert after["trade_id"] == before["trade_id"]
    (known,) = pair.state.closed
    assert known.gross_e8 - known.fees_e8 == before["net_e8"] + after["net_e8"]


def test_the_next_life_tells_the_results_again() -> None:
    """The last one may have been killed between the state that has closed a trade and its line."""
    pair = Pair()
    closed_without_account(pair)
    (closed,) = pair.logged("trade_closed")

    reported = [
        event
        for event in events_to_repeat(pair.rules, pair.state, pair.now_mono_ns)
        if type(event) is TradeRetold
    ]

    (event,) = reported
    assert (event.trade_id, event.gross_e8, event.fees_e8, event.net_e8) == tuple(
        closed[name] for name in ("trade_id", "gross_e8", "fees_e8", "net_e8")
    )
    assert event.is_estimated
