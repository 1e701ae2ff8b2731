"""Limits rates by token buckets that refill continuously, and renders the headers about them.

Source: Paradex documentation, "Rate limits": 600 per minute gives one call back every 100 ms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from simulator.paradex.errors import ApiError


class _Bucket:
    def __init__(self, calls: int, seconds: int, now_s: float) -> None:
        self.calls = calls
        self.seconds = seconds
        self.tokens = float(calls)
        self._filled_s = now_s

    def refill(self, now_s: float) -> None:
        elapsed_s = max(0.0, now_s - self._filled_s)  # a clock that was set back gives nothing
        self.tokens = min(self.calls, self.tokens + elapsed_s * self.calls / self.seconds)
        self._filled_s = now_s

    @property
    def wait_s(self) -> float:
        """Seconds until one call is possible."""
        return max(0.0, (1.0 - self.tokens) * self.seconds / self.calls)

    def headers(self, now_s: float) -> dict[str, str]:
        full_after_s = (self.calls - self.tokens) * self.seconds / self.calls
        return {
            "x-ratelimit-limit": str(self.calls),
            "x-ratelimit-remaining": str(int(self.tokens)),
            "x-ratelimit-reset": str(math.ceil(now_s + full_after_s)),
            "x-ratelimit-window": str(self.seconds),
        }


class RateLimiter:
    """Buckets per (group, owner); an owner is a client address or an account."""

    def __init__(self, now_unix_ns: Callable[[], int]) -> None:
        self._now_unix_ns = now_unix_ns
        self._buckets: dict[tuple[str, str], list[_Bucket]] = {}

    def spend(self, group: str, owner: str, budgets: Sequence[tuple[int, int]]) -> dict[str, str]:
        """Spend one call and return the rate limit headers of the fullest budget.

        Raises ApiError RATE_LIMITED, with ``retry-after``, and spends nothing if one is empty.
        """
        now_s = self._now_unix_ns() / 10**9
        buckets = self._buckets.get((group, owner))
        if buckets is None:
            buckets = [_Bucket(calls, seconds, now_s) for calls, seconds in budgets]
            self._buckets[group, owner] = buckets
        for bucket in buckets:
            bucket.refill(now_s)
        tightest = max(buckets, key=lambda bucket: bucket.wait_s or -bucket.tokens)
        if tightest.wait_s > 0:
            headers = tightest.headers(now_s)
            headers["retry-after"] = str(math.ceil(tightest.wait_s))
            raise ApiError("RATE_LIMITED", f"too many requests: {group}", headers=headers)
        for bucket in buckets:
            bucket.tokens -= 1.0
        return tightest.headers(now_s)
