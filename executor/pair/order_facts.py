"""How events name a leg, an order, and where an order stands."""

from __future__ import annotations

from typing import Any

from executor.pair.order import Order
from executor.pair.pricing import average_price_e8
from executor.pair.rules import PairRules


def about_leg(rules: PairRules, leg: int) -> dict[str, Any]:
    """Which leg, and which contract, as events say it."""
    instrument = rules.instruments[leg]
    return {"leg": leg, "venue": instrument.venue, "symbol": instrument.symbol}


def about_order(rules: PairRules, order: Order) -> dict[str, Any]:
    """Which order, as every event about one says it."""
    return {
        "pair": rules.pair,
        "trade_id": order.trade_id,
        **about_leg(rules, order.leg),
        "client_order_id": order.client_order_id,
        "side": order.side.name,
        "purpose": order.purpose.name.lower(),
        "attempt": order.attempt,
    }


def fate(order: Order) -> dict[str, Any]:
    """Where an order stands, as every event about what became of it says it."""
    return {
        "order_state": order.state.name.lower(),
        "venue_order_id": order.venue_order_id,
        "size_e8": order.size_e8,
        "filled_e8": order.filled_e8,
        "average_price_e8": average_price_e8(order.quote_e8, order.filled_e8),
        "fee_e8": order.fee_e8,
        "is_estimated": not order.is_accounted,
    }
