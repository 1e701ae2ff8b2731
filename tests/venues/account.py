"""A logged-in account on a simulated venue over real sockets, whichever venue it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from simulator.exchange import Exchange
from simulator.front import Front
from simulator.process import RunningSimulator
from tests.venues.venue_case import INSTRUMENT_ID, VenueCase
from tests.waiting import DEADLINE_S
from venues.contract import (
    E8,
    Call,
    Depth,
    FeedFault,
    Fill,
    HttpRequest,
    HttpResponse,
    Instrument,
    MarketData,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    PrivateEvent,
    Side,
    SignedOrder,
    StreamReady,
    TopOfBook,
    Trading,
    VenueHosts,
)
from venues.rest_client import perform

T = TypeVar("T")
SIZE_E8 = E8 // 10


def now_unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Clock:
    """The venue's clock: the real time, moved by whatever the test adds."""

    ahead_s: int = 0

    def now_unix_ns(self) -> int:
        return time.time_ns() + self.ahead_s * 10**9


class VenueHarness:
    """One account, with its private stream read into ``events``; acks over HTTP go there, too."""

    def __init__(
        self,
        venue_case: VenueCase,
        front: Front,
        clock: Clock,
        port: int,
        session: aiohttp.ClientSession,
        make_trading: Callable[[VenueHosts], Trading] | None,
    ) -> None:
        self.venue_case = venue_case
        self.front = front
        self.clock = clock
        self.hosts = venue_case.hosts(port)
        self.session = session
        self.trading = (make_trading or venue_case.trading)(self.hosts)
        self.events: asyncio.Queue[PrivateEvent] = asyncio.Queue()
        self.last_id = now_unix_ms() << 10
        self.instrument: Instrument
        self.socket: aiohttp.ClientWebSocketResponse

    def show(self, bid: int, ask: int) -> None:
        """One unit at one price on either side."""
        self.front.exchange.apply_market(self.venue_case.symbol, [(bid * E8, E8)], [(ask * E8, E8)])

    async def run(self, call: Call[T]) -> T:
        return await perform(self.session, self.hosts.rest_url, call, timeout_s=DEADLINE_S)

    async def read_stream(self) -> None:
        self.trading.stream_connected(0)
        await self._send_queued()
        async for message in self.socket:
            self.trading.stream_receive(*content_of(message), 1)
            await self._send_queued()
            for event in self.trading.stream_take_events():
                self.events.put_nowait(event)

    async def _send_queued(self) -> None:
        for frame in self.trading.stream_take_frames():
            await self.socket.send_str(frame.decode())

    async def until(self, *wanted: Callable[[PrivateEvent], bool]) -> list[PrivateEvent]:
        """The events up to and including the one after which each of ``wanted`` has been met."""
        seen: list[PrivateEvent] = []
        async with asyncio.timeout(DEADLINE_S):
            while not all(any(is_it(event) for event in seen) for is_it in wanted):
                seen.append(await self.events.get())
        return seen

    def order(self, *, price: int, side: Side = Side.BUY, **changes: Any) -> OrderRequest:
        self.last_id += 1
        request = OrderRequest(
            self.last_id,
            self.instrument,
            side,
            SIZE_E8,
            price * E8,
            False,
            self.trading.taker_time_in_force,
        )
        return request._replace(**changes)

    async def place(self, request: OrderRequest) -> None:
        await self.write(self.trading.sign_create(request, now_unix_ms()))

    async def write(self, signed: SignedOrder) -> None:
        """Send an order. Raises TransportError if its answer is lost, where there would be one here."""
        wire = signed.wire
        self.trading.order_leaves(signed.request, wire)
        if isinstance(wire, bytes):
            await self.socket.send_str(wire.decode())
            return

        def conversation(request: HttpRequest = wire) -> Call[HttpResponse]:
            return (yield request)

        self.events.put_nowait(
            self.trading.parse_create_response(signed.request, await self.run(conversation()))
        )

    async def found(self, request: OrderRequest) -> OrderUpdate:
        """What the venue says about an order, once it knows it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                update = await self.query(request)
                if update is not None and update.status.is_final:
                    return update

    async def query(self, request: OrderRequest) -> OrderUpdate | None:
        ref = OrderRef(request.client_order_id, self.instrument)
        return await self.run(self.trading.query_order(ref, now_unix_ms()))

    async def position_e8(self) -> int:
        positions = await self.run(self.trading.query_positions(now_unix_ms()))
        return sum(position.size_e8 for position in positions)

    async def until_nothing_is_open(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self.run(self.trading.query_open_orders(now_unix_ms())):
                continue


class Watch:
    """A market-data connection read into lists."""

    def __init__(self, feed: MarketData) -> None:
        self.feed = feed
        self.tops: list[TopOfBook] = []
        self.depths: list[Depth] = []
        self.faults: list[FeedFault] = []
        self.received: list[bytes] = []

    async def until(self, socket: aiohttp.ClientWebSocketResponse, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not done():
                for frame in self.feed.take_frames():
                    await socket.send_str(frame.decode())
                frame, is_binary = content_of(await socket.receive())
                self.received.append(frame)
                self.feed.receive(frame, is_binary, 1)
                self.tops += self.feed.take_tops()
                self.depths += self.feed.take_depths()
                self.faults += self.feed.take_faults()


def content_of(message: aiohttp.WSMessage) -> tuple[bytes, bool]:
    assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
    is_binary = message.type is aiohttp.WSMsgType.BINARY
    return message.data if is_binary else message.data.encode(), is_binary


@asynccontextmanager
async def a_venue_harness(
    venue_case: VenueCase,
    *,
    make_front: Callable[[Exchange], Front] | None = None,
    make_trading: Callable[[VenueHosts], Trading] | None = None,
) -> AsyncIterator[VenueHarness]:
    """The simulator on a port of the system's choosing, and a harness logged in to it.

    ``make_front`` and ``make_trading`` replace the venue_case's, for what one venue alone can be told.
    """
    clock = Clock()
    exchange = Exchange(
        venue_case.simulator.listing, now_unix_ns=clock.now_unix_ns, make_id=venue_case.simulator.make_id
    )
    front = (make_front or venue_case.front)(exchange)
    running = RunningSimulator("127.0.0.1")
    await running.add(front, 0)
    try:
        async with aiohttp.ClientSession() as session:
            harness = VenueHarness(
                venue_case, front, clock, running.ports[venue_case.venue], session, make_trading
            )
            harness.show(60_000, 60_001)
            [harness.instrument] = await harness.run(
                harness.trading.fetch_instruments({venue_case.symbol: INSTRUMENT_ID})
            )
            await harness.run(harness.trading.login(now_unix_ms()))
            async with session.ws_connect(harness.trading.stream_url()) as harness.socket:
                reading = asyncio.create_task(harness.read_stream())
                await harness.until(lambda event: isinstance(event, StreamReady))
                yield harness
            await reading
    finally:
        await running.stop()


def is_final(event: PrivateEvent) -> bool:
    return isinstance(event, OrderUpdate) and event.status.is_final


def is_fill(event: PrivateEvent) -> bool:
    return isinstance(event, Fill)


def is_ack(event: PrivateEvent) -> bool:
    return isinstance(event, OrderAck)


def only(kind: type[T], events: Sequence[PrivateEvent]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]
