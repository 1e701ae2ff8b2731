"""Stores events in PostgreSQL exactly once, and migrates its tables.

A batch of journalled events is one transaction: the events themselves and the rows of other tables that
follow from them. It begins by reading, under a lock, up to which number the journal is stored. So a batch
repeated after a lost answer changes nothing, even while the server still works on the first one.

Nothing outlives a transaction: no prepared statements, no session settings, no session locks. Any
PostgreSQL will do, behind a pooler that keeps sessions or one that does not.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg

from events.codec import NotAnEvent, UnknownEvent, decode, from_fields
from events.persistence import EventUnstorable, JournalCheckpoint
from persistence import lease
from persistence.address import connect
from persistence.journal import JournalEntry
from persistence.lease import Holder
from persistence.restore import EXECUTOR, Holdings, fold
from persistence.rows import Statement, statements
from persistence.texts import fitting, with_texts

MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x54414E44  # "TAND": one migrating process at a time, and the name space of the journals' locks
_CONNECT_S = 5
_UNREADABLE_TS = "1970-01-01T00:00:00Z"
_EVENT = """
    insert into events (journal_id, number, run_id, at, mono_ns, proc, level, event, pair, trade_id, body)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_STORED_NUMBER = "select coalesce(max(number), 0) from events where journal_id = %s"


_DISAGREEMENTS: Final = """
    select venue, symbol, size_base, venue_size_base from positions
    where bot_id = %(bot_id)s and mode = %(mode)s and size_base <> venue_size_base
      and greatest(updated_at, venue_told_at) <= now() - make_interval(secs => %(lasting_s)s)
    order by venue, symbol
"""


