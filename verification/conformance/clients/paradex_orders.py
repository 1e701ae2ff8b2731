"""Orders as the SDK wants them, and what its answers say of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from paradex_py.common.order import Order, OrderSide, OrderType

MARKET: Final = "BTC-USD-PERP"
SIZE: Final = Decimal("0.02")


def far_below(api: Any) -> Decimal:
    """A price on the grid at which a buy order rests and is not filled."""
    return (Decimal(api.fetch_bbo(MARKET)["bid"]) * Decimal("0.9")).quantize(Decimal(1))


def limit_order(price: Decimal, client_id: str, size: Decimal = SIZE) -> Any:
    return Order(
        market=MARKET,
        order_type=OrderType.Limit,
        order_side=OrderSide.Buy,
        size=size,
        limit_price=price,
        client_id=client_id,
    )


def market_order(side: Any, *, reduce_only: bool = False) -> Any:
    return Order(
        market=MARKET, order_type=OrderType.Market, order_side=side, size=SIZE, reduce_only=reduce_only
    )


def ids(page: Mapping[str, Any]) -> list[str]:
    return [order["id"] for order in page["results"]]


def closed_as(api: Any, order_id: str) -> str | None:
    """Why an order is closed, "" if it was filled; None while it is not."""
    for order in api.fetch_orders_history({"market": MARKET})["results"]:
        if order["id"] == order_id and order["status"] == "CLOSED":
            return str(order["cancel_reason"])
    return None
