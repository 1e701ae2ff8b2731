"""Pauses between attempts that failed: exponential with jitter, first retry almost at once."""

from __future__ import annotations

import random

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Backoff:
    """``next_pause_s`` doubles up to the longest; ``reset`` after a success that lasted."""

    def __init__(self, first_s: float = FIRST_PAUSE_S, longest_s: float = LONGEST_PAUSE_S) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._pause_s = first_s

    def reset(self) -> None:
        self._pause_s = self._first_s

    def next_pause_s(self) -> float:
        """Between half and all of the present pause, so that clients do not return in step."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._longest_s)
        return pause_s * random.uniform(0.5, 1.0)
