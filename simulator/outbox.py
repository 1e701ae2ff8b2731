"""Queues frames for one client's socket, some of them for later.

Frames that must arrive leave in order, every one of them; of market data a slow client gets the newest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from aiohttp import ClientConnectionResetError, WSCloseCode, web

_BACKLOG_MAX: Final = 10_000  # undelivered ordered frames before a client is dropped

Topic = TypeVar("Topic", bound=Hashable)


class Outbox(Generic[Topic]):
    """One client's socket, written by one task: ``write``."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self._ordered: deque[bytes] = deque()
        self._newest: dict[Topic, bytes] = {}
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

    def push_newest(self, topic: Topic, frame: bytes) -> None:
        """Queue a frame that replaces an unsent one of its topic."""
        self._newest[topic] = frame
        self._wake.set()

    def close(self, code: int) -> None:
        """End the session with this close code; what is queued is not sent any more."""
        self._close_code = code
        self._wake.set()

    def mute(self) -> None:
        """Write and read nothing any more, without a farewell: the client sees a connection that stands."""
        self._is_muted = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    async def write(self, *, binary: bool = False) -> None:
        """Write what is queued until the session ends. Runs beside the reader."""
        try:
            while not self._close_code:
                await self._wake.wait()
                self._wake.clear()
                await self._write_queued(binary=binary)
        except ClientConnectionResetError:
            return  # the client left; the reader learns the same
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


class Later:
    """Calls that a fault has put off."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.TimerHandle] = set()

    def after(self, delay_ms: float, call: Callable[[], None]) -> None:
        """Call at once without a delay, and else when it is over."""
        if not delay_ms:
            call()
            return

        def strike() -> None:
            self._waiting.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1e3, strike)
        self._waiting.add(handle)

    def stop(self) -> None:
        """Forget what was to be called later."""
        for handle in self._waiting:
            handle.cancel()
        self._waiting.clear()
