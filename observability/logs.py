"""One JSON object per line: structlog set-up, limits on what could flood, redaction.

``events`` is the catalogue of what may be told.

Every process writes its lines to stdout in one ``write`` each, none longer than a pipe takes whole, so
lines of different processes never interleave; and it never waits for whoever reads them. The same
line goes into its queue to persistence, uncut: what the log says and what the database holds is one
thing. The detector, which must not touch a file descriptor, only pushes; persistence prints its lines
for it.

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
from select import PIPE_BUF
from threading import Thread
from typing import Any, Final

import orjson
import structlog

from events import EVENTS, EVERY_LINE, FLOOD_BURST, FLOOD_INTERVAL_S
from observability.redaction import redact

_LINES_WAITING_MAX: Final = 10_000
_LAST_LINES_S: Final = 1.0
_TEXT_MAX: Final = 4_000  # characters of one value: a venue may answer with a page, a queue refuses that
_SHORTER: Final = (1_000, 300, 100, 30)  # characters of a text, items of a list, in a line that is too long
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
Log = structlog.typing.FilteringBoundLogger


def make_log(
    process: str,
    *,
    run_id: str,
    level: str = "info",
    to_queue: Callable[[bytes], bool] | None = None,
    to_stdout: bool = True,
    is_limited: bool = True,
) -> Log:
    """Return the process's logger.

    ``log.info("event", field=…)`` returns False if the line had to go to persistence and its queue was
    full. The event name must be in ``EVENTS``. ``is_limited=False`` tells every line, however many.
    """
    writer = _LineWriter(to_queue, to_stdout)
    logger = structlog.wrap_logger(
        writer,
        processors=[
            structlog.processors.add_log_level,
            *([_RateLimitedLog()] if is_limited else []),
            _stamp,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    bound: Log = logger.bind(proc=process, pid=os.getpid(), run_id=run_id)
    return bound


class _RateLimitedLog:
    """Lets a few lines of each kind through at once and then one each interval; the next counts the others.

    A disk full of one complaint holds no other, and a process that complains all day does little else.
    """

    def __init__(self) -> None:
        # By event and the values it is limited by: lines left at once, when the last one was, kept back.
        self._kinds: dict[tuple[object, ...], tuple[float, float, int]] = {}

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        flood_by = EVENTS[event["event"]].flood_by if event["event"] in EVENTS else None
        if flood_by is None:
            return event
        kind = (event["event"], *(event.get(field) for field in flood_by))
        now_s = time.monotonic()
        left, last_s, kept_back = self._kinds.get(kind, (float(FLOOD_BURST), now_s, 0))
        left = min(float(FLOOD_BURST), left + (now_s - last_s) / FLOOD_INTERVAL_S)
        if left < 1:
            self._kinds[kind] = (left, now_s, kept_back + 1)
            raise structlog.DropEvent
        self._kinds[kind] = (left - 1, now_s, 0)
        if kept_back:
            event["kept_back"] = event.get("kept_back", 0) + kept_back
        return event


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
        data = b"" if self._is_gone else fitting(line) + b"\n"
        try:
            while data:
                # A file on a full disk may take less than everything; a pipe takes this much or waits.
                data = data[os.write(1, data) :]
        except OSError:
            self._is_gone = True  # nobody reads any more, and nobody can be told

    def _finish(self) -> None:
        """At the end wait a moment for the last lines, not for a reader that has stopped."""
        self._waiting.put(None)
        assert self._thread is not None
        self._thread.join(_LAST_LINES_S)


_stdout = _Stdout()


def fitting(line: bytes) -> bytes:
    """The line itself, or as much of it as every pipe takes in one piece: its texts cut, ``cut`` added.

    What is longer may come out with another process's lines inside. The database has it whole.
    """
    if len(line) < PIPE_BUF:
        return line
    fields = orjson.loads(line)
    for most in _SHORTER:
        shorter = orjson.dumps({**_cut(fields, most), "cut": True})
        if len(shorter) < PIPE_BUF:
            return shorter
    return orjson.dumps({name: fields[name] for name in EVERY_LINE.split() if name in fields} | {"cut": True})


def _cut(value: Any, most: int) -> Any:
    match value:
        case str() if len(value) > most:
            return value[:most] + "…"
        case dict():
            return {name: _cut(item, most) for name, item in value.items()}
        case list():
            return [_cut(item, most) for item in value[:most]]
        case _:
            return value


def _stamp(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    name = event.pop("event")
    assert name in EVENTS, f"event {name!r} is not in events.EVENTS"
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
