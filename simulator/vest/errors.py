"""Vest's error codes, and which of them our engine's reasons become.

Source: Vest v2 API documentation, "Error codes". Codes 1xxx refuse a request, 3xxx reject an order
that had been accepted. Message texts and HTTP statuses are not documented; those here are ours.
"""

from __future__ import annotations

from enum import IntEnum

from simulator.exchange import Reason, Refused


class Code(IntEnum):
    UNAUTHORIZED = 1002
    TOO_MANY_REQUESTS = 1003
    INVALID_SIGNATURE = 1022
    INVALID_NONCE = 1023
    INVALID_NETWORK_TYPE = 1024
    ACCOUNT_NOT_FOUND = 1099
    BAD_DECIMALS = 1111
    INVALID_ORDER_TYPE = 1116
    BAD_SYMBOL = 1121
    INVALID_LISTEN_KEY = 1125
    INVALID_PARAMETER = 1130
    BAD_RECV_WINDOW = 1131
    ORDER_EXPIRED = 1132
    INVALID_TIME_IN_FORCE = 1133
    INVALID_TRANSACTION = 1143
    ALREADY_USE_TRANSACTION = 1144
    INVALID_TP_SL_PRICE = 1145
    INVALID_ACCOUNT_GROUP = 1146
    DECLINE_WITHDRAW_FROM_MOBILE = 1147
    MARKET_CLOSED = 1148
    PRICE_CHECK_FAILED = 3001
    MARGIN_CHECK_FAILED = 3002
    PRICE_STALE = 3003
    ORDER_STALE = 3004
    INCREASE_WITH_SL_TP = 3006
    INCREASE_DURING_INSOLVENCY = 3007
    DELETED_BY_LIQ = 3008
    OI_CAP_EXCEEDED = 3010
    INVALID_LIMIT_PRICE = 3011
    DUPLICATE = 3015
    ORDER_NOT_FOUND = 3017
    REDUCE_ONLY_INCREASES = 3018
    REDUCE_ONLY_EXCEEDS_SIZE = 3019
    ORDER_CHANGES_LEVERAGE = 3020
    DECREASE_LEVERAGE_WITH_POSITION = 3021
    ORDER_INVALID_TP_SL_PRICE = 3022
    ORDER_BAD_SYMBOL = 3023
    ORDER_MARKET_CLOSED = 3024


class CloseCode(IntEnum):
    """WebSocket close codes; another number space than the error codes."""

    SERVICE_RESTART = 1012
    WRONG_VERSION = 4000
    ACCOUNT_GROUP_NOT_FOUND = 4001
    ACCOUNT_GROUP_INVALID = 4002
    LISTEN_KEY_REQUIRED = 4003
    LISTEN_KEY_NOT_FOUND = 4004
    LISTEN_KEY_EXPIRED = 4005


_STATUS = {Code.UNAUTHORIZED: 403, Code.TOO_MANY_REQUESTS: 429}


class VestError(Exception):
    """A request refused with one of Vest's codes."""

    def __init__(self, code: Code, detail: str = "", *, status: int = 0) -> None:
        super().__init__(code, detail)
        self.code = code
        self.msg = f"{code.name}: {detail}" if detail else code.name
        self.status = status or _STATUS.get(code, 400)

    def __str__(self) -> str:
        return f"{self.code.value} {self.msg}"


_REFUSED = {
    Reason.UNKNOWN_ACCOUNT: Code.ACCOUNT_NOT_FOUND,
    Reason.UNKNOWN_SYMBOL: Code.BAD_SYMBOL,
    Reason.MARKET_CLOSED: Code.MARKET_CLOSED,
    Reason.PRICE_OFF_GRID: Code.BAD_DECIMALS,
    Reason.SIZE_OFF_GRID: Code.BAD_DECIMALS,
    Reason.SIZE_TOO_SMALL: Code.BAD_DECIMALS,
    Reason.SIZE_TOO_LARGE: Code.INVALID_PARAMETER,
    Reason.NOTIONAL_TOO_SMALL: Code.INVALID_PARAMETER,
    Reason.TOO_MANY_OPEN_ORDERS: Code.TOO_MANY_REQUESTS,
    Reason.ORDER_NOT_FOUND: Code.ORDER_NOT_FOUND,
    Reason.ORDER_NOT_OPEN: Code.ORDER_NOT_FOUND,
    Reason.LEVERAGE_OUT_OF_RANGE: Code.INVALID_PARAMETER,
    Reason.LEVERAGE_LOWERED_WITH_POSITION: Code.DECREASE_LEVERAGE_WITH_POSITION,
}

# Reasons that end an unfilled order as REJECTED with a code. Every other ending is CANCELLED.
REJECTED = {
    Reason.INSUFFICIENT_MARGIN: Code.MARGIN_CHECK_FAILED,
    Reason.REDUCE_ONLY_INCREASES: Code.REDUCE_ONLY_INCREASES,
    Reason.REDUCE_ONLY_EXCEEDS_POSITION: Code.REDUCE_ONLY_EXCEEDS_SIZE,
    Reason.POSITION_LIMIT: Code.OI_CAP_EXCEEDED,
    Reason.PRICE_BAND: Code.PRICE_CHECK_FAILED,
    Reason.NO_LIQUIDITY: Code.PRICE_CHECK_FAILED,
    Reason.MARKET_CLOSED: Code.ORDER_MARKET_CLOSED,
    Reason.LIQUIDATION: Code.DELETED_BY_LIQ,
}


def from_refusal(refused: Refused) -> VestError:
    """Return the request error for what the engine refused at the door."""
    return VestError(_REFUSED[refused.reason], refused.text)
