"""The pair machine against venues that lag, forget, ask to be left alone or say everything twice.

Every test here is a way in which a leg was lost, doubled or left alone before it was closed.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from executor.pair.messages import (
    FlattenRequested,
    OperatorResumed,
    PositionRead,
    ReadPositions,
    Send,
    StreamBack,
)
from executor.pair.order import Order, OrderState, Purpose
from executor.pair.order_updates import FILL_IDS_MAX, fill_key
from executor.pair.pricing import NO_MARKET
from executor.pair.state import (
    OWED_ORDERS,
    PAST_ORDERS,
    STATE_BYTES_MAX,
    ClosedTrade,
    Halt,
    dump,
    load,
)
from executor.pair.transition import _remembered
from shm.layout import MACHINE_CAPACITY
from shm.records import PairPhase
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, MS, SIZE_E8, some_rules
from venues.contract import OrderStatus, Side


def order_of(pair: Pair, send: Send) -> Order:
    """What the pair knows of an order it has sent."""
    return next(
        order
        for order in (*pair.state.legs[send.leg].live, *pair.state.legs[send.leg].past)
        if order.client_order_id == send.client_order_id
    )


def test_reads_that_lag_behind_a_fill_do_not_make_a_hedged_pair_naked() -> None:
    """A venue's positions may be older than its fills. Two such reads were taken for a liquidation:
    the other leg was closed, and what then showed itself again was nobody's."""
    pair = Pair(some_rules(gone_reads_min=8)).hedged()

    assert not pair.read_twice(0, 0)
    assert not pair.wait(1_000)
    pair.read(0, SIZE_E8)

    assert not pair.wait(2_000)
    assert pair.phase() is PairPhase.HEDGED
    assert not pair.logged("reconcile_diff")


@pytest.mark.parametrize("is_other_leg_gone", [False, True])
def test_a_position_that_a_venue_had_ceased_to_show_is_taken_back(is_other_leg_gone: bool) -> None:
    """A venue that starts may show no positions for a while. Whatever that has led to, what shows
    itself again is ours: it is hedged still, or it goes."""
    pair = Pair(some_rules(gone_reads_min=3)).hedged()
    pair.read_twice(0, 0)
    if is_other_leg_gone:
        pair.now_mono_ns += pair.rules.query_interval_ns
        (unwind,) = pair.read(0, 0) or pair.wait(300)
        assert (unwind.leg, unwind.purpose) == (1, Purpose.UNWIND)
        pair.fill(unwind)
        assert pair.positions_e8 == (0, 0)
    sends = pair.read_twice(0, SIZE_E8) + pair.wait(600)

    if is_other_leg_gone:
        (back,) = sends
        assert (back.leg, back.purpose, back.reduce_only) == (0, Purpose.UNWIND, True)
        pair.fill(back)
        assert pair.phase() is PairPhase.FLAT
    else:
        assert not sends
        assert pair.phase() is PairPhase.HEDGED
    assert pair.state.halt is Halt.NONE


def test_what_shows_itself_too_late_or_too_large_is_not_ours() -> None:
    for late_ms, size_e8 in ((6_000, SIZE_E8), (0, SIZE_E8 + LOT_E8)):
        pair = Pair().hedged()
        for send in pair.read_twice(0, 0) or pair.wait(300):
            pair.fill(send)
        pair.wait(late_ms)
        pair.read_twice(0, size_e8)

        assert pair.state.halt is Halt.UNEXPLAINED


