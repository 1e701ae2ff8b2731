"""Shared memory of one instance as a feed's readers see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runtime.bootstrap import write_launch
from shm.broadcast import BroadcastReader
from shm.counter_names import FEED_COUNTERS, FEED_HISTOGRAMS
from shm.layout import Memory, MemoryPlan
from shm.records import QUOTE, DepthBook, Quote, unpack_depth
from tests.events.catalogue import check

PROJECT = Path(__file__).resolve().parents[2]
SYMBOLS = {"vest": ("BTC-PERP", "ETH-PERP"), "paradex": ("BTC-USD-PERP", "ETH-USD-PERP")}


def raw_settings(urls: dict[str, str], stale_after_ms: float) -> dict[str, Any]:
    """Two pairs, so each venue serves two instruments: 0 and 2 of Vest, 1 and 3 of Paradex."""
    return {
        "version": 1,
        "mode": "sim",
        "bot_id": "test",
        "venues": {
            venue: {"public_ws_url": url, "stale_after_ms": stale_after_ms} for venue, url in urls.items()
        },
        "pairs": [
            {
                "id": base.lower(),
                "base": base,
                "legs": {"vest": SYMBOLS["vest"][place], "paradex": SYMBOLS["paradex"][place]},
                "size_base": "1",
                "strategy": {"entry_bps": 10.0, "exit_bps": 0.0},
            }
            for place, base in enumerate(("BTC", "ETH"))
        ],
        "risk": {
            "max_order_notional_quote": "1000",
            "max_position_notional_quote": "1000",
            "max_daily_loss_quote": "10",
        },
    }


class Instance:
    """The memory with readers for everything a feed writes. The feed under test serves Vest."""

    def __init__(self, directory: Path, venue: str = "vest", *, is_native: bool = False) -> None:
        self.is_native = is_native
        self.directory = directory
        self.venue = venue
        feed = (list(FEED_COUNTERS), list(FEED_HISTOGRAMS))
        Memory.create(
            directory,
            MemoryPlan(
                venues=("hyperliquid", "paradex", "vest"),
                instrument_count=4,
                pair_count=2,
                ring_cells=4096,
                signal_queue_bytes=4096,
                event_queue_bytes=1 << 20,
                event_sources=("feed-vest", "feed-paradex", "feed-hyperliquid"),
            ),
            {"feed-vest": feed, "feed-paradex": feed, "feed-hyperliquid": feed},
        )
        self.bells = {"detector": os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)}
        self.memory = Memory(directory, self.bells)
        self.watch(venue)

    def watch(self, venue: str) -> None:
        """Look at this venue's feed from now on."""
        self.venue = venue
        self.ring: BroadcastReader = self.memory.quotes_reader(venue)
        self.tops = self.memory.tops(venue)
        self.depth_slots = self.memory.depth(venue)
        self.counters = self.memory.counters(f"feed-{venue}")
        self.events = self.memory.events_reader(f"feed-{venue}")
        self.heard: list[dict[str, Any]] = []

    def close(self) -> None:
        for fd in self.bells.values():
            os.close(fd)

    def count(self, name: str) -> int:
        return self.counters.get(self.counters.index(name))

    def top(self, instrument_id: int) -> Quote | None:
        return self.tops.read(instrument_id)

    def depth(self, instrument_id: int) -> DepthBook | None:
        body = self.depth_slots.read(instrument_id)
        return None if body is None else unpack_depth(body)

    def read_ring(self) -> list[Quote]:
        """Everything published since the last call, in order."""
        quotes = []
        while (body := self.ring.poll()) is not None:
            quotes.append(Quote(*QUOTE.unpack(body)))
        return quotes

    def events_named(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this name so far."""
        while (line := self.events.poll()) is not None:
            self.heard.append(json.loads(line))
            check(self.heard[-1])
        self.events.commit()
        return [event for event in self.heard if event["event"] == name]

    @contextmanager
    def feed(
        self,
        url: str,
        *,
        stale_after_ms: float = 60_000.0,
        epoch: int = 1,
        project: Path = PROJECT,
        prelude: str = "",
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The real process; ended with -9 if the test did not end it. ``prelude``: code that runs before."""
        settings = raw_settings({self.venue: url}, stale_after_ms)
        settings["runtime"] = {"native": self.is_native}
        write_launch(self.directory, settings, "test-run", ())
        bells = ",".join(f"{name}={fd}" for name, fd in self.bells.items())
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", f"{prelude}\nfrom feeds.process import main\nmain()"),
                *("--venue", self.venue),
                *("--memory", str(self.directory), "--bells", bells, "--epoch", str(epoch)),
            ],
            cwd=project,
            pass_fds=tuple(self.bells.values()),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            assert process.stderr is not None
            process.stderr.close()
