"""Events into tables, exactly once, on a real server."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

import persistence
from events.codec import fields_of
from persistence.journal import JournalEntry
from persistence.restore import fold
from persistence.store import Store, UnstorableEvent
from tests.reported import blanks

TS = "2026-01-02T03:04:05.000006Z"


def an_entry(number: int, event: str, **fields: Any) -> JournalEntry:
    head = {"ts": TS, "level": "info", "event": event, "proc": "executor", "run_id": "r1", "mono_ns": number}
    return JournalEntry(
        number, "executor", number * 8, orjson.dumps({**head, **blanks(event), **fields}), 0, 0
    )


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


A_TRADE: Mapping[str, Any] = {
    "pair": "btc", "trade_id": 77, "direction": -1, "size_e8": 2_000_000, "entry_spread_bps": 9.5,
}  # fmt: skip
A_RESULT: Mapping[str, Any] = {
    "gross_e8": 5 * 10**8, "fees_e8": 10**8, "net_e8": 4 * 10**8, "naked_ms": 1.5, "retries": 0,
    "exit_spread_bps": 1.0,
}  # fmt: skip


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

    assert sorted(map(len, applied)) == [
        0,
        0,
        len(list(Path(persistence.__path__[0]).glob("migrations/*.sql"))),
    ]


def test_a_batch_is_stored_whole_or_not_at_all(store: Store, database_url: str) -> None:
    """The place in the journal and the rows derived from it may never part."""
    good = an_entry(
        1, "intent_written", **AN_ORDER, reduce_only=False, size_e8=10**6, limit_price_e8=6 * 10**12
    )
    bad = an_entry(2, "intent_written", **{**AN_ORDER, "client_order_id": 1 << 63}, reduce_only=False,
                   size_e8=1, limit_price_e8=1)  # fmt: skip

    with pytest.raises(psycopg.Error):
        store.write([good, bad])

    assert store.stored_number() == 0
    assert rows(database_url, "select * from orders") == []


def test_a_line_that_breaks_its_promise_is_named(store: Store) -> None:
    broken = an_entry(5, "settings_loaded", mode="sim", pairs=7)
    with pytest.raises(UnstorableEvent, match=r"event 5: settings_loaded: Expected `array`.*pairs"):
        store.write([broken])

    store.write_line_alone(broken)
    assert store.stored_number() == 5


def test_a_repeated_batch_changes_nothing(store: Store, database_url: str) -> None:
    """The answer to a commit was lost: what the batch did is done, and is not done again."""
    batch = [
        an_entry(1, "trade_closed", **A_TRADE, **A_RESULT),
        an_entry(2, "fill", **AN_ORDER, fill_id="f1", price_e8=10**12, size_e8=10**6, fee_e8=5),
    ]
    store.write(batch)

    store.write([*batch, an_entry(3, "signal")])

    assert rows(database_url, "select number from events order by number") == [(1,), (2,), (3,)]
    assert rows(database_url, "select count(*) from trades") == [(1,)]


def test_a_repeated_batch_waits_for_its_first_coming(store: Store, database_url: str) -> None:
    """Cut off in mid-batch, the server may still be busy with it when the next connection repeats it."""
    batch = [an_entry(1, "signal"), an_entry(2, "signal")]
    with psycopg.connect(database_url) as hung:
        hung.execute("select pg_advisory_xact_lock(%s, hashtext('journal-1'))", (0x54414E44,))
        hung.execute(
            "insert into events (journal_id, number, run_id, at, mono_ns, proc, level, event, body) "
            "select 'journal-1', n, 'r1', now(), 0, 'executor', 'info', 'signal', '{}' "
            "from generate_series(1, 2) n"
        )
        repeat = threading.Thread(target=store.write, args=(batch,))
        repeat.start()
        repeat.join(0.3)
        assert repeat.is_alive()
        hung.commit()
    repeat.join(10)

    assert rows(database_url, "select number from events order by number") == [(1,), (2,)]


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


def test_an_order_whose_intent_was_lost_is_kept_all_the_same(store: Store, database_url: str) -> None:
    """The executor was killed between the order's bytes and its line; its successor tells the rest."""
    facts = {**A_STATE, "size_e8": 2_000_000, "filled_e8": 500_000, "average_price_e8": 6 * 10**12}
    store.write(
        [
            an_entry(1, "leg_resolved", **AN_ORDER, **facts, order_state="open"),
            an_entry(2, "leg_cancelled", **AN_ORDER, **facts, order_state="cancelled"),
        ]
    )

    assert rows(
        database_url,
        "select status, trade_id, size_base, filled_base, average_price_quote, sent_at from orders",
    ) == [("cancelled", 77, Decimal("0.02"), Decimal("0.005"), Decimal(60_000), None)]


