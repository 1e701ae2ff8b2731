"""What a pair takes from the settings and its contracts' grids, for a start and for a change of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from executor.desk import Pair
from executor.orders.presigned import PresignedOrders
from executor.pair.config import rules_of
from executor.pair.rules import PairRules
from executor.risk.pre_trade import Limits, limits_of
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


def take_up(pair: Pair, resolved: ResolvedPair) -> None:
    """Go by other rules from the next step on; what was prepared under the old ones is dropped."""
    pair.rules, pair.limits = resolved.rules, resolved.limits
    pair.max_age_ns, pair.layer_sizes_e8 = resolved.max_age_ns, resolved.layer_sizes_e8
    pair.presigned = resolved.presigned
    pair.predictions.clear()
