"""The journal: every event of every process, numbered, checksummed, on disk before anything else.

A journal is a directory of files ``<first number>.journal``. A file begins with the run it belongs
to; a record is a head (payload length, checksum, event number, queue cursor, source) and the
payload, one log line. Numbers grow by one for ever, over files and runs: with the journal's id they
are the key under which the database holds each event exactly once.

The cursor is the place in the source's queue ring *behind* this event. A persistence process that
was killed after writing and before giving the ring its space back starts reading behind what the
journal already has: nothing is lost, nothing doubled.

A file cut short by a power failure ends in a torn record; it is cut back to the last whole one.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple
from zlib import crc32

_HEAD = Struct("<IIQQ16s")  # payload length, checksum, number, cursor, source
_RUN = Struct("<8s64s")
_MAGIC = b"TNDMJ001"
_MAX_PAYLOAD = 1 << 24
FILE_BYTES = 16 << 20


class JournalError(Exception):
    """The journal cannot be used; the text names the file and the remedy."""


class Entry(NamedTuple):
    """One journalled event. ``end`` is the file offset behind it."""

    number: int
    source: str
    cursor: int
    payload: bytes
    end: int


class Journal:
    """Appends events; ``sync`` makes them survive a power failure."""

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.journal_id = _journal_id(directory)
        self._run_id = run_id
        self.cursors: dict[str, int] = {}  # of this run, by source
        self.last_number = 0
        self._recover()
        self.synced_number = self.last_number  # everything up to here survives a power failure
        self._file = self._open_next()

    def append(self, source: str, cursor: int, payload: bytes) -> int:
        """Buffer one event and return its number; on disk after ``sync``."""
        self.last_number += 1
        self._file.write(pack_entry(self.last_number, source, cursor, payload))
        self.cursors[source] = cursor
        return self.last_number

    def sync(self) -> None:
        """Write and fsync what was appended; then start a new file if this one is full.

        Raises OSError when the disk refuses: nothing since the last sync may be counted on.
        """
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self.synced_number = self.last_number
        if self._file.tell() >= FILE_BYTES:
            self._file.close()
            self._file = self._open_next()

    def close(self) -> None:
        self.sync()
        self._file.close()

    def size_bytes(self) -> int:
        return sum(path.stat().st_size for path in files(self.directory))

    def remove_stored(self, stored_number: int, keep_bytes: int) -> None:
        """Remove the oldest files whose every event is in the database, down to ``keep_bytes``."""
        paths = files(self.directory)
        size = self.size_bytes()
        for path, following in pairwise(paths):
            if size <= keep_bytes or first_number(following) > stored_number + 1:
                return
            size -= path.stat().st_size
            path.unlink()

    def _recover(self) -> None:
        """Cut a torn end off the newest file; find the last number and this run's cursors."""
        paths = files(self.directory)
        for path in paths:
            with path.open("rb") as file:
                run_id = _read_run(path, file)
                whole = file.tell()
                for entry in read_entries(file):
                    whole = entry.end
                    self.last_number = entry.number
                    if run_id == self._run_id:
                        self.cursors[entry.source] = entry.cursor
            if whole < path.stat().st_size and path == paths[-1]:
                os.truncate(path, whole)
            elif whole < path.stat().st_size:
                raise JournalError(
                    f"{path} is damaged at byte {whole} and newer files follow it: move {self.directory} "
                    "aside (the database and the venues know the rest) and start again"
                )

    def _open_next(self) -> IO[bytes]:
        path = self.directory / f"{self.last_number + 1:016d}.journal"
        file = path.open("wb")
        file.write(_RUN.pack(_MAGIC, self._run_id.encode()))
        return file


def pack_entry(number: int, source: str, cursor: int, payload: bytes) -> bytes:
    """One record as it lies in the file."""
    name = source.encode()
    assert len(name) <= 16
    body = _HEAD.pack(len(payload), 0, number, cursor, name)[8:] + payload
    return _HEAD.pack(len(payload), crc32(body), number, cursor, name) + payload


def read_entries(file: IO[bytes]) -> Iterator[Entry]:
    """Whole records from the file's position on; stops in front of a torn or unfinished one."""
    while True:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, checksum, number, cursor, name = _HEAD.unpack(head)
        payload = file.read(length) if length <= _MAX_PAYLOAD else b""
        if len(payload) < length or crc32(head[8:] + payload) != checksum:
            return
        try:
            source = name.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return  # no record of ours, however its checksum came to fit
        yield Entry(number, source, cursor, payload, file.tell())


def files(directory: Path) -> Sequence[Path]:
    """The journal's files, oldest first."""
    return sorted(directory.glob("*.journal"))


def first_number(path: Path) -> int:
    return int(path.stem)


def read_from(directory: Path, number: int, limit: int) -> list[Entry]:
    """Up to ``limit`` events from ``number`` on. The caller knows what ``sync`` has covered."""
    paths = files(directory)
    starts = [place for place, path in enumerate(paths) if first_number(path) <= number]
    found: list[Entry] = []
    for path in paths[starts[-1] if starts else 0 :]:
        with path.open("rb") as file:
            _read_run(path, file)
            for entry in read_entries(file):
                if entry.number >= number:
                    found.append(entry)
                    if len(found) == limit:
                        return found
    return found


class Tail:
    """Reads the journal in order, keeping its place: the database writer's view of it."""

    def __init__(self, directory: Path, next_number: int) -> None:
        self._directory = directory
        self.next_number = next_number
        self._path: Path | None = None
        self._offset = 0

    def read(self, up_to: int, limit: int) -> list[Entry]:
        """The next events, none beyond number ``up_to`` (what ``sync`` has covered)."""
        found: list[Entry] = []
        while self.next_number <= up_to and len(found) < limit:
            if not self._find_file():
                return found
            assert self._path is not None
            with self._path.open("rb") as file:
                if self._offset:
                    file.seek(self._offset)
                else:
                    _read_run(self._path, file)
                before = len(found)
                for entry in read_entries(file):
                    if entry.number > up_to or len(found) == limit:
                        break
                    self._offset = entry.end
                    if entry.number >= self.next_number:
                        found.append(entry)
                        self.next_number = entry.number + 1
            if len(found) == before:
                self._path = None  # this file is read out: look for the next one
                if not self._has_newer():
                    return found
        return found

    def _find_file(self) -> bool:
        if self._path is not None and self._path.exists():
            return True
        candidates = [path for path in files(self._directory) if first_number(path) <= self.next_number]
        if not candidates:
            return False
        self._path, self._offset = candidates[-1], 0
        return True

    def _has_newer(self) -> bool:
        return any(first_number(path) == self.next_number for path in files(self._directory))


def _read_run(path: Path, file: IO[bytes]) -> str:
    head = file.read(_RUN.size)
    if len(head) < _RUN.size:
        return ""  # killed while the file was begun: it holds no event yet
    if not head.startswith(_MAGIC):
        raise JournalError(f"{path} is no journal of this version: move it out of {path.parent}")
    run_id: bytes = _RUN.unpack(head)[1]
    try:
        return run_id.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise JournalError(
            f"{path} is damaged in its first bytes: move {path.parent} aside (the database and the venues "
            "know the rest) and start again"
        ) from None


def _journal_id(directory: Path) -> str:
    """The journal's identity: two hosts may write into one database."""
    path = directory / "id"
    if not path.exists():
        path.write_text(uuid.uuid4().hex)
    return path.read_text().strip()
