"""One pair's gap, for those who ask why it does not trade: what it must be, and how wide it has been.

Written to the detector's counters once a second, so that looking at it costs a quote two divisions.
"""

from __future__ import annotations

from typing import Final

from detector.rules import Rules
from shm.counter_names import GAP_LEVEL, GAP_WAYS
from shm.counters import CounterTable
from shm.records import Quote

_NONE_YET: Final = float("-inf")
_PPB_PER_BPS: Final = 100_000


class Gap:
    """The level an entry needs and the widest gap of both directions, forward (+1) first."""

    def __init__(self, counters: CounterTable, pair: str) -> None:
        self._counters = counters
        self._level = {name: counters.index(f"{name}_ppb.{pair}") for name in GAP_LEVEL}
        self._level_at = counters.index(f"level_mono_ns.{pair}")
        self._best = [counters.index(f"best_{way}_ppb.{pair}") for way in GAP_WAYS]
        self._best_at = [counters.index(f"best_{way}_mono_ns.{pair}") for way in GAP_WAYS]
        self._forward_bps = self._backward_bps = _NONE_YET  # since the counters were written
        self._reported_bps = [_NONE_YET, _NONE_YET]  # since the last report

    def note(self, first: Quote, second: Quote, gap_bps_max: float) -> None:
        """Take in two quotes that can be believed. What is too good to be true is no gap."""
        forward_bps = 10_000 * (second.bid_e8 - first.ask_e8) / first.ask_e8
        if self._forward_bps < forward_bps <= gap_bps_max:
            self._forward_bps = forward_bps
        backward_bps = 10_000 * (first.bid_e8 - second.ask_e8) / second.ask_e8
        if self._backward_bps < backward_bps <= gap_bps_max:
            self._backward_bps = backward_bps

    def show(self, rules: Rules, slippage_bps: float, funding_bps: float, now_mono_ns: int) -> None:
        """Write both to the counters; the maxima there are since the instance began."""
        level_bps = {
            "threshold": rules.layers[0].trigger_bps,
            "fees": rules.fees_bps,
            "slippage": slippage_bps,
            "funding": funding_bps,
            "edge_min": rules.edge_bps_min,
        }
        for name, bps in level_bps.items():
            self._counters.set(self._level[name], round(bps * _PPB_PER_BPS))
        self._counters.set(self._level_at, now_mono_ns)
        for place, bps in enumerate((self._forward_bps, self._backward_bps)):
            if bps == _NONE_YET:
                continue
            self._reported_bps[place] = max(self._reported_bps[place], bps)
            best, best_at = self._best[place], self._best_at[place]
            ppb = round(bps * _PPB_PER_BPS)
            if not self._counters.get(best_at) or ppb > self._counters.get(best):
                self._counters.set(best, ppb)
                self._counters.set(best_at, now_mono_ns)
        self._forward_bps = self._backward_bps = _NONE_YET

    def take_widest(self) -> tuple[float, float] | None:
        """The widest of both directions that were shown since the last call; None where there was none."""
        forward_bps, backward_bps = self._reported_bps
        self._reported_bps = [_NONE_YET, _NONE_YET]
        if _NONE_YET in (forward_bps, backward_bps):
            return None
        return round(forward_bps, 3), round(backward_bps, 3)
