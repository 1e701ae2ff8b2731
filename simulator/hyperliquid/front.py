"""The simulated Hyperliquid put together: ``/info``, ``/exchange`` and ``/ws`` on one port."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
from aiohttp import WSMsgType, web

from simulator.exchange import Exchange
from simulator.faults import FaultPlan
from simulator.front import Mode, Which
from simulator.hyperliquid import requests
from simulator.hyperliquid.errors import CODES, NotParsed
from simulator.hyperliquid.market_data import PUBLIC, MarketFeed
from simulator.hyperliquid.private_stream import PRIVATE, PrivateFeed
from simulator.hyperliquid.rest import Api, Reply
from simulator.hyperliquid.session import Members
from simulator.hyperliquid.settings import HyperliquidSettings
from simulator.hyperliquid.sockets import GREETING, Hub, Session, Topic
from simulator.hyperliquid.trading import OrderEntry
from simulator.upkeep import Upkeep

_FUNDING_PERIOD_S: Final = 3_600
_NOT_A_REQUEST: Final = "Error parsing JSON into valid websocket request"


class HyperliquidFront:
    """See ``simulator.front.Front``. Belongs to the event loop's thread."""

    venue: str = "hyperliquid"
    modes: frozenset[Mode] = frozenset({"open", "maintenance", "post_only"})
    error_codes: Final = frozenset(CODES)

    def __init__(self, exchange: Exchange, settings: HyperliquidSettings | None = None) -> None:
        self.exchange = exchange
        self.settings = settings or HyperliquidSettings()
        self.faults = FaultPlan()
        self.is_down = False
        self.members = Members(exchange, self.settings)
        self.upkeep = Upkeep(
            exchange,
            rate_period_s=_FUNDING_PERIOD_S,
            step_s=_FUNDING_PERIOD_S,
            settle=lambda: self._feed.settle_funding(self.upkeep.rate_e12),
        )
        for symbol in exchange.symbols:
            self.upkeep.set_rate(symbol, self.settings.funding_rate_e12)
        self._hub = Hub(self.faults)
        self._market = MarketFeed(exchange, self._hub, self.settings, self.upkeep.rate_e12)
        self._feed = PrivateFeed(exchange, self._hub, self.members, lambda user: self._api.state(user))
        self._order_entry = OrderEntry(exchange, self.members, self._feed, self.faults, self.settings)
        self._api = Api(
            exchange,
            self._order_entry,
            self.members,
            self._feed,
            self._market,
            self.faults,
            self.settings,
            self.upkeep.rate_e12,
        )
        self._clockwork: asyncio.Task[None] | None = None
        self._posts: set[asyncio.Task[None]] = set()

    # --- the front ---

    def app(self) -> web.Application:
        app = web.Application(client_max_size=1 << 20)
        app.router.add_post("/info", self._info)
        app.router.add_post("/exchange", self._exchange)
        app.router.add_get("/ws", self._websocket)
        return app

    async def start(self) -> None:
        self._clockwork = asyncio.create_task(self._run_clockwork())

    async def stop(self) -> None:
        tasks = [*self._posts, *([self._clockwork] if self._clockwork else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._order_entry.blocks.stop()
        self._market.stop()
        await self.close_sockets("all")
        self._hub.stop()

    async def close_sockets(self, which: Which, code: int = 1012) -> None:
        await self._hub.close(which, code)

    def mute(self, which: Which) -> int:
        sessions = self._hub.chosen(which)
        for session in sessions:
            session.mute()
        return len(sessions)

    def set_mode(self, mode: Mode) -> None:
        """An upgrade: nothing is taken, and afterwards post-only orders alone."""
        self._api.special_status = "upgrade" if mode == "maintenance" else ""
        self._order_entry.takes_only_post_only = mode == "post_only"

    def expire_sessions(self) -> None:
        """There are no tokens; what can end are the approvals of agents."""
        self.members.expire_agents()

    async def _run_clockwork(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.upkeep.tick()
            self._order_entry.cancel_scheduled()
            self._market.tell_contexts()
            self._hub.close_idle(self.settings.idle_close_s)

    # --- HTTP ---

    async def _info(self, request: web.Request) -> web.StreamResponse:
        return await self._serve(
            request, await self._api.info("rest", await _json(request), _remote(request))
        )

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        # Carried out to its end whatever becomes of the connection.
        work = asyncio.ensure_future(self._api.exchange("rest", await _json(request), _remote(request)))
        return await self._serve(request, await asyncio.shield(work))

    async def _serve(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        fault = reply.fault
        body = reply.body if isinstance(reply.body, bytes) else None
        if body is None:
            body = orjson.dumps(reply.body) if reply.is_json else str(reply.body).encode()
        if fault is not None:
            body = fault.spoil(body)
            if fault.delay_ms:
                await asyncio.sleep(fault.delay_ms / 1e3)
            if fault.drop_reply and request.transport is not None:
                request.transport.abort()
        kind = "application/json" if reply.is_json else "text/plain"
        headers = fault.headers if fault is not None else {}
        return web.Response(status=reply.status, body=body, content_type=kind, headers=headers)

    # --- WebSocket ---

    async def _websocket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False, timeout=1.0)
        await socket.prepare(request)
        session = Session(socket, request.transport)
        self._hub.sessions.add(session)
        if self.settings.sends_greeting:
            session.push(GREETING)
        writer = asyncio.create_task(session.write())
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._receive(session, message.data, _remote(request))
        finally:
            self._hub.sessions.discard(session)
            writer.cancel()
        return socket

    def _receive(self, session: Session, data: str | bytes, remote: str) -> None:
        """Carry out one client message. What does not parse is quoted back, without its id."""
        try:
            message = orjson.loads(data)
            if not isinstance(message, dict):
                raise NotParsed
            match message.get("method"):
                case "ping":
                    self._hub.first(session, {"channel": "pong"})
                case "subscribe" | "unsubscribe" as method:
                    self._subscribe(session, str(method), message.get("subscription"))
                case "post":
                    self._post(session, message, data, remote)
                case _:
                    raise NotParsed
        except (NotParsed, ValueError):
            self._refuse(session, f"{_NOT_A_REQUEST}: {_text(data)}")

    def _refuse(self, session: Session, text: str) -> None:
        self._hub.answer(session, {"channel": "error", "data": text})

    def _subscribe(self, session: Session, method: str, wanted: Any) -> None:
        canonical, topic = _canonical(wanted)
        key = orjson.dumps(canonical)
        if (method == "subscribe") == (key in session.subscriptions):
            state = "subscribed" if method == "subscribe" else "unsubscribed"
            self._refuse(session, f"Already {state}: {key.decode()}")
            return
        echo = {"method": method, "subscription": canonical}
        self._hub.answer(session, {"channel": "subscriptionResponse", "data": echo})
        if method == "unsubscribe":
            del session.subscriptions[key]
            return
        session.subscriptions[key] = topic
        if topic[0] in PRIVATE:
            self.members.asked_about(topic[1])
            self._feed.greet(session, topic)
        else:
            self._market.greet(session, topic)

    def _post(self, session: Session, message: dict[str, Any], data: str | bytes, remote: str) -> None:
        number, request = requests.unsigned(message.get("id")), message.get("request")
        if not isinstance(request, dict) or request.get("type") not in ("action", "info"):
            raise NotParsed
        task = asyncio.create_task(self._answer_post(session, number, request, _text(data), remote))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _answer_post(
        self, session: Session, number: int, request: dict[str, Any], text: str, remote: str
    ) -> None:
        is_action, payload = request["type"] == "action", request.get("payload")
        ask = self._api.exchange if is_action else self._api.info
        reply = await ask("ws", payload, remote)
        if reply.status == 422:
            self._refuse(session, f"{_NOT_A_REQUEST}: {text}")
            return
        body = reply.body
        if isinstance(body, bytes):
            body = body.decode() if not reply.is_json else orjson.loads(body)
        if not reply.is_json:
            response: dict[str, Any] = {"type": "error", "payload": f"{reply.status} {body}"}
        elif is_action:
            response = {"type": "action", "payload": body}
        else:
            assert isinstance(payload, dict)
            response = {"type": "info", "payload": {"type": payload["type"], "data": body}}
        answer = {"channel": "post", "data": {"id": number, "response": response}}
        self._hub.answer(session, answer, reply.fault)


def _canonical(wanted: Any) -> tuple[dict[str, Any], Topic]:
    """A subscription with its defaults filled in, and what it listens to. Raises NotParsed."""
    if not isinstance(wanted, dict):
        raise NotParsed
    kind, coin, user = wanted.get("type"), wanted.get("coin"), wanted.get("user")
    if kind == "allMids":
        return {"type": kind}, (kind, "")
    if kind in PUBLIC and isinstance(coin, str):
        defaults = {"nSigFigs": None, "mantissa": None, "fast": False} if kind == "l2Book" else {}
        chosen = {name: wanted.get(name, value) for name, value in defaults.items()}
        return {"type": kind, "coin": coin, **chosen}, (kind, coin)
    if kind in PRIVATE:
        address = requests.address(user)
        return {"type": kind, "user": address}, (kind, address)
    raise NotParsed


async def _json(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except ValueError:
        return None


def _remote(request: web.Request) -> str:
    return request.remote or ""


def _text(data: str | bytes) -> str:
    return data if isinstance(data, str) else data.decode("utf-8", "replace")