def test_a_venue_that_wants_to_be_left_alone_does_not_hold_up_the_other() -> None:
    """ "Too many requests, wait a minute" on the short leg: the long one is unwound at once."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)

    (unwind,) = pair.refuse_by_answer(second, retry_after_ms=60_000)

    assert (unwind.leg, unwind.purpose) == (0, Purpose.UNWIND)


def test_a_venue_is_not_left_alone_for_longer_than_a_position_may_wait() -> None:
    """The leg that has to go is on the venue that asks for an hour."""
    pair = Pair(some_rules(retry_after_max_ns=15_000_000_000)).hedged()
    first, second = pair.exit()
    pair.fill(second)
    assert not pair.refuse_by_answer(first, retry_after_ms=3_600_000)

    (again,) = pair.wait(15_000)

    assert (again.leg, again.reduce_only) == (0, True)
    assert pair.logged("halted")


def test_nothing_is_opened_while_a_venue_wants_to_be_left_alone() -> None:
    """The other leg would fill, and this one be refused again."""
    pair = Pair()
    orders = pair.enter()
    for send in orders:
        pair.refuse_by_answer(send, retry_after_ms=2_000)
    pair.wait(1_100)
    for send in orders:
        pair.unknown(send)
    for number in (0, 1):
        pair.read(number, 0)

    assert not pair.enter()
    assert pair.logged("signal_refused")[-1]["gate"] == "venue_wants_pause"
    pair.wait(900)
    assert len(pair.enter()) == 2


def test_a_naked_pair_that_cannot_even_be_tried_is_told_to_the_operator() -> None:
    """No price was ever seen, so no try can fail and be counted."""
    pair = Pair()
    first_leg, second_leg = (replace(leg, bid_e8=0, ask_e8=0) for leg in pair.state.legs)
    pair.state = replace(pair.state, legs=(first_leg, second_leg))
    pair.markets = (NO_MARKET, NO_MARKET)
    first, second = pair.enter()
    pair.fill(first)
    pair.refuse(second)

    assert not pair.wait(4_100)

    assert pair.phase() is PairPhase.HALTED
    assert pair.logged("halted")[0]["net_e8"] == SIZE_E8


def test_reads_that_say_something_else_each_time_do_not_hold_up_an_unwind() -> None:
    """Each surprise asked for a second read, for ever."""
    pair = Pair(some_rules(on_single_leg="unwind", reconcile_interval_ns=100_000_000))
    first, second = pair.enter()
    pair.fill(first)
    pair.read(0, 0)
    sends = pair.refuse(second)
    assert not sends
    for number in range(20):
        pair.now_mono_ns += 100_000_000
        sends += pair.read(0, number % 2 * LOT_E8)

    assert [send.purpose for send in sends] == [Purpose.UNWIND]


def test_executions_told_again_under_other_names_do_not_enlarge_a_fill() -> None:
    """A new life of the private stream may name the same execution anew."""
    pair = Pair()
    first, _ = pair.enter()
    pair.execution(first, "a", LOT_E8)
    pair.execution(first, "b", SIZE_E8)
    pair.execution(first, "c", SIZE_E8)

    assert pair.positions_e8[0] == SIZE_E8


def test_orders_of_many_executions_fit_the_journal() -> None:
    """A state that did not fit ended the process at every further execution."""
    pair = Pair(some_rules(layers_max=1))
    for trade in range(10):
        for enters in (True, False):
            for send in pair.enter() if enters else pair.exit():
                for number in range(200):
                    pair.execution(send, f"{send.client_order_id}{number:020d}", SIZE_E8 // 200)
                    assert len(dump(pair.state)) < STATE_BYTES_MAX, trade
                assert order_of(pair, send).filled_e8 == FILL_IDS_MAX * (SIZE_E8 // 200)
                pair.reported(send, OrderStatus.FILLED, SIZE_E8)
    assert pair.phase() is PairPhase.FLAT
    assert STATE_BYTES_MAX < MACHINE_CAPACITY


def test_the_largest_state_there_can_be_fits_its_place_in_memory() -> None:
    """As many orders as are remembered, each partly filled by as many executions as are counted singly, and
    every number as long as numbers get. It did not: 64 partly filled orders with ten executions each made
    a state that ended the executor at every write."""
    largest = 2**63 - 1
    order = Order(
        *(largest, 1, Side.BUY, largest, largest, True, Purpose.COMPLETE, largest, largest, largest, largest),
        state=OrderState.CANCELLED,
        due_mono_ns=largest,
        doubt_mono_ns=largest,
        venue_order_id="0x" + 80 * "a",
        reported_e8=largest - 1,
        reported_quote_e8=largest,
        reported_fee_e8=largest,
        fill_ids=tuple(fill_key(str(number)) for number in range(FILL_IDS_MAX)),
        fills_e8=largest - 1,
        fills_quote_e8=largest,
        fills_fee_e8=largest,
        counted_e8=largest,
        questions=largest,
        unknown_answers=largest,
        unknown_mono_ns=largest,
        late_denials=largest,
        retry_after_ns=largest,
    )
    pair = Pair().hedged()
    orders = PAST_ORDERS + OWED_ORDERS
    leg = replace(pair.state.legs[0], live=(order,), past=(order,) * orders)
    closed = (ClosedTrade(largest, 1, largest, largest, largest, True),) * (2 * orders + 1)

    state = replace(pair.state, legs=(leg, leg), closed=closed)

    assert len(_remembered((order,) * (orders + 1))) == orders
    assert load(dump(state)) == state
    assert len(dump(state)) < STATE_BYTES_MAX


def test_executions_past_those_counted_singly_are_counted_in_total_and_never_twice() -> None:
    pair = Pair()
    first, second = pair.enter()
    pair.fill(second)
    part_e8 = SIZE_E8 // 200
    for number in (*range(100), *range(100)):
        pair.execution(first, f"execution {number}", part_e8)
    assert order_of(pair, first).filled_e8 == FILL_IDS_MAX * part_e8

    pair.reported(first, OrderStatus.CANCELLED, 100 * part_e8)
    for number in range(100):
        pair.execution(first, f"execution {number}", part_e8)

    assert order_of(pair, first).filled_e8 == 100 * part_e8
    assert pair.positions_e8[0] == 100 * part_e8


def test_legs_that_somebody_closed_are_found_flat_however_often_closing_is_declined() -> None:
    """`kill` closed both legs while the executor hung; its own tries to close the second one were
    declined, each made the reads count anew, and a flat pair was HALTED."""
    pair = Pair(some_rules(gone_reads_min=8)).hedged()
    sends: list[Send] = []
    while not sends:
        sends = pair.read_twice(1, 0)
    assert pair.logged("reconcile_diff")
    assert pair.state.legs[1].position_e8 == 0

    _decline_until_flat(pair, leg=0, sends=sends)


def test_an_exit_that_is_declined_because_nothing_is_left_ends_flat() -> None:
    pair = Pair(some_rules(gone_reads_min=8)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    sends = pair.reported(second, OrderStatus.CANCELLED, 0)
    assert any(isinstance(command, ReadPositions) for command in pair.commands)

    _decline_until_flat(pair, leg=1, sends=sends)


def _decline_until_flat(pair: Pair, *, leg: int, sends: list[Send]) -> None:
    """Every order is refused, every read says that nothing is held."""
    for _ in range(60):
        for send in sends:
            assert (send.leg, send.reduce_only) == (leg, True)
            sends = pair.refuse(send)
        sends = [*sends, *pair.read(leg, 0)]
        sends += pair.wait(pair.rules.query_interval_ns / MS)
        if pair.phase() is PairPhase.FLAT:
            break
    assert pair.phase() is PairPhase.FLAT
    assert pair.state.halt is Halt.NONE
    assert pair.logged("trade_closed")


def test_a_close_that_is_declined_while_the_position_is_there_is_tried_on_and_halts() -> None:
    """The reads agree with what we know: nothing is waited for, and the operator hears of it."""
    pair = Pair(some_rules(gone_reads_min=8)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    sends = pair.refuse(second)
    tries = 0
    for _ in range(40):
        for send in sends:
            tries += 1
            sends = pair.refuse(send)
        sends = [*sends, *pair.read(1, -SIZE_E8), *pair.wait(100)]
    assert tries > pair.rules.max_retries
    assert pair.state.halt is Halt.NOT_MENDED


@pytest.mark.parametrize("is_declined_by_update", [False, True])
def test_reads_that_never_agree_do_not_keep_a_declined_close_from_being_tried(
    is_declined_by_update: bool,
) -> None:
    """Somebody's own order shrank the leg bit by bit and had ours declined: each read said something
    else, each moved the next try, and the other leg stood alone for good."""
    pair = Pair(some_rules(gone_reads_min=8, max_retries=3, max_unmended_ns=15_000 * MS)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    sends = [second]
    tries_mono_ns: list[int] = []
    for number in range(100):
        for send in sends:
            assert (send.leg, send.reduce_only) == (1, True)
            tries_mono_ns.append(pair.now_mono_ns)
            if is_declined_by_update:
                pair.reported(send, OrderStatus.CANCELLED, 0)
            else:
                pair.refuse(send)
        sends = pair.read(1, -(number % 2) * LOT_E8) + pair.wait(pair.rules.query_interval_ns / MS)

    waits_ms = [(late - soon) / MS for soon, late in pairwise(tries_mono_ns)]
    assert len(tries_mono_ns) > pair.rules.max_retries
    assert max(waits_ms) < 5_000, "eight reads that agree, and as many that do not count"
    assert pair.state.halt is Halt.NOT_MENDED


def test_reads_that_never_agree_do_not_keep_a_hedged_pair_from_being_closed() -> None:
    """Nothing is at risk, so they are waited for longer; not for ever: the operator wants it closed."""
    pair = Pair(some_rules(gone_reads_min=8)).hedged()
    pair.read(1, 0)
    sends = pair.feed(FlattenRequested(pair.at, "operator"))
    assert not sends
    asked_mono_ns = pair.now_mono_ns
    number = 0
    while not sends:
        number += 1
        sends = pair.read(1, -(number % 2) * LOT_E8) + pair.wait(pair.rules.query_interval_ns / MS)
        assert pair.now_mono_ns < asked_mono_ns + 2 * pair.rules.max_doubt_ns

    assert [(send.leg, send.purpose) for send in sends] == [(0, Purpose.EXIT), (1, Purpose.EXIT)]
    assert pair.now_mono_ns > asked_mono_ns + pair.rules.max_doubt_ns // 2


def test_a_leg_whose_fill_a_venue_does_not_show_yet_is_not_believed_gone() -> None:
    """The fill was told, the positions lagged by seconds, and so did what checks reduce-only: the leg
    was taken for closed by somebody, the pair for FLAT, and entries were allowed beside it."""
    rules = some_rules(
        gone_reads_min=8,
        max_retries=3,
        read_lag_ns=5_000 * MS,
        max_unmended_ns=15_000 * MS,
        on_single_leg="unwind",
    )
    pair = Pair(rules)
    first, second = pair.enter()
    pair.fill(first)
    filled_mono_ns = pair.now_mono_ns
    sends = pair.refuse(second)
    tries = 0
    while pair.now_mono_ns < filled_mono_ns + 4_000 * MS:
        for send in sends:
            tries += 1
            pair.refuse(send)
        sends = pair.read(0, 0) + pair.wait(pair.rules.query_interval_ns / MS)
        assert pair.positions_e8 == (SIZE_E8, 0)
        assert pair.phase() is PairPhase.REPAIRING
    assert tries > 1, "it may have been declined for another reason: it is tried on within max_naked_ns"

    sends = [*sends, *pair.read(0, SIZE_E8)]  # now the venue shows it, and it goes at once
    (unwind,) = sends
    pair.fill(unwind)
    assert pair.positions_e8 == (0, 0)
    assert not pair.logged("halted")


def test_a_leg_that_goes_right_after_its_fill_is_found_gone_once_reads_cannot_lag() -> None:
    pair = Pair(some_rules(gone_reads_min=8, read_lag_ns=3_000 * MS)).hedged()
    filled_mono_ns = pair.now_mono_ns
    sends: list[Send] = []
    while not sends:
        sends = pair.read(0, 0) + pair.wait(pair.rules.query_interval_ns / MS)
        assert pair.now_mono_ns < filled_mono_ns + 4_000 * MS

    assert pair.now_mono_ns >= filled_mono_ns + 3_000 * MS
    assert [(send.leg, send.purpose) for send in sends] == [(1, Purpose.UNWIND)]


@pytest.mark.parametrize("is_told_by_fill", [False, True])
@pytest.mark.parametrize("filled_e8", [SIZE_E8, LOT_E8])
def test_an_execution_told_after_its_leg_was_believed_gone_counts_once(
    is_told_by_fill: bool, filled_e8: int
) -> None:
    """ "Cancelled, nothing filled", then no position, then the fill: the leg went below nothing, and an
    order on the wrong side followed."""
    pair = Pair(some_rules(gone_reads_min=3, max_retries=3)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.reported(second, OrderStatus.CANCELLED, 0)
    while pair.positions_e8[1]:
        assert not pair.read_twice(1, 0)
    assert pair.phase() is PairPhase.FLAT

    sends = (
        pair.execution(second, "late", filled_e8)
        if is_told_by_fill
        else pair.reported(second, OrderStatus.CANCELLED, filled_e8)
    )

    assert not sends
    assert pair.positions_e8 == (0, 0)
    assert pair.asks_positions()
    assert not pair.state.legs[1].is_verified, "nothing is opened before the venue has said so again"
    assert not pair.read(1, 0)
    assert not pair.wait(5_000)
    assert pair.phase() is PairPhase.FLAT
    assert pair.state.legs[1].gone_e8 == filled_e8 - SIZE_E8
    assert pair.logged("reconcile_diff")[-1]["explained_by"] == second.client_order_id


def test_an_execution_of_an_order_sent_after_its_leg_was_believed_gone_is_its_own() -> None:
    """What was gone before an order was sent is not what that order has filled."""
    pair = Pair(some_rules(gone_reads_min=3, back_again_ns=600_000 * MS)).hedged()
    for send in pair.read_twice(1, 0) + pair.read_twice(1, 0):
        pair.fill(send)
    assert pair.positions_e8 == (0, 0)
    assert pair.state.legs[1].gone_e8 == -SIZE_E8
    for leg in (0, 1):
        pair.read_twice(leg, 0)
    for send in pair.hedged().exit():
        pair.fill(send)

    assert pair.positions_e8 == (0, 0)
    assert pair.state.legs[1].gone_e8 == -SIZE_E8


def test_a_position_is_not_adopted_while_an_order_that_may_be_in_it_is_under_way() -> None:
    """The read had the fill in it, the fill was told after it: taken for ours twice, closed on the wrong
    side."""
    pair = Pair(some_rules(gone_reads_min=8, max_retries=3)).hedged()
    first, second = pair.exit()
    pair.fill(first)
    pair.read_twice(0, LOT_E8)
    assert pair.state.halt is Halt.UNEXPLAINED
    pair.read(1, 0)  # the second leg's order has filled; nobody has told us

    assert not pair.feed(OperatorResumed(pair.at, adopt=True))
    assert pair.state.halt is Halt.UNEXPLAINED
    assert not pair.fill(second)
    assert pair.positions_e8 == (0, 0)
    pair.read(1, 0)
    pair.read(0, LOT_E8)
    (close,) = pair.feed(OperatorResumed(pair.at, adopt=True)) or pair.wait(2_000)
    assert (close.leg, close.side.name, close.size_e8) == (0, "SELL", LOT_E8)


def test_reads_counted_before_an_order_do_not_settle_what_it_did() -> None:
    """They stay counted while it is under way, since it may move nothing; its doubt makes them void."""
    pair = Pair(some_rules(gone_reads_min=8, equal_reads_min=2, max_retries=3)).hedged()
    pair.read_twice(0, SIZE_E8)
    assert pair.state.legs[0].reads > 1
    before_mono_ns = pair.now_mono_ns
    first, second = pair.exit()
    pair.fill(second)
    pair.wait(pair.rules.reply_timeout_ns / MS)  # not one word about the first
    assert pair.state.legs[0].reads == 0

    pair.feed(PositionRead(pair.at, 0, SIZE_E8, before_mono_ns))
    assert pair.state.legs[0].reads == 0, "asked before it was sent, answered late"
    while pair.now_mono_ns < _gone_mono_ns(pair, before_mono_ns):
        pair.unknown(first)
        pair.now_mono_ns += pair.rules.query_interval_ns
    assert pair.state.legs[0].live, "denied, and no position read since then: still in doubt"
    assert not pair.read(0, SIZE_E8)
    assert pair.state.legs[0].live, "one read is none"


def _gone_mono_ns(pair: Pair, sent_mono_ns: int) -> int:
    """When an order sent then can no longer come into being, and a little."""
    return sent_mono_ns + pair.rules.appear_ns + 2 * pair.rules.query_interval_ns


def test_a_new_dispute_is_waited_for_however_long_ago_the_last_one_began() -> None:
    """A dispute that a read has ended, or that a change has made void, does not shorten the next one."""
    for ends_by_read in (True, False):
        pair = Pair(some_rules(gone_reads_min=8)).hedged()
        pair.read(1, 0)
        if ends_by_read:
            pair.read(1, -SIZE_E8)
        else:
            pair.feed(StreamBack(pair.at, 1))
            assert not pair.state.legs[1].disputed_mono_ns
        pair.wait(2 * pair.rules.max_doubt_ns / MS)
        pair.read(0, SIZE_E8)
        assert not pair.read(1, 0)

        assert not pair.feed(FlattenRequested(pair.at, "operator"))
        (first, second) = pair.read(1, -SIZE_E8)
        assert (first.leg, second.leg) == (0, 1)
