"""The circuit breaker: stops entries after too many failed ones in a row."""

from __future__ import annotations

from settings import RiskSettings


class Breaker:
    """Stops entries after too many failures in a row.

    After the pause it is half open: one entry is let through. Its success closes the breaker, its
    failure opens it for another pause. A method returns True when it changed what is allowed.
    """

    def __init__(self, risk: RiskSettings) -> None:
        self.limit(risk)
        self._open_until_mono_ns = 0  # 0: closed
        self.has_tripped = False  # since the last success: open or half open; read on the hot path
        self._is_trying = False  # half open, and the one entry is under way
        self.failures = 0

    def limit(self, risk: RiskSettings) -> None:
        """Go by these limits from the next failure on."""
        self.failures_max = risk.max_consecutive_failures
        self.pause_s = risk.breaker_pause_s
        self._pause_ns = int(risk.breaker_pause_s * 1e9)
        assert self.failures_max > 0
        assert self._pause_ns >= 0, "the settings were validated"

    def is_open(self, now_mono_ns: int) -> bool:
        """Whether an entry must not leave now."""
        return self._is_trying or now_mono_ns < self._open_until_mono_ns

    def entry_left(self) -> None:
        """An entry was sent; in the half-open state it is the only one until it is decided."""
        self._is_trying = self.has_tripped

    def failed(self, now_mono_ns: int) -> bool:
        self.failures += 1
        if not self._is_trying and (self.has_tripped or self.failures < self.failures_max):
            return False
        self._is_trying = False
        self._open_until_mono_ns = now_mono_ns + self._pause_ns
        self.has_tripped = True
        return True

    def undecided(self) -> None:
        """The entry ended with nothing to judge by: neither leg filled. Another may try."""
        self._is_trying = False

    def succeeded(self) -> bool:
        had_tripped = self.has_tripped
        self.failures = 0
        self._is_trying = False
        self._open_until_mono_ns = 0
        self.has_tripped = False
        return had_tripped
