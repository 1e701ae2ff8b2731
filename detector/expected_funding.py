"""What holding a pair is expected to cost in funding until it is closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from detector.rules import Rules
from shm.records import FundingView

_AGE_NS_MAX: Final = 600_000_000_000  # ten of the executor's looks

ReadFunding = Callable[[int], FundingView | None]


def expected_funding_bps(rules: Rules, read: ReadFunding, now_mono_ns: int) -> float:
    """Cost in bps of holding direction +1, long the first leg and short the second; -1 costs the negative.

    At positive rates longs pay and shorts receive. 0 where a rate is missing or old, and where
    ``include_funding`` is off.
    """
    first, second = read(rules.first.instrument_id), read(rules.second.instrument_id)
    if not rules.is_funding_included or first is None or second is None:
        return 0.0
    if now_mono_ns - min(first.asked_mono_ns, second.asked_mono_ns) > _AGE_NS_MAX:
        return 0.0
    return (first.hourly_bps - second.hourly_bps) * rules.expected_hold_h
