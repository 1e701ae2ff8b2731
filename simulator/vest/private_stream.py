"""Vest's private channel: one ORDER event per change of an order, in the order they happened."""

from __future__ import annotations

from dataclasses import replace

from simulator.exchange import Exchange, Reason, SimOrder, SimOrderStatus
from simulator.vest import messages
from simulator.vest.hub import Hub

PRIVATE = "account_private"


class PrivateFeed:
    """Tells each account's sockets what became of its orders. Positions and balances have no event."""

    def __init__(self, exchange: Exchange, hub: Hub) -> None:
        self._exchange = exchange
        self._hub = hub
        exchange.on_order(self._order_changed)

    def _order_changed(self, order: SimOrder) -> None:
        if order.status is SimOrderStatus.OPEN and not order.filled_e8:
            return  # it rests as it was announced: still NEW in Vest's terms
        if order.filled_e8 and order.reason in (Reason.NO_LIQUIDITY, Reason.SELF_TRADE):
            # It took a part and gave the rest back at once. CANCELLED carries no size, so what it
            # filled is reported first, as the documented order of events has it.
            self._tell(replace(order, status=SimOrderStatus.OPEN, reason=None))
        self._tell(order)

    def _tell(self, order: SimOrder) -> None:
        args = messages.order_event(
            order,
            self._exchange.instrument(order.symbol),
            self._exchange.funding_index_e12(order.symbol),
        )
        message = {"channel": PRIVATE, "data": {"event": "ORDER", "args": args}}
        for session in self._hub.listeners(PRIVATE):
            if session.client is not None and session.client.primary == order.account_id:
                self._hub.send(session, f"push.{PRIVATE}", message, symbol=order.symbol)
