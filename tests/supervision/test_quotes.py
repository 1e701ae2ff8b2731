"""Prices in two currencies are not compared unless somebody said how they compare."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.quote_rate import QuoteRate, quote_rate
from settings import PROJECT, Leg, Settings, SettingsError, parse_settings
from supervision.checks import check_mode
from supervision.preflight import quote_problems, rate_problems
from tests.executor.pair.model import an_instrument
from venues.contract import E8
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


LIVE = {"venue": "paradex", "symbol": "USDC-USD-PERP"}


@pytest.mark.parametrize(
    ("legs", "name", "inverse", "is_inverse"),
    [
        ({**VEST, **PARADEX}, "usd_per_usdc", False, True),  # USDC of one USD is asked for
        ({**VEST, **PARADEX}, "usdc_per_usd", True, True),
        ({**PARADEX, **OTHER}, "usd_per_usdc", False, False),
        ({**PARADEX, **OTHER}, "usdc_per_usd", True, False),
    ],
)
def test_a_live_rate_is_what_the_second_currency_is_worth_in_the_first(
    legs: dict[str, str], name: str, inverse: bool, is_inverse: bool
) -> None:
    """The instrument's price is dollars of a USDC, whatever the key is called."""
    settings = some_settings(legs, {name: {**LIVE, "inverse": inverse}})
    check_mode(settings, ARGUMENTS)
    first, second = (
        an_instrument(number)._replace(quote=venue(leg.venue).quote)
        for number, leg in enumerate(settings.legs)
    )
    rate = quote_rate(settings, first, second)
    assert rate == QuoteRate(2, "paradex", is_inverse, 60_000_000_000, E8 // 20)
    assert rate.value_e8(97 * E8 // 100, 99 * E8 // 100) == (102_040_816 if is_inverse else 98_000_000)
    assert settings.watched[2] == ("paradex", "USDC-USD-PERP")
    own = settings.legs.index(Leg("paradex", "BTC-USD-PERP"))
    assert settings.watched_ids("paradex") == {"BTC-USD-PERP": own, "USDC-USD-PERP": 2}
    assert "USDC-USD-PERP" not in settings.instrument_ids("paradex")
    assert quote_rate(settings, first, first) is None


@pytest.mark.parametrize(
    ("quote", "text"),
    [
        ({"usdc_per_usd": {**LIVE, "venue": "hyperliquid"}}, "is no venue of the pairs"),
        ({"usdc_per_usd": {**LIVE, "symbol": "BTC-USD-PERP"}}, "is a leg of 'btc', too"),
        (
            {"usdc_per_usd": LIVE, "usd_per_usdc": "par"},
            "quote.usd_per_usdc says what quote.usdc_per_usd says",
        ),
        ({"usd_per_usd": "par"}, "one currency alone"),
        ({"usdc_per_usd": LIVE, "usdt_per_usd": LIVE}, "two rates are the price of one instrument"),
        ({"usdc_per_usd": {**LIVE, "max_age_ms": 0}}, "quote.usdc_per_usd.max_age_ms"),
        ({"usdc_per_usd": {**LIVE, "maximum": 0}}, "unknown key"),
        ({"usdc_per_usd": "live"}, "must be par, or an instrument whose price it is"),
    ],
)
def test_a_live_rate_that_cannot_be_is_refused_with_the_remedy(quote: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(text)):
        some_settings({**VEST, **PARADEX}, quote)


def test_an_instrument_whose_price_is_the_other_rate_is_found_at_the_start() -> None:
    """Its venue says what its price is in."""
    found = {2: an_instrument(1, base="USDC", quote="USD")}
    for name, inverse, remedy in (
        ("usdc_per_usd", False, "set inverse: true"),
        ("usd_per_usdc", True, "set inverse: false"),
        ("usdc_per_usdt", False, "name one in USDC, or one in USDT with inverse"),
    ):
        settings = some_settings({**VEST, **PARADEX}, {name: {**LIVE, "inverse": inverse}})
        (problem,) = rate_problems(settings, found)
        assert (problem.key, problem.value) == (f"quote.{name}", "paradex:USDC-USD-PERP")
        assert remedy in problem.allowed
    settings = some_settings({**VEST, **PARADEX}, {"usd_per_usdc": LIVE})
    assert rate_problems(settings, found) == rate_problems(settings, {}) == []
    (problem,) = rate_problems(settings, {2: found[2]._replace(is_delisted=True)})
    assert "listed no more" in problem.allowed


def test_every_venue_says_what_its_prices_are_in() -> None:
    assert {name: venue(name).quote for name in ("vest", "paradex", "hyperliquid")} == {
        "vest": "USDC",
        "paradex": "USD",
        "hyperliquid": "USDC",
    }
