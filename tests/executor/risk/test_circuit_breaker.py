"""What the gates remember: orders of the last minute, failures in a row."""

from __future__ import annotations

from executor.risk.circuit_breaker import Breaker
from executor.risk.order_rate import OrderRate
from settings import RiskSettings

RISK = RiskSettings.model_validate(
    {
        "max_order_notional_quote": "5000",
        "max_position_notional_quote": "10000",
        "max_daily_loss_quote": "200",
        "max_orders_per_minute": 10,
        "max_consecutive_failures": 3,
        "breaker_pause_s": 30.0,
        "price_collar_bps": 100.0,
    }
)
SECOND_NS = 1_000_000_000


def test_orders_older_than_a_minute_no_longer_count() -> None:
    rate = OrderRate()
    for second in range(5):
        rate.count(second * SECOND_NS)
    assert rate.last_minute(59 * SECOND_NS) == 5
    assert rate.last_minute(62 * SECOND_NS) == 2  # those of seconds 3 and 4


def test_the_breaker_opens_after_enough_failures_in_a_row() -> None:
    """Failures interrupted by a success are ordinary life."""
    breaker = Breaker(RISK)
    assert not breaker.failed(0)
    assert not breaker.failed(0)
    assert not breaker.succeeded()
    assert not breaker.failed(0)
    assert not breaker.failed(0)
    assert not breaker.is_open(0)
    assert breaker.failed(0)
    assert breaker.is_open(29 * SECOND_NS)


def test_a_half_open_breaker_lets_one_entry_through_and_believes_its_outcome() -> None:
    """One probe, not a burst: the venue may still be broken."""
    breaker = Breaker(RISK)
    for _ in range(3):
        breaker.failed(0)
    assert not breaker.is_open(30 * SECOND_NS)
    breaker.entry_left()
    assert breaker.is_open(31 * SECOND_NS), "a second entry before the first is decided"
    assert breaker.failed(32 * SECOND_NS)
    assert breaker.is_open(61 * SECOND_NS)
    assert not breaker.is_open(62 * SECOND_NS)
    breaker.entry_left()
    assert breaker.succeeded()
    assert not breaker.is_open(62 * SECOND_NS)
    assert not breaker.has_tripped
