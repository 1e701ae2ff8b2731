"""Prices in two currencies are not compared unless somebody said how they compare."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import PROJECT, Settings, SettingsError, parse_settings
from supervision.checks import check_mode
from supervision.preflight import quote_problems
from venues.registry import venue

ARGUMENTS = argparse.Namespace(live=False, env_file=Path("none.env"), config=Path("config.yaml"))


def some_settings(legs: dict[str, str], quote: dict[str, Any] | None) -> Settings:
    raw = yaml.safe_load((PROJECT / "config.yaml").read_text())
    raw["pairs"] = [{"id": "btc", "base": "BTC", "legs": legs, "size_base": "0.02"}]
    raw["quote"] = quote
    if quote is None:
        del raw["quote"]
    return parse_settings(raw, "config.yaml")


VEST, PARADEX, OTHER = {"vest": "BTC-PERP"}, {"paradex": "BTC-USD-PERP"}, {"hyperliquid": "BTC"}


@pytest.mark.parametrize("legs", [{**VEST, **PARADEX}, {**PARADEX, **OTHER}])
def test_a_pair_whose_legs_differ_is_refused_until_it_is_said_how_they_compare(legs: dict[str, str]) -> None:
    """Silence would be an error of one to ten basis points in every spread."""
    with pytest.raises(SettingsError) as refused:
        check_mode(some_settings(legs, None), ARGUMENTS)
    text = str(refused.value)
    assert "pairs[0].legs" in text
    assert "paradex in USD" in text
    assert "quote: {usdc_per_usd: par}" in text

    check_mode(some_settings(legs, {"usdc_per_usd": "par"}), ARGUMENTS)
    check_mode(some_settings(legs, {"usd_per_usdc": "par"}), ARGUMENTS)
    with pytest.raises(SettingsError):
        check_mode(some_settings(legs, {"usdt_per_usd": "par"}), ARGUMENTS)


def test_legs_in_one_currency_need_no_word() -> None:
    check_mode(some_settings({**VEST, **OTHER}, None), ARGUMENTS)


def test_an_instrument_that_the_venue_prices_otherwise_is_found_at_the_start() -> None:
    """A venue's own word for one of its contracts wins."""
    settings = some_settings({**VEST, **OTHER}, None)
    [problem] = quote_problems(settings, 0, ("USDC", "USDT"))
    assert "quote: {" in problem.allowed
    assert quote_problems(settings, 0, ("USDC", "USDC")) == []


@pytest.mark.parametrize(
    "quote", [{"usdc_per_usd": "1.0"}, {"usdc_per_usd": 1.0}, {"usdc": "par"}, {"USDC_per_USD": "par"}]
)
def test_another_comparison_is_named_as_the_key_it_is(quote: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="quote"):
        some_settings({**VEST, **PARADEX}, quote)


def test_every_venue_says_what_its_prices_are_in() -> None:
    assert {name: venue(name).quote for name in ("vest", "paradex", "hyperliquid")} == {
        "vest": "USDC",
        "paradex": "USD",
        "hyperliquid": "USDC",
    }
