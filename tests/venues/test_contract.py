"""Decimals pass through exactly or not at all, and an order off the grid never leaves."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from venues.contract import (
    E8,
    Instrument,
    OffGrid,
    OrderRequest,
    Side,
    TimeInForce,
    check_grid,
    format_e8,
    parse_e8,
)

INT64_MAX = 2**63 - 1

BTC = Instrument(
    instrument_id=1,
    venue="vest",
    symbol="BTC-PERP",
    base="BTC",
    tick_e8=10**7,
    lot_e8=10**4,
    min_size_e8=3 * 10**4,
    min_notional_e8=10 * E8,
    max_size_e8=100 * E8,
    price_decimals=1,
    size_decimals=4,
    taker_fee_bps=1.0,
    is_trading=True,
)


def an_order(**changes: Any) -> OrderRequest:
    """Buy 0.1 at 90000: on the grid."""
    order = OrderRequest(1, BTC, Side.BUY, E8 // 10, 90_000 * E8, False, TimeInForce.FOK)
    return order._replace(**changes)


@pytest.mark.parametrize(
    ("text", "value_e8"),
    [
        ("0", 0),
        ("1", E8),
        ("-1", -E8),
        ("0.00000001", 1),
        ("-0.00000001", -1),
        ("31478.75", 3_147_875_000_000),
        ("0.1000", 10_000_000),
        ("1.230000000000", 123_000_000),
        ("0.29", 29_000_000),  # 0.29 * 10**8 is 28999999.999999996 in binary
        ("92233720368.54775807", INT64_MAX),
        ("-92233720368.54775807", -INT64_MAX),
        ("007", 7 * E8),
    ],
)
def test_a_decimal_is_read_digit_by_digit(text: str, value_e8: int) -> None:
    assert parse_e8(text) == value_e8


@pytest.mark.parametrize(
    "text",
    ["", "-", ".", ".5", "5.", "+1", "--1", "1e5", "1E5", "NaN", "inf", "Infinity", " 1", "1 ", "1_000",
     "1,5", "0x10", "1.2.3", "1.-5", "٣", "1.٣", "²", "1\n", "0.000000001", "1.123456789"],
)  # fmt: skip
def test_anything_but_a_plain_decimal_is_refused(text: str) -> None:
    """int() and float() would take several of these."""
    with pytest.raises(ValueError, match=r"not a plain decimal|eight decimals"):
        parse_e8(text)


@pytest.mark.parametrize(
    "text", ["92233720368.54775808", "-92233720368.54775808", "999999999999", "9" * 5000]
)
def test_what_does_not_fit_sixty_four_bits_is_refused(text: str) -> None:
    """Shared memory holds 64 bits: a larger number would only fail there, far from its cause."""
    with pytest.raises(ValueError, match="does not fit 64 bits") as caught:
        parse_e8(text)
    assert len(str(caught.value)) < 120


@given(st.text(alphabet="0123456789.-+eE _٣", max_size=24) | st.text(max_size=12))
def test_any_text_is_the_exact_value_or_a_value_error(text: str) -> None:
    try:
        value_e8 = parse_e8(text)
    except ValueError:
        return
    assert Decimal(value_e8) == Decimal(text) * E8
    assert abs(value_e8) <= INT64_MAX


@given(st.integers(-INT64_MAX, INT64_MAX))
def test_formatting_with_eight_decimals_comes_back_unchanged(value_e8: int) -> None:
    assert parse_e8(format_e8(value_e8, 8)) == value_e8


@given(st.integers(-INT64_MAX, INT64_MAX), st.integers(0, 8))
def test_formatting_is_exact_and_padded_or_refused(value_e8: int, decimals: int) -> None:
    """A dropped digit would be another order than the one decided on."""
    if value_e8 % 10 ** (8 - decimals):
        with pytest.raises(ValueError, match=f"more than {decimals} decimals"):
            format_e8(value_e8, decimals)
        return
    text = format_e8(value_e8, decimals)
    assert Decimal(text) * E8 == value_e8
    assert len(text.partition(".")[2]) == decimals


@pytest.mark.parametrize(
    ("value_e8", "decimals", "text"),
    [
        (10_000_000, 4, "0.1000"),
        (9_000_000_000_000, 2, "90000.00"),
        (5 * E8, 0, "5"),
        (-150_000_000, 3, "-1.500"),
    ],
)
def test_texts_are_what_the_venues_document(value_e8: int, decimals: int, text: str) -> None:
    assert format_e8(value_e8, decimals) == text


def test_an_order_on_the_grid_passes() -> None:
    check_grid(an_order())
    check_grid(an_order(size_e8=BTC.max_size_e8))
    check_grid(an_order(size_e8=BTC.min_size_e8))


@pytest.mark.parametrize(
    ("changes", "field", "rule"),
    [
        ({"limit_price_e8": 90_000 * E8 + 1}, "price", "multiple of the tick 0.1"),
        ({"limit_price_e8": 0}, "price", "tick"),
        ({"limit_price_e8": -(10**7)}, "price", "tick"),
        ({"size_e8": E8 // 10 + 1}, "size", "multiple of the lot 0.0001"),
        ({"size_e8": 0}, "size", "lot"),
        ({"size_e8": -(10**4)}, "size", "lot"),
        ({"size_e8": 2 * 10**4}, "size", "below the minimum 0.0003"),
        ({"size_e8": 100 * E8 + 10**4}, "size", "above the maximum 100"),
        ({"limit_price_e8": 99 * E8}, "notional", "below the minimum 10.00"),
    ],
)
def test_an_order_off_the_grid_names_the_rule_it_breaks(changes: Any, field: str, rule: str) -> None:
    with pytest.raises(OffGrid, match=rule) as caught:
        check_grid(an_order(**changes))
    assert caught.value.field == field
    assert "vest BTC-PERP" in str(caught.value)


def test_a_reduce_only_order_may_be_below_the_minimum_notional() -> None:
    """It closes a remainder the minimum would otherwise leave standing."""
    check_grid(an_order(limit_price_e8=99 * E8, reduce_only=True))


def test_a_venue_that_states_no_maximum_has_none() -> None:
    check_grid(an_order(size_e8=10**6 * E8, instrument=BTC._replace(max_size_e8=0)))


VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "hyperliquid_vectors.json").read_text())
GRIDS = VECTORS["price_grid"]


def a_grid_of_figures(market: str, size_decimals: int) -> Instrument:
    """Five figures; at most 6 (perpetuals) or 8 (spot) decimals less those of sizes."""
    decimals = {"perp": 6, "spot": 8}[market] - size_decimals
    return BTC._replace(
        tick_e8=10 ** (8 - decimals),
        lot_e8=10 ** (8 - size_decimals),
        min_size_e8=10 ** (8 - size_decimals),
        min_notional_e8=0,
        max_size_e8=0,
        significant_figures=5,
    )


@pytest.mark.parametrize(
    "case", GRIDS, ids=lambda case: f"{case['market']}{case['szDecimals']}-{case['price']}"
)
def test_a_grid_of_significant_figures_is_the_venues_own(case: dict[str, Any]) -> None:
    """The step depends on the price, and whole numbers are always prices."""
    grid, price_e8 = a_grid_of_figures(case["market"], case["szDecimals"]), int(Decimal(case["price"]) * E8)
    if price_e8:
        assert grid.price_step_e8(price_e8) == int(Decimal(case["tick_at_this_price"]) * E8)
    order = an_order(instrument=grid, limit_price_e8=price_e8, size_e8=E8)
    if case["valid"]:
        check_grid(order)
    else:
        with pytest.raises(OffGrid):
            check_grid(order)


@given(st.integers(1, 10**16), st.integers(0, 5), st.sampled_from(["perp", "spot"]))
def test_rounding_ends_on_the_grid_and_next_to_the_price(price_e8: int, decimals: int, market: str) -> None:
    """Across a power of ten, too, where the step changes."""
    grid = a_grid_of_figures(market, decimals)
    down_e8, up_e8 = grid.price_down_e8(price_e8), grid.price_up_e8(price_e8)
    assert down_e8 <= price_e8 <= up_e8
    for rounded_e8 in (down_e8, up_e8):
        if rounded_e8:
            assert rounded_e8 % grid.price_step_e8(rounded_e8) == 0
    if down_e8 != up_e8:
        assert up_e8 - down_e8 == grid.price_step_e8(price_e8)
