"""Matching: price first, then time; and what an order's end does to other orders.

Works on the ledger and leaves its news there; the exchange publishes it.
"""

from __future__ import annotations

from simulator.accounts import reduce_only_orders_to_cancel
from simulator.book import Book
from simulator.ledger import Ledger
from simulator.orders import BUY, SELL, Amendment, Reason, SimOrder, SimOrderStatus, SimTrade


def match(ledger: Ledger, order: SimOrder) -> None:
    """Fill what the book offers within the order's limit; rest, cancel or finish what remains."""
    _match(ledger, order)
    if order.filled_e8 or not order.status.is_final:
        ledger.tell_book(order.symbol)


def match_part(ledger: Ledger, order: SimOrder, size_e8: int) -> None:
    """Fill at most this much of an order that never was in the book; it keeps its status until full."""
    book = ledger.listings[order.symbol].book
    if _ending_before_match(order, book) is not None:
        return  # the caller that matches all of it ends it
    filled_e8 = order.filled_e8
    _take(ledger, order, book, size_e8)
    if order.filled_e8 == filled_e8:
        return
    if order.remaining_e8:
        ledger.tell_order(order)
    else:
        ledger.finish(order, SimOrderStatus.FILLED, None)
    _cancel_uncovered(ledger, order)
    ledger.tell_book(order.symbol)


def close_at(ledger: Ledger, order: SimOrder, price_e8: int) -> None:
    """Fill an order whole at a price, past the book."""
    trade = ledger.add_trade(order, order.side, price_e8, order.size_e8)
    ledger.add_fill(order, trade, is_maker=False)
    ledger.finish(order, SimOrderStatus.FILLED, None)
    _cancel_uncovered(ledger, order)


def amend(ledger: Ledger, order: SimOrder, to: Amendment) -> None:
    """Give a resting order its new size and price.

    It keeps its place in the queue only if it shrinks at its price. Anything else goes to the back,
    and to the book as a new order would: a price that crosses takes.
    """
    if to.limit_price_e8 == order.limit_price_e8 and to.size_e8 < order.size_e8:
        ledger.listings[order.symbol].book.shrink(order, to.size_e8)
        order.updated_unix_ns = ledger.now_unix_ns()
        ledger.tell_order(order)
    else:
        ledger.unrest(order)
        order.size_e8, order.limit_price_e8 = to
        _match(ledger, order)
    ledger.tell_book(order.symbol)


def _match(ledger: Ledger, order: SimOrder) -> None:
    book = ledger.listings[order.symbol].book
    ending = _ending_before_match(order, book)
    if ending is None:
        ending = _take(ledger, order, book, order.remaining_e8)
    if order.remaining_e8 == 0:
        ledger.finish(order, SimOrderStatus.FILLED, None)
    elif ending is not None:
        ledger.finish(order, SimOrderStatus.CANCELLED, ending)
    else:
        ledger.rest(order)
    if order.filled_e8 or not order.status.is_final:
        _cancel_uncovered(ledger, order)


def match_resting(ledger: Ledger, symbol: str) -> None:
    """Fill resting orders whose price the market maker's levels have reached, at that price."""
    book = ledger.listings[symbol].book
    for side in (BUY, SELL):
        while (order := book.best_order(side)) is not None:
            level = book.best_market(-side)
            assert order.limit_price_e8 is not None
            if level is None or side * level[0] > side * order.limit_price_e8:
                break
            size_e8 = min(level[1], order.remaining_e8)
            trade = ledger.add_trade(order, -side, order.limit_price_e8, size_e8)
            book.take_market(-side, size_e8)
            _fill_maker(ledger, order, trade, book)


def withdraw(ledger: Ledger, order: SimOrder, reason: Reason) -> None:
    """Cancel an order that is not final, wherever it stands."""
    if order.status is SimOrderStatus.OPEN:
        ledger.listings[order.symbol].book.remove(order)
        ledger.tell_book(order.symbol)
    ledger.finish(order, SimOrderStatus.CANCELLED, reason)


def post_only_crosses(order: SimOrder, book: Book) -> bool:
    """Whether a post-only order would take at its limit."""
    return order.post_only and book.best_against(order.side, order.limit_price_e8) is not None


def _ending_before_match(order: SimOrder, book: Book) -> Reason | None:
    """Why an order ends without touching the book: post-only that crosses, FOK that cannot fill."""
    if post_only_crosses(order, book):
        return Reason.POST_ONLY_WOULD_CROSS
    if order.time_in_force == "FOK":
        available_e8 = book.available_e8(order.side, order.limit_price_e8, order.account_id)
        if available_e8 < order.remaining_e8:
            return Reason.NO_LIQUIDITY
    return None


def _take(ledger: Ledger, order: SimOrder, book: Book, at_most_e8: int) -> Reason | None:
    """Take from the book in priority; return why what remains must not rest."""
    kept_e8 = max(order.remaining_e8 - at_most_e8, 0)
    while order.remaining_e8 > kept_e8:
        best = book.best_against(order.side, order.limit_price_e8)
        if best is None:
            break
        price_e8, size_e8, maker = best
        if maker is not None and maker.account_id == order.account_id:
            return Reason.SELF_TRADE
        size_e8 = min(size_e8, order.remaining_e8 - kept_e8)
        trade = ledger.add_trade(order, order.side, price_e8, size_e8)
        ledger.add_fill(order, trade, is_maker=False)
        if maker is None:
            book.take_market(-order.side, size_e8)
        else:
            _fill_maker(ledger, maker, trade, book)
    can_rest = order.time_in_force == "GTC" and order.limit_price_e8 is not None
    return None if can_rest else Reason.NO_LIQUIDITY


def _fill_maker(ledger: Ledger, order: SimOrder, trade: SimTrade, book: Book) -> None:
    ledger.add_fill(order, trade, is_maker=True)
    book.take_order(order)
    if order.remaining_e8 == 0:
        ledger.finish(order, SimOrderStatus.FILLED, None)
    else:
        ledger.tell_order(order)
    _cancel_uncovered(ledger, order)


def _cancel_uncovered(ledger: Ledger, filled: SimOrder) -> None:
    """Cancel resting reduce-only orders that could now open or grow a position."""
    account = ledger.accounts[filled.account_id]
    for order in reduce_only_orders_to_cancel(account, filled.symbol):
        withdraw(ledger, order, Reason.REDUCE_ONLY_EXCEEDS_POSITION)
