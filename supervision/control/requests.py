"""Checks the fields of requests, and waits for conditions that a request asks for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from observability.plain_text import plain
from supervision.control.socket import Request

TIMEOUT_S: Final = 10.0  # for the executor to acknowledge
_TIMEOUT_S_MAX: Final = 600.0
_TEXT_MAX: Final = 200
_POLL_S: Final = 0.02


class BadRequest(Exception):
    """A request with a bad field or at the wrong time; the text says why."""


def text_of(request: Request, name: str) -> str:
    """A text field made printable; "" when absent. Raises BadRequest."""
    value = request.get(name, "")
    if not isinstance(value, str) or len(value) > _TEXT_MAX:
        raise BadRequest(f"{name} must be text of at most {_TEXT_MAX} characters")
    return plain(value)


def names_of(request: Request, name: str) -> list[str]:
    """A list of names, each once; empty when absent. Raises BadRequest."""
    value = request.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(f"{name} must be a list of names")
    return list(dict.fromkeys(value))


def flag_of(request: Request, name: str) -> bool:
    """A true or false field; false when absent. Raises BadRequest."""
    value = request.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false")
    return value


def seconds_of(request: Request, default: float = TIMEOUT_S) -> float:
    """How long the caller waits, in seconds. Raises BadRequest."""
    value = request.get("timeout_s", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _TIMEOUT_S_MAX:
        raise BadRequest(f"timeout_s must be a number above 0 and at most {_TIMEOUT_S_MAX:g}")
    return float(value)


async def until(is_so: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until the condition holds; False when it does not in time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(_POLL_S)
    return True


def now_utc() -> str:
    """The time now, as ISO 8601 to the second with a Z."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
