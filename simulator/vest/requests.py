"""Vest's request bodies, taken apart and checked in the venue's order of checks.

Order of checks for a private call: account group, API key, body shape, receive window, symbol,
order type, time in force, decimals, signature, duplicate. The documentation names the codes; the
order is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from simulator.exchange import BUY, SELL, NewOrder, SimInstrument
from simulator.vest.errors import Code, VestError
from simulator.vest.signing import ORDER, request_digest
from venues.contract import parse_e8

_WINDOW_MS_MAX = 86_400_000  # no maximum is documented; a day is surely a mistake
_TP_SL = ("tpPrice", "tpSignature", "slPrice", "slSignature")


def parse_object(body: bytes) -> dict[str, Any]:
    """Return a request body that must be one JSON object. Raises VestError 1130."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise VestError(Code.INVALID_PARAMETER, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise VestError(Code.INVALID_PARAMETER, "the body is not an object")
    return value


def member(values: Mapping[str, Any], name: str, kind: type[Any]) -> Any:
    """Return a required member of exactly this type. Raises VestError 1130."""
    value = values.get(name)
    # bool is an int to Python and not to JSON.
    if type(value) is not kind or (type(value) is int and not 0 <= value < 2**256):
        raise VestError(Code.INVALID_PARAMETER, f"{name} must be {kind.__name__}")
    return value


@dataclass(frozen=True, slots=True)
class Signed:
    """What every signed request carries around its own fields."""

    time_ms: int
    nonce: int
    fields: dict[str, Any]
    signature: str
    window_ms: int


def parse_signed(body: bytes, window_ms_default: int) -> Signed:
    """Take apart ``{"order": {...}, "recvWindow": ..., "signature": ...}``. Raises VestError."""
    request = parse_object(body)
    order = member(request, "order", dict)
    signature = member(request, "signature", str)
    time_ms, nonce = member(order, "time", int), member(order, "nonce", int)
    window_ms = request.get("recvWindow", window_ms_default)
    if type(window_ms) is not int or not 0 < window_ms <= _WINDOW_MS_MAX:
        raise VestError(Code.BAD_RECV_WINDOW, "recvWindow must be a positive number of milliseconds")
    return Signed(time_ms, nonce, order, signature, window_ms)


def check_window(signed: Signed, now_unix_ms: int) -> None:
    """Raise VestError 1132 for a request that is older than its window allows."""
    if now_unix_ms > signed.time_ms + signed.window_ms:
        age_ms = now_unix_ms - signed.time_ms
        raise VestError(Code.ORDER_EXPIRED, f"{age_ms} ms old, recvWindow {signed.window_ms}")


@dataclass(frozen=True, slots=True)
class OrderFields:
    """The members of an order whose types are right; nothing else is checked yet."""

    symbol: str
    is_buy: bool
    size: str
    order_type: str
    limit_price: str
    reduce_only: bool
    time_in_force: str | None

    @classmethod
    def parse(cls, order: Mapping[str, Any]) -> OrderFields:
        time_in_force = order.get("timeInForce")
        if time_in_force is not None and type(time_in_force) is not str:
            raise VestError(Code.INVALID_PARAMETER, "timeInForce must be str")
        return cls(
            symbol=member(order, "symbol", str),
            is_buy=member(order, "isBuy", bool),
            size=member(order, "size", str),
            order_type=member(order, "orderType", str),
            limit_price=member(order, "limitPrice", str),
            reduce_only=member(order, "reduceOnly", bool),
            time_in_force=time_in_force,
        )

    def digest(self, signed: Signed) -> bytes:
        """The signed hash, over the texts exactly as received. Raises ValueError."""
        return request_digest(
            ORDER,
            (
                signed.time_ms,
                signed.nonce,
                self.order_type,
                self.symbol,
                self.is_buy,
                self.size,
                self.limit_price,
                self.reduce_only,
            ),
        )


def to_new_order(fields: OrderFields, signed: Signed, instrument: SimInstrument, *, strict: bool) -> NewOrder:
    """Check type, time in force and decimals; return the order for the engine. Raises VestError."""
    time_in_force = _time_in_force(fields)
    if any(signed.fields.get(name) is not None for name in _TP_SL):
        # Take-profit and stop-loss legs need triggers, which this engine does not have.
        raise VestError(Code.INVALID_TP_SL_PRICE, "legs are not simulated")
    size_e8 = _decimal(fields.size, "size", instrument.size_decimals, strict=strict)
    price_e8 = _decimal(fields.limit_price, "limitPrice", instrument.price_decimals, strict=strict)
    if size_e8 == 0 or price_e8 == 0:
        raise VestError(Code.INVALID_PARAMETER, "size and limitPrice must be positive")
    return NewOrder(
        symbol=fields.symbol,
        side=BUY if fields.is_buy else SELL,
        size_e8=size_e8,
        limit_price_e8=price_e8,
        time_in_force=time_in_force,
        reduce_only=fields.reduce_only,
        client_id=str(signed.nonce),
    )


def _time_in_force(fields: OrderFields) -> Literal["GTC", "IOC", "FOK"]:
    """A MARKET order fills what it can within its limit price; a LIMIT order is GTC or FOK."""
    if fields.order_type == "MARKET":
        if fields.time_in_force not in (None, "GTC"):
            raise VestError(Code.INVALID_TIME_IN_FORCE, "a MARKET order takes none")
        return "IOC"
    if fields.order_type != "LIMIT":
        raise VestError(Code.INVALID_ORDER_TYPE, fields.order_type[:20])
    if fields.time_in_force == "FOK":
        return "FOK"
    if fields.time_in_force in (None, "GTC"):
        return "GTC"
    raise VestError(Code.INVALID_TIME_IN_FORCE, "GTC or FOK")


def _decimal(text: str, name: str, decimals: int, *, strict: bool) -> int:
    """Return a decimal text as e8. ``strict`` wants exactly ``decimals`` decimals, else at most."""
    count = str(decimals) if strict else f"1,{decimals}"
    fraction = rf"\.[0-9]{{{count}}}" if decimals else ""
    pattern = rf"[0-9]{{1,12}}{fraction}" if strict else rf"[0-9]{{1,12}}(?:{fraction})?"
    if not re.fullmatch(pattern, text):
        raise VestError(Code.BAD_DECIMALS, f"{name} needs {'' if strict else 'at most '}{decimals} decimals")
    return parse_e8(text)
