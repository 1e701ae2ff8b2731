"""Rules what the venue's errors mean for their request. ``RULINGS`` is the one list of what is believed
as a refusal.

The venue documents that an HTTP 4xx or a JSON-RPC error means "never accepted: no order event follows".
It is believed in the venue's own form alone: over HTTP its error object, with a status of
``ERROR_STATUSES`` and a code that is listed for that request; over WebSocket a JSON-RPC 2.0 error with a
listed number. A page of the edge, an empty 429, foreign JSON and an undocumented code may have
come in place of the answer to a request that was carried out: they are doubt. So are three of its own:
- a failure inside the venue (``INTERNAL_ERROR``, -32603, 5xx): its REST gateway gives up with 503
  after 30 s on a request that may still be executed;
- ``DUPLICATED_CLIENT_ID`` and ``NOT_UNIQUE``: our client ids are unique for ever, so an order that
  carries this one *is* there, and was ours.

Source: Paradex OpenAPI and OpenRPC files, "Error codes" (protocol notes, sections 8.1 and 9.1); each row
names its group there; ``MMP_NOT_ENABLED`` from paradex-py. How order errors appear over WebSocket is not
published: there number 100, "method error", means what the REST code in its message or data means.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto
from typing import Final, NamedTuple

import msgspec

from observability.redaction import redact
from venues.contract import HttpResponse, OrderAck, Outcome, TransportError, VenueError
from venues.paradex.hosts import NAME
from venues.paradex.jsonrpc import RpcError
from venues.paradex.messages import PayloadError, read_json


class Request(Flag):
    """The kinds of request an error may be an answer to."""

    CREATE = auto()
    CANCEL = auto()
    OTHER = auto()  # logins and questions: nothing that could be done by mistake


class Ruling(NamedTuple):
    outcome: Outcome
    answers: Request  # in answer to anything else it is not believed
    source: str  # its group in the documentation
    retry_after_ms: int | None = None  # set when the same request may be made again
    is_of_grid: bool = False  # the venue did not like a price's or a size's steps or bounds


ERROR_STATUSES: Final = frozenset({400, 401, 403, 404})  # besides 429 and 503; section 8.1
RATE_LIMITED: Final = 429
# A 429 has no published code: it is the venue's own by these headers beside its error object. Section 8.2.
RATE_LIMIT_HEADERS: Final = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")

_ORDERS: Final = Request.CREATE | Request.CANCEL
_ANY: Final = _ORDERS | Request.OTHER
_CREATE, _CANCEL, _OTHER = Request.CREATE, Request.CANCEL, Request.OTHER
_ASKED: Final = _CANCEL | _OTHER  # about an order or a thing that may not be there
_GENERIC, _AUTH, _ORDER, _RPC = "generic", "auth", "orders", "JSON-RPC"
_PAUSE_MS: Final = 1_000  # unless the answer says how long
_REOPENS_MS: Final = 5_000  # the release windows last about two minutes


def _refused(answers: Request, source: str, *, is_of_grid: bool = False) -> Ruling:
    return Ruling(Outcome.REFUSED, answers, source, is_of_grid=is_of_grid)


def _in_doubt(answers: Request, source: str) -> Ruling:
    return Ruling(Outcome.IN_DOUBT, answers, source)


def _later(answers: Request, source: str, retry_after_ms: int = _PAUSE_MS) -> Ruling:
    return Ruling(Outcome.REFUSED, answers, source, retry_after_ms)


RULINGS: Final[Mapping[str, Ruling]] = {
    "VALIDATION_ERROR": _refused(
        _ANY, _GENERIC, is_of_grid=True
    ),  # a text that has more decimals than it may
    "BINDING_ERROR": _refused(_ANY, _GENERIC),
    "INTERNAL_ERROR": _in_doubt(_ANY, _GENERIC),
    "NOT_FOUND": _refused(_ASKED, _GENERIC),
    "SERVICE_UNAVAILABLE": _in_doubt(_ANY, _GENERIC),
    # Which code an order off the grid meets is not published: this one, or INVALID_ORDER_SIZE.
    "INVALID_REQUEST_PARAMETER": _refused(_ANY, _GENERIC, is_of_grid=True),
    "REQUEST_NOT_ALLOWED": _refused(_ANY, _GENERIC),
    "NOT_UNIQUE": _in_doubt(_ANY, _GENERIC),
    "NOT_ONBOARDED": _refused(_ANY, _AUTH),
    "INVALID_TOKEN": _later(_ANY, _AUTH),  # with a new token
    "UNAUTHORIZED_ERROR": _later(_ANY, _AUTH),
    "INVALID_STARKNET_SIGNATURE": _refused(_ANY, _AUTH),
    "STARKNET_SIGNATURE_VERIFICATION_FAILED": _refused(_ANY, _AUTH),
    "INVALID_STARKNET_ADDRESS": _refused(_ANY, _AUTH),
    "PUBLIC_KEY_INVALID": _refused(_OTHER, _AUTH),
    "INVALID_TIMESTAMP": _refused(_ANY, _AUTH),
    "INVALID_BLOCK_EXPIRATION": _refused(_ANY, _AUTH),
    "ACCOUNT_NOT_FOUND": _refused(_ANY, _AUTH),
    "GEO_IP_BLOCK": _refused(_ANY, _AUTH),
    "IP_NOT_ALLOWED": _refused(_ANY, _AUTH),
    "INVALID_SUBKEY": _refused(_ANY, _AUTH),
    "INVALID_TOKEN_SCOPE": _refused(_ANY, _AUTH),
    "INVALID_ORDER_SIGNATURE": _refused(_CREATE, _ORDER),
    "INVALID_ORDER_SIZE": _refused(_CREATE, _ORDER, is_of_grid=True),
    "DUPLICATED_CLIENT_ID": _in_doubt(_ORDERS, _ORDER),
    "CLIENT_ORDER_ID_NOT_FOUND": _refused(_ASKED, _ORDER),
    "ORDER_ID_NOT_FOUND": _refused(_ASKED, _ORDER),
    "ORDER_IS_CLOSED": _refused(_ASKED, _ORDER),
    "ORDER_IS_NOT_OPEN": _refused(_ASKED, _ORDER),
    "BATCH_SIZE_OUT_OF_RANGE": _refused(_OTHER, _ORDER),
    "INVALID_SYMBOL": _refused(_ANY, _ORDER),
    "MARKET_NOT_FOUND": _refused(_ANY, _ORDER),
    "MARKET_NOT_OPEN": _later(_CREATE, _ORDER, _REOPENS_MS),
    "NO_ACCESS_TO_MARKET": _refused(_ANY, _ORDER),
    "ISOLATED_MARKET_ACCOUNT_MISMATCH": _refused(_ANY, _ORDER),
    "RPI_ACCOUNT_NOT_WHITELISTED": _refused(_CREATE, _ORDER),
    "SYSTEM_STATUS_POST_ONLY": _later(_CREATE, _ORDER, _REOPENS_MS),
    "SYSTEM_STATUS_CANCEL_ONLY": _later(_CREATE, _ORDER, _REOPENS_MS),
    "MMP_NOT_ENABLED": _refused(_CREATE, _ORDER),
    "-32700": _refused(_ANY, _RPC),  # not parsed
    "-32600": _refused(_ANY, _RPC),  # invalid request
    "-32601": _refused(_ANY, _RPC),  # no such method
    "-32602": _refused(_ANY, _RPC, is_of_grid=True),  # bad parameters
    "-32603": _in_doubt(_ANY, _RPC),  # internal
    "100": _refused(_ANY, _RPC),  # method error
    "40110": _later(_ANY, _RPC),  # malformed bearer
    "40111": _later(_ANY, _RPC),  # invalid bearer
    "40112": _refused(_ANY, _RPC),  # geo block
    "40300": _refused(_ANY, _RPC),  # permission denied, not authenticated
    "42901": _later(_ANY, _RPC),
}
_METHOD_ERROR: Final = 100
_UNLISTED: Final = Ruling(Outcome.IN_DOUBT, _ANY, "not documented")

ORDER_UNKNOWN: Final = frozenset({"CLIENT_ORDER_ID_NOT_FOUND", "ORDER_ID_NOT_FOUND", "NOT_FOUND"})
TOKEN_REFUSED: Final = frozenset({"INVALID_TOKEN", "UNAUTHORIZED_ERROR", "40110", "40111"})


def rule_rpc(error: RpcError, request: Request = Request.CREATE) -> Ruling:
    """Return what a JSON-RPC error means for the request it answers."""
    ruling = RULINGS.get(str(error.code))
    if ruling is None or ruling.source != _RPC or not error.message:
        return _UNLISTED
    for name in (error.message, error.data):
        named = RULINGS.get(name) if isinstance(name, str) else None
        if named is None:
            continue
        if request not in named.answers:
            return _UNLISTED
        if error.code == _METHOD_ERROR or named.outcome is Outcome.IN_DOUBT:
            return named
    return ruling


def ack_of_error(client_order_id: int, error: VenueError | TransportError, request: Request) -> OrderAck:
    """Return the ack of a create or cancel over HTTP that was answered with an error, or not at all."""
    if isinstance(error, NotItsOwn):
        return OrderAck(client_order_id, Outcome.IN_DOUBT, "", error.code, error.text, error.retry_after_ms)
    if isinstance(error, TransportError):
        return OrderAck(client_order_id, Outcome.IN_DOUBT, text=str(error))
    ruling = _rule_http(error.status, error.code, request)
    return OrderAck(
        client_order_id,
        ruling.outcome,
        code=error.code,
        text=error.text,
        retry_after_ms=error.retry_after_ms if ruling.outcome is Outcome.REFUSED else None,
        is_of_grid=ruling.is_of_grid,
    )


class NotItsOwn(TransportError):
    """An answer outside 2xx that is not the venue's documented error: what the request did is unknown."""

    def __init__(self, response: HttpResponse, code: str = "", text: str = "") -> None:
        self.status = response.status
        self.code = redact(code) or f"HTTP {response.status}"
        self.text = redact(text or " ".join(response.body[:200].decode(errors="replace").split()))
        self.retry_after_ms = _stated_ms(response) or _PAUSE_MS if response.status == RATE_LIMITED else None
        what = f"{redact(code)} {self.text}".strip()
        super().__init__(f"{NAME}: HTTP {response.status}: {what}")


