"""Queue ring between two processes: in order, nothing lost, a full ring refused and counted."""

from __future__ import annotations

import random
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import shm.queue
from shm.queue import QueueReader, QueueTap, QueueWriter
from shm.segment import HEADER_SIZE, SegmentError
from tests.shm.processes import died_at_bytecode, peer

CURSOR_BYTES = 128


def a_queue(directory: Path, *, capacity: int = 256) -> Path:
    path = directory / "queue"
    QueueWriter.create(path, capacity=capacity)
    return path


def message_of(number: int) -> bytes:
    """A number and a filler that follows from it; every length from 8 to 107 comes up."""
    return number.to_bytes(8, "little") + bytes((number + place) & 255 for place in range(number * 7 % 100))


def number_in(message: bytes) -> int:
    number = int.from_bytes(message[:8], "little")
    assert message == message_of(number), "torn"
    return number


def drain(reader: QueueReader) -> list[int]:
    return [number_in(message) for message in iter(reader.poll, None)]


@pytest.mark.parametrize("seed", range(20))
def test_any_interleaving_keeps_every_message_in_order(directory: Path, seed: int) -> None:
    """Against a plain list, through many turns round the ring and every place a message can straddle."""
    chance = random.Random(seed)
    path = a_queue(directory, capacity=chance.choice([256, 512, 1024]))
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    waiting: list[bytes] = []
    uncommitted = 0
    for _ in range(3000):
        if chance.random() < 0.5:
            message = chance.randbytes(chance.randint(1, 120))
            needed = 8 + (len(message) + 7) // 8 * 8
            if writer.push(message):
                waiting.append(message)
            else:
                # Refused for want of room: at worst the message and the skip before it do not fit.
                assert writer.used + 2 * needed > writer.capacity
        elif waiting[uncommitted:]:
            assert reader.has_more()
            assert reader.poll() == waiting[uncommitted]
            uncommitted += 1
        else:
            assert not reader.has_more()
            assert reader.poll() is None
        if chance.random() < 0.2:
            reader.commit()
            del waiting[:uncommitted]
            uncommitted = 0
    assert writer.refused > 0
    assert reader.torn == 0


def test_a_full_ring_refuses_and_counts_until_the_reader_commits(directory: Path) -> None:
    path = a_queue(directory)
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    message = b"x" * 56  # 64 with its word: four fill the ring to the last byte
    assert [writer.push(message) for _ in range(6)] == [True] * 4 + [False] * 2
    assert (writer.used, writer.refused) == (256, 2)

    assert reader.poll() == message
    assert not writer.push(message), "read but not committed: it may have to be read again"
    reader.commit()

    assert writer.push(message)
    assert reader.refused == 3
    assert [reader.poll() for _ in range(5)] == [message] * 4 + [None]


def test_the_largest_message_fits_an_empty_ring_wherever_the_cursor_stands(directory: Path) -> None:
    """Past half the ring a skip and a message together might never fit: refused at once, for good."""
    path = a_queue(directory)
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    largest = b"x" * 120
    for _ in range(64):
        assert writer.push(largest)
        assert reader.poll() == largest
        reader.commit()
        assert writer.push(b"step")
        assert reader.poll() == b"step"
        reader.commit()

    for impossible in (b"", largest + b"x"):
        with pytest.raises(
            ValueError, match=f"{path}: a message of {len(impossible)} bytes cannot be queued"
        ):
            writer.push(impossible)
    assert writer.refused == 0


def test_a_second_reader_is_refused(directory: Path) -> None:
    """Two would each take some of the messages, and free what the other has not dealt with."""
    path = a_queue(directory)
    reader = QueueReader.attach(path)

    with pytest.raises(SegmentError, match="has a living reader already: stop that process"):
        QueueReader.attach(path)

    reader.close()
    QueueReader.attach(path)


def push_then_wait(pipe: Connection, path: Path, first: int, last: int) -> None:
    writer = QueueWriter.attach(path)
    for number in range(first, last + 1):
        assert writer.push(message_of(number))
    pipe.send("pushed")
    pipe.poll(None)


