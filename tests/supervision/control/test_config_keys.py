"""Each key says when a change of it takes effect, and says the truth."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from detector.rules import rules_for
from executor.operator.resolve import resolve_pair
from settings import PROJECT, Reload, Settings, load_raw, parse_settings
from supervision.control.config_keys import Path, changes_between, composed, keys_of
from tests.detector.builders import an_instrument

RAW: Mapping[str, Any] = load_raw(PROJECT / "config.yaml")
RAW["strategy"].update(layers=2, entry_max_bps=50.0)  # with one layer entry_max_bps says nothing
INSTRUMENTS = tuple(
    an_instrument(number, leg.venue, symbol=leg.symbol)
    for number, leg in enumerate(parse_settings(dict(RAW), "config.yaml").legs)
)
# Other values than the file's, where adding one would not do.
VALUES: Mapping[str, Any] = {
    "layers": 3,
    "entry_max_bps": 60.0,
    "min_liquidity_ratio": 2.0,
    "on_single_leg": "unwind",
    "maintenance": [{"days": "sun", "utc": "01:00-02:00"}],
}
# Looked up where they are needed, in ``Configuration.settings``, so no resolved rule shows them.
LOOKED_UP = {
    *("risk.breaker_pause_s", "risk.naked_budget_s_per_day", "risk.max_consecutive_failures"),
    *("risk.max_daily_loss_quote", "risk.max_drawdown_quote"),  # ``TradingState.limit``
    *("execution.stagger", "execution.stagger_max_ms", "execution.rearm_bps"),
}


def changed(path: Path, value: Any) -> dict[str, Any]:
    """The shipped file with one key set otherwise."""
    raw = copy.deepcopy(dict(RAW))
    section: Any = raw
    for name in path[:-1]:
        if section is raw["pairs"]:
            section = next(pair for pair in section if pair["id"] == name)
        else:
            section = section.setdefault(name, {})
    section[path[-1]] = value
    return raw


def another(path: Path, value: Any) -> Any:
    """A value that differs and is allowed."""
    match VALUES.get(path[-1], value):
        case bool(given):
            return not given
        case int(given) | float(given) if path[-1] not in VALUES:
            return given + 1 if not path[-1].endswith("_ratio") else given / 2
        case str(given) if path[-1] not in VALUES:
            return str(float(given) * 2)
        case given:
            return given


def in_force(settings: Settings) -> list[object]:
    """What the running processes have made of the settings."""
    pairs = range(len(settings.pairs))
    resolved = [resolve_pair(settings, INSTRUMENTS, number) for number in pairs]
    return [
        *(rules_for(settings, number, INSTRUMENTS) for number in pairs),
        *((item.rules, item.limits, item.max_age_ns, item.layer_sizes_e8) for item in resolved),
        {name: settings.venue(name).maintenance for name in settings.venue_names},
    ]


BEFORE = parse_settings(dict(RAW), "config.yaml")
CHANGEABLE = [key for key in keys_of(BEFORE).values() if key.reload is not Reload.RESTART]


@pytest.mark.parametrize("key", CHANGEABLE, ids=lambda key: key.name)
def test_a_key_that_may_change_while_running_changes_what_the_processes_work_by(key: Any) -> None:
    """A key that says hot and does nothing would be believed."""
    wanted = parse_settings(changed(key.path, another(key.path, key.value)), "changed")
    assert key.name in [change.key.name for change in changes_between(BEFORE, wanted)]
    assert (in_force(wanted) != in_force(BEFORE)) == (key.name not in LOOKED_UP)


def test_what_is_not_marked_needs_a_restart() -> None:
    """A new key is not live by accident; a venue's address and a pair's legs never are."""
    keys = {key.name: key.reload for key in keys_of(BEFORE).values()}
    for name in ("mode", "bot_id", "venues.vest.rest_url", "pairs[btc].legs", "runtime.memory_dir"):
        assert keys[name] is Reload.RESTART
    assert keys["risk.max_daily_loss_quote"] is Reload.HOT
    assert keys["pairs[btc].size_base"] is Reload.WHEN_FLAT


LIVE: Mapping[str, Any] = {"venue": "paradex", "symbol": "USDC-USD-PERP"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"usdc_per_usd": "par"}, {"usd_per_usdc": LIVE}),
        ({"usd_per_usdc": LIVE}, {"usdc_per_usd": "par"}),
        ({"usd_per_usdc": LIVE}, {"usd_per_usdc": {**LIVE, "max_age_ms": 5.0}}),
        ({"usdc_per_usd": "par"}, {"usdc_per_usd": "par", "usdt_per_usd": "par"}),
        ({"usdc_per_usd": "par"}, {"usdc_per_usd": "par", "usd_per_usdt": LIVE}),
    ],
)
def test_other_quote_rates_are_one_change_that_needs_a_restart(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Feeds watch their instruments from the start."""
    one, other = (parse_settings({**RAW, "quote": quote}, "a file") for quote in (before, after))
    (change,) = changes_between(one, other)
    assert (change.key.name, change.key.reload) == ("quote", Reload.RESTART)
    assert change.old.keys() == before.keys()
    assert change.key.value.keys() == after.keys()
    assert changes_between(one, one) == []


def test_differences_are_told_with_old_and_new_as_the_file_has_them() -> None:
    raw = copy.deepcopy(dict(RAW))
    raw["strategy"]["entry_bps"] = 2.5  # eth has its own
    raw["pairs"][0]["size_base"] = "0.04"
    del raw["venues"]["vest"]
    raw["log_level"] = "debug"
    found = [change.plain() for change in changes_between(BEFORE, parse_settings(raw, "changed"))]
    assert [tuple(item.values()) for item in found] == [
        ("pairs[btc].size_base", "0.02", "0.04", "when flat"),
        ("pairs[btc].strategy.entry_bps", 1.5, 2.5, "hot"),
        ("log_level", "info", "debug", "restart"),
    ]


def test_other_pairs_are_one_change_that_needs_a_restart() -> None:
    """Instruments are numbered by the pairs' order: it cannot change under a running process."""
    raw = copy.deepcopy(dict(RAW))
    raw["pairs"].reverse()
    (change,) = changes_between(BEFORE, parse_settings(raw, "changed"))
    assert (change.key.name, change.key.reload) == ("pairs", Reload.RESTART)


def test_only_the_keys_asked_for_are_taken_over() -> None:
    """What waits or needs a restart must not come in with what does not."""
    raw = copy.deepcopy(dict(RAW))
    raw["strategy"]["entry_bps"] = 2.5
    raw["risk"]["max_leverage"] = 3
    del raw["risk"]["max_drawdown_quote"]
    raw["venues"] = {"vest": {"maintenance": [{"days": "sun", "utc": "01:00-02:00"}]}}
    raw["pairs"][0]["size_base"] = "0.04"
    raw["persistence"]["var_dir"] = "elsewhere"
    wanted = parse_settings(raw, "changed")
    hot = [c.key.path for c in changes_between(BEFORE, wanted) if c.key.reload is Reload.HOT]

    made = parse_settings(composed(dict(RAW), raw, hot), "composed")

    left = {change.key.name for change in changes_between(made, wanted)}
    assert left == {"pairs[btc].size_base", "persistence.var_dir"}
    assert made.risk.max_drawdown_quote_e8 is None
    assert made.venue("vest").maintenance == wanted.venue("vest").maintenance
