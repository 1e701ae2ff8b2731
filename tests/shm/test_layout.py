"""An instance's memory directory: all of it or nothing, and every part where it belongs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from shm.layout import DOORBELLS, Memory, MemoryPlan
from shm.records import (
    DEPTH_CAPACITY,
    DEPTH_LEVELS,
    PAIR_VIEW,
    DepthBook,
    PairView,
    Quote,
    pack_depth,
    unpack_depth,
)
from shm.segment import SegmentError

PLAN = MemoryPlan(
    venues=("vest", "paradex"),
    instrument_count=2,
    pair_count=1,
    ring_cells=8,
    signal_queue_bytes=1024,
    event_queue_bytes=4096,
    event_sources=("detector", "feed.vest"),
)
COUNTERS = {"detector": (("heartbeat_mono_ns",), ("publish_to_seen",))}


def an_instance(directory: Path) -> Path:
    path = directory / "instance"
    Memory.create(path, PLAN, COUNTERS)
    return path


def test_everything_in_the_plan_can_be_opened_by_writer_and_reader(directory: Path) -> None:
    path = an_instance(directory)
    owner, other = Memory(path), Memory(path)
    quote = Quote(*range(1, 12))
    view = PairView(*(float(place) if place == 7 else place for place in range(13)))  # type: ignore[arg-type]
    book = DepthBook([(100, 1)], [(101, 2), (102, 3)], 4, 5, is_valid=True)

    reader = other.quotes_reader("vest")
    owner.quotes_writer("vest").publish(bytes(88))
    owner.tops("paradex", writer=True).write(1, quote)
    owner.depth("vest", writer=True).write(0, pack_depth(book))
    owner.pairs(writer=True).write(0, view)
    owner.machines(writer=True).write(1, b"machine")
    assert owner.signals_writer().push(b"signal")
    assert owner.events_writer("feed.vest").push(b"event")
    counters = owner.counters("detector", writer=True)
    counters.set(counters.index("heartbeat_mono_ns"), 7)

    assert owner.plan == PLAN
    assert reader.poll() == bytes(88)
    assert other.tops("paradex").read(1) == quote
    assert other.pairs().read(0) == view
    assert other.machines().read(1) == b"machine"
    assert other.signals_reader().poll() == b"signal"
    assert other.events_reader("feed.vest").poll() == b"event"
    assert other.counters("detector").snapshot() == {"heartbeat_mono_ns": 7}
    depth = other.depth("vest").read(0)
    assert depth is not None
    assert unpack_depth(depth) == book


def test_a_view_is_told_twice_over_the_latest_in_its_slot_and_all_of_them_in_order(directory: Path) -> None:
    """Who keeps a record must not depend on how often it looks."""
    path = an_instance(directory)
    owner, other = Memory(path), Memory(path)
    reader, writer = other.views_reader(), owner.views_writer()
    first = PairView(0, 1, 0, 0, 0, 0, 1, 0.5, 0, 0, 0, 0, 1)
    second = first._replace(phase=2, updated_mono_ns=2)
    for view in (first, second):
        writer.write(0, view)
    assert other.pairs().read(0) == second
    assert [PairView(*PAIR_VIEW.unpack(body)) for body in iter(reader.poll, None)] == [first, second]
    assert (reader.position, reader.overtaken) == (2, 0)


def test_nobody_else_may_look_into_the_memory(directory: Path) -> None:
    """Positions and signals of an account are nobody's business, whatever the umask."""
    before = os.umask(0)
    try:
        path = an_instance(directory)
    finally:
        os.umask(before)

    assert path.stat().st_mode & 0o777 == 0o700
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in path.iterdir()} == {
        file.name: "0o600" for file in path.iterdir()
    }


def test_an_existing_directory_is_left_alone_and_named(directory: Path) -> None:
    path = an_instance(directory)
    before = sorted(path.iterdir())

    with pytest.raises(
        SegmentError, match=f"{path} exists already: stop the instance that uses it, or remove"
    ):
        Memory.create(path, PLAN, COUNTERS)

    assert sorted(path.iterdir()) == before


def test_no_room_leaves_nothing_half_made(directory: Path) -> None:
    memory = os.statvfs(directory)
    too_big = 1 << (memory.f_blocks * memory.f_frsize).bit_length()

    with pytest.raises(SegmentError, match="no room for"):
        Memory.create(directory / "instance", replace(PLAN, event_queue_bytes=too_big), {})

    assert list(directory.iterdir()) == []


def test_a_directory_without_a_finished_plan_is_no_instance(directory: Path) -> None:
    """The plan is written last: without it the creator is still at work, or died."""
    path = an_instance(directory)
    (path / "plan.json").rename(path / "plan.tmp")
    with pytest.raises(SegmentError, match=f"{path} holds no running instance"):
        Memory(path)


def test_a_plan_of_another_version_is_refused(directory: Path) -> None:
    path = an_instance(directory)
    plan = json.loads((path / "plan.json").read_text())
    (path / "plan.json").write_text(json.dumps({**plan, "candle_rings": 3}))

    with pytest.raises(
        SegmentError, match=r"plan\.json is of another version .*candle_rings.*stop the running"
    ):
        Memory(path)


def test_only_the_owner_may_write(directory: Path) -> None:
    memory = Memory(an_instance(directory))
    for part in (memory.tops("vest").table, memory.depth("vest"), memory.machines()):
        with pytest.raises(TypeError, match="read-only"):
            part.write(0, b"")
    with pytest.raises(TypeError, match="read-only"):
        memory.counters("detector").add(0)


def test_a_process_rings_with_the_descriptor_it_was_given_and_a_tool_rings_nobody(directory: Path) -> None:
    path = an_instance(directory)
    fds = {name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in DOORBELLS}
    for name, fd in fds.items():
        Memory(path).doorbell(name).announce_sleep()
        Memory(path, fds).doorbell(name).ring()
        assert os.eventfd_read(fd) == 1
        Memory(path).doorbell(name).announce_sleep()
        Memory(path).doorbell(name).ring()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)
        os.close(fd)


def test_removed_memory_is_gone(directory: Path) -> None:
    path = an_instance(directory)
    Memory.remove(path)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("levels", [(0, 0), (1, 0), (0, 3), (20, 20), (25, 21)])
def test_a_depth_book_keeps_its_best_levels_and_fits_its_slot(levels: tuple[int, int]) -> None:
    bids = [(2**62 - level, level) for level in range(levels[0])]
    asks = [(2**62 + level, level) for level in range(levels[1])]

    body = pack_depth(DepthBook(bids, asks, 1, 2, is_valid=False))

    assert len(body) <= DEPTH_CAPACITY
    assert unpack_depth(body) == DepthBook(bids[:DEPTH_LEVELS], asks[:DEPTH_LEVELS], 1, 2, is_valid=False)
