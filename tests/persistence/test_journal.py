"""The journal: numbered, checksummed, cut back to the last whole event, never ahead of itself."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zlib import crc32

import pytest

from persistence.journal import Journal, JournalEntry, JournalError, Tail, files, foreign_files, read_file
from persistence.restore import holdings_of
from persistence.verify import verify


def entries(directory: Path) -> list[JournalEntry]:
    return [entry for path in files(directory) for entry in read_file(path)]


def payloads(directory: Path) -> list[bytes]:
    return [entry.payload for entry in entries(directory)]


def a_journal(directory: Path, *, run: str = "run", epoch: int = 1, file_bytes: int = 1 << 20) -> Journal:
    return Journal(directory, run, epoch, file_bytes=file_bytes)


def filled(directory: Path, count: int = 40, file_bytes: int = 300) -> Journal:
    """Events of 50 bytes, each synced alone, over several files."""
    journal = a_journal(directory, file_bytes=file_bytes)
    for n in range(1, count + 1):
        journal.append("executor", n, b"p" * 50)
        journal.sync()
    return journal


def test_events_are_numbered_over_files_and_runs(tmp_path: Path) -> None:
    first = a_journal(tmp_path, run="run-1", epoch=1)
    numbers = [first.append("executor", 8 * n, b"a%d" % n) for n in (1, 2, 3)]
    first.close()

    second = a_journal(tmp_path, run="run-2", epoch=2)
    numbers.append(second.append("executor", 8, b"b1"))
    second.close()

    assert numbers == [1 << 24, (1 << 24) + 1, (1 << 24) + 2, 2 << 24]
    assert second.journal_id == first.journal_id
    assert payloads(tmp_path) == [b"a1", b"a2", b"a3", b"b1"]
    assert [entry.number for entry in entries(tmp_path)] == numbers


def test_a_life_that_used_up_its_numbers_is_followed_all_the_same(tmp_path: Path) -> None:
    """16 million events later the next life's own numbers are spent: it goes on behind them."""
    first = a_journal(tmp_path, epoch=7)
    last = first.append("executor", 8, b"x")
    first.close()

    second = a_journal(tmp_path, epoch=3)

    assert second.append("executor", 16, b"y") == last + 1


