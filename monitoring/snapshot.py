"""One look at a running instance: everything its memory says, as plain values.

Attached read-only, so that looking takes nothing from the instance but memory bandwidth. The
monitor draws it, ``status`` prints it, the metrics export it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.spreads import entry_spread_bps, exit_spread_bps
from monitoring.instance import LatencyRow, instance_directory, latency_rows
from runtime.bootstrap import launch_file, read_launch
from runtime.operator_ack import Heeded, read_heeded
from settings import Leg, PairSettings, Settings, parse_settings
from shm.counter_names import PROCESS_STATES
from shm.counters import CounterTable
from shm.entry_block import GATES, EntryBlock, blocks_in
from shm.layout import Memory
from shm.records import PairPhase, PairView, Quote, QuoteFlags, unpack_depth
from shm.segment import SegmentError


@dataclass(frozen=True, slots=True)
class LegShown:
    """One leg's top of book; ``quote`` is None until one has come."""

    leg: Leg
    quote: Quote | None
    age_ms: float | None
    has_depth: bool  # the book behind the top can be believed
    stale_after_ms: float

    @property
    def is_missing(self) -> bool:
        """Whether it has been without prices one could go by for longer than its venue may be silent."""
        if self.quote is None or self.age_ms is None:
            return False  # its feed has not begun
        if self.quote.flags & QuoteFlags.STALE:
            return True
        return self.age_ms > self.stale_after_ms and not (self.is_usable and self.has_depth)

    @property
    def is_usable(self) -> bool:
        return self.quote is not None and self.quote.flags & 0b1111 in (
            QuoteFlags.VALID,
            QuoteFlags.VALID | QuoteFlags.SNAPSHOT,
        )


@dataclass(frozen=True, slots=True)
class PairShown:
    """One pair. Spreads are bps of the price bought at, None without two usable quotes."""

    settings: PairSettings
    legs: tuple[LegShown, LegShown]
    forward_bps: float | None  # buy the first leg, sell the second
    backward_bps: float | None
    exit_bps: float | None  # what closing the open position now gives back
    view: PairView | None
    evaluations: int
    signals: int
    gates: Mapping[str, int]

    @property
    def phase(self) -> PairPhase:
        return PairPhase(self.view.phase) if self.view else PairPhase.UNKNOWN


@dataclass(frozen=True, slots=True)
class ProcessShown:
    name: str
    state: str
    pid: int
    restarts: int
    beat_age_s: float | None  # None until it has beaten


