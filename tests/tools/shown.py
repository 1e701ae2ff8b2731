"""An instance's memory as its processes would have filled it, for the tools that look at it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from settings import PROJECT, Settings, load_raw
from shm.counter_names import PROCESS_STATES
from shm.counters import CounterTable
from shm.layout import Memory
from shm.records import PairPhase, PairView, Quote, QuoteFlags
from supervision.memory_plan import memory_plan, process_counters
from supervision.preflight import resolve
from venues.contract import E8

FLAT_VIEW = PairView(0, PairPhase.FLAT, 0, 0, 0, 0, 1, 0.0, 0, 0, 0, 0, 0)


class Shown:
    """The shipped configuration's memory, written by hand."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.directory = directory
        self.settings = settings
        self.memory = Memory(directory)
        self._tops = {venue: self.memory.tops(venue, writer=True) for venue in settings.venue_names}
        self._pairs = self.memory.pairs(writer=True)
        self._tables = {name: self.memory.counters(name, writer=True) for name in process_counters(settings)}
        now = time.monotonic_ns()
        self.count("supervisor", started_mono_ns=now - 3_600 * 10**9, heartbeat_mono_ns=now + 60 * 10**9)
        self.count("executor", ready=1)
        for name in self._tables:
            if name != "supervisor":
                self.count("supervisor", **{f"state.{name}": PROCESS_STATES.index("running")})

    def table(self, process: str) -> CounterTable:
        """The counters of a process, for writing."""
        return self._tables[process]

    def count(self, process: str, **values: int) -> None:
        table = self._tables[process]
        for name, value in values.items():
            table.set(table.index(name), value)

    def record(self, process: str, histogram: str, duration_ns: int) -> None:
        self._tables[process].histogram(histogram).record(duration_ns)

    def quote(
        self, instrument_id: int, bid: float, ask: float, flags: int = QuoteFlags.VALID, *, age_s: float = 0
    ) -> None:
        venue = self.settings.legs[instrument_id].venue
        now = time.monotonic_ns() - int(age_s * 1e9)
        sizes = (E8 // 2, 2 * E8)
        quote = Quote(instrument_id, round(bid * E8), round(ask * E8), *sizes, 0, now, now, 1, flags, 1)
        self._tops[venue].write(instrument_id, quote)

    def view(self, pair_id: int, **changes: Any) -> None:
        self._pairs.write(pair_id, FLAT_VIEW._replace(pair_id=pair_id, **changes))


@contextmanager
def shown_instance() -> Iterator[Shown]:
    settings, _ = resolve(load_raw(PROJECT / "config.yaml"), "config.yaml")
    parent = Path(tempfile.mkdtemp(prefix=f"test-shown-{os.getpid()}-", dir="/dev/shm"))
    try:
        directory = parent / f"tandem-{settings.bot_id}"
        kept = settings.persistence.model_copy(update={"var_dir": str(parent / "var")})
        settings = settings.model_copy(update={"persistence": kept})
        (parent / "var").mkdir()
        Memory.create(directory, memory_plan(settings), process_counters(settings))
        yield Shown(directory, settings)
    finally:
        shutil.rmtree(parent)