def test_a_trade_opens_and_closes(store: Store, database_url: str) -> None:
    store.write([an_entry(1, "trade_opened", **A_TRADE)])
    assert rows(database_url, "select trade_id, size_base from open_trades") == [(77, Decimal("0.02"))]

    store.write([an_entry(2, "trade_closed", **A_TRADE, **A_RESULT)])

    assert rows(database_url, "select trade_id from open_trades") == []
    assert rows(
        database_url, "select day::text, trades, gross_quote, fees_quote, net_quote from daily_profit"
    ) == [("2026-01-02", 1, Decimal(5), Decimal(1), Decimal(4))]


def test_a_fill_told_twice_is_one_fill(store: Store, database_url: str) -> None:
    fill = {**AN_ORDER, "fill_id": "f1", "price_e8": 10**12, "size_e8": 10**6, "fee_e8": 5}
    store.write([an_entry(1, "fill", **fill), an_entry(2, "fill", **{**fill, "client_order_id": 0})])

    assert rows(database_url, "select client_order_id, price_quote from fills") == [(77, Decimal(10_000))]


def a_holding(number: int, first_e8: int, second_e8: int) -> JournalEntry:
    legs = [
        {"leg": 0, "venue": "vest", "symbol": "BTC-PERP", "size_e8": first_e8},
        {"leg": 1, "venue": "paradex", "symbol": "BTC-USD-PERP", "size_e8": second_e8},
    ]
    trade_id = 77 if first_e8 else 0
    return an_entry(
        number, "holding", pair="btc", trade_id=trade_id, direction=1, layers=1, opened_mono_ns=0,
        is_estimated=False,
        legs=[{**leg, "entry_price_e8": 10**12 if leg["size_e8"] else 0, "fee_e8": 3} for leg in legs],
    )  # fmt: skip


def test_positions_are_what_we_hold_beside_what_the_venue_says(store: Store, database_url: str) -> None:
    """One row per leg, ours and theirs apart: a difference is to be seen, not averaged away."""
    facts = {"pair": "btc", "leg": 0, "venue": "vest", "symbol": "BTC-PERP"}
    shown = "select venue, trade_id, size_base, venue_size_base, is_agreed from open_positions"

    store.write([an_entry(1, "trade_opened", **A_TRADE), a_holding(2, 2_000_000, -2_000_000)])
    store.write([an_entry(3, "position", **facts, size_e8=1_000_000)])
    assert rows(database_url, shown) == [
        ("paradex", 77, Decimal("-0.02"), None, None),
        ("vest", 77, Decimal("0.02"), Decimal("0.01"), False),
    ]

    store.write([an_entry(4, "position", **facts, size_e8=0), a_holding(5, 0, 0)])

    assert rows(database_url, shown) == []
    assert rows(
        database_url, "select size_base, entry_price_quote, trade_id from positions where venue = 'vest'"
    ) == [(Decimal(0), None, None)]


