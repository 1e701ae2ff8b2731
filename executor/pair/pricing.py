"""The machine's arithmetic: limit prices, sizes a venue takes, and what mending a pair will cost.

Integers scaled by 10**8 throughout; basis points decide how far a price may be off and are turned
into an integer offset before any price is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from venues.contract import E8, PAR_E8, Instrument, Side, converted_e8

_PPB_PER_BPS = 100_000  # parts per billion in one basis point


def limit_price_e8(instrument: Instrument, side: Side, touch_e8: int, band_bps: float) -> int:
    """The worst price accepted when the touch is ``touch_e8``, on the tick.

    Rounded towards the touch, so the band is never exceeded, but never past the touch itself.
    """
    offset_e8 = touch_e8 * round(band_bps * _PPB_PER_BPS) // 1_000_000_000
    if side is Side.BUY:
        return max(instrument.price_down_e8(touch_e8 + offset_e8), instrument.price_up_e8(touch_e8))
    lowest_e8 = min(instrument.price_up_e8(touch_e8 - offset_e8), instrument.price_down_e8(touch_e8))
    return max(lowest_e8, instrument.tick_e8)


def closable_e8(instrument: Instrument, size_e8: int) -> int:
    """How much of ``size_e8`` one reduce-only order can close; 0 when it is below the minimum."""
    return _on_grid(instrument, size_e8)


def openable_e8(instrument: Instrument, size_e8: int, price_e8: int) -> int:
    """How much of ``size_e8`` one order can open at ``price_e8``; 0 when the venue would refuse."""
    size_e8 = _on_grid(instrument, size_e8)
    return size_e8 if size_e8 * price_e8 // E8 >= instrument.min_notional_e8 else 0


def _on_grid(instrument: Instrument, size_e8: int) -> int:
    assert size_e8 >= 0, "sizes are unsigned, positions alone have a sign"
    if instrument.max_size_e8:
        size_e8 = min(size_e8, instrument.max_size_e8)
    size_e8 -= size_e8 % instrument.lot_e8
    return size_e8 if size_e8 >= instrument.min_size_e8 else 0


def price_to_take_e8(market: LegMarket, side: Side, size_e8: int) -> int:
    """Average price of taking ``size_e8``. What the known levels do not hold costs the last level."""
    assert size_e8 > 0, "nothing has no average price"
    levels: Sequence[tuple[int, int]] = market.asks if side is Side.BUY else market.bids
    last_e8 = market.ask_e8 if side is Side.BUY else market.bid_e8
    left_e8, quote = size_e8, 0
    for price_e8, level_e8 in levels:
        taken_e8 = min(left_e8, level_e8)
        quote += taken_e8 * price_e8
        left_e8 -= taken_e8
        last_e8 = price_e8
        if not left_e8:
            break
    return (quote + left_e8 * last_e8) // size_e8


def in_other_currency_e8(leg: int, price_e8: int, rate_e8: int) -> int:
    """A price of one leg in the quote currency of the other leg; 0 where no rate is known."""
    assert leg in (0, 1), "a pair has two legs"
    assert rate_e8 >= 0, "a rate is above nothing, or not known"
    if leg == 1 or rate_e8 == PAR_E8:
        return converted_e8(price_e8, rate_e8)
    return price_e8 * E8 // rate_e8 if rate_e8 else 0


class Costs(NamedTuple):
    """Expected cost of both ways to mend a naked pair, quote currency; smaller is better."""

    complete_e8: int
    unwind_e8: int


def mending_costs(
    *,
    long_leg_side: Side,
    held_price_e8: int,
    complete_price_e8: int,
    unwind_price_e8: int,
    size_e8: int,
    fees_bps: tuple[float, float],
    later_exit_bps: float,
) -> Costs:
    """Compare completing the shorter leg with unwinding the longer one.

    Both are the loss against the price at which the longer leg stands, so they are comparable.
    long_leg_side: the side that built the longer leg. fees_bps: (of the completing order, of the
    unwinding order). later_exit_bps: what closing a completed pair is expected to cost, fees and
    remaining spread; an unwound pair needs no closing.
    """
    assert size_e8 > 0, "only legs that differ are mended"
    notional_e8 = size_e8 * held_price_e8 // E8
    # Completing a long sells elsewhere, unwinding it sells here: dearer is better for both.
    complete_loss_e8 = long_leg_side * (held_price_e8 - complete_price_e8) * size_e8 // E8
    unwind_loss_e8 = long_leg_side * (held_price_e8 - unwind_price_e8) * size_e8 // E8
    return Costs(
        complete_e8=complete_loss_e8 + _bps_of(notional_e8, fees_bps[0] + later_exit_bps),
        unwind_e8=unwind_loss_e8 + _bps_of(notional_e8, fees_bps[1]),
    )


def spread_bps(*, buy_quote_e8: int, buy_e8: int, sell_quote_e8: int, sell_e8: int) -> float:
    """Spread between two average prices in bps of the buy price; 0.0 when one side is missing."""
    if not (buy_e8 and sell_e8 and buy_quote_e8):
        return 0.0
    return 10_000 * ((sell_quote_e8 / sell_e8) / (buy_quote_e8 / buy_e8) - 1)


def average_price_e8(quote_e8: int, size_e8: int) -> int:
    """Average price of a traded amount; 0 for nothing."""
    return quote_e8 * E8 // size_e8 if size_e8 else 0


def _bps_of(notional_e8: int, bps: float) -> int:
    return notional_e8 * round(bps * _PPB_PER_BPS) // 1_000_000_000


class LegMarket(NamedTuple):
    """What one leg's book offers now. Levels are optional; without them the touch is taken to hold.

    ``bids`` and ``asks``: (price_e8, size_e8), best first, as in ``shm.records.DepthBook``.
    """

    is_valid: bool  # fresh, two-sided, not crossed; when False the prices are not looked at
    bid_e8: int = 0
    ask_e8: int = 0
    bids: tuple[tuple[int, int], ...] = ()
    asks: tuple[tuple[int, int], ...] = ()


NO_MARKET = LegMarket(is_valid=False)


def touch_e8(market: LegMarket, side: Side) -> int:
    """The price an order on this side meets; 0 when there is none to go by."""
    if not market.is_valid:
        return 0
    return market.ask_e8 if side is Side.BUY else market.bid_e8
