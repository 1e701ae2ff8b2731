"""Settings and instruments of each pair, resolved into the machine's rules."""

from __future__ import annotations

from executor.pair.rules import LATE_DENIALS_MIN, UNKNOWN_ANSWERS_MIN, PairRules
from runtime.clock import ms_to_ns
from runtime.fees import taker_fee_bps
from runtime.quote_rate import quote_rate
from settings import Settings
from venues.contract import Instrument, common_lot_e8

CLOCK_SPARE_MS = 1_000  # their clock against ours
# An order is signed within this of the instant it was decided, or it does not leave: its validity, which
# is counted from then, would last longer than the machine believes.
SIGNING_SPARE_MS = 100
_ANSWER_MS = 200  # of a venue to a question or an order, when both are well


def rules_of(settings: Settings, instruments: tuple[Instrument, ...], pair_id: int) -> PairRules:
    """The rules of one pair: pair i trades instruments 2i and 2i + 1."""
    pair, execution = settings.pairs[pair_id], settings.execution
    legs = (instruments[2 * pair_id], instruments[2 * pair_id + 1])
    fees_bps = (taker_fee_bps(settings, legs[0]), taker_fee_bps(settings, legs[1]))
    return PairRules(
        pair_id=pair_id,
        pair=pair.id,
        instruments=legs,
        common_lot_e8=common_lot_e8(legs[0], legs[1]),
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
        retry_delay_ns=ms_to_ns(execution.retry_delay_ms),
        reply_timeout_ns=ms_to_ns(execution.reply_timeout_ms),
        query_interval_ns=ms_to_ns(execution.query_interval_ms),
        max_naked_ns=ms_to_ns(execution.max_naked_ms),
        on_single_leg=execution.on_single_leg,
        taker_fees_bps=fees_bps,
        later_exit_bps=sum(fees_bps) + pair.strategy.exit_bps,
        reconcile_interval_ns=ms_to_ns(execution.reconcile_interval_s * 1_000),
        drift_lots_max=execution.drift_max_lots,
        drift_bps_max=execution.drift_max_bps,
        appear_ns=ms_to_ns(_appear_ms(settings)),
        hedge_drift_bps_max=settings.risk.max_hedge_drift_bps or 0.0,
        hedge_drift_ns_max=ms_to_ns(settings.risk.max_hedge_drift_s * 1_000),
        has_live_rate=quote_rate(settings, *legs) is not None,
    )


def naked_bound_ms(settings: Settings) -> float:
    """The longest time for which a leg stands alone when one request to a venue, or its answer, is lost.

    The order may come into being until its validity has ended by the venue's clock. Then the venue has
    to deny it as often as the machine asks for, and what mends the pair has to be sent and answered.
    What takes longer has more than one cause: venues that do not answer, or that do not fill what mends.
    """
    execution, interval_ms = settings.execution, settings.execution.query_interval_ms
    past_validity_ms = _appear_ms(settings) + (LATE_DENIALS_MIN - 1) * interval_ms
    often_enough_ms = execution.reply_timeout_ms + (UNKNOWN_ANSWERS_MIN - 1) * interval_ms
    mended_ms = execution.retry_delay_ms + 2 * _ANSWER_MS  # the last denial's answer, and the order's
    return max(past_validity_ms, often_enough_ms) + mended_ms


def compare_naked_bound(settings: Settings) -> tuple[str, str]:
    """What the settings keep beside what ``execution.max_naked_ms`` asks for, and the remedy where that is
    less; empty where it is not."""
    bound_ms, asked_ms = naked_bound_ms(settings), settings.execution.max_naked_ms
    found = f"a lost request leaves a leg alone for at most {bound_ms:g} ms; max_naked_ms is {asked_ms:g}"
    if asked_ms >= bound_ms:
        return found, ""
    return found, f"execution.max_naked_ms of {bound_ms:g} or more, or a shorter order_validity_ms"


def _appear_ms(settings: Settings) -> float:
    """How long after it was decided an order may still come into being."""
    return settings.execution.order_validity_ms + CLOCK_SPARE_MS + SIGNING_SPARE_MS
