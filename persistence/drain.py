"""Moves events from the processes' queues into the journal, and keeps the journal within its bounds.

A queue gets its space back only when its events are on disk. While the disk refuses, events stay in the
queues, ``journal_full`` stops entries, and the same events are tried again.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from events.codec import decode
from events.persistence import (
    EventsLost,
    EventUnstorable,
    ForeignFiles,
    JournalFilling,
    JournalFull,
    JournalHasRoom,
    JournalRefused,
    JournalWritable,
)
from observability.logs import Log
from persistence.backlog import Backlog
from persistence.journal import Journal, foreign_files
from persistence.restore import SOURCE, Holdings
from runtime.bootstrap import Launch
from shm.queue import QueueReader

_SILENT_SOURCES = frozenset({"detector"})  # they must not touch a file descriptor
_BATCH_PER_QUEUE = 2_000
_REFUSED_PAUSE_S = 0.5  # between tries while the disk refuses
_LIMITS_S = 1.0  # between checks of the journal's size
_ALARM_RATIO = 0.8  # of journal_max_mib: the alarm comes here, and trading is resumed below
_FOREIGN_NAMED = 20
_DAY_S = 86_400


class Drain:
    """The main thread's work. ``own_lines``: this process's own events, journalled with the rest."""

    def __init__(
        self,
        launch: Launch,
        journal: Journal,
        holdings: Holdings,
        own_lines: deque[bytes],
        left: Backlog,
        stored_number: Callable[[], int],
    ) -> None:
        self._journal = journal
        self._holdings = holdings
        self._own_lines = own_lines
        self._left = left
        self._stored_number = stored_number
        self._reporter = launch.reporter
        self._silent = Log(launch.settings.log_level)  # prints for processes that must not
        self._max_bytes = launch.settings.persistence.journal_max_mib << 20
        self._keep_s = launch.settings.persistence.journal_keep_days * _DAY_S
        self._queues: dict[str, QueueReader] = {
            source: launch.memory.events_reader(source) for source in launch.memory.plan.event_sources
        }
        self._resume_behind_journal()
        self._refused = {source: queue.refused for source, queue in self._queues.items()}
        self._is_filling = self._is_full = self._is_disk_refusing = False
        self._try_again_mono_s = self._limits_mono_s = 0.0
        self._foreign: frozenset[str] = frozenset()  # reported already
        self._counters = launch.counters
        index = launch.counters.index
        self._heartbeat = index("heartbeat_mono_ns")
        self._events_total = index("events_total")
        self._journal_bytes_total = index("journal_bytes_total")
        self._backlog = index("backlog")
        self._spool_bytes = index("spool_bytes")
        self._journal_full = index("journal_full")

    def beat(self) -> None:
        """Set the heartbeat by which the supervisor sees that this process is alive."""
        self._counters.set(self._heartbeat, time.monotonic_ns())

    def do_work(self) -> int:
        """Move what waits into the journal; return how many events that was."""
        self.beat()
        now_mono_s = time.monotonic()
        if now_mono_s < self._try_again_mono_s:
            return 0
        try:
            self._left.take_in()
            moved = self._append_waiting()
            self._journal.sync()
        except OSError as error:
            self._resume_behind_journal()
            self._disk_refused(error, now_mono_s)
            return 0
        for queue in self._queues.values():
            queue.commit()  # only now: what is not on disk stays in the ring
        self._after_sync(moved)
        if self._is_disk_refusing:
            self._is_disk_refusing = False
            self._reporter.report(JournalWritable(journalled=len(moved)))
        if now_mono_s >= self._limits_mono_s:
            self._limits_mono_s = now_mono_s + _LIMITS_S
            self._keep_within_limits()
        return len(moved)

    def _append_waiting(self) -> list[tuple[str, bytes]]:
        moved: list[tuple[str, bytes]] = []
        for source, queue in self._queues.items():
            count = 0
            while count < _BATCH_PER_QUEUE and (line := queue.poll()) is not None:
                self._journal.append(source, queue.cursor, line)
                moved.append((source, line))
                count += 1
        for line in tuple(self._own_lines):  # the writer thread may add to them meanwhile
            self._journal.append(SOURCE, 0, line)
            moved.append((SOURCE, line))
        return moved

    def _resume_behind_journal(self) -> None:
        """Continue each queue behind its newest journalled event: after a kill, or after the disk refused."""
        for source, queue in self._queues.items():
            queue.resume_at(self._journal.cursors.get(source, 0))

    def _after_sync(self, moved: list[tuple[str, bytes]]) -> None:
        """Fold in, print and count events that are on disk now."""
        for source, line in moved:
            self._holdings.take_line(source, line)
            if source == SOURCE:
                self._own_lines.popleft()
            elif source in _SILENT_SOURCES:
                self._silent.show(decode(line).event, line)
        while self._holdings.broken:
            self._reporter.report(EventUnstorable(detail=self._holdings.broken.pop()))
        self._counters.add(self._events_total, len(moved))
        self._counters.add(self._journal_bytes_total, sum(len(line) for _, line in moved))
        self._counters.set(self._backlog, self._journal.count_after(self._stored_number()))
        for source, queue in self._queues.items():
            lost = queue.refused - self._refused[source]
            if lost > 0:
                self._refused[source] += lost
                detail = "its queue was full; raise runtime.event_queue_kib"
                self._reporter.report(EventsLost(process=source, count=lost, detail=detail))

    def _disk_refused(self, error: OSError, now_mono_s: float) -> None:
        self._try_again_mono_s = now_mono_s + _REFUSED_PAUSE_S
        self._counters.set(self._journal_full, 1)
        if not self._is_disk_refusing:
            self._is_disk_refusing = True
            detail = (
                f"{self._journal.directory}: {error.strerror}; events wait in memory and nothing is "
                "opened until the disk takes them: give it room"
            )
            self._reporter.report(JournalRefused(detail=detail))

    def _keep_within_limits(self) -> None:
        """Remove what the database has; report when what it does not have grows too large."""
        stored, journal, max_bytes = self._stored_number(), self._journal, self._max_bytes
        self._report_foreign_files()
        journal.remove_stored(stored, max_bytes, time.time() - self._keep_s)
        waiting = journal.bytes_after(stored)
        self._counters.set(self._spool_bytes, waiting)
        where = f"{journal.directory} holds events that the database has not taken"
        if waiting < _ALARM_RATIO * max_bytes:
            if self._is_filling:
                self._reporter.report(JournalHasRoom(bytes=waiting, limit_bytes=max_bytes))
            self._is_filling = self._is_full = False
        elif not self._is_filling:
            self._is_filling = True
            detail = (
                f"{where}; at the limit nothing is opened any more. Give the database its connection "
                "back, or raise persistence.journal_max_mib"
            )
            self._reporter.report(JournalFilling(bytes=waiting, limit_bytes=max_bytes, detail=detail))
        if waiting >= max_bytes and not self._is_full:
            self._is_full = True
            detail = (
                f"{where}; nothing is opened until it has. Open positions are still managed, "
                "and their events are still kept"
            )
            self._reporter.report(JournalFull(bytes=waiting, limit_bytes=max_bytes, detail=detail))
        self._counters.set(self._journal_full, int(self._is_full))

    def _report_foreign_files(self) -> None:
        """Report once which files among the journal's are not its own."""
        found = frozenset(foreign_files(self._journal.directory))
        if new := sorted(found - self._foreign):
            self._foreign |= found
            detail = f"{self._journal.directory}: not the journal's, passed over; keep copies elsewhere"
            self._reporter.report(
                ForeignFiles(files=tuple(new[:_FOREIGN_NAMED]), count=len(new), detail=detail)
            )
