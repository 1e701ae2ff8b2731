"""A sender without effect, for keeping the hot path warm: the real functions run, and nothing comes of it.

On a calm market the caches have lost the way by the time a signal comes: it takes several times as long
then. See ``runtime.keep_warm_ms``.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.event import Event
from executor.gateways.contract import Budget, NotSent, OrderGateway, ReadyOrder
from executor.market import Prices
from executor.metrics.latency import SignalTimestamps
from executor.orders.sender import Sender
from executor.orders.stagger import Stagger
from runtime.clock import Clock
from venues.contract import OrderRequest, TimeInForce


def null_sender(gateways: Mapping[str, OrderGateway], prices: Prices, clock: Clock) -> Sender:
    """The sender as it is, with nothing behind it."""
    tally = _NullTally()
    return Sender(
        gateways=_NullGateways(gateways),
        prices=prices,
        rate=_NullRate(),
        stagger=Stagger(is_on=False, hold_ns_max=0),
        latency=tally,
        counters=tally,
        report=_forget,
        clock=clock,
    )


class NullStore:
    """A state store that keeps nothing."""

    def write_event(self, pair_id: int, event: bytes) -> None:
        """Nothing is written."""


def _forget(_: Event) -> None:
    """Nothing has happened."""


class _NullGateways(dict[str, "_NullGateway"]):
    """By venue; made when a venue is first looked up, for the real ones are connected later."""

    def __init__(self, gateways: Mapping[str, OrderGateway]) -> None:
        super().__init__()
        self._gateways = gateways

    def __missing__(self, venue: str) -> _NullGateway:
        self[venue] = _NullGateway(self._gateways[venue])
        return self[venue]


class _NullGateway:
    """A venue's clock and budget, to look at; no order leaves and none is signed."""

    def __init__(self, gateway: OrderGateway) -> None:
        self._gateway = gateway
        self.time_in_force: TimeInForce = gateway.time_in_force

    @property
    def clock(self) -> Clock:
        return self._gateway.clock

    @property
    def budget(self) -> Budget:
        return self._gateway.budget

    def sign(self, request: OrderRequest) -> ReadyOrder:
        raise NotSent(
            f"order {request.client_order_id} is none"
        )  # a signature would keep the loop from others

    def send(self, order: ReadyOrder) -> None:
        """Nothing leaves."""

    def count_sent(self, now_mono_ns: int) -> None:
        """So nothing is spent."""


class _NullRate:
    def count(self, now_mono_ns: int) -> None:
        """Nothing was sent."""


class _NullTally:
    """Counters and latencies of orders that do not exist."""

    def count(self, name: str, amount: int = 1) -> None:
        """Nothing is counted."""

    def sent(self, client_order_id: int, now_mono_ns: int) -> None:
        """Nothing was sent."""

    def both_sent(self, stages: SignalTimestamps) -> None:
        """Nor was the other leg."""

    def sent_mono_ns(self, client_order_id: int) -> int:
        """Never."""
        return 0
