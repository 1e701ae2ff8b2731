"""HTTP and WebSocket servers that stamp what arrives before they look at it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

import httptools
import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server


class Request(NamedTuple):
    """One request, whole. ``arrived_mono_ns`` is when its last byte had been read."""

    method: str
    path: str
    body: bytes
    arrived_mono_ns: int


class Reply(NamedTuple):
    """What to answer, now or when told so."""

    value: Any
    after: asyncio.Future[None] | None = None


OnRequest = Callable[[Request], Reply]


class HttpConnection(asyncio.Protocol):
    """HTTP/1.1, kept alive, one request at a time."""

    def __init__(self, on_request: OnRequest) -> None:
        self._on_request = on_request
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._body: list[bytes] = []
        self._arrived_mono_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._arrived_mono_ns = time.monotonic_ns()
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        method = self._parser.get_method().decode()
        request = Request(method, self._path.decode(), b"".join(self._body), self._arrived_mono_ns)
        self._path, self._body = b"", []
        reply = self._on_request(request)
        if reply.after is None:
            self._answer(reply.value)
        else:
            reply.after.add_done_callback(lambda _: self._answer(reply.value))

    def _answer(self, value: Any) -> None:
        if self._transport is not None:
            body = orjson.dumps(value)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self._transport.write(head.encode() + body)


class Client(WSListener):
    """One WebSocket client. ``is_sbe`` says whether its URL asked for the binary encoding."""

    def __init__(self, path: str, on_message: Callable[[Client, bytes, int], None]) -> None:
        super().__init__()
        self.path = path
        self.is_sbe = "sbeSchemaId" in path
        self.channels: set[str] = set()
        self._on_message = on_message
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        self.channels.clear()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        arrived_mono_ns = time.monotonic_ns()
        if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._on_message(self, frame.get_payload_as_bytes(), arrived_mono_ns)
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def send(self, payload: bytes, *, is_binary: bool) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.BINARY if is_binary else WSMsgType.TEXT, payload)

    def send_json(self, value: Any) -> None:
        self.send(orjson.dumps(value), is_binary=False)


class Served(NamedTuple):
    """Where a venue listens, and who is connected to its socket."""

    http_port: int
    ws_port: int
    clients: list[Client]


async def serve(
    on_request: OnRequest, on_message: Callable[[Client, bytes, int], None], tls: ssl.SSLContext | None
) -> Served:
    """Listen on two ports of the system's choice, on 127.0.0.1."""
    loop = asyncio.get_running_loop()
    clients: list[Client] = []

    def accept(request: WSUpgradeRequest) -> WSListener:
        client = Client(request.path.decode(), on_message)
        clients.append(client)
        return client

    http = await loop.create_server(lambda: HttpConnection(on_request), "127.0.0.1", 0, ssl=tls)
    create = cast(Callable[..., Awaitable[asyncio.Server]], ws_create_server)
    websocket = await create(accept, "127.0.0.1", 0, ssl=tls)
    return Served(_port(http), _port(websocket), clients)


def _port(server: asyncio.AbstractServer) -> int:
    port: int = cast(asyncio.Server, server).sockets[0].getsockname()[1]
    return port
