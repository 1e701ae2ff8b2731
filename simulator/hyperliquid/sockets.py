"""Hyperliquid's open sockets: who listens to what, and how frames reach them.

Account frames and answers leave in order, every one of them; of market data a slow client gets the newest.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import ClientConnectionResetError, WSCloseCode, web

from simulator.faults import Fault, FaultPlan
from simulator.front import Which

Topic = tuple[str, str]  # (type of subscription, coin or user)

_BACKLOG_MAX: Final = 10_000  # undelivered ordered frames before a client is dropped
GREETING: Final = b"Websocket connection established."


class Session:
    """One client's socket: what it subscribed to and what is waiting to be written to it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self.socket = socket
        self.subscriptions: dict[bytes, Topic] = {}  # by their canonical text
        self.pushed_s = time.monotonic()  # when it was last sent a push or a pong
        self._ordered: deque[bytes] = deque()
        self._newest: dict[Topic, bytes] = {}
        self._wake = asyncio.Event()
        self._close_code = 0
        self._transport = transport
        self._is_muted = False

    @property
    def topics(self) -> Iterable[Topic]:
        return self.subscriptions.values()

    @property
    def is_private(self) -> bool:
        return any(address.startswith("0x") for _, address in self.topics)

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
        """Say and hear nothing any more, without a farewell."""
        self._is_muted = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    async def write(self) -> None:
        """Write what is queued until the session ends. Runs beside the reader."""
        try:
            while not self._close_code:
                await self._wake.wait()
                self._wake.clear()
                while (self._ordered or self._newest) and not self._close_code:
                    frame = self._ordered.popleft() if self._ordered else self._take_newest()
                    if not self._is_muted:
                        await self.socket.send_str(frame.decode())
        except ClientConnectionResetError:
            return  # the client left; the reader is being told the same
        await self.socket.close(code=self._close_code)

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
        return [item for item in self.sessions if which == "all" or item.is_private == (which == "private")]

    async def close(self, which: Which, code: int) -> None:
        """End every session of a kind with this close code, and wait until they are closed."""
        chosen = self.chosen(which)
        for session in chosen:
            session.close(code)
        await asyncio.gather(*(session.socket.close(code=code) for session in chosen))

    def close_idle(self, idle_s: float) -> None:
        """Close the connections that were sent nothing for so long."""
        now_s = time.monotonic()
        for session in self.sessions:
            if now_s - session.pushed_s > idle_s:
                session.close(WSCloseCode.GOING_AWAY)

    def listeners(self, topic: Topic) -> list[Session]:
        return [session for session in self.sessions if topic in session.topics]

    def answer(self, session: Session, message: dict[str, Any], fault: Fault | None = None) -> None:
        """Answer a request, as the fault that met it lets the answer through."""
        if fault is None:
            session.push(orjson.dumps(message))
        elif not fault.drop_reply and not fault.drop:
            self._after(fault.delay_ms, partial(session.push, fault.spoil(orjson.dumps(message))))

    def publish(
        self, topic: Topic, message: dict[str, Any], *, point: str, symbol: str, is_newest: bool = False
    ) -> None:
        """Send one message to all who listen, unless a fault at ``point`` says otherwise."""
        listeners = self.listeners(topic)
        if not listeners:
            return
        frame, fault = orjson.dumps(message), self._faults.take(point, symbol)
        if fault is not None and fault.drop:
            return
        frame = fault.spoil(frame) if fault is not None else frame
        for session in listeners:
            send = partial(session.push_newest, topic) if is_newest else session.push
            for _ in range(2 if fault is not None and fault.duplicate else 1):
                self._after(
                    fault.delay_ms if fault is not None else 0.0, partial(self._push, session, send, frame)
                )

    def first(self, session: Session, message: dict[str, Any]) -> None:
        """What a new subscriber is sent at once."""
        self._push(session, session.push, orjson.dumps(message))

    def _push(self, session: Session, send: Callable[[bytes], None], frame: bytes) -> None:
        session.pushed_s = time.monotonic()
        send(frame)

    def _after(self, delay_ms: float, call: Callable[[], None]) -> None:
        if not delay_ms:
            call()
            return

        def strike() -> None:
            self._delayed.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1e3, strike)
        self._delayed.add(handle)
