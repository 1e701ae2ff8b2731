"""Feeds markets to the exchanges: endless streams of tops of book, recorded or synthetic.

A source only says what the best prices are and when; ``Ladder`` puts a depth behind them and
``play`` walks a source against the wall clock into the exchanges. Times are nanoseconds of market
time since the source began. Prices and sizes are raw (``_e8``) until the ladder puts them on a
venue's grid.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from heapq import merge
from typing import NamedTuple, Protocol

from simulator.exchange import Exchange
from simulator.orders import SimInstrument

LEVELS = 20
# Waking for every update of a burst costs more than the update; a millisecond of bundling is well
# below what networks do to a venue's frames.
_WAKE_NS_MIN = 1_000_000
# Time lost beyond this (a suspended machine, a debugger) is dropped instead of played in a burst.
_LAG_NS_MAX = 250_000_000
# The distance between the levels behind the top, and the growth of their sizes, are ours: the
# recordings hold tops only.
_STEP_RATIO = 50_000  # a step is the price divided by this: 0.2 bps
_TAIL_NOTIONAL_E8 = 20_000 * 10**8  # quote currency on the first level behind the top


class Top(NamedTuple):
    """Best bid and ask of one instrument at one instant of market time."""

    at_ns: int
    venue: str
    symbol: str
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int


class MarketSource(Protocol):
    def tops(self) -> Iterator[Top]:
        """Tops in order of time, for ever."""


class Together:
    """Several sources on one clock."""

    def __init__(self, *sources: MarketSource) -> None:
        self._sources = sources

    def tops(self) -> Iterator[Top]:
        return merge(*(source.tops() for source in self._sources), key=lambda top: top.at_ns)


class Ladder:
    """One side of a market maker's book on one contract's grid: a given top and levels behind it.

    The levels behind stand on fixed multiples of a step, so a top that changes its size or moves
    within a step leaves them as they are: nothing is rebuilt and a delta feed stays small.
    """

    def __init__(self, instrument: SimInstrument, side: int, levels: int = LEVELS) -> None:
        self._instrument = instrument
        self._lot_e8 = instrument.lot_e8
        self._side = side
        self._levels = levels
        self._step_e8 = 0
        self._tail_size_e8 = 0
        self._first_e8 = 0  # price of the first level behind the top
        self._tail: list[tuple[int, int]] = []

    def behind(self, top_e8: int, size_e8: int) -> list[tuple[int, int]]:
        """Return the side's levels, best first: the top rounded away from the spread, then the tail."""
        outward = -self._side  # a bid rounds down, an ask up
        tick_e8 = self._instrument.price_step_e8(top_e8)
        top_e8 = outward * -(-outward * top_e8 // tick_e8) * tick_e8
        size_e8 = max(size_e8 // self._lot_e8, 1) * self._lot_e8
        # The grid may grow coarser with the price, and does so first on the levels above the top.
        tick_e8 = self._instrument.price_step_e8(top_e8 * 21 // 20)
        if not self._step_e8 or self._step_e8 % tick_e8:
            self._fix_steps(top_e8, tick_e8)
        step_e8 = self._step_e8
        first_e8 = ((top_e8 - 1) // step_e8 if self._side > 0 else top_e8 // step_e8 + 1) * step_e8
        if first_e8 != self._first_e8:
            self._first_e8 = first_e8
            self._tail = [
                (first_e8 + outward * step_e8 * index, self._tail_size_e8 * (2 + index) // 2)
                for index in range(self._levels - 1)
            ]
        return [(top_e8, size_e8), *self._tail]

    def _fix_steps(self, top_e8: int, tick_e8: int) -> None:
        """Choose step and sizes, from the first price seen."""
        self._first_e8 = 0
        self._step_e8 = max(top_e8 // _STEP_RATIO // tick_e8, 1) * tick_e8
        unit_e8 = 2 * self._lot_e8  # halves of it are still on the grid
        self._tail_size_e8 = max(_TAIL_NOTIONAL_E8 * 10**8 // top_e8 // unit_e8, 1) * unit_e8


class _Shown:
    """One instrument's two ladders and the exchange that shows them."""

    def __init__(self, exchange: Exchange, symbol: str) -> None:
        instrument = exchange.instrument(symbol)
        self.exchange = exchange
        self.symbol = symbol
        self.bids = Ladder(instrument, 1)
        self.asks = Ladder(instrument, -1)

    def show(self, top: Top) -> None:
        self.exchange.apply_market(
            self.symbol,
            self.bids.behind(top.bid_e8, top.bid_size_e8),
            self.asks.behind(top.ask_e8, top.ask_size_e8),
        )


async def play(source: MarketSource, exchanges: Mapping[str, Exchange], speed: float = 1.0) -> None:
    """Show the source's tops on the exchanges at ``speed`` times market time, until cancelled.

    ``exchanges`` is keyed by venue. Tops of venues or symbols that are not there are skipped.
    """
    shown = {
        (venue, symbol): _Shown(exchange, symbol)
        for venue, exchange in exchanges.items()
        for symbol in exchange.symbols
    }
    began_mono_ns = time.monotonic_ns()
    for top in source.tops():
        due_mono_ns = began_mono_ns + int(top.at_ns / speed)
        wait_ns = due_mono_ns - time.monotonic_ns()
        if wait_ns > 0:
            await asyncio.sleep(max(wait_ns, _WAKE_NS_MIN) / 1e9)
        elif wait_ns < -_LAG_NS_MAX:
            began_mono_ns -= wait_ns
            await asyncio.sleep(0)
        target = shown.get((top.venue, top.symbol))
        if target is not None:
            target.show(top)
