"""What a venue says of an order is data: it drives nobody's terminal."""

from __future__ import annotations

import json

import pytest

from tests.observability.test_plain_text import HOSTILE, is_harmless
from venues.contract import HttpResponse, OrderAck
from venues.paradex.jsonrpc import RpcError
from venues.paradex.trading import _refusal
from venues.vest.responses import acknowledge

SAID = HOSTILE.replace("\udce9", "")  # bytes that came over a socket are UTF-8, or no JSON


def an_answer(status: int, body: bytes) -> HttpResponse:
    return HttpResponse(status, {}, body, 0)


@pytest.mark.parametrize(
    "ack",
    [
        acknowledge(1, an_answer(400, json.dumps({"code": 1130, "msg": SAID}).encode())),
        acknowledge(1, an_answer(200, json.dumps({"detail": {"code": SAID, "msg": SAID}}).encode())),
        acknowledge(1, an_answer(403, SAID.encode())),
        acknowledge(1, an_answer(200, b"\xe9" + SAID.encode())),
        _refusal(1, RpcError(-32602, SAID, SAID)),
        _refusal(1, RpcError(1, SAID, {SAID: [SAID]})),
    ],
)
def test_code_and_text_of_an_ack_are_plain(ack: OrderAck) -> None:
    assert ack.text
    assert is_harmless(ack.code)
    assert is_harmless(ack.text)
