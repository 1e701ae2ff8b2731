"""What to send next, once no order is under way: close, complete, unwind, or nothing.

Each guard the machine's promises rest on is one small named function here or in ``machine``; the
mutation tests switch them off one by one and must see a promise broken.
"""

from __future__ import annotations

from typing import NamedTuple

from events.orders import LegAutoClose, OrderRetry
from events.positions import HedgeDrift
from executor.pair.order import Purpose
from executor.pair.pricing import (
    Costs,
    average_price_e8,
    closable_e8,
    in_other_currency_e8,
    limit_price_e8,
    mending_costs,
    openable_e8,
    price_to_take_e8,
)
from executor.pair.rules import PairRules
from executor.pair.state import (
    HEDGE_DRIFT,
    Halt,
    Leg,
    PairState,
    Plan,
    Trade,
    has_live_order,
    is_disputed,
    is_flat,
    is_naked,
    may_lag,
    net_e8,
    next_client_order_id,
    shrinking_side,
    sign,
)
from executor.pair.transition import (
    Transition,
    adopt_plan,
    exposure,
    halt,
    has_closed_nothing,
    have_confirmed,
    is_grid_known,
    leg_is_ready,
)
from venues.contract import E8, Side

_PURPOSE = {Plan.COMPLETE: Purpose.COMPLETE, Plan.UNWIND: Purpose.UNWIND, Plan.EXIT: Purpose.EXIT}


def plan_next(transition: Transition) -> None:
    """Send what the pair needs now, or settle down when it needs nothing."""
    if must_keep_still(transition.state):
        return
    if (
        is_unmended(transition.rules, transition.state, transition.now_mono_ns)
        and transition.state.halt is Halt.NONE
    ):
        halt(transition, Halt.NOT_MENDED)
    if transition.state.flatten and not is_flat(transition.rules, transition.state):
        adopt_plan(transition, Plan.EXIT)
    elif has_drifted_for_too_long(transition.rules, transition.state, transition.now_mono_ns):
        _close_what_drifted(transition)
    if transition.state.plan is Plan.EXIT:
        _close(transition)
    elif is_naked(transition.rules, transition.state) and not is_flat(transition.rules, transition.state):
        _mend(transition)
    else:
        if transition.state.plan in (Plan.COMPLETE, Plan.UNWIND):
            have_confirmed(transition)
        adopt_plan(transition, Plan.NONE)


def note_hedge_drift(transition: Transition) -> None:
    """Remember since when the legs differ by more than a pair may be held with."""
    rules, state = transition.rules, transition.state
    is_drifted = rules.hedge_drift_bps_max > 0 and _is_beyond_drift(rules, state)
    drift_mono_ns = (state.drift_mono_ns or transition.now_mono_ns) if is_drifted else 0
    if drift_mono_ns != state.drift_mono_ns:
        transition.change(drift_mono_ns=drift_mono_ns)


def _is_beyond_drift(rules: PairRules, state: PairState) -> bool:
    first_e8, second_e8 = (leg.held_e8 for leg in state.legs)
    larger_e8 = max(abs(first_e8), abs(second_e8))
    is_beyond = 10_000 * abs(first_e8 + second_e8) > rules.hedge_drift_bps_max * larger_e8
    return is_beyond and not is_flat(rules, state)


def has_drifted_for_too_long(rules: PairRules, state: PairState, now_mono_ns: int) -> bool:
    return may_close_for_drift(state) and now_mono_ns >= state.drift_mono_ns + rules.hedge_drift_ns_max


def may_close_for_drift(state: PairState) -> bool:
    """Whether the legs' difference has both of them closed, once it has lasted."""
    return state.drift_mono_ns > 0 and state.halt is Halt.NONE and state.plan is not Plan.EXIT


