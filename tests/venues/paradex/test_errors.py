"""The table of error codes: complete, and on the safe side."""

from __future__ import annotations

import pytest

from tests.venues.paradex.samples import answer, refusal
from venues.contract import Outcome, VenueError
from venues.paradex.errors import (
    RATE_LIMIT_HEADERS,
    RULINGS,
    NotItsOwn,
    Request,
    ack_of_error,
    error_of,
    rule_rpc,
)
from venues.paradex.jsonrpc import RpcError

# As the venue's documentation lists them, group by group; kept apart from the table on purpose.
DOCUMENTED_REST = [
    "VALIDATION_ERROR",
    "BINDING_ERROR",
    "INTERNAL_ERROR",
    "NOT_FOUND",
    "SERVICE_UNAVAILABLE",
    "INVALID_REQUEST_PARAMETER",
    "REQUEST_NOT_ALLOWED",
    "NOT_UNIQUE",
    "NOT_ONBOARDED",
    "INVALID_TOKEN",
    "UNAUTHORIZED_ERROR",
    "INVALID_STARKNET_SIGNATURE",
    "STARKNET_SIGNATURE_VERIFICATION_FAILED",
    "INVALID_STARKNET_ADDRESS",
    "PUBLIC_KEY_INVALID",
    "INVALID_TIMESTAMP",
    "INVALID_BLOCK_EXPIRATION",
    "ACCOUNT_NOT_FOUND",
    "GEO_IP_BLOCK",
    "IP_NOT_ALLOWED",
    "INVALID_SUBKEY",
    "INVALID_TOKEN_SCOPE",
    "INVALID_ORDER_SIGNATURE",
    "INVALID_ORDER_SIZE",
    "DUPLICATED_CLIENT_ID",
    "CLIENT_ORDER_ID_NOT_FOUND",
    "ORDER_ID_NOT_FOUND",
    "ORDER_IS_CLOSED",
    "ORDER_IS_NOT_OPEN",
    "BATCH_SIZE_OUT_OF_RANGE",
    "INVALID_SYMBOL",
    "MARKET_NOT_FOUND",
    "MARKET_NOT_OPEN",
    "NO_ACCESS_TO_MARKET",
    "ISOLATED_MARKET_ACCOUNT_MISMATCH",
    "RPI_ACCOUNT_NOT_WHITELISTED",
    "SYSTEM_STATUS_POST_ONLY",
    "SYSTEM_STATUS_CANCEL_ONLY",
    "MMP_NOT_ENABLED",
]
DOCUMENTED_RPC = [
    "-32700",
    "-32600",
    "-32601",
    "-32602",
    "-32603",
    "100",
    "40110",
    "40111",
    "40112",
    "40300",
    "42901",
]
IN_DOUBT = {"INTERNAL_ERROR", "SERVICE_UNAVAILABLE", "NOT_UNIQUE", "DUPLICATED_CLIENT_ID", "-32603"}
AGAIN_LATER = {
    "INVALID_TOKEN",
    "UNAUTHORIZED_ERROR",
    "MARKET_NOT_OPEN",
    "SYSTEM_STATUS_POST_ONLY",
    "SYSTEM_STATUS_CANCEL_ONLY",
    "40110",
    "40111",
    "42901",
}


def test_every_documented_code_is_in_the_table_and_no_other() -> None:
    """A code left out would be guessed at on the worst day."""
    assert set(RULINGS) == {*DOCUMENTED_REST, *DOCUMENTED_RPC}


@pytest.mark.parametrize("code", [*DOCUMENTED_REST, *DOCUMENTED_RPC])
def test_each_code_means_one_of_three_things(code: str) -> None:
    """Refused for good, refused for now, or in doubt."""
    ruling = RULINGS[code]

    assert ruling.outcome is (Outcome.IN_DOUBT if code in IN_DOUBT else Outcome.REFUSED)
    assert (ruling.retry_after_ms is not None) == (code in AGAIN_LATER)


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "INVALID_ORDER_SIZE", Outcome.REFUSED),
        (403, "MMP_NOT_ENABLED", Outcome.REFUSED),
        (400, "A_CODE_OF_TOMORROW", Outcome.IN_DOUBT),
        (403, "A_CODE_OF_TOMORROW", Outcome.IN_DOUBT),
        (400, "-32600", Outcome.IN_DOUBT),  # a number of JSON-RPC has no business here
        (400, "ORDER_ID_NOT_FOUND", Outcome.IN_DOUBT),  # somebody else's answer: a create names no order
        (408, "INVALID_ORDER_SIZE", Outcome.IN_DOUBT),
        (409, "INVALID_ORDER_SIZE", Outcome.IN_DOUBT),
        (499, "HTTP 499", Outcome.IN_DOUBT),
        (429, "SERVICE_UNAVAILABLE", Outcome.IN_DOUBT),  # without the headers of the venue's own limit
        (500, "INVALID_ORDER_SIZE", Outcome.IN_DOUBT),
        (503, "SERVICE_UNAVAILABLE", Outcome.IN_DOUBT),
        (302, "INVALID_ORDER_SIZE", Outcome.IN_DOUBT),
    ],
)
def test_a_refusal_is_the_venues_own_in_status_form_and_code(
    status: int, code: str, outcome: Outcome
) -> None:
    """Only what is surely not accepted may be called refused."""
    assert ack_of_error(1, error_of(refusal(code, status=status)), Request.CREATE).outcome is outcome


