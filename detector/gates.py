"""The gates: each one question, asked in the order of ``shm.entry_block.GATES``.

A gate returns None when it has no objection and otherwise a ``Refusal`` with the two numbers it
compared. Gates are pure: no clock, no memory, no logging; the same arguments, the same answer.

The first four ask whether the market can be believed and answer for both directions at once. They
hold for exits too: an order priced from quotes nobody vouches for is not a way out. So does the
fifth, on the side that is too good to be true. Of the rest, exits are asked for threshold,
confirmation, size and whether the pair is busy, never for what only protects entries: layers,
risk state, maintenance, cool-down.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.quote_rate import QuoteRate
from shm.entry_block import EntryBlock
from shm.records import PairPhase, PairView, Quote, QuoteFlags

# A feed beats every 250 ms; four beats missing and nobody stands behind its quotes any more. The
# supervisor's own limit is longer because replacing a process costs more than not trading.
FEED_BEAT_AGE_NS_MAX = 1_000_000_000

# Plain ints: arithmetic on IntFlag members makes a new member each time.
_STALE = int(QuoteFlags.STALE)
_VALID = int(QuoteFlags.VALID)


class Refusal(NamedTuple):
    """No, and why: which gate, the value it saw and the limit it holds."""

    gate: EntryBlock
    value: float
    limit: float


class FeedStatus(NamedTuple):
    """Whether a feed is connected, and when it beat last."""

    is_connected: bool
    beat_mono_ns: int


class Pending(NamedTuple):
    """A signal the executor has not yet been seen to consume."""

    signal_id: int
    expires_mono_ns: int


# Stand in for a quote that has not come yet: it is not valid, and nothing else of it is looked at.
NO_QUOTE = Quote(-1, *([0] * (len(Quote._fields) - 1)))
NO_FEED = FeedStatus(is_connected=False, beat_mono_ns=0)


def feed_alive(feed: FeedStatus, quote: Quote, now_mono_ns: int) -> Refusal | None:
    """A feed that is disconnected, that flagged its quote stale, or that stopped beating."""
    if not feed.is_connected or quote.flags & _STALE:
        return Refusal(EntryBlock.FEED_ALIVE, 0, 1)
    beat_age_ns = now_mono_ns - feed.beat_mono_ns
    if beat_age_ns > FEED_BEAT_AGE_NS_MAX:
        return Refusal(EntryBlock.FEED_ALIVE, beat_age_ns, FEED_BEAT_AGE_NS_MAX)
    return None


def quote_valid(quote: Quote) -> Refusal | None:
    """A leg never quoted, one-sided, crossed, or behind a gap. ``value`` is the quote's flags."""
    return None if quote.flags & _VALID else Refusal(EntryBlock.QUOTE_VALID, quote.flags, _VALID)


def quote_age(first: Quote, second: Quote, age_ns_max: int, now_mono_ns: int) -> Refusal | None:
    """The older leg's age since its frame arrived."""
    age_ns = now_mono_ns - min(first.recv_mono_ns, second.recv_mono_ns)
    return Refusal(EntryBlock.QUOTE_AGE, age_ns, age_ns_max) if age_ns > age_ns_max else None


def leg_skew(first: Quote, second: Quote, skew_ns_max: int) -> Refusal | None:
    """How far apart the legs' frames arrived: a gap between two moments is not a gap."""
    skew_ns = abs(first.recv_mono_ns - second.recv_mono_ns)
    return Refusal(EntryBlock.LEG_SKEW, skew_ns, skew_ns_max) if skew_ns > skew_ns_max else None


def absurd(gain_bps: float, gain_bps_max: float) -> Refusal | None:
    """Too good to be true is a wrong price, a wrong instrument or a halted venue.

    ``gain_bps`` is what trading now would capture: the entry spread, or the exit spread negated.
    A loss is never absurd: it may be exactly what an exit is needed for.
    """
    return Refusal(EntryBlock.ABSURD, gain_bps, gain_bps_max) if gain_bps > gain_bps_max else None


def entry_threshold(spread_bps: float, trigger_bps: float) -> Refusal | None:
    """The gap must reach the layer's trigger."""
    return Refusal(EntryBlock.THRESHOLD, spread_bps, trigger_bps) if spread_bps < trigger_bps else None


