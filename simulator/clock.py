"""A venue's clock, which may be wrong."""

from __future__ import annotations

from collections.abc import Callable


class VenueClock:
    """Time as a venue sees it: the real one, and how far it is ahead of it (negative: behind)."""

    def __init__(self, now_unix_ns: Callable[[], int]) -> None:
        self.ahead_ms = 0.0
        self._now_unix_ns = now_unix_ns

    def now_unix_ns(self) -> int:
        return self._now_unix_ns() + int(self.ahead_ms * 1_000_000)
