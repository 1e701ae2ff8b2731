"""The matching engine: priority, times in force, risk, and accounts that add up to the last digit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.exchange import (
    BUY,
    SELL,
    Amendment,
    Exchange,
    NewOrder,
    Reason,
    Refused,
    SimFill,
    SimInstrument,
    SimOrder,
    SimOrderStatus,
)
from simulator.upkeep import Upkeep
from venues.contract import E8

SYMBOL = "BTC-PERP"
CONTRACT = SimInstrument(
    symbol=SYMBOL,
    base="BTC",
    tick_e8=E8 // 10,
    lot_e8=E8 // 1_000,
    min_size_e8=E8 // 1_000,
    min_notional_e8=0,
    max_size_e8=0,
    price_decimals=1,
    size_decimals=3,
    taker_fee_bps=4.5,
    maker_fee_bps=-0.3,
    initial_margin_ratio_e8=E8 // 50,
    maintenance_margin_ratio_e8=E8 // 100,
)
MONEY = 1_000_000 * E8


class Venue(Exchange):
    """An exchange whose clock the test moves, with what its listeners heard."""

    def __init__(self, contract: SimInstrument = CONTRACT) -> None:
        self.clock_ns = 1_000
        super().__init__(
            [contract],
            now_unix_ns=lambda: self.clock_ns,
            make_id=lambda now_unix_ns, sequence: f"{now_unix_ns}-{sequence}",
        )
        self.heard: list[tuple[str, SimOrderStatus, int]] = []
        self.heard_fills: list[SimFill] = []
        self.loosest_e8: dict[str, int] = {}  # order id -> worst limit an amended order ever had
        self.on_order(lambda order: self.heard.append((order.order_id, order.status, order.filled_e8)))
        self.on_fill(lambda fill, order: self.heard_fills.append(fill))
        for name in ("anna", "bert", "cleo"):
            self.open_account(name, MONEY)

    def show(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
        self.apply_market(SYMBOL, _levels(bids), _levels(asks))

    def trade(
        self, who: str, side: int, size: float, price: float | None, kind: str = "GTC", **more: bool
    ) -> SimOrder:
        """Submit and execute in one go."""
        limit_e8 = None if price is None else round(price * E8)
        order = self.submit(
            who,
            NewOrder(SYMBOL, side, round(size * E8), limit_e8, kind, **more),  # type: ignore[arg-type]
        )
        return self.execute(order.order_id)

    def change(self, order: SimOrder, size: float, price: float) -> SimOrder:
        return self.amend(order.order_id, Amendment(round(size * E8), round(price * E8)))

    def size(self, who: str) -> float:
        return sum(position.size_e8 for position in self.positions(who)) / E8


def _levels(levels: list[tuple[float, float]]) -> list[tuple[int, int]]:
    return [(round(price * E8), round(size * E8)) for price, size in levels]


@pytest.fixture
def venue() -> Venue:
    venue = Venue()
    venue.show([(100.0, 1.0), (99.0, 2.0)], [(101.0, 1.0), (102.0, 2.0)])
    return venue


def test_a_taker_walks_the_book_best_price_first(venue: Venue) -> None:
    """Average price and fee follow from the levels; what was taken is gone from the book."""
    order = venue.trade("anna", BUY, 2.0, 102.0, "IOC")

    assert order.status is SimOrderStatus.FILLED
    assert order.average_price_e8 == round(101.5 * E8)
    assert order.fee_e8 == round(203 * 4.5e-4 * E8)
    assert venue.depth(SYMBOL)[1] == _levels([(102.0, 1.0)])


def test_what_clients_took_stays_taken_until_the_market_moves(venue: Venue) -> None:
    """The same level cannot be taken twice between two updates."""
    assert venue.trade("anna", BUY, 1.0, 101.0, "IOC").filled_e8 == E8
    second = venue.trade("anna", BUY, 1.0, 101.0, "IOC")
    assert (second.status, second.reason) == (SimOrderStatus.CANCELLED, Reason.NO_LIQUIDITY)

    venue.show([(100.0, 1.0)], [(101.0, 1.0)])

    assert venue.trade("anna", BUY, 1.0, 101.0, "IOC").filled_e8 == E8


def test_taking_leaves_the_source_of_the_levels_alone() -> None:
    """A source may show the same list again; what was taken from the book is back then."""
    venue = Venue()
    bids, asks = _levels([(100.0, 1.0)]), _levels([(101.0, 1.0)])
    for _ in range(2):
        venue.apply_market(SYMBOL, bids, asks)
        assert venue.trade("anna", BUY, 1.0, 101.0, "IOC").filled_e8 == E8
        assert venue.trade("anna", SELL, 1.0, 100.0, "IOC").filled_e8 == E8


def test_ioc_gives_back_what_it_cannot_fill_within_its_limit(venue: Venue) -> None:
    """Nothing rests, nothing is paid above the limit."""
    order = venue.trade("anna", BUY, 3.0, 101.5, "IOC")

    assert (order.status, order.filled_e8) == (SimOrderStatus.CANCELLED, E8)
    assert venue.open_orders("anna") == []


def test_price_then_time_then_nobody_else(venue: Venue) -> None:
    """Better price first; at one price who came first; the market maker before both at its price."""
    early = venue.trade("anna", SELL, 1.0, 101.0)
    late = venue.trade("bert", SELL, 1.0, 101.0)
    better = venue.trade("bert", SELL, 1.0, 100.5)

    venue.trade("cleo", BUY, 2.5, 101.0, "IOC")

    def filled(order: SimOrder) -> float:
        found = venue.order(order.order_id)
        assert found is not None
        return found.filled_e8 / E8

    assert (filled(better), filled(early), filled(late)) == (1.0, 0.5, 0.0)


def test_a_maker_is_filled_at_its_own_price_for_the_makers_fee(venue: Venue) -> None:
    """Both sides of a match between clients; the rebate is a negative fee."""
    venue.trade("anna", SELL, 1.0, 100.5)

    venue.trade("cleo", BUY, 1.0, 101.0, "IOC")

    taker, maker = venue.heard_fills
    assert (taker.is_maker, maker.is_maker) == (False, True)
    assert taker.trade_id == maker.trade_id
    assert taker.price_e8 == maker.price_e8 == round(100.5 * E8)
    assert maker.fee_e8 == -round(100.5 * 0.3e-4 * E8)


def test_a_resting_order_is_filled_when_the_market_reaches_it(venue: Venue) -> None:
    """Partly, then wholly; told each time, last as filled."""
    order = venue.trade("anna", BUY, 1.5, 99.5)

    venue.show([(98.0, 1.0)], [(99.5, 1.0)])
    venue.show([(98.0, 1.0)], [(99.0, 1.0)])

    assert venue.heard == [
        (order.order_id, SimOrderStatus.NEW, 0),
        (order.order_id, SimOrderStatus.OPEN, 0),
        (order.order_id, SimOrderStatus.OPEN, E8),
        (order.order_id, SimOrderStatus.FILLED, 3 * E8 // 2),
    ]
    assert venue.depth(SYMBOL)[1] == _levels([(99.0, 0.5)])


def test_fok_is_all_or_nothing(venue: Venue) -> None:
    """One lot more than the book holds within the limit fills nothing at all."""
    refused = venue.trade("anna", BUY, 3.001, 102.0, "FOK")
    assert (refused.filled_e8, refused.reason) == (0, Reason.NO_LIQUIDITY)
    assert venue.trade("anna", BUY, 3.0, 102.0, "FOK").status is SimOrderStatus.FILLED


def test_post_only_never_takes(venue: Venue) -> None:
    """It is cancelled where it would cross and rests where it would not."""
    crossing = venue.trade("anna", BUY, 1.0, 101.0, post_only=True)
    assert (crossing.filled_e8, crossing.reason) == (0, Reason.POST_ONLY_WOULD_CROSS)
    assert venue.trade("anna", BUY, 1.0, 100.9, post_only=True).status is SimOrderStatus.OPEN


def test_an_account_never_trades_with_itself(venue: Venue) -> None:
    """The taker's rest expires; a FOK does not count the account's own order as liquidity."""
    venue.trade("anna", SELL, 1.0, 101.5)

    taker = venue.trade("anna", BUY, 2.0, 102.0, "IOC")
    assert (taker.filled_e8, taker.reason) == (E8, Reason.SELF_TRADE)
    fok = venue.trade("anna", BUY, 1.0, 102.0, "FOK")
    assert (fok.filled_e8, fok.reason) == (0, Reason.NO_LIQUIDITY)


def test_an_order_cancelled_before_it_was_executed_does_nothing(venue: Venue) -> None:
    """Acceptance and execution are apart: a cancel may come between."""
    order = venue.submit("anna", NewOrder(SYMBOL, BUY, E8, 101 * E8))
    venue.cancel(order.order_id)

    assert venue.execute(order.order_id).status is SimOrderStatus.CANCELLED
    assert venue.size("anna") == 0
    with pytest.raises(Refused) as refused:
        venue.cancel(order.order_id)
    assert refused.value.reason is Reason.ORDER_NOT_OPEN


@pytest.mark.parametrize(
    ("size", "price", "keeps_place"),
    [(0.4, 101.0, True), (1.5, 101.0, False), (0.4, 101.1, False), (1.0, 101.1, False)],
)
def test_only_a_smaller_size_at_the_same_price_keeps_its_place(
    venue: Venue, size: float, price: float, keeps_place: bool
) -> None:
    """Anything else would overtake those who queue behind it; coming back does not restore it."""
    venue.show([(100.0, 1.0)], [(102.0, 5.0)])
    early = venue.trade("anna", SELL, 1.0, 101.0)
    late = venue.trade("bert", SELL, 1.0, 101.0)

    venue.change(early, size, price)
    if price != 101.0:
        venue.change(early, size, 101.0)
    venue.trade("cleo", BUY, 0.3, 101.0, "IOC")

    first = venue.heard_fills[-1]
    assert first.order_id == (early if keeps_place else late).order_id


def test_an_amended_order_is_shown_and_told_as_it_is_now(venue: Venue) -> None:
    """The book, the order, what it reserves, and those who listen agree; the id stays."""
    books: list[str] = []
    venue.on_book(books.append)
    order = venue.trade("anna", BUY, 1.0, 99.5)
    books.clear()
    venue.heard.clear()

    for size, price in ((0.5, 99.5), (2.0, 99.4)):
        amended = venue.change(order, size, price)
        assert (amended.order_id, amended.status) == (order.order_id, SimOrderStatus.OPEN)
        assert (round(price * E8), round(size * E8)) in venue.depth(SYMBOL)[0]
        assert venue.open_orders("anna") == [amended]

    assert venue.account("anna").order_margin_e8 == round(2.0 * 100.5 / 50 * E8)
    assert venue.heard == [(order.order_id, SimOrderStatus.OPEN, 0)] * 2
    assert books == [SYMBOL] * 2


def test_a_price_that_crosses_takes(venue: Venue) -> None:
    """The rest of it stands at its new price."""
    order = venue.trade("anna", BUY, 1.5, 99.5)

    amended = venue.change(order, 1.5, 101.0)

    assert (amended.status, amended.filled_e8, amended.average_price_e8) == (
        SimOrderStatus.OPEN,
        E8,
        101 * E8,
    )
    assert venue.heard_fills[-1].is_maker is False
    assert venue.depth(SYMBOL)[0][0] == (101 * E8, E8 // 2)


def test_amending_into_ones_own_order_ends_the_order(venue: Venue) -> None:
    """As for any taker that meets itself; the book no longer shows it."""
    venue.trade("anna", SELL, 1.0, 100.5)
    order = venue.trade("anna", BUY, 1.0, 99.5)
    books: list[str] = []
    venue.on_book(books.append)

    amended = venue.change(order, 1.0, 100.5)

    assert (amended.status, amended.reason) == (SimOrderStatus.CANCELLED, Reason.SELF_TRADE)
    assert [price for price, _ in venue.depth(SYMBOL)[0]] == [100 * E8, 99 * E8]
    assert books == [SYMBOL]


def test_the_size_of_an_amendment_counts_what_is_filled(venue: Venue) -> None:
    """Lowered to 1.2 with 1 filled leaves 0.2; to what is filled or less it cannot be lowered."""
    order = venue.trade("anna", BUY, 3.0, 101.0)
    assert order.filled_e8 == E8

    assert venue.change(order, 1.2, 101.0).remaining_e8 == E8 // 5
    with pytest.raises(Refused) as refused:
        venue.change(order, 1.0, 101.0)
    assert refused.value.reason is Reason.SIZE_ALREADY_FILLED


AMENDMENTS_REFUSED = [
    (1.0, 99.5, Reason.NOTHING_CHANGED),
    (1.0, 99.55, Reason.PRICE_OFF_GRID),
    (1.0005, 99.5, Reason.SIZE_OFF_GRID),
    (0.0, 99.5, Reason.SIZE_ALREADY_FILLED),
    (1.0, 101.0, Reason.POST_ONLY_WOULD_CROSS),
    (1.0, 105.6, Reason.PRICE_BAND),
    (3.001, 99.5, Reason.POSITION_LIMIT),
]


@pytest.mark.parametrize(("size", "price", "reason"), AMENDMENTS_REFUSED)
def test_a_refused_amendment_leaves_the_order_as_it_was(size: float, price: float, reason: Reason) -> None:
    """Its place included, and nobody hears of anything. Its own size does not count against it."""
    venue = Venue(replace(CONTRACT, position_limit_e8=3 * E8, price_band_e8=E8 // 20, max_open_orders=1))
    venue.show([(99.0, 1.0)], [(101.0, 5.0)])
    order = venue.trade("anna", BUY, 1.0, 99.5, post_only=True)
    venue.trade("bert", BUY, 1.0, 99.5)
    venue.heard.clear()

    with pytest.raises(Refused) as refused:
        venue.change(order, size, price)

    assert refused.value.reason is reason
    assert venue.order(order.order_id) == order
    assert venue.heard == []
    venue.trade("cleo", SELL, 0.5, 99.5, "IOC")
    assert venue.heard_fills[-1].order_id == order.order_id
    assert venue.change(order, 3.0, 99.5).size_e8 == 3 * E8


def test_margin_decides_about_an_amendment_with_the_order_in_its_own_place() -> None:
    """Value 100 carries one order of 40 and its amendment to 49, not of 55, and not both orders."""
    venue = Venue()
    venue.open_account("poor", 100 * E8)
    venue.show([(99.9, 100.0)], [(100.1, 100.0)])
    order = venue.trade("poor", BUY, 40.0, 99.0)

    with pytest.raises(Refused) as refused:
        venue.change(order, 55.0, 99.0)
    assert refused.value.reason is Reason.INSUFFICIENT_MARGIN
    assert venue.change(order, 47.0, 99.0).status is SimOrderStatus.OPEN


def test_a_reduce_only_order_cannot_grow_beyond_its_position(venue: Venue) -> None:
    """Filled parts have reduced the position already and do not count twice."""
    venue.trade("anna", BUY, 1.0, 101.0)
    order = venue.trade("anna", SELL, 0.5, 100.5, reduce_only=True)
    venue.trade("cleo", BUY, 0.2, 100.5, "IOC")

    with pytest.raises(Refused) as refused:
        venue.change(order, 1.001, 100.5)
    assert refused.value.reason is Reason.REDUCE_ONLY_EXCEEDS_POSITION
    assert venue.change(order, 1.0, 100.5).remaining_e8 == 8 * E8 // 10


def test_only_orders_that_rest_can_be_amended(venue: Venue) -> None:
    """Not those still on their way to the engine, not finished ones, not unknown ones."""
    waiting = venue.submit("anna", NewOrder(SYMBOL, BUY, E8, 98 * E8))
    filled = venue.trade("anna", BUY, 0.5, 101.0, "IOC")
    for order, reason in (
        (waiting, Reason.ORDER_NOT_OPEN),
        (filled, Reason.ORDER_NOT_OPEN),
        (replace(filled, order_id="none"), Reason.ORDER_NOT_FOUND),
    ):
        with pytest.raises(Refused) as refused:
            venue.change(order, 0.7, 97.0)
        assert refused.value.reason is reason


def test_cancel_all_spares_other_accounts(venue: Venue) -> None:
    """And takes what was accepted but not yet executed."""
    resting = venue.trade("anna", BUY, 1.0, 99.0)
    waiting = venue.submit("anna", NewOrder(SYMBOL, BUY, E8, 98 * E8))
    other = venue.trade("bert", BUY, 1.0, 99.0)

    cancelled = venue.cancel_all("anna")

    assert [order.order_id for order in cancelled] == [resting.order_id, waiting.order_id]
    assert [order.order_id for order in venue.open_orders("bert")] == [other.order_id]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"symbol": "X"}, Reason.UNKNOWN_SYMBOL),
        ({"limit_price_e8": 101 * E8 + 1}, Reason.PRICE_OFF_GRID),
        ({"limit_price_e8": 0}, Reason.PRICE_OFF_GRID),
        ({"size_e8": E8 + 1}, Reason.SIZE_OFF_GRID),
        ({"size_e8": -E8}, Reason.SIZE_OFF_GRID),
        ({"size_e8": E8 // 1_000}, Reason.SIZE_TOO_SMALL),
        ({"size_e8": 11 * E8}, Reason.SIZE_TOO_LARGE),
        ({"size_e8": E8 // 100}, Reason.NOTIONAL_TOO_SMALL),
    ],
)
def test_the_door_refuses_what_does_not_fit_the_contract(changes: dict[str, object], reason: Reason) -> None:
    """Refused means that no order exists and nobody hears of one."""
    contract = replace(CONTRACT, min_size_e8=E8 // 500, max_size_e8=10 * E8, min_notional_e8=10 * E8)
    venue = Venue(contract)
    venue.show([(100.0, 1.0)], [(101.0, 1.0)])
    new = NewOrder(SYMBOL, BUY, E8, 101 * E8)._replace(**changes)  # type: ignore[arg-type]

    with pytest.raises(Refused) as refused:
        venue.submit("anna", new)

    assert refused.value.reason is reason
    assert venue.orders("anna") == []
    assert venue.heard == []


def test_closing_a_whole_small_position_is_exempt_from_the_minimum_value() -> None:
    """Otherwise a remainder could never be closed."""
    venue = Venue(replace(CONTRACT, min_notional_e8=10 * E8))
    venue.show([(100.0, 1.0)], [(101.0, 0.15)])
    venue.trade("anna", BUY, 0.2, 101.0, "IOC")
    venue.trade("anna", SELL, 0.12, 100.0, "IOC")
    assert venue.size("anna") == pytest.approx(0.03)

    with pytest.raises(Refused):
        venue.trade("anna", SELL, 0.03, 100.0, "IOC")
    assert venue.trade("anna", SELL, 0.03, 100.0, "IOC", reduce_only=True).status is SimOrderStatus.FILLED


def test_reduce_only_only_reduces(venue: Venue) -> None:
    """Refused without a position, on its side, and beyond its size."""
    assert venue.trade("anna", SELL, 1.0, 100.0, reduce_only=True).reason is Reason.REDUCE_ONLY_INCREASES
    venue.trade("anna", BUY, 1.0, 101.0)
    assert venue.trade("anna", BUY, 1.0, 102.0, reduce_only=True).reason is Reason.REDUCE_ONLY_INCREASES
    exceeding = venue.trade("anna", SELL, 1.001, 100.0, reduce_only=True)
    assert (exceeding.status, exceeding.reason) == (
        SimOrderStatus.REJECTED,
        Reason.REDUCE_ONLY_EXCEEDS_POSITION,
    )
    assert venue.trade("anna", SELL, 1.0, 100.0, reduce_only=True).status is SimOrderStatus.FILLED


def test_a_resting_reduce_only_order_goes_when_its_position_goes(venue: Venue) -> None:
    """Else it would open a position in the other direction."""
    venue.trade("anna", BUY, 1.0, 101.0)
    resting = venue.trade("anna", SELL, 1.0, 105.0, reduce_only=True)

    venue.trade("anna", SELL, 0.5, 100.0, "IOC")

    found = venue.order(resting.order_id)
    assert found is not None
    assert (found.status, found.reason) == (SimOrderStatus.CANCELLED, Reason.REDUCE_ONLY_EXCEEDS_POSITION)
    assert len(venue.depth(SYMBOL)[1]) == 1


def test_margin_decides_and_reducing_is_always_allowed() -> None:
    """Value 100 carries about 5,000 of notional at one fiftieth, less the fee."""
    venue = Venue()
    venue.open_account("poor", 100 * E8)
    venue.show([(99.9, 100.0)], [(100.1, 100.0)])

    assert venue.trade("poor", BUY, 50.0, 100.1, "IOC").reason is Reason.INSUFFICIENT_MARGIN
    assert venue.trade("poor", BUY, 40.0, 100.1, "IOC").status is SimOrderStatus.FILLED
    assert venue.trade("poor", BUY, 10.0, 100.1, "IOC").reason is Reason.INSUFFICIENT_MARGIN
    venue.show([(98.0, 100.0)], [(98.2, 100.0)])
    assert venue.account("poor").free_e8 == 0
    assert venue.trade("poor", SELL, 40.0, 98.0, "IOC").status is SimOrderStatus.FILLED


def test_open_orders_use_margin_on_their_larger_side_only(venue: Venue) -> None:
    """A bid and an ask cannot both add to the exposure."""
    venue.trade("anna", BUY, 2.0, 98.0)
    venue.trade("anna", SELL, 3.0, 105.0)

    account = venue.account("anna")
    assert account.initial_margin_e8 == account.order_margin_e8 == round(3 * 100.5 / 50 * E8)


def test_position_limit_and_price_band() -> None:
    """Resting orders of the same side count; a passive price far away is fine."""
    contract = replace(CONTRACT, position_limit_e8=3 * E8, price_band_e8=E8 // 20, max_open_orders=2)
    venue = Venue(contract)
    venue.show([(100.0, 5.0)], [(101.0, 5.0)])
    venue.trade("anna", BUY, 1.0, 101.0)
    venue.trade("anna", BUY, 1.0, 50.0)

    assert venue.trade("anna", BUY, 1.001, 101.0).reason is Reason.POSITION_LIMIT
    assert venue.trade("bert", BUY, 1.0, 105.6).reason is Reason.PRICE_BAND
    assert venue.trade("anna", BUY, 1.0, 101.0).status is SimOrderStatus.FILLED
    venue.trade("bert", BUY, 1.0, 90.0)
    venue.trade("bert", BUY, 1.0, 90.0)
    with pytest.raises(Refused) as refused:
        venue.trade("bert", BUY, 1.0, 90.0)
    assert refused.value.reason is Reason.TOO_MANY_OPEN_ORDERS


@pytest.mark.parametrize("side", [BUY, SELL])
def test_a_market_order_goes_to_the_edge_of_the_band_when_it_is_executed(side: int) -> None:
    """The mark may move against it on the way; it is neither refused for that nor let beyond."""
    venue = Venue(replace(CONTRACT, price_band_e8=E8 // 20))
    venue.show([(100.0, 5.0)], [(101.0, 5.0)])
    order = venue.submit("anna", NewOrder(SYMBOL, side, 3 * E8, None, "IOC"))
    if side == BUY:
        venue.show([(80.0, 1.0)], [(81.0, 1.0), (84.5, 1.0), (84.6, 1.0)])  # mark 80.5, edge 84.525
    else:
        venue.show([(121.0, 1.0), (115.5, 1.0), (115.4, 1.0)], [(122.0, 1.0)])  # mark 121.5, edge 115.425

    done = venue.execute(order.order_id)

    assert (done.filled_e8, done.reason) == (2 * E8, Reason.NO_LIQUIDITY)


def test_realised_result_comes_out_of_the_average_entry(venue: Venue) -> None:
    """Half closed, then turned around: the entry of what is new is the new price."""
    venue.trade("anna", BUY, 2.0, 102.0)  # 1 at 101, 1 at 102
    venue.show([(110.0, 5.0)], [(111.0, 5.0)])

    half = venue.trade("anna", SELL, 1.0, 110.0)
    venue.clock_ns = 2_000
    turned = venue.trade("anna", SELL, 2.0, 110.0)

    assert half.realised_e8 == round(8.5 * E8)
    assert turned.realised_e8 == round(8.5 * E8)
    (position,) = venue.positions("anna")
    assert (position.size_e8, position.entry_price_e8) == (-E8, 110 * E8)
    assert position.opened_unix_ns == 2_000


def test_funding_is_paid_by_longs_when_positive_and_settled_by_the_next_fill(venue: Venue) -> None:
    """What longs pay shorts receive; unrealised until a fill."""
    venue.trade("anna", BUY, 1.0, 101.0)
    venue.trade("bert", SELL, 1.0, 100.0)
    before_e8 = venue.account("anna").value_e8

    venue.accrue_funding(SYMBOL, 2 * 10**12)

    assert venue.account("anna").value_e8 == before_e8 - 2 * E8
    assert venue.positions("bert")[0].unrealised_funding_e8 == 2 * E8
    venue.show([(100.0, 5.0)], [(101.0, 5.0)])
    closing = venue.trade("anna", SELL, 1.0, 100.0)
    assert closing.funding_e8 == -2 * E8
    result_e8 = closing.realised_e8 - 2 * E8 - venue.positions("anna")[0].fees_e8
    assert venue.account("anna").collateral_e8 == MONEY + result_e8
    assert venue.positions("anna")[0].realised_funding_e8 == -2 * E8


def test_upkeep_moves_funding_by_the_clock_and_liquidates_below_maintenance() -> None:
    """Two hours at one tenth of a percent; then a fall that leaves less than maintenance."""
    venue = Venue()
    venue.open_account("poor", 300 * E8)
    venue.show([(99.9, 100.0)], [(100.1, 100.0)])
    venue.trade("poor", BUY, 100.0, 100.1, "IOC")
    resting = venue.trade("poor", BUY, 1.0, 90.0)
    upkeep = Upkeep(venue, rate_period_s=3_600, step_s=3_600)
    upkeep.set_rate(SYMBOL, 10**9)  # 0.1 % an hour

    venue.clock_ns += 7_200 * 10**9
    upkeep.tick()
    upkeep.tick()  # the same hours are not charged twice
    assert venue.funding_index_e12(SYMBOL) == 2 * 10**11  # 0.2 per coin at a mark of 100
    assert venue.size("poor") == 100

    venue.show([(98.0, 60.0), (97.9, 100.0)], [(98.2, 100.0)])
    upkeep.tick()

    assert venue.size("poor") == 0
    found = venue.order(resting.order_id)
    assert found is not None
    assert found.reason is Reason.LIQUIDATION
    liquidation = venue.orders("poor")[-1]
    assert liquidation.is_liquidation
    assert liquidation.average_price_e8 == (60 * 98 * E8 + 40 * 979 * E8 // 10) // 100


def test_the_liquidation_price_is_where_value_meets_maintenance() -> None:
    """Moving the mark there leaves value and maintenance margin equal to a few e8."""
    for side in (BUY, SELL):
        venue = Venue()
        venue.open_account("poor", 500 * E8)
        venue.show([(100.0, 100.0)], [(100.0, 100.0)])
        venue.trade("poor", side, 100.0, None, "IOC")
        price_e8 = venue.positions("poor")[0].liquidation_price_e8

        venue.apply_market(SYMBOL, [(price_e8, E8)], [(price_e8, E8)])

        account = venue.account("poor")
        assert abs(account.value_e8 - account.maintenance_margin_e8) < 1_000


def test_history_is_bounded_and_forgets_the_oldest_finished_order() -> None:
    """A venue that runs for days must not grow for ever; open orders are never forgotten."""
    venue = Exchange(
        [CONTRACT],
        now_unix_ns=lambda: 1,
        make_id=lambda now_unix_ns, sequence: str(sequence),
        history_limit=2,
    )
    venue.open_account("anna", MONEY)
    venue.apply_market(SYMBOL, [(100 * E8, E8)], [(101 * E8, E8)])

    def place(client_id: str) -> str:
        order = venue.submit("anna", NewOrder(SYMBOL, BUY, E8, 90 * E8, client_id=client_id))
        return venue.execute(order.order_id).order_id

    kept = place("kept")
    finished = [place(str(index)) for index in range(3)]
    for order_id in finished:
        venue.cancel(order_id)

    assert [order.order_id for order in venue.orders("anna")] == [kept, *finished[1:]]
    assert venue.order_by_client_id("anna", "0") is None
    assert venue.order_by_client_id("anna", "kept") is not None


def test_snapshots_do_not_change(venue: Venue) -> None:
    """Fronts publish later than the engine moves; what they hold must stay what it was."""
    heard: list[SimOrder] = []
    venue.on_order(heard.append)
    venue.on_fill(lambda fill, order: heard.append(order))
    order = venue.trade("anna", BUY, 1.0, 99.5)

    venue.show([(98.0, 1.0)], [(99.0, 1.0)])

    assert (order.status, order.filled_e8) == (SimOrderStatus.OPEN, 0)
    assert [(reported.status, reported.filled_e8) for reported in heard] == [
        (SimOrderStatus.NEW, 0),
        (SimOrderStatus.OPEN, 0),
        (SimOrderStatus.OPEN, E8),  # as the fill left it
        (SimOrderStatus.FILLED, E8),
    ]


# --- properties ---

_PRICES = st.integers(980, 1_020).map(lambda tenths: tenths * E8 // 10)
_SIZES = st.integers(1, 4_000).map(lambda lots: lots * E8 // 1_000)
_SELDOM = st.integers(0, 5).map(lambda number: number == 5)
_ORDERS = st.tuples(
    st.sampled_from(["anna", "bert", "cleo"]),
    st.sampled_from([BUY, SELL]),
    _SIZES,
    _PRICES,
    st.sampled_from(["GTC", "IOC", "FOK"]),
    _SELDOM,  # post-only
    _SELDOM,  # reduce-only
)
_LEVELS = st.tuples(_PRICES, _SIZES, st.integers(1, 5).map(lambda ticks: ticks * E8 // 10), _SIZES)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("order"), _ORDERS),
        st.tuples(st.just("market"), _LEVELS),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("amend"), st.tuples(st.integers(0, 50), _SIZES, _PRICES)),
        st.tuples(st.just("funding"), st.integers(-(10**10), 10**10)),
    ),
    min_size=10,
    max_size=60,
)


@settings(max_examples=150)
@given(_STEPS)
def test_whatever_happens_the_accounts_add_up_and_the_book_is_sane(steps: list[tuple[str, Any]]) -> None:
    """Money, sizes and fees are conserved exactly; FOK is whole; priority and limits are kept."""
    venue = Venue()
    venue.show([(99.9, 5.0), (99.0, 5.0)], [(100.1, 5.0), (101.0, 5.0)])
    orders: list[str] = []
    for kind, argument in steps:
        _take_step(venue, orders, kind, argument)
        bids, asks = venue.depth(SYMBOL, 100)
        assert not bids or not asks or bids[0][0] < asks[0][0]

    for who in ("anna", "bert", "cleo"):
        fills = venue.fills(who)
        found = venue.orders(who)
        positions = venue.positions(who)
        assert sum(f.side * f.size_e8 for f in fills) == sum(p.size_e8 for p in positions)
        cash_e8 = -sum(f.side * f.price_e8 * f.size_e8 // E8 for f in fills)
        cost_e8 = sum(p.cost_e8 for p in positions)
        funding_e8 = sum(f.funding_e8 for f in fills)
        fees_e8 = sum(f.fee_e8 for f in fills)
        assert venue.account(who).collateral_e8 == MONEY + cash_e8 + cost_e8 + funding_e8 - fees_e8
        assert sum(o.fee_e8 for o in found) == fees_e8 == sum(p.fees_e8 for p in positions)
        assert sum(o.filled_e8 for o in found) == sum(f.size_e8 for f in fills)
        for order in found:
            _check_order(venue, order, [f for f in fills if f.order_id == order.order_id])
    _check_pairs(venue)


def _take_step(venue: Venue, orders: list[str], kind: str, argument: Any) -> None:
    if kind == "market":
        bid_e8, bid_size_e8, gap_e8, ask_size_e8 = argument
        bids = [(bid_e8, bid_size_e8), (bid_e8 - E8, bid_size_e8)]
        asks = [(bid_e8 + gap_e8, ask_size_e8), (bid_e8 + gap_e8 + E8, ask_size_e8)]
        venue.apply_market(SYMBOL, bids, asks)
    elif kind == "funding":
        venue.accrue_funding(SYMBOL, argument)
    elif kind == "cancel":
        order = venue.order(orders[argument % len(orders)]) if orders else None
        if order is not None and not order.status.is_final:
            venue.cancel(order.order_id)
    elif kind == "amend":
        index, size_e8, price_e8 = argument
        if orders:
            _try_to_amend(venue, orders[index % len(orders)], Amendment(size_e8, price_e8))
    else:
        who, side, size_e8, price_e8, time_in_force, post_only, reduce_only = argument
        new = NewOrder(SYMBOL, side, size_e8, price_e8, time_in_force, post_only, reduce_only)
        placed = venue.submit(who, new)
        before_e8 = sum(p.size_e8 for p in venue.positions(who))
        done = venue.execute(placed.order_id)
        orders.append(placed.order_id)
        if reduce_only and done.filled_e8:
            assert abs(before_e8 + side * done.filled_e8) < abs(before_e8)


def _try_to_amend(venue: Venue, order_id: str, to: Amendment) -> None:
    before = venue.order(order_id)
    assert before is not None
    assert before.limit_price_e8 is not None
    loosest_e8 = venue.loosest_e8.get(order_id, before.limit_price_e8)
    try:
        after = venue.amend(order_id, to)
    except Refused:
        assert venue.order(order_id) == before
    else:
        assert (after.size_e8, after.limit_price_e8) == to
        venue.loosest_e8[order_id] = before.side * max(
            before.side * loosest_e8, before.side * to.limit_price_e8
        )


def _check_order(venue: Venue, order: SimOrder, fills: list[SimFill]) -> None:
    assert 0 <= order.filled_e8 <= order.size_e8
    assert (order.status is SimOrderStatus.FILLED) == (order.remaining_e8 == 0)
    assert order.limit_price_e8 is not None
    limit_e8 = venue.loosest_e8.get(order.order_id, order.limit_price_e8)
    assert all(fill.side * fill.price_e8 <= order.side * limit_e8 for fill in fills)
    if order.time_in_force == "FOK":
        assert order.filled_e8 in (0, order.size_e8)
    if order.post_only:
        assert all(fill.is_maker for fill in fills)
    if order.time_in_force != "GTC":
        assert order.status.is_final


def _check_pairs(venue: Venue) -> None:
    """A match between clients has two opposite fills of two accounts, one of them the maker."""
    by_trade: dict[str, list[SimFill]] = {}
    for fill in venue.heard_fills:
        by_trade.setdefault(fill.trade_id, []).append(fill)
    for fills in by_trade.values():
        assert len(fills) in (1, 2)
        if len(fills) == 2:
            first, second = fills
            assert first.account_id != second.account_id
            assert (first.side, first.size_e8, first.price_e8) == (
                -second.side,
                second.size_e8,
                second.price_e8,
            )
            assert {first.is_maker, second.is_maker} == {True, False}
