"""A TCP proxy between the executor and one venue that loses one order request in a chosen way.

Everything passes untouched, both ways, until it is armed. The next create of an order, an HTTP POST or
a WebSocket frame ``order.create``, then meets the loss, once. It is cut out at the level of whole
requests, so what comes before and after it on the connection stays what it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from enum import Enum
from typing import Final

_READ_BYTES: Final = 65_536
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset and forgets what waits
_OPCODE_TEXT: Final = 1


class Loss(Enum):
    """What becomes of one order request."""

    NEVER_DELIVERED = "never delivered"
    RESET_BEFORE = "connection reset before its bytes"
    RESET_AMID = "connection reset amid its bytes"
    DELAYED_PAST = "delayed past its validity"
    DELAYED_WITHIN = "delayed, still valid"
    REPLY_LOST = "delivered, reply lost"
    RESET_AFTER = "delivered, connection reset before the reply"


class OrderProxy:
    """Listens on a loopback port of its own. Every method is for the loop it runs on."""

    def __init__(self, venue_port: int, *, delay_past_s: float, delay_within_s: float) -> None:
        self.struck = False
        self.port = 0
        self._venue_port = venue_port
        self._delays_s = {Loss.DELAYED_PAST: delay_past_s, Loss.DELAYED_WITHIN: delay_within_s}
        self._armed: Loss | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 22)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def arm(self, loss: Loss) -> None:
        self._armed, self.struck = loss, False

    def disarm(self) -> None:
        self._armed = None

    async def _serve(self, from_bot: asyncio.StreamReader, to_bot: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            from_venue, to_venue = await asyncio.open_connection("127.0.0.1", self._venue_port, limit=1 << 22)
        except OSError:
            to_bot.close()
            return
        line = _Line(self, from_bot, to_bot, from_venue, to_venue)
        await line.carry()

    def strikes(self) -> Loss | None:
        """The armed loss, which is spent by this; None when there is none."""
        loss, self._armed = self._armed, None
        self.struck = self.struck or loss is not None
        return loss

    def delay_s(self, loss: Loss) -> float:
        return self._delays_s.get(loss, 0.0)


class _Line:
    """One connection of the bot and its continuation to the venue."""

    def __init__(
        self,
        proxy: OrderProxy,
        from_bot: asyncio.StreamReader,
        to_bot: asyncio.StreamWriter,
        from_venue: asyncio.StreamReader,
        to_venue: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._from_bot, self._to_bot = from_bot, to_bot
        self._from_venue, self._to_venue = from_venue, to_venue
        self._is_socket = False
        self._lost_reply: int | None = None  # JSON-RPC id whose reply is dropped; 0: every byte from now on

    async def carry(self) -> None:
        ways = {asyncio.create_task(self._up()), asyncio.create_task(self._down())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (self._to_bot, self._to_venue):
                writer.close()

    # --- from the bot to the venue ---

    async def _up(self) -> None:
        """Whole requests first, whole frames once the connection has become a WebSocket."""
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                if self._is_socket:
                    message, payload = await _read_frame(self._from_bot)
                    is_order = b'"order.create"' in payload
                else:
                    message, payload = await self._read_request(), b""
                    is_order = message.startswith(b"POST ") and message.split(b" ", 2)[1].endswith(b"/orders")
                loss = self._proxy.strikes() if is_order else None
                if loss is None:
                    self._to_venue.write(message)
                    await self._to_venue.drain()
                elif not await self._lose(loss, message, payload):
                    return

    async def _read_request(self) -> bytes:
        head = await self._from_bot.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        if b"upgrade: websocket" in lowered:
            self._is_socket = True
            return head
        length = 0
        for line in lowered.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":", 1)[1])
        return head + (await self._from_bot.readexactly(length) if length else b"")

    async def _lose(self, loss: Loss, message: bytes, payload: bytes) -> bool:
        """Treat the order's bytes; False when the connection has ended by it."""
        match loss:
            case Loss.NEVER_DELIVERED:
                return True
            case Loss.RESET_BEFORE:
                _reset(self._to_bot)
                return False
            case Loss.RESET_AMID:
                self._to_venue.write(message[: len(message) // 2])
                await self._to_venue.drain()
                _reset(self._to_bot)
                return False
            case Loss.REPLY_LOST:
                self._lost_reply = json.loads(payload)["id"] if self._is_socket else 0
        await asyncio.sleep(self._proxy.delay_s(loss))  # what follows on the connection waits behind it
        self._to_venue.write(message)
        await self._to_venue.drain()
        if loss is Loss.RESET_AFTER:
            _reset(self._to_bot)
            return False
        return True

    # --- from the venue to the bot ---

    async def _down(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while not self._is_socket:
                data = await self._from_venue.read(_READ_BYTES)
                if not data:
                    return
                if self._lost_reply is None:
                    self._to_bot.write(data)
                    await self._to_bot.drain()
                if self._is_socket and b"\r\n\r\n" in data:  # the upgrade's answer; frames follow
                    break
            while True:
                message, payload = await _read_frame(self._from_venue)
                is_text = message[0] & 0x0F == _OPCODE_TEXT
                if self._lost_reply and is_text and json.loads(payload).get("id") == self._lost_reply:
                    self._lost_reply = None
                    continue
                self._to_bot.write(message)
                await self._to_bot.drain()


async def _read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """One WebSocket frame: all its bytes, and its payload without the mask."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    if length >= 126:
        more = await reader.readexactly(2 if length == 126 else 8)
        head, length = head + more, int.from_bytes(more)
    if not head[1] & 0x80:
        payload = await reader.readexactly(length)
        return head + payload, payload
    mask, masked = await reader.readexactly(4), await reader.readexactly(length)
    pattern = (mask * (length // 4 + 1))[:length]
    payload = (int.from_bytes(masked) ^ int.from_bytes(pattern)).to_bytes(length)
    return head + mask + masked, payload


def _reset(writer: asyncio.StreamWriter) -> None:
    own: socket.socket = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
