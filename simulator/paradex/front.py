"""The simulated Paradex put together: one web application around one exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from simulator.exchange import Exchange
from simulator.faults import FaultPlan
from simulator.front import Mode, Which
from simulator.orders import SimTrade
from simulator.paradex import messages, sbe
from simulator.paradex.errors import CODES, ApiError
from simulator.paradex.hub import JSON, Hub
from simulator.paradex.limits import RateLimiter
from simulator.paradex.market_feed import MarketFeed
from simulator.paradex.private_stream import PrivateFeed
from simulator.paradex.rest import RestApi
from simulator.paradex.rpc import RpcSession
from simulator.paradex.session import Members, account_id
from simulator.paradex.settings import FUNDING_PERIOD_S, ParadexSettings, SystemStatus
from simulator.paradex.signing import Verifier
from simulator.paradex.sockets import Socket
from simulator.paradex.summaries import Summaries
from simulator.paradex.tokens import TokenMint
from simulator.paradex.trading import OrderEntry
from simulator.upkeep import Upkeep

ID_BASE: Final = 201_709_277_900_000
CLEAN_CLOSES: Final = (1000, 1001)
_STATUS_OF_MODE: Final[Mapping[Mode, SystemStatus]] = {
    "open": "ok",
    "maintenance": "maintenance",
    "cancel_only": "cancel_only",
    "post_only": "post_only",
}


def make_id(now_unix_ns: int, sequence: int) -> str:
    """Order, trade and fill ids as the venue writes them: 13 digits of ms and a counter of 15."""
    return f"{now_unix_ns // 1_000_000}{ID_BASE + sequence}"


class ParadexFront:
    """Satisfies ``simulator.front.Front``. Belongs to the event loop's thread."""

    venue: str = "paradex"
    modes = frozenset(_STATUS_OF_MODE)
    error_codes = CODES

    def __init__(self, exchange: Exchange, settings: ParadexSettings | None = None) -> None:
        self.exchange = exchange
        self.faults = FaultPlan()
        self._settings = settings or ParadexSettings()
        self._hub = Hub(self.faults)
        self._verifier = Verifier(self._settings.chain_id, self._settings.verification)
        self._limiter = RateLimiter(exchange.now_unix_ns)
        self._mint = TokenMint(life_s=self._settings.token_life_s, now_unix_ns=exchange.now_unix_ns)
        self._members = Members(exchange, self._verifier, self._settings)
        self._feeds = {
            symbol: MarketFeed(symbol, exchange, self._hub, self._settings) for symbol in exchange.symbols
        }
        self._private = PrivateFeed(exchange, self._hub, lambda symbol: self._feeds[symbol].seq_no)
        self._order_entry = OrderEntry(
            exchange=exchange,
            verifier=self._verifier,
            limiter=self._limiter,
            feed=self._private,
            faults=self.faults,
            settings=self._settings,
        )
        self.upkeep = Upkeep(exchange, rate_period_s=FUNDING_PERIOD_S, step_s=1)
        for symbol in exchange.symbols:
            self.upkeep.set_rate(symbol, self._settings.funding_rate_e12)
        self._summaries = Summaries(
            exchange,
            lambda: [account_id(address) for address in self._members.addresses],
            self.upkeep.rate_e12,
        )
        self.is_down = False
        self._sockets: dict[RpcSession, None] = {}
        self._tasks: list[asyncio.Task[None]] = []
        exchange.on_book(lambda symbol: self._feeds[symbol].book_changed())
        exchange.on_trade(self._traded)
        exchange.on_fill(self._private.filled)
        exchange.on_order(self._private.order_changed)

    # --- the front ---

    def sign_up(self, public_key: int, *, subkey: int) -> None:
        """Let an account exist, with a subkey that may trade for it."""
        self._members.sign_up(public_key, subkey=subkey)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_unknown_paths], client_max_size=1 << 20)
        app.router.add_get("/v1", self._websocket)
        app.router.add_get("/v1/", self._websocket)
        RestApi(
            exchange=self.exchange,
            order_entry=self._order_entry,
            members=self._members,
            mint=self._mint,
            limiter=self._limiter,
            private=self._private,
            feeds=self._feeds,
            summaries=self._summaries,
            faults=self.faults,
            settings=self._settings,
        ).add_routes(app.router)
        return app

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._tell_summaries(), name="paradex-summaries"),
            asyncio.create_task(self._keep_up(), name="paradex-upkeep"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for feed in self._feeds.values():
            feed.close()
        await self.close_sockets("all", 1001)
        self._verifier.close()

    async def close_sockets(self, which: Which, code: int = 1012) -> None:
        await asyncio.gather(*(session.socket.close(code) for session in self._sessions(which)))

    # --- what tests and fault scripts may change ---

    @property
    def system_status(self) -> SystemStatus:
        """What ``GET /system/state`` says; anything but "ok" restricts order entry."""
        return self._order_entry.system_status

    @system_status.setter
    def system_status(self, status: SystemStatus) -> None:
        self._order_entry.system_status = status

    def set_mode(self, mode: Mode) -> None:
        self.system_status = _STATUS_OF_MODE[mode]

    def expire_sessions(self) -> None:
        """Sockets that stand stay authenticated, as the venue has it."""
        self._mint.expire_all()

    def mute(self, which: Which) -> int:
        sessions = self._sessions(which)
        for session in sessions:
            session.socket.mute()
        return len(sessions)

    def _sessions(self, which: Which) -> list[RpcSession]:
        return [
            session
            for session in self._sockets
            if which == "all" or session.is_private == (which == "private")
        ]

    # --- WebSocket ---

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        try:
            encoding = self._encoding(request)
            self._limiter.spend("connects", request.remote or "", self._settings.rate_limits.connects)
        except ApiError as error:
            return web.json_response(error.body, status=error.status, headers=error.headers)
        # Compression is declined: the client may offer it, the frames are small and frequent.
        response = web.WebSocketResponse(autoping=False, compress=False, max_msg_size=1 << 20)
        await response.prepare(request)
        socket = Socket(response, request, encoding, self._settings, self.exchange.now_unix_ns)
        session = RpcSession(
            socket,
            order_entry=self._order_entry,
            hub=self._hub,
            mint=self._mint,
            feeds=self._feeds,
            faults=self.faults,
            settings=self._settings,
        )
        self._sockets[session] = None
        try:
            while (message := await socket.receive()) is not None:
                await session.handle(message.data)
        finally:
            del self._sockets[session]
            # A venue that goes down keeps the orders: it is not the client that was lost.
            is_unexpected = response.close_code not in CLEAN_CLOSES and not self.is_down
            session.ended(is_unexpected=is_unexpected)
            await socket.end()
        return response

    def _encoding(self, request: web.Request) -> int:
        """JSON or the SBE version a connection asks for. Raises ApiError for what is not served."""
        schema, version = request.query.get("sbeSchemaId"), request.query.get("sbeSchemaVersion")
        if schema is None and version is None:
            if self._settings.require_sbe:
                raise ApiError("INVALID_REQUEST_PARAMETER", "sbeSchemaId and sbeSchemaVersion are required")
            return JSON
        if schema != str(sbe.SCHEMA_ID):
            raise ApiError("INVALID_REQUEST_PARAMETER", f"sbeSchemaId: {sbe.SCHEMA_ID} is served")
        versions = self._settings.sbe_versions
        for served in versions:
            if version == str(served):
                return served
        raise ApiError("INVALID_REQUEST_PARAMETER", f"sbeSchemaVersion: {versions} are served")

    # --- what runs by itself ---

    def _traded(self, trade: SimTrade) -> None:
        self._summaries.traded(trade)
        self._feeds[trade.symbol].traded(trade)

    async def _keep_up(self) -> None:
        """Accrue funding and liquidate: every second, as the venue's index moves."""
        while True:
            await asyncio.sleep(1.0)
            self.upkeep.tick()

    async def _tell_summaries(self) -> None:
        while True:
            await asyncio.sleep(self._settings.summary_interval_ms / 1000)
            for symbol in self.exchange.symbols:
                self._publish_summary(symbol)

    def _publish_summary(self, symbol: str) -> None:
        channels = ("markets_summary", "markets_summary.ALL", f"markets_summary.{symbol}")
        wanted = [channel for channel in channels if self._hub.is_wanted(channel)]
        if not wanted:
            return
        record = self._summaries.record(symbol)
        now_us = self.exchange.now_unix_ns() // 1000

        def render(channel: str) -> Callable[[int], bytes]:
            return lambda encoding: (
                messages.notification(channel, messages.summary(record))
                if encoding == JSON
                else sbe.summary(record, version=encoding, now_us=now_us)
            )

        for channel in wanted:
            self._hub.publish(channel, channel, render(channel))


@web.middleware
async def _unknown_paths(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer paths and methods that are not served with the venue's error object."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status not in (404, 405, 413):
            raise
        error = ApiError("NOT_FOUND", f"{request.method} {request.path}: {refusal.reason}")
        return web.json_response(error.body, status=refusal.status)
