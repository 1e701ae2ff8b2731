"""Whether a line of the log is as ``events`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from events import EVENTS, EVERY_LINE


def check(line: Mapping[str, Any]) -> None:
    """Fail for an event, a level or a field that the catalogue, and so docs/events.md, does not have."""
    name = line["event"]
    assert name in EVENTS, f"{name} is in no catalogue: add it to events.py"
    levels, fields = EVENTS[name].levels.split(), EVENTS[name].fields.split()
    assert line["level"] in levels, f"{name} is told as {line['level']}, events.py says {levels}"
    known = {*EVERY_LINE.split(), *fields, "cut"}
    if EVENTS[name].flood_by is not None:
        known.add("kept_back")
    assert set(line) <= known, f"{name} has fields events.py does not name: {sorted(set(line) - known)}"
