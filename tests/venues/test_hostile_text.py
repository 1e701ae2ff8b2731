"""What a venue says of an order is data: it drives nobody's terminal."""

from __future__ import annotations

import json

import pytest

from tests.observability.test_plain_text import HOSTILE, is_harmless
from venues.contract import HttpResponse, OrderAck
from venues.paradex.errors import Request, ack_of_error, error_of
from venues.paradex.jsonrpc import RpcError
from venues.vest.responses import acknowledge

SAID = HOSTILE.replace("\udce9", "")  # bytes that came over a socket are UTF-8, or no JSON


def an_answer(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status, {}, body, 0)


def refused_by_paradex(status: int, body: dict[str, str]) -> OrderAck:
    return ack_of_error(1, error_of(an_answer(status, json.dumps(body).encode())), Request.CREATE)


@pytest.mark.parametrize("error", [RpcError(-32602, SAID, SAID), RpcError(1, SAID, {SAID: [SAID]})])
def test_the_text_of_a_socket_error_is_plain(error: RpcError) -> None:
    assert error.text
    assert is_harmless(error.text)


@pytest.mark.parametrize(
    "ack",
    [
        acknowledge(1, an_answer(400, json.dumps({"code": 1130, "msg": SAID}).encode())),
        acknowledge(1, an_answer(200, json.dumps({"detail": {"code": SAID, "msg": SAID}}).encode())),
        acknowledge(1, an_answer(403, SAID.encode())),
        acknowledge(1, an_answer(200, b"\xe9" + SAID.encode())),
        refused_by_paradex(400, {"error": "ORDER_EXPIRED", "message": SAID}),
        refused_by_paradex(403, {"error": SAID, "message": SAID}),
        refused_by_paradex(429, {"error": SAID, "message": SAID}),
    ],
)
def test_code_and_text_of_an_ack_are_plain(ack: OrderAck) -> None:
    assert ack.text
    assert is_harmless(ack.code)
    assert is_harmless(ack.text)
