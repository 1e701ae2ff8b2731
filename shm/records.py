"""Records that cross a process boundary, declared once for writer and reader.

Units: prices in quote currency and sizes in base currency, integers scaled by 10**8 (``_e8``).
``_mono_ns`` is this host's monotonic clock, comparable between our processes until reboot;
``_unix_ns`` is a venue's own clock, compared only with itself. ``_bps`` are floats: they decide
and report, they never reach a venue.

Every field is one 8-byte word; the struct and the tuple are asserted to agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum, IntFlag
from struct import Struct
from typing import NamedTuple


class QuoteFlags(IntFlag):
    VALID = 1  # both sides present and not crossed
    SNAPSHOT = 2  # first one after a (re)connect
    STALE = 4  # the feed lost its venue; prices are the last known
    CROSSED = 8


class Quote(NamedTuple):
    """Top of book of one instrument. Written by its feed, read by everyone."""

    instrument_id: int
    bid_e8: int
    ask_e8: int
    bid_size_e8: int
    ask_size_e8: int
    venue_unix_ns: int  # 0 when the venue sends no time
    recv_mono_ns: int  # read right after the socket returned
    publish_mono_ns: int  # read right before publishing
    venue_sequence: int
    flags: int  # QuoteFlags
    writer_epoch: int  # grows with every restart of the feed


QUOTE = Struct("<11q")
assert QUOTE.size == 8 * len(Quote._fields)

DEPTH_LEVELS = 20  # per side; both venues send at least 15


class DepthBook(NamedTuple):
    """Price levels of one instrument, best first. Unpacked form of a depth slot."""

    bids: Sequence[tuple[int, int]]  # (price_e8, size_e8)
    asks: Sequence[tuple[int, int]]
    recv_mono_ns: int
    venue_sequence: int
    is_valid: bool


_DEPTH_HEAD = Struct("<5q")  # bids, asks, recv_mono_ns, venue_sequence, is_valid
DEPTH_CAPACITY = _DEPTH_HEAD.size + 2 * DEPTH_LEVELS * 16


def pack_depth(book: DepthBook) -> bytes:
    """Pack the best ``DEPTH_LEVELS`` levels of each side."""
    bids, asks = book.bids[:DEPTH_LEVELS], book.asks[:DEPTH_LEVELS]
    numbers = [number for level in (*bids, *asks) for number in level]
    head = _DEPTH_HEAD.pack(len(bids), len(asks), book.recv_mono_ns, book.venue_sequence, book.is_valid)
    return head + Struct(f"<{len(numbers)}q").pack(*numbers)


def unpack_depth(body: bytes) -> DepthBook:
    """A book as ``pack_depth`` packed it."""
    bid_count, ask_count, recv_mono_ns, venue_sequence, is_valid = _DEPTH_HEAD.unpack_from(body)
    levels = list(Struct("<2q").iter_unpack(body[_DEPTH_HEAD.size :]))
    assert len(levels) == bid_count + ask_count
    return DepthBook(levels[:bid_count], levels[bid_count:], recv_mono_ns, venue_sequence, bool(is_valid))


class SignalKind(IntEnum):
    ENTER = 1
    EXIT = 2


class Signal(NamedTuple):
    """The detector's order to the executor: open one layer of a pair, or close the pair.

    A direction of +1 buys the pair's first leg and sells its second; -1 the reverse. For an EXIT
    the direction is that of the open position, so the trades go the other way.
    """

    signal_id: int  # grows by one per signal of this detector's epoch; unique with writer_epoch
    writer_epoch: int
    pair_id: int
    kind: int  # SignalKind
    direction: int
    layer: int  # 0-based layer to open; for an EXIT the number of layers open
    size_e8: int  # on the pair's common lot
    first_price_e8: int  # touch to be taken on the first leg
    second_price_e8: int
    spread_bps: float  # entry or exit spread that triggered
    edge_bps: float  # net of fees and expected slippage; 0 for an EXIT
    recv_mono_ns: int  # of the quote that triggered
    publish_mono_ns: int
    seen_mono_ns: int  # the detector had the quote
    decided_mono_ns: int  # all gates passed
    expires_mono_ns: int  # the executor refuses it later than this


SIGNAL = Struct("<9q2d5q")
assert SIGNAL.size == 8 * len(Signal._fields)


class PairPhase(IntEnum):
    """A pair's state, as the executor publishes it."""

    UNKNOWN = 0  # the executor has not spoken yet: nothing may be opened
    FLAT = 1
    OPENING = 2
    HEDGED = 3
    CLOSING = 4
    REPAIRING = 5  # legs differ or an outcome is in doubt; the executor is mending it
    HALTED = 6


class PairView(NamedTuple):
    """One pair as the executor sees it; the detector's gates and the monitor read it."""

    pair_id: int
    phase: int  # PairPhase
    direction: int  # 0 when flat
    size_e8: int  # hedged size: the smaller of both legs
    naked_e8: int  # first leg plus second leg, signed; 0 when hedged
    layers_open: int
    entries_allowed: int  # 1 or 0: risk, kill latch, pause, reconciliation
    entry_spread_bps: float  # size-weighted, as filled
    opened_mono_ns: int
    closed_mono_ns: int  # last time it became flat: start of the cool-down
    trade_id: int
    last_signal_id: int  # newest signal consumed
    updated_mono_ns: int


PAIR_VIEW = Struct("<7q1d5q")
assert PAIR_VIEW.size == 8 * len(PairView._fields)


class SlippageView(NamedTuple):
    """How much worse than the price seen one side of one contract is filled, as learned by the executor."""

    samples: int
    mean_bps: float  # positive = worse
    updated_unix_s: int  # this host's wall clock: a sample outlives a reboot


SLIPPAGE_VIEW = Struct("<1q1d1q")
assert SLIPPAGE_VIEW.size == 8 * len(SlippageView._fields)


def slippage_index(instrument_id: int, *, is_sale: bool) -> int:
    """Where a contract's side lies in the ``slippage`` slots."""
    return 2 * instrument_id + is_sale


class FundingView(NamedTuple):
    """What holding one contract costs, as the executor read it."""

    hourly_bps: float  # of the notional; positive: longs pay shorts
    asked_mono_ns: int


FUNDING_VIEW = Struct("<1d1q")
assert FUNDING_VIEW.size == 8 * len(FundingView._fields)
