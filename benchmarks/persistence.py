"""Measures persistence: on the executor's path, and how much persistence can take.

    python -m benchmarks.persistence [--events 38000] [--rounds 5000]

The executor's path is shared memory alone: a pair's state, or the signal it takes, before the first
byte leaves, and one line per event into a queue ring afterwards. Throughput is the real persistence
process, its fsynced journal and a real PostgreSQL of its own on this machine's disk, with the mix of
lines that trades make; then the same number of events waiting in the journal while the server is
down, and the time from its start to the last of them stored.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from benchmarks.measure import Timing, percentiles, print_table, time_calls, write_results
from benchmarks.pair_machine import Story
from events.orders import IntentWritten
from executor.pair import fast_path, machine
from executor.pair.messages import Send
from executor.pair.state import dump
from executor.recovery.state_store import StateStore, StoredPair
from observability.logs import Reporter
from shm.counter_names import DATABASE_AWAY
from shm.queue import QueueReader, QueueWriter
from shm.slot import SlotTable
from tests.instance import a_directory
from tests.persistence.harness import Harness, Server, a_harness
from tests.waiting import wait_until

PATIENCE_S: Final = 600.0
HEARTBEAT_EVENTS: Final = 20  # lines that only ``events`` keeps, per trade: signals, refusals, latencies
ORDER: Final = {"pair": "btc", "venue": "vest", "symbol": "BTC-PERP", "side": "BUY", "purpose": "entry",
                "attempt": 0}  # fmt: skip


def path_timings(directory: Path, rounds: int) -> list[Timing]:
    """The executor's own writes."""
    story = Story()
    SlotTable.create(directory / "machines", count=2, capacity=1 << 16)
    SlotTable.create(directory / "taken", count=1, capacity=1 << 10)
    QueueWriter.create(directory / "events", capacity=1 << 22)
    journal = StateStore(
        SlotTable.attach(directory / "machines", writer=True),
        SlotTable.attach(directory / "taken", writer=True),
    )
    queue, reader = QueueWriter.attach(directory / "events"), QueueReader.attach(directory / "events")
    report = Reporter("executor", run_id="benchmark", to_queue=queue.push, level=None).report
    _, commands = machine.step(story.rules, story.flat, story.enter)
    sends = tuple(command for command in commands if isinstance(command, Send))
    opening, event = story.opening, fast_path.dump_taken(story.enter, sends)
    intent: dict[str, Any] = {**ORDER, "trade_id": 7, "leg": 0, "client_order_id": 7, "size_e8": 2_000_000,
              "limit_price_e8": 6 * 10**12, "reduce_only": False}  # fmt: skip

    def make_room() -> None:
        while reader.poll() is not None:
            reader.commit()

    operations: Sequence[tuple[str, Callable[[], object]]] = (
        ("nothing (the clock and a call)", lambda: None),
        ("before the bytes: the signal and its orders", lambda: journal.write_event(0, event)),
        ("before the bytes: the pair's state", lambda: journal.write(0, StoredPair(dump(opening), 1, 2, 3))),
        (
            "after the bytes: one event made, encoded and queued",
            lambda: report(IntentWritten(**intent)),
        ),
    )
    timings = [percentiles(name, time_calls(operation, rounds, make_room)) for name, operation in operations]
    print(f"a state is {len(dump(opening))} bytes, a signal's event {len(event)}")
    return timings


def push_mix(harness: Harness, count: int) -> int:
    """About ``count`` events as trades make them; returns how many."""
    pushed = 0
    trade_id = time.monotonic_ns()
    while pushed < count:
        trade_id += 4
        pushed += _push_trade(harness, trade_id)
    return pushed


def _push_trade(harness: Harness, trade_id: int) -> int:
    lines = [
        harness.a_line("signal", "executor", serial=trade_id, gates={"edge": 3}, pair="btc")
    ] * HEARTBEAT_EVENTS
    for leg in (0, 1):
        order = {**ORDER, "trade_id": trade_id, "leg": leg, "client_order_id": trade_id + leg,
                 "size_e8": 2_000_000}  # fmt: skip
        reported = {"venue_order_id": "v", "average_price_e8": 6 * 10**12, "fee_e8": 12,
                    "order_state": "filled", "filled_e8": 2_000_000}  # fmt: skip
        fill = {"fill_id": f"f{trade_id + leg}", "price_e8": 6 * 10**12}
        lines += [
            harness.a_line(
                "intent_written", "executor", **order, limit_price_e8=6 * 10**12, reduce_only=False
            ),
            harness.a_line("leg_sent", "executor", **order),
            harness.a_line("leg_filled", "executor", **order, **reported),
            harness.a_line("fill", "executor", **order, **fill, fee_e8=12),
        ]
    for line in lines:
        harness.push_line(line)
    return len(lines)


def throughput(url: str, count: int) -> dict[str, float]:
    """Events per second into the journal, and into the database behind it."""
    with a_harness(url) as harness:
        harness.start()
        harness.wait_for("database_ready")
        started = time.monotonic()
        pushed = push_mix(harness, count)
        wait_until(harness.has_drained, timeout_s=PATIENCE_S)
        journalled = time.monotonic()
        wait_until(lambda: harness.counter("backlog") == 0, timeout_s=PATIENCE_S)
        stored = time.monotonic()
    return {
        "events": pushed,
        "journalled_per_s": pushed / (journalled - started),
        "stored_per_s": pushed / (stored - started),
    }


def replay(server: Server, count: int) -> dict[str, float]:
    """From the server's start to everything stored that waited for it."""
    server.stop()
    with a_harness(server.url) as harness:
        harness.start()
        wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
        pushed = push_mix(harness, count)
        wait_until(harness.has_drained, timeout_s=PATIENCE_S)
        server.start()
        started = time.monotonic()
        wait_until(lambda: harness.counter("backlog") == 0, timeout_s=PATIENCE_S)
        seconds = time.monotonic() - started
        size = harness.journal_bytes()
    return {"events": pushed, "journal_mib": size / (1 << 20), "seconds": seconds, "per_s": pushed / seconds}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.persistence", description=__doc__)
    parser.add_argument("--events", type=int, default=38_000)
    parser.add_argument("--rounds", type=int, default=5_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tandem-benchmark-", dir="/dev/shm") as name:
        timings = path_timings(Path(name), arguments.rounds)
    print_table("the executor's path", timings, unit_ns=1_000, unit="µs")
    figures: dict[str, Any] = {"path_ns": [timing._asdict() for timing in timings]}
    with a_directory() as directory:
        server = Server(directory / "var")
        figures["throughput"] = throughput(server.url, arguments.events)
        print(f"\npersistence sustains {orjson.dumps(figures['throughput']).decode()}")
        server.empty()
        figures["replay"] = replay(server, arguments.events)
        print(f"a backlog is replayed: {orjson.dumps(figures['replay']).decode()}")
    print(f"load average {os.getloadavg()[0]:.1f}; written to {write_results('persistence', figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
