"""The pair machine: ``step(rules, state, event) -> (state, commands)``, a pure function.

No clock, no socket, no randomness: the same state and event give the same answer, live, in the
exhaustive exploration and in a replay. One step is always the same five things:

1. take in what the event says: an order's fate, a position, a wish;
2. ask about orders that have been silent for too long;
3. move orders that ended into the position;
4. plan: send what the pair needs, if and only if nothing is under way or in doubt;
5. report: naked time, trade, phase, view.

The first four are ``decide``: its orders may leave before the fifth, ``conclude``, is done. An entry,
which finds the pair at rest, is decided by the first alone.

The phases and their drawing are in ``state``, the states of an order in ``order``, what an entry must meet
in ``entry``, what position reads prove in ``reconcile``, the choice between completing and unwinding in
``repair``, and what the venues are asked in ``questions``.

What is promised, whatever the venues do, in whatever order they say it:

- no order is sent while another one of the pair is under way or in doubt (a batch counts as one);
- doubt about an order ends with the venue's report, or with its spaced and repeated "no such order"
  past the order's validity *and* a position that did not move; if that verdict turns out wrong
  after all, the late execution is taken in and mended like any other;
- amounts filled come from the venue; a message reported twice counts once;
- an order that shrinks a position is reduce-only, and only an entry and its completion grow one;
- at rest the pair is flat, hedged, or HALTED with its exposure in the alert.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from msgspec.structs import replace

from events.decisions import SignalRefused
from events.orders import AnswerDisowned
from executor.pair.accounting import report_step
from executor.pair.client_order_id import check_epoch, leg_of
from executor.pair.entry import begin_entry, on_enter
from executor.pair.fast_path import is_at_rest
from executor.pair.messages import (
    Acked,
    CancelConfirmed,
    Command,
    Enter,
    EntriesAllowed,
    EntriesStopped,
    Event,
    Exit,
    FillReport,
    FillsRead,
    FlattenRequested,
    GridRead,
    OperatorResumed,
    OrderReport,
    PendingSignal,
    PositionRead,
    Prediction,
    QueryAnswered,
    Restarted,
    Send,
    SendFailed,
    StreamBack,
    StreamLost,
    Tick,
)
from executor.pair.order import (
    DOUBTFUL,
    ENDED,
    Order,
    OrderState,
    Purpose,
    after_ack,
    after_not_sent,
    after_unknown,
    moved,
)
from executor.pair.order_facts import about_order
from executor.pair.order_updates import after_fill, after_fills_read, after_report, is_about
from executor.pair.questions import (
    ask_about_grids,
    ask_about_refusals,
    ask_about_silent_orders,
    doubt_grid,
    on_grid_read,
)
from executor.pair.reconcile import (
    believe_reads,
    note_unconfirmed_positions,
    on_position_read,
    own_late_close,
    read_positions_when_due,
    take_position,
)
from executor.pair.repair import (
    is_mendable,
    may_close_for_drift,
    must_keep_still,
    next_try_mono_ns,
    note_hedge_drift,
    plan_next,
    trade_to_close,
)
from executor.pair.rules import PairRules
from executor.pair.state import REASON_CHARS_MAX, SHUTDOWN, Halt, PairState, Plan, has_live_order, is_flat
from executor.pair.transition import Transition, adopt_plan, open_refusals
from shm.entry_block import EntryBlock
from venues.contract import OrderStatus, Outcome, Side


def step(rules: PairRules, state: PairState, event: Event) -> tuple[PairState, list[Command]]:
    """Take in one event; return the new state and what to do, sends first."""
    return conclude(decide(rules, state, event))


def decide(rules: PairRules, state: PairState, event: Event) -> Transition:
    """The first half of a step: what the event makes of the pair, and the orders that leave now.

    ``transition.sends`` may be written as soon as ``transition.state`` is in the journal. ``conclude`` comes
    next, before any other event; a process that ends in between leaves a state to start from.
    """
    transition = Transition(rules, state, event.at)
    if isinstance(event, Enter) and on_enter(transition, event):
        assert len(transition.sends) == len(transition.live_orders()) == 2, "an entry is both legs"
        return transition  # it found the pair at rest: nothing else is silent, over, or to be mended
    _remember_touches(transition)
    _HANDLERS[type(event)](transition, event)
    ask_about_silent_orders(transition)
    transition.retire_ended()
    note_unconfirmed_positions(transition)
    note_hedge_drift(transition)
    plan_next(transition)
    # The promise that all the others rest on: nothing is sent while another order may still do something.
    assert not transition.sends or len(transition.sends) == len(transition.live_orders())
    return transition


def conclude(transition: Transition) -> tuple[PairState, list[Command]]:
    """The second half: everything that is only asked and reported. Not one more order."""
    _remember_touches(transition)
    ask_about_refusals(transition)
    ask_about_grids(transition)
    read_positions_when_due(transition)
    sent = len(transition.sends)
    report_step(transition)
    assert len(transition.sends) == sent, "orders are decided before anything is reported"
    return transition.state, [*transition.sends, *transition.others]


def due_mono_ns(rules: PairRules, state: PairState) -> int:
    """When the next ``Tick`` is due at the latest."""
    due = [state.next_read_mono_ns]
    for leg in state.legs:
        due.extend(order.due_mono_ns for order in (*leg.live, *open_refusals(leg)))
        if leg.grid_doubted_mono_ns:
            due.append(leg.next_grid_mono_ns)
    if state.plan in (Plan.COMPLETE, Plan.UNWIND, Plan.EXIT) and not has_live_order(state):
        due.append(next_try_mono_ns(rules, state))
    if state.halt is Halt.NONE and not must_keep_still(state) and is_mendable(rules, state):
        due.append(state.naked_mono_ns + rules.max_unmended_ns)
    if may_close_for_drift(state) and not must_keep_still(state):
        due.append(state.drift_mono_ns + rules.hedge_drift_ns_max)
    if state.trade is not None and state.trade.closed_mono_ns:
        due.append(state.trade.closed_mono_ns + rules.accounting_wait_ns)
    return min(due)


# ------------------------------------------------------------------------------------------ wishes


def _on_exit(transition: Transition, event: Exit) -> None:
    state = transition.state
    is_free = not has_live_order(state) and state.halt is not Halt.UNEXPLAINED
    if not is_free or state.plan is Plan.EXIT or is_flat(transition.rules, state):
        transition.report(
            SignalRefused,
            signal_id=event.signal_id,
            gate=EntryBlock.PAIR_STATE.value,
            value=state.phase.name,
            limit="HEDGED",
        )
        return
    begin_exit(transition, event)


def begin_exit(transition: Transition, event: Exit) -> None:
    """Make closing what the pair is doing; its orders are still to be sent."""
    transition.change(last_signal_id=max(transition.state.last_signal_id, event.signal_id))
    if transition.state.trade is not None:
        transition.change_trade(exit_reason=event.reason)
    adopt_plan(transition, Plan.EXIT)


def _on_flatten(transition: Transition, event: FlattenRequested) -> None:
    transition.change(flatten=_kept(event.reason))
    if transition.state.trade is not None:
        transition.change_trade(exit_reason=transition.state.flatten)


def _on_entries_stopped(transition: Transition, event: EntriesStopped) -> None:
    transition.change(entries_stopped=_kept(event.reason))


def _kept(reason: str) -> str:
    """A reason as the state keeps it: it may be a venue's or an operator's text, and room is limited."""
    return reason[:REASON_CHARS_MAX] or "requested"


def _on_entries_allowed(transition: Transition, event: EntriesAllowed) -> None:
    transition.change(entries_stopped="")


def _on_operator_resumed(transition: Transition, event: OperatorResumed) -> None:
    state = transition.state
    if state.halt is Halt.NONE:
        transition.change(flatten="")
        return
    if any(order.state in DOUBTFUL for order in transition.live_orders()):
        return  # nobody but the venue can end doubt
    if state.halt is Halt.UNEXPLAINED:
        # An order under way may be in what was read, and its fill be reported after it: counted twice.
        if not event.adopt or has_live_order(state) or not all(leg.reads for leg in state.legs):
            transition.change(next_read_mono_ns=transition.now_mono_ns)
            return
        for number, leg in enumerate(state.legs):
            take_position(transition, number, leg.read_e8)
            transition.change_leg(number, is_verified=True)
    # The next try keeps its time: whoever asks again and again must not postpone it for ever.
    transition.change(halt=Halt.NONE, attempt=0)


# -------------------------------------------------------------------------------- fates of orders


def _on_acked(transition: Transition, event: Acked) -> None:
    order = transition.find(event.client_order_id)
    if order is None:
        return
    new = replace(
        order,
        venue_order_id=event.venue_order_id or order.venue_order_id,
        retry_after_ns=(event.retry_after_ms or 0) * 1_000_000,
    )
    new = after_ack(
        new, event.outcome, now_mono_ns=transition.now_mono_ns, wait_ns=transition.rules.reply_timeout_ns
    )
    if event.is_of_grid and event.outcome is Outcome.REFUSED:
        doubt_grid(transition, order.leg)
    transition.put(order, new, code=event.code, text=event.text)


def _on_order_report(transition: Transition, event: OrderReport) -> None:
    order = transition.find(event.client_order_id)
    if order is None:
        # Another instance's, or one that we have forgotten: what matters is what it has moved.
        if event.filled_e8 != 0 and event.status is not OrderStatus.REJECTED:
            transition.doubt_position(leg_of(event.client_order_id))
        return
    if not is_about(order, event, transition.rules.instruments[order.leg].instrument_id):
        _disown(transition, order, event)
        return
    new = after_report(
        order, event, now_mono_ns=transition.now_mono_ns, wait_ns=transition.rules.reply_timeout_ns
    )
    if event.is_of_grid and event.status is OrderStatus.REJECTED:
        doubt_grid(transition, order.leg)
    own_late_close(transition, order, new)
    transition.put(order, new, reason=event.reason)
    if event.status is OrderStatus.OPEN and order.state is OrderState.ABSENT:
        transition.cancel(new)  # written off long ago: it must not go on


def _on_fill_report(transition: Transition, event: FillReport) -> None:
    order = transition.find(event.client_order_id)
    if order is None:
        # A stranger traded our instrument (the operator, another bot, a liquidation), or an order
        # spoke that we have forgotten. Nothing is opened until the position is read again.
        transition.doubt_position(event.leg)
        return
    new = after_fill(
        order, event, now_mono_ns=transition.now_mono_ns, wait_ns=transition.rules.reply_timeout_ns
    )
    own_late_close(transition, order, new)
    transition.put(order, new)


def _on_fills_read(transition: Transition, event: FillsRead) -> None:
    order = transition.find(event.client_order_id)
    if order is not None:
        new = after_fills_read(order, event, transition.now_mono_ns)
        own_late_close(transition, order, new)
        transition.put(order, new)


def _on_query_answered(transition: Transition, event: QueryAnswered) -> None:
    order = transition.find(event.client_order_id)
    if event.reported is not None and event.reported.client_order_id == event.client_order_id:
        _on_order_report(transition, event.reported)
        return
    if order is None or (order.state in ENDED and not order.is_refused):
        return
    if event.reported is not None:
        _disown(transition, order, event.reported)
        return
    if event.is_by_venue_id:  # which may never have been its own: asked by our name, it counts
        transition.put(order, replace(order, venue_order_id="", due_mono_ns=transition.now_mono_ns))
        return
    new = after_unknown(
        order, asked_mono_ns=event.asked_mono_ns, spacing_ns=transition.rules.query_interval_ns
    )
    transition.put(order, new)
    believe_reads(transition, order.leg)


def _on_cancel_confirmed(transition: Transition, event: CancelConfirmed) -> None:
    """The order is ending: how it ended is asked for soon, should nobody report."""
    order = transition.find(event.client_order_id)
    if order is not None and order.state not in ENDED:
        due_mono_ns = min(order.due_mono_ns, transition.now_mono_ns + transition.rules.query_interval_ns)
        transition.put(order, replace(order, due_mono_ns=due_mono_ns))


def _disown(transition: Transition, order: Order, reported: OrderReport) -> None:
    """What the venue says under an order's name is about another: believe nothing of it, forget the venue's
    id, which may be that other's, and ask by our own."""
    transition.others.append(
        AnswerDisowned(
            **about_order(transition.rules, order),
            size_e8=order.size_e8,
            venue_order_id=reported.venue_order_id,
            named_order_id=reported.client_order_id,
            named_side=reported.side.name if reported.side else None,
            named_size_e8=reported.size_e8,
        )
    )
    new = order
    if order.venue_order_id:
        new = replace(order, venue_order_id="", due_mono_ns=transition.now_mono_ns)
    if order.state in (OrderState.SENT, OrderState.OPEN):
        new = moved(new, OrderState.IN_DOUBT, transition.now_mono_ns)
    transition.put(order, new)
    transition.doubt_position(order.leg)  # something moved, or may have: whose it was, the position reports