def _close_what_drifted(transition: Transition) -> None:
    rules, state = transition.rules, transition.state
    larger_e8 = max(abs(leg.held_e8) for leg in state.legs)
    assert larger_e8 > 0, "only what is held drifts"
    transition.report(
        HedgeDrift,
        drift_bps=round(10_000 * abs(net_e8(state)) / larger_e8, 1),
        limit_bps=rules.hedge_drift_bps_max,
        drift_ms=(transition.now_mono_ns - state.drift_mono_ns) / 1e6,
        **exposure(transition),
    )
    transition.change(drift_mono_ns=transition.now_mono_ns)  # should it not close, it is tried again then
    trade_to_close(transition)
    transition.change_trade(exit_reason=HEDGE_DRIFT)
    adopt_plan(transition, Plan.EXIT)


def must_keep_still(state: PairState) -> bool:
    """No new order while one is under way or in doubt, or while a position is unexplained."""
    return has_live_order(state) or state.halt is Halt.UNEXPLAINED


def is_overdue(rules: PairRules, state: PairState, now_mono_ns: int) -> bool:
    """Whether the pair was naked for longer than it may be."""
    return state.naked_mono_ns > 0 and now_mono_ns >= state.naked_mono_ns + rules.max_naked_ns


def is_unmended(rules: PairRules, state: PairState, now_mono_ns: int) -> bool:
    """Whether the operator must hear of a naked pair, though no try has failed: none could be made."""
    return is_mendable(rules, state) and now_mono_ns >= state.naked_mono_ns + rules.max_unmended_ns


def is_mendable(rules: PairRules, state: PairState) -> bool:
    """Whether the legs differ by something that an order can change."""
    return state.naked_mono_ns > 0 and is_naked(rules, state) and not is_flat(rules, state)


def _close(transition: Transition) -> None:
    """Close both legs, again and again until they are flat."""
    rules, state = transition.rules, transition.state
    if is_flat(rules, state):
        adopt_plan(transition, Plan.NONE)
        return
    if retries_are_used_up(rules, state):
        if not is_naked(rules, state) and not state.flatten:
            # Still hedged: nothing is at risk, and the detector will ask again.
            transition.report(OrderRetry, attempt=state.attempt, limit=rules.max_retries, given_up=True)
            adopt_plan(transition, Plan.NONE)
            return
        halt(transition, Halt.NOT_MENDED)
    if not _may_try(transition):
        return
    orders = []
    for number, leg in enumerate(state.legs):
        size_e8 = closable_leg_e8(rules, state, number)
        assert size_e8 <= abs(leg.held_e8), "a close never goes past flat"
        if size_e8:
            orders.append(RepairOrder(number, shrinking_side(leg.held_e8), size_e8))
    _try(transition, tuple(orders), None)


def _mend(transition: Transition) -> None:
    """Bring the legs together by completing the shorter or unwinding the longer one."""
    rules, state = transition.rules, transition.state
    unwind, complete = unwinding_order(rules, state), completing_order(rules, state)
    if complete is not None and not may_complete(transition):
        complete = None
    if complete is None and unwind is None:
        # The difference is below the longer venue's minimum, the position is not: close all of it.
        adopt_plan(transition, Plan.EXIT)
        _close(transition)
        return
    plan, costs = Plan.UNWIND, None
    if complete is not None:
        plan, costs = _cheaper(transition, complete, unwind)
    adopt_plan(transition, plan)
    if plan is Plan.UNWIND and retries_are_used_up(rules, transition.state):
        halt(transition, Halt.NOT_MENDED)
    order = complete if plan is Plan.COMPLETE else unwind
    assert order is not None
    if _may_try(transition):
        _try(transition, (order,), costs)


def closable_leg_e8(rules: PairRules, state: PairState, number: int) -> int:
    """How much of a leg one order can close."""
    return closable_e8(rules.instruments[number], abs(state.legs[number].held_e8))


class RepairOrder(NamedTuple):
    """An order the pair needs, before it has a price."""

    leg: int
    side: Side
    size_e8: int


