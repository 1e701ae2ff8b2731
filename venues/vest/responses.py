"""Reading Vest's REST answers: success, the venue's own refusal, or doubt.

A refusal is the venue's own in three things at once: its shape, ``{"code", "msg"}`` or ``{"detail": {"code",
"msg"}}`` without an ``id``; a status that errors come with; and a code that ``codes`` lists for the request.
Anything else (a page of the edge, an empty 429, a 4xx with foreign JSON, an answer cut short) may
have come in place of the venue's answer to a request that was carried out. Source: Vest API v2
documentation, "Errors", and protocol notes, section 10.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from observability.redaction import redact
from venues.contract import HttpResponse, OrderAck, Outcome, TransportError, VenueError, VenueId
from venues.vest.assumptions import RETRY_AFTER_MS
from venues.vest.errors import RATE_LIMITED, VENUE_CODES, Request, Verdict
from venues.vest.hosts import NAME
from venues.vest.messages import decode

_OK: Final = 200  # the one status of documented successes
_TEXT_LIMIT: Final = 200

T = TypeVar("T")


class ErrorAnswer(NamedTuple):
    """An answer that is not a success."""

    code: str  # the venue's own code, or the HTTP status where it gave none
    text: str
    verdict: Verdict
    retry_after_ms: int | None = None
    is_of_grid: bool = False
    is_own: bool = False  # the venue's documented error, whatever its verdict


class _Acknowledgement(msgspec.Struct):
    id: VenueId
    code: int | None = None  # an answer that accepts and refuses settles nothing


_any_decoder = msgspec.json.Decoder()
_acknowledgement_decoder = msgspec.json.Decoder(_Acknowledgement)


def refusal_in(response: HttpResponse, request: Request) -> ErrorAnswer | None:
    """Return what went wrong with a request of that kind, or None for a 200 without an error in it."""
    code, text = _error_in(response.body)
    if response.status == _OK and code is None:
        return None
    known = VENUE_CODES.get(code) if type(code) is int else None
    if known is None or request not in known.answers or response.status not in known.statuses:
        shown = redact(str(response.status if code is None else code))
        pause_ms = _retry_after_ms(response) if response.status == RATE_LIMITED else None
        return ErrorAnswer(shown, text, Verdict.IN_DOUBT, pause_ms)
    return ErrorAnswer(
        code=str(code),
        text=text,
        verdict=known.verdict,
        retry_after_ms=_retry_after_ms(response) if known.verdict is Verdict.RETRY_LATER else None,
        is_of_grid=known.is_of_grid,
        is_own=True,
    )


def _error_in(body: bytes) -> tuple[object, str]:
    """Return code and text of an error in one of the venue's shapes; code None where it is none."""
    try:
        content: Any = decode(_any_decoder, body)
    except ValueError:
        return None, _excerpt(body)
    error = content.get("detail", content) if isinstance(content, dict) and "id" not in content else None
    if isinstance(error, dict) and error.get("code") is not None and isinstance(error.get("msg"), str):
        return error["code"], redact(error["msg"])[:_TEXT_LIMIT]
    return None, _excerpt(body)


def _excerpt(body: bytes) -> str:
    return redact(" ".join(body[:_TEXT_LIMIT].decode("utf-8", "replace").split()))


def _retry_after_ms(response: HttpResponse) -> int:
    seconds = response.headers.get("retry-after", "")
    if seconds.isascii() and seconds.isdigit() and len(seconds) <= 6:
        return int(seconds) * 1_000
    return RETRY_AFTER_MS


def read(response: HttpResponse, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """Return the decoded body of a successful answer to ``what`` ("GET /account").

    Raises VenueError when the venue said no, and TransportError when the answer settles nothing: it is not
    the venue's own, or not as documented.
    """
    refusal = refusal_in(response, Request.OTHER)
    if refusal is None:
        try:
            return decode(decoder, response.body)
        except ValueError as error:
            raise TransportError(f"{NAME}: the answer to {what} is not as documented: {error}") from None
    if not refusal.is_own:
        # Asking less is all that helps against a limit in front of the venue: callers back off by themselves.
        raise TransportError(f"{NAME}: {what} got HTTP {response.status}: {refusal.text}")
    raise VenueError(
        NAME, refusal.code, refusal.text, status=response.status, retry_after_ms=refusal.retry_after_ms
    )


def acknowledge(
    client_order_id: int, response: HttpResponse, request: Request = Request.CREATE, venue_order_id: str = ""
) -> OrderAck:
    """Return what the answer to a create or cancel settles. Never raises.

    venue_order_id: the order that was to be cancelled; an answer that names another is doubt.
    """
    refusal = refusal_in(response, request)
    if refusal is not None:
        is_doubtful = refusal.verdict is Verdict.IN_DOUBT
        return OrderAck(
            client_order_id=client_order_id,
            outcome=Outcome.IN_DOUBT if is_doubtful else Outcome.REFUSED,
            code=refusal.code,
            text=refusal.text,
            retry_after_ms=refusal.retry_after_ms,
            is_of_grid=refusal.is_of_grid,
        )
    try:
        named = decode(_acknowledgement_decoder, response.body)
    except ValueError:
        named = _Acknowledgement("")
    if not named.id or named.code is not None or venue_order_id not in ("", named.id):
        return OrderAck(
            client_order_id, Outcome.IN_DOUBT, code=str(response.status), text=_excerpt(response.body)
        )
    return OrderAck(client_order_id, Outcome.ACCEPTED, venue_order_id=named.id)
