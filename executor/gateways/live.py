"""The gateway to a real venue (or the simulator, which is one to us).

REST conversations go through an ordinary HTTP client; orders go as rendered bytes over connections
that stand already: the private WebSocket where the venue takes orders there, a pool of HTTP
connections where it does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import aiohttp

from events.market_data import FrameRefused
from events.positions import VenueLost, VenueStatus
from executor.gateways.contract import Listener, LoginRefused, NotSent, ReadyOrder
from executor.gateways.http_pool import AnswerLost, HttpPool
from executor.gateways.private_socket import PrivateSocket, SocketLost
from executor.gateways.rate_limit import RateBudget
from observability.logs import Reporter
from runtime.backoff import Backoff
from runtime.clock import Clock, unix_ms
from runtime.venue_clock import VenueClock
from venues.contract import (
    Account,
    Call,
    Fill,
    FrameError,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Outcome,
    Position,
    PrivateEvent,
    StreamReady,
    Touch,
    Trading,
    TransportError,
    VenueError,
    VoidsOrders,
)
from venues.registry import venue
from venues.rest_client import perform

REST_TIMEOUT_S = 5.0
CONNECTIONS_KEPT_S = 60.0
FALLBACK_CONNECTIONS = 2  # one order per leg of a batch; used only while the private socket is gone
FILLS_MARGIN_MS = 600_000  # executions are looked for from so long before the order was sent: clocks differ
CLOCK_LOOK_S = 2.0
STATUS_LOOK_S = 2.0  # modes such as cancel-only last about two minutes
RENEWAL_LOOK_S = 0.25  # the venue may refuse a token long before it is due
RENEWALS_APART_S = 1.0  # refused for another reason, a new one each time would mend nothing
_T = TypeVar("_T")


class LiveGateway:
    """See ``gateway.OrderGateway``. ``instruments`` are this venue's legs.

    ``connections`` is for a venue that takes orders over HTTP; where a socket takes them, a few stand
    by for orders of which not a byte could be written to it. With
    ``may_give_up`` a refused login ends ``run``; without it, because there may be positions to look
    after, it is tried for ever.
    """

    def __init__(
        self,
        trading: Trading,
        rest_url: str,
        instruments: tuple[Instrument, ...],
        listener: Listener,
        reporter: Reporter,
        clock: Clock,
        *,
        connections: int,
        answer_limit_s: float,
        may_give_up: bool,
        warm_request: HttpRequest,
        on_round_trip_ns: Callable[[int], None] = lambda _: None,
        fetch_server_time_ms: Callable[[], Call[int]] | None = None,
    ) -> None:
        self.venue = trading.venue
        self.time_in_force = trading.taker_time_in_force
        self._trading = trading
        self._rest_url = rest_url
        self._instruments = instruments
        self._listener = listener
        self._reporter = reporter
        self.clock = VenueClock(clock)
        self._fetch_server_time_ms = fetch_server_time_ms
        self._may_give_up = may_give_up
        self._is_logged_in = False
        self._is_stream_ready = False
        self._session: aiohttp.ClientSession | None = None
        self._socket = PrivateSocket(
            trading, on_event=self._on_event, on_bad_frame=self._on_bad_frame, clock=self.clock
        )
        self._unanswered: set[int] = set()  # orders on the private socket whose answer is to come
        self._takes_http = trading.create_transport == "http"
        self._pool = HttpPool(
            rest_url,
            size=connections if self._takes_http else FALLBACK_CONNECTIONS,
            ping=warm_request,
            answer_limit_s=answer_limit_s,
            on_round_trip_ns=on_round_trip_ns,
            clock=self.clock,
        )
        self.budget = RateBudget(trading.order_limits)
        self._closed = ""

    # --- state ---

    @property
    def is_up(self) -> bool:
        return self._is_logged_in and self._is_stream_ready

    @property
    def can_ask(self) -> bool:
        return self._is_logged_in

    @property
    def can_send(self) -> bool:
        """The fallback does not count: it is there for what mends and closes, not for entries."""
        return self._is_logged_in and (self._pool.has_free if self._takes_http else self._is_stream_ready)

    @property
    def closed(self) -> str:
        return self._closed

    # --- start and end ---

    async def run(self) -> None:
        assert self._session is None, "a gateway runs once"
        connector = aiohttp.TCPConnector(keepalive_timeout=CONNECTIONS_KEPT_S)
        async with aiohttp.ClientSession(connector=connector) as session:
            self._session = session
            wanted = {item.symbol: item.instrument_id for item in self._instruments}
            first, may = self._trading.fetch_instruments, self._may_give_up
            await self._insist(lambda: first(wanted), "instruments", gives_up=may)
            await self._login(gives_up=may)
            self._is_logged_in = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._renew_for_ever())
                group.create_task(self._stream_for_ever())
                group.create_task(self._watch_status_for_ever())
                group.create_task(self._watch_clock_for_ever())
                group.create_task(self._pool.run())

    async def _insist(self, call: Callable[[], Call[object]], what: str, *, gives_up: bool) -> None:
        """Repeat a conversation until it succeeds.

        Raises LoginRefused where repeating cannot help, but only if it may give up.
        """
        backoff = Backoff()
        while True:
            try:
                await self._perform(call())
            except (TransportError, VenueError) as error:
                is_refusal = isinstance(error, VenueError) and error.retry_after_ms is None
                if is_refusal and gives_up:
                    raise LoginRefused(f"{self.venue}: {what}: {error}") from error
                wait_ms = error.retry_after_ms or 0 if isinstance(error, VenueError) else 0
                self._lost(what, str(error))
                await asyncio.sleep(max(backoff.next_pause_s(), wait_ms / 1_000))
            else:
                return

    async def _login(self, *, gives_up: bool) -> None:
        await self._insist(lambda: self._trading.login(unix_ms(self.clock)), "login", gives_up=gives_up)

    async def _renew_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            # Looked at again and again: a refusal makes it due at once, and the wall clock may be set.
            wait_s = (self._trading.renew_due_unix_ms - unix_ms(self.clock)) / 1_000
            if wait_s > 0:
                await asyncio.sleep(min(wait_s, RENEWAL_LOOK_S))
                continue
            try:
                await self._perform(self._trading.renew(unix_ms(self.clock)))
            except TransportError as error:
                self._lost("renewal", str(error))
                await asyncio.sleep(backoff.next_pause_s())
            except VenueError as error:
                self._lost("renewal", str(error))
                await asyncio.sleep(backoff.next_pause_s())
                await self._login(gives_up=False)
            else:
                backoff.reset()
                await asyncio.sleep(RENEWALS_APART_S)

    async def _watch_status_for_ever(self) -> None:
        """What cannot be had leaves what was known: a venue that does not answer is noticed elsewhere."""
        while True:
            try:
                closed = await self._perform(self._trading.query_closed())
            except (TransportError, VenueError) as error:
                self._lost("status", str(error))
            else:
                if closed != self._closed:
                    self._closed = closed
                    self._reporter.report(VenueStatus(venue=self.venue, status=closed or "open"))
            await asyncio.sleep(STATUS_LOOK_S)

    async def _watch_clock_for_ever(self) -> None:
        """Ask a venue that says so what time it is; others are known by the dates of their answers."""
        while self._fetch_server_time_ms is not None:
            sent_ns = self.clock.steady_ns()
            try:
                server_time_ms = await self._perform(self._fetch_server_time_ms())
            except (TransportError, VenueError) as error:
                self._lost("clock", str(error))
            else:
                self.clock.observe(server_time_ms * 1_000_000, sent_ns, self.clock.steady_ns())
            await asyncio.sleep(CLOCK_LOOK_S)

    async def _stream_for_ever(self) -> None:
        backoff = Backoff()
        while True:
            was_ready = False
            try:
                await self._socket.live_once(lambda: self._is_stream_ready)
            except SocketLost as error:
                was_ready = self._is_stream_ready
                self._stream_down(str(error))
            if was_ready:
                backoff.reset()
            await asyncio.sleep(backoff.next_pause_s())
            if not was_ready:
                # A token or listen key that the venue has forgotten looks just like this.
                await self._login(gives_up=False)

    def _stream_down(self, reason: str) -> None:
        self._is_stream_ready = False
        self._listener.on_down(self.venue, reason)
        unanswered, self._unanswered = self._unanswered, set()
        now_mono_ns = self.clock.mono_ns()
        for client_order_id in unanswered:
            ack = OrderAck(client_order_id, Outcome.IN_DOUBT, text="the socket was lost before the answer")
            self._listener.on_ack(self.venue, ack, now_mono_ns)

    def _lost(self, what: str, detail: str) -> None:
        self._reporter.report(VenueLost(venue=self.venue, what=what, detail=detail))

    # --- orders ---

    def sign(self, request: OrderRequest) -> ReadyOrder:
        assert request.instrument.venue == self.venue, "an order is signed for its own venue"
        if not self._is_logged_in:
            raise NotSent(f"{self.venue}: not logged in yet, an order cannot be signed")
        signed = self._trading.sign_create(request, unix_ms(self.clock))
        if isinstance(signed.wire, bytes):
            return ReadyOrder(request, signed.wire, signed.valid_until_unix_ms)
        return ReadyOrder(request, self._pool.render(signed.wire), signed.valid_until_unix_ms)

    def send(self, order: ReadyOrder) -> None:
        if not self._is_logged_in:
            raise NotSent(f"{self.venue}: not logged in")
        if self._takes_http:
            self._pool.send(order.wire, partial(self._on_answer, order.request, self.clock.steady_ns()))
        elif self._is_stream_ready and self._socket.can_write:
            self._socket.write(order.wire)
            assert order.request.client_order_id not in self._unanswered, "an order is sent once"
            self._unanswered.add(order.request.client_order_id)
        else:
            # Not a byte of it has been written. Once one has, its outcome is asked for, never sent again.
            wire = self._pool.render(self._trading.create_over_http(order.wire))
            self._pool.send(wire, partial(self._on_answer, order.request, self.clock.steady_ns()))
        self._trading.order_leaves(order.request, order.wire)  # no answer is read before this returns

    def count_sent(self, now_mono_ns: int) -> None:
        self.budget.spend(now_mono_ns)

    def _on_answer(self, request: OrderRequest, sent_ns: int, answer: HttpResponse | AnswerLost) -> None:
        recv_mono_ns = self.clock.mono_ns()
        if isinstance(answer, AnswerLost):
            ack = OrderAck(request.client_order_id, Outcome.IN_DOUBT, text=answer.reason)
        else:
            ack = self._trading.parse_create_response(request, answer)
            self.budget.reported(answer.headers, recv_mono_ns)
            self.clock.answered(answer.headers, sent_ns, self.clock.steady_ns())
        self._note_pause(ack, recv_mono_ns)
        self._listener.on_ack(self.venue, ack, recv_mono_ns)

    def _on_event(self, event: PrivateEvent, recv_mono_ns: int) -> None:
        match event:
            case StreamReady():
                self._is_stream_ready = True
                self._listener.on_up(self.venue)
            case OrderAck():
                self._on_socket_answer(event, recv_mono_ns)
            case _:
                if isinstance(event, OrderUpdate | Fill):
                    self.clock.happened(event.venue_unix_ns)
                self._listener.on_report(self.venue, event, recv_mono_ns)

    def _on_socket_answer(self, ack: OrderAck, recv_mono_ns: int) -> None:
        self._unanswered.discard(ack.client_order_id)
        self._note_pause(ack, recv_mono_ns)
        self._listener.on_ack(self.venue, ack, recv_mono_ns)

    def _note_pause(self, ack: OrderAck, recv_mono_ns: int) -> None:
        if ack.outcome is not Outcome.ACCEPTED and ack.retry_after_ms is not None:
            self.budget.refused(ack.retry_after_ms, recv_mono_ns)

    def _on_bad_frame(self, error: FrameError) -> None:
        # The frame's own text stays out of the log: a private frame may quote a token.
        self._reporter.report(FrameRefused(venue=self.venue, detail=error.detail))

    # --- questions ---

    async def query_order(self, ref: OrderRef) -> OrderUpdate | None:
        reported = await self._perform(self._trading.query_order(ref, unix_ms(self.clock)))
        if reported is None and isinstance(self._trading, VoidsOrders):
            # Here doubt need not wait until the order's time is over: it is made sure never to run.
            reported = await self._perform(self._trading.void_order(ref, unix_ms(self.clock)))
        return reported

    async def query_fills(self, ref: OrderRef, age_ms: int) -> list[Fill] | None:
        now_unix_ms = unix_ms(self.clock)
        since_unix_ms = now_unix_ms - age_ms - FILLS_MARGIN_MS
        return await self._perform(self._trading.query_fills(ref, since_unix_ms, now_unix_ms))

    async def query_open_orders(self) -> list[OrderUpdate]:
        return await self._perform(self._trading.query_open_orders(unix_ms(self.clock)))

    async def query_positions(self) -> dict[int, int]:
        reported = await self._perform(self._trading.query_positions(unix_ms(self.clock)))
        flat = {item.instrument_id: 0 for item in self._instruments}
        return flat | {position.instrument_id: position.size_e8 for position in reported}

    async def query_instruments(self) -> list[Instrument]:
        wanted = {item.symbol: item.instrument_id for item in self._instruments}
        return await self._perform(self._trading.fetch_instruments(wanted))

    async def query_margin(self) -> tuple[Account, list[Position]]:
        account = await self._perform(self._trading.query_account(unix_ms(self.clock)))
        return account, await self._perform(self._trading.query_positions(unix_ms(self.clock)))

    async def query_touch(self, instrument: Instrument) -> Touch:
        return await self._perform(venue(self.venue).fetch_touch(instrument.symbol))

    async def cancel_order(self, ref: OrderRef) -> OrderAck:
        self.budget.spend(self.clock.mono_ns())
        ack = await self._perform(self._trading.cancel_order(ref, unix_ms(self.clock)))
        self._note_pause(ack, self.clock.mono_ns())
        return ack

    async def _perform(self, call: Call[_T]) -> _T:
        if self._session is None:
            call.close()
            raise TransportError(f"{self.venue}: not connected yet")
        return await perform(self._session, self._rest_url, call, timeout_s=REST_TIMEOUT_S, clock=self.clock)
