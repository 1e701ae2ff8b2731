"""The last gates before an entry's bytes leave. Exits, repairs and cancels never pass here.

Each gate compares a value of one ``EntryCheck`` with its limit and says no with a ``Refusal``: its name
and both numbers. The order is from the cheapest and most decisive to the rest. They stand between a
signal and its first byte, so limits are integers worked out once (``Limits``), what moves slowly is
kept elsewhere and only looked up here, and numbers for people are made only for a refusal.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from settings import RiskSettings
from venues.contract import E8

_PPB = 1_000_000_000  # parts per billion: bps and ratios as integers
_PPB_PER_BPS = 100_000


class RiskCheck(StrEnum):
    KILLED = "kill_latch"  # the operator has pulled the latch
    STOPPING = "stopping"  # the instance is being stopped
    PAUSED = "paused"  # the operator has paused entries
    PAIR_STATE = "pair_state"  # the pair is not at rest, or a leg's position is not confirmed
    SIGNAL_AGE = "signal_age"  # decided too long ago
    VENUE_READY = "venue_ready"  # a venue is not logged in, silent, or has no connection free
    RATE_BUDGET = "rate_budget"  # only the reserve of a venue's rate limit is left, or it wants a pause
    LEG_PRICE = "leg_price"  # a leg has no usable price now
    BREAKER = "breaker"  # too many failures in a row
    DAILY_LOSS = "daily_loss"  # today's realised loss
    DRAWDOWN = "drawdown"  # today's result below today's best
    ORDERS_PER_MINUTE = "orders_per_minute"
    ORDER_SIZE = "order_size"  # base currency, of one leg's order
    NET_EXPOSURE = "net_exposure"  # what venues together hold unhedged of this base currency
    ORDER_NOTIONAL = "order_notional"  # of one leg's order
    POSITION_NOTIONAL = "position_notional"  # of everything held on one venue, with this order
    MARGIN_KNOWN = "margin_known"  # seconds since a venue told its margin
    LEVERAGE = "leverage"  # positions on one venue with this order, over the account's value
    FREE_MARGIN = "free_margin"  # collateral free for this order
    LIQUIDATION = "liquidation_distance"  # of the nearest position on a venue, part of its price
    LIQUIDITY = "liquidity"  # visible within the price band, in multiples of the order
    PRICE_COLLAR = "price_collar"  # a limit against the other venue's price
    SLIPPAGE = "slippage"  # what both books cost now, against the prices of the signal


class Refusal(NamedTuple):
    """Why not. Amounts in quote currency, ages in ms unless said otherwise, prices in bps."""

    gate: RiskCheck
    value: float
    limit: float


class Limits(NamedTuple):
    """``RiskSettings`` and one pair's own limits as the integers that gates compare."""

    failures: int
    daily_loss_e8: int
    drawdown_e8: int
    orders_per_minute: int
    order_size_e8: int
    order_notional_e8: int
    position_notional_e8: int
    net_exposure_e8: int
    margin_age_ns: int
    leverage_ppb: int
    liquidation_distance_ppb: int
    liquidity_ppb: int
    slippage_ppb: int
    price_collar_ppb: int
    band_ppb: int  # how far from the price seen an entry's limit may be


def limits_of(
    risk: RiskSettings,
    *,
    size_e8_max: int,
    price_band_bps: float,
    max_slippage_bps: float,
    min_liquidity_ratio: float,
) -> Limits:
    """The limits of a pair that may hold ``size_e8_max``: no single order needs to be larger."""
    return Limits(
        failures=risk.max_consecutive_failures,
        daily_loss_e8=risk.max_daily_loss_quote_e8,
        drawdown_e8=risk.max_drawdown_quote_e8 or risk.max_daily_loss_quote_e8,
        orders_per_minute=risk.max_orders_per_minute,
        order_size_e8=size_e8_max,
        order_notional_e8=risk.max_order_notional_quote_e8,
        position_notional_e8=risk.max_position_notional_quote_e8,
        net_exposure_e8=risk.max_net_exposure_quote_e8,
        margin_age_ns=int(risk.max_margin_age_s * 1e9),
        leverage_ppb=round(risk.max_leverage * _PPB),
        liquidation_distance_ppb=round(risk.min_liquidation_distance_ratio * _PPB),
        liquidity_ppb=round(min_liquidity_ratio * _PPB),
        slippage_ppb=round(max_slippage_bps * _PPB_PER_BPS),
        price_collar_ppb=round(risk.price_collar_bps * _PPB_PER_BPS),
        band_ppb=round(price_band_bps * _PPB_PER_BPS),
    )


