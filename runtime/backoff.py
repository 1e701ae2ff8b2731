"""Pauses between attempts that failed: exponential, with jitter, so that clients do not return in step."""

from __future__ import annotations

import random
from typing import Final

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0


class Backoff:
    """Doubles the pause after every failure, up to the longest; ``reset`` after a success that lasted.

    ``is_first_immediate``: the first retry after a success does not wait.
    """

    def __init__(
        self,
        first_s: float = FIRST_PAUSE_S,
        longest_s: float = LONGEST_PAUSE_S,
        *,
        is_first_immediate: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._is_first_immediate = is_first_immediate
        self._rng = rng or random.Random()
        self.reset()

    def reset(self) -> None:
        """Begin again with the shortest pause: the last attempt has held."""
        self._pause_s = 0.0 if self._is_first_immediate else self._first_s

    def next_pause_s(self) -> float:
        """Between half and all of the present pause."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s or self._first_s, self._longest_s)
        return pause_s * self._rng.uniform(0.5, 1.0)
