"""Two processes hammer each structure while one of them checks every word the other wrote.

    python -m verification.torture --publishes 10000000

prints one line of JSON and exits with 0 if every promise held. A slot and a ring must never give a
torn record, whichever of Python and C writes and reads; the ring's missed and seen records must add up to
the published ones; a queue whose
writer and reader are killed (kill -9) again and again must lose nothing but the one message its
writer had not published yet. ``unguarded_torn`` counts reads of the same slot that ignore its
sequence: what the guards kept out.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from struct import Struct

from runtime import native
from shm.broadcast import BroadcastReader, BroadcastWriter
from shm.counters import CounterTable
from shm.native_access import ring_in_c, ring_writer_in_c, slots_in_c
from shm.queue import QueueReader, QueueWriter
from shm.slot import SlotTable
from tests.shm.processes import Peer, peer

SOURCE = Path(__file__).parent / "native" / "torture.c"
RECORD = Struct("<11q")
SLOT_BYTES = 2048  # long enough to be caught half copied
SLOT_BODY_OFFSET = 24
RING_CELLS = 4096
QUEUE_BYTES = 1 << 16
FILLER = bytes(range(256)) * 2
LOOKS_MAX = 1 << 32  # of a reader in C that finds nothing new
LOOKS_PER_CHECK = 4096  # of the writer's life: it costs tens of microseconds
QUEUE_DEADLINE_S = 600.0  # between two kills


_I64 = ctypes.c_int64


class SlotFiguresC(ctypes.Structure):
    _fields_ = (("accepted", _I64), ("none", _I64), ("torn", _I64))


class RingFiguresC(ctypes.Structure):
    _fields_ = (("seen", _I64), ("overtaken", _I64), ("torn", _I64), ("misnumbered", _I64))


@contextmanager
def a_library() -> Iterator[Path | None]:
    """C's ends, built for this run; None where there is no compiler."""
    compiler = native.compiler()
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="tandem-torture-") as directory:
        part = native.DETECTOR._replace(
            name="torture", sources=(SOURCE,), path=Path(directory) / "torture.so"
        )
        native.build(part, compiler)
        yield part.path


def _record(number: int) -> bytes:
    return number.to_bytes(8, "little") * 11


def _message(number: int) -> bytes:
    """A number and a filler that follows from it: 8 to 263 bytes."""
    start = number & 255
    return number.to_bytes(8, "little") + FILLER[start : start + (number * 7 & 255)]


def _require_alive_or_done(writer: Peer) -> None:
    if not writer.process.is_alive() and not writer.pipe.poll():
        raise RuntimeError(f"the writer died: exit code {writer.process.exitcode}")


# --- slot ---------------------------------------------------------------------------------------