def test_what_a_cancel_may_be_told_is_not_what_a_create_may_be_told() -> None:
    error = error_of(refusal("ORDER_IS_CLOSED"))

    assert ack_of_error(1, error, Request.CANCEL).outcome is Outcome.REFUSED
    assert ack_of_error(1, error, Request.CREATE).outcome is Outcome.IN_DOUBT


@pytest.mark.parametrize(
    ("stated", "retry_after_ms"), [("7", 7_000), ("", 1_000), ("soon", 1_000), ("-3", 1_000), ("٣", 1_000)]
)
def test_the_venues_own_pause_counts_where_it_gives_one(stated: str, retry_after_ms: int) -> None:
    """In seconds, in a header; anything else is our second."""
    headers = {**dict.fromkeys(RATE_LIMIT_HEADERS, "1"), "retry-after": stated}
    error = error_of(answer({"error": "X", "message": ""}, 429, headers))

    assert isinstance(error, VenueError)
    assert error.retry_after_ms == retry_after_ms


def test_a_limit_that_is_not_the_venues_own_still_asks_for_a_pause() -> None:
    """An edge's 429 says nothing about the order, and yet that somebody wants to be left alone."""
    ack = ack_of_error(1, error_of(answer(b"", 429, {"retry-after": "7"})), Request.CREATE)

    assert (ack.outcome, ack.retry_after_ms) == (Outcome.IN_DOUBT, 7_000)


def test_a_header_does_not_make_a_final_refusal_repeatable() -> None:
    """A proxy may add Retry-After to anything."""
    response = answer({"error": "INVALID_ORDER_SIZE", "message": ""}, 400, {"retry-after": "1"})

    error = error_of(response)
    assert isinstance(error, VenueError)
    assert error.retry_after_ms is None


def test_a_page_that_is_no_error_object_is_shown_in_part() -> None:
    """Proxies answer in HTML; the operator still wants to see it, the log not all of it."""
    error = error_of(answer(b"<html>\xff" + b"x" * 5_000, 502))

    assert isinstance(error, NotItsOwn)
    assert "HTTP 502: <html>" in str(error)
    assert len(error.text) <= 200


def test_the_rest_code_says_what_a_method_error_means() -> None:
    """How the two map is not published; a code that appears anywhere says more than 100."""
    assert rule_rpc(RpcError(100, "INTERNAL_ERROR")).outcome is Outcome.IN_DOUBT
    assert rule_rpc(RpcError(100, "failed", "MARKET_NOT_OPEN")).retry_after_ms == 5_000
    assert rule_rpc(RpcError(100, "failed", {"MARKET_NOT_OPEN": 1})).outcome is Outcome.REFUSED
    assert rule_rpc(RpcError(100, "ORDER_ID_NOT_FOUND")).outcome is Outcome.IN_DOUBT
    assert rule_rpc(RpcError(100, "")).outcome is Outcome.IN_DOUBT


def test_a_code_in_the_text_makes_a_number_more_doubtful_never_less() -> None:
    """A number nobody documented is doubt, whatever stands beside it."""
    assert rule_rpc(RpcError(777, "INVALID_ORDER_SIZE")).outcome is Outcome.IN_DOUBT
    assert rule_rpc(RpcError(-32603, "INVALID_ORDER_SIZE")).outcome is Outcome.IN_DOUBT
    assert rule_rpc(RpcError(-32602, "bad parameters", "DUPLICATED_CLIENT_ID")).outcome is Outcome.IN_DOUBT


def test_every_row_has_its_source() -> None:
    assert {ruling.source for ruling in RULINGS.values()} == {"generic", "auth", "orders", "JSON-RPC"}
