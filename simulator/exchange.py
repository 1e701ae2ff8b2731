"""One venue's matching engine: orders, books, accounts. No sockets, no clock of its own.

Accepting and executing are two steps. ``submit`` registers an order (NEW) or refuses it at the
door; ``execute`` takes it through risk and matching. The front in between decides what happens
first, the acknowledgement or the execution, and how long either takes.

Listeners are called for every change once it is complete, in the order it happened: a trade, its fills,
then the orders they changed. Everything handed out is a snapshot that never changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace

from simulator.accounts import value_account, value_positions
from simulator.ledger import Ledger, MakeId
from simulator.matching import amend, close_at, match, match_part, match_resting, post_only_crosses, withdraw
from simulator.orders import (
    BUY,
    SELL,
    Amendment,
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
    decimals_of,
)
from simulator.risk import band_edge_e8, check_amendment, check_at_the_door, risk_refusal

__all__ = [
    "BUY",
    "SELL",
    "Amendment",
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
        self._ledger = Ledger(
            instruments, now_unix_ns=now_unix_ns, make_id=make_id, history_limit=history_limit
        )

    # --- listeners ---

    def on_book(self, listener: Callable[[str], None]) -> None:
        """Hear the symbol whenever its book changed, after everything else about the change."""
        self._ledger.book_listeners.append(listener)

    def on_order(self, listener: Callable[[SimOrder], None]) -> None:
        """Hear every state of every order, from NEW on."""
        self._ledger.order_listeners.append(listener)

    def on_fill(self, listener: Callable[[SimFill, SimOrder], None]) -> None:
        """Called with every fill and its order as that fill left it, before ``on_order``."""
        self._ledger.fill_listeners.append(listener)

    def on_trade(self, listener: Callable[[SimTrade], None]) -> None:
        """Hear every match as the public sees it, before its fills."""
        self._ledger.trade_listeners.append(listener)

    # --- market ---

    @property
    def symbols(self) -> list[str]:
        return list(self._ledger.listings)

    def instrument(self, symbol: str) -> SimInstrument:
        """The contract. Raises Refused if it is not listed."""
        return self._ledger.listing(symbol).instrument

    def apply_market(self, symbol: str, bids: Levels, asks: Levels) -> None:
        """Show new market maker's levels, best first and on the grid; fill what now crosses them."""
        self._ledger.listing(symbol).book.replace_levels(bids, asks)
        match_resting(self._ledger, symbol)
        self._ledger.tell_book(symbol)
        self._ledger.publish()

    def depth(self, symbol: str, limit: int = 20) -> tuple[Levels, Levels]:
        """Return (bids, asks) as (price_e8, size_e8), best first. Read only; copy to keep."""
        book = self._ledger.listing(symbol).book
        return book.depth(BUY, limit), book.depth(SELL, limit)

    def book_sequence(self, symbol: str) -> int:
        """Number of changes the book has seen."""
        return self._ledger.listing(symbol).book.sequence

    def mark_e8(self, symbol: str) -> int:
        """The market maker's mid, which serves as mark and index price; 0 before the first book."""
        return self._ledger.listing(symbol).book.mark_e8

    def is_trading(self, symbol: str) -> bool:
        return self._ledger.listing(symbol).is_trading

    def set_trading(self, symbol: str, is_trading: bool) -> None:
        """Open or halt an instrument. Halted: no new orders; resting ones stay."""
        self._ledger.listing(symbol).is_trading = is_trading
        self._ledger.tell_book(symbol)
        self._ledger.publish()

    def recent_trades(self, symbol: str, limit: int = 100) -> list[SimTrade]:
        """The newest matches of one instrument, newest first."""
        return [trade for trade in reversed(self._ledger.trades) if trade.symbol == symbol][:limit]

    # --- accounts ---

    @property
    def account_ids(self) -> list[str]:
        return list(self._ledger.accounts)

    def open_account(self, account_id: str, collateral_e8: int) -> None:
        """Open a margin account; an account that exists is left as it is."""
        self._ledger.open_account(account_id, collateral_e8)

    def has_account(self, account_id: str) -> bool:
        return account_id in self._ledger.accounts

    def account(self, account_id: str) -> SimAccount:
        """The account valued at the marks. Raises Refused if it is unknown."""
        return value_account(self._ledger.account(account_id), self._ledger.market)

    def positions(self, account_id: str) -> list[SimPosition]:
        """Every position the account has or had (size 0), valued at the marks."""
        return value_positions(self._ledger.account(account_id), self._ledger.market)

    def leverages(self, account_id: str) -> dict[str, int]:
        """The leverages the account chose; symbols it never chose are absent."""
        return dict(self._ledger.account(account_id).leverages)

    def relist(self, symbol: str, *, tick_factor: int = 1, lot_factor: int = 1) -> None:
        """Make a contract's price and size steps so many times as coarse; orders that stand keep theirs.

        Raises ValueError for a factor below 1 and for a grid that is unusable.
        """
        if tick_factor < 1 or lot_factor < 1:
            raise ValueError(f"{symbol}: factors {tick_factor} and {lot_factor} must be at least 1")
        listing = self._ledger.listing(symbol)
        was = listing.instrument
        tick_e8, lot_e8 = was.tick_e8 * tick_factor, was.lot_e8 * lot_factor
        listing.instrument = replace(
            was,
            tick_e8=tick_e8,
            lot_e8=lot_e8,
            min_size_e8=max(was.min_size_e8, lot_e8),
            price_decimals=min(was.price_decimals, decimals_of(tick_e8)),
            size_decimals=min(was.size_decimals, decimals_of(lot_e8)),
        )

    def set_leverage(self, account_id: str, symbol: str, leverage: int) -> None:
        """Choose a leverage. Raises Refused for one that raises the margin of an open position."""
        account, instrument = self._ledger.account(account_id), self.instrument(symbol)
        if not 1 <= leverage <= MAX_LEVERAGE:
            raise Refused(Reason.LEVERAGE_OUT_OF_RANGE, f"leverage {leverage} is not in 1..{MAX_LEVERAGE}")
        lowers = account.ratio_at_e8(instrument, leverage) > account.initial_ratio_e8(instrument)
        if lowers and account.position_e8(symbol):
            raise Refused(Reason.LEVERAGE_LOWERED_WITH_POSITION, f"{symbol} has an open position")
        account.leverages[symbol] = leverage

    def funding_index_e12(self, symbol: str) -> int:
        """Cumulative funding in quote currency per base unit, scaled by 10**12."""
        return self._ledger.listing(symbol).funding_index_e12

    def accrue_funding(self, symbol: str, amount_e12: int) -> None:
        """Charge longs this much per base unit, to the benefit of shorts; settled by later fills."""
        self._ledger.listing(symbol).funding_index_e12 += amount_e12

    def settle_funding(self, account_id: str, symbol: str) -> int:
        """Pay a position's accrued funding into its account now; return it, positive = received."""
        account, listing = self._ledger.account(account_id), self._ledger.listing(symbol)
        holding = account.holdings.get(symbol)
        if holding is None:
            return 0
        paid_e8 = holding.settle_funding(listing.funding_index_e12)
        account.collateral_e8 += paid_e8
        return paid_e8

    def liquidate(self, account_id: str) -> list[SimOrder]:
        """Cancel the account's orders, then close positions against the book until it is safe.

        The largest maintenance margin goes first. Returns the liquidation orders.
        """
        account = self._ledger.account(account_id)
        self.cancel_all(account_id, reason=Reason.LIQUIDATION)
        orders = []
        for position in sorted(self.positions(account_id), key=lambda p: -p.maintenance_margin_e8):
            if position.size_e8 == 0 or not self.account(account_id).is_liquidatable:
                continue
            side = SELL if position.size_e8 > 0 else BUY
            new = NewOrder(position.symbol, side, abs(position.size_e8), None, "IOC", reduce_only=True)
            order = self._ledger.add_order(account, new, is_liquidation=True)
            match(self._ledger, order)
            self._ledger.publish()
            orders.append(copy.copy(order))
        return orders

    def close_out(
        self, account_id: str, symbol: str, size_e8: int, *, price_e8: int | None = None
    ) -> SimOrder:
        """Close this much of a position as the venue's own doing, whatever the account's margin.

        Against the book, as a liquidation does; at ``price_e8`` past the book, as deleveraging does.
        Raises Refused if the account holds less.
        """
        account = self._ledger.account(account_id)
        position_e8 = account.position_e8(symbol)
        if not 0 < size_e8 <= abs(position_e8):
            raise Refused(Reason.REDUCE_ONLY_EXCEEDS_POSITION, f"{size_e8} e8 of {position_e8} e8 {symbol}")
        side = SELL if position_e8 > 0 else BUY
        new = NewOrder(symbol, side, size_e8, None, "IOC", reduce_only=True)
        order = self._ledger.add_order(account, new, is_liquidation=True)
        if price_e8 is None:
            match(self._ledger, order)
        else:
            close_at(self._ledger, order, price_e8)
        self._ledger.publish()
        return copy.copy(order)

    # --- orders ---

    def submit(self, account_id: str, new: NewOrder) -> SimOrder:
        """Register an order as NEW and return it. Raises Refused; then no order exists."""
        account = self._ledger.account(account_id)
        check_at_the_door(account, self._ledger.listing(new.symbol), new)
        order = self._ledger.add_order(account, new)
        self._ledger.publish()
        return copy.copy(order)

    def execute(self, order_id: str) -> SimOrder:
        """Take a NEW order through risk and matching; return what became of it.

        A market order goes as far as the price band reaches now, not as far as it did at ``submit``.
        An order that is no longer NEW (it was cancelled meanwhile) is left alone.
        """
        ledger = self._ledger
        order = ledger.order(order_id)
        if order.status is SimOrderStatus.NEW:
            account, listing = ledger.account(order.account_id), ledger.listing(order.symbol)
            if order.limit_price_e8 is None:
                order.limit_price_e8 = band_edge_e8(order.side, listing)
            refusal = risk_refusal(order, account, listing, ledger.market)
            if refusal is None:
                match(ledger, order)
            else:
                # What a part of it filled stands: then it is cancelled, not rejected.
                status = SimOrderStatus.CANCELLED if order.filled_e8 else SimOrderStatus.REJECTED
                ledger.finish(order, status, refusal)
            ledger.publish()
        return copy.copy(order)

    def execute_part(self, order_id: str, size_e8: int) -> SimOrder:
        """Fill at most this much of a NEW order, which stays NEW: ``execute`` takes the rest.

        An order that risk refuses, or that is no longer NEW, is left alone.
        """
        ledger = self._ledger
        order = ledger.order(order_id)
        if order.status is SimOrderStatus.NEW:
            account, listing = ledger.account(order.account_id), ledger.listing(order.symbol)
            if risk_refusal(order, account, listing, ledger.market) is None:
                match_part(ledger, order, size_e8)
                ledger.publish()
        return copy.copy(order)

    def check_amendment(self, order_id: str, to: Amendment) -> None:
        """Raise Refused unless an order may ask to become this: open, changed, fit for the contract."""
        order = self._ledger.order(order_id)
        check_amendment(self._ledger.account(order.account_id), self._ledger.listing(order.symbol), order, to)

    def amend(self, order_id: str, to: Amendment) -> SimOrder:
        """Give an OPEN order a new size and price; return what became of it.

        Raises Refused, by the door or by risk: the order then stays as it was and no listener is called.
        """
        self.check_amendment(order_id, to)
        ledger = self._ledger
        order = ledger.order(order_id)
        account, listing = ledger.account(order.account_id), ledger.listing(order.symbol)
        wanted = replace(order, size_e8=to.size_e8, limit_price_e8=to.limit_price_e8)
        refusal = risk_refusal(wanted, account, listing, ledger.market)
        if refusal is None and post_only_crosses(wanted, listing.book):
            refusal = Reason.POST_ONLY_WOULD_CROSS
        if refusal is not None:
            raise Refused(refusal, f"order {order_id} stays as it is")
        amend(ledger, order, to)
        ledger.publish()
        return copy.copy(order)

    def cancel(self, order_id: str, reason: Reason = Reason.USER_CANCELLED) -> SimOrder:
        """Cancel a NEW or OPEN order. Raises Refused if it is unknown or finished."""
        order = self._ledger.order(order_id)
        if order.status.is_final:
            raise Refused(Reason.ORDER_NOT_OPEN, f"order {order_id} is {order.status.value}")
        withdraw(self._ledger, order, reason)
        self._ledger.publish()
        return copy.copy(order)

    def cancel_all(
        self, account_id: str, symbol: str | None = None, reason: Reason = Reason.USER_CANCELLED
    ) -> list[SimOrder]:
        """Cancel every NEW and OPEN order of an account, on one symbol or on all; return them."""
        account = self._ledger.account(account_id)
        chosen = [
            order
            for order in account.orders.values()
            if not order.status.is_final and symbol in (None, order.symbol)
        ]
        for order in chosen:
            withdraw(self._ledger, order, reason)
        self._ledger.publish()
        return [copy.copy(order) for order in chosen]

    def order(self, order_id: str) -> SimOrder | None:
        """The order with this venue id, finished or not; None if it is unknown."""
        order = self._ledger.find_order(order_id)
        return copy.copy(order) if order else None

    def order_by_client_id(self, account_id: str, client_id: str) -> SimOrder | None:
        """The account's newest order with this client id, finished or not."""
        order = self._ledger.account(account_id).orders_by_client_id.get(client_id)
        return copy.copy(order) if order else None

    def open_orders(self, account_id: str, symbol: str | None = None) -> list[SimOrder]:
        """NEW and OPEN orders, oldest first."""
        return [order for order in self.orders(account_id, symbol) if not order.status.is_final]

    def orders(self, account_id: str, symbol: str | None = None) -> list[SimOrder]:
        """All remembered orders of an account, oldest first."""
        orders = self._ledger.account(account_id).orders.values()
        return [copy.copy(order) for order in orders if symbol in (None, order.symbol)]

    def fills(self, account_id: str, symbol: str | None = None) -> list[SimFill]:
        """All remembered fills of an account, oldest first."""
        return [
            fill
            for fill in self._ledger.fills
            if fill.account_id == account_id and symbol in (None, fill.symbol)
        ]
