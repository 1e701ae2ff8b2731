"""The fast path of a signal: its orders leave before the pair machine has taken the step.

A full step costs many times what the orders cost that follow from it, and at rest those are known
beforehand but for their prices. So a step is predicted while nothing happens (``machine.predict``), with the
state as it is and a signal like the one expected. When the signal comes and nothing has changed,
``predicted_sends`` says which orders the machine *will* command; the event is journalled with them, they
are written, and then the machine takes the very step, whose sends must be those that left.

Certain means: ``step`` with this state and this event gives these sends, whatever else it gives. It
holds because at rest nothing of a step's sends depends on time but waits that the prediction found to be
over, and nothing on prices but limits, computed here as there, and the least size of an entry, asked
here again. ``tests/executor/pair/test_fast_path.py`` compares both over random histories. Where there is no
certainty there is None, and the signal waits for its step.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from executor.pair.messages import Enter, Exit, PendingSignal, Prediction, Send
from executor.pair.pricing import limit_price_e8, openable_e8
from executor.pair.rules import PairRules
from executor.pair.state import Halt, PairState, has_live_order

_ENTER, _EXIT = b"N", b"X"


def predicted_sends(
    rules: PairRules, state: PairState, event: Enter | Exit, prediction: Prediction | None
) -> tuple[Send, ...] | None:
    """The sends that ``machine.step(rules, state, event)`` will command, or None if that is not certain."""
    if prediction is None or prediction.state is not state or not prediction.sends:
        return None
    first, second = event.at.markets
    if not (first.is_valid and second.is_valid):
        return None
    if type(event) is Enter:
        return _certain_entry(rules, state, event, prediction)
    sends = []
    for send in prediction.sends:
        market = first if send.leg == 0 else second
        touch_e8 = market.ask_e8 if send.side > 0 else market.bid_e8
        if touch_e8 <= 0:
            return None
        limit_e8 = limit_price_e8(rules.instruments[send.leg], send.side, touch_e8, _exit_band_bps(rules))
        sends.append(_with_limit(send, limit_e8))
    return tuple(sends)


def _certain_entry(
    rules: PairRules, state: PairState, event: Enter, prediction: Prediction
) -> tuple[Send, ...] | None:
    if (
        event.layer != prediction.layer
        or event.size_e8 != prediction.size_e8
        or event.signal_id <= state.last_signal_id
        or event.direction != prediction.sends[0].side
    ):
        return None
    assert len(prediction.sends) == 2, "an entry is both legs"
    limits_e8 = []
    for send in prediction.sends:
        instrument, price_e8 = rules.instruments[send.leg], event.prices_e8[send.leg]
        if price_e8 <= 0:
            return None
        limit_e8 = limit_price_e8(instrument, send.side, price_e8, rules.price_band_bps)
        if openable_e8(instrument, event.size_e8, limit_e8) != event.size_e8:
            return None
        limits_e8.append(limit_e8)
    first, second = prediction.sends
    assert (first.leg, second.leg) in ((0, 1), (1, 0)), "one order a leg"
    return _with_limit(first, limits_e8[0]), _with_limit(second, limits_e8[1])


def is_at_rest(state: PairState) -> bool:
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


def dump_taken(event: Enter | Exit, sends: tuple[Send, ...]) -> bytes:
    """Both as bytes, to be taken up by a successor."""
    assert sends, "a signal without orders is not kept"
    return (_ENTER if type(event) is Enter else _EXIT) + _encoder.encode((event, sends))


def load_taken(body: bytes) -> PendingSignal:
    """What ``dump_taken`` wrote. Raises msgspec.DecodeError if it is not that."""
    decoder: Any = _enter_decoder if body[:1] == _ENTER else _exit_decoder
    return PendingSignal(*decoder.decode(body[1:]))


_encoder: Final = msgspec.msgpack.Encoder()
_enter_decoder: Final = msgspec.msgpack.Decoder(tuple[Enter, tuple[Send, ...]])
_exit_decoder: Final = msgspec.msgpack.Decoder(tuple[Exit, tuple[Send, ...]])