def test_a_trade_keeps_its_quote_rates_and_what_their_move_made(store: Store, database_url: str) -> None:
    """Of a pair with a live rate; without one there are none. A trade closed twice adds up its moves."""
    shown = "select opening_quote_rate, closing_quote_rate, rate_move_quote from trades where trade_id = 77"
    store.write([an_entry(1, "trade_opened", **A_TRADE, quote_rate_e8=98_000_000)])
    assert rows(database_url, shown) == [(Decimal("0.98"), None, None)]
    rated = {"quote_rates_e8": [98_000_000, 99_000_000], "rate_move_e8": -250_000_000}
    store.write([an_entry(2, "trade_closed", **A_TRADE, **A_RESULT, **rated)])
    assert rows(database_url, shown) == [(Decimal("0.98"), Decimal("0.99"), Decimal("-2.5"))]
    store.write([an_entry(3, "trade_closed", **A_TRADE, **A_RESULT, **{**rated, "rate_move_e8": 50_000_000})])
    assert rows(database_url, shown) == [(Decimal("0.98"), Decimal("0.99"), Decimal("-2"))]
    store.write([an_entry(4, "trade_closed", **A_RESULT, **{**A_TRADE, "trade_id": 78})])
    assert rows(database_url, shown.replace("77", "78")) == [(None, None, None)]


def a_run(number: int, run_id: str, mode: str) -> JournalEntry:
    entry = an_entry(number, "settings_loaded", mode=mode, version="1", bot_id="b", pairs=[])
    return entry._replace(payload=entry.payload.replace(b'"r1"', b'"%s"' % run_id.encode()))


def test_paper_and_live_in_one_database_keep_their_positions_apart(store: Store, database_url: str) -> None:
    """On paper one is flat where the live account holds a leg: the one's row must not become the other's."""
    facts = {"pair": "btc", "leg": 0, "venue": "vest", "symbol": "BTC-PERP"}
    live = an_entry(2, "position", **facts, size_e8=2_000_000)
    paper = an_entry(4, "position", **facts, size_e8=1_000_000)
    paper = paper._replace(payload=paper.payload.replace(b'"r1"', b'"r2"'))

    store.write([a_run(1, "r1", "live"), live, a_run(3, "r2", "paper"), paper])

    shown = "select bot_id, mode, venue_size_base from open_positions"
    assert rows(database_url, shown) == [("b", "live", Decimal("0.02")), ("b", "paper", Decimal("0.01"))]
    holding = a_holding(5, 0, 0)
    store.write([holding])
    assert [venue for venue, *_ in store.disagreements("b", "live", 0.0)] == ["vest"]
    assert store.disagreements("b", "paper", 0.0) == []


def test_the_fills_of_an_order_add_up_to_what_its_venue_says(store: Store, database_url: str) -> None:
    """An execution that nobody heard is known by the order's query alone: without a row of its own the sums
    of the table were too small for ever. Should the stream tell it after all, it is not counted twice."""
    sent = {"reduce_only": False, "size_e8": 3_000_000, "limit_price_e8": 6 * 10**12}
    first = {"fill_id": "f1", "price_e8": 10**12, "size_e8": 10**6, "fee_e8": 10**8}
    late = {"fill_id": "f2", "price_e8": 13 * 10**11, "size_e8": 2 * 10**6, "fee_e8": 2 * 10**8}
    ended = {
        "venue_order_id": "v1",
        "filled_e8": 3 * 10**6,
        "average_price_e8": 12 * 10**11,
        "fee_e8": 3 * 10**8,
        "order_state": "filled",
        "doubt_ms": 1.0,
        "questions": 1,
        "size_e8": 3 * 10**6,
    }
    shown = "select fill_id, is_remainder, size_base, price_quote, fee_quote from fills order by fill_id"

    store.write([an_entry(1, "intent_written", **AN_ORDER, **sent), an_entry(2, "fill", **AN_ORDER, **first)])
    store.write([an_entry(3, "leg_resolved", **AN_ORDER, **ended)])
    assert rows(database_url, shown) == [
        ("f1", False, Decimal("0.01"), Decimal(10_000), Decimal(1)),
        ("remainder-77", True, Decimal("0.02"), Decimal(13_000), Decimal(2)),
    ]

    store.write([an_entry(4, "fill", **AN_ORDER, **late)])
    assert rows(database_url, shown) == [
        ("f1", False, Decimal("0.01"), Decimal(10_000), Decimal(1)),
        ("f2", False, Decimal("0.02"), Decimal(13_000), Decimal(2)),
    ]


