"""What the pair machine knows: rules that never change, and a state that survives ``kill -9``.

The state is immutable and flat enough to be bytes: the process writes ``dump(state)`` into shared
memory before every batch of sends, and a successor begins with ``load`` and a ``Restarted`` event.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import IntEnum
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from executor.pair.client_order_id import check_epoch, check_pair_id, compose
from executor.pair.order import Order
from executor.pair.pricing import closable_e8
from executor.pair.rules import PairRules
from shm.records import PairPhase, PairView
from venues.contract import E8, PAR_E8, Side

PAST_ORDERS = 8  # ended orders remembered per leg, for messages that come late
OWED_ORDERS = 24  # ... and as many older ones whose price or fee is still asked for
STATE_BYTES_MAX = 1 << 17  # room to provide per pair for ``dump``; a state takes 2 KiB, the largest 90

# The pair's phase. It is not stored by hand but follows from the facts (``machine`` computes it);
# the table says which changes one event may make.
#
#              enter                both filled           exit
#     FLAT ────────────► OPENING ───────────────► HEDGED ────────► CLOSING ───► FLAT
#       ▲  ◄── nothing ──┘  │                      │  ▲ ◄─ no exit ──┘ │
#       │       filled      │ legs differ, or an   │  │                │
#       │                   ▼ outcome is in doubt  ▼  │ mended         ▼
#       └─────────────── REPAIRING ◄───────────────┴──┴────────────────┘
#                           │ doubt too long, retries used up, or a position nobody can explain
#                           ▼
#                        HALTED ── operator ──► whatever the facts then are
#
_P = PairPhase
PHASE_STEPS: Final[Mapping[PairPhase, Set[PairPhase]]] = {
    _P.UNKNOWN: {_P.FLAT, _P.HEDGED, _P.CLOSING, _P.REPAIRING},
    _P.FLAT: {_P.OPENING, _P.REPAIRING, _P.HEDGED, _P.CLOSING, _P.HALTED},  # from a late fill on
    _P.OPENING: {_P.FLAT, _P.HEDGED, _P.CLOSING, _P.REPAIRING, _P.HALTED},
    _P.HEDGED: {_P.FLAT, _P.OPENING, _P.CLOSING, _P.REPAIRING, _P.HALTED},
    _P.CLOSING: {_P.FLAT, _P.HEDGED, _P.REPAIRING, _P.HALTED},
    _P.REPAIRING: {_P.FLAT, _P.OPENING, _P.HEDGED, _P.CLOSING, _P.HALTED},
    _P.HALTED: {_P.FLAT, _P.OPENING, _P.HEDGED, _P.CLOSING, _P.REPAIRING},
}
assert set(PHASE_STEPS) == set(PairPhase)


HEDGE_DRIFT: Final = "hedge_drift"  # the reason to close legs that differed for too long
REASON_CHARS_MAX: Final = 200  # of what a venue or an operator gives as a reason
SHUTDOWN: Final = "shutdown"  # the reason to flatten of a process that is to end flat


class Plan(IntEnum):
    """What the orders under way, or the next ones, are for."""

    NONE = 0
    ENTRY = 1
    COMPLETE = 2
    UNWIND = 3
    EXIT = 4


class Halt(IntEnum):
    """Why a pair is HALTED."""

    NONE = 0
    IN_DOUBT = 1  # a venue does not answer about an order; asking goes on
    NOT_MENDED = 2  # retries are used up; reducing goes on, slower
    UNEXPLAINED = 3  # a venue holds what the journal does not explain; nothing is touched


class Leg(Struct, frozen=True, array_like=True, gc=False):
    """One leg: what it holds, what is under way, what was under way lately."""

    position_e8: int = 0  # signed; what ended orders made of it
    live: tuple[Order, ...] = ()
    past: tuple[Order, ...] = ()  # oldest first
    sequence: int = 0  # ids used in this epoch
    is_stream_up: bool = False
    is_verified: bool = False  # the venue has confirmed the position since start or reconnect
    is_to_confirm: bool = False  # mended since then: nothing is opened before the venue has looked again
    changed_mono_ns: int = 0  # last change of an order or the position: older reads mean nothing
    read_e8: int = 0  # last position read since then
    read_mono_ns: int = 0  # when it was asked
    reads: int = 0  # how many spaced ones agreed
    bid_e8: int = 0  # last usable touch, for when the feed is away and a leg must go
    ask_e8: int = 0
    not_before_mono_ns: int = 0  # the venue asked to be left alone until then
    gone_e8: int = 0  # signed: what was believed to be closed by somebody else
    gone_mono_ns: int = 0
    filled_mono_ns: int = 0  # when a fill of ours was reported last
    grid_doubted_mono_ns: int = 0  # since when the venue does not like our grid; 0 when it is known
    next_grid_mono_ns: int = 0  # when it is asked for again
    disputed_mono_ns: int = 0  # since when every read says something else than we know; 0 when it does not
    closed_trade_id: int = 0  # the trade whose close the venue has still to confirm; 0 when it has

    @property
    def held_e8(self) -> int:
        """Signed position, with what the orders under way are known to have filled."""
        held_e8 = self.position_e8
        for order in self.live:
            held_e8 += order.signed_filled_e8
        return held_e8


class LegLedger(Struct, frozen=True, array_like=True, gc=False):
    """What one leg of a trade has bought and sold so far."""

    bought_e8: int = 0
    bought_quote_e8: int = 0
    sold_e8: int = 0
    sold_quote_e8: int = 0
    fee_e8: int = 0


class Trade(Struct, frozen=True, array_like=True, gc=False):
    """One round trip, from the first entry to flat."""

    trade_id: int  # leg 0's first client order id: unique for ever
    direction: int
    signal_id: int
    spread_bps: float  # of the newest entry signal
    prices_e8: tuple[int, int]  # detected, of the newest entry signal
    layers: int = 0  # that stand
    layer: int = 0  # the newest one tried
    hedged_e8: int = 0  # hedged size as last reported
    opened_mono_ns: int = 0  # first hedged; 0 before
    closed_mono_ns: int = 0  # flat; 0 before
    exit_reason: str = ""
    books: tuple[LegLedger, LegLedger] = (LegLedger(), LegLedger())
    naked_ns: int = 0
    naked_notional_max_e8: int = 0
    retries: int = 0
    is_estimated: bool = False  # part of it happened outside our orders: prices are estimates
    rate_e8: int = PAR_E8  # of the quote currencies when it began, see ``At``


class ClosedTrade(Struct, frozen=True, array_like=True, gc=False):
    """The result of a trade whose books are closed: what is reported late about its orders corrects it."""

    trade_id: int
    direction: int
    closed_mono_ns: int
    gross_e8: int  # before fees
    fees_e8: int
    is_estimated: bool  # part of it happened outside our orders
    rate_e8: int = PAR_E8  # of the quote currencies when it was closed: its results are in that of leg 0


class Held(NamedTuple):
    """An open trade as the journal or the database reports it, to be checked against the venues."""

    trade_id: int
    sizes_e8: tuple[int, int]  # signed position of each leg
    prices_e8: tuple[int, int]  # average entry prices
    fees_e8: tuple[int, int]
    layers: int
    opened_mono_ns: int
    rate_e8: int = PAR_E8  # of the quote currencies when it began


class PairState(Struct, frozen=True, array_like=True, gc=False):
    """Everything one pair's machine knows."""

    epoch: int
    legs: tuple[Leg, Leg]
    phase: PairPhase = PairPhase.UNKNOWN
    plan: Plan = Plan.NONE
    attempt: int = 0  # tries the plan has used
    settled_mono_ns: int = 0  # when the last order ended: delays count from here
    halt: Halt = Halt.NONE
    entries_stopped: str = ""  # why nothing may be opened; "" when it may
    flatten: str = ""  # why everything is to be closed; "" when it is not
    trade: Trade | None = None
    naked_mono_ns: int = 0  # since when the legs differ; 0 when they do not
    is_naked_reported: bool = False  # naked_start was logged for it
    unverified_mono_ns: int = 0  # since when a position is not confirmed; 0 when both are
    next_read_mono_ns: int = 0
    last_signal_id: int = 0
    closed_mono_ns: int = 0
    view: PairView | None = None  # as last published
    drift_mono_ns: int = 0  # since when the legs differ by more than ``hedge_drift_bps_max``; 0 when not
    closed: tuple[ClosedTrade, ...] = ()  # whose orders are remembered; the newest last


