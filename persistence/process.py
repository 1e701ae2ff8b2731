"""Runs the persistence process: queues into the journal, the journal into the database.

Two threads. The main one never touches the database: it drains every queue ring, prints the lines
of processes that may not print, appends to the journal, fsyncs, and only then gives the rings
their space back (``drain``). The writer thread reads the journal and fills PostgreSQL (``writer``).

Before the executor starts, it publishes what an earlier run left open: by the journal, or by another
host's journal in the database where that is newer. The supervisor starts the executor once
``database_state`` shows that this lies in the instance's memory.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import deque
from typing import NoReturn

from events.codec import Encoder
from events.instance import ProcessStopped
from events.persistence import (
    DatabaseUnverified,
    JournalRead,
    JournalRefused,
    JournalWritable,
    PairRead,
)
from observability.logs import Reporter
from persistence.address import Address, AddressError
from persistence.backlog import Backlog
from persistence.drain import Drain
from persistence.journal import FILE_BYTES, Journal, JournalError, journal_directory
from persistence.restore import SOURCE, Holdings, holdings_of, is_held
from persistence.server import stop_server
from persistence.writer import DatabaseWriter
from runtime.bootstrap import Launch, refuse, start
from runtime.carried_positions import CarriedPair, is_written, write_carried
from settings import PROJECT, SettingsError, read_secrets
from shm import counter_names

_IDLE_S = 0.01  # no doorbell for this process: ringing it would cost the hot path a system call
_REFUSED_PAUSE_S = 0.5  # between tries to open the journal
_DRAIN_S = 10.0  # patience with the database at the end; the journal holds what is left
_FILES_MIN = 16  # of journal_max_mib: the bound is kept to within one file


def main() -> None:
    """Run the process: restore the holdings, then journal and store until the last process has ended."""
    own_lines: deque[bytes] = deque()
    launch = _with_own_lines(start("persistence"), own_lines)
    settings = launch.settings.persistence
    var_dir = PROJECT / settings.var_dir
    is_first_start = not is_written(launch.memory.directory)
    address = _address(launch)
    holdings = Holdings()
    journal = _open_journal(launch, holdings, is_first_start=is_first_start)
    left = Backlog(launch.memory.directory, journal, launch.epoch, launch.reporter)
    left.fold_into(holdings)
    writer = DatabaseWriter(
        launch,
        journal,
        address,
        var_dir,
        is_first_start=is_first_start,
        may_refuse=is_first_start and not any(is_held(pair) for pair in _held(launch, holdings)),
    )
    drain = Drain(launch, journal, holdings, own_lines, left, lambda: writer.stored_number)
    index, counters = launch.counters.index, launch.counters
    state, lease_lost, lease_epoch = index("database_state"), index("lease_lost"), index("lease_epoch")
    disagreements = index("disagreements")
    writer.start()
    try:
        while not launch.stop.is_set():
            if not writer.is_alive():
                _end_with_writer(writer)
            if is_first_start and writer.state != counter_names.DATABASE_UNTRIED:
                is_first_start = False
                _hand_over(launch, holdings, writer.elsewhere, own_lines)
            counters.set(lease_epoch, writer.lease_epoch)
            counters.set(lease_lost, int(writer.is_lease_lost))
            counters.set(state, writer.state)
            counters.set(disagreements, writer.disagreement_count)
            writer.cut_silent_connection()
            if not drain.do_work():
                time.sleep(_IDLE_S)
        while drain.do_work():
            pass
        journal.close()
        writer.finish(_DRAIN_S, beat=drain.beat)
    finally:
        if not address.url:
            stop_server(var_dir)
    launch.reporter.report(ProcessStopped(journalled=journal.last_number, stored=writer.stored_number))


def _open_journal(launch: Launch, holdings: Holdings, *, is_first_start: bool) -> Journal:
    """Open the journal and fold it into ``holdings``.

    In a running instance this is tried until it works; meanwhile entries are stopped and open positions are
    still managed.
    """
    settings = launch.settings.persistence
    is_reported = False
    while True:
        try:
            journal = Journal(
                journal_directory(launch.settings),
                launch.run_id,
                launch.epoch,
                file_bytes=min(FILE_BYTES, (settings.journal_max_mib << 20) // _FILES_MIN),
                begin_with=lambda: (SOURCE, _checkpoint(launch, holdings)),
            )
            holdings.adopt(holdings_of(journal.directory))
            if is_reported:
                launch.reporter.report(JournalWritable(journalled=0))
            return journal
        except (OSError, JournalError) as error:
            problem = f"persistence.var_dir {PROJECT / settings.var_dir}: {error}"
            if is_first_start or launch.stop.is_set():
                refuse(problem)
            if not is_reported:
                is_reported = True
                launch.reporter.report(JournalRefused(detail=problem))
        launch.counters.set(launch.counters.index("journal_full"), 1)
        launch.counters.set(launch.counters.index("heartbeat_mono_ns"), time.monotonic_ns())
        time.sleep(_REFUSED_PAUSE_S)


def _address(launch: Launch) -> Address:
    """The database's address. One that must not be used is ``unusable``; what is held decides whether that
    ends the start."""
    try:
        address = Address.parse(read_secrets(("DATABASE_URL",), launch.env_file).get("DATABASE_URL", ""))
    except (AddressError, SettingsError) as error:
        return Address.unusable(str(error))
    if exposure := address.exposure():
        if launch.settings.mode == "live":
            return Address.unusable(exposure)
        launch.reporter.report(DatabaseUnverified(detail=exposure))
    return address


def _with_own_lines(launch: Launch, own_lines: deque[bytes]) -> Launch:
    """The launch with a reporter whose events are journalled, too: outages are part of the history."""

    def keep(line: bytes) -> bool:
        own_lines.append(line)
        return True

    reporter = Reporter(SOURCE, run_id=launch.run_id, level=launch.settings.log_level, to_queue=keep)
    return dataclasses.replace(launch, reporter=reporter)


def _end_with_writer(writer: DatabaseWriter) -> NoReturn:
    if writer.refusal:
        refuse(writer.refusal)
    raise RuntimeError("the database writer has ended, see above: this process starts anew")


def _hand_over(
    launch: Launch, holdings: Holdings, elsewhere: Holdings | None, own_lines: deque[bytes]
) -> None:
    """Leave the executor what is held according to whoever knows more."""
    knows = "journal"
    if elsewhere is not None and elsewhere.told_unix_ms > holdings.told_unix_ms:
        knows = "database"
        holdings.adopt(elsewhere)
        own_lines.append(_checkpoint(launch, holdings))
    held = _held(launch, holdings)
    write_carried(launch.memory.directory, held)
    open_pairs = [pair for pair in held if is_held(pair)]
    launch.reporter.report(
        JournalRead(
            told_by=knows,
            pairs=tuple(
                PairRead(pair=pair.pair, legs=pair.legs, sizes_e8=pair.sizes_e8, trade_id=pair.trade_id)
                for pair in open_pairs
            ),
            orders=tuple(order.client_order_id for pair in open_pairs for order in pair.orders),
        )
    )


def _held(launch: Launch, holdings: Holdings) -> list[CarriedPair]:
    """Simulated venues forget with every start: what they held is no more."""
    return holdings.held() if launch.settings.mode != "sim" else []


def _checkpoint(launch: Launch, holdings: Holdings) -> bytes:
    """What is held now, as an event that is written into the journal and not into the log."""
    encoder = Encoder(SOURCE, os.getpid(), launch.run_id)
    return encoder.encode(holdings.checkpoint(launch.settings.bot_id, launch.settings.mode))
