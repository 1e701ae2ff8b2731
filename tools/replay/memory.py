"""The memory of an instance that is played: what feeds wrote then, written again by us."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from settings import Settings
from shm import counter_names
from shm.layout import Memory, MemoryPlan
from shm.records import QUOTE, FundingView, PairView, Quote, SlippageView
from tools.record.reader import Kind, Recording, Row

_QUEUE_BYTES = 65_536
_PUBLISHED = Quote._fields.index("publish_mono_ns")


class ReplayMemory:
    """``memory`` for the processes that are played; ``put`` is all the feeds of then, and more."""

    def __init__(self, recording: Recording, settings: Settings, parent: Path) -> None:
        self.var_dir = parent / "var"
        self.var_dir.mkdir()
        venues = settings.venue_names
        plan = MemoryPlan(
            venues=venues,
            instrument_count=len(settings.watched),
            pair_count=len(settings.pairs),
            ring_cells=settings.runtime.ring_cells,
            signal_queue_bytes=_QUEUE_BYTES,
            event_queue_bytes=_QUEUE_BYTES,
            event_sources=(),
        )
        feed = (list(counter_names.FEED_COUNTERS), list(counter_names.FEED_HISTOGRAMS))
        pairs = [pair.id for pair in settings.pairs]
        Memory.create(
            parent / "memory",
            plan,
            {
                **{f"feed-{venue}": feed for venue in venues},
                "detector": (counter_names.detector_counters(pairs), list(counter_names.DETECTOR_HISTOGRAMS)),
                "executor": (list(counter_names.EXECUTOR_COUNTERS), list(counter_names.EXECUTOR_HISTOGRAMS)),
                "persistence": (list(counter_names.PERSISTENCE_COUNTERS), []),
                "supervisor": (counter_names.supervisor_counters(()), []),
            },
        )
        self.memory = Memory(parent / "memory")
        self._venue_of = [item.venue for item in settings.watched]
        self._rings = {venue: self.memory.quotes_writer(venue) for venue in venues}
        self._tops = {venue: self.memory.tops(venue, writer=True) for venue in venues}
        self._depth = {venue: self.memory.depth(venue, writer=True) for venue in venues}
        self._feeds = {venue: self.memory.counters(f"feed-{venue}", writer=True) for venue in venues}
        self._beat_word = list(counter_names.FEED_COUNTERS).index("heartbeat_mono_ns")
        self._beats = dict.fromkeys(venues, 0)

    def put(self, row: Row) -> None:
        """Write what a feed wrote then."""
        kind, values = row.kind, row.values
        if kind is Kind.QUOTE:
            body, venue = QUOTE.pack(*values), self._venue_of[values[0]]
            self._tops[venue].table.write(values[0], body)
            self._rings[venue].publish(body)
            # Who publishes is alive, also where the recorder came too late to see it beat.
            self._beat(venue, max(self._beats[venue], values[_PUBLISHED]))
        elif kind is Kind.DEPTH:
            instrument_id, body = values
            self._depth[self._venue_of[instrument_id]].write(instrument_id, body)
        elif kind is Kind.FEED:
            venue, is_connected, beat_mono_ns = values
            counters = self._feeds[venue]
            counters.set(counters.index("connected"), is_connected)
            self._beat(venue, beat_mono_ns)
        else:
            assert kind is Kind.STANDING, kind
            self._tops[self._venue_of[values[0]]].write(values[0], Quote(*values))

    def _beat(self, venue: str, mono_ns: int) -> None:
        self._beats[venue] = mono_ns
        self._feeds[venue].set(self._beat_word, mono_ns)


class RecordedExecutor(ReplayMemory):
    """A stage on which the recorded executor is played, too, by what it published."""

    def __init__(self, recording: Recording, settings: Settings, parent: Path) -> None:
        super().__init__(recording, settings, parent)
        self._views = self.memory.pairs(writer=True)
        self._slippage = self.memory.slippage(writer=True)
        self._funding = self.memory.funding(writer=True)

    def put(self, row: Row) -> None:
        if row.kind is Kind.VIEW:
            view = PairView(*row.values)
            self._views.write(view.pair_id, view)
        elif row.kind is Kind.SLIPPAGE:
            place, *values = row.values
            self._slippage.write(place, SlippageView(*values))
        elif row.kind is Kind.FUNDING:
            place, *values = row.values
            self._funding.write(place, FundingView(*values))
        else:
            super().put(row)


@contextmanager
def replay_memory(recording: Recording, settings: Settings) -> Iterator[ReplayMemory]:
    """A memory of its own, gone with everything in it afterwards."""
    with _place(settings) as parent:
        yield ReplayMemory(recording, settings, parent)


@contextmanager
def recorded_executor(recording: Recording, settings: Settings) -> Iterator[RecordedExecutor]:
    """The same with the executor's part in it."""
    with _place(settings) as parent:
        yield RecordedExecutor(recording, settings, parent)


@contextmanager
def _place(settings: Settings) -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="tandem-replay-", dir=settings.runtime.memory_dir))
    try:
        yield parent
    finally:
        shutil.rmtree(parent)


def private_settings_changes(var_dir: Path) -> dict[str, object]:
    """What a played instance must not share with a real one."""
    return {"mode": "paper", "persistence.var_dir": os.fspath(var_dir), "runtime.keep_warm_ms": 0}
