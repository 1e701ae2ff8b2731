"""PostgreSQL: migrations, and events into tables exactly once.

A batch of journalled events is one transaction: the events themselves, what they mean for the
other tables, and so the place up to which the journal is stored. A batch repeated after a lost
answer finds its first event there already and changes nothing.

Plain SQL and session-level features only, so any PostgreSQL will do, Supabase's session pooler
included.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import orjson
import psycopg

from persistence.journal import Entry
from persistence.rows import Event, Statement, statements

_MIGRATIONS = Path(__file__).with_name("migrations")
_LOCK = 0x54414E44  # "TAND": one migrating process at a time
_EVENT = """
    insert into events (journal_id, number, run_id, at, mono_ns, proc, level, event, pair, trade_id, body)
    values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""


class Store:
    """One connection. Raises psycopg.Error for anything the database refuses or cannot do."""

    def __init__(self, url: str, journal_id: str) -> None:
        self._journal_id = journal_id
        self._connection = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=5,
            application_name="tandem",
            prepare_threshold=None,  # a pooler may hand the next transaction to another backend
        )
        # A server that accepts and then hangs must end in an error, not in a wait for ever.
        self._connection.execute("set statement_timeout = '30s'")

    def migrate(self) -> list[str]:
        """Apply what is missing, in order, under a lock; return the names applied."""
        connection = self._connection
        applied: list[str] = []
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", (_LOCK,))
            connection.execute(
                "create table if not exists migrations "
                "(name text primary key, applied_at timestamptz not null default now())"
            )
            known = {row[0] for row in connection.execute("select name from migrations")}
            for path in sorted(_MIGRATIONS.glob("*.sql")):
                if path.stem not in known:
                    connection.execute(path.read_text())
                    connection.execute("insert into migrations (name) values (%s)", (path.stem,))
                    applied.append(path.stem)
        return applied

    def stored_number(self) -> int:
        """Number of this journal's newest event in the database; 0 when there is none."""
        row = self._connection.execute(
            "select coalesce(max(number), 0) from events where journal_id = %s", (self._journal_id,)
        ).fetchone()
        assert row is not None
        return int(row[0])

    def write(self, entries: Sequence[Entry]) -> None:
        """Store a batch in one transaction. The caller starts behind ``stored_number``.

        Raises UnstorableEvent, or psycopg's DataError, IntegrityError or ProgrammingError, for an
        event that is not as it should be; with any other psycopg.Error the database is at fault.
        """
        events = [(entry.number, orjson.loads(entry.payload)) for entry in entries]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(
                _EVENT,
                [self._event_row(number, event) for number, event in events],
            )
            for number, event in events:
                for sql, values in _statements(number, event):
                    cursor.execute(sql, values)

    def write_line_alone(self, entry: Entry) -> None:
        """Store the line of an event whose meaning for the other tables could not be stored."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(_EVENT, self._event_row(entry.number, orjson.loads(entry.payload)))

    def _event_row(self, number: int, event: Event) -> tuple[object, ...]:
        return (
            self._journal_id,
            number,
            event["run_id"],
            event["ts"],
            event["mono_ns"],
            event["proc"],
            event["level"],
            event["event"],
            event.get("pair"),
            event.get("trade_id"),
            orjson.dumps(event).decode(),
        )

    def close(self) -> None:
        self._connection.close()


class UnstorableEvent(ValueError):
    """A line is not what its event name promises: our own mistake, told and not repeated."""


def _statements(number: int, event: Event) -> list[Statement]:
    try:
        return statements(event)
    except (KeyError, TypeError, ValueError) as error:
        raise UnstorableEvent(f"event {number} ({event['event']}): {type(error).__name__} {error}") from error
