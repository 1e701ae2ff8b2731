"""The layouts as Python has them, under the names that ``_layout_items.h`` gives to C's."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from shm import broadcast, counters, queue, records, slot
from shm.records import PairPhase, PairView, Quote, QuoteFlags, Signal, SignalKind


def _record(kind: type[NamedTuple], struct: Struct) -> dict[str, int]:
    """Every field is one word."""
    return {
        kind.__name__: struct.size,
        **{f"{kind.__name__}.{field}": 8 * place for place, field in enumerate(kind._fields)},
    }


LAYOUT: Final[Mapping[str, int]] = {
    **_record(Quote, records.QUOTE),
    **_record(Signal, records.SIGNAL),
    **_record(PairView, records.PAIR_VIEW),
    "QuoteFlags.VALID": QuoteFlags.VALID,
    "QuoteFlags.STALE": QuoteFlags.STALE,
    "SignalKind.ENTER": SignalKind.ENTER,
    "SignalKind.EXIT": SignalKind.EXIT,
    "PairPhase.UNKNOWN": PairPhase.UNKNOWN,
    "PairPhase.FLAT": PairPhase.FLAT,
    "PairPhase.HEDGED": PairPhase.HEDGED,
    "depth": records.DEPTH_CAPACITY,
    "depth.levels": records.DEPTH_HEAD.size,
    "slot.body": slot.OVERHEAD,
    "ring.cells": broadcast.CURSOR_WORDS,
    "ring.body": broadcast.CELL_OVERHEAD,
    "queue.tail": queue.TAIL,
    "queue.refused": queue.REFUSED,
    "queue.head": queue.HEAD,
    "queue.messages": queue.CURSOR_WORDS,
    "queue.length_bits": queue.LENGTH_BITS,
    "histogram.buckets": counters.FIRST_BUCKET,
    "histogram.lowest_bits": counters.LOWEST_BITS,
    "histogram.highest_bits": counters.HIGHEST_BITS,
    "histogram.sub_bits": counters.SUB_BITS,
}


def difference(theirs: Mapping[str, int]) -> str:
    """The first thing that a compiled part has elsewhere; empty if it has everything as we do."""
    for name in sorted({*LAYOUT, *theirs}):
        here, there = LAYOUT.get(name), theirs.get(name)
        if here != there:
            return f"{name} is {_shown(there)} in it and {_shown(here)} here"
    return ""


def _shown(value: int | None) -> str:
    return "missing" if value is None else str(int(value))
