"""One pair's decisions: which gate speaks first, what a direction means, streaks, size."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.gates import NO_QUOTE, FeedStatus, Pending, Refusal
from detector.layers import Layer
from detector.strategy import Market, Opportunity, PairStrategy, aim, distrust_market, evaluate
from shm.entry_block import GATES, EntryBlock
from shm.records import PairPhase, PairView, QuoteFlags, SignalKind
from tests.detector.builders import (
    MS,
    NOW_NS,
    a_book,
    a_hedged_view,
    a_market,
    a_quote,
    a_view,
    a_wide_market,
    an_instrument,
    e8,
    near,
    some_rules,
)


def gate_of(outcome: Opportunity | Refusal) -> EntryBlock:
    assert isinstance(outcome, Refusal)
    return outcome.gate


# --- entries ---


def test_a_wide_gap_is_an_entry_in_its_direction_and_a_refusal_in_the_other() -> None:
    """First at 100, second at 100.2: buy the first, sell the second."""
    forward, backward = PairStrategy(some_rules()).on_quote(a_wide_market(20))

    assert forward == Opportunity(SignalKind.ENTER, 1, 0, e8(1), e8(100), e8(100.2), near(20.0), near(20.0))
    assert gate_of(backward) == EntryBlock.THRESHOLD


def test_the_mirror_gap_is_an_entry_the_other_way() -> None:
    """Direction -1 sells the first leg at its bid and buys the second at its ask."""
    market = a_market(a_quote(100.2, 100.3), a_quote(99.9, 100.0, instrument_id=1))

    forward, backward = PairStrategy(some_rules()).on_quote(market)

    assert gate_of(forward) == EntryBlock.THRESHOLD
    assert isinstance(backward, Opportunity)
    assert (backward.direction, backward.first_price_e8, backward.second_price_e8) == (
        -1,
        e8(100.2),
        e8(100.0),
    )


def test_fees_and_slippage_come_off_the_edge() -> None:
    """20 bps gross less 12 of fees and 3 of slippage is 5."""
    market = a_wide_market(20)
    rules = some_rules(fees_bps=12.0, edge_bps_min=5.1)

    refused = evaluate(rules, market, 1, 0, 1, slippage_bps=3.0)
    accepted = evaluate(some_rules(fees_bps=12.0, edge_bps_min=4.9), market, 1, 0, 1, slippage_bps=3.0)

    assert refused == Refusal(EntryBlock.EDGE, near(5.0), 5.1)
    assert isinstance(accepted, Opportunity)
    assert accepted.edge_bps == pytest.approx(5.0)


# Every way a wide gap can be refused, in the order of the gates.
OBJECTIONS: list[tuple[EntryBlock, dict[str, Any], dict[str, Any]]] = [
    (EntryBlock.FEED_ALIVE, {}, {"second_feed": FeedStatus(False, NOW_NS)}),
    (EntryBlock.QUOTE_VALID, {}, {"first": a_quote(flags=QuoteFlags.CROSSED)}),
    (EntryBlock.QUOTE_AGE, {"quote_age_ns_max": -1}, {}),
    (EntryBlock.LEG_SKEW, {"leg_skew_ns_max": -1}, {}),
    (EntryBlock.ABSURD, {"gain_bps_max": 5.0}, {}),
    (EntryBlock.THRESHOLD, {"layers": (Layer(500.0, e8(1)),)}, {}),
    (EntryBlock.EDGE, {"edge_bps_min": 500.0}, {}),
    (EntryBlock.CONFIRMATION, {"confirm_ticks": 2}, {}),
    (EntryBlock.SIZE, {"layers": (Layer(10.0, e8(1_000)),)}, {}),
    (EntryBlock.SLIPPAGE, {"slippage_bps_max": -1.0}, {}),
    (EntryBlock.PAIR_STATE, {}, {"pending": Pending(1, NOW_NS)}),
    (EntryBlock.RISK_STATE, {}, {"view": a_view(entries_allowed=0, closed_mono_ns=NOW_NS)}),
    (EntryBlock.MAINTENANCE, {}, {"maintenance_left_s": 5}),
    (EntryBlock.COOL_DOWN, {}, {"view": a_view(closed_mono_ns=NOW_NS)}),
]


def test_every_gate_has_an_objection_here() -> None:
    """The table below is complete and in the order that shm.counter_names promises."""
    converting = {EntryBlock.QUOTE_RATE}  # of ConvertingStrategy alone: test_converting.py
    assert [gate for gate, _, _ in OBJECTIONS] == [gate for gate in GATES if gate not in converting]


@pytest.mark.parametrize("first", range(len(OBJECTIONS)))
def test_of_several_objections_the_first_gate_is_counted(first: int) -> None:
    """All gates from this one on object; earlier ones do not. The order is the contract."""
    rules: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for _, rule_changes, market_changes in reversed(OBJECTIONS[first:]):
        rules.update(rule_changes)
        changes.update(market_changes)

    forward, _ = PairStrategy(some_rules(**rules)).on_quote(a_wide_market(20, **changes))

    assert gate_of(forward) == OBJECTIONS[first][0]


@pytest.mark.parametrize(
    ("gate", "rules", "changes"),
    [item for item in OBJECTIONS if item[0] is not EntryBlock.SLIPPAGE],  # has its own test, with a book
    ids=lambda value: str(value) if isinstance(value, EntryBlock) else "",
)
def test_one_objection_alone_is_enough(
    gate: EntryBlock, rules: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Nothing else is wrong, so no other gate can have said it."""
    forward, _ = PairStrategy(some_rules(**rules)).on_quote(a_wide_market(20, **changes))
    assert gate_of(forward) == gate


