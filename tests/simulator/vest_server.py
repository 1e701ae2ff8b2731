"""A simulated Vest on a free port, with a market that moves only when the test says so."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import ClientSession

from simulator.exchange import Exchange
from simulator.process import RunningSimulator
from simulator.vest import VENUE, VestFront, VestSettings
from tests.simulator.vest_client import CONTRACT, STRANGER_KEY, VestClient
from venues.contract import E8


@dataclass
class VestServer:
    front: VestFront
    port: int
    session: ClientSession

    @property
    def exchange(self) -> Exchange:
        return self.front.exchange

    def show(self, bid: float, ask: float, *, size: float = 1.0, symbol: str = "BTC-PERP") -> None:
        """One level per side."""
        size_e8 = round(size * E8)
        bids, asks = [(round(bid * E8), size_e8)], [(round(ask * E8), size_e8)]
        self.exchange.apply_market(symbol, bids, asks)

    async def client(self) -> VestClient:
        """A registered client."""
        client = VestClient(self.session, self.port)
        await client.register()
        return client

    async def other_client(self) -> VestClient:
        """Another account."""
        client = VestClient(self.session, self.port, primary=STRANGER_KEY, signing="0x" + "11" * 32)
        await client.register()
        return client


@asynccontextmanager
async def a_vest(
    settings: VestSettings | None = None, now_unix_ns: Callable[[], int] = time.time_ns
) -> AsyncIterator[VestServer]:
    exchange = Exchange(VENUE.listing, now_unix_ns=now_unix_ns, make_id=VENUE.make_id)
    # The published vectors, and with them the client, are of the production contract.
    front = VestFront(exchange, replace(settings or VestSettings(), verifying_contract=CONTRACT))
    running = RunningSimulator("127.0.0.1")
    await running.add(front, 0)
    try:
        async with ClientSession() as session:
            server = VestServer(front, running.ports["vest"], session)
            server.show(60_000, 60_001)
            server.show(3_000, 3_001, symbol="ETH-PERP")
            yield server
    finally:
        await running.stop()
