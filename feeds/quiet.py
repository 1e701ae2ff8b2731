"""Log lines for things that can happen a thousand times a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Speaker:
    """Says each kind of thing at most once per interval, and then how often it was kept back."""

    def __init__(
        self,
        clock_mono_ns: Callable[[], int],
        on_refused: Callable[[], None],
        interval_ns: int = 1_000_000_000,
    ) -> None:
        self._clock_mono_ns = clock_mono_ns
        self._on_refused = on_refused
        self._interval_ns = interval_ns
        self._next: dict[object, int] = {}
        self._kept_back: dict[object, int] = {}

    def say(self, level: Callable[..., Any], event: str, **fields: object) -> None:
        """Log now. ``on_refused`` is called when the queue to persistence is full."""
        # A level that is filtered out returns None, a full queue False.
        if level(event, **fields) is False:
            self._on_refused()

    def say_rarely(self, level: Callable[..., Any], event: str, kind: str, **fields: object) -> None:
        """Log unless this event of this kind was logged less than the interval ago."""
        key = (event, kind)
        now_mono_ns = self._clock_mono_ns()
        if now_mono_ns < self._next.get(key, 0):
            self._kept_back[key] = self._kept_back.get(key, 0) + 1
            return
        self._next[key] = now_mono_ns + self._interval_ns
        self.say(level, event, kind=kind, kept_back=self._kept_back.pop(key, 0), **fields)
