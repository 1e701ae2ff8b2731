"""Today's result, the best it has been, and how long legs have stood alone. What the day's limits go by.

The figures of each pair lie in shared memory with its machine (``journal``), so that an executor that
was killed does not begin the day anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from events.positions import NakedEnd
from events.trades import TradeClosed

_DAY_S = 86_400


def utc_day() -> int:
    """Days since 1970."""
    return int(time.time()) // _DAY_S


@dataclass(slots=True)
class PairResult:
    """One pair's part of a day. ``best_e8`` is the whole instance's, as it was when this was written."""

    day: int = 0
    result_e8: int = 0
    best_e8: int = 0
    naked_ns: int = 0  # how long its legs differed by what had to be mended


class Results:
    """Adds up the pairs. ``today_e8`` and ``best_e8`` are for looking at, at any time."""

    def __init__(self, pairs: list[PairResult], day: Callable[[], int] = utc_day) -> None:
        self._pairs = pairs
        self._day = day
        self.today_e8 = 0
        self.best_e8 = 0  # never below the day's beginning
        self.naked_ns = 0  # of what has ended; what goes on is added by ``Desk.naked_today_ns``
        self.refresh()

    def add(self, pair: PairResult, result_e8: int) -> None:
        """A pair has realised something; its part is then to be written where it survives."""
        self._begin_day(pair)
        pair.result_e8 += result_e8
        self.refresh()
        pair.best_e8 = self.best_e8

    def add_naked(self, pair: PairResult, naked_ns: int) -> None:
        """A pair's legs agree again; its part is then to be written, too."""
        self._begin_day(pair)
        pair.naked_ns += naked_ns
        self.refresh()

    def follow(self, pair: PairResult, event: object) -> None:
        """What an event adds to the day. Journalled with the state that has forgotten it: added later, it
        would be lost with a process that is killed in between, and the limits would go by too little."""
        if type(event) is TradeClosed:
            self.add(pair, event.net_e8)
        elif type(event) is NakedEnd:
            self.add_naked(pair, int(event.naked_ms * 1e6))

    def refresh(self) -> None:
        """Notice a new day. Called now and then."""
        today = self._day()
        parts = [pair for pair in self._pairs if pair.day == today]
        self.naked_ns = sum(pair.naked_ns for pair in parts)
        self.today_e8 = sum(pair.result_e8 for pair in parts)
        self.best_e8 = max(0, self.today_e8, *(pair.best_e8 for pair in parts))

    def _begin_day(self, pair: PairResult) -> None:
        today = self._day()
        if pair.day != today:
            pair.day, pair.result_e8, pair.best_e8, pair.naked_ns = today, 0, 0, 0
