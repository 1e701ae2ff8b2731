"""A virtual venue: takes an order when it arrives, fills it from the book that stands, remembers it.

No clock, no event loop, no wire: the gateway around it says when something arrives. Every order
ends on arrival, filled, filled in part, cancelled or refused, because only IOC and FOK are taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from executor.gateways.paper.account import VirtualAccount, fee_e8
from executor.gateways.paper.book import Level, NoBook, PaperBook, PaperExecution, average_price_e8, walk
from executor.gateways.paper.journal import Execution, PaperJournal, PaperOrder
from venues.contract import (
    E8,
    Account,
    Instrument,
    OffGrid,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Position,
    Side,
    TimeInForce,
    check_grid,
)

_DUPLICATE: Final = "PAPER_DUPLICATE_CLIENT_ORDER_ID"


class Terms(NamedTuple):
    """What trading on the venue costs and allows."""

    fee_ppb: dict[str, int]  # taker fee in parts per billion, by symbol
    slippage_ppb: int  # added to what the book shows
    leverage_max: int  # value of all positions over equity


class OrderRefused(NamedTuple):
    """The venue said no, and nothing of the order is kept: its id belongs to another one."""

    code: str
    text: str


Look = Callable[[Instrument], PaperBook | NoBook]


class VirtualVenue:
    """One virtual account and its orders. ``look`` reports how an instrument's book stands now."""

    def __init__(
        self, instruments: Sequence[Instrument], terms: Terms, look: Look, journal: PaperJournal
    ) -> None:
        self._instruments = {item.symbol: item for item in instruments}
        self._terms = terms
        self._look = look
        self._journal = journal
        self.account = VirtualAccount(journal.first_balance_e8 * E8)
        self._orders: dict[int, PaperOrder] = {}
        # What we took is gone until the feed speaks again and says what stands without it.
        self._taken: dict[str, tuple[tuple[int, int], dict[Level, int]]] = {}
        for order in journal.orders:
            self._orders[order.client_order_id] = order
            _book_fills(self.account, order)

    def order(self, client_order_id: int) -> PaperOrder | None:
        return self._orders.get(client_order_id)

    def equity_e8(self) -> int:
        """The account at the middle of each book, entry prices where there is none."""
        return self.account.equity_e16(self._mark_e8) // E8

    def margin(self) -> tuple[Account, list[Position]]:
        """The account and what it holds, as a venue would report. Nothing is ever liquidated here."""
        equity_e8 = self.equity_e8()
        used_e8 = self.account.exposure_e16(self._mark_e8) // (E8 * self._terms.leverage_max)
        positions = [
            Position(item.instrument_id, holding.size_e8, holding.entry_price_e8, self._mark_e8(symbol), 0)
            for symbol, item in self._instruments.items()
            if (holding := self.account.holdings.get(symbol))
        ]
        return Account(equity_e8, max(0, equity_e8 - used_e8), maintenance_margin_e8=0), positions

    def execute(
        self, request: OrderRequest, *, valid_until_unix_ms: int, now_unix_ms: int
    ) -> PaperOrder | OrderRefused:
        """Take an order that arrives now. It is in the journal before this returns."""
        if request.client_order_id in self._orders:
            return OrderRefused(_DUPLICATE, f"{request.client_order_id} was used before")
        arrived = PaperOrder(
            client_order_id=request.client_order_id,
            symbol=request.instrument.symbol,
            side=request.side.value,
            size_e8=request.size_e8,
            limit_price_e8=request.limit_price_e8,
            reduce_only=request.reduce_only,
            time_in_force=request.time_in_force.value,
            arrived_unix_ms=now_unix_ms,
        )
        taken: list[PaperExecution] = []
        if now_unix_ms > valid_until_unix_ms:
            detail = f"it arrived {now_unix_ms - valid_until_unix_ms} ms after its signature ended"
            order = _refused(arrived, "PAPER_EXPIRED", detail)
        else:
            order, taken = self._match(request, arrived)
        account = copy.deepcopy(self.account)
        _book_fills(account, order)
        if taken and not request.reduce_only and not self._is_covered(account):
            detail = f"the positions would be worth more than {self._terms.leverage_max} times the equity"
            account, taken = self.account, []
            order = _refused(arrived, "PAPER_INSUFFICIENT_MARGIN", detail)
        try:
            self._journal.append(order)
        except OSError as error:
            # Not kept, so it never was: what the account's file does not know is not true.
            return OrderRefused("PAPER_JOURNAL", str(error))
        self.account = account
        self._orders[order.client_order_id] = order
        for part in taken:
            gone, key = self._taken[order.symbol][1], (order.side, part.level_price_e8)
            gone[key] = gone.get(key, 0) + part.size_e8
        return order

    def _match(self, request: OrderRequest, arrived: PaperOrder) -> tuple[PaperOrder, list[PaperExecution]]:
        instrument, side = request.instrument, request.side
        refusal = self._refusal(request)
        if refusal is not None:
            return _refused(arrived, *refusal), []
        book = self._look(instrument)
        if isinstance(book, NoBook):
            return _refused(arrived, book.code, f"{instrument.symbol}: {book.detail}"), []
        taken = walk(
            self._left_in(instrument, book, side),
            side,
            size_e8=request.size_e8,
            limit_price_e8=request.limit_price_e8,
            slippage_ppb=self._terms.slippage_ppb,
            instrument=instrument,
        )
        is_whole = sum(part.size_e8 for part in taken) == request.size_e8
        if request.time_in_force is TimeInForce.FOK and not is_whole:
            taken = []
        rate_ppb = self._terms.fee_ppb[instrument.symbol]
        fills = tuple(
            Execution(part.price_e8, part.size_e8, fee_e8(part.price_e8, part.size_e8, rate_ppb))
            for part in taken
        )
        return replace(arrived, fills=fills, code="" if is_whole else "PAPER_NO_LIQUIDITY"), taken

    def _refusal(self, request: OrderRequest) -> OrderRefused | None:
        """What is wrong with an order whatever the book."""
        instrument, side = request.instrument, request.side
        position_e8 = self.account.position_e8(instrument.symbol)
        if not instrument.is_trading:
            return OrderRefused("PAPER_MARKET_CLOSED", f"{instrument.symbol} is not trading")
        if request.time_in_force is TimeInForce.GTC:
            return OrderRefused("PAPER_TIME_IN_FORCE", "no order rests here: use IOC or FOK")
        try:
            check_grid(request)
        except OffGrid as error:
            return OrderRefused("PAPER_OFF_GRID", str(error))
        if request.reduce_only and -side * position_e8 < request.size_e8:
            detail = f"{side.name} of {request.size_e8} e8 against a position of {position_e8} e8"
            return OrderRefused("PAPER_REDUCE_ONLY", detail)
        return None

    def _left_in(self, instrument: Instrument, book: PaperBook, side: Side) -> list[Level]:
        """The levels an order takes from, less what we took of them already."""
        seen_mono_ns, gone = self._taken.get(instrument.symbol, ((0, 0), {}))
        if seen_mono_ns != book.seen_mono_ns:
            gone = {}
        self._taken[instrument.symbol] = (book.seen_mono_ns, gone)
        return [
            (price_e8, size_e8 - gone.get((side.value, price_e8), 0))
            for price_e8, size_e8 in book.against(side)
        ]

    def _is_covered(self, account: VirtualAccount) -> bool:
        exposure_e16 = account.exposure_e16(self._mark_e8)
        return exposure_e16 <= self._terms.leverage_max * account.equity_e16(self._mark_e8)

    def _mark_e8(self, symbol: str) -> int:
        instrument = self._instruments.get(symbol)
        book = self._look(instrument) if instrument else None
        return book.mid_e8 if isinstance(book, PaperBook) else 0


