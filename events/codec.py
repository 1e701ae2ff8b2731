"""Writes and reads events: one JSON object with the event's fields, who reported it and when.

What is written holds every field with its own number; readers pass over fields they do not know, and where an
older version left a field out they take its default. A process writes with an ``Encoder`` of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Union

import msgspec
from msgspec import Struct

from events import (
    alerts,
    decisions,
    fills,
    instance,
    market_data,
    operator,
    orders,
    persistence,
    positions,
    simulator,
    trades,
)
from events.event import Event, Level

MODULES: Final = (
    *(instance, operator, market_data, decisions, orders, fills, trades, positions),
    *(persistence, alerts, simulator),
)
# What every line has around the event's own fields.
EVERY_LINE: Final = ("ts", "level", "event", "proc", "pid", "run_id", "mono_ns")

_NS_PER_S: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


def _leaves(cls: type[Event]) -> Iterator[type[Event]]:
    """The events themselves; what several of them have in common is none."""
    below = cls.__subclasses__()
    if not below and cls.__module__ in {module.__name__ for module in MODULES}:
        yield cls
    for one in below:
        yield from _leaves(one)


EVENTS: Final[Mapping[str, type[Event]]] = {cls.name(): cls for cls in _leaves(Event)}


class NotAnEvent(ValueError):
    """What was read is not what an event of its name says."""


class UnknownEvent(NotAnEvent):
    """An event of a name that this version does not have."""


class Reported(NamedTuple):
    """One event, and who reported it when."""

    event: Event
    ts: str  # UTC, RFC 3339
    level: Level
    proc: str
    pid: int
    run_id: str
    mono_ns: int

    @property
    def unix_ms(self) -> int:
        """When it was reported, in milliseconds since 1970."""
        return unix_ms(self.ts)


class _Head(Struct, frozen=True):
    ts: str
    level: Level
    event: str
    proc: str
    run_id: str
    mono_ns: int = 0
    pid: int = 0


_UNION: Final[Any] = Union[tuple(EVENTS.values())]  # noqa: UP007 - there is no other way to write it
_EVENT_DECODER: Final = msgspec.json.Decoder(_UNION)
_HEAD_DECODER: Final = msgspec.json.Decoder(_Head)
# Of a value that is no plain one only the type's name is kept: its text might hold a key.
_ENCODER: Final = msgspec.json.Encoder(enc_hook=lambda value: f"<{type(value).__name__}>")
# Fields that versions before 0.2 left out of an event that they ended an order with which no pair had.
_OLDER: Final[Mapping[str, Mapping[str, object]]] = {
    "leg_resolved": {
        "trade_id": 0,
        "leg": 0,
        "venue": "",
        "symbol": "",
        "side": "BUY",
        "purpose": "exit",
        "attempt": 0,
        "size_e8": 0,
    },
}


class Encoder:
    """Writes the events of one process, stamped by its clocks."""

    def __init__(
        self,
        proc: str,
        pid: int,
        run_id: str,
        *,
        mono_ns: Callable[[], int] = time.monotonic_ns,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._mono_ns = mono_ns
        self._unix_ns = unix_ns
        self._who = _ENCODER.encode({"proc": proc, "pid": pid, "run_id": run_id})[1:-1]
        self._heads: dict[type[Event], tuple[bytes, int]] = {}
        self._second = -1
        self._second_text = b""

    def encode(self, event: Event) -> bytes:
        """The event as of now."""
        body = _ENCODER.encode(event)
        head = self._heads.get(type(event))
        if head is None:
            tag = b'"event":"%s"' % event.name().encode()
            head = self._heads[type(event)] = b'",%s,%s' % (tag, self._who), len(tag) + 1
        named, behind = head
        ts = self._ts(self._unix_ns())
        return b'{"ts":"%s","level":"%s%s%s,"mono_ns":%d}' % (
            ts,
            event.level.encode(),
            named,
            body[behind:-1],
            self._mono_ns(),
        )

    def _ts(self, unix_ns: int) -> bytes:
        second, ns = divmod(unix_ns, _NS_PER_S)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%s.%06dZ" % (self._second_text, ns // 1_000)


def decode(payload: bytes) -> Reported:
    """What ``Encoder.encode`` wrote, by this or an older version. Raises NotAnEvent or UnknownEvent."""
    try:
        head = _HEAD_DECODER.decode(payload)
    except msgspec.DecodeError as error:
        raise NotAnEvent(f"no event: {error}") from error
    try:
        return _reported(_EVENT_DECODER.decode(payload), head)
    except msgspec.ValidationError as error:
        return _reported(_older(msgspec.json.decode(payload), error), head)


def from_fields(line: Mapping[str, Any]) -> Reported:
    """The same of a line that is parsed already, as the database gives it back."""
    try:
        head = msgspec.convert(line, _Head)
    except msgspec.ValidationError as error:
        raise NotAnEvent(f"no event: {error}") from error
    try:
        return _reported(msgspec.convert(line, _UNION), head)
    except msgspec.ValidationError as error:
        return _reported(_older(line, error), head)


def fields_of(event: Event) -> dict[str, Any]:
    """The event's own fields as plain values, its name left out."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    del fields["event"]
    return fields


def unix_ms(ts: str) -> int:
    """An instant as lines have it, in milliseconds since 1970."""
    return (datetime.fromisoformat(ts) - _EPOCH) // _MS


def _older(line: Mapping[str, Any], error: msgspec.ValidationError) -> Event:
    name = line["event"]
    if name not in EVENTS:
        raise UnknownEvent(f"{name}: this version has no such event") from error
    if name in _OLDER:
        try:
            event: Event = msgspec.convert({**_OLDER[name], **line}, EVENTS[name])
        except msgspec.ValidationError as still:
            raise NotAnEvent(f"{name}: {still}") from still
        return event
    raise NotAnEvent(f"{name}: {error}") from error


def _reported(event: Event, head: _Head) -> Reported:
    return Reported(
        event=event,
        ts=head.ts,
        level=head.level,
        proc=head.proc,
        pid=head.pid,
        run_id=head.run_id,
        mono_ns=head.mono_ns,
    )
