"""Hyperliquid's open sockets: who listens to what, and how frames reach them.

Account frames and answers leave in order, every one of them; of market data a slow client gets the newest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import orjson
from aiohttp import WSCloseCode, web

from simulator.faults import Fault, FaultPlan
from simulator.front import Which
from simulator.outbox import Later, Outbox

Topic = tuple[str, str]  # (type of subscription, coin or user)

GREETING: Final = b"Websocket connection established."


class Session(Outbox[Topic]):
    """One client's socket: what it subscribed to and what is waiting to be written to it."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        super().__init__(socket, transport)
        self.subscriptions: dict[bytes, Topic] = {}  # by their canonical text
        self.pushed_s = time.monotonic()  # when it was last sent a push or a pong

    @property
    def topics(self) -> Iterable[Topic]:
        return self.subscriptions.values()

    @property
    def is_private(self) -> bool:
        return any(address.startswith("0x") for _, address in self.topics)


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
            self._later.after(fault.delay_ms, partial(session.push, fault.spoil(orjson.dumps(message))))

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
                self._later.after(
                    fault.delay_ms if fault is not None else 0.0, partial(self._push, session, send, frame)
                )

    def first(self, session: Session, message: dict[str, Any]) -> None:
        """What a new subscriber is sent at once."""
        self._push(session, session.push, orjson.dumps(message))

    def _push(self, session: Session, send: Callable[[bytes], None], frame: bytes) -> None:
        session.pushed_s = time.monotonic()
        send(frame)