def unwinding_order(rules: PairRules, state: PairState) -> RepairOrder | None:
    """Shrink the longer leg; None when its venue takes no order that small."""
    net = net_e8(state)
    number = _longer_leg(state)
    instrument, leg, side = rules.instruments[number], state.legs[number], shrinking_side(net)
    size_e8 = closable_e8(instrument, min(abs(net), abs(leg.held_e8)))
    assert size_e8 <= abs(net), "an unwind never goes past hedged"
    touch_e8 = leg.ask_e8 if side is Side.BUY else leg.bid_e8
    if size_e8 < abs(leg.held_e8) and touch_e8 and not openable_e8(instrument, size_e8, touch_e8):
        return None  # only what closes the whole position may be worth less than the minimum
    return RepairOrder(number, side, size_e8) if size_e8 else None


def completing_order(rules: PairRules, state: PairState) -> RepairOrder | None:
    """Grow the shorter leg; None when its venue takes no order that small, or it is no hedge."""
    net = net_e8(state)
    number = 1 - _longer_leg(state)
    leg, side = state.legs[number], shrinking_side(net)
    if leg.held_e8 * net > 0:
        return None
    band_bps = rules.price_band_bps_max  # the notional must suffice even at the worst price
    touch_e8 = leg.ask_e8 if side is Side.BUY else leg.bid_e8
    if not touch_e8:
        return None
    price_e8 = min(touch_e8, limit_price_e8(rules.instruments[number], side, touch_e8, band_bps))
    size_e8 = openable_e8(rules.instruments[number], abs(net), price_e8)
    assert size_e8 <= abs(net), "a completion never goes past hedged"
    return RepairOrder(number, side, size_e8) if size_e8 else None


def may_complete(transition: Transition) -> bool:
    """Completing goes on with an entry: never later, never too often, never too late, and never on top of
    an order that was refused by an answer alone."""
    rules, state = transition.rules, transition.state
    tries = state.attempt if state.plan is Plan.COMPLETE else 0
    shorter = state.legs[1 - _longer_leg(state)]
    overdue_mono_ns = (state.naked_mono_ns or transition.now_mono_ns) + rules.max_naked_ns
    return (
        state.plan in (Plan.ENTRY, Plan.COMPLETE)
        and state.halt is Halt.NONE
        and not state.flatten
        and tries < rules.max_retries
        and max(transition.now_mono_ns, shorter.not_before_mono_ns) < overdue_mono_ns
        and all(leg_is_ready(rules, leg) for leg in state.legs)
    )


def retries_are_used_up(rules: PairRules, state: PairState) -> bool:
    return state.halt is Halt.NONE and state.attempt > rules.max_retries


def next_try_mono_ns(rules: PairRules, state: PairState) -> int:
    """When the plan's next order may be sent at the earliest."""
    if state.halt is not Halt.NONE:
        wait_ns = rules.slow_interval_ns
    elif state.plan is Plan.COMPLETE or state.attempt:
        wait_ns = rules.retry_delay_ns
    else:
        wait_ns = 0
    due_mono_ns = state.settled_mono_ns + wait_ns
    for number in _legs_to_trade(rules, state):
        leg = state.legs[number]
        due_mono_ns = max(due_mono_ns, leg.not_before_mono_ns)
        if not is_grid_known(leg):
            # The same price would be refused again. Should the venue not say what it takes, it is tried.
            due_mono_ns = max(due_mono_ns, leg.grid_doubted_mono_ns + rules.max_naked_ns)
    if state.unverified_mono_ns:
        # Reduce-only orders cannot make an unconfirmed position worse, so this wait is bounded.
        due_mono_ns = max(due_mono_ns, state.unverified_mono_ns + rules.max_naked_ns)
    for leg in state.legs:
        if is_disputed(leg):
            # The next read decides; if none comes, or time is up, it is not waited for.
            decided_mono_ns = leg.read_mono_ns + 2 * rules.query_interval_ns
            due_mono_ns = max(due_mono_ns, min(decided_mono_ns, _reads_given_up_mono_ns(rules, state, leg)))
    return due_mono_ns