def new_state(rules: PairRules, epoch: int, held: Held | None = None) -> PairState:
    """A pair that has not received from its venues yet: nothing is opened before they confirm ``held``.

    Without ``held`` both legs are expected flat. ``Restarted`` is not needed after this.
    """
    check_epoch(epoch)
    check_pair_id(rules.pair_id)
    assert rules.common_lot_e8 % rules.instruments[0].lot_e8 == 0
    assert rules.common_lot_e8 % rules.instruments[1].lot_e8 == 0
    if held is None:
        return PairState(epoch=epoch, legs=(Leg(), Leg()))
    books = tuple(
        _bought_or_sold(size_e8, price_e8, fee_e8)
        for size_e8, price_e8, fee_e8 in zip(held.sizes_e8, held.prices_e8, held.fees_e8, strict=True)
    )
    trade = Trade(
        trade_id=held.trade_id,
        direction=sign(held.sizes_e8[0]) or -sign(held.sizes_e8[1]),
        signal_id=0,
        spread_bps=0.0,
        prices_e8=held.prices_e8,
        layers=held.layers,
        hedged_e8=min(abs(size_e8) for size_e8 in held.sizes_e8),
        opened_mono_ns=held.opened_mono_ns,
        books=(books[0], books[1]),
        rate_e8=held.rate_e8,
    )
    legs = (Leg(position_e8=held.sizes_e8[0]), Leg(position_e8=held.sizes_e8[1]))
    return PairState(epoch=epoch, legs=legs, trade=trade)


