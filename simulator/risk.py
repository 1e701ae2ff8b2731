"""Checks orders twice: before they exist, and by risk before they match.

An order that is to be amended passes both again, as it is to become and in its own place.
"""

from __future__ import annotations

from simulator.accounts import Account, Markets, fee_e8, value_account
from simulator.ledger import Listing
from simulator.orders import Amendment, NewOrder, Reason, Refused, SimOrder, SimOrderStatus
from venues.contract import E8


def check_at_the_door(account: Account, listing: Listing, new: NewOrder) -> None:
    """Raise Refused unless the order fits the contract's grid and limits."""
    _check_fits_contract(account, listing, new)
    if listing.instrument.max_open_orders:
        open_count = sum(order.symbol == new.symbol for order in account.open_orders.values())
        if open_count >= listing.instrument.max_open_orders:
            raise Refused(Reason.TOO_MANY_OPEN_ORDERS, f"{open_count} on {new.symbol}")


def check_amendment(account: Account, listing: Listing, order: SimOrder, to: Amendment) -> None:
    """Raise Refused unless a resting order may ask to become this."""
    if order.status is not SimOrderStatus.OPEN:
        raise Refused(Reason.ORDER_NOT_OPEN, f"order {order.order_id} is {order.status.value}")
    if to == (order.size_e8, order.limit_price_e8):
        raise Refused(Reason.NOTHING_CHANGED, f"order {order.order_id} has this size and price")
    if to.size_e8 <= order.filled_e8:
        raise Refused(Reason.SIZE_ALREADY_FILLED, f"{order.filled_e8} e8 of order {order.order_id}")
    new = NewOrder(order.symbol, order.side, *to, order.time_in_force, order.post_only, order.reduce_only)
    _check_fits_contract(account, listing, new)


def _check_fits_contract(account: Account, listing: Listing, new: NewOrder) -> None:
    instrument = listing.instrument
    if not listing.is_trading:
        raise Refused(Reason.MARKET_CLOSED, f"{new.symbol} is halted")
    price_e8, size_e8 = new.limit_price_e8, new.size_e8
    if price_e8 is not None and (price_e8 <= 0 or price_e8 % instrument.price_step_e8(price_e8)):
        step_e8 = instrument.price_step_e8(price_e8)
        raise Refused(Reason.PRICE_OFF_GRID, f"price {price_e8} e8, tick {step_e8}")
    if size_e8 <= 0 or size_e8 % instrument.lot_e8:
        raise Refused(Reason.SIZE_OFF_GRID, f"size {size_e8} e8, lot {instrument.lot_e8}")
    if size_e8 < instrument.min_size_e8:
        raise Refused(Reason.SIZE_TOO_SMALL, f"size {size_e8} e8, minimum {instrument.min_size_e8}")
    if instrument.max_size_e8 and size_e8 > instrument.max_size_e8:
        raise Refused(Reason.SIZE_TOO_LARGE, f"size {size_e8} e8, maximum {instrument.max_size_e8}")
    notional_e8 = size_e8 * listing.book.mark_e8 // E8
    if notional_e8 < instrument.min_notional_e8 and not _closes_position(account, new):
        minimum = instrument.min_notional_e8
        raise Refused(Reason.NOTIONAL_TOO_SMALL, f"notional {notional_e8} e8, minimum {minimum}")


def _closes_position(account: Account, new: NewOrder) -> bool:
    """Whether it is a reduce-only order for the whole position: exempt from the minimum value."""
    return new.reduce_only and -new.side * account.position_e8(new.symbol) == new.size_e8


def risk_refusal(order: SimOrder, account: Account, listing: Listing, markets: Markets) -> Reason | None:
    """Return why risk refuses an order that reached the engine, or None.

    What counts is what remains of it; a resting order of the same id is left out of the account.
    """
    position_e8 = account.position_e8(order.symbol)
    if not listing.is_trading:
        return Reason.MARKET_CLOSED
    if order.reduce_only and order.side * position_e8 >= 0:
        return Reason.REDUCE_ONLY_INCREASES
    if order.reduce_only and order.remaining_e8 > abs(position_e8):
        return Reason.REDUCE_ONLY_EXCEEDS_POSITION
    if _exceeds_position_limit(order, account, listing, position_e8):
        return Reason.POSITION_LIMIT
    if _is_outside_band(order, listing):
        return Reason.PRICE_BAND
    if not _has_margin(order, account, listing, markets):
        return Reason.INSUFFICIENT_MARGIN
    return None


def _exceeds_position_limit(order: SimOrder, account: Account, listing: Listing, position_e8: int) -> bool:
    limit_e8 = listing.instrument.position_limit_e8
    same_side_e8 = sum(
        resting.remaining_e8
        for resting in account.open_orders.values()
        if resting.symbol == order.symbol
        and resting.side == order.side
        and resting.order_id != order.order_id
    )
    return limit_e8 != 0 and limit_e8 < order.remaining_e8 + same_side_e8 + order.side * position_e8


def _is_outside_band(order: SimOrder, listing: Listing) -> bool:
    """Whether an aggressive limit lies beyond the band; a passive one far away is fine."""
    band_e8, mark_e8 = listing.instrument.price_band_e8, listing.book.mark_e8
    if not band_e8 or not mark_e8 or order.limit_price_e8 is None:
        return False
    return order.side * (order.limit_price_e8 - mark_e8) > mark_e8 * band_e8 // E8


def band_edge_e8(side: int, listing: Listing) -> int | None:
    """Worst price of the band around the mark, rounded inwards to the tick; None without a band."""
    instrument, mark_e8 = listing.instrument, listing.book.mark_e8
    if not instrument.price_band_e8 or not mark_e8:
        return None
    edge_e8 = mark_e8 + side * (mark_e8 * instrument.price_band_e8 // E8)
    step_e8 = instrument.price_step_e8(edge_e8)
    return side * (side * edge_e8 // step_e8) * step_e8


def _has_margin(order: SimOrder, account: Account, listing: Listing, markets: Markets) -> bool:
    """Whether the account carries the order, fee included, or the order asks for no more margin."""
    before = value_account(account, markets)
    after = value_account(account, markets, extra=order)
    if after.initial_margin_e8 <= before.initial_margin_e8:
        return True
    notional_e8 = order.remaining_e8 * listing.book.mark_e8 // E8
    provision_e8 = fee_e8(notional_e8, listing.instrument.taker_fee_rate_e8)
    return before.value_e8 >= after.initial_margin_e8 + provision_e8
