"""A TCP proxy between the executor and one venue that spoils one message in a chosen way.

Everything passes untouched until it is armed. HTTP is taken request by request, with its answer; after an
upgrade, WebSocket frames one by one. What is spoilt is cut out whole, so the rest stays what it was.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from verification.proxy.kinds import Kind, Road

LATE_S: Final = 0.7
DRIP_S: Final = 0.002
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset and forgets what waits
_PAGE: Final = b"<html><head><title>blocked</title></head><body>request blocked</body></html>"
_LOST: Final = (ConnectionError, asyncio.IncompleteReadError, OSError)


class _Ended(Exception):
    """The connection is over, by the fault."""


class Relay:
    """Listens on a loopback port of its own. Every method is for the loop it runs on."""

    def __init__(self, venue_port: int) -> None:
        self.port = 0
        self.struck = 0
        self._venue_port = venue_port
        self._armed: tuple[Road, Kind] | None = None
        self._left = 0
        self._earlier: dict[Road, bytes] = {}  # the newest answer of each road that passed untouched
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, road: Road, kind: Kind, times: int) -> None:
        self._armed, self._left, self.struck = (road, kind), times, 0

    def disarm(self) -> None:
        self._armed = None

    def _take(self, road: Road) -> Kind | None:
        """What is to become of a message of this road."""
        if self._armed is None or self._armed[0] is not road or not self._left:
            return None
        self._left -= 1
        self.struck += 1
        return self._armed[1]

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        venue_writer: asyncio.StreamWriter | None = None
        try:
            venue_reader, venue_writer = await asyncio.open_connection(
                "127.0.0.1", self._venue_port, limit=1 << 22
            )
            await self._requests(reader, writer, venue_reader, venue_writer)
        except (_Ended, *_LOST):
            pass  # one end is gone, and the other must be, too
        finally:
            for end in (writer, venue_writer):
                if end is not None:
                    end.close()

    # --- HTTP ---

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        venue_reader: asyncio.StreamReader,
        venue_writer: asyncio.StreamWriter,
    ) -> None:
        while True:
            request = await _message(reader)
            if b"upgrade: websocket" in request.partition(b"\r\n\r\n")[0].lower():
                venue_writer.write(request)
                writer.write(await venue_reader.readuntil(b"\r\n\r\n"))
                await self._frames(reader, writer, venue_reader, venue_writer)
                return
            road = Road.CREATE if _is_create(request) else Road.READ if request[:4] == b"GET " else None
            kind = self._take(road) if road else None
            await self._before(kind, request, writer, venue_writer)
            answer = await _message(venue_reader)
            if kind is Kind.DUPLICATE:
                venue_writer.write(request)
                await _message(venue_reader)
            if road and kind is None:
                self._earlier[road] = answer
            await self._after(kind, answer, writer, self._earlier.get(road, answer) if road else answer)

    async def _before(
        self,
        kind: Kind | None,
        request: bytes,
        writer: asyncio.StreamWriter,
        venue_writer: asyncio.StreamWriter,
    ) -> None:
        """What happens to a request on its way."""
        match kind:
            case Kind.DROP | Kind.HALF_OPEN:
                await asyncio.Event().wait()  # until whoever waits for an answer has had enough
            case Kind.DELAY:
                await asyncio.sleep(LATE_S)
            case Kind.RESET_BEFORE:
                _reset(writer)
            case Kind.RESET_AMID:
                venue_writer.write(request[: len(request) // 2])
                await venue_writer.drain()
                _reset(writer)
            case Kind.EDGE_PAGE:
                writer.write(_response(403, _PAGE))
                await writer.drain()
                raise _Ended
            case Kind.DRIP:
                await _drip(venue_writer, request)
                return
            case _:
                pass
        venue_writer.write(request)
        await venue_writer.drain()

    async def _after(
        self, kind: Kind | None, answer: bytes, writer: asyncio.StreamWriter, earlier: bytes
    ) -> None:
        """What happens to an answer on its way back."""
        match kind:
            case Kind.RESET_AFTER:
                _reset(writer)
            case Kind.ANSWER_LOST:
                await asyncio.Event().wait()
            case Kind.ANSWER_LATE:
                await asyncio.sleep(LATE_S)
            case Kind.ANSWER_CUT:
                writer.write(answer[: len(answer) // 2])
                await writer.drain()
                raise _Ended
            case Kind.ANSWER_GARBLED:
                answer = _garbled(answer)
            case Kind.ANSWER_STALE:
                answer = earlier
            case Kind.ANSWER_DRIPS:
                await _drip(writer, answer)
                return
            case Kind.EDGE_PAGE_AFTER:
                answer = _response(403, _PAGE)
            case Kind.STATUS_500_AFTER:
                answer = _response(500, b"upstream connect error")
            case Kind.STATUS_429_AFTER:
                answer = _response(429, b"")
            case _:
                pass
        writer.write(answer)
        await writer.drain()

    # --- WebSocket ---

    async def _frames(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        venue_reader: asyncio.StreamReader,
        venue_writer: asyncio.StreamWriter,
    ) -> None:
        ways = (
            asyncio.create_task(self._way(reader, venue_writer, writer, _road_up)),
            asyncio.create_task(self._way(venue_reader, writer, writer, _road_down)),
        )
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _way(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_bot: asyncio.StreamWriter,
        road_of: Callable[[bytes], Road | None],
    ) -> None:
        """One direction of a socket."""
        behind = b""  # a frame that waits for the next one to pass it
        while True:
            head, payload, is_masked = await _frame(reader)
            frame = _made(head, payload, is_masked=is_masked)
            road = road_of(payload)
            match self._take(road) if road else None:
                case Kind.DROP:
                    continue
                case Kind.DELAY:
                    await asyncio.sleep(LATE_S)
                case Kind.DUPLICATE:
                    writer.write(frame)
                case Kind.RESET_BEFORE:
                    _reset(to_bot)
                case Kind.RESET_AMID:
                    writer.write(frame[: len(frame) // 2])
                    await writer.drain()
                    _reset(to_bot)
                case Kind.RESET_AFTER:
                    writer.write(frame)
                    await writer.drain()
                    _reset(to_bot)
                case Kind.HALF_OPEN:
                    await asyncio.Event().wait()
                case Kind.GARBLE:
                    frame = _made(head, _garbled(payload), is_masked=is_masked)
                case Kind.TRUNCATE:
                    frame = _made(head, payload[: len(payload) // 2], is_masked=is_masked)
                case Kind.DRIP:
                    await _drip(writer, frame)
                    continue
                case Kind.REORDER:
                    behind = frame
                    continue
                case _:
                    pass
            writer.write(frame + behind)
            behind = b""
            await writer.drain()


def _is_create(request: bytes) -> bool:
    method, path = request.partition(b"\r\n")[0].split(b" ")[:2]
    return method == b"POST" and path.partition(b"?")[0] in (b"/v2/orders", b"/v1/orders")


def _road_up(payload: bytes) -> Road | None:
    return Road.CREATE if b'"order.create"' in payload else None


def _road_down(payload: bytes) -> Road | None:
    if b'"order"' in payload and b'"result"' in payload:
        return Road.ANSWER
    is_event = b'"ORDER"' in payload or (b"subscription" in payload and b'"orders.' in payload)
    return Road.EVENT if is_event or b'"fills.' in payload else None


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One whole HTTP message."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        body = b""
        while True:
            size = await reader.readuntil(b"\r\n")
            body += size + await reader.readexactly(int(size, 16) + 2)
            if int(size, 16) == 0:
                return head + body
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    """One frame: its first byte, its payload without the mask, and whether it had one."""
    head, length = await reader.readexactly(2)
    is_masked, length = bool(length & 0x80), length & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8), "big")
    mask = await reader.readexactly(4) if is_masked else b""
    payload = await reader.readexactly(length)
    if is_masked:
        whole = int.from_bytes(payload, "big")
        key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
        payload = (whole ^ key).to_bytes(length, "big")
    return head, payload, is_masked


def _made(head: int, payload: bytes, *, is_masked: bool) -> bytes:
    bit = 0x80 if is_masked else 0
    size = len(payload)
    if size < 126:
        length = bytes([bit | size])
    elif size < 1 << 16:
        length = bytes([bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([bit | 127]) + size.to_bytes(8, "big")
    return bytes([head]) + length + (bytes(4) if is_masked else b"") + payload


def _response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _garbled(data: bytes) -> bytes:
    """The last third with every digit and quote another one."""
    start = len(data) * 2 // 3
    return data[:start] + data[start:].translate(bytes.maketrans(b'"0123456789', b"#9876543210"))


async def _drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    for index in range(len(data)):
        writer.write(data[index : index + 1])
        await writer.drain()
        await asyncio.sleep(DRIP_S)


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
    raise _Ended