def net_edge(edge_bps: float, edge_bps_min: float) -> Refusal | None:
    """What fees, slippage and funding leave of the gap must be enough."""
    return Refusal(EntryBlock.EDGE, edge_bps, edge_bps_min) if edge_bps < edge_bps_min else None


def exit_threshold(spread_bps: float, exit_bps: float, held_ns: int, hold_ns_max: int) -> Refusal | None:
    """The gap has closed far enough, or the pair was held too long: then any spread will do."""
    if held_ns > hold_ns_max:
        return None
    return Refusal(EntryBlock.THRESHOLD, spread_bps, exit_bps) if spread_bps > exit_bps else None


def confirmation(ticks: int, ticks_min: int) -> Refusal | None:
    """``ticks`` consecutive quotes, this one included, have passed every gate up to the edge."""
    return Refusal(EntryBlock.CONFIRMATION, ticks, ticks_min) if ticks < ticks_min else None


def size(available_e8: int, needed_e8: int) -> Refusal | None:
    """Enough within reach on the thinner leg."""
    return Refusal(EntryBlock.SIZE, available_e8, needed_e8) if available_e8 < needed_e8 else None


def slippage(past_touch_bps: float, slippage_bps_max: float) -> Refusal | None:
    """What both books cost for the actual size, against their touches."""
    if past_touch_bps <= slippage_bps_max:
        return None
    return Refusal(EntryBlock.SLIPPAGE, past_touch_bps, slippage_bps_max)


def not_pending(pending: Pending | None, view: PairView | None, now_mono_ns: int) -> Refusal | None:
    """One signal at a time: the last one was consumed, or nobody will act on it any more."""
    if pending is None or now_mono_ns > pending.expires_mono_ns:
        return None
    consumed = view.last_signal_id if view else 0
    return (
        Refusal(EntryBlock.PAIR_STATE, consumed, pending.signal_id) if consumed < pending.signal_id else None
    )


def entry_state(view: PairView | None, direction: int, layers: int) -> Refusal | None:
    """Flat, or hedged the same way with a layer left. ``value`` is the phase, or the open layers."""
    if view is None:
        return Refusal(EntryBlock.PAIR_STATE, PairPhase.UNKNOWN, PairPhase.FLAT)
    if view.phase == PairPhase.FLAT:
        return None
    if view.phase != PairPhase.HEDGED or view.direction != direction:
        return Refusal(EntryBlock.PAIR_STATE, view.phase, PairPhase.FLAT)
    if view.layers_open >= layers:
        return Refusal(EntryBlock.PAIR_STATE, view.layers_open, layers)
    return None


def risk_state(view: PairView | None) -> Refusal | None:
    """The executor allows entries: no kill, no pause, no limit reached, everything reconciled."""
    return None if view is not None and view.entries_allowed else Refusal(EntryBlock.RISK_STATE, 0, 1)


def maintenance(seconds_left: int) -> Refusal | None:
    """Neither venue is in its maintenance window."""
    return Refusal(EntryBlock.MAINTENANCE, seconds_left, 0) if seconds_left > 0 else None


def cool_down(view: PairView | None, cooldown_ns: int, now_mono_ns: int) -> Refusal | None:
    """Time since the pair last became flat. 0 in the view: it never traded."""
    if view is None or view.closed_mono_ns == 0:
        return None
    rested_ns = now_mono_ns - view.closed_mono_ns
    return Refusal(EntryBlock.COOL_DOWN, rested_ns, cooldown_ns) if rested_ns < cooldown_ns else None


def quote_rate(rate: QuoteRate, quote: Quote, feed: FeedStatus, now_mono_ns: int) -> Refusal | None:
    """The rate between the legs' quote currencies. ``value`` is its age; -1 where it cannot be believed."""
    is_usable = quote_valid(quote) is None and feed_alive(feed, quote, now_mono_ns) is None
    if not is_usable or not rate.value_e8(quote.bid_e8, quote.ask_e8):
        return Refusal(EntryBlock.QUOTE_RATE, -1, rate.age_ns_max)
    age_ns = now_mono_ns - quote.recv_mono_ns
    return Refusal(EntryBlock.QUOTE_RATE, age_ns, rate.age_ns_max) if age_ns > rate.age_ns_max else None