class Margin(NamedTuple):
    """A venue's margin account as it was last told."""

    value_e8: int
    free_e8: int
    liquidation_distance_ppb: int  # of the nearest position; one billion when none is held
    asked_mono_ns: int  # 0: never told


NO_MARGIN = Margin(0, 0, 0, 0)


class EntryLeg(NamedTuple):
    """One leg of an entry, as it would be sent."""

    notional_e8: int  # of the order at its limit price
    venue_notional_e8: int  # absolute positions on this leg's venue now
    limit_price_e8: int
    seen_price_e8: int  # the touch of the signal
    price_now_e8: int  # average of taking the order from this book now; 0: no usable one
    worse_e8: int  # price_now against seen_price, positive when it costs more
    visible_e8: int  # what the book shows within the limit; the touch alone where that is plenty
    other_mid_e8: int  # middle of the other leg's touch; 0 when it has no usable one
    can_send: bool
    margin: Margin


class EntryCheck(NamedTuple):
    """Everything the gates look at, taken at one instant."""

    limits: Limits
    now_mono_ns: int
    decided_mono_ns: int
    expires_mono_ns: int
    is_killed: bool
    is_stopping: bool
    is_paused: bool
    is_at_rest: bool  # nothing under way or in doubt, both legs confirmed
    is_breaker_open: bool
    failures: int
    orders_last_minute: int
    result_today_e8: int
    best_today_e8: int
    net_exposure_e8: int
    size_e8: int
    first: EntryLeg
    second: EntryLeg


def refuse_entry(check: EntryCheck) -> Refusal | None:
    """The first gate that says no, or None when the entry may leave.

    One function on purpose: a call per gate would cost four times as much as all the comparisons.
    """
    limits, first, second, now_mono_ns = check.limits, check.first, check.second, check.now_mono_ns
    if check.is_killed:
        return Refusal(RiskCheck.KILLED, 1, 0)
    if check.is_stopping:
        return Refusal(RiskCheck.STOPPING, 1, 0)
    if check.is_paused:
        return Refusal(RiskCheck.PAUSED, 1, 0)
    if not check.is_at_rest:
        return Refusal(RiskCheck.PAIR_STATE, 0, 1)
    if now_mono_ns > check.expires_mono_ns:
        return refuse_old(now_mono_ns, check.decided_mono_ns, check.expires_mono_ns)
    if not (first.can_send and second.can_send):
        return Refusal(RiskCheck.VENUE_READY, first.can_send + second.can_send, 2)
    if not (first.price_now_e8 and second.price_now_e8):  # before those that divide by a price
        return Refusal(RiskCheck.LEG_PRICE, (first.price_now_e8 > 0) + (second.price_now_e8 > 0), 2)
    if check.is_breaker_open:
        return Refusal(RiskCheck.BREAKER, check.failures, limits.failures)
    result_e8 = check.result_today_e8
    if -result_e8 >= limits.daily_loss_e8:
        return _refuse_amount(RiskCheck.DAILY_LOSS, -result_e8, limits.daily_loss_e8)
    fall_e8 = check.best_today_e8 - result_e8
    if fall_e8 >= limits.drawdown_e8:
        return _refuse_amount(RiskCheck.DRAWDOWN, fall_e8, limits.drawdown_e8)
    if check.orders_last_minute + 2 > limits.orders_per_minute:
        return Refusal(RiskCheck.ORDERS_PER_MINUTE, check.orders_last_minute + 2, limits.orders_per_minute)
    if check.size_e8 > limits.order_size_e8:
        return _refuse_amount(RiskCheck.ORDER_SIZE, check.size_e8, limits.order_size_e8)
    if check.net_exposure_e8 > limits.net_exposure_e8:
        return _refuse_amount(RiskCheck.NET_EXPOSURE, check.net_exposure_e8, limits.net_exposure_e8)
    return _refuse_leg(check, first) or _refuse_leg(check, second) or _refuse_slippage(check)


