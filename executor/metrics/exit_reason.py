"""Why a trade was closed, in a sentence with the figures that decided."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from events.trades import TradeClosed
from executor.pair.state import HEDGE_DRIFT, SHUTDOWN
from runtime.operator_orders import FORCED_EXIT
from settings import StrategySettings
from shm.records import Signal

# By the reason that the pair machine keeps; another one says enough by itself.
_WHY: Final[Mapping[str, str]] = {
    "max_hold_s": "held longer than max_hold_s while a leg had no price to go by",
    FORCED_EXIT: "closed by the operator: force-exit",
    SHUTDOWN: "closed by the stop: runtime.on_shutdown is flatten",
    HEDGE_DRIFT: "the legs differed by more than risk.max_hedge_drift_bps for too long",
    "reconcile": "closed by the operator: reconcile --flatten",
    "auto_close": "the entry was not filled whole: what was filled is closed again",
}


def why_closed(event: TradeClosed, signal: Signal | None, strategy: StrategySettings) -> str:
    """``signal``: the detector's exit signal, where this incarnation has taken it."""
    if event.reason != "signal":
        return _WHY.get(event.reason, event.reason)
    if signal is None:
        return "the detector asked for it, before the executor was started anew"
    seen_bps, exit_bps = signal.spread_bps, strategy.exit_bps
    if seen_bps <= exit_bps:
        return f"the gap had closed to {seen_bps:+.2f} bps, exit at {exit_bps:+.2f}"
    held = timedelta(seconds=int(event.hold_ms / 1e3))
    return f"held for {held}, max_hold_s {strategy.max_hold_s:g}; the gap was {seen_bps:+.2f} bps"
