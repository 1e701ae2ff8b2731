"""One pair's decision on one new quote: an ``Opportunity`` or a ``Refusal`` for each direction.

Direction +1 buys the pair's first leg and sells its second; -1 the reverse. What trading in a
direction means follows from the position: for a pair hedged in direction d, trading in -d closes
it, and trading in d adds the next layer. For any other pair both directions are entries. So every
quote gives exactly two evaluations, and each has exactly one outcome.

``evaluate`` is pure; the one thing a pair remembers is its streak per direction: how many quotes
in a row passed every gate up to the edge.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from detector import gates
from detector.gates import FeedStatus, Pending, Refusal
from detector.liquidity import Levels, past_touch_bps, size_within_e8
from detector.rules import Rules
from detector.spreads import exit_spread_bps, net_edge_bps
from shm.entry_block import GATES, EntryBlock
from shm.records import DepthBook, PairPhase, PairView, Quote, QuoteFlags, SignalKind
from venues.contract import E8, Instrument, Side

ReadDepth = Callable[[Instrument], DepthBook | None]


class Market(NamedTuple):
    """Everything one evaluation looks at, at one instant."""

    first: Quote  # gates.NO_QUOTE until one has come
    second: Quote
    first_feed: FeedStatus
    second_feed: FeedStatus
    view: PairView | None  # None until the executor has published one
    pending: Pending | None
    maintenance_left_s: int  # of the venue that takes longer
    read_depth: ReadDepth  # asked only when a touch is too thin
    now_mono_ns: int
    rate: Quote = gates.NO_QUOTE  # of the instrument whose price is the pair's live quote rate
    rate_feed: FeedStatus = gates.NO_FEED


class Opportunity(NamedTuple):
    """Yes: the content of a ``shm.records.Signal``, before it gets a number and times."""

    kind: SignalKind
    direction: int  # of the position: for an EXIT the trades go the other way
    layer: int
    size_e8: int
    first_price_e8: int
    second_price_e8: int
    spread_bps: float
    edge_bps: float


Outcome = Opportunity | Refusal

# These speak for both directions: the market itself cannot be believed.
DISTRUST: Final = frozenset(
    (EntryBlock.FEED_ALIVE, EntryBlock.QUOTE_VALID, EntryBlock.QUOTE_AGE, EntryBlock.LEG_SKEW)
)
# A refusal by one of these ends a streak; later gates leave it standing.
ENDS_STREAK: Final = frozenset(GATES[: GATES.index(EntryBlock.EDGE) + 1])
# Plain ints: comparing with members of an enum costs several times as much.
_VALID, _STALE, _FLAT = int(QuoteFlags.VALID), int(QuoteFlags.STALE), int(PairPhase.FLAT)
_EXIT = -1  # a target is the number of the layer to open, or this


class _Streak:
    """Consecutive quotes that confirmed one thing: opening one layer, or closing."""

    __slots__ = ("target", "ticks")

    def __init__(self) -> None:
        self.target = 0
        self.ticks = 0


class PairStrategy:
    """One pair: its rules and its two streaks."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.slippage_bps = rules.slippage_bps  # expected over the whole trade; may be learned meanwhile
        self.funding_bps = 0.0  # expected cost of direction +1 until its exit; -1 costs the negative
        self.is_market_trusted = False  # whether the newest quotes passed the gates of both directions
        self.streaks = self._forward, self._backward = _Streak(), _Streak()

    def on_quote(self, market: Market) -> tuple[Outcome, Outcome]:
        """Outcomes for direction +1 and -1, in this order."""
        distrust = distrust_market(self.rules, market)
        self.is_market_trusted = distrust is None
        if distrust is not None:
            self.start_over()
            return distrust, distrust
        outcomes = self._decide(market, 1), self._decide(market, -1)
        if type(outcomes[0]) is Opportunity and type(outcomes[1]) is Opportunity:
            return _only_one(outcomes[0], outcomes[1])
        return outcomes

    @property
    def quote_rate_e8(self) -> int:
        """The live rate that prices are converted by; 0 for a pair without one. Below 0: the last one, which
        opens nothing now; -1: none was ever known."""
        return 0

    def comparable(self, market: Market) -> Market:
        """The market with both legs' prices in one currency, as it is decided upon."""
        return market

    def start_over(self) -> None:
        """Forget both streaks: the market was lost, or a signal has used them up."""
        self._forward.ticks = self._backward.ticks = 0

    def _decide(self, market: Market, direction: int) -> Outcome:
        streak = self._forward if direction > 0 else self._backward
        target = aim(self.rules, market.view, direction)
        if target != streak.target:  # what confirmed one thing confirms nothing about another
            streak.target, streak.ticks = target, 0
        ticks = streak.ticks + 1
        outcome = evaluate(
            self.rules,
            market,
            direction,
            target,
            ticks,
            slippage_bps=self.slippage_bps,
            funding_bps=direction * self.funding_bps,
        )
        streak.ticks = 0 if type(outcome) is Refusal and outcome.gate in ENDS_STREAK else ticks
        return outcome