# --- what a direction means while a position is held ---


def test_a_hedged_pair_is_closed_by_trading_the_other_way() -> None:
    """Held: long first, short second. The gap is gone, so -1 closes at the first's bid, second's ask."""
    market = a_market(
        a_quote(100.0, 100.1), a_quote(99.9, 100.0, instrument_id=1), view=a_hedged_view(1, size_e8=e8(2))
    )

    forward, backward = PairStrategy(some_rules()).on_quote(market)

    assert gate_of(forward) == EntryBlock.THRESHOLD
    assert backward == Opportunity(SignalKind.EXIT, 1, 1, e8(2), e8(100), e8(100), 0.0, 0.0)


def test_the_mirror_position_is_closed_by_trading_forward() -> None:
    """Held: short first, long second; an EXIT carries the position's direction, not the trade's."""
    market = a_market(a_quote(99.9, 100.0), a_quote(100.0, 100.1, instrument_id=1), view=a_hedged_view(-1))

    forward, _ = PairStrategy(some_rules()).on_quote(market)

    assert isinstance(forward, Opportunity)
    assert (forward.kind, forward.direction) == (SignalKind.EXIT, -1)
    assert (forward.first_price_e8, forward.second_price_e8) == (e8(100), e8(100))


def test_an_open_gap_keeps_the_position() -> None:
    """Closing would give 20 bps back."""
    _, backward = PairStrategy(some_rules()).on_quote(a_wide_market(20, view=a_hedged_view(1)))
    assert backward == Refusal(EntryBlock.THRESHOLD, near(20.0), 0.0)


ENTRY_ONLY: list[tuple[EntryBlock, dict[str, Any], dict[str, Any]]] = [
    (EntryBlock.EDGE, {"edge_bps_min": 500.0, "fees_bps": 400.0}, {}),
    (EntryBlock.CONFIRMATION, {"confirm_ticks": 99}, {}),
    (EntryBlock.SIZE, {"liquidity_ratio_min": 100.0}, {}),
    (EntryBlock.RISK_STATE, {}, {"view": a_hedged_view(1, entries_allowed=0)}),
    (EntryBlock.MAINTENANCE, {}, {"maintenance_left_s": 5}),
    (EntryBlock.COOL_DOWN, {}, {"view": a_hedged_view(1, closed_mono_ns=NOW_NS)}),
]


@pytest.mark.parametrize(("gate", "rules", "changes"), ENTRY_ONLY, ids=[gate for gate, _, _ in ENTRY_ONLY])
def test_what_protects_entries_never_holds_an_exit_back(
    gate: EntryBlock, rules: dict[str, Any], changes: dict[str, Any]
) -> None:
    """A pair that must not be opened must still be closed."""
    market = a_market(**{"view": a_hedged_view(1), **changes})

    _, backward = PairStrategy(some_rules(**rules)).on_quote(market)

    assert isinstance(backward, Opportunity), gate


