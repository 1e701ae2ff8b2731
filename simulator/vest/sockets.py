"""Vest's WebSocket door: who may connect, what a client may say, what it is answered.

Source: Vest v2 API documentation, "WebSocket" and "User data stream", with its close codes.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from simulator.exchange import Exchange
from simulator.vest.errors import CloseCode, Code
from simulator.vest.hub import Hub, Session
from simulator.vest.private_stream import PRIVATE
from simulator.vest.public_feed import PublicFeed
from simulator.vest.session import Client, Clients
from simulator.vest.settings import VestSettings

_GROUP = re.compile(r"restserver(\d{1,3})")


def group_number(text: str) -> int | None:
    """Return the account group of a routing text like ``restserver0``, or None if it is malformed."""
    match = _GROUP.fullmatch(text)
    return int(match[1]) if match else None


class _Close(Exception):
    """This client's socket must be closed with this code."""

    def __init__(self, code: CloseCode) -> None:
        super().__init__(code)
        self.code = code


class Sockets:
    """Serves ``GET /ws-api``."""

    def __init__(
        self, exchange: Exchange, clients: Clients, hub: Hub, feed: PublicFeed, settings: VestSettings
    ) -> None:
        self._exchange = exchange
        self._clients = clients
        self._hub = hub
        self._feed = feed
        self._settings = settings

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Check the query, then read until the client leaves or is closed."""
        socket = web.WebSocketResponse(max_msg_size=1 << 20, compress=False, timeout=1.0)
        await socket.prepare(request)
        try:
            client, listen_key = self._admit(request)
        except _Close as close:
            await socket.close(code=close.code, message=close.code.name.encode())
            return socket
        session = Session(socket, client, listen_key, request.transport)
        self._hub.sessions.add(session)
        writer = asyncio.create_task(session.write(binary=self._settings.binary_frames))
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    self._receive(session, message.data)
        except _Close as close:
            await socket.close(code=close.code, message=close.code.name.encode())
        finally:
            self._hub.sessions.discard(session)
            writer.cancel()
        return socket

    def close_expired(self) -> None:
        """Close the private sockets whose listen key has died."""
        now_unix_ms = self._now_unix_ms()
        for session in self._hub.sessions:
            client = session.client
            if client and not self._clients.is_listen_key_alive(client, session.listen_key, now_unix_ms):
                session.close(CloseCode.LISTEN_KEY_EXPIRED)

    def _admit(self, request: web.Request) -> tuple[Client | None, str]:
        """Return the client (None on a public socket) and its listen key. Raises _Close."""
        if request.query.get("version") != "1.0":
            raise _Close(CloseCode.WRONG_VERSION)
        group = group_number(request.query.get("xwebsocketserver", "restserver0"))
        if group is None:
            raise _Close(CloseCode.ACCOUNT_GROUP_INVALID)
        if group not in self._settings.account_groups:
            raise _Close(CloseCode.ACCOUNT_GROUP_NOT_FOUND)
        listen_key = request.query.get("listenKey", "")
        if not listen_key:
            return None, ""
        client = self._clients.by_listen_key(listen_key)
        if client is None:
            raise _Close(CloseCode.LISTEN_KEY_NOT_FOUND)
        if not self._clients.is_listen_key_alive(client, listen_key, self._now_unix_ms()):
            raise _Close(CloseCode.LISTEN_KEY_EXPIRED)
        if client.group != group:
            raise _Close(CloseCode.ACCOUNT_GROUP_INVALID)
        return client, listen_key

    def _receive(self, session: Session, data: str | bytes) -> None:
        """Carry out one client message. Raises _Close."""
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._answer_error(session, None, "not JSON")
            return
        if not isinstance(message, dict):
            self._answer_error(session, None, "not an object")
            return
        method, params, message_id = message.get("method"), message.get("params"), message.get("id")
        if method == "PING":
            self._hub.send(session, "ws.PING", {"data": "PONG"})
        elif method not in ("SUBSCRIBE", "UNSUBSCRIBE"):
            self._answer_error(session, message_id, "unknown method")
        elif not isinstance(params, list) or not all(isinstance(item, str) for item in params):
            self._answer_error(session, message_id, "params must be a list of channels")
        elif unknown := [name for name in params if name != PRIVATE and not self._feed.has_channel(name)]:
            self._answer_error(session, message_id, f"unknown channel {unknown[0][:60]!r}")
        else:
            self._subscribe(session, params, message_id, is_on=method == "SUBSCRIBE")

    def _subscribe(self, session: Session, channels: list[str], message_id: Any, *, is_on: bool) -> None:
        if PRIVATE in channels and session.client is None:
            raise _Close(CloseCode.LISTEN_KEY_REQUIRED)
        self._hub.send(
            session, "ws.SUBSCRIBE" if is_on else "ws.UNSUBSCRIBE", {"result": None, "id": message_id}
        )
        if not is_on:
            session.channels.difference_update(channels)
            return
        session.channels.update(channels)
        for name in channels:
            frame = self._feed.first_frame(name)
            if frame is not None:
                session.push_newest(name, frame)
        self._feed.subscribed(channels)

    def _answer_error(self, session: Session, message_id: Any, text: str) -> None:
        # The shape of an error on v2 sockets is unknown; this one cannot be taken for anything else.
        error = {"code": int(Code.INVALID_PARAMETER), "msg": text}
        self._hub.send(session, "ws.error", {"error": error, "id": message_id})

    def _now_unix_ms(self) -> int:
        return self._exchange.now_unix_ns() // 1_000_000