def read_then_wait(pipe: Connection, path: Path, commit_after: int, then_read: int) -> None:
    reader = QueueReader.attach(path)
    for _ in range(commit_after):
        assert reader.poll() is not None
    reader.commit()
    for _ in range(then_read):
        assert reader.poll() is not None
    pipe.send("read")
    pipe.poll(None)


def test_a_killed_readers_successor_reads_again_from_the_commit(directory: Path) -> None:
    path = a_queue(directory, capacity=1024)
    with peer(push_then_wait, path, 1, 9) as writer:
        writer.receive()
        with peer(read_then_wait, path, 4, 3) as reader:
            reader.receive()
            reader.kill()

        assert drain(QueueReader.attach(path)) == [5, 6, 7, 8, 9]


def read_and_note_then_wait(pipe: Connection, path: Path, commit_after: int, then_read: int) -> None:
    reader = QueueReader.attach(path)
    for _ in range(commit_after):
        reader.poll()
    reader.commit()
    for _ in range(then_read):
        reader.poll()
    pipe.send(reader.cursor)
    pipe.poll(None)


def test_a_successor_resumes_where_its_predecessor_noted_it_was(directory: Path) -> None:
    """Journalled and not yet committed when it was killed: that must not be journalled twice."""
    path = a_queue(directory, capacity=1024)
    with peer(push_then_wait, path, 1, 9) as writer:
        writer.receive()
        with peer(read_and_note_then_wait, path, 2, 4) as reader:
            noted = reader.receive()
            reader.kill()

        successor = QueueReader.attach(path)
        successor.resume_at(noted)
        assert drain(successor) == [7, 8, 9]


def test_a_note_outside_of_what_waits_is_not_followed(directory: Path) -> None:
    """Behind the commit its messages may be overwritten; past the tail there are none."""
    path = a_queue(directory, capacity=1024)
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    for number in range(1, 4):
        assert writer.push(message_of(number))
    reader.poll()
    reader.commit()

    for note in (0, writer._words[0] + 8):
        reader.resume_at(note)
        assert reader.cursor == 24  # behind message 1: its word, 15 bytes, padding
    assert drain(reader) == [2, 3]


def test_a_killed_writers_successor_goes_on_where_it_stopped(directory: Path) -> None:
    path = a_queue(directory, capacity=2048)
    reader = QueueReader.attach(path)
    for first, last in ((1, 5), (6, 20)):
        with peer(push_then_wait, path, first, last) as writer:
            writer.receive()
            writer.kill()

    assert drain(reader) == list(range(1, 21))