def _refuse_leg(check: EntryCheck, leg: EntryLeg) -> Refusal | None:
    """The gates that each leg passes by itself."""
    limits = check.limits
    order_e8, limit_e8 = leg.notional_e8, limits.order_notional_e8
    if order_e8 > limit_e8:
        return _refuse_amount(RiskCheck.ORDER_NOTIONAL, order_e8, limit_e8)
    held_e8, limit_e8 = leg.venue_notional_e8 + order_e8, limits.position_notional_e8
    if held_e8 > limit_e8:
        return _refuse_amount(RiskCheck.POSITION_NOTIONAL, held_e8, limit_e8)
    value_e8, free_e8, distance_ppb, asked_mono_ns = leg.margin
    age_ns = check.now_mono_ns - asked_mono_ns
    if not asked_mono_ns or age_ns > limits.margin_age_ns:  # not assumed to be fine
        age_s = age_ns / 1e9 if asked_mono_ns else -1
        return Refusal(RiskCheck.MARGIN_KNOWN, age_s, limits.margin_age_ns / 1e9)
    leverage_ppb = limits.leverage_ppb
    if held_e8 * _PPB > leverage_ppb * value_e8:
        leverage = held_e8 / value_e8 if value_e8 > 0 else -1  # nothing left to lever
        return Refusal(RiskCheck.LEVERAGE, leverage, leverage_ppb / _PPB)
    if free_e8 * leverage_ppb < order_e8 * _PPB:  # margin of the order at the highest leverage we allow
        return Refusal(RiskCheck.FREE_MARGIN, free_e8 / E8, order_e8 / E8 * _PPB / leverage_ppb)
    if distance_ppb < limits.liquidation_distance_ppb:
        return Refusal(RiskCheck.LIQUIDATION, distance_ppb / _PPB, limits.liquidation_distance_ppb / _PPB)
    if leg.visible_e8 * _PPB < check.size_e8 * limits.liquidity_ppb:
        return Refusal(RiskCheck.LIQUIDITY, leg.visible_e8 / check.size_e8, limits.liquidity_ppb / _PPB)
    off_e8 = abs(leg.limit_price_e8 - leg.other_mid_e8)
    if off_e8 * _PPB > limits.price_collar_ppb * leg.other_mid_e8:
        off_bps = 10_000 * off_e8 / leg.other_mid_e8
        return Refusal(RiskCheck.PRICE_COLLAR, off_bps, limits.price_collar_ppb / _PPB_PER_BPS)
    return None


def _refuse_slippage(check: EntryCheck) -> Refusal | None:
    """Both legs together: what one has lost the other may have gained."""
    first, second, limit_ppb = check.first, check.second, check.limits.slippage_ppb
    if not (first.worse_e8 or second.worse_e8):
        return None
    worse_ppb = first.worse_e8 * _PPB // first.seen_price_e8 + second.worse_e8 * _PPB // second.seen_price_e8
    if worse_ppb <= limit_ppb:
        return None
    return Refusal(RiskCheck.SLIPPAGE, worse_ppb / _PPB_PER_BPS, limit_ppb / _PPB_PER_BPS)


def _refuse_amount(gate: RiskCheck, value_e8: int, limit_e8: int) -> Refusal:
    return Refusal(gate, value_e8 / E8, limit_e8 / E8)


def refuse_old(now_mono_ns: int, decided_mono_ns: int, expires_mono_ns: int) -> Refusal | None:
    """The one gate that exits pass too: an old signal was decided on prices that are gone."""
    if now_mono_ns <= expires_mono_ns:
        return None
    age_ms = (now_mono_ns - decided_mono_ns) / 1e6
    return Refusal(RiskCheck.SIGNAL_AGE, age_ms, (expires_mono_ns - decided_mono_ns) / 1e6)
