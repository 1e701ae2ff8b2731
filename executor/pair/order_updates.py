"""What the venue's updates and executions make of an order."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from executor.pair.messages import FillsRead, FillTold, OrderTold
from executor.pair.order import ENDED, Order, OrderState, ended, known_open, moved
from venues.contract import E8, OrderStatus

FILL_IDS_MAX: Final = 64  # executions counted singly per order; past them the venue's totals are believed
_FINAL_OF: Final = {
    OrderStatus.FILLED: OrderState.FILLED,
    OrderStatus.CANCELLED: OrderState.CANCELLED,
    OrderStatus.REJECTED: OrderState.REJECTED,
}


def after_told(order: Order, told: OrderTold, *, now_mono_ns: int, wait_ns: int) -> Order:
    """What an update of the venue makes of an order."""
    filled_e8 = amount_told(order, told)
    if told.venue_order_id:
        order = replace(order, venue_order_id=told.venue_order_id)
    if filled_e8 is not None and filled_e8 >= order.told_e8:
        order = replace(order, told_e8=filled_e8)
        if told.average_price_e8 is not None:
            order = replace(order, told_quote_e8=filled_e8 * told.average_price_e8 // E8)
        if told.fee_e8 is not None:
            order = replace(order, told_fee_e8=told.fee_e8)
    if told.status is OrderStatus.OPEN:
        return known_open(order, now_mono_ns, wait_ns)
    if filled_e8 is None and order.fills_e8 < order.size_e8:
        if order.state in ENDED and order.state is not OrderState.ABSENT and not order.is_refused:
            return order
        order = replace(order, is_told=order.is_told and not order.is_refused, is_refused=False)
        return moved(order, OrderState.UNCOUNTED, now_mono_ns)
    order = replace(order, is_told=True, is_refused=False)
    return ended(order, _FINAL_OF[told.status], now_mono_ns)


def is_about(order: Order, told: OrderTold, instrument_id: int) -> bool:
    """Whether what the venue says under an order's name fits the order: its contract, side and size.

    A venue may cut down what can only shrink a position.
    """
    if told.instrument_id not in (-1, instrument_id) or told.side not in (None, order.side):
        return False
    if not told.size_e8 or told.size_e8 == order.size_e8:  # 0: told by its executions alone
        return True
    return order.reduce_only and told.size_e8 < order.size_e8


def amount_told(order: Order, told: OrderTold) -> int | None:
    """The cumulative amount an update tells; None is not nothing: the venue did not say."""
    if told.filled_e8 is None and told.status is OrderStatus.FILLED:
        return order.size_e8
    return told.filled_e8


def fill_key(fill_id: str) -> str:
    """A venue's id of an execution in 16 characters, however long the venue makes it."""
    return blake2b(fill_id.encode(), digest_size=8).hexdigest()


def is_known_fill(order: Order, fill_id: str) -> bool:
    return fill_key(fill_id) in order.fill_ids


def after_fill(order: Order, fill: FillTold, *, now_mono_ns: int, wait_ns: int) -> Order:
    """What one execution makes of an order; the same execution twice changes nothing.

    Of an order with more than ``FILL_IDS_MAX`` the rest counts by what the venue says in total, or lists:
    a state that grew with every execution would not fit its place in memory.
    """
    if is_known_fill(order, fill.fill_id) or order.fills_e8 >= order.size_e8:
        return order
    if len(order.fill_ids) >= FILL_IDS_MAX:
        return order
    order = replace(
        order,
        fill_ids=(*order.fill_ids, fill_key(fill.fill_id)),
        fills_e8=order.fills_e8 + fill.size_e8,
        fills_quote_e8=order.fills_quote_e8 + fill.size_e8 * fill.price_e8 // E8,
        fills_fee_e8=order.fills_fee_e8 + fill.fee_e8,
    )
    assert len(order.fill_ids) <= FILL_IDS_MAX, "a state keeps its room in memory"
    if order.fills_e8 >= order.size_e8:
        # All that it can fill has been told: which executions that were need not be remembered.
        return ended(replace(order, fill_ids=()), OrderState.FILLED, now_mono_ns)
    return known_open(order, now_mono_ns, wait_ns)


def after_fills_read(order: Order, read: FillsRead, now_mono_ns: int) -> Order:
    """What the venue's list of its executions makes of an order: it takes the place of what was heard singly.

    A list that knows less than was heard lags behind: it is asked for again.
    """
    fills = list({fill.fill_id: fill for fill in read.fills}.values())
    size_e8 = sum(fill.size_e8 for fill in fills)
    if not order.fills_e8 <= size_e8 <= order.size_e8 or not size_e8:
        return order
    order = replace(
        order,
        fill_ids=tuple(fill_key(fill.fill_id) for fill in fills)[-FILL_IDS_MAX:],
        fills_e8=size_e8,
        fills_quote_e8=sum(fill.size_e8 * fill.price_e8 // E8 for fill in fills),
        fills_fee_e8=sum(fill.fee_e8 for fill in fills),
    )
    assert 0 < order.fills_e8 <= order.size_e8, "a list that does not fit the order was left"
    if size_e8 < order.size_e8:
        return order
    return ended(replace(order, fill_ids=()), OrderState.FILLED, now_mono_ns)
