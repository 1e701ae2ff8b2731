"""Headers, refusals, and the places of writer and reader."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

import shm.segment
from shm.segment import HEADER_SIZE, LAYOUT_VERSION, Segment, SegmentError
from tests.shm.processes import died_at_bytecode, peer

KIND = 99
READY_WORD, VERSION_WORD = 0, 1


def a_segment(directory: Path, *, body_size: int = 64, content: bytes = b"") -> Path:
    path = directory / "segment"
    Segment.create(path, KIND, (1, 2, 3), body_size, content)
    return path


def overwrite_header_word(path: Path, word: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(8 * word)
        file.write(value.to_bytes(8, "little"))


def test_a_segment_comes_as_it_was_created(directory: Path) -> None:
    path = a_segment(directory, content=b"names")

    segment = Segment.attach(path, KIND)

    assert segment.geometry == (1, 2, 3)
    assert segment.data.tobytes() == b"names" + bytes(59)
    assert len(segment.words) == 8
    assert segment.epoch == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_readonly_memory_cannot_be_written(directory: Path) -> None:
    """A tool that only looks cannot break a running instance by mistake."""
    segment = Segment.attach(a_segment(directory), KIND, readonly=True)

    with pytest.raises(TypeError, match="read-only"):
        segment.words[0] = 1


def nothing(path: Path) -> None:
    path.unlink()


def empty_file(path: Path) -> None:
    os.truncate(path, 0)


def other_version(path: Path) -> None:
    overwrite_header_word(path, VERSION_WORD, LAYOUT_VERSION + 1)


def no_ready_mark(path: Path) -> None:
    overwrite_header_word(path, READY_WORD, 0)


def cut_body(path: Path) -> None:
    os.truncate(path, HEADER_SIZE + 56)


def longer_body(path: Path) -> None:
    os.truncate(path, HEADER_SIZE + 72)


@pytest.mark.parametrize(
    ("damage", "kind", "reason", "remedy"),
    [
        (nothing, KIND, "does not exist", "the supervisor creates it at start"),
        (empty_file, KIND, "0 bytes are less than a header", "start again"),
        (no_ready_mark, KIND, "no ready mark", "start again"),
        (other_version, KIND, f"layout version {LAYOUT_VERSION + 1}", "stop the running instance"),
        (lambda path: None, KIND + 1, f"holds kind {KIND}, expected {KIND + 1}", "start again"),
        (cut_body, KIND, "has 120 bytes, its header promises 128", "start again"),
        (longer_body, KIND, "has 136 bytes, its header promises 128", "start again"),
    ],
)
@pytest.mark.parametrize("readonly", [False, True])
def test_attach_refuses_what_is_not_what_it_expects(
    directory: Path, damage: Callable[[Path], None], kind: int, reason: str, remedy: str, readonly: bool
) -> None:
    """Reading another version's memory as ours would be trading on noise."""
    path = a_segment(directory)
    damage(path)

    with pytest.raises(SegmentError) as refusal:
        Segment.attach(path, kind, readonly=readonly)

    assert str(path) in str(refusal.value)
    assert reason in str(refusal.value)
    assert remedy in str(refusal.value)


def test_a_refused_writer_leaves_the_place_free(directory: Path) -> None:
    path = a_segment(directory)
    with pytest.raises(SegmentError, match="holds kind"):
        Segment.attach(path, KIND + 1, writer=True)

    assert Segment.attach(path, KIND, writer=True).epoch == 1


def test_create_never_touches_a_file_that_exists(directory: Path) -> None:
    """It may be the memory of a running instance."""
    path = a_segment(directory, content=b"precious")

    with pytest.raises(SegmentError, match="exists already: stop the instance"):
        Segment.create(path, KIND, (0, 0, 0), 64)

    assert Segment.attach(path, KIND).data.tobytes().startswith(b"precious")


