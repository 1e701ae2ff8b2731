"""The two copies of a pair's state: a writer killed anywhere leaves one of them whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.recovery.state_store import StateStore, StoredPair
from shm.slot import SlotTable


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        path = Path(directory) / "machines"
        SlotTable.create(path, count=4, capacity=256)
        SlotTable.create(path.with_name("taken"), count=2, capacity=64)
        yield path


def a_journal(path: Path) -> StateStore:
    events = SlotTable.attach(path.with_name("taken"), writer=True)
    return StateStore(SlotTable.attach(path, writer=True), events)


def an_entry(number: int) -> StoredPair:
    return StoredPair(b"state %d" % number, 20_000 + number, -number)


def test_the_newest_state_is_found_by_the_next_life(path: Path) -> None:
    journal = a_journal(path)
    assert journal.read(1) is None
    for number in range(5):
        journal.write(1, an_entry(number))
    journal.close()

    again = a_journal(path)
    assert again.read(1) == an_entry(4)
    assert again.read(0) is None
    again.write(1, an_entry(5))
    assert again.read(1) == an_entry(5)
    again.close()


@pytest.mark.parametrize("writes", [1, 2, 3, 4])
def test_a_writer_killed_half_way_leaves_the_state_before(path: Path, writes: int) -> None:
    """The half-written copy is the one the journal was about to replace, never the newest."""
    journal = a_journal(path)
    for number in range(writes):
        journal.write(0, an_entry(number))
    journal.close()
    table = SlotTable.attach(path, writer=True)
    # What a kill leaves: the sequence word of the copy that is next is odd, its body half new.
    next_copy = (writes + 1) % 2
    word = next_copy * table._stride >> 3
    table._words[word] += 1
    table._data[next_copy * table._stride + 24 : next_copy * table._stride + 32] = b"\xff" * 8
    table.close()

    again = a_journal(path)
    assert again.read(0) == an_entry(writes - 1)
    again.write(0, an_entry(99))
    assert again.read(0) == an_entry(99)
    again.close()


def test_an_event_is_found_until_its_step_is_written(path: Path) -> None:
    """Its orders may have left; once the state after it stands, taking it again would double them."""
    journal = a_journal(path)
    journal.write(1, an_entry(0))
    journal.write_event(1, b"an event")
    journal.close()

    again = a_journal(path)
    assert again.read_event(1) == b"an event"
    assert again.read_event(0) is None
    again.write(1, an_entry(1))
    again.close()

    last = a_journal(path)
    assert last.read_event(1) is None
    assert last.read(1) == an_entry(1)
    last.close()
