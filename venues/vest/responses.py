"""Reading Vest's REST answers: success, refusal in either body shape, or doubt.

Errors come as ``{"code", "msg"}`` or ``{"detail": {"code", "msg"}}``, as non-2xx or inside a 200;
the edge in front of the venue answers with HTML (403, 530). Source: Vest API v2 documentation,
"Errors", and protocol notes, section 10.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from venues.contract import HttpResponse, OrderAck, Outcome, TransportError, VenueError
from venues.vest.assumptions import RETRY_AFTER_MS
from venues.vest.errors import VENUE_CODES, Verdict
from venues.vest.hosts import NAME
from venues.vest.messages import decode

_TEXT_LIMIT: Final = 200

# An HTTP status that says the request was turned away at the door, whatever the body is.
_REFUSING_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 411, 413, 414, 415, 422, 431})

T = TypeVar("T")


class Refusal(NamedTuple):
    """An answer that is not a success."""

    code: str  # the venue's own code, or the HTTP status where it gave none
    text: str
    verdict: Verdict
    retry_after_ms: int | None


class _Acknowledgement(msgspec.Struct):
    id: str


_any_decoder = msgspec.json.Decoder()
_acknowledgement_decoder = msgspec.json.Decoder(_Acknowledgement)


def refusal_in(response: HttpResponse) -> Refusal | None:
    """Return what went wrong, or None for a 2xx answer without an error in it."""
    code, text = _error_in(response.body)
    if 200 <= response.status < 300 and code is None:
        return None
    verdict = _verdict(response.status, code)
    return Refusal(
        code=str(response.status if code is None else code),
        text=text,
        verdict=verdict,
        retry_after_ms=_retry_after_ms(response, code) if verdict is Verdict.RETRY_LATER else None,
    )


def _error_in(body: bytes) -> tuple[object, str]:
    """Return the code and text of an error body; code None where it names none."""
    try:
        content: Any = decode(_any_decoder, body)
    except ValueError:
        return None, _excerpt(body)
    error = content.get("detail", content) if isinstance(content, dict) and "id" not in content else None
    if isinstance(error, dict) and error.get("code") is not None:
        return error["code"], str(error.get("msg", ""))[:_TEXT_LIMIT]
    return None, _excerpt(body)


def _excerpt(body: bytes) -> str:
    return " ".join(body[:_TEXT_LIMIT].decode("utf-8", "replace").split())


def _verdict(status: int, code: object) -> Verdict:
    if status == 429:
        return Verdict.RETRY_LATER
    if status >= 500:
        return Verdict.IN_DOUBT  # it broke somewhere behind the door
    if code is not None:
        known = VENUE_CODES.get(code) if isinstance(code, int) else None
        return known.verdict if known else Verdict.IN_DOUBT
    return Verdict.REFUSED if status in _REFUSING_STATUSES else Verdict.IN_DOUBT


def _retry_after_ms(response: HttpResponse, code: object) -> int:
    seconds = response.headers.get("retry-after", "")
    if seconds.isascii() and seconds.isdigit() and len(seconds) <= 6:
        return int(seconds) * 1_000
    known = VENUE_CODES.get(code) if isinstance(code, int) else None
    return (known.retry_after_ms if known else None) or RETRY_AFTER_MS


def read(response: HttpResponse, decoder: msgspec.json.Decoder[T], what: str) -> T:
    """Return the decoded body of a successful answer to ``what`` ("GET /account").

    Raises VenueError when the venue said no, and TransportError when the answer settles nothing:
    a failure behind the door, or a body that is not as documented.
    """
    refusal = refusal_in(response)
    if refusal is None:
        try:
            return decode(decoder, response.body)
        except ValueError as error:
            raise TransportError(f"{NAME}: the answer to {what} is not as documented: {error}") from None
    if response.status >= 500:
        raise TransportError(f"{NAME}: {what} got HTTP {response.status}: {refusal.text}")
    raise VenueError(
        NAME, refusal.code, refusal.text, status=response.status, retry_after_ms=refusal.retry_after_ms
    )


def acknowledge(client_order_id: int, response: HttpResponse) -> OrderAck:
    """Return what the answer to a create or cancel settles. Never raises."""
    refusal = refusal_in(response)
    if refusal is not None:
        is_doubtful = refusal.verdict is Verdict.IN_DOUBT
        return OrderAck(
            client_order_id=client_order_id,
            outcome=Outcome.IN_DOUBT if is_doubtful else Outcome.REFUSED,
            code=refusal.code,
            text=refusal.text,
            retry_after_ms=refusal.retry_after_ms,
        )
    try:
        venue_order_id = decode(_acknowledgement_decoder, response.body).id
    except ValueError:
        return OrderAck(
            client_order_id, Outcome.IN_DOUBT, code=str(response.status), text=_excerpt(response.body)
        )
    return OrderAck(client_order_id, Outcome.ACCEPTED, venue_order_id=venue_order_id)
