"""Vest's open sockets: who listens to what, and how frames reach them.

Acknowledgements and private events leave in order, every one of them; of market data a slow
client gets the newest. A broadcast frame is made once, however many listen.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import orjson
from aiohttp import web

from simulator.faults import FaultPlan
from simulator.front import Which
from simulator.outbox import Later, Outbox
from simulator.vest.session import Client


class Session(Outbox[str]):
    """One client's socket: what it subscribed to and what is waiting to be written to it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        client: Client | None,
        listen_key: str,
        transport: asyncio.Transport | None,
    ) -> None:
        super().__init__(socket, transport)
        self.client = client  # None on a public socket
        self.listen_key = listen_key
        self.channels: set[str] = set()


class Hub:
    """All sessions of one venue. The fault plan is asked about everything that is sent."""

    def __init__(self, faults: FaultPlan) -> None:
        self.sessions: set[Session] = set()
        self._faults = faults
        self._later = Later()

    def stop(self) -> None:
        """Forget what was to be sent later."""
        self._later.stop()

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
                self._later.after(fault.delay_ms, partial(session.push, frame))

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
                self._later.after(fault.delay_ms, partial(session.push_newest, channel, frame))


def channel_frame(channel: str, data: Any) -> bytes:
    """One push as it goes over the wire."""
    return orjson.dumps({"channel": channel, "data": data})
