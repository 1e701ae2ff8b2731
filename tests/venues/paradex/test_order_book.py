"""The order book against the plainest possible one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from venues.paradex.order_book import OrderBook

LEVELS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=8)


@given(LEVELS, LEVELS, st.lists(st.tuples(LEVELS, LEVELS), max_size=12), st.integers(0, 6))
def test_the_book_is_the_sum_of_its_updates(
    bids: list[tuple[int, int]],
    asks: list[tuple[int, int]],
    deltas: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]],
    count: int,
) -> None:
    """Two dictionaries and a sort say what the best levels are; the kept order must agree."""
    book = OrderBook()
    book.replace(10, bids=bids, asks=asks)
    plain_bids, plain_asks = dict(bids), dict(asks)
    for number, (more_bids, more_asks) in enumerate(deltas):
        book.apply(11 + number, bids=more_bids, asks=more_asks)
        plain_bids.update(more_bids)
        plain_asks.update(more_asks)

    best_bids = sorted(((p, s) for p, s in plain_bids.items() if s), reverse=True)
    best_asks = sorted((p, s) for p, s in plain_asks.items() if s)
    assert book.best_bids(count) == best_bids[:count]
    assert book.best_asks(count) == best_asks[:count]
    assert book.is_two_sided() == bool(best_bids and best_asks)
    assert book.is_crossed() == bool(best_bids and best_asks and best_bids[0][0] > best_asks[0][0])
    assert book.sequence == 10 + len(deltas)


def test_a_snapshot_leaves_nothing_of_the_book_before() -> None:
    """A level that survived a resubscription would be a phantom."""
    book = OrderBook()
    book.replace(1, bids=[(5, 1), (4, 1)], asks=[(6, 1)])

    book.replace(9, bids=[(3, 2)], asks=[])

    assert (book.best_bids(9), book.best_asks(9), book.sequence) == ([(3, 2)], [], 9)


def test_a_forgotten_book_is_empty_and_out_of_step() -> None:
    """After a gap nothing of it may be read."""
    book = OrderBook()
    book.replace(1, bids=[(5, 1)], asks=[(6, 1)])

    book.forget()

    assert (book.is_synchronised, book.best_bids(1), book.best_asks(1)) == (False, [], [])
