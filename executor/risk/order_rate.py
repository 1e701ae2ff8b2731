"""How many orders were written in the last minute."""

from __future__ import annotations

from collections import deque
from typing import Final

_MINUTE_NS: Final = 60_000_000_000


class OrderRate:
    """Counts written orders over a sliding minute."""

    def __init__(self) -> None:
        self._sent_mono_ns: deque[int] = deque()
        self.remembered = 0  # not fewer than were sent in the last minute; read on the hot path

    def count(self, now_mono_ns: int) -> None:
        """One more was written."""
        self._sent_mono_ns.append(now_mono_ns)
        self.last_minute(now_mono_ns)

    def last_minute(self, now_mono_ns: int) -> int:
        """How many were written in the minute that ends now."""
        while self._sent_mono_ns and self._sent_mono_ns[0] <= now_mono_ns - _MINUTE_NS:
            self._sent_mono_ns.popleft()
        self.remembered = len(self._sent_mono_ns)
        return self.remembered
