"""Settings that change while the executor runs: taken up by every pair at once, between two steps.

The supervisor has validated them and holds entries back meanwhile. What was prepared under the old rules
is dropped with them: armed orders, rehearsed signals, sizes learned from signals.
"""

from __future__ import annotations

from executor.desk import Desk
from executor.engine import Engine
from executor.operator.resolve import resolve_pair, take_up
from executor.orders.stagger import Stagger
from executor.risk.trading_state import TradingState
from runtime.bootstrap import SettingsWatch
from settings import Settings


class Reloading:
    """Looks for newer settings now and then. ``look`` is called by a task of the loop alone, so no
    step is under way, and every event that was journalled has had its step."""

    def __init__(self, desk: Desk, engine: Engine, trading_state: TradingState, watch: SettingsWatch) -> None:
        self._desk = desk
        self._engine = engine
        self._trading_state = trading_state
        self._watch = watch

    def look(self) -> None:
        if not self._watch.has_news():
            return
        settings = self._watch.take()
        self._take_up(settings)
        self._watch.done()
        for pair in self._desk.pairs:
            self._engine.tick(pair)  # timers and views by the new rules

    def _take_up(self, settings: Settings) -> None:
        desk, before = self._desk, self._desk.settings.execution
        desk.settings = settings
        self._trading_state.limit(settings.risk)
        execution = settings.execution
        if (execution.stagger, execution.stagger_max_ms) != (before.stagger, before.stagger_max_ms):
            desk.stagger = Stagger(is_on=execution.stagger, hold_ns_max=int(execution.stagger_max_ms * 1e6))
        for number, pair in enumerate(desk.pairs):
            take_up(pair, resolve_pair(settings, desk.instruments, number))