def test_every_layer_and_the_exit_have_their_own_row_with_both_legs(store: Store, database_url: str) -> None:
    """Sent, acknowledged and filled stand beside detected; what a line does not say is null."""
    about = {"pair": "btc", "trade_id": 7, "detected_bps": 9.0, "sent_bps": 8.5, "filled_bps": 8.0}
    stages = {"sent_to_acked_us": [310.5, 420.0], "sent_to_filled_us": [None, 900.0]}
    store.write(
        [
            an_entry(1, "slippage", **about, kind="entry", layer=0, signal_id=5, **stages),
            an_entry(2, "slippage", **about, kind="entry", layer=1, first_leg_sent_bps=0.5),
            an_entry(3, "slippage", **about, kind="exit", layer=0),
        ]
    )

    columns = (
        "kind, layer, signal_id, sent_bps, first_leg_sent_bps, "
        "first_acked_us, second_acked_us, first_filled_us, second_filled_us"
    )
    assert rows(database_url, f"select {columns} from slippage order by kind, layer") == [
        ("entry", 0, 5, 8.5, None, 310.5, 420.0, None, 900.0),
        ("entry", 1, 0, 8.5, 0.5, None, None, None, None),
        ("exit", 0, 0, 8.5, None, None, None, None, None),
    ]


def test_funding_counts_on_the_day_it_was_paid(store: Store, database_url: str) -> None:
    """Told twice it is one payment; the day's profit is net of it."""
    payment = {"pair": "btc", "leg": 0, "venue": "vest", "symbol": "A", "payment_id": "p1"}
    store.write(
        [
            an_entry(1, "trade_closed", **A_TRADE, **A_RESULT),
            an_entry(2, "funding_paid", **payment, amount_e8=-(10**8)),
            an_entry(3, "funding_paid", **payment, amount_e8=-(10**8)),
            an_entry(4, "funding_paid", **{**payment, "venue": "paradex"}, amount_e8=3 * 10**8),
        ]
    )

    assert rows(
        database_url, "select pair, trades, fees_quote, funding_quote, net_quote from daily_profit"
    ) == [("btc", 1, Decimal(1), Decimal(2), Decimal(6))]


def test_slippage_is_told_per_venue(store: Store, database_url: str) -> None:
    pair = {
        "pair": "btc",
        "legs": ["vest:A", "paradex:B"],
        "size_base_e8": 1,
        "entry_bps": 2.0,
        "exit_bps": 0,
    }
    about = {"pair": "btc", "kind": "entry", "detected_bps": 9.0, "filled_bps": 8.0}
    store.write(
        [
            an_entry(1, "settings_loaded", mode="sim", version="0.1.0", bot_id="demo", pairs=[pair]),
            an_entry(2, "slippage", **about, trade_id=1, first_leg_bps=1.0, second_leg_bps=-0.5),
            an_entry(3, "slippage", **about, trade_id=2, first_leg_bps=3.0, second_leg_bps=0.5),
        ]
    )

    assert rows(database_url, "select venue, kind, legs, mean_bps, worst_bps from slippage_by_venue") == [
        ("paradex", "entry", 2, 0.0, 0.5),
        ("vest", "entry", 2, 2.0, 3.0),
    ]


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\x00 not even JSON",
        b'["a list"]',
        b'{"event": "signal"}',
        b'{"event": "signal", "text": "a\\u0000b"}',
    ],
)
def test_a_line_that_is_none_is_kept_as_text(store: Store, database_url: str, payload: bytes) -> None:
    """Whatever lies in the journal, the database writer must come past it, or all that follows waits."""
    with pytest.raises(UnstorableEvent, match="event 1 is no log line"):
        store.write([JournalEntry(1, "executor", 8, payload, 0, 0)])

    store.write_line_alone(JournalEntry(1, "executor", 8, payload, 0, 0))
    store.write([an_entry(2, "signal", text="a\0b")])

    assert rows(database_url, "select event, body ? 'raw', body ->> 'text' from events order by number") == [
        ("event_unstorable", True, None),
        ("signal", False, "a\ufffdb"),
    ]


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
            an_entry(1, "settings_loaded", mode="sim", version="0.1.0", bot_id="demo", pairs=[pair]),
            an_entry(2, "processes_stopped", exit_code=0),
        ]
    )

    assert rows(
        database_url, "select mode, bot_id, exit_code, stopped_at > started_at - interval '1s' from runs"
    ) == [("sim", "demo", 0, True)]
    assert rows(database_url, "select second_symbol, size_base from pairs") == [("B:C", Decimal("0.01"))]


