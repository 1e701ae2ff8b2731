"""Measures shared memory: each operation in one process, and waking another one.

    python -m benchmarks.shm_operations [--rounds 20000] [--wakes 2000]

The baselines are measured in the same run: packing the same record into a plain bytearray, and
``multiprocessing.SimpleQueue``. The rejected ways of doing the hot parts stand beside them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from multiprocessing.reduction import DupFd
from pathlib import Path
from struct import Struct
from typing import Any
from zlib import adler32, crc32

from benchmarks.measure import Timing, percentiles, print_table, time_calls, write_results
from shm.agent import park, spin, yield_core
from shm.broadcast import BroadcastReader, BroadcastWriter
from shm.counters import CounterTable
from shm.doorbell import Doorbell
from shm.queue import QueueReader, QueueWriter
from shm.records import DEPTH_CAPACITY, QUOTE, DepthBook, Quote, pack_depth, unpack_depth
from shm.slot import RecordSlots, SlotTable

A_QUOTE = Quote(
    3, 6_512_340_000_000, 6_512_350_000_000, 125_000_000, 80_000_000, *range(1 << 60, (1 << 60) + 6)
)
A_BOOK = DepthBook(
    [(10**12 - n, 10**8) for n in range(15)], [(10**12 + n, 10**8) for n in range(15)], 1, 2, True
)
WAKE_INTERVAL_S = 0.001
STAMP = Struct("<q")

Operation = tuple[str, Callable[[], object], Callable[[], object] | None]  # name, timed, untimed after it


def operations(directory: Path) -> Iterator[Operation]:
    """Every operation with what must follow it so that the next round finds the same state."""
    body = QUOTE.pack(*A_QUOTE)
    plain = bytearray(QUOTE.size)
    yield "baseline: pack into a bytearray", lambda: QUOTE.pack_into(plain, 0, *A_QUOTE), None
    yield "pack a quote", lambda: QUOTE.pack(*A_QUOTE), None
    yield "unpack a quote", lambda: Quote(*QUOTE.unpack(body)), None

    BroadcastWriter.create(directory / "ring", cells=1024, struct=QUOTE)
    ring = BroadcastWriter.attach(directory / "ring", QUOTE)
    follower = BroadcastReader.attach(directory / "ring", QUOTE)
    yield "ring: publish packed bytes", lambda: ring.publish(body), follower.poll
    yield "ring: pack and publish", lambda: ring.publish(QUOTE.pack(*A_QUOTE)), follower.poll
    follower.poll()
    yield "ring: poll, nothing new", follower.poll, None
    ring.publish(body)
    yield "ring: poll a record", follower.poll, lambda: ring.publish(body)

    SlotTable.create(directory / "tops", count=4, capacity=QUOTE.size)
    tops = RecordSlots(SlotTable.attach(directory / "tops", writer=True), QUOTE, Quote)
    yield "slot: write a quote", lambda: tops.write(3, A_QUOTE), None
    yield "slot: read a quote", lambda: tops.read(3), None
    SlotTable.create(directory / "depth", count=4, capacity=DEPTH_CAPACITY)
    depth = SlotTable.attach(directory / "depth", writer=True)
    yield "slot: pack and write 2 x 15 levels", lambda: depth.write(3, pack_depth(A_BOOK)), None
    yield "slot: read and unpack 2 x 15 levels", lambda: unpack_depth(depth.read(3) or b""), None

    QueueWriter.create(directory / "queue", capacity=1 << 16)
    queue, consumer = QueueWriter.attach(directory / "queue"), QueueReader.attach(directory / "queue")

    def consume() -> bytes | None:
        message = consumer.poll()
        consumer.commit()
        return message

    message = bytes(128)
    yield "queue: push 128 bytes", lambda: queue.push(message), consume
    queue.push(message)
    yield "queue: poll and commit 128 bytes", consume, lambda: queue.push(message)

    CounterTable.create(directory / "counters", ("frames_total",), ("recv_to_publish",))
    table = CounterTable.attach(directory / "counters", writer=True)
    histogram = table.histogram("recv_to_publish")
    frames = table.index("frames_total")
    yield "counter: add", lambda: table.add(frames), None
    yield "histogram: record", lambda: histogram.record(123_456), None
    Doorbell.create_table(directory / "doorbells", 1)
    bell = Doorbell(Doorbell.attach_table(directory / "doorbells"), 0, -1)
    yield "doorbell: ring who is awake", bell.ring, None

    pipe: SimpleQueue[bytes] = multiprocessing.get_context("spawn").SimpleQueue()
    yield "baseline: SimpleQueue put 88 bytes", lambda: pipe.put(body), pipe.get
    pipe.put(body)
    yield "baseline: SimpleQueue get 88 bytes", pipe.get, lambda: pipe.put(body)

    view = memoryview(bytearray(4096))
    copy = Struct(f"{len(body)}s")

    def copy_by_slice() -> None:
        view[64:152] = body

    yield "copy in: struct of one string (chosen for rings)", lambda: copy.pack_into(view, 64, body), None
    yield "copy in: slice assignment (chosen for slots)", copy_by_slice, None
    yield "copy out: struct of one string (chosen for rings)", lambda: copy.unpack_from(view, 64)[0], None
    yield "copy out: tobytes of a slice (chosen for slots)", lambda: view[64:152].tobytes(), None
    yield "copy out: bytes of a slice (rejected)", lambda: bytes(view[64:152]), None
    yield "checksum: crc32 (chosen)", lambda: crc32(body, 12345), None
    # Sums cancel out: one byte less at the right place makes up for the next sequence.
    yield "checksum: adler32 (rejected)", lambda: adler32(body, 12345), None


def measure_operations(rounds: int) -> list[Timing]:
    """Cost of each operation without the cost of timing it, percentiles over single calls."""
    empty_ns = percentiles("", time_calls(lambda: None, rounds)).p50_ns
    with memory() as directory:
        return [
            percentiles(name, [max(0, sample - empty_ns) for sample in time_calls(timed, rounds, after)])
            for name, timed, after in operations(directory)
        ]


class Listener:
    """An agent whose work is to note how long each stamp took to arrive."""

    def __init__(self, ring: BroadcastReader, wakes: int) -> None:
        self._ring = ring
        self._wakes = wakes
        self.latencies_ns: list[int] = []

    def do_work(self, now_mono_ns: int) -> int:
        stamp = self._ring.poll()
        if stamp is None:
            return 0
        self.latencies_ns.append(time.monotonic_ns() - STAMP.unpack(stamp)[0])
        return 1

    def has_work(self) -> bool:
        return self._ring.has_more()

    def on_idle(self, now_mono_ns: int) -> None: ...

    def on_close(self) -> None: ...

    def is_done(self) -> bool:
        return len(self.latencies_ns) >= self._wakes


def listen(pipe: Connection, directory: Path, strategy: str, inherited: Any, wakes: int) -> None:
    """The process that is woken: follows the ring and sends back the latencies it saw."""
    doorbell = Doorbell(Doorbell.attach_table(directory / "doorbells"), 0, inherited.detach())
    agent = Listener(BroadcastReader.attach(directory / "ring", STAMP, readonly=True), wakes)
    idle = {"spin": spin, "yield": yield_core, "park": park(doorbell)}[strategy]
    pipe.send("ready")
    while not agent.is_done():
        if not agent.do_work(0):
            idle(agent)
    pipe.send(agent.latencies_ns)


def listen_to_queue(pipe: Connection, stamps: SimpleQueue[int], wakes: int) -> None:
    pipe.send("ready")
    latencies_ns = []
    for _ in range(wakes):
        stamp = stamps.get()
        latencies_ns.append(time.monotonic_ns() - stamp)
    pipe.send(latencies_ns)


class InheritedFd:
    """A descriptor that a spawned process takes over, as the supervisor's children do."""

    def __init__(self, fd: int) -> None:
        self._fd: Any = fd

    def __getstate__(self) -> dict[str, Any]:
        return {"_fd": DupFd(self._fd)}

    def detach(self) -> int:
        return int(self._fd.detach())


