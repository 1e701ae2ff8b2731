"""What Vest's error codes and WebSocket close codes mean for us.

Source: Vest API v2 documentation, "Error codes" and "WebSocket close codes". It gives names only;
the verdicts are ours. JSON codes 4001-4004 (liquidity pool) and close codes 4001-4004 are different
number spaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from venues.vest.assumptions import RETRY_AFTER_MS


class Verdict(Enum):
    """What an error says about the request that met it."""

    REFUSED = "refused"  # it was not done, and repeating it cannot help
    RETRY_LATER = "retry_later"  # it was not done; the same may be asked again
    IN_DOUBT = "in_doubt"  # it may have been done: ask


class VenueCode(NamedTuple):
    name: str
    verdict: Verdict
    retry_after_ms: int | None = None


def _refused(name: str) -> VenueCode:
    return VenueCode(name, Verdict.REFUSED)


def _retry_later(name: str) -> VenueCode:
    return VenueCode(name, Verdict.RETRY_LATER, RETRY_AFTER_MS)


def _in_doubt(name: str) -> VenueCode:
    return VenueCode(name, Verdict.IN_DOUBT)


DUPLICATE: Final = 3015
DELETED_BY_LIQUIDATION: Final = 3008
INVALID_LISTEN_KEY: Final = 1125
UNAUTHORIZED: Final = 1002

VENUE_CODES: Final[Mapping[int, VenueCode]] = {
    # General
    429: _retry_later("rate limited"),
    1002: _refused("UNAUTHORIZED"),
    1003: _retry_later("TOO_MANY_REQUESTS"),
    1022: _refused("INVALID_SIGNATURE"),
    # Only the name is known. If it means "nonce already used", an order with it exists.
    1023: _in_doubt("INVALID_NONCE"),
    1024: _refused("INVALID_NETWORK_TYPE"),
    1099: _refused("ACCOUNT_NOT_FOUND"),
    # Bad request
    1111: _refused("BAD_DECIMALS"),
    1116: _refused("INVALID_ORDER_TYPE"),
    1121: _refused("BAD_SYMBOL"),
    1125: _refused("INVALID_LISTEN_KEY"),
    1130: _refused("INVALID_PARAMETER"),
    1131: _refused("BAD_RECV_WINDOW"),
    1132: _refused("ORDER_EXPIRED"),
    1133: _refused("INVALID_TIME_IN_FORCE"),
    1143: _refused("INVALID_TRANSACTION"),
    1144: _refused("ALREADY_USE_TRANSACTION"),
    1145: _refused("INVALID_TP_SL_PRICE"),
    1146: _refused("INVALID_ACCOUNT_GROUP"),
    1147: _refused("DECLINE_WITHDRAW_FROM_MOBILE"),
    1148: _refused("MARKET_CLOSED"),
    # Order rejected
    3001: _refused("PRICE_CHECK_FAILED"),
    3002: _refused("MARGIN_CHECK_FAILED"),
    3003: _retry_later("PRICE_STALE"),  # the venue's oracle is behind
    3004: _refused("ORDER_STALE"),
    3006: _refused("INCREASE_WITH_SL_TP"),
    3007: _refused("INCREASE_DURING_INSOLVENCY"),
    3008: _refused("DELETED_BY_LIQ"),
    3010: _refused("OI_CAP_EXCEEDED"),
    3011: _refused("INVALID_LIMIT_PRICE"),
    # The request met its own double: an order with this nonce exists and must be asked about.
    3015: _in_doubt("DUPLICATE"),
    3017: _refused("ORDER_NOT_FOUND"),
    3018: _refused("REDUCE_ONLY_INCREASES"),
    3019: _refused("REDUCE_ONLY_EXCEEDS_SIZE"),
    3020: _refused("ORDER_CHANGES_LEVERAGE"),
    3021: _refused("DECREASE_LEVERAGE_WITH_POSITION"),
    3022: _refused("INVALID_TP_SL_PRICE"),
    3023: _refused("BAD_SYMBOL"),
    3024: _refused("MARKET_CLOSED"),
    # Liquidity pool rejected
    4001: _refused("LP_INSUFFICIENT_BALANCE"),
    4002: _refused("LP_MARGIN_CHECK_FAILED"),
    4003: _retry_later("LP_PRICE_STALE"),
    4004: _refused("LP_ORDER_STALE"),
    4007: _refused("LP_WITHDRAW_WITHOUT_SHARES"),
    4010: _in_doubt("LP_DUPLICATE"),
    4012: _refused("LP_WITHDRAW_EXCEEDS_BALANCE"),
    # Transfer rejected
    5002: _refused("TRANSFER_MARGIN_CHECK_FAILED"),
    5009: _refused("TRANSFER_WITHDRAW_CAP_EXCEEDED"),
    5010: _in_doubt("TRANSFER_DUPLICATE"),
    5013: _in_doubt("TRANSFER_EXECUTION_FAILED"),
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


def describe(code: int) -> str:
    """Return the code with its documented name, as in ``3001 PRICE_CHECK_FAILED``."""
    known = VENUE_CODES.get(code)
    return f"{code} {known.name}" if known else str(code)
