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
from tests.executor.harness import SIZE_E8, Harness, a_harness

ORDER = Instruction("anna, pid 7", "2026-01-01T00:00:00Z", "to have a look")


def order(harness: Harness, **orders: object) -> int:
    """What the supervisor does with a request; the orders' number."""
    path = instructions_file(harness.settings)
    number = read_instructions(path).number + 1
    write_instructions(path, Instructions(number)._replace(**orders))  # type: ignore[arg-type]
    return number


async def until_acknowledged(harness: Harness, number: int) -> None:
    await harness.until(
        lambda: read_acknowledgement(harness.directory).instructions >= number,
        "the orders to be acknowledged",
    )


def may_enter(harness: Harness) -> bool:
    return harness.view is not None and harness.view.entries_allowed == 1


async def enter_in_vain(harness: Harness) -> None:
    """An entry that nothing but the operator stands against."""
    before = len(harness.logged("signal_refused"))
    harness.enter()
    await harness.until(lambda: len(harness.logged("signal_refused")) > before, "a refusal")
    assert harness.phase is PairPhase.FLAT


async def test_a_pause_is_said_to_be_in_force_only_when_no_view_allows_an_entry() -> None:
    async with a_harness() as harness:
        await harness.start()
        number = order(harness, paused=ORDER)
        await until_acknowledged(harness, number)

        assert not may_enter(harness), "acknowledged, and yet the detector was told that it may enter"
        await enter_in_vain(harness)
        paused = await harness.until_logged("paused")
        assert (paused["switch"], paused["by"], paused["reason"]) == ("control", ORDER.by, ORDER.reason)
        assert read_acknowledgement(harness.directory).entries_stopped == {"btc": "paused"}

        await until_acknowledged(harness, order(harness))
        await harness.until(lambda: may_enter(harness), "entries")
        await harness.until_logged("resumed", what="entries", switch="control")
        await harness.open()


async def test_a_pause_outlives_the_executor_and_lets_exits_through() -> None:
    """Only resume lifts it: neither a crash, nor what the supervisor's word says."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await until_acknowledged(harness, order(harness, paused=ORDER))
        await harness.kill()
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("paused", pid=harness.process.pid)
        await harness.until(lambda: harness.counter("ready") == 1, "ready")

        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        await enter_in_vain(harness)


async def test_a_file_pauses_for_as_long_as_it_is_there() -> None:
    """For whom SSH is all there is: touch and rm, also over a crash."""
    async with a_harness() as harness:
        await harness.start()
        pause_file(harness.settings).parent.mkdir()
        pause_file(harness.settings).touch()
        reported = await harness.until_logged("paused", switch="file")
        assert reported["by"] == str(pause_file(harness.settings))
        await harness.until(lambda: not may_enter(harness), "the pause")
        await enter_in_vain(harness)

        await harness.kill()
        await harness.start(wait_ready=False)
        await harness.until(
            lambda: len(harness.logged("paused", switch="file")) == 2, "the pause after a crash"
        )
        await harness.until(lambda: harness.counter("ready") == 1, "ready")
        assert not may_enter(harness)

        pause_file(harness.settings).unlink()
        await harness.until(lambda: may_enter(harness), "entries")
        await harness.open()


async def test_a_standing_file_that_cannot_be_read_pauses() -> None:
    """What it says may be just that."""
    async with a_harness() as harness:
        await harness.start()
        instructions_file(harness.settings).parent.mkdir()
        instructions_file(harness.settings).write_text('{"number": 5, "pau')
        await harness.until_logged("paused", switch="control")
        await harness.until(lambda: not may_enter(harness), "the pause")

        await until_acknowledged(harness, order(harness))
        await harness.until(lambda: may_enter(harness), "entries")


async def test_a_standing_file_that_cannot_be_read_lifts_no_forced_exit_of_an_earlier_life() -> None:
    """Whoever died while closing left the wish in the machine: only an order that can be read lifts it."""
    async with a_harness() as harness:
        await harness.start()
        await until_acknowledged(harness, order(harness, forced={"btc": ORDER}))
        await harness.kill()
        readable = instructions_file(harness.settings).read_text()
        instructions_file(harness.settings).write_text('{"number": 5, "pau')
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("paused", pid=harness.process.pid)
        assert flatten_of(harness) == FORCED_EXIT

        instructions_file(harness.settings).write_text(readable)
        await until_acknowledged(harness, order(harness))
        await harness.until(lambda: may_enter(harness), "entries")
        assert flatten_of(harness) == ""


def flatten_of(harness: Harness) -> str:
    """Why the pair's machine is to be flat, as its journal has it."""
    entry = StateStore(harness.memory.machines(), harness.memory.taken()).read(0)
    assert entry is not None
    return load(entry.state).flatten


async def test_a_forced_exit_closes_reduce_only_and_keeps_the_pair_closed_until_resumed() -> None:
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await until_acknowledged(harness, order(harness, forced={"btc": ORDER}))
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        assert {line["reduce_only"] for line in harness.logged("intent_written", purpose="exit")} == {True}
        closed = await harness.until_logged("trade_closed")
        assert closed["reason"] == "forced exit"
        assert (await harness.until_logged("forced_exit"))["pair"] == "btc"

        assert not may_enter(harness)
        await enter_in_vain(harness)

        await until_acknowledged(harness, order(harness))
        await harness.until(lambda: may_enter(harness), "entries")
        await harness.until_logged("resumed", what="forced exit", pair="btc")
        await harness.open()


@pytest.mark.parametrize("is_rebooted", [False, True])
async def test_a_forced_exit_asked_for_while_the_executor_is_dead_is_carried_out_by_its_successor(
    is_rebooted: bool,
) -> None:
    """Also where the machine's memory is gone, and the wish with it: the file says it again."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await until_acknowledged(harness, order(harness, forced={"btc": ORDER}, paused=ORDER))
        await harness.until_phase(PairPhase.FLAT)
        await until_acknowledged(harness, order(harness))
        await harness.until(lambda: may_enter(harness), "entries")
        await harness.open()
        await harness.kill()
        if is_rebooted:
            harness.forget_journal()
        number = order(harness, forced={"btc": ORDER})
        await harness.start(wait_ready=False)
        await until_acknowledged(harness, number)
        if is_rebooted:  # nothing explains the position now: it is not ours to touch
            await harness.until_logged("halted", reason="unexplained")
            assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        else:
            await harness.until_phase(PairPhase.FLAT)
            assert harness.positions_e8 == (0, 0)
            await enter_in_vain(harness)


async def test_a_forced_exit_of_a_flat_pair_survives_the_executor_and_stops_the_first_signal() -> None:
    """A signal that waits in the queue is met before anything else is done."""
    async with a_harness() as harness:
        await harness.start()
        await until_acknowledged(harness, order(harness, forced={"btc": ORDER}))
        await harness.kill()
        harness.enter(ttl_ms=60_000)
        await harness.start(wait_ready=False)
        await harness.until_logged("signal_refused")
        assert harness.positions_e8 == (0, 0)
        assert harness.counter("orders_sent_total") == 0
