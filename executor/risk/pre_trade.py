"""Whether an entry may leave, asked immediately before its bytes. An exit is asked for its age alone, repairs
and cancels for nothing.

``check`` asks the trading state first, then compares the entry with its pair's limits, from the cheapest and
most decisive check to the rest. A refusal is a value: its reason and the two numbers compared. All of it
stands between a signal and its first byte, so limits are integers worked out once (``Limits``), what moves
slowly is only looked up, and numbers for people are made only for a refusal.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from settings import RiskSettings
from shm.entry_block import EntryBlock
from venues.contract import E8

_PPB = 1_000_000_000  # parts per billion: bps and ratios as integers
_PPB_PER_BPS = 100_000


class Refused(NamedTuple):
    """No, and why: amounts in quote currency, ages in ms unless another unit is named, prices in bps."""

    block: EntryBlock
    value: float
    limit: float
    detail: str = ""  # a venue's own status, where it has one

    @property
    def text(self) -> str:
        """The reason as people read it."""
        return self.detail or self.block.text


class Approved:
    """Yes: nothing stands in the entry's way."""

    __slots__ = ()


APPROVED: Final = Approved()


class State(Protocol):
    """What stops entries everywhere: ``executor.risk.trading_state``."""

    def refusals(self, now_mono_ns: int) -> list[Refused]:
        """Every reason that holds now, the first one first."""


class Limits(NamedTuple):
    """``RiskSettings`` and one pair's own limits as the integers that are compared."""

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
    """A venue's margin account as it was last reported."""

    value_e8: int
    free_e8: int
    liquidation_distance_ppb: int  # of the nearest position; one billion when none is held
    asked_mono_ns: int  # 0: never reported


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
    other_mid_e8: int  # middle of the other leg's touch in this leg's currency; 0 when no rate is known
    can_send: bool
    opens_from_mono_ns: int  # when the venue's rate limits leave an entry more than the reserve
    margin: Margin


class Entry(NamedTuple):
    """An entry as it would be sent, and what surrounds it, taken at one instant."""

    now_mono_ns: int
    decided_mono_ns: int
    expires_mono_ns: int
    is_at_rest: bool  # nothing under way or in doubt, both legs confirmed
    orders_last_minute: int
    net_exposure_e8: int
    size_e8: int
    first: EntryLeg
    second: EntryLeg


def check(entry: Entry, limits: Limits, state: State) -> Approved | Refused:
    """Approved, or the first reason that stands against the entry.

    One function on purpose: a call for each check would cost four times as much as all the comparisons.
    """
    first, second, now_mono_ns = entry.first, entry.second, entry.now_mono_ns
    if stopped := state.refusals(now_mono_ns):
        return stopped[0]
    if not entry.is_at_rest:
        return Refused(EntryBlock.PAIR_STATE, 0, 1)
    if now_mono_ns > entry.expires_mono_ns:
        return _too_old(now_mono_ns, entry.decided_mono_ns, entry.expires_mono_ns)
    if not (first.can_send and second.can_send):
        return Refused(EntryBlock.VENUE_READY, first.can_send + second.can_send, 2)
    if not (first.price_now_e8 and second.price_now_e8):  # before those that divide by a price
        return Refused(EntryBlock.LEG_PRICE, (first.price_now_e8 > 0) + (second.price_now_e8 > 0), 2)
    if not (first.other_mid_e8 and second.other_mid_e8):
        return Refused(EntryBlock.QUOTE_RATE, 0, 1)
    if entry.orders_last_minute + 2 > limits.orders_per_minute:
        return Refused(EntryBlock.ORDERS_PER_MINUTE, entry.orders_last_minute + 2, limits.orders_per_minute)
    if entry.size_e8 > limits.order_size_e8:
        return _refused_amount(EntryBlock.ORDER_SIZE, entry.size_e8, limits.order_size_e8)
    if entry.net_exposure_e8 > limits.net_exposure_e8:
        return _refused_amount(EntryBlock.NET_EXPOSURE, entry.net_exposure_e8, limits.net_exposure_e8)
    return (
        _refuse_leg(entry, limits, first)
        or _refuse_leg(entry, limits, second)
        or _refuse_slippage(entry, limits)
        or _refuse_rate(entry)
        or APPROVED
    )