def test_cursors_of_this_run_alone_are_remembered(tmp_path: Path) -> None:
    """A new run has new rings: an old cursor would skip its first events."""
    journal = a_journal(tmp_path, run="run-1")
    journal.append("executor", 48, b"x")
    journal.append("detector", 96, b"y")
    journal.close()

    assert a_journal(tmp_path, run="run-1").cursors == {"executor": 48, "detector": 96}
    assert a_journal(tmp_path, run="run-2").cursors == {}


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory in memory, for tests that begin hundreds of journals."""
    with TemporaryDirectory(prefix="test-journal-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def a_group(memory_path: Path) -> tuple[Path, list[JournalEntry], int]:
    """A journal of two groups: its file, its events, and the bytes that the first fsync covered."""
    journal = a_journal(memory_path / "whole")
    for n in range(3):
        journal.append("executor", n, b"synced-%d" % n)
    journal.sync()
    (path,) = files(memory_path / "whole")
    synced_bytes = path.stat().st_size
    for n in range(4):
        journal.append("executor", 10 + n, b"torn-%d" % n * (n + 1))
    journal.close()
    return path, entries(memory_path / "whole"), synced_bytes


def survives(directory: Path, name: str, content: bytes, expected: list[JournalEntry]) -> None:
    """A journal left with ``content`` is read up to ``expected`` and goes on with numbers never used."""
    directory.mkdir()
    (directory / name).write_bytes(content)

    again = a_journal(directory, epoch=2)
    assert again.last_number == (expected[-1].number if expected else 0)
    number = again.append("executor", 99, b"next")
    again.close()

    assert entries(directory)[:-1] == expected
    assert payloads(directory)[-1] == b"next"
    assert number == 2 << 24, "a number that the lost end may have had"


def test_power_lost_at_every_byte_of_the_last_group(
    memory_path: Path, a_group: tuple[Path, list[JournalEntry], int]
) -> None:
    """Whatever prefix is on disk is read right up to its last whole event."""
    path, whole, _ = a_group
    content = path.read_bytes()

    for size in range(len(content) + 1):
        kept = [entry for entry in whole if entry.end <= size]
        survives(memory_path / f"cut-{size}", path.name, content[:size], kept)


def test_power_lost_with_any_sector_of_the_last_group_unwritten(
    memory_path: Path, a_group: tuple[Path, list[JournalEntry], int]
) -> None:
    """Disks write out of order: the length may be on disk, and zeros where a part of the group was."""
    path, whole, synced_bytes = a_group
    content = path.read_bytes()

    for begin in range(synced_bytes, len(content)):
        holed = content[:begin] + bytes(len(content[begin : begin + 64])) + content[begin + 64 :]
        if holed == content:
            continue
        first_lost = next(n for n, (a, b) in enumerate(zip(content, holed, strict=True)) if a != b)
        kept = [entry for entry in whole if entry.end <= first_lost]
        survives(memory_path / f"hole-{begin}", path.name, holed, kept)


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    """Events behind a flipped bit would otherwise vanish without a word."""
    for epoch, payload in ((1, b"one"), (2, b"two")):
        journal = a_journal(tmp_path, epoch=epoch)
        journal.append("executor", 1, payload)
        journal.close()
    path = files(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(JournalError, match="damaged"):
        a_journal(tmp_path, epoch=3)


def test_a_record_left_out_is_damage(tmp_path: Path) -> None:
    """Each checksum covers the one before: what follows a hole does not fit, though it is whole."""
    journal = a_journal(tmp_path)
    for n in range(3):
        journal.append("executor", n, b"same")
    journal.close()
    (path,) = files(tmp_path)
    first, second, third = read_file(path)
    content = path.read_bytes()
    path.write_bytes(content[: first.end] + content[second.end : third.end])

    assert payloads(tmp_path) == [b"same"]


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("0000000000000000001.journal").write_bytes(b"x" * 200)

    with pytest.raises(JournalError, match="is no journal: move it out"):
        a_journal(tmp_path)


def test_a_file_begun_and_never_filled_is_no_damage(tmp_path: Path) -> None:
    """Killed, or out of power, between making a file and its first event."""
    journal = a_journal(tmp_path)
    journal.append("executor", 8, b"one")
    journal.close()
    tmp_path.joinpath(f"{2 << 24:019d}.journal").write_bytes(b"TNDM")

    again = a_journal(tmp_path, epoch=3)
    again.append("executor", 16, b"two")
    again.close()

    assert payloads(tmp_path) == [b"one", b"two"]


def test_a_damaged_beginning_is_named(tmp_path: Path) -> None:
    """The operator is told which file, and what to do."""
    journal = a_journal(tmp_path)
    journal.append("executor", 8, b"one")
    journal.close()
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)

    with pytest.raises(JournalError, match=rf"{path.name} is damaged in its first bytes: move"):
        a_journal(tmp_path)


def test_a_record_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    """Its checksum may fit by chance or by malice; reading on stops in front of it, as for any other."""
    journal = a_journal(tmp_path)
    number = journal.append("executor", 8, b"good")
    journal.close()
    (path,) = files(tmp_path)
    (entry,) = read_file(path)
    body = (number + 1).to_bytes(8, "little") + bytes(8) + b"\xff" * 16 + b"bad"
    with path.open("ab") as file:
        file.write((3).to_bytes(4, "little") + crc32(body, entry.checksum).to_bytes(4, "little") + body)

    again = a_journal(tmp_path, epoch=2)

    assert again.last_number == number
    assert payloads(tmp_path) == [b"good"]


def test_every_file_begins_with_what_was_known_when_it_began(tmp_path: Path) -> None:
    """And so an old file is needed no longer than the database needs it."""
    synced: list[int] = []
    journal = Journal(
        tmp_path, "run", 1, file_bytes=300, begin_with=lambda: ("persistence", b"%d" % len(synced))
    )
    for n in range(20):
        journal.append("executor", n, b"p" * 50)
        journal.sync()
        synced.append(n)
    journal.close()

    beginnings = [next(read_file(path)) for path in files(tmp_path)]
    assert len(beginnings) > 3
    assert {entry.source for entry in beginnings} == {"persistence"}
    told_before = 0
    for path, entry in zip(files(tmp_path), beginnings, strict=True):
        assert int(entry.payload) == told_before
        told_before += sum(item.source == "executor" for item in read_file(path))


@contextmanager
def room_for(path: Path, more_bytes: int) -> Iterator[None]:
    """The kernel lets the file grow by so much and no further: short writes, then errors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.stat().st_size if path.exists() else 0
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + more_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("left", range(0, 240, 7))
def test_a_group_the_disk_has_no_room_for_leaves_no_trace(tmp_path: Path, left: int) -> None:
    """It stays in the rings and is appended again, under the same numbers, once there is room."""
    journal = a_journal(tmp_path)
    journal.append("executor", 8, b"kept")
    journal.sync()
    last, cursors = journal.last_number, dict(journal.cursors)
    for n in (1, 2, 3):
        journal.append("executor", 8 + 8 * n, b"p" * 50)

    with room_for(files(tmp_path)[0], left), pytest.raises(OSError, match="too large"):
        journal.sync()

    assert (journal.last_number, journal.synced_number, journal.cursors) == (last, last, cursors)
    assert journal.append("executor", 16, b"later") == last + 1
    journal.close()
    assert payloads(tmp_path) == [b"kept", b"later"]
    assert a_journal(tmp_path, epoch=2).last_number == last + 1


@pytest.mark.parametrize("left", [20, 100, 150])
def test_a_new_file_that_finds_no_room_is_begun_anew(tmp_path: Path, left: int) -> None:
    """Its checkpoint is part of it: a file without one would need the files before it for ever."""
    journal = Journal(tmp_path, "run", 1, begin_with=lambda: ("persistence", b"checkpoint"))

    def write() -> None:
        journal.append("executor", 8, b"p" * 50)
        journal.sync()

    with room_for(tmp_path / "new", left), pytest.raises(OSError, match=r"too large|No space"):
        write()
    assert files(tmp_path) == []

    journal.append("executor", 8, b"event")
    journal.close()

    assert payloads(tmp_path) == [b"checkpoint", b"event"]


