"""Writes the journal into the database, in a thread of its own, retrying until it succeeds.

While the database is away the journal grows and the thread tries again: one ``database_away`` is reported,
then one ``database_back``. A database that does not answer is disconnected after ``database_timeout_s``; a
batch that it could not store in that time is repeated in halves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from events.persistence import (
    DatabaseAway,
    DatabaseBack,
    DatabaseReady,
    EventUnstorable,
    LeaseLost,
    LeaseRegained,
    PositionsAgree,
    PositionsDisagree,
)
from persistence.address import Address
from persistence.journal import Journal, JournalEntry, Tail
from persistence.lease import RENEW_S, LeaseHeld, this_holder
from persistence.remedies import lasting_remedy
from persistence.restore import Holdings
from persistence.server import ServerError, start_server
from persistence.store import Store, UnstorableEvent
from runtime.bootstrap import Launch
from runtime.epochs import Epochs
from shm import counter_names

_RETRY_S = (0.5, 1.0, 2.0, 5.0)
_COMPARE_S = 10.0  # between comparisons of the executor's positions with the venue's
_LASTING_S = 30.0  # a difference counts from here on: longer than a trade and its queries take
_POLL_S = 0.05  # between polls for new events


class DatabaseWriter(threading.Thread):
    """Follows the journal. The attributes are for the main thread to read.

    ``is_first_start``: nothing trades yet, so the first connection also reads what another host's journal
    knows of this bot. ``may_refuse``: nothing is held either, so a wrong address may end the start
    (``refusal``) instead of being an outage.
    """

    def __init__(
        self,
        launch: Launch,
        journal: Journal,
        address: Address,
        var_dir: Path,
        *,
        is_first_start: bool,
        may_refuse: bool,
    ) -> None:
        super().__init__(name="database-writer", daemon=True)
        self._launch = launch
        self._journal = journal
        self._address = address
        self._var_dir = var_dir
        self._is_first_start = is_first_start
        self._may_refuse = may_refuse
        self._timeout_s = launch.settings.persistence.database_timeout_s
        self._batch_max = self._batch = launch.settings.persistence.batch_events
        self.state = counter_names.DATABASE_UNTRIED
        self.refusal = ""  # why no start is possible
        self.elsewhere: Holdings | None = None  # what another host's journal in the database says
        self.stored_number = 0
        self.is_lease_lost = False  # another instance trades on one of our accounts
        self.lease_epoch = launch.epoch  # the newest that anybody had on them
        self._holder = this_holder(journal.journal_id, launch.settings.bot_id)
        self._lease_due_mono_s = self._compare_mono_s = 0.0
        self._disagreements: list[tuple[str, str, str, str]] = []
        self._failures = 0
        self._store: Store | None = None
        self._role = "the role"  # that the database knows us by
        self._awaiting_since_mono_s = 0.0  # since when the database owes an answer; 0.0 when it owes none
        self._end_at_mono_s: float | None = None  # set once no more events will come
        self._wake = threading.Event()

    @property
    def disagreement_count(self) -> int:
        """Positions on which executor and venue have differed for longer than a trade takes."""
        return len(self._disagreements)

    def finish(self, patience_s: float, beat: Callable[[], None]) -> None:
        """No more events will come: store what is journalled, within the patience."""
        self._end_at_mono_s = time.monotonic() + patience_s
        self._wake.set()
        while self.is_alive() and time.monotonic() < self._end_at_mono_s + 1:
            beat()
            self.cut_silent_connection()
            self.join(_POLL_S)
        left = self._journal.count_after(self.stored_number)
        if left > 0:
            detail = "stopping without the database; the journal keeps these events for the next start"
            self._launch.reporter.report(DatabaseAway(waiting=left, detail=detail))

    def cut_silent_connection(self) -> None:
        """Cut a connection whose server owes an answer for too long; the thread goes on from there.

        Called by the main thread: the writer's waits inside the client library.
        """
        since_mono_s, store = self._awaiting_since_mono_s, self._store
        if since_mono_s and store is not None and time.monotonic() - since_mono_s > self._timeout_s:
            self._awaiting_since_mono_s = 0.0
            store.cut()

    def run(self) -> None:
        """The thread's body: follow the journal to its end, connecting again when the connection breaks."""
        if self._address.problem:
            self._go_without()
            return
        while not self._is_over():
            try:
                self._follow()
                return
            except LeaseHeld as error:
                self.refusal = str(error)
                return
            except (psycopg.Error, ServerError) as error:
                self._awaiting_since_mono_s = 0.0
                if refusal := self._refusal_by(error):
                    self.refusal = refusal
                    return
                self._away(self._address.explain(error))
                self._wake.wait(_RETRY_S[min(self._failures, len(_RETRY_S) - 1)])
                self._failures += 1

    def _go_without(self) -> None:
        """An address that cannot be used ends a start only where nothing is held."""
        if self._may_refuse:
            self.refusal = self._address.problem
            return
        self._away(self._address.problem)
        while self._end_at_mono_s is None:
            self._wake.wait()

    def _refusal_by(self, error: psycopg.Error | ServerError) -> str:
        """Why no start is possible, where this first contact shows what only the operator can correct."""
        if not self._may_refuse or self.state != counter_names.DATABASE_UNTRIED:
            return ""
        text = self._address.explain(error)
        if isinstance(error, ServerError):
            return text if error.is_lasting else ""
        if remedy := lasting_remedy(error, self._role):
            return f"{text}: {remedy}"
        is_refused = isinstance(error, psycopg.OperationalError) and self._address.is_refused()
        return f"{text}: correct DATABASE_URL or the server" if is_refused else ""

    def _away(self, detail: str) -> None:
        if self.state != counter_names.DATABASE_AWAY:
            self.state = counter_names.DATABASE_AWAY
            self._launch.reporter.report(
                DatabaseAway(detail=f"{detail}; trading goes on, events wait in the journal")
            )

    def _back(self, applied: list[str], waiting: int) -> None:
        """It has stored what waited, or the first of it: a server may well answer and store nothing."""
        event = DatabaseBack if self.state == counter_names.DATABASE_AWAY else DatabaseReady
        self._launch.reporter.report(
            event(database=self._address.kind, migrations=tuple(applied), waiting=waiting)
        )
        self.state = counter_names.DATABASE_UP
        self._failures = 0

    def _follow(self) -> None:
        """Connect and store everything as it comes. Returns at the end, raises psycopg.Error."""
        url = self._address.url or start_server(self._var_dir)
        store = self._store = Store(url, self._journal.journal_id, self._timeout_s)
        self._role = store.role
        try:
            self._expect_answer()
            applied = store.migrate()
            self._keep_leases(store)
            if self._is_first_start and self.state == counter_names.DATABASE_UNTRIED:
                self._expect_answer()
                settings = self._launch.settings
                self.elsewhere = store.holdings_elsewhere(settings.bot_id, settings.mode)
            self._expect_answer()
            self.stored_number = store.stored_number()
            self._awaiting_since_mono_s = 0.0
            waiting = self._journal.count_after(self.stored_number)
            tail = Tail(self._journal.directory, self.stored_number + 1)
            while not self._is_over():
                if time.monotonic() >= self._lease_due_mono_s:
                    self._keep_leases(store)
                entries = tail.read(self._journal.synced_number, self._batch)
                if entries:
                    self._write(store, entries)
                if self.state != counter_names.DATABASE_UP:
                    self._back(applied, waiting)
                if not entries:
                    self._compare_when_due(store)
                    if self._end_at_mono_s is not None:
                        self._expect_answer()
                        store.release_leases(self._holder)
                        return
                    self._wake.wait(_POLL_S)
        finally:
            self._store = None
            store.close()

    def _compare_when_due(self, store: Store) -> None:
        """Compare, when nothing else waits, the positions we keep with those the venues report."""
        if time.monotonic() < self._compare_mono_s:
            return
        self._compare_mono_s = time.monotonic() + _COMPARE_S
        self._expect_answer()
        settings = self._launch.settings
        found = store.disagreements(settings.bot_id, settings.mode, _LASTING_S)
        self._awaiting_since_mono_s = 0.0
        if found and found != self._disagreements:
            detail = (
                "venue, symbol, what the executor holds, what the venue says. If it does not end by "
                "itself: python -m tools reconcile"
            )
            self._launch.reporter.report(
                PositionsDisagree(positions=tuple(found), lasting_s=_LASTING_S, detail=detail)
            )
        elif self._disagreements and not found:
            self._launch.reporter.report(PositionsAgree(positions=tuple(self._disagreements)))
        self._disagreements = found

    def _keep_leases(self, store: Store) -> None:
        """Take or renew the leases. Raises LeaseHeld before anything trades; later it is an alert."""
        self._lease_due_mono_s = time.monotonic() + RENEW_S
        if not self._launch.accounts:
            return
        self._expect_answer()
        try:
            newest = store.take_leases(self._launch.accounts, self._holder, self._newest_epoch())
        except LeaseHeld as error:
            if self._is_first_start and self.state == counter_names.DATABASE_UNTRIED:
                raise
            if not self.is_lease_lost:
                self.is_lease_lost = True
                detail = f"{error}. Nothing is opened here any more; what is open is looked after"
                self._launch.reporter.report(LeaseLost(account=error.account, detail=detail))
        else:
            self.lease_epoch = newest
            if self.is_lease_lost:
                self.is_lease_lost = False
                self._launch.reporter.report(LeaseRegained(accounts=self._launch.accounts))
        self._awaiting_since_mono_s = 0.0

    def _newest_epoch(self) -> int:
        """The newest number given to a process of this instance: they are on disk before they are used."""
        try:
            epochs = Epochs(self._var_dir / f"epoch-{self._launch.settings.bot_id}")
        except (OSError, ValueError):  # the supervisor says so, and gives larger ones all the same
            return self._launch.epoch
        try:
            return max(epochs.last(), self._launch.epoch)
        finally:
            epochs.close()

    def _expect_answer(self) -> None:
        """From now on the database owes an answer."""
        self._awaiting_since_mono_s = time.monotonic()

    def _write(self, store: Store, entries: list[JournalEntry]) -> None:
        try:
            self._write_all_or_each(store, entries)
        except psycopg.OperationalError:
            self._batch = max(1, self._batch // 2)
            raise
        self._awaiting_since_mono_s = 0.0
        self._batch = min(self._batch_max, 2 * self._batch)
        self.stored_number = entries[-1].number
        self._launch.counters.add(self._launch.counters.index("stored_total"), len(entries))

    def _write_all_or_each(self, store: Store, entries: list[JournalEntry]) -> None:
        """Store a batch; an event the database refuses for what it says is named and left out."""
        self._expect_answer()
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
                    self._write_all_or_each(store, [entry])
                return
            store.write_line_alone(entries[0])
            self._launch.reporter.report(
                EventUnstorable(
                    number=entries[0].number,
                    source=entries[0].source,
                    detail=f"{' '.join(str(error).split())[:300]}; only its line was stored",
                )
            )

    def _is_over(self) -> bool:
        return self._end_at_mono_s is not None and time.monotonic() > self._end_at_mono_s