def _on_send_failed(transition: Transition, event: SendFailed) -> None:
    order = transition.find(event.client_order_id)
    if order is not None:
        transition.put(order, after_not_sent(order, transition.now_mono_ns), reason=event.reason)


# ------------------------------------------------------------------------------- time and streams


def _pass_time(transition: Transition, event: Event) -> None:
    """Time is looked at in every step; nothing is added to it."""


def _on_restarted(transition: Transition, event: Restarted) -> None:
    check_epoch(event.epoch)
    assert event.epoch > transition.state.epoch, "an executor must have a larger epoch than the last"
    # A reason not to enter, or to end flat, belongs to the process that gave it: the next one finds its own.
    transition.change(epoch=event.epoch, next_read_mono_ns=0, view=None, entries_stopped="")
    if transition.state.flatten == SHUTDOWN:
        transition.change(flatten="")
    for number in (0, 1):
        transition.change_leg(number, sequence=0, is_stream_up=False, is_verified=False)
        transition.distrust_reads(number)
    for order in transition.live_orders():
        if order.state is OrderState.SENT or order.state is OrderState.OPEN:
            transition.put(order, moved(order, OrderState.IN_DOUBT, transition.now_mono_ns))


def _on_stream_lost(transition: Transition, event: StreamLost) -> None:
    transition.change_leg(event.leg, is_stream_up=False)
    for order in transition.state.legs[event.leg].live:
        transition.put(order, replace(order, due_mono_ns=transition.now_mono_ns))


