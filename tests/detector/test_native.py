"""What is decided in C must be what is decided in Python: outcome, both numbers and streaks, bit for bit."""

from __future__ import annotations

import ctypes
from collections import Counter
from math import inf, nan
from random import Random
from struct import pack

import pytest

from detector.gates import FeedStatus, Pending
from detector.layers import Layer
from detector.native_strategy import NativeStrategy
from detector.rules import Rules
from detector.strategy import Market, Opportunity, Outcome, PairStrategy
from detector.structures import load_detector
from runtime import native
from shm.entry_block import GATES, EntryBlock
from shm.records import DepthBook, PairView, Quote
from tests.detector.builders import a_wide_market, an_instrument, some_rules
from venues.contract import E8

START_NS = 10**13
ROUNDS, QUOTES = 60, 80


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Built for this run, so that what is tested is what stands in the source."""
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    assert native.main() == 0


def some_random_rules(rng: Random) -> Rules:
    layers = tuple(
        Layer(rng.uniform(-3, 8), rng.choice((10**6, 3 * 10**8, 10**9, 50 * E8, 10**16 + 1)))
        for _ in range(rng.randint(1, 5))
    )
    return some_rules(
        first=an_instrument(0, "vest"),
        second=an_instrument(1, "paradex"),
        layers=layers,
        exit_bps=rng.uniform(-3, 3),
        confirm_ticks=rng.randint(1, 3),
        exit_confirm_ticks=rng.randint(1, 3),
        fees_bps=rng.choice((0.0, 0.4, 2.5)),
        edge_bps_min=rng.choice((-2.0, 0.0, 1.0)),
        gain_bps_max=rng.choice((6.0, 50.0, 500.0)),
        quote_age_ns_max=10**9,
        leg_skew_ns_max=5 * 10**8,
        liquidity_ratio_min=rng.choice((0.3, 1.0, 1.5, 2.37)),
        slippage_bps_max=rng.choice((0.001, 0.1, 2.0)),
        min_notional_e8=rng.choice((0, 10 * E8, 10**14)),
        reach_bps=rng.choice((1.0, 5.0)),
        cooldown_ns=rng.choice((0, 10**9)),
        hold_ns_max=rng.choice((10**9, 10**12)),
    )


def a_random_quote(rng: Random, number: int, now_ns: int, base_e8: int) -> Quote:
    bid_e8 = base_e8 + rng.randint(-80, 80) * max(1, base_e8 // 10**5)
    sizes_e8 = [rng.choice((10**5, 10**7, 10**9, 10**11, 10**17)) + rng.randint(0, 1000) for _ in range(2)]
    flags = rng.choices((1, 3, 0, 5, 8, 4), (60, 3, 1, 1, 1, 1))[0]
    age_ns = rng.choices((10**3, 10**6, 4 * 10**8, 6 * 10**8, 2 * 10**9), (20, 20, 4, 1, 1))[0]
    spread_e8 = rng.choice((1, 5, 50)) * max(1, base_e8 // 10**5)
    ask_e8, recv_mono_ns = bid_e8 + spread_e8, now_ns - age_ns
    return Quote(
        *(number, bid_e8, ask_e8, sizes_e8[0], sizes_e8[1], 0, recv_mono_ns, now_ns, 1, flags, 1),
    )


def a_random_book(rng: Random, quote: Quote, now_ns: int) -> DepthBook | None:
    if rng.random() < 0.1:
        return None
    step_e8 = max(1, quote.bid_e8 // 10**5) * rng.choice((1, 2, 10))

    def side(best_e8: int, sign: int) -> list[tuple[int, int]]:
        count = rng.randint(0, 20)
        return [
            (best_e8 + sign * level * step_e8, rng.choice((0, 10**6, 10**8, 10**10, 2**61)))
            for level in range(count)
        ]

    age_ns = rng.choice((10**3, 10**3, 2 * 10**9))
    return DepthBook(side(quote.bid_e8, -1), side(quote.ask_e8, 1), now_ns - age_ns, 0, rng.random() < 0.9)


def a_random_view(rng: Random, now_ns: int) -> PairView | None:
    if rng.random() < 0.05:
        return None
    phase = rng.choices((0, 1, 2, 3, 4, 5, 6), (1, 30, 2, 30, 2, 2, 1))[0]
    return PairView(
        pair_id=0,
        phase=phase,
        direction=0 if phase == 1 else rng.choice((1, -1)),
        size_e8=rng.choice((10**6, 3 * 10**8, 10**10, 2**61)),
        naked_e8=0,
        layers_open=rng.randint(0, 5),
        entries_allowed=rng.choice((1, 1, 1, 0)),
        entry_spread_bps=1.0,
        opened_mono_ns=now_ns - rng.choice((10**6, 10**10, 2 * 10**12)),
        closed_mono_ns=rng.choice((0, now_ns - 10**6, now_ns - 10**10)),
        trade_id=1,
        last_signal_id=rng.randint(0, 4),
        updated_mono_ns=now_ns,
    )


def a_random_market(rng: Random, now_ns: int, base_e8: int, view: PairView | None) -> Market:
    quotes = [a_random_quote(rng, number, now_ns, base_e8) for number in range(2)]
    if rng.random() < 0.02:
        quotes[1] = quotes[1]._replace(bid_e8=quotes[1].bid_e8 * 3, ask_e8=quotes[1].ask_e8 * 3)
    if rng.random() < 0.01:
        quotes[0] = quotes[0]._replace(ask_e8=rng.choice((0, 2**62)))
    feeds = [
        FeedStatus(rng.random() < 0.99, now_ns - (2 * 10**9 if rng.random() < 0.02 else 10**8))
        for _ in range(2)
    ]
    pending = Pending(rng.randint(1, 6), now_ns + rng.choice((-5, 10**6))) if rng.random() < 0.5 else None
    books = {number: a_random_book(rng, quotes[number], now_ns) for number in range(2)}
    return Market(
        *(quotes[0], quotes[1], feeds[0], feeds[1], view, pending),
        maintenance_left_s=rng.choice((0, 0, 0, 0, 60)),
        read_depth=lambda instrument: books[instrument.instrument_id],
        now_mono_ns=now_ns,
    )


def bits(outcome: Outcome) -> tuple[object, ...]:
    """Every number of an outcome: floats by their bits, and whole numbers apart from them."""
    return tuple(
        pack("<d", value) if isinstance(value, float) else int(value) if isinstance(value, int) else value
        for value in outcome
    )


def kind_of(outcome: Outcome) -> str:
    return outcome.kind.name if isinstance(outcome, Opportunity) else outcome.gate.value


@pytest.mark.parametrize("seed", range(4))
def test_both_twins_decide_every_quote_alike(seed: int) -> None:
    """Markets of every kind, through all gates: prices from a fraction of a cent to half a million."""
    rng, seen, handed_over = Random(seed), Counter[str](), 0
    for _ in range(ROUNDS):
        rules = some_random_rules(rng)
        python, compiled = PairStrategy(rules), NativeStrategy(rules)
        python.slippage_bps = compiled.slippage_bps = rng.uniform(0, 1)
        python.funding_bps = compiled.funding_bps = rng.uniform(-1, 1)
        base_e8 = rng.choice((10**5, 10**8, 2_500 * E8, 83_440 * E8, 5 * 10**5 * E8, 10**15))
        view = None
        for step in range(QUOTES):
            now_ns = START_NS + step * 10**6
            if rng.random() < 0.3:
                view = a_random_view(rng, now_ns)
            market = a_random_market(rng, now_ns, base_e8, view)
            if min(market.first.ask_e8, market.second.ask_e8) > 0:
                wanted, found = python.on_quote(market), compiled.on_quote(market)
                assert [bits(one) for one in found] == [bits(one) for one in wanted], (rules, market)
                assert _streaks(compiled) == _streaks(python), (rules, market)
                assert compiled.is_market_trusted == python.is_market_trusted, (rules, market)
                seen.update(map(kind_of, wanted))
        handed_over += sum(compiled.handed_over.values())
    assert sum(seen.values()) > 2 * ROUNDS * QUOTES * 0.95
    assert 0 < handed_over < ROUNDS * QUOTES / 10  # otherwise this compared Python with itself
    asked = [gate.value for gate in GATES if gate is not EntryBlock.QUOTE_RATE]  # which is Python's alone
    assert seen.keys() >= {"ENTER", "EXIT", *asked}


def _streaks(strategy: PairStrategy) -> list[tuple[int, int]]:
    return [(streak.target, streak.ticks) for streak in strategy.streaks]


@pytest.mark.parametrize("missing_e8", [0, 1])
@pytest.mark.parametrize("leg", [0, 1])
def test_a_touch_that_misses_the_size_by_the_smallest_step_is_too_thin_for_both(
    missing_e8: int, leg: int
) -> None:
    """The ratio makes half a step of the size: it counts as a whole one."""
    rules = some_rules(layers=(Layer(10.0, 100_000_001),), liquidity_ratio_min=1.5)
    market = a_wide_market(size=10.0)
    needed_e8 = 150_000_002
    names = ("first", "ask_size_e8"), ("second", "bid_size_e8")
    name, field = names[leg]
    thin = getattr(market, name)._replace(**{field: needed_e8 - missing_e8})
    market = market._replace(**{name: thin})

    found = [kind(rules).on_quote(market)[0] for kind in (PairStrategy, NativeStrategy)]

    assert list(map(kind_of, found)) == ["size" if missing_e8 else "ENTER"] * 2
    assert bits(found[0]) == bits(found[1])


@pytest.mark.parametrize("figure", ["funding_bps", "slippage_bps"])
@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_an_expectation_that_is_no_number_opens_nothing_that_python_would_not(
    figure: str, value: float
) -> None:
    rules = some_rules(layers=(Layer(10.0, E8),), confirm_ticks=1)
    found = []
    for kind in (PairStrategy, NativeStrategy):
        strategy = kind(rules)
        setattr(strategy, figure, value)
        found.append([strategy.on_quote(a_wide_market(size=10.0)) for _ in range(3)])

    assert [[bits(one) for one in both] for both in found[1]] == [
        [bits(one) for one in both] for both in found[0]
    ]


def test_a_view_with_impossible_layers_is_python_s_to_decide() -> None:
    view = a_random_view(Random(3), START_NS)
    assert view is not None
    compiled = NativeStrategy(some_rules(layers=(Layer(10.0, E8),)))
    market = a_wide_market(size=10.0)._replace(view=view._replace(phase=3, layers_open=-(10**8)))

    with pytest.raises(IndexError):
        compiled.on_quote(market)

    assert compiled.handed_over["rules"] == 1


def test_integers_are_divided_as_in_python_whatever_their_size() -> None:
    """Beyond 53 bits too, and where the quotient lies a hair beside the middle of two floats."""
    rng, divide = Random(1), load_detector().core_true_quotient
    cases = [
        (rng.randrange(-(2**bits_a), 2**bits_a), rng.randrange(1, 2**bits_b), rng.randrange(1, 2**bits_c))
        for _ in range(20_000)
        for bits_a, bits_b, bits_c in [(rng.randint(1, 60), rng.randint(1, 60), rng.randint(1, 60))]
    ]
    # (2**53 + 1) * 2**k + 1 over 2**k: the middle of two floats, and the smallest bit more.
    cases += [(2**53 + 1, 1, 1), (2**53 + 3, 1, 1)]
    cases += [((2**53 + 1) * 2**6 + 1, 1, 2**6), (-(2**53 + 1) * 2**6 - 1, 1, 2**6)]
    cases += [(2**59 + 2**6 + 1, 2**6, 2**12 + 1), (2**60 - 1, 2**60 - 1, 2**60 - 1)]

    for a, b, under in cases:
        found = divide(ctypes.c_int64(a), ctypes.c_int64(b), ctypes.c_int64(under))
        assert pack("<d", found) == pack("<d", a * b / under), (a, b, under)
