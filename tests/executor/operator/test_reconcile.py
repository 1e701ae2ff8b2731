"""What nothing explains waits for the operator, and then becomes ours or goes."""

from __future__ import annotations

import pytest

from events.codec import from_fields
from persistence.restore import fold
from runtime.carried_positions import CarriedOrder, CarriedPair, read_carried, write_carried
from runtime.reconcile_request import answered, ask
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, Harness, a_harness
from venues.contract import E8

FOREIGN_ID = 77


async def an_unexplained_pair(harness: Harness) -> None:
    """Hedged at the venues, with nothing in memory or journal that says why."""
    await harness.start()
    await harness.open()
    await harness.kill()
    harness.forget_journal()
    await harness.start(wait_ready=False)
    await harness.until_logged("halted", reason="unexplained")


async def decide(harness: Harness, action: str) -> None:
    number = ask(harness.directory, action)
    await harness.until(lambda: answered(harness.directory, number) is not None, action)


async def test_an_adopted_pair_is_hedged_and_is_closed_like_any_other() -> None:
    async with a_harness() as harness:
        await an_unexplained_pair(harness)
        await decide(harness, "adopt")
        await harness.until_phase(PairPhase.HEDGED)
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)

        harness.exit()
        closed = await harness.until_logged("trade_closed")
        assert closed["is_estimated"]
        assert harness.positions_e8 == (0, 0)


async def test_a_flattened_pair_is_closed_and_may_open_again() -> None:
    async with a_harness() as harness:
        await an_unexplained_pair(harness)
        await decide(harness, "flatten")
        assert harness.positions_e8 == (0, 0)

        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "entries")
        await harness.open()


async def test_nothing_is_decided_by_a_restart() -> None:
    """An unexplained pair stays untouched through every life until the operator has spoken."""
    async with a_harness() as harness:
        await an_unexplained_pair(harness)
        await harness.kill()
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("process_started", pid=harness.process.pid)
        await harness.settle_templates()
        assert harness.phase is PairPhase.HALTED
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


@pytest.mark.parametrize("action", ["adopt", "flatten"])
async def test_orders_of_others_stand_or_are_cancelled_as_decided(action: str) -> None:
    async with a_harness() as harness:
        await harness.start()
        order_id = harness.rest_order("vest", client_id=FOREIGN_ID)
        await harness.until_logged("reconcile_diff", kind="open order", explained_by=None)
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 0, "stopped")
        await decide(harness, action)

        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "allowed")
        assert harness.is_open("vest", order_id) == (action == "adopt")
        await harness.open()


async def test_what_no_configured_pair_holds_is_forgotten_for_good() -> None:
    """The next start reads the same journal: it must have been told."""
    order = CarriedOrder(5, 0, "BUY", E8, 100 * E8, False, "entry", 0, 77, 0)
    gone = CarriedPair("sol", ("vest:SOL-PERP", "paradex:SOL-USD-PERP"), 77, 1, 1, (E8, -E8), orders=(order,))
    async with a_harness() as harness:
        write_carried(harness.directory, [gone])
        await harness.start(wait_ready=False)
        await harness.until_logged("reconcile_diff", kind="pair", pair="sol")
        await decide(harness, "adopt")

        assert read_carried(harness.directory) == ()
        held = fold([])
        held.pairs["sol"] = gone
        for line in harness.lines:
            held.take(from_fields(line))
        assert held.held() == []
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "allowed")
