"""Lays out a running instance's memory directory.

Created and removed by the supervisor alone (directory 0700, files 0600); every other process is
given the directory and attaches to what it needs. ``plan.json`` says what was created.

    quotes.<venue>     broadcast ring   feed -> detector, recorder, monitor
    tops.<venue>       quote slots      feed -> executor, monitor         index: instrument_id
    depth.<venue>      depth slots      feed -> detector, executor        index: instrument_id
    signals            queue ring       detector -> executor
    pairs              view slots       executor -> detector, monitor     index: pair_id
    views              broadcast ring   executor -> recorder              every view in order
    funding            view slots       executor -> detector, tools       index: instrument_id
    slippage           view slots       executor -> detector, tools       index: see slippage_index
    machines           byte slots       executor -> its own successor     index: 2 * pair_id + n % 2
    taken              byte slots       executor -> its own successor     index: pair_id
    events.<process>   queue ring       process -> persistence
    counters.<process> counter table    process -> supervisor, tools
    doorbells          doorbell words   one per sleeping process
    latch              one flag         operator -> executor              see runtime/kill_switch.py
    acknowledged.json        small file       executor -> supervisor, tools     see runtime/operator_ack.py
    control.sock       Unix socket      tools <-> supervisor              see supervision/control/socket.py
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from shm.broadcast import BroadcastReader, BroadcastWriter
from shm.counters import CounterTable
from shm.doorbell import Doorbell
from shm.ownership import check_readable_folder
from shm.queue import QueueReader, QueueTap, QueueWriter
from shm.records import (
    DEPTH_CAPACITY,
    FUNDING_VIEW,
    PAIR_VIEW,
    QUOTE,
    SLIPPAGE_VIEW,
    FundingView,
    PairView,
    Quote,
    SlippageView,
)
from shm.segment import SegmentError
from shm.slot import RecordSlots, SlotTable
from shm.views import ViewWriter

MACHINE_CAPACITY = 131_072 + 64  # bytes of one serialised pair machine and what the journal adds
EVENT_CAPACITY = 512  # bytes of one event that the executor journals before its step
_VIEW_CELLS = 1_024  # minutes: a pair's view is published once a second and with every change
PLAN = "plan.json"
EVENTS = "events."  # how the names of the processes' queue rings begin
DOORBELLS = ("detector", "executor")  # who can be woken; persistence polls, so nobody pays to ring it


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What one instance's memory holds. ``event_sources`` are the processes that emit events."""

    venues: tuple[str, ...]
    instrument_count: int
    pair_count: int
    ring_cells: int  # power of two
    signal_queue_bytes: int  # power of two
    event_queue_bytes: int  # power of two
    event_sources: tuple[str, ...]


