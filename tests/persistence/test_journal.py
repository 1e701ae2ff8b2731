"""The journal: numbered, checksummed, cut back to the last whole event, never ahead of itself."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import pytest

from persistence import journal as journal_module
from persistence.journal import Entry, Journal, JournalError, Tail, files, read_from


def payloads(entries: list[Entry]) -> list[bytes]:
    return [entry.payload for entry in entries]


def test_events_are_numbered_over_files_and_runs(tmp_path: Path) -> None:
    first = Journal(tmp_path, "run-1")
    assert [first.append("executor", 8 * n, b"a%d" % n) for n in (1, 2, 3)] == [1, 2, 3]
    first.close()

    second = Journal(tmp_path, "run-2")
    assert second.append("executor", 8, b"b1") == 4
    second.close()

    assert second.journal_id == first.journal_id
    assert payloads(read_from(tmp_path, 1, 100)) == [b"a1", b"a2", b"a3", b"b1"]
    assert payloads(read_from(tmp_path, 3, 1)) == [b"a3"]


def test_cursors_of_this_run_alone_are_remembered(tmp_path: Path) -> None:
    """A new run has new rings: an old cursor would skip its first events."""
    journal = Journal(tmp_path, "run-1")
    journal.append("executor", 48, b"x")
    journal.append("detector", 96, b"y")
    journal.close()

    assert Journal(tmp_path, "run-1").cursors == {"executor": 48, "detector": 96}
    assert Journal(tmp_path, "run-2").cursors == {}


def test_a_torn_end_is_cut_at_every_possible_byte(tmp_path: Path) -> None:
    """A power failure may leave any prefix of the last group on disk."""
    source = tmp_path / "whole"
    journal = Journal(source, "run")
    for n in range(3):
        journal.append("executor", n, b"event-%d" % n)
    journal.close()
    (path,) = files(source)
    content = path.read_bytes()
    ends = [entry.end for entry in read_from(source, 1, 10)]

    for size in range(len(content)):
        broken = tmp_path / f"cut-{size}"
        broken.mkdir()
        (broken / path.name).write_bytes(content[:size])
        survivors = sum(end <= size for end in ends)

        again = Journal(broken, "run")
        assert again.last_number == survivors, size
        again.append("executor", 99, b"next")
        again.close()

        expected = [b"event-%d" % n for n in range(survivors)] + [b"next"]
        assert payloads(read_from(broken, 1, 10)) == expected, size


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    """Events behind a flipped bit would otherwise vanish without a word."""
    journal = Journal(tmp_path, "run")
    journal.append("executor", 1, b"one")
    journal.close()
    journal = Journal(tmp_path, "run")
    journal.append("executor", 2, b"two")
    journal.close()
    path = files(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(JournalError, match="damaged"):
        Journal(tmp_path, "run")


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("0000000000000001.journal").write_bytes(b"x" * 200)

    with pytest.raises(JournalError, match="no journal of this version"):
        Journal(tmp_path, "run")


def test_the_tail_follows_over_file_changes_and_never_passes_what_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 300)
    journal = Journal(tmp_path, "run")
    tail = Tail(tmp_path, 1)
    seen: list[int] = []
    for n in range(1, 41):
        journal.append("executor", n, b"p" * 50)
        assert tail.read(journal.synced_number, 100) == []
        journal.sync()
        seen += [entry.number for entry in tail.read(journal.synced_number, 100)]

    assert seen == list(range(1, 41))
    assert len(files(tmp_path)) > 5


def test_the_tail_starts_anywhere_and_reads_in_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 300)
    journal = Journal(tmp_path, "run")
    for n in range(1, 41):
        journal.append("executor", n, b"p" * 50)
        journal.sync()
    tail = Tail(tmp_path, 17)
    batches = [[entry.number for entry in tail.read(journal.synced_number, 7)] for _ in range(5)]

    assert [number for batch in batches for number in batch] == list(range(17, 41))
    assert max(len(batch) for batch in batches) == 7


def test_only_stored_files_are_removed_and_only_down_to_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "FILE_BYTES", 300)
    journal = Journal(tmp_path, "run")
    for n in range(1, 41):
        journal.append("executor", n, b"p" * 50)
        journal.sync()
    before = len(files(tmp_path))

    journal.remove_stored(stored_number=0, keep_bytes=0)
    assert len(files(tmp_path)) == before

    journal.remove_stored(stored_number=20, keep_bytes=0)
    assert read_from(tmp_path, 1, 1)[0].number <= 21

    journal.remove_stored(stored_number=40, keep_bytes=journal.size_bytes())
    assert payloads(read_from(tmp_path, 21, 100)) == [b"p" * 50] * 20


def test_a_record_whose_name_is_no_text_is_damage(tmp_path: Path) -> None:
    """Its checksum may fit by chance or by malice; reading on stops in front of it, as for any other."""
    journal = Journal(tmp_path, "run")
    journal.append("executor", 8, b"good")
    journal.close()
    (path,) = files(tmp_path)
    number, cursor = (2).to_bytes(8, "little"), bytes(8)
    body = number + cursor + b"\xff" * 16 + b"bad"
    with path.open("ab") as file:
        file.write((3).to_bytes(4, "little") + crc32(body).to_bytes(4, "little") + body)

    again = Journal(tmp_path, "run")

    assert again.last_number == 1
    assert payloads(read_from(tmp_path, 1, 10)) == [b"good"]


def test_a_damaged_beginning_is_named(tmp_path: Path) -> None:
    """Not a UnicodeDecodeError: the operator is told which file, and what to do."""
    Journal(tmp_path, "run").close()
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[8:12] = b"\xff" * 4
    path.write_bytes(content)

    with pytest.raises(JournalError, match=rf"{path.name} is damaged in its first bytes: move"):
        Journal(tmp_path, "run")
