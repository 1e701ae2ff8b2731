"""A database that an older version has filled is brought up to date by the next start."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

import persistence
from persistence.store import Store

MIGRATIONS = sorted(Path(persistence.__path__[0]).glob("migrations/*.sql"))

# As the statements of those versions wrote them: a trade that is open, one that is closed, all around them.
_WRITTEN = """
insert into runs (run_id, started_at, mode, version) values
    ('r1', '2026-01-02 03:00Z', 'live', '0.1'), ('r2', '2026-01-03 03:00Z', 'paper', '0.1');
insert into pairs values ('r1', 'btc', 'vest', 'BTC-PERP', 'paradex', 'BTC-USD-PERP', 0.02, 6, 1);
insert into events values
    ('journal-1', 41, 'r1', '2026-01-02 03:04Z', 5, 'executor', 'info', 'signal', 'btc', 77, '{"a": 1}');
insert into trades (trade_id, run_id, pair, direction, state, size_base, opened_at, closed_at,
                    entry_spread_bps, gross_quote, fees_quote, net_quote) values
    (77, 'r1', 'btc', 1, 'closed', 0.02, '2026-01-02 03:04Z', '2026-01-02 04:04Z', 9.5, 5, 1, 4),
    (88, 'r1', 'btc', 1, 'open', 0.02, '2026-01-02 05:04Z', null, 8.5, null, null, null);
insert into orders (client_order_id, run_id, trade_id, pair, leg, venue, symbol, side, purpose, size_base,
                    status, filled_base, average_price_quote, sent_at, done_at) values
    (88, 'r1', 88, 'btc', 0, 'vest', 'BTC-PERP', 'BUY', 'entry', 0.02, 'filled', 0.02, 50000,
     '2026-01-02 05:04Z', '2026-01-02 05:04Z');
insert into fills values
    ('vest', 'f1', 88, 88, 'r1', 'BTC-PERP', 'BUY', 50000, 0.02, 0.1, '2026-01-02 05:04Z');
insert into positions (venue, symbol, run_id, size_base, entry_price_quote, updated_at) values
    ('vest', 'BTC-PERP', 'r1', 0.02, 50000, '2026-01-02 05:04Z'),
    ('paradex', 'BTC-USD-PERP', 'r1', -0.02, 50050, '2026-01-02 05:04Z');
insert into slippage (trade_id, kind, run_id, pair, first_leg_bps, second_leg_bps, at) values
    (77, 'entry', 'r1', 'btc', 0.5, 1.5, '2026-01-02 03:04Z'),
    (77, 'exit', 'r1', 'btc', 2.5, 0.5, '2026-01-02 04:04Z');
insert into funding (venue, payment_id, symbol, run_id, amount_quote, paid_at) values
    ('vest', 'p1', 'BTC-PERP', 'r1', 0.25, '2026-01-02 03:30Z');
"""
_SAYS_WHOSE = 6  # from here on every row has its bot and mode
_ALL = ("runs", "pairs", "events", "trades", "orders", "fills", "positions", "slippage", "funding")


def fill_as_of(url: str, version: int) -> dict[str, int]:
    """A database as version's starts left it: its migrations, and what was written under them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "create table migrations (name text primary key, applied_at timestamptz not null default now())"
        )
        for path in MIGRATIONS[:version]:
            connection.execute(path.read_text().encode())
            connection.execute("insert into migrations (name) values (%s)", (path.stem,))
        connection.execute(_WRITTEN.encode())
        if version >= _SAYS_WHOSE:
            for table in ("trades", "orders", "fills", "positions", "slippage", "funding"):
                connection.execute(f"update {table} set mode = 'live'".encode())
        return {name: _count(connection, name) for name in _ALL}


def _count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_two_starts_at_once_bring_an_old_database_up_to_date_and_lose_nothing(
    version: int, database_url: str
) -> None:
    """Every version that ever ran: one of the starts migrates, the other one waits and finds it done."""
    counts = fill_as_of(database_url, version)
    stores = [Store(database_url, "journal-1"), Store(database_url, "journal-2")]
    applied: list[list[str]] = []
    starts = [
        threading.Thread(target=lambda store=store: applied.append(store.migrate())) for store in stores
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join()

    assert sorted(applied) == [[], [path.stem for path in MIGRATIONS[version:]]]
    with psycopg.connect(database_url) as connection:
        assert {name: _count(connection, name) for name in _ALL} == counts
    assert [store.stored_number() for store in stores] == [41, 0]
    for store in stores:
        store.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
def test_views_tell_of_what_was_written_before_they_were_there(version: int, database_url: str) -> None:
    fill_as_of(database_url, version)
    store = Store(database_url, "journal-1")
    store.migrate()
    store.close()

    held = "select venue, size_base, entry_price_quote, mode, is_agreed from open_positions order by venue"
    assert rows(database_url, held) == [
        ("paradex", Decimal("-0.02"), Decimal(50_050), "live", None),
        ("vest", Decimal("0.02"), Decimal(50_000), "live", None),
    ]
    assert rows(database_url, "select trade_id, pair, entry_spread_bps from open_trades") == [
        (88, "btc", 8.5)
    ]
    profit = (
        "select day::text, sum(gross_quote), sum(fees_quote), sum(funding_quote), sum(net_quote) "
        "from daily_profit group by day"
    )
    assert rows(database_url, profit) == [
        ("2026-01-02", Decimal(5), Decimal(1), Decimal("0.25"), Decimal("4.25"))
    ]
    worse = "select venue, kind, legs, mean_bps from slippage_by_venue order by venue, kind"
    assert rows(database_url, worse) == [
        ("paradex", "entry", 1, 1.5),
        ("paradex", "exit", 1, 0.5),
        ("vest", "entry", 1, 0.5),
        ("vest", "exit", 1, 2.5),
    ]
    assert rows(database_url, "select fill_id, is_remainder from fills") == [("f1", False)]
