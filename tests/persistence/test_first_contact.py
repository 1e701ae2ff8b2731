"""A server that answers what it will answer tomorrow, too, ends a start with nothing held, with its remedy.

With something held it is an outage: a position without its process is worse than a journal without its
database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from shm.counter_names import DATABASE_AWAY
from tests.instance import a_directory
from tests.persistence.harness import Harness, Server, a_harness
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with a_directory() as directory:
        yield Server(directory / "var")


@contextmanager
def a_database(server: Server, *prepare: str, owner: str = "bot", more: str = "") -> Iterator[str]:
    """A database of its own and its address for the role ``bot``, which may log in and nothing more."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("create role bot login" if owner else "select 1")
        connection.execute(f"create database theirs {more}".encode())
        url = server.url.replace("/postgres?", "/theirs?")
        try:
            with psycopg.connect(url, autocommit=True) as theirs:
                for statement in prepare:
                    theirs.execute(statement.encode())
            yield url.replace("postgres:@", "bot:@")
        finally:
            connection.execute("drop database theirs with (force)")
            connection.execute("drop role if exists bot")


GRANTED = "grant all on schema public to bot"
LASTING = {
    "no right": ((), "GRANT CREATE, USAGE ON SCHEMA public TO bot"),
    "no schema": (("drop schema public",), "CREATE SCHEMA AUTHORIZATION bot"),
    "a table of another program": (
        (GRANTED, "create table events (id int)", "grant all on events to bot"),
        "something of another program has the name of one of our tables",
    ),
    "another table of migrations": (
        (GRANTED, "create table migrations (version int)", "grant all on migrations to bot"),
        "something of another program has the name of one of our tables",
    ),
    "read-only": (
        (GRANTED, "alter database theirs set default_transaction_read_only = on"),
        "this server is read-only",
    ),
}


@pytest.mark.parametrize(("prepare", "remedy"), LASTING.values(), ids=LASTING.keys())
def test_what_only_the_operator_can_change_ends_the_start(
    prepare: tuple[str, ...], remedy: str, server: Server
) -> None:
    """It was taken for an outage: Tandem traded on without lease and history, for good."""
    with a_database(server, *prepare) as url, a_harness(url) as harness:
        harness.start()
        assert harness.ended() == 2
        assert remedy in harness.errors


def hold_something(harness: Harness) -> None:
    harness.tell(
        "holding", pair="btc", trade_id=77, direction=1, layers=1, opened_mono_ns=0, is_estimated=False,
        legs=[
            {"leg": leg, "venue": venue, "symbol": "A", "size_e8": size, "entry_price_e8": 7, "fee_e8": 0}
            for leg, venue, size in ((0, "vest", 5), (1, "paradex", -5))
        ],
    )  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://bot:s3cr@et-Tail@127.0.0.1:9/postgres",
        "postgresql://bot:pw@db.example.com/db",
        "postgresql://bot:pw@127.0.0.1:1/db?sslmode=bogus",
        "no right",
    ],
)
def test_with_something_held_it_is_an_outage(address: str, server: Server) -> None:
    with a_database(server) as refused, a_harness(server.url) as harness:
        harness.start()
        harness.wait_for("database_ready")
        hold_something(harness)
        harness.wait_until_stored()
        assert harness.stop() == 0

        harness.url = refused if address == "no right" else address
        harness.new_run("run-2")
        harness.start()
        harness.wait_for("database_away")
        wait_until(lambda: harness.counter("database_state") == DATABASE_AWAY)
        assert [pair["sizes_e8"] for pair in harness.wait_for("journal_read", 2)["pairs"]] == [[5, -5]]
        assert harness.stop() == 0
        shown = harness.errors + str(harness.lines) + "".join(map(str, harness.journal()))
        assert "et-Tail" not in shown


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://bot:s3cr@et-Tail@127.0.0.1:9/postgres", "%40"),
        ("postgresql://bot:pw@127.0.0.1:1/db?sslmode=bogus", "invalid sslmode"),
        ("postgresql://bot:pw@127.0.0.1:1/db?target_session_attrs=x", "target_session_attrs"),
        ("postgresql://bot:pw@db.example.com/db", "without verified TLS"),
    ],
)
def test_an_address_that_is_none_ends_the_first_start(url: str, text: str) -> None:
    with a_harness(url) as harness:
        harness.start()
        assert harness.ended() == 2
        reported = harness.errors
        assert text in reported
        assert "et-Tail" not in reported + str(harness.lines) + "".join(map(str, harness.journal()))


