"""A Paradex on a port of the system's choice, with a market that the test moves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from simulator.exchange import Exchange
from simulator.orders import SimInstrument
from simulator.paradex.front import ParadexFront, make_id
from simulator.paradex.settings import ParadexSettings
from venues.contract import E8

BTC = "BTC-USD-PERP"
ETH = "ETH-USD-PERP"


def price(value: int, tenths: int = 0) -> int:
    return value * E8 + tenths * E8 // 10


def an_instrument(symbol: str = BTC, **changes: Any) -> SimInstrument:
    values: dict[str, Any] = {
        "symbol": symbol,
        "base": symbol.partition("-")[0],
        "tick_e8": E8 // 10,
        "lot_e8": E8 // 100_000,
        "min_size_e8": E8 // 100_000,
        "min_notional_e8": 10 * E8,
        "max_size_e8": 100 * E8,
        "price_decimals": 1,
        "size_decimals": 5,
        "taker_fee_bps": 4.5,
        "maker_fee_bps": 0.3,
        "initial_margin_ratio_e8": E8 // 50,
        "maintenance_margin_ratio_e8": E8 // 100,
        "position_limit_e8": 300 * E8,
        "max_open_orders": 150,
        "price_band_e8": E8 // 20,
    }
    return SimInstrument(**{**values, **changes})


@dataclass
class Clock:
    """The real time, moved by whatever the test adds."""

    ahead_s: float = 0.0

    def now_unix_ns(self) -> int:
        return time.time_ns() + int(self.ahead_s * 10**9)


@dataclass
class Venue:
    front: ParadexFront
    url: str
    clock: Clock
    bids: list[tuple[int, int]] = field(default_factory=list)
    asks: list[tuple[int, int]] = field(default_factory=list)

    def show(self, bids: list[tuple[int, int]], asks: list[tuple[int, int]], symbol: str = BTC) -> None:
        """Put these levels, best first, in place of what the market maker shows."""
        self.bids, self.asks = bids, asks
        self.front.exchange.apply_market(symbol, bids, asks)


@asynccontextmanager
async def a_venue(settings: ParadexSettings) -> AsyncIterator[Venue]:
    clock = Clock()
    exchange = Exchange(
        [an_instrument(BTC), an_instrument(ETH)], now_unix_ns=clock.now_unix_ns, make_id=make_id
    )
    front = ParadexFront(exchange, settings)
    runner = web.AppRunner(front.app())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    await front.start()
    venue = Venue(front, f"http://{host}:{port}/v1", clock)
    venue.show(
        bids=[(price(65000), 2 * E8), (price(64999), 3 * E8)],
        asks=[(price(65001), 2 * E8), (price(65002), 3 * E8)],
    )
    try:
        yield venue
    finally:
        await front.stop()
        await runner.cleanup()


StartVenue = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[StartVenue]:
    """Start a venue with given settings; it is stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Venue:
            return await stack.enter_async_context(a_venue(ParadexSettings(**settings)))

        yield start


@pytest.fixture
async def venue(start: StartVenue) -> Venue:
    started: Venue = await start()
    return started