@pytest.mark.parametrize(
    ("gate", "rules", "changes"),
    [
        (EntryBlock.FEED_ALIVE, {}, {"second_feed": FeedStatus(False, NOW_NS)}),
        (EntryBlock.QUOTE_VALID, {}, {"second": a_quote(flags=0, instrument_id=1)}),
        (EntryBlock.QUOTE_AGE, {}, {"second": a_quote(age_ms=3_001, instrument_id=1)}),
        (EntryBlock.LEG_SKEW, {"leg_skew_ns_max": 0}, {"second": a_quote(age_ms=1, instrument_id=1)}),
        (EntryBlock.ABSURD, {}, {"first": a_quote(150, 150)}),
        (EntryBlock.CONFIRMATION, {"exit_confirm_ticks": 2}, {}),
        (EntryBlock.SIZE, {}, {"view": a_hedged_view(1, size_e8=e8(11))}),
        (EntryBlock.PAIR_STATE, {}, {"pending": Pending(1, NOW_NS)}),
    ],
)
def test_an_exit_still_needs_a_market_it_can_believe(
    gate: EntryBlock, rules: dict[str, Any], changes: dict[str, Any]
) -> None:
    """An order priced from quotes nobody vouches for is not a way out."""
    market = a_market(**{"view": a_hedged_view(1), **changes})

    _, backward = PairStrategy(some_rules(**rules)).on_quote(market)

    assert gate_of(backward) == gate


def test_a_pair_held_too_long_is_closed_at_any_spread() -> None:
    """20 bps against us, past max_hold_s."""
    view = a_hedged_view(1, opened_mono_ns=NOW_NS - 3_600_001 * MS)
    _, backward = PairStrategy(some_rules()).on_quote(a_wide_market(20, view=view))
    assert isinstance(backward, Opportunity)
    assert backward.kind == SignalKind.EXIT


def test_a_pair_held_too_long_is_not_added_to() -> None:
    """The gap asks for the next layer and time for the exit, on the same quote: the exit goes."""
    rules = some_rules(layers=(Layer(10.0, e8(1)), Layer(15.0, e8(4))))
    view = a_hedged_view(1, opened_mono_ns=NOW_NS - 3_600_001 * MS)

    forward, backward = PairStrategy(rules).on_quote(a_wide_market(20, view=view))

    assert forward == Refusal(EntryBlock.PAIR_STATE, 2, 1)
    assert isinstance(backward, Opportunity)


def test_of_two_entries_on_one_quote_the_wider_goes() -> None:
    """Only a negative trigger makes both directions pay; the executor takes one."""
    market = a_market(a_quote(100.0, 100.0), a_quote(100.05, 100.1, instrument_id=1))

    forward, backward = PairStrategy(some_rules(layers=(Layer(-50.0, e8(1)),), edge_bps_min=-50.0)).on_quote(
        market
    )

    assert isinstance(forward, Opportunity)
    assert backward == Refusal(EntryBlock.PAIR_STATE, 2, 1)


# --- layers ---


def test_the_next_layer_waits_for_its_own_trigger() -> None:
    """Layer 2 of two opens at 30 bps with its own size."""
    rules = some_rules(layers=(Layer(10.0, e8(1)), Layer(30.0, e8(4))))
    view = a_hedged_view(1, layers_open=1)

    at_20, _ = PairStrategy(rules).on_quote(a_wide_market(20, view=view))
    at_31, _ = PairStrategy(rules).on_quote(a_wide_market(31, view=view))

    assert at_20 == Refusal(EntryBlock.THRESHOLD, near(20.0), 30.0)
    assert isinstance(at_31, Opportunity)
    assert (at_31.layer, at_31.size_e8) == (1, e8(4))


def test_with_every_layer_open_nothing_is_added() -> None:
    """The refusal says how many of how many."""
    rules = some_rules(layers=(Layer(10.0, e8(1)), Layer(15.0, e8(4))))
    forward, _ = PairStrategy(rules).on_quote(a_wide_market(20, view=a_hedged_view(1, layers_open=2)))
    assert forward == Refusal(EntryBlock.PAIR_STATE, 2, 2)


# --- streaks ---


def outcomes(strategy: PairStrategy, *markets: Market) -> list[EntryBlock | SignalKind]:
    """The forward outcome of each market in turn, as its gate or kind."""
    forward = [strategy.on_quote(market)[0] for market in markets]
    return [item.gate if isinstance(item, Refusal) else item.kind for item in forward]


