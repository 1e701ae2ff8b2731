"""One sentence says what a pair's gap needs to be, and how near it came."""

from __future__ import annotations

from typing import Any

import pytest

from events.decisions import Refusals
from monitoring.gap import GapShown, of_detector, of_period

PPB = 100_000


def counted(**bps: float | None) -> dict[str, int]:
    values = {"level_mono_ns.btc": 1}
    for name in ("threshold", "fees", "slippage", "funding", "edge_min"):
        values[f"{name}_ppb.btc"] = round((bps.get(name) or 0.0) * PPB)
    for way in ("forward", "backward"):
        best = bps.get(way)
        values[f"best_{way}_ppb.btc"] = round((best or 0.0) * PPB)
        values[f"best_{way}_mono_ns.btc"] = 0 if best is None else 1
    return values


def shown(**bps: float | None) -> GapShown:
    found = of_detector(counted(**bps), "btc")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("bps", "sentence"),
    [
        (
            {"threshold": 8.0, "fees": 11.0, "slippage": 0.4, "forward": 2.8, "backward": -9.0},
            "needs 11.0 fees + 0.4 slippage = 11.4; best 2.8",
        ),
        (
            {"threshold": 15.0, "fees": 11.0, "slippage": 0.4, "forward": 2.8, "backward": -9.0},
            "needs 15.0 threshold, above 11.0 fees + 0.4 slippage = 11.4; best 2.8",
        ),
        (
            {"fees": 11.0, "slippage": 0.4, "edge_min": 2.0, "forward": 2.8, "backward": -9.0},
            "needs 11.0 fees + 0.4 slippage + 2.0 net edge = 13.4; best 2.8",
        ),
        (
            {"fees": 11.0, "slippage": 0.4, "funding": 0.3, "forward": 2.8, "backward": 2.6},
            "needs 11.0 fees + 0.4 slippage - 0.3 funding = 11.1; best 2.6",
        ),
        (
            {"threshold": 1.5, "fees": 0.4, "slippage": 0.2, "forward": 1.46, "backward": -3.0},
            "needs 1.50 threshold, above 0.40 fees + 0.20 slippage = 0.60; best 1.46",
        ),
        (
            {"fees": 11.0, "slippage": 0.4, "forward": 12.0, "backward": -9.0},
            "needs 11.0 fees + 0.4 slippage = 11.4; best 12.0, wide enough",
        ),
        ({"fees": 11.0, "slippage": 0.4}, "needs 11.0 fees + 0.4 slippage = 11.4; no gap seen yet"),
    ],
)
def test_the_sentence_of_a_pair(bps: dict[str, float], sentence: str) -> None:
    assert shown(**bps).sentence() == sentence


def test_the_direction_is_the_one_that_was_short_of_the_least() -> None:
    """Funding makes one direction cheaper, so the wider gap need not be the nearer one."""
    found = shown(fees=10.0, funding=3.0, forward=5.0, backward=4.0)
    assert found.needed_bps == (13.0, 7.0)
    assert found.nearest == 1


def test_before_the_detector_has_looked_nothing_is_known() -> None:
    assert of_detector({**counted(), "level_mono_ns.btc": 0}, "btc") is None


def report(**fields: Any) -> Refusals:
    return Refusals(
        pair="btc",
        evaluations=1,
        signals=0,
        expected_slippage_bps=0.4,
        expected_funding_bps=0.0,
        gates={},
        last=None,
        spreads_bps=(-9.0, -9.0),
        **fields,
    )


def test_of_a_period_the_widest_counts_and_the_newest_level() -> None:
    level = {"threshold_bps": 8.0, "min_edge_bps": 0.0}
    found = of_period(
        [
            report(best_spreads_bps=(2.8, -5.0), fees_bps=9.0, **level),
            report(best_spreads_bps=None, fees_bps=11.0, **level),
            report(best_spreads_bps=(1.0, -2.0), fees_bps=11.0, **level),
        ]
    )
    assert found is not None
    assert found.best_bps == (2.8, -2.0)
    assert found.sentence() == "needs 11.0 fees + 0.4 slippage = 11.4; best 2.8"


def test_reports_of_an_older_version_say_nothing_of_it() -> None:
    """What was looked at every ten seconds is no maximum."""
    assert of_period([report()]) is None
    assert of_period([]) is None