def _write_slot(pipe: Connection, path: Path, publishes: int, library: Path | None) -> None:
    table = SlotTable.attach(path, writer=True)
    if library is not None:
        ctypes.CDLL(str(library)).write_slot(ctypes.byref(slots_in_c(table)), ctypes.c_int64(publishes))
    else:
        for number in range(1, publishes + 1):
            table.write(0, number.to_bytes(8, "little") * (SLOT_BYTES // 8))
    pipe.send(publishes)


def torture_slot(
    directory: Path, publishes: int, *, writer_in_c: Path | None = None, reader_in_c: Path | None = None
) -> dict[str, int]:
    """Read a slot that is being written all the time; ``…_in_c``: the library whose loop does it."""
    path = directory / "slot"
    SlotTable.create(path, count=1, capacity=SLOT_BYTES)
    reader = SlotTable.attach(path, readonly=True)
    if reader_in_c is not None:
        found = SlotFiguresC()
        with peer(_write_slot, path, publishes, writer_in_c) as writer:
            given = ctypes.byref(slots_in_c(reader)), _I64(publishes), _I64(LOOKS_MAX), ctypes.byref(found)
            ctypes.CDLL(str(reader_in_c)).read_slot(*given)
            _require_alive_or_done(writer)
            writer.receive()
        reader.close()
        return {"accepted": found.accepted, "none": found.none, "torn": found.torn}
    body_view = reader._data[SLOT_BODY_OFFSET : SLOT_BODY_OFFSET + SLOT_BYTES]
    accepted = refused = torn = unguarded_torn = newest = 0
    with peer(_write_slot, path, publishes, writer_in_c) as writer:
        while newest < publishes:
            body = reader.read(0)
            if body is None:
                refused += 1
                if refused % LOOKS_PER_CHECK == 0:
                    _require_alive_or_done(writer)
                continue
            number = int.from_bytes(body[:8], "little")
            torn += body != body[:8] * (SLOT_BYTES // 8) or number < newest
            newest = number
            accepted += 1
            unguarded = body_view.tobytes()
            unguarded_torn += unguarded != unguarded[:8] * (SLOT_BYTES // 8)
    body_view.release()
    reader.close()
    return {"accepted": accepted, "none": refused, "torn": torn, "unguarded_torn": unguarded_torn}


# --- broadcast ring -----------------------------------------------------------------------------


def _publish(pipe: Connection, path: Path, publishes: int, library: Path | None) -> None:
    writer = BroadcastWriter.attach(path, RECORD)
    pipe.recv()
    if library is not None:
        ctypes.CDLL(str(library)).write_ring(ctypes.byref(ring_writer_in_c(writer)), _I64(publishes))
    else:
        for number in range(1, publishes + 1):
            writer.publish(_record(number))
    pipe.send(publishes)


def torture_ring(
    directory: Path, publishes: int, *, writer_in_c: Path | None = None, reader_in_c: Path | None = None
) -> dict[str, int]:
    """Follow a ring that is being overtaken all the time."""
    path = directory / "ring"
    BroadcastWriter.create(path, cells=RING_CELLS, struct=RECORD)
    reader = BroadcastReader.attach(path, RECORD, readonly=True)
    if reader_in_c is not None:
        found, place = RingFiguresC(), ring_in_c(reader)
        with peer(_publish, path, publishes, writer_in_c) as writer:
            writer.pipe.send("go")
            given = ctypes.byref(place), _I64(publishes), _I64(LOOKS_MAX), ctypes.byref(found)
            ctypes.CDLL(str(reader_in_c)).read_ring(*given)
            _require_alive_or_done(writer)
            writer.receive()
        reader.close()
        return {
            "seen": found.seen,
            "missed": found.overtaken,
            "unaccounted": publishes - found.seen - found.overtaken,
            "misnumbered": found.misnumbered,
            "torn": found.torn,
        }
    seen = torn = misnumbered = newest = waits = 0
    with peer(_publish, path, publishes, writer_in_c) as writer:
        writer.pipe.send("go")
        while newest < publishes:
            body = reader.poll()
            if body is None:
                waits += 1
                if waits % LOOKS_PER_CHECK == 0:
                    _require_alive_or_done(writer)
                continue
            newest = int.from_bytes(body[:8], "little")
            seen += 1
            torn += body != body[:8] * 11
            misnumbered += newest != seen + reader.overtaken
    return {
        "seen": seen,
        "missed": reader.overtaken,
        "unaccounted": publishes - seen - reader.overtaken,
        "misnumbered": misnumbered,
        "torn": torn + reader.torn,
    }


# --- queue ring ---------------------------------------------------------------------------------


def _push(pipe: Connection, directory: Path, last: int) -> None:
    """Push numbers up to ``last``, from where the predecessor's notes end."""
    writer = QueueWriter.attach(directory / "queue")
    notes = CounterTable.attach(directory / "notes", writer=True)
    attempted, pushed = notes.index("attempted"), notes.index("pushed")
    for number in range(notes.get(attempted) + 1, last + 1):
        message = _message(number)
        notes.set(attempted, number)
        while not writer.push(message):
            os.sched_yield()
        notes.set(pushed, number)
    pipe.send("all pushed")
    pipe.poll(None)


def _consume(pipe: Connection, directory: Path) -> None:
    """As persistence does it: note a batch durably, then commit it."""
    reader = QueueReader.attach(directory / "queue")
    journal = os.open(directory / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    batch = array("q")
    while True:
        message = reader.poll()
        if message is not None:
            number = int.from_bytes(message[:8], "little")
            if message != _message(number):
                pipe.send(f"torn message {number}")
                return
            batch.append(number)
        if batch and (message is None or len(batch) == 64):
            os.write(journal, batch.tobytes())
            reader.commit()
            batch = array("q")
        if message is None:
            if reader.torn:
                pipe.send("a checksum did not match")
                return
            os.sched_yield()


def torture_queue(directory: Path, messages: int, kills: int, seed: int = 1) -> dict[str, int]:
    """Push through a queue whose writer and reader are killed by turns, at random distances."""
    chance = random.Random(seed)
    QueueWriter.create(directory / "queue", capacity=QUEUE_BYTES)
    CounterTable.create(directory / "notes", ("attempted", "pushed"))
    notes = CounterTable.attach(directory / "notes", readonly=True)
    in_doubt = set()
    with ExitStack() as lives:
        writer = lives.enter_context(peer(_push, directory, messages))
        reader = lives.enter_context(peer(_consume, directory))
        for transition, number in enumerate(sorted(chance.randrange(messages) for _ in range(kills))):
            _wait(partial(_has_pushed, notes, number), reader)
            if transition % 2:
                reader.kill()
                reader = lives.enter_context(peer(_consume, directory))
            else:
                writer.kill()
                state = notes.snapshot()
                if state["attempted"] != state["pushed"]:
                    in_doubt.add(state["attempted"])  # the reader alone can tell if it was published
                writer = lives.enter_context(peer(_push, directory, messages))
        _wait(writer.pipe.poll, reader)
        writer.kill()
        end = QueueWriter.attach(directory / "queue")
        _wait(lambda: end.used == 0, reader)
        reader.kill()
    figures = _audit(directory / "journal", messages, in_doubt)
    figures["rewinds_unexplained"] = max(0, figures["rewinds"] - kills // 2)
    return {**figures, "refused": end.refused, "kills": kills}


def _has_pushed(notes: CounterTable, number: int) -> bool:
    return notes.snapshot()["pushed"] >= number


def _wait(condition: Callable[[], bool], reader: Peer) -> None:
    deadline = time.monotonic() + QUEUE_DEADLINE_S
    while not condition():
        if reader.pipe.poll(0.000_5):
            raise RuntimeError(f"the queue's reader says: {reader.receive()}")
        if time.monotonic() > deadline:
            raise RuntimeError("the queue stands still")


def _audit(journal: Path, messages: int, in_doubt: set[int]) -> dict[str, int]:
    """Follow the readers' journal: every step is to the next number, or back to the last commit."""
    numbers = array("q")
    numbers.frombytes(journal.read_bytes())
    previous = lost = rewinds = read_again = 0
    for number in numbers:
        if number <= previous:
            rewinds += 1
            read_again += previous - number + 1
        else:
            lost += sum(missing not in in_doubt for missing in range(previous + 1, number))
        previous = number
    lost += sum(missing not in in_doubt for missing in range(previous + 1, messages + 1))
    return {"received": len(numbers), "lost": lost, "rewinds": rewinds, "read_again": read_again}


# --- running it ---------------------------------------------------------------------------------

MUST_BE_ZERO = ("torn", "unaccounted", "misnumbered", "lost", "rewinds_unexplained")


def run(publishes: int, kills: int) -> dict[str, dict[str, int]]:
    """Every structure in transition; the figures by structure."""
    figures = {}
    directory = Path(tempfile.mkdtemp(prefix="tandem-torture-", dir="/dev/shm"))
    try:
        with a_library() as library:
            for ways, writer, reader in (
                ("", None, None),
                (" C to Python", library, None),
                (" Python to C", None, library),
                (" C to C", library, library),
            ):
                if ways and library is None:
                    continue
                for name, torture in (("slot", torture_slot), ("ring", torture_ring)):
                    figures[name + ways] = torture(
                        directory, publishes, writer_in_c=writer, reader_in_c=reader
                    )
                    (directory / name).unlink()
        figures["queue"] = torture_queue(directory, publishes, kills)
    finally:
        shutil.rmtree(directory)
    return figures


def broken_promises(figures: dict[str, dict[str, int]]) -> list[str]:
    """The figures that must be zero and are not, as ``slot.torn``."""
    return [
        f"{structure}.{name}"
        for structure, values in figures.items()
        for name in MUST_BE_ZERO
        if values.get(name)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--publishes", type=int, default=1_000_000, help="records per structure")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of the queue's two ends")
    arguments = parser.parse_args()
    started = time.monotonic()
    figures = run(arguments.publishes, arguments.kills)
    broken = broken_promises(figures)
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"publishes": arguments.publishes, "seconds": seconds, "broken": broken, **figures}))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