def test_confirmation_wants_consecutive_quotes() -> None:
    """One quote below the trigger starts the count anew."""
    wide, narrow = a_wide_market(20), a_wide_market(5)
    assert outcomes(PairStrategy(some_rules(confirm_ticks=3)), wide, wide, narrow, wide, wide, wide) == [
        EntryBlock.CONFIRMATION,
        EntryBlock.CONFIRMATION,
        EntryBlock.THRESHOLD,
        EntryBlock.CONFIRMATION,
        EntryBlock.CONFIRMATION,
        SignalKind.ENTER,
    ]


def test_a_lost_market_ends_the_streak() -> None:
    """Quotes before a disconnection confirm nothing after it."""
    wide = a_wide_market(20)
    lost = wide._replace(first_feed=FeedStatus(False, NOW_NS))
    assert outcomes(PairStrategy(some_rules(confirm_ticks=2)), wide, lost, wide) == [
        EntryBlock.CONFIRMATION,
        EntryBlock.FEED_ALIVE,
        EntryBlock.CONFIRMATION,
    ]


def test_a_later_refusal_leaves_the_streak_standing() -> None:
    """The spread is confirmed however long the maintenance lasts."""
    wide = a_wide_market(20)
    busy = wide._replace(maintenance_left_s=1)
    assert outcomes(PairStrategy(some_rules(confirm_ticks=2)), wide, busy, wide) == [
        EntryBlock.CONFIRMATION,
        EntryBlock.MAINTENANCE,
        SignalKind.ENTER,
    ]


def test_a_streak_towards_an_entry_confirms_no_exit() -> None:
    """Direction -1 confirmed an entry; then the pair is hedged the other way, and -1 means closing."""
    wide_backward = a_market(a_quote(100.2, 100.2), a_quote(100, 100, instrument_id=1))
    strategy = PairStrategy(some_rules(confirm_ticks=5, exit_confirm_ticks=2))

    entry = [strategy.on_quote(wide_backward)[1] for _ in range(3)]
    closing = [strategy.on_quote(wide_backward._replace(view=a_hedged_view(1)))[1] for _ in range(2)]

    assert [gate_of(item) for item in entry] == [EntryBlock.CONFIRMATION] * 3
    assert gate_of(closing[0]) == EntryBlock.CONFIRMATION
    assert isinstance(closing[1], Opportunity)


# --- size ---


def test_depth_helps_a_thin_touch() -> None:
    """0.4 at the touch, 1.0 within what the spread can spare."""
    deep = a_book(bids=[(100.2, 0.4), (100.19, 0.6)], asks=[(100.0, 0.4), (100.01, 0.6)])
    market = a_wide_market(20, size=0.4, read_depth=lambda _: deep)
    assert isinstance(PairStrategy(some_rules()).on_quote(market)[0], Opportunity)


@pytest.mark.parametrize(
    ("changes", "available"),
    [({"is_valid": False}, 0.4), ({"recv_mono_ns": NOW_NS - 3_001 * MS}, 0.4), ({}, 1.0)],
)
def test_depth_that_cannot_be_believed_does_not_count(changes: dict[str, Any], available: float) -> None:
    """A void or old book is no liquidity; the touch alone counts then."""
    deep = a_book(bids=[(100.2, 1.0)], asks=[(100.0, 1.0)], **changes)
    market = a_wide_market(20, size=0.4, read_depth=lambda _: deep)

    forward, _ = PairStrategy(some_rules(liquidity_ratio_min=2.0)).on_quote(market)

    assert forward == Refusal(EntryBlock.SIZE, e8(available), e8(2))


def test_depth_is_used_only_as_far_as_the_spread_can_spare() -> None:
    """A spread of 11 over a trigger of 10 has 1 bps to spare: 0.5 for each thin leg, not the band's 5."""
    deep = a_book(
        bids=[(100.11, 0.4), (100.106, 0.3), (100.103, 9)], asks=[(100.0, 0.4), (100.004, 0.3), (100.007, 9)]
    )
    market = a_wide_market(11, size=0.4, read_depth=lambda _: deep)
    assert PairStrategy(some_rules()).on_quote(market)[0] == Refusal(EntryBlock.SIZE, e8(0.7), e8(1))


