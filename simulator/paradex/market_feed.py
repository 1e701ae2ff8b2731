"""One market's public data: best prices, book snapshots and deltas, trades.

One counter numbers the market's book. It rises by one whenever a state of the book is published:
at once when the best prices change, otherwise at the latest ``delta_interval_ms`` after a change
further down. Every number has its delta frame, so that feed has no gaps; ``bbo`` and ``trades``
carry the same numbers and skip those that were not theirs.

Source: Paradex documentation, "bbo", "order_book" and "trades" channels; the delta feed's rules
are those of captures of the live service (snapshot first, then consecutive numbers).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache, partial
from typing import Final

from simulator.exchange import Exchange
from simulator.orders import Levels, SimTrade
from simulator.paradex import messages, sbe
from simulator.paradex.hub import JSON, Hub, Render, Subscriber
from simulator.paradex.records import TradeRecord
from simulator.paradex.settings import ParadexSettings

SNAPSHOT_LEVELS: Final = 15
SNAPSHOT_RATES_MS: Final = (50, 100)

_Side = dict[int, int]  # price_e8 -> size_e8, as last shown


class MarketFeed:
    """Publishes one market to the hub. Belongs to the event loop's thread."""

    def __init__(self, symbol: str, exchange: Exchange, hub: Hub, settings: ParadexSettings) -> None:
        self.symbol = symbol
        self.seq_no = 0
        self._exchange = exchange
        self._hub = hub
        self._settings = settings
        self._top: tuple[tuple[int, int] | None, tuple[int, int] | None] = (None, None)
        self._is_dirty = False  # the book changed below its best prices since the last number
        self._flush_timer: asyncio.TimerHandle | None = None
        self._shown: tuple[_Side, _Side] | None = None  # what the followers of the deltas have
        self._snapshot_timers: dict[str, asyncio.TimerHandle] = {}
        self._snapshots_sent: dict[str, int] = {}  # channel -> seq_no of its last snapshot
        self._bbo_channels = (f"bbo.{symbol}", "bbo.ALL")
        self._trade_channels = (f"trades.{symbol}", "trades.ALL")
        # JSON sockets name depth and rate; SBE sockets must not.
        self._delta_channels = (f"order_book.{symbol}.deltas", f"order_book.{symbol}.deltas@15@50ms")

    def close(self) -> None:
        """Drop all timers."""
        timers = [*self._snapshot_timers.values(), *([self._flush_timer] if self._flush_timer else [])]
        for timer in timers:
            timer.cancel()
        self._snapshot_timers.clear()
        self._flush_timer = None

    # --- from the engine ---

    def book_changed(self) -> None:
        bids, asks = self._exchange.depth(self.symbol, 1)
        top = (bids[0] if bids else None, asks[0] if asks else None)
        if top != self._top:
            self._top = top
            self._number_book(is_new_top=True)
        elif not self._is_dirty:
            self._is_dirty = True
            if self._flush_timer is None and self._follows_deltas():
                loop = asyncio.get_running_loop()
                self._flush_timer = loop.call_later(self._settings.delta_interval_ms / 1000, self._flush)

    def traded(self, trade: SimTrade) -> None:
        """Publish a match. The book's change follows it and will have the next number."""
        record = self.trade_record(trade)
        now_us = self._now_us()

        def render(channel: str, encoding: int) -> bytes:
            if encoding == JSON:
                return messages.notification(channel, messages.trade(record))
            return sbe.trade(record, version=encoding, now_us=now_us)

        self._publish_all(self._trade_channels, render)

    def trade_record(self, trade: SimTrade) -> TradeRecord:
        return TradeRecord(
            trade_id=trade.trade_id,
            market=trade.symbol,
            taker_side="BUY" if trade.taker_side > 0 else "SELL",
            price_e8=trade.price_e8,
            size_e8=trade.size_e8,
            trade_type="LIQUIDATION" if trade.is_liquidation else "FILL",
            book_seq_no=self.seq_no + 1,
            created_us=trade.unix_ns // 1000,
        )

    # --- from the sockets ---

    def start_deltas(self, channel: str, encoding: int, subscriber: Subscriber) -> None:
        """Send the whole book as it stands at the current number, then subscribe to what follows."""
        if not self._follows_deltas():
            self._shown = None
        self._flush()
        bids, asks = self._depth()
        if self._shown is None:
            self._shown = (dict(bids), dict(asks))
        data = self._render_snapshot(channel, bids, asks, encoding)
        subscriber.send(data, is_binary=encoding != JSON)
        self._hub.add(channel, encoding, subscriber)

    def start_snapshots(self, channel: str, rate_ms: int, encoding: int, subscriber: Subscriber) -> None:
        """Subscribe to whole books at most every ``rate_ms``."""
        self._hub.add(channel, encoding, subscriber)
        self._snapshots_sent.pop(channel, None)  # the newcomer gets one with the next push
        if channel not in self._snapshot_timers:
            self._publish_snapshot(channel, rate_ms)

    def flushed_seq_no(self) -> int:
        """The book's number with every change numbered, for answers that show the book now."""
        self._flush()
        return self.seq_no

    # --- publishing ---

    def _number_book(self, *, is_new_top: bool) -> None:
        """Give the book as it stands the next number, and the number its frames."""
        self.seq_no += 1
        self._is_dirty = False
        if is_new_top:
            self._publish_bbo()  # first: it is the venue's fastest feed
        if self._follows_deltas():
            self._publish_delta()

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._is_dirty:
            self._number_book(is_new_top=False)

    def _publish_bbo(self) -> None:
        bid, ask = self._top
        seq_no, now_us = self.seq_no, self._now_us()

        def render(channel: str, encoding: int) -> bytes:
            if encoding == JSON:
                data = messages.bbo(self.symbol, seq_no=seq_no, bid=bid, ask=ask, now_us=now_us)
                return messages.notification(channel, data)
            return sbe.bbo(
                self.symbol,
                version=encoding,
                now_us=now_us,
                seq_no=seq_no,
                bid_e8=bid[0] if bid else None,
                bid_size_e8=bid[1] if bid else None,
                ask_e8=ask[0] if ask else None,
                ask_size_e8=ask[1] if ask else None,
            )

        self._publish_all(self._bbo_channels, render)

    def _publish_delta(self) -> None:
        bids, asks = self._depth()
        assert self._shown is not None  # its first follower was shown a snapshot
        old_bids, old_asks = self._shown
        new_bids, new_asks = dict(bids), dict(asks)
        self._shown = (new_bids, new_asks)
        seq_no, now_us = self.seq_no, self._now_us()

        def render(channel: str, encoding: int) -> bytes:
            if encoding == JSON:
                delta = messages.book_delta(
                    self.symbol,
                    seq_no=seq_no,
                    inserts=_inserts("BUY", old_bids, new_bids) + _inserts("SELL", old_asks, new_asks),
                    updates=_updates("BUY", old_bids, new_bids) + _updates("SELL", old_asks, new_asks),
                    deletes=_deletes("BUY", old_bids, new_bids) + _deletes("SELL", old_asks, new_asks),
                    now_us=now_us,
                )
                return messages.notification(channel, delta)
            return sbe.book(
                self.symbol,
                version=encoding,
                now_us=now_us,
                seq_no=seq_no,
                is_delta=True,
                bids=_changes(old_bids, new_bids),
                asks=_changes(old_asks, new_asks),
            )

        self._publish_all(self._delta_channels, render)

    def _publish_snapshot(self, channel: str, rate_ms: int) -> None:
        """Publish the book if it has a new number, and come back after ``rate_ms`` while wanted."""
        if not self._hub.is_wanted(channel):
            self._snapshot_timers.pop(channel, None)
            self._snapshots_sent.pop(channel, None)
            return
        seq_no = self.flushed_seq_no()
        if self._snapshots_sent.get(channel) != seq_no:
            self._snapshots_sent[channel] = seq_no
            bids, asks = self._exchange.depth(self.symbol, SNAPSHOT_LEVELS)
            render = partial(self._render_snapshot, channel, bids, asks)
            self._hub.publish(channel, channel, render, symbol=self.symbol)
        self._snapshot_timers[channel] = asyncio.get_running_loop().call_later(
            rate_ms / 1000, self._publish_snapshot, channel, rate_ms
        )

    def _render_snapshot(self, channel: str, bids: Levels, asks: Levels, encoding: int) -> bytes:
        now_us = self._now_us()
        if encoding == JSON:
            book = messages.book_snapshot(
                self.symbol, seq_no=self.seq_no, bids=bids, asks=asks, now_us=now_us
            )
            return messages.notification(channel, book)
        return sbe.book(
            self.symbol,
            version=encoding,
            now_us=now_us,
            seq_no=self.seq_no,
            is_delta=False,
            bids=bids,
            asks=asks,
        )

    def _publish_all(self, channels: tuple[str, ...], render: Callable[[str, int], bytes]) -> None:
        """Publish to channels with the same content; SBE frames do not name theirs, so share them."""
        wanted = [channel for channel in channels if self._hub.is_wanted(channel)]
        render_binary = cache(partial(render, ""))
        for channel in wanted:
            per_encoding = _per_encoding(render, render_binary, channel)
            self._hub.publish(channel, channel, per_encoding, symbol=self.symbol)

    def _follows_deltas(self) -> bool:
        return any(self._hub.is_wanted(channel) for channel in self._delta_channels)

    def _depth(self) -> tuple[Levels, Levels]:
        return self._exchange.depth(self.symbol, self._settings.book_levels)

    def _now_us(self) -> int:
        return self._exchange.now_unix_ns() // 1000


def _per_encoding(render: Callable[[str, int], bytes], render_binary: Render, channel: str) -> Render:
    return lambda encoding: render(channel, encoding) if encoding == JSON else render_binary(encoding)


def _changes(old: _Side, new: _Side) -> list[tuple[int, int]]:
    """Levels that differ, with their new size; 0 for those that are gone."""
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, size) for price, size in new.items() if old.get(price) != size]


def _inserts(side: str, old: _Side, new: _Side) -> list[tuple[str, tuple[int, int]]]:
    return [(side, (price, size)) for price, size in new.items() if price not in old]


def _updates(side: str, old: _Side, new: _Side) -> list[tuple[str, tuple[int, int]]]:
    return [(side, (price, size)) for price, size in new.items() if old.get(price, size) != size]


def _deletes(side: str, old: _Side, new: _Side) -> list[tuple[str, tuple[int, int]]]:
    return [(side, (price, 0)) for price in old if price not in new]
