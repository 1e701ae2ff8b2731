"""Weekly maintenance windows of the venues, in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from settings import MaintenanceWindow

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_S = 86_400
_WEEK_S = 7 * _DAY_S
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday


class WeeklySpan(NamedTuple):
    """A span that comes back every week; may run over the end of a day or of the week."""

    start_s: int  # since Monday 00:00 UTC
    length_s: int


def weekly_spans(windows: Iterable[MaintenanceWindow]) -> tuple[WeeklySpan, ...]:
    """One span per day of each window. An end not after its start is on the next day."""
    spans = []
    for window in windows:
        first, _, last = window.days.partition("-")
        first_day, last_day = _DAYS.index(first), _DAYS.index(last or first)
        start_s, end_s = (_second_of_day(text) for text in window.utc.split("-"))
        length_s = end_s - start_s if end_s > start_s else end_s - start_s + _DAY_S
        for offset in range((last_day - first_day) % 7 + 1):
            day = (first_day + offset) % 7
            spans.append(WeeklySpan(day * _DAY_S + start_s, length_s))
    return tuple(spans)


def seconds_left(spans: Iterable[WeeklySpan], now_unix_s: int) -> int:
    """How long maintenance still lasts; 0 outside every span. A span holds its start, not its end."""
    now_s = (now_unix_s + _EPOCH_WEEKDAY * _DAY_S) % _WEEK_S
    left = 0
    for span in spans:
        into_s = (now_s - span.start_s) % _WEEK_S
        if into_s < span.length_s:
            left = max(left, span.length_s - into_s)
    return left


def _second_of_day(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 3_600 + int(minutes) * 60