def measure_wake(strategy: str, wakes: int) -> tuple[Timing, Timing]:
    """(publish to seen in the other process, cost to the publisher), at about 1 kHz."""
    fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
    with memory() as directory:
        BroadcastWriter.create(directory / "ring", cells=1024, struct=STAMP)
        Doorbell.create_table(directory / "doorbells", 1)
        writer = BroadcastWriter.attach(directory / "ring", STAMP)
        doorbell = Doorbell(Doorbell.attach_table(directory / "doorbells"), 0, fd)

        def publish() -> None:
            writer.publish(STAMP.pack(time.monotonic_ns()))
            doorbell.ring()

        arguments = (directory, strategy, InheritedFd(fd), wakes)
        result = _wake_another(f"{strategy}", listen, arguments, publish, wakes)
    os.close(fd)
    return result


def measure_queue_wake(wakes: int) -> tuple[Timing, Timing]:
    stamps: SimpleQueue[int] = multiprocessing.get_context("spawn").SimpleQueue()
    publish = lambda: stamps.put(time.monotonic_ns())  # noqa: E731 - one line beside its twin above
    return _wake_another("baseline: SimpleQueue", listen_to_queue, (stamps, wakes), publish, wakes)


def _wake_another(
    name: str,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
    publish: Callable[[], None],
    wakes: int,
) -> tuple[Timing, Timing]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        ours.recv()
        costs_ns = []
        for _ in range(wakes):
            time.sleep(WAKE_INTERVAL_S)
            started = time.perf_counter_ns()
            publish()
            costs_ns.append(time.perf_counter_ns() - started)
        latencies_ns = ours.recv()
    finally:
        process.kill()
        process.join()
    return percentiles(name, latencies_ns), percentiles(name, costs_ns)


@contextmanager
def memory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="tandem-bench-", dir="/dev/shm"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20_000, help="timed calls per operation")
    parser.add_argument("--wakes", type=int, default=2_000, help="wake-ups per waiting strategy")
    arguments = parser.parse_args()

    timings = measure_operations(arguments.rounds)
    print_table("One operation, one process, alone", timings, unit_ns=1000, unit="µs")
    wakes = [measure_wake(strategy, arguments.wakes) for strategy in ("spin", "yield", "park")]
    wakes.append(measure_queue_wake(arguments.wakes))
    latencies, costs = [wake[0] for wake in wakes], [wake[1] for wake in wakes]
    print_table("Published to seen by the other process", latencies, unit_ns=1000, unit="µs")
    print_table("What that costs the publisher", costs, unit_ns=1000, unit="µs")

    figures = {"operations": timings, "wake_latency": latencies, "wake_cost": costs}
    path = write_results(
        "shm_operations",
        {name: [timing._asdict() for timing in rows] for name, rows in figures.items()},
    )
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
