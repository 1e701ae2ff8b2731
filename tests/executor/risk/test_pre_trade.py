"""The gates in front of an entry: each says no for its own reason, with value and limit."""

from __future__ import annotations

from typing import Any

import pytest

from executor.risk.pre_trade import (
    Approved,
    Entry,
    EntryLeg,
    Limits,
    Margin,
    Refused,
    check,
    check_age,
    limits_of,
)
from settings import RiskSettings
from shm.entry_block import EntryBlock
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
        opens_from_mono_ns=0,
        margin=RICH,
    )
    return leg._replace(**changes)


def an_entry(first: EntryLeg | None = None, **changes: Any) -> Entry:
    entry = Entry(
        now_mono_ns=NOW_NS,
        decided_mono_ns=NOW_NS - 1_000_000,
        expires_mono_ns=NOW_NS + 49_000_000,
        is_at_rest=True,
        orders_last_minute=0,
        net_exposure_e8=0,
        size_e8=E8 // 50,
        first=first or a_leg(),
        second=a_leg(),
    )
    return entry._replace(**changes)


class _Stopped:
    """A trading state with these reasons."""

    def __init__(self, *reasons: Refused) -> None:
        self._reasons = list(reasons)

    def refusals(self, now_mono_ns: int) -> list[Refused]:
        assert now_mono_ns > 0
        return self._reasons


def verdict_on(entry: Entry, *reasons: Refused) -> Approved | Refused:
    return check(entry, LIMITS, _Stopped(*reasons))


def test_an_ordinary_entry_passes() -> None:
    """Without this every other test here could pass by refusing everything."""
    assert isinstance(verdict_on(an_entry()), Approved)


