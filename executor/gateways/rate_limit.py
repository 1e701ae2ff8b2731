"""How many orders a venue takes from us now, and which kind may still have one.

The venue's own limits are kept on our side: an order it would transition away for their sake is better not
sent. The last of a limit is a reserve. What opens a position stops first, then what closes one; cancels
and what mends a naked leg always go, because there even the venue's refusal costs less than waiting.

Only integers, no clock: times come in. The venue corrects us by what its answers say about its limits,
and by a refusal, after which nothing is opened until the pause it asked for is over. From when an order
may open is worked out whenever a limit changes, so that an entry on its way only compares two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from executor.gateways.contract import Urgency
from venues.contract import RateLimit

_NS_PER_MS: Final = 1_000_000
_PAUSE_MS: Final = 1_000  # after a refusal that names no pause
_NEVER_MONO_NS: Final = 1 << 62

# Per cent of a limit that a class leaves to those above it. At least one call is left.
_LEAVES_PERCENT: Final[Mapping[Urgency, int]] = {Urgency.OPEN: 25, Urgency.CLOSE: 10}


class RateBudget:
    """One account's orders on one venue; without ``limits``, none being published, only pauses count."""

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._buckets = [_Bucket(limit) for limit in limits]
        self._paused_until_mono_ns = 0
        self.opens_from_mono_ns = 0  # when an order that opens may leave, should nothing more be spent
        self._work_out()

    def has_room(self, urgency: Urgency, now_mono_ns: int) -> bool:
        """Whether an order of this class may leave now. Always, for hedges and cancels."""
        if urgency >= Urgency.CANCEL:
            return True
        if urgency is Urgency.OPEN:
            return now_mono_ns >= self.opens_from_mono_ns
        percent = _LEAVES_PERCENT[urgency]
        return all(bucket.calls_left(now_mono_ns) > bucket.reserve(percent) for bucket in self._buckets)

    def spend(self, now_mono_ns: int) -> None:
        """A request that counts was written, whatever its class."""
        for bucket in self._buckets:
            bucket.spend(now_mono_ns)
        self._work_out()

    def refused(self, retry_after_ms: int | None, now_mono_ns: int) -> None:
        """The venue turned a request away for its rate, or wants a pause for another reason."""
        until_mono_ns = now_mono_ns + (retry_after_ms or _PAUSE_MS) * _NS_PER_MS
        self._paused_until_mono_ns = max(self._paused_until_mono_ns, until_mono_ns)
        self._work_out()

    def reported(self, headers: Mapping[str, str], now_mono_ns: int) -> None:
        """Take over ``x-ratelimit-*`` of an answer to an order, where it says that less is left than we
        think: another program may use the account. What it says of a limit we do not know is ignored."""
        names = ("x-ratelimit-limit", "x-ratelimit-window", "x-ratelimit-remaining")
        texts = [headers.get(name, "") for name in names]
        if not all(text.isascii() and text.isdigit() and len(text) <= 9 for text in texts):
            return
        calls, window_s, left = map(int, texts)
        for bucket in self._buckets:
            if bucket.limit == RateLimit(calls, window_s * 1_000):
                bucket.lower_to(left, now_mono_ns)
        self._work_out()

    def _work_out(self) -> None:
        percent = _LEAVES_PERCENT[Urgency.OPEN]
        self.opens_from_mono_ns = max(
            self._paused_until_mono_ns, *(bucket.room_from_mono_ns(percent) for bucket in self._buckets), 0
        )


class _Bucket:
    """A token bucket that refills continuously, counted in call-nanoseconds so that nothing is rounded."""

    def __init__(self, limit: RateLimit) -> None:
        assert limit.calls > 0
        assert limit.window_ms > 0, "a limit lets something through"
        self.limit = limit
        self._call_ns = limit.window_ms * _NS_PER_MS  # what one call costs
        self._full = limit.calls * self._call_ns
        self._level = self._full
        self._filled_mono_ns = 0

    def calls_left(self, now_mono_ns: int) -> int:
        self._refill(now_mono_ns)
        return max(0, self._level // self._call_ns)

    def reserve(self, percent: int) -> int:
        return max(1, self.limit.calls * percent // 100)

    def room_from_mono_ns(self, percent: int) -> int:
        """When one call more than the reserve is left, should nothing be spent."""
        wanted = (self.reserve(percent) + 1) * self._call_ns
        if wanted > self._full:
            return _NEVER_MONO_NS  # the reserve is all there is
        assert self._level <= self._full, "a limit holds no more than its calls"
        missing = max(0, wanted - self._level)
        return self._filled_mono_ns + -(-missing // self.limit.calls)

    def spend(self, now_mono_ns: int) -> None:
        self._refill(now_mono_ns)
        # Below nothing: hedges that went on past the limit are paid for by what comes later.
        self._level = max(-self._full, self._level - self._call_ns)
        assert self._level < self._full, "what was spent is gone"

    def lower_to(self, calls: int, now_mono_ns: int) -> None:
        self._refill(now_mono_ns)
        self._level = min(self._level, calls * self._call_ns)

    def _refill(self, now_mono_ns: int) -> None:
        earned = (now_mono_ns - self._filled_mono_ns) * self.limit.calls
        self._level = min(self._full, self._level + earned)
        self._filled_mono_ns = now_mono_ns
