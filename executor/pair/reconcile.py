"""What position reads prove: that all is as expected, what a doubtful order did, or a surprise.

The venue is right about what is held; the journal says why. A difference is first laid to one of
our own orders whose amount is not the venue's own figure, then to somebody who closed a position of
ours, and what neither explains is reported and never touched.
"""

from __future__ import annotations

from events.positions import FlatConfirmed, NotFlat, PositionsRestored, ReconcileDiff
from executor.pair.messages import PositionRead, ReadPositions
from executor.pair.order import DOUBTFUL, Order, OrderState, after_count, after_difference
from executor.pair.order_updates import QUOTE_E8_MAX
from executor.pair.rules import PairRules
from executor.pair.state import (
    Halt,
    Leg,
    Plan,
    is_disputed,
    may_lag,
    next_client_order_id,
    shrinking_side,
    sign,
)
from executor.pair.transition import Transition, adopt_plan, halt
from venues.contract import E8, Side


def on_position_read(transition: Transition, event: PositionRead) -> None:
    leg = transition.state.legs[event.leg]
    if event.asked_mono_ns <= leg.changed_mono_ns:
        return  # it may be older than what we know
    is_as_expected = event.size_e8 == leg.position_e8
    disputed_mono_ns = 0 if is_as_expected else leg.disputed_mono_ns or event.asked_mono_ns
    transition.change_leg(event.leg, disputed_mono_ns=disputed_mono_ns)
    if leg.reads and event.size_e8 == leg.read_e8:
        if event.asked_mono_ns < leg.read_mono_ns + transition.rules.query_interval_ns:
            return
        transition.change_leg(event.leg, reads=leg.reads + 1, read_mono_ns=event.asked_mono_ns)
    else:
        transition.change_leg(event.leg, reads=1, read_e8=event.size_e8, read_mono_ns=event.asked_mono_ns)
    believe_reads(transition, event.leg)


def believe_reads(transition: Transition, number: int) -> None:
    """Draw what can be drawn from the position reads of a leg.

    One read that says what we expect is enough: two sources agree. A surprise must be repeated.
    """
    leg = transition.state.legs[number]
    if not leg.reads:
        return
    if not leg.live:
        if leg.read_e8 == leg.position_e8:
            _confirm_position(transition, number)
        elif leg.reads >= transition.rules.equal_reads_min:
            explain_difference(transition, number)
        return
    order = leg.live[0]
    if len(leg.live) > 1 or not position_may_settle(transition.rules, order, leg.reads, leg.read_mono_ns):
        return
    # What lies outside of what the order can have done is somebody else's doing: the reads that
    # follow will show it as a difference, with no order in the way.
    moved_e8 = (leg.read_e8 - leg.position_e8) * order.side
    filled_e8 = min(max(moved_e8, order.filled_e8), order.size_e8)
    assert order.state in DOUBTFUL, "only doubt is settled by a position"
    transition.change_leg(number, is_verified=filled_e8 == moved_e8)
    transition.put(order, after_count(order, filled_e8, transition.now_mono_ns))


def position_may_settle(rules: PairRules, order: Order, reads: int, read_mono_ns: int) -> bool:
    """Whether a doubtful order's amount may be read off the position.

    The order is over by the venue's own report; or the venue has denied it often enough, some of it, and
    the last read, so late that it can no longer come into being.
    """
    if order.state not in DOUBTFUL or reads < rules.equal_reads_min:
        return False
    if order.state is OrderState.UNCOUNTED:
        return True
    return (
        order.unknown_answers >= rules.unknown_answers_min
        and order.late_denials >= rules.late_denials_min
        and read_mono_ns >= order.gone_mono_ns
    )


