"""What a paper order meets: the levels that stand when it arrives, and what it takes of them.

Pure, and integers scaled by 10**8 throughout. Levels are (price_e8, size_e8), best first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shm.records import DepthBook, Quote, QuoteFlags
from venues.contract import Instrument, Side

PPB = 1_000_000_000  # parts per billion: rates as integers
_UNUSABLE = QuoteFlags.STALE | QuoteFlags.CROSSED

Level = tuple[int, int]


class PaperBook(NamedTuple):
    """Both sides as they stand now. ``seen_mono_ns`` reports one pair of feed messages from the next."""

    bids: Sequence[Level]
    asks: Sequence[Level]
    seen_mono_ns: tuple[int, int]  # when the touch and when the depth arrived

    def against(self, side: Side) -> Sequence[Level]:
        """The levels that an order on ``side`` takes from."""
        return self.asks if side is Side.BUY else self.bids

    @property
    def mid_e8(self) -> int:
        """Middle of the touch; 0 when a side is empty."""
        return (self.bids[0][0] + self.asks[0][0]) // 2 if self.bids and self.asks else 0


class NoBook(NamedTuple):
    """Why nothing can be filled: a code for the order's refusal and the facts."""

    code: str
    detail: str


def standing_book(
    quote: Quote | None, depth: DepthBook | None, *, now_mono_ns: int, max_age_ns: int
) -> PaperBook | NoBook:
    """Put the two newest messages of a feed together: depth, with the touch where that is newer.

    A touch that came after the depth replaces its best levels: what the depth still shows at or
    before it has been taken or withdrawn since, and filling there would be too good to be true.
    """
    if quote is None or not quote.flags & QuoteFlags.VALID or quote.flags & _UNUSABLE:
        return NoBook("PAPER_NO_BOOK", "the feed has no valid quote")
    if depth is None or not depth.is_valid:
        return NoBook("PAPER_NO_BOOK", "the feed has no valid depth")
    age_ns = now_mono_ns - depth.recv_mono_ns
    if age_ns > max_age_ns:
        detail = f"the depth is {age_ns / 1e6:.0f} ms old, the limit is {max_age_ns / 1e6:.0f} ms"
        return NoBook("PAPER_STALE_BOOK", detail)
    seen_mono_ns = (quote.recv_mono_ns, depth.recv_mono_ns)
    if quote.recv_mono_ns <= depth.recv_mono_ns:
        return PaperBook(depth.bids, depth.asks, seen_mono_ns)
    return PaperBook(
        [(quote.bid_e8, quote.bid_size_e8), *(level for level in depth.bids if level[0] < quote.bid_e8)],
        [(quote.ask_e8, quote.ask_size_e8), *(level for level in depth.asks if level[0] > quote.ask_e8)],
        seen_mono_ns,
    )


def slipped_price_e8(price_e8: int, side: Side, *, slippage_ppb: int, instrument: Instrument) -> int:
    """A level's price made worse for the taker by ``slippage_ppb``, rounded against him to the tick."""
    assert 0 <= slippage_ppb < PPB, "the settings were validated"
    if side is Side.BUY:
        return instrument.price_up_e8(-(-price_e8 * (PPB + slippage_ppb) // PPB))
    return instrument.price_down_e8(price_e8 * (PPB - slippage_ppb) // PPB)


class PaperExecution(NamedTuple):
    """A part of one level: what the venue showed, and what is paid."""

    level_price_e8: int
    price_e8: int
    size_e8: int


def walk(
    levels: Iterable[Level],
    side: Side,
    *,
    size_e8: int,
    limit_price_e8: int,
    slippage_ppb: int,
    instrument: Instrument,
) -> list[PaperExecution]:
    """Take ``size_e8`` from the levels, best first, none at a worse price than the limit.

    Slippage comes first: a level is within the limit when what is *paid* there is. Of each level
    only whole lots are taken; several levels may come to cost the same.
    """
    assert size_e8 > 0, "an order has a size"
    taken: list[PaperExecution] = []
    for level_price_e8, level_size_e8 in levels:
        price_e8 = slipped_price_e8(level_price_e8, side, slippage_ppb=slippage_ppb, instrument=instrument)
        if price_e8 <= 0 or side * price_e8 > side * limit_price_e8:
            break
        part_e8 = min(size_e8, level_size_e8)
        part_e8 -= part_e8 % instrument.lot_e8
        assert part_e8 <= level_size_e8, "a level fills no more than it shows"
        if part_e8 > 0:
            taken.append(PaperExecution(level_price_e8, price_e8, part_e8))
            size_e8 -= part_e8
        if size_e8 < instrument.lot_e8:
            break
    return taken


def average_price_e8(taken: Iterable[tuple[int, int]], side: Side) -> int:
    """Volume-weighted average of (price_e8, size_e8); 0 of nothing.

    Rounded against the taker, up for a buy and down for a sell, so it is never better than what was
    paid; the single executions are exact.
    """
    parts = list(taken)
    size_e8 = sum(size for _, size in parts)
    if not size_e8:
        return 0
    value_e16 = sum(price * size for price, size in parts)
    return -(-value_e16 // size_e8) if side is Side.BUY else value_e16 // size_e8
