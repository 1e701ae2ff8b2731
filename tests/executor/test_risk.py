"""The gates in front of an entry: each says no for its own reason, with value and limit."""

from __future__ import annotations

import pytest

from executor.risk import (
    Breaker,
    EntryCheck,
    EntryLeg,
    Gate,
    OrderRate,
    Refusal,
    refuse_entry,
)
from settings import RiskSettings
from venues.contract import E8

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


def a_leg(**changes: object) -> EntryLeg:
    leg = EntryLeg(
        limit_price_e8=50_000 * E8,
        size_e8=E8 // 50,
        venue_notional_e8=0,
        other_mid_e8=50_000 * E8,
        can_send=True,
    )
    return leg._replace(**changes)  # type: ignore[arg-type]


def a_check(first: EntryLeg | None = None, **changes: object) -> EntryCheck:
    check = EntryCheck(
        now_mono_ns=10 * SECOND_NS,
        decided_mono_ns=10 * SECOND_NS - 1_000_000,
        expires_mono_ns=10 * SECOND_NS + 49_000_000,
        is_stopping=False,
        is_paused=False,
        is_breaker_open=False,
        failures=0,
        orders_last_minute=0,
        result_today_e8=0,
        legs=(first or a_leg(), a_leg()),
    )
    return check._replace(**changes)  # type: ignore[arg-type]


def test_an_ordinary_entry_passes() -> None:
    """Without this every other test here could pass by refusing everything."""
    assert refuse_entry(a_check(), RISK) is None


@pytest.mark.parametrize(
    ("check", "refusal"),
    [
        (a_check(is_stopping=True), Refusal(Gate.STOPPING, 1, 0)),
        (a_check(is_paused=True), Refusal(Gate.PAUSED, 1, 0)),
        (a_check(now_mono_ns=10 * SECOND_NS + 50_000_000), Refusal(Gate.SIGNAL_AGE, 51.0, 50.0)),
        (a_check(a_leg(can_send=False)), Refusal(Gate.VENUE_READY, 1, 2)),
        (a_check(a_leg(other_mid_e8=0)), Refusal(Gate.LEG_PRICE, 1, 2)),
        (a_check(is_breaker_open=True, failures=4), Refusal(Gate.BREAKER, 4, 3)),
        (a_check(result_today_e8=-200 * E8), Refusal(Gate.DAILY_LOSS, 200.0, 200.0)),
        (a_check(orders_last_minute=9), Refusal(Gate.ORDERS_PER_MINUTE, 11, 10)),
        (a_check(a_leg(size_e8=E8 // 10 + 1_000)), Refusal(Gate.ORDER_NOTIONAL, 5_000.5, 5_000.0)),
        (
            a_check(a_leg(venue_notional_e8=9_001 * E8)),
            Refusal(Gate.POSITION_NOTIONAL, 10_001.0, 10_000.0),
        ),
        (a_check(a_leg(limit_price_e8=50_501 * E8)), Refusal(Gate.PRICE_COLLAR, 100.2, 100.0)),
        (a_check(a_leg(limit_price_e8=49_499 * E8)), Refusal(Gate.PRICE_COLLAR, 100.2, 100.0)),
    ],
)
def test_each_gate_says_no_with_its_value_and_limit(check: EntryCheck, refusal: Refusal) -> None:
    """An operator reads from the log what to change, so both numbers must be true."""
    assert refuse_entry(check, RISK) == refusal


def test_a_value_at_its_limit_passes() -> None:
    """Limits are inclusive, except the loss, which stops at the amount named."""
    at_limits = a_check(
        a_leg(limit_price_e8=50_000 * E8, size_e8=E8 // 10, venue_notional_e8=5_000 * E8),
        orders_last_minute=8,
        result_today_e8=-200 * E8 + 1,
        now_mono_ns=10 * SECOND_NS + 49_000_000,
    )
    assert refuse_entry(at_limits, RISK) is None


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
