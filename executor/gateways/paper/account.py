"""A margin account that exists only here: balance, positions, results.

Every amount is exact. The product of a price and a size, both scaled by 10**8, is kept as it is
(``_e16``) and never rounded; only fees are, up to the next 10**-8. A position keeps its signed
entry value, and closing a part of it takes a whole number out of that, so nothing is lost: balance
minus the entry values is always the first balance minus all that was paid, plus all received.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from executor.gateways.paper.book import PPB
from venues.contract import E8, Side


def fee_e8(price_e8: int, size_e8: int, fee_ppb: int) -> int:
    """Fee of one execution, rounded up."""
    return -(-price_e8 * size_e8 * fee_ppb // (E8 * PPB))


@dataclass(slots=True)
class Holding:
    """One position and what it has earned."""

    size_e8: int = 0  # signed
    cost_e16: int = 0  # signed entry value of the open size
    realised_e16: int = 0  # before fees
    fees_e8: int = 0

    @property
    def entry_price_e8(self) -> int:
        return abs(self.cost_e16) // abs(self.size_e8) if self.size_e8 else 0

    def trade(self, side: Side, price_e8: int, size_e8: int) -> int:
        """Close what the execution closes and open the rest; return the result realised, as e16."""
        assert price_e8 > 0, "an execution has a price"
        assert size_e8 > 0, "an execution has a size"
        realised_e16 = 0
        if self.size_e8 * side < 0:
            closing_e8 = min(size_e8, abs(self.size_e8))
            # Floor division leaves its remainder in the part that stays open.
            closed_cost_e16 = self.cost_e16 * closing_e8 // abs(self.size_e8)
            realised_e16 = -side * closing_e8 * price_e8 - closed_cost_e16
            self.cost_e16 -= closed_cost_e16
            self.size_e8 += side * closing_e8
            size_e8 -= closing_e8
        self.size_e8 += side * size_e8
        self.cost_e16 += side * size_e8 * price_e8
        self.realised_e16 += realised_e16
        assert self.size_e8 or not self.cost_e16, "what is flat has cost nothing"
        return realised_e16


@dataclass(slots=True)
class VirtualAccount:
    """Money and positions on one venue."""

    balance_e16: int  # collateral and realised results, fees paid
    holdings: dict[str, Holding] = field(default_factory=dict)  # by symbol

    def position_e8(self, symbol: str) -> int:
        holding = self.holdings.get(symbol)
        return holding.size_e8 if holding else 0

    def trade(self, symbol: str, side: Side, price_e8: int, size_e8: int, paid_fee_e8: int) -> None:
        """Book one execution."""
        holding = self.holdings.setdefault(symbol, Holding())
        self.balance_e16 += holding.trade(side, price_e8, size_e8) - paid_fee_e8 * E8
        holding.fees_e8 += paid_fee_e8

    def equity_e16(self, mark_e8: Callable[[str], int]) -> int:
        """The balance with every position valued at its mark; 0 is no mark: the entry price then."""
        return self.balance_e16 + sum(
            holding.size_e8 * mark - holding.cost_e16
            for symbol, holding in self.holdings.items()
            if (mark := mark_e8(symbol))
        )

    def exposure_e16(self, mark_e8: Callable[[str], int]) -> int:
        """Absolute value of all positions at their marks."""
        return sum(
            abs(holding.size_e8) * mark if (mark := mark_e8(symbol)) else abs(holding.cost_e16)
            for symbol, holding in self.holdings.items()
        )
