"""Simulator and log: the simulated venues' own events, and lines that the log could not print"""

from __future__ import annotations

from collections.abc import Mapping

from events.event import Event, Text


class SimulatorReady(Event, frozen=True, kw_only=True):
    """both venues listen; ports and market"""

    host: str
    ports: Mapping[str, int]


class FaultBegan(Event, frozen=True, kw_only=True):
    """a fault script of the simulator does from now on what it says"""

    fault: str
    venue: str
    detail: Text


class FaultEnded(Event, frozen=True, kw_only=True):
    """a fault script is over; how often it struck"""

    fault: str
    venue: str
    struck: int


class LogDropped(Event, frozen=True, kw_only=True):
    """the reader of the log was too slow: count of lines not printed; the database has them"""

    LEVELS = ("warning",)
    count: int
