"""Weekly windows in UTC, over midnight and over the end of the week."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from detector.maintenance import seconds_left, weekly_spans
from settings import MaintenanceWindow


def left(days: str, utc: str, now: str) -> int:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    return seconds_left(weekly_spans([MaintenanceWindow(days=days, utc=utc)]), int(at.timestamp()))


# 2026-11-16 was a Monday.
@pytest.mark.parametrize(
    ("days", "utc", "now", "expected"),
    [
        ("mon-fri", "04:25-04:50", "2026-11-16 04:24:59", 0),
        ("mon-fri", "04:25-04:50", "2026-11-16 04:25:00", 1_500),
        ("mon-fri", "04:25-04:50", "2026-11-20 04:49:59", 1),
        ("mon-fri", "04:25-04:50", "2026-11-20 04:50:00", 0),
        ("mon-fri", "04:25-04:50", "2026-11-21 04:30:00", 0),
        ("sun", "04:25-04:50", "2026-11-22 04:30:00", 1_200),
        ("sat-mon", "10:00-11:00", "2026-11-22 10:00:00", 3_600),
        ("sat-mon", "10:00-11:00", "2026-11-17 10:00:00", 0),
        ("sun", "23:00-01:00", "2026-11-22 23:30:00", 5_400),
        ("sun", "23:00-01:00", "2026-11-16 00:30:00", 1_800),
        ("sun", "23:00-01:00", "2026-11-16 01:00:00", 0),
        ("wed", "06:00-06:00", "2026-11-19 05:59:59", 1),
    ],
)
def test_a_window_holds_its_start_and_not_its_end(days: str, utc: str, now: str, expected: int) -> None:
    """Calendars written out by hand: the arithmetic must agree with them."""
    assert left(days, utc, now) == expected


def test_overlapping_windows_last_as_long_as_the_longer() -> None:
    """Two venues' windows are asked together."""
    spans = weekly_spans(
        [MaintenanceWindow(days="mon", utc="04:00-04:10"), MaintenanceWindow(days="mon", utc="04:05-05:00")]
    )
    at = datetime(2026, 11, 16, 4, 6, tzinfo=UTC)
    assert seconds_left(spans, int(at.timestamp())) == 54 * 60
