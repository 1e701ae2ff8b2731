"""Stagger: both orders of an entry reach their matching engines together, or leave at once."""

from __future__ import annotations

import pytest

from executor.orders.stagger import Hold, Stagger
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import Harness, a_harness

MS = 1_000_000
VENUES = ("vest", "paradex")


def a_stagger(first_ms: float, second_ms: float, *, answers: int = 3, is_on: bool = True) -> Stagger:
    stagger = Stagger(is_on=is_on, hold_ns_max=50 * MS)
    for _ in range(answers):
        stagger.answered("vest", int(first_ms * MS))
        stagger.answered("paradex", int(second_ms * MS))
    return stagger


@pytest.mark.parametrize(
    ("first_ms", "second_ms", "hold"),
    [
        (60, 10, Hold(1, 25 * MS)),
        (10, 60, Hold(0, 25 * MS)),
        (150, 10, Hold(1, 50 * MS)),  # never longer than configured
        (11, 10, None),  # half a millisecond: no timer is that exact
    ],
)
def test_the_faster_venue_waits_for_half_the_difference(
    first_ms: float, second_ms: float, hold: Hold | None
) -> None:
    assert a_stagger(first_ms, second_ms).hold(VENUES) == hold


def test_nothing_waits_unless_it_is_known_and_switched_on() -> None:
    """By default both legs leave at once, and so they do until a difference was measured."""
    assert a_stagger(60, 10, is_on=False).hold(VENUES) is None
    assert a_stagger(60, 10, answers=2).hold(VENUES) is None
    assert a_stagger(60, 10).hold(("vest", "vest")) is None


def test_one_slow_answer_does_not_make_a_venue_slow() -> None:
    """Ten seconds count as four times the longest hold, and are forgotten."""
    stagger = a_stagger(10, 10, answers=10)
    stagger.answered("vest", 10_000 * MS)
    hold = stagger.hold(VENUES)
    assert hold is not None
    assert hold.duration_ns == pytest.approx(9.5 * MS, rel=0.01)


async def a_round_trip(harness: Harness) -> None:
    """Enter and exit."""
    answers = harness.memory.counters("executor").histogram("sent_to_acked")
    expected = answers.count + 4
    harness.show("paradex", 50_050, 50_051)
    await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
    harness.enter()
    await harness.until_phase(PairPhase.HEDGED)
    await harness.until(lambda: answers.count == expected - 2, "the entry's answers")
    harness.show("paradex", 50_000, 50_001)
    harness.exit()
    await harness.until_phase(PairPhase.FLAT)
    await harness.until(lambda: answers.count == expected, "every answer, and so every connection free again")


async def test_orders_arrive_together_at_venues_of_unequal_distance() -> None:
    """Vest answers 120 ms after the bytes and matches after 60; Paradex does both within a few."""
    async with a_harness(
        execution__stagger=True, execution__stagger_max_ms=100.0, execution__reply_timeout_ms=3_000.0
    ) as harness:
        faults = harness.simulator.fronts["vest"].faults
        faults.add(Fault("rest.orders.create", times=None, delay_ms=120.0))
        faults.add(Fault("execute.*", times=None, delay_ms=60.0))
        await harness.start()
        for _ in range(5):  # from the third on four answers of each venue are known
            await a_round_trip(harness)

        held = [line for line in harness.logged("signal_stages") if not all(line["sent_mono_ns"])]
        assert len(held) == 3, "entries that did not wait for their second leg; exits never wait"
        sent = harness.logged("leg_sent", purpose="entry")
        assert [line["venue"] for line in sent] == ["vest", "paradex"] * 5
        assert harness.logged("naked_start") == []


async def test_a_leg_held_back_stays_when_the_other_was_refused() -> None:
    """Vest says no while Paradex's order still waits: half a pair is not sent after all."""
    async with a_harness(
        execution__stagger=True, execution__stagger_max_ms=400.0, execution__reply_timeout_ms=3_000.0
    ) as harness:
        faults = harness.simulator.fronts["vest"].faults
        slow = faults.add(Fault("rest.orders.create", times=None, delay_ms=900.0))
        await harness.start()
        for _ in range(2):
            await a_round_trip(harness)
        faults.remove(slow)
        faults.add(Fault("rest.orders.create", code="3002"))
        harness.show("paradex", 50_050, 50_051)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
        harness.enter()
        withheld = await harness.until_logged("leg_rejected", venue="paradex")

        assert withheld["order_state"] == "unsent"
        assert "before this one had left" in withheld["reason"]
        assert len(harness.orders("paradex")) == 4, "nothing but the round trips"
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
