"""Slots between two processes: never torn, and a writer that dies half-way is noticed."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from zlib import crc32

import pytest

import shm.slot
from shm.records import QUOTE, Quote
from shm.segment import HEADER_SIZE, SegmentError
from shm.slot import RecordSlots, SlotTable
from tests.shm.processes import died_at_bytecode, peer
from tests.waiting import wait_until

CAPACITY = 2048  # long enough to be caught half copied
BODY_OFFSET = 24  # in a slot: sequence, length, checksum, body
OLD, NEW = b"old" * 40, b"new value" * 50


def a_table(directory: Path, *, count: int = 2) -> Path:
    path = directory / "slots"
    SlotTable.create(path, count=count, capacity=CAPACITY)
    return path


def test_a_slot_holds_the_latest_value_of_any_length_up_to_its_capacity(directory: Path) -> None:
    path = a_table(directory)
    writer, reader = SlotTable.attach(path, writer=True), SlotTable.attach(path, readonly=True)
    assert reader.read(1) is None

    for body in (b"x" * CAPACITY, b"", b"short", OLD, NEW):
        writer.write(1, body)
        assert reader.read(1) == body

    assert reader.read(0) is None


def test_a_value_that_does_not_fit_never_reaches_the_neighbour(directory: Path) -> None:
    path = a_table(directory)
    writer = SlotTable.attach(path, writer=True)
    writer.write(1, OLD)

    with pytest.raises(AssertionError):
        writer.write(0, b"x" * (CAPACITY + 1))
    with pytest.raises(AssertionError):
        writer.write(-1, NEW)  # -1 is how the contract says "no instrument"
    with pytest.raises(IndexError):
        writer.write(2, NEW)

    assert [writer.read(0), writer.read(1)] == [None, OLD]
    with pytest.raises(AssertionError):
        writer.read(-1)


def test_a_write_that_raises_half_way_does_not_turn_odd_and_even_round(directory: Path) -> None:
    """Counting on from an odd sequence would show readers every later write while it is under way."""
    path = a_table(directory)
    writer = SlotTable.attach(path, writer=True)
    writer.write(0, OLD)

    with pytest.raises(TypeError):
        writer.write(0, "text has a length and no bytes")  # type: ignore[arg-type]

    assert writer.read(0) is None
    writer.write(0, NEW)
    assert writer.sequence(0) % 2 == 0
    assert writer.read(0) == NEW


def half_write(table: SlotTable) -> None:
    """The first stores of a write to slot 0, half a body, and no more."""
    table._words[0] += 1
    table._words[1] = len(NEW)
    table._data[BODY_OFFSET : BODY_OFFSET + len(NEW) // 2] = NEW[: len(NEW) // 2]


def stop_half_way(pipe: Connection, path: Path) -> None:
    half_write(SlotTable.attach(path, writer=True))
    pipe.send("half-way")
    pipe.poll(None)


def test_a_writer_killed_half_way_is_noticed_and_repaired(directory: Path) -> None:
    path = a_table(directory)
    first = SlotTable.attach(path, writer=True)
    first.write(0, OLD)
    first.write(1, OLD)
    first.close()
    reader = SlotTable.attach(path, readonly=True)

    with peer(stop_half_way, path) as writer:
        assert writer.receive() == "half-way"
        assert reader.sequence(0) % 2 == 1
        assert reader.read(0) is None, "never the old value, never half a new one"
        writer.kill()
    assert reader.read(0) is None

    successor = SlotTable.attach(path, writer=True)

    assert successor.epoch == 3
    assert reader.sequence(0) % 2 == 0
    assert reader.read(0) is None, "a repaired slot is empty until written"
    assert reader.read(1) == OLD, "the other slots stand"
    successor.write(0, NEW)
    assert reader.read(0) == NEW


@pytest.mark.parametrize("before", [None, OLD])
def test_a_write_killed_at_any_point_shows_the_old_value_the_new_one_or_none(
    directory: Path, before: bytes | None
) -> None:
    for place in count():
        path = a_table(directory)
        if before is not None:
            first = SlotTable.attach(path, writer=True)
            first.write(0, before)
            first.close()

        def attach_and_write(path: Path = path) -> None:
            SlotTable.attach(path, writer=True).write(0, NEW)

        died = died_at_bytecode(place, shm.slot, attach_and_write)
        reader = SlotTable.attach(path, readonly=True)
        seen = reader.read(0)
        assert seen in ((before, NEW, None) if died else (NEW,))

        successor = SlotTable.attach(path, writer=True)
        assert reader.read(0) == seen, "repair neither loses a whole value nor revives half of one"
        successor.write(0, b"next")
        assert reader.read(0) == b"next"
        path.unlink()
        if not died:
            return


def test_a_repair_killed_at_any_point_is_done_again(directory: Path) -> None:
    for place in count():
        path = a_table(directory)
        first = SlotTable.attach(path, writer=True)
        first.write(0, OLD)
        first.write(1, OLD)
        half_write(first)
        first.close()

        died = died_at_bytecode(place, shm.slot, partial(SlotTable.attach, path, writer=True))

        reader = SlotTable.attach(path, readonly=True)
        assert [reader.read(0), reader.read(1)] == [None, OLD]
        successor = SlotTable.attach(path, writer=True)
        assert [reader.read(0), reader.read(1)] == [None, OLD]
        assert reader.sequence(0) % 2 == 0
        successor.write(0, NEW)
        assert reader.read(0) == NEW
        path.unlink()
        if not died:
            return


def no_checksum(body: bytes, start: int = 0) -> int:
    return 0


def write_equal_numbers(pipe: Connection, path: Path, checksum: Callable[..., int]) -> None:
    vars(shm.slot)["crc32"] = checksum
    table = SlotTable.attach(path, writer=True)
    for number in count(1):
        table.write(0, number.to_bytes(8, "little") * (CAPACITY // 8))
        if number & 1023 == 0 and pipe.poll():
            pipe.send(number)
            return


def is_torn(body: bytes) -> bool:
    return body != body[:8] * (len(body) // 8)


@pytest.mark.parametrize("checksum", [crc32, no_checksum])
def test_no_torn_read_is_accepted_while_unguarded_reads_tear(
    directory: Path, monkeypatch: pytest.MonkeyPatch, checksum: Callable[..., int]
) -> None:
    """The unguarded reads prove that there was something to tear.

    Where stores stay in order the sequence alone keeps a read whole; the checksum would hide it.
    """
    if checksum is no_checksum and platform.machine() != "x86_64":
        pytest.skip("stores may be reordered on this machine: the checksum is needed")
    monkeypatch.setattr(shm.slot, "crc32", checksum)
    path = a_table(directory)
    reader = SlotTable.attach(path, readonly=True)
    accepted = unguarded_torn = newest = 0

    with peer(write_equal_numbers, path, checksum) as writer:

        def enough() -> bool:
            nonlocal accepted, unguarded_torn, newest
            for _ in range(2000):
                body = reader.read(0)
                if body is not None:
                    assert not is_torn(body)
                    number = int.from_bytes(body[:8], "little")
                    assert number >= newest, "a reader never goes back in time"
                    newest = number
                    accepted += 1
                unguarded = reader._data[BODY_OFFSET : BODY_OFFSET + CAPACITY].tobytes()
                unguarded_torn += is_torn(unguarded)
            return accepted >= 20_000 and unguarded_torn > 0

        wait_until(enough)
        writer.pipe.send("stop")
        last = writer.receive()
        writer.join()

    final = reader.read(0)
    assert final is not None
    assert int.from_bytes(final[:8], "little") == last


@pytest.mark.parametrize("damage", [HEADER_SIZE + BODY_OFFSET, HEADER_SIZE + 8, HEADER_SIZE + 16])
def test_a_body_that_does_not_match_its_checksum_is_refused(directory: Path, damage: int) -> None:
    """What keeps a machine with weaker store ordering from believing a mixed body."""
    path = a_table(directory)
    table = SlotTable.attach(path, writer=True)
    table.write(0, OLD)

    with path.open("r+b") as file:
        file.seek(damage)
        byte = file.read(1)
        file.seek(damage)
        file.write(bytes((byte[0] ^ 1,)))

    assert table.read(0) is None


def test_the_checksum_covers_the_sequence_beyond_32_bits(directory: Path) -> None:
    """A whole body of an earlier write under a later sequence is a mix, too."""
    path = a_table(directory)
    table = SlotTable.attach(path, writer=True)
    table._words[0] = 2**40
    table.write(0, OLD)
    assert table.read(0) == OLD

    table._words[0] += 2

    assert table.read(0) is None


def a_quote(**changes: int) -> Quote:
    return Quote(*range(1, 12))._replace(**changes)


def test_records_come_back_as_they_were_written(directory: Path) -> None:
    path = directory / "tops"
    SlotTable.create(path, count=3, capacity=QUOTE.size)
    writer = RecordSlots(SlotTable.attach(path, writer=True), QUOTE, Quote)
    reader = RecordSlots(SlotTable.attach(path, readonly=True), QUOTE, Quote)

    writer.write(2, a_quote(bid_e8=-(2**63), ask_e8=2**63 - 1))

    assert reader.read(2) == a_quote(bid_e8=-(2**63), ask_e8=2**63 - 1)
    assert reader.read(0) is None


def test_records_of_another_size_are_refused_and_the_writers_place_given_back(directory: Path) -> None:
    path = a_table(directory)

    with pytest.raises(SegmentError, match="holds records of 2048 bytes, this code has 88: stop the running"):
        RecordSlots(SlotTable.attach(path, writer=True), QUOTE, Quote)

    assert SlotTable.attach(path, writer=True).epoch == 2
