"""What a pair takes from the settings and its contracts' grids, for a start and for a change of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.orders.presigned import PresignedOrders
from executor.pair.config import rules_of
from executor.pair.rules import PairRules
from executor.pairs import PairRuntime, Pairs
from executor.risk.pre_trade import Limits, limits_of
from runtime.quote_rate import QuoteRate, quote_rate
from settings import Settings, StrategySettings
from venues.contract import Instrument


class ResolvedPair(NamedTuple):
    """What a ``PairRuntime`` takes from the settings."""

    rules: PairRules
    presigned: PresignedOrders
    max_age_ns: int
    strategy: StrategySettings
    layer_sizes_e8: dict[int, int]
    limits: Limits
    quote_rate: QuoteRate | None


def resolve_pair(settings: Settings, instruments: Sequence[Instrument], number: int) -> ResolvedPair:
    """What one pair goes by under these settings and grids."""
    configured, execution = settings.pairs[number], settings.execution
    rules = rules_of(settings, tuple(instruments), number)
    assert rules.pair_id == number, "a pair's number is its place"
    whole_e8 = configured.size_base_e8 - configured.size_base_e8 % rules.common_lot_e8
    assert whole_e8 % rules.common_lot_e8 == 0, "both venues take what the other takes"
    return ResolvedPair(
        rules=rules,
        presigned=PresignedOrders(band_bps=execution.price_band_bps, rearm_bps=execution.rearm_bps),
        max_age_ns=int(configured.strategy.max_quote_age_ms * 1e6),
        strategy=configured.strategy,
        # With several layers the detector's first signals say their sizes.
        layer_sizes_e8={0: whole_e8} if configured.strategy.layers == 1 else {},
        limits=limits_of(
            settings.risk,
            size_e8_max=configured.size_base_e8,
            price_band_bps=execution.price_band_bps,
            max_slippage_bps=configured.strategy.max_slippage_bps,
            min_liquidity_ratio=configured.strategy.min_liquidity_ratio,
        ),
        quote_rate=quote_rate(settings, *rules.instruments),
    )


class Configuration:
    """The settings and the contracts' grids that every pair goes by now.

    Both change between two steps only, for all pairs concerned at once. What was prepared under the old
    ones is dropped: presigned orders, predicted signals, sizes learned from signals.
    """

    def __init__(self, settings: Settings, instruments: Sequence[Instrument], pairs: Pairs) -> None:
        assert len(instruments) == 2 * len(pairs), "each pair has two legs"
        self.settings = settings
        self.instruments = tuple(instruments)  # by instrument_id
        self._pairs = pairs

    def adopt_settings(self, settings: Settings) -> None:
        """Go by other settings from the next step on."""
        self.settings = settings
        for pair in self._pairs:
            self._resolve(pair)

    def adopt_grids(self, instruments: Sequence[Instrument]) -> None:
        """Go by other grids from the next step on."""
        assert len(instruments) == len(self.instruments), "a venue's answer adds no leg and drops none"
        changed = {
            new.instrument_id // 2
            for new, old in zip(instruments, self.instruments, strict=True)
            if new != old
        }
        self.instruments = tuple(instruments)
        for number in changed:
            self._resolve(self._pairs[number])

    def _resolve(self, pair: PairRuntime) -> None:
        resolved = resolve_pair(self.settings, self.instruments, pair.rules.pair_id)
        pair.rules, pair.limits = resolved.rules, resolved.limits
        pair.max_age_ns, pair.strategy = resolved.max_age_ns, resolved.strategy
        pair.layer_sizes_e8 = resolved.layer_sizes_e8
        pair.presigned, pair.quote_rate = resolved.presigned, resolved.quote_rate
        pair.predictions.clear()
