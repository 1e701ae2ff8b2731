"""What a pair's gap must be for an entry, and how wide it has been, as people read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from events.decisions import Refusals
from shm.counter_names import GAP_WAYS

_PPB_PER_BPS = 100_000


class GapShown(NamedTuple):
    """One pair, in bps of the price bought at. Of two directions the first is +1: buy the first leg."""

    threshold_bps: float  # of the first layer
    fees_bps: float  # in and out, both legs
    slippage_bps: float  # expected over the whole trade
    funding_bps: float  # expected cost of direction +1; -1 costs the negative
    min_edge_bps: float
    needed_bps: tuple[float, float]
    best_bps: tuple[float | None, float | None]  # the widest gap seen

    @property
    def nearest(self) -> int:
        """The direction, 0 or 1, of which the least was missing."""
        missing = [
            needed - (best if best is not None else -float("inf"))
            for needed, best in zip(self.needed_bps, self.best_bps, strict=True)
        ]
        return missing.index(min(missing)) if None not in self.best_bps else _lower(self.needed_bps)

    def sentence(self) -> str:
        """ "needs 11.0 fees + 0.4 slippage = 11.4; best 2.8"."""
        direction = self.nearest
        needed_bps, best_bps = self.needed_bps[direction], self.best_bps[direction]
        digits = 1 if needed_bps >= 10 else 2
        funding_bps = self.funding_bps * (-1) ** direction
        parts = [(self.fees_bps, "fees"), (self.slippage_bps, "slippage")]
        extra = (funding_bps, "funding"), (self.min_edge_bps, "net edge")
        parts += [(bps, name) for bps, name in extra if bps]
        (first_bps, first_name), *others = parts
        costs = f"{first_bps:.{digits}f} {first_name}" + "".join(
            f" {'-' if bps < 0 else '+'} {abs(bps):.{digits}f} {name}" for bps, name in others
        )
        costs_bps = sum(bps for bps, _ in parts)
        if costs_bps >= self.threshold_bps:
            needs = f"needs {costs} = {needed_bps:.{digits}f}"
        else:
            needs = f"needs {needed_bps:.{digits}f} threshold, above {costs} = {costs_bps:.{digits}f}"
        if best_bps is None:
            return f"{needs}; no gap seen yet"
        wide = ", wide enough" if best_bps >= needed_bps else ""
        return f"{needs}; best {best_bps:.{digits}f}{wide}"


def of_detector(counted: Mapping[str, int], pair: str) -> GapShown | None:
    """What a running detector goes by and has seen since the instance began; None before its first look."""
    if not counted[f"level_mono_ns.{pair}"]:
        return None
    forward, backward = (
        counted[f"best_{way}_ppb.{pair}"] / _PPB_PER_BPS if counted[f"best_{way}_mono_ns.{pair}"] else None
        for way in GAP_WAYS
    )
    return _shown(
        threshold_bps=counted[f"threshold_ppb.{pair}"] / _PPB_PER_BPS,
        fees_bps=counted[f"fees_ppb.{pair}"] / _PPB_PER_BPS,
        slippage_bps=counted[f"slippage_ppb.{pair}"] / _PPB_PER_BPS,
        funding_bps=counted[f"funding_ppb.{pair}"] / _PPB_PER_BPS,
        min_edge_bps=counted[f"edge_min_ppb.{pair}"] / _PPB_PER_BPS,
        best_bps=(forward, backward),
    )


def of_period(events: list[Refusals]) -> GapShown | None:
    """The same of a pair's reports, oldest first: the newest level, the widest gap of all. None where all are
    of a version that did not report it."""
    reported = [event for event in events if event.fees_bps is not None]
    if not reported:
        return None
    widest = [event.best_spreads_bps for event in reported if event.best_spreads_bps is not None]
    newest = reported[-1]
    assert newest.fees_bps is not None
    assert newest.threshold_bps is not None
    return _shown(
        threshold_bps=newest.threshold_bps,
        fees_bps=newest.fees_bps,
        slippage_bps=newest.expected_slippage_bps,
        funding_bps=newest.expected_funding_bps,
        min_edge_bps=newest.min_edge_bps or 0.0,
        best_bps=(
            max((forward for forward, _ in widest), default=None),
            max((backward for _, backward in widest), default=None),
        ),
    )


def _shown(
    *,
    threshold_bps: float,
    fees_bps: float,
    slippage_bps: float,
    funding_bps: float,
    min_edge_bps: float,
    best_bps: tuple[float | None, float | None],
) -> GapShown:
    forward_bps, backward_bps = (
        max(threshold_bps, fees_bps + slippage_bps + direction * funding_bps + min_edge_bps)
        for direction in (1, -1)
    )
    return GapShown(
        threshold_bps=threshold_bps,
        fees_bps=fees_bps,
        slippage_bps=slippage_bps,
        funding_bps=funding_bps,
        min_edge_bps=min_edge_bps,
        needed_bps=(forward_bps, backward_bps),
        best_bps=best_bps,
    )


def _lower(needed_bps: tuple[float, float]) -> int:
    return needed_bps.index(min(needed_bps))