@pytest.mark.parametrize("position", [0, 192, 208])
def test_a_push_killed_at_any_point_is_whole_or_did_not_happen(directory: Path, position: int) -> None:
    """At the ring's beginning, up to its very end, and with a skip over the end."""
    message = b"m" * 56  # 64 bytes of the 256
    for place in count():
        path = a_queue(directory)
        reader = QueueReader.attach(path)
        first = QueueWriter.attach(path)
        for _ in range(position // 16):
            assert first.push(b"step")
            reader.poll()
            reader.commit()
        assert first._words[0] == position
        first.close()

        def attach_and_push(path: Path = path) -> None:
            assert QueueWriter.attach(path).push(message)

        died = died_at_bytecode(place, shm.queue, attach_and_push)
        seen = list(iter(reader.poll, None))
        assert seen in (([], [message]) if died else ([message],))

        successor = QueueWriter.attach(path)
        assert successor.push(b"short"), "overwrites what was begun, a skip mark included"
        assert successor.push(message)
        assert list(iter(reader.poll, None)) == [b"short", message]
        assert reader.torn == 0
        path.unlink()
        if not died:
            return


@pytest.mark.parametrize("to_commit", [1, 3])
def test_a_reader_killed_at_any_point_loses_nothing(directory: Path, to_commit: int) -> None:
    """Everything is read again from the last commit that happened, the skip included."""
    messages = [b"a" * 64, b"b" * 64, b"c" * 8]  # the second one begins with a skip
    for place in count():
        path = a_queue(directory)
        writer = QueueWriter.attach(path)
        reader = QueueReader.attach(path)
        for _ in range(2):
            assert writer.push(b"x" * 64)
            assert reader.poll()
        reader.commit()
        reader.close()
        for message in messages:
            assert writer.push(message)

        def attach_and_read(path: Path = path) -> None:
            reader = QueueReader.attach(path)
            for message in messages[:to_commit]:
                assert reader.poll() == message
            reader.commit()

        died = died_at_bytecode(place, shm.queue, attach_and_read)

        successor = QueueReader.attach(path)
        seen = list(iter(successor.poll, None))
        assert seen in ((messages, messages[to_commit:]) if died else (messages[to_commit:],))
        path.unlink()
        if not died:
            return


@pytest.mark.parametrize("damage", [0, 3, 8 + 7])
def test_a_message_that_does_not_match_its_checksum_waits(directory: Path, damage: int) -> None:
    """Length, checksum or body: what lags behind the tail where stores are reordered is not believed."""
    path = a_queue(directory)
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    assert writer.push(message_of(1))
    where = HEADER_SIZE + CURSOR_BYTES + damage
    with path.open("r+b") as file:
        file.seek(where)
        byte = file.read(1)
        file.seek(where)
        file.write(bytes((byte[0] ^ 1,)))
        file.flush()
        assert reader.poll() is None
        assert reader.torn == 1
        assert reader.has_more()
        file.seek(where)
        file.write(byte)

    assert drain(reader) == [1]


def test_neither_message_nor_skip_of_the_previous_round_is_believed(directory: Path) -> None:
    """The tail seen ahead of the bytes: in that place still stands something perfect, one round old."""
    path = a_queue(directory)
    writer, reader = QueueWriter.attach(path), QueueReader.attach(path)
    for length in (120, 56, 120):  # at 0 and 128; a skip mark at 192; at 256
        assert writer.push(b"x" * length)
        assert reader.poll() == b"x" * length
        reader.commit()

    reader._cursor, writer._words[0] = 128 + 256, 128 + 256 + 64
    assert reader.poll() is None, "that message was for position 128"
    reader._cursor, writer._words[0] = 192 + 256, 192 + 256 + 128
    assert reader.poll() is None, "that skip mark was for position 192"
    assert reader.torn == 2


def test_a_tap_sees_every_message_and_takes_nothing_from_the_reader(tmp_path: Path) -> None:
    """Any number of rounds through the ring, looking before or after the reader has given space back."""
    path = a_queue(tmp_path)
    writer, reader, tap = QueueWriter.attach(path), QueueReader.attach(path), QueueTap.attach(path)
    seen: list[int] = []
    for number in range(2_000):
        assert writer.push(message_of(number))
        if number % 3:
            seen += [number_in(message) for message in iter(tap.poll, None)]
        assert drain(reader) == [number]
        reader.commit()
        if number % 3 == 0:
            seen += [number_in(message) for message in iter(tap.poll, None)]
    assert seen == list(range(2_000))
    assert tap.missed_bytes == 0


def test_a_tap_that_was_overtaken_counts_it_and_shows_nothing_torn(tmp_path: Path) -> None:
    """It looks once in a random number of messages, mostly too late."""
    path = a_queue(tmp_path)
    writer, reader, tap = QueueWriter.attach(path), QueueReader.attach(path), QueueTap.attach(path)
    draw, seen = random.Random(3), []
    for number in range(5_000):
        assert writer.push(message_of(number))
        drain(reader)
        reader.commit()
        if draw.random() < 0.15:
            seen += [number_in(message) for message in iter(tap.poll, None)]
    assert seen == sorted(set(seen))
    assert 100 < len(seen) < 4_500
    assert tap.missed_bytes > 0
    with pytest.raises(TypeError, match="read-only"):
        tap._words[0] = 1
