"""Where a virtual venue's truth survives: one file of lines, each written before it is answered.

The first line says whose account it is and what it began with; every other line is one order with
all that became of it. The account is what these orders make of the first balance, so there is
nothing else to keep, and a client order id is known for ever.

A line is a checksum and a JSON object. It is with the kernel before anybody hears of it, so it outlives
the death of the process at any instruction. It is not forced to disk: a power failure may cost the last
trades of a virtual account. A line cut short by one is cut off; any other damage stops the start and
names the file.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

import msgspec

VERSION: Final = 1


class PaperJournalError(Exception):
    """The file cannot be used; the text names it and the remedy."""


class Execution(msgspec.Struct, frozen=True, array_like=True):
    """A part of an order, filled at one price."""

    price_e8: int
    size_e8: int
    fee_e8: int


class PaperOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One order that reached the virtual venue, as it ended: every order ends when it arrives."""

    client_order_id: int
    symbol: str
    side: int
    size_e8: int
    limit_price_e8: int
    reduce_only: bool
    time_in_force: str
    arrived_unix_ms: int
    fills: tuple[Execution, ...] = ()
    code: str = ""  # why it was refused, or why something was left; "" when it filled
    text: str = ""
    is_refused: bool = False

    @property
    def filled_e8(self) -> int:
        return sum(fill.size_e8 for fill in self.fills)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    venue: str
    balance_e8: int  # at the beginning


_T = TypeVar("_T")


class PaperJournal:
    """The one writer of an account's file. ``orders`` are those of earlier processes, oldest first."""

    def __init__(self, path: Path, venue: str, first_balance_e8: int) -> None:
        """Open the file, or begin it with ``first_balance_e8``. Raises PaperJournalError."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PaperJournalError(
                f"{path}: {error.strerror}; name a persistence.var_dir you own"
            ) from error
        with ExitStack() as until_read:
            until_read.callback(os.close, self._fd)
            self._lock()
            head, self.orders = self._load(venue, first_balance_e8)
            until_read.pop_all()
        self.first_balance_e8 = head.balance_e8

    def append(self, order: PaperOrder) -> None:
        """Keep an order. Raises OSError when it could not be kept; then nothing of it is there."""
        self._write(order)

    def close(self) -> None:
        os.close(self._fd)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PaperJournalError(
                f"{self.path}: another instance trades this virtual account; stop it, or use another bot_id"
            ) from None

    def _load(self, venue: str, first_balance_e8: int) -> tuple[_Head, list[PaperOrder]]:
        content = self.path.read_bytes()
        whole, newline, torn = content.rpartition(b"\n")
        if torn:
            os.ftruncate(self._fd, len(whole) + len(newline))
        if not newline:
            head = _Head(VERSION, venue, first_balance_e8)
            self._write(head)
            return head, []
        first, *rest = whole.split(b"\n")
        head = self._decode(1, first, _Head)
        if head.version != VERSION or head.venue != venue:
            raise PaperJournalError(
                f"{self.path} is of version {head.version} and venue {head.venue!r}, not {VERSION} and "
                f"{venue!r}; move it away to begin with a new balance"
            )
        return head, [self._decode(number, line, PaperOrder) for number, line in enumerate(rest, 2)]

    def _decode(self, number: int, line: bytes, kind: type[_T]) -> _T:
        try:
            return _unpack(line, kind)
        except ValueError as error:
            raise PaperJournalError(
                f"{self.path}: line {number} is damaged ({error}); move the file away to begin with a "
                "new balance"
            ) from error

    def _write(self, record: msgspec.Struct) -> None:
        line = _pack(record)
        written = os.write(self._fd, line)
        if written < len(line):  # the disk is full
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(f"{self.path}: only {written} of {len(line)} bytes could be written")


def _pack(record: msgspec.Struct) -> bytes:
    body = msgspec.json.encode(record)
    return b"%08x %s\n" % (crc32(body), body)


def _unpack(line: bytes, kind: type[_T]) -> _T:
    """Raises ValueError for a line that is not as it was written."""
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % crc32(body):
        raise ValueError("its checksum does not fit")
    return msgspec.json.decode(body, type=kind)
