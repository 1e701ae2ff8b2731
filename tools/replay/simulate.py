"""A recorded market traded again on paper: the instance's own detector and executor, settings as wished.

The detector, the gates before the wire, the pair machine, the virtual venues and what is due now and
then are the classes that run live; here they run by the recording's clock (``virtual_time``). What is a
model is what a model is in mode paper: orders travel for a drawn but seeded time and take what the
recorded depth then shows.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from detector.agent import Detector
from detector.native_strategy import strategy_kind
from detector.rules import rules_for
from events.codec import NotAnEvent, decode
from events.decisions import SignalDecided, SignalRefused
from events.event import Event
from events.trades import TradeClosed, TradeOpened
from executor.metrics.slippage_model import learned_file
from executor.process import Executor
from observability.logs import Reporter
from runtime.bootstrap import Launch
from settings import Settings, parse_settings
from shm.entry_block import GATES
from shm.records import FundingView, SlippageView
from shm.slot import RecordSlots
from tools.record.reader import Kind, Recording
from tools.replay.memory import ReplayMemory, private_settings_changes, replay_memory
from tools.replay.overrides import changed
from tools.replay.virtual_time import RecordedClock, VirtualLoop, second_after
from tools.replay.watching import Chain, Miss, Watch
from venues.contract import Side, VenueHosts

_EPOCH: Final = 1
_AFTERWARDS_S: Final = 0.5  # for orders that were under way when the recording ended
_TOLD_EVERY: Final = 1_000  # quotes
_VOLATILE: Final = frozenset({"pid", "run_id", "ts"})  # of this process and its day; mono_ns is of then

Progress = Callable[[int], None]


class Trade(NamedTuple):
    """One round trip. Amounts in quote currency, scaled by 10**8."""

    pair: str
    opened_mono_ns: int
    closed_mono_ns: int
    direction: int
    size_e8: int
    entry_spread_bps: float
    exit_spread_bps: float
    gross_e8: int
    fees_e8: int
    net_e8: int
    reason: str


@dataclass(slots=True)
class ReplayResult:
    """What became of one replay."""

    trades: list[Trade] = field(default_factory=list)
    entries: int = 0  # signals
    exits: int = 0
    evaluations: Mapping[str, int] = field(default_factory=dict)  # by pair
    signals: Mapping[str, int] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # refusals by pair and gate
    counted: Mapping[str, int] = field(default_factory=dict)  # the detector's counters at the end
    refused: Counter[str] = field(default_factory=Counter)  # by the risk checks
    quotes: int = 0
    equity_change_e8: int = 0  # of both accounts, what is still open at its middle price
    open_pairs: int = 0
    head: str = ""  # of the hash chain over every decision
    links: int = 0
    nearest: list[Miss] = field(default_factory=list)
    seconds: float = 0.0  # recorded
    took_s: float = 0.0

    @property
    def net_e8(self) -> int:
        return sum(trade.net_e8 for trade in self.trades)

    @property
    def fees_e8(self) -> int:
        return sum(trade.fees_e8 for trade in self.trades)

    @property
    def speed(self) -> float:
        """Recorded seconds per second."""
        return self.seconds / self.took_s if self.took_s else 0.0


def simulate(
    recording: Recording, raw: dict[str, Any], progress: Progress = lambda quotes: None
) -> ReplayResult:
    """Replay under the settings ``raw``. Raises SettingsError or SizeError for what cannot be."""
    settings = parse_settings(raw, "replay")
    clock = RecordedClock(_beginning(recording), recording.unix_minus_mono_ns)
    began_s = time.perf_counter()
    with replay_memory(recording, settings) as played:
        settings = parse_settings(changed(raw, private_settings_changes(played.var_dir)), "replay")
        _write_learned(recording, settings)
        loop = VirtualLoop(clock)
        try:
            outcome = loop.run_until_complete(
                _Replay(recording, settings, played, loop, clock, progress).run()
            )
        finally:
            loop.close()
            gc.enable()  # the executor had switched it off
            gc.unfreeze()
    outcome.took_s = time.perf_counter() - began_s
    return outcome


class _Replay:
    def __init__(
        self,
        recording: Recording,
        settings: Settings,
        played: ReplayMemory,
        loop: VirtualLoop,
        clock: RecordedClock,
        progress: Progress,
    ) -> None:
        self._loop = loop
        self._recording = recording
        self._settings = settings
        self._rules = [
            rules_for(settings, pair_id, recording.instruments) for pair_id in range(len(settings.pairs))
        ]
        self._stage = played
        self._clock = clock
        self._progress = progress
        self._outcome = ReplayResult()
        self._chain = Chain()
        self._watch = Watch(self._chain, strategy_kind(settings))
        self._opened: dict[int, int] = {}
        self._counters = played.memory.counters("detector", writer=True)
        self._rates = RecordedRates(played.memory.funding(writer=True))
        self._executor = Executor(self._launch(), funding=self._rates, is_driven=True)

    async def run(self) -> ReplayResult:
        living = asyncio.create_task(self._executor.run())
        try:
            await self._play(living)
            await asyncio.sleep(_AFTERWARDS_S)
            self._outcome.open_pairs = self._executor.open_pairs
            self._outcome.equity_change_e8 = await self._executor.equity_e8() - sum(
                self._settings.paper.venues[venue].balance_quote_e8 for venue in self._settings.venue_names
            )
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await asyncio.sleep(0)  # what it had under way ends, too
        self._finish()
        return self._outcome

    async def _play(self, living: asyncio.Task[None]) -> None:
        clock, loop, outcome = self._clock, self._loop, self._outcome
        begin_ns = clock.mono_ns()
        next_second_ns = second_after(begin_ns)
        detector: Detector | None = None
        for row in self._recording.rows(with_views=False):
            if row.at_mono_ns > next_second_ns and detector is not None:
                await loop.pass_time(next_second_ns)
                detector.do_work(next_second_ns)  # it looks at its clock then, quotes or not
            next_second_ns = second_after(row.at_mono_ns)
            await loop.pass_time(row.at_mono_ns)
            if living.done():
                living.result()  # what ended it is the news
            if row.kind is Kind.QUOTE:
                if detector is None:
                    detector = self._detector()  # after what stood at the beginning
                self._stage.put(row)
                detector.do_work(clock.mono_ns())
                self._executor.take_signals()
                outcome.quotes += 1
                if outcome.quotes % _TOLD_EVERY == 0:
                    self._progress(outcome.quotes)
            elif row.kind is Kind.FUNDING:
                instrument_id, hourly_bps, asked_mono_ns = row.values
                self._rates.put(instrument_id, FundingView(hourly_bps, asked_mono_ns))
            else:
                self._stage.put(row)
        outcome.seconds = (clock.mono_ns() - begin_ns) / 1e9
        if detector is not None:
            detector.on_close()

    def _finish(self) -> None:
        outcome, counted = self._outcome, self._counters.snapshot()
        pairs = [pair.id for pair in self._settings.pairs]
        outcome.evaluations = {pair: counted[f"evaluations.{pair}"] for pair in pairs}
        outcome.signals = {pair: counted[f"signals.{pair}"] for pair in pairs}
        outcome.gates = {
            pair: {gate.value: count for gate in GATES if (count := counted[f"gate.{pair}.{gate}"])}
            for pair in pairs
        }
        outcome.counted = counted
        outcome.head, outcome.links = self._chain.head, self._chain.links
        outcome.nearest = sorted(self._watch.nearest.values())
        self._progress(outcome.quotes)

    def _detector(self) -> Detector:
        return Detector(
            self._stage.memory,
            self._counters,
            self._settings,
            self._rules,
            self._reporter("detector"),
            epoch=_EPOCH,
            clock_mono_ns=self._clock.mono_ns,
            clock_unix_s=self._clock.unix_s,
            make_strategy=self._watch.strategy,
        )

    def _launch(self) -> Launch:
        run_id, memory = self._recording.run_id, self._stage.memory
        return Launch(
            process="executor",
            venue="",
            settings=self._settings,
            run_id=run_id,
            epoch=_EPOCH,
            instruments=self._recording.instruments,
            env_file=Path(os.devnull),
            memory=memory,
            counters=memory.counters("executor", writer=True),
            events=None,
            reporter=self._reporter("executor"),
            clock=self._clock,
        )

    def _reporter(self, process: str) -> Reporter:
        """Nobody reads a replay's log, and every event is heard, however many come."""
        return Reporter(
            process,
            run_id=self._recording.run_id,
            level=None,
            to_queue=self._heard,
            is_limited=False,
            mono_ns=self._clock.mono_ns,
            unix_ns=self._clock.unix_ns,
        )

    def _heard(self, encoded: bytes) -> bool:
        """Every event: what is reported of a pair is a decision, or follows from one."""
        fields = orjson.loads(encoded)
        if "pair" not in fields:
            return True
        facts = {name: value for name, value in fields.items() if name not in _VOLATILE}
        self._chain.add(orjson.dumps(facts, option=orjson.OPT_SORT_KEYS))
        outcome, (event, at_mono_ns) = self._outcome, _event_and_time(encoded)
        match event:
            case SignalDecided():
                outcome.entries += event.kind == "enter"
                outcome.exits += event.kind == "exit"
            case SignalRefused():
                outcome.refused[event.gate] += 1
            case TradeOpened():
                self._opened.setdefault(event.trade_id, at_mono_ns)
            case TradeClosed():
                opened_mono_ns = self._opened.pop(event.trade_id, at_mono_ns)
                outcome.trades.append(_trade(event, opened_mono_ns, at_mono_ns))
        return True