def _only_one(forward: Opportunity, backward: Opportunity) -> tuple[Outcome, Outcome]:
    """One signal at a time: closing goes before adding, then the wider spread.

    Both at once happens when a pair held too long still widens, and with negative triggers.
    """
    refusal = Refusal(EntryBlock.PAIR_STATE, 2, 1)
    if (forward.kind, forward.spread_bps) >= (backward.kind, backward.spread_bps):
        return forward, refusal
    return refusal, backward


def aim(rules: Rules, view: PairView | None, direction: int) -> int:
    """What trading in ``direction`` would do: open a layer (its number) or close (-1)."""
    if view is None or view.phase == _FLAT or view.phase != PairPhase.HEDGED:
        return 0
    if view.direction != direction:
        return _EXIT
    # With every layer open the last one's trigger is asked; the pair's state then refuses.
    return min(view.layers_open, len(rules.layers) - 1)


def distrust_market(rules: Rules, market: Market) -> Refusal | None:
    """The gates that answer for both directions: can these two quotes be believed now?"""
    first, second, first_feed, second_feed, _, _, _, _, now_mono_ns, _, _ = market
    # Nearly always yes, and then one expression takes a tenth of the time of asking gate by gate.
    first_ns, second_ns = first.recv_mono_ns, second.recv_mono_ns
    if (
        first.flags & second.flags & _VALID
        and not (first.flags | second.flags) & _STALE
        and first_feed.is_connected
        and second_feed.is_connected
        and now_mono_ns - first_feed.beat_mono_ns <= gates.FEED_BEAT_AGE_NS_MAX
        and now_mono_ns - second_feed.beat_mono_ns <= gates.FEED_BEAT_AGE_NS_MAX
        and now_mono_ns - first_ns <= rules.quote_age_ns_max
        and now_mono_ns - second_ns <= rules.quote_age_ns_max
        and -rules.leg_skew_ns_max <= first_ns - second_ns <= rules.leg_skew_ns_max
    ):
        return None
    return (
        gates.feed_alive(first_feed, first, now_mono_ns)
        or gates.feed_alive(second_feed, second, now_mono_ns)
        or gates.quote_valid(first)
        or gates.quote_valid(second)
        or gates.quote_age(first, second, rules.quote_age_ns_max, now_mono_ns)
        or gates.leg_skew(first, second, rules.leg_skew_ns_max)
    )