@dataclass(frozen=True, slots=True)
class FeedShown:
    venue: str
    is_connected: bool
    data_age_ms: float | None
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An instance at one instant. Counters by their names in ``shm.counter_names``."""

    bot_id: str
    mode: str
    taken_mono_ns: int
    up_s: float
    is_stopping: bool
    is_paused: bool
    reloads: int  # of the settings, since the start
    operator: Heeded  # what is in force of the operator's orders, and why nothing is opened where it is not
    is_supervised: bool  # the supervisor has turned lately
    is_killed: bool  # the latch in memory is pulled; the one on disk is a file
    pairs: Sequence[PairShown]
    processes: Sequence[ProcessShown]
    feeds: Sequence[FeedShown]
    executor: Mapping[str, int]
    persistence: Mapping[str, int]
    alerts: Mapping[str, int]  # empty where the supervisor has no alerter
    stages: Sequence[LatencyRow]

    @property
    def trading_state(self) -> Sequence[EntryBlock]:
        """Every reason the executor has named why nothing is opened anywhere, the first one first."""
        return blocks_in(self.executor["entry_blocks"])


class Watcher:
    """Reads one instance again and again. Raises SegmentError when there is none."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self.directory = directory
        memory = Memory(directory)
        if memory.plan.venues != settings.venue_names or memory.plan.pair_count != len(settings.pairs):
            raise SegmentError(
                f"{directory} belongs to an instance with other pairs: give its configuration with --config"
            )
        self._pairs = memory.pairs()
        self._tops = {venue: memory.tops(venue) for venue in memory.plan.venues}
        self._depths = {venue: memory.depth(venue) for venue in memory.plan.venues}
        self._latch = memory.latch()
        processes = sorted(path.name.removeprefix("counters.") for path in directory.glob("counters.*"))
        self._tables: dict[str, CounterTable] = {name: memory.counters(name) for name in processes}

    def read(self) -> Snapshot:
        now_mono_ns = time.monotonic_ns()
        counters = {name: table.snapshot() for name, table in self._tables.items()}
        own = counters["supervisor"]
        heeded = read_heeded(self.directory)
        return Snapshot(
            bot_id=self._settings.bot_id,
            mode=self._settings.mode,
            taken_mono_ns=now_mono_ns,
            up_s=(now_mono_ns - own["started_mono_ns"]) / 1e9,
            is_stopping=bool(own["stopping"]),
            is_paused=bool(own["entries_paused"] or heeded.paused_by),
            reloads=own["settings_generation"],
            operator=heeded,
            is_supervised=now_mono_ns - own["heartbeat_mono_ns"] < 5e9,
            is_killed=self._latch.get(0) != 0,
            pairs=[self._pair(number, counters["detector"]) for number in range(len(self._settings.pairs))],
            processes=[
                ProcessShown(
                    name,
                    PROCESS_STATES[own[f"state.{name}"]],
                    own[f"pid.{name}"],
                    own[f"restarts.{name}"],
                    _age(now_mono_ns, counters[name]["heartbeat_mono_ns"], 1e9),
                )
                for name in self._tables
                if name != "supervisor"
            ],
            feeds=[
                FeedShown(
                    venue,
                    counters[f"feed-{venue}"]["connected"] == 1,
                    _age(now_mono_ns, counters[f"feed-{venue}"]["last_data_mono_ns"], 1e6),
                    counters[f"feed-{venue}"],
                )
                for venue in self._settings.venue_names
            ],
            executor=counters["executor"],
            persistence=counters["persistence"],
            alerts=counters.get("alerts", {}),
            stages=latency_rows(self.directory),
        )

    def _pair(self, number: int, detector: Mapping[str, int]) -> PairShown:
        pair = self._settings.pairs[number]
        legs = (self._leg(2 * number, pair.legs[0]), self._leg(2 * number + 1, pair.legs[1]))
        first, second = (leg.quote if leg.is_usable else None for leg in legs)
        view = self._pairs.read(number)
        forward = backward = closing = None
        if first is not None and second is not None:
            forward = entry_spread_bps(first.ask_e8, second.bid_e8)
            backward = entry_spread_bps(second.ask_e8, first.bid_e8)
            if view is not None and view.size_e8:
                long, short = (first, second) if view.direction > 0 else (second, first)
                closing = exit_spread_bps(long.bid_e8, short.ask_e8)
        return PairShown(
            settings=pair,
            legs=legs,
            forward_bps=forward,
            backward_bps=backward,
            exit_bps=closing,
            view=view,
            evaluations=detector[f"evaluations.{pair.id}"],
            signals=detector[f"signals.{pair.id}"],
            gates={gate.value: detector[f"gate.{pair.id}.{gate}"] for gate in GATES},
        )

    def _leg(self, instrument_id: int, leg: Leg) -> LegShown:
        quote = self._tops[leg.venue].read(instrument_id)
        # An age is taken against a clock read after the quote: it can never come out negative.
        age_ms = None if quote is None else (time.monotonic_ns() - quote.recv_mono_ns) / 1e6
        depth = self._depths[leg.venue].read(instrument_id)
        has_depth = depth is None or unpack_depth(depth).is_valid
        return LegShown(leg, quote, age_ms, has_depth, self._settings.venue(leg.venue).stale_after_ms)


class Finder:
    """The instance of some settings, found again after every restart of it."""

    def __init__(self, settings: Settings, directory: Path | None = None) -> None:
        self._settings = settings
        self._directory = directory
        self._watcher: Watcher | None = None
        self._inode = 0

    def find(self) -> Watcher | None:
        """None while no instance runs. The same object as long as it is the same instance."""
        try:
            directory = self._directory or instance_directory(self._settings)
            inode = directory.stat().st_ino
            if self._watcher is None or inode != self._inode:
                self._watcher, self._inode = Watcher(self._settings, directory), inode
        except (SegmentError, FileNotFoundError):
            self._watcher = None
        return self._watcher


class InForce:
    """The settings an instance works by: those it began with, or what it was reloaded with since."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: tuple[Path, int] | None = None

    def read(self, directory: Path) -> Settings:
        """Those in force; what this was made with until the instance has published any."""
        path = launch_file(directory)
        try:
            seen = path, path.stat().st_ino  # a reload puts another file in its place
            if seen != self._seen:
                content = read_launch(directory)
                self._settings, self._seen = parse_settings(content["settings"], str(path)), seen
        except FileNotFoundError:
            self._seen = None
        return self._settings


def _age(now_mono_ns: int, then_mono_ns: int, unit_ns: float) -> float | None:
    return max(0.0, (now_mono_ns - then_mono_ns) / unit_ns) if then_mono_ns else None
