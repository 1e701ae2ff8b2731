"""Log lines for things that can happen a thousand times a second, and go on for days."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

_INTERVAL_NS_MAX: Final = 60_000_000_000


class Speaker:
    """Says each kind of thing at most once per interval, and then how often it was kept back.

    The interval doubles while the same goes on, up to a minute, and is short again after a pause as long.
    """

    def __init__(
        self,
        clock_mono_ns: Callable[[], int],
        on_refused: Callable[[], None],
        interval_ns: int = 1_000_000_000,
    ) -> None:
        self._clock_mono_ns = clock_mono_ns
        self._on_refused = on_refused
        self._interval_ns = interval_ns
        self._next: dict[object, tuple[int, int]] = {}  # when the next line may be, and after which interval
        self._kept_back: dict[object, int] = {}

    def say(self, level: Callable[..., Any], event: str, **fields: object) -> None:
        """Log now. ``on_refused`` is called when the queue to persistence is full."""
        # A level that is filtered out returns None, a full queue False.
        if level(event, **fields) is False:
            self._on_refused()

    def say_rarely(self, level: Callable[..., Any], event: str, kind: str, **fields: object) -> None:
        """Log unless this event of this kind, of the same symbol, was logged less than the interval ago."""
        key = (event, kind, fields.get("symbol"))
        now_mono_ns = self._clock_mono_ns()
        next_mono_ns, interval_ns = self._next.get(key, (0, 0))
        if now_mono_ns < next_mono_ns:
            self._kept_back[key] = self._kept_back.get(key, 0) + 1
            return
        goes_on = interval_ns and now_mono_ns < next_mono_ns + interval_ns
        interval_ns = min(2 * interval_ns, _INTERVAL_NS_MAX) if goes_on else self._interval_ns
        self._next[key] = now_mono_ns + interval_ns, interval_ns
        self.say(level, event, kind=kind, kept_back=self._kept_back.pop(key, 0), **fields)