def evaluate(
    rules: Rules,
    market: Market,
    direction: int,
    target: int,
    ticks: int,
    *,
    slippage_bps: float,
    funding_bps: float = 0.0,
) -> Outcome:
    """Decide one direction, given that ``distrust_market`` had no objection.

    ``target`` is what ``aim`` returns. ``ticks`` counts the consecutive quotes that would have passed
    the edge if this one does, this one included. ``slippage_bps`` is what the whole trade is
    expected to lose to slippage: the configured figure, or one learned from trades. ``funding_bps``
    is what holding in this direction is expected to cost until the exit, negative where it earns.
    """
    if target == _EXIT:
        return _evaluate_exit(rules, market, direction, ticks)
    buy, sell = (market.first, market.second) if direction > 0 else (market.second, market.first)
    buy_e8 = buy.ask_e8
    spread_bps = 10_000 * (sell.bid_e8 - buy_e8) / buy_e8  # spreads.entry_spread_bps, without the call
    trigger_bps = rules.layers[target].trigger_bps
    # Most quotes end here: what the later gates need is worked out only for the others.
    if spread_bps < trigger_bps and spread_bps <= rules.gain_bps_max:
        return Refusal(EntryBlock.THRESHOLD, spread_bps, trigger_bps)
    edge_bps = net_edge_bps(spread_bps, rules.fees_bps, slippage_bps, funding_bps)
    if ticks >= rules.confirm_ticks and edge_bps >= rules.edge_bps_min and spread_bps <= rules.gain_bps_max:
        return _place_entry(rules, market, direction, target, spread_bps, edge_bps)
    return (
        gates.absurd(spread_bps, rules.gain_bps_max)
        or gates.entry_threshold(spread_bps, trigger_bps)
        or gates.net_edge(edge_bps, rules.edge_bps_min)
        or Refusal(EntryBlock.CONFIRMATION, ticks, rules.confirm_ticks)
    )


def _place_entry(
    rules: Rules, market: Market, direction: int, layer: int, spread_bps: float, edge_bps: float
) -> Outcome:
    """The rest of an entry whose spread is confirmed: its size, and whether it is allowed."""
    first, second = market.first, market.second
    if direction > 0:
        first_price_e8, first_size_e8 = first.ask_e8, first.ask_size_e8
        second_price_e8, second_size_e8 = second.bid_e8, second.bid_size_e8
    else:
        first_price_e8, first_size_e8 = first.bid_e8, first.bid_size_e8
        second_price_e8, second_size_e8 = second.ask_e8, second.ask_size_e8
    trigger_bps, size_e8 = rules.layers[layer]
    needed = size_e8 * rules.liquidity_ratio_min
    view, pending, now_mono_ns = market.view, market.pending, market.now_mono_ns
    # As above: the usual entry, from flat at a touch that holds it, in one expression.
    is_usual = (
        first_size_e8 >= needed <= second_size_e8
        and size_e8 * min(first_price_e8, second_price_e8) >= rules.min_notional_e8 * E8
        and view is not None
        and view.phase == _FLAT
        and view.entries_allowed
        and (pending is None or pending.signal_id <= view.last_signal_id)
        and market.maintenance_left_s <= 0
        and (view.closed_mono_ns == 0 or now_mono_ns - view.closed_mono_ns >= rules.cooldown_ns)
    )
    if not is_usual:
        needed_e8 = ceil(needed)
        # Going past the touch may cost what the spread has to spare, and no more.
        slack_bps = min(spread_bps - trigger_bps, edge_bps - rules.edge_bps_min)
        available_e8, slippage_bps = _reach(rules, market, direction, needed_e8, size_e8, slack_bps)
        refusal = (
            gates.size(size_e8, _size_for_notional_e8(rules, min(first_price_e8, second_price_e8)))
            or gates.size(available_e8, needed_e8)
            or gates.slippage(slippage_bps, rules.slippage_bps_max)
            or gates.not_pending(pending, view, now_mono_ns)
            or gates.entry_state(view, direction, len(rules.layers))
            or gates.risk_state(view)
            or gates.maintenance(market.maintenance_left_s)
            or gates.cool_down(view, rules.cooldown_ns, now_mono_ns)
        )
        if refusal is not None:
            return refusal
    return Opportunity(
        kind=SignalKind.ENTER,
        direction=direction,
        layer=layer,
        size_e8=size_e8,
        first_price_e8=first_price_e8,
        second_price_e8=second_price_e8,
        spread_bps=spread_bps,
        edge_bps=edge_bps,
    )


