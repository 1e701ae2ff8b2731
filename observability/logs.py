"""Reports a process's events: all to persistence, and to the log those that ``log_level`` lets through.

The queue to persistence has an event as ``events.codec`` writes it, whatever the log's level. A line of the
log is a rendering of that: ``log_level`` and the log's flood limit decide whether it is printed and nothing
else.

Every process writes its lines to stdout (``observability.line_writer``): lines of different processes never
interleave, and no process waits for a slow reader. The detector, which must not touch a file descriptor,
only pushes; persistence prints its lines for it.

Secrets are kept out by construction: an event's texts are masked when it is made (``events.event``).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from events.codec import Encoder
from events.event import FLOOD_BURST, FLOOD_INTERVAL_S, KEPT_TIMES, Event, Level
from observability.line_writer import LineWriter

_LEVELS: Final[dict[Level, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# jq 1.6 reads numbers as floating point: beyond this it rounds them.
_INTEGER_MAX: Final = 2**53 - 1
_LONG_NUMBER: Final = re.compile(rb"[0-9]{16}")


class Reporter:
    """Reports one process's events.

    to_queue: its queue to persistence; False where that is full, which ``on_refused`` then counts.
    level: None prints nothing, for a process that must not or whose output is not read.
    is_limited: False keeps and prints every event, however many come.
    mono_ns, unix_ns: the clocks that events are stamped by; a replay has its own.
    """

    def __init__(
        self,
        process: str,
        *,
        run_id: str,
        level: Level | None = "info",
        to_queue: Callable[[bytes], bool] | None = None,
        on_refused: Callable[[], None] | None = None,
        is_limited: bool = True,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._encoder = Encoder(process, os.getpid(), run_id, mono_ns=mono_ns, unix_ns=unix_ns)
        self._to_queue = to_queue
        self._on_refused = on_refused
        self._limit = RateLimit(KEPT_TIMES) if is_limited else None
        self._log = None if level is None else Log(level, is_limited=is_limited)

    def report(self, event: Event) -> bool:
        """Keep an event and print it; False if persistence's queue was full."""
        encoded = self._encoder.encode(event)
        is_kept = True
        if self._to_queue is not None:
            held_back = self._limit.held_back(event) if self._limit is not None else 0
            if held_back is not None:
                is_kept = self._to_queue(_with_count(encoded, held_back))
                if not is_kept and self._on_refused is not None:
                    self._on_refused()
        if self._log is not None:
            self._log.show(event, encoded)
        return is_kept


class Log:
    """The lines on stdout: those from a level on, and of a flood a few."""

    def __init__(self, level: Level, *, is_limited: bool = True) -> None:
        self._level = _LEVELS[level]
        self._limit = RateLimit() if is_limited else None

    def show(self, event: Event, encoded: bytes) -> None:
        """Print an event, if it is wanted; ``encoded`` is what ``Encoder.encode`` made of it."""
        if _LEVELS[event.level] < self._level:
            return
        held_back = self._limit.held_back(event) if self._limit is not None else 0
        if held_back is not None:
            print_line(render(_with_count(encoded, held_back)))


class RateLimit:
    """Lets some events of each kind through at once and then one each interval; the next counts the others.

    A disk full of one message has no room for another, and a process that logs all day does little else.
    """

    def __init__(self, times: int = 1) -> None:
        self._burst = float(times * FLOOD_BURST)
        self._interval_s = FLOOD_INTERVAL_S / times
        # By event and the values it is limited by: left at once, when the last one was, held back.
        self._kinds: dict[tuple[object, ...], tuple[float, float, int]] = {}

    def held_back(self, event: Event) -> int | None:
        """How many of its kind were held back before this one, or None: so is this one."""
        flood_by = event.FLOOD_BY
        if flood_by is None:
            return 0
        kind = (type(event), *(getattr(event, field) for field in flood_by))
        now_s = time.monotonic()
        left, last_s, held_back = self._kinds.get(kind, (self._burst, now_s, 0))
        left = min(self._burst, left + (now_s - last_s) / self._interval_s)
        if left < 1:
            self._kinds[kind] = (left, now_s, held_back + 1)
            return None
        self._kinds[kind] = (left - 1, now_s, 0)
        return held_back


def render(encoded: bytes) -> bytes:
    """An event as the log has it: integers that ``jq`` would round are text there."""
    if _LONG_NUMBER.search(encoded) is None:
        return encoded
    return orjson.dumps(_readable(orjson.loads(encoded)))


def _readable(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int() if abs(value) > _INTEGER_MAX:
            return str(value)
        case dict():
            return {name: _readable(item) for name, item in value.items()}
        case list():
            return [_readable(item) for item in value]
        case _:
            return value


def _with_count(encoded: bytes, held_back: int) -> bytes:
    """The event with how many of its kind were held back before it, by us and by those it went through."""
    if not held_back:
        return encoded
    fields = orjson.loads(encoded)
    return orjson.dumps({**fields, "kept_back": fields.get("kept_back", 0) + held_back})


def print_line(line: bytes) -> None:
    """Queue one line for stdout. Never waits and never fails, whether or not anything reads it."""
    _stdout.put(line)


def finish_lines() -> None:
    """Wait a moment for the last lines, for who ends without taking the interpreter apart."""
    _stdout.finish()


_stdout: Final = LineWriter(1)
