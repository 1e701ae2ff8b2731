"""Numbers every start of a process: each epoch is larger than all before it, whatever the clock does.

An epoch is part of every client order id that the process makes. An id used twice would be dangerous: a
query for the new order would return the old one. So epochs follow the clock, which makes those of two
installations differ, and the last one is kept on disk, which makes them grow when the clock is set back or
an instance is started twice in a second.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import ENOSPC
from pathlib import Path
from typing import Final

_BEGINNING_S: Final = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
_DIGITS: Final = 20


class Epochs:
    """Gives out the epochs of one instance. Raises OSError or ValueError for an unusable ``path``.

    Once open it gives epochs whatever becomes of the file: ``problem`` says why the newest is not in it.
    """

    def __init__(self, path: Path, clock_unix_s: Callable[[], float] = time.time) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._clock_unix_s = clock_unix_s
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._path = path
        self.problem = ""
        try:
            self._newest = self._kept()
        except (OSError, ValueError):
            os.close(self._fd)
            raise

    def next(self) -> int:
        """An epoch never given before: seconds since 2026, or one more than the last.

        It is on disk before it is used, where the disk takes it: overwriting in place needs no room. A disk
        that refuses even that must not keep an executor from its open positions.
        """
        with self._alone():
            self._keep(max(self.last() + 1, int(self._clock_unix_s()) - _BEGINNING_S))
        return self._newest

    def last(self) -> int:
        """The last epoch given, by us or by a tool beside us; 0 before the first."""
        with suppress(OSError, ValueError):  # the file was changed by hand: what we gave still counts
            self._newest = max(self._newest, self._kept())
        return self._newest

    def raise_to(self, number: int) -> None:
        """Give only epochs above ``number`` from here on."""
        with self._alone():
            if number > self.last():
                self._keep(number)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Exclude a tool beside the instance, which takes epochs, too."""
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _keep(self, number: int) -> None:
        self._newest = number
        digits = b"%0*d" % (_DIGITS, number)
        try:
            if os.pwrite(self._fd, digits, 0) < len(digits):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
            os.fdatasync(self._fd)
            self.problem = ""
        except OSError as error:
            self.problem = f"{self._path} cannot be written: {error.strerror}"

    def _kept(self) -> int:
        """What the file holds: nothing before the first number, or where the disk was full then."""
        kept = os.pread(self._fd, _DIGITS + 1, 0).strip()
        if kept and not (kept.isdigit() and len(kept) <= _DIGITS):
            raise ValueError(
                f"{self._path} holds no number; remove it if no other instance uses this account"
            )
        return int(kept or b"0")
