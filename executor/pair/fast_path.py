"""The short way of a signal: its orders leave before the pair machine has taken the step.

A full step costs many times what the orders cost that follow from it, and at rest those are known
beforehand but for their prices. So a step is rehearsed while nothing happens (``rehearse``), with the
state as it is and a signal like the one expected. When the signal comes and nothing has changed,
``predicted_sends`` says which orders the machine *will* command; the event is journalled with them, they
are written, and then the machine takes the very step, whose sends must be those that left.

Certain means: ``step`` with this state and this event gives these sends, whatever else it gives. It
holds because at rest nothing of a step's sends depends on time but waits that a rehearsal found to be
over, and nothing on prices but limits, computed here as there, and the least size of an entry, asked
here again. ``tests/executor/pair/test_fast_path.py`` compares both over random histories. Where there is no
certainty there is None, and the signal goes the long way.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from executor.pair import machine
from executor.pair.entry import begin_entry
from executor.pair.messages import Command, Enter, Exit, Purpose, Send
from executor.pair.pricing import limit_price_e8, openable_e8
from executor.pair.repair import has_live_order, trade_to_close
from executor.pair.state import Halt, PairRules, PairState
from executor.pair.transition import Transition
from venues.contract import Side

_ENTER, _EXIT = b"N", b"X"


class Prediction(NamedTuple):
    """What a signal of one kind would send from one state; its limit prices are those of then."""

    state: PairState  # compared by identity: every change makes another one
    sends: tuple[Send, ...]  # none: the signal goes the long way
    layer: int  # of an entry
    size_e8: int


def rehearse(rules: PairRules, state: PairState, event: Enter | Exit) -> Prediction:
    """Take the step of an event that is expected and keep what it would send.

    No sends where it would send nothing, or anything but first tries of the event's own kind.
    """
    nothing = Prediction(state, (), 0, 0)
    if not _is_at_rest(state) or not all(market.is_valid for market in event.at.markets):
        return nothing
    _, commands = machine.step(rules, state, event)
    sends = tuple(command for command in commands if isinstance(command, Send))
    is_entry = isinstance(event, Enter)
    purpose = Purpose.ENTRY if is_entry else Purpose.EXIT
    if not sends or any(send.purpose is not purpose or send.attempt for send in sends):
        return nothing
    if isinstance(event, Enter):
        return Prediction(state, sends, event.layer, event.size_e8)
    return Prediction(state, sends, 0, 0)


def predicted_sends(
    rules: PairRules, state: PairState, event: Enter | Exit, rehearsal: Prediction | None
) -> tuple[Send, ...] | None:
    """The sends that ``machine.step(rules, state, event)`` will command, or None if that is not certain."""
    if rehearsal is None or rehearsal.state is not state or not rehearsal.sends:
        return None
    first, second = event.at.markets
    if not (first.is_valid and second.is_valid):
        return None
    if type(event) is Enter:
        return _certain_entry(rules, state, event, rehearsal)
    sends = []
    for send in rehearsal.sends:
        market = first if send.leg == 0 else second
        touch_e8 = market.ask_e8 if send.side > 0 else market.bid_e8
        if touch_e8 <= 0:
            return None
        limit_e8 = limit_price_e8(rules.instruments[send.leg], send.side, touch_e8, _exit_band_bps(rules))
        sends.append(_with_limit(send, limit_e8))
    return tuple(sends)


def _certain_entry(
    rules: PairRules, state: PairState, event: Enter, rehearsal: Prediction
) -> tuple[Send, ...] | None:
    if (
        event.layer != rehearsal.layer
        or event.size_e8 != rehearsal.size_e8
        or event.signal_id <= state.last_signal_id
        or event.direction != rehearsal.sends[0].side
    ):
        return None
    sends = []
    for send in rehearsal.sends:
        instrument, price_e8 = rules.instruments[send.leg], event.prices_e8[send.leg]
        if price_e8 <= 0:
            return None
        limit_e8 = limit_price_e8(instrument, send.side, price_e8, rules.price_band_bps)
        if openable_e8(instrument, event.size_e8, limit_e8) != event.size_e8:
            return None
        sends.append(_with_limit(send, limit_e8))
    return tuple(sends)


def _is_at_rest(state: PairState) -> bool:
    """Nothing under way, nothing urgent, and no clock running that a later step could find run out."""
    return (
        not has_live_order(state)
        and not state.naked_mono_ns
        and state.halt is Halt.NONE
        and not state.flatten
    )


def _exit_band_bps(rules: PairRules) -> float:
    """Of a first try that is in no hurry."""
    return min(rules.price_band_bps, rules.price_band_bps_max)


def _with_limit(send: Send, limit_e8: int) -> Send:
    # ``_replace`` takes three times as long.
    return Send(
        client_order_id=send.client_order_id,
        leg=send.leg,
        side=send.side,
        size_e8=send.size_e8,
        limit_price_e8=limit_e8,
        reduce_only=send.reduce_only,
        purpose=send.purpose,
        attempt=send.attempt,
    )


# ------------------------------------------------------------------------------- for the journal


class PendingSignal(NamedTuple):
    """A signal and the orders that leave for it before its step is taken."""

    event: Enter | Exit
    sends: tuple[Send, ...]


def dump_taken(event: Enter | Exit, sends: tuple[Send, ...]) -> bytes:
    """Both as bytes, to be taken up by a successor."""
    return (_ENTER if type(event) is Enter else _EXIT) + _encoder.encode((event, sends))


def load_taken(body: bytes) -> PendingSignal:
    """What ``dump_taken`` wrote. Raises msgspec.DecodeError if it is not that."""
    decoder: Any = _enter_decoder if body[:1] == _ENTER else _exit_decoder
    return PendingSignal(*decoder.decode(body[1:]))


def take_up(rules: PairRules, state: PairState, taken: PendingSignal) -> tuple[PairState, list[Command]]:
    """The step of a signal whose orders may have left already, told by those orders.

    It is the step that ``machine.step`` would take with the rules they left by. Today's may be others: an
    operator who allows fewer layers, or another price band, does not change what is at the venues.
    """
    event, sends = taken
    transition = Transition(rules, state, event.at)
    if isinstance(event, Enter):
        trade = begin_entry(transition, event)
    else:
        machine.begin_exit(transition, event)
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
    return machine.conclude(transition)


_encoder: Final = msgspec.msgpack.Encoder()
_enter_decoder: Final = msgspec.msgpack.Decoder(tuple[Enter, tuple[Send, ...]])
_exit_decoder: Final = msgspec.msgpack.Decoder(tuple[Exit, tuple[Send, ...]])
