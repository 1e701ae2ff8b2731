"""What a paper order takes of the depth, and what the virtual account makes of it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from executor.gateways.paper.account import VirtualAccount, fee_e8
from executor.gateways.paper.book import (
    PPB,
    NoBook,
    PaperBook,
    average_price_e8,
    slipped_price_e8,
    standing_book,
    walk,
)
from shm.records import DepthBook, Quote, QuoteFlags
from venues.contract import E8, Instrument, Side

TICK_E8, LOT_E8 = E8 // 10, E8 // 1000
GRID = Instrument(0, "vest", "X", "X", TICK_E8, LOT_E8, LOT_E8, 0, 0, 1, 3, 1.0, True)
MS = 1_000_000
NOW = 10_000 * MS
SIDES = st.sampled_from(Side)


def a_quote(bid: float, ask: float, *, age_ms: int, flags: int = QuoteFlags.VALID) -> Quote:
    recv = NOW - age_ms * MS
    return Quote(0, round(bid * E8), round(ask * E8), 3 * E8, 4 * E8, 0, recv, recv, 0, flags, 1)


def a_depth(*, age_ms: int, is_valid: bool = True) -> DepthBook:
    bids = [(99 * E8, E8), (98 * E8, 2 * E8)]
    asks = [(100 * E8, E8), (101 * E8, 2 * E8)]
    return DepthBook(bids, asks, NOW - age_ms * MS, 0, is_valid)


def standing(quote: Quote | None, depth: DepthBook | None) -> PaperBook | NoBook:
    return standing_book(quote, depth, now_mono_ns=NOW, max_age_ns=1_000 * MS)


def code_of(found: PaperBook | NoBook) -> str:
    assert isinstance(found, NoBook), found
    return found.code


@st.composite
def levels(draw: st.DrawFn, side: Side) -> list[tuple[int, int]]:
    """Levels that an order on ``side`` meets, best first, of any sizes."""
    prices = draw(st.lists(st.integers(1, 2_000), unique=True, max_size=8))
    sizes = draw(st.lists(st.integers(0, 5 * E8), min_size=len(prices), max_size=len(prices)))
    return [(price * TICK_E8, size) for price, size in zip(sorted(prices)[:: side.value], sizes, strict=True)]


@given(data=st.data(), side=SIDES, lots=st.integers(1, 20_000), limit=st.integers(1, 2_000))
def test_no_more_is_taken_than_stands_within_the_limit_and_it_costs_the_sum_of_its_levels(
    data: st.DataObject, side: Side, lots: int, limit: int
) -> None:
    """Against the plainest reckoning there is: lot by lot, each from the best level that has one."""
    book, limit_e8, size_e8 = data.draw(levels(side)), limit * TICK_E8, lots * LOT_E8
    taken = walk(
        book,
        side,
        size_e8=size_e8,
        limit_price_e8=limit_e8,
        slippage_ppb=0,
        instrument=GRID,
    )

    within = [(price, size // LOT_E8) for price, size in book if side * price <= side * limit_e8]
    one_by_one = [price for price, count in within for _ in range(count)][:lots]
    assert sum(part.size_e8 for part in taken) == len(one_by_one) * LOT_E8
    assert sum(part.price_e8 * part.size_e8 for part in taken) == sum(one_by_one) * LOT_E8
    assert all(part.level_price_e8 == part.price_e8 for part in taken)


@given(data=st.data(), side=SIDES, slippage_ppb=st.integers(0, PPB // 10), limit=st.integers(1, 2_000))
def test_what_slippage_makes_of_a_price_is_held_to_the_limit(
    data: st.DataObject, side: Side, slippage_ppb: int, limit: int
) -> None:
    book = data.draw(levels(side))
    taken = walk(
        book,
        side,
        size_e8=100 * E8,
        limit_price_e8=limit * TICK_E8,
        slippage_ppb=slippage_ppb,
        instrument=GRID,
    )

    for part in taken:
        assert side * part.price_e8 <= side * limit * TICK_E8
        exact = part.level_price_e8 * (1 + side * Fraction(slippage_ppb, PPB))
        assert part.price_e8 % TICK_E8 == 0
        assert 0 <= side * (part.price_e8 - exact) < TICK_E8


def test_slippage_is_rounded_against_the_taker() -> None:
    """100 with 0.5 bps is 100.005: the next tick up for a buy, 99.9 for a sell."""
    half_bps = 50_000

    assert slipped_price_e8(100 * E8, Side.BUY, slippage_ppb=half_bps, instrument=GRID) == 1001 * TICK_E8
    assert slipped_price_e8(100 * E8, Side.SELL, slippage_ppb=half_bps, instrument=GRID) == 999 * TICK_E8
    assert slipped_price_e8(100 * E8, Side.BUY, slippage_ppb=0, instrument=GRID) == 100 * E8


@given(parts=st.lists(st.tuples(st.integers(1, 10**14), st.integers(1, 10**12)), min_size=1), side=SIDES)
def test_an_average_is_never_better_than_what_was_paid(parts: list[tuple[int, int]], side: Side) -> None:
    exact = Fraction(sum(price * size for price, size in parts), sum(size for _, size in parts))

    assert 0 <= side * (average_price_e8(parts, side) - exact) < 1


def test_depth_newer_than_the_touch_is_taken_as_it_is() -> None:
    found = standing(a_quote(90, 91, age_ms=50), a_depth(age_ms=10))

    assert isinstance(found, PaperBook)
    assert found.against(Side.BUY) == [(100 * E8, E8), (101 * E8, 2 * E8)]
    assert found.mid_e8 == 9_950_000_000


def test_a_newer_touch_replaces_what_the_depth_shows_up_to_it() -> None:
    """The market rose: the depth's best ask is gone, and its best bid is not the best any more."""
    found = standing(a_quote(100, 101, age_ms=10), a_depth(age_ms=50))

    assert isinstance(found, PaperBook)
    assert found.asks == [(101 * E8, 4 * E8)]
    assert found.bids == [(100 * E8, 3 * E8), (99 * E8, E8), (98 * E8, 2 * E8)]

    unmoved = standing(a_quote(99, 100, age_ms=10), a_depth(age_ms=50))
    assert isinstance(unmoved, PaperBook)
    assert unmoved.bids == [(99 * E8, 3 * E8), (98 * E8, 2 * E8)]
    assert unmoved.asks == [(100 * E8, 4 * E8), (101 * E8, 2 * E8)]


