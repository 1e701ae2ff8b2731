"""What nothing explains waits for the operator, and then becomes ours or goes."""

from __future__ import annotations

import pytest

from events.codec import from_fields
from persistence.restore import fold
from runtime.carried_positions import CarriedOrder, CarriedPair, read_carried, write_carried
from runtime.reconcile_request import answered, ask
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, World, a_world
from venues.contract import E8

FOREIGN_ID = 77


async def an_unexplained_pair(world: World) -> None:
    """Hedged at the venues, with nothing in memory or journal that says why."""
    await world.start()
    await world.open()
    await world.kill()
    world.forget_journal()
    await world.start(wait_ready=False)
    await world.until_told("halted", reason="unexplained")


async def decide(world: World, action: str) -> None:
    number = ask(world.directory, action)
    await world.until(lambda: answered(world.directory, number) is not None, action)


async def test_an_adopted_pair_is_hedged_and_is_closed_like_any_other() -> None:
    async with a_world() as world:
        await an_unexplained_pair(world)
        await decide(world, "adopt")
        await world.until_phase(PairPhase.HEDGED)
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)

        world.exit()
        closed = await world.until_told("trade_closed")
        assert closed["is_estimated"]
        assert world.positions_e8 == (0, 0)


async def test_a_flattened_pair_is_closed_and_may_open_again() -> None:
    async with a_world() as world:
        await an_unexplained_pair(world)
        await decide(world, "flatten")
        assert world.positions_e8 == (0, 0)

        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1, "entries")
        await world.open()


async def test_nothing_is_decided_by_a_restart() -> None:
    """An unexplained pair stays untouched through every life until the operator has spoken."""
    async with a_world() as world:
        await an_unexplained_pair(world)
        await world.kill()
        await world.start(wait_ready=False)
        assert world.process is not None
        await world.until_told("process_started", pid=world.process.pid)
        await world.settle_templates()
        assert world.phase is PairPhase.HALTED
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)


@pytest.mark.parametrize("action", ["adopt", "flatten"])
async def test_orders_of_others_stand_or_are_cancelled_as_decided(action: str) -> None:
    async with a_world() as world:
        await world.start()
        order_id = world.rest_order("vest", client_id=FOREIGN_ID)
        await world.until_told("reconcile_diff", kind="open order", explained_by=None)
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 0, "stopped")
        await decide(world, action)

        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1, "allowed")
        assert world.is_open("vest", order_id) == (action == "adopt")
        await world.open()


async def test_what_no_configured_pair_holds_is_forgotten_for_good() -> None:
    """The next start reads the same journal: it must have been told."""
    order = CarriedOrder(5, 0, "BUY", E8, 100 * E8, False, "entry", 0, 77, 0)
    gone = CarriedPair("sol", ("vest:SOL-PERP", "paradex:SOL-USD-PERP"), 77, 1, 1, (E8, -E8), orders=(order,))
    async with a_world() as world:
        write_carried(world.directory, [gone])
        await world.start(wait_ready=False)
        await world.until_told("reconcile_diff", kind="pair", pair="sol")
        await decide(world, "adopt")

        assert read_carried(world.directory) == ()
        held = fold([])
        held.pairs["sol"] = gone
        for line in world.lines:
            held.take(from_fields(line))
        assert held.held() == []
        await world.until(lambda: world.view is not None and world.view.entries_allowed == 1, "allowed")