def _on_stream_back(transition: Transition, event: StreamBack) -> None:
    transition.change_leg(event.leg, is_stream_up=True)
    transition.doubt_position(event.leg)
    for order in transition.state.legs[event.leg].live:
        transition.put(order, replace(order, due_mono_ns=transition.now_mono_ns))


def _remember_touches(transition: Transition) -> None:
    for number, market in enumerate(transition.markets):
        leg = transition.state.legs[number]
        if market.is_valid and (market.bid_e8, market.ask_e8) != (leg.bid_e8, leg.ask_e8):
            transition.change_leg(number, bid_e8=market.bid_e8, ask_e8=market.ask_e8)


_HANDLERS: Final[dict[type, Callable[[Transition, Any], None]]] = {
    Enter: _pass_time,  # taken before all this, or refused
    Exit: _on_exit,
    Acked: _on_acked,
    OrderReport: _on_order_report,
    FillReport: _on_fill_report,
    FillsRead: _on_fills_read,
    QueryAnswered: _on_query_answered,
    CancelConfirmed: _on_cancel_confirmed,
    PositionRead: on_position_read,
    GridRead: on_grid_read,
    SendFailed: _on_send_failed,
    Tick: _pass_time,
    Restarted: _on_restarted,
    StreamLost: _on_stream_lost,
    StreamBack: _on_stream_back,
    FlattenRequested: _on_flatten,
    EntriesStopped: _on_entries_stopped,
    EntriesAllowed: _on_entries_allowed,
    OperatorResumed: _on_operator_resumed,
}
assert set(_HANDLERS) == set(Event.__args__)


