"""What an operator may write, and what they are told when it is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import E8, PROJECT, SettingsError, load_raw, parse_settings, read_secrets


def a_config(**changes: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "version": 1,
        "mode": "sim",
        "bot_id": "t1",
        "pairs": [
            {
                "id": "btc",
                "base": "BTC",
                "legs": {"vest": "BTC-PERP", "paradex": "BTC-USD-PERP"},
                "size_base": "0.01",
            }
        ],
        "strategy": {"entry_bps": 8.0, "exit_bps": 1.0},
        "risk": {
            "max_order_notional_quote": "1000",
            "max_position_notional_quote": "2000",
            "max_daily_loss_quote": "50",
        },
    }
    config.update(changes)
    return config


def a_pair(**changes: Any) -> dict[str, Any]:
    pair: dict[str, Any] = dict(a_config()["pairs"][0])
    pair.update(changes)
    return pair


def problems_of(config: object) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(config, "test.yaml")
    return {problem.key: f"{problem.value}: {problem.allowed}" for problem in caught.value.problems}


def test_the_shipped_configuration_is_valid() -> None:
    settings = parse_settings(load_raw(PROJECT / "config.yaml"), "config.yaml")

    assert settings.mode == "sim"
    assert settings.pairs[0].size_base_e8 == 2 * E8 // 100
    assert settings.pairs[1].strategy.entry_bps > settings.pairs[0].strategy.entry_bps
    assert settings.pairs[1].strategy.max_quote_age_ms == settings.pairs[0].strategy.max_quote_age_ms


def test_amounts_become_integers_without_passing_a_float() -> None:
    """0.07 has no exact binary form; its eighth decimal must survive."""
    settings = parse_settings(a_config(pairs=[a_pair(size_base="1234567.07000001")]), "test.yaml")

    assert settings.pairs[0].size_base_e8 == 123456707000001


def test_settings_cannot_be_changed() -> None:
    settings = parse_settings(a_config(), "test.yaml")

    with pytest.raises(ValueError, match="frozen"):
        settings.mode = "live"


@pytest.mark.parametrize(
    ("config", "key", "logged"),
    [
        (a_config(mode="real"), "mode", "'real'"),
        (a_config(surprise=1), "surprise", "unknown key"),
        (
            a_config(strategy={"entry_bps": 8.0, "exit_bps": 1.0, "entry_pct": 1}),
            "pairs[0].strategy.entry_pct",
            "unknown",
        ),
        (
            a_config(strategy={"entry_bps": float("nan"), "exit_bps": 1.0}),
            "pairs[0].strategy.entry_bps",
            "finite",
        ),
        (
            a_config(strategy={"entry_bps": float("inf"), "exit_bps": 1.0}),
            "pairs[0].strategy.entry_bps",
            "finite",
        ),
        (a_config(strategy={"entry_bps": 1.0, "exit_bps": 2.0}), "pairs[0].strategy", "above exit_bps"),
        (a_config(strategy={"entry_bps": "8", "exit_bps": 1.0}), "pairs[0].strategy.entry_bps", "number"),
        (a_config(strategy={"exit_bps": 1.0}), "pairs[0].strategy.entry_bps", "missing"),
        (a_config(pairs=[]), "pairs", "1 to 64"),
        (a_config(pairs=[a_pair(size_base=0.01)]), "pairs[0].size_base", "quoted decimal"),
        (a_config(pairs=[a_pair(size_base="NaN")]), "pairs[0].size_base", "finite"),
        (a_config(pairs=[a_pair(size_base="Infinity")]), "pairs[0].size_base", "finite"),
        (a_config(pairs=[a_pair(size_base="0.000000001")]), "pairs[0].size_base", "eight decimals"),
        (a_config(pairs=[a_pair(size_base="0")]), "pairs[0].size_base", "greater than 0"),
        (a_config(pairs=[a_pair(size_base="-1")]), "pairs[0].size_base", "at least 0"),
        (a_config(pairs=[a_pair(legs=["vest:X", "vest:X"])]), "pairs[0].legs", "must differ"),
        (a_config(pairs=[a_pair(legs={"vest": "X"})]), "pairs[0].legs", "exactly two"),
        (a_config(pairs=[a_pair(legs={"vest": "X", "mars": "X"})]), "pairs[0].legs", "'mars' is unknown"),
        (a_config(pairs=[a_pair(), a_pair(legs={"vest": "A", "paradex": "B"})]), "pairs", "ids must differ"),
        (a_config(pairs=[a_pair(), a_pair(id="two")]), "pairs", "leg of both"),
        (a_config(venues={"vest": {"rest_url": "http://example.com"}}), "venues.vest.rest_url", "https://"),
        (
            a_config(venues={"vest": {"rest_url": "https://me:hunter2@example.com"}}),
            "venues.vest.rest_url",
            "no user or password",
        ),
        (a_config(venues={"mars": {}}), "venues", "unknown"),
        (a_config(runtime={"ring_cells": 1000}), "runtime.ring_cells", "power of two"),
        (a_config(runtime={"pin": {"detectr": 1}}), "runtime.pin", "'detectr' is no process"),
        (a_config(simulator={"ports": {"vest": 70000}}), "simulator.ports.vest", "65535"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_is_allowed(
    config: object, key: str, logged: str
) -> None:
    problems = problems_of(config)

    assert list(problems) == [key]
    assert logged in problems[key]


def test_every_problem_is_reported_at_once() -> None:
    """Correcting one error per start would take an operator all evening."""
    problems = problems_of(a_config(mode="x", bot_id="UPPER", surprise=1, version=2))

    assert set(problems) == {"mode", "bot_id", "surprise", "version"}


def test_two_instruments_of_one_venue_make_a_pair() -> None:
    settings = parse_settings(a_config(pairs=[a_pair(legs=["paradex:BTC-USD-PERP", "paradex:BTC-USD"])]), "t")

    assert settings.venue_names == ("paradex",)
    assert settings.instrument_ids("paradex") == {"BTC-USD-PERP": 0, "BTC-USD": 1}


def test_a_key_given_twice_is_refused(tmp_path: Path) -> None:
    """YAML would silently keep the last one."""
    path = tmp_path / "config.yaml"
    path.write_text("mode: sim\nmode: live\n")

    with pytest.raises(SettingsError, match=r"'mode' is given twice \(line 2\)"):
        load_raw(path)


@pytest.mark.parametrize("content", [b"a: [1\n", b"\xff\xfe\x00bad", b"a: !!python/object:os.system {}"])
def test_an_unreadable_file_is_an_error_with_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match=r"config\.yaml"):
        load_raw(path)


def test_a_missing_file_says_how_to_name_another(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--config FILE"):
        load_raw(tmp_path / "none.yaml")


@pytest.mark.parametrize("content", [None, 3, [], "text"])
def test_a_file_that_is_no_mapping_is_refused(content: object) -> None:
    assert "mapping" in problems_of(content)[""]


def test_a_pair_overrides_the_shared_strategy() -> None:
    config = a_config(pairs=[a_pair(strategy={"entry_bps": 20.0})])

    strategy = parse_settings(config, "t").pairs[0].strategy

    assert (strategy.entry_bps, strategy.exit_bps) == (20.0, 1.0)


def test_the_environment_goes_before_the_file_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("ONE=from-file\nTWO=from-file\nTHREE=\n")
    monkeypatch.setenv("ONE", "from-environment")

    assert read_secrets(("ONE", "TWO", "THREE", "FOUR"), env_file) == {
        "ONE": "from-environment",
        "TWO": "from-file",
    }


def test_the_shipped_configuration_has_no_key_without_a_comment_or_an_obvious_name() -> None:
    """Its sections are those the settings know, so a new section cannot be forgotten in either."""
    shipped = yaml.safe_load((PROJECT / "config.yaml").read_text())

    expected = (
        "version mode bot_id pairs quote strategy execution risk venues persistence runtime simulator paper "
        "log_level"
    )
    assert set(shipped) == set(expected.split())


def test_every_virtual_venue_has_terms_and_wrong_ones_are_named() -> None:
    """Mode paper: what is not configured is the default, what nobody knows is an error."""
    terms = {"slippage_bps": 1.5, "balance_quote": "250.5"}
    paper = parse_settings(a_config(paper={"venues": {"vest": terms}}), "test.yaml").paper
    assert paper.venues["vest"].balance_quote_e8 == 25_050_000_000
    assert paper.venues["vest"].slippage_bps == 1.5
    assert paper.venues["paradex"].slippage_bps == 0.5

    found = problems_of(
        a_config(
            paper={
                "venues": {
                    "vest": {"balance_quote": "0", "leverage_max": 0, "latency_ms": -1.0, "fee_bps": 1.0}
                },
                "max_price_age_ms": 0.0,
            }
        )
    )
    of_vest = {"balance_quote", "leverage_max", "latency_ms", "fee_bps"}
    assert found.keys() == {f"paper.venues.vest.{key}" for key in of_vest} | {"paper.max_price_age_ms"}
    assert "known are" in problems_of(a_config(paper={"venues": {"mars": {}}}))["paper.venues"]


def test_a_password_in_a_url_is_not_repeated_in_the_error() -> None:
    """It ends in a terminal, a log and the mail of whoever asks for help."""
    raw = a_config(venues={"vest": {"rest_url": "https://me:hunter2@example.com"}}, bot_id="x://me:hunter2@y")

    with pytest.raises(SettingsError) as refused:
        parse_settings(raw, "config.yaml")

    assert "example.com" in str(refused.value)
    assert "hunter2" not in str(refused.value)
