"""Keeps an exchange's listings, accounts, orders, fills and trades, and calls the listeners.

The ledger records and remembers; it decides nothing. News is gathered while something happens and
reported by ``publish`` once books and accounts agree again.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from simulator.accounts import Account, Holding, Market, fee_e8
from simulator.book import Book
from simulator.orders import (
    NewOrder,
    Reason,
    Refused,
    SimFill,
    SimInstrument,
    SimOrder,
    SimOrderStatus,
    SimTrade,
)
from venues.contract import E8

MakeId = Callable[[int, int], str]  # (now_unix_ns, sequence) -> id in the venue's format
_TRADES_REMEMBERED = 1_000


@dataclass(slots=True)
class Listing:
    """One instrument on this exchange."""

    instrument: SimInstrument
    book: Book
    is_trading: bool = True
    funding_index_e12: int = 0


class Ledger:
    """The state of one exchange. Orders in it change; what leaves it through news does not."""

    def __init__(
        self,
        instruments: Iterable[SimInstrument],
        *,
        now_unix_ns: Callable[[], int],
        make_id: MakeId,
        history_limit: int,
    ) -> None:
        self.now_unix_ns = now_unix_ns
        self.listings = {instrument.symbol: Listing(instrument, Book()) for instrument in instruments}
        self.accounts: dict[str, Account] = {}
        self.fills: deque[SimFill] = deque(maxlen=history_limit)
        self.trades: deque[SimTrade] = deque(maxlen=_TRADES_REMEMBERED)
        self.book_listeners: list[Callable[[str], None]] = []
        self.order_listeners: list[Callable[[SimOrder], None]] = []
        self.fill_listeners: list[Callable[[SimFill, SimOrder], None]] = []
        self.trade_listeners: list[Callable[[SimTrade], None]] = []
        self._make_id = make_id
        self._ids_given = 0
        self._orders: dict[str, SimOrder] = {}
        self._finished: deque[str] = deque()  # order ids, oldest first
        self._history_limit = history_limit
        self._news: deque[Callable[[], None]] = deque()

    # --- lookups ---

    def listing(self, symbol: str) -> Listing:
        """Raises Refused if the symbol is not listed."""
        listing = self.listings.get(symbol)
        if listing is None:
            raise Refused(Reason.UNKNOWN_SYMBOL, f"{symbol[:40]!r} is not listed")
        return listing

    def account(self, account_id: str) -> Account:
        """Raises Refused if the account was never opened."""
        account = self.accounts.get(account_id)
        if account is None:
            raise Refused(Reason.UNKNOWN_ACCOUNT, "no such account")
        return account

    def find_order(self, order_id: str) -> SimOrder | None:
        return self._orders.get(order_id)

    def order(self, order_id: str) -> SimOrder:
        """Raises Refused if the order is unknown or forgotten."""
        order = self._orders.get(order_id)
        if order is None:
            raise Refused(Reason.ORDER_NOT_FOUND, f"{order_id[:80]!r} is unknown")
        return order

    def market(self, symbol: str) -> Market:
        """What valuing an account needs to know of an instrument."""
        listing = self.listings[symbol]
        return Market(listing.instrument, listing.book.mark_e8, listing.funding_index_e12)

    # --- accounts and orders ---

    def open_account(self, account_id: str, collateral_e8: int) -> None:
        """Open an account; one that exists is left as it is."""
        if account_id not in self.accounts:
            self.accounts[account_id] = Account(account_id, collateral_e8, self.now_unix_ns())

    def add_order(self, account: Account, new: NewOrder, *, is_liquidation: bool = False) -> SimOrder:
        """Register an order as NEW and return it."""
        listing, now_unix_ns = self.listings[new.symbol], self.now_unix_ns()
        order = SimOrder(
            order_id=self._next_id(),
            client_id=new.client_id,
            account_id=account.account_id,
            symbol=new.symbol,
            side=new.side,
            size_e8=new.size_e8,
            limit_price_e8=new.limit_price_e8,
            time_in_force=new.time_in_force,
            post_only=new.post_only,
            reduce_only=new.reduce_only,
            created_unix_ns=now_unix_ns,
            updated_unix_ns=now_unix_ns,
            mark_price_e8=listing.book.mark_e8,
            initial_margin_ratio_e8=account.initial_ratio_e8(listing.instrument),
            is_liquidation=is_liquidation,
        )
        self._orders[order.order_id] = account.orders[order.order_id] = order
        if order.client_id:
            account.orders_by_client_id[order.client_id] = order
        self.tell_order(order)
        return order

    def rest(self, order: SimOrder) -> None:
        """Put what remains of an order into the book."""
        order.status = SimOrderStatus.OPEN
        order.updated_unix_ns = self.now_unix_ns()
        self.listings[order.symbol].book.rest(order)
        self.accounts[order.account_id].open_orders[order.order_id] = order
        self.tell_order(order)

    def unrest(self, order: SimOrder) -> None:
        """Take a resting order out of the book, to be matched again or finished."""
        self.listings[order.symbol].book.remove(order)
        del self.accounts[order.account_id].open_orders[order.order_id]

    def finish(self, order: SimOrder, status: SimOrderStatus, reason: Reason | None) -> None:
        """Give an order its final status; it must be out of the book already."""
        order.status, order.reason = status, reason
        order.updated_unix_ns = self.now_unix_ns()
        self.accounts[order.account_id].open_orders.pop(order.order_id, None)
        self.tell_order(order)
        self._finished.append(order.order_id)
        if len(self._finished) > self._history_limit:
            self._forget(self._finished.popleft())

    def _forget(self, order_id: str) -> None:
        order = self._orders.pop(order_id)
        account = self.accounts[order.account_id]
        del account.orders[order_id]
        if account.orders_by_client_id.get(order.client_id) is order:
            del account.orders_by_client_id[order.client_id]

    # --- executions ---

    def add_trade(self, order: SimOrder, taker_side: int, price_e8: int, size_e8: int) -> SimTrade:
        """Record a match that involves this order, as the public sees it."""
        trade = SimTrade(
            trade_id=self._next_id(),
            symbol=order.symbol,
            taker_side=taker_side,
            price_e8=price_e8,
            size_e8=size_e8,
            is_liquidation=order.is_liquidation,
            book_sequence=self.listings[order.symbol].book.sequence + 1,
            unix_ns=self.now_unix_ns(),
        )
        self.trades.append(trade)
        self._news.extend(partial(listener, trade) for listener in self.trade_listeners)
        return trade

    def add_fill(self, order: SimOrder, trade: SimTrade, *, is_maker: bool) -> None:
        """Book one side of a match on its order and on its account."""
        listing, account = self.listings[order.symbol], self.accounts[order.account_id]
        instrument = listing.instrument
        notional_e8 = trade.price_e8 * trade.size_e8 // E8  # exact: see SimInstrument
        rate_e8 = instrument.maker_fee_rate_e8 if is_maker else instrument.taker_fee_rate_e8
        paid_e8 = fee_e8(notional_e8, rate_e8)
        holding = account.holdings.setdefault(order.symbol, Holding())
        realised_e8, funding_e8 = holding.trade(
            order.side,
            trade.price_e8,
            trade.size_e8,
            index_e12=listing.funding_index_e12,
            unix_ns=trade.unix_ns,
        )
        fill = SimFill(
            fill_id=self._next_id(),
            trade_id=trade.trade_id,
            order_id=order.order_id,
            client_id=order.client_id,
            account_id=order.account_id,
            symbol=order.symbol,
            side=order.side,
            price_e8=trade.price_e8,
            size_e8=trade.size_e8,
            remaining_e8=order.remaining_e8 - trade.size_e8,
            fee_e8=paid_e8,
            realised_e8=realised_e8,
            funding_e8=funding_e8,
            is_maker=is_maker,
            is_liquidation=order.is_liquidation,
            book_sequence=trade.book_sequence,
            unix_ns=trade.unix_ns,
        )
        holding.fees_e8 += paid_e8
        holding.last_fill_id = fill.fill_id
        account.collateral_e8 += realised_e8 + funding_e8 - paid_e8
        account.updated_unix_ns = trade.unix_ns
        order.add_fill(fill)
        self.fills.append(fill)
        snapshot = copy.copy(order)
        self._news.extend(partial(listener, fill, snapshot) for listener in self.fill_listeners)

    # --- news ---

    def tell_order(self, order: SimOrder) -> None:
        snapshot = copy.copy(order)
        self._news.extend(partial(listener, snapshot) for listener in self.order_listeners)

    def tell_book(self, symbol: str) -> None:
        self._news.extend(partial(listener, symbol) for listener in self.book_listeners)

    def publish(self) -> None:
        """Tell the listeners all that has happened, in the order it happened."""
        while self._news:
            self._news.popleft()()

    def _next_id(self) -> str:
        self._ids_given += 1
        return self._make_id(self.now_unix_ns(), self._ids_given)
