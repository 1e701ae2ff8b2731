"""Margin accounts: positions, realised and unrealised results, fees, funding, margins.

All amounts are exact integers (e8). A position keeps its signed entry notional rather than an
average price, and closing a part of it takes a whole number of e8 out of that notional, so money
is conserved to the last digit whatever the rounding of the price shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from simulator.orders import BUY, SELL, SimAccount, SimInstrument, SimOrder, SimPosition
from venues.contract import E8

E12 = 10**12


def fee_e8(notional_e8: int, rate_e8: int) -> int:
    """Fee on a notional, rounded half up to the last digit; negative for a rebate."""
    return (notional_e8 * rate_e8 + E8 // 2) // E8


@dataclass(slots=True)
class Holding:
    """One account's position in one instrument, with its whole past."""

    size_e8: int = 0  # signed
    cost_e8: int = 0  # signed entry notional of the open size
    funding_index_e12: int = 0  # cumulative funding settled up to, quote per base unit
    realised_e8: int = 0
    realised_funding_e8: int = 0
    fees_e8: int = 0
    opened_unix_ns: int = 0
    updated_unix_ns: int = 0
    last_fill_id: str = ""

    def accrued_funding_e8(self, index_e12: int) -> int:
        """Funding since the last settlement; positive = received. Longs pay a rising index."""
        return -(index_e12 - self.funding_index_e12) * self.size_e8 // E12

    def settle_funding(self, index_e12: int) -> int:
        """Settle what has accrued up to this index; return it, positive = received."""
        funding_e8 = self.accrued_funding_e8(index_e12)
        self.funding_index_e12 = index_e12
        self.realised_funding_e8 += funding_e8
        return funding_e8

    def trade(
        self, side: int, price_e8: int, size_e8: int, *, index_e12: int, unix_ns: int
    ) -> tuple[int, int]:
        """Settle funding, close what the fill closes, open the rest.

        Returns (realised_e8, funding_e8) of this fill, before its fee.
        """
        funding_e8 = self.settle_funding(index_e12)
        if self.size_e8 == 0:
            self.opened_unix_ns = unix_ns
        realised_e8 = 0
        opening_e8 = size_e8
        if self.size_e8 * side < 0:
            closing_e8 = min(size_e8, abs(self.size_e8))
            opening_e8 = size_e8 - closing_e8
            # Floor division leaves the remainder in the open part: nothing is lost.
            closed_cost_e8 = self.cost_e8 * closing_e8 // abs(self.size_e8)
            realised_e8 = -side * (closing_e8 * price_e8 // E8) - closed_cost_e8
            self.cost_e8 -= closed_cost_e8
            self.size_e8 += side * closing_e8
            if opening_e8:
                self.opened_unix_ns = unix_ns
        self.size_e8 += side * opening_e8
        self.cost_e8 += side * (opening_e8 * price_e8 // E8)
        self.realised_e8 += realised_e8
        self.updated_unix_ns = unix_ns
        return realised_e8, funding_e8


@dataclass(slots=True)
class Account:
    """Money and holdings of one client."""

    account_id: str
    collateral_e8: int
    updated_unix_ns: int
    holdings: dict[str, Holding] = field(default_factory=dict)
    leverages: dict[str, int] = field(default_factory=dict)  # symbol -> chosen leverage
    orders: dict[str, SimOrder] = field(default_factory=dict)  # by id, oldest first
    orders_by_client_id: dict[str, SimOrder] = field(default_factory=dict)  # the newest of each
    open_orders: dict[str, SimOrder] = field(default_factory=dict)  # those in the book, by id

    def position_e8(self, symbol: str) -> int:
        """Signed size of the position in one instrument; 0 when flat."""
        holding = self.holdings.get(symbol)
        return holding.size_e8 if holding else 0

    def initial_ratio_e8(self, instrument: SimInstrument) -> int:
        """The contract's initial margin ratio, or that of a lower leverage the account chose."""
        leverage = self.leverages.get(instrument.symbol)
        return self.ratio_at_e8(instrument, leverage) if leverage else instrument.initial_margin_ratio_e8

    @staticmethod
    def ratio_at_e8(instrument: SimInstrument, leverage: int) -> int:
        """The initial margin ratio at a leverage: never below the contract's."""
        return max(instrument.initial_margin_ratio_e8, -(-E8 // leverage))


class Market(NamedTuple):
    """What valuing an account needs to know of one instrument."""

    instrument: SimInstrument
    mark_e8: int
    funding_index_e12: int


Markets = Callable[[str], Market]


class _SymbolMargin(NamedTuple):
    initial_e8: int  # with open orders
    position_initial_e8: int  # without
    maintenance_e8: int


def _symbol_margin(account: Account, market: Market, extra: SimOrder | None) -> _SymbolMargin:
    """Margins of one instrument: the larger of the exposures if all buys or all sells fill."""
    symbol = market.instrument.symbol
    position_e8 = account.position_e8(symbol)
    open_e8 = {BUY: 0, SELL: 0}
    for order in account.open_orders.values():
        if order.symbol == symbol and (extra is None or order.order_id != extra.order_id):
            open_e8[order.side] += order.remaining_e8
    if extra is not None and extra.symbol == symbol:
        open_e8[extra.side] += extra.remaining_e8
    exposure_e8 = max(0, open_e8[BUY] + position_e8, open_e8[SELL] - position_e8)
    ratio_e8 = account.initial_ratio_e8(market.instrument)
    notional_e8 = abs(position_e8) * market.mark_e8 // E8
    return _SymbolMargin(
        initial_e8=exposure_e8 * market.mark_e8 // E8 * ratio_e8 // E8,
        position_initial_e8=notional_e8 * ratio_e8 // E8,
        maintenance_e8=notional_e8 * market.instrument.maintenance_margin_ratio_e8 // E8,
    )


def value_account(account: Account, markets: Markets, extra: SimOrder | None = None) -> SimAccount:
    """Value an account at the marks, as if ``extra`` rested in the book too.

    An ``extra`` with the id of a resting order stands in its place: an order as it is to become.
    """
    unrealised_e8 = initial_e8 = position_initial_e8 = maintenance_e8 = 0
    symbols = set(account.holdings)
    symbols.update(order.symbol for order in account.open_orders.values())
    if extra is not None:
        symbols.add(extra.symbol)
    for symbol in sorted(symbols):
        market = markets(symbol)
        holding = account.holdings.get(symbol)
        if holding is not None:
            unrealised_e8 += holding.size_e8 * market.mark_e8 // E8 - holding.cost_e8
            unrealised_e8 += holding.accrued_funding_e8(market.funding_index_e12)
        margin = _symbol_margin(account, market, extra)
        initial_e8 += margin.initial_e8
        position_initial_e8 += margin.position_initial_e8
        maintenance_e8 += margin.maintenance_e8
    value_e8 = account.collateral_e8 + unrealised_e8
    return SimAccount(
        account_id=account.account_id,
        collateral_e8=account.collateral_e8,
        value_e8=value_e8,
        unrealised_e8=unrealised_e8,
        initial_margin_e8=initial_e8,
        order_margin_e8=initial_e8 - position_initial_e8,
        maintenance_margin_e8=maintenance_e8,
        free_e8=max(0, value_e8 - initial_e8),
        updated_unix_ns=account.updated_unix_ns,
    )


def value_positions(account: Account, markets: Markets) -> list[SimPosition]:
    """Value every position the account has or had, in the order they were first opened."""
    total = value_account(account, markets)
    return [
        _value_position(account, holding, markets(symbol), total)
        for symbol, holding in account.holdings.items()
    ]


def _value_position(account: Account, holding: Holding, market: Market, total: SimAccount) -> SimPosition:
    margin = _symbol_margin(account, market, None)
    size_e8 = holding.size_e8
    ratio_e8 = market.instrument.maintenance_margin_ratio_e8
    return SimPosition(
        symbol=market.instrument.symbol,
        size_e8=size_e8,
        entry_price_e8=abs(holding.cost_e8) * E8 // abs(size_e8) if size_e8 else 0,
        cost_e8=holding.cost_e8,
        mark_price_e8=market.mark_e8,
        unrealised_e8=size_e8 * market.mark_e8 // E8 - holding.cost_e8,
        unrealised_funding_e8=holding.accrued_funding_e8(market.funding_index_e12),
        realised_e8=holding.realised_e8,
        realised_funding_e8=holding.realised_funding_e8,
        fees_e8=holding.fees_e8,
        initial_margin_e8=margin.position_initial_e8,
        maintenance_margin_e8=margin.maintenance_e8,
        initial_margin_ratio_e8=account.initial_ratio_e8(market.instrument),
        liquidation_price_e8=_liquidation_price_e8(
            size_e8,
            market.mark_e8,
            spare_e8=total.value_e8 - (total.maintenance_margin_e8 - margin.maintenance_e8),
            ratio_e8=ratio_e8,
        ),
        entry_funding_e12=holding.funding_index_e12,
        opened_unix_ns=holding.opened_unix_ns,
        updated_unix_ns=holding.updated_unix_ns,
        last_fill_id=holding.last_fill_id,
    )


def _liquidation_price_e8(size_e8: int, mark_e8: int, *, spare_e8: int, ratio_e8: int) -> int:
    """Price at which value equals maintenance margin if only this instrument moves; 0 when none.

    value + size (P - mark) = |size| P ratio, solved for P.
    """
    if size_e8 == 0:
        return 0
    slope_e16 = size_e8 * E8 - abs(size_e8) * ratio_e8
    price_e8 = (size_e8 * mark_e8 - spare_e8 * E8) * E8 // slope_e16
    return max(0, price_e8)


def reduce_only_orders_to_cancel(account: Account, symbol: str) -> list[SimOrder]:
    """Resting reduce-only orders that the position no longer covers, oldest first."""
    position_e8 = account.position_e8(symbol)
    return [
        order
        for order in account.open_orders.values()
        if order.symbol == symbol and order.reduce_only and order.remaining_e8 > -order.side * position_e8
    ]
