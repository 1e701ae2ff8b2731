"""What we hold and why, from the journal alone: whatever of it the last power failure left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from events.codec import fields_of, from_fields
from persistence.journal import Journal, files
from persistence.restore import SOURCE, Holdings, holdings_of, is_held
from persistence.restore import fold as fold_events
from runtime.carried_positions import (
    CarriedFunding,
    CarriedOrder,
    CarriedPair,
    pair_from,
    plain,
    read_carried,
    write_carried,
)
from tests.reported import Line, blanks

NOON_UNIX_MS = 1_767_355_445_000
ORDER: Line = {"pair": "btc", "trade_id": 77, "leg": 0, "venue": "vest", "symbol": "BTC-PERP",
               "client_order_id": 77, "side": "BUY", "purpose": "entry", "attempt": 0}  # fmt: skip
OTHER: Line = {**ORDER, "leg": 1, "venue": "paradex", "symbol": "BTC-USD-PERP", "client_order_id": 78,
               "side": "SELL"}  # fmt: skip


def a_line(event: str, *, second: int = 5, proc: str = "executor", **fields: Any) -> Line:
    head = {"ts": f"2026-01-02T12:04:{second:02d}.000000Z", "level": "info", "event": event, "proc": proc}
    return {
        **head,
        "run_id": "r1",
        **blanks(event),
        **fields,
        "mono_ns": 60_000_000_000 + second * 1_000_000_000,
    }


def fold(lines: Iterable[Line]) -> Holdings:
    return fold_events(map(from_fields, lines))


def a_checkpoint(holdings: Holdings) -> Line:
    return a_line("journal_checkpoint", proc=SOURCE, **fields_of(holdings.checkpoint("demo", "live")))


def an_intent(order: Line, **fields: Any) -> Line:
    sizes: Line = {"size_e8": 2_000_000, "limit_price_e8": 6_001 * 10**9, "reduce_only": False}
    facts: Line = {**order, **sizes, **fields}
    return a_line("intent_written", **facts)


def a_fill(order: Line, filled_e8: int, state: str = "filled") -> Line:
    facts: Line = {
        "size_e8": 2_000_000,
        "venue_order_id": "v1",
        "average_price_e8": 6_000 * 10**9,
        "fee_e8": 12,
    }
    return a_line("leg_filled", **order, **facts, filled_e8=filled_e8, order_state=state)


def a_holding(first_e8: int, second_e8: int, *, trade_id: int = 77, opened_s: int = 63) -> Line:
    legs = [
        {"leg": 0, "venue": "vest", "symbol": "BTC-PERP", "size_e8": first_e8},
        {"leg": 1, "venue": "paradex", "symbol": "BTC-USD-PERP", "size_e8": second_e8},
    ]
    return a_line(
        "holding", pair="btc", trade_id=trade_id, direction=1, layers=1, is_estimated=False,
        opened_mono_ns=opened_s * 1_000_000_000,
        legs=[{**leg, "entry_price_e8": 6_000 * 10**9, "fee_e8": 12} for leg in legs],
    )  # fmt: skip


ENTRY = [an_intent(ORDER), an_intent(OTHER)]
FILLED = [a_fill(ORDER, 2_000_000), a_fill(OTHER, 2_000_000), a_holding(2_000_000, -2_000_000)]


def test_funding_that_was_not_read_stays_due_through_a_checkpoint() -> None:
    """Nothing is held any more, and a payment that the venue has made is still to be asked for."""
    fill = a_line("fill", **ORDER, fill_id="f1", venue_order_id="v1", is_funding_due=True)
    holdings = fold([fill, a_line("fill", **OTHER, fill_id="f2", venue_order_id="v2", is_funding_due=False)])
    (due,) = fold([a_checkpoint(holdings)]).held()

    assert due.funding_due == (CarriedFunding(0, 77, "v1"),)
    assert not is_held(due)
    assert fold([fill, a_line("funding_read", pair="btc", leg=0, client_order_id=77)]).held() == []


def test_a_hedged_pair_is_known_with_its_trade_and_prices() -> None:
    (pair,) = fold([*ENTRY, *FILLED]).held()

    assert pair == CarriedPair(
        pair="btc",
        legs=("vest:BTC-PERP", "paradex:BTC-USD-PERP"),
        trade_id=77,
        direction=1,
        layers=1,
        sizes_e8=(2_000_000, -2_000_000),
        entry_prices_e8=(6_000 * 10**9, 6_000 * 10**9),
        fees_e8=(12, 12),
        opened_unix_ms=NOON_UNIX_MS - 2_000,
        orders=(),
        told_unix_ms=NOON_UNIX_MS,
    )


def test_orders_without_an_end_are_under_way() -> None:
    """Written before their bytes left: whether they reached the venue only the venue knows."""
    (pair,) = fold(ENTRY).held()

    assert is_held(pair)
    assert pair.sizes_e8 == (0, 0)
    assert [(order.client_order_id, order.state, order.leg) for order in pair.orders] == [
        (77, "sent", 0),
        (78, "sent", 1),
    ]
    assert pair.orders[0] == CarriedOrder(
        77, 0, "BUY", 2_000_000, 6_001 * 10**9, False, "entry", 0, 77, NOON_UNIX_MS
    )
    assert (pair.trade_id, pair.direction) == (77, 1)


@pytest.mark.parametrize("state", ["filled", "cancelled", "rejected", "unsent", "absent"])
def test_an_order_that_ended_is_no_longer_under_way(state: str) -> None:
    (pair,) = fold([*ENTRY, a_fill(ORDER, 0, state)]).held()

    assert [order.client_order_id for order in pair.orders] == [78]


def test_an_order_whose_intent_was_lost_is_under_way_once_it_is_told_of() -> None:
    """Killed between the order's bytes and its line: the successor first tells that it is in doubt."""
    order: Line = {**ORDER, "client_order_id": 79, "purpose": "exit", "size_e8": 5, "filled_e8": 0}
    answers: Line = {"venue_order_id": "", "average_price_e8": 0, "fee_e8": 0, "order_state": "in_doubt"}
    facts = a_line("leg_unknown", **order, **answers)

    (pair,) = fold([*ENTRY, *FILLED, facts]).held()

    assert [(order.client_order_id, order.state, order.reduce_only) for order in pair.orders] == [
        (79, "in_doubt", True)
    ]
    assert pair.sizes_e8 == (2_000_000, -2_000_000)


