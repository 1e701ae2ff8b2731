"""Today's result, the best it has been, and how long legs have stood alone. What the day's limits go by.

The figures of each pair lie in shared memory with its machine (``journal``), so that an executor that
was killed does not begin the day anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from events.positions import NakedEnd
from events.trades import TradeClosed, TradeCorrected
from runtime.clock import Clock

_DAY_NS = 86_400_000_000_000


def utc_day(clock: Clock, ago_s: float = 0.0) -> int:
    """Days since 1970, now or so long ago."""
    return (clock.unix_ns() - int(ago_s * 1e9)) // _DAY_NS


@dataclass(slots=True)
class PairResult:
    """One pair's part of a day. ``best_e8`` is the whole instance's, as it was when this was written."""

    day: int = 0
    result_e8: int = 0
    best_e8: int = 0
    naked_ns: int = 0  # how long its legs differed by what had to be mended
    estimated: int = 0  # trades in ``result_e8`` of which a price or fee is not known yet


class Results:
    """Adds up the pairs. ``today_e8`` and ``best_e8`` are for looking at, at any time."""

    def __init__(self, pairs: list[PairResult], clock: Clock) -> None:
        self._pairs = pairs
        self._clock = clock
        self._seen_day = utc_day(clock)
        self.today_e8 = 0
        self.best_e8 = 0  # never below the day's beginning
        self.estimated = 0  # trades in ``today_e8`` whose result may still be corrected
        self._trades: dict[int, int] = {}  # results by trade id of this process and day, in order
        self._before = (0, 0)  # result and best of the day before them
        self.naked_ns = 0  # of what has ended; what goes on is added by ``naked_today_ns``
        self.refresh()
        self._before = self.today_e8, self.best_e8

    def add(self, pair: PairResult, result_e8: int, *, trade_id: int = 0, is_estimated: bool = False) -> None:
        """A pair has realised something; its part is then to be written where it survives."""
        self._begin_day(pair)
        pair.result_e8 += result_e8
        pair.estimated += is_estimated
        self._trades[trade_id] = self._trades.get(trade_id, 0) + result_e8
        self.refresh()
        pair.best_e8 = self.best_e8

    def correct(
        self, pair: PairResult, trade_id: int, *, closed_day: int, change_e8: int, estimates: int
    ) -> None:
        """A trade closed on ``closed_day`` has earned so much more.

        estimates: -1 when its result was an estimate and is none now.

        The best of the day is reckoned anew, as if the trade's result had been known when it closed. For
        a trade of an earlier process it is left: a top that is too high stops entries early, never late.
        """
        self.refresh()
        if closed_day != utc_day(self._clock) or pair.day != closed_day:
            return  # another day's: no limit goes by it any more
        pair.result_e8 += change_e8
        pair.estimated += estimates
        if trade_id in self._trades:
            self._trades[trade_id] += change_e8
        else:
            self._before = self._before[0] + change_e8, self._before[1]
        result_e8, best_e8 = self._before
        for earned_e8 in self._trades.values():
            result_e8 += earned_e8
            best_e8 = max(best_e8, result_e8)
        for part in self._pairs:
            if part.day == closed_day:
                part.best_e8 = best_e8
        self.refresh()

    def add_naked(self, pair: PairResult, naked_ns: int) -> None:
        """A pair's legs agree again; its part is then to be written, too."""
        self._begin_day(pair)
        pair.naked_ns += naked_ns
        self.refresh()

    def follow(self, pair: PairResult, event: object) -> None:
        """What an event adds to the day. Journalled with the state that has forgotten it: added later, it
        would be lost with a process that is killed in between, and the limits would go by too little."""
        if type(event) is TradeClosed:
            self.add(pair, event.net_e8, trade_id=event.trade_id, is_estimated=event.is_estimated)
        elif type(event) is TradeCorrected:
            self.correct(
                pair,
                event.trade_id,
                closed_day=utc_day(self._clock, event.closed_ago_ms / 1e3),
                change_e8=event.net_change_e8,
                estimates=event.is_estimated - event.was_estimated,
            )
        elif type(event) is NakedEnd:
            self.add_naked(pair, int(event.naked_ms * 1e6))

    def refresh(self) -> None:
        """Notice a new day. Called now and then."""
        today = utc_day(self._clock)
        parts = [pair for pair in self._pairs if pair.day == today]
        if today != self._seen_day:
            self._seen_day, self._trades, self._before = today, {}, (0, 0)
        self.naked_ns = sum(pair.naked_ns for pair in parts)
        self.estimated = sum(pair.estimated for pair in parts)
        self.today_e8 = sum(pair.result_e8 for pair in parts)
        self.best_e8 = max(0, self.today_e8, *(pair.best_e8 for pair in parts))
        assert self.best_e8 >= self.today_e8, "no result is better than the best"

    def _begin_day(self, pair: PairResult) -> None:
        today = utc_day(self._clock)
        if pair.day != today:
            pair.day, pair.result_e8, pair.best_e8, pair.naked_ns, pair.estimated = today, 0, 0, 0, 0
