"""How much a book holds near its touch."""

from __future__ import annotations

from collections.abc import Sequence

from venues.contract import Side

Levels = Sequence[tuple[int, int]]  # (price_e8, size_e8), best first


def size_within_e8(levels: Levels, side: Side, touch_e8: int, reach_bps: float) -> int:
    """Total size of the levels an order of ``side`` may take at most ``reach_bps`` past the touch.

    ``levels`` are the asks for a buy and the bids for a sell.
    """
    worst_e8 = touch_e8 + side * int(touch_e8 * reach_bps / 10_000)
    total_e8 = 0
    for price_e8, size_e8 in levels:
        if (price_e8 - worst_e8) * side > 0:
            break
        total_e8 += size_e8
    return total_e8


def past_touch_bps(levels: Levels, side: Side, touch_e8: int, size_e8: int) -> float:
    """How much worse than the touch the average price of taking ``size_e8`` is, in bps.

    What the levels do not hold costs as much as the last of them; without levels the touch is believed.
    """
    left_e8, quote, last_e8 = size_e8, 0, touch_e8
    for price_e8, level_e8 in levels:
        taken_e8 = min(left_e8, level_e8)
        quote += taken_e8 * price_e8
        left_e8 -= taken_e8
        last_e8 = price_e8
        if not left_e8:
            break
    average = (quote + left_e8 * last_e8) / size_e8
    return 10_000 * (average - touch_e8) / touch_e8 * side
