"""Funding until the expected exit: longs pay at positive rates, so direction decides the sign."""

from __future__ import annotations

import pytest

from detector.expected_funding import expected_funding_bps
from detector.gates import Refusal
from detector.strategy import Opportunity, PairStrategy
from shm.entry_block import EntryBlock
from shm.records import FundingView
from tests.detector.builders import NOW_NS, a_market, a_quote, a_wide_market, near, some_rules

TEN_MINUTES_NS = 600_000_000_000


def views(first_bps: float, second_bps: float, age_ns: int = 0) -> dict[int, FundingView]:
    return {0: FundingView(first_bps, NOW_NS - age_ns), 1: FundingView(second_bps, NOW_NS)}


def test_the_long_leg_pays_its_rate_and_the_short_leg_receives_its_own() -> None:
    """0.5 an hour paid, 0.2 received, for two hours."""
    rules = some_rules(expected_hold_h=2.0)
    assert expected_funding_bps(rules, views(0.5, 0.2).get, NOW_NS) == pytest.approx(0.6)
    assert expected_funding_bps(rules, views(0.2, 0.5).get, NOW_NS) == pytest.approx(-0.6)


def test_a_rate_missing_old_or_not_wanted_counts_as_nothing() -> None:
    both = views(0.5, 0.2)
    assert expected_funding_bps(some_rules(), {0: both[0]}.get, NOW_NS) == 0.0
    assert expected_funding_bps(some_rules(), views(0.5, 0.2, TEN_MINUTES_NS).get, NOW_NS) > 0
    assert expected_funding_bps(some_rules(), views(0.5, 0.2, TEN_MINUTES_NS + 1).get, NOW_NS) == 0.0
    assert expected_funding_bps(some_rules(is_funding_included=False), both.get, NOW_NS) == 0.0


def test_what_one_direction_pays_the_other_earns() -> None:
    """A gap of 20 bps with 4 to pay is 16; the mirror gap with 4 to earn is 24."""
    strategy = PairStrategy(some_rules(edge_bps_min=17.0))
    strategy.funding_bps = 4.0
    mirror = a_market(a_quote(100.2, 100.3), a_quote(99.9, 100.0, instrument_id=1))

    forward, _ = strategy.on_quote(a_wide_market(20))
    _, backward = strategy.on_quote(mirror)

    assert forward == Refusal(EntryBlock.EDGE, near(16.0), 17.0)
    assert isinstance(backward, Opportunity)
    assert backward.edge_bps == pytest.approx(24.0)