def test_an_exit_uses_the_whole_price_band() -> None:
    """Exactly at its threshold an exit has nothing to spare, and must still get out."""
    deep = a_book(bids=[(100.0, 0.4), (99.96, 9)], asks=[(100.0, 0.4), (100.04, 9)])
    market = a_market(
        a_quote(size=0.4),
        a_quote(size=0.4, instrument_id=1),
        view=a_hedged_view(1),
        read_depth=lambda _: deep,
    )
    assert isinstance(PairStrategy(some_rules()).on_quote(market)[1], Opportunity)


def test_a_layer_below_a_minimum_notional_is_refused_with_the_size_it_would_take() -> None:
    """1 BTC at 100 is 100; the venue wants 150."""
    rules = some_rules(second=an_instrument(1, "paradex", min_notional_e8=e8(150)))
    assert PairStrategy(rules).on_quote(a_wide_market(20))[0] == Refusal(EntryBlock.SIZE, e8(1), e8(1.5))


# --- properties ---

phases = st.sampled_from(PairPhase)
views = st.none() | st.builds(
    a_view,
    phases,
    direction=st.sampled_from([-1, 0, 1]),
    layers_open=st.integers(0, 2),
    size_e8=st.integers(0, 10 * 10**8),
    entries_allowed=st.integers(0, 1),
    closed_mono_ns=st.sampled_from([0, NOW_NS - 10, NOW_NS - 2_000 * MS]),
    last_signal_id=st.integers(0, 3),
)
quotes = st.just(NO_QUOTE) | st.builds(
    a_quote,
    st.floats(90, 110),
    st.floats(90, 110),
    size=st.floats(0, 20),
    age_ms=st.floats(0, 4_000),
    flags=st.sampled_from([QuoteFlags.VALID] * 8 + [QuoteFlags.STALE, QuoteFlags.CROSSED]),
)
markets = st.builds(
    a_market()._replace,
    first=quotes,
    second=quotes,
    first_feed=st.sampled_from([FeedStatus(True, NOW_NS)] * 8 + [FeedStatus(False, NOW_NS)]),
    view=views,
    pending=st.none() | st.builds(Pending, st.integers(1, 3), st.sampled_from([NOW_NS - 1, NOW_NS])),
    maintenance_left_s=st.sampled_from([0, 0, 0, 60]),
)
RULES = some_rules(layers=(Layer(10.0, e8(1)), Layer(20.0, e8(4))), confirm_ticks=2)


@given(st.lists(markets, max_size=20))
def test_every_quote_gives_two_outcomes_and_at_most_one_signal(sequence: list[Market]) -> None:
    """Whatever the market and the executor say; this is what makes the counters add up."""
    strategy = PairStrategy(RULES)
    for market in sequence:
        pair = strategy.on_quote(market)
        assert all(isinstance(item, Refusal | Opportunity) for item in pair)
        assert sum(isinstance(item, Opportunity) for item in pair) <= 1


@given(st.lists(markets, max_size=20))
def test_the_same_market_gives_the_same_decisions(sequence: list[Market]) -> None:
    """A recorded session replays to the same signals, bit for bit."""
    one, other = PairStrategy(RULES), PairStrategy(RULES)
    assert [one.on_quote(market) for market in sequence] == [other.on_quote(market) for market in sequence]


@given(markets, st.sampled_from([-1, 1]), st.integers(1, 3))
def test_evaluate_is_pure(market: Market, direction: int, ticks: int) -> None:
    """Asked twice, it answers twice the same."""
    if distrust_market(RULES, market) is None:
        target = aim(RULES, market.view, direction)
        first = evaluate(RULES, market, direction, target, ticks, slippage_bps=0.0)
        assert first == evaluate(RULES, market, direction, target, ticks, slippage_bps=0.0)


@given(markets)
def test_nothing_is_opened_unless_the_executor_says_it_may(market: Market) -> None:
    """The one promise that must hold whatever else is wrong."""
    for outcome in PairStrategy(some_rules(layers=RULES.layers)).on_quote(market):
        if isinstance(outcome, Opportunity) and outcome.kind == SignalKind.ENTER:
            view: PairView | None = market.view
            assert view is not None
            assert view.entries_allowed
            assert view.phase in (PairPhase.FLAT, PairPhase.HEDGED)
