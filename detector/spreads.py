"""The arithmetic of a gap between two venues, in basis points of the price bought at.

Prices are integers scaled by 10**8; the results are floats that decide and report and never
reach a venue.
"""

from __future__ import annotations


def entry_spread_bps(buy_ask_e8: int, sell_bid_e8: int) -> float:
    """What opening now captures: lift one venue's ask, hit the other's bid."""
    return 10_000 * (sell_bid_e8 - buy_ask_e8) / buy_ask_e8


def exit_spread_bps(long_bid_e8: int, short_ask_e8: int) -> float:
    """What closing now gives back. Negative: the gap has gone past parity and closing earns."""
    return 10_000 * (short_ask_e8 - long_bid_e8) / long_bid_e8


def round_trip_fees_bps(first_taker_bps: float, second_taker_bps: float) -> float:
    """Four taker orders: each leg is taken once to open and once to close."""
    return 2 * (first_taker_bps + second_taker_bps)


def net_edge_bps(spread_bps: float, fees_bps: float, slippage_bps: float, funding_bps: float = 0.0) -> float:
    """What is left of an entry spread after fees in and out, expected slippage and funding until the exit."""
    return spread_bps - fees_bps - slippage_bps - funding_bps
