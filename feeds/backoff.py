"""How long to wait before connecting again."""

from __future__ import annotations

from random import Random

MIN_DELAY_S = 0.1
# Below 5 s by the time a handshake takes: trading resumes within 5 s of the venue coming back.
MAX_DELAY_S = 4.0
# A connection that lasted this long owes nothing to the failures before it.
STEADY_S = 5.0


class Backoff:
    """First retry at once, then exponential with full jitter between the bounds.

    Jitter keeps the bots of a whole data centre from knocking in step after an outage.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def next_delay_s(self, was_live_s: float) -> float:
        """The wait after a connection that gave data for ``was_live_s`` (0: none, or none made)."""
        if was_live_s >= STEADY_S:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        # The exponent is bounded: 2.0 ** 1024 would overflow after a night of failures.
        ceiling_s = min(MAX_DELAY_S, MIN_DELAY_S * 2.0 ** min(self._failures - 1, 16))
        return self._random.uniform(MIN_DELAY_S, ceiling_s)