def test_old_missing_or_flagged_prices_are_no_book() -> None:
    good = a_quote(99, 100, age_ms=0)
    stale = standing(good, a_depth(age_ms=1_001))
    assert stale == NoBook("PAPER_STALE_BOOK", "the depth is 1001 ms old, the limit is 1000 ms")
    assert isinstance(standing(good, a_depth(age_ms=1_000)), PaperBook)
    assert code_of(standing(good, None)) == "PAPER_NO_BOOK"
    assert code_of(standing(good, a_depth(age_ms=0, is_valid=False))) == "PAPER_NO_BOOK"
    assert code_of(standing(None, a_depth(age_ms=0))) == "PAPER_NO_BOOK"
    for flags in (0, QuoteFlags.VALID | QuoteFlags.STALE, QuoteFlags.VALID | QuoteFlags.CROSSED):
        assert code_of(standing(good._replace(flags=flags), a_depth(age_ms=0))) == "PAPER_NO_BOOK"


@given(
    trades=st.lists(
        st.tuples(
            st.sampled_from(["BTC", "ETH"]), SIDES, st.integers(1, 10**14), st.integers(1, 10**12),
            st.integers(0, PPB // 100),
        )
    ),
    marks=st.tuples(st.integers(1, 10**14), st.integers(1, 10**14)),
)  # fmt: skip
def test_no_money_comes_from_nowhere(
    trades: list[tuple[str, Side, int, int, int]], marks: tuple[int, int]
) -> None:
    """Equity is the first balance, less what was paid, plus what was received, and what is held now."""
    account, cash_e16, held = VirtualAccount(1_000 * E8 * E8), 1_000 * E8 * E8, {"BTC": 0, "ETH": 0}
    mark_e8 = dict(zip(("BTC", "ETH"), marks, strict=True))
    for symbol, side, price_e8, size_e8, fee_ppb in trades:
        paid_e8 = fee_e8(price_e8, size_e8, fee_ppb)
        assert 0 <= paid_e8 - Fraction(price_e8 * size_e8 * fee_ppb, E8 * PPB) < 1
        account.trade(symbol, side, price_e8, size_e8, paid_e8)
        cash_e16 -= side * price_e8 * size_e8 + paid_e8 * E8
        held[symbol] += side * size_e8

    assert {symbol: account.position_e8(symbol) for symbol in held} == held
    assert account.equity_e16(mark_e8.__getitem__) == cash_e16 + sum(
        held[symbol] * mark_e8[symbol] for symbol in held
    )
    for holding in account.holdings.values():
        assert (holding.cost_e16 == 0) == (holding.size_e8 == 0) or holding.size_e8 * holding.cost_e16 > 0


def test_a_round_trip_realises_its_difference_less_both_fees() -> None:
    account = VirtualAccount(100 * E8 * E8)
    account.trade("BTC", Side.BUY, 50 * E8, 2 * E8, 3)
    account.trade("BTC", Side.SELL, 53 * E8, 2 * E8, 4)

    assert account.position_e8("BTC") == 0
    assert account.balance_e16 == (100 + 2 * 3) * E8 * E8 - 7 * E8
    assert account.holdings["BTC"].realised_e16 == 6 * E8 * E8
