"""Writes lines to standard output from a thread of its own, one system call each, and never blocks a caller.

A pager that is not scrolled, a stopped terminal, a ``tee`` that Ctrl-C has ended, a pipe that another
process has set to O_NONBLOCK, a disk that is full for a minute: none may block a process that holds a
position, and none may silence it for good. Lines that could not be written are counted; the next line
that can be written reports how many were lost (``log_dropped``). The database has them.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import stat
import time
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from select import PIPE_BUF
from threading import Thread
from typing import Any, Final

import orjson

from events.codec import EVERY_LINE
from events.simulator import LogDropped

_WAITING_MAX: Final = 10_000  # lines
_PATIENCE_S: Final = 1.0  # how long a line waits for room where the descriptor itself does not wait
_RETRY_S: Final = 0.25
_LAST_LINES_S: Final = 1.0
_WHO: Final = ("proc", "pid", "run_id")
_SHORTER: Final = (1_000, 300, 100, 30)  # characters of a text, items of a list, in a line that is too long


class LineWriter:
    """The one writer to a descriptor that processes share: a line is written whole or not at all."""

    def __init__(self, fd: int, *, patience_s: float = _PATIENCE_S) -> None:
        self._fd = fd
        self._patience_s = patience_s
        self._waiting: SimpleQueue[tuple[float, bytes] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._overflowed = 0  # counted by who logs
        self._overflows_seen = 0
        self._lost = 0  # and not reported yet
        self._rest = b""  # of a line of which a part is out
        self._about: bytes = b"{}"  # the newest line, for who we are

    def put(self, line: bytes) -> None:
        """Have one line written. Never waits and never fails."""
        if self._thread is None:
            self._thread = Thread(target=self._write_all, name="stdout", daemon=True)
            self._thread.start()
            atexit.register(self.finish)
        if self._waiting.qsize() >= _WAITING_MAX:
            self._overflowed += 1
        else:
            self._waiting.put((time.monotonic(), line))

    def finish(self) -> None:
        """At the end wait a moment for the last lines, not for a reader that has stopped."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(_LAST_LINES_S)

    def _write_all(self) -> None:
        while True:
            try:
                # What is left over goes as soon as there is room, whether or not there is more to write.
                item = self._waiting.get(timeout=_RETRY_S if self._lost or self._rest else None)
            except Empty:
                self._rest = self._push(self._rest, 0.0)
                self._report_lost(0.0)
                continue
            if item is None:
                self._report_lost(0.0)
                return
            came_s, self._about = item
            deadline_s = came_s + self._patience_s
            if not (self._report_lost(deadline_s) and self._write(fitting(self._about), deadline_s)):
                self._lost += 1
            if self._waiting.empty() and self._overflowed != self._overflows_seen:
                # What found the queue full is newer than what was in it, so it is reported behind that.
                self._lost += self._overflowed - self._overflows_seen
                self._overflows_seen = self._overflowed
                self._report_lost(0.0)

    def _report_lost(self, deadline_s: float) -> bool:
        """Whether everything lost so far is reported."""
        if self._lost and self._write(_dropped(self._lost, self._about), deadline_s):
            self._lost = 0
        return not self._lost

    def _write(self, line: bytes, deadline_s: float) -> bool:
        """Write one line; False when none of it is out. It waits for room until the deadline."""
        self._rest = self._push(self._rest, deadline_s)
        if self._rest:
            return False
        left = self._push(line + b"\n", deadline_s)
        written = len(line) + 1 - len(left)
        if left and written and not _taken_back(self._fd, written):
            self._rest = left
            return True
        return not left

    def _push(self, data: bytes, deadline_s: float) -> bytes:
        """Write as much as is taken; what is left at the deadline."""
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except OSError as error:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or error.errno == errno.EPIPE:  # a reader that is gone makes no room
                    return data
                self._wait_for_room(min(left_s, _RETRY_S), can_be_asked=isinstance(error, BlockingIOError))
        return data

    def _wait_for_room(self, timeout_s: float, *, can_be_asked: bool) -> None:
        if can_be_asked:
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll(timeout_s * 1e3)
            timeout_s = 0.01  # there may be room, and not enough of it
        time.sleep(timeout_s)


def _dropped(count: int, about: bytes) -> bytes:
    """The line that says how many were lost, by the same process as the line ``about``."""
    known = orjson.loads(about)
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    event = LogDropped(count=count)
    head = {"ts": now, "level": event.level, "event": event.name()}
    who = {name: known[name] for name in _WHO if name in known}
    return orjson.dumps({**head, **who, "count": event.count, "mono_ns": time.monotonic_ns()})


def _taken_back(fd: int, count: int) -> bool:
    """Cut the last ``count`` bytes off a file again: half a line, at the moment the disk became full.

    Nobody else can have written behind it, because there is no room. Only a file can be cut.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode) or os.lseek(fd, 0, os.SEEK_CUR) != status.st_size:
        return False
    try:
        os.ftruncate(fd, status.st_size - count)
    except OSError:  # one that may only be appended to
        return False
    os.lseek(fd, status.st_size - count, os.SEEK_SET)
    return True


def fitting(line: bytes) -> bytes:
    """The line itself, or as much of it as every pipe takes in one piece: its texts cut, ``cut`` added.

    What is longer may come out with another process's lines inside. The database has it whole.
    """
    if len(line) < PIPE_BUF:
        return line
    fields = orjson.loads(line)
    for most in _SHORTER:
        shorter = orjson.dumps({**_cut(fields, most), "cut": True})
        if len(shorter) < PIPE_BUF:
            return shorter
    return orjson.dumps({**{name: fields[name] for name in EVERY_LINE if name in fields}, "cut": True})


def _cut(value: Any, most: int) -> Any:
    match value:
        case str() if len(value) > most:
            return value[:most] + "…"
        case dict():
            return {name: _cut(item, most) for name, item in value.items()}
        case list():
            return [_cut(item, most) for item in value[:most]]
        case _:
            return value