class Memory:
    """Opens the parts of an instance's memory. Attach as a writer only what the process owns.

    ``bell_fds`` maps a sleeping process's name to its inherited eventfd; a process that was given
    none (a tool) can look at everything and wake nobody.
    """

    def __init__(self, directory: Path, bell_fds: Mapping[str, int] | None = None) -> None:
        self.directory = directory
        self._bell_fds = dict(bell_fds or {})
        try:
            check_readable_folder(directory)
            plan = json.loads((directory / PLAN).read_text())
        except FileNotFoundError as error:
            raise SegmentError(f"{directory} holds no running instance (no {PLAN})") from error
        tuples = {name: tuple(value) for name, value in plan.items() if isinstance(value, list)}
        try:
            self.plan = MemoryPlan(**{**plan, **tuples})
        except TypeError as error:
            raise SegmentError(
                f"{directory}/{PLAN} is of another version ({error}): "
                "stop the running instance before starting another version"
            ) from error

    @staticmethod
    def create(
        directory: Path, plan: MemoryPlan, counters: Mapping[str, tuple[Sequence[str], Sequence[str]]]
    ) -> None:
        """Create the directory and everything in it. ``counters``: process -> (counters, histograms).

        Raises SegmentError if the directory exists or there is no room; then nothing is left of it.
        """
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError as error:
            raise SegmentError(
                f"{directory} exists already: stop the instance that uses it, or remove it if that crashed"
            ) from error
        try:
            Memory._create_in(directory, plan, counters)
        except SegmentError:
            Memory.remove(directory)
            raise

    @staticmethod
    def _create_in(
        directory: Path, plan: MemoryPlan, counters: Mapping[str, tuple[Sequence[str], Sequence[str]]]
    ) -> None:
        for venue in plan.venues:
            BroadcastWriter.create(directory / f"quotes.{venue}", cells=plan.ring_cells, struct=QUOTE)
            SlotTable.create(directory / f"tops.{venue}", count=plan.instrument_count, capacity=QUOTE.size)
            SlotTable.create(
                directory / f"depth.{venue}", count=plan.instrument_count, capacity=DEPTH_CAPACITY
            )
        QueueWriter.create(directory / "signals", capacity=plan.signal_queue_bytes)
        SlotTable.create(directory / "pairs", count=plan.pair_count, capacity=PAIR_VIEW.size)
        BroadcastWriter.create(directory / "views", cells=_VIEW_CELLS, struct=PAIR_VIEW)
        SlotTable.create(directory / "funding", count=plan.instrument_count, capacity=FUNDING_VIEW.size)
        SlotTable.create(directory / "slippage", count=2 * plan.instrument_count, capacity=SLIPPAGE_VIEW.size)
        SlotTable.create(directory / "machines", count=2 * plan.pair_count, capacity=MACHINE_CAPACITY)
        SlotTable.create(directory / "taken", count=plan.pair_count, capacity=EVENT_CAPACITY)
        for process in plan.event_sources:
            QueueWriter.create(directory / f"{EVENTS}{process}", capacity=plan.event_queue_bytes)
        for process, (names, histograms) in counters.items():
            CounterTable.create(directory / f"counters.{process}", names, histograms)
        Doorbell.create_table(directory / "doorbells", len(DOORBELLS))
        CounterTable.create(directory / "latch", ("killed",))
        # Last, and by rename: a directory with a plan is complete.
        unfinished = directory / "plan.tmp"
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(asdict(plan)))
        unfinished.rename(directory / PLAN)

    @staticmethod
    def remove(directory: Path) -> None:
        """Remove the directory and everything in it."""
        shutil.rmtree(directory)

    def quotes_writer(self, venue: str) -> BroadcastWriter:
        """A venue's quotes in order; for its feed."""
        return BroadcastWriter.attach(self.directory / f"quotes.{venue}", QUOTE)

    def quotes_reader(self, venue: str, *, readonly: bool = False) -> BroadcastReader:
        """A venue's quotes in order, from the next one on."""
        return BroadcastReader.attach(self.directory / f"quotes.{venue}", QUOTE, readonly=readonly)

    def tops(self, venue: str, *, writer: bool = False) -> RecordSlots[Quote]:
        """A venue's latest quotes by instrument id; the feed is the writer."""
        return RecordSlots(self._slots(f"tops.{venue}", writer), QUOTE, Quote)

    def depth(self, venue: str, *, writer: bool = False) -> SlotTable:
        """A venue's latest books by instrument id, packed as in ``shm.records``; the feed is the writer."""
        return self._slots(f"depth.{venue}", writer)

    def pairs(self, *, writer: bool = False) -> RecordSlots[PairView]:
        """The latest view of each pair by pair id; the executor is the writer."""
        return RecordSlots(self._slots("pairs", writer), PAIR_VIEW, PairView)

    def funding(self, *, writer: bool = False) -> RecordSlots[FundingView]:
        """Funding rates by instrument id; the executor is the writer."""
        return RecordSlots(self._slots("funding", writer), FUNDING_VIEW, FundingView)

    def slippage(self, *, writer: bool = False) -> RecordSlots[SlippageView]:
        """Learned slippage by ``slippage_index``; the executor is the writer."""
        return RecordSlots(self._slots("slippage", writer), SLIPPAGE_VIEW, SlippageView)

    def views_writer(self) -> ViewWriter:
        """Publishes views of pairs: the latest in a slot, and every one in a ring; for the executor."""
        ring = BroadcastWriter.attach(self.directory / "views", PAIR_VIEW)
        return ViewWriter(self.pairs(writer=True), ring)

    def views_reader(self) -> BroadcastReader:
        """Every view of every pair in order, from the next one on."""
        return BroadcastReader.attach(self.directory / "views", PAIR_VIEW, readonly=True)

    def machines(self, *, writer: bool = False) -> SlotTable:
        """The journalled pair machines, two slots a pair; the executor is the writer."""
        return self._slots("machines", writer)

    def taken(self, *, writer: bool = False) -> SlotTable:
        """The event each pair machine takes now, kept before its step; the executor is the writer."""
        return self._slots("taken", writer)

    def signals_writer(self) -> QueueWriter:
        """The detector's end of the signal queue."""
        return QueueWriter.attach(self.directory / "signals")

    def signals_reader(self) -> QueueReader:
        """The executor's end of the signal queue."""
        return QueueReader.attach(self.directory / "signals")

    def signals_tap(self) -> QueueTap:
        """Looks at the signals that pass and takes none; for recordings."""
        return QueueTap.attach(self.directory / "signals")

    def events_writer(self, process: str) -> QueueWriter:
        """A process's own end of its event queue."""
        return QueueWriter.attach(self.directory / f"{EVENTS}{process}")

    def events_reader(self, process: str) -> QueueReader:
        """Persistence's end of a process's event queue."""
        return QueueReader.attach(self.directory / f"{EVENTS}{process}")

    def counters(self, process: str, *, writer: bool = False) -> CounterTable:
        """A process's counters; that process is the writer."""
        return CounterTable.attach(self.directory / f"counters.{process}", writer=writer, readonly=not writer)

    def latch(self, *, writer: bool = False) -> CounterTable:
        """The kill switch's flag. A writer sets it and closes at once: anyone else may want to."""
        return CounterTable.attach(self.directory / "latch", writer=writer, readonly=not writer)

    def doorbell(self, process: str) -> Doorbell:
        """The bell of a sleeping process, to ring or, in that process, to wait on."""
        table = Doorbell.attach_table(self.directory / "doorbells")
        return Doorbell(table, DOORBELLS.index(process), self._bell_fds.get(process, -1))

    def _slots(self, name: str, writer: bool) -> SlotTable:
        return SlotTable.attach(self.directory / name, writer=writer, readonly=not writer)
