"""Questions to Hyperliquid: every read is ``POST /info``, needs no key, and answers for anybody."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import orjson

from venues.contract import Call, HttpRequest
from venues.hyperliquid.errors import read
from venues.hyperliquid.messages import T

JSON_HEADERS: Final = (("Content-Type", "application/json"),)


def info_request(kind: str, **fields: Any) -> HttpRequest:
    return HttpRequest("POST", "/info", JSON_HEADERS, orjson.dumps({"type": kind, **fields}))


def ask(decoder: msgspec.json.Decoder[T], kind: str, **fields: Any) -> Call[T]:
    """Ask and return what the answer says; see ``errors.read``."""
    response = yield info_request(kind, **fields)
    return read(response, decoder, kind)


def exchange_request(body: bytes) -> HttpRequest:
    """A signed action over HTTP."""
    return HttpRequest("POST", "/exchange", JSON_HEADERS, body)


# Keeps an order connection warm: the cheapest question there is.
WARM_REQUEST: Final = info_request("exchangeStatus")
