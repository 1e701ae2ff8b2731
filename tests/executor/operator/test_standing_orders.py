"""What the operator has ordered is in force before it is said to be, and outlives the executor."""

from __future__ import annotations

import pytest

from executor.pair.state import load
from executor.recovery.state_store import StateStore
from runtime.operator_ack import read_acknowledgement
from runtime.operator_orders import (
    FORCED_EXIT,
    Instruction,
    Instructions,
    instructions_file,
    pause_file,
    read_instructions,
    write_instructions,
)
from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, World, a_world

ORDER = Instruction("anna, pid 7", "2026-01-01T00:00:00Z", "to have a look")


def order(world: World, **orders: object) -> int:
    """What the supervisor does with a request; the orders' number."""
    path = instructions_file(world.settings)
    number = read_instructions(path).number + 1
    write_instructions(path, Instructions(number)._replace(**orders))  # type: ignore[arg-type]
    return number


async def until_acknowledged(world: World, number: int) -> None:
    await world.until(
        lambda: read_acknowledgement(world.directory).instructions >= number, "the orders to be acknowledged"
    )


def may_enter(world: World) -> bool:
    return world.view is not None and world.view.entries_allowed == 1


async def enter_in_vain(world: World) -> None:
    """An entry that nothing but the operator stands against."""
    before = len(world.told("signal_refused"))
    world.enter()
    await world.until(lambda: len(world.told("signal_refused")) > before, "a refusal")
    assert world.phase is PairPhase.FLAT


async def test_a_pause_is_said_to_be_in_force_only_when_no_view_allows_an_entry() -> None:
    async with a_world() as world:
        await world.start()
        number = order(world, paused=ORDER)
        await until_acknowledged(world, number)

        assert not may_enter(world), "acknowledged, and yet the detector was told that it may enter"
        await enter_in_vain(world)
        paused = await world.until_told("paused")
        assert (paused["switch"], paused["by"], paused["reason"]) == ("control", ORDER.by, ORDER.reason)
        assert read_acknowledgement(world.directory).entries_stopped == {"btc": "paused"}

        await until_acknowledged(world, order(world))
        await world.until(lambda: may_enter(world), "entries")
        await world.until_told("resumed", what="entries", switch="control")
        await world.open()


async def test_a_pause_outlives_the_executor_and_lets_exits_through() -> None:
    """Only resume lifts it: neither a crash, nor what the supervisor's word says."""
    async with a_world() as world:
        await world.start()
        await world.open()
        await until_acknowledged(world, order(world, paused=ORDER))
        await world.kill()
        await world.start(wait_ready=False)
        assert world.process is not None
        await world.until_told("paused", pid=world.process.pid)
        await world.until(lambda: world.counter("ready") == 1, "ready")

        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        await enter_in_vain(world)


async def test_a_file_pauses_for_as_long_as_it_is_there() -> None:
    """For whom SSH is all there is: touch and rm, also over a crash."""
    async with a_world() as world:
        await world.start()
        pause_file(world.settings).parent.mkdir()
        pause_file(world.settings).touch()
        told = await world.until_told("paused", switch="file")
        assert told["by"] == str(pause_file(world.settings))
        await world.until(lambda: not may_enter(world), "the pause")
        await enter_in_vain(world)

        await world.kill()
        await world.start(wait_ready=False)
        await world.until(lambda: len(world.told("paused", switch="file")) == 2, "the pause after a crash")
        await world.until(lambda: world.counter("ready") == 1, "ready")
        assert not may_enter(world)

        pause_file(world.settings).unlink()
        await world.until(lambda: may_enter(world), "entries")
        await world.open()


async def test_a_standing_file_that_cannot_be_read_pauses() -> None:
    """What it says may be just that."""
    async with a_world() as world:
        await world.start()
        instructions_file(world.settings).parent.mkdir()
        instructions_file(world.settings).write_text('{"number": 5, "pau')
        await world.until_told("paused", switch="control")
        await world.until(lambda: not may_enter(world), "the pause")

        await until_acknowledged(world, order(world))
        await world.until(lambda: may_enter(world), "entries")


async def test_a_standing_file_that_cannot_be_read_lifts_no_forced_exit_of_an_earlier_life() -> None:
    """Whoever died while closing left the wish in the machine: only an order that can be read lifts it."""
    async with a_world() as world:
        await world.start()
        await until_acknowledged(world, order(world, forced={"btc": ORDER}))
        await world.kill()
        readable = instructions_file(world.settings).read_text()
        instructions_file(world.settings).write_text('{"number": 5, "pau')
        await world.start(wait_ready=False)
        assert world.process is not None
        await world.until_told("paused", pid=world.process.pid)
        assert flatten_of(world) == FORCED_EXIT

        instructions_file(world.settings).write_text(readable)
        await until_acknowledged(world, order(world))
        await world.until(lambda: may_enter(world), "entries")
        assert flatten_of(world) == ""


def flatten_of(world: World) -> str:
    """Why the pair's machine is to be flat, as its journal has it."""
    entry = StateStore(world.memory.machines(), world.memory.taken()).read(0)
    assert entry is not None
    return load(entry.state).flatten


async def test_a_forced_exit_closes_reduce_only_and_keeps_the_pair_closed_until_resumed() -> None:
    async with a_world() as world:
        await world.start()
        await world.open()
        await until_acknowledged(world, order(world, forced={"btc": ORDER}))
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        assert {line["reduce_only"] for line in world.told("intent_written", purpose="exit")} == {True}
        closed = await world.until_told("trade_closed")
        assert closed["reason"] == "forced exit"
        assert (await world.until_told("forced_exit"))["pair"] == "btc"

        assert not may_enter(world)
        await enter_in_vain(world)

        await until_acknowledged(world, order(world))
        await world.until(lambda: may_enter(world), "entries")
        await world.until_told("resumed", what="forced exit", pair="btc")
        await world.open()


@pytest.mark.parametrize("is_rebooted", [False, True])
async def test_a_forced_exit_asked_for_while_the_executor_is_dead_is_carried_out_by_its_successor(
    is_rebooted: bool,
) -> None:
    """Also where the machine's memory is gone, and the wish with it: the file says it again."""
    async with a_world() as world:
        await world.start()
        await world.open()
        await until_acknowledged(world, order(world, forced={"btc": ORDER}, paused=ORDER))
        await world.until_phase(PairPhase.FLAT)
        await until_acknowledged(world, order(world))
        await world.until(lambda: may_enter(world), "entries")
        await world.open()
        await world.kill()
        if is_rebooted:
            world.forget_journal()
        number = order(world, forced={"btc": ORDER})
        await world.start(wait_ready=False)
        await until_acknowledged(world, number)
        if is_rebooted:  # nothing explains the position now: it is not ours to touch
            await world.until_told("halted", reason="unexplained")
            assert world.positions_e8 == (SIZE_E8, -SIZE_E8)
        else:
            await world.until_phase(PairPhase.FLAT)
            assert world.positions_e8 == (0, 0)
            await enter_in_vain(world)


async def test_a_forced_exit_of_a_flat_pair_survives_the_executor_and_stops_the_first_signal() -> None:
    """A signal that waits in the queue is met before anything else is done."""
    async with a_world() as world:
        await world.start()
        await until_acknowledged(world, order(world, forced={"btc": ORDER}))
        await world.kill()
        world.enter(ttl_ms=60_000)
        await world.start(wait_ready=False)
        await world.until_told("signal_refused")
        assert world.positions_e8 == (0, 0)
        assert world.counter("orders_sent_total") == 0
