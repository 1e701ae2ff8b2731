"""The judge of ``make crash`` and ``make proxy`` sees what journal and database tell otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from persistence.server import start_server
from persistence.store import Store
from simulator.orders import SimOrder, SimOrderStatus
from tests.instance import a_directory
from tests.supervision.test_unattended import hold
from venues.contract import E8
from verification.agreement import differences

SIZE_E8 = 5  # of the order
HELD_E8 = {"vest": 1, "paradex": -1}  # as the journal of ``hold`` has it
INSERT_ORDER = """
    insert into orders (client_order_id, run_id, trade_id, pair, leg, venue, symbol, side, purpose, attempt,
                        reduce_only, size_base, limit_price_quote, status, sent_at)
    values (77, 'r', 1, 'btc', 0, 'vest', 'A', 'BUY', 'entry', 0, false, 1, 1, 'filled', now())
"""
INSERT_FILL = """
    insert into fills (venue, fill_id, client_order_id, run_id, symbol, side, price_quote, size_base,
                       fee_quote, filled_at)
    values ('vest', 'f', 77, 'r', 'A', 'BUY', 1, %s, 0, now())
"""
INSERT_POSITION = """
    insert into positions (venue, symbol, run_id, pair, size_base) values (%s, 'A', 'r', 'btc', %s)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with a_directory() as directory:
        url = start_server(directory / "var")
        Store(url, "journal").migrate()
        yield url


def an_order(filled_e8: int) -> SimOrder:
    return SimOrder(
        *("v1", "77", "account", "A", 1, E8, E8, "IOC", False, False, 0, 0, 0, 0),
        status=SimOrderStatus.FILLED,
        filled_e8=filled_e8,
    )


def store(url: str, *, is_order_known: bool, filled_e8: int, held_e8: dict[str, int]) -> None:
    with psycopg.connect(url) as connection:
        for table in ("orders", "fills", "positions"):
            connection.execute(f"delete from {table}".encode())
        if is_order_known:
            connection.execute(INSERT_ORDER)
        connection.execute(INSERT_FILL, (filled_e8 / E8,))
        for venue, size_e8 in held_e8.items():
            connection.execute(INSERT_POSITION, (venue, size_e8 / E8))


def test_books_that_agree_have_no_differences(url: str, tmp_path: Path) -> None:
    store(url, is_order_known=True, filled_e8=SIZE_E8, held_e8=HELD_E8)
    orders = {"vest": [an_order(SIZE_E8)], "paradex": []}

    assert list(differences(hold(tmp_path), url, "btc", HELD_E8, orders)) == []


@pytest.mark.parametrize(
    ("known", "filled_e8", "held_e8", "seen"),
    [
        (False, SIZE_E8, HELD_E8, "the database does not know"),
        (True, SIZE_E8 - 1, HELD_E8, "our fills are 4"),
        (True, SIZE_E8, {"vest": 1}, "the database says"),
    ],
)
def test_each_difference_is_named(
    url: str, tmp_path: Path, known: bool, filled_e8: int, held_e8: dict[str, int], seen: str
) -> None:
    store(url, is_order_known=known, filled_e8=filled_e8, held_e8=held_e8)
    orders = {"vest": [an_order(SIZE_E8)]}

    wrong = list(differences(hold(tmp_path), url, "btc", HELD_E8, orders))

    assert len(wrong) == 1
    assert seen in wrong[0]


def test_a_journal_that_knows_nothing_is_one_of_them(url: str, tmp_path: Path) -> None:
    store(url, is_order_known=True, filled_e8=SIZE_E8, held_e8=HELD_E8)

    (wrong,) = differences(hold(tmp_path, size_e8=0), url, "btc", HELD_E8, {"vest": [an_order(SIZE_E8)]})

    assert wrong.startswith("positions: the journal says")
