"""Keeps the journal: every event of every process, numbered and checksummed, on disk before the database.

A journal is a directory of files ``<first number>.journal``. A file begins with the run it belongs
to and with the number and checksum of the record before it; a record is a head (payload length,
checksum, event number, queue cursor, source) and the payload, one event (``events.codec``). Each checksum
covers the one before it, so no record can be changed, left out or put elsewhere unnoticed.

Numbers grow by one within an epoch (one incarnation of the process). An epoch begins above every number that
an earlier one can have used, even if its last events were lost in a power failure. With the journal's id
they are the key under which the database has each event exactly once.

The cursor is the place in the source's queue ring *behind* this event. A persistence process that
was killed after writing and before giving the ring its space back starts reading behind what the
journal already has: nothing is lost, nothing doubled.

What a power failure tears is the end that ``sync`` had not covered; it is cut back to the last whole
record. Layouts, little-endian: see ``_HEAD`` and ``_FILE_HEAD``.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from errno import ENOSPC
from pathlib import Path
from struct import Struct
from typing import IO, NamedTuple
from zlib import crc32

from runtime.atomic_file import sync_directory, write_atomically
from settings import PROJECT, Settings

_HEAD = Struct("<IIQQ16s")  # payload length, checksum, number, cursor, source
_FILE_HEAD = Struct("<8s64sQII")  # magic, run, number and checksum before this file, checksum of these
_MAGIC = b"TNDMJ003"
# Read as well: 002 held what the log printed, so with a quiet log_level its journal lacks events.
_READ = frozenset({_MAGIC, b"TNDMJ002"})
_ANY_VERSION = re.compile(rb"TNDMJ([0-9]{3})")
_NAME = re.compile(r"[0-9]{19}\.journal")
_OTHERS = frozenset({"id", "id.tmp"})
_ID = re.compile(r"[0-9a-f]{32}")
_MAX_PAYLOAD = 1 << 24
_EPOCH_BITS = 24  # numbers of one epoch before it reaches into those of the next: 16 million
FILE_BYTES = 16 << 20


def journal_directory(settings: Settings) -> Path:
    """An instance's own journal. Each bot and mode has one: positions on paper, or of another bot, are not
    this one's."""
    var_dir = PROJECT / settings.persistence.var_dir
    return var_dir / "journal" / f"{settings.bot_id}-{settings.mode}"


class JournalError(Exception):
    """The journal cannot be used; the text names the file and the remedy."""


class JournalEntry(NamedTuple):
    """One journalled event. ``end`` is the file offset behind it."""

    number: int
    source: str
    cursor: int
    payload: bytes
    end: int
    checksum: int


class FileHead(NamedTuple):
    """The head of a file; empty when the process was killed while it began the file."""

    run_id: str = ""
    previous_number: int = 0
    previous_checksum: int = 0


class _Span(NamedTuple):
    """One file's events: numbers ``first`` to ``last`` without a gap."""

    first: int
    last: int