def test_nothing_outlives_a_transaction(database_url: str) -> None:
    """A pooler may hand the next transaction to another backend, and this one to somebody else."""
    store = Store(database_url, "journal-1")
    store.migrate()
    for number in range(1, 12):
        store.write([an_entry(number, "trade_opened", **A_TRADE)])
    shown = store._connection.execute(
        "select current_setting('statement_timeout'), (select count(*) from pg_prepared_statements), "
        "(select count(*) from pg_locks where locktype = 'advisory')"
    ).fetchone()

    assert shown == ("0", 0, 0)


def test_another_hosts_journal_is_read_where_it_lies(store: Store, database_url: str) -> None:
    """The machine is gone, its database is not: the newest journal of this bot, and of no other,
    nor of what it did on paper."""
    legs = [
        {"leg": leg, "venue": venue, "symbol": "A", "size_e8": size_e8, "entry_price_e8": 7, "fee_e8": 0}
        for leg, venue, size_e8 in ((0, "vest", 5), (1, "paradex", -5))
    ]
    holding = {"pair": "btc", "trade_id": 77, "direction": 1, "layers": 1, "legs": legs, "opened_mono_ns": 0,
               "is_estimated": False}  # fmt: skip
    for bot_id, mode in (("demo", "live"), ("other", "live"), ("demo", "paper")):
        facts = fields_of(fold([]).checkpoint(bot_id, mode))
        Store(database_url, f"journal-of-{bot_id}-{mode}").write(
            [
                an_entry(1, "journal_checkpoint", **{**facts, "proc": "persistence"}),
                an_entry(
                    2, "holding", **{**holding, "trade_id": 77 if (bot_id, mode) == ("demo", "live") else 99}
                ),
            ]
        )

    found = store.holdings_elsewhere("demo", "live")

    assert found is not None
    assert [(pair.trade_id, pair.sizes_e8) for pair in found.held()] == [(77, (5, -5))]
    assert found.told_unix_ms > 0
    assert store.holdings_elsewhere("a third", "live") is None
    assert Store(database_url, "journal-of-demo-live").holdings_elsewhere("demo", "live") is None


def test_a_difference_between_us_and_the_venue_is_found_once_it_has_lasted(store: Store) -> None:
    """Between a fill and the next position read the two differ every time: that is no news."""
    facts = {"pair": "btc", "leg": 0, "venue": "vest", "symbol": "BTC-PERP"}
    store.write([a_holding(1, 2_000_000, -2_000_000), an_entry(2, "position", **facts, size_e8=1_000_000)])

    ((venue, symbol, ours, theirs),) = store.disagreements("", "", 0.0)
    assert (venue, symbol, Decimal(ours), Decimal(theirs)) == (
        "vest",
        "BTC-PERP",
        Decimal("0.02"),
        Decimal("0.01"),
    )
    assert store.disagreements("", "", 10.0**9) == []

    store.write([an_entry(3, "position", **facts, size_e8=2_000_000)])
    assert store.disagreements("", "", 0.0) == []
