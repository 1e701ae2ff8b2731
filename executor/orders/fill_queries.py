"""Asks for what was not heard of an order that is over: the price and fee of everything it has filled.

An execution's event can be lost, and an order's end says nothing of fees. The machine knows which ended
orders are not accounted for, across lives; here is only when they are asked about: soon, then at growing
intervals, until the venue has answered.
"""

from __future__ import annotations

from executor.desk import Desk, Pair
from executor.pair.order import Order
from executor.venue_events import Asking

_LOOK_NS = 200_000_000
_FIRST_NS = 300_000_000  # an execution's event may come after the end of its order
_PAUSE_NS = 500_000_000  # doubled with every question
_PAUSE_NS_MAX = 30_000_000_000


class _Question:
    """One order's: when it is due next, and how long after that."""

    __slots__ = ("due_mono_ns", "pause_ns")

    def __init__(self, due_mono_ns: int) -> None:
        self.due_mono_ns = due_mono_ns
        self.pause_ns = _PAUSE_NS


class FillQueries:
    """``look`` is called now and then; a question that is under way has its next transition later."""

    def __init__(self, desk: Desk, asking: Asking) -> None:
        self._desk = desk
        self._asking = asking
        self._questions: dict[int, _Question] = {}
        self._look_mono_ns = 0

    def look(self, now_mono_ns: int) -> None:
        if now_mono_ns < self._look_mono_ns:
            return
        self._look_mono_ns = now_mono_ns + _LOOK_NS
        owed = {order.client_order_id: (pair, order) for pair in self._desk.pairs for order in owed_by(pair)}
        before, self._questions = self._questions, {}
        for number, (pair, order) in owed.items():
            question = before.get(number) or _Question(now_mono_ns + _FIRST_NS)
            self._questions[number] = question
            venue = pair.rules.instruments[order.leg].venue
            if now_mono_ns >= question.due_mono_ns and self._desk.gateways[venue].can_ask:
                question.due_mono_ns = now_mono_ns + question.pause_ns
                question.pause_ns = min(2 * question.pause_ns, _PAUSE_NS_MAX)
                self._desk.start(self._asking.about_fills(pair, order))


def owed_by(pair: Pair) -> list[Order]:
    """The pair's ended orders of which a price or fee is not known."""
    return [order for leg in pair.state.legs for order in leg.past if not order.is_accounted]
