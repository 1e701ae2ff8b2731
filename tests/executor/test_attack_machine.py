"""The pair machine against venues that lag, forget, ask to be left alone or say everything twice.

Every test here is a way in which a leg was lost, doubled or left alone before it was closed.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from executor.messages import NO_MARKET, Purpose, ReadPositions, Send
from executor.state import STATE_BYTES_MAX, Halt, dump
from shm.memory import MACHINE_CAPACITY
from shm.records import PairPhase
from tests.executor.pair_driver import Pair
from tests.executor.pair_world import LOT_E8, MS, SIZE_E8, some_rules
from venues.contract import OrderStatus


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

    (unwind,) = pair.refuse(second, retry_after_ms=60_000)

    assert (unwind.leg, unwind.purpose) == (0, Purpose.UNWIND)


def test_a_venue_is_not_left_alone_for_longer_than_a_position_may_wait() -> None:
    """The leg that has to go is on the venue that asks for an hour."""
    pair = Pair(some_rules(retry_after_max_ns=15_000_000_000)).hedged()
    first, second = pair.exit()
    pair.fill(second)
    assert not pair.refuse(first, retry_after_ms=3_600_000)

    (again,) = pair.wait(15_000)

    assert (again.leg, again.reduce_only) == (0, True)
    assert pair.logged("halted")


def test_nothing_is_opened_while_a_venue_wants_to_be_left_alone() -> None:
    """The other leg would fill, and this one be refused again."""
    pair = Pair()
    for send in pair.enter():
        pair.refuse(send, retry_after_ms=2_000)
    pair.wait(1_000)

    assert not pair.enter()
    assert pair.logged("signal_refused")[-1]["gate"] == "venue_wants_pause"
    pair.wait(1_001)
    assert len(pair.enter()) == 2


def test_a_short_wait_is_waited_for_before_completing() -> None:
    """One second of Retry-After is within the time a pair may be naked."""
    pair = Pair(some_rules(on_single_leg="complete"))
    first, second = pair.enter()
    pair.fill(first)
    assert not pair.refuse(second, retry_after_ms=1_000)
    assert not pair.wait(990)

    (complete,) = pair.wait(20)

    assert complete.purpose is Purpose.COMPLETE


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
    assert pair.phase() is PairPhase.FLAT
    assert STATE_BYTES_MAX < MACHINE_CAPACITY


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
    sends = pair.told(second, OrderStatus.CANCELLED, 0)
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
