"""One look at a running instance: everything in its memory, as plain values.

Attached read-only, so that looking takes nothing from the instance but memory bandwidth. The
monitor draws it, ``status`` prints it, the metrics export it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.maintenance import WeeklySpan, seconds_left, weekly_spans
from detector.spreads import entry_spread_bps, exit_spread_bps
from monitoring.gap import GapShown, of_detector
from monitoring.instance import LatencyRow, instance_directory, latency_rows
from runtime.bootstrap import launch_file, read_launch
from runtime.kill_switch import kill_file
from runtime.operator_ack import Acknowledgement, read_acknowledgement
from runtime.operator_orders import pause_file
from settings import Leg, PairSettings, Settings, parse_settings
from shm.counter_names import PROCESS_STATES
from shm.counters import CounterTable
from shm.entry_block import GATES, EntryBlock, blocks_in
from shm.layout import Memory
from shm.records import PairPhase, PairView, Quote, QuoteFlags, unpack_depth
from shm.segment import SegmentError
from venues.contract import E8, converted_e8


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
        """Whether there is a top of book that one could trade at."""
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
    gap: GapShown | None  # what an entry needs, and the widest since the start; None before a first look
    # The second leg's quote currency in the first's: spreads go by it. None: one for one; 0.0: never known.
    quote_rate: float | None = None
    is_rate_usable: bool = True  # False: missing, too old or absurd now, and nothing is opened

    @property
    def phase(self) -> PairPhase:
        """As the executor has published it; UNKNOWN before it has."""
        return PairPhase(self.view.phase) if self.view else PairPhase.UNKNOWN


@dataclass(frozen=True, slots=True)
class ProcessShown:
    """One process as its supervisor sees it."""

    name: str
    state: str
    pid: int
    restarts: int
    beat_age_s: float | None  # None until it has beaten


@dataclass(frozen=True, slots=True)
class FeedShown:
    """One venue: its market data, its session, its maintenance."""

    venue: str
    is_connected: bool
    data_age_ms: float | None
    is_logged_out: bool  # the executor has no session there, or its private stream is down
    maintenance_left_s: int  # of a window in the settings; 0 outside
    counters: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LimitsShown:
    """The limits of the day, as they are in force."""

    daily_loss_e8: int
    drawdown_e8: int
    naked_budget_s: float


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
    operator: Acknowledgement  # what of the operator's orders is in force
    is_supervised: bool  # the supervisor has turned lately
    is_killed: bool  # the kill switch is engaged, in memory or on disk, whatever the executor does
    suspended: Mapping[str, str]  # pairs on which nothing is opened in this run: why
    limits: LimitsShown
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
        self._in_force = InForce(settings)
        self._spans: dict[str, tuple[WeeklySpan, ...]] = {}
        processes = sorted(path.name.removeprefix("counters.") for path in directory.glob("counters.*"))
        self._tables: dict[str, CounterTable] = {name: memory.counters(name) for name in processes}

    def read(self) -> Snapshot:
        """The instance as it is now."""
        now_mono_ns = time.monotonic_ns()
        counters = {name: table.snapshot() for name, table in self._tables.items()}
        own, executor = counters["supervisor"], counters["executor"]
        acknowledged = read_acknowledgement(self.directory)
        self._take_up(self._in_force.read(self.directory))
        settings, now_unix_s = self._settings, int(time.time())
        return Snapshot(
            bot_id=settings.bot_id,
            mode=settings.mode,
            taken_mono_ns=now_mono_ns,
            up_s=(now_mono_ns - own["started_mono_ns"]) / 1e9,
            is_stopping=bool(own["stopping"]),
            is_paused=bool(own["entries_paused"] or acknowledged.paused_by)
            or _is_there(pause_file(settings)),
            reloads=own["settings_generation"],
            operator=acknowledged,
            is_supervised=now_mono_ns - own["heartbeat_mono_ns"] < 5e9,
            is_killed=self._latch.get(0) != 0 or _is_there(kill_file(settings)),
            suspended=self._in_force.suspended,
            limits=LimitsShown(
                settings.risk.max_daily_loss_quote_e8,
                settings.risk.drawdown_limit_e8,
                settings.risk.naked_budget_s_per_day,
            ),
            pairs=[self._pair(number, counters["detector"]) for number in range(len(settings.pairs))],
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
                    bool(executor["venues_down"] >> number & 1),
                    seconds_left(self._spans[venue], now_unix_s),
                    counters[f"feed-{venue}"],
                )
                for number, venue in enumerate(settings.venue_names)
            ],
            executor=executor,
            persistence=counters["persistence"],
            alerts=counters.get("alerts", {}),
            stages=latency_rows(self.directory),
        )

    def _take_up(self, settings: Settings) -> None:
        """Show by the settings that are in force: they may have been reloaded, or be about to."""
        if settings is not self._settings or not self._spans:
            self._settings = settings
            self._spans = {
                venue: weekly_spans(settings.venue(venue).maintenance) for venue in settings.venue_names
            }

    def _pair(self, number: int, detector: Mapping[str, int]) -> PairShown:
        pair = self._settings.pairs[number]
        legs = (self._leg(2 * number, pair.legs[0]), self._leg(2 * number + 1, pair.legs[1]))
        first, second = (leg.quote if leg.is_usable else None for leg in legs)
        view = self._pairs.read(number)
        rate = detector[f"quote_rate_e8.{pair.id}"]
        rate_e8 = 0 if rate == -1 else abs(rate)
        if second is not None and rate:
            second = second._replace(
                bid_e8=converted_e8(second.bid_e8, rate_e8), ask_e8=converted_e8(second.ask_e8, rate_e8)
            )
        forward = backward = closing = None
        if first is not None and second is not None and (rate_e8 or not rate):
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
            gap=of_detector(detector, pair.id),
            quote_rate=rate_e8 / E8 if rate else None,
            is_rate_usable=rate >= 0,
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
        self.suspended: Mapping[str, str] = {}  # pairs on which nothing is opened in this run: why

    def read(self, directory: Path) -> Settings:
        """Those in force; what this was made with until the instance has published any."""
        path = launch_file(directory)
        try:
            seen = path, path.stat().st_ino  # a reload puts another file in its place
            if seen != self._seen:
                content = read_launch(directory)
                self._settings, self._seen = parse_settings(content["settings"], str(path)), seen
                self.suspended = content["suspended"]
        except FileNotFoundError:
            self._seen = None
        return self._settings


def _is_there(path: Path) -> bool:
    """Whether an operator's file is there; a disk that gives no answer counts as yes, as for the executor."""
    try:
        return path.exists()
    except OSError:
        return True


def _age(now_mono_ns: int, then_mono_ns: int, unit_ns: float) -> float | None:
    return max(0.0, (now_mono_ns - then_mono_ns) / unit_ns) if then_mono_ns else None
