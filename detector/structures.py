"""The detector's library, and the structures of its headers as ctypes has them, field by field."""

from __future__ import annotations

import ctypes
from typing import Final

from detector.gates import Refusal
from detector.strategy import Opportunity, Outcome, PairStrategy
from runtime.native import DETECTOR, NotNative, load
from shm.counter_names import HANDED_OVER
from shm.entry_block import GATES, EntryBlock
from shm.native_access import BellC, QueueWriterC, RingReaderC, SlotsC
from shm.records import PAIR_VIEW, QUOTE, SIGNAL, SignalKind

LAYERS_MAX: Final = 8
DECIDED_MAX: Final = 64
_CERTAIN_MAX: Final = 1 << 60
# Why a quote was left to Python, by C's number for it: the name of its counter.
UNCERTAIN: Final = ("", *HANDED_OVER)
# Gates whose two numbers are basis points; the others compare whole numbers.
_IN_BPS: Final = frozenset((EntryBlock.ABSURD, EntryBlock.THRESHOLD, EntryBlock.EDGE, EntryBlock.SLIPPAGE))

_I64, _F64 = ctypes.c_int64, ctypes.c_double


class LayerC(ctypes.Structure):
    _fields_ = (("trigger_bps", _F64), ("size_e8", _I64))


_REALS: Final = (
    *("exit_bps", "fees_bps", "edge_bps_min", "gain_bps_max"),
    *("liquidity_ratio_min", "slippage_bps_max", "reach_bps"),
)
_WHOLES: Final = (
    *("confirm_ticks", "exit_confirm_ticks", "quote_age_ns_max", "leg_skew_ns_max"),
    *("min_notional_e8", "cooldown_ns", "hold_ns_max", "signal_ttl_ns"),
)


class RulesC(ctypes.Structure):
    _fields_ = (
        ("layers", LayerC * LAYERS_MAX),
        ("layer_count", _I64),
        *((name, _F64) for name in _REALS),
        *((name, _I64) for name in _WHOLES),
        ("slippage_bps", _F64),
        ("funding_bps", _F64),
    )


class FeedStatusC(ctypes.Structure):
    _fields_ = (("is_connected", _I64), ("beat_mono_ns", _I64))


class StreakC(ctypes.Structure):
    _fields_ = (("target", _I64), ("ticks", _I64))


class NumberC(ctypes.Union):
    _fields_ = (("whole", _I64), ("real", _F64))


class OutcomeC(ctypes.Structure):
    _fields_ = (
        ("is_opportunity", _I64),
        ("gate", _I64),
        ("value", NumberC),
        ("limit", NumberC),
        *(
            (name, _I64)
            for name in (
                *("kind", "direction", "layer", "size_e8"),
                *("first_price_e8", "second_price_e8"),
            )
        ),
        ("spread_bps", _F64),
        ("edge_bps", _F64),
    )


def rules_in_c(strategy: PairStrategy) -> RulesC:
    """Its rules and what it expects, as C has them. Rules that do not fit, or convert prices, have no layers
    there, and are Python's to decide by."""
    rules = strategy.rules
    wholes = {name: getattr(rules, name) for name in _WHOLES}
    sizes_e8 = [layer.size_e8 for layer in rules.layers]
    if (
        rules.quote_rate is not None
        or len(sizes_e8) > LAYERS_MAX
        or not all(0 <= one < _CERTAIN_MAX for one in (*wholes.values(), *sizes_e8))
    ):
        return RulesC()
    return RulesC(
        layers=(LayerC * LAYERS_MAX)(*(LayerC(layer.trigger_bps, layer.size_e8) for layer in rules.layers)),
        layer_count=len(sizes_e8),
        **{name: getattr(rules, name) for name in _REALS},
        **wholes,
        slippage_bps=strategy.slippage_bps,
        funding_bps=strategy.funding_bps,
    )


