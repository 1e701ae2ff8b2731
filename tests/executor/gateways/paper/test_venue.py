"""The virtual venue: what it takes, what it refuses, and what it still knows after its process died."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.gateways.paper.book import NoBook, PaperBook
from executor.gateways.paper.journal import PaperJournal, PaperJournalError, PaperOrder
from executor.gateways.paper.venue import OrderRefused, Terms, VirtualVenue, update_of
from tests.executor.pair.model import an_instrument
from venues.contract import E8, Instrument, OrderRequest, OrderStatus, Side, TimeInForce

LOT_E8 = E8 // 1000
BTC: Instrument = an_instrument(0, tick_e8=E8 // 10, lot_e8=LOT_E8, min_size_e8=LOT_E8, is_trading=True)
FREE = Terms({BTC.symbol: 0}, slippage_ppb=0, leverage_max=100)


class Bench:
    """A virtual venue on a real file, and the book it sees."""

    def __init__(self, path: Path, terms: Terms = FREE, *, balance_e8: int = 1_000_000 * E8) -> None:
        self.path, self.terms, self.balance_e8 = path, terms, balance_e8
        self.book: PaperBook | NoBook = NoBook("PAPER_NO_BOOK", "not shown yet")
        self._feed_speaks = 0
        self._last_id = 0
        self.journal: PaperJournal | None = None
        self.begin_life()

    def begin_life(self) -> None:
        """As the next executor process would."""
        self.end_life()
        self.journal = PaperJournal(self.path, BTC.venue, self.balance_e8)
        self.venue = VirtualVenue((BTC,), self.terms, lambda _: self.book, self.journal)

    def end_life(self) -> None:
        if self.journal is not None:
            self.journal.close()
            self.journal = None

    def show(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
        self._feed_speaks += 1
        both = [[(round(price * E8), round(size * E8)) for price, size in side] for side in (bids, asks)]
        self.book = PaperBook(both[0], both[1], (self._feed_speaks, self._feed_speaks))

    def send(
        self,
        side: Side,
        size: float,
        limit: float,
        *,
        reduce_only: bool = False,
        tif: TimeInForce = TimeInForce.IOC,
        client_order_id: int = 0,
        late_ms: int = -1,
        instrument: Instrument = BTC,
    ) -> PaperOrder | OrderRefused:
        self._last_id += 1
        request = OrderRequest(
            client_order_id or self._last_id, instrument, side, round(size * E8), round(limit * E8),
            reduce_only, tif,
        )  # fmt: skip
        return self.venue.execute(request, valid_until_unix_ms=10_000, now_unix_ms=10_000 + late_ms)

    def fill(self, *arguments: object, **options: object) -> list[tuple[float, float]]:
        """Send; return (price, size) of what filled."""
        order = self.send(*arguments, **options)  # type: ignore[arg-type]
        assert isinstance(order, PaperOrder)
        assert not order.is_refused, order
        return [(fill.price_e8 / E8, fill.size_e8 / E8) for fill in order.fills]

    def refusal(self, *arguments: object, **options: object) -> str:
        before = (self.venue.account.balance_e16, self.position)
        order = self.send(*arguments, **options)  # type: ignore[arg-type]
        assert isinstance(order, OrderRefused) or (order.is_refused and not order.fills)
        assert (self.venue.account.balance_e16, self.position) == before
        return order.code

    @property
    def position(self) -> float:
        return self.venue.account.position_e8(BTC.symbol) / E8


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "paper.journal")
    yield bench
    bench.end_life()


def test_an_ioc_takes_what_stands_within_its_limit_and_the_rest_is_cancelled(bench: Bench) -> None:
    bench.show([(99, 1)], [(100, 1), (101, 1), (102, 5)])
    order = bench.send(Side.BUY, 3, 101)

    assert isinstance(order, PaperOrder)
    update = update_of(order, 0)
    assert (update.status, update.filled_e8) == (OrderStatus.CANCELLED, 2 * E8)
    assert update.average_price_e8 == round(100.5 * E8)
    assert update.reason == "PAPER_NO_LIQUIDITY"
    assert bench.position == 2


def test_a_fok_takes_all_or_nothing(bench: Bench) -> None:
    """And what it did not take is still there."""
    bench.show([(99, 1)], [(100, 1), (101, 1), (102, 5)])

    assert bench.fill(Side.BUY, 3, 101, tif=TimeInForce.FOK) == []
    assert bench.fill(Side.BUY, 2, 101, tif=TimeInForce.FOK) == [(100, 1), (101, 1)]
    assert bench.position == 2


def test_what_we_took_is_gone_until_the_feed_speaks_again(bench: Bench) -> None:
    """The public book never knew of us; filling twice from one message would be money from nowhere."""
    bench.show([(99, 1)], [(100, 1), (101, 1)])
    assert bench.fill(Side.BUY, 0.6, 100) == [(100, 0.6)]
    assert bench.fill(Side.BUY, 0.6, 101) == [(100, 0.4), (101, 0.2)]
    assert bench.fill(Side.SELL, 1, 99) == [(99, 1)]  # the other side is another matter

    bench.show([(99, 1)], [(100, 1), (101, 1)])
    assert bench.fill(Side.BUY, 1, 100) == [(100, 1)]


def test_each_refusal_has_its_name_and_changes_nothing(bench: Bench) -> None:
    assert bench.refusal(Side.BUY, 1, 100) == "PAPER_NO_BOOK"
    bench.show([(99, 1)], [(100, 9)])
    assert bench.fill(Side.BUY, 1, 100, client_order_id=77)

    assert bench.refusal(Side.BUY, 1, 100, client_order_id=77) == "PAPER_DUPLICATE_CLIENT_ORDER_ID"
    assert bench.refusal(Side.BUY, 1, 100, late_ms=1) == "PAPER_EXPIRED"
    assert bench.refusal(Side.BUY, 1, 100, tif=TimeInForce.GTC) == "PAPER_TIME_IN_FORCE"
    assert bench.refusal(Side.BUY, 1, 100.05) == "PAPER_OFF_GRID"
    assert bench.refusal(Side.BUY, 1, 100, instrument=BTC._replace(is_trading=False)) == "PAPER_MARKET_CLOSED"
    bench.book = NoBook("PAPER_STALE_BOOK", "too old")
    assert bench.refusal(Side.BUY, 1, 100) == "PAPER_STALE_BOOK"


def test_a_reduce_only_order_neither_opens_nor_flips(bench: Bench) -> None:
    bench.show([(99, 9)], [(100, 9)])
    assert bench.refusal(Side.SELL, 1, 99, reduce_only=True) == "PAPER_REDUCE_ONLY"
    bench.fill(Side.BUY, 2, 100)

    assert bench.refusal(Side.BUY, 1, 100, reduce_only=True) == "PAPER_REDUCE_ONLY"
    assert bench.refusal(Side.SELL, 3, 99, reduce_only=True) == "PAPER_REDUCE_ONLY"
    assert bench.fill(Side.SELL, 2, 99, reduce_only=True) == [(99, 2)]
    assert bench.position == 0


def test_an_account_without_margin_opens_no_more_and_may_still_close(tmp_path: Path) -> None:
    """50 of equity and twice that: one at 99.5 fits, a second does not."""
    bench = Bench(tmp_path / "paper.journal", FREE._replace(leverage_max=2), balance_e8=50 * E8)
    bench.show([(99, 9)], [(100, 9)])
    assert bench.fill(Side.BUY, 0.99, 100)

    bench.show([(99, 9)], [(100, 1)])
    assert bench.refusal(Side.BUY, 1, 100) == "PAPER_INSUFFICIENT_MARGIN"
    assert bench.fill(Side.BUY, 0.001, 100) == [(100, 0.001)]  # what was refused has taken nothing
    bench.show([(60, 9)], [(61, 9)])
    assert bench.fill(Side.SELL, 0.1, 60, reduce_only=True) == [(60, 0.1)]  # still too much, but less


def test_fees_are_paid_from_the_balance(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "paper.journal", FREE._replace(fee_ppb={BTC.symbol: 450_000}))
    bench.show([(99, 9)], [(100, 9)])
    order = bench.send(Side.BUY, 2, 100)

    assert isinstance(order, PaperOrder)
    assert update_of(order, 0).fee_e8 == round(200 * 0.00045 * E8)
    assert bench.venue.account.balance_e16 == (1_000_000 * E8 - round(0.09 * E8)) * E8


def test_the_margin_told_is_the_equity_and_what_the_positions_leave_of_it(tmp_path: Path) -> None:
    """What the gates before the wire go by."""
    bench = Bench(tmp_path / "paper.journal", FREE._replace(leverage_max=4), balance_e8=1_000 * E8)
    bench.show([(99, 9)], [(101, 9)])
    bench.fill(Side.BUY, 8, 101)
    account, positions = bench.venue.margin()

    assert (account.value_e8, account.free_e8) == (992 * E8, (992 - 200) * E8)  # marked at 100
    assert [(item.size_e8, item.entry_price_e8, item.mark_price_e8) for item in positions] == [
        (8 * E8, 101 * E8, 100 * E8)
    ]
    bench.show([(19, 9)], [(21, 9)])
    assert bench.venue.margin()[0].free_e8 == (1_000 - 81 * 8 - 40) * E8
    bench.book = NoBook("PAPER_NO_BOOK", "gone")
    assert bench.venue.margin()[0].value_e8 == 1_000 * E8
    bench.end_life()


Step = tuple[Side, int, int, bool, TimeInForce, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 40),  # lots
        st.integers(995, 1_010),  # limit in ticks
        st.booleans(),  # reduce-only
        st.sampled_from([TimeInForce.IOC, TimeInForce.FOK]),
        st.booleans(),  # the feed speaks first
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, depth=st.lists(st.integers(0, 30), min_size=6, max_size=6))
def test_whatever_is_sent_the_book_bounds_it_and_the_money_adds_up(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], depth: list[int]
) -> None:
    """Random orders against random depth; a new life finds the very same account."""
    path = tmp_path_factory.mktemp("paper") / "paper.journal"
    bench = Bench(path, Terms({BTC.symbol: 100_000}, slippage_ppb=200_000, leverage_max=100))
    bids = [(100.0 - n / 10, lots * 0.001) for n, lots in enumerate(depth[:3])]
    asks = [(100.3 + n / 10, lots * 0.001) for n, lots in enumerate(depth[3:])]
    bench.show(bids, asks)
    cash_e16, held_e8, left = bench.balance_e8 * E8, 0, {Side.BUY: sum(depth[3:]), Side.SELL: sum(depth[:3])}
    for side, lots, limit, reduce_only, tif, speaks in steps:
        if speaks:
            bench.show(bids, asks)
            left = {Side.BUY: sum(depth[3:]), Side.SELL: sum(depth[:3])}
        order = bench.send(side, lots * 0.001, limit / 10, reduce_only=reduce_only, tif=tif)
        assert isinstance(order, PaperOrder)
        filled_e8 = order.filled_e8
        assert filled_e8 <= min(lots, left[side]) * LOT_E8
        assert all(side * fill.price_e8 <= side * order.limit_price_e8 for fill in order.fills)
        if tif is TimeInForce.FOK:
            assert filled_e8 in (0, order.size_e8)
        if reduce_only:
            assert 0 <= abs(held_e8) - filled_e8 == abs(held_e8 + side * filled_e8)
        left[side] -= filled_e8 // LOT_E8
        held_e8 += side * filled_e8
        cash_e16 -= sum(side * fill.price_e8 * fill.size_e8 + fill.fee_e8 * E8 for fill in order.fills)
        assert bench.venue.account.position_e8(BTC.symbol) == held_e8
        assert isinstance(bench.book, PaperBook)
        assert bench.venue.equity_e8() == (cash_e16 + held_e8 * bench.book.mid_e8) // E8

    account = bench.venue.account
    bench.begin_life()
    assert bench.venue.account == account
    bench.end_life()


def test_a_new_life_knows_every_order_and_takes_no_id_twice(bench: Bench) -> None:
    bench.show([(99, 1)], [(100, 1)])
    order = bench.send(Side.BUY, 1, 100, client_order_id=5)
    refused = bench.send(Side.SELL, 9, 99, client_order_id=6, reduce_only=True)
    bench.balance_e8 = 1  # configured anew: the account has long begun
    account = bench.venue.account
    bench.begin_life()

    assert bench.venue.account == account
    assert (bench.venue.order(5), bench.venue.order(6)) == (order, refused)
    assert isinstance(refused, PaperOrder)
    assert update_of(refused, 0).status is OrderStatus.REJECTED
    assert bench.venue.order(7) is None
    for used in (5, 6):
        assert bench.refusal(Side.BUY, 1, 100, client_order_id=used) == "PAPER_DUPLICATE_CLIENT_ORDER_ID"


@pytest.mark.parametrize("cut", [1, 20])
def test_a_last_line_cut_short_is_cut_off(bench: Bench, cut: int) -> None:
    """A power failure in the middle of a write: that order never was."""
    bench.show([(99, 9)], [(100, 9)])
    bench.fill(Side.BUY, 1, 100)
    account = bench.venue.account
    bench.fill(Side.BUY, 1, 100)
    os.truncate(bench.path, bench.path.stat().st_size - cut)
    bench.begin_life()

    assert bench.venue.account == account
    assert bench.fill(Side.BUY, 1, 100, client_order_id=2)
    bench.begin_life()
    assert bench.position == 2


@pytest.mark.parametrize("line", [1, 2])
def test_a_damaged_file_stops_the_start_and_is_named(bench: Bench, line: int) -> None:
    """One digit of one amount is enough; only the last line may be unfinished, never another."""
    bench.show([(99, 9)], [(100, 9)])
    bench.fill(Side.BUY, 1, 100)
    bench.fill(Side.BUY, 1, 100)
    lines = bench.path.read_bytes().split(b"\n")
    assert b"100000000" in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(b"100000000", b"100000001")
    bench.path.write_bytes(b"\n".join(lines))

    with pytest.raises(
        PaperJournalError, match=rf"{bench.path}: line {line} is damaged .* move the file away"
    ):
        bench.begin_life()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_no_damaged_byte_passes_for_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, place: float, byte: int
) -> None:
    """Whatever byte is spoilt: refused with a reason, or the last order is cut off, or nothing changed."""
    bench = Bench(tmp_path_factory.mktemp("paper") / "paper.journal")
    bench.show([(99, 9)], [(100, 9)])
    bench.fill(Side.BUY, 1, 100)
    bench.fill(Side.BUY, 2, 100)
    content = bytearray(bench.path.read_bytes())
    number = int(place * len(content))
    is_changed, content[number] = content[number] != byte, byte
    bench.path.write_bytes(content)
    try:
        bench.begin_life()
    except PaperJournalError:
        assert is_changed
    else:
        is_cut = number == len(content) - 1 and is_changed
        assert bench.position == (1 if is_cut else 3)
        assert is_cut or not is_changed
    bench.end_life()


def test_one_account_is_traded_by_one_process(bench: Bench) -> None:
    with pytest.raises(PaperJournalError, match="another instance trades this virtual account"):
        PaperJournal(bench.path, BTC.venue, E8)


def test_another_venues_file_is_refused(bench: Bench) -> None:
    bench.end_life()
    with pytest.raises(PaperJournalError, match="venue"):
        PaperJournal(bench.path, "elsewhere", E8)


def test_an_order_that_cannot_be_kept_never_was(bench: Bench) -> None:
    """The disk is full, in the middle of a line: refused, and the file is as it was."""
    bench.show([(99, 9)], [(100, 9)])
    bench.fill(Side.BUY, 1, 100)
    whole = bench.path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 50, hard))
    try:
        assert bench.refusal(Side.BUY, 1, 100, client_order_id=9) == "PAPER_JOURNAL"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert bench.path.read_bytes() == whole
    assert bench.fill(Side.BUY, 1, 100, client_order_id=9) == [(100, 1)]
