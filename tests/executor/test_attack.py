"""What a hostile day does to the executor: its own process, both simulated venues, and the machine alone.

Every test here is a way in which a leg was lost, doubled or left alone before it was closed.
"""

from __future__ import annotations

import contextlib
import os

import pytest

from shm.records import PairPhase
from tests.executor.world import a_world


def a_full_pipe() -> tuple[int, int]:
    """(reader, writer) of a pipe that takes nothing more until somebody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("is_read_later", [False, True])
async def test_a_reader_of_stdout_who_stopped_does_not_stop_the_executor(is_read_later: bool) -> None:
    """``python supervisor.py | less`` shows a page and reads no more; a write that waits for it would
    leave whatever the executor was about to do undone."""
    reader, writer = a_full_pipe()
    async with a_world() as world:
        await world.start(stdout=writer)
        os.close(writer)
        await world.open()
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        if not is_read_later:
            assert await world.terminate() == 0
        else:
            os.set_blocking(reader, False)
            told = b""

            def read_on() -> bool:
                nonlocal told
                with contextlib.suppress(BlockingIOError):
                    told += os.read(reader, 1 << 20)
                return b'"trade_closed"' in told

            await world.until(read_on, "what was kept for the reader")
            assert told.count(b'"intent_written"') == 4
    os.close(reader)


async def test_a_reader_of_stdout_who_went_away_does_not_end_the_executor() -> None:
    """``python supervisor.py | head``: an error in a log line is no reason to leave a position alone."""
    reader, writer = os.pipe()
    async with a_world() as world:
        await world.start(stdout=writer)
        os.close(writer)
        os.close(reader)
        await world.open()
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        assert await world.terminate() == 0
        assert world.errors == b""
