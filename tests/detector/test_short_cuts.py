"""The usual case is decided by one expression: it must never let through what a gate would refuse."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from detector import gates
from detector.gates import FeedStatus, Pending, Refusal
from detector.layers import Layer
from detector.strategy import Market, Opportunity, distrust_market, evaluate
from shm.entry_block import EntryBlock
from shm.records import PairPhase, Quote
from tests.detector.builders import (
    NOW_NS,
    a_book,
    a_hedged_view,
    a_market,
    a_quote,
    a_view,
    an_instrument,
    e8,
    near,
    some_rules,
)
from venues.contract import E8

BEATS = st.sampled_from([*[NOW_NS] * 5, NOW_NS - 10**9, NOW_NS - 10**9 - 1])
AGES = st.sampled_from([0, 49, 50, 51, 99, 100, 101])  # around the limits below
# Mostly nothing is wrong: else one objection would hide the next.
FEEDS = st.builds(FeedStatus, st.sampled_from([True] * 9 + [False]), BEATS)
TRUSTING = some_rules(quote_age_ns_max=100, leg_skew_ns_max=50)


def a_quote_at(age_ns: int, flags: int) -> Quote:
    return a_quote(flags=flags)._replace(recv_mono_ns=NOW_NS - age_ns)


QUOTES = st.builds(a_quote_at, AGES, st.sampled_from([*[1, 3] * 8, *range(16)]))


@settings(max_examples=400)
@given(first=QUOTES, second=QUOTES, first_feed=FEEDS, second_feed=FEEDS)
def test_a_market_is_believed_exactly_when_no_gate_objects(
    first: Quote, second: Quote, first_feed: FeedStatus, second_feed: FeedStatus
) -> None:
    """Every flag, heartbeats and ages on both sides of their limits."""
    market = a_market(first, second, first_feed=first_feed, second_feed=second_feed)
    asked_one_by_one = (
        gates.feed_alive(first_feed, first, NOW_NS)
        or gates.feed_alive(second_feed, second, NOW_NS)
        or gates.quote_valid(first)
        or gates.quote_valid(second)
        or gates.quote_age(first, second, 100, NOW_NS)
        or gates.leg_skew(first, second, 50)
    )
    assert distrust_market(TRUSTING, market) == asked_one_by_one


VIEWS = st.one_of(
    st.none(),
    st.builds(
        a_view,
        st.sampled_from([*[PairPhase.FLAT] * 12, *PairPhase]),
        entries_allowed=st.sampled_from([0, *[1] * 8]),
        closed_mono_ns=st.sampled_from([0, NOW_NS - 9, NOW_NS - 10, NOW_NS - 11]),
        last_signal_id=st.sampled_from([4, 5, 6]),
    ),
)
SIZES = st.sampled_from([1.4, 1.5, 2.0, 2.5])
PENDING = st.one_of(
    st.none(), st.none(), st.builds(Pending, st.just(5), st.sampled_from([NOW_NS - 1, NOW_NS]))
)


@settings(max_examples=400)
@given(
    sizes=st.tuples(SIZES, SIZES),
    view=VIEWS,
    pending=PENDING,
    maintenance_left_s=st.sampled_from([*[0] * 6, 1]),
    gap_bps=st.sampled_from([9, 10, *[11] * 6, 20, 21]),
    ticks=st.sampled_from([1, 2, 3, 3]),
    min_notional=st.sampled_from([0, 0, 0, 100, 101]),
    direction=st.sampled_from([1, -1]),
)
def test_an_entry_is_let_through_exactly_when_no_gate_objects(
    sizes: tuple[float, float],
    view: Any,
    pending: Pending | None,
    maintenance_left_s: int,
    gap_bps: int,
    ticks: int,
    min_notional: int,
    direction: int,
) -> None:
    """Without depth, so that what the touch holds is all there is."""
    rules = some_rules(
        layers=(Layer(10.0, e8(1)),),
        confirm_ticks=2,
        edge_bps_min=8.0,
        fees_bps=2.0,
        gain_bps_max=20.5,
        liquidity_ratio_min=1.5,
        cooldown_ns=10,
        second=an_instrument(1, "paradex", min_notional_e8=e8(min_notional)),
    )
    price = 100 * (1 + gap_bps / 10_000)
    cheap, dear = a_quote(size=sizes[0]), a_quote(price, price, size=sizes[1])
    market = a_market(
        *((cheap, dear) if direction > 0 else (dear, cheap)),
        view=view,
        pending=pending,
        maintenance_left_s=maintenance_left_s,
    )

    outcome = evaluate(rules, market, direction, 0, ticks, slippage_bps=0.0)

    spread_bps = 10_000 * (dear.bid_e8 - cheap.ask_e8) / cheap.ask_e8
    objection = (
        gates.absurd(spread_bps, 20.5)
        or gates.entry_threshold(spread_bps, 10.0)
        or gates.net_edge(spread_bps - 2.0, 8.0)
        or gates.confirmation(ticks, 2)
        or gates.size(e8(1), -(-e8(min_notional) * E8 // cheap.ask_e8))
        or gates.size(min(e8(1.5), e8(min(sizes))), e8(1.5))
        or gates.not_pending(pending, view, NOW_NS)
        or gates.entry_state(view, direction, 1)
        or gates.risk_state(view)
        or gates.maintenance(maintenance_left_s)
        or gates.cool_down(view, 10, NOW_NS)
    )
    if objection is None:
        assert isinstance(outcome, Opportunity)
        assert (outcome.size_e8, outcome.spread_bps) == (e8(1), spread_bps)
    else:
        assert outcome == objection


def thin_market(**changes: Any) -> Market:
    """Half of the size at the first leg's touch, the rest 4 bps behind it; the second holds all."""
    book = a_book([], [(100.0, 0.5), (100.04, 10.0)])
    return a_market(
        a_quote(size=0.5),
        a_quote(100.2, 100.2),
        read_depth=lambda item: book if item.venue == "vest" else None,
    )._replace(**changes)


def test_what_lies_behind_a_thin_touch_has_its_price() -> None:
    """Half at 100, half at 100.04: 2 bps worse than the touch, for the actual size."""
    rules = some_rules(slippage_bps_max=1.9)
    assert evaluate(rules, thin_market(), 1, 0, 1, slippage_bps=0.0) == Refusal(
        EntryBlock.SLIPPAGE, near(2.0), 1.9
    )
    accepted = evaluate(some_rules(slippage_bps_max=2.1), thin_market(), 1, 0, 1, slippage_bps=0.0)
    assert isinstance(accepted, Opportunity)


def test_the_next_layer_is_no_usual_case_and_is_found_all_the_same() -> None:
    rules = some_rules(layers=(Layer(5.0, e8(1)), Layer(10.0, e8(1))))
    market = a_market(a_quote(), a_quote(100.2, 100.2), view=a_hedged_view(1))
    outcome = evaluate(rules, market, 1, 1, 1, slippage_bps=0.0)
    assert isinstance(outcome, Opportunity)
    assert outcome.layer == 1
