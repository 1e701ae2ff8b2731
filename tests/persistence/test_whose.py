"""Bots and modes that share a database: every row says whose it is, and nothing is counted as another's."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest

from persistence.journal import JournalEntry
from persistence.store import Store
from tests.persistence.test_store import A_RESULT, A_TRADE, AN_ORDER, rows
from tests.reported import blanks
from tools.report.queries import Period, Whose, gather

E8 = 10**8
DAY = Period(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
WHOSE = (Whose("alpha", "live"), Whose("alpha", "paper"), Whose("beta", "live"))
TABLES = ("trades", "orders", "fills", "funding", "slippage", "positions")
VIEWS = ("open_positions", "open_trades", "daily_profit", "slippage_by_venue")


@pytest.fixture
def url(database_url: str) -> str:
    """Three instances of which every id is the same and every result another: 1, 2 and 3."""
    for number, whose in enumerate(WHOSE, 1):
        store = Store(database_url, f"journal-{number}")
        store.migrate()
        run_id = f"run-{number}"
        taken = 0

        def report(event: str, store: Store = store, run_id: str = run_id, **fields: Any) -> None:
            nonlocal taken
            taken += 1
            head = {"ts": "2026-01-02T03:04:05Z", "level": "info", "proc": "executor", "run_id": run_id}
            line = orjson.dumps({**head, **blanks(event), "event": event, "mono_ns": taken, **fields})
            store.write([JournalEntry(taken, "executor", taken, line, 0, 0)])

        pair = {
            "pair": "btc",
            "legs": ["vest:X", "paradex:Y"],
            "size_base_e8": E8,
            "entry_bps": 1.5,
            "exit_bps": 0.0,
            "layers": 1,
            "confirm_ticks": 1,
        }
        report("settings_loaded", **whose._asdict(), version="0", pairs=[pair])
        report("intent_written", **AN_ORDER, reduce_only=False, size_e8=E8, limit_price_e8=E8)
        filled: dict[str, Any] = {
            "size_e8": E8,
            "filled_e8": E8,
            "average_price_e8": E8,
            "venue_order_id": "v",
        }
        report("leg_filled", **AN_ORDER, **filled, fee_e8=number, order_state="filled", fill_us=1.0)
        report("fill", **AN_ORDER, fill_id="f1", price_e8=E8, size_e8=E8, fee_e8=number)
        report(
            "funding_paid", pair="btc", leg=0, venue="vest", symbol="X", payment_id="p", amount_e8=number * E8
        )
        report("trade_opened", **{**A_TRADE, "trade_id": 99})
        report("slippage", pair="btc", trade_id=77, kind="entry", first_leg_bps=float(number))
        legs = [
            {"leg": leg, "venue": "vest", "symbol": "XY"[leg], "size_e8": (1 - leg) * number * E8}
            | {"entry_price_e8": E8, "fee_e8": 0}
            for leg in (0, 1)
        ]
        report("holding", pair="btc", trade_id=99, legs=legs, is_estimated=False)
        result = {**A_RESULT, "gross_e8": number * E8, "fees_e8": 0, "net_e8": number * E8}
        report("trade_closed", **A_TRADE, **result)
        store.close()
    return database_url


@pytest.mark.parametrize("name", [*TABLES, *VIEWS])
def test_every_row_says_whose_it_is(url: str, name: str) -> None:
    found = rows(url, f"select distinct bot_id, mode from {name} order by 1, 2")
    assert found == sorted(WHOSE), name


def test_nothing_of_one_is_counted_as_another_s(url: str) -> None:
    profit = "select bot_id, mode, trades, gross_quote, funding_quote, net_quote from daily_profit"
    assert rows(url, profit) == [(*whose, 1, n, n, 2 * n) for n, whose in enumerate(WHOSE, 1)]
    held = "select bot_id, mode, trade_id, direction, size_base from open_positions"
    assert rows(url, held) == [(*whose, 99, -1, n) for n, whose in enumerate(WHOSE, 1)]
    worse = "select bot_id, mode, legs, mean_bps from slippage_by_venue"
    assert rows(url, worse) == [(*whose, 1, float(n)) for n, whose in enumerate(WHOSE, 1)]


@pytest.mark.parametrize(("number", "whose"), list(enumerate(WHOSE, 1)))
def test_a_report_is_of_one_bot_in_one_mode(url: str, number: int, whose: Whose) -> None:
    with psycopg.connect(url) as connection:
        facts = gather(connection, DAY, whose)

    assert [(trade.bot_id, trade.mode) for trade in facts.trades] == [whose]
    assert [trade.net_quote for trade in facts.trades] == [number]
    assert [row.run_id for row in facts.runs] == [f"run-{number}"]
    assert [row.amount_quote for row in facts.funding] == [number]
    assert [(row.orders, row.fees_quote) for row in facts.venues] == [(1, 0)]
    assert [row.commission for row in facts.fills] == [Decimal(number).scaleb(-8)]
    assert len(facts.stages) == len(facts.executions) == 1
