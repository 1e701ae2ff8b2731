"""The way to a venue and back, as long as it is configured to be.

Each message takes a latency drawn from a seeded generator. Messages of one direction keep their
order, as on one connection: a slow one holds up those behind it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from runtime.clock import Clock

_MS = 1_000_000


class OneWay:
    """Carries calls: what goes in now is called after a drawn latency, first in, first out."""

    def __init__(self, draw: random.Random, clock: Clock, *, latency_ms: float, jitter_ms: float) -> None:
        assert latency_ms >= 0, "nothing arrives before it leaves"
        assert jitter_ms >= 0, "nothing arrives before it leaves"
        self._draw = draw
        self._clock = clock
        self._latency_ms = latency_ms
        self._jitter_ms = jitter_ms
        self._under_way: deque[tuple[int, Callable[[], None]]] = deque()  # due_mono_ns
        self._timer: asyncio.TimerHandle | None = None

    def carry(self, call: Callable[[], None]) -> None:
        latency_ns = int((self._latency_ms + self._draw.uniform(0, self._jitter_ms)) * _MS)
        self._under_way.append((self._clock.mono_ns() + latency_ns, call))
        self._wait_for_first()

    def close(self) -> None:
        """Lose what is under way."""
        self._under_way.clear()

    def _wait_for_first(self) -> None:
        if self._timer is None and self._under_way:
            wait_ms = -(-(self._under_way[0][0] - self._clock.mono_ns()) // _MS)
            self._timer = asyncio.get_running_loop().call_later(max(0, wait_ms) / 1_000, self._deliver)

    def _deliver(self) -> None:
        # A loop's timers go by the time at which its transition began and may come early: our clock decides.
        self._timer = None
        while self._under_way and self._under_way[0][0] <= self._clock.mono_ns():
            self._under_way.popleft()[1]()
        self._wait_for_first()
