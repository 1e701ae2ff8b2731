"""A recorded session that a test can make: real detector, real recorder, a market that swings as told.

Everything shares one process and a clock that the test moves, so a session of a minute takes a moment
and is the same every time. The executor of the session is a few lines: it takes every signal and tells
the views that a trade would have made.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from detector.agent import Detector
from detector.rules import rules_for
from observability.logs import Reporter
from runtime.bootstrap import write_launch
from settings import parse_settings
from shm import counter_names
from shm.layout import Memory, MemoryPlan
from shm.records import (
    QUOTE,
    SIGNAL,
    DepthBook,
    PairPhase,
    PairView,
    Quote,
    QuoteFlags,
    Signal,
    SignalKind,
    pack_depth,
)
from tests.detector.builders import an_instrument
from tools.record.recorder import Limits, Recorder
from tools.replay.virtual_time import RecordedClock
from venues.contract import E8

VENUES: Final = ("paradex", "vest")
MS: Final = 1_000_000
BEGIN_NS: Final = 5_000_000_000_000
UNIX_MINUS_MONO_NS: Final = 1_900_000_000_000_000_000
NEVER = Limits(flush_s=1e9, piece_s=1e9)
FLAT = PairView(0, PairPhase.FLAT, 0, 0, 0, 0, 1, 0.0, 0, 0, 0, 0, 0)


def raw_settings(var_dir: Path) -> dict[str, Any]:
    return {
        "version": 1,
        "mode": "sim",
        "bot_id": "test",
        "pairs": [
            {
                "id": "btc",
                "base": "BTC",
                "legs": {"vest": "BTC-PERP", "paradex": "BTC-USD-PERP"},
                "size_base": "0.02",
                "strategy": {"cooldown_ms": 200.0},
            }
        ],
        "strategy": {"entry_bps": 10.0, "exit_bps": 2.0, "confirm_ticks": 2, "signal_ttl_ms": 50.0},
        "risk": {
            "max_order_notional_quote": "5000",
            "max_position_notional_quote": "10000",
            "max_daily_loss_quote": "1000",
        },
        "venues": {"vest": {"taker_fee_bps": 0.5}, "paradex": {"taker_fee_bps": 0.5}},
        "persistence": {"var_dir": str(var_dir)},
    }


class Session:
    """An instance's memory with everybody in it; ``clock`` is everybody's clock."""

    def __init__(
        self, parent: Path, limits: Limits, *, ring_cells: int, strategy: Mapping[str, object]
    ) -> None:
        self.clock = RecordedClock(BEGIN_NS, UNIX_MINUS_MONO_NS)
        self.directory = parent / "memory"
        self.raw = raw_settings(parent / "var")
        self.raw["strategy"] |= strategy
        settings = parse_settings(self.raw, "test")
        self.instruments = (
            an_instrument(0, "vest"),
            an_instrument(1, "paradex", symbol="BTC-USD-PERP"),
        )
        feed = (list(counter_names.FEED_COUNTERS), list(counter_names.FEED_HISTOGRAMS))
        Memory.create(
            self.directory,
            MemoryPlan(VENUES, 2, 1, ring_cells, 4_096, 65_536, ()),
            {
                "detector": (
                    counter_names.detector_counters(["btc"]),
                    list(counter_names.DETECTOR_HISTOGRAMS),
                ),
                **{f"feed-{venue}": feed for venue in VENUES},
            },
        )
        write_launch(self.directory, self.raw, "test-run", self.instruments)
        memory = self.memory = Memory(self.directory)
        self._rings = {venue: memory.quotes_writer(venue) for venue in VENUES}
        self._tops = {venue: memory.tops(venue, writer=True) for venue in VENUES}
        self._depth = {venue: memory.depth(venue, writer=True) for venue in VENUES}
        self._feeds = {venue: memory.counters(f"feed-{venue}", writer=True) for venue in VENUES}
        self._views = memory.views_writer()
        self._queue = memory.signals_reader()
        self.recordings = parent / "recordings"
        self.published: list[Quote] = []
        self.signals: list[Signal] = []
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._sequence = 0
        self._tell(FLAT)
        self._beat()
        self.recorder = Recorder(self.directory, self.recordings, limits, self.clock)
        self._detector = Detector(
            memory,
            memory.counters("detector", writer=True),
            settings,
            [rules_for(settings, 0, self.instruments)],
            Reporter("detector", run_id="test-run", level=None),
            epoch=3,
            clock_mono_ns=self.clock.mono_ns,
            clock_unix_s=self.clock.unix_s,
        )

    def swing(self, seconds: float, *, seed: int = 7, records: bool = True) -> None:
        """A market whose gap swings slowly between plus and minus 18 bps, a quote every 10 ms."""
        draw = random.Random(seed)
        mid = 50_000.0
        for tick in range(int(seconds * 100)):
            self.pass_time(10)
            mid += draw.uniform(-1, 1)
            gap_bps = 18 * math.sin(tick / 300) + draw.uniform(-1, 1)
            leg = tick % 2
            price = mid * (1 + (gap_bps / 10_000 if leg else 0))
            self.publish(leg, price)
            if records:
                self.recorder.poll()
                self.recorder.write_if_due()

    def pass_time(self, ms: int) -> None:
        until_ns = self.clock.mono_ns() + ms * MS
        while self._later and self._later[0][0] <= until_ns:
            due_ns, call = self._later.pop(0)
            self.clock.set(due_ns)
            call()
        self.clock.set(until_ns)
        self._beat()

    def publish(self, leg: int, price: float) -> None:
        """What a feed does, and what the detector and the executor do then."""
        venue, now = self.instruments[leg].venue, self.clock.mono_ns()
        self._sequence += 1
        bid, ask = (round(price * 10) - 1) * E8 // 10, (round(price * 10) + 1) * E8 // 10
        quote = Quote(leg, bid, ask, E8, E8, 0, now, now, self._sequence, int(QuoteFlags.VALID), 1)
        levels = range(5)
        book = DepthBook(
            [(bid - level * E8 // 10, E8) for level in levels],
            [(ask + level * E8 // 10, E8) for level in levels],
            now,
            self._sequence,
            is_valid=True,
        )
        self._depth[venue].write(leg, pack_depth(book))
        self._tops[venue].write(leg, quote)
        self._rings[venue].publish(QUOTE.pack(*quote))
        self.published.append(quote)
        self._detector.do_work(now)
        while (body := self._queue.poll()) is not None:
            self._queue.commit()
            self._obey(Signal(*SIGNAL.unpack(body)))

    def close(self) -> Path:
        """End the recording; where it is."""
        self.recorder.close()
        self._detector.on_close()
        directory: Path = self.recorder.directory
        return directory

    def _obey(self, signal: Signal) -> None:
        self.signals.append(signal)
        now, is_entry = self.clock.mono_ns(), signal.kind == SignalKind.ENTER
        if is_entry and signal.signal_id % 3 == 0:  # refused: consumed, and nothing comes of it
            self._tell(FLAT._replace(last_signal_id=signal.signal_id))
            return
        under_way = FLAT._replace(
            phase=PairPhase.OPENING if is_entry else PairPhase.CLOSING,
            direction=signal.direction,
            entries_allowed=0,
            last_signal_id=signal.signal_id,
        )
        done = under_way._replace(
            phase=PairPhase.HEDGED if is_entry else PairPhase.FLAT,
            direction=signal.direction if is_entry else 0,
            size_e8=signal.size_e8 if is_entry else 0,
            layers_open=int(is_entry),
            entries_allowed=1,
            opened_mono_ns=now if is_entry else 0,
            closed_mono_ns=0 if is_entry else now + 35 * MS,
        )
        self._tell(under_way)
        self._later.append((now + 35 * MS, lambda: self._tell(done)))

    def _tell(self, view: PairView) -> None:
        self._views.write(0, view._replace(updated_mono_ns=self.clock.mono_ns()))

    def _beat(self) -> None:
        for counters in self._feeds.values():
            counters.set(counters.index("connected"), 1)
            counters.set(counters.index("heartbeat_mono_ns"), self.clock.mono_ns())


@contextmanager
def a_session(
    limits: Limits = NEVER, *, ring_cells: int = 1_024, strategy: Mapping[str, object] = MappingProxyType({})
) -> Iterator[Session]:
    parent = Path(tempfile.mkdtemp(prefix="tandem-test-", dir="/dev/shm"))
    try:
        yield Session(parent, limits, ring_cells=ring_cells, strategy=strategy)
    finally:
        shutil.rmtree(parent)


def lines_of(text: str) -> dict[str, Any]:
    parsed = json.loads(text)
    assert isinstance(parsed, dict)
    return parsed