def _confirm_position(transition: Transition, number: int) -> None:
    leg = transition.state.legs[number]
    if leg.is_to_confirm or not leg.is_verified:
        transition.change_leg(number, is_verified=True, is_to_confirm=False)
        # What is left of a trade that was closed is too small to be a position of it.
        event = PositionsRestored if leg.position_e8 and not leg.closed_trade_id else FlatConfirmed
        transition.report_leg(event, number, trade_id=leg.closed_trade_id, position_e8=leg.position_e8)
        transition.change_leg(number, closed_trade_id=0)
    if transition.state.halt is Halt.UNEXPLAINED and all(leg.is_verified for leg in transition.state.legs):
        transition.change(halt=Halt.NONE)  # whatever it was, it is gone


def explain_difference(transition: Transition, number: int) -> None:
    """The venue holds something else than we know: the venue is right. The journal says why."""
    leg = transition.state.legs[number]
    difference_e8 = leg.read_e8 - leg.position_e8
    assert leg.reads > 0
    assert difference_e8, "a read that says something else"
    facts = {
        "expected_e8": leg.position_e8,
        "position_e8": leg.read_e8,
        "difference_e8": difference_e8,
    }
    for order in reversed(leg.past):
        if order.state is OrderState.FILLED:
            continue  # what is missing of it was sold by somebody
        filled_e8 = order.filled_e8 + difference_e8 * order.side
        reported_e8 = max(order.reported_e8, order.fills_e8)
        if not order.is_certain and reported_e8 <= filled_e8 <= order.size_e8:
            transition.report_leg(ReconcileDiff, number, **facts, explained_by=order.client_order_id)
            _report_not_flat(transition, number)
            transition.put(order, after_difference(order, filled_e8, transition.now_mono_ns))
            transition.change_leg(number, is_verified=True)
            return
    is_smaller = leg.position_e8 * leg.read_e8 >= 0 and abs(leg.read_e8) < abs(leg.position_e8)
    if is_smaller:
        if leg.reads < transition.rules.gone_reads_min or may_lag(transition.rules, leg):
            return
        # Liquidated, deleveraged, or closed by hand. Not ours to open again: the other leg goes.
        transition.report_leg(ReconcileDiff, number, **facts, explained_by="closed outside")
        transition.change_leg(
            number, gone_e8=leg.gone_e8 - difference_e8, gone_mono_ns=transition.now_mono_ns
        )
        _follow_venue(transition, number)
        return
    if may_lag(transition.rules, leg):
        return  # what the last fill closed may still be shown
    _report_not_flat(transition, number)
    if is_back_again(transition.rules, leg, difference_e8, transition.now_mono_ns):
        transition.report_leg(ReconcileDiff, number, **facts, explained_by="back again")
        transition.change_leg(number, gone_e8=leg.gone_e8 - difference_e8)
        _follow_venue(transition, number)
        return
    transition.change_leg(number, is_verified=False)
    if transition.state.halt is not Halt.UNEXPLAINED:
        transition.report_leg(ReconcileDiff, number, **facts, explained_by=None)
        halt(transition, Halt.UNEXPLAINED)


def _report_not_flat(transition: Transition, number: int) -> None:
    """Report a trade whose close the venue does not show."""
    leg = transition.state.legs[number]
    if leg.closed_trade_id:
        transition.report_leg(NotFlat, number, trade_id=leg.closed_trade_id, position_e8=leg.read_e8)
        transition.change_leg(number, closed_trade_id=0)


def is_back_again(rules: PairRules, leg: Leg, difference_e8: int, now_mono_ns: int) -> bool:
    """Whether what a venue shows is what it had ceased to show a while ago: it was ours and still is."""
    is_part = leg.gone_e8 * difference_e8 > 0 and abs(difference_e8) <= abs(leg.gone_e8)
    return is_part and now_mono_ns < leg.gone_mono_ns + rules.back_again_ns


def _follow_venue(transition: Transition, number: int) -> None:
    """Believe the venue about a position of ours; a difference that this makes is only ever unwound."""
    take_position(transition, number, transition.state.legs[number].read_e8)
    transition.change_leg(number, is_verified=True)
    if transition.state.plan is not Plan.EXIT:
        adopt_plan(transition, Plan.UNWIND)


