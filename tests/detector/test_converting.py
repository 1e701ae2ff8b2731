"""A pair with prices in two currencies is decided on converted prices, and ordered at the venues' own."""

from __future__ import annotations

from typing import Any

import pytest

from detector.converting import ConvertingStrategy, strategy_for
from detector.gates import FeedStatus, Refusal
from detector.strategy import Market, Opportunity, PairStrategy
from runtime.quote_rate import QuoteRate
from shm.entry_block import EntryBlock
from shm.records import Quote, QuoteFlags, SignalKind
from tests.detector.builders import (
    ALIVE,
    MS,
    NOW_NS,
    a_book,
    a_hedged_view,
    a_market,
    a_quote,
    e8,
    some_rules,
)

RATE = QuoteRate(
    instrument_id=2, venue="paradex", is_inverse=False, age_ns_max=1_000 * MS, off_par_e8_max=e8(0.05)
)
RULES = some_rules(quote_rate=RATE)
OLD: dict[str, Any] = {"rate": a_quote(0.98, 0.98, instrument_id=2, age_ms=1_001)}


def rated(worth: float = 0.98, **changes: Any) -> Market:
    """Leg 0 at 100; leg 1 at 102.5 of a currency ``worth`` of the other: at 0.98 that is 100.45."""
    market = a_market(a_quote(100, 100), a_quote(102.5, 102.5, instrument_id=1))
    quote = a_quote(worth, worth, instrument_id=2)
    return market._replace(**{"rate": quote, "rate_feed": ALIVE, **changes})


def forward(market: Market, strategy: PairStrategy | None = None) -> Opportunity | Refusal:
    return (strategy or ConvertingStrategy(RULES)).on_quote(market)[0]


def test_the_gap_is_that_of_converted_prices_and_the_order_has_the_venues_own() -> None:
    found = forward(rated())
    assert isinstance(found, Opportunity)
    assert found.spread_bps == pytest.approx(45.0)
    assert (found.first_price_e8, found.second_price_e8) == (e8(100), e8(102.5))


def test_a_gap_that_the_rate_alone_makes_is_none() -> None:
    market = rated(0.9756)  # 102.5 of it is 99.999
    refusal = forward(market)
    assert isinstance(refusal, Refusal)
    assert refusal.gate is EntryBlock.THRESHOLD
    assert refusal.value == pytest.approx(-0.1, abs=0.01)


def test_an_inverse_rate_is_the_price_the_other_way_round() -> None:
    rules = some_rules(quote_rate=RATE._replace(is_inverse=True))
    found = forward(rated(1 / 0.98), ConvertingStrategy(rules))
    assert isinstance(found, Opportunity)
    assert found.spread_bps == pytest.approx(45.0, abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        (OLD, 1_001 * MS),
        ({"rate": a_quote(0.98, 0.98, instrument_id=2, flags=0)}, -1),
        ({"rate": a_quote(0.98, 0.98, instrument_id=2, flags=QuoteFlags.VALID | QuoteFlags.STALE)}, -1),
        ({"rate_feed": FeedStatus(is_connected=False, beat_mono_ns=NOW_NS)}, -1),
        ({"rate_feed": FeedStatus(is_connected=True, beat_mono_ns=0)}, -1),
        ({"rate": a_quote(0.94, 0.94, instrument_id=2)}, -1),
        ({"rate": a_quote(1.06, 1.06, instrument_id=2)}, -1),
    ],
    ids=["old", "invalid", "stale", "disconnected", "silent", "far below par", "far above par"],
)
def test_a_rate_nobody_vouches_for_opens_nothing(changes: dict[str, Any], value: int) -> None:
    """Not at the start, and not by the last one either."""
    expected = Refusal(EntryBlock.QUOTE_RATE, value, RATE.age_ns_max)
    strategy = ConvertingStrategy(RULES)
    assert strategy.on_quote(rated(**changes)) == (expected, expected)
    assert strategy.quote_rate_e8 == -1
    assert not strategy.is_market_trusted

    assert isinstance(forward(rated(), strategy), Opportunity)
    assert strategy.quote_rate_e8 == e8(0.98)
    assert forward(rated(**changes), strategy) == expected
    assert strategy.quote_rate_e8 == -e8(0.98)


def test_what_is_held_is_closed_by_the_last_rate_that_was_believed() -> None:
    """Long leg 0 at 100, short leg 1 at 101 of a currency worth 0.98: closing earns a percent."""
    held: dict[str, Any] = {"view": a_hedged_view(), "second": a_quote(101, 101, instrument_id=1)}
    strategy = ConvertingStrategy(RULES)
    assert strategy.on_quote(rated(**held, **OLD))[1].gate is EntryBlock.QUOTE_RATE  # type: ignore[union-attr]
    strategy.on_quote(rated())
    _, backward = strategy.on_quote(rated(**held, **OLD))
    assert isinstance(backward, Opportunity)
    assert backward.kind is SignalKind.EXIT
    assert (backward.first_price_e8, backward.second_price_e8) == (e8(100), e8(101))


@pytest.mark.parametrize(("direction", "side"), [(1, "bid"), (-1, "ask")])
def test_each_order_has_its_own_side_of_the_second_book(direction: int, side: str) -> None:
    """Also where the rate makes the other side's converted price the same figure."""
    second = a_quote(102.5, 102.6, instrument_id=1)
    first = a_quote(99, 99) if direction > 0 else a_quote(102, 102)
    found = ConvertingStrategy(RULES).on_quote(rated(first=first, second=second))[direction < 0]
    assert isinstance(found, Opportunity)
    assert found.second_price_e8 == {"bid": second.bid_e8, "ask": second.ask_e8}[side]


def test_the_second_legs_book_is_converted_like_its_touch() -> None:
    """A touch of half the size: what lies behind it is within reach at the same distance as at par."""
    thin = a_quote(102.5, 102.5, size=0.5, instrument_id=1)
    books = {
        0: a_book([(100, 10)], [(100, 10)]),
        1: a_book([(102.5, 0.5), (102.49, 10)], [(102.5, 0.5), (102.51, 10)]),
    }
    found = forward(rated(second=thin, read_depth=lambda instrument: books[instrument.instrument_id]))
    assert isinstance(found, Opportunity)
    nothing_near = {**books, 1: a_book([(102.5, 0.5), (102.3, 10)], [(102.5, 0.5)])}
    refused = forward(rated(second=thin, read_depth=lambda one: nothing_near[one.instrument_id]))
    assert isinstance(refused, Refusal)
    assert refused.gate is EntryBlock.SIZE
    assert forward(rated(second=thin)) == Refusal(EntryBlock.SIZE, e8(0.5), e8(1))  # no book at all


def test_a_pair_at_par_is_decided_as_ever() -> None:
    plain: Quote = a_quote()
    strategy = strategy_for(some_rules())
    assert type(strategy) is PairStrategy
    market = a_market(plain)
    assert strategy.comparable(market) is market
    assert strategy.quote_rate_e8 == 0
    assert type(strategy_for(RULES)) is ConvertingStrategy