def dump(state: PairState) -> bytes:
    """The state as bytes for the journal, at most ``STATE_BYTES_MAX``."""
    body = _encoder.encode(state)
    assert len(body) <= STATE_BYTES_MAX, f"a state of {len(body)} bytes has no room in memory"
    return body


def load(body: bytes) -> PairState:
    """The state ``dump`` wrote. Raises msgspec.DecodeError if it is not one."""
    return _decoder.decode(body)


def next_client_order_id(rules: PairRules, state: PairState, leg: int) -> int:
    """The id the next order on ``leg`` will have."""
    return compose(state.epoch, rules.pair_id, state.legs[leg].sequence, leg)


def net_e8(state: PairState) -> int:
    """Signed difference of the legs as far as the venues have reported; 0 when hedged."""
    return state.legs[0].held_e8 + state.legs[1].held_e8


def is_flat(rules: PairRules, state: PairState) -> bool:
    """Whether nothing is held that an order could close."""
    return not any(
        closable_e8(instrument, abs(leg.held_e8))
        for instrument, leg in zip(rules.instruments, state.legs, strict=True)
    )


def _bought_or_sold(size_e8: int, price_e8: int, fee_e8: int) -> LegLedger:
    quote_e8 = abs(size_e8) * price_e8 // E8
    if size_e8 >= 0:
        return LegLedger(bought_e8=size_e8, bought_quote_e8=quote_e8, fee_e8=fee_e8)
    return LegLedger(sold_e8=-size_e8, sold_quote_e8=quote_e8, fee_e8=fee_e8)


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


def shrinking_side(position_e8: int) -> Side:
    """The side that shrinks a position."""
    return Side.SELL if position_e8 > 0 else Side.BUY


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(PairState)


def is_estimated(state: PairState, trade: Trade | ClosedTrade) -> bool:
    """Whether a part of the trade is not known: an order's price or fee, or what no order did."""
    return trade.is_estimated or any(
        order.trade_id == trade.trade_id and not order.is_accounted
        for leg in state.legs
        for order in (*leg.live, *leg.past)
    )


def result_of(rules: PairRules, state: PairState, trade: ClosedTrade, now_mono_ns: int) -> dict[str, Any]:
    """A closed trade's result as every event about it says."""
    return {
        "pair": rules.pair,
        "trade_id": trade.trade_id,
        "direction": trade.direction,
        "gross_e8": trade.gross_e8,
        "fees_e8": trade.fees_e8,
        "net_e8": trade.gross_e8 - trade.fees_e8,
        "is_estimated": is_estimated(state, trade),
        "closed_ago_ms": (now_mono_ns - trade.closed_mono_ns) / 1e6,
    }


def has_live_order(state: PairState) -> bool:
    return any(leg.live for leg in state.legs)


def is_naked(rules: PairRules, state: PairState) -> bool:
    """Whether the legs differ by a common lot or more, and by more than is tolerated."""
    difference_e8 = abs(net_e8(state))
    return difference_e8 >= rules.common_lot_e8 and not is_tolerated(rules, state, difference_e8)


def is_tolerated(rules: PairRules, state: PairState, difference_e8: int) -> bool:
    """Whether mending a difference is not worth its fees: few lots, and little of what is held."""
    assert difference_e8 >= 0, "what is tolerated has no direction"
    if difference_e8 > rules.drift_lots_max * rules.common_lot_e8:
        return False
    larger_e8 = max(abs(leg.held_e8) for leg in state.legs)
    return 10_000 * difference_e8 <= rules.drift_bps_max * larger_e8


def is_disputed(leg: Leg) -> bool:
    """Whether the last read says something else than we know, and is not confirmed yet."""
    return leg.reads > 0 and not leg.live and leg.read_e8 != leg.position_e8


def may_lag(rules: PairRules, leg: Leg) -> bool:
    """Whether the last read may be older than the last fill: venues keep the two in different places."""
    return leg.filled_mono_ns > 0 and leg.read_mono_ns < leg.filled_mono_ns + rules.read_lag_ns


def entry_finds_pair_at_rest(state: PairState) -> bool:
    """Nothing under way, nothing in doubt, nothing to mend."""
    return not has_live_order(state) and state.plan is Plan.NONE
