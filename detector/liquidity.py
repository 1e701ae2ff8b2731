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