def check_age(now_mono_ns: int, decided_mono_ns: int, expires_mono_ns: int) -> Approved | Refused:
    """The one check that exits pass, too: an old signal was decided on prices that are gone."""
    if now_mono_ns <= expires_mono_ns:
        return APPROVED
    return _too_old(now_mono_ns, decided_mono_ns, expires_mono_ns)


def _refuse_leg(entry: Entry, limits: Limits, leg: EntryLeg) -> Refused | None:
    """The checks that each leg passes by itself."""
    order_e8, limit_e8 = leg.notional_e8, limits.order_notional_e8
    if order_e8 > limit_e8:
        return _refused_amount(EntryBlock.ORDER_NOTIONAL, order_e8, limit_e8)
    held_e8, limit_e8 = leg.venue_notional_e8 + order_e8, limits.position_notional_e8
    if held_e8 > limit_e8:
        return _refused_amount(EntryBlock.POSITION_NOTIONAL, held_e8, limit_e8)
    value_e8, free_e8, distance_ppb, asked_mono_ns = leg.margin
    age_ns = entry.now_mono_ns - asked_mono_ns
    if not asked_mono_ns or age_ns > limits.margin_age_ns:  # not assumed to be fine
        age_s = age_ns / 1e9 if asked_mono_ns else -1
        return Refused(EntryBlock.MARGIN_UNKNOWN, age_s, limits.margin_age_ns / 1e9)
    leverage_ppb = limits.leverage_ppb
    if held_e8 * _PPB > leverage_ppb * value_e8:
        leverage = held_e8 / value_e8 if value_e8 > 0 else -1  # nothing left to lever
        return Refused(EntryBlock.LEVERAGE, leverage, leverage_ppb / _PPB)
    if free_e8 * leverage_ppb < order_e8 * _PPB:  # margin of the order at the highest leverage we allow
        return Refused(EntryBlock.FREE_MARGIN, free_e8 / E8, order_e8 / E8 * _PPB / leverage_ppb)
    if distance_ppb < limits.liquidation_distance_ppb:
        return Refused(EntryBlock.LIQUIDATION, distance_ppb / _PPB, limits.liquidation_distance_ppb / _PPB)
    if leg.visible_e8 * _PPB < entry.size_e8 * limits.liquidity_ppb:
        return Refused(EntryBlock.LIQUIDITY, leg.visible_e8 / entry.size_e8, limits.liquidity_ppb / _PPB)
    off_e8 = abs(leg.limit_price_e8 - leg.other_mid_e8)
    if off_e8 * _PPB > limits.price_collar_ppb * leg.other_mid_e8:
        off_bps = 10_000 * off_e8 / leg.other_mid_e8
        return Refused(EntryBlock.PRICE_COLLAR, off_bps, limits.price_collar_ppb / _PPB_PER_BPS)
    return None


def _refuse_slippage(entry: Entry, limits: Limits) -> Refused | None:
    """Both legs together: what one has lost the other may have gained."""
    first, second, limit_ppb = entry.first, entry.second, limits.slippage_ppb
    if not (first.worse_e8 or second.worse_e8):
        return None
    worse_ppb = first.worse_e8 * _PPB // first.seen_price_e8 + second.worse_e8 * _PPB // second.seen_price_e8
    if worse_ppb <= limit_ppb:
        return None
    return Refused(EntryBlock.SLIPPAGE, worse_ppb / _PPB_PER_BPS, limit_ppb / _PPB_PER_BPS)


def _refuse_rate(entry: Entry) -> Refused | None:
    """An entry leaves what mends and closes positions enough room in both venues' rate limits."""
    if max(entry.first.opens_from_mono_ns, entry.second.opens_from_mono_ns) <= entry.now_mono_ns:
        return None
    return Refused(EntryBlock.RATE_BUDGET, 0, 1)


def _refused_amount(block: EntryBlock, value_e8: int, limit_e8: int) -> Refused:
    return Refused(block, value_e8 / E8, limit_e8 / E8)


def _too_old(now_mono_ns: int, decided_mono_ns: int, expires_mono_ns: int) -> Refused:
    age_ms = (now_mono_ns - decided_mono_ns) / 1e6
    return Refused(EntryBlock.SIGNAL_AGE, age_ms, (expires_mono_ns - decided_mono_ns) / 1e6)
