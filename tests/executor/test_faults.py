"""The executor as it runs, under fault scripts. ``make faults`` plays every one of them everywhere."""

from __future__ import annotations

import pytest

from simulator import fault_scripts
from verification.faults import Case, all_cases, play

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
)


@pytest.mark.parametrize("case", SAMPLE, ids=str)
async def test_a_fault_leaves_the_pair_flat_hedged_or_halted(case: Case) -> None:
    """The books agree, no client order id is used twice, and afterwards what is hedged can be closed."""
    outcome = await play(case)
    assert not outcome.broken, "\n".join(outcome.broken)
    assert outcome.struck >= len(case.scripts)


def test_no_script_is_left_out() -> None:
    """A new script must not need to be entered anywhere to be played."""
    played = {fault_scripts.parse(text).name for case in all_cases() for text in case.scripts}
    assert set(fault_scripts.names()) - played == {"sequence_gap", "stall"}
