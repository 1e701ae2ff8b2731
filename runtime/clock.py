"""Clocks that are handed in: a replay runs the same code by a recorded one."""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_MS = 1_000_000


class Clock(Protocol):
    """Two clocks of one host."""

    def mono_ns(self) -> int:
        """The monotonic clock: comparable between processes of this host until it reboots."""

    def unix_ns(self) -> int:
        """The wall clock: it may step."""


class SystemClock:
    """This host's clocks."""

    def mono_ns(self) -> int:
        """Nanoseconds of the monotonic clock: comparable between our processes until reboot."""
        return time.monotonic_ns()

    def unix_ns(self) -> int:
        """Nanoseconds of the wall clock, which may be set."""
        return time.time_ns()


def unix_ms(clock: Clock) -> int:
    """The wall clock in milliseconds, as venues count."""
    return clock.unix_ns() // NS_PER_MS


def ms_to_ns(milliseconds: float) -> int:
    """Milliseconds of a setting in nanoseconds, rounded to the nearest."""
    return round(milliseconds * NS_PER_MS)


def mono_s(clock: Clock) -> float:
    """The monotonic clock in seconds, as event loops count."""
    return clock.mono_ns() / 1e9


def unix_s(clock: Clock) -> float:
    """The wall clock in seconds."""
    return clock.unix_ns() / 1e9
