"""One venue's matching engine: orders, books, accounts. No sockets, no clock of its own.

Accepting and executing are two steps. ``submit`` registers an order (NEW) or refuses it at the
door; ``execute`` takes it through risk and matching. The front in between decides what happens
first, the acknowledgement or the execution, and how long either takes.

Listeners hear of every change once it is complete, in the order it happened: a trade, its fills,
then the orders they changed. Everything handed out is a snapshot that never changes.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from simulator.accounts import (
    Account,
    Holding,
    Market,
    fee_e8,
    reduce_only_orders_to_cancel,
    value_account,
    value_positions,
)
from simulator.book import Book
from simulator.orders import (
    BUY,
    SELL,
    Levels,
    NewOrder,
    Reason,
    Refused,
    SimAccount,
    SimFill,
    SimInstrument,
    SimOrder,
    SimOrderStatus,
    SimPosition,
    SimTrade,
    TimeInForce,
)
from venues.contract import E8

__all__ = [
    "BUY",
    "SELL",
    "Exchange",
    "MakeId",
    "NewOrder",
    "Reason",
    "Refused",
    "SimAccount",
    "SimFill",
    "SimInstrument",
    "SimOrder",
    "SimOrderStatus",
    "SimPosition",
    "SimTrade",
    "TimeInForce",
]

MAX_LEVERAGE = 1_000
MakeId = Callable[[int, int], str]  # (now_unix_ns, sequence) -> id in the venue's format


@dataclass(slots=True)
class _Listing:
    """What the exchange keeps per instrument."""

    instrument: SimInstrument
    book: Book
    is_trading: bool = True
    funding_index_e12: int = 0


class Exchange:
    """A venue without a wire. All methods are synchronous and belong to one thread.

    ``make_id`` renders order, fill and trade ids; it is given the time and a number used once.
    At most ``history_limit`` finished orders and fills are remembered.
    """

    def __init__(
        self,
        instruments: Iterable[SimInstrument],
        *,
        now_unix_ns: Callable[[], int],
        make_id: MakeId,
        history_limit: int = 100_000,
    ) -> None:
        self.now_unix_ns = now_unix_ns
        self._make_id = make_id
        self._listings = {instrument.symbol: _Listing(instrument, Book()) for instrument in instruments}
        self._accounts: dict[str, Account] = {}
        self._orders: dict[str, SimOrder] = {}
        self._by_client_id: dict[tuple[str, str], str] = {}
        self._finished: deque[str] = deque()
        self._fills: deque[SimFill] = deque(maxlen=history_limit)
        self._trades: deque[SimTrade] = deque(maxlen=1_000)
        self._history_limit = history_limit
        self._ids_given = 0
        self._news: deque[Callable[[], None]] = deque()
        self._book_listeners: list[Callable[[str], None]] = []
        self._order_listeners: list[Callable[[SimOrder], None]] = []
        self._fill_listeners: list[Callable[[SimFill, SimOrder], None]] = []
        self._trade_listeners: list[Callable[[SimTrade], None]] = []

    # --- listeners ---

    def on_book(self, listener: Callable[[str], None]) -> None:
        """Hear the symbol whenever its book changed, after everything else about the change."""
        self._book_listeners.append(listener)

    def on_order(self, listener: Callable[[SimOrder], None]) -> None:
        """Hear every state of every order, from NEW on."""
        self._order_listeners.append(listener)

    def on_fill(self, listener: Callable[[SimFill, SimOrder], None]) -> None:
        """Hear every fill with its order as that fill left it, before ``on_order`` hears it."""
        self._fill_listeners.append(listener)

    def on_trade(self, listener: Callable[[SimTrade], None]) -> None:
        """Hear every match as the public sees it, before its fills."""
        self._trade_listeners.append(listener)

    # --- market ---

    @property
    def symbols(self) -> list[str]:
        return list(self._listings)

    def instrument(self, symbol: str) -> SimInstrument:
        """The contract. Raises Refused if it is not listed."""
        return self._listing(symbol).instrument

    def apply_market(self, symbol: str, bids: Levels, asks: Levels) -> None:
        """Show new market maker's levels, best first and on the grid; fill what now crosses them."""
        book = self._listings[symbol].book
        book.replace_levels(bids, asks)
        for side in (BUY, SELL):
            self._fill_resting(symbol, book, side)
        self._book_changed(symbol)

    def depth(self, symbol: str, limit: int = 20) -> tuple[Levels, Levels]:
        """Return (bids, asks) as (price_e8, size_e8), best first. Read only; copy to keep."""
        book = self._listing(symbol).book
        return book.depth(BUY, limit), book.depth(SELL, limit)

    def book_sequence(self, symbol: str) -> int:
        """Number of changes the book has seen."""
        return self._listing(symbol).book.sequence

    def mark_e8(self, symbol: str) -> int:
        """The market maker's mid, which serves as mark and index price; 0 before the first book."""
        return self._listing(symbol).book.mark_e8

    def is_trading(self, symbol: str) -> bool:
        return self._listing(symbol).is_trading

    def set_trading(self, symbol: str, is_trading: bool) -> None:
        """Open or halt an instrument. Halted: no new orders; resting ones stay."""
        self._listing(symbol).is_trading = is_trading
        self._book_changed(symbol)

    def recent_trades(self, symbol: str, limit: int = 100) -> list[SimTrade]:
        """The newest matches of one instrument, newest first."""
        return [trade for trade in reversed(self._trades) if trade.symbol == symbol][:limit]

    # --- accounts ---

    def open_account(self, account_id: str, collateral_e8: int) -> None:
        """Open a margin account; an account that exists is left as it is."""
        if account_id not in self._accounts:
            self._accounts[account_id] = Account(account_id, collateral_e8, self.now_unix_ns())

    def has_account(self, account_id: str) -> bool:
        return account_id in self._accounts

    def account(self, account_id: str) -> SimAccount:
        """The account valued at the marks. Raises Refused if it is unknown."""
        return value_account(self._account(account_id), self._market)

    def positions(self, account_id: str) -> list[SimPosition]:
        """Every position the account has or had (size 0), valued at the marks."""
        return value_positions(self._account(account_id), self._market)

    def leverages(self, account_id: str) -> dict[str, int]:
        """The leverages the account chose; symbols it never chose are absent."""
        return dict(self._account(account_id).leverages)

    def set_leverage(self, account_id: str, symbol: str, leverage: int) -> None:
        """Choose a leverage. It cannot be lowered while a position is open."""
        account, instrument = self._account(account_id), self.instrument(symbol)
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise Refused(Reason.LEVERAGE_OUT_OF_RANGE, f"leverage {leverage} is not in 1..{MAX_LEVERAGE}")
        before_e8 = account.initial_ratio_e8(instrument)
        previous = account.leverages.get(symbol)
        account.leverages[symbol] = leverage
        holding = account.holdings.get(symbol)
        is_open = holding is not None and holding.size_e8 != 0
        if is_open and account.initial_ratio_e8(instrument) > before_e8:
            if previous is None:
                del account.leverages[symbol]
            else:
                account.leverages[symbol] = previous
            raise Refused(Reason.LEVERAGE_LOWERED_WITH_POSITION, f"{symbol} has an open position")

    @property
    def account_ids(self) -> list[str]:
        return list(self._accounts)

    def funding_index_e12(self, symbol: str) -> int:
        """Cumulative funding in quote currency per base unit, scaled by 10**12."""
        return self._listing(symbol).funding_index_e12

    def accrue_funding(self, symbol: str, amount_e12: int) -> None:
        """Charge longs this much per base unit, to the benefit of shorts; settled by later fills."""
        self._listing(symbol).funding_index_e12 += amount_e12

    def liquidate(self, account_id: str) -> list[SimOrder]:
        """Cancel the account's orders, then close positions against the book until it is safe.

        The largest maintenance margin goes first. Returns the liquidation orders.
        """
        account = self._account(account_id)
        self.cancel_all(account_id, reason=Reason.LIQUIDATION)
        orders = []
        positions = sorted(self.positions(account_id), key=lambda p: -p.maintenance_margin_e8)
        for position in positions:
            if position.size_e8 == 0 or not self.account(account_id).is_liquidatable:
                continue
            side = SELL if position.size_e8 > 0 else BUY
            new = NewOrder(position.symbol, side, abs(position.size_e8), None, "IOC", reduce_only=True)
            order = self._make_order(account, new, is_liquidation=True)
            self._register(order)
            self._match(order)
            self._publish()
            orders.append(copy.copy(order))
        return orders

    # --- orders ---

    def submit(self, account_id: str, new: NewOrder) -> SimOrder:
        """Register an order as NEW and return it. Raises Refused; then no order exists."""
        account = self._account(account_id)
        listing = self._listing(new.symbol)
        self._check_at_the_door(account, listing, new)
        order = self._make_order(account, new)
        self._register(order)
        self._publish()
        return copy.copy(order)

    def execute(self, order_id: str) -> SimOrder:
        """Take a NEW order through risk and matching; return what became of it.

        An order that is no longer NEW (it was cancelled meanwhile) is left alone.
        """
        order = self._order(order_id)
        if order.status is SimOrderStatus.NEW:
            refusal = self._risk_refusal(order)
            if refusal is None:
                self._match(order)
            else:
                self._finish(order, SimOrderStatus.REJECTED, refusal)
            self._publish()
        return copy.copy(order)

    def cancel(self, order_id: str, reason: Reason = Reason.USER_CANCELLED) -> SimOrder:
        """Cancel a NEW or OPEN order. Raises Refused if it is unknown or finished."""
        order = self._order(order_id)
        if order.status.is_final:
            raise Refused(Reason.ORDER_NOT_OPEN, f"order {order_id} is {order.status.value}")
        self._withdraw(order, reason)
        self._publish()
        return copy.copy(order)

    def cancel_all(
        self, account_id: str, symbol: str | None = None, reason: Reason = Reason.USER_CANCELLED
    ) -> list[SimOrder]:
        """Cancel every NEW and OPEN order of an account, on one symbol or on all; return them."""
        cancelled = [
            order
            for order in self._orders.values()
            if order.account_id == account_id
            and not order.status.is_final
            and (symbol is None or order.symbol == symbol)
        ]
        for order in cancelled:
            self._withdraw(order, reason)
        self._publish()
        return [copy.copy(order) for order in cancelled]

    def order(self, order_id: str) -> SimOrder | None:
        """The order with this venue id, finished or not; None if it is unknown."""
        order = self._orders.get(order_id)
        return copy.copy(order) if order else None

    def order_by_client_id(self, account_id: str, client_id: str) -> SimOrder | None:
        """The account's newest order with this client id, finished or not."""
        order_id = self._by_client_id.get((account_id, client_id))
        return self.order(order_id) if order_id else None

    def open_orders(self, account_id: str, symbol: str | None = None) -> list[SimOrder]:
        """NEW and OPEN orders, oldest first."""
        return [order for order in self.orders(account_id, symbol) if not order.status.is_final]

    def orders(self, account_id: str, symbol: str | None = None) -> list[SimOrder]:
        """All remembered orders of an account, oldest first."""
        return [
            copy.copy(order)
            for order in self._orders.values()
            if order.account_id == account_id and (symbol is None or order.symbol == symbol)
        ]

    def fills(self, account_id: str, symbol: str | None = None) -> list[SimFill]:
        """All remembered fills of an account, oldest first."""
        return [
            fill
            for fill in self._fills
            if fill.account_id == account_id and (symbol is None or fill.symbol == symbol)
        ]

    # --- the door ---

    def _check_at_the_door(self, account: Account, listing: _Listing, new: NewOrder) -> None:
        instrument = listing.instrument
        if not listing.is_trading:
            raise Refused(Reason.MARKET_CLOSED, f"{new.symbol} is halted")
        if new.limit_price_e8 is not None and (
            new.limit_price_e8 <= 0 or new.limit_price_e8 % instrument.tick_e8
        ):
            raise Refused(Reason.PRICE_OFF_GRID, f"price {new.limit_price_e8} e8, tick {instrument.tick_e8}")
        if new.size_e8 <= 0 or new.size_e8 % instrument.lot_e8:
            raise Refused(Reason.SIZE_OFF_GRID, f"size {new.size_e8} e8, lot {instrument.lot_e8}")
        if new.size_e8 < instrument.min_size_e8:
            raise Refused(Reason.SIZE_TOO_SMALL, f"size {new.size_e8} e8, minimum {instrument.min_size_e8}")
        if instrument.max_size_e8 and new.size_e8 > instrument.max_size_e8:
            raise Refused(Reason.SIZE_TOO_LARGE, f"size {new.size_e8} e8, maximum {instrument.max_size_e8}")
        notional_e8 = new.size_e8 * listing.book.mark_e8 // E8
        if notional_e8 < instrument.min_notional_e8 and not self._closes_position(account, new):
            raise Refused(
                Reason.NOTIONAL_TOO_SMALL, f"notional {notional_e8} e8, minimum {instrument.min_notional_e8}"
            )
        if instrument.max_open_orders and instrument.max_open_orders <= sum(
            order.symbol == new.symbol for order in account.open_orders.values()
        ):
            raise Refused(Reason.TOO_MANY_OPEN_ORDERS, f"{instrument.max_open_orders} on {new.symbol}")

    @staticmethod
    def _closes_position(account: Account, new: NewOrder) -> bool:
        """Whether it is a reduce-only order for the whole position: exempt from the minimum value."""
        holding = account.holdings.get(new.symbol)
        return holding is not None and new.reduce_only and -new.side * holding.size_e8 == new.size_e8

    # --- risk ---

    def _risk_refusal(self, order: SimOrder) -> Reason | None:
        """Why risk refuses an order that reached the engine, or None."""
        listing, account = self._listings[order.symbol], self._accounts[order.account_id]
        if not listing.is_trading:
            return Reason.MARKET_CLOSED
        holding = account.holdings.get(order.symbol)
        position_e8 = holding.size_e8 if holding else 0
        if order.reduce_only:
            if order.side * position_e8 >= 0:
                return Reason.REDUCE_ONLY_INCREASES
            if order.size_e8 > abs(position_e8):
                return Reason.REDUCE_ONLY_EXCEEDS_POSITION
        if self._exceeds_position_limit(order, account, listing, position_e8):
            return Reason.POSITION_LIMIT
        if self._is_outside_band(order, listing):
            return Reason.PRICE_BAND
        before, after = (
            value_account(account, self._market),
            value_account(account, self._market, extra=order),
        )
        if after.initial_margin_e8 > before.initial_margin_e8:
            notional_e8 = order.size_e8 * listing.book.mark_e8 // E8
            provision_e8 = fee_e8(notional_e8, listing.instrument.taker_fee_rate_e8)
            if before.value_e8 < after.initial_margin_e8 + provision_e8:
                return Reason.INSUFFICIENT_MARGIN
        return None

    @staticmethod
    def _exceeds_position_limit(
        order: SimOrder, account: Account, listing: _Listing, position_e8: int
    ) -> bool:
        limit_e8 = listing.instrument.position_limit_e8
        same_side_e8 = sum(
            resting.remaining_e8
            for resting in account.open_orders.values()
            if resting.symbol == order.symbol and resting.side == order.side
        )
        return limit_e8 != 0 and limit_e8 < order.size_e8 + same_side_e8 + order.side * position_e8

    @staticmethod
    def _is_outside_band(order: SimOrder, listing: _Listing) -> bool:
        """Whether an aggressive limit lies beyond the band; a passive one far away is fine."""
        band_e8, mark_e8 = listing.instrument.price_band_e8, listing.book.mark_e8
        if not band_e8 or not mark_e8 or order.limit_price_e8 is None:
            return False
        return order.side * (order.limit_price_e8 - mark_e8) > mark_e8 * band_e8 // E8

    # --- matching ---

    def _match(self, order: SimOrder) -> None:
        """Fill what the book offers within the limit; rest, cancel or finish what remains."""
        book = self._listings[order.symbol].book
        ending = self._ending_before_match(order, book)
        if ending is None:
            ending = self._take(order, book)
        if order.remaining_e8 == 0:
            self._finish(order, SimOrderStatus.FILLED, None)
        elif ending is not None:
            self._finish(order, SimOrderStatus.CANCELLED, ending)
        else:
            self._rest(order, book)
        if order.filled_e8 or not order.status.is_final:
            self._after_position_change(order.account_id, order.symbol)
            self._news.append(partial(self._book_changed, order.symbol))

    @staticmethod
    def _ending_before_match(order: SimOrder, book: Book) -> Reason | None:
        """Why an order ends without touching the book: post-only that crosses, FOK that cannot fill."""
        best = book.best_against(order.side, order.limit_price_e8)
        if order.post_only and best is not None:
            return Reason.POST_ONLY_WOULD_CROSS
        if order.time_in_force == "FOK":
            available_e8 = book.available_e8(order.side, order.limit_price_e8, order.account_id)
            if available_e8 < order.size_e8:
                return Reason.NO_LIQUIDITY
        return None

    def _take(self, order: SimOrder, book: Book) -> Reason | None:
        """Take from the book in price-time priority; return why what remains must not rest."""
        while order.remaining_e8:
            best = book.best_against(order.side, order.limit_price_e8)
            if best is None:
                break
            price_e8, size_e8, maker = best
            if maker is not None and maker.account_id == order.account_id:
                return Reason.SELF_TRADE
            size_e8 = min(size_e8, order.remaining_e8)
            trade = self._trade(order, order.side, price_e8, size_e8)
            if maker is None:
                book.take_market(-order.side, size_e8)
                self._fill(order, trade, is_maker=False)
            else:
                self._fill(order, trade, is_maker=False)
                self._fill_maker(maker, trade, book)
        can_rest = order.time_in_force == "GTC" and order.limit_price_e8 is not None
        return None if can_rest else Reason.NO_LIQUIDITY

    def _fill_resting(self, symbol: str, book: Book, side: int) -> None:
        """Fill resting orders of one side against market maker's levels that reached their price."""
        while (order := book.best_order(side)) is not None:
            level = book.best_market(-side)
            assert order.limit_price_e8 is not None
            if level is None or side * level[0] > side * order.limit_price_e8:
                return
            size_e8 = min(level[1], order.remaining_e8)
            trade = self._trade(order, -side, order.limit_price_e8, size_e8)
            book.take_market(-side, size_e8)
            self._fill_maker(order, trade, book)
            self._publish()

    def _fill_maker(self, order: SimOrder, trade: SimTrade, book: Book) -> None:
        self._fill(order, trade, is_maker=True)
        book.take_order(order)
        if order.remaining_e8 == 0:
            self._finish(order, SimOrderStatus.FILLED, None)
        else:
            self._tell_order(order)
        self._after_position_change(order.account_id, order.symbol)

    def _trade(self, taker: SimOrder, taker_side: int, price_e8: int, size_e8: int) -> SimTrade:
        trade = SimTrade(
            trade_id=self._next_id(),
            symbol=taker.symbol,
            taker_side=taker_side,
            price_e8=price_e8,
            size_e8=size_e8,
            is_liquidation=taker.is_liquidation,
            book_sequence=self._listings[taker.symbol].book.sequence + 1,
            unix_ns=self.now_unix_ns(),
        )
        self._trades.append(trade)
        self._news.extend(partial(listener, trade) for listener in self._trade_listeners)
        return trade

    def _fill(self, order: SimOrder, trade: SimTrade, *, is_maker: bool) -> None:
        """Book one execution on the order and on its account."""
        listing, account = self._listings[order.symbol], self._accounts[order.account_id]
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
        order.filled_e8 += trade.size_e8
        order.notional_e8 += notional_e8
        order.fee_e8 += paid_e8
        order.realised_e8 += realised_e8
        order.funding_e8 += funding_e8
        order.last_fill_price_e8 = trade.price_e8
        order.last_fill_size_e8 = trade.size_e8
        order.last_fill_unix_ns = order.updated_unix_ns = trade.unix_ns
        self._fills.append(fill)
        snapshot = copy.copy(order)
        self._news.extend(partial(listener, fill, snapshot) for listener in self._fill_listeners)

    # --- order life ---

    def _make_order(self, account: Account, new: NewOrder, *, is_liquidation: bool = False) -> SimOrder:
        listing, now_unix_ns = self._listings[new.symbol], self.now_unix_ns()
        return SimOrder(
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

    def _register(self, order: SimOrder) -> None:
        self._orders[order.order_id] = order
        if order.client_id:
            self._by_client_id[order.account_id, order.client_id] = order.order_id
        self._tell_order(order)

    def _rest(self, order: SimOrder, book: Book) -> None:
        order.status = SimOrderStatus.OPEN
        order.updated_unix_ns = self.now_unix_ns()
        book.rest(order)
        self._accounts[order.account_id].open_orders[order.order_id] = order
        self._tell_order(order)

    def _withdraw(self, order: SimOrder, reason: Reason) -> None:
        """Cancel an order wherever it stands."""
        if order.status is SimOrderStatus.OPEN:
            self._listings[order.symbol].book.remove(order)
            self._news.append(partial(self._book_changed, order.symbol))
        self._finish(order, SimOrderStatus.CANCELLED, reason)

    def _finish(self, order: SimOrder, status: SimOrderStatus, reason: Reason | None) -> None:
        order.status, order.reason = status, reason
        order.updated_unix_ns = self.now_unix_ns()
        self._accounts[order.account_id].open_orders.pop(order.order_id, None)
        self._tell_order(order)
        self._finished.append(order.order_id)
        if len(self._finished) > self._history_limit:
            self._forget(self._finished.popleft())

    def _forget(self, order_id: str) -> None:
        order = self._orders.pop(order_id)
        key = (order.account_id, order.client_id)
        if self._by_client_id.get(key) == order_id:
            del self._by_client_id[key]

    def _after_position_change(self, account_id: str, symbol: str) -> None:
        """Cancel resting reduce-only orders that could now open or grow a position."""
        for order in reduce_only_orders_to_cancel(self._accounts[account_id], symbol):
            self._withdraw(order, Reason.REDUCE_ONLY_EXCEEDS_POSITION)

    def _tell_order(self, order: SimOrder) -> None:
        snapshot = copy.copy(order)
        self._news.extend(partial(listener, snapshot) for listener in self._order_listeners)

    def _publish(self) -> None:
        """Tell the listeners, now that the books and accounts agree."""
        while self._news:
            self._news.popleft()()

    def _book_changed(self, symbol: str) -> None:
        for listener in self._book_listeners:
            listener(symbol)

    # --- lookups ---

    def _listing(self, symbol: str) -> _Listing:
        listing = self._listings.get(symbol)
        if listing is None:
            raise Refused(Reason.UNKNOWN_SYMBOL, f"{symbol[:40]!r} is not listed")
        return listing

    def _account(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None:
            raise Refused(Reason.UNKNOWN_ACCOUNT, "no such account")
        return account

    def _order(self, order_id: str) -> SimOrder:
        order = self._orders.get(order_id)
        if order is None:
            raise Refused(Reason.ORDER_NOT_FOUND, f"{order_id[:80]!r} is unknown")
        return order

    def _market(self, symbol: str) -> Market:
        listing = self._listings[symbol]
        return Market(listing.instrument, listing.book.mark_e8, listing.funding_index_e12)

    def _next_id(self) -> str:
        self._ids_given += 1
        return self._make_id(self.now_unix_ns(), self._ids_given)
