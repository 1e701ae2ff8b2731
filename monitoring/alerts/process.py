"""``python -m tools alerts``: send a message when the instance needs a person.

A process of its own that only reads: the instance's memory for what holds, its journal for what has
happened. It may hang, die and come back without trading noticing. Started by the supervisor when
``alerts`` names a target, or by hand beside an instance; ``--test`` sends one message to each target.
Exit codes: 0 ended as asked or every target took the test, 1 a target did not, 2 a setting or secret.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final

from configuration.arguments import path_argument
from events.alerts import AlertDropped, AlertFailed, AlertOutcome, AlertRaised, AlertSent
from events.codec import NotAnEvent, decode
from events.event import Event
from events.instance import ProcessStarted, ProcessStopped
from monitoring.alerts.book import Book, Condition, Message, Severity, State
from monitoring.alerts.conditions import Observer
from monitoring.alerts.outbox import Outbox
from monitoring.alerts.targets import Alert, SendError, Target, make_targets
from monitoring.journal_tail import JournalTail
from monitoring.snapshot import Finder, InForce, Snapshot, Watcher
from observability.logs import Reporter
from persistence.journal import JournalError, journal_directory
from runtime import bootstrap
from settings import PROJECT, Problem, Settings, SettingsError, load_raw, parse_settings
from shm.counters import CounterTable
from shm.segment import SegmentError

_TURN_S: Final = 0.25
_FINAL_REPORT_S: Final = 4.0  # for what still waits when a stop is asked for
_LAST_WORDS_ALONE_S: Final = 30.0  # when the supervisor has died and nobody waits for us
_UNREADABLE_S: Final = 5.0
_BEGAN_SPARE_S: Final = 0.5
_ORPHANED_S: Final = 3.0
_OF_POSITIONS: Final = frozenset({"naked", "halted", "doubt", "unexplained", "disagreement"})
_OUTCOMES: Final[Mapping[str, type[AlertOutcome]]] = {
    "sent": AlertSent,
    "failed": AlertFailed,
    "dropped": AlertDropped,
}
_TEST = Condition("life", "test", Severity.INFO, "a test: alerts of this instance arrive here")


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--test", action="store_true", help="send one message to each target, then end")
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="secrets; default: .env"
    )
    parser.add_argument(
        "--memory", type=path_argument, help="the supervisor's: memory directory of the instance"
    )
    parser.add_argument("--epoch", type=int, default=0, help="the supervisor's: number of this incarnation")
    parser.add_argument("--bells", default="", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Send alerts until stopped, or one test; the exit code."""
    if arguments.memory is not None:
        return _run_supervised(arguments)
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    targets = _targets(settings, arguments.env_file, str(arguments.config))
    if arguments.test:
        return _test(settings, targets)
    stop = bootstrap.Stop()

    def request(_signum: int, _frame: object) -> None:
        stop.requests += 1

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request)
    reporter = Reporter("alerts", run_id="-", level=settings.log_level)
    alerter = Alerter(settings, targets, reporter, Finder(settings), time.time())
    while not stop.is_set():
        alerter.turn()
        time.sleep(_TURN_S)
    alerter.close(_FINAL_REPORT_S)
    return 0


def _targets(settings: Settings, env_file: Path, source: str) -> list[Target]:
    targets = make_targets(settings.alerts, env_file)
    if not targets:
        problem = Problem("alerts", "", "names no target: telegram, discord_env, webhook_env or mail")
        raise SettingsError(source, [problem])
    return targets


def _test(settings: Settings, targets: list[Target]) -> int:
    alert = Alert(Message(State.NOTICE, _TEST, 0.0, 0), time.time(), settings.bot_id, settings.mode)
    failed = 0
    for target in targets:
        try:
            target.send([alert])
        except SendError as error:
            failed += 1
            print(f"{target.name:9} failed: {error}")
        else:
            print(f"{target.name:9} took it")
    return int(failed > 0)


