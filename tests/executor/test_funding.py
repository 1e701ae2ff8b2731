"""Funding rates of both simulated venues, over their real REST paths, into shared memory."""

from __future__ import annotations

import pytest

from simulator.faults import Fault
from tests.executor.harness import a_harness


async def test_both_venues_rates_are_shown_to_the_detector() -> None:
    """Both simulators charge 0.125 bps an hour: Vest tells it per hour, Paradex per eight."""
    async with a_harness() as harness:
        await harness.start()
        slots = harness.memory.funding()
        await harness.until(lambda: all(slots.read(number) is not None for number in (0, 1)))
        views = [slots.read(number) for number in (0, 1)]
        slots.close()
        assert [view.hourly_bps for view in views if view] == [pytest.approx(0.125)] * 2


async def test_a_venue_that_does_not_tell_is_no_reason_not_to_trade() -> None:
    """The rate stays unknown and counts as nothing; the failure is told."""
    async with a_harness() as harness:
        harness.simulator.fronts["vest"].faults.add(Fault("rest.ticker.latest", times=None, status=503))
        await harness.start()
        await harness.until_logged("venue_lost", venue="vest", what="funding")
        await harness.open()
