"""Waiting for a condition of another process or task: as long as it takes, within a wide bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

DEADLINE_S: Final = 300.0  # ends what hangs; nothing that works needs it, however loaded the machine is
_LOOK_S: Final = 0.002


def wait_until(is_so: Callable[[], object], what: str = "", timeout_s: float = DEADLINE_S) -> None:
    """Return as soon as it is so. AssertionError past the deadline, naming ``what`` did not happen."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what or 'the condition'}"
        time.sleep(_LOOK_S)


async def eventually(
    is_so: Callable[[], object | Awaitable[object]], what: str = "", timeout_s: float = DEADLINE_S
) -> None:
    """The same on an event loop, which goes on meanwhile. What ``is_so`` gives may have to be awaited."""
    deadline_s = time.monotonic() + timeout_s
    while not await _settled(is_so()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what or 'the condition'}"
        await asyncio.sleep(_LOOK_S)


async def _settled(found: object) -> object:
    return await found if isinstance(found, Awaitable) else found