def take_position(transition: Transition, number: int, position_e8: int) -> None:
    """Take the venue's position for ours; what it cost can only be estimated."""
    leg = transition.state.legs[number]
    difference_e8 = position_e8 - leg.position_e8
    if not difference_e8:
        return
    direction = sign(position_e8) * (1 if number == 0 else -1)
    transition.ensure_trade(next_client_order_id(transition.rules, transition.state, 0), direction or 1)
    side = shrinking_side(-difference_e8)
    touch_e8 = leg.ask_e8 if side is Side.BUY else leg.bid_e8
    transition.book(
        number, side, abs(difference_e8), min(abs(difference_e8) * touch_e8 // E8, QUOTE_E8_MAX), 0
    )
    transition.change_trade(is_estimated=True)
    transition.change_leg(number, position_e8=position_e8)
    transition.distrust_reads(number)


def own_late_close(transition: Transition, old: Order, new: Order) -> None:
    """What was believed to be closed by somebody else was closed by an order of ours, which says so late.

    The position has followed the venue already: that is taken back, for what ``new`` reports to move it.
    """
    leg = transition.state.legs[old.leg]
    reported_e8 = new.signed_filled_e8 - old.signed_filled_e8
    is_explained = leg.gone_e8 * reported_e8 < 0 and old.reduce_only and old.sent_mono_ns < leg.gone_mono_ns
    if not is_explained or transition.now_mono_ns >= leg.gone_mono_ns + transition.rules.back_again_ns:
        return
    taken_back_e8 = min(abs(reported_e8), abs(leg.gone_e8)) * sign(leg.gone_e8)
    assert taken_back_e8
    assert abs(taken_back_e8) <= abs(leg.gone_e8), "no more comes back than went"
    transition.report_leg(
        ReconcileDiff,
        old.leg,
        expected_e8=leg.position_e8,
        position_e8=leg.position_e8,
        difference_e8=taken_back_e8,
        explained_by=old.client_order_id,
    )
    transition.ensure_trade(old.trade_id, -old.side if old.leg == 0 else old.side)
    transition.change_leg(old.leg, gone_e8=leg.gone_e8 - taken_back_e8)
    take_position(transition, old.leg, leg.position_e8 + taken_back_e8)
    transition.doubt_position(old.leg)


def note_unconfirmed_positions(transition: Transition) -> None:
    state = transition.state
    unverified_mono_ns = 0
    if not all(leg.is_verified for leg in state.legs):
        unverified_mono_ns = state.unverified_mono_ns or transition.now_mono_ns
    if unverified_mono_ns != state.unverified_mono_ns:
        transition.change(unverified_mono_ns=unverified_mono_ns)


def read_positions_when_due(transition: Transition) -> None:
    """Ask for positions: often while something hangs on them, now and then otherwise."""
    rules, state, now_mono_ns = transition.rules, transition.state, transition.now_mono_ns
    is_halted = state.halt is not Halt.NONE
    is_waited_for = any(leg.is_to_confirm or not leg.is_verified for leg in state.legs) or any(
        order.state in DOUBTFUL for leg in state.legs for order in leg.live
    )
    # Once HALTED, every try is followed by a look at what it did: somebody else may have mended it.
    is_unread = is_halted and not all(leg.reads for leg in state.legs)
    if is_unread or any(is_disputed(leg) for leg in state.legs) or (is_waited_for and not is_halted):
        interval_ns = rules.query_interval_ns
    else:
        interval_ns = rules.slow_interval_ns if is_halted else rules.reconcile_interval_ns
    next_mono_ns = min(state.next_read_mono_ns, now_mono_ns + interval_ns)
    if now_mono_ns >= next_mono_ns:
        transition.others.append(ReadPositions())
        next_mono_ns = now_mono_ns + interval_ns
    if next_mono_ns != state.next_read_mono_ns:
        transition.change(next_read_mono_ns=next_mono_ns)
