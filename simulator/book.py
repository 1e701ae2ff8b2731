"""One instrument's book: a market maker's displayed levels and the clients' resting orders.

The levels are replaced whole by every update of the market; what clients take from them stays
taken until then. Priority is price, then time; the market maker's size stood before any client's
order at the same price, so it goes first.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator

from simulator.orders import BUY, SELL, Levels, SimOrder


def _priority(order: SimOrder) -> int:
    """Sort key on one side: a better price is smaller; equal prices keep their order of arrival."""
    assert order.limit_price_e8 is not None
    return -order.side * order.limit_price_e8


class Book:
    """Sides are named by who rests there: BUY holds the bids, SELL the asks."""

    def __init__(self) -> None:
        self.sequence = 0  # rises by one with every change
        self.mark_e8 = 0  # the market maker's mid when it last had both sides; 0 before
        self._levels: dict[int, list[tuple[int, int]]] = {BUY: [], SELL: []}
        self._orders: dict[int, list[SimOrder]] = {BUY: [], SELL: []}

    def replace_levels(self, bids: Levels, asks: Levels) -> None:
        """Put new market maker's levels in place of the old ones."""
        self._levels[BUY] = list(bids)  # our own copy: taking shortens it
        self._levels[SELL] = list(asks)
        if bids and asks:
            self.mark_e8 = (bids[0][0] + asks[0][0]) // 2
        self.sequence += 1

    def rest(self, order: SimOrder) -> None:
        insort(self._orders[order.side], order, key=_priority)
        self.sequence += 1

    def remove(self, order: SimOrder) -> None:
        self._orders[order.side].remove(order)
        self.sequence += 1

    def shrink(self, order: SimOrder, size_e8: int) -> None:
        """Lower a resting order's size; it keeps its place."""
        assert order.filled_e8 < size_e8 < order.size_e8
        order.size_e8 = size_e8
        self.sequence += 1

    def best_market(self, side: int) -> tuple[int, int] | None:
        """The market maker's best (price_e8, size_e8) on a side."""
        levels = self._levels[side]
        return levels[0] if levels else None

    def best_order(self, side: int) -> SimOrder | None:
        """The clients' best order on a side."""
        orders = self._orders[side]
        return orders[0] if orders else None

    def best_against(self, taker_side: int, limit_e8: int | None) -> tuple[int, int, SimOrder | None] | None:
        """Return (price_e8, size_e8, order) next in priority for a taker, or None within its limit.

        ``order`` is None where the market maker is next.
        """
        return next(self._against(taker_side, limit_e8), None)

    def available_e8(self, taker_side: int, limit_e8: int | None, account_id: str) -> int:
        """Size a taker of this account finds within its limit before it would meet itself."""
        total_e8 = 0
        for _, size_e8, order in self._against(taker_side, limit_e8):
            if order is not None and order.account_id == account_id:
                break
            total_e8 += size_e8
        return total_e8

    def take_market(self, side: int, size_e8: int) -> None:
        """Take from the market maker's best level on a side, which must hold that much."""
        levels = self._levels[side]
        price_e8, held_e8 = levels[0]
        assert 0 < size_e8 <= held_e8
        if size_e8 == held_e8:
            del levels[0]
        else:
            levels[0] = (price_e8, held_e8 - size_e8)
        self.sequence += 1

    def take_order(self, order: SimOrder) -> None:
        """Note that a resting order was filled; take it out once nothing of it remains."""
        if order.remaining_e8 == 0:
            self._orders[order.side].remove(order)
        self.sequence += 1

    def depth(self, side: int, limit: int) -> Levels:
        """Levels of a side as the public sees them, best first, clients' orders included."""
        levels = self._levels[side]
        if not self._orders[side]:
            return levels[:limit]
        merged: dict[int, int] = dict(levels)
        for order in self._orders[side]:
            assert order.limit_price_e8 is not None
            price_e8 = order.limit_price_e8
            merged[price_e8] = merged.get(price_e8, 0) + order.remaining_e8
        return sorted(merged.items(), reverse=side == BUY)[:limit]

    def _against(self, taker_side: int, limit_e8: int | None) -> Iterator[tuple[int, int, SimOrder | None]]:
        """All (price_e8, size_e8, order) a taker could meet within its limit, in priority."""
        side = -taker_side
        levels, orders = self._levels[side], self._orders[side]
        level_index = order_index = 0
        while level_index < len(levels) or order_index < len(orders):
            order = orders[order_index] if order_index < len(orders) else None
            if order is not None:
                assert order.limit_price_e8 is not None
                is_market_next = (
                    level_index < len(levels) and side * levels[level_index][0] >= side * order.limit_price_e8
                )
            else:
                is_market_next = True
            if is_market_next:
                price_e8, size_e8 = levels[level_index]
                order = None
                level_index += 1
            else:
                assert order is not None
                assert order.limit_price_e8 is not None
                price_e8, size_e8 = order.limit_price_e8, order.remaining_e8
                order_index += 1
            if limit_e8 is not None and side * price_e8 < side * limit_e8:
                return
            yield price_e8, size_e8, order
