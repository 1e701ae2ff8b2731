"""What the venues say of contracts, grids and fees is held against the configuration before a start."""

from __future__ import annotations

from typing import Any

import pytest

from settings import E8, Problem, parse_settings
from supervision.preflight import notional_problems, pair_problems, unpaid_costs
from supervision.same_asset import unit_of
from tests.test_settings import a_config, a_pair
from venues.contract import Instrument


def an_instrument(number: int, base: str = "BTC", **changes: Any) -> Instrument:
    venue, symbol = (("vest", "BTC-PERP"), ("paradex", "BTC-USD-PERP"))[number]
    lot_e8 = E8 // 1_000
    instrument = Instrument(number, venue, symbol, base, 1_000, lot_e8, lot_e8, 0, 0, 2, 3, 1.0, True)
    return instrument._replace(**changes)


def problems_of(bases: tuple[str, str], **changes: Any) -> list[Problem]:
    settings = parse_settings(a_config(pairs=[a_pair(**changes)]), "t")
    return pair_problems(0, settings.pairs[0], an_instrument(0, bases[0]), an_instrument(1, bases[1]))


def test_one_asset_by_every_name_is_a_pair() -> None:
    assert problems_of(("BTC", "BTC")) == []


@pytest.mark.parametrize(
    ("bases", "changes", "key", "logged"),
    [
        (("ETH", "BTC"), {}, "pairs[0].legs", "not the same asset"),
        (("BTC", "btc"), {}, "pairs[0].legs", "not the same asset"),
        (("ETH", "ETH"), {}, "pairs[0].base", "is not what the venues say"),
        (("BTC", "BTC"), {"base": "PEPE"}, "pairs[0].base", "is not what the venues say"),
        (("1000PEPE", "kPEPE"), {"base": "PEPE"}, "pairs[0].legs", "leg_bases: [1000PEPE, kPEPE]"),
        (("1000PEPE", "PEPE"), {"base": "PEPE"}, "pairs[0].legs", "no hedge"),
        (("1000PEPE", "PEPE"), {"leg_bases": ["1000PEPE", "PEPE"]}, "pairs[0].legs", "no hedge"),
        (("1000000MOG", "kMOG"), {"leg_bases": ["1000000MOG", "kMOG"]}, "pairs[0].legs", "no hedge"),
        (("XBT", "BTC"), {}, "pairs[0].legs", "leg_bases: [XBT, BTC]"),
        (("XBT", "BTC"), {"leg_bases": ["BTC", "XBT"]}, "pairs[0].leg_bases", "in the order of the legs"),
        (("BTC", "BTC"), {"leg_bases": ["ETH", "ETH"]}, "pairs[0].leg_bases", "must be what the venues say"),
        (("BTC\u200b", "BTC"), {}, "pairs[0].legs", "not the same asset"),
    ],
)
def test_legs_that_are_no_hedge_are_refused_with_both_names(
    bases: tuple[str, str], changes: dict[str, Any], key: str, logged: str
) -> None:
    problems = problems_of(bases, **changes)

    assert [problem.key for problem in problems] == [key]
    assert logged in problems[0].allowed
    assert all(base in str(problems[0]) for base in bases)


@pytest.mark.parametrize(
    ("bases", "base"), [(("1000PEPE", "kPEPE"), "PEPE"), (("XBT", "BTC"), "BTC"), (("BTC", "BTC"), "BTC")]
)
def test_the_operator_can_say_that_two_names_mean_one_asset(bases: tuple[str, str], base: str) -> None:
    assert problems_of(bases, base=base, leg_bases=list(bases)) == []


@pytest.mark.parametrize(
    ("base", "unit"),
    [
        *(("BTC", ("BTC", 1)), ("1000PEPE", ("PEPE", 1_000)), ("10000SATS", ("SATS", 10_000))),
        *(("kPEPE", ("PEPE", 1_000)), ("1MBABYDOGE", ("BABYDOGE", 1_000_000)), ("1INCH", ("1INCH", 1))),
        *(("KAS", ("KAS", 1)), ("kava", ("kava", 1)), ("1000", ("1000", 1)), ("100X", ("X", 100))),
    ],
)
def test_names_say_how_much_one_contract_is(base: str, unit: tuple[str, int]) -> None:
    assert unit_of(base) == unit


def test_everything_wrong_with_a_pair_is_listed_together() -> None:
    settings = parse_settings(a_config(pairs=[a_pair(size_base="0.0005")]), "t")
    legs = an_instrument(0, "ETH", is_trading=False), an_instrument(1)

    keys = [problem.key for problem in pair_problems(0, settings.pairs[0], *legs)]

    assert keys == ["pairs[0].legs", "pairs[0].legs.vest", "pairs[0].size_base"]


def test_a_size_whose_smallest_layer_is_worth_too_little_is_refused() -> None:
    layers = {"entry_bps": 8.0, "exit_bps": 1.0, "layers": 3, "entry_max_bps": 20.0}
    settings = parse_settings(a_config(strategy=layers, pairs=[a_pair(size_base="0.014")]), "t")
    legs = an_instrument(0, min_notional_e8=100 * E8), an_instrument(1, min_notional_e8=10 * E8)
    bids_e8 = {0: 60_000 * E8, 1: 60_000 * E8}

    problems = notional_problems(0, settings.pairs[0], legs, bids_e8)

    assert [problem.key for problem in problems] == ["pairs[0].size_base"]
    assert "makes orders with 3 layers of 60.00 at vest, whose smallest is 100.00" in problems[0].allowed
    assert notional_problems(0, settings.pairs[0], legs, {}) == []


@pytest.mark.parametrize(
    ("entry_bps", "exit_bps", "logged"),
    [(8.0, 1.0, "above entry_bps 8"), (11.5, 1.0, "a trade gains 10.5"), (12.5, 1.0, "")],
)
def test_thresholds_that_do_not_pay_the_fees_are_named(
    entry_bps: float, exit_bps: float, logged: str
) -> None:
    """Paradex 4.5 and Vest 1 bps, each paid going in and coming out, make 11."""
    settings = parse_settings(a_config(strategy={"entry_bps": entry_bps, "exit_bps": exit_bps}), "t")
    legs = an_instrument(0, taker_fee_bps=1.0), an_instrument(1, taker_fee_bps=4.5)

    found = unpaid_costs(settings, legs)

    assert [item.fees_bps for item in found] == ([11.0] if logged else [])
    assert all(logged in item.detail for item in found)
