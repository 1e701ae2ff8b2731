"""The simulated Vest put together: exchange, clients, REST, sockets, and what runs by the clock."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import Final

from aiohttp import web

from simulator.exchange import Exchange
from simulator.faults import FaultPlan
from simulator.front import Mode, Which
from simulator.upkeep import Upkeep
from simulator.vest.errors import Code
from simulator.vest.hub import Hub
from simulator.vest.middleware import Gate
from simulator.vest.private_stream import PrivateFeed
from simulator.vest.public_feed import PublicFeed
from simulator.vest.rest import RestApi
from simulator.vest.session import Clients
from simulator.vest.settings import VestSettings
from simulator.vest.sockets import Sockets

_FUNDING_PERIOD_S = 3_600  # rates are per hour and settle on the hour (Vest documentation, "Funding")


def make_id(now_unix_ns: int, sequence: int) -> str:
    """Return an id as Vest's look: hex text of 32 bytes. Unique over restarts, as time moves on."""
    return "0x" + hashlib.sha256(f"{now_unix_ns}:{sequence}".encode()).hexdigest()


class VestFront:
    """See ``simulator.front.Front``."""

    venue = "vest"
    modes: frozenset[Mode] = frozenset({"open", "maintenance", "cancel_only"})
    error_codes: Final = frozenset(str(code.value) for code in Code)

    def __init__(self, exchange: Exchange, settings: VestSettings | None = None) -> None:
        self.exchange = exchange
        self.settings = settings or VestSettings()
        self.faults = FaultPlan()
        self.is_down = False
        self.upkeep = Upkeep(exchange, rate_period_s=_FUNDING_PERIOD_S, step_s=_FUNDING_PERIOD_S)
        for symbol in exchange.symbols:
            self.upkeep.set_rate(symbol, self.settings.funding_rate_e12)
        self.clients = Clients(self.settings.listen_key_life_s)
        self._hub = Hub(self.faults)
        self._feed = PublicFeed(exchange, self._hub, self.upkeep, self.settings)
        PrivateFeed(exchange, self._hub)
        self._rest = RestApi(exchange, self.clients, self.faults, self._feed, self.settings)
        self._sockets = Sockets(exchange, self.clients, self._hub, self._feed, self.settings)
        self._clockwork: asyncio.Task[None] | None = None

    def app(self) -> web.Application:
        app = web.Application()
        gate = Gate(self.faults, self.settings)
        for method, path, name, handler in self._rest.routes():
            app.router.add_route(method, path, gate.wrap(name, handler))
        app.router.add_get("/ws-api", self._sockets.serve)
        return app

    async def start(self) -> None:
        self._clockwork = asyncio.create_task(self._run_clockwork())

    async def stop(self) -> None:
        if self._clockwork is not None:
            self._clockwork.cancel()
            with suppress(asyncio.CancelledError):
                await self._clockwork
        self._rest.stop()
        self._feed.stop()
        await self.close_sockets("all")
        self._hub.stop()

    async def close_sockets(self, which: Which, code: int = 1012) -> None:
        await self._hub.close(which, code)

    def set_mode(self, mode: Mode) -> None:
        """Vest announces no maintenance; what it documents is a HALT, in which cancels are taken."""
        for symbol in self.exchange.symbols:
            self.exchange.set_trading(symbol, mode == "open")

    def expire_sessions(self) -> None:
        """API keys and listen keys; the private sockets are closed with their keys."""
        self.clients.expire_all()
        self._sockets.close_expired()

    def mute(self, which: Which) -> int:
        sessions = self._hub.chosen(which)
        for session in sessions:
            session.mute()
        return len(sessions)

    async def _run_clockwork(self) -> None:
        while True:
            await asyncio.sleep(self.settings.ticker_interval_ms / 1e3)
            self.upkeep.tick()
            self._sockets.close_expired()
            self._feed.push_tickers()
