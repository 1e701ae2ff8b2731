"""The gates before the wire in a running executor, against both simulated venues."""

from __future__ import annotations

import pytest

from runtime import kill_switch
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import SIZE_E8, a_world


async def test_a_pulled_latch_stops_entries_and_lets_exits_through() -> None:
    """Getting out must never be what is forbidden."""
    async with a_world() as world:
        await world.start()
        await world.open()

        kill_switch.engage(kill_switch.kill_file(world.settings), world.memory, "test")
        world.enter()  # would be the next layer
        refused = await world.until_told("signal_refused")
        world.exit()
        await world.until_phase(PairPhase.FLAT)

        assert refused["gate"] == "kill_latch"
        assert world.positions_e8 == (0, 0)
        await world.until(lambda: world.view is not None and not world.view.entries_allowed)


async def test_a_latch_file_alone_is_noticed_and_its_removal_too() -> None:
    """The file is what an operator can make when nothing else works."""
    async with a_world() as world:
        await world.start()
        path = kill_switch.kill_file(world.settings)
        assert world.told("process_started")[0]["kill_file"] == str(path)

        kill_switch.engage(path, None, "test")
        await world.until(lambda: world.view is not None and not world.view.entries_allowed)
        kill_switch.release(path, None)
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1)


async def test_books_that_went_away_refuse_the_entry_with_what_it_would_cost() -> None:
    """By the time the executor looks, buying costs 10 bps more than the detector saw."""
    async with a_world() as world:
        await world.start()
        world.show("vest", 50_050, 50_051)
        world.enter(seen=(50_001, 50_050))
        refused = await world.until_told("signal_refused")

        assert refused["gate"] == "slippage"
        assert refused["value"] == pytest.approx(10.0, abs=0.01)
        assert refused["limit"] == 5.0
        assert world.orders("vest") == world.orders("paradex") == []


async def test_a_touch_too_thin_is_priced_from_the_levels_behind_it() -> None:
    """A tenth of the size at the touch and the rest 3 bps behind it: let through at its cost."""
    async with a_world() as world:
        world.show_levels("vest", [(50_000, 5)], [(50_001, 0.002), (50_016, 5)])
        await world.start()
        await world.open()
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)


@pytest.mark.parametrize(
    ("behind", "gate", "value"),
    [(50_200.0, "liquidity", 0.1), (50_025.0, "slippage", 0.9 * 10_000 * 24 / 50_001)],
)
async def test_a_book_that_does_not_hold_the_size_is_refused(behind: float, gate: str, value: float) -> None:
    """What lies beyond the price band is no liquidity, and what lies within it has its price."""
    async with a_world(strategy__max_slippage_bps=4.0) as world:
        world.show_levels("vest", [(50_000, 5)], [(50_001, 0.002), (behind, 5)])
        await world.start()
        world.enter()
        refused = await world.until_told("signal_refused")
        assert (refused["gate"], refused["value"]) == (gate, pytest.approx(value, abs=0.001))


async def test_without_a_margin_nothing_is_opened() -> None:
    """The venue trades and streams, but does not say how the account stands."""
    async with a_world() as world:
        world.simulator.fronts["paradex"].faults.add(Fault("rest.account", times=None, status=503))
        await world.start(wait_ready=False)
        await world.until_told("position", venue="paradex")
        await world.until_told("venue_lost", what="margin")
        world.enter()
        refused = await world.until_told("signal_refused")
        assert (refused["gate"], refused["value"]) == ("margin_known", -1)

        world.simulator.fronts["paradex"].faults.clear()
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1)
        await world.open()