def error_of(response: HttpResponse) -> VenueError | NotItsOwn:
    """Return the error of an HTTP answer outside 2xx: the venue's, with code and text, or an unknown one.

    ``retry_after_ms`` is the venue's where it gives one. Asking again after a failure inside the
    venue is allowed here: what may not be repeated, a create, is never asked through this.
    """
    try:
        body = read_json(_ERROR_DECODER, response.body)
    except PayloadError:
        return NotItsOwn(response)
    status = response.status
    if status == RATE_LIMITED:
        if not all(name in response.headers for name in RATE_LIMIT_HEADERS):
            return NotItsOwn(response, body.error, body.message)
        pause_ms = _stated_ms(response) or _PAUSE_MS
        return VenueError(NAME, body.error, body.message, status=status, retry_after_ms=pause_ms)
    ruling = RULINGS.get(body.error)
    if ruling is None or ruling.source == _RPC or status not in ERROR_STATUSES:
        return NotItsOwn(response, body.error, body.message)
    retry_after_ms = _PAUSE_MS if ruling.outcome is Outcome.IN_DOUBT else ruling.retry_after_ms
    if retry_after_ms is not None:
        retry_after_ms = _stated_ms(response) or retry_after_ms
    return VenueError(NAME, body.error, body.message, status=status, retry_after_ms=retry_after_ms)


def _stated_ms(response: HttpResponse) -> int:
    stated = response.headers.get("retry-after", "")
    return int(stated[:6]) * 1_000 if stated.isascii() and stated.isdigit() else 0


def _rule_http(status: int, code: str, request: Request) -> Ruling:
    if status == RATE_LIMITED:
        return Ruling(Outcome.REFUSED, _ANY, "section 8.2", _PAUSE_MS)
    ruling = RULINGS.get(code, _UNLISTED)
    return ruling if request in ruling.answers else _UNLISTED


class _ErrorJson(msgspec.Struct, frozen=True):
    error: str
    message: str


_ERROR_DECODER: Final = msgspec.json.Decoder(_ErrorJson)