def outcome_of(found: OutcomeC) -> Outcome:
    """An outcome as ``PairStrategy`` gives it."""
    if found.is_opportunity:
        return Opportunity(
            kind=SignalKind(found.kind),
            direction=found.direction,
            layer=found.layer,
            size_e8=found.size_e8,
            first_price_e8=found.first_price_e8,
            second_price_e8=found.second_price_e8,
            spread_bps=found.spread_bps,
            edge_bps=found.edge_bps,
        )
    gate = GATES[found.gate]
    if gate in _IN_BPS:
        return Refusal(gate, found.value.real, found.limit.real)
    return Refusal(gate, found.value.whole, found.limit.whole)


class VenueC(ctypes.Structure):
    _fields_ = (
        ("ring", RingReaderC),
        ("tops", SlotsC),
        ("depth", SlotsC),
        ("connected", ctypes.c_void_p),
        ("heartbeat_mono_ns", ctypes.c_void_p),
        ("status", FeedStatusC),
        ("maintenance_left_s", _I64),
        ("overtaken_seen", _I64),
    )


class PairC(ctypes.Structure):
    _fields_ = (
        ("instruments", _I64 * 2),
        ("venues", _I64 * 2),
        ("rules", RulesC),
        ("streaks", StreakC * 2),
        ("view", ctypes.c_int64 * (PAIR_VIEW.size // 8)),
        ("has_view", _I64),
        ("view_sequence", _I64),
        ("pending_id", _I64),
        ("pending_expires_mono_ns", _I64),
        ("evaluations", ctypes.c_void_p),
        ("signals", ctypes.c_void_p),
        ("gates", ctypes.c_void_p * len(GATES)),
        ("widest_bps", _F64 * 2),
        ("has_refused", _I64),
        ("last_refusal", OutcomeC),
    )


class CoreC(ctypes.Structure):
    _fields_ = (
        ("venue_count", _I64),
        ("pair_count", _I64),
        ("instrument_count", _I64),
        ("venues", ctypes.POINTER(VenueC)),
        ("pairs", ctypes.POINTER(PairC)),
        ("quotes", ctypes.c_void_p),
        ("pair_of", ctypes.POINTER(_I64)),
        ("venue_of", ctypes.POINTER(_I64)),
        ("views", SlotsC),
        ("signals", QueueWriterC),
        ("executor_bell", BellC),
        ("own_bell", BellC),
        ("quotes_total", ctypes.c_void_p),
        ("overtaken_total", ctypes.c_void_p),
        ("signals_refused_total", ctypes.c_void_p),
        ("publish_to_seen", ctypes.c_void_p),
        ("seen_to_decided", ctypes.c_void_p),
        ("epoch", _I64),
        ("signal_count", _I64),
        ("decided", _I64 * (SIGNAL.size // 8) * DECIDED_MAX),
        ("decided_count", _I64),
        ("left", _I64 * (QUOTE.size // 8)),
        ("left_reason", _I64),
        ("left_seen_mono_ns", _I64),
        ("is_cut", _I64),
        ("place", _I64),
        ("taken", _I64),
        ("warm_next", _I64),
    )


SIZES: Final = (*map(ctypes.sizeof, (CoreC, VenueC, PairC, RulesC, OutcomeC)), len(GATES))


def load_detector() -> ctypes.CDLL:
    """The detector's library, held against this code. Raises NotNative."""
    library = load(DETECTOR)
    library.core_sizes.restype = ctypes.POINTER(_I64)
    sizes = library.core_sizes()
    if tuple(sizes[place] for place in range(len(SIZES))) != SIZES:
        raise NotNative(
            f"{DETECTOR.path.name} has other structures; build it again: python -m runtime.native"
        )
    for call in (library.core_turn, library.core_has_work, library.core_decide):
        call.restype = _I64
    library.core_rest.restype = library.core_keep_warm.restype = None
    library.core_true_quotient.restype = ctypes.c_double
    return library