# In the order of the gates; each by itself.
OBJECTIONS: list[tuple[Entry, Refused]] = [
    (an_entry(is_at_rest=False), Refused(EntryBlock.PAIR_STATE, 0, 1)),
    (an_entry(now_mono_ns=NOW_NS + 50_000_000), Refused(EntryBlock.SIGNAL_AGE, 51.0, 50.0)),
    (an_entry(a_leg(can_send=False)), Refused(EntryBlock.VENUE_READY, 1, 2)),
    (an_entry(a_leg(price_now_e8=0)), Refused(EntryBlock.LEG_PRICE, 1, 2)),
    (an_entry(orders_last_minute=9), Refused(EntryBlock.ORDERS_PER_MINUTE, 11, 10)),
    (an_entry(a_leg(visible_e8=9 * E8), size_e8=2 * E8), Refused(EntryBlock.ORDER_SIZE, 2.0, 1.0)),
    (an_entry(a_leg(notional_e8=5_001 * E8)), Refused(EntryBlock.ORDER_NOTIONAL, 5_001.0, 5_000.0)),
    (
        an_entry(a_leg(venue_notional_e8=9_001 * E8)),
        Refused(EntryBlock.POSITION_NOTIONAL, 10_001.0, 10_000.0),
    ),
    (an_entry(net_exposure_e8=301 * E8), Refused(EntryBlock.NET_EXPOSURE, 301.0, 300.0)),
    (
        an_entry(a_leg(margin=RICH._replace(asked_mono_ns=NOW_NS - 31 * SECOND_NS))),
        Refused(EntryBlock.MARGIN_UNKNOWN, 31.0, 30.0),
    ),
    (
        an_entry(a_leg(venue_notional_e8=2_000 * E8, margin=RICH._replace(value_e8=1_000 * E8))),
        Refused(EntryBlock.LEVERAGE, 3.0, 2.0),
    ),
    (an_entry(a_leg(margin=RICH._replace(free_e8=499 * E8))), Refused(EntryBlock.FREE_MARGIN, 499.0, 500.0)),
    (
        an_entry(a_leg(margin=RICH._replace(liquidation_distance_ppb=PPB // 10))),
        Refused(EntryBlock.LIQUIDATION, 0.1, 0.2),
    ),
    (an_entry(a_leg(visible_e8=E8 // 40)), Refused(EntryBlock.LIQUIDITY, 1.25, 2.0)),
    (an_entry(a_leg(worse_e8=25 * E8)), Refused(EntryBlock.SLIPPAGE, 5.0, 4.0)),
    (an_entry(a_leg(limit_price_e8=50_501 * E8)), Refused(EntryBlock.PRICE_COLLAR, 100.2, 100.0)),
    (an_entry(a_leg(opens_from_mono_ns=NOW_NS + 1)), Refused(EntryBlock.RATE_BUDGET, 0, 1)),
]


@pytest.mark.parametrize(("entry", "refused"), OBJECTIONS, ids=[refused.block for _, refused in OBJECTIONS])
def test_each_check_says_no_with_its_value_and_limit(entry: Entry, refused: Refused) -> None:
    """An operator reads from the log what to change, so both numbers must be true."""
    assert verdict_on(entry) == refused


@pytest.mark.parametrize("entry", [an_entry(), *(entry for entry, _ in OBJECTIONS)])
def test_what_stops_everything_is_named_before_the_entry_itself(entry: Entry) -> None:
    """The first reason of the trading state, whatever else stands against the entry."""
    first, second = Refused(EntryBlock.LEASE_LOST, 1, 0), Refused(EntryBlock.DRAWDOWN, 160.0, 150.0)
    assert verdict_on(entry, first, second) == first


def test_an_exit_is_asked_for_its_age_alone() -> None:
    assert isinstance(check_age(50, 0, 50), Approved)
    assert check_age(51_000_000, 0, 50_000_000) == Refused(EntryBlock.SIGNAL_AGE, 51.0, 50.0)


@pytest.mark.parametrize(
    ("entry", "block"),
    [
        (an_entry(second=a_leg(can_send=False)), EntryBlock.VENUE_READY),
        (an_entry(second=a_leg(price_now_e8=0)), EntryBlock.LEG_PRICE),
        (an_entry(second=a_leg(notional_e8=5_001 * E8)), EntryBlock.ORDER_NOTIONAL),
        (an_entry(second=a_leg(venue_notional_e8=9_001 * E8)), EntryBlock.POSITION_NOTIONAL),
        (an_entry(second=a_leg(margin=RICH._replace(asked_mono_ns=1))), EntryBlock.MARGIN_UNKNOWN),
        (an_entry(second=a_leg(margin=RICH._replace(value_e8=0))), EntryBlock.LEVERAGE),
        (an_entry(second=a_leg(margin=RICH._replace(free_e8=0))), EntryBlock.FREE_MARGIN),
        (an_entry(second=a_leg(margin=RICH._replace(liquidation_distance_ppb=0))), EntryBlock.LIQUIDATION),
        (an_entry(second=a_leg(visible_e8=0)), EntryBlock.LIQUIDITY),
        (an_entry(second=a_leg(worse_e8=25 * E8)), EntryBlock.SLIPPAGE),
        (an_entry(second=a_leg(limit_price_e8=49_499 * E8)), EntryBlock.PRICE_COLLAR),
        (an_entry(second=a_leg(opens_from_mono_ns=NOW_NS + 1)), EntryBlock.RATE_BUDGET),
    ],
)
def test_the_second_leg_is_asked_like_the_first(entry: Entry, block: EntryBlock) -> None:
    """Half a check would let half a pair through."""
    refused = verdict_on(entry)
    assert isinstance(refused, Refused)
    assert refused.block is block


def test_a_margin_never_told_is_not_assumed_to_be_fine() -> None:
    """Whatever its figures say: nobody has asked for them."""
    refusal = verdict_on(an_entry(a_leg(margin=RICH._replace(asked_mono_ns=0))))
    assert refusal == Refused(EntryBlock.MARGIN_UNKNOWN, -1, 30.0)


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
    at_limits = an_entry(
        leg,
        orders_last_minute=8,
        net_exposure_e8=300 * E8,
        now_mono_ns=NOW_NS + 49_000_000,
    )
    assert isinstance(verdict_on(at_limits), Approved)
    plenty = a_leg(visible_e8=2 * E8)
    assert isinstance(verdict_on(an_entry(plenty, second=plenty, size_e8=E8)), Approved)


def test_what_one_leg_gained_makes_up_for_what_the_other_lost() -> None:
    """The spread is what was to be captured, not one price."""
    entry = an_entry(a_leg(worse_e8=25 * E8), second=a_leg(worse_e8=-10 * E8))
    assert isinstance(verdict_on(entry), Approved)
