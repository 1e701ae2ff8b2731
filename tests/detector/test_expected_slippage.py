"""The slippage an entry has to pay for: learned where enough and recent enough, else configured."""

from __future__ import annotations

import pytest

from detector.expected_slippage import expected_slippage_bps
from shm.records import SlippageView
from tests.detector.builders import some_rules

NOW_S = 1_000_000
RULES = some_rules(slippage_bps=2.0, learned_samples_min=10, learned_age_s_max=60.0)


def a_view(mean_bps: float, *, samples: int = 10, age_s: int = 60) -> SlippageView:
    return SlippageView(samples, mean_bps, NOW_S - age_s)


def expected(views: dict[int, SlippageView], **changes: bool) -> float:
    rules = some_rules(slippage_bps=2.0, learned_samples_min=10, learned_age_s_max=60.0, **changes)
    return expected_slippage_bps(rules, views.get, NOW_S)


def test_all_four_fills_of_a_round_trip_count() -> None:
    """Each leg is bought once and sold once, whichever way the pair is entered."""
    assert expected({0: a_view(1.0), 1: a_view(2.0), 2: a_view(3.0), 3: a_view(4.0)}) == 10.0


def test_what_is_not_known_counts_with_its_share_of_the_configured_figure() -> None:
    assert expected({}) == 2.0
    assert expected({0: a_view(5.0)}) == 5.0 + 3 * 0.5


@pytest.mark.parametrize(
    ("view", "total"),
    [
        (a_view(5.0, samples=9), 2.0),
        (a_view(5.0, age_s=61), 2.0),  # else an edge once spoilt would never trade and never learn again
        (a_view(-5.0), 1.5),  # luck pays for no entry
    ],
)
def test_too_few_too_old_or_too_good_is_not_taken(view: SlippageView, total: float) -> None:
    assert expected({3: view}) == total


def test_it_can_be_switched_off() -> None:
    assert expected({0: a_view(50.0)}, is_slippage_learned=False) == 2.0
