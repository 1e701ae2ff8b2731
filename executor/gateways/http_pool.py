"""Warm HTTP/1.1 connections for orders: rendered bytes go straight to the transport.

An HTTP client library costs a hundred microseconds or more per request and drops idle connections,
so that the first order after a pause pays for the handshakes. Here a few connections are kept open,
each carries one request at a time, and a cheap GET every few seconds keeps them warm and measures
the round trip.

What became of a request whose answer did not arrive whole is unknown to us, whatever the reason: it
is reported as ``AnswerLost`` and the order is in doubt. Only ``NotSent`` promises that not a byte
was written. An answer without a length, ended by the server's close, counts as lost: it cannot be
reported from one cut short.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from executor.gateways.contract import NotSent
from runtime.backoff import Backoff
from runtime.clock import Clock, unix_ms
from venues.contract import HttpRequest, HttpResponse

CONNECT_TIMEOUT_S = 5.0
PING_INTERVAL_S = 5.0
_LASTED_NS = 1_000_000_000  # a connection that ended sooner counts as a failed attempt


class AnswerLost(NamedTuple):
    """The request was written, wholly or in part, and no whole answer came back."""

    reason: str


OnAnswer = Callable[[HttpResponse | AnswerLost], None]


class HttpPool:
    """``size`` connections to one host. ``send`` and ``free`` are for the loop's own thread.

    ``run`` keeps the connections up until it is cancelled and closes them then. ``on_round_trip_ns``
    is called with every answered ping's duration. A request unanswered for ``answer_limit_s`` is
    given up when the connection's next ping is due.
    """

    def __init__(
        self,
        rest_url: str,
        *,
        size: int,
        ping: HttpRequest,
        ping_interval_s: float = PING_INTERVAL_S,
        answer_limit_s: float = 10.0,
        on_round_trip_ns: Callable[[int], None] = lambda _: None,
        tls: ssl.SSLContext | None = None,
        clock: Clock,
    ) -> None:
        url = urlsplit(rest_url)
        assert url.hostname is not None, "settings have checked the URL"
        assert size > 0, "orders need a connection"
        assert ping_interval_s > 0, "pings are apart"
        self._host = url.hostname
        self._port = url.port or (443 if url.scheme == "https" else 80)
        self._tls = (tls or ssl.create_default_context()) if url.scheme == "https" else None
        self._base_path = url.path.rstrip("/")
        self._netloc = url.netloc
        self._size = size
        self._ping = self.render(ping)
        self._ping_interval_s = ping_interval_s
        self._answer_limit_ns = int(answer_limit_s * 1e9)
        self._on_round_trip_ns = on_round_trip_ns
        self._clock = clock
        self._connections: list[_Connection] = []

    @property
    def has_free(self) -> bool:
        """Whether a request would leave at once."""
        for connection in self._connections:  # noqa: SIM110 - a generator costs as much as all the rest
            if connection.is_free:
                return True
        return False

    def render(self, request: HttpRequest) -> bytes:
        """The complete bytes of one request. May be called in any thread."""
        lines = [f"{request.method} {self._base_path}{request.path} HTTP/1.1", f"Host: {self._netloc}"]
        lines += [f"{name}: {value}" for name, value in request.headers]
        if request.body or request.method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(request.body)}")
        return "\r\n".join([*lines, "\r\n"]).encode() + request.body

    def send(self, wire: bytes, on_answer: OnAnswer) -> None:
        """Write one rendered request; ``on_answer`` is called exactly once, later.

        Raises NotSent when no connection is free.
        """
        for connection in self._connections:
            if connection.is_free:
                connection.send(wire, on_answer)
                return
        busy = len(self._connections)
        raise NotSent(f"{self._host}: none of {self._size} order connections is free ({busy} are open)")

    async def run(self) -> None:
        """Keep every connection up. Ends only by cancellation."""
        async with asyncio.TaskGroup() as group:
            for place in range(self._size):
                # Spread over the interval, so that never all connections are busy with a ping.
                group.create_task(self._keep_one(self._ping_interval_s * (1 + place) / self._size))

    async def _keep_one(self, first_ping_s: float) -> None:
        backoff = Backoff()
        while True:
            try:
                connection = await self._connect()
            except (OSError, TimeoutError):
                await asyncio.sleep(backoff.next_pause_s())
                continue
            opened_mono_ns = self._clock.mono_ns()
            self._connections.append(connection)
            assert len(self._connections) <= self._size, "one connection a place"
            try:
                await self._keep_warm(connection, first_ping_s)
            finally:
                self._connections.remove(connection)
                connection.abort("the connection was closed by us")
            if self._clock.mono_ns() - opened_mono_ns < _LASTED_NS:
                await asyncio.sleep(backoff.next_pause_s())
            else:
                backoff.reset()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(
                lambda: _Connection(loop.create_future(), self._clock), self._host, self._port, ssl=self._tls
            )
        return connection

    async def _keep_warm(self, connection: _Connection, pause_s: float) -> None:
        """Until it is closed: ping it when it is free, and end what has been waiting for too long."""
        while True:
            await asyncio.wait({connection.closed}, timeout=pause_s)
            if connection.closed.done():
                return
            pause_s = self._ping_interval_s
            if connection.is_free:
                connection.send(self._ping, self._measure(self._clock.mono_ns()))
            elif self._clock.mono_ns() - connection.sent_mono_ns > self._answer_limit_ns:
                connection.abort("no answer within the limit")

    def _measure(self, sent_mono_ns: int) -> OnAnswer:
        def answered(answer: HttpResponse | AnswerLost) -> None:
            if isinstance(answer, HttpResponse):
                self._on_round_trip_ns(self._clock.mono_ns() - sent_mono_ns)

        return answered


class _Connection(asyncio.Protocol):
    """One connection, one request in flight. ``closed`` is done when it is unusable for ever."""

    def __init__(self, closed: asyncio.Future[None], clock: Clock) -> None:
        self.closed = closed
        self._clock = clock
        self.sent_mono_ns = 0
        self._transport: asyncio.Transport | None = None
        self._on_answer: OnAnswer | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._answers: list[HttpResponse] = []
        self._keeps_alive = True

    @property
    def is_free(self) -> bool:
        return self._transport is not None and self._on_answer is None and not self._transport.is_closing()

    def send(self, wire: bytes, on_answer: OnAnswer) -> None:
        assert self.is_free
        assert self._transport is not None
        assert not self._answers, "no answer comes before its request"
        self._on_answer = on_answer
        self.sent_mono_ns = self._clock.mono_ns()
        self._transport.write(wire)

    def abort(self, reason: str) -> None:
        """Close without waiting; a request in flight is lost."""
        if self._transport is not None:
            self._transport.abort()
        self._finish(AnswerLost(reason))

    # --- asyncio.Protocol ---
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio.Transport in all but name.
        self._transport = cast(asyncio.Transport, transport)
        # uvloop gathers writes until the end of the transition unless they exceed this limit.
        self._transport.set_write_buffer_limits(high=0)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.abort(f"the answer is not HTTP: {error}")
            return
        except httptools.HttpParserUpgrade:  # no HttpParserError; what follows is no longer HTTP
            self.abort("the server switched to another protocol")
            return
        answers, self._answers = self._answers, []
        if len(answers) > 1 or self._on_answer is None:
            # Which of two answers is ours cannot be known.
            self.abort("the server sent what nobody asked for")
        elif answers:
            if not self._keeps_alive and self._transport is not None:
                self._transport.close()
            self._finish(answers[0])

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._finish(AnswerLost(f"the connection was lost before the answer was whole: {error or 'closed'}"))
        if not self.closed.done():
            self.closed.set_result(None)

    # --- httptools callbacks; what they raise would pass for a parser's error, so they only gather ---
    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:  # 1xx announces the real answer
            self._keeps_alive = self._parser.should_keep_alive()  # the parser forgets it after this call
            body = b"".join(self._body)
            self._answers.append(HttpResponse(status, self._headers, body, unix_ms(self._clock)))

    def _finish(self, answer: HttpResponse | AnswerLost) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer is not None:
            on_answer(answer)
