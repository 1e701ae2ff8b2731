"""The gates before the wire in a running executor, against both simulated venues."""

from __future__ import annotations

import pytest

from runtime import kill_switch
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import SIZE_E8, a_harness


async def test_a_pulled_latch_stops_entries_and_lets_exits_through() -> None:
    """Getting out must never be what is forbidden."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()

        kill_switch.engage(kill_switch.kill_file(harness.settings), harness.memory, "test")
        harness.enter()  # would be the next layer
        refused = await harness.until_logged("signal_refused")
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)

        assert refused["gate"] == "kill_latch"
        assert harness.positions_e8 == (0, 0)
        await harness.until(lambda: harness.view is not None and not harness.view.entries_allowed)


async def test_a_latch_file_alone_is_noticed_and_its_removal_too() -> None:
    """The file is what an operator can make when nothing else works."""
    async with a_harness() as harness:
        await harness.start()
        path = kill_switch.kill_file(harness.settings)
        assert harness.logged("process_started")[0]["kill_file"] == str(path)

        kill_switch.engage(path, None, "test")
        await harness.until(lambda: harness.view is not None and not harness.view.entries_allowed)
        kill_switch.release(path, None)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)


async def test_books_that_went_away_refuse_the_entry_with_what_it_would_cost() -> None:
    """By the time the executor looks, buying costs 10 bps more than the detector saw."""
    async with a_harness() as harness:
        await harness.start()
        harness.show("vest", 50_050, 50_051)
        harness.enter(seen=(50_001, 50_050))
        refused = await harness.until_logged("signal_refused")

        assert refused["gate"] == "slippage"
        assert refused["value"] == pytest.approx(10.0, abs=0.01)
        assert refused["limit"] == 5.0
        assert harness.orders("vest") == harness.orders("paradex") == []


async def test_a_touch_too_thin_is_priced_from_the_levels_behind_it() -> None:
    """A tenth of the size at the touch and the rest 3 bps behind it: let through at its cost."""
    async with a_harness() as harness:
        harness.show_levels("vest", [(50_000, 5)], [(50_001, 0.002), (50_016, 5)])
        await harness.start()
        await harness.open()
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


@pytest.mark.parametrize(
    ("behind", "gate", "value"),
    [(50_200.0, "liquidity", 0.1), (50_025.0, "slippage", 0.9 * 10_000 * 24 / 50_001)],
)
async def test_a_book_that_does_not_hold_the_size_is_refused(behind: float, gate: str, value: float) -> None:
    """What lies beyond the price band is no liquidity, and what lies within it has its price."""
    async with a_harness(strategy__max_slippage_bps=4.0) as harness:
        harness.show_levels("vest", [(50_000, 5)], [(50_001, 0.002), (behind, 5)])
        await harness.start()
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert (refused["gate"], refused["value"]) == (gate, pytest.approx(value, abs=0.001))


async def test_without_a_margin_nothing_is_opened() -> None:
    """The venue trades and streams, but does not say how the account stands."""
    async with a_harness() as harness:
        harness.simulator.fronts["paradex"].faults.add(Fault("rest.account", times=None, status=503))
        await harness.start(wait_ready=False)
        await harness.until_logged("position", venue="paradex")
        await harness.until_logged("venue_lost", what="margin")
        harness.enter()
        refused = await harness.until_logged("signal_refused")
        assert (refused["gate"], refused["value"]) == ("margin_known", -1)

        harness.simulator.fronts["paradex"].faults.clear()
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1)
        await harness.open()