class Journal:
    """Appends events; ``sync`` makes them survive a power failure.

    ``epoch``: of this incarnation, larger than all before it, below 2**29.
    ``begin_with``: called when a file begins, with everything before it on disk; returns the source
    and payload of its first record, if there is to be one.
    """

    def __init__(
        self,
        directory: Path,
        run_id: str,
        epoch: int,
        *,
        file_bytes: int = FILE_BYTES,
        begin_with: Callable[[], tuple[str, bytes]] | None = None,
    ) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.journal_id = _journal_id(directory)
        self._run_id = run_id
        self._file_bytes = file_bytes
        self._begin_with = begin_with
        self._next_number = epoch << _EPOCH_BITS
        self._pending: list[bytes] = []
        self._path = directory
        self._fd = -1
        self.reread()

    def reread(self) -> None:
        """Read the directory again, after other code wrote to it. Nothing may wait for ``sync``."""
        assert not self._pending
        self._end_file()
        self._size = 0  # of the present file, as far as it is synced
        self.cursors: dict[str, int] = {}  # of this run, by source
        self._spans: list[_Span] = []
        self._last = 0, 0  # number and checksum of the last record
        self._recover()
        self.synced_number = self._last[0]  # everything up to here survives a power failure
        self._next_number = max(self._last[0] + 1, self._next_number)
        self._synced = self._last, self._next_number, dict(self.cursors), list(self._spans)

    @property
    def last_number(self) -> int:
        """Number of the newest event; 0 in an empty journal."""
        return self._last[0]

    def append(self, source: str, cursor: int, payload: bytes) -> int:
        """Take one event and return its number; on disk after ``sync``.

        Raises OSError when a new file is due and cannot be begun; the event is not taken then.
        """
        if self._fd < 0 or (self._size >= self._file_bytes and not self._pending):
            self._begin_file()
        return self._append(source, cursor, payload)

    def sync(self) -> None:
        """Write and fsync what was appended.

        Raises OSError when the disk refuses: everything since the last sync is forgotten then, as
        if it had never been appended, and may be appended again.
        """
        if not self._pending:
            return
        data, end = memoryview(b"".join(self._pending)), self._size
        try:
            while data:
                written = os.pwrite(self._fd, data, end)
                data, end = data[written:], end + written
            os.fdatasync(self._fd)
        except OSError:
            self._forget_unsynced()
            raise
        self._size = end
        self._pending.clear()
        self._synced = self._last, self._next_number, dict(self.cursors), list(self._spans)
        self.synced_number = self._last[0]

    def close(self) -> None:
        """Make durable what was appended and end the current file."""
        self.sync()
        self._end_file()

    def size_bytes(self) -> int:
        """Size of all journal files on disk."""
        return sum(path.stat().st_size for path in files(self.directory))

    def count_after(self, number: int) -> int:
        """How many events have a larger number."""
        return sum(max(0, span.last - max(number, span.first - 1)) for span in self._spans)

    def bytes_after(self, number: int) -> int:
        """Size of the files that hold an event with a larger number."""
        last = {span.first: span.last for span in self._spans}
        return sum(
            path.stat().st_size for path in files(self.directory) if last.get(first_number(path), 0) > number
        )

    def remove_stored(self, stored_number: int, keep_bytes: int, keep_until_unix_s: float = 0.0) -> None:
        """Remove the oldest files whose every event is in the database.

        As many as it takes to come down to ``keep_bytes``, and all that were last written before
        ``keep_until_unix_s``. What the database has not taken stays, however much it is.
        """
        paths = files(self.directory)
        size = self.size_bytes()
        last = {span.first: span.last for span in self._spans}
        for path in paths[:-1]:
            about = path.stat()
            is_wanted = size <= keep_bytes and about.st_mtime >= keep_until_unix_s
            if is_wanted or last.get(first_number(path), 0) > stored_number:
                return
            size -= about.st_size
            path.unlink()

    def _append(self, source: str, cursor: int, payload: bytes) -> int:
        number = self._next_number
        record, checksum = pack_entry(number, source, cursor, payload, self._last[1])
        self._pending.append(record)
        self._last = number, checksum
        self._next_number = number + 1
        self.cursors[source] = cursor
        self._spans[-1] = self._spans[-1]._replace(last=number)
        return number

    def _begin_file(self) -> None:
        path = self.directory / f"{self._next_number:019d}.journal"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        head = pack_file_head(self._run_id, *self._last)
        try:
            if os.write(fd, head) < len(head):
                raise OSError(ENOSPC, os.strerror(ENOSPC), str(path))
            os.fdatasync(fd)
            sync_directory(self.directory)
        except OSError:
            os.close(fd)
            path.unlink()
            raise
        self._end_file()
        self._path, self._fd, self._size = path, fd, len(head)
        self._spans.append(_Span(self._next_number, self._next_number - 1))
        if self._begin_with is not None:
            source, payload = self._begin_with()
            self._append(source, 0, payload)

    def _end_file(self) -> None:
        if self._fd >= 0:
            os.ftruncate(self._fd, self._size)  # whatever a refused write has left behind the last record
            os.close(self._fd)
            self._fd = -1

    def _forget_unsynced(self) -> None:
        self._pending.clear()
        self._last, self._next_number, cursors, spans = self._synced
        self.cursors, self._spans = dict(cursors), list(spans)
        if self._size == _FILE_HEAD.size:  # it is to begin with what a file begins with
            self._size = 0
            self._end_file()
            self._path.unlink()

    def _recover(self) -> None:
        """Cut a torn end off the newest file; find the last number and this run's cursors."""
        paths = files(self.directory)
        for path in paths:
            with path.open("rb") as file:
                head = read_file_head(path, file)
                whole = file.tell()
                for entry in read_entries(file, first_number(path), head.previous_checksum):
                    whole = entry.end
                    if self._spans and self._spans[-1].first == first_number(path):
                        self._spans[-1] = self._spans[-1]._replace(last=entry.number)
                    else:
                        self._spans.append(_Span(first_number(path), entry.number))
                    self._last = entry.number, entry.checksum
                    if head.run_id == self._run_id:
                        self.cursors[entry.source] = entry.cursor
            if whole < path.stat().st_size and path == paths[-1]:
                _truncate(path, whole)
            elif whole < path.stat().st_size:
                raise JournalError(
                    f"{path} is damaged at byte {whole} and newer files follow it: move {self.directory} "
                    "aside (the database and the venues know the rest) and start again"
                )