def _evaluate_exit(rules: Rules, market: Market, direction: int, ticks: int) -> Outcome:
    view = market.view
    assert view is not None  # only a hedged pair has an exit
    first_price_e8, _ = _touch(market.first, direction)
    second_price_e8, _ = _touch(market.second, -direction)
    # Trading forward buys back a short first leg and sells a long second one.
    short_ask_e8, long_bid_e8 = (
        (first_price_e8, second_price_e8) if direction > 0 else (second_price_e8, first_price_e8)
    )
    spread_bps = exit_spread_bps(long_bid_e8, short_ask_e8)
    held_ns = market.now_mono_ns - view.opened_mono_ns
    size_e8 = view.size_e8
    return (
        gates.absurd(-spread_bps, rules.gain_bps_max)
        or gates.exit_threshold(spread_bps, rules.exit_bps, held_ns, rules.hold_ns_max)
        or gates.confirmation(ticks, rules.exit_confirm_ticks)
        # Closing may use the whole price band on both legs: waiting for a better price is a bet.
        or gates.size(_reach(rules, market, direction, size_e8, size_e8, 2 * rules.reach_bps)[0], size_e8)
        or gates.not_pending(market.pending, view, market.now_mono_ns)
        or Opportunity(
            kind=SignalKind.EXIT,
            direction=view.direction,
            layer=view.layers_open,
            size_e8=size_e8,
            first_price_e8=first_price_e8,
            second_price_e8=second_price_e8,
            spread_bps=spread_bps,
            edge_bps=0.0,
        )
    )


def _reach(
    rules: Rules, market: Market, direction: int, needed_e8: int, size_e8: int, slack_bps: float
) -> tuple[int, float]:
    """What the thinner leg offers, and what taking ``size_e8`` of both costs against their touches, in bps.

    A leg offers its touch, or its depth where the touch alone is too thin. ``slack_bps`` is shared by
    the legs that must go past their touch; none goes further than the orders' own price band.
    """
    legs = (
        (rules.first, *_touch(market.first, direction), direction),
        (rules.second, *_touch(market.second, -direction), -direction),
    )
    thin = sum(touch_size_e8 < needed_e8 for _, _, touch_size_e8, _ in legs)
    available_e8, slippage_bps = needed_e8, 0.0
    for instrument, touch_e8, touch_size_e8, sign in legs:
        if touch_size_e8 < needed_e8:
            levels = _usable_levels(rules, market, instrument, sign)
            deep_e8 = size_within_e8(levels, Side(sign), touch_e8, min(rules.reach_bps, slack_bps / thin))
            available_e8 = min(available_e8, max(touch_size_e8, deep_e8))
            if touch_size_e8 < size_e8:
                slippage_bps += past_touch_bps(levels, Side(sign), touch_e8, size_e8)
    return available_e8, slippage_bps


def _touch(quote: Quote, sign: int) -> tuple[int, int]:
    """Price and size an order takes: the ask for a buy, the bid for a sell."""
    return (quote.ask_e8, quote.ask_size_e8) if sign > 0 else (quote.bid_e8, quote.bid_size_e8)


def _usable_levels(rules: Rules, market: Market, instrument: Instrument, sign: int) -> Levels:
    book = market.read_depth(instrument)
    if book is None or not book.is_valid:
        return ()
    if market.now_mono_ns - book.recv_mono_ns > rules.quote_age_ns_max:
        return ()
    return book.asks if sign > 0 else book.bids


def _size_for_notional_e8(rules: Rules, price_e8: int) -> int:
    """The smallest size worth both venues' minimum notional at this price."""
    return -(-rules.min_notional_e8 * E8 // price_e8)
