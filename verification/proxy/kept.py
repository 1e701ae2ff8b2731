"""The real persistence process beside a run, with a database of its own, and what it has kept in the end."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import psycopg

from persistence.journal import journal_directory
from settings import PROJECT, parse_settings
from shm.counter_names import DATABASE_UP
from shm.queue import QueueTap
from tests.executor.harness import Harness
from venues.contract import E8
from verification.agreement import differences

MONEY_E8 = 1_000_000  # a hundredth: funding settles in between
_KEPT_S = 30.0  # until everything reported is stored, and what was lost has been queried


class Kept:
    """What persistence keeps of one run."""

    def __init__(self, harness: Harness, url: str) -> None:
        self._world = harness
        self._url = url
        self._counters = harness.memory.counters("persistence")
        self._queue = QueueTap.attach(harness.directory / "events.executor")
        self._journal = journal_directory(parse_settings(harness.raw, "proxy"))

    def is_up(self) -> bool:
        """Whether the database has been reached."""
        return self._counter("database_state") == DATABASE_UP

    async def disagreements(self, gained_e8: int | None) -> list[str]:
        """What is kept otherwise than the venues' books have it, once everything is stored.

        gained_e8: what the accounts have gained; None while something is held.
        """
        deadline_s = time.monotonic() + _KEPT_S
        while True:
            wrong = await self._disagreements(gained_e8) if self._has_all() else ["not all of it is stored"]
            if not wrong or time.monotonic() > deadline_s:
                return wrong
            await asyncio.sleep(0.2)

    def _counter(self, name: str) -> int:
        return self._counters.get(self._counters.index(name))

    def _has_all(self) -> bool:
        return self.is_up() and not self._queue.used and not self._counter("backlog")

    async def _disagreements(self, gained_e8: int | None) -> list[str]:
        harness = self._world
        held_e8 = {venue: harness.position_e8(venue) for venue in harness.legs}
        orders = {venue: harness.orders(venue) for venue in harness.legs}
        pair = harness.settings.pairs[0].id

        def compared() -> list[str]:
            wrong = list(differences(self._journal, self._url, pair, held_e8, orders))
            return wrong if gained_e8 is None else [*wrong, *self._wrong_result(gained_e8)]

        return await asyncio.to_thread(compared)  # the venues go on meanwhile

    def _wrong_result(self, gained_e8: int) -> Iterator[str]:
        earned = "select coalesce(sum(net_quote), 0), coalesce(bool_or(is_estimated), false) from trades"
        with psycopg.connect(self._url) as connection:
            row = connection.execute(earned).fetchone()
        assert row is not None
        net_e8, is_estimated = int(row[0] * E8), row[1]
        if not is_estimated and abs(net_e8 - gained_e8) > MONEY_E8:
            yield f"the database says {net_e8} e8 were earned, the accounts have gained {gained_e8}"


@asynccontextmanager
async def kept(harness: Harness, server_url: str, name: str) -> AsyncIterator[Kept]:
    """Persistence on the run's memory, before the first executor starts and until the last one has ended.

    name: of a database that is made for it and dropped.
    """
    await asyncio.to_thread(_execute, server_url, f'create database "{name}"')
    url = server_url.replace("/postgres?", f"/{name}?")
    harness.events.close()  # persistence is the reader
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "persistence", "--memory", str(harness.directory), "--epoch", "1"),
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        books = Kept(harness, url)
        await harness.until(books.is_up, "the database", _KEPT_S)
        yield books
    finally:
        process.terminate()
        await process.wait()
        await asyncio.to_thread(_execute, server_url, f'drop database "{name}" with (force)')


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