def pack_entry(
    number: int, source: str, cursor: int, payload: bytes, previous_checksum: int
) -> tuple[bytes, int]:
    """One record as it lies in the file, and its checksum."""
    name = source.encode()
    assert len(name) <= 16
    body = _HEAD.pack(len(payload), 0, number, cursor, name)[8:] + payload
    checksum = crc32(body, previous_checksum)
    return _HEAD.pack(len(payload), checksum, number, cursor, name) + payload, checksum


def pack_file_head(run_id: str, previous_number: int, previous_checksum: int) -> bytes:
    """The head of a journal file: magic, run, and the number and checksum of the event before it."""
    body = _FILE_HEAD.pack(_MAGIC, run_id.encode(), previous_number, previous_checksum, 0)[:-4]
    return body + crc32(body).to_bytes(4, "little")


def read_file_head(path: Path, file: IO[bytes]) -> FileHead:
    """How a file begins. Raises JournalError for one that is no journal, or damaged there."""
    content = file.read(_FILE_HEAD.size)
    if len(content) < _FILE_HEAD.size:
        return FileHead()
    magic, run_id, previous_number, previous_checksum, checksum = _FILE_HEAD.unpack(content)
    if magic not in _READ:
        raise JournalError(_other_version(path, magic))
    if crc32(content[:-4]) != checksum:
        raise JournalError(
            f"{path} is damaged in its first bytes: move {path.parent} aside (the database and the venues "
            "know the rest) and start again"
        )
    return FileHead(run_id.rstrip(b"\0").decode(), previous_number, previous_checksum)


def _other_version(path: Path, magic: bytes) -> str:
    """Why a file of this beginning cannot be read, and what to do."""
    version, ours = _ANY_VERSION.fullmatch(magic), int(_MAGIC[-3:])
    if version is None:
        return f"{path} is no journal: move it out of {path.parent}"
    if int(version[1]) > ours:
        return (
            f"{path} is a journal of version {int(version[1])}, this Tandem reads up to version {ours}: "
            f"start the newer Tandem that wrote it, or move {path.parent} aside (the database and the venues "
            "know the rest)"
        )
    return f"{path} is a journal of version {int(version[1])}, read no more: move it out of {path.parent}"


def read_entries(file: IO[bytes], next_number: int, previous_checksum: int) -> Iterator[JournalEntry]:
    """Whole records from the file's position on; stops in front of a torn or unfinished one.

    The first must be number ``next_number`` and follow a record with the previous checksum.
    """
    while True:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, checksum, number, cursor, name = _HEAD.unpack(head)
        payload = file.read(length) if length <= _MAX_PAYLOAD else b""
        if len(payload) < length or crc32(payload, crc32(head[8:], previous_checksum)) != checksum:
            return
        if number != next_number:
            return
        try:
            source = name.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return  # no record of ours, however its checksum came to fit
        yield JournalEntry(number, source, cursor, payload, file.tell(), checksum)
        next_number, previous_checksum = number + 1, checksum


