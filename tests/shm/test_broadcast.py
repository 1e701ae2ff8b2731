"""Broadcast ring between two processes: in order, never torn, every missed record counted."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from struct import Struct
from zlib import crc32

import pytest

import shm.broadcast
from shm.broadcast import BroadcastReader, BroadcastWriter
from shm.segment import HEADER_SIZE, SegmentError
from tests.shm.processes import died_at_bytecode, peer

RECORD = Struct("<11q")
CURSOR_BYTES = 64
CELL_BYTES = 128  # sequence, checksum, 88 bytes of body, rounded up to cache lines


def body_of(number: int) -> bytes:
    return number.to_bytes(8, "little") * 11


def number_in(body: bytes) -> int:
    assert body == body[:8] * 11, "torn"
    return int.from_bytes(body[:8], "little")


def a_ring(directory: Path, *, cells: int = 8) -> Path:
    path = directory / "ring"
    BroadcastWriter.create(path, cells=cells, struct=RECORD)
    return path


def drain(reader: BroadcastReader) -> list[int]:
    return [number_in(body) for body in iter(reader.poll, None)]


def test_every_reader_gets_every_record_in_order(directory: Path) -> None:
    path = a_ring(directory)
    writer = BroadcastWriter.attach(path, RECORD)
    readers = [BroadcastReader.attach(path, RECORD, readonly=True) for _ in range(2)]
    assert [reader.has_more() for reader in readers] == [False, False]

    for number in range(1, 20):
        assert writer.publish(body_of(number)) == number
        assert readers[0].has_more()
        assert drain(readers[0]) == [number]
        if number % 8 == 0:
            assert drain(readers[1]) == list(range(number - 7, number + 1))

    assert drain(readers[1]) == [17, 18, 19]
    assert [reader.overtaken for reader in readers] == [0, 0]
    assert not readers[0].has_more()


def test_a_new_reader_starts_behind_the_newest_record(directory: Path) -> None:
    path = a_ring(directory)
    writer = BroadcastWriter.attach(path, RECORD)
    writer.publish(body_of(1))

    reader = BroadcastReader.attach(path, RECORD)

    assert reader.poll() is None
    writer.publish(body_of(2))
    assert drain(reader) == [2]
    assert reader.overtaken == 0


@pytest.mark.parametrize("cells", [1, 2, 8])
@pytest.mark.parametrize("excess", [1, 2, 3, 100])
def test_an_overtaken_reader_counts_what_it_missed_and_resumes_at_the_newest(
    directory: Path, cells: int, excess: int
) -> None:
    path = a_ring(directory, cells=cells)
    writer, reader = BroadcastWriter.attach(path, RECORD), BroadcastReader.attach(path, RECORD)
    published = cells + excess
    for number in range(1, published + 1):
        writer.publish(body_of(number))

    assert reader.has_more()
    assert drain(reader) == [published]
    assert reader.overtaken == published - 1


def test_a_record_of_the_wrong_size_is_our_own_bug(directory: Path) -> None:
    """Shorter, it would never match its checksum and block every reader; longer, hit the next cell."""
    writer = BroadcastWriter.attach(a_ring(directory), RECORD)
    for body in (body_of(1)[:-1], body_of(1) + b"x"):
        with pytest.raises(AssertionError):
            writer.publish(body)
    assert writer.tail == 0


def test_records_of_another_size_are_refused_and_the_writers_place_given_back(directory: Path) -> None:
    path = a_ring(directory)
    reason = "holds records of 88 bytes, this code has 96: stop the running instance"
    with pytest.raises(SegmentError, match=reason):
        BroadcastReader.attach(path, Struct("<12q"))
    with pytest.raises(SegmentError, match=reason):
        BroadcastWriter.attach(path, Struct("<12q"))

    assert BroadcastWriter.attach(path, RECORD).epoch == 2


LONG_RECORD = Struct("<256q")  # long enough to be caught half copied


def no_checksum(body: bytes, start: int = 0) -> int:
    return 0


def publish_numbers(pipe: Connection, path: Path, publishes: int, checksum: Callable[..., int]) -> None:
    vars(shm.broadcast)["crc32"] = checksum
    writer = BroadcastWriter.attach(path, LONG_RECORD)
    pipe.send("attached")
    pipe.recv()
    for number in range(1, publishes + 1):
        writer.publish(number.to_bytes(8, "little") * 256)
    pipe.send(writer.tail)


@pytest.mark.parametrize("cells", [1, 64])
@pytest.mark.parametrize("checksum", [crc32, no_checksum])
def test_missed_and_seen_add_up_to_published_and_nothing_is_torn(
    directory: Path, monkeypatch: pytest.MonkeyPatch, cells: int, checksum: Callable[..., int]
) -> None:
    """Where stores stay in order the sequence alone keeps a read whole; the checksum would hide it."""
    if checksum is no_checksum and platform.machine() != "x86_64":
        pytest.skip("stores may be reordered on this machine: the checksum is needed")
    monkeypatch.setattr(shm.broadcast, "crc32", checksum)
    publishes = 100_000
    path = directory / "ring"
    BroadcastWriter.create(path, cells=cells, struct=LONG_RECORD)
    reader = BroadcastReader.attach(path, LONG_RECORD, readonly=True)
    seen = newest = 0
    with peer(publish_numbers, path, publishes, checksum) as writer:
        assert writer.receive() == "attached"
        writer.pipe.send("go")
        while newest < publishes:
            body = reader.poll()
            if body is None:
                continue
            number = int.from_bytes(body[:8], "little")
            assert body == body[:8] * 256, "torn"
            assert number == seen + reader.overtaken + 1, "each record is either seen or counted as missed"
            newest = number
            seen += 1
        assert writer.receive() == publishes

    assert seen + reader.overtaken == publishes
    assert reader.overtaken > 0, "a small ring is overtaken; otherwise this tested nothing"
    assert reader.torn == 0
    assert reader.poll() is None


def stop_half_way(pipe: Connection, path: Path) -> None:
    """The first stores of publishing record 2, half a body, and no more."""
    writer = BroadcastWriter.attach(path, RECORD)
    word = writer._cell_word(2)
    writer._words[word] = 2 * 2 - 1
    writer._data[8 * word + 16 : 8 * word + 16 + 44] = body_of(2)[:44]
    pipe.send("half-way")
    pipe.poll(None)


def test_a_writer_killed_half_way_leaves_nothing_to_read_and_its_successor_goes_on(directory: Path) -> None:
    path = a_ring(directory)
    first = BroadcastWriter.attach(path, RECORD)
    reader = BroadcastReader.attach(path, RECORD)
    first.publish(body_of(1))
    first.close()
    with peer(stop_half_way, path) as writer:
        writer.receive()
        assert drain(reader) == [1]
        writer.kill()
    assert not reader.has_more()
    assert reader.poll() is None

    successor = BroadcastWriter.attach(path, RECORD)
    assert successor.epoch == 3
    assert successor.publish(body_of(2)) == 2
    successor.publish(body_of(3))

    assert drain(reader) == [2, 3]
    assert reader.overtaken == 0


@pytest.mark.parametrize("published", [0, 4])
def test_a_publish_killed_at_any_point_neither_loses_nor_repeats_a_number(
    directory: Path, published: int
) -> None:
    """Also for the reader that took the record before the tail said so, and for one lap further on."""
    for place in count():
        path = a_ring(directory, cells=4)
        waiting, behind = (BroadcastReader.attach(path, RECORD) for _ in range(2))
        first = BroadcastWriter.attach(path, RECORD)
        for number in range(1, published + 1):
            first.publish(body_of(number))
            assert drain(waiting) == [number]
        first.close()

        def attach_and_publish(path: Path = path) -> None:
            BroadcastWriter.attach(path, RECORD).publish(body_of(published + 1))

        died = died_at_bytecode(place, shm.broadcast, attach_and_publish)
        before_repair = drain(waiting)
        assert before_repair in ([], [published + 1])

        last = BroadcastWriter.attach(path, RECORD).publish(body_of(1000))
        news = before_repair + drain(waiting)
        assert news in ([1000], [published + 1, 1000])
        assert last == published + len(news)

        seen = drain(behind)
        assert seen[-1] == 1000
        assert len(seen) + behind.overtaken == last
        path.unlink()
        if not died:
            return


def test_a_repair_killed_at_any_point_is_done_again(directory: Path) -> None:
    """The record was whole and only the tail did not say so; a reader may have it already."""
    for place in count():
        path = a_ring(directory)
        reader, late_reader = (BroadcastReader.attach(path, RECORD) for _ in range(2))
        first = BroadcastWriter.attach(path, RECORD)
        first.publish(body_of(1))
        first._words[0] = 0
        first.close()
        assert drain(reader) == [1]

        died = died_at_bytecode(place, shm.broadcast, partial(BroadcastWriter.attach, path, RECORD))

        successor = BroadcastWriter.attach(path, RECORD)
        assert successor.publish(body_of(2)) == 2
        assert (drain(reader), drain(late_reader)) == ([2], [1, 2])
        path.unlink()
        if not died:
            return


def test_a_body_that_does_not_match_its_checksum_is_refused_and_counted(directory: Path) -> None:
    """What keeps a machine with weaker store ordering from believing a mixed body."""
    path = a_ring(directory)
    writer, reader = BroadcastWriter.attach(path, RECORD), BroadcastReader.attach(path, RECORD)
    writer.publish(body_of(1))
    body_start = HEADER_SIZE + CURSOR_BYTES + CELL_BYTES + 16

    with path.open("r+b") as file:
        file.seek(body_start + 87)
        file.write(b"\x01")
    assert reader.poll() is None
    assert reader.torn == 1

    with path.open("r+b") as file:
        file.seek(body_start + 87)
        file.write(b"\x00")  # the bytes that lagged behind have arrived
    assert drain(reader) == [1]


def test_numbers_beyond_32_bits_are_read_like_others(directory: Path) -> None:
    path = a_ring(directory)
    writer = BroadcastWriter.attach(path, RECORD)
    writer._words[0] = 2**40
    reader = BroadcastReader.attach(path, RECORD)

    writer.publish(body_of(1))

    assert drain(reader) == [1]
    assert writer.tail == 2**40 + 1
