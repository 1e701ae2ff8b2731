"""Every code that Vest's documentation names, and what it means for an order."""

from __future__ import annotations

import pytest

from venues.contract import HttpResponse, Outcome
from venues.vest.errors import CLOSE_ACTIONS, VENUE_CODES
from venues.vest.responses import acknowledge

# From the tables "Error codes" and "WebSocket close codes" of the API v2 documentation.
RETRY_LATER = {429, 1003, 3003, 4003}
IN_DOUBT = {1023, 3015, 4010, 5010, 5013}
REFUSED = {
    *(1002, 1022, 1024, 1099, 1111, 1116, 1121, 1125, 1130, 1131, 1132, 1133, 1143, 1144, 1145, 1146, 1147),
    *(1148, 3001, 3002, 3004, 3006, 3007, 3008, 3010, 3011, 3017, 3018, 3019, 3020, 3021, 3022, 3023, 3024),
    *(4001, 4002, 4004, 4007, 4012, 5002, 5009),
}
CLOSE_CODES = {1011, 1012, 4000, 4001, 4002, 4003, 4004, 4005}


# In answer to a create; the others belong to cancels, listen keys, withdrawals, the pool.
TO_CREATE = {
    *(429, 1002, 1003, 1022, 1023, 1099, 1111, 1116, 1121, 1130, 1131, 1132, 1133, 1145, 1146, 1148),
    *(3001, 3002, 3003, 3004, 3006, 3007, 3008, 3010, 3011, 3015, 3018, 3019, 3020, 3022, 3023, 3024),
}


def answered(code: int, status: int) -> tuple[Outcome, bool]:
    """The outcome, and whether the same may be asked again."""
    body = b'{"detail":{"code":%d,"msg":"?"}}' % code
    ack = acknowledge(7, HttpResponse(status, {}, body, 0))
    assert ack.code == str(code)
    return ack.outcome, ack.retry_after_ms is not None


def test_no_documented_code_is_missing_and_none_is_made_up() -> None:
    """An order refused by a code we do not know stays in doubt, which costs time."""
    assert set(VENUE_CODES) == RETRY_LATER | IN_DOUBT | REFUSED
    assert set(CLOSE_ACTIONS) == CLOSE_CODES


@pytest.mark.parametrize("status", [200, 400])
def test_every_code_is_ruled_as_documented(status: int) -> None:
    """The status per code is not documented, so among those that errors come with it must not matter."""
    refused, later = REFUSED & TO_CREATE, RETRY_LATER & TO_CREATE
    assert {code for code in VENUE_CODES if answered(code, status) == (Outcome.REFUSED, False)} == refused
    assert {code for code in VENUE_CODES if answered(code, status) == (Outcome.REFUSED, True)} == later
    doubtful = set(VENUE_CODES) - refused - later
    assert {code for code in VENUE_CODES if answered(code, status) == (Outcome.IN_DOUBT, False)} == doubtful


def test_every_row_has_its_source() -> None:
    """The groups of the documentation's table."""
    groups = {"sample body", "General", "Bad request", "Order rejected", "LP rejected", "Transfer rejected"}
    assert {row.source for row in VENUE_CODES.values()} == groups