def _reads_given_up_mono_ns(rules: PairRules, state: PairState, leg: Leg) -> int:
    """Until when reads that dispute what a leg holds are waited for, though each may say something else."""
    if not state.naked_mono_ns:
        return leg.disputed_mono_ns + rules.max_doubt_ns
    since_mono_ns, wait_ns = state.naked_mono_ns, rules.max_naked_ns
    if leg.past and has_closed_nothing(leg.past[-1]):
        # The venue, too, did not close it: asking for the same at once, again and again, would use up
        # the tries while the reads that explain it add up.
        since_mono_ns = max(since_mono_ns, state.settled_mono_ns)
        if not may_lag(rules, leg):
            wait_ns = max(wait_ns, 2 * rules.gone_reads_min * rules.query_interval_ns)
    return since_mono_ns + wait_ns


def _legs_to_trade(rules: PairRules, state: PairState) -> tuple[int, ...]:
    """Where the plan's next orders go: one venue that wants to be left alone must not hold up the other."""
    if state.plan is Plan.UNWIND:
        return (_longer_leg(state),)
    if state.plan is Plan.COMPLETE:
        return (1 - _longer_leg(state),)
    return tuple(number for number in (0, 1) if closable_leg_e8(rules, state, number))


def _longer_leg(state: PairState) -> int:
    """The leg whose position points where the pair's net position points."""
    net = net_e8(state)
    return 0 if state.legs[0].held_e8 * sign(net) >= state.legs[1].held_e8 * sign(net) else 1


def _may_try(transition: Transition) -> bool:
    return transition.now_mono_ns >= next_try_mono_ns(transition.rules, transition.state)


def _cheaper(
    transition: Transition, complete: RepairOrder, unwind: RepairOrder | None
) -> tuple[Plan, Costs | None]:
    """Choose by configuration, or by the expected cost of both from the books as they are."""
    rules = transition.rules
    costs = None
    if unwind is not None and all(market.is_valid for market in transition.markets):
        costs = mending_costs(
            long_leg_side=unwind.side.opposite,
            held_price_e8=_held_price_e8(transition, unwind),
            complete_price_e8=in_other_currency_e8(
                complete.leg,
                price_to_take_e8(transition.markets[complete.leg], complete.side, complete.size_e8),
                transition.rate_e8,
            ),
            unwind_price_e8=price_to_take_e8(transition.markets[unwind.leg], unwind.side, unwind.size_e8),
            size_e8=unwind.size_e8,
            fees_bps=(rules.taker_fees_bps[complete.leg], rules.taker_fees_bps[unwind.leg]),
            later_exit_bps=rules.later_exit_bps,
        )
    if unwind is None or rules.on_single_leg == "complete":
        return Plan.COMPLETE, costs
    if rules.on_single_leg == "unwind":
        return Plan.UNWIND, costs
    if costs is None:  # a price is missing: the way that needs only the market that is there
        is_priced = transition.markets[complete.leg].is_valid
        return (Plan.COMPLETE if is_priced else Plan.UNWIND), None
    return (Plan.COMPLETE if costs.complete_e8 <= costs.unwind_e8 else Plan.UNWIND), costs


def _held_price_e8(transition: Transition, unwind: RepairOrder) -> int:
    """Average price at which the longer leg was built; its touch when that is not known."""
    trade = transition.state.trade
    leg = transition.state.legs[unwind.leg]
    if trade is not None:
        book = trade.books[unwind.leg]
        if unwind.side is Side.SELL and book.bought_e8:
            return average_price_e8(book.bought_quote_e8, book.bought_e8)
        if unwind.side is Side.BUY and book.sold_e8:
            return average_price_e8(book.sold_quote_e8, book.sold_e8)
    return leg.bid_e8 if unwind.side is Side.SELL else leg.ask_e8