def _run_supervised(arguments: argparse.Namespace) -> int:
    """As the supervisor's child, with the settings it started everybody with."""
    parent = os.getppid()
    process = bootstrap.start("alerts", ["--memory", str(arguments.memory), "--epoch", str(arguments.epoch)])
    targets = _targets(process.settings, process.env_file, "launch.json")
    finder = Finder(process.settings, arguments.memory)
    settled = process.counters.get(process.counters.index("settled_number"))
    alerter = Alerter(process.settings, targets, process.reporter, finder, _began_unix_s(process), settled)
    process.reporter.report(ProcessStarted(targets=tuple(target.name for target in targets)))
    while not process.stop.is_set():
        process.counters.set(process.counters.index("heartbeat_mono_ns"), time.monotonic_ns())
        alerter.turn()
        alerter.show(process.counters)
        time.sleep(_TURN_S)
    supervisor = process.memory.counters("supervisor")
    is_asked = supervisor.get(supervisor.index("stopping")) != 0
    if has_lost(parent, 0.0 if is_asked else _ORPHANED_S):
        alerter.report_orphanhood()
        alerter.close(_LAST_WORDS_ALONE_S)
    else:
        alerter.close(_FINAL_REPORT_S)
    process.reporter.report(ProcessStopped())
    return 0


def has_lost(parent: int, patience_s: float) -> bool:
    """Whether our parent is gone, or goes within the patience.

    The kernel signals its death when the thread that started us ends; its other threads may be a
    moment behind, and until then it still is our parent.
    """
    deadline_s = time.monotonic() + patience_s
    while os.getppid() == parent:
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(0.02)
    return True


def _began_unix_s(process: bootstrap.Launch) -> float:
    """When the instance began, by this host's clock."""
    supervisor = process.memory.counters("supervisor")
    started_mono_ns = supervisor.get(supervisor.index("started_mono_ns"))
    return time.time() - (time.monotonic_ns() - started_mono_ns) / 1e9


