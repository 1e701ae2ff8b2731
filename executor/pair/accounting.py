"""What a step reports: naked time, trades that opened and closed, the phase, the view of others."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from events.orders import IntentWritten, LegRetold
from events.positions import HoldingChanged, HoldingLeg, NakedEnd, NakedStart, PhaseChanged
from events.trades import TradeOpened, TradeRetold
from executor.pair.messages import Publish
from executor.pair.order import DOUBTFUL
from executor.pair.order_facts import about_leg, about_order, fate
from executor.pair.rules import PairRules
from executor.pair.state import (
    PHASE_STEPS,
    Halt,
    LegLedger,
    PairState,
    Plan,
    Trade,
    has_live_order,
    is_estimated,
    is_flat,
    is_naked,
    net_e8,
    result_of,
)
from executor.pair.trade_result import (
    average_of,
    close_books,
    entry_of,
    entry_spread_bps,
    fees_e8,
    leg_names,
)
from executor.pair.transition import Transition, exposure, have_confirmed, leg_is_ready, log_halted
from shm.records import PairPhase, PairView
from venues.contract import Instrument

_PHASE_OF_PLAN = {
    Plan.NONE: PairPhase.REPAIRING,  # an order that was written off and lives again
    Plan.ENTRY: PairPhase.OPENING,
    Plan.COMPLETE: PairPhase.REPAIRING,
    Plan.UNWIND: PairPhase.REPAIRING,
    Plan.EXIT: PairPhase.CLOSING,
}


def report_step(transition: Transition) -> None:
    """Bring everything that is reported up to date with what the step has changed."""
    _report_intents(transition)
    phase = phase_of(transition.rules, transition.state)
    _measure_nakedness(transition, phase)
    _follow_trade(transition, phase)
    _report_holding(transition)
    _report_halted_again(transition)
    if phase is not transition.state.phase:
        before = transition.state.phase
        assert phase in PHASE_STEPS[before], f"{before.name} -> {phase.name}"
        transition.change(phase=phase)
        transition.report(PhaseChanged, before=before.name, phase=phase.name, **exposure(transition))
    _publish(transition)


def phase_of(rules: PairRules, state: PairState) -> PairPhase:
    """The phase the facts make."""
    if state.halt is not Halt.NONE:
        return PairPhase.HALTED
    if any(order.state in DOUBTFUL for leg in state.legs for order in leg.live):
        return PairPhase.REPAIRING
    if has_live_order(state):
        return _PHASE_OF_PLAN[state.plan]
    if state.plan is Plan.EXIT:
        return PairPhase.CLOSING
    if is_flat(rules, state):
        return PairPhase.FLAT
    return PairPhase.REPAIRING if is_naked(rules, state) else PairPhase.HEDGED


def _report_holding(transition: Transition) -> None:
    """Tell what the pair holds and why whenever that changed: a start after a reboot begins from here."""
    before, state = transition.before, transition.state
    if state.legs is before.legs and state.trade is before.trade:
        return
    sizes_e8 = [leg.held_e8 for leg in state.legs]
    if sizes_e8 == [leg.held_e8 for leg in before.legs] and _basis(state) == _basis(before):
        return
    transition.others.append(holding(transition.rules, state))


def holding(rules: PairRules, state: PairState) -> HoldingChanged:
    """What the pair holds and why, and which of its orders are not over: all that a reader must know."""
    trade = state.trade
    return HoldingChanged(
        pair=rules.pair,
        trade_id=trade.trade_id if trade else 0,
        direction=trade.direction if trade else 0,
        layers=trade.layers if trade else 0,
        legs=(_holding_leg(rules, state, 0), _holding_leg(rules, state, 1)),
        live=tuple(order.client_order_id for leg in state.legs for order in leg.live),
        opened_mono_ns=trade.opened_mono_ns if trade else 0,
        is_estimated=is_estimated(state, trade) if trade else False,
        happened_outside=trade.is_estimated if trade else False,
        quote_rate_e8=trade.rate_e8 if trade and rules.has_live_rate else UNSET,
    )


def _holding_leg(rules: PairRules, state: PairState, leg: int) -> HoldingLeg:
    return HoldingLeg(
        **about_leg(rules, leg),
        size_e8=state.legs[leg].held_e8,
        entry_price_e8=average_of(entry_of(state.trade, leg)) if state.trade else 0,
        fee_e8=state.trade.books[leg].fee_e8 if state.trade else 0,
    )


def events_to_repeat(
    rules: PairRules, state: PairState, now_mono_ns: int
) -> Iterator[LegRetold | TradeRetold]:
    """What became of the latest orders and trades: the process may have been killed before
    it was journalled."""
    for leg in state.legs:
        for order in leg.past:
            yield LegRetold(**about_order(rules, order), **fate(order))
    for trade in state.closed:
        yield TradeRetold(**result_of(rules, state, trade, now_mono_ns))


def _basis(state: PairState) -> tuple[object, ...]:
    """What ``holding`` reports of a trade; one that has bought and sold nothing yet is none."""
    trade = state.trade
    if trade is None or trade.books == (LegLedger(), LegLedger()):
        return ()
    is_reckoned = is_estimated(state, trade)
    return trade.trade_id, trade.layers, trade.opened_mono_ns, is_reckoned, trade.is_estimated, trade.books


def _report_intents(transition: Transition) -> None:
    for send in transition.sends:
        order = transition.find(send.client_order_id)
        assert order is not None
        transition.others.append(
            IntentWritten(
                **about_order(transition.rules, order),
                size_e8=order.size_e8,
                limit_price_e8=order.limit_price_e8,
                reduce_only=order.reduce_only,
            )
        )


def _report_halted_again(transition: Transition) -> None:
    """While HALTED the operator hears of every change of the exposure, not only of the first one."""
    before, halt = transition.before, transition.state.halt
    if halt is Halt.NONE or before.halt is not halt or before.legs is transition.state.legs:
        return
    if any(old.held_e8 != new.held_e8 for old, new in zip(before.legs, transition.state.legs, strict=True)):
        log_halted(transition)


def _measure_nakedness(transition: Transition, phase: PairPhase) -> None:
    state, now_mono_ns = transition.state, transition.now_mono_ns
    if is_naked(transition.rules, state):
        if not state.naked_mono_ns:
            transition.change(naked_mono_ns=now_mono_ns)
        facts = exposure(transition)
        if state.trade is not None and facts["net_notional_e8"] > state.trade.naked_notional_max_e8:
            transition.change_trade(naked_notional_max_e8=facts["net_notional_e8"])
        # Two fills never come in the same instant: only a difference that has to be mended is reported.
        if phase in (PairPhase.REPAIRING, PairPhase.HALTED) and not state.is_naked_reported:
            transition.change(is_naked_reported=True)
            transition.report(NakedStart, **facts)
    elif state.naked_mono_ns:
        naked_ns = now_mono_ns - state.naked_mono_ns
        if state.trade is not None:
            transition.change_trade(naked_ns=state.trade.naked_ns + naked_ns)
        if state.is_naked_reported:
            transition.report(NakedEnd, naked_ms=naked_ns / 1e6, **exposure(transition))
        transition.change(naked_mono_ns=0, is_naked_reported=False)


def _follow_trade(transition: Transition, phase: PairPhase) -> None:
    trade = transition.state.trade
    if trade is None or has_live_order(transition.state):
        return
    if trade.closed_mono_ns:
        _close_books_when_accounted(transition, trade)
    elif is_flat(transition.rules, transition.state):
        if trade.books == (LegLedger(), LegLedger()):
            transition.change(trade=None)  # neither leg filled: there was no trade
            return
        transition.change(closed_mono_ns=transition.now_mono_ns)
        transition.change_trade(closed_mono_ns=transition.now_mono_ns)
        have_confirmed(transition)
        for number in (0, 1):
            transition.change_leg(number, closed_trade_id=trade.trade_id)
        _close_books_when_accounted(transition, trade)
    elif phase is PairPhase.HEDGED:
        hedged_e8 = min(abs(leg.held_e8) for leg in transition.state.legs)
        if hedged_e8 > trade.hedged_e8:
            _report_opened(transition, trade, hedged_e8)
        transition.change_trade(hedged_e8=hedged_e8)


def _report_opened(transition: Transition, trade: Trade, hedged_e8: int) -> None:
    assert hedged_e8 > trade.hedged_e8, "a layer that was opened makes the hedge larger"
    transition.change_trade(
        layers=max(trade.layers, trade.layer + 1),
        opened_mono_ns=trade.opened_mono_ns or transition.now_mono_ns,
    )
    long, short = _long_and_short(transition.rules, trade.direction)
    transition.report(
        TradeOpened,
        direction=trade.direction,
        long_venue=long.venue,
        short_venue=short.venue,
        layer=trade.layer,
        signal_id=trade.signal_id,
        size_e8=hedged_e8,
        legs=leg_names(transition.rules),
        entry_prices_e8=(average_of(entry_of(trade, 0)), average_of(entry_of(trade, 1))),
        entry_spread_bps=entry_spread_bps(trade),
        fees_e8=fees_e8(trade, transition.rate_e8),
        quote_rate_e8=trade.rate_e8 if transition.rules.has_live_rate else None,
        is_estimated=is_estimated(transition.state, trade),
        naked_ms=trade.naked_ns / 1e6,
        retries=trade.retries,
    )


def _close_books_when_accounted(transition: Transition, trade: Trade) -> None:
    """Fees may follow the last fill on another channel: they are waited for, a little."""
    past = (order for leg in transition.state.legs for order in leg.past if order.trade_id == trade.trade_id)
    closed_mono_ns = transition.state.closed_mono_ns
    is_late = transition.now_mono_ns >= closed_mono_ns + transition.rules.accounting_wait_ns
    if is_late or all(order.is_accounted for order in past):
        transition.state, result = close_books(transition.rules, transition.state, transition.rate_e8)
        transition.others.append(result)


def _publish(transition: Transition) -> None:
    rules, state = transition.rules, transition.state
    trade = state.trade if state.trade and not state.trade.closed_mono_ns else None
    held = [leg.held_e8 for leg in state.legs]
    allowed = (
        state.phase in (PairPhase.FLAT, PairPhase.HEDGED)
        and not state.entries_stopped
        and not state.flatten
        and all(leg_is_ready(rules, leg) for leg in state.legs)
    )
    view = PairView(
        pair_id=rules.pair_id,
        phase=state.phase,
        direction=trade.direction if trade else 0,
        size_e8=min(abs(held[0]), abs(held[1])) if held[0] * held[1] < 0 else 0,
        naked_e8=net_e8(state),
        layers_open=trade.layers if trade else 0,
        entries_allowed=int(allowed),
        entry_spread_bps=entry_spread_bps(trade) if trade else 0.0,
        opened_mono_ns=trade.opened_mono_ns if trade else 0,
        closed_mono_ns=state.closed_mono_ns,
        trade_id=trade.trade_id if trade else 0,
        last_signal_id=state.last_signal_id,
        updated_mono_ns=transition.now_mono_ns,
    )
    if state.view is None or view._replace(updated_mono_ns=state.view.updated_mono_ns) != state.view:
        transition.change(view=view)
        transition.others.append(Publish(view))


def _long_and_short(rules: PairRules, direction: int) -> tuple[Instrument, Instrument]:
    first, second = rules.instruments
    return (first, second) if direction > 0 else (second, first)
