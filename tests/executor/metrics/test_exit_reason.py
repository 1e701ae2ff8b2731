"""Why a trade was closed, in a sentence with the figures that decided."""

from __future__ import annotations

import pytest

from events.trades import TradeClosed
from executor.metrics.exit_reason import why_closed
from settings import StrategySettings
from shm.records import Signal, SignalKind
from tests.reported import an_event

STRATEGY = StrategySettings.model_validate({"entry_bps": 8.0, "exit_bps": 1.0, "max_hold_s": 3_600})


def closed(reason: str, hold_ms: float = 0.0) -> TradeClosed:
    event = an_event("trade_closed", reason=reason, hold_ms=hold_ms)
    assert isinstance(event, TradeClosed)
    return event


def an_exit(spread_bps: float) -> Signal:
    return Signal(1, 1, 0, SignalKind.EXIT, 1, 1, 0, 0, 0, spread_bps, 0.0, 0, 0, 0, 0, 0)


def test_a_gap_that_closed_is_told_with_the_level_it_reached() -> None:
    why = why_closed(closed("signal"), an_exit(0.42), STRATEGY)
    assert why == "the gap had closed to +0.42 bps, exit at +1.00"


def test_a_pair_held_too_long_is_told_with_how_long() -> None:
    why = why_closed(closed("signal", 3_601_500.0), an_exit(7.5), STRATEGY)
    assert why == "held for 1:00:01, max_hold_s 3600; the gap was +7.50 bps"


def test_a_signal_of_an_earlier_incarnation_is_said_to_be_that() -> None:
    assert "before the executor was started anew" in why_closed(closed("signal"), None, STRATEGY)


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("forced exit", "force-exit"),
        ("shutdown", "on_shutdown"),
        ("max_hold_s", "max_hold_s"),
        ("hedge_drift", "max_hedge_drift_bps"),
        ("auto_close", "not filled whole"),
        ("reconcile", "--flatten"),
        ("something new", "something new"),
    ],
)
def test_every_other_reason_has_its_sentence(reason: str, word: str) -> None:
    assert word in why_closed(closed(reason), an_exit(0.0), STRATEGY)
