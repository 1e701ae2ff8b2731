"""What is asked of the venues about orders and grids, and when."""

from __future__ import annotations

from msgspec.structs import replace

from executor.pair.messages import GridRead, ReadGrid
from executor.pair.order import ENDED, Order, OrderState, moved
from executor.pair.rules import PairRules
from executor.pair.state import Halt
from executor.pair.transition import Transition, halt


def doubt_grid(transition: Transition, leg: int) -> None:
    """A venue did not like a price or a size: what it takes by now is asked for before anything is opened."""
    now_mono_ns = transition.now_mono_ns
    doubted_mono_ns = transition.state.legs[leg].grid_doubted_mono_ns or now_mono_ns
    transition.change_leg(leg, grid_doubted_mono_ns=doubted_mono_ns, next_grid_mono_ns=now_mono_ns)


def on_grid_read(transition: Transition, event: GridRead) -> None:
    if event.asked_mono_ns >= transition.state.legs[event.leg].grid_doubted_mono_ns:
        transition.change_leg(event.leg, grid_doubted_mono_ns=0)


def ask_about_grids(transition: Transition) -> None:
    """Until the venue has published what it takes; a read that failed does not count."""
    for number, leg in enumerate(transition.state.legs):
        if leg.grid_doubted_mono_ns and transition.now_mono_ns >= leg.next_grid_mono_ns:
            next_mono_ns = transition.now_mono_ns + 2 * transition.rules.query_interval_ns
            transition.change_leg(number, next_grid_mono_ns=next_mono_ns)
            transition.others.append(ReadGrid(number))


def ask_about_silent_orders(transition: Transition) -> None:
    """Silence past the limit is doubt, and doubt asks, at growing intervals and without end.

    What is in doubt is cancelled, too, at once: what takes at once or not at all has no business
    being open, and what is gone for good cannot surprise anybody.
    """
    rules, now_mono_ns = transition.rules, transition.now_mono_ns
    for order in transition.live_orders():
        if order.state in ENDED or now_mono_ns < order.due_mono_ns:
            continue
        new = order
        if order.state in (OrderState.SENT, OrderState.OPEN):
            new = moved(order, OrderState.IN_DOUBT, now_mono_ns)
        if new.state is OrderState.IN_DOUBT and not new.questions:
            transition.cancel(new)
        _ask_about(transition, order, new)
        if now_mono_ns >= new.doubt_mono_ns + rules.max_doubt_ns and transition.state.halt is Halt.NONE:
            halt(transition, Halt.IN_DOUBT)


def _ask_about(transition: Transition, order: Order, new: Order) -> None:
    """Ask the venue about an order, and again a while later."""
    due_mono_ns = _next_question_mono_ns(transition.rules, new, transition.now_mono_ns)
    assert due_mono_ns >= transition.now_mono_ns, "a query is repeated later"
    new = replace(new, questions=new.questions + 1, due_mono_ns=due_mono_ns)
    transition.put(order, new)
    transition.query(new)


def _next_question_mono_ns(rules: PairRules, order: Order, now_mono_ns: int) -> int:
    """When a doubtful order is asked for again: at growing intervals, but closely where that can decide,
    from the very end of its validity on."""
    interval_ns = rules.query_interval_ns
    growing_ns = interval_ns << min(max(order.questions - rules.unknown_answers_min, 0), 3)
    if now_mono_ns < order.gone_mono_ns:
        return min(now_mono_ns + growing_ns, order.gone_mono_ns)
    may_decide = now_mono_ns < order.gone_mono_ns + rules.unknown_answers_min * interval_ns
    return now_mono_ns + (interval_ns if may_decide else growing_ns)


def ask_about_refusals(transition: Transition) -> None:
    """An answer that refuses may have been meant for another order: it is asked for by its name."""
    for order in transition.open_refusals():
        if transition.now_mono_ns >= order.due_mono_ns:
            _ask_about(transition, order, order)
