"""Vest's public channels: depth snapshots, tickers, trades."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from simulator.exchange import Exchange, SimTrade
from simulator.upkeep import Upkeep
from simulator.vest import messages
from simulator.vest.hub import Hub, channel_frame
from simulator.vest.settings import VestSettings

TICKERS = "tickers"


class PublicFeed:
    """Pushes the market to subscribers.

    Depth is a full snapshot per push, without a sequence number: at once when the book changes, but
    not within ``depth_interval_ms`` of the last push, and again after ``depth_refresh_ms`` of calm.
    """

    def __init__(self, exchange: Exchange, hub: Hub, upkeep: Upkeep, settings: VestSettings) -> None:
        self._exchange = exchange
        self._hub = hub
        self._upkeep = upkeep
        self._settings = settings
        self._depth_channels = {f"{symbol}@depth": symbol for symbol in exchange.symbols}
        self._trade_channels = {f"{symbol}@trades" for symbol in exchange.symbols}
        self._pushed_s = dict.fromkeys(exchange.symbols, 0.0)  # loop time of the last depth push
        # symbol -> when its next depth push is due (loop time) and what will make it
        self._due: dict[str, tuple[float, asyncio.TimerHandle]] = {}
        exchange.on_book(self._book_changed)
        exchange.on_trade(self._traded)

    def stop(self) -> None:
        for _, timer in self._due.values():
            timer.cancel()
        self._due.clear()

    def has_channel(self, name: str) -> bool:
        return name == TICKERS or name in self._depth_channels or name in self._trade_channels

    def first_frame(self, channel: str) -> bytes | None:
        """What a new subscriber is sent at once, or None."""
        if channel in self._depth_channels:
            return channel_frame(channel, self._depth(self._depth_channels[channel]))
        if channel == TICKERS:
            return channel_frame(channel, self.tickers(self._exchange.symbols))
        return None

    def subscribed(self, channels: Iterable[str]) -> None:
        """Begin pushing what now has a listener."""
        for channel in channels:
            if channel in self._depth_channels:
                self._book_changed(self._depth_channels[channel])

    def push_tickers(self) -> None:
        if self._hub.listeners(TICKERS):
            self._hub.broadcast(f"push.{TICKERS}", TICKERS, self.tickers(self._exchange.symbols))

    def tickers(self, symbols: Iterable[str]) -> list[dict[str, Any]]:
        """Rows of the tickers channel, and of ``GET /ticker/latest``."""
        rows = []
        for symbol in symbols:
            price_decimals = self._exchange.instrument(symbol).price_decimals
            mark = messages.rounded(self._exchange.mark_e8(symbol), price_decimals)
            rows.append(
                {
                    "symbol": symbol,
                    "oneHrFundingRate": messages.e12(self._upkeep.rate_e12(symbol)),
                    "cumFunding": messages.e12(self._exchange.funding_index_e12(symbol)),
                    "imbalance": "0.0000",
                    "indexPrice": mark,
                    "markPrice": mark,
                    "priceChange": None,
                    "priceChangePercent": None,
                    "status": "TRADING" if self._exchange.is_trading(symbol) else "HALT",
                }
            )
        return rows

    def _depth(self, symbol: str) -> dict[str, Any]:
        bids, asks = self._exchange.depth(symbol, self._settings.depth_levels)
        return messages.book_sides(bids, asks, self._exchange.instrument(symbol))

    def _book_changed(self, symbol: str) -> None:
        due_s = self._pushed_s[symbol] + self._settings.depth_interval_ms / 1e3
        if symbol in self._due:
            armed_s, timer = self._due[symbol]
            if armed_s <= due_s:
                return  # this change goes out with the one that set the timer
            timer.cancel()
            del self._due[symbol]
        if self._hub.listeners(f"{symbol}@depth"):
            self._arm(symbol, due_s)

    def _arm(self, symbol: str, due_s: float) -> None:
        # A timer already due fires in the next iteration of the loop, not in this one: a burst of changes
        # becomes one frame with their sum.
        timer = asyncio.get_running_loop().call_at(due_s, self._push_depth, symbol)
        self._due[symbol] = (due_s, timer)

    def _push_depth(self, symbol: str) -> None:
        del self._due[symbol]
        channel = f"{symbol}@depth"
        if self._hub.listeners(channel):
            self._pushed_s[symbol] = asyncio.get_running_loop().time()
            self._arm(symbol, self._pushed_s[symbol] + self._settings.depth_refresh_ms / 1e3)
            self._hub.broadcast(f"push.depth.{symbol}", channel, self._depth(symbol), symbol=symbol)

    def _traded(self, trade: SimTrade) -> None:
        channel = f"{trade.symbol}@trades"
        row = messages.trade_row(trade, self._exchange.instrument(trade.symbol))
        message, point = {"channel": channel, "data": row}, f"push.trades.{trade.symbol}"
        for session in self._hub.listeners(channel):
            self._hub.send(session, point, message, symbol=trade.symbol)
