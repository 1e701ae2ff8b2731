"""The gates in front of an entry: each says no for its own reason, with value and limit."""

from __future__ import annotations

from typing import Any

import pytest

from executor.risk.pre_trade import (
    EntryCheck,
    EntryLeg,
    Limits,
    Margin,
    Refusal,
    RiskCheck,
    limits_of,
    refuse_entry,
)
from settings import RiskSettings
from venues.contract import E8

SECOND_NS = 1_000_000_000
NOW_NS = 100 * SECOND_NS
PPB = 1_000_000_000
RISK = RiskSettings.model_validate(
    {
        "max_order_notional_quote": "5000",
        "max_position_notional_quote": "10000",
        "max_daily_loss_quote": "200",
        "max_drawdown_quote": "150",
        "max_net_exposure_quote": "300",
        "max_orders_per_minute": 10,
        "max_consecutive_failures": 3,
        "price_collar_bps": 100.0,
        "max_leverage": 2.0,
        "min_liquidation_distance_ratio": 0.2,
        "max_margin_age_s": 30.0,
    }
)


def _limits(risk: RiskSettings) -> Limits:
    return limits_of(risk, size_e8_max=E8, price_band_bps=5.0, max_slippage_bps=4.0, min_liquidity_ratio=2.0)


LIMITS = _limits(RISK)
RICH = Margin(value_e8=100_000 * E8, free_e8=100_000 * E8, liquidation_distance_ppb=PPB, asked_mono_ns=NOW_NS)


def a_leg(**changes: Any) -> EntryLeg:
    leg = EntryLeg(
        notional_e8=1_000 * E8,
        venue_notional_e8=0,
        limit_price_e8=50_000 * E8,
        seen_price_e8=50_000 * E8,
        price_now_e8=50_000 * E8,
        worse_e8=0,
        visible_e8=E8,
        other_mid_e8=50_000 * E8,
        can_send=True,
        margin=RICH,
    )
    return leg._replace(**changes)


def a_check(first: EntryLeg | None = None, **changes: Any) -> EntryCheck:
    check = EntryCheck(
        limits=LIMITS,
        now_mono_ns=NOW_NS,
        decided_mono_ns=NOW_NS - 1_000_000,
        expires_mono_ns=NOW_NS + 49_000_000,
        is_killed=False,
        is_stopping=False,
        is_paused=False,
        is_at_rest=True,
        is_breaker_open=False,
        failures=0,
        orders_last_minute=0,
        result_today_e8=0,
        best_today_e8=0,
        net_exposure_e8=0,
        size_e8=E8 // 50,
        first=first or a_leg(),
        second=a_leg(),
    )
    return check._replace(**changes)


def test_an_ordinary_entry_passes() -> None:
    """Without this every other test here could pass by refusing everything."""
    assert refuse_entry(a_check()) is None


