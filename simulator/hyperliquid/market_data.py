"""Hyperliquid's public channels: best prices as they change, whole books, trades, contexts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from simulator.exchange import Exchange
from simulator.hyperliquid import messages
from simulator.hyperliquid.settings import HyperliquidSettings
from simulator.hyperliquid.sockets import Hub, Session, Topic
from simulator.orders import SimTrade
from venues.contract import E8

_LEVELS = 20
PUBLIC = ("bbo", "l2Book", "trades", "activeAssetCtx", "allMids")


class MarketFeed:
    """Publishes every coin to the hub. Belongs to the event loop's thread."""

    def __init__(
        self, exchange: Exchange, hub: Hub, settings: HyperliquidSettings, rate_e12: Callable[[str], int]
    ) -> None:
        self._exchange = exchange
        self._hub = hub
        self._interval_s = settings.book_interval_ms / 1e3
        self._rate_e12 = rate_e12
        self._tops: dict[str, Any] = {}
        self._books_due_s: dict[str, float] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self.volume_e8 = dict.fromkeys(exchange.symbols, 0)
        exchange.on_book(self._book_changed)
        exchange.on_trade(self._traded)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def bbo(self, coin: str) -> dict[str, Any]:
        bids, asks = self._exchange.depth(coin, 1)
        sides = [messages.level(*side[0]) if side else None for side in (bids, asks)]
        return {"coin": coin, "time": self._now_ms(), "bbo": sides}

    def book(self, coin: str, figures: int | None = None) -> dict[str, Any]:
        bids, asks = self._exchange.depth(coin, _LEVELS)
        if figures:
            bids, asks = messages.coarse(bids, 1, figures), messages.coarse(asks, -1, figures)
        return messages.book(coin, (bids, asks), self._now_ms())

    def mids(self) -> dict[str, str]:
        return {coin: messages.number(self._exchange.mark_e8(coin)) for coin in self._exchange.symbols}

    def context(self, coin: str) -> dict[str, Any]:
        return messages.context(self._exchange, coin, self._rate_e12(coin), self.volume_e8[coin])

    def greet(self, session: Session, topic: Topic) -> None:
        """Send a new subscriber what stands now. An unknown coin stays silent."""
        kind, coin = topic
        if kind != "allMids" and coin not in self._exchange.symbols:
            return
        data: dict[str, Callable[[], Any]] = {
            "bbo": lambda: self.bbo(coin),
            "l2Book": lambda: self.book(coin),
            "trades": lambda: [messages.trade_row(trade) for trade in self._exchange.recent_trades(coin, 10)],
            "activeAssetCtx": lambda: {"coin": coin, "ctx": self.context(coin)},
            "allMids": lambda: {"mids": self.mids()},
        }
        self._hub.first(session, {"channel": kind, "data": data[kind]()})
        if kind == "l2Book":
            self._book_changed(coin)

    def tell_contexts(self) -> None:
        """Called once a second."""
        for coin in self._exchange.symbols:
            self._publish("activeAssetCtx", coin, {"coin": coin, "ctx": self.context(coin)}, "context")
        message = {"channel": "allMids", "data": {"mids": self.mids()}}
        self._hub.publish(("allMids", ""), message, point="push.mids", symbol="", is_newest=True)

    def _book_changed(self, coin: str) -> None:
        bids, asks = self._exchange.depth(coin, 1)
        top = (tuple(bids), tuple(asks))
        if top != self._tops.get(coin):
            self._tops[coin] = top
            if self._hub.listeners(("bbo", coin)):
                self._publish("bbo", coin, self.bbo(coin), "bbo")
        if coin not in self._timers and self._hub.listeners(("l2Book", coin)):
            due_s = self._books_due_s.get(coin, 0.0)
            loop = asyncio.get_running_loop()
            self._timers[coin] = loop.call_at(max(due_s, loop.time()), self._tell_book, coin)

    def _tell_book(self, coin: str) -> None:
        """Told again after the interval even if nothing changed: each block has a book."""
        loop = asyncio.get_running_loop()
        del self._timers[coin]
        self._books_due_s[coin] = loop.time() + self._interval_s
        if self._hub.listeners(("l2Book", coin)):
            self._publish("l2Book", coin, self.book(coin), "depth")
            self._timers[coin] = loop.call_at(self._books_due_s[coin], self._tell_book, coin)

    def _traded(self, trade: SimTrade) -> None:
        self.volume_e8[trade.symbol] += trade.price_e8 * trade.size_e8 // E8
        message = {"channel": "trades", "data": [messages.trade_row(trade)]}
        topic = ("trades", trade.symbol)
        self._hub.publish(topic, message, point=f"push.trades.{trade.symbol}", symbol=trade.symbol)

    def _publish(self, kind: str, coin: str, data: dict[str, Any], point: str) -> None:
        message = {"channel": kind, "data": data}
        self._hub.publish((kind, coin), message, point=f"push.{point}.{coin}", symbol=coin, is_newest=True)

    def _now_ms(self) -> int:
        return self._exchange.now_unix_ns() // messages.MS_NS
