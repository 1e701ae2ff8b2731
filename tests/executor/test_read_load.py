"""What repeated questions weigh, from what they ask and from what each venue says a question costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from executor.gateways.read_load import ReadLoad, read_loads
from settings import PROJECT, Settings, load_raw, parse_settings
from simulator.hyperliquid.rest import weight_of
from supervision.checks import print_resolved
from tests.venues.hyperliquid.builders import (
    BTC,
    BUDGET,
    FEES,
    HOSTS,
    MASTER_KEY,
    META,
    NOW_UNIX_MS,
    USER,
    a_session,
    an_order,
    drive,
    leave,
)
from tools.doctor.finding import Grade
from tools.doctor.reads import look_at_read_loads
from venues.contract import HttpRequest, OrderRef
from venues.hyperliquid import VENUE, HyperliquidCredentials, HyperliquidTrading, fetch_server_time_ms
from venues.hyperliquid.assumptions import READ_BUDGET

SUMMARY: Final = {"accountValue": "1.0", "totalMarginUsed": "1.0"}
STATE: Final[dict[str, Any]] = {
    "marginSummary": SUMMARY,
    "crossMarginSummary": SUMMARY,
    "crossMaintenanceMarginUsed": "0.0",
    "withdrawable": "1.0",
    "assetPositions": [],
    "time": NOW_UNIX_MS,
}


def weight(requests: Sequence[HttpRequest]) -> int:
    """What the simulated venue counts for these."""
    return sum(weight_of(json.loads(item.body)["type"]) if item.path == "/info" else 1 for item in requests)


def some_settings(**execution: Any) -> Settings:
    raw = load_raw(PROJECT / "three-venues.yaml")
    raw.setdefault("execution", {}).update(execution)
    return parse_settings(raw, "three-venues.yaml")


def load_of(settings: Settings, venue: str) -> ReadLoad:
    return next(load for load in read_loads(settings) if load.venue == venue)


def test_the_shipped_intervals_fit_every_budget() -> None:
    findings = look_at_read_loads(some_settings())
    assert {finding.grade for finding in findings} == {Grade.OK}
    assert {finding.found.partition(":")[0] for finding in findings} == {"paradex", "hyperliquid"}


def test_an_interval_of_a_second_is_warned_of_with_the_least_that_fits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = some_settings(reconcile_interval_s=1.0)
    load = load_of(settings, "hyperliquid")
    assert load.swept > load.per_minute
    least_s = load.interval_s_least
    assert load_of(some_settings(reconcile_interval_s=least_s), "hyperliquid").remedy == ""
    assert load_of(some_settings(reconcile_interval_s=least_s - 0.1), "hyperliquid").remedy != ""
    print_resolved(settings, tmp_path / "none.env")
    shown = " ".join(capsys.readouterr().out.split())
    assert "hyperliquid: repeated questions weigh" in shown
    assert f"execution.reconcile_interval_s of {least_s:g} or more" in shown
    assert "paradex: repeated questions" not in shown


def test_questions_about_one_doubt_can_use_a_budget_up_alone() -> None:
    finding = next(
        item
        for item in look_at_read_loads(some_settings(query_interval_ms=10.0))
        if item.grade is not Grade.OK
    )
    assert finding.grade is Grade.WARNING
    assert "execution.query_interval_ms" in finding.remedy


def test_another_venues_budget_counts_as_well() -> None:
    load = load_of(some_settings(reconcile_interval_s=0.25), "paradex")
    assert load.remedy, load.found


def test_nobody_is_asked_in_paper() -> None:
    raw = load_raw(PROJECT / "three-venues.yaml") | {"mode": "paper"}
    assert list(read_loads(parse_settings(raw, "three-venues.yaml"))) == []


def test_hyperliquids_questions_weigh_what_its_conversations_ask() -> None:
    trading, ref = a_session(), OrderRef(1, BTC)
    unified = HyperliquidTrading(HOSTS, HyperliquidCredentials(MASTER_KEY))
    drive(unified.login(NOW_UNIX_MS), "unifiedAccount", USER, BUDGET)
    leave(trading, trading.sign_create(an_order(client_order_id=1), NOW_UNIX_MS))
    spot: dict[str, Any] = {"balances": []}
    unknown = {"status": "unknownOid"}
    used = {"status": "err", "response": f"Invalid nonce: duplicate nonce {NOW_UNIX_MS}"}

    asked = {
        "open_orders": drive(trading.query_open_orders(NOW_UNIX_MS), [])[0],
        "account": drive(unified.query_account(NOW_UNIX_MS), STATE, spot)[0],
        "positions": drive(trading.query_positions(NOW_UNIX_MS), STATE)[0],
        "order": [
            *drive(trading.query_order(ref, NOW_UNIX_MS), unknown)[0],
            *drive(trading.void_order(ref, NOW_UNIX_MS), used, unknown)[0],
        ],
        "instruments": drive(trading.fetch_instruments({"BTC": 7}), META, FEES)[0],
        "funding": drive(VENUE.fetch_funding({"BTC": 7}), [META, [{"funding": "0.0"}] * 3])[0],
        "status": drive(trading.query_closed(), {"time": NOW_UNIX_MS, "specialStatuses": None})[0],
        "server_time": drive(fetch_server_time_ms(), {"time": NOW_UNIX_MS, "specialStatuses": None})[0],
        "warm": [VENUE.warm_request],
    }

    assert {name: weight(requests) for name, requests in asked.items()} == {
        name: value
        for name, value in READ_BUDGET._asdict().items()
        if name not in ("per_minute", "renewals_per_minute")
    }
