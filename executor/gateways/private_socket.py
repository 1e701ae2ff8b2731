"""One venue's private WebSocket: acknowledgements and fills in, orders out where it takes them.

The venue's ``Trading`` object thinks, this module carries bytes. A socket that answers no ping, is
closed, or does not become ready in time is replaced by its owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from logging import NullHandler, getLogger

from picows import (
    WSAutoPingStrategy,
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from executor.gateways.contract import NotSent
from runtime.clock import Clock, mono_s
from venues.contract import FrameError, PrivateEvent, Trading
from venues.rest_client import require_secure

CONNECT_TIMEOUT_S = 5.0
READY_TIMEOUT_S = 10.0
PING_AFTER_S = 10.0  # of silence
PONG_TIMEOUT_S = 5.0
TICK_S = 1.0

# The library would print URLs, and with them tokens, to standard error.
_picows_log = getLogger("picows.tandem")
_picows_log.addHandler(NullHandler())
_picows_log.propagate = False


class SocketLost(Exception):
    """The private stream ended, or could not be had. The text holds no URL and no token."""


class PrivateSocket:
    """A chain of connections, one after the other. ``on_event`` hears what the venue reported."""

    def __init__(
        self,
        trading: Trading,
        *,
        on_event: Callable[[PrivateEvent, int], None],
        on_bad_frame: Callable[[FrameError], None],
        clock: Clock,
    ) -> None:
        self._trading = trading
        self._on_event = on_event
        self._on_bad_frame = on_bad_frame
        self._clock = clock
        self._transport: WSTransport | None = None

    @property
    def can_write(self) -> bool:
        transport = self._transport
        return transport is not None and not transport.is_disconnected and not transport.is_close_frame_sent

    def write(self, frame: bytes) -> None:
        """Write one text frame at once. Raises NotSent when there is no connection to write to."""
        if not self.can_write:
            raise NotSent(f"{self._trading.venue}: the private socket is not connected")
        assert self._transport is not None
        self._transport.send(WSMsgType.TEXT, frame)

    async def live_once(self, is_ready: Callable[[], bool]) -> None:
        """Connect and carry frames until the connection ends; always raises SocketLost.

        ``is_ready`` says whether the venue has confirmed the subscription: it must within
        READY_TIMEOUT_S.
        """
        loop = asyncio.get_running_loop()
        url = self._trading.stream_url()
        require_secure(url)
        try:
            transport, listener = await ws_connect(
                lambda: _Frames(loop, self._take, self._clock),
                url,
                websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                enable_auto_ping=True,
                auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
                auto_ping_idle_timeout=PING_AFTER_S,
                auto_ping_reply_timeout=PONG_TIMEOUT_S,
                max_redirects=0,  # another host would be given our token
                logger_name=_picows_log,
            )
        except WSInvalidStatusError as error:
            status = int(error.response.status) if error.response else 0
            change = self._trading.stream_refused(status)
            raise SocketLost(
                f"upgrade refused: HTTP {status}" + (f"; {change} comes next" if change else "")
            ) from None
        except (WSError, OSError, TimeoutError) as error:
            raise SocketLost(f"no connection: {type(error).__name__}") from None
        assert isinstance(listener, _Frames)
        assert self._transport is None, "one connection at a time"
        self._transport = transport
        try:
            self._trading.stream_connected(self._clock.mono_ns())
            self._write_queued()
            await self._tick_until_ended(transport, is_ready)
        finally:
            self._transport = None
            transport.disconnect(graceful=False)
        raise SocketLost(
            f"closed by the venue: {listener.closing}" if listener.closing else "connection lost"
        )

    async def _tick_until_ended(self, transport: WSTransport, is_ready: Callable[[], bool]) -> None:
        ended = asyncio.ensure_future(transport.wait_disconnected())
        ready_by_s = mono_s(self._clock) + READY_TIMEOUT_S
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=TICK_S)
                if not is_ready() and mono_s(self._clock) > ready_by_s:
                    raise SocketLost(f"not subscribed within {READY_TIMEOUT_S:g} s")
                self._trading.stream_tick(self._clock.mono_ns())
                self._write_queued()
        finally:
            ended.cancel()

    def _take(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        if self._transport is None:
            return  # what arrived behind the end is asked for by query
        try:
            self._trading.stream_receive(frame, is_binary, recv_mono_ns)
        except FrameError as error:
            self._on_bad_frame(error)
        for event in self._trading.stream_take_events():
            self._on_event(event, recv_mono_ns)
        self._write_queued()

    def _write_queued(self) -> None:
        for frame in self._trading.stream_take_frames():
            if self.can_write:
                self.write(frame)


class _Frames(WSListener):
    """Hands whole frames to the loop. What ran inside picows' callback would have its errors logged and
    forgotten; in a callback of the loop they end the process, which the supervisor restarts."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, take: Callable[[bytes, bool, int], None], clock: Clock
    ) -> None:
        super().__init__()
        self._clock = clock
        self._loop = loop
        self._take = take
        self._parts: list[bytes] = []
        self._is_binary = False
        self.closing = ""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        recv_mono_ns = self._clock.mono_ns()
        kind = frame.msg_type
        if kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            if kind is not WSMsgType.CONTINUATION:
                self._is_binary = kind is WSMsgType.BINARY
                self._parts.clear()
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                self._loop.call_soon(self._take, b"".join(self._parts), self._is_binary, recv_mono_ns)
                self._parts.clear()
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            reason = frame.get_close_message() or b""
            self.closing = f"{getattr(code, 'value', code)} {reason.decode(errors='replace')}".strip()
            transport.disconnect()
