"""Results that are estimates until the venues have told every price and fee: tables, views, and the fold."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from persistence.store import Store
from runtime.carried_positions import pair_from, plain
from tests.persistence.test_restore import ORDER, OTHER, a_checkpoint, a_holding, a_line, an_intent, fold
from tests.persistence.test_store import A_RESULT, A_TRADE, AN_ORDER, an_entry, rows

A_DAY_MS = 86_400_000
RESULT: dict[str, Any] = {
    "pair": "btc", "trade_id": 77, "direction": 1, "gross_e8": 500, "fees_e8": 100, "net_e8": 400,
}  # fmt: skip
CORRECTED: dict[str, Any] = {
    **RESULT, "fees_e8": 145, "net_e8": 355, "gross_change_e8": 0, "fees_change_e8": 45,
    "net_change_e8": -45, "was_estimated": True, "is_estimated": False, "closed_ago_ms": 2_500.0,
}  # fmt: skip
LEGS = [
    {"leg": leg, "venue": "vest", "symbol": "XY"[leg], "size_e8": 1 - leg, "entry_price_e8": 1, "fee_e8": 0}
    for leg in (0, 1)
]


@pytest.fixture
def store(database_url: str) -> Store:
    store = Store(database_url, "journal-1")
    store.migrate()
    return store


def test_a_correction_corrects_the_trade_the_day_and_the_order(store: Store, database_url: str) -> None:
    order = {**AN_ORDER, "venue_order_id": "v", "size_e8": 2_000_000, "filled_e8": 2_000_000,
             "average_price_e8": 10**12, "order_state": "filled"}  # fmt: skip
    shown = (
        "select t.fees_quote, d.fees_quote, d.net_quote, t.is_estimated, d.is_estimated, o.fee_quote, "
        "o.is_estimated, p.is_estimated from trades t, daily_profit d, orders o, open_positions p"
    )
    holding = {"pair": "btc", "trade_id": 77, "legs": LEGS}
    store.write(
        [
            an_entry(1, "leg_filled", **order, fee_e8=0, is_estimated=True, fill_us=1.0),
            an_entry(2, "holding", **holding, is_estimated=True),
            an_entry(3, "trade_closed", **A_TRADE, **A_RESULT, is_estimated=True),
        ]
    )
    assert rows(database_url, shown) == [(1, 1, 4, True, True, 0, True, True)]

    reported = {"gross_e8": 5 * 10**8, "fees_e8": 3 * 10**8, "net_e8": 2 * 10**8, "closed_ago_ms": 1.0}
    store.write(
        [
            an_entry(4, "leg_corrected", **order, fee_e8=2 * 10**8, is_estimated=False),
            an_entry(5, "trade_corrected", **{**A_TRADE, **reported}, is_estimated=False),
            an_entry(6, "holding", **holding, is_estimated=False),
        ]
    )

    assert rows(database_url, shown) == [(3, 3, 2, False, False, 2, False, False)]


def test_an_open_trade_is_an_estimate_as_long_as_its_holding_is(store: Store, database_url: str) -> None:
    shown = "select is_estimated from open_trades"
    store.write([an_entry(1, "trade_opened", **A_TRADE, is_estimated=True)])
    assert rows(database_url, shown) == [(True,)]

    store.write([an_entry(2, "holding", pair="btc", trade_id=77, legs=LEGS, is_estimated=False)])

    assert rows(database_url, shown) == [(False,)]


def test_a_trade_closed_twice_has_earned_both(store: Store, database_url: str) -> None:
    store.write([an_entry(1, "trade_closed", **A_TRADE, **A_RESULT)])
    store.write([an_entry(2, "trade_closed", **{**A_TRADE, **A_RESULT, "net_e8": -(10**8)})])

    assert rows(database_url, "select fees_quote, net_quote from trades") == [(2, 3)]


def test_a_closing_that_was_not_told_is_made_up_for(store: Store, database_url: str) -> None:
    """Killed between the state and the line; the next life tells what the trade has earned."""
    store.write([an_entry(1, "trade_opened", **A_TRADE)])
    reported = {**A_TRADE, **A_RESULT, "closed_ago_ms": 5_000.0, "is_estimated": False}

    store.write([an_entry(2, "trade_retold", **reported), an_entry(3, "trade_retold", **reported)])

    shown = "select state, net_quote, closed_at = '2026-01-02T03:04:00.000006Z' from trades"
    assert rows(database_url, shown) == [("closed", 4, True)]


# ------------------------------------------------------------------------------------- the fold


def a_fate(order: dict[str, Any], *, fee_e8: int, is_estimated: bool, event: str = "leg_filled") -> Any:
    return a_line(
        event, **order, size_e8=2_000_000, venue_order_id="v1", filled_e8=2_000_000,
        average_price_e8=6_000 * 10**9, fee_e8=fee_e8, order_state="filled", is_estimated=is_estimated,
    )  # fmt: skip


CLOSED = [
    an_intent(ORDER),
    an_intent(OTHER),
    a_fate(ORDER, fee_e8=12, is_estimated=False),
    a_fate(OTHER, fee_e8=5, is_estimated=True),
    a_line("fill", **OTHER, fill_id="f1", price_e8=6_000 * 10**9, size_e8=500_000, fee_e8=5),
    a_holding(2_000_000, -2_000_000),
    a_line("trade_closed", **RESULT, is_estimated=True),
    a_holding(0, 0, trade_id=0),
]


def test_an_order_without_its_account_is_kept_until_it_has_one() -> None:
    (pair,) = fold(CLOSED).held()

    (order,) = pair.unaccounted
    assert (order.client_order_id, order.fill_ids, order.fills_e8, order.fee_e8) == (78, ("f1",), 500_000, 5)
    assert (pair.result_e8, pair.estimated) == (400, 1)
    assert pair_from(orjson.loads(orjson.dumps(plain(pair)))) == pair

    reported = [
        a_fate(OTHER, fee_e8=50, is_estimated=False, event="leg_corrected"),
        a_line("trade_corrected", **CORRECTED),
    ]
    (pair,) = fold([*CLOSED, *reported]).held()

    assert not pair.unaccounted
    assert (pair.result_e8, pair.estimated) == (355, 0)


def test_a_checkpoint_in_between_changes_nothing() -> None:
    lines = [
        *CLOSED,
        a_fate(OTHER, fee_e8=50, is_estimated=False, event="leg_corrected"),
        a_line("trade_corrected", **CORRECTED),
        a_line("trade_retold", **{**CORRECTED, "closed_ago_ms": 9_000.0}),
    ]
    whole = fold(lines).held()
    for place in range(len(lines) + 1):
        kept = a_checkpoint(fold(lines[:place]))
        assert fold([orjson.loads(orjson.dumps(kept)), *lines[place:]]).held() == whole, place


def test_a_closing_that_was_not_told_counts_once_when_it_is_told_again() -> None:
    opened = CLOSED[:-2]
    retold = a_line("trade_retold", **{**CORRECTED, "closed_ago_ms": 1.0})

    (pair,) = fold([*opened, retold, retold, a_holding(0, 0, trade_id=0)]).held()

    assert (pair.result_e8, pair.estimated, pair.trade_id) == (355, 0, 0)


def test_a_correction_belongs_to_the_day_on_which_the_trade_was_closed() -> None:
    late = a_line("trade_corrected", **{**CORRECTED, "closed_ago_ms": A_DAY_MS})
    next_day = a_line("trade_closed", pair="btc", trade_id=99, net_e8=7)

    (pair,) = fold([next_day, late]).held()

    assert pair.result_e8 == 7
