"""One instance per account, by the database's clock; a real PostgreSQL says who."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from persistence.lease import Holder, LeaseHeld, release, take
from persistence.store import Store

ACCOUNTS = ("vest api 0xabc", "paradex api 0xdef")
FIRST = Holder("journal-1", "vps1", "alpha", 11)
SECOND = Holder("journal-2", "vps2", "beta", 22)


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection]:
    store = Store(database_url, "j")
    store.migrate()
    store.close()
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_the_second_is_told_who_holds_the_account(database: psycopg.Connection) -> None:
    take(database, ACCOUNTS, FIRST, 100)
    with pytest.raises(LeaseHeld) as refused:
        take(database, ACCOUNTS[:1], SECOND, 100)

    for logged in ("vest api 0xabc", "'vps1'", "alpha", "pid 11", "since 20", " s"):
        assert logged in str(refused.value)


def test_of_several_accounts_all_are_taken_or_none(database: psycopg.Connection) -> None:
    """Half an instance could send one leg."""
    take(database, ACCOUNTS[:1], FIRST, 100)
    with pytest.raises(LeaseHeld):
        take(database, ACCOUNTS, SECOND, 100)

    assert database.execute("select holder from leases").fetchall() == [("journal-1",)]


def test_a_lease_that_is_not_renewed_goes_to_who_asks_and_the_first_is_refused(
    database: psycopg.Connection,
) -> None:
    take(database, ACCOUNTS, FIRST, 100, ttl_s=0.0)
    assert take(database, ACCOUNTS, SECOND, 50) == 100

    with pytest.raises(LeaseHeld, match="'vps2'"):
        take(database, ACCOUNTS, FIRST, 100)


def test_a_renewed_lease_keeps_its_beginning_and_its_end_moves_on(database: psycopg.Connection) -> None:
    query = "select since, expires_at from leases where account = %s"
    take(database, ACCOUNTS, FIRST, 100)
    before = database.execute(query, ACCOUNTS[:1]).fetchone()
    take(database, ACCOUNTS, FIRST, 101)
    after = database.execute(query, ACCOUNTS[:1]).fetchone()

    assert before is not None
    assert after is not None
    assert after[0] == before[0]
    assert after[1] > before[1]


def test_whoever_takes_over_begins_above_every_number_that_was_used(database: psycopg.Connection) -> None:
    """The other host's clock was a day ahead: the same number would make the same client order id."""
    take(database, ACCOUNTS, FIRST, 86_500)
    release(database, FIRST)

    assert take(database, ACCOUNTS, SECOND, 100) == 86_500


def test_a_killed_instance_that_starts_again_need_not_wait(database: psycopg.Connection) -> None:
    """Its lock file says that the former life is dead; the journal's id says that it is the same one."""
    take(database, ACCOUNTS, FIRST, 100)
    take(database, ACCOUNTS, FIRST._replace(pid=12), 101)

    assert database.execute("select distinct pid from leases").fetchall() == [(12,)]
