"""An entry: whether the pair may take it, and the two orders it becomes."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from events.decisions import SignalRefused
from executor.pair.client_order_id import SEQUENCES_KEPT, SEQUENCES_OF_LEG
from executor.pair.messages import Enter
from executor.pair.order import Purpose
from executor.pair.pricing import limit_price_e8, openable_e8
from executor.pair.state import (
    Halt,
    Plan,
    Trade,
    entry_finds_pair_at_rest,
    next_client_order_id,
)
from executor.pair.trade_result import close_books
from executor.pair.transition import Transition, leg_is_ready
from shm.entry_block import EntryBlock
from venues.contract import Side

_SIDES = {1: (Side.BUY, Side.SELL), -1: (Side.SELL, Side.BUY)}  # of both legs, by direction
_SEQUENCES_FOR_ENTRIES = SEQUENCES_OF_LEG - SEQUENCES_KEPT


def on_enter(transition: Transition, event: Enter) -> bool:
    """Take the entry and send both legs; False when it may not be."""
    rules, prices_e8 = transition.rules, event.prices_e8
    sides, band_bps = _SIDES[event.direction], rules.price_band_bps
    limits_e8 = [
        limit_price_e8(instrument, side, price_e8, band_bps)
        for instrument, side, price_e8 in zip(rules.instruments, sides, prices_e8, strict=True)
    ]
    refusal = _entry_refusal(transition, event, limits_e8)
    if refusal is not None:
        block, value, limit = refusal
        transition.report(
            SignalRefused, signal_id=event.signal_id, gate=block.value, value=value, limit=limit
        )
        return False
    assert transition.state.plan is Plan.NONE, "an entry begins at rest"
    assert min(limits_e8) > 0, "a refusal has seen to the prices"
    trade = begin_entry(transition, event)
    for leg in (0, 1):
        transition.send(
            leg=leg,
            side=sides[leg],
            size_e8=event.size_e8,
            limit_price_e8=limits_e8[leg],
            purpose=Purpose.ENTRY,
            attempt=0,
            trade_id=trade.trade_id,
        )
    return True


def begin_entry(transition: Transition, event: Enter) -> Trade:
    """Make the entry what the pair is doing; its orders are still to be sent."""
    rules, state = transition.rules, transition.state
    if state.trade is not None and state.trade.closed_mono_ns:
        transition.state, result = close_books(rules, state, transition.rate_e8)
        transition.others.append(result)
    trade = transition.state.trade or Trade(
        next_client_order_id(rules, state, 0),
        event.direction,
        event.signal_id,
        0.0,
        event.prices_e8,
        rate_e8=transition.rate_e8,
    )
    trade = replace(
        trade,
        spread_bps=event.spread_bps,
        prices_e8=event.prices_e8,
        layer=event.layer,
        hedged_e8=min(abs(state.legs[0].held_e8), abs(state.legs[1].held_e8)),
    )
    transition.change(trade=trade, last_signal_id=event.signal_id, plan=Plan.ENTRY, attempt=0)
    return trade


def _entry_refusal(
    transition: Transition, event: Enter, limits_e8: list[int]
) -> tuple[EntryBlock, Any, Any] | None:
    """Why the entry may not be: reason, value, limit; None when it may."""
    rules, state = transition.rules, transition.state
    trade = state.trade if state.trade and not state.trade.closed_mono_ns else None
    if state.halt is not Halt.NONE:
        return EntryBlock.PAIR_HALTED, state.halt.name.lower(), "none"
    if not entry_finds_pair_at_rest(state):
        return EntryBlock.PAIR_STATE, state.phase.name, "FLAT or HEDGED"
    if state.entries_stopped or state.flatten:
        return EntryBlock.ENTRIES_STOPPED, state.entries_stopped or state.flatten, ""
    for number, leg in enumerate(state.legs):
        if not leg_is_ready(rules, leg):
            return EntryBlock.POSITIONS_CONFIRMED, rules.instruments[number].venue, "confirmed and streaming"
        if transition.now_mono_ns < leg.not_before_mono_ns:
            wait_ms = (leg.not_before_mono_ns - transition.now_mono_ns) / 1e6
            return EntryBlock.VENUE_WANTS_PAUSE, rules.instruments[number].venue, f"in {wait_ms:.0f} ms"
        if leg.sequence >= _SEQUENCES_FOR_ENTRIES:
            return EntryBlock.ORDER_IDS_LEFT, leg.sequence, SEQUENCES_OF_LEG
    if event.signal_id <= state.last_signal_id:
        return EntryBlock.SIGNAL_SEEN, event.signal_id, state.last_signal_id
    if trade is not None and trade.direction != event.direction:
        return EntryBlock.DIRECTION, event.direction, trade.direction
    layers = trade.layers if trade is not None else 0
    if event.layer != layers or layers >= rules.layers_max:
        return EntryBlock.LAYER, event.layer, min(layers, rules.layers_max - 1)
    size_e8 = event.size_e8
    if size_e8 <= 0 or size_e8 % rules.common_lot_e8:
        return EntryBlock.SIZE, size_e8, f"a multiple of {rules.common_lot_e8}"
    for instrument, price_e8, limit_e8 in zip(rules.instruments, event.prices_e8, limits_e8, strict=True):
        if price_e8 <= 0:
            return EntryBlock.PRICE, price_e8, "above 0"
        if openable_e8(instrument, size_e8, limit_e8) != size_e8:
            return EntryBlock.SIZE, size_e8, f"what {instrument.venue} takes in one order"
    return None
