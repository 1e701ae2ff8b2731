"""Settings and instruments resolved to the numbers the gates compare; the arithmetic below them."""

from __future__ import annotations

from typing import Any

import pytest

from detector.layers import Layer, SizeError
from detector.liquidity import size_within_e8
from detector.rules import Rules, rules_for
from detector.spreads import entry_spread_bps, exit_spread_bps, net_edge_bps
from settings import parse_settings
from tests.detector.builders import MS, an_instrument, e8
from tests.detector.instance import RAW_SETTINGS
from venues.contract import Side


def resolved(**changes: Any) -> Rules:
    """The rules of pair 1; pair 0 is another asset."""
    pair = RAW_SETTINGS["pairs"][0]
    other = {
        **pair,
        "id": "eth",
        "base": "ETH",
        "size_base": "14",
        "legs": {"vest": "ETH-PERP", "paradex": "ETH-USD-PERP"},
    }
    raw = {**RAW_SETTINGS, "pairs": [pair, other], **changes}
    instruments = [
        an_instrument(number, ("vest", "paradex")[number % 2], taker_fee_bps=1.0 + number)
        for number in range(4)
    ]
    return rules_for(parse_settings(raw, "test"), 1, instruments)


def test_fees_are_four_taker_orders_at_the_published_rates() -> None:
    """Instruments 2 and 3 publish 3 and 4 bps: in and out makes 14."""
    assert resolved().fees_bps == 14.0


def test_a_configured_fee_overrides_the_published_one() -> None:
    """An account may pay less than the venue publishes; the other leg stays as published."""
    assert resolved(venues={"vest": {"taker_fee_bps": 0.5}}).fees_bps == 9.0


def test_times_become_nanoseconds_and_the_band_is_the_executors() -> None:
    """Every unit of the file, in the one unit of the clock."""
    strategy = {
        "entry_bps": 10.0,
        "exit_bps": -1.0,
        "max_quote_age_ms": 250.0,
        "max_leg_skew_ms": 100.0,
        "cooldown_ms": 500.0,
        "max_hold_s": 60.0,
        "signal_ttl_ms": 50.0,
    }
    pairs = [{**RAW_SETTINGS["pairs"][0], "strategy": strategy}]
    raw = {**RAW_SETTINGS, "pairs": pairs, "execution": {"price_band_bps": 3.0}}

    rules = rules_for(parse_settings(raw, "test"), 0, [an_instrument(), an_instrument(1, "paradex")])

    assert rules.quote_age_ns_max == 250 * MS
    assert rules.leg_skew_ns_max == 100 * MS
    assert rules.cooldown_ns == 500 * MS
    assert rules.hold_ns_max == 60_000 * MS
    assert rules.signal_ttl_ns == 50 * MS
    assert rules.reach_bps == 3.0
    assert rules.exit_bps == -1.0


def test_layers_come_from_the_pairs_own_section() -> None:
    """Three layers between entry and entry_max, the whole of size_base."""
    strategy = {"entry_bps": 10.0, "exit_bps": 0.0, "entry_max_bps": 20.0, "layers": 3}
    pairs = [{**RAW_SETTINGS["pairs"][0], "size_base": "14", "strategy": strategy}]
    raw = {**RAW_SETTINGS, "pairs": pairs}

    rules = rules_for(parse_settings(raw, "test"), 0, [an_instrument(), an_instrument(1, "paradex")])

    assert rules.layers == (Layer(10, e8(1)), Layer(15, e8(4)), Layer(20, e8(9)))


def test_spreads_are_over_the_price_bought_at() -> None:
    """Buy at 100, sell at 101: 100 bps in; the same prices the other way round: 100 bps back."""
    assert entry_spread_bps(e8(100), e8(101)) == 100.0
    assert entry_spread_bps(e8(101), e8(100)) == pytest.approx(-99.0099, abs=1e-4)
    assert exit_spread_bps(e8(100), e8(101)) == 100.0
    assert exit_spread_bps(e8(101), e8(100)) == pytest.approx(-99.0099, abs=1e-4)
    assert net_edge_bps(20.0, 14.0, 2.5) == 3.5


@pytest.mark.parametrize(
    ("side", "prices"), [(Side.BUY, (100.0, 100.01, 100.02)), (Side.SELL, (100.0, 99.99, 99.98))]
)
def test_depth_counts_up_to_and_with_the_limit(side: Side, prices: tuple[float, ...]) -> None:
    """Levels 0, 1 and 2 bps from the touch: a limit order takes what lies at its price."""
    levels = [(e8(price), e8(1)) for price in prices]
    assert size_within_e8(levels, side, e8(100), 1.0) == e8(2)
    assert size_within_e8(levels, side, e8(100), 0.99) == e8(1)
    assert size_within_e8([], side, e8(100), 1.0) == 0


def test_a_suspended_pair_has_rules_though_its_size_does_not_fit() -> None:
    """What it holds may have to be closed; the executor sees to it that nothing is opened."""
    instruments = [an_instrument(), an_instrument(1, "paradex", lot_e8=10**20, min_size_e8=10**20)]
    settings = parse_settings(RAW_SETTINGS, "test")
    with pytest.raises(SizeError):
        rules_for(settings, 0, instruments)
    assert rules_for(settings, 0, instruments, is_suspended=True).is_suspended
