"""Settings that change while the executor runs: taken up by every pair at once, between two steps.

The supervisor has validated them and holds entries back meanwhile. What was prepared under the old rules
is dropped with them: armed orders, rehearsed signals, sizes learned from signals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.desk import Desk
from executor.engine import Engine
from executor.orders.presigned import PresignedOrders
from executor.orders.stagger import Stagger
from executor.pair.config import rules_of
from executor.pair.state import PairRules
from executor.risk.pre_trade import Limits, limits_of
from runtime.bootstrap import SettingsWatch
from settings import Settings
from venues.contract import Instrument


class ResolvedPair(NamedTuple):
    """What a ``Pair`` takes from the settings."""

    rules: PairRules
    presigned: PresignedOrders
    max_age_ns: int
    layer_sizes_e8: dict[int, int]
    limits: Limits


def resolve_pair(settings: Settings, instruments: Sequence[Instrument], number: int) -> ResolvedPair:
    configured, execution = settings.pairs[number], settings.execution
    rules = rules_of(settings, tuple(instruments), number)
    whole_e8 = configured.size_base_e8 - configured.size_base_e8 % rules.common_lot_e8
    return ResolvedPair(
        rules=rules,
        presigned=PresignedOrders(band_bps=execution.price_band_bps, rearm_bps=execution.rearm_bps),
        max_age_ns=int(configured.strategy.max_quote_age_ms * 1e6),
        # With several layers the detector's first signals tell their sizes.
        layer_sizes_e8={0: whole_e8} if configured.strategy.layers == 1 else {},
        limits=limits_of(
            settings.risk,
            size_e8_max=configured.size_base_e8,
            price_band_bps=execution.price_band_bps,
            max_slippage_bps=configured.strategy.max_slippage_bps,
            min_liquidity_ratio=configured.strategy.min_liquidity_ratio,
        ),
    )


class Reloading:
    """Looks for newer settings now and then. ``look`` is called by a task of the loop alone, so no
    step is under way, and every event that was journalled has had its step."""

    def __init__(
        self, desk: Desk, engine: Engine, watch: SettingsWatch, instruments: Sequence[Instrument]
    ) -> None:
        self._desk = desk
        self._engine = engine
        self._watch = watch
        self._instruments = instruments

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
        desk.breaker.limit(settings.risk)
        execution = settings.execution
        if (execution.stagger, execution.stagger_max_ms) != (before.stagger, before.stagger_max_ms):
            desk.stagger = Stagger(is_on=execution.stagger, hold_ns_max=int(execution.stagger_max_ms * 1e6))
        for number, pair in enumerate(desk.pairs):
            resolved = resolve_pair(settings, self._instruments, number)
            pair.rules, pair.limits = resolved.rules, resolved.limits
            pair.max_age_ns, pair.layer_sizes_e8 = resolved.max_age_ns, resolved.layer_sizes_e8
            pair.presigned = resolved.presigned
            pair.predictions.clear()