def test_a_fill_counts_even_if_what_followed_was_lost() -> None:
    """The power went between two lines of one step: the position is the fill's, not the older one's."""
    lines = [*ENTRY, a_fill(ORDER, 500_000, "open"), a_fill(ORDER, 2_000_000), *FILLED[1:]]
    expected = [(0, 0), (0, 0), (500_000, 0), (2_000_000, 0), (2_000_000, -2_000_000)]

    for count, sizes_e8 in enumerate(expected, 1):
        (pair,) = fold(lines[:count]).held()
        assert pair.sizes_e8 == sizes_e8, count
    (pair,) = fold(lines[:4]).held()
    assert pair.entry_prices_e8 == (6_000 * 10**9, 0)
    assert pair.fees_e8 == (12, 0)


def test_an_entry_beside_a_remainder_is_of_its_own_trade() -> None:
    """What was too small to be closed kept the name of the new trade out, and its fills were nobody's."""
    closed = a_line("trade_closed", pair="btc", trade_id=77, net_e8=0)
    remainder = a_holding(5, 0, trade_id=0, opened_s=0)
    new: Line = {**ORDER, "client_order_id": 99, "trade_id": 99, "side": "SELL"}

    (pair,) = fold([*ENTRY, *FILLED, closed, remainder, an_intent(new), a_fill(new, 2_000_000)]).held()

    assert (pair.trade_id, pair.direction) == (99, -1)
    assert pair.sizes_e8 == (5 - 2_000_000, 0)


def test_a_closed_trade_leaves_its_result_of_the_day_and_nothing_else() -> None:
    closed = a_line("trade_closed", pair="btc", trade_id=77, net_e8=-5 * 10**8)
    again = a_line("trade_closed", pair="btc", trade_id=99, net_e8=2 * 10**8)

    (pair,) = fold([*ENTRY, *FILLED, closed, a_holding(0, 0, trade_id=0), again]).held()

    assert not is_held(pair)
    assert (pair.result_e8, pair.result_day) == (-3 * 10**8, 20_455)


def test_the_best_of_the_day_is_that_of_all_pairs_and_outlives_the_day_s_trades() -> None:
    """Stopped and started again, the instance measured its drawdown from zero: the limit began anew."""
    results = [("btc", 70), ("eth", 50), ("btc", -90), ("eth", -50)]
    lines = [a_line("trade_closed", pair=pair, trade_id=77, net_e8=net_e8) for pair, net_e8 in results]

    btc, eth = fold([orjson.loads(orjson.dumps(a_checkpoint(fold(lines))))]).held()

    assert (btc.result_e8, eth.result_e8) == (-20, 0)
    assert max(btc.best_e8, eth.best_e8) == 120


def test_a_checkpoint_and_the_lines_after_it_say_what_all_lines_say() -> None:
    """Wherever a journal file begins, the files before it are not needed."""
    lines = [*ENTRY, a_fill(ORDER, 500_000, "open"), *FILLED, an_intent({**ORDER, "client_order_id": 79})]
    whole = fold(lines).held()

    for place in range(len(lines) + 1):
        kept = orjson.loads(orjson.dumps(a_checkpoint(fold(lines[:place]))))
        assert fold([kept, *lines[place:]]).held() == whole, place


