"""The venue's refusals: its own codes, the HTTP status each comes with, and ours mapped to them.

Source: Paradex documentation, REST API error codes and WebSocket JSON-RPC errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from simulator.orders import Reason, Refused

# Every published code, and those of JSON-RPC that say nothing a REST code does not say better.
CODES: Final = frozenset(
    {
        *("VALIDATION_ERROR", "BINDING_ERROR", "INTERNAL_ERROR", "NOT_FOUND", "SERVICE_UNAVAILABLE"),
        *("INVALID_REQUEST_PARAMETER", "REQUEST_NOT_ALLOWED", "NOT_UNIQUE", "RATE_LIMITED"),
        *("NOT_ONBOARDED", "INVALID_TOKEN", "UNAUTHORIZED_ERROR", "INVALID_STARKNET_SIGNATURE"),
        *("STARKNET_SIGNATURE_VERIFICATION_FAILED", "INVALID_STARKNET_ADDRESS", "PUBLIC_KEY_INVALID"),
        *("INVALID_TIMESTAMP", "INVALID_BLOCK_EXPIRATION", "ACCOUNT_NOT_FOUND", "GEO_IP_BLOCK"),
        *("IP_NOT_ALLOWED", "INVALID_SUBKEY", "INVALID_TOKEN_SCOPE", "INVALID_ORDER_SIGNATURE"),
        *("INVALID_ORDER_SIZE", "DUPLICATED_CLIENT_ID", "CLIENT_ORDER_ID_NOT_FOUND"),
        *("ORDER_ID_NOT_FOUND", "ORDER_IS_CLOSED", "ORDER_IS_NOT_OPEN", "BATCH_SIZE_OUT_OF_RANGE"),
        *("INVALID_SYMBOL", "MARKET_NOT_FOUND", "MARKET_NOT_OPEN", "NO_ACCESS_TO_MARKET"),
        *("ISOLATED_MARKET_ACCOUNT_MISMATCH", "RPI_ACCOUNT_NOT_WHITELISTED"),
        *("SYSTEM_STATUS_POST_ONLY", "SYSTEM_STATUS_CANCEL_ONLY", "MMP_NOT_ENABLED"),
        *("-32700", "-32600", "-32601", "-32602", "-32603"),
        *("100", "40110", "40111", "40112", "40300", "42901"),
    }
)
STATUSES: Final[Mapping[str, int]] = {
    "INVALID_TOKEN": 401,
    "UNAUTHORIZED_ERROR": 401,
    "GEO_IP_BLOCK": 403,
    "IP_NOT_ALLOWED": 403,
    "MMP_NOT_ENABLED": 403,
    "NOT_FOUND": 404,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
}

# The venue publishes no code for tick, lot and minimum violations; these are the nearest ones.
DOOR_CODES: Final[Mapping[Reason, str]] = {
    Reason.UNKNOWN_ACCOUNT: "ACCOUNT_NOT_FOUND",
    Reason.UNKNOWN_SYMBOL: "MARKET_NOT_FOUND",
    Reason.MARKET_CLOSED: "MARKET_NOT_OPEN",
    Reason.PRICE_OFF_GRID: "INVALID_REQUEST_PARAMETER",
    Reason.SIZE_OFF_GRID: "INVALID_ORDER_SIZE",
    Reason.SIZE_TOO_SMALL: "INVALID_ORDER_SIZE",
    Reason.SIZE_TOO_LARGE: "INVALID_ORDER_SIZE",
    Reason.NOTIONAL_TOO_SMALL: "INVALID_REQUEST_PARAMETER",
    Reason.TOO_MANY_OPEN_ORDERS: "REQUEST_NOT_ALLOWED",
    Reason.ORDER_NOT_FOUND: "ORDER_ID_NOT_FOUND",
    Reason.ORDER_NOT_OPEN: "ORDER_IS_CLOSED",
    Reason.NOTHING_CHANGED: "INVALID_REQUEST_PARAMETER",
    Reason.SIZE_ALREADY_FILLED: "INVALID_ORDER_SIZE",
}

# Published where the venue publishes them; the rest are our own texts, as any non-empty
# reason means cancelled.
CANCEL_REASONS: Final[Mapping[Reason, str]] = {
    Reason.USER_CANCELLED: "USER_CANCELED",
    Reason.INSUFFICIENT_MARGIN: "NOT_ENOUGH_MARGIN",
    Reason.POST_ONLY_WOULD_CROSS: "POST_ONLY_WOULD_CROSS",
    Reason.POSITION_LIMIT: "ORDER_EXCEEDS_POSITION_LIMIT",
    Reason.SELF_TRADE: "SELF_TRADE",
}


class ApiError(Exception):
    """A refusal with the venue's code and text."""

    def __init__(self, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.headers = dict(headers or {})

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, 400)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.code, "message": self.message, "data": None}


def from_refused(refused: Refused) -> ApiError:
    """The engine's refusal of a request, as the venue words it."""
    return ApiError(DOOR_CODES.get(refused.reason, "VALIDATION_ERROR"), str(refused))


def from_refused_modify(refused: Refused) -> ApiError:
    """A refused modification, as the venue words it."""
    if refused.reason is Reason.ORDER_NOT_OPEN:
        return ApiError("ORDER_IS_NOT_OPEN", refused.text)
    if refused.reason is Reason.NOTHING_CHANGED:
        return ApiError("INVALID_REQUEST_PARAMETER", refused.reason.value)  # the published text
    code = DOOR_CODES.get(refused.reason) or cancel_reason(refused.reason)
    return ApiError(code, str(refused))


def cancel_reason(reason: Reason | None) -> str:
    """The venue's ``cancel_reason``; "" for an order that ended filled."""
    if reason is None:
        return ""
    return CANCEL_REASONS.get(reason, reason.name)
