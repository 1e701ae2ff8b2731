"""What a venue's rate limits leave to whom."""

from __future__ import annotations

import pytest

from executor.gateways.contract import Urgency
from executor.gateways.rate_limit import RateBudget
from executor.orders.sender import URGENCY_OF
from executor.pair.order import Purpose
from venues.contract import RateLimit

SECOND_NS = 10**9
NOW = 1_000 * SECOND_NS
LIMITS = (RateLimit(20, 1_000), RateLimit(100, 60_000))


def spent(count: int, *, limits: tuple[RateLimit, ...] = LIMITS) -> RateBudget:
    budget = RateBudget(limits)
    for _ in range(count):
        budget.spend(NOW)
    return budget


def allowed(budget: RateBudget, now_mono_ns: int = NOW) -> set[str]:
    return {urgency.name for urgency in Urgency if budget.has_room(urgency, now_mono_ns)}


@pytest.mark.parametrize(
    ("orders", "may"),
    [
        (0, {"OPEN", "CLOSE", "CANCEL", "HEDGE"}),
        (14, {"OPEN", "CLOSE", "CANCEL", "HEDGE"}),
        (15, {"CLOSE", "CANCEL", "HEDGE"}),  # a quarter of 20 is left
        (17, {"CLOSE", "CANCEL", "HEDGE"}),
        (18, {"CANCEL", "HEDGE"}),
        (50, {"CANCEL", "HEDGE"}),
    ],
)
def test_the_last_of_a_limit_is_kept_for_what_is_urgent(orders: int, may: set[str]) -> None:
    """A leg that stands alone must not wait for a window to pass."""
    assert allowed(spent(orders)) == may


def test_every_purpose_of_an_order_has_its_class() -> None:
    """Both ways of mending a naked leg go first."""
    assert set(URGENCY_OF) == set(Purpose)
    assert URGENCY_OF[Purpose.COMPLETE] is URGENCY_OF[Purpose.UNWIND] is Urgency.HEDGE


def test_a_limit_refills_all_the_time() -> None:
    """As the venue's does: 20 a second are one every 50 ms, not 20 at the stroke."""
    budget = spent(15)

    assert not budget.has_room(Urgency.OPEN, NOW + 49_999_999)
    assert budget.has_room(Urgency.OPEN, NOW + 50_000_000)
    assert budget.opens_from_mono_ns == NOW + 50_000_000


def test_the_longer_window_counts_too() -> None:
    """Each second has room, the minute has not."""
    budget = RateBudget(LIMITS)
    for number in range(90):  # ten a second; the minute gives back 15 of them meanwhile
        budget.spend(NOW + number * SECOND_NS // 10)

    assert allowed(budget, NOW + 9 * SECOND_NS) == {"CLOSE", "CANCEL", "HEDGE"}
    assert "OPEN" in allowed(budget, NOW + 11 * SECOND_NS)


def test_hedges_past_the_limit_are_paid_for_later() -> None:
    """The venue counts what it refuses, or not; entries wait until it cannot matter."""
    budget = spent(30)

    assert "OPEN" not in allowed(budget, NOW + 750_000_000)
    assert "OPEN" in allowed(budget, NOW + 850_000_000)


@pytest.mark.parametrize(("retry_after_ms", "pause_ns"), [(None, SECOND_NS), (3_000, 3 * SECOND_NS)])
def test_a_refusal_stops_entries_for_as_long_as_the_venue_asks(
    retry_after_ms: int | None, pause_ns: int
) -> None:
    """Where no limit is published it is all there is to go by; what closes is the machine's to pace."""
    budget = spent(0, limits=())

    budget.refused(retry_after_ms, NOW)

    assert allowed(budget, NOW + pause_ns - 1) == {"CLOSE", "CANCEL", "HEDGE"}
    assert budget.opens_from_mono_ns == NOW + pause_ns
    assert "OPEN" in allowed(budget, NOW + pause_ns)


def headers(calls: str, window_s: str, left: str) -> dict[str, str]:
    return {"x-ratelimit-limit": calls, "x-ratelimit-window": window_s, "x-ratelimit-remaining": left}


def test_the_venue_knows_better_what_is_left() -> None:
    """Another program on the account spends, too."""
    budget = spent(0)
    budget.reported(headers("20", "1", "3"), NOW)
    assert allowed(budget) == {"CLOSE", "CANCEL", "HEDGE"}

    budget = spent(15)
    budget.reported(headers("20", "1", "19"), NOW)  # answered before our later orders were counted
    assert "OPEN" not in allowed(budget)


@pytest.mark.parametrize(
    "facts", [{}, headers("7", "1", "0"), headers("20", "1", "-1"), headers("²", "1", "0")]
)
def test_headers_that_say_nothing_change_nothing(facts: dict[str, str]) -> None:
    """Of another group of calls, or no numbers."""
    budget = spent(0)
    budget.reported(facts, NOW)
    assert "OPEN" in allowed(budget)
