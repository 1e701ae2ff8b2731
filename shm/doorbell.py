"""Doorbell: wakes a process that sleeps on shared memory, and costs nothing while it is awake.

The sleeper stores 1 in its word, checks once more for work, then blocks on an eventfd inherited
from the supervisor. A ringer that sees the 1 clears it and writes the eventfd; it makes no system
call otherwise. The sleeper's store may pass the ringer's load (x86-64 reorders a store with a
later load): the wake-up would be lost, so a sleep is always bounded.
"""

from __future__ import annotations

import os
import select
from pathlib import Path

from shm.segment import Segment

KIND_DOORBELLS = 5
_STRIDE_WORDS = 8  # a cache line each


class Doorbell:
    """One sleeper's bell. ``fd`` is its eventfd, or -1 for a process nobody can wake."""

    def __init__(self, segment: Segment, index: int, fd: int) -> None:
        assert fd < 0 or not os.get_blocking(fd), "a blocking eventfd would stop who drains it twice"
        self._words = segment.words
        self._word = index * _STRIDE_WORDS
        self.fd = fd
        self._was_rung = False
        self._poll = select.poll()
        if fd >= 0:
            self._poll.register(fd, select.POLLIN)

    @staticmethod
    def create_table(path: Path, count: int) -> None:
        """Create the sleep flags of ``count`` processes."""
        Segment.create(path, KIND_DOORBELLS, (count, 0, 0), count * _STRIDE_WORDS * 8)

    @staticmethod
    def attach_table(path: Path) -> Segment:
        """Map the sleep flags of all processes."""
        return Segment.attach(path, KIND_DOORBELLS)

    def ring(self) -> None:
        """Wake the sleeper if it says it sleeps."""
        if self._words[self._word]:
            self._words[self._word] = 0
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    def announce_sleep(self) -> None:
        """From now on ``ring`` wakes. Look for work once more before blocking."""
        if self._was_rung:
            self._was_rung = False
            self.drain()
        self._words[self._word] = 1

    def awake(self) -> None:
        """No ring needed: the sleeper found work, or has woken."""
        self._words[self._word] = 0

    def wait(self, timeout_ms: float) -> None:
        """Block until rung or timed out. Only for a sleeper without an event loop.

        What was rung is drained when the next sleep is announced: the work it is about goes first.
        """
        self._was_rung = bool(self._poll.poll(timeout_ms))
        self.awake()

    def drain(self) -> None:
        """Take what has been rung, so that the next wait sleeps again."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return  # another wake-up of ours drained it already
