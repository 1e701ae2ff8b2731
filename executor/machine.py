"""The pair machine: ``step(rules, state, event) -> (state, commands)``, a pure function.

No clock, no socket, no randomness: the same state and event give the same answer, live, in the
exhaustive exploration and in a replay. One step is always the same five things:

1. take in what the event says: an order's fate, a position, a wish;
2. ask about orders that have been silent for too long;
3. move orders that ended into the position;
4. plan: send what the pair needs, if and only if nothing is under way or in doubt;
5. tell: naked time, trade, phase, view.

The phases and their drawing are in ``state``, the life of an order in ``orders``, the choice
between completing and unwinding in ``plans``.

What is promised, whatever the venues do, in whatever order they say it:

- no order is sent while another one of the pair is under way or in doubt (a batch counts as one);
- doubt about an order ends with the venue's word, or with its spaced and repeated "no such order"
  past the order's validity *and* a position that did not move; if that verdict turns out wrong
  after all, the late execution is taken in and mended like any other;
- amounts filled come from the venue; a message told twice counts once;
- an order that shrinks a position is reduce-only, and only an entry and its completion grow one;
- at rest the pair is flat, hedged, or HALTED with its exposure in the alert.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from executor.messages import (
    Acked,
    Command,
    Enter,
    EntriesAllowed,
    EntriesStopped,
    Event,
    Exit,
    FillTold,
    FlattenRequested,
    OperatorResumed,
    OrderTold,
    PositionRead,
    Purpose,
    QueryAnswered,
    ReadPositions,
    Restarted,
    SendFailed,
    StreamBack,
    StreamLost,
    Tick,
)
from executor.orders import (
    DOUBTFUL,
    ENDED,
    Order,
    OrderState,
    after_ack,
    after_count,
    after_fill,
    after_not_sent,
    after_told,
    after_unknown,
    moved,
)
from executor.plans import (
    adopt_plan,
    halt,
    has_live_order,
    is_disputed,
    next_try_mono_ns,
    plan_next,
)
from executor.pricing import limit_price_e8, openable_e8
from executor.state import (
    SEQUENCE_BITS,
    SEQUENCES_KEPT,
    Halt,
    PairRules,
    PairState,
    Plan,
    Trade,
    check_epoch,
    is_flat,
    next_client_order_id,
    shrinking_side,
    sign,
)
from executor.telling import close_books, tell
from executor.turn import Turn, leg_is_ready
from venues.contract import E8, OrderStatus, Side


def step(rules: PairRules, state: PairState, event: Event) -> tuple[PairState, list[Command]]:
    """Take in one event; return the new state and what to do, sends first."""
    turn = Turn(rules, state, event.at)
    _remember_touches(turn)
    _HANDLERS[type(event)](turn, event)
    _ask_the_silent(turn)
    turn.retire_ended()
    _note_unconfirmed_positions(turn)
    plan_next(turn)
    _read_positions_when_due(turn)
    tell(turn)
    return turn.state, [*turn.sends, *turn.others]


def due_mono_ns(rules: PairRules, state: PairState) -> int:
    """When the next ``Tick`` is due at the latest."""
    due = [state.next_read_mono_ns]
    due.extend(order.due_mono_ns for leg in state.legs for order in leg.live)
    if state.plan in (Plan.COMPLETE, Plan.UNWIND, Plan.EXIT) and not has_live_order(state):
        due.append(next_try_mono_ns(rules, state))
    if state.trade is not None and state.trade.closed_mono_ns:
        due.append(state.trade.closed_mono_ns + rules.accounting_wait_ns)
    return min(due)


# ------------------------------------------------------------------------------------------ wishes


def _on_enter(turn: Turn, event: Enter) -> None:
    refusal = _entry_refusal(turn, event)
    if refusal is not None:
        gate, value, limit = refusal
        turn.log("info", "signal_refused", signal_id=event.signal_id, gate=gate, value=value, limit=limit)
        return
    rules = turn.rules
    trade = turn.state.trade
    if trade is not None and trade.closed_mono_ns:
        close_books(turn)
        trade = None
    if trade is None:
        trade = Trade(
            trade_id=next_client_order_id(rules, turn.state, 0),
            direction=event.direction,
            signal_id=event.signal_id,
            spread_bps=event.spread_bps,
            prices_e8=event.prices_e8,
        )
    trade = trade._replace(
        spread_bps=event.spread_bps, prices_e8=event.prices_e8, layer=event.layer, hedged_e8=_hedged_e8(turn)
    )
    turn.change(trade=trade, last_signal_id=event.signal_id)
    adopt_plan(turn, Plan.ENTRY)
    for leg, (instrument, side) in enumerate(zip(rules.instruments, _entry_sides(event), strict=True)):
        turn.send(
            leg=leg,
            side=side,
            size_e8=event.size_e8,
            limit_price_e8=limit_price_e8(instrument, side, event.prices_e8[leg], rules.price_band_bps),
            purpose=Purpose.ENTRY,
            attempt=0,
            trade_id=trade.trade_id,
        )


def _entry_refusal(turn: Turn, event: Enter) -> tuple[str, Any, Any] | None:
    """Why the entry may not be: gate, value, limit; None when it may."""
    rules, state = turn.rules, turn.state
    trade = state.trade if state.trade and not state.trade.closed_mono_ns else None
    if state.halt is not Halt.NONE:
        return "pair_halted", state.halt.name.lower(), "none"
    if not entry_finds_pair_at_rest(state):
        return "pair_state", state.phase.name, "FLAT or HEDGED"
    if state.entries_stopped or state.flatten:
        return "entries_stopped", state.entries_stopped or state.flatten, ""
    for number, leg in enumerate(state.legs):
        if not leg_is_ready(leg):
            return "positions_confirmed", rules.instruments[number].venue, "confirmed and streaming"
    if event.signal_id <= state.last_signal_id:
        return "signal_seen", event.signal_id, state.last_signal_id
    if trade is not None and trade.direction != event.direction:
        return "direction", event.direction, trade.direction
    layers = trade.layers if trade is not None else 0
    if event.layer != layers or layers >= rules.layers_max:
        return "layer", event.layer, min(layers, rules.layers_max - 1)
    if any(leg.sequence >= (1 << SEQUENCE_BITS - 1) - SEQUENCES_KEPT for leg in state.legs):
        return "order_ids_left", max(leg.sequence for leg in state.legs), 1 << SEQUENCE_BITS - 1
    if event.size_e8 <= 0 or event.size_e8 % rules.common_lot_e8:
        return "size", event.size_e8, f"a multiple of {rules.common_lot_e8}"
    for instrument, side, price_e8 in zip(
        rules.instruments, _entry_sides(event), event.prices_e8, strict=True
    ):
        if price_e8 <= 0:
            return "price", price_e8, "above 0"
        limit_e8 = limit_price_e8(instrument, side, price_e8, rules.price_band_bps)
        if openable_e8(instrument, event.size_e8, limit_e8) != event.size_e8:
            return "size", event.size_e8, f"what {instrument.venue} takes in one order"
    return None


def entry_finds_pair_at_rest(state: PairState) -> bool:
    """Nothing under way, nothing in doubt, nothing to mend."""
    return not has_live_order(state) and state.plan is Plan.NONE


def _entry_sides(event: Enter) -> tuple[Side, Side]:
    first = Side(event.direction)
    return first, first.opposite


def _on_exit(turn: Turn, event: Exit) -> None:
    state = turn.state
    is_free = not has_live_order(state) and state.halt is not Halt.UNEXPLAINED
    if not is_free or state.plan is Plan.EXIT or is_flat(turn.rules, state):
        turn.log(
            "info",
            "signal_refused",
            signal_id=event.signal_id,
            gate="pair_state",
            value=state.phase.name,
            limit="HEDGED",
        )
        return
    turn.change(last_signal_id=max(state.last_signal_id, event.signal_id))
    if state.trade is not None:
        turn.change_trade(exit_reason=event.reason)
    adopt_plan(turn, Plan.EXIT)


def _on_flatten(turn: Turn, event: FlattenRequested) -> None:
    turn.change(flatten=event.reason or "requested")
    if turn.state.trade is not None:
        turn.change_trade(exit_reason=turn.state.flatten)


def _on_entries_stopped(turn: Turn, event: EntriesStopped) -> None:
    turn.change(entries_stopped=event.reason or "requested")


def _on_entries_allowed(turn: Turn, event: EntriesAllowed) -> None:
    turn.change(entries_stopped="")


def _on_operator_resumed(turn: Turn, event: OperatorResumed) -> None:
    state = turn.state
    if state.halt is Halt.NONE:
        turn.change(flatten="")
        return
    if any(order.state in DOUBTFUL for order in turn.live_orders()):
        return  # nobody but the venue can end doubt
    if state.halt is Halt.UNEXPLAINED:
        if not event.adopt or not all(leg.reads for leg in state.legs):
            turn.change(next_read_mono_ns=turn.now_mono_ns)
            return
        for number, leg in enumerate(state.legs):
            _take_position(turn, number, leg.read_e8)
            turn.change_leg(number, is_verified=True)
    turn.change(halt=Halt.NONE, attempt=0, settled_mono_ns=turn.now_mono_ns)


# -------------------------------------------------------------------------------- fates of orders


def _on_acked(turn: Turn, event: Acked) -> None:
    order = turn.find(event.client_order_id)
    if order is None or event.is_cancel:
        return  # a cancel's answer says nothing about the order: its fate is told by updates
    new = order._replace(
        venue_order_id=event.venue_order_id or order.venue_order_id,
        retry_after_ns=(event.retry_after_ms or 0) * 1_000_000,
    )
    new = after_ack(new, event.outcome, now_mono_ns=turn.now_mono_ns, wait_ns=turn.rules.reply_timeout_ns)
    turn.put(order, new, code=event.code, text=event.text)


def _on_order_told(turn: Turn, event: OrderTold) -> None:
    order = turn.find(event.client_order_id)
    if order is None:
        return  # not this pair's
    new = after_told(order, event, now_mono_ns=turn.now_mono_ns, wait_ns=turn.rules.reply_timeout_ns)
    turn.put(order, new, reason=event.reason)
    if event.status is OrderStatus.OPEN and order.state is OrderState.ABSENT:
        turn.cancel(new)  # written off long ago: it must not go on


def _on_fill_told(turn: Turn, event: FillTold) -> None:
    order = turn.find(event.client_order_id)
    if order is None:
        # A stranger traded our instrument (the operator, another bot, a liquidation), or an order
        # spoke that we have forgotten. Nothing is opened until the position is read again.
        _doubt_position(turn, event.leg)
        return
    new = after_fill(order, event, now_mono_ns=turn.now_mono_ns, wait_ns=turn.rules.reply_timeout_ns)
    turn.put(order, new)


def _on_query_answered(turn: Turn, event: QueryAnswered) -> None:
    if event.told is not None:
        _on_order_told(turn, event.told)
        return
    order = turn.find(event.client_order_id)
    if order is None or order.state in ENDED:
        return
    new = after_unknown(order, asked_mono_ns=event.asked_mono_ns, spacing_ns=turn.rules.query_interval_ns)
    turn.put(order, new)
    _believe_reads(turn, order.leg)


def _on_send_failed(turn: Turn, event: SendFailed) -> None:
    order = turn.find(event.client_order_id)
    if order is not None:
        turn.put(order, after_not_sent(order, turn.now_mono_ns), reason=event.reason)


def _ask_the_silent(turn: Turn) -> None:
    """Silence past the limit is doubt, and doubt asks, at growing intervals and without end."""
    rules, now_mono_ns = turn.rules, turn.now_mono_ns
    for order in turn.live_orders():
        if order.state in ENDED or now_mono_ns < order.due_mono_ns:
            continue
        new = order
        if order.state in (OrderState.SENT, OrderState.OPEN):
            new = moved(order, OrderState.IN_DOUBT, now_mono_ns)
            if order.state is OrderState.OPEN:
                turn.cancel(order)  # what takes at once or not at all has no business being open
        spacing_ns = rules.query_interval_ns << min(max(new.questions - rules.unknown_answers_min, 0), 3)
        new = new._replace(questions=new.questions + 1, due_mono_ns=now_mono_ns + spacing_ns)
        turn.put(order, new)
        turn.query(new)
        if now_mono_ns >= new.doubt_mono_ns + rules.max_doubt_ns and turn.state.halt is Halt.NONE:
            halt(turn, Halt.IN_DOUBT)


# -------------------------------------------------------------------------------------- positions


def _on_position_read(turn: Turn, event: PositionRead) -> None:
    leg = turn.state.legs[event.leg]
    if event.asked_mono_ns <= leg.changed_mono_ns:
        return  # it may be older than what we know
    if leg.reads and event.size_e8 == leg.read_e8:
        if event.asked_mono_ns < leg.read_mono_ns + turn.rules.query_interval_ns:
            return
        turn.change_leg(event.leg, reads=leg.reads + 1, read_mono_ns=event.asked_mono_ns)
    else:
        turn.change_leg(event.leg, reads=1, read_e8=event.size_e8, read_mono_ns=event.asked_mono_ns)
    _believe_reads(turn, event.leg)


def _believe_reads(turn: Turn, number: int) -> None:
    """Draw what can be drawn from the position reads of a leg.

    One read that says what we expect is enough: two sources agree. A surprise must be repeated.
    """
    leg = turn.state.legs[number]
    if not leg.reads:
        return
    if not leg.live:
        if leg.read_e8 == leg.position_e8:
            _confirm_position(turn, number)
        elif leg.reads >= turn.rules.equal_reads_min:
            _explain_difference(turn, number)
        return
    order = leg.live[0]
    if len(leg.live) > 1 or not position_may_settle(turn.rules, order, leg.reads, leg.read_mono_ns):
        return
    # What lies outside of what the order can have done is somebody else's doing: the reads that
    # follow will show it as a difference, with no order in the way.
    moved_e8 = (leg.read_e8 - leg.position_e8) * order.side
    filled_e8 = min(max(moved_e8, order.filled_e8), order.size_e8)
    turn.change_leg(number, is_verified=filled_e8 == moved_e8)
    turn.put(order, after_count(order, filled_e8, turn.now_mono_ns))


def position_may_settle(rules: PairRules, order: Order, reads: int, read_mono_ns: int) -> bool:
    """Whether a doubtful order's amount may be read off the position.

    The order is over at the venue's word; or the venue has denied it often enough, so late that
    it can no longer come into being.
    """
    if order.state not in DOUBTFUL or reads < rules.equal_reads_min:
        return False
    if order.state is OrderState.UNCOUNTED:
        return True
    gone_mono_ns = order.sent_mono_ns + rules.appear_ns
    return (
        order.unknown_answers >= rules.unknown_answers_min
        and order.unknown_mono_ns >= gone_mono_ns
        and read_mono_ns >= gone_mono_ns
    )


def _confirm_position(turn: Turn, number: int) -> None:
    leg = turn.state.legs[number]
    if not leg.is_verified:
        turn.change_leg(number, is_verified=True)
        if leg.position_e8:
            turn.log("info", "positions_restored", **turn.about_leg(number), position_e8=leg.position_e8)
    if turn.state.halt is Halt.UNEXPLAINED and all(leg.is_verified for leg in turn.state.legs):
        turn.change(halt=Halt.NONE)  # whatever it was, it is gone


def _explain_difference(turn: Turn, number: int) -> None:
    """The venue holds something else than we know: the venue is right. The journal says why."""
    leg = turn.state.legs[number]
    difference_e8 = leg.read_e8 - leg.position_e8
    facts = {
        **turn.about_leg(number),
        "expected_e8": leg.position_e8,
        "position_e8": leg.read_e8,
        "difference_e8": difference_e8,
    }
    for order in reversed(leg.past):
        filled_e8 = order.filled_e8 + difference_e8 * order.side
        told_e8 = max(order.told_e8, order.fills_e8)
        if not order.is_certain and told_e8 <= filled_e8 <= order.size_e8:
            turn.log("warning", "reconcile_diff", **facts, explained_by=order.client_order_id)
            state = OrderState.FILLED if filled_e8 == order.size_e8 else OrderState.CANCELLED
            turn.put(order, order._replace(counted_e8=filled_e8, state=state))
            turn.change_leg(number, is_verified=True)
            return
    is_smaller = leg.position_e8 * leg.read_e8 >= 0 and abs(leg.read_e8) < abs(leg.position_e8)
    if is_smaller:
        # Liquidated, deleveraged, or closed by hand. Not ours to open again: the other leg goes.
        turn.log("error", "reconcile_diff", **facts, explained_by="closed outside")
        _take_position(turn, number, leg.read_e8)
        turn.change_leg(number, is_verified=True)
        if turn.state.plan is not Plan.EXIT:
            adopt_plan(turn, Plan.UNWIND)
        return
    turn.change_leg(number, is_verified=False)
    if turn.state.halt is not Halt.UNEXPLAINED:
        turn.log("error", "reconcile_diff", **facts, explained_by=None)
        halt(turn, Halt.UNEXPLAINED)


def _take_position(turn: Turn, number: int, position_e8: int) -> None:
    """Take the venue's position for ours; what it cost can only be estimated."""
    leg = turn.state.legs[number]
    difference_e8 = position_e8 - leg.position_e8
    if not difference_e8:
        return
    direction = sign(position_e8) * (1 if number == 0 else -1)
    turn.ensure_trade(next_client_order_id(turn.rules, turn.state, 0), direction or 1)
    side = shrinking_side(-difference_e8)
    touch_e8 = leg.ask_e8 if side is Side.BUY else leg.bid_e8
    turn.book(number, side, abs(difference_e8), abs(difference_e8) * touch_e8 // E8, 0)
    turn.change_trade(is_estimated=True)
    turn.change_leg(number, position_e8=position_e8)
    turn.distrust_reads(number)


def _doubt_position(turn: Turn, number: int) -> None:
    turn.change_leg(number, is_verified=False)
    turn.distrust_reads(number)
    turn.change(next_read_mono_ns=turn.now_mono_ns)


def _note_unconfirmed_positions(turn: Turn) -> None:
    state = turn.state
    unverified_mono_ns = 0
    if not all(leg.is_verified for leg in state.legs):
        unverified_mono_ns = state.unverified_mono_ns or turn.now_mono_ns
    if unverified_mono_ns != state.unverified_mono_ns:
        turn.change(unverified_mono_ns=unverified_mono_ns)


def _read_positions_when_due(turn: Turn) -> None:
    """Ask for positions: often while something hangs on them, now and then otherwise."""
    rules, state, now_mono_ns = turn.rules, turn.state, turn.now_mono_ns
    is_halted = state.halt is not Halt.NONE
    is_waited_for = state.unverified_mono_ns > 0 or any(
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
        turn.others.append(ReadPositions())
        next_mono_ns = now_mono_ns + interval_ns
    if next_mono_ns != state.next_read_mono_ns:
        turn.change(next_read_mono_ns=next_mono_ns)


# ------------------------------------------------------------------------------- time and streams


def _on_tick(turn: Turn, event: Tick) -> None:
    """Time is looked at in every step; a tick adds nothing to it."""


def _on_restarted(turn: Turn, event: Restarted) -> None:
    check_epoch(event.epoch)
    assert event.epoch > turn.state.epoch, "an executor life must have a larger epoch than the last"
    turn.change(epoch=event.epoch, next_read_mono_ns=0, view=None)
    for number in (0, 1):
        turn.change_leg(number, sequence=0, is_stream_up=False, is_verified=False)
        turn.distrust_reads(number)
    for order in turn.live_orders():
        if order.state is OrderState.SENT or order.state is OrderState.OPEN:
            turn.put(order, moved(order, OrderState.IN_DOUBT, turn.now_mono_ns))


def _on_stream_lost(turn: Turn, event: StreamLost) -> None:
    turn.change_leg(event.leg, is_stream_up=False)
    for order in turn.state.legs[event.leg].live:
        turn.put(order, order._replace(due_mono_ns=turn.now_mono_ns))


def _on_stream_back(turn: Turn, event: StreamBack) -> None:
    turn.change_leg(event.leg, is_stream_up=True)
    _doubt_position(turn, event.leg)
    for order in turn.state.legs[event.leg].live:
        turn.put(order, order._replace(due_mono_ns=turn.now_mono_ns))


def _remember_touches(turn: Turn) -> None:
    for number, market in enumerate(turn.markets):
        leg = turn.state.legs[number]
        if market.is_valid and (market.bid_e8, market.ask_e8) != (leg.bid_e8, leg.ask_e8):
            turn.change_leg(number, bid_e8=market.bid_e8, ask_e8=market.ask_e8)


def _hedged_e8(turn: Turn) -> int:
    return min(abs(leg.held_e8) for leg in turn.state.legs)


_HANDLERS: Final[dict[type, Callable[[Turn, Any], None]]] = {
    Enter: _on_enter,
    Exit: _on_exit,
    Acked: _on_acked,
    OrderTold: _on_order_told,
    FillTold: _on_fill_told,
    QueryAnswered: _on_query_answered,
    PositionRead: _on_position_read,
    SendFailed: _on_send_failed,
    Tick: _on_tick,
    Restarted: _on_restarted,
    StreamLost: _on_stream_lost,
    StreamBack: _on_stream_back,
    FlattenRequested: _on_flatten,
    EntriesStopped: _on_entries_stopped,
    EntriesAllowed: _on_entries_allowed,
    OperatorResumed: _on_operator_resumed,
}
assert set(_HANDLERS) == set(Event.__args__)
