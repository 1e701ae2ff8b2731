"""One JSON object per line: structlog set-up, the catalogue of event names, redaction.

Every process writes its lines to stdout in one ``write`` each, so lines of different processes
never interleave, and never waits for whoever reads them. The same bytes go into its queue to
persistence: what the log says and what the database holds is one thing. The detector, which must
not touch a file descriptor, only pushes; persistence prints its lines for it.

Secrets are kept out by construction: values are numbers, booleans, text and plain containers of
them, any other object is shown as its type's name alone; and every text passes ``redaction``, which
knows the secrets that this process has read or was granted, whatever field they come in.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

import orjson
import structlog

from redaction import redact

# Stable names; an operator's jq lines depend on them. A sentence each, shown by the docs.
EVENTS: Final[Mapping[str, str]] = {
    # life of the instance
    "starting": "the supervisor begins: version, mode, pairs, thresholds",
    "taking_over": "an earlier instance was killed: what it left is taken in before anything is started",
    "settings_loaded": "what was loaded: pairs, thresholds, pinning, waiting strategies, sizes",
    "instrument_loaded": "one instrument's grid and fee as its venue publishes them",
    "process_started": "a process runs its loop",
    "process_state": "the supervisor's view of a process changed",
    "process_stderr": "a process wrote this to its standard error",
    "pin_refused": "the kernel did not allow a process on its core",
    "tuning_refused": "the kernel did not allow what is configured for speed; which, and what would allow it",
    "notify_refused": "the service manager's socket does not take what it is told",
    "running": "everything is up: trading may begin",
    "config_error": "the configuration or the environment does not allow a start; says the remedy",
    "shutdown_started": "a stop was asked for; what happens next",
    "shutdown_step": "one step of the shutdown is done",
    "processes_stopped": "every process but persistence has ended; with which exit code the run will end",
    "shutdown_done": "nothing is left running; what remains open",
    "process_stopped": "a process ended its loop",
    # the operator
    "paused": "the operator has paused entries; by which switch, who, since when; exits go on",
    "resumed": "what the operator had paused, or a pair that was to be kept closed, is free again",
    "forced_exit": "the operator has a pair closed and kept closed; who, since when",
    "control": "a request through the control socket; by whom, and what was answered",
    "control_refused": "somebody was not answered on the control socket, and why",
    # market data
    "feed_connected": "connected to a venue's public WebSocket and subscribed",
    "feed_disconnected": "the connection ended; when the next attempt comes",
    "feed_live": "first valid quote of every instrument since the connection",
    "quote_stale": "no data within the limit: quotes are flagged and the connection replaced",
    "book_invalid": "a gap, a crossed book or an empty side: quotes flagged, subscription renewed",
    "frame_refused": "a frame that is not as documented",
    # decisions
    "signal": "the detector found an entry or an exit",
    "signal_refused": "the executor refused a signal; gate, value, limit",
    "signal_stages": "when a signal passed each stage from the socket to both legs' bytes",
    "refusals": "counts of refusals by gate since the last such line",
    "quotes_overtaken": "the detector missed quotes and resumed at the newest",
    # orders
    "venue_ready": "logged in, streams stand, positions read",
    "venue_lost": "a venue's private stream or session is down: no entries until it is back",
    "venue_status": "a venue stopped, or began again, to take orders that open: its own word for it",
    "intent_written": "orders are journalled and about to leave",
    "leg_sent": "an order's bytes were written",
    "leg_acked": "the venue accepted an order",
    "leg_rejected": "the venue or our own check refused an order",
    "leg_filled": "an order filled, wholly or in part",
    "fill": "one execution as the venue reported it",
    "funding_paid": "a venue has settled funding; positive = received",
    "position": "a position changed, as the venue reports it",
    "leg_cancelled": "an order ended with size left",
    "leg_unknown": "no answer in time: the order is in doubt and will be asked for",
    "leg_resolved": "the venue's answer ended the doubt",
    "order_retry": "a leg known dead is tried again; attempt and limit",
    "leg_auto_close": "the surviving leg is closed because the other could not be completed",
    "naked_start": "the legs differ by more than a lot",
    "naked_budget_spent": "legs stood alone for longer than a day allows: no entries until midnight UTC",
    "naked_end": "the legs agree again; how long and how much",
    "paper_account": "mode paper: a venue's virtual balance, equity, fees and positions",
    "trade_opened": "both legs filled: the pair is hedged",
    "trade_closed": "both legs closed: result in quote currency",
    "slippage": "detected, sent and filled spread of an entry or exit, every stage, what was learned",
    "slippage_not_kept": "what was learned about slippage could not be read or written",
    "holding": "what a pair holds on each leg, at what price, for which trade: after every change",
    "pair_state": "a pair changed its phase",
    "halted": "a pair needs the operator; exact exposure, and again whenever it has changed",
    "reconcile_diff": "a venue holds something the journal does not explain",
    "reconciled": "the operator's decision about what was not explained is carried out",
    "positions_restored": "a venue confirms a position after a start, a reconnect or a repair",
    "flat_confirmed": "a venue confirms a flat leg after a start, a reconnect or a repair",
    "breaker_opened": "too many failures in a row: no entries for a while",
    "breaker_half_open": "the pause is over: one entry may try, and its end decides",
    "breaker_closed": "entries are allowed again",
    "latency": "percentiles of every stage since start",
    # persistence
    "positions_disagree": "executor and venue have differed about a position for half a minute",
    "positions_agree": "they agree about it again",
    "lease_lost": "another instance trades on our account: nothing is opened here any more",
    "lease_held": "the account is ours again",
    "journal_checkpoint": "what every pair held when this journal file began",
    "database_ready": "the database answers and its tables are up to date",
    "database_away": "the database does not answer: events are kept in the journal",
    "database_back": "the database answers again; how many events were waiting",
    "journal_read": "what an earlier run left open, before anything that trades is started",
    "journal_filling": "the journal nears its limit because the database does not take what it holds",
    "journal_full": "the journal reached its limit: nothing is opened any more",
    "journal_has_room": "the database has taken enough: the journal is far from its limit again",
    "journal_refused": "the disk does not take the journal: nothing is opened any more",
    "journal_writable": "the disk takes the journal again",
    "event_unstorable": "an event's rows could not be stored for what it says; its line was",
    "events_lost": "events did not fit a queue and were only printed",
    # alerts
    "alert": "something stands, is over or has happened that a person is told of: severity, key, text",
    "alert_sent": "a target has taken alerts",
    "alert_failed": "a target did not take alerts; they are sent again",
    "alert_dropped": "a target was away for so long that an alert had to make room",
    # simulator
    "simulator_ready": "both venues listen; ports and market",
    "fault_began": "a fault script of the simulator does from now on what it says",
    "fault_ended": "a fault script is over; how often it struck",
    "log_dropped": "whoever reads the log was too slow: count of lines not printed; the database has them",
}

_LINES_WAITING_MAX: Final = 10_000
_LAST_LINES_S: Final = 1.0
_TEXT_MAX: Final = 4_000  # characters of one value: a venue may answer with a page, a queue refuses that
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Log = structlog.typing.FilteringBoundLogger


def make_log(
    process: str,
    *,
    run_id: str,
    level: str = "info",
    to_queue: Callable[[bytes], bool] | None = None,
    to_stdout: bool = True,
) -> Log:
    """Return the process's logger.

    ``log.info("event", field=…)`` returns True unless the line had to go to persistence and its
    queue was full. The event name must be in ``EVENTS``.
    """
    writer = _LineWriter(to_queue, to_stdout)
    logger = structlog.wrap_logger(
        writer,
        processors=[structlog.processors.add_log_level, _stamp, _render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    bound: Log = logger.bind(proc=process, pid=os.getpid(), run_id=run_id)
    return bound


class _LineWriter:
    def __init__(self, to_queue: Callable[[bytes], bool] | None, to_stdout: bool) -> None:
        self._to_queue = to_queue
        self._to_stdout = to_stdout

    def msg(self, line: bytes) -> bool:
        is_kept = self._to_queue is None or self._to_queue(line)
        if self._to_stdout:
            print_line(line)
        return is_kept

    debug = info = warning = error = critical = msg


def print_line(line: bytes) -> None:
    """Have one line written to stdout. Never waits and never fails, whoever reads or does not read.

    A pager that is not scrolled, a terminal that is stopped, a ``tee`` that Ctrl-C has ended: none of
    them may hold up a process with a position, so a thread of its own does the writing. Lines
    beyond ``_LINES_WAITING_MAX`` are dropped and counted; the database has them.
    """
    _stdout.put(line)


class _Stdout:
    """The one writer to stdout: each line in one system call, so that processes never share a line."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._dropped = 0
        self._is_gone = False

    def put(self, line: bytes) -> None:
        if self._thread is None:
            self._thread = Thread(target=self._write_all, name="stdout", daemon=True)
            self._thread.start()
            atexit.register(self._finish)
        if self._waiting.qsize() >= _LINES_WAITING_MAX:
            self._dropped += 1
        else:
            self._waiting.put(line)

    def _write_all(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._write(line)
            if self._dropped and self._waiting.empty():
                count, self._dropped = self._dropped, 0
                head = {"level": "warning", "event": "log_dropped", "pid": os.getpid()}
                self._write(orjson.dumps({**head, "count": count}))

    def _write(self, line: bytes) -> None:
        data = b"" if self._is_gone else line + b"\n"
        try:
            while data:
                # A pipe may take less than everything when its reader is slow; the rest follows.
                data = data[os.write(1, data) :]
        except OSError:
            self._is_gone = True  # nobody reads any more, and nobody can be told

    def _finish(self) -> None:
        """At the end wait a moment for the last lines, not for a reader that has stopped."""
        self._waiting.put(None)
        assert self._thread is not None
        self._thread.join(_LAST_LINES_S)


_stdout = _Stdout()


def _stamp(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    name = event.pop("event")
    assert name in EVENTS, f"event {name!r} is not in logs.EVENTS"
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    head = {"ts": now, "level": event.pop("level"), "event": name, "proc": event.pop("proc")}
    return {**head, **event, "mono_ns": time.monotonic_ns()}


def _render(_: object, __: str, event: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps({key: _plain(value) for key, value in event.items()})


def _plain(value: Any) -> Any:
    """Numbers, text and containers of them; of anything else only its type's name."""
    match value:
        case Enum():
            return _plain(value.value)
        case str():
            value = redact(value)  # before it is cut, and before JSON escapes what is in it
            return value if len(value) <= _TEXT_MAX else value[:_TEXT_MAX] + "…"
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case Exception():
            return _plain(str(value))
        case _:
            return f"<{type(value).__name__}>"
