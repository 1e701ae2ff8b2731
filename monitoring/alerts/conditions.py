"""What holds now and what has happened, of an instance's snapshot and of its newest events.

Whatever can be seen in memory is taken from there, so a start of ours in the middle of trouble finds
it; events add why, and what is over in an instant. While the instance is being stopped only what
concerns positions counts: everything else ends because it was asked to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from events.codec import fields_of
from events.event import Event
from events.instance import ProcessesStopped, ProcessStateChanged, Running, ShutdownStarted
from events.market_data import QuoteStale
from events.persistence import JournalFull, JournalRefused, LeaseLost, PositionsDisagree
from events.positions import (
    Halted,
    NakedBudgetSpent,
    NakedEnd,
    NotFlat,
    ReconcileDiff,
    VenueLost,
    VenueReady,
    VenueStatus,
)
from events.trades import BreakerHalfOpen
from monitoring.alerts.book import Condition, Severity
from monitoring.snapshot import FeedShown, PairShown, ProcessShown, Snapshot
from settings import E8, Settings
from shm import counter_names
from shm.entry_block import EntryBlock
from shm.records import PairPhase

_STORM_RESTARTS: Final = 3
_STORM_S: Final = 60.0
_REASON_WAIT_S: Final = 2.0  # how long a death waits for the event that says why
_QUIET_S: Final = 60.0  # a question that a venue leaves open is over when it was not left open for so long
_NOT_READY_S: Final = 60.0
_STOP_S: Final = 5.0
_SILENT_S: Final = 5.0
_JOURNAL_ALARM_RATIO: Final = 0.8
_STREAM: Final = "private stream"
_MENDING: Final = frozenset({PairPhase.OPENING, PairPhase.CLOSING, PairPhase.REPAIRING, PairPhase.HALTED})
# Reasons that only the executor knows: kind, severity, what it means.
_STOPS: Final[Mapping[EntryBlock, tuple[str, Severity, str]]] = {
    EntryBlock.FOREIGN_ORDERS: (
        "unexplained",
        Severity.CRITICAL,
        "there are open orders that are not ours: nothing is opened until python -m tools reconcile",
    ),
    EntryBlock.UNEXPLAINED: (
        "unexplained",
        Severity.CRITICAL,
        "a venue holds a position that nothing explains: nothing is opened until python -m tools reconcile",
    ),
    EntryBlock.VENUE_CLOSED: ("venue", Severity.WARNING, "a venue takes no orders that open"),
    EntryBlock.CLOCK_OFF: (
        "clock",
        Severity.CRITICAL,
        "this host's clock and a venue's differ by more than a second: nothing is opened. Set the clock "
        "(chronyc makestep); what closes is stamped with the venue's time",
    ),
    EntryBlock.EXPOSURE_UNKNOWN: (
        "venue",
        Severity.WARNING,
        "it is not known what both venues together hold",
    ),
    EntryBlock.MARGIN_UNKNOWN: (
        "venue",
        Severity.WARNING,
        "a venue has not reported its margin lately: nothing is opened",
    ),
}


@dataclass(slots=True)
class _Death:
    since_s: float
    why: str = ""


@dataclass(slots=True)
class Observer:
    """Remembers what one look does not show. ``seen_s`` are of the clock that is handed in."""

    settings: Settings
    _restarts: dict[str, int] = field(default_factory=dict)  # by process, at the last look
    _restarted_s: dict[str, deque[float]] = field(default_factory=dict)
    _deaths: dict[str, _Death] = field(default_factory=dict)
    _halts: dict[str, str] = field(default_factory=dict)  # by pair: why
    _streams: dict[str, str] = field(default_factory=dict)  # by venue: why its private stream is down
    _unanswered: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    _missed_s: dict[tuple[str, str], float] = field(default_factory=dict)  # by venue and symbol: found silent
    _closed: dict[str, str] = field(default_factory=dict)  # by venue: its own status
    _naked_s: dict[str, float] = field(default_factory=dict)  # by pair: since when looks have seen it so
    _seen_naked: set[str] = field(default_factory=set)  # pairs of which a look has seen it
    _notices: list[Condition] = field(default_factory=list)

    # --- events ---

    def take_event(self, event: Event, now_s: float) -> None:
        """Take one event of the journal, in their order."""
        match event:
            case ProcessStateChanged(state="backoff" | "fatal"):
                why = f"exit code {event.exit_code}; {event.detail or 'nothing on standard error'}"
                self._deaths.setdefault(event.process, _Death(now_s)).why = why
                if event.state == "fatal":  # everything stops with it: no look may come in between
                    text = f"{event.process} cannot be kept alive, the instance stops: {why}"
                    self._note("restarts", f"restarts.{event.process}.fatal", Severity.CRITICAL, text)
            case Halted():
                net = f"net notional {event.net_notional_e8 / E8:.2f}"
                self._halts[event.pair] = f"{event.reason}; {net}"
            case NakedEnd():
                self._naked_end(event.pair, event.naked_ms)
            case VenueLost() if event.what == _STREAM:
                self._streams[event.venue] = event.detail
            case VenueLost():
                self._unanswered[event.venue, event.what] = now_s, event.detail
            case VenueReady():
                self._streams.pop(event.venue, None)
                for asked in [asked for asked in self._unanswered if asked[0] == event.venue]:
                    del self._unanswered[asked]
            case QuoteStale() if event.symbol:
                self._missed_s[event.venue, event.symbol] = now_s
            case VenueStatus():
                self._closed[event.venue] = event.status
            case ReconcileDiff():
                self._unexplained(event)
            case NotFlat():
                text = f"{event.pair}: closed, and {event.venue} still shows {event.symbol}"
                self._note("disagreement", f"not_flat.{event.pair}", Severity.CRITICAL, text)
            case BreakerHalfOpen():
                text = "the circuit breaker is half open: one entry may try"
                self._note("breaker", "breaker.half_open", Severity.INFO, text)
            case Running():
                self._note("life", "life", Severity.INFO, f"everything is up (mode {event.mode})")
            case ShutdownStarted():
                self._note("life", "life", Severity.INFO, "a stop was asked for")
            case ProcessesStopped() if event.exit_code:
                text = f"the instance has ended with exit code {event.exit_code}"
                self._note("life", "life.failed", Severity.CRITICAL, text)
            case _ if event.level == "error" and not isinstance(event, _SHOWN_BY_THE_SNAPSHOT):
                self._note("error", f"error.{event.name()}", Severity.WARNING, _short(event))

    def _naked_end(self, pair: str, naked_ms: float) -> None:
        """A notice only where no look has seen it last for so long."""
        if pair in self._seen_naked:
            self._seen_naked.discard(pair)
        elif naked_ms >= self.settings.alerts.naked_ms:
            text = f"pair {pair}: its legs differed for {naked_ms / 1e3:.1f} s; they agree again"
            self._note("naked", f"naked.{pair}.ended", Severity.CRITICAL, text)

    def _unexplained(self, event: ReconcileDiff) -> None:
        if not event.is_explained:
            where = event.venue or event.pair or "the account"
            self._note("unexplained", f"unexplained.{where}.diff", Severity.CRITICAL, _short(event))

    def _note(self, kind: str, key: str, severity: Severity, text: str) -> None:
        self._notices.append(Condition(kind, key, severity, text))

    def forget_what_is_over(self) -> None:
        """The events so far were reported by an earlier incarnation: keep only what may still hold."""
        self._notices.clear()
        self._deaths.clear()

    def take_notices(self) -> list[Condition]:
        """What has happened and is over, since the last call."""
        notices, self._notices = self._notices, []
        return notices

    # --- what holds ---

    def look(self, now: Snapshot, now_s: float) -> list[Condition]:
        """Everything that holds now."""
        found = [
            *self._of_pairs(now, now_s),
            *self._of_money(now),
            *self._of_switches(now),
        ]
        found += self._of_persistence(now)
        if not now.is_supervised:
            text = "the supervisor does not turn: what ends now is not restarted. Look at the machine"
            found.append(Condition("supervisor", "supervisor", Severity.CRITICAL, text, _SILENT_S))
        if not now.is_stopping:
            for process in now.processes:
                found += self._of_process(process, now_s)
            for feed in now.feeds:
                found += self._of_feed(feed)
            found += self._of_legs(now, now_s)
            found += self._of_venues(now, now_s)
        return found

    def _of_pairs(self, now: Snapshot, now_s: float) -> Iterator[Condition]:
        limit_s = self.settings.alerts.naked_ms / 1e3
        for pair in now.pairs:
            name = pair.settings.id
            if pair.phase is PairPhase.HALTED:
                why = self._halts.get(name) or _view(pair)
                text = f"pair {name} is HALTED and waits for you: {why}. python -m tools reconcile"
                yield Condition("halted", f"halted.{name}", Severity.CRITICAL, text)
            else:
                self._halts.pop(name, None)
            if pair.view is not None and pair.view.naked_e8 and pair.phase in _MENDING:
                if now_s - self._naked_s.setdefault(name, now_s) >= limit_s:
                    self._seen_naked.add(name)
                text = f"pair {name} stands naked: {_view(pair)}"
                yield Condition("naked", f"naked.{name}", Severity.CRITICAL, text, limit_s)
            else:
                self._naked_s.pop(name, None)
        if doubts := now.executor["orders_in_doubt"]:
            text = f"{doubts} order(s) whose outcome no venue reports"
            yield Condition("doubt", "doubt", Severity.CRITICAL, text, self.settings.alerts.doubt_s)

    def _of_money(self, now: Snapshot) -> Iterator[Condition]:
        risk, executor = self.settings.risk, now.executor
        result_e8, best_e8 = executor["result_today_e8"], executor["best_today_e8"]
        if -result_e8 >= (limit_e8 := risk.max_daily_loss_quote_e8):
            text = f"today's loss {-result_e8 / E8:.2f} has reached the limit {limit_e8 / E8:.2f}"
            yield _no_entries("loss", "loss.daily", text)
        fall_e8, limit_e8 = best_e8 - result_e8, risk.drawdown_limit_e8
        if fall_e8 >= limit_e8:
            text = f"today's result is {fall_e8 / E8:.2f} below today's best, limit {limit_e8 / E8:.2f}"
            yield _no_entries("loss", "loss.drawdown", text)
        naked_s, budget_s = executor["naked_today_us"] / 1e6, risk.naked_budget_s_per_day
        if naked_s >= budget_s:
            text = f"legs have stood alone for {naked_s:.0f} s today, the budget is {budget_s:g} s"
            yield _no_entries("naked", "naked.budget", text)
        if executor["breaker"] != counter_names.BREAKER_CLOSED:
            text = f"the circuit breaker has opened: {risk.max_consecutive_failures} failures in a row"
            yield Condition("breaker", "breaker", Severity.WARNING, f"{text}; nothing is opened for a while")

    def _of_switches(self, now: Snapshot) -> Iterator[Condition]:
        if now.is_killed:
            text = "the kill switch is engaged: nothing is opened until python -m tools kill --release"
            yield Condition("kill", "kill", Severity.CRITICAL, text)
        if now.is_paused or EntryBlock.PAUSED in now.trading_state:
            yield Condition("paused", "paused", Severity.INFO, "entries are paused by the operator")
        for block, (kind, severity, text) in _STOPS.items():
            if block not in now.trading_state or now.is_stopping:
                continue
            why = ""
            closed = "; ".join(f"{venue}: {own}" for venue, own in self._closed.items() if own != "open")
            if block is EntryBlock.VENUE_CLOSED and closed:
                why = f" ({closed})"
            if block is EntryBlock.CLOCK_OFF:
                why = f" (by {now.executor['clock_offset_us'] / 1e6:+.1f} s)"
            yield Condition(kind, f"stop.{block.text}", severity, text + why, 5.0)

    def _of_persistence(self, now: Snapshot) -> Iterator[Condition]:
        alerts, persistence = self.settings.alerts, now.persistence
        if persistence["database_state"] == counter_names.DATABASE_AWAY:
            text = (
                f"the database is away; {persistence['backlog']} events wait in the journal, trading goes on"
            )
            yield Condition("database", "database", Severity.WARNING, text, alerts.database_away_s)
        limit_bytes = self.settings.persistence.journal_max_mib << 20
        if persistence["journal_full"]:
            text = "the journal is full or its disk refuses: nothing is opened"
            yield Condition("journal", "journal.full", Severity.CRITICAL, text)
        elif persistence["spool_bytes"] >= _JOURNAL_ALARM_RATIO * limit_bytes:
            ratio = persistence["spool_bytes"] / limit_bytes
            text = (
                f"what the database has not taken fills {ratio:.0%} of journal_max_mib; at 100 % no entries"
            )
            yield Condition("journal", "journal.filling", Severity.WARNING, text)
        if persistence["lease_lost"]:
            text = (
                "another instance trades on our account: nothing is opened here. Find and stop one of the two"
            )
            yield Condition("lease", "lease", Severity.CRITICAL, text)
        if count := persistence["disagreements"]:
            text = f"executor and venue have differed on {count} position(s) for half a minute: "
            yield Condition(
                "disagreement", "disagreement", Severity.CRITICAL, text + "python -m tools reconcile"
            )

    def _of_process(self, process: ProcessShown, now_s: float) -> Iterator[Condition]:
        name, before = process.name, self._restarts.get(process.name)
        restarted_s = self._restarted_s.setdefault(name, deque())
        new = process.restarts - before if before is not None else 0
        self._restarts[name] = process.restarts
        restarted_s.extend([now_s] * new)
        while restarted_s and restarted_s[0] < now_s - _STORM_S:
            restarted_s.popleft()
        is_down = process.state in ("backoff", "fatal") or (
            process.state == "starting" and process.restarts > 0
        )
        if is_down or new > 0:
            self._deaths.setdefault(name, _Death(now_s))
        death = self._deaths.get(name)
        if death is not None and (death.why or now_s - death.since_s >= _REASON_WAIT_S):
            why = death.why or "reason unknown"
            text = f"{name} has ended and is started anew (restart {process.restarts}): {why}"
            yield Condition("crash", f"crash.{name}", Severity.CRITICAL, text)
            if not is_down:
                del self._deaths[name]
        if len(restarted_s) >= _STORM_RESTARTS:
            text = f"{name} has been restarted {len(restarted_s)} times within {_STORM_S:g} s"
            yield Condition("restarts", f"restarts.{name}", Severity.CRITICAL, text)

    def _of_feed(self, feed: FeedShown) -> Iterator[Condition]:
        stale_ms = self.settings.venue(feed.venue).stale_after_ms
        is_old = feed.data_age_ms is not None and feed.data_age_ms > stale_ms
        if is_old or not feed.is_connected:
            age = "none yet" if feed.data_age_ms is None else f"the last {feed.data_age_ms / 1e3:.1f} s old"
            text = f"no market data from {feed.venue} ({age} when this was noticed)"
            yield Condition(
                "stall", f"stall.{feed.venue}", Severity.WARNING, text, self.settings.alerts.stall_s
            )

    def _of_legs(self, now: Snapshot, now_s: float) -> Iterator[Condition]:
        """Symbols without prices on a venue that lives; one found silent stays for a while."""
        living = {feed.venue for feed in now.feeds if feed.is_connected}
        for leg in (leg for pair in now.pairs for leg in pair.legs):
            venue, symbol = leg.leg.venue, leg.leg.symbol
            if now_s - self._missed_s.get((venue, symbol), -_QUIET_S) < _QUIET_S:
                text, after_s = "fell silent while its connection lives; it was asked for anew", 0.0
            elif leg.is_missing and venue in living:
                text, after_s = "has no prices one can go by", self.settings.alerts.stall_s
            else:
                continue
            key = f"stall.{venue}.{symbol}"
            yield Condition("stall", key, Severity.WARNING, f"{venue} {symbol} {text}", after_s)

    def _of_venues(self, now: Snapshot, now_s: float) -> Iterator[Condition]:
        after_s = self.settings.alerts.venue_lost_s
        for venue, why in self._streams.items():
            text = f"{venue}: the private stream is down, no entries: {why}"
            yield Condition("venue", f"venue.{venue}.stream", Severity.WARNING, text, after_s)
        for asked, (seen_s, why) in list(self._unanswered.items()):
            if now_s - seen_s > _QUIET_S:
                del self._unanswered[asked]
                continue
            venue, what = asked
            text = f"{venue} does not answer about {what}: {why}"
            yield Condition("venue", f"venue.{venue}.{what}", Severity.WARNING, text, after_s)
        if not now.executor["ready"] and not self._streams:
            text = "the executor is not ready: a venue is not logged in, or a position not confirmed"
            yield Condition("venue", "venue.not_ready", Severity.WARNING, text, _NOT_READY_S)


_SHOWN_BY_THE_SNAPSHOT: Final = (
    *(Halted, LeaseLost, PositionsDisagree, JournalFull, JournalRefused, ReconcileDiff, NotFlat),
    *(NakedBudgetSpent, ProcessesStopped),
)


def _no_entries(kind: str, key: str, text: str) -> Condition:
    return Condition(kind, key, Severity.CRITICAL, f"{text}: nothing is opened until midnight UTC")


def _view(pair: PairShown) -> str:
    assert pair.view is not None
    base = pair.settings.base
    return f"net {pair.view.naked_e8 / E8:+g} {base}, hedged {pair.view.size_e8 / E8:g} {base}"


def _short(event: Event) -> str:
    """An event's own fields in a line."""
    fields = ", ".join(f"{name}={value}" for name, value in fields_of(event).items())
    return f"{event.name()}: {fields}"[:600]