def _try(transition: Transition, orders: tuple[RepairOrder, ...], costs: Costs | None) -> None:
    """Send one batch of the plan, or wait if a leg has no price to be limited by."""
    rules, state = transition.rules, transition.state
    touches = [_touch_e8(transition, order) for order in orders]
    if not all(touches):
        return
    assert 0 < len(orders) <= 2, "a batch is one or both legs"
    for order in orders:
        grid = rules.instruments[order.leg]
        assert order.size_e8 > 0
        assert order.size_e8 % grid.lot_e8 == 0, "an order is on its venue's grid"
    trade = trade_to_close(transition)
    is_completing = state.plan is Plan.COMPLETE
    attempt = state.attempt + 1 if is_completing else state.attempt
    band_bps = band_of_attempt_bps(transition, attempt)
    retry = OrderRetry if attempt else None  # the first try to close a hedged pair is none
    event = LegAutoClose if state.plan is Plan.UNWIND else retry
    for order, touch_e8 in zip(orders, touches, strict=True):
        limit_e8 = limit_price_e8(rules.instruments[order.leg], order.side, touch_e8, band_bps)
        if event is not None:
            transition.report_leg(
                event,
                order.leg,
                side=order.side.name,
                purpose=_PURPOSE[state.plan].name.lower(),
                size_e8=order.size_e8,
                limit_price_e8=limit_e8,
                attempt=attempt,
                limit=rules.max_retries,
                complete_cost_e8=costs.complete_e8 if costs else None,
                unwind_cost_e8=costs.unwind_e8 if costs else None,
            )
        transition.send(
            leg=order.leg,
            side=order.side,
            size_e8=order.size_e8,
            limit_price_e8=limit_e8,
            purpose=_PURPOSE[state.plan],
            attempt=attempt,
            trade_id=trade.trade_id,
        )
    transition.change(attempt=state.attempt + 1)
    if event is not None:
        transition.change_trade(retries=trade.retries + 1)


def trade_to_close(transition: Transition) -> Trade:
    """The trade whose orders come next.

    What was too small to be closed belongs to none. Should its venue take smaller orders by now, it is
    closed under a new name; what it cost can only be estimated.
    """
    if transition.state.trade is not None:
        return transition.state.trade
    legs = transition.state.legs
    direction = sign(legs[0].held_e8) or -sign(legs[1].held_e8)
    transition.ensure_trade(next_client_order_id(transition.rules, transition.state, 0), direction)
    for number, leg in enumerate(legs):
        value_e8 = abs(leg.held_e8) * (leg.bid_e8 or leg.ask_e8) // E8
        transition.book(number, shrinking_side(-leg.held_e8), abs(leg.held_e8), value_e8, 0)
    transition.change_trade(is_estimated=True)
    assert transition.state.trade is not None
    return transition.state.trade


def band_of_attempt_bps(transition: Transition, attempt: int) -> float:
    """How far from the touch a try may trade: wider with every try, faster when time is up."""
    rules, state = transition.rules, transition.state
    assert attempt >= 0, "a first try is the one without a number"
    is_urgent = state.halt is not Halt.NONE or is_overdue(rules, state, transition.now_mono_ns)
    steps = 2 * (attempt + 1) if is_urgent else attempt
    return min(rules.price_band_bps + rules.widen_bps * steps, rules.price_band_bps_max)


def _touch_e8(transition: Transition, order: RepairOrder) -> int:
    """The price the order's limit counts from; 0 when there is none to go by.

    A leg that must go does not wait for its feed: the last known touch serves then.
    """
    state = transition.state
    market = transition.markets[order.leg]
    if market.is_valid:
        return market.ask_e8 if order.side is Side.BUY else market.bid_e8
    must_go = state.flatten or state.halt is not Halt.NONE
    if not must_go and not is_overdue(transition.rules, state, transition.now_mono_ns):
        return 0
    leg = state.legs[order.leg]
    return leg.ask_e8 if order.side is Side.BUY else leg.bid_e8
