"""The newest events, read from the end: the journal may be a gigabyte."""

from __future__ import annotations

from pathlib import Path

import pytest

import monitoring.journal_tail
from monitoring.journal_tail import JournalTail
from persistence.journal import Journal


def payloads(first: int, last: int) -> list[bytes]:
    return [b'{"event":"%d"}' % number for number in range(first, last + 1)]


def test_it_begins_near_the_end_and_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut into at any byte, it finds the next whole record."""
    journal = Journal(tmp_path, "run", 1)
    for payload in payloads(1, 50):
        journal.append("detector", 0, payload)
    journal.sync()

    for reach in range(220, 320):
        monkeypatch.setattr(monitoring.journal_tail, "_REACH", reach)
        tail = JournalTail(tmp_path, 5)
        tail.poll()
        seen = list(tail.payloads)
        assert seen == payloads(51 - len(seen), 50)
        assert len(seen) >= 1
    for payload in payloads(51, 52):
        journal.append("detector", 0, payload)
    journal.sync()
    tail.poll()
    assert list(tail.payloads)[-3:] == payloads(50, 52)


def test_it_goes_on_in_the_next_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run", 1, file_bytes=200)
    tail = JournalTail(tmp_path, 100)
    tail.poll()
    for payload in payloads(1, 30):
        journal.append("detector", 0, payload)
        journal.sync()
        if payload == payloads(7, 7)[0]:
            tail.poll()
    assert len(list(tmp_path.glob("*.journal"))) > 3
    tail.poll()
    assert list(tail.payloads) == payloads(1, 30)


def test_no_journal_yet_is_no_event(tmp_path: Path) -> None:
    tail = JournalTail(tmp_path, 5)
    tail.poll()
    assert list(tail.payloads) == []
