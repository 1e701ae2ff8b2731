"""The executor as it runs, under fault scripts. ``make faults`` plays every one of them everywhere."""

from __future__ import annotations

import pytest

from settings import KNOWN_VENUES
from shm.records import PairPhase
from simulator import fault_scripts
from tests.executor.harness import HYPERLIQUID_PAIRS, a_harness
from verification.faults import HYPERLIQUID_COMBINATIONS, MOMENTS, Case, all_cases, play, signal

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


# No template, and both signatures of the first entry take longer than an entry waits for them.
SLOW_TO_SIGN = """
import threading, time
from executor.gateways.live import LiveGateway
from executor.orders.presigned import PresignedOrders
PresignedOrders.take = lambda self, slot, **about: None
sign, slow = LiveGateway.sign, [0.15, 0.15]
def sign_slowly(self, request):
    if slow and threading.current_thread() is threading.main_thread():
        time.sleep(slow.pop())
    return sign(self, request)
LiveGateway.sign = sign_slowly
"""


@pytest.mark.parametrize("moment", MOMENTS)
async def test_an_entry_that_was_signed_too_late_is_asked_for_again(moment: str) -> None:
    """Nothing leaves and nothing changes: who waited for an order waited for ever."""
    async with a_harness(risk__max_consecutive_failures=100) as harness:  # a busy machine fails more often
        await harness.start(prelude=SLOW_TO_SIGN)
        await (signal(harness, moment) if moment == "entry" else harness.open())
        await harness.until_phase(PairPhase.HEDGED)
        assert harness.unsent() == 2


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
