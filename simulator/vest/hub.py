"""Vest's open sockets: who listens to what, and how frames reach them.

Acknowledgements and private events leave in order, every one of them; of market data a slow
client gets the newest. A broadcast frame is made once, however many listen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson
from aiohttp import ClientConnectionResetError, WSCloseCode, web

from simulator.faults import FaultPlan
from simulator.front import Which
from simulator.vest.clients import Client

_BACKLOG_MAX = 10_000  # undelivered ordered frames before a client is dropped


class Session:
    """One client's socket: what it subscribed to and what is waiting to be written to it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        client: Client | None,
        listen_key: str,
        transport: asyncio.Transport | None,
    ) -> None:
        self.socket = socket
        self.client = client  # None on a public socket
        self.listen_key = listen_key
        self.channels: set[str] = set()
        self._ordered: deque[bytes] = deque()
        self._newest: dict[str, bytes] = {}
        self._wake = asyncio.Event()
        self._close_code = 0
        self._transport = transport
        self._is_muted = False

    def push(self, frame: bytes) -> None:
        """Queue a frame that must arrive, in order."""
        if len(self._ordered) >= _BACKLOG_MAX:
            self.close(WSCloseCode.TRY_AGAIN_LATER)
            return
        self._ordered.append(frame)
        self._wake.set()

    def push_newest(self, channel: str, frame: bytes) -> None:
        """Queue a frame that replaces an unsent one of its channel."""
        self._newest[channel] = frame
        self._wake.set()

    def close(self, code: int) -> None:
        """End the session with this close code; what is queued is not sent any more."""
        self._close_code = code
        self._wake.set()

    def mute(self) -> None:
        """Say and hear nothing any more, without a farewell: the other side sees a connection that stands."""
        self._is_muted = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    async def write(self, *, binary: bool) -> None:
        """Write what is queued until the session ends. Runs beside the reader."""
        try:
            while not self._close_code:
                await self._wake.wait()
                self._wake.clear()
                await self._write_queued(binary=binary)
        except ClientConnectionResetError:
            return  # the client left; the reader is being told the same
        await self.socket.close(code=self._close_code)

    async def _write_queued(self, *, binary: bool) -> None:
        while (self._ordered or self._newest) and not self._close_code:
            frame = self._ordered.popleft() if self._ordered else self._take_newest()
            if self._is_muted:
                continue
            if binary:
                await self.socket.send_bytes(frame)
            else:
                await self.socket.send_str(frame.decode())

    def _take_newest(self) -> bytes:
        return self._newest.pop(next(iter(self._newest)))


class Hub:
    """All sessions of one venue. The fault plan is asked about everything that is sent."""

    def __init__(self, faults: FaultPlan) -> None:
        self.sessions: set[Session] = set()
        self._faults = faults
        self._delayed: set[asyncio.TimerHandle] = set()

    def stop(self) -> None:
        """Forget what was to be sent later."""
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()

    def chosen(self, which: Which) -> list[Session]:
        return [
            session
            for session in self.sessions
            if which in ("all", "public" if session.client is None else "private")
        ]

    async def close(self, which: Which, code: int) -> None:
        """End every session of a kind with this close code, and wait until they are closed."""
        chosen = self.chosen(which)
        for session in chosen:
            session.close(code)
        await asyncio.gather(*(session.socket.close(code=code) for session in chosen))

    def listeners(self, channel: str) -> list[Session]:
        return [session for session in self.sessions if channel in session.channels]

    def send(self, session: Session, point: str, message: dict[str, Any], *, symbol: str = "") -> None:
        """Send one message that must arrive, in order, unless a fault at ``point`` says otherwise."""
        frame = orjson.dumps(message)
        fault = self._faults.take(point, symbol)
        if fault is None:
            session.push(frame)
        elif not fault.drop and not fault.drop_reply:
            frame = fault.spoil(frame)
            for _ in range(2 if fault.duplicate else 1):
                self._after(fault.delay_ms, partial(session.push, frame))

    def broadcast(self, point: str, channel: str, data: Any, *, symbol: str = "") -> None:
        """Send one newest-wins message to all who listen, unless a fault says otherwise."""
        frame = channel_frame(channel, data)
        listeners = self.listeners(channel)
        fault = self._faults.take(point, symbol)
        if fault is None:
            for session in listeners:
                session.push_newest(channel, frame)
        elif not fault.drop:
            frame = fault.spoil(frame)
            for session in listeners:
                self._after(fault.delay_ms, partial(session.push_newest, channel, frame))

    def _after(self, delay_ms: float, call: Callable[[], None]) -> None:
        if not delay_ms:
            call()
            return

        def strike() -> None:
            self._delayed.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1e3, strike)
        self._delayed.add(handle)


def channel_frame(channel: str, data: Any) -> bytes:
    """One push as it goes over the wire."""
    return orjson.dumps({"channel": channel, "data": data})
