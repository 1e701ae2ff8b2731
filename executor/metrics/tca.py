"""Slippage: what a batch of orders got against what the detector saw, once per entry and exit.

Positive basis points are worse for us. Three prices of each leg are compared: detected (the touch of
the signal), sent (the touch when the bytes were written) and filled (the average of the batch's orders
and of those that mended it). What was filled worse than detected is learned from (``learned``).
"""

from __future__ import annotations

from typing import Any

from events.orders import OrderChanged
from executor.metrics.latency import SignalTimestamps
from executor.pair.pricing import LegMarket, average_price_e8, touch_e8
from shm.records import SignalKind
from venues.contract import E8, PAR_E8, Side, converted_e8

Pair = tuple[int, int]
_PURPOSES = {SignalKind.ENTER: ("entry", "complete"), SignalKind.EXIT: ("exit", "unwind")}
_KINDS = {SignalKind.ENTER: "entry", SignalKind.EXIT: "exit"}


class ExecutionReport:
    """The orders that one signal became, followed until they are reported as an entry or an exit."""

    def __init__(
        self, stages: SignalTimestamps, markets: tuple[LegMarket, LegMarket], rate_e8: int = PAR_E8
    ) -> None:
        """``rate_e8`` is what one unit of leg 1's quote currency is worth in leg 0's."""
        signal = stages.signal
        self.stages = stages
        self.kind = SignalKind(signal.kind)
        # For an exit the signal's direction is the position's: the trades go the other way.
        first = Side(signal.direction if self.kind is SignalKind.ENTER else -signal.direction)
        self.sides = first, first.opposite
        assert self.sides[0] == -self.sides[1], "one leg is bought, the other sold"
        self.detected_e8: Pair = signal.first_price_e8, signal.second_price_e8
        self.sent_e8: Pair = touch_e8(markets[0], self.sides[0]), touch_e8(markets[1], self.sides[1])
        self._rate_e8 = rate_e8
        self._filled: dict[int, tuple[int, int, int]] = {}  # order -> leg, size, average price

    def follow(self, order: OrderChanged) -> None:
        """Take in what has become of an order. Those of other batches have no place here."""
        leg, client_order_id = order.leg, order.client_order_id
        if order.purpose in _PURPOSES[self.kind] and client_order_id >= self.stages.client_order_ids[leg]:
            self._filled[client_order_id] = leg, order.filled_e8, order.average_price_e8

    @property
    def filled_e8(self) -> Pair:
        """Average price of each leg; 0 where nothing was filled."""
        return self._average_e8(0), self._average_e8(1)

    def _average_e8(self, leg: int) -> int:
        orders = [order for order in self._filled.values() if order[0] == leg]
        size_e8 = sum(size for _, size, _ in orders)
        return average_price_e8(sum(size * price for _, size, price in orders) // E8, size_e8)

    def worse_bps(self, prices_e8: Pair) -> tuple[float | None, float | None]:
        """How much worse each leg's price is than the one detected; None where either is not known."""
        first, second = (
            10_000 * (price_e8 - seen_e8) / seen_e8 * side if seen_e8 and price_e8 else None
            for price_e8, seen_e8, side in zip(prices_e8, self.detected_e8, self.sides, strict=True)
        )
        return first, second

    def fields(self) -> dict[str, Any]:
        """The batch as the fields of ``SlippageMeasured``."""
        signal, filled_e8 = self.stages.signal, self.filled_e8
        first_sent_bps, second_sent_bps = self.worse_bps(self.sent_e8)
        first_bps, second_bps = self.worse_bps(filled_e8)
        return {
            "kind": _KINDS[self.kind],
            "signal_id": signal.signal_id,
            "layer": signal.layer if self.kind is SignalKind.ENTER else 0,
            "sides": tuple(side.name for side in self.sides),
            "detected_bps": self._spread_bps(self.detected_e8),
            "sent_bps": self._spread_bps(self.sent_e8),
            "filled_bps": self._spread_bps(filled_e8),
            "first_leg_sent_bps": first_sent_bps,
            "second_leg_sent_bps": second_sent_bps,
            "first_leg_bps": first_bps,
            "second_leg_bps": second_bps,
            "detected_prices_e8": self.detected_e8,
            "sent_prices_e8": self.sent_e8,
            "filled_prices_e8": filled_e8,
            **self.stages.fields_us(),
        }

    def _spread_bps(self, prices_e8: Pair) -> float | None:
        """Entry: what is captured, over the price bought at. Exit: what is given back, over that sold at."""
        if not all(prices_e8):
            return None
        compared_e8 = prices_e8[0], converted_e8(prices_e8[1], self._rate_e8)
        bought_e8, sold_e8 = compared_e8 if self.sides[0] is Side.BUY else compared_e8[::-1]
        if self.kind is SignalKind.ENTER:
            return 10_000 * (sold_e8 - bought_e8) / bought_e8
        return 10_000 * (bought_e8 - sold_e8) / sold_e8