def predict(rules: PairRules, state: PairState, event: Enter | Exit) -> Prediction:
    """Take the step of an event that is expected and keep what it would send.

    No sends where it would send nothing, or anything but first tries of the event's own kind.
    """
    nothing = Prediction(state, (), 0, 0)
    if not is_at_rest(state) or not all(market.is_valid for market in event.at.markets):
        return nothing
    _, commands = step(rules, state, event)
    sends = tuple(command for command in commands if isinstance(command, Send))
    is_entry = isinstance(event, Enter)
    purpose = Purpose.ENTRY if is_entry else Purpose.EXIT
    if not sends or any(send.purpose is not purpose or send.attempt for send in sends):
        return nothing
    if isinstance(event, Enter):
        return Prediction(state, sends, event.layer, event.size_e8)
    return Prediction(state, sends, 0, 0)


def take_pending(rules: PairRules, state: PairState, taken: PendingSignal) -> tuple[PairState, list[Command]]:
    """The step of a signal whose orders may have left already, reported by those orders.

    It is the step that ``step`` would take with the rules they left by. Today's may be others: an
    operator who allows fewer layers, or another price band, does not change what is at the venues.
    """
    event, sends = taken
    transition = Transition(rules, state, event.at)
    if isinstance(event, Enter):
        trade = begin_entry(transition, event)
    else:
        begin_exit(transition, event)
        trade = trade_to_close(transition)
        transition.change(attempt=1)
    for send in sends:
        transition.send(
            leg=send.leg,
            side=Side(send.side),
            size_e8=send.size_e8,
            limit_price_e8=send.limit_price_e8,
            purpose=Purpose(send.purpose),
            attempt=send.attempt,
            trade_id=trade.trade_id,
        )
    assert tuple(transition.sends) == sends, f"{sends} left, and this state gives {transition.sends}"
    return conclude(transition)
