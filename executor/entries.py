"""An entry: whether the pair may take it, and the two orders it becomes."""

from __future__ import annotations

from typing import Any

from executor.messages import Enter, Purpose
from executor.plans import adopt_plan, has_live_order
from executor.pricing import limit_price_e8, openable_e8
from executor.state import (
    SEQUENCE_BITS,
    SEQUENCES_KEPT,
    Halt,
    PairState,
    Plan,
    Trade,
    next_client_order_id,
)
from executor.telling import close_books
from executor.turn import Turn, leg_is_ready
from venues.contract import Side


def on_enter(turn: Turn, event: Enter) -> None:
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
        if turn.now_mono_ns < leg.not_before_mono_ns:
            wait_ms = (leg.not_before_mono_ns - turn.now_mono_ns) / 1e6
            return "venue_wants_pause", rules.instruments[number].venue, f"in {wait_ms:.0f} ms"
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


def _hedged_e8(turn: Turn) -> int:
    return min(abs(leg.held_e8) for leg in turn.state.legs)
