"""Measures a venue's clock from its responses, against a clock of ours that is never set.

A response with the venue's time was made between our request and its arrival. That bounds the venue's clock
from both sides, however slow the network is; an event bounds it only from below, however old it is.
Bounds of many responses together are narrow. They are kept against the time since this host was started,
sleep included: a step of our wall clock or a suspended host moves none of them.

A response that contradicts what is known may be stale, or come from a proxy whose clock is wrong: it counts
once a second one in a row agrees with it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from runtime.clock import Clock

_MS_NS: Final = 1_000_000
_SECOND_NS: Final = 1_000_000_000
_UNBOUND_NS: Final = 1 << 62
_KEPT: Final = 64
_KEPT_NS: Final = 120 * _SECOND_NS  # older responses bound a drifting clock too loosely
_SLACK_NS: Final = 50 * _MS_NS  # by which answers may contradict each other: clocks are slewed
_AGREEING: Final = 2  # answers in a row that contradict what is known and not each other
_ONE_MOMENT_NS: Final = 5 * _MS_NS


def steady_ns() -> int:
    """Nanoseconds since this host was started; no one sets it, and it goes on while the host sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class _Sample(NamedTuple):
    at_ns: int  # steady
    low_ns: int  # the venue's clock less the steady one is no less than this
    high_ns: int


class _Bounds:
    """What a number of answers leave possible."""

    def __init__(self) -> None:
        self.low_ns, self.high_ns = -_UNBOUND_NS, _UNBOUND_NS
        self._samples: deque[_Sample] = deque(maxlen=_KEPT)
        self._against: list[_Sample] = []

    @property
    def is_known(self) -> bool:
        return self.high_ns < _UNBOUND_NS

    def add(self, sample: _Sample) -> None:
        if self._samples and not _agree(sample, self.low_ns, self.high_ns):
            self._against = [other for other in self._against if _agree(sample, *other[1:])]
            self._against.append(sample)
            if len(self._against) < _AGREEING:
                return
            self._samples.clear()
            self._samples.extend(self._against)
        else:
            self._samples.append(sample)
        self._against.clear()
        while self._samples[0].at_ns < sample.at_ns - _KEPT_NS:
            self._samples.popleft()
        self.low_ns = max(known.low_ns for known in self._samples)
        self.high_ns = min(known.high_ns for known in self._samples)

    def raise_low(self, at_ns: int, low_ns: int) -> None:
        """An event bounds the clock from below; one that contradicts the responses is ignored."""
        if self.low_ns < low_ns <= self.high_ns:
            self._samples.append(_Sample(at_ns, low_ns, _UNBOUND_NS))
            self.low_ns = low_ns


def _agree(sample: _Sample, low_ns: int, high_ns: int) -> bool:
    return sample.low_ns <= high_ns + _SLACK_NS and sample.high_ns >= low_ns - _SLACK_NS


class VenueClock:
    """A ``Clock`` whose wall clock is the venue's; until that is known, it is ``host``'s."""

    def __init__(self, host: Clock, steady_ns: Callable[[], int] = steady_ns) -> None:
        self._host = host
        self.steady_ns = steady_ns
        self._trusted_ns: int | None = None  # the host's wall clock less the steady one, when they agreed
        self._own = _Bounds()  # by what the venue itself calls its time
        self._dated = _Bounds()  # by the date of HTTP answers: whole seconds, perhaps of a server before it

    def mono_ns(self) -> int:
        """The host's monotonic clock, unchanged."""
        return self._host.mono_ns()

    def unix_ns(self) -> int:
        """The host's time while the venue's answers allow it; else by what they allow, and what the host's
        clock was before it was set."""
        wall_ns, steady_ns = self._host.unix_ns(), self.steady_ns()
        best = self._best
        if not best.is_known:
            return wall_ns
        lead_ns = wall_ns - steady_ns
        if best.low_ns <= lead_ns <= best.high_ns:
            self._trusted_ns = lead_ns
            return wall_ns
        guess_ns = self._trusted_ns if self._trusted_ns is not None else (best.low_ns + best.high_ns) // 2
        return steady_ns + min(max(guess_ns, best.low_ns), best.high_ns)

    # --- measurements ---

    def answered(self, headers: Mapping[str, str], sent_ns: int, recv_ns: int) -> None:
        """An HTTP answer to what left at ``sent_ns``, both steady. One without a usable date says nothing."""
        try:
            date = parsedate_to_datetime(headers.get("date", ""))
        except (TypeError, ValueError):
            return
        if date.tzinfo is not None:
            self._compare(self._dated, int(date.timestamp()) * _SECOND_NS, _SECOND_NS, sent_ns, recv_ns)

    def observe(self, unix_ns: int, sent_ns: int, recv_ns: int) -> None:
        """The venue's own answer to the question what time it is, in milliseconds."""
        self._compare(self._own, unix_ns, _MS_NS, sent_ns, recv_ns)

    def happened(self, unix_ns: int) -> None:
        """An event that the venue dates has just come; 0 for one that it does not date."""
        if unix_ns > 0:
            now_ns = self.steady_ns()
            self._best.raise_low(now_ns, unix_ns - now_ns)

    def _compare(self, bounds: _Bounds, unix_ns: int, step_ns: int, sent_ns: int, recv_ns: int) -> None:
        if unix_ns > 0 and 0 <= sent_ns <= recv_ns:
            bounds.add(_Sample(recv_ns, unix_ns - recv_ns, unix_ns + step_ns - sent_ns))

    # --- what is known ---

    @property
    def _best(self) -> _Bounds:
        return self._own if self._own.is_known else self._dated

    @property
    def is_known(self) -> bool:
        """Whether any answer has bounded the venue's clock."""
        return self._best.is_known

    def offset_ns(self) -> int:
        """The venue's clock less our wall clock, as far as is known."""
        if not self.is_known:
            return 0
        return (self._best.low_ns + self._best.high_ns) // 2 - self._wall_lead_ns()

    def off_by_ns(self) -> int:
        """The same, but no more than is certain: 0 where they may agree."""
        if not self.is_known:
            return 0
        low_ns, high_ns, wall_ns = self._best.low_ns, self._best.high_ns, self._wall_lead_ns()
        low_ns, high_ns = min(low_ns, high_ns), max(low_ns, high_ns)
        return max(0, low_ns - wall_ns) or min(0, high_ns - wall_ns)

    def _wall_lead_ns(self) -> int:
        """Our wall clock less the steady one, read in one moment: who was stopped between looks again."""
        while True:
            before_ns = self.steady_ns()
            wall_ns = self._host.unix_ns()
            if self.steady_ns() - before_ns < _ONE_MOMENT_NS:
                return wall_ns - before_ns