def test_in_other_modes_an_open_line_is_warned_of() -> None:
    with a_harness("postgresql://bot:pw@db.invalid/db") as harness:
        harness.new_run("run-2", mode="paper")
        harness.start()
        assert "sslmode=verify-full" in harness.wait_for("database_unverified")["detail"]
        harness.wait_for("database_away")


# --- texts ---


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252", "KOI8R", "EUC_JP", "UTF8"])
def test_a_text_the_database_cannot_hold_is_stored_with_a_replacement(
    encoding: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reason with a € ended the database writer, then persistence, then the instance; and every start."""
    more = f"encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"
    with a_database(server, "alter schema public owner to bot", more=more) as url, a_harness(url) as harness:
        monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")  # the environment's word does not count
        harness.start()
        monkeypatch.undo()
        harness.wait_for("database_ready")
        for number, text in enumerate(("plain", "100 €", "漢字", "\0 and 😀", "\x9f ä")):
            harness.tell(
                "fill", pair="btc", leg=0, venue="vest", symbol=f"BTC {text}", client_order_id=number,
                fill_id=f"f{number}", side="BUY", price_e8=10**12, size_e8=10**6, fee_e8=5,
            )  # fmt: skip
        harness.push(3, reason="größe €")
        harness.wait_until_stored()
        assert harness.events("database_away") == []
        assert harness.stop() == 0
        with psycopg.connect(url, client_encoding="utf8") as connection:
            (fills,) = connection.execute("select count(*) from fills").fetchone() or (0,)
            reasons = connection.execute("select body ->> 'reason' from events where body ? 'reason'")
            found = {text for (text,) in reasons}
        assert fills + len(harness.events("event_unstorable")) == 5
        holds_all = encoding in ("UTF8", "SQL_ASCII")
        assert found == ({"größe €"} if holds_all or encoding == "WIN1252" else found)
        if encoding == "LATIN1":
            assert found == {"größe ?"}


def test_no_line_ends_persistence_or_a_later_start(server: Server) -> None:
    """Our own mistakes, and what a damaged queue might hold."""
    nested = b'{"a":' * 600 + b"1" + b"}" * 600
    with a_database(server, "alter schema public owner to bot") as url, a_harness(url) as harness:
        harness.start()
        harness.wait_for("database_ready")
        good = harness.a_line("halted", "executor", pair="btc", detail="x")
        lines = [
            b"null", b"[]", b"[1]", b"\xff\xfe", b'{"event": 5}', nested,
            good[:-1] + b',"more":' + nested[:1500] + b"}",
            good.replace(b'"ts":"2026', b'"ts":"never'),
            good.replace(b'"mono_ns":', b'"mono_ns":9999999999999'),
            good.replace(b'"pair":"btc"', b'"pair":{"a":[1,"\\u0000"]}'),
            *(good.replace(b"halted", event) for event in (b"holding", b"fill", b"trade_closed")),
            good.replace(b'"detail":"x"', b'"detail":"\\ud800"'),
        ]  # fmt: skip
        for line in lines:
            harness.push_line(line)
        harness.push(2)
        harness.wait_until_stored()
        assert harness.stop() == 0
        assert harness.events("database_away") == []
        harness.new_run("run-2")
        harness.start()
        harness.wait_for("database_ready", 2)
        harness.push(2)
        harness.wait_until_stored()
        assert harness.stop() == 0
