"""Two markets whose gap the benchmark moves at will, as the frames the venues send.

Prices stand still but for the gap: each trade comes up to its threshold first (``approach``), as
markets do, and then crosses it with one frame of one venue (``cross``). Sizes change with every
frame, so no two are the same bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import orjson

from simulator.hyperliquid import messages as hyperliquid
from simulator.paradex import messages, sbe
from venues.contract import E8, format_e8

LEVELS: Final = 20  # a side, as in the captured Vest frame
ENTRY_BPS: Final = 5.0  # what the bots are configured with
EXIT_BPS: Final = 1.0
_SHORT_BPS: Final = 0.3  # how far from a threshold the market waits …
_PAST_BPS: Final = 0.3  # … and how far it then goes past it
_TICK_E8: Final = E8 // 2
_WHOLE_E8: Final = E8  # Hyperliquid's step at this price: five figures
_BASE_E8: Final = 83_440 * E8


def vest_symbol(number: int) -> str:
    return f"{_base(number)}-PERP"


def paradex_symbol(number: int) -> str:
    return f"{_base(number)}-USD-PERP"


def hyperliquid_symbol(number: int) -> str:
    return _base(number)


def _base(number: int) -> str:
    return "BTC" if number == 0 else f"C{number:02d}"


@dataclass(slots=True)
class Market:
    """One asset on both venues: bids in e8; an ask is a tick above its bid. The first leg is Vest's, or
    Hyperliquid's, whose tick both then have."""

    number: int
    first: str = "vest"
    first_bid_e8: int = _BASE_E8
    paradex_bid_e8: int = _BASE_E8
    sequence: int = 1  # Paradex numbers every change of its book
    book_sequence: int = 0

    def approach(self, *, is_entry: bool) -> None:
        """Come close to the threshold without crossing it."""
        self.first_bid_e8 = _BASE_E8
        self._set_gap(ENTRY_BPS - _SHORT_BPS if is_entry else EXIT_BPS + _SHORT_BPS, is_entry=is_entry)

    def cross(self, *, is_entry: bool, venue: str) -> None:
        """Cross it by moving one venue's prices alone."""
        step_e8 = int(_BASE_E8 * (_SHORT_BPS + _PAST_BPS) / 10_000) // self.tick_e8 * self.tick_e8
        # Entering buys the first leg and sells on Paradex: the gap opens with Paradex up or that leg down.
        if venue == "paradex":
            self.paradex_bid_e8 += step_e8 if is_entry else -step_e8
        else:
            self.first_bid_e8 += -step_e8 if is_entry else step_e8

    def _set_gap(self, gap_bps: float, *, is_entry: bool) -> None:
        """Entering buys the first leg and sells on Paradex; leaving goes the other way."""
        paid_e8 = self.first_bid_e8 + self.tick_e8 if is_entry else self.first_bid_e8
        price_e8 = int(paid_e8 * (1 + gap_bps / 10_000))
        if not is_entry:
            price_e8 -= self.tick_e8
        self.paradex_bid_e8 = price_e8 // self.tick_e8 * self.tick_e8

    def touch(self, venue: str) -> tuple[int, int]:
        """Best bid and ask."""
        bid_e8 = self.paradex_bid_e8 if venue == "paradex" else self.first_bid_e8
        return bid_e8, bid_e8 + self.tick_e8

    @property
    def tick_e8(self) -> int:
        """The step of prices on both venues."""
        return _TICK_E8 if self.first == "vest" else _WHOLE_E8

    # --- frames ---

    def vest_depth(self) -> bytes:
        """The whole book: twenty levels a side, about a thousand bytes."""
        size_e8 = self._next_size_e8()
        sides: dict[str, Any] = {
            name: [
                [
                    format_e8(best_e8 + sign * level * _TICK_E8, 2),
                    format_e8(size_e8 + level * 160_450_000 // 100 * 100, 4),
                ]
                for level in range(LEVELS)
            ]
            for name, best_e8, sign in (
                ("bids", self.first_bid_e8, -1),
                ("asks", self.first_bid_e8 + _TICK_E8, 1),
            )
        }
        return orjson.dumps({"channel": f"{vest_symbol(self.number)}@depth", "data": sides})

    def hyperliquid_bbo(self) -> bytes:
        bid_e8, ask_e8 = self.touch(self.first)
        size_e8 = self._next_size_e8()
        sides = [hyperliquid.level(price_e8, size_e8) for price_e8 in (bid_e8, ask_e8)]
        data = {"coin": hyperliquid_symbol(self.number), "time": time.time_ns() // 1_000_000, "bbo": sides}
        return orjson.dumps({"channel": "bbo", "data": data})

    def hyperliquid_book(self) -> bytes:
        """The whole book: twenty levels a side."""
        touch, size_e8 = self.touch(self.first), self._next_size_e8()
        bids, asks = (
            [(best_e8 + sign * level * self.tick_e8, size_e8) for level in range(LEVELS)]
            for best_e8, sign in zip(touch, (-1, 1), strict=True)
        )
        data = hyperliquid.book(hyperliquid_symbol(self.number), (bids, asks), time.time_ns() // 1_000_000)
        return orjson.dumps({"channel": "l2Book", "data": data})

    def _next_size_e8(self) -> int:
        self.sequence += 1
        return 3 * E8 + self.sequence % 9_000 * 10_000

    def paradex_bbo(self, *, is_sbe: bool) -> bytes:
        self.sequence += 1
        size_e8 = E8 + self.sequence % 9_000 * 1_000
        symbol, now_us = paradex_symbol(self.number), time.time_ns() // 1_000
        ask_e8 = self.paradex_bid_e8 + self.tick_e8
        if is_sbe:
            return sbe.bbo(
                symbol,
                version=1,
                now_us=now_us,
                seq_no=self.sequence,
                bid_e8=self.paradex_bid_e8,
                bid_size_e8=size_e8,
                ask_e8=ask_e8,
                ask_size_e8=size_e8,
            )
        bid, ask = (self.paradex_bid_e8, size_e8), (ask_e8, size_e8)
        body = messages.bbo(symbol, seq_no=self.sequence, bid=bid, ask=ask, now_us=now_us)
        return messages.notification(f"bbo.{symbol}", body)

    def paradex_book(self, channel: str, *, is_sbe: bool) -> bytes:
        """What a subscriber of a book channel is sent next.

        Of the deltas first a snapshot of fifty levels a side, far behind the best prices, then
        changes of three; of the snapshot channels, for clients without a ``bbo``, fifteen levels
        from the best price on.
        """
        symbol, now_us = paradex_symbol(self.number), time.time_ns() // 1_000
        is_deltas = channel.endswith(".deltas")
        if is_deltas:
            self.book_sequence += 1
            sequence, far_e8 = self.book_sequence, 800 * _TICK_E8
            count = 50 if sequence == 1 else 3
        else:
            self.sequence += 1
            sequence, far_e8, count = self.sequence, 0, 15
        size_e8 = E8 + sequence % 9_000 * 1_000
        bids = [(self.paradex_bid_e8 - far_e8 - level * _TICK_E8, size_e8) for level in range(count)]
        asks = [(self.paradex_bid_e8 + far_e8 + (level + 1) * _TICK_E8, size_e8) for level in range(count)]
        if is_sbe:
            is_delta = is_deltas and sequence > 1
            return sbe.book(
                symbol,
                version=1,
                now_us=now_us,
                seq_no=sequence,
                is_delta=is_delta,
                bids=bids,
                asks=asks,
            )
        body = messages.book_snapshot(symbol, seq_no=sequence, bids=bids, asks=asks, now_us=now_us)
        return messages.notification(channel, body)
