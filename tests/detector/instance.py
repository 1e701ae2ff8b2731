"""Shared memory of one instance, with the test standing in for feeds, executor and persistence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.bootstrap import write_launch
from settings import Settings, parse_settings
from shm.broadcast import BroadcastWriter
from shm.counter_names import (
    DETECTOR_HISTOGRAMS,
    FEED_COUNTERS,
    FEED_HISTOGRAMS,
    SUPERVISOR_COUNTERS,
    detector_counters,
)
from shm.counters import CounterTable
from shm.entry_block import GATES
from shm.layout import Memory, MemoryPlan
from shm.queue import QueueReader
from shm.records import QUOTE, SIGNAL, DepthBook, PairView, Quote, QuoteFlags, Signal, pack_depth
from tests.detector.builders import a_view, an_instrument, e8
from tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parents[2]
VENUES = ("paradex", "vest")

RAW_SETTINGS: dict[str, Any] = {
    "version": 1,
    "mode": "sim",
    "bot_id": "test",
    "pairs": [
        {
            "id": "btc",
            "base": "BTC",
            "legs": {"vest": "BTC-PERP", "paradex": "BTC-USD-PERP"},
            "size_base": "1",
            "strategy": {
                "entry_bps": 10.0,
                "exit_bps": 0.0,
                "max_quote_age_ms": 60000.0,
                "max_leg_skew_ms": 60000.0,
                "signal_ttl_ms": 60000.0,
            },
        }
    ],
    "risk": {
        "max_order_notional_quote": "1000",
        "max_position_notional_quote": "1000",
        "max_daily_loss_quote": "10",
    },
}


class Instance:
    """The memory, and the ends of it that belong to other processes than the detector."""

    def __init__(
        self,
        directory: Path,
        *,
        ring_cells: int = 64,
        is_native: bool = False,
        quote: dict[str, Any] | None = None,
    ) -> None:
        """``quote`` as in config.yaml; an instrument that it names is instrument 2 on its venue."""
        self.directory = directory
        self.is_native = is_native
        self.raw = {**RAW_SETTINGS, "quote": quote or {}}
        self.settings: Settings = parse_settings(self.raw, "test")
        self.instruments = (
            an_instrument(0, "vest"),
            an_instrument(1, "paradex", symbol="BTC-USD-PERP", quote="USDC" if quote else "USD"),
        )
        self._venue_of = [leg.venue for leg in self.settings.watched]
        feed = (list(FEED_COUNTERS), list(FEED_HISTOGRAMS))
        Memory.create(
            directory,
            MemoryPlan(
                venues=VENUES,
                instrument_count=len(self.settings.watched),
                pair_count=1,
                ring_cells=ring_cells,
                signal_queue_bytes=4096,
                event_queue_bytes=65536,
                event_sources=("detector",),
            ),
            {
                "detector": (detector_counters(["btc"]), list(DETECTOR_HISTOGRAMS)),
                **{f"feed-{venue}": feed for venue in VENUES},
                "supervisor": (list(SUPERVISOR_COUNTERS), []),
            },
        )
        self.bells = {
            name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in ("detector", "executor")
        }
        self.memory = Memory(directory, self.bells)
        self._rings: dict[str, BroadcastWriter] = {}
        self._feeds: dict[str, CounterTable] = {}
        for venue in VENUES:
            self._rings[venue] = self.memory.quotes_writer(venue)
            self._feeds[venue] = self.memory.counters(f"feed-{venue}", writer=True)
        self._tops = {venue: self.memory.tops(venue, writer=True) for venue in VENUES}
        self._depth = {venue: self.memory.depth(venue, writer=True) for venue in VENUES}
        self._views = self.memory.pairs(writer=True)
        self.bell = self.memory.doorbell("detector")
        self.signals: QueueReader = self.memory.signals_reader()
        self.events: QueueReader = self.memory.events_reader("detector")
        self.detector_counters = self.memory.counters("detector")

    def feeds_are_up(self) -> None:
        """From now on, however long a detector takes to start on a busy machine."""
        for counters in self._feeds.values():
            counters.set(counters.index("connected"), 1)
            counters.set(counters.index("heartbeat_mono_ns"), time.monotonic_ns() + 3_600 * 10**9)

    def executor_says(self, view: PairView | None = None) -> None:
        self._views.write(0, view or a_view())

    def publish(
        self, instrument_id: int, bid: float, ask: float, *, size: float = 10.0, to_slot: bool = True
    ) -> None:
        """What a feed does: slot, ring, bell."""
        venue = self._venue_of[instrument_id]
        now = time.monotonic_ns()
        quote = Quote(
            instrument_id, e8(bid), e8(ask), e8(size), e8(size), 0, now, now, 0, int(QuoteFlags.VALID), 1
        )
        if to_slot:
            self._tops[venue].write(instrument_id, quote)
        self._rings[venue].publish(QUOTE.pack(*quote))
        self.bell.ring()

    def publish_depth(self, instrument_id: int, book: DepthBook) -> None:
        self._depth[self.instruments[instrument_id].venue].write(instrument_id, pack_depth(book))

    def next_signal(self) -> Signal:
        """The next signal; waits for it."""
        wait_until(self.signals.has_more)
        message = self.signals.poll()
        assert message is not None
        self.signals.commit()
        return Signal(*SIGNAL.unpack(message))

    def read_events(self) -> list[dict[str, Any]]:
        events = []
        while (line := self.events.poll()) is not None:
            events.append(json.loads(line))
        self.events.commit()
        return events

    def count(self, name: str) -> int:
        return self.detector_counters.get(self.detector_counters.index(name))

    def outcomes(self) -> dict[str, int]:
        """Signals and refusals by gate; only what happened."""
        gates = {gate.value: self.count(f"gate.btc.{gate}") for gate in GATES}
        return {
            name: count for name, count in {"signals": self.count("signals.btc"), **gates}.items() if count
        }

    @contextmanager
    def detector(
        self,
        *,
        epoch: int = 1,
        strategy: dict[str, Any] | None = None,
        runtime: dict[str, Any] | None = None,
        project: Path = PROJECT,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The real process, of this code or of a copy; ended with -9 if the test did not end it."""
        runtime = {"native": self.is_native, **(runtime or {})}
        raw = {**self.raw, "strategy": strategy or {}, "runtime": runtime}
        write_launch(self.directory, raw, "test-run", self.instruments)
        bells = ",".join(f"{name}={fd}" for name, fd in self.bells.items())
        arguments = ["--memory", str(self.directory), "--bells", bells, "--epoch", str(epoch)]
        process = subprocess.Popen(
            [sys.executable, "-m", "detector", *arguments],
            cwd=project,
            pass_fds=tuple(self.bells.values()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            heartbeat = self.count("heartbeat_mono_ns")
            wait_until(
                lambda: process.poll() is not None or self.count("heartbeat_mono_ns") not in (0, heartbeat)
            )
            yield process
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()

    def close(self) -> None:
        for fd in self.bells.values():
            os.close(fd)
