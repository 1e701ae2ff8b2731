"""Whether a line of the log, or an event of the journal, is as its type says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from events.codec import EVENTS, EVERY_LINE

JQ_MAX = 2**53 - 1


def check(line: Mapping[str, Any]) -> None:
    """Fail for an event, a level, a field or a value that no type, and so docs/events.md, has."""
    name = line["event"]
    assert name in EVENTS, f"{name} is no event of ours"
    event = EVENTS[name]
    assert line["level"] in event.LEVELS, f"{name} is logged as {line['level']}, its type says {event.LEVELS}"
    known = {*EVERY_LINE, *event.__struct_fields__, "cut"}
    if event.FLOOD_BY is not None:
        known.add("kept_back")
    assert set(line) <= known, f"{name} has fields its type does not name: {sorted(set(line) - known)}"
    if "cut" not in line and name != "log_dropped":
        made = msgspec.convert(line, event, strict=False)
        assert made.level == line["level"], (
            f"{name} is logged as {line['level']}, its fields say {made.level}"
        )


def check_readable(line: Mapping[str, Any]) -> None:
    """Fail for an integer that ``jq`` 1.6 rounds: it reads every number as floating point."""
    rounded = [number for number in _integers(line) if abs(number) > JQ_MAX]
    assert rounded == [], f"{line['event']} has integers beyond 2**53: {rounded}"


def _integers(value: Any) -> Iterator[int]:
    match value:
        case bool():
            return
        case int():
            yield value
        case Mapping():
            for item in value.values():
                yield from _integers(item)
        case list():
            for item in value:
                yield from _integers(item)
