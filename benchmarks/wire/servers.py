"""HTTP and WebSocket servers that know when a message arrived, whoever has the processor then.

The order endpoints must not measure how long this process waited for a core that the bot under
test keeps busy after its orders have left. So the arrival is the kernel's own (SO_TIMESTAMPNS: when
the segment with a read's last byte came in), see ``stamps.py``. Sockets are read by hand, because no event
loop hands those stamps on.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import httptools
import orjson

from benchmarks.wire.stamps import (
    arrival_mono_ns,
    departing,
    departure_mono_ns,
    report_departures,
    stamp_arrivals,
)

_WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_READ_BYTES: Final = 65_536
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Request(NamedTuple):
    """One request, whole. ``arrived_mono_ns`` is when its last byte had come."""

    method: str
    path: str
    body: bytes
    arrived_mono_ns: int


class Reply(NamedTuple):
    """What to answer, now or on request."""

    value: Any
    after: asyncio.Future[None] | None = None


OnRequest = Callable[[Request], Reply]
OnMessage = Callable[["Client", bytes, int], None]


class Stream:
    """One connection: bytes in with their arrival, bytes out at once, TLS where wanted."""

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLContext | None, on_data: Callable[[bytes, int], None]
    ) -> None:
        self._socket = sock
        self._on_data = on_data
        self._waiting = b""  # what the socket would not take
        self.on_close: Callable[[], None] = lambda: None
        self._tls: ssl.SSLObject | None = None
        if tls is not None:
            self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = tls.wrap_bio(self._in, self._out, server_side=True)
            self._is_shaken = False
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stamp_arrivals(sock)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)

    def write(self, data: bytes) -> None:
        if self._socket.fileno() >= 0:
            self._write_raw(self._encrypt(data))

    def write_stamped(self, data: bytes) -> int:
        """Write, and return when the kernel gave it to the network. What the stamp costs is on the way
        that is measured, so only a run with a referee asks for it."""
        assert not self._waiting
        report_departures(self._socket)
        raw = self._encrypt(data)
        written = self._socket.sendmsg([raw], departing())
        assert written == len(raw), "a venue's socket is full"
        left_mono_ns = departure_mono_ns(self._socket)  # at once: the loop wakes for it until it is read
        assert left_mono_ns is not None, "the kernel stamps no departures"
        return left_mono_ns

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self.on_close()

    def _readable(self) -> None:
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, 128)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        stamp = arrival_mono_ns(ancillary)
        arrived_mono_ns = time.monotonic_ns() if stamp is None else stamp
        if not data:
            self.close()
        elif self._tls is None:
            self._on_data(data, arrived_mono_ns)
        else:
            self._in.write(data)
            self._take_decrypted(arrived_mono_ns)

    def _take_decrypted(self, arrived_mono_ns: int) -> None:
        assert self._tls is not None
        try:
            if not self._is_shaken:
                self._tls.do_handshake()
                self._is_shaken = True
            while data := self._tls.read(_READ_BYTES):
                self._on_data(data, arrived_mono_ns)
        except ssl.SSLWantReadError:
            pass  # the rest of a record, or of the handshake, is to come
        except ssl.SSLError:
            self.close()
            return
        self._write_raw(self._out.read())

    def _encrypt(self, data: bytes) -> bytes:
        if self._tls is None:
            return data
        with contextlib.suppress(ssl.SSLError):
            self._tls.write(data)
        return self._out.read()

    def _write_raw(self, data: bytes) -> None:
        if self._waiting or not data or self._socket.fileno() < 0:
            self._waiting += data
            return
        try:
            written = self._socket.send(data)
        except BlockingIOError:
            written = 0
        except OSError:
            self.close()
            return
        if written < len(data):
            self._waiting = data[written:]
            asyncio.get_running_loop().add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        data, self._waiting = self._waiting, b""
        asyncio.get_running_loop().remove_writer(self._socket.fileno())
        self._write_raw(data)


class HttpConnection:
    """HTTP/1.1, kept alive, one request at a time; becomes a ``Client`` where a WebSocket is asked for."""

    def __init__(
        self, sock: socket.socket, tls: ssl.SSLContext | None, on_request: OnRequest, clients: _Clients
    ) -> None:
        self._on_request = on_request
        self._clients = clients
        self._client: Client | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""
        self._key = b""
        self._body: list[bytes] = []
        self._arrived_mono_ns = 0
        self._stream = Stream(sock, tls, self._take)

    def _take(self, data: bytes, arrived_mono_ns: int) -> None:
        self._arrived_mono_ns = arrived_mono_ns
        if self._client is not None:
            self._client.take(data, arrived_mono_ns)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"sec-websocket-key":
            self._key = value

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._key:
            return
        method = self._parser.get_method().decode()
        request = Request(method, self._path.decode(), b"".join(self._body), self._arrived_mono_ns)
        self._path, self._body = b"", []
        reply = self._on_request(request)
        if reply.after is None:
            self._answer(reply.value)
        else:
            reply.after.add_done_callback(lambda _: self._answer(reply.value))

    def _answer(self, value: Any) -> None:
        body = orjson.dumps(value)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._stream.write(head.encode() + body)

    def _upgrade(self) -> None:
        accept = base64.b64encode(hashlib.sha1(self._key + _WEBSOCKET_GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self._stream.write(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self._client = Client(self._path.decode(), self._stream, self._clients.on_message)
        self._clients.connected.append(self._client)


class _Clients(NamedTuple):
    connected: list[Client]
    on_message: OnMessage


class Client:
    """One WebSocket client. ``is_sbe`` says whether its URL asked for the binary encoding."""

    def __init__(self, path: str, stream: Stream, on_message: OnMessage) -> None:
        self.is_sbe = "sbeSchemaId" in path
        self.channels: set[str] = set()
        self._stream = stream
        self._on_message = on_message
        self._unread = b""
        stream.on_close = self.channels.clear

    def send(self, payload: bytes, *, is_binary: bool) -> None:
        self._send(BINARY if is_binary else TEXT, payload)

    def send_stamped(self, payload: bytes, *, is_binary: bool) -> int:
        """As ``send``; returns when it left this host, as monotonic time."""
        return self._stream.write_stamped(_frame(BINARY if is_binary else TEXT, payload))

    def send_json(self, value: Any) -> None:
        self.send(orjson.dumps(value), is_binary=False)

    def _send(self, kind: int, payload: bytes) -> None:
        self._stream.write(_frame(kind, payload))

    def take(self, data: bytes, arrived_mono_ns: int) -> None:
        """Frames of a client are masked; those of our clients come whole."""
        self._unread += data
        while (frame := _next_frame(self._unread)) is not None:
            kind, payload, size = frame
            self._unread = self._unread[size:]
            if kind in (TEXT, BINARY):
                self._on_message(self, payload, arrived_mono_ns)
            elif kind == PING:
                self._send(PONG, payload)
            elif kind == CLOSE:
                self._stream.close()


def _frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, size))
    elif size < 65_536:
        head = bytes((0x80 | kind, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 127)) + size.to_bytes(8, "big")
    return head + payload


def _next_frame(data: bytes) -> tuple[int, bytes, int] | None:
    """(kind, payload, bytes taken) of the first whole frame."""
    if len(data) < 2:
        return None
    size, at = data[1] & 0x7F, 2
    if size >= 126:
        at = 4 if size == 126 else 10
        size = int.from_bytes(data[2:at], "big")
    mask = b""
    if data[1] & 0x80:
        mask, at = data[at : at + 4], at + 4
    if len(data) < at + size:
        return None
    payload = data[at : at + size]
    if mask:
        key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
        payload = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return data[0] & 0x0F, payload, at + size


class Served(NamedTuple):
    """Where a venue listens, and who is connected to its WebSocket."""

    port: int
    clients: list[Client]


def serve(on_request: OnRequest, on_message: OnMessage, tls: ssl.SSLContext | None) -> Served:
    """Listen on a port of the system's choice, on 127.0.0.1, for HTTP and WebSockets alike."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    listener.setblocking(False)
    clients = _Clients([], on_message)

    def accept() -> None:
        with contextlib.suppress(BlockingIOError):
            sock, _ = listener.accept()
            HttpConnection(sock, tls, on_request, clients)

    asyncio.get_running_loop().add_reader(listener.fileno(), accept)
    port: int = listener.getsockname()[1]
    return Served(port, clients.connected)
