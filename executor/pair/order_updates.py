"""What the venue's updates and executions make of an order."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from executor.pair.messages import FillReport, FillsRead, OrderReport
from executor.pair.order import ENDED, Order, OrderState, ended, known_open, moved
from venues.contract import E8, OrderStatus

FILL_IDS_MAX: Final = 64  # executions counted singly per order; past them the venue's totals are believed
# 720 million in quote currency. No order of ours is worth as much: a price or a fee beyond it is a fault of
# the venue's, and a state that took it over would not fit the 64 bits that it is stored in.
QUOTE_E8_MAX: Final = 1 << 56
_FINAL_OF: Final = {
    OrderStatus.FILLED: OrderState.FILLED,
    OrderStatus.CANCELLED: OrderState.CANCELLED,
    OrderStatus.REJECTED: OrderState.REJECTED,
}


def after_report(order: Order, reported: OrderReport, *, now_mono_ns: int, wait_ns: int) -> Order:
    """What an update of the venue makes of an order."""
    filled_e8 = amount_reported(order, reported)
    if reported.venue_order_id:
        order = replace(order, venue_order_id=reported.venue_order_id)
    if filled_e8 is not None and filled_e8 >= order.reported_e8:
        order = replace(order, reported_e8=filled_e8)
        if reported.average_price_e8 is not None and is_possible(filled_e8, reported.average_price_e8, 0):
            order = replace(order, reported_quote_e8=filled_e8 * reported.average_price_e8 // E8)
        if reported.fee_e8 is not None and is_possible(0, 0, reported.fee_e8):
            order = replace(order, reported_fee_e8=reported.fee_e8)
    if reported.status is OrderStatus.OPEN:
        return known_open(order, now_mono_ns, wait_ns)
    if filled_e8 is None and order.fills_e8 < order.size_e8:
        if order.state in ENDED and order.state is not OrderState.ABSENT and not order.is_refused:
            return order
        order = replace(order, is_reported=order.is_reported and not order.is_refused, is_refused=False)
        return moved(order, OrderState.UNCOUNTED, now_mono_ns)
    order = replace(order, is_reported=True, is_refused=False)
    return ended(order, _FINAL_OF[reported.status], now_mono_ns)


def is_about(order: Order, reported: OrderReport, instrument_id: int) -> bool:
    """Whether what the venue says under an order's name fits the order: its contract, side and size.

    A venue may cut down what can only shrink a position.
    """
    if reported.instrument_id not in (-1, instrument_id) or reported.side not in (None, order.side):
        return False
    if not reported.size_e8 or reported.size_e8 == order.size_e8:  # 0: reported by its executions alone
        return True
    return order.reduce_only and reported.size_e8 < order.size_e8


def amount_reported(order: Order, reported: OrderReport) -> int | None:
    """The cumulative amount an update reports; None is not nothing: the venue did not say."""
    if reported.filled_e8 is None and reported.status is OrderStatus.FILLED:
        return order.size_e8
    return reported.filled_e8


def is_possible(size_e8: int, price_e8: int, fee_e8: int) -> bool:
    """Whether an order of ours can have cost that. What cannot be is taken as not reported: the amount
    counts by what the venue says in total, at the limit price, and stays an estimate."""
    return 0 <= size_e8 * price_e8 // E8 <= QUOTE_E8_MAX and abs(fee_e8) <= QUOTE_E8_MAX


def fill_key(fill_id: str) -> str:
    """A venue's id of an execution in 16 characters, however long the venue makes it."""
    return blake2b(fill_id.encode(), digest_size=8).hexdigest()


def is_known_fill(order: Order, fill_id: str) -> bool:
    return fill_key(fill_id) in order.fill_ids


def after_fill(order: Order, fill: FillReport, *, now_mono_ns: int, wait_ns: int) -> Order:
    """What one execution makes of an order; the same execution twice changes nothing.

    Of an order with more than ``FILL_IDS_MAX`` the rest counts by what the venue says in total, or lists:
    a state that grew with every execution would not fit its place in memory.
    """
    if is_known_fill(order, fill.fill_id) or order.fills_e8 >= order.size_e8:
        return order
    if len(order.fill_ids) >= FILL_IDS_MAX or not is_possible(fill.size_e8, fill.price_e8, fill.fee_e8):
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
        # All that it can fill has been reported: which executions that were need not be remembered.
        return ended(replace(order, fill_ids=()), OrderState.FILLED, now_mono_ns)
    return known_open(order, now_mono_ns, wait_ns)


def after_fills_read(order: Order, read: FillsRead, now_mono_ns: int) -> Order:
    """What the venue's list of its executions makes of an order: it takes the place of single ones.

    A list that knows less than was received lags behind: it is asked for again.
    """
    fills = list({fill.fill_id: fill for fill in read.fills}.values())
    size_e8 = sum(fill.size_e8 for fill in fills)
    if not order.fills_e8 <= size_e8 <= order.size_e8 or not size_e8:
        return order
    if not all(is_possible(fill.size_e8, fill.price_e8, fill.fee_e8) for fill in fills):
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
