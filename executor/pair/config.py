"""Settings and instruments of each pair, resolved into the machine's rules."""

from __future__ import annotations

from math import lcm

from executor.pair.state import PairRules
from settings import Settings
from venues.contract import Instrument

# How long after signing a venue may still take an order; every venue is told the same.
ORDER_LIFE_MS = 5_000
_CLOCK_SPARE_MS = 1_000  # their clock against ours


def rules_of(settings: Settings, instruments: tuple[Instrument, ...], pair_id: int) -> PairRules:
    """The rules of one pair: pair i trades instruments 2i and 2i + 1."""
    pair, execution = settings.pairs[pair_id], settings.execution
    legs = (instruments[2 * pair_id], instruments[2 * pair_id + 1])
    fees_bps = (taker_fee_bps(settings, legs[0]), taker_fee_bps(settings, legs[1]))
    return PairRules(
        pair_id=pair_id,
        pair=pair.id,
        instruments=legs,
        common_lot_e8=lcm(legs[0].lot_e8, legs[1].lot_e8),
        layers_max=pair.strategy.layers,
        price_band_bps=execution.price_band_bps,
        widen_bps=execution.widen_bps,
        # Retries within max_retries stop where they would; a leg that is still alone after them goes on
        # widening, as far as any price is trusted: stuck at the last retry it might never be closed.
        price_band_bps_max=max(
            execution.price_band_bps + execution.widen_bps * execution.max_retries,
            settings.risk.price_collar_bps,
        ),
        max_retries=execution.max_retries,
        retry_delay_ns=_ns(execution.retry_delay_ms),
        reply_timeout_ns=_ns(execution.reply_timeout_ms),
        query_interval_ns=_ns(execution.query_interval_ms),
        max_naked_ns=_ns(execution.max_naked_ms),
        on_single_leg=execution.on_single_leg,
        taker_fees_bps=fees_bps,
        later_exit_bps=sum(fees_bps) + pair.strategy.exit_bps,
        reconcile_interval_ns=_ns(execution.reconcile_interval_s * 1_000),
        drift_lots_max=execution.drift_max_lots,
        drift_bps_max=execution.drift_max_bps,
        appear_ns=_ns(ORDER_LIFE_MS + _CLOCK_SPARE_MS),
    )


def taker_fee_bps(settings: Settings, instrument: Instrument) -> float:
    """What taking costs on an instrument: as configured, else what the venue publishes."""
    configured = settings.venue(instrument.venue).taker_fee_bps
    return instrument.taker_fee_bps if configured == "auto" else configured


def _ns(milliseconds: float) -> int:
    return int(milliseconds * 1e6)
