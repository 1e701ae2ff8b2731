"""Tandem against the contenders that were set up alike: how near the floor, how far from a plain bot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from benchmarks.wire.contenders import Variant
from benchmarks.wire.floor import FLOORS

FIGURES: Final = ("p50", "p90", "p99")


class Ratio(NamedTuple):
    """How many times as long one variant takes as another, both legs, by percentile."""

    longer: str
    shorter: str
    p50: float
    p90: float
    p99: float

    @property
    def name(self) -> str:
        return f"{self.longer} / {self.shorter}"


def ratios(variants: Iterable[Variant], medians: Mapping[str, Mapping[str, Any]]) -> Iterator[Ratio]:
    """Tandem, parked, over each floor set up alike, and each bot over Tandem."""
    measured = [variant for variant in variants if variant.name in medians]
    for ours in measured:
        if ours.contender != "tandem" or ours.idle != "park":
            continue
        for theirs in measured:
            if theirs.contender == "tandem" or not _are_alike(ours, theirs):
                continue
            pair = (ours, theirs) if theirs.contender in FLOORS else (theirs, ours)
            longer, shorter = (medians[variant.name]["wire"]["both legs"] for variant in pair)
            values = (round(longer[figure] / shorter[figure], 2) for figure in FIGURES)
            yield Ratio(pair[0].name, pair[1].name, *values)


def _are_alike(ours: Variant, theirs: Variant) -> bool:
    # A bot knows no warmth and no priority: it is compared with Tandem as it comes and as tuned.
    if theirs.contender in FLOORS and (ours.warm_ms, ours.fifo) != (theirs.warm_ms, theirs.fifo):
        return False
    fields = ("tls", "awake", "pairs", "busy", "beside")
    return all(getattr(ours, field) == getattr(theirs, field) for field in fields)


def print_ratios(found: Iterable[Ratio]) -> None:
    print("\ntimes as long, both legs, set up alike:")
    print(f"{'':72}" + "".join(f" {figure:>7}" for figure in FIGURES))
    for ratio in found:
        print(f"  {ratio.name:70} {ratio.p50:7.2f} {ratio.p90:7.2f} {ratio.p99:7.2f}")