class Store:
    """One connection. Raises psycopg.Error for anything the database refuses or cannot do.

    ``timeout_s``: after that the server itself ends a statement.
    """

    def __init__(self, url: str, journal_id: str, timeout_s: float = 30.0) -> None:
        self._journal_id = journal_id
        self._statement_timeout = f"{round(timeout_s * 1e3)}ms"
        self._closing = threading.Lock()
        self._connection = connect(
            url,
            autocommit=True,
            connect_timeout=_CONNECT_S,
            prepare_threshold=None,  # a pooler may hand the next transaction to another backend
        )
        self._fit = fitting(self._connection)

    @property
    def role(self) -> str:
        """The role the server knows us by."""
        return self._connection.info.user

    def migrate(self) -> list[str]:
        """Apply what is missing, in order, under a lock; return the names applied."""
        connection = self._connection
        applied: list[str] = []
        with connection.transaction():
            self._limit_statements()
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(
                "create table if not exists migrations "
                "(name text primary key, applied_at timestamptz not null default now())"
            )
            known = {row[0] for row in connection.execute("select name from migrations")}
            for path in sorted(MIGRATIONS.glob("*.sql")):
                if path.stem not in known:
                    connection.execute(path.read_text())
                    connection.execute("insert into migrations (name) values (%s)", (path.stem,))
                    applied.append(path.stem)
        return applied

    def stored_number(self) -> int:
        """Number of this journal's newest event in the database; 0 when there is none."""
        row = self._connection.execute(_STORED_NUMBER, (self._journal_id,)).fetchone()
        assert row is not None
        return int(row[0])

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """Store a batch in one transaction; events that are stored already are left alone.

        Raises UnstorableEvent, or psycopg's DataError, IntegrityError or ProgrammingError, for an
        event that is not as it should be; with any other psycopg.Error the database is at fault.
        """
        events = [(entry.number, self._parsed(entry)) for entry in entries]
        meant = {entry.number: self._statements(entry) for entry in entries}
        connection = self._connection
        with connection.pipeline(), connection.transaction():
            stored_number = self._begin_batch()
            fresh = [(number, event) for number, event in events if number > stored_number]
            with connection.cursor() as cursor:
                cursor.executemany(_EVENT, [self._event_row(number, event) for number, event in fresh])
                for number, _ in fresh:
                    for sql, values in meant[number]:
                        cursor.execute(sql, values)

    def write_line_alone(self, entry: JournalEntry) -> None:
        """Store the line of an event whose meaning for the other tables could not be stored.

        A line that is not even one, or that the database does not take as one, is kept as text.
        """
        try:
            self._write_row(entry, self._event_row(entry.number, self._parsed(entry)))
        except (UnstorableEvent, psycopg.DataError, psycopg.ProgrammingError):
            raw = entry.payload.decode("ascii", "backslashreplace").replace("\0", "\\0")
            kept = {"proc": entry.source, "event": EventUnstorable.name(), "raw": raw}
            self._write_row(entry, self._event_row(entry.number, kept))

    def _write_row(self, entry: JournalEntry, row: Sequence[object]) -> None:
        with self._connection.transaction():
            if self._begin_batch() < entry.number:
                self._connection.execute(_EVENT, row)

    def holdings_elsewhere(self, bot_id: str, mode: str) -> Holdings | None:
        """Holdings by the newest other journal of this bot in this mode; None when there is none."""
        newest = self._connection.execute(
            "select journal_id, number from events where event = %s and body ->> 'bot_id' = %s "
            "and body ->> 'mode' = %s and journal_id <> %s order by at desc limit 1",
            (JournalCheckpoint.name(), bot_id, mode, self._journal_id),
        ).fetchone()
        if newest is None:
            return None
        lines = self._connection.execute(
            "select body from events where journal_id = %s and number >= %s "
            "and (proc = %s or event = %s) order by number",
            (*newest, EXECUTOR, JournalCheckpoint.name()),
        )
        return fold(from_fields(line) for (line,) in lines)

    def disagreements(self, bot_id: str, mode: str, lasting_s: float) -> list[tuple[str, str, str, str]]:
        """Legs of which the executor and the venue have reported different sizes for ``lasting_s``.

        (venue, symbol, ours, the venue's), sizes in base currency.
        """
        values = {"bot_id": bot_id, "mode": mode, "lasting_s": lasting_s}
        rows = self._connection.execute(_DISAGREEMENTS, values).fetchall()
        return [(venue, symbol, str(ours), str(theirs)) for venue, symbol, ours, theirs in rows]

    def take_leases(self, accounts: Sequence[str], holder: Holder, epoch: int) -> int:
        """See ``lease.take``."""
        return lease.take(self._connection, accounts, holder, epoch)

    def release_leases(self, holder: Holder) -> None:
        """See ``lease.release``."""
        lease.release(self._connection, holder)

    def cut(self) -> None:
        """End the connection from another thread: the thread that waits for an answer gets an error."""
        with self._closing:
            if not self._connection.closed:
                with closing(socket.socket(fileno=os.dup(self._connection.fileno()))) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; safe while another thread calls ``cut``."""
        with self._closing:
            self._connection.close()

    def _begin_batch(self) -> int:
        """Keep others from this journal's rows until the transaction ends; return the stored number."""
        self._limit_statements()
        self._connection.execute("select pg_advisory_xact_lock(%s, hashtext(%s))", (_LOCK, self._journal_id))
        return self.stored_number()

    def _limit_statements(self) -> None:
        """For this transaction alone: a pooler would hand a session's setting to another client."""
        self._connection.execute(
            "select set_config('statement_timeout', %s, true)", (self._statement_timeout,)
        )

    def _event_row(self, number: int, event: Line) -> tuple[object, ...]:
        return (
            self._journal_id,
            number,
            event.get("run_id", ""),
            event.get("ts", _UNREADABLE_TS),
            event.get("mono_ns", 0),
            event["proc"],
            event.get("level", "error"),
            event["event"],
            event.get("pair"),
            event.get("trade_id"),
            _json(number, event),
        )

    def _parsed(self, entry: JournalEntry) -> Line:
        """The line as this database can hold it; journal and log have every character."""
        line: Line = _parsed(entry)
        if self._fit is not None and not entry.payload.isascii():
            line = with_texts(line, self._fit)
        return line

    def _statements(self, entry: JournalEntry) -> list[Statement]:
        found = _statements(entry)
        if self._fit is not None and not entry.payload.isascii():
            return [(sql, with_texts(values, self._fit)) for sql, values in found]
        return found


Line = Mapping[str, Any]


class UnstorableEvent(ValueError):
    """A line does not match its event's type: our own mistake, reported and not repeated."""


def _parsed(entry: JournalEntry) -> Line:
    try:
        event: Line = orjson.loads(entry.payload)
        missing = {"run_id", "ts", "mono_ns", "proc", "level", "event"} - set(event)
    except (TypeError, ValueError) as error:
        raise UnstorableEvent(
            f"event {entry.number} is no log line: {type(error).__name__} {error}"
        ) from error
    if missing:
        raise UnstorableEvent(f"event {entry.number} is no log line: it has no {sorted(missing)[0]}")
    # PostgreSQL keeps every character but NUL.
    is_with_nul = b"\\u0000" in entry.payload
    return with_texts(event, lambda text: text.replace("\0", "�")) if is_with_nul else event


def _json(number: int, event: Line) -> str:
    try:
        return orjson.dumps(event).decode()
    except TypeError as error:  # nested deeper than orjson writes
        raise UnstorableEvent(f"event {number} is no JSON: {error}") from error


def _statements(entry: JournalEntry) -> list[Statement]:
    try:
        return statements(decode(entry.payload))
    except UnknownEvent:
        return []  # of another version: its line is kept
    except (NotAnEvent, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise UnstorableEvent(f"event {entry.number}: {error}") from error