def record_after(file: IO[bytes]) -> JournalEntry | None:
    """If the file stands in front of a record that another follows, the second; else None.

    For readers who begin in the middle: what looks like a record proves to be one by its follower.
    """
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, checksum, number, _, _ = _HEAD.unpack(head)
    if length > _MAX_PAYLOAD or len(file.read(length)) < length:
        return None
    return next(read_entries(file, number + 1, checksum), None)


def read_file(path: Path) -> Iterator[JournalEntry]:
    """The whole records of one file. Raises JournalError if it is no journal."""
    with path.open("rb") as file:
        head = read_file_head(path, file)
        yield from read_entries(file, first_number(path), head.previous_checksum)


def files(directory: Path) -> Sequence[Path]:
    """The journal's files, oldest first: what bears a name of ours."""
    return sorted(path for path in directory.glob("*.journal") if _is_ours(path))


def foreign_files(directory: Path) -> Sequence[str]:
    """Names of what lies among the journal's files and is none: a copy, an editor's swap file."""
    paths = (path for path in directory.glob("*") if path.name not in _OTHERS and not _is_ours(path))
    return sorted(os.fsencode(path.name).decode(errors="backslashreplace") for path in paths)


def _is_ours(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None and path.is_file()


def first_number(path: Path) -> int:
    """The number of the first event in a journal file, from its name."""
    return int(path.stem)


class Tail:
    """Reads the journal in order, keeping its place: the database writer's view of it."""

    def __init__(self, directory: Path, next_number: int) -> None:
        self._directory = directory
        self.next_number = next_number
        self._path: Path | None = None
        self._offset = 0  # behind the last record read there, with its number and checksum
        self._number = 0
        self._checksum = 0

    def read(self, up_to: int, limit: int) -> list[JournalEntry]:
        """The next events, none beyond number ``up_to`` (what ``sync`` has covered)."""
        found: list[JournalEntry] = []
        while self.next_number <= up_to and len(found) < limit and self._find_file(up_to):
            assert self._path is not None
            before = len(found)
            with self._path.open("rb") as file:
                if self._offset:
                    file.seek(self._offset)
                else:
                    self._number = first_number(self._path) - 1
                    self._checksum = read_file_head(self._path, file).previous_checksum
                for entry in read_entries(file, self._number + 1, self._checksum):
                    if entry.number > up_to or len(found) == limit:
                        break
                    self._offset, self._number, self._checksum = entry.end, entry.number, entry.checksum
                    if entry.number >= self.next_number:
                        found.append(entry)
                        self.next_number = entry.number + 1
            if len(found) == before and not self._go_to_next_file(up_to):
                break
        return found

    def _find_file(self, up_to: int) -> bool:
        """Stand in a file: at first the one that holds the next number, or the one after."""
        if self._path is not None and self._path.exists():
            return True
        paths = [path for path in files(self._directory) if first_number(path) <= up_to]
        earlier = [path for path in paths if first_number(path) <= self.next_number]
        candidates = earlier[-1:] or paths[:1]
        if candidates:
            self._path, self._offset = candidates[0], 0
        return bool(candidates)

    def _go_to_next_file(self, up_to: int) -> bool:
        """A file is complete once one that begins at a synced number follows it."""
        assert self._path is not None
        here = first_number(self._path)
        later = [path for path in files(self._directory) if here < first_number(path) <= up_to]
        if later:
            self._path, self._offset = later[0], 0
        return bool(later)


def _truncate(path: Path, size: int) -> None:
    """For good: a torn end that comes back would be damage once another file follows it."""
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _journal_id(directory: Path) -> str:
    """The journal's identity: two hosts may write into one database."""
    path = directory / "id"
    kept = path.read_text(errors="replace").strip() if path.is_file() else ""
    if _ID.fullmatch(kept):
        return kept
    # No id, or a damaged one after a power failure or a full disk. The database gets all events again under
    # the new id.
    journal_id = uuid.uuid4().hex
    write_atomically(path, journal_id, is_durable=True)
    return journal_id
