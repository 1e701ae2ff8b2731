"""The persistence process: drain the queues, journal, then let the database follow.

Two threads. The main one never touches the database: it drains every queue ring, prints the lines
of processes that may not print, appends to the journal, fsyncs, and only then gives the rings
their space back. The writer thread reads the journal and fills PostgreSQL; while the database is
away it says so once and tries again, and the journal grows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from launch import Launch, refuse, start
from logs import print_line, register_secret
from persistence.journal import Entry, Journal, JournalError, Tail
from persistence.server import ServerError, start_server, stop_server
from persistence.store import Store, UnstorableEvent
from settings import PROJECT, read_secrets
from shm import names
from shm.queue import QueueReader

_IDLE_S = 0.01  # nobody rings this process: that would cost the hot path a system call
_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_DRAIN_S = 10.0  # patience with the database at the end; the journal holds what is left
_SILENT_SOURCES = frozenset({"detector"})  # they must not touch a file descriptor
_BATCH_PER_QUEUE = 2_000


def main() -> None:
    launch = start("persistence")
    var_dir = PROJECT / launch.settings.persistence.var_dir
    try:
        journal = Journal(var_dir / "journal", launch.run_id)
    except (OSError, JournalError) as error:
        refuse(f"persistence.var_dir {var_dir}: {error}")
    writer = DatabaseWriter(launch, journal, var_dir)
    drain = Drain(launch, journal, writer)
    writer.start()
    try:
        while not launch.stop.is_set():
            if not writer.is_alive():
                if writer.refusal:
                    refuse(writer.refusal)
                raise RuntimeError("the database writer has ended, see above: this process starts anew")
            if not drain.turn():
                time.sleep(_IDLE_S)
        while drain.turn():
            pass
        journal.close()
        writer.finish(_DRAIN_S, beat=drain.beat)
    finally:
        if writer.is_embedded:
            stop_server(var_dir)
    launch.log.info("process_stopped", journalled=journal.last_number, stored=writer.stored_number)


class Drain:
    """Queues into the journal."""

    def __init__(self, launch: Launch, journal: Journal, writer: DatabaseWriter) -> None:
        self._journal = journal
        self._writer = writer
        self._log = launch.log
        self._max_bytes = launch.settings.persistence.journal_max_mib << 20
        self._queues: dict[str, QueueReader] = {}
        for source in launch.memory.plan.event_sources:
            queue = launch.memory.events_reader(source)
            # Killed between journalling and giving the space back: read on behind what is journalled.
            queue.resume_at(journal.cursors.get(source, 0))
            self._queues[source] = queue
        self._refused = {source: queue.refused for source, queue in self._queues.items()}
        self._full_said = False
        self._counters = launch.counters
        index = launch.counters.index
        self._heartbeat = index("heartbeat_mono_ns")
        self._events_total = index("events_total")
        self._journal_bytes_total = index("journal_bytes_total")

    def beat(self) -> None:
        self._counters.set(self._heartbeat, time.monotonic_ns())

    def turn(self) -> int:
        """Move what waits into the journal; return how many events that was."""
        self.beat()
        moved = sum(self._move(source, queue) for source, queue in self._queues.items())
        if moved:
            self._journal.sync()
            for queue in self._queues.values():
                queue.commit()  # only now: what is not on disk stays in the ring
            self._counters.add(self._events_total, moved)
            self._keep_within_limit()
        return moved

    def _move(self, source: str, queue: QueueReader) -> int:
        count = 0
        while count < _BATCH_PER_QUEUE and (line := queue.poll()) is not None:
            self._journal.append(source, queue.cursor, line)
            self._counters.add(self._journal_bytes_total, len(line))
            if source in _SILENT_SOURCES:
                print_line(line)
            count += 1
        if queue.refused > self._refused[source]:
            lost = queue.refused - self._refused[source]
            self._refused[source] = queue.refused
            self._log.warning(
                "events_lost",
                process=source,
                count=lost,
                detail="its queue was full; raise runtime.event_queue_kib",
            )
        return count

    def _keep_within_limit(self) -> None:
        """Drop files the database holds; say so once when those it does not hold are too many."""
        if self._journal.size_bytes() <= self._max_bytes:
            self._full_said = False
            return
        self._journal.remove_stored(self._writer.stored_number, self._max_bytes)
        size = self._journal.size_bytes()
        if size > self._max_bytes and not self._full_said:
            self._full_said = True
            self._log.error(
                "journal_full",
                bytes=size,
                detail=f"{self._journal.directory} outgrew persistence.journal_max_mib because the database "
                "is away; events are still kept, give the disk room or the database its connection",
            )


class DatabaseWriter(threading.Thread):
    """The journal into the database, for as long as it takes. ``refusal`` ends the process."""

    def __init__(self, launch: Launch, journal: Journal, var_dir: Path) -> None:
        super().__init__(name="database-writer", daemon=True)
        self._launch = launch
        self._journal = journal
        self._var_dir = var_dir
        self._url = read_secrets(("DATABASE_URL",), launch.env_file).get("DATABASE_URL", "")
        register_secret(self._url)
        self.is_embedded = not self._url
        self.refusal = ""
        self.stored_number = 0
        self._end_at_mono_s: float | None = None  # set once no more events will come
        self._wake = threading.Event()

    def finish(self, patience_s: float, beat: Callable[[], None]) -> None:
        """No more events will come: store what is journalled, within the patience."""
        self._end_at_mono_s = time.monotonic() + patience_s
        self._wake.set()
        while self.is_alive() and time.monotonic() < self._end_at_mono_s + 1:
            beat()
            self.join(0.05)
        left = self._journal.last_number - self.stored_number
        if left > 0:
            self._launch.log.warning(
                "database_away",
                waiting=left,
                detail="stopping without the database; the journal keeps these events for the next start",
            )

    def run(self) -> None:
        log = self._launch.log
        is_away = False
        failures = 0
        while not self._is_over():
            try:
                if self.is_embedded and not self._url:
                    self._url = start_server(self._var_dir)
                self._follow(is_away)
                return
            except ServerError as error:
                self.refusal = str(error)
                return
            except psycopg.Error as error:
                if self.is_embedded:
                    self._url = ""  # it may have died: start it again
                self._set_state(names.DATABASE_AWAY)
                if not is_away:
                    is_away = True
                    log.warning(
                        "database_away",
                        detail=f"{' '.join(str(error).split())[:300]}; trading goes on, "
                        "events wait in the journal",
                    )
                self._wake.wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    def _follow(self, was_away: bool) -> None:
        """Connect and store everything as it comes. Returns at the end, raises psycopg.Error."""
        store = Store(self._url, self._journal.journal_id)
        try:
            applied = store.migrate()
            self.stored_number = store.stored_number()
            waiting = self._journal.last_number - self.stored_number
            event = "database_back" if was_away else "database_ready"
            kind = "embedded" if self.is_embedded else "DATABASE_URL"
            self._launch.log.info(event, database=kind, migrations=applied, waiting=max(waiting, 0))
            self._set_state(names.DATABASE_UP)
            tail = Tail(self._journal.directory, self.stored_number + 1)
            limit = self._launch.settings.persistence.batch_events
            while True:
                entries = tail.read(self._journal.synced_number, limit)
                if entries:
                    self._write(store, entries)
                    self.stored_number = entries[-1].number
                    self._count(len(entries))
                elif self._end_at_mono_s is not None:
                    return
                else:
                    self._wake.wait(0.05)
                if self._is_over():
                    return
        finally:
            store.close()

    def _write(self, store: Store, entries: list[Entry]) -> None:
        """Store a batch; an event the database refuses for what it says is named and left out."""
        try:
            store.write(entries)
        except (
            UnstorableEvent,
            psycopg.DataError,
            psycopg.IntegrityError,
            psycopg.ProgrammingError,
        ) as error:
            if len(entries) > 1:
                for entry in entries:
                    self._write(store, [entry])
                return
            store.write_line_alone(entries[0])
            self._launch.log.error(
                "event_unstorable",
                number=entries[0].number,
                source=entries[0].source,
                detail=f"{' '.join(str(error).split())[:300]}; only its line was stored",
            )

    def _is_over(self) -> bool:
        return self._end_at_mono_s is not None and time.monotonic() > self._end_at_mono_s

    def _set_state(self, state: int) -> None:
        counters = self._launch.counters
        counters.set(counters.index("database_state"), state)

    def _count(self, stored: int) -> None:
        counters = self._launch.counters
        counters.add(counters.index("stored_total"), stored)
        counters.set(counters.index("backlog"), self._journal.last_number - self.stored_number)