def update_of(order: PaperOrder, instrument_id: int) -> OrderUpdate:
    """What the venue reports of an order."""
    status = OrderStatus.FILLED if order.filled_e8 == order.size_e8 else OrderStatus.CANCELLED
    prices = [(fill.price_e8, fill.size_e8) for fill in order.fills]
    return OrderUpdate(
        client_order_id=order.client_order_id,
        venue_order_id=venue_order_id(order),
        instrument_id=instrument_id,
        status=OrderStatus.REJECTED if order.is_refused else status,
        size_e8=order.size_e8,
        filled_e8=order.filled_e8,
        average_price_e8=average_price_e8(prices, Side(order.side)) or None,
        fee_e8=sum(fill.fee_e8 for fill in order.fills),
        reason=order.code,
        venue_unix_ns=order.arrived_unix_ms * 1_000_000,
        side=Side(order.side),
    )


def venue_order_id(order: PaperOrder) -> str:
    """The venue's name of an order: from ours, which is unique for ever, as its fills must be too."""
    return f"paper-{order.client_order_id}"


def _book_fills(account: VirtualAccount, order: PaperOrder) -> None:
    for fill in order.fills:
        account.trade(order.symbol, Side(order.side), fill.price_e8, fill.size_e8, fill.fee_e8)


def _refused(order: PaperOrder, code: str, text: str) -> PaperOrder:
    return replace(order, code=code, text=text, is_refused=True)