class Alerter:
    """Looks, keeps the book, and hands every message to every target's outbox.

    News is what came after ``since_unix_s`` and after the journal's event ``settled_number``, up to which
    an earlier incarnation has sent everything. Older events only show what may still hold.
    """

    def __init__(
        self,
        settings: Settings,
        targets: list[Target],
        reporter: Reporter,
        finder: Finder,
        since_unix_s: float,
        settled_number: int = 0,
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._finder = finder
        self._since_unix_s = since_unix_s
        self._tail = JournalTail(journal_directory(settings), None)
        self._book = Book(settings.alerts.repeat_s, settings.alerts.remind_s)
        self._observer = Observer(settings)
        self._in_force = InForce(settings)
        self._watcher: Watcher | None = None
        self._began_unix_s = math.inf  # of the instance, while there has been none
        self._standing: list[Condition] = []
        self._held_over: list[Condition] = []
        self._settled_number = self._read_number = settled_number
        self._reported: SimpleQueue[tuple[str, str, int, str]] = SimpleQueue()
        self._counts = dict.fromkeys(("sent", "failed", "dropped"), 0)
        wanted = settings.alerts
        self._outboxes = [
            Outbox(
                target,
                max_waiting=wanted.max_waiting,
                max_per_minute=wanted.max_per_minute,
                report=lambda *outcome: self._reported.put(outcome),
            )
            for target in targets
        ]

    def turn(self) -> None:
        """Look once and hand over the messages; never waits for a target."""
        now_s, now_unix_s = time.monotonic(), time.time()
        if not any(outbox.waiting for outbox in self._outboxes):
            self._settled_number = self._read_number
        snapshot = self._look(now_unix_s)
        unreadable = self._read_events(now_s, now_unix_s)
        if snapshot is not None:
            self._standing = self._observer.look(snapshot, now_s)
            if snapshot.executor["ready"]:
                self._held_over.clear()
        # Of an instance that is gone everything stands as it stood: nobody has mended it.
        conditions = [*self._held_over, *self._standing, *unreadable]
        self._send(self._book.update(now_s, conditions, self._observer.take_notices()))
        self._log_reports()

    def _look(self, now_unix_s: float) -> Snapshot | None:
        watcher = self._finder.find()
        try:
            snapshot = watcher.read() if watcher is not None else None
        except (SegmentError, FileNotFoundError):  # it is being removed
            return None
        if snapshot is not None and watcher is not self._watcher:
            # What the instance before it left on the venues stands until this one has looked at them.
            self._held_over = [item for item in self._standing if item.kind in _OF_POSITIONS]
            self._observer = Observer(self._settings)
            self._began_unix_s = now_unix_s - snapshot.up_s - _BEGAN_SPARE_S
            self._watcher = watcher
        if watcher is not None:
            self._observer.settings = self._in_force.read(watcher.directory)
        return snapshot

    def _read_events(self, now_s: float, now_unix_s: float) -> list[Condition]:
        """Take in the journal's new events; a journal that cannot be read is a condition itself."""
        try:
            self._tail.poll()
        except (JournalError, OSError) as error:
            text = f"the journal cannot be read, alerts come from memory alone: {error}"
            return [Condition("journal", "journal.unreadable", Severity.WARNING, text, _UNREADABLE_S)]
        old: list[tuple[float, Event]] = []
        new: list[tuple[float, Event]] = []
        for entry in self._tail.entries:
            self._read_number = max(self._read_number, entry.number)
            try:
                reported = decode(entry.payload)
            except NotAnEvent:
                continue  # persistence says so in an event of its own
            at_unix_s = reported.unix_ms / 1e3
            if at_unix_s < self._began_unix_s:
                continue  # of another run
            is_news = entry.number > self._settled_number and at_unix_s >= self._since_unix_s
            (new if is_news else old).append((now_s - max(0.0, now_unix_s - at_unix_s), reported.event))
        self._tail.entries.clear()
        for at_s, event in old:
            self._observer.take_event(event, at_s)
        if old:
            self._observer.forget_what_is_over()
        for at_s, event in new:
            self._observer.take_event(event, at_s)
        return []

    def report_orphanhood(self) -> None:
        """Send that our parent has died: nobody else is left to do it."""
        self.turn()
        text = (
            "the supervisor has died: its processes end now, what is open stays at the venues. Start it again"
        )
        notice = Condition("supervisor", "supervisor.died", Severity.CRITICAL, text)
        self._send(self._book.update(time.monotonic(), self._standing, [notice]))

    def _send(self, messages: list[Message]) -> None:
        wanted = self._settings.alerts
        severity_min = Severity[wanted.min_severity.upper()]
        for message in messages:
            condition = message.condition
            self._reporter.report(
                AlertRaised(
                    state=message.state.value,
                    kind=condition.kind,
                    key=condition.key,
                    severity=condition.severity.word,
                    text=message.text,
                )
            )
            if condition.kind in wanted.on and condition.severity >= severity_min:
                alert = Alert(message, time.time(), self._settings.bot_id, self._settings.mode)
                for outbox in self._outboxes:
                    outbox.put(alert)

    def _log_reports(self) -> None:
        """Log the outcomes from the outboxes' threads: a log is written by one thread alone."""
        while True:
            try:
                outcome, target, alerts, detail = self._reported.get_nowait()
            except Empty:
                return
            self._counts[outcome] += 1
            self._reporter.report(_OUTCOMES[outcome](target=target, alerts=alerts, detail=detail))

    def show(self, counters: CounterTable) -> None:
        """Show tools how it goes, and a later incarnation what was sent."""
        for outcome, count in self._counts.items():
            counters.set(counters.index(f"{outcome}_total"), count)
        counters.set(counters.index("raised_total"), self._book.raised_total)
        counters.set(counters.index("waiting"), sum(outbox.waiting for outbox in self._outboxes))
        counters.set(counters.index("settled_number"), self._settled_number)

    def close(self, patience_s: float) -> None:
        """A last look, then wait for what is still to be sent, within the patience."""
        self.turn()
        for outbox in self._outboxes:
            outbox.close()
        deadline_s = time.monotonic() + patience_s
        for outbox in self._outboxes:
            outbox.join(deadline_s - time.monotonic())
        self._log_reports()