def test_a_full_memory_is_reported_at_create_and_leaves_no_file(directory: Path) -> None:
    """Without allocation the first touch of a missing page would be a SIGBUS in mid-trade."""
    # More than all of it is refused outright; a little more than what is free would first fill it.
    memory = os.statvfs(directory)
    too_much = (memory.f_blocks + 1) * memory.f_frsize

    with pytest.raises(SegmentError, match=f"no room for {HEADER_SIZE + too_much} bytes"):
        Segment.create(directory / "huge", KIND, (0, 0, 0), too_much)

    assert list(directory.iterdir()) == []


def create_and_die_before_the_ready_mark(pipe: Connection, path: Path) -> None:
    allocate = os.posix_fallocate

    def allocate_and_die(fd: int, offset: int, length: int) -> None:
        allocate(fd, offset, length)
        os.kill(os.getpid(), signal.SIGKILL)

    os.posix_fallocate = allocate_and_die
    Segment.create(path, KIND, (0, 0, 0), 64)


def test_a_segment_whose_creator_was_killed_is_refused(directory: Path) -> None:
    path = directory / "segment"
    with peer(create_and_die_before_the_ready_mark, path) as creator:
        assert creator.join() == -signal.SIGKILL

    with pytest.raises(SegmentError, match="not a finished Tandem segment"):
        Segment.attach(path, KIND)


def hold_place(pipe: Connection, path: Path, place: str) -> None:
    segment = Segment.attach(path, KIND, **{place: True})
    pipe.send(segment.epoch)
    pipe.poll(None)


@pytest.mark.parametrize("place", ["writer", "reader"])
def test_a_place_has_one_holder_until_it_is_killed(directory: Path, place: str) -> None:
    """Two writers would tear every record; two readers of a queue would share out its messages."""
    path = a_segment(directory)
    with peer(hold_place, path, place) as holder:
        epoch = holder.receive()
        with pytest.raises(SegmentError) as refusal:
            Segment.attach(path, KIND, **{place: True})
        holder.kill()

    assert str(refusal.value) == (
        f"{path} has a living {place} already: stop that process before starting another"
    )
    successor = Segment.attach(path, KIND, **{place: True})
    assert successor.epoch == epoch + (1 if place == "writer" else 0)


def test_writer_and_reader_do_not_keep_each_other_out(directory: Path) -> None:
    path = a_segment(directory)
    with peer(hold_place, path, "writer") as writer:
        writer.receive()
        Segment.attach(path, KIND, reader=True)


def test_another_attach_of_the_same_process_neither_shares_nor_frees_the_place(directory: Path) -> None:
    """POSIX record locks vanish when the process closes any descriptor of the file; these must not."""
    path = a_segment(directory)
    segment = Segment.attach(path, KIND, writer=True)
    Segment.attach(path, KIND).close()

    with pytest.raises(SegmentError, match="living writer"):
        Segment.attach(path, KIND, writer=True)

    segment.close()
    assert Segment.attach(path, KIND, writer=True).epoch == 2


def hold_place_and_start_a_program(pipe: Connection, path: Path) -> None:
    segment = Segment.attach(path, KIND, writer=True)
    # Every descriptor that may be inherited is.
    program = subprocess.Popen(["sleep", "100"], close_fds=False)
    pipe.send((program.pid, segment.epoch))
    pipe.poll(None)


def test_a_program_started_by_the_writer_does_not_keep_its_place(directory: Path) -> None:
    """A database server outlives the process that started it."""
    path = a_segment(directory)
    with peer(hold_place_and_start_a_program, path) as writer:
        program_pid, epoch = writer.receive()
        writer.kill()

        successor = Segment.attach(path, KIND, writer=True)

    os.kill(program_pid, signal.SIGKILL)  # ProcessLookupError if it had ended before
    assert successor.epoch == epoch + 1


def test_an_attach_killed_at_any_point_leaves_the_place_free(directory: Path) -> None:
    path = a_segment(directory)
    for place in count():
        before = Segment.attach(path, KIND).epoch
        died = died_at_bytecode(place, shm.segment, partial(Segment.attach, path, KIND, writer=True))

        successor = Segment.attach(path, KIND, writer=True)
        assert successor.epoch - before in ((1, 2) if died else (2,))
        successor.close()
        if not died:
            return
