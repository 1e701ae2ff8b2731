"""Time that passes as it did: a clock set by the recording, and an event loop that waits by it.

The replay hands the clock to every part that asks for time. Waiting takes none: the loop moves the clock to
whatever is due next. Nothing else moves it, so the same recording gives the same outcome.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from typing import TypeVarTuple

_SECOND_NS = 1_000_000_000
_Ts = TypeVarTuple("_Ts")


class RecordedClock:
    """Both clocks of the recorded host. Never goes back."""

    def __init__(self, mono_ns: int, unix_minus_mono_ns: int) -> None:
        self._mono_ns = mono_ns
        self._unix_minus_mono_ns = unix_minus_mono_ns

    def set(self, mono_ns: int) -> None:
        self._mono_ns = max(self._mono_ns, mono_ns)

    def mono_ns(self) -> int:
        return self._mono_ns

    def unix_ns(self) -> int:
        return self._mono_ns + self._unix_minus_mono_ns

    def mono_s(self) -> float:
        return self._mono_ns / 1e9

    def unix_s(self) -> float:
        return self.unix_ns() / 1e9


def second_after(mono_ns: int) -> int:
    """The next whole second of the monotonic clock."""
    return mono_ns - mono_ns % _SECOND_NS + _SECOND_NS


class _Selector(selectors.SelectSelector):
    """Waits by moving the clock. Nothing comes from outside."""

    def __init__(self, clock: RecordedClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and nothing is due: the replay would never end")
        if timeout > 0:
            self._clock.set(self._clock.mono_ns() + round(timeout * 1e9))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a ``RecordedClock``.

    ``pass_time`` is for the one task that plays the recording. It turns the loop only where something
    is due: most rows of a recording concern nobody who waits.
    """

    def __init__(self, clock: RecordedClock) -> None:
        super().__init__(_Selector(clock))
        self._virtual_clock = clock
        self._due_s: list[float] = []  # every timer ever set that may still be due
        self._stirred = 0  # callbacks that were made ready
        self._settled = 0  # how many of them have been run for certain

    def time(self) -> float:
        return self._virtual_clock.mono_s()

    def call_at(
        self, when: float, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        heappush(self._due_s, when)
        return super().call_at(when, callback, *args, context=context)

    def call_soon(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        self._stirred += 1
        return super().call_soon(callback, *args, context=context)

    async def pass_time(self, mono_ns: int) -> None:
        """Let everything that is due until then happen, and move the clock there."""
        clock, until_s = self._virtual_clock, mono_ns / 1e9
        if self._stirred != self._settled or (self._due_s and self._due_s[0] <= until_s):
            await self._settle()
            if mono_ns > clock.mono_ns():
                await asyncio.sleep(until_s - self.time())
                await self._settle()
            while self._due_s and self._due_s[0] <= until_s:
                heappop(self._due_s)
        clock.set(mono_ns)

    async def _settle(self) -> None:
        """Transition until nobody is ready but the caller."""
        while True:
            before = self._stirred
            await asyncio.sleep(0)
            if self._stirred == before + 1:  # that was the caller itself
                self._settled = self._stirred
                return
