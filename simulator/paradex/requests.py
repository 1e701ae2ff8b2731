"""Reading a create request: every field checked and named before anything is signed off.

Source: Paradex documentation, "Create order" and the WebSocket method ``order.create``, which take
the same object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from simulator.orders import BUY, SELL, NewOrder
from simulator.paradex import sbe
from simulator.paradex.errors import ApiError
from simulator.paradex.signing import Message, order_message
from venues.contract import parse_e8

INSTRUCTIONS: Final = frozenset({"GTC", "IOC", "POST_ONLY", "RPI"})
SERVED_TYPES: Final = frozenset({"LIMIT", "MARKET"})
RECV_WINDOW_MS_DEFAULT: Final = 300_000
RECV_WINDOW_MS_MIN: Final = 10
CLIENT_ID_CHARACTERS_MAX: Final = 64
SIGNED_NUMBER_MAX: Final = 2**63  # what the signed struct and the SBE fields hold


class OrderSpec(NamedTuple):
    """A create request as the client meant it."""

    market: str
    side: str
    order_type: str
    size_e8: int
    price_e8: int | None  # None for market orders
    instruction: str
    client_id: str
    flags: tuple[str, ...]
    stp: str
    signed_unix_ms: int
    recv_window_ms: int
    signature: str

    @property
    def message(self) -> Message:
        """What the client signed."""
        return order_message(
            signed_unix_ms=self.signed_unix_ms,
            market=self.market,
            side=self.side,
            order_type=self.order_type,
            size_e8=self.size_e8,
            price_e8=self.price_e8 or 0,
        )

    def to_new_order(self) -> NewOrder:
        """The engine's order."""
        is_market = self.order_type == "MARKET"
        return NewOrder(
            symbol=self.market,
            side=BUY if self.side == "BUY" else SELL,
            size_e8=self.size_e8,
            limit_price_e8=self.price_e8,
            time_in_force="IOC" if is_market or self.instruction == "IOC" else "GTC",
            post_only=self.instruction == "POST_ONLY",
            reduce_only="REDUCE_ONLY" in self.flags,
            client_id=self.client_id,
        )


def order_market(body: object) -> str:
    """The market that a create request names, before anything of it is checked; "" if it names none."""
    market = body.get("market") if isinstance(body, Mapping) else None
    return market if isinstance(market, str) else ""


def parse_order(body: object) -> OrderSpec:
    """Read a create request. Raises ApiError naming the field."""
    if not isinstance(body, Mapping):
        raise ApiError("BINDING_ERROR", "an order is a JSON object")
    market = _text(body, "market")
    side = _one_of(body, "side", sbe.SIDES)
    order_type = _one_of(body, "type", sbe.ORDER_TYPES)
    if order_type not in SERVED_TYPES:
        raise ApiError("REQUEST_NOT_ALLOWED", f"type {order_type} is not served: LIMIT and MARKET are")
    instruction = _one_of(body, "instruction", INSTRUCTIONS, default="GTC")
    if instruction == "RPI":
        raise ApiError("RPI_ACCOUNT_NOT_WHITELISTED", "the account may not place RPI orders")
    if instruction == "POST_ONLY" and order_type == "MARKET":
        raise ApiError("INVALID_REQUEST_PARAMETER", "instruction: a market order cannot be POST_ONLY")
    stp = _one_of(body, "stp", sbe.STP_MODES, default="EXPIRE_TAKER")
    if stp != "EXPIRE_TAKER":
        raise ApiError("REQUEST_NOT_ALLOWED", f"stp {stp} is not served: EXPIRE_TAKER is")
    return OrderSpec(
        market=market,
        side=side,
        order_type=order_type,
        size_e8=_amount(body, "size", code="INVALID_ORDER_SIZE"),
        price_e8=None if order_type == "MARKET" else _amount(body, "price", code="INVALID_REQUEST_PARAMETER"),
        instruction=instruction,
        client_id=_client_id(body),
        flags=_flags(body),
        stp=stp,
        signed_unix_ms=_integer(body, "signature_timestamp", None),
        recv_window_ms=_recv_window(body),
        signature=_text(body, "signature"),
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError("VALIDATION_ERROR", f"{name}: a text is required")
    return value


def _one_of(
    body: Mapping[str, Any],
    name: str,
    allowed: Mapping[str, int] | frozenset[str],
    default: str | None = None,
) -> str:
    value = body.get(name)
    if not value and default is not None:
        return default
    if not isinstance(value, str) or value not in allowed:
        names = ", ".join(sorted(filter(None, allowed)))
        raise ApiError("VALIDATION_ERROR", f"{name}: {str(value)[:40]!r} is not one of {names}")
    return value


def _amount(body: Mapping[str, Any], name: str, *, code: str) -> int:
    """A positive decimal text, scaled by 10**8."""
    value = body.get(name)
    try:
        amount_e8 = parse_e8(value) if isinstance(value, str) else 0
    except ValueError as error:
        raise ApiError(code, f"{name}: {error}") from None
    if not 0 < amount_e8 < SIGNED_NUMBER_MAX:
        raise ApiError(code, f"{name}: {str(value)[:40]!r} is not a positive decimal text in range")
    return amount_e8


def _integer(body: Mapping[str, Any], name: str, default: int | None) -> int:
    value = body.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < SIGNED_NUMBER_MAX:
        raise ApiError("VALIDATION_ERROR", f"{name}: a whole number is required")
    return value


def _recv_window(body: Mapping[str, Any]) -> int:
    window_ms = _integer(body, "recv_window", RECV_WINDOW_MS_DEFAULT)
    if window_ms < RECV_WINDOW_MS_MIN:
        raise ApiError("INVALID_REQUEST_PARAMETER", f"recv_window: at least {RECV_WINDOW_MS_MIN} ms")
    return window_ms


def _client_id(body: Mapping[str, Any]) -> str:
    client_id = body.get("client_id") or ""
    if not isinstance(client_id, str) or len(client_id) > CLIENT_ID_CHARACTERS_MAX:
        raise ApiError("VALIDATION_ERROR", f"client_id: a text of at most {CLIENT_ID_CHARACTERS_MAX}")
    return client_id


def _flags(body: Mapping[str, Any]) -> tuple[str, ...]:
    flags = body.get("flags") or []
    if not isinstance(flags, list) or not all(
        isinstance(flag, str) and flag in sbe.ORDER_FLAGS for flag in flags
    ):
        raise ApiError("VALIDATION_ERROR", f"flags: a list of {', '.join(sbe.ORDER_FLAGS)}")
    return tuple(flags)