def test_the_tail_follows_over_file_changes_and_never_passes_what_is_synced(tmp_path: Path) -> None:
    journal = a_journal(tmp_path, file_bytes=300)
    tail = Tail(tmp_path, 1)
    seen: list[int] = []
    written: list[int] = []
    for n in range(1, 41):
        written.append(journal.append("executor", n, b"p" * 50))
        assert tail.read(journal.synced_number, 100) == []
        journal.sync()
        seen += [entry.number for entry in tail.read(journal.synced_number, 100)]

    assert seen == written
    assert len(files(tmp_path)) > 5


def test_the_tail_starts_anywhere_and_reads_in_batches(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    base = 1 << 24
    tail = Tail(tmp_path, base + 16)
    batches = [[entry.number - base for entry in tail.read(journal.synced_number, 7)] for _ in range(5)]

    assert [number for batch in batches for number in batch] == list(range(16, 40))
    assert max(len(batch) for batch in batches) == 7


def test_the_tail_crosses_the_gap_between_two_lives(tmp_path: Path) -> None:
    """A life's numbers begin far above the last one's; nothing is waited for in between."""
    for epoch in (1, 2, 5):
        journal = a_journal(tmp_path, epoch=epoch)
        for n in range(3):
            journal.append("executor", n, b"%d-%d" % (epoch, n))
        journal.close()

    found = Tail(tmp_path, (1 << 24) + 1).read(journal.synced_number, 100)

    assert [entry.payload for entry in found] == [
        *(b"1-1", b"1-2"),
        *(b"2-0", b"2-1", b"2-2"),
        *(b"5-0", b"5-1", b"5-2"),
    ]
    assert journal.count_after((1 << 24) + 1) == 7


def test_only_stored_files_are_removed_and_only_down_to_the_limit(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    base = 1 << 24
    before = len(files(tmp_path))

    journal.remove_stored(stored_number=0, keep_bytes=0)
    assert len(files(tmp_path)) == before

    journal.remove_stored(stored_number=base + 19, keep_bytes=0)
    assert base + 17 <= entries(tmp_path)[0].number <= base + 20
    assert journal.count_after(base + 19) == 20

    journal.remove_stored(stored_number=base + 39, keep_bytes=journal.size_bytes())
    assert [entry.number for entry in entries(tmp_path)][-20:] == list(range(base + 20, base + 40))


def test_stored_files_go_with_age_and_others_stay_however_old(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    for path in files(tmp_path):
        os.utime(path, (1_000, 1_000))
    base = 1 << 24

    journal.remove_stored(base + 19, keep_bytes=1 << 30, keep_until_unix_s=999)
    assert entries(tmp_path)[0].number == base

    journal.remove_stored(base + 19, keep_bytes=1 << 30, keep_until_unix_s=1_001)
    assert base + 17 <= entries(tmp_path)[0].number <= base + 20
    assert a_journal(tmp_path, epoch=2).last_number == base + 39


COPIES = (
    "backup-monday.journal",
    "{} (copy).journal",
    ".{}.swp",
    "{}~",
    "1.journal",
    "notes.txt",
    "\udcff.journal",
)


def test_files_that_are_not_the_journals_are_passed_over(tmp_path: Path) -> None:
    """A copy beside them ended persistence, then the instance, with a ValueError, and every later start."""
    journal = filled(tmp_path)
    names = [name.format(journal_file.stem) for name in COPIES for journal_file in files(tmp_path)[:1]]
    for name in names:
        (tmp_path / name).write_bytes(files(tmp_path)[0].read_bytes())
    (tmp_path / "0000000000000000099.journal").mkdir()
    tail = Tail(tmp_path, 1)

    journal.append("executor", 41, b"p" * 50)
    journal.sync()
    journal.remove_stored(0, 1)

    assert len(tail.read(journal.last_number, 100)) == 41
    assert journal.bytes_after(0) == journal.size_bytes()
    journal.close()
    assert a_journal(tmp_path, epoch=2).last_number == journal.last_number
    assert holdings_of(tmp_path).held() == []
    found = verify(tmp_path)
    assert (found.events, list(found.problems)) == (41, [])
    shown = {name.replace("\udcff", "\\xff") for name in names} | {"0000000000000000099.journal"}
    assert set(found.foreign) == set(foreign_files(tmp_path)) == shown


@pytest.mark.parametrize("content", ["", "\0" * 32, "no id"])
def test_a_journal_whose_id_was_lost_gets_another(content: str, tmp_path: Path) -> None:
    """Without one, two hosts' journals would be one in the database."""
    filled(tmp_path).close()
    (tmp_path / "id").write_text(content)
    journal = a_journal(tmp_path, epoch=2)
    assert len(journal.journal_id) == 32
    assert a_journal(tmp_path, epoch=3).journal_id == journal.journal_id
