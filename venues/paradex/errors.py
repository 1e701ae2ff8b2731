"""Every documented error code, and what it means for the order it answers. One table.

The venue documents that an HTTP 4xx or a JSON-RPC error means "never accepted: no order event
follows". Three kinds of answer settle less than that, and are in doubt:
- a failure inside the venue (``INTERNAL_ERROR``, -32603, 5xx): its REST gateway gives up with 503
  after 30 s on a request that may still be executed;
- ``DUPLICATED_CLIENT_ID`` and ``NOT_UNIQUE``: our client ids are unique for ever, so an order that
  carries this one *is* there, and was ours;
- a code nobody documented.

Source: Paradex OpenAPI and OpenRPC files, "Error codes"; ``MMP_NOT_ENABLED`` from paradex-py.
How order errors appear over WebSocket is not published: there the REST code is looked for in the
message and in the data of the error before its number decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.contract import HttpResponse, OrderAck, Outcome, VenueError
from venues.paradex.hosts import NAME
from venues.paradex.jsonrpc import RpcError
from venues.paradex.messages import PayloadError, read_json


class Ruling(NamedTuple):
    outcome: Outcome
    retry_after_ms: int | None = None  # set when the same request may be made again


_REFUSED = Ruling(Outcome.REFUSED)
_IN_DOUBT = Ruling(Outcome.IN_DOUBT)
_RATE_LIMITED = Ruling(Outcome.REFUSED, 1_000)  # unless the answer says how long
_NEW_TOKEN_FIRST = Ruling(Outcome.REFUSED, 1_000)
_WHEN_REOPENED = Ruling(Outcome.REFUSED, 5_000)  # the release windows last about two minutes

RULINGS: Final[Mapping[str, Ruling]] = {
    # generic
    "VALIDATION_ERROR": _REFUSED,
    "BINDING_ERROR": _REFUSED,
    "INTERNAL_ERROR": _IN_DOUBT,
    "NOT_FOUND": _REFUSED,
    "SERVICE_UNAVAILABLE": _IN_DOUBT,
    "INVALID_REQUEST_PARAMETER": _REFUSED,
    "REQUEST_NOT_ALLOWED": _REFUSED,
    "NOT_UNIQUE": _IN_DOUBT,
    # authentication
    "NOT_ONBOARDED": _REFUSED,
    "INVALID_TOKEN": _NEW_TOKEN_FIRST,
    "UNAUTHORIZED_ERROR": _NEW_TOKEN_FIRST,
    "INVALID_STARKNET_SIGNATURE": _REFUSED,
    "STARKNET_SIGNATURE_VERIFICATION_FAILED": _REFUSED,
    "INVALID_STARKNET_ADDRESS": _REFUSED,
    "PUBLIC_KEY_INVALID": _REFUSED,
    "INVALID_TIMESTAMP": _REFUSED,
    "INVALID_BLOCK_EXPIRATION": _REFUSED,
    "ACCOUNT_NOT_FOUND": _REFUSED,
    "GEO_IP_BLOCK": _REFUSED,
    "IP_NOT_ALLOWED": _REFUSED,
    "INVALID_SUBKEY": _REFUSED,
    "INVALID_TOKEN_SCOPE": _REFUSED,
    # orders
    "INVALID_ORDER_SIGNATURE": _REFUSED,
    "INVALID_ORDER_SIZE": _REFUSED,
    "DUPLICATED_CLIENT_ID": _IN_DOUBT,
    "CLIENT_ORDER_ID_NOT_FOUND": _REFUSED,
    "ORDER_ID_NOT_FOUND": _REFUSED,
    "ORDER_IS_CLOSED": _REFUSED,
    "ORDER_IS_NOT_OPEN": _REFUSED,
    "BATCH_SIZE_OUT_OF_RANGE": _REFUSED,
    "INVALID_SYMBOL": _REFUSED,
    "MARKET_NOT_FOUND": _REFUSED,
    "MARKET_NOT_OPEN": _WHEN_REOPENED,
    "NO_ACCESS_TO_MARKET": _REFUSED,
    "ISOLATED_MARKET_ACCOUNT_MISMATCH": _REFUSED,
    "RPI_ACCOUNT_NOT_WHITELISTED": _REFUSED,
    "SYSTEM_STATUS_POST_ONLY": _WHEN_REOPENED,
    "SYSTEM_STATUS_CANCEL_ONLY": _WHEN_REOPENED,
    "MMP_NOT_ENABLED": _REFUSED,
    # JSON-RPC
    "-32700": _REFUSED,  # not parsed
    "-32600": _REFUSED,  # invalid request
    "-32601": _REFUSED,  # no such method
    "-32602": _REFUSED,  # bad parameters
    "-32603": _IN_DOUBT,  # internal
    "100": _REFUSED,  # method error
    "40110": _NEW_TOKEN_FIRST,  # malformed bearer
    "40111": _NEW_TOKEN_FIRST,  # invalid bearer
    "40112": _REFUSED,  # geo block
    "40300": _REFUSED,  # permission denied, not authenticated
    "42901": _RATE_LIMITED,
}

# What says by itself that a request went no further. Others (408, 409, 425, 499 …) are a proxy's, too,
# which may have passed it on before it lost patience.
_TURNED_AWAY: Final = frozenset({400, 401, 403, 404, 405, 411, 413, 414, 415, 422, 431})

ORDER_UNKNOWN: Final = frozenset({"CLIENT_ORDER_ID_NOT_FOUND", "ORDER_ID_NOT_FOUND", "NOT_FOUND"})
TOKEN_REFUSED: Final = frozenset({"INVALID_TOKEN", "UNAUTHORIZED_ERROR", "40110", "40111"})


def rule_rpc(error: RpcError) -> Ruling:
    """Return what a JSON-RPC error means for the order it answers."""
    for code in (error.message, error.data, str(error.code)):
        if isinstance(code, str) and code in RULINGS:
            return RULINGS[code]
    return _IN_DOUBT


def refused_ack(client_order_id: int, error: VenueError) -> OrderAck:
    """Return the ack of a create or cancel that was answered with an error over HTTP."""
    ruling = _rule_http(error.status, error.code)
    return OrderAck(
        client_order_id,
        ruling.outcome,
        code=error.code,
        text=error.text,
        retry_after_ms=error.retry_after_ms if ruling.outcome is Outcome.REFUSED else None,
    )


def venue_error(response: HttpResponse) -> VenueError:
    """Return the error of an HTTP answer outside 2xx, with the venue's own code and text.

    ``retry_after_ms`` is the venue's where it gives one. Asking again after a failure inside the
    venue is allowed here: what may not be repeated, a create, is never asked through this.
    """
    try:
        body = read_json(_ERROR_DECODER, response.body)
        code, text = body.error, body.message
    except PayloadError:  # a proxy's page, not the venue's object
        code, text = f"HTTP {response.status}", response.body[:200].decode(errors="replace")
    ruling = _rule_http(response.status, code)
    retry_after_ms = 1_000 if ruling.outcome is Outcome.IN_DOUBT else ruling.retry_after_ms
    stated = response.headers.get("retry-after", "")
    if retry_after_ms is not None and stated.isascii() and stated.isdigit():
        retry_after_ms = int(stated[:6]) * 1_000
    return VenueError(NAME, code, text, status=response.status, retry_after_ms=retry_after_ms)


def _rule_http(status: int, code: str) -> Ruling:
    if status == 429:
        return _RATE_LIMITED
    if code in RULINGS:
        return RULINGS[code]
    return _REFUSED if status in _TURNED_AWAY else _IN_DOUBT


class _ErrorJson(msgspec.Struct, frozen=True):
    error: str
    message: str = ""


_ERROR_DECODER: Final = msgspec.json.Decoder(_ErrorJson)
