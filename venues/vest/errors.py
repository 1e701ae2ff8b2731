"""Rules what Vest's error codes and WebSocket close codes mean for a request.

``VENUE_CODES`` is the one list of what is believed as a refusal: an error counts only in the venue's own
form (``answers``), with a status of ``ERROR_STATUSES``, and in answer to a request it belongs to. Everything
else is doubt.

Source: Vest API v2 documentation, "Error codes" and "WebSocket close codes"; each row names its group there
(protocol notes, section 10). The documentation gives names only; the verdicts are ours. JSON codes 4001-4004
(liquidity pool) and close codes 4001-4004 are different number spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, Flag, auto
from typing import Final, NamedTuple


class Verdict(Enum):
    """What an error says about the request that met it."""

    REFUSED = "refused"  # it was not done, and repeating it cannot help
    RETRY_LATER = "retry_later"  # it was not done; the same may be asked again
    IN_DOUBT = "in_doubt"  # it may have been done: ask


class Request(Flag):
    """The kinds of request an error may be an answer to."""

    CREATE = auto()
    CANCEL = auto()
    OTHER = auto()  # registration, listen keys, questions: nothing that could be done by mistake


# The status per code is not documented: errors come as 4xx, or as a 200 that holds an error and no id.
# Sections 6.1 (403, 401 without a key) and 10. Others of 4xx (405, 408, 413, 425, 431, 499 ...) are what a
# server in front of the venue says.
ERROR_STATUSES: Final = frozenset({200, 400, 401, 403, 404, 422})
RATE_LIMITED: Final = 429  # the status, and the code of the documented sample; section 10


class VenueCode(NamedTuple):
    name: str
    verdict: Verdict
    answers: Request  # in answer to anything else it is not believed
    source: str  # its group in the documentation
    is_of_grid: bool = False  # the venue did not like a price's or a size's steps or bounds

    @property
    def statuses(self) -> frozenset[int]:
        """HTTP statuses it is believed with."""
        return ERROR_STATUSES | {RATE_LIMITED} if self.name in _RATE_LIMITS else ERROR_STATUSES


_RATE_LIMITS: Final = frozenset({"rate limited", "TOO_MANY_REQUESTS"})
_ORDERS: Final = Request.CREATE | Request.CANCEL
_ANY: Final = _ORDERS | Request.OTHER
_CREATE, _CANCEL, _OTHER = Request.CREATE, Request.CANCEL, Request.OTHER
_SAMPLE, _GENERAL, _BAD_REQUEST = "sample body", "General", "Bad request"
_ORDER, _LP, _TRANSFER = "Order rejected", "LP rejected", "Transfer rejected"


def _refused(name: str, answers: Request, source: str, *, is_of_grid: bool = False) -> VenueCode:
    return VenueCode(name, Verdict.REFUSED, answers, source, is_of_grid=is_of_grid)


def _retry_later(name: str, answers: Request, source: str) -> VenueCode:
    return VenueCode(name, Verdict.RETRY_LATER, answers, source)


def _in_doubt(name: str, answers: Request, source: str) -> VenueCode:
    return VenueCode(name, Verdict.IN_DOUBT, answers, source)


DUPLICATE: Final = 3015
DELETED_BY_LIQUIDATION: Final = 3008
INVALID_LISTEN_KEY: Final = 1125
UNAUTHORIZED: Final = 1002

VENUE_CODES: Final[Mapping[int, VenueCode]] = {
    429: _retry_later("rate limited", _ANY, _SAMPLE),
    1002: _refused("UNAUTHORIZED", _ANY, _GENERAL),
    1003: _retry_later("TOO_MANY_REQUESTS", _ANY, _GENERAL),
    1022: _refused("INVALID_SIGNATURE", _ANY, _GENERAL),
    # Only the name is known. If it means "nonce already used", an order with it exists.
    1023: _in_doubt("INVALID_NONCE", _ANY, _GENERAL),
    1024: _refused("INVALID_NETWORK_TYPE", _OTHER, _GENERAL),
    1099: _refused("ACCOUNT_NOT_FOUND", _ANY, _GENERAL),
    1111: _refused("BAD_DECIMALS", _CREATE, _BAD_REQUEST, is_of_grid=True),
    1116: _refused("INVALID_ORDER_TYPE", _CREATE, _BAD_REQUEST),
    1121: _refused("BAD_SYMBOL", _CREATE | _OTHER, _BAD_REQUEST),
    1125: _refused("INVALID_LISTEN_KEY", _OTHER, _BAD_REQUEST),
    # Names no field. A size beyond what the venue takes is one of its meanings.
    1130: _refused("INVALID_PARAMETER", _ANY, _BAD_REQUEST, is_of_grid=True),
    1131: _refused("BAD_RECV_WINDOW", _ORDERS, _BAD_REQUEST),
    1132: _refused("ORDER_EXPIRED", _ORDERS, _BAD_REQUEST),
    1133: _refused("INVALID_TIME_IN_FORCE", _CREATE, _BAD_REQUEST),
    1143: _refused("INVALID_TRANSACTION", _OTHER, _BAD_REQUEST),
    1144: _refused("ALREADY_USE_TRANSACTION", _OTHER, _BAD_REQUEST),
    1145: _refused("INVALID_TP_SL_PRICE", _CREATE, _BAD_REQUEST),
    1146: _refused("INVALID_ACCOUNT_GROUP", _ANY, _BAD_REQUEST),
    1147: _refused("DECLINE_WITHDRAW_FROM_MOBILE", _OTHER, _BAD_REQUEST),
    1148: _refused("MARKET_CLOSED", _CREATE, _BAD_REQUEST),
    # Documented as what a REJECTED order carries. Whether they also come as answers is not: in their own form
    # they say the same there.
    3001: _refused("PRICE_CHECK_FAILED", _CREATE, _ORDER),
    3002: _refused("MARGIN_CHECK_FAILED", _CREATE, _ORDER),
    3003: _retry_later("PRICE_STALE", _CREATE, _ORDER),  # the venue's oracle is behind
    3004: _refused("ORDER_STALE", _CREATE, _ORDER),
    3006: _refused("INCREASE_WITH_SL_TP", _CREATE, _ORDER),
    3007: _refused("INCREASE_DURING_INSOLVENCY", _CREATE, _ORDER),
    3008: _refused("DELETED_BY_LIQ", _CREATE, _ORDER),
    3010: _refused("OI_CAP_EXCEEDED", _CREATE, _ORDER),
    3011: _refused("INVALID_LIMIT_PRICE", _CREATE, _ORDER, is_of_grid=True),
    # The request met its own double: an order with this nonce exists and must be asked about.
    3015: _in_doubt("DUPLICATE", _ORDERS, _ORDER),
    3017: _refused("ORDER_NOT_FOUND", _CANCEL, _ORDER),
    3018: _refused("REDUCE_ONLY_INCREASES", _CREATE, _ORDER),
    3019: _refused("REDUCE_ONLY_EXCEEDS_SIZE", _CREATE, _ORDER),
    3020: _refused("ORDER_CHANGES_LEVERAGE", _CREATE, _ORDER),
    3021: _refused("DECREASE_LEVERAGE_WITH_POSITION", _OTHER, _ORDER),
    3022: _refused("INVALID_TP_SL_PRICE", _CREATE, _ORDER),
    3023: _refused("BAD_SYMBOL", _CREATE, _ORDER),
    3024: _refused("MARKET_CLOSED", _CREATE, _ORDER),
    4001: _refused("LP_INSUFFICIENT_BALANCE", _OTHER, _LP),
    4002: _refused("LP_MARGIN_CHECK_FAILED", _OTHER, _LP),
    4003: _retry_later("LP_PRICE_STALE", _OTHER, _LP),
    4004: _refused("LP_ORDER_STALE", _OTHER, _LP),
    4007: _refused("LP_WITHDRAW_WITHOUT_SHARES", _OTHER, _LP),
    4010: _in_doubt("LP_DUPLICATE", _OTHER, _LP),
    4012: _refused("LP_WITHDRAW_EXCEEDS_BALANCE", _OTHER, _LP),
    5002: _refused("TRANSFER_MARGIN_CHECK_FAILED", _OTHER, _TRANSFER),
    5009: _refused("TRANSFER_WITHDRAW_CAP_EXCEEDED", _OTHER, _TRANSFER),
    5010: _in_doubt("TRANSFER_DUPLICATE", _OTHER, _TRANSFER),
    5013: _in_doubt("TRANSFER_EXECUTION_FAILED", _OTHER, _TRANSFER),
}


class CloseAction(Enum):
    """What to do when the venue has closed a WebSocket."""

    RECONNECT = "reconnect"  # with back-off
    RENEW = "renew"  # run ``renew`` first: the listen key is gone, the URL changes
    STOP = "stop"  # reconnecting cannot help: configuration, or register again


CLOSE_ACTIONS: Final[Mapping[int, CloseAction]] = {
    1011: CloseAction.RECONNECT,  # INTERNAL_ERROR
    1012: CloseAction.RECONNECT,  # SERVICE_RESTART
    4000: CloseAction.STOP,  # WRONG_VERSION
    4001: CloseAction.STOP,  # ACCOUNT_GROUP_NOT_FOUND
    4002: CloseAction.STOP,  # ACCOUNT_GROUP_INVALID
    4003: CloseAction.RENEW,  # LISTEN_KEY_REQUIRED
    4004: CloseAction.RENEW,  # LISTEN_KEY_NOT_FOUND
    4005: CloseAction.RENEW,  # LISTEN_KEY_EXPIRED
}


def close_action(close_code: int) -> CloseAction:
    """Return what to do after ``close_code``; codes Vest does not name mean reconnecting."""
    return CLOSE_ACTIONS.get(close_code, CloseAction.RECONNECT)


def is_of_grid(code: int | None) -> bool:
    """Whether the venue did not like the steps or bounds of an order's price or size."""
    known = VENUE_CODES.get(code) if code is not None else None
    return known is not None and known.is_of_grid


def describe(code: int) -> str:
    """Return the code with its documented name, as in ``3001 PRICE_CHECK_FAILED``."""
    known = VENUE_CODES.get(code)
    return f"{code} {known.name}" if known else str(code)
