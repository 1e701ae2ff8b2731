"""Beside other work nothing can be measured: what the load may be before, and after, a run that counts."""

from __future__ import annotations

import os
import time
from typing import Final

LOAD_MAX: Final = 1.5
_SETTLED_WITHIN_S: Final = 180.0


def settled(load_max: float) -> float:
    """The load average once it has fallen to half of what is allowed, because a run adds its own.

    Waits for that, and not for ever; what then stands is returned.
    """
    deadline_s = time.monotonic() + _SETTLED_WITHIN_S
    while (load := os.getloadavg()[0]) > load_max / 2 and time.monotonic() < deadline_s:
        time.sleep(2.0)
    return load


def of_run(before: float, *, spins: bool) -> float:
    """What is held against a run. Spinners are a load by themselves: for them only what was there before."""
    return before if spins else max(before, os.getloadavg()[0])
