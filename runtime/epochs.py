"""Numbers of process lives: each larger than every one before it, whatever the clock does.

A life's number is part of every client order id it makes. An id made twice is the worst that can
happen to it: asked about the new order, the venue would tell of the old one. So the numbers follow
the clock, which makes those of two installations differ, and the last one given is kept on disk,
which makes them grow when the clock is set back or an instance is started twice in a second.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_BEGINNING_S: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_DIGITS: Final = 20


class Epochs:
    """Gives out the numbers of one instance. Raises OSError or ValueError for an unusable ``path``."""

    def __init__(self, path: Path, clock_unix_s: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock_unix_s = clock_unix_s
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = path
        self.last()

    def next(self) -> int:
        """A number never given before: seconds since 2026, or one more than the last.

        It is on disk before it is used. Overwriting in place needs no room on a full disk.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # a tool beside the instance takes numbers, too
        try:
            number = max(self.last() + 1, int(self._clock_unix_s()) - _BEGINNING_S)
            self._write(number)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        return number

    def _write(self, number: int) -> None:
        os.pwrite(self._fd, b"%0*d" % (_DIGITS, number), 0)
        os.fdatasync(self._fd)

    def last(self) -> int:
        """The last number given; 0 before the first."""
        kept = os.pread(self._fd, _DIGITS, 0)
        if kept and not kept.isdigit():
            raise ValueError(
                f"{self._path} holds no number; remove it if no other instance uses this account"
            )
        return int(kept or b"0")

    def raise_to(self, number: int) -> None:
        """Give no number from here on that is not larger than ``number``."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            if number > self.last():
                self._write(number)
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)
