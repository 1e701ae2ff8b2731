"""Every status with every kind of body, at every venue, in answer to a create, a cancel and a question.

A refusal is believed in the venue's own form alone; what is neither that nor the documented success is
doubt, however much it looks like a no.
"""

from __future__ import annotations

import json
from itertools import product

import pytest

from tests.venues.test_conformance import play, streaming
from tests.venues.venue_case import VenueCase
from tests.venues.venue_cases import VENUE_CASES
from venues.contract import HttpResponse, OrderRef, Outcome, TransportError, VenueError

STATUSES = (
    *(200, 201, 202, 204, 206, 301, 302, 304, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411),
    *(413, 414, 415, 418, 421, 422, 425, 426, 429, 431, 451, 499, 500, 501, 502, 503, 504, 520, 522, 530),
)
PAGE = b"<html><head><title>blocked</title></head></html>"
# Nobody's, a server's in front of the venue, or another venue's: never a word about the order.
FOREIGN: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \r\n",
    "page": PAGE,
    "text": b"Too Many Requests",
    "not utf-8": b"\xff\xfe\x00",
    "truncated": b'{"code": 1111, "ms',
    "null": b"null",
    "number": b"1002",
    "list": b"[]",
    "object": b"{}",
    "edge": json.dumps({"message": "Forbidden"}).encode(),
    "edge with a code": json.dumps({"code": 1020, "message": "Access denied"}).encode(),
    "error is a text": json.dumps({"error": "Too many requests"}).encode(),
    "problem": json.dumps({"type": "about:blank", "title": "Bad Request", "status": 400}).encode(),
    "code is a text": json.dumps({"code": "1111", "msg": "BAD_DECIMALS"}).encode(),
    "code is a truth": json.dumps({"code": True, "msg": "?"}).encode(),
    "unknown number": json.dumps({"code": 9999, "msg": "?"}).encode(),
    "unknown name": json.dumps({"error": "BLOCKED", "message": "?"}).encode(),
    "detail is a text": json.dumps({"detail": "Not Found"}).encode(),
    "detail is a list": json.dumps({"detail": [{"loc": ["body"], "msg": "field required"}]}).encode(),
    "nested": b"[" * 100_000,
}
OWN = {
    "vest": json.dumps({"code": 1111, "msg": "BAD_DECIMALS"}).encode(),
    "paradex": json.dumps({"error": "INVALID_ORDER_SIZE", "message": "?", "data": None}).encode(),
    "hyperliquid": b"Failed to deserialize the JSON body into the target type: missing field",
}
OWN_STATUSES = {"vest": {200, 400, 401, 403, 404, 422}, "paradex": {400, 401, 403, 404}, "hyperliquid": {422}}
by_kit = pytest.mark.parametrize("venue_case", VENUE_CASES.values(), ids=lambda venue_case: venue_case.venue)


@by_kit
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_venues_own_leaves_a_create_in_doubt(venue_case: VenueCase, name: str) -> None:
    trading = streaming(venue_case)
    for status in STATUSES:
        ack = trading.parse_create_response(venue_case.order, HttpResponse(status, {}, FOREIGN[name], 0))
        assert (ack.client_order_id, ack.outcome) == (venue_case.order.client_order_id, Outcome.IN_DOUBT), (
            status
        )


@by_kit
def test_another_venues_error_is_not_this_ones(venue_case: VenueCase) -> None:
    trading = streaming(venue_case)
    for status, venue in product(STATUSES, OWN):
        ack = trading.parse_create_response(venue_case.order, HttpResponse(status, {}, OWN[venue], 0))
        is_own = venue == venue_case.venue and status in OWN_STATUSES[venue]
        assert ack.outcome is (Outcome.REFUSED if is_own else Outcome.IN_DOUBT), (venue, status)


@by_kit
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_venues_own_leaves_a_cancel_in_doubt(venue_case: VenueCase, name: str) -> None:
    trading = streaming(venue_case)
    ref = OrderRef(venue_case.order.client_order_id, venue_case.instrument, "0x1")
    for status in STATUSES:
        if (status, FOREIGN[name]) == (204, b""):
            continue  # Paradex's documented success
        ack = play(trading.cancel_order(ref, 1_790_000_000_000), [HttpResponse(status, {}, FOREIGN[name], 0)])
        assert ack.outcome is Outcome.IN_DOUBT, status


@by_kit
@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_the_venues_own_answers_no_question(venue_case: VenueCase, name: str) -> None:
    """Neither "no such order" nor a refusal that would end a start for good."""
    trading = streaming(venue_case)
    ref = OrderRef(venue_case.order.client_order_id, venue_case.instrument)
    for status in STATUSES:
        answer = HttpResponse(status, {}, FOREIGN[name], 0)
        if venue_case.venue == "vest" and (status, answer.body) == (200, b"[]"):
            continue  # its documented "no such order"
        for call in (trading.query_order(ref, 1), trading.query_positions(1), trading.query_account(1)):
            with pytest.raises(TransportError):
                play(call, [answer])


@by_kit
def test_the_venues_own_error_is_its_word_to_a_question(venue_case: VenueCase) -> None:
    trading = streaming(venue_case)
    own = {"vest": b'{"code":1002,"msg":"?"}', "paradex": b'{"error":"ACCOUNT_NOT_FOUND","message":"?"}'}
    body = own.get(venue_case.venue, OWN[venue_case.venue])
    with pytest.raises(VenueError):
        play(trading.query_account(1), [HttpResponse(max(OWN_STATUSES[venue_case.venue]), {}, body, 0)])