# In the order of the gates; each by itself.
OBJECTIONS: list[tuple[EntryCheck, Refusal]] = [
    (a_check(is_killed=True), Refusal(RiskCheck.KILLED, 1, 0)),
    (a_check(is_stopping=True), Refusal(RiskCheck.STOPPING, 1, 0)),
    (a_check(is_paused=True), Refusal(RiskCheck.PAUSED, 1, 0)),
    (a_check(is_at_rest=False), Refusal(RiskCheck.PAIR_STATE, 0, 1)),
    (a_check(now_mono_ns=NOW_NS + 50_000_000), Refusal(RiskCheck.SIGNAL_AGE, 51.0, 50.0)),
    (a_check(a_leg(can_send=False)), Refusal(RiskCheck.VENUE_READY, 1, 2)),
    (a_check(a_leg(price_now_e8=0)), Refusal(RiskCheck.LEG_PRICE, 1, 2)),
    (a_check(is_breaker_open=True, failures=4), Refusal(RiskCheck.BREAKER, 4, 3)),
    (a_check(result_today_e8=-200 * E8), Refusal(RiskCheck.DAILY_LOSS, 200.0, 200.0)),
    (a_check(result_today_e8=-50 * E8, best_today_e8=100 * E8), Refusal(RiskCheck.DRAWDOWN, 150.0, 150.0)),
    (a_check(orders_last_minute=9), Refusal(RiskCheck.ORDERS_PER_MINUTE, 11, 10)),
    (a_check(a_leg(visible_e8=9 * E8), size_e8=2 * E8), Refusal(RiskCheck.ORDER_SIZE, 2.0, 1.0)),
    (a_check(a_leg(notional_e8=5_001 * E8)), Refusal(RiskCheck.ORDER_NOTIONAL, 5_001.0, 5_000.0)),
    (a_check(a_leg(venue_notional_e8=9_001 * E8)), Refusal(RiskCheck.POSITION_NOTIONAL, 10_001.0, 10_000.0)),
    (a_check(net_exposure_e8=301 * E8), Refusal(RiskCheck.NET_EXPOSURE, 301.0, 300.0)),
    (
        a_check(a_leg(margin=RICH._replace(asked_mono_ns=NOW_NS - 31 * SECOND_NS))),
        Refusal(RiskCheck.MARGIN_KNOWN, 31.0, 30.0),
    ),
    (
        a_check(a_leg(venue_notional_e8=2_000 * E8, margin=RICH._replace(value_e8=1_000 * E8))),
        Refusal(RiskCheck.LEVERAGE, 3.0, 2.0),
    ),
    (a_check(a_leg(margin=RICH._replace(free_e8=499 * E8))), Refusal(RiskCheck.FREE_MARGIN, 499.0, 500.0)),
    (
        a_check(a_leg(margin=RICH._replace(liquidation_distance_ppb=PPB // 10))),
        Refusal(RiskCheck.LIQUIDATION, 0.1, 0.2),
    ),
    (a_check(a_leg(visible_e8=E8 // 40)), Refusal(RiskCheck.LIQUIDITY, 1.25, 2.0)),
    (a_check(a_leg(worse_e8=25 * E8)), Refusal(RiskCheck.SLIPPAGE, 5.0, 4.0)),
    (a_check(a_leg(limit_price_e8=50_501 * E8)), Refusal(RiskCheck.PRICE_COLLAR, 100.2, 100.0)),
]


def test_every_gate_has_an_objection_here() -> None:
    """But for the one that asks the venues' budgets themselves: see test_rate_budget.py."""
    assert {refusal.gate for _, refusal in OBJECTIONS} == set(RiskCheck) - {RiskCheck.RATE_BUDGET}


@pytest.mark.parametrize(("check", "refusal"), OBJECTIONS, ids=[refusal.gate for _, refusal in OBJECTIONS])
def test_each_gate_says_no_with_its_value_and_limit(check: EntryCheck, refusal: Refusal) -> None:
    """An operator reads from the log what to change, so both numbers must be true."""
    assert refuse_entry(check) == refusal


@pytest.mark.parametrize(
    ("check", "gate"),
    [
        (a_check(second=a_leg(can_send=False)), RiskCheck.VENUE_READY),
        (a_check(second=a_leg(price_now_e8=0)), RiskCheck.LEG_PRICE),
        (a_check(second=a_leg(notional_e8=5_001 * E8)), RiskCheck.ORDER_NOTIONAL),
        (a_check(second=a_leg(venue_notional_e8=9_001 * E8)), RiskCheck.POSITION_NOTIONAL),
        (a_check(second=a_leg(margin=RICH._replace(asked_mono_ns=1))), RiskCheck.MARGIN_KNOWN),
        (a_check(second=a_leg(margin=RICH._replace(value_e8=0))), RiskCheck.LEVERAGE),
        (a_check(second=a_leg(margin=RICH._replace(free_e8=0))), RiskCheck.FREE_MARGIN),
        (a_check(second=a_leg(margin=RICH._replace(liquidation_distance_ppb=0))), RiskCheck.LIQUIDATION),
        (a_check(second=a_leg(visible_e8=0)), RiskCheck.LIQUIDITY),
        (a_check(second=a_leg(worse_e8=25 * E8)), RiskCheck.SLIPPAGE),
        (a_check(second=a_leg(limit_price_e8=49_499 * E8)), RiskCheck.PRICE_COLLAR),
    ],
)
def test_the_second_leg_is_asked_like_the_first(check: EntryCheck, gate: RiskCheck) -> None:
    """Half a check would let half a pair through."""
    refusal = refuse_entry(check)
    assert refusal is not None
    assert refusal.gate is gate


def test_a_margin_never_told_is_not_assumed_to_be_fine() -> None:
    """Whatever its figures say: nobody has asked for them."""
    refusal = refuse_entry(a_check(a_leg(margin=RICH._replace(asked_mono_ns=0))))
    assert refusal == Refusal(RiskCheck.MARGIN_KNOWN, -1, 30.0)


def test_a_value_at_its_limit_passes() -> None:
    """Limits are inclusive, except the losses, which stop at the amount named."""
    leg = a_leg(
        notional_e8=5_000 * E8,
        venue_notional_e8=5_000 * E8,
        worse_e8=20 * E8,
        visible_e8=E8 // 25,
        limit_price_e8=50_500 * E8,
        margin=Margin(5_000 * E8, 2_500 * E8, PPB // 5, NOW_NS + 49_000_000 - 30 * SECOND_NS),
    )
    at_limits = a_check(
        leg,
        orders_last_minute=8,
        result_today_e8=-150 * E8 + 1,
        net_exposure_e8=300 * E8,
        now_mono_ns=NOW_NS + 49_000_000,
    )
    assert refuse_entry(at_limits) is None
    plenty = a_leg(visible_e8=2 * E8)
    assert refuse_entry(a_check(plenty, second=plenty, size_e8=E8)) is None


def test_what_one_leg_gained_makes_up_for_what_the_other_lost() -> None:
    """The spread is what was to be captured, not one price."""
    check = a_check(a_leg(worse_e8=25 * E8), second=a_leg(worse_e8=-10 * E8))
    assert refuse_entry(check) is None


def test_without_a_drawdown_limit_the_daily_loss_is_it() -> None:
    """A limit nobody wrote down is not unlimited."""
    risk = RISK.model_copy(update={"max_drawdown_quote_e8": None})
    assert _limits(risk).drawdown_e8 == 200 * E8
