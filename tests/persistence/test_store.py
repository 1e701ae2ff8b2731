"""Events into tables, exactly once, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
import psycopg
import pytest

from persistence.journal import Entry
from persistence.store import Store, UnstorableEvent

TS = "2026-01-02T03:04:05.000006Z"


def an_entry(number: int, event: str, **fields: Any) -> Entry:
    head = {"ts": TS, "level": "info", "event": event, "proc": "executor", "run_id": "r1", "mono_ns": number}
    return Entry(number, "executor", number * 8, orjson.dumps({**head, **fields}), 0)


AN_ORDER: Mapping[str, Any] = {
    "pair": "btc",
    "trade_id": 77,
    "leg": 0,
    "venue": "vest",
    "symbol": "BTC-PERP",
    "client_order_id": 77,
    "side": "BUY",
    "purpose": "entry",
    "attempt": 0,
}
A_STATE: Mapping[str, Any] = {"venue_order_id": "", "filled_e8": 0, "average_price_e8": 0, "fee_e8": 0}


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(sql.encode()).fetchall()


@pytest.fixture
def store(database_url: str) -> Store:
    store = Store(database_url, "journal-1")
    store.migrate()
    return store


def test_migrations_are_applied_once(store: Store, database_url: str) -> None:
    assert store.migrate() == []
    assert Store(database_url, "another").migrate() == []


def test_two_processes_may_migrate_at_once(database_url: str) -> None:
    stores = [Store(database_url, str(n)) for n in range(3)]

    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda store=store: applied.append(store.migrate())) for store in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(len, applied)) == [0, 0, 1]


def test_a_batch_is_stored_whole_or_not_at_all(store: Store, database_url: str) -> None:
    """The place in the journal and the rows derived from it may never part."""
    good = an_entry(
        1, "intent_written", **AN_ORDER, reduce_only=False, size_e8=10**6, limit_price_e8=6 * 10**12
    )
    bad = an_entry(2, "intent_written", **{**AN_ORDER, "client_order_id": "not a number"}, reduce_only=False,
                   size_e8=1, limit_price_e8=1)  # fmt: skip

    with pytest.raises(psycopg.Error):
        store.write([good, bad])

    assert store.stored_number() == 0
    assert rows(database_url, "select * from orders") == []


def test_a_line_that_breaks_its_promise_is_named(store: Store) -> None:
    with pytest.raises(UnstorableEvent, match=r"event 5 \(settings_loaded\): KeyError 'pairs'"):
        store.write([an_entry(5, "settings_loaded", mode="sim", version="1")])

    store.write_line_alone(an_entry(5, "settings_loaded", mode="sim", version="1"))
    assert store.stored_number() == 5


def test_a_repeated_batch_is_refused_by_its_numbers(store: Store, database_url: str) -> None:
    """After a lost commit answer the writer asks for the stored number; a blind repeat must fail."""
    store.write([an_entry(1, "signal")])

    with pytest.raises(psycopg.IntegrityError):
        store.write([an_entry(1, "signal")])
    assert rows(database_url, "select number from events") == [(1,)]


def test_journals_of_two_hosts_share_a_database(store: Store, database_url: str) -> None:
    other = Store(database_url, "journal-2")
    store.write([an_entry(1, "signal"), an_entry(2, "signal")])
    other.write([an_entry(1, "signal")])

    assert (store.stored_number(), other.stored_number()) == (2, 1)


def test_an_order_follows_its_life(store: Store, database_url: str) -> None:
    store.write(
        [
            an_entry(1, "intent_written", **AN_ORDER, reduce_only=False, size_e8=2_000_000,
                     limit_price_e8=6_000_010_000_000),
            an_entry(2, "leg_unknown", **AN_ORDER, **A_STATE, order_state="in_doubt"),
        ]
    )  # fmt: skip
    assert rows(database_url, "select status, acked_at, done_at from orders") == [("in_doubt", None, None)]

    filled = {"venue_order_id": "0xab", "filled_e8": 2_000_000, "average_price_e8": 6_000_000_500_000}
    store.write(
        [
            an_entry(
                3, "leg_resolved", **AN_ORDER, **{**A_STATE, **filled, "fee_e8": 12_000}, order_state="filled"
            ),
            an_entry(
                4,
                "leg_filled",
                **AN_ORDER,
                **{**A_STATE, **filled, "fee_e8": 12_000},
                order_state="filled",
                fill_us=1234.5,
            ),
        ]
    )

    (row,) = rows(
        database_url,
        "select status, venue_order_id, filled_base, average_price_quote, fee_quote, size_base, "
        "limit_price_quote, ack_us, fill_us, done_at is not null from orders",
    )
    assert row == (
        *("filled", "0xab", Decimal("0.02"), Decimal("60000.005"), Decimal("0.00012")),
        *(Decimal("0.02"), Decimal("60000.1"), None, 1234.5, True),
    )


def test_a_trade_opens_and_closes(store: Store, database_url: str) -> None:
    about = {"pair": "btc", "trade_id": 77, "direction": -1, "size_e8": 2_000_000, "entry_spread_bps": 9.5}
    store.write([an_entry(1, "trade_opened", **about)])
    assert rows(database_url, "select trade_id, size_base from open_trades") == [(77, Decimal("0.02"))]

    result = {"gross_e8": 5 * 10**8, "fees_e8": 10**8, "net_e8": 4 * 10**8, "naked_ms": 1.5, "retries": 0}
    store.write([an_entry(2, "trade_closed", **about, exit_spread_bps=1.0, **result)])

    assert rows(database_url, "select trade_id from open_trades") == []
    assert rows(database_url, "select trades, gross_quote, fees_quote, net_quote from daily_result") == [
        (1, Decimal(5), Decimal(1), Decimal(4))
    ]


def test_a_fill_told_twice_is_one_fill(store: Store, database_url: str) -> None:
    fill = {**AN_ORDER, "fill_id": "f1", "price_e8": 10**12, "size_e8": 10**6, "fee_e8": 5}
    store.write([an_entry(1, "fill", **fill), an_entry(2, "fill", **{**fill, "client_order_id": 0})])

    assert rows(database_url, "select client_order_id, price_quote from fills") == [(77, Decimal(10_000))]


def test_the_newest_position_wins(store: Store, database_url: str) -> None:
    about = {"venue": "vest", "symbol": "BTC-PERP"}
    store.write(
        [
            an_entry(1, "position", **about, size_e8=-(10**6), entry_price_e8=10**12),
            an_entry(2, "position", **about, size_e8=0, entry_price_e8=0),
        ]
    )

    assert rows(database_url, "select size_base from positions") == [(Decimal(0),)]


def test_a_run_and_its_pairs(store: Store, database_url: str) -> None:
    pair = {
        "pair": "btc",
        "legs": ["vest:A", "paradex:B:C"],
        "size_base_e8": 10**6,
        "entry_bps": 2.0,
        "exit_bps": 0.5,
    }
    store.write(
        [
            an_entry(1, "settings_loaded", mode="sim", version="0.1.0", pairs=[pair]),
            an_entry(2, "processes_stopped", exit_code=0),
        ]
    )

    assert rows(
        database_url, "select mode, exit_code, stopped_at > started_at - interval '1s' from runs"
    ) == [("sim", 0, True)]
    assert rows(database_url, "select second_symbol, size_base from pairs") == [("B:C", Decimal("0.01"))]
