"""Settings that change while the executor runs: adopted by every pair at once, between two steps.

The supervisor has validated them and suspends entries meanwhile.
"""

from __future__ import annotations

from executor.operator.resolve import Configuration
from executor.orders.stagger import Stagger
from executor.pairs import MachineRunner, Pairs
from executor.risk.trading_state import TradingState
from runtime.bootstrap import SettingsWatch
from settings import Settings


class Reloading:
    """Polls for newer settings. ``poll`` is called by a task of the loop alone, so no step is under way,
    and every event that was journalled has had its step."""

    def __init__(
        self,
        *,
        configuration: Configuration,
        pairs: Pairs,
        runner: MachineRunner,
        trading_state: TradingState,
        stagger: Stagger,
        watch: SettingsWatch,
    ) -> None:
        self._configuration = configuration
        self._pairs = pairs
        self._runner = runner
        self._trading_state = trading_state
        self._stagger = stagger
        self._watch = watch

    def poll(self) -> None:
        """Adopt newer settings, if there are any."""
        if not self._watch.has_news():
            return
        self._adopt(self._watch.take())
        self._watch.done()
        for pair in self._pairs:
            self._runner.tick(pair)  # timers and views by the new rules

    def _adopt(self, settings: Settings) -> None:
        before, execution = self._configuration.settings.execution, settings.execution
        self._trading_state.limit(settings.risk)
        if (execution.stagger, execution.stagger_max_ms) != (before.stagger, before.stagger_max_ms):
            self._stagger.begin_anew(is_on=execution.stagger, hold_ns_max=int(execution.stagger_max_ms * 1e6))
        self._configuration.adopt_settings(settings)
