"""One client's WebSocket: frames out in order, pings, heartbeats, and the end of slow readers.

Source: Paradex documentation, WebSocket "Connection" and "Binary encoding (SBE)": a ping every
55 s with 5 s to answer, an SBE heartbeat on connections idle for 20 s, disconnection beyond about
2000 undelivered messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from aiohttp import ClientConnectionResetError, WSMessage, WSMsgType, web

from simulator.paradex import sbe
from simulator.paradex.hub import JSON
from simulator.paradex.settings import ParadexSettings

CLOSE_TIMEOUT_S: Final = 0.5  # how long a closing handshake may take before the socket is cut


class Socket:
    """A prepared WebSocket with an outbox. Belongs to the event loop's thread."""

    def __init__(
        self,
        response: web.WebSocketResponse,
        request: web.Request,
        encoding: int,
        settings: ParadexSettings,
        now_unix_ns: Callable[[], int],
    ) -> None:
        self.encoding = encoding
        self._response = response
        self._transport = request.transport
        self._settings = settings
        self._now_unix_ns = now_unix_ns
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[bytes, WSMsgType]] = deque()
        self._has_mail = asyncio.Event()
        self._ponged = asyncio.Event()
        self._last_sent_s = self._loop.time()
        self._is_cut = False
        self._is_muted = False
        self._heartbeat_timer: asyncio.TimerHandle | None = None
        self._tasks = [
            asyncio.create_task(self._write(), name="paradex-socket-write"),
            asyncio.create_task(self._ping(), name="paradex-socket-ping"),
        ]
        if encoding != JSON:
            self._heartbeat_timer = self._loop.call_later(settings.heartbeat_idle_s, self._beat)

    def send(self, data: bytes, *, is_binary: bool) -> None:
        """Queue one frame; a client that lets too many wait is cut off."""
        if self._is_cut:
            return
        if len(self._outbox) >= self._settings.undelivered_max:
            self._cut()
            return
        self._outbox.append((data, WSMsgType.BINARY if is_binary else WSMsgType.TEXT))
        self._last_sent_s = self._loop.time()
        self._has_mail.set()

    def mute(self) -> None:
        """Send and read nothing any more, without closing: the client sees an open connection."""
        self._is_muted = True
        if self._transport is not None and not self._transport.is_closing():
            # Duck-typed: aiohttp declares the base class, the loop gives one that reads.
            cast(asyncio.ReadTransport, self._transport).pause_reading()

    async def receive(self) -> WSMessage | None:
        """The next text or binary message; None when the client is gone. Answers pings itself."""
        while True:
            message = await self._response.receive()
            if message.type is WSMsgType.PING:
                await self._response.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._ponged.set()
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                return message
            else:
                return None

    async def close(self, code: int, reason: str = "") -> None:
        """Close with a code, as the venue does; a client that does not answer is cut off."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._response.close(code=code, message=reason.encode())
        except TimeoutError:
            self._cut()

    async def end(self) -> None:
        """Stop what runs by itself. The client is gone."""
        if self._heartbeat_timer is not None:
            self._heartbeat_timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what runs by itself ---

    async def _write(self) -> None:
        while not self._is_cut:
            while self._outbox:
                data, kind = self._outbox.popleft()
                if self._is_muted:
                    continue
                try:
                    await self._response.send_frame(data, kind)
                except ClientConnectionResetError:
                    return  # receive() reports it to the owner
            self._has_mail.clear()
            await self._has_mail.wait()

    async def _ping(self) -> None:
        while not self._is_cut:
            await asyncio.sleep(self._settings.ping_interval_s)
            self._ponged.clear()
            try:
                if not self._is_muted:
                    await self._response.ping()
                async with asyncio.timeout(self._settings.pong_timeout_s):
                    await self._ponged.wait()
            except (TimeoutError, ClientConnectionResetError):
                self._cut()

    def _beat(self) -> None:
        """Send a heartbeat if nothing was sent for the idle time; look again when it may be due."""
        idle_s = self._loop.time() - self._last_sent_s
        if idle_s >= self._settings.heartbeat_idle_s:
            now_us = self._now_unix_ns() // 1000
            self.send(sbe.heartbeat(version=self.encoding, now_us=now_us), is_binary=True)
            idle_s = 0.0
        self._heartbeat_timer = self._loop.call_later(self._settings.heartbeat_idle_s - idle_s, self._beat)

    def _cut(self) -> None:
        """Drop the connection without a farewell."""
        self._is_cut = True
        self._outbox.clear()
        self._has_mail.set()
        if self._transport is not None:
            self._transport.abort()