class RecordedRates:
    """Funding rates as the venues answered them then."""

    def __init__(self, slots: RecordSlots[FundingView]) -> None:
        self._slots = slots

    def put(self, instrument_id: int, view: FundingView) -> None:
        """Show a rate to the detector."""
        self._slots.write(instrument_id, view)

    async def run(self, hosts: dict[str, VenueHosts]) -> None:
        """Nobody is asked."""
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        self._slots.close()


def _event_and_time(encoded: bytes) -> tuple[Event, int]:
    reported = decode(encoded)
    return reported.event, reported.mono_ns


def _trade(closed: TradeClosed, opened_mono_ns: int, closed_mono_ns: int) -> Trade:
    return Trade(
        closed.pair,
        opened_mono_ns,
        closed_mono_ns,
        closed.direction,
        closed.size_e8,
        closed.entry_spread_bps,
        closed.exit_spread_bps,
        closed.gross_e8,
        closed.fees_e8,
        closed.net_e8,
        closed.reason,
    )


def recorded_trades(recording: Recording) -> list[Trade]:
    """The round trips that were really made while it was recorded."""
    opened: dict[int, int] = {}
    trades = []
    for at_mono_ns, encoded in recording.events():
        try:
            event, closed_mono_ns = _event_and_time(encoded)
        except NotAnEvent:
            continue
        match event:
            case TradeOpened():
                opened.setdefault(event.trade_id, at_mono_ns)
            case TradeClosed():
                opened_mono_ns = opened.get(event.trade_id, at_mono_ns)
                trades.append(_trade(event, opened_mono_ns, closed_mono_ns))
    return trades


def _beginning(recording: Recording) -> int:
    """The first instant at which anything was seen."""
    return next(row.at_mono_ns for row in recording.rows(with_views=False) if row.kind is Kind.QUOTE) - 1


def _write_learned(recording: Recording, settings: Settings) -> None:
    """Let the executor begin with the slippage that was known when the recording began."""
    kept = {}
    for place, values in recording.first_slippage():
        instrument = recording.instruments[place // 2]
        side = Side.SELL if place % 2 else Side.BUY
        kept[f"{instrument.venue}:{instrument.symbol}:{side.name}"] = list(SlippageView(*values))
    learned_file(settings).write_text(json.dumps(kept))
