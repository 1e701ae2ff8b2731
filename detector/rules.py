"""A pair's rules: settings and instruments resolved to the numbers the gates compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detector.layers import Layer, cut_layers
from detector.spreads import round_trip_fees_bps
from runtime.clock import ms_to_ns
from runtime.fees import taker_fee_bps
from runtime.quote_rate import QuoteRate, quote_rate
from settings import Settings
from venues.contract import Instrument


@dataclass(frozen=True, slots=True)
class Rules:
    """What one pair is decided by. Times in nanoseconds, spreads in bps, sizes scaled by 10**8."""

    pair_id: int
    name: str
    first: Instrument
    second: Instrument
    layers: tuple[Layer, ...]
    is_suspended: bool
    exit_bps: float
    confirm_ticks: int
    exit_confirm_ticks: int
    fees_bps: float  # in and out, both legs
    slippage_bps: float  # expected over the whole trade, until it is learned
    is_slippage_learned: bool
    learned_samples_min: int
    learned_age_s_max: float
    is_funding_included: bool
    expected_hold_h: float
    edge_bps_min: float
    gain_bps_max: float  # more is too good to be true
    quote_age_ns_max: int
    leg_skew_ns_max: int
    liquidity_ratio_min: float
    slippage_bps_max: float  # of one entry, both legs: more is refused
    min_notional_e8: int  # the larger one of both venues
    reach_bps: float  # how far past the touch our orders may take: the executor's price band
    cooldown_ns: int
    hold_ns_max: int
    signal_ttl_ns: int
    quote_rate: QuoteRate | None = None  # None: both legs' prices are in one currency, or count as such


def instruments_of(rules: Sequence[Rules]) -> tuple[Instrument, ...]:
    """Every leg's instrument by instrument_id, for the rules of every pair in order."""
    return tuple(instrument for rule in rules for instrument in (rule.first, rule.second))


def rules_for(
    settings: Settings, pair_id: int, instruments: Sequence[Instrument], *, is_suspended: bool = False
) -> Rules:
    """The rules of ``settings.pairs[pair_id]``; ``instruments`` are indexed by instrument_id.

    Raises SizeError when the pair's size does not suit both venues; not for a suspended pair, which may close
    what it holds and, the executor sees to that, opens nothing.
    """
    pair = settings.pairs[pair_id]
    strategy = pair.strategy
    first, second = instruments[2 * pair_id], instruments[2 * pair_id + 1]
    layers = cut_layers(
        pair.id,
        first,
        second,
        size_e8=pair.size_base_e8,
        count=strategy.layers,
        entry_bps=strategy.entry_bps,
        entry_max_bps=strategy.entry_bps if strategy.entry_max_bps is None else strategy.entry_max_bps,
        must_fit=not is_suspended,
    )
    return Rules(
        pair_id=pair_id,
        name=pair.id,
        first=first,
        second=second,
        layers=layers,
        is_suspended=is_suspended,
        exit_bps=strategy.exit_bps,
        confirm_ticks=strategy.confirm_ticks,
        exit_confirm_ticks=strategy.exit_confirm_ticks,
        fees_bps=round_trip_fees_bps(taker_fee_bps(settings, first), taker_fee_bps(settings, second)),
        slippage_bps=strategy.expected_slippage_bps,
        is_slippage_learned=strategy.learn_slippage,
        learned_samples_min=strategy.learned_slippage_samples_min,
        learned_age_s_max=strategy.learned_slippage_max_age_s,
        is_funding_included=strategy.include_funding,
        expected_hold_h=strategy.expected_hold_s / 3_600,
        edge_bps_min=strategy.min_net_edge_bps,
        gain_bps_max=strategy.max_edge_bps,
        quote_age_ns_max=ms_to_ns(strategy.max_quote_age_ms),
        leg_skew_ns_max=ms_to_ns(strategy.max_leg_skew_ms),
        liquidity_ratio_min=strategy.min_liquidity_ratio,
        slippage_bps_max=strategy.max_slippage_bps,
        min_notional_e8=max(first.min_notional_e8, second.min_notional_e8),
        reach_bps=settings.execution.price_band_bps,
        cooldown_ns=ms_to_ns(strategy.cooldown_ms),
        hold_ns_max=ms_to_ns(strategy.max_hold_s * 1_000),
        signal_ttl_ns=ms_to_ns(strategy.signal_ttl_ms),
        quote_rate=quote_rate(settings, first, second),
    )
