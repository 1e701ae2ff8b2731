"""The executor as it runs, under fault scripts. ``make faults`` plays every one of them everywhere."""

from __future__ import annotations

import pytest

from settings import KNOWN_VENUES
from simulator import fault_scripts
from tests.executor.harness import HYPERLIQUID_PAIRS
from verification.faults import HYPERLIQUID_COMBINATIONS, Case, all_cases, play

SAMPLE = (
    Case(("reply_lost:venue=vest",), "entry"),
    Case(("reply_lost:venue=paradex",), "exit"),
    Case(("filled_in_part:venue=paradex", "event_duplicated"), "entry"),
    Case(("gateway_timeout:venue=vest", "events_reordered"), "exit"),
    Case(("executed_late:venue=vest,delay_ms=600", "rejected:venue=paradex"), "entry"),
    Case(("reply_delayed:delay_ms=300", "restarted:venue=paradex,after_s=0.1"), "exit"),
    Case(("deleveraged:venue=vest",), "entry"),
    Case(("edge_page:venue=vest",), "entry"),
    Case(("crossed_answer_lost:venue=vest",), "exit"),
    Case(HYPERLIQUID_COMBINATIONS[0], "entry", HYPERLIQUID_PAIRS[0]),
    Case(("delisted:venue=hyperliquid",), "exit", HYPERLIQUID_PAIRS[1]),
    Case(("agent_expired:venue=hyperliquid",), "exit", HYPERLIQUID_PAIRS[0]),
)


@pytest.mark.parametrize("case", SAMPLE, ids=str)
async def test_a_fault_leaves_the_pair_flat_hedged_or_halted(case: Case) -> None:
    """The books agree, no client order id is used twice, and afterwards what is hedged can be closed."""
    outcome = await play(case)
    assert not outcome.broken, "\n".join(outcome.broken)
    assert outcome.struck >= len(case.scripts)


def test_every_script_of_a_venue_is_played_with_that_venue_in_the_pair() -> None:
    """A script at a venue that is not served ends the run; at Hyperliquid it is to run on either side."""
    assert all(
        f"venue={name}" not in text or name in case.venues
        for case in all_cases()
        for text in case.scripts
        for name in KNOWN_VENUES
    )
    sides = {
        (case.scripts, case.moment, case.venues.index("hyperliquid"))
        for case in all_cases()
        if "hyperliquid" in case.venues
    }
    assert {(scripts, moment, 1 - side) for scripts, moment, side in sides} == sides


def test_no_script_is_left_out() -> None:
    """A new script must not need to be entered anywhere to be played."""
    played = {fault_scripts.parse(text).name for case in all_cases() for text in case.scripts}
    assert set(fault_scripts.names()) - played == {"sequence_gap", "stall"}
