"""Queries what is missing of an order that is over: the price and fee of everything it has filled.

An execution's event can be lost, and an order's end says nothing of fees. The machine knows which ended
orders are not accounted for, across restarts; here is only when they are queried: soon, then at growing
intervals, until the venue has answered.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from executor.gateways.contract import OrderGateway
from executor.pair.order import Order
from executor.pairs import PairRuntime, Pairs
from runtime.background import BackgroundTasks

_POLL_NS = 200_000_000
_FIRST_NS = 300_000_000  # an execution's event may come after the end of its order
_PAUSE_NS = 500_000_000  # doubled with every query
_PAUSE_NS_MAX = 30_000_000_000


class _Query:
    """One order's: when it is due next, and how long after that."""

    __slots__ = ("due_mono_ns", "pause_ns")

    def __init__(self, due_mono_ns: int) -> None:
        self.due_mono_ns = due_mono_ns
        self.pause_ns = _PAUSE_NS


class FillQueries:
    """Polled; a query that is under way is due again later."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        gateways: Mapping[str, OrderGateway],
        query_fills: Callable[[PairRuntime, Order], Coroutine[Any, Any, None]],
        tasks: BackgroundTasks,
    ) -> None:
        self._pairs = pairs
        self._gateways = gateways
        self._query_fills = query_fills
        self._tasks = tasks
        self._queries: dict[int, _Query] = {}
        self._poll_mono_ns = 0

    def poll(self, now_mono_ns: int) -> None:
        """Start the queries that are due."""
        if now_mono_ns < self._poll_mono_ns:
            return
        self._poll_mono_ns = now_mono_ns + _POLL_NS
        owed = {order.client_order_id: (pair, order) for pair in self._pairs for order in owed_by(pair)}
        before, self._queries = self._queries, {}
        for number, (pair, order) in owed.items():
            query = before.get(number) or _Query(now_mono_ns + _FIRST_NS)
            self._queries[number] = query
            venue = pair.rules.instruments[order.leg].venue
            if now_mono_ns >= query.due_mono_ns and self._gateways[venue].can_ask:
                query.due_mono_ns = now_mono_ns + query.pause_ns
                query.pause_ns = min(2 * query.pause_ns, _PAUSE_NS_MAX)
                assert not order.is_accounted, "only what is missing is queried"
                self._tasks.start(self._query_fills(pair, order))


def owed_by(pair: PairRuntime) -> list[Order]:
    """The pair's ended orders of which a price or fee is not known."""
    return [order for leg in pair.state.legs for order in leg.past if not order.is_accounted]