def a_journal(directory: Path, lines: list[Line], *, file_bytes: int = 1_500) -> None:
    """As persistence writes one: folding what is on disk, beginning every file with the fold."""
    holdings = Holdings()
    holdings.adopt(holdings_of(directory))

    def begin() -> tuple[str, bytes]:
        return SOURCE, orjson.dumps(a_checkpoint(holdings))

    journal = Journal(directory, "run", 1 + len(files(directory)), file_bytes=file_bytes, begin_with=begin)
    for cursor, line in enumerate(lines):
        journal.append(line["proc"], cursor, orjson.dumps(line))
        journal.sync()
        holdings.take(from_fields(line))
    journal.close()


def test_the_newest_file_is_enough(tmp_path: Path) -> None:
    lines = [*ENTRY, *FILLED, *[a_line("latency", stages_us={}, pad="x" * 200) for _ in range(20)]]
    a_journal(tmp_path, lines)
    paths = files(tmp_path)
    assert len(paths) > 3
    for path in paths[:-1]:
        path.unlink()

    assert holdings_of(tmp_path).held() == fold(lines).held()


def test_power_lost_at_any_byte_tells_what_was_on_disk(tmp_path: Path) -> None:
    """Never an error, never something that was not so at some instant."""
    lines = [*ENTRY, *FILLED]
    whole = tmp_path / "whole"
    a_journal(whole, lines, file_bytes=1 << 20)
    (path,) = files(whole)
    content = path.read_bytes()
    instants = [fold(lines[:count]).held() for count in range(len(lines) + 1)]
    seen = 0

    for size in range(0, len(content) + 1, 3):
        cut = tmp_path / f"cut-{size}"
        cut.mkdir()
        (cut / path.name).write_bytes(content[:size])
        seen = max(seen, instants.index(holdings_of(cut).held()))
        assert instants.index(holdings_of(cut).held()) >= seen

    assert holdings_of(whole).held() == instants[-1]
    assert seen >= len(lines) - 1


def test_lines_of_others_and_broken_ones_are_passed_over() -> None:
    """A start that knows the rest is better than none; what could not be read is told."""
    holdings = Holdings()
    for line in (*ENTRY, *FILLED):
        holdings.take_line("executor", orjson.dumps(line))
    before = holdings.held()

    holdings.take_line("feed-vest", orjson.dumps(a_holding(0, 0)))
    holdings.take_line("executor", b"{not json")
    holdings.take_line("executor", orjson.dumps({**a_holding(0, 0), "legs": []}))

    assert holdings.held() == before
    assert len(holdings.broken) == 2
    assert "malformed" in holdings.broken[0]


def test_what_is_held_reaches_the_executor_unchanged(tmp_path: Path) -> None:
    holdings = fold([*ENTRY, *FILLED, an_intent({**ORDER, "client_order_id": 79})])

    assert read_carried(tmp_path) == ()
    write_carried(tmp_path, holdings.held())

    assert read_carried(tmp_path) == tuple(holdings.held())
    assert pair_from(plain(holdings.held()[0])) == holdings.held()[0]


def test_an_order_whose_end_was_never_told_is_over_when_a_later_holding_does_not_name_it() -> None:
    """Killed between the end and its line. Asked about after a reboot it would be filled a second time."""
    facts = a_holding(2_000_000, -2_000_000)
    (kept,) = fold([*ENTRY, {**facts, "live": [OTHER["client_order_id"]]}]).held()
    (before,) = fold([*ENTRY, facts]).held()

    assert [order.client_order_id for order in kept.orders] == [OTHER["client_order_id"]]
    assert len(before.orders) == 2  # lines of a version that did not name them


def test_the_quote_rates_of_what_is_held_and_of_what_was_closed_survive(tmp_path: Path) -> None:
    """By the journal's lines, by its checkpoint, and on the way to the executor."""
    held = fold([*ENTRY, *FILLED[:-1], {**a_holding(2_000_000, -2_000_000), "quote_rate_e8": 98_000_000}])
    late = an_intent({**ORDER, "client_order_id": 79, "trade_id": 77, "purpose": "exit"})
    result: Line = {"gross_e8": 1, "fees_e8": 2, "net_e8": -1, "is_estimated": True}
    rates: Line = {"quote_rates_e8": [98_000_000, 99_000_000], "rate_move_e8": 5}
    closed = a_line("trade_closed", pair="btc", trade_id=77, direction=1, **result, **rates)
    (pair,) = held.held()
    assert pair.quote_rate_e8 == 98_000_000
    (again,) = fold([a_checkpoint(held)]).held()
    assert again == pair
    write_carried(tmp_path, [pair])
    assert read_carried(tmp_path) == (pair,)

    (pair,) = fold([a_checkpoint(held), late, closed]).held()
    assert pair.closed[-1].quote_rate_e8 == 99_000_000
    (plain_pair,) = fold([*ENTRY, *FILLED]).held()
    assert plain_pair.quote_rate_e8 == 100_000_000
