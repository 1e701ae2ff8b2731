"""A full order book of one market, kept from a snapshot and its deltas.

The venue's rules (documentation, "Order book", and captures of the live feed):
1. The first frame after a subscription is a snapshot of the whole book, at any sequence number.
2. Every delta has the sequence number before it plus one, empty deltas included.
3. A delta states the new total of a level; zero removes it.
4. There is no replay: after a gap only a new subscription brings a new snapshot.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

Levels = Iterable[tuple[int, int]]  # (price_e8, size_e8); size 0 removes the level


class OrderBook:
    """Both sides of one market; empty until the first snapshot."""

    def __init__(self) -> None:
        self._bids = _Side(-1)
        self._asks = _Side(1)
        self.is_synchronised = False  # no snapshot yet, or a gap since
        self.sequence = 0  # of the last frame applied

    def replace(self, sequence: int, *, bids: Levels, asks: Levels) -> None:
        """Take a snapshot: levels in any order, those without size left out."""
        self._bids.clear()
        self._asks.clear()
        self.is_synchronised = True
        self.apply(sequence, bids=bids, asks=asks)

    def apply(self, sequence: int, *, bids: Levels, asks: Levels) -> None:
        """Take a delta: new totals per level. The caller has checked that the sequence follows."""
        assert self.is_synchronised
        self.sequence = sequence
        for price_e8, size_e8 in bids:
            self._bids.set(price_e8, size_e8)
        for price_e8, size_e8 in asks:
            self._asks.set(price_e8, size_e8)

    def forget(self) -> None:
        """Drop both sides; nothing is synchronised until the next snapshot."""
        self._bids.clear()
        self._asks.clear()
        self.is_synchronised = False

    def best_bids(self, count: int) -> Sequence[tuple[int, int]]:
        """Up to ``count`` bids as (price_e8, size_e8), best first."""
        return self._bids.best(count)

    def best_asks(self, count: int) -> Sequence[tuple[int, int]]:
        """Up to ``count`` asks as (price_e8, size_e8), best first."""
        return self._asks.best(count)

    def is_two_sided(self) -> bool:
        """Whether there is a bid and an ask."""
        return bool(self._bids) and bool(self._asks)

    def is_crossed(self) -> bool:
        """Best bid above best ask. A locked book, both equal, is real and not crossed."""
        return self.is_two_sided() and self._bids.best(1)[0][0] > self._asks.best(1)[0][0]


class _Side:
    """One side as a sorted list of prices, best first, beside their sizes.

    A list with bisect, not a heap or a tree: a change is one memmove of a few hundred words, and
    the best twenty levels, read after nearly every change, are one slice.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign  # -1 for bids: the highest price sorts first
        self._keys: list[int] = []
        self._size_e8: dict[int, int] = {}

    def __bool__(self) -> bool:
        return bool(self._keys)

    def clear(self) -> None:
        self._keys.clear()
        self._size_e8.clear()

    def set(self, price_e8: int, size_e8: int) -> None:
        key = self._sign * price_e8
        if size_e8:
            if key not in self._size_e8:
                insort(self._keys, key)
            self._size_e8[key] = size_e8
        elif key in self._size_e8:
            del self._size_e8[key]
            del self._keys[bisect_left(self._keys, key)]
        assert len(self._keys) == len(self._size_e8), "a price has one size"

    def best(self, count: int) -> list[tuple[int, int]]:
        return [(self._sign * key, self._size_e8[key]) for key in self._keys[:count]]
