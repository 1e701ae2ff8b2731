"""Events and counters of the executor."""

from __future__ import annotations

from events.event import Event
from events.positions import VenueLost
from runtime.bootstrap import Launch


class Reports:
    """Says what happened: to people and persistence by events, to tools by counters."""

    def __init__(self, process: Launch) -> None:
        self._reporter = process.reporter
        self._events = process.events
        self._counters = process.counters
        self._clock = process.clock
        self._index = {name: process.counters.index(name) for name in process.counters.names}

    def report(self, event: Event) -> None:
        self._reporter.report(event)

    def venue_lost(self, venue: str, what: str, error: object) -> None:
        """A venue did not answer as it should; ``what`` was asked."""
        self.report(VenueLost(venue=venue, what=what, detail=str(error)))

    @property
    def is_crowded(self) -> bool:
        """Whether persistence has fallen so far behind that what happens next might not fit its queue."""
        return self._events is not None and self._events.used > self._events.capacity // 2

    def count(self, name: str, amount: int = 1) -> None:
        self._counters.add(self._index[name], amount)

    def counted(self, name: str) -> int:
        return self._counters.get(self._index[name])

    def set(self, name: str, value: int) -> None:
        self._counters.set(self._index[name], value)

    def beat(self) -> None:
        self.set("heartbeat_mono_ns", self._clock.mono_ns())
