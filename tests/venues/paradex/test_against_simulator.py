"""The adapter and the simulated Paradex over real sockets: login to cancel, quotes to gaps.

The simulator shares no protocol code with the adapter, and a client that shares none with either
trades on it in ``tests/simulator``: an error both sides share would have to be theirs too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import pytest

from simulator.exchange import Exchange
from simulator.faults import Fault
from simulator.paradex import KIT, ParadexFront, ParadexSettings
from simulator.process import RunningSimulator
from tests.venues.paradex.samples import PRIVATE_KEY
from venues.contract import (
    E8,
    Account,
    Call,
    Depth,
    FaultKind,
    FeedFault,
    Fill,
    FrameError,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Outcome,
    Position,
    PrivateEvent,
    Side,
    SignedOrder,
    StreamReady,
    TimeInForce,
    TopOfBook,
    VenueHosts,
)
from venues.paradex import ParadexCredentials, ParadexMarketData, ParadexTrading
from venues.rest_client import perform

T = TypeVar("T")
WITHIN_S = 10.0
SYMBOL = "BTC-USD-PERP"
SIZE_E8 = E8 // 10


def now_unix_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Clock:
    """The venue's clock: the real time, moved by whatever the test adds."""

    ahead_s: int = 0

    def now_unix_ns(self) -> int:
        return time.time_ns() + self.ahead_s * 10**9


class Desk:
    """A logged-in account on a simulated Paradex, with its private stream read into ``events``."""

    def __init__(
        self, front: ParadexFront, clock: Clock, port: int, session: aiohttp.ClientSession, **options: Any
    ) -> None:
        base = f"127.0.0.1:{port}/v1"
        self.hosts = VenueHosts(f"http://{base}", f"ws://{base}", f"ws://{base}")
        self.front = front
        self.clock = clock
        self.session = session
        credentials = ParadexCredentials(PRIVATE_KEY, l1_address="0x" + "11" * 20)
        self.trading = ParadexTrading(self.hosts, credentials, **options)
        self.events: asyncio.Queue[PrivateEvent] = asyncio.Queue()
        self.last_id = now_unix_ms() << 10
        self.btc: Instrument
        self.socket: aiohttp.ClientWebSocketResponse

    def show(self, bid: int, ask: int) -> None:
        """One bitcoin at one price on either side."""
        self.front.exchange.apply_market(SYMBOL, [(bid * E8, E8)], [(ask * E8, E8)])

    async def run(self, call: Call[T]) -> T:
        return await perform(self.session, self.hosts.rest_url, call, timeout_s=WITHIN_S)

    async def send_queued(self) -> None:
        for frame in self.trading.stream_take_frames():
            await self.socket.send_str(frame.decode())

    async def read_stream(self) -> None:
        self.trading.stream_connected(0)
        await self.send_queued()
        async for message in self.socket:
            is_binary = message.type is aiohttp.WSMsgType.BINARY
            self.trading.stream_receive(message.data if is_binary else message.data.encode(), is_binary, 1)
            await self.send_queued()
            for event in self.trading.stream_take_events():
                self.events.put_nowait(event)

    async def until(self, *wanted: Callable[[PrivateEvent], bool]) -> list[PrivateEvent]:
        """The events up to and including the one after which each of ``wanted`` has been met."""
        seen: list[PrivateEvent] = []
        async with asyncio.timeout(WITHIN_S):
            while not all(any(is_it(event) for event in seen) for is_it in wanted):
                seen.append(await self.events.get())
        return seen

    async def until_nothing_is_open(self) -> None:
        async with asyncio.timeout(WITHIN_S):
            while await self.run(self.trading.query_open_orders(now_unix_ms())):
                continue

    def order(self, *, price: int, side: Side = Side.BUY, **changes: Any) -> OrderRequest:
        self.last_id += 1
        request = OrderRequest(self.last_id, self.btc, side, SIZE_E8, price * E8, False, TimeInForce.IOC)
        return request._replace(**changes)

    async def write(self, signed: SignedOrder) -> None:
        assert isinstance(signed.wire, bytes)
        await self.socket.send_str(signed.wire.decode())

    async def place(self, request: OrderRequest) -> None:
        await self.write(self.trading.sign_create(request, now_unix_ms()))


@asynccontextmanager
async def a_desk(settings: ParadexSettings | None = None, **options: Any) -> AsyncIterator[Desk]:
    """The simulator on a port of the system's choosing, and a desk logged in to it."""
    clock = Clock()
    exchange = Exchange(KIT.listing, now_unix_ns=clock.now_unix_ns, make_id=KIT.make_id)
    front = ParadexFront(exchange, settings or ParadexSettings())
    running = RunningSimulator("127.0.0.1")
    await running.add(front, 0)
    try:
        async with aiohttp.ClientSession() as session:
            desk = Desk(front, clock, running.ports["paradex"], session, **options)
            desk.show(60_000, 60_001)
            [desk.btc] = await desk.run(desk.trading.fetch_instruments({SYMBOL: 7}))
            await desk.run(desk.trading.login(now_unix_ms()))
            async with session.ws_connect(desk.trading.stream_url()) as desk.socket:
                reading = asyncio.create_task(desk.read_stream())
                await desk.until(lambda event: isinstance(event, StreamReady))
                yield desk
            await reading
    finally:
        await running.stop()


def is_final(event: PrivateEvent) -> bool:
    return isinstance(event, OrderUpdate) and event.status.is_final


def is_fill(event: PrivateEvent) -> bool:
    return isinstance(event, Fill)


def is_ack(event: PrivateEvent) -> bool:
    return isinstance(event, OrderAck)


def is_position(event: PrivateEvent) -> bool:
    return isinstance(event, Position)


def only(kind: type[T], events: list[PrivateEvent]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("sbe_private", [False, True])
async def test_an_ioc_is_filled_and_every_source_tells_the_same(sbe_private: bool) -> None:
    """Ack, update, fill, position, account and queries, with the private channels in either encoding."""
    async with a_desk(ParadexSettings(sbe_private=sbe_private)) as desk:
        request = desk.order(price=60_100)
        await desk.place(request)

        events = await desk.until(
            is_ack, is_final, is_fill, is_position, lambda event: isinstance(event, Account)
        )

        [ack] = only(OrderAck, events)
        final = only(OrderUpdate, events)[-1]
        [fill] = only(Fill, events)
        assert (ack.client_order_id, ack.outcome) == (request.client_order_id, Outcome.ACCEPTED)
        assert (final.status, final.filled_e8) == (OrderStatus.FILLED, SIZE_E8)
        assert (final.client_order_id, final.venue_order_id) == (request.client_order_id, ack.venue_order_id)
        assert (fill.client_order_id, fill.price_e8, fill.size_e8) == (
            request.client_order_id,
            60_001 * E8,
            SIZE_E8,
        )
        assert fill.fee_e8 == 60_001 * SIZE_E8 * 45 // 100_000
        assert only(Position, events)[-1][:3] == (7, SIZE_E8, 60_001 * E8)
        queried = await desk.run(
            desk.trading.query_order(OrderRef(request.client_order_id, desk.btc), now_unix_ms())
        )
        assert queried is not None
        assert queried._replace(venue_unix_ns=0) == final._replace(venue_unix_ns=0)
        [position] = await desk.run(desk.trading.query_positions(now_unix_ms()))
        assert position[:3] == (7, SIZE_E8, 60_001 * E8)
        account = await desk.run(desk.trading.query_account(now_unix_ms()))
        assert account.value_e8 > account.free_e8 > account.maintenance_margin_e8 > 0


async def test_a_reduce_only_order_closes_and_cannot_open() -> None:
    """The unwind of a leg must never become a new position."""
    async with a_desk() as desk:
        await desk.place(desk.order(price=60_100))
        await desk.until(is_final, is_position)

        await desk.place(desk.order(price=59_900, side=Side.SELL, reduce_only=True))
        events = await desk.until(is_final, is_position)
        assert only(OrderUpdate, events)[-1].status is OrderStatus.FILLED
        assert [p.size_e8 for p in await desk.run(desk.trading.query_positions(now_unix_ms()))] in ([], [0])

        await desk.place(desk.order(price=59_900, side=Side.SELL, reduce_only=True))
        events = await desk.until(lambda e: is_final(e) or (is_ack(e) and e.outcome is Outcome.REFUSED))  # type: ignore[union-attr]
        assert not only(Fill, events)


async def test_an_ioc_out_of_reach_is_cancelled_with_the_venues_word() -> None:
    """CLOSED with everything remaining: nothing was executed."""
    async with a_desk() as desk:
        await desk.place(desk.order(price=59_000))

        final = only(OrderUpdate, await desk.until(is_final))[-1]

        assert (final.status, final.filled_e8) == (OrderStatus.CANCELLED, 0)
        assert final.reason


async def test_a_partly_filled_ioc_tells_how_much() -> None:
    """One bitcoin is shown; of one and a half, a half remains."""
    async with a_desk() as desk:
        await desk.place(desk.order(price=60_100, size_e8=3 * E8 // 2))

        final = only(OrderUpdate, await desk.until(is_final))[-1]

        assert (final.status, final.filled_e8, final.size_e8) == (OrderStatus.CANCELLED, E8, 3 * E8 // 2)


async def test_a_resting_order_is_found_cancelled_and_gone() -> None:
    """By our id alone, as after a lost answer."""
    async with a_desk() as desk:
        request = desk.order(price=59_000, time_in_force=TimeInForce.GTC)
        ref = OrderRef(request.client_order_id, desk.btc)
        assert await desk.run(desk.trading.query_order(ref, now_unix_ms())) is None
        await desk.place(request)
        await desk.until(lambda event: isinstance(event, OrderUpdate), is_ack)
        [resting] = await desk.run(desk.trading.query_open_orders(now_unix_ms()))
        assert (resting.client_order_id, resting.status) == (request.client_order_id, OrderStatus.OPEN)

        assert (await desk.run(desk.trading.cancel_order(ref, now_unix_ms()))).outcome is Outcome.ACCEPTED

        final = only(OrderUpdate, await desk.until(is_final))[-1]
        assert (final.status, final.reason) == (OrderStatus.CANCELLED, "USER_CANCELED")
        assert await desk.run(desk.trading.query_open_orders(now_unix_ms())) == []
        again = await desk.run(desk.trading.cancel_order(ref, now_unix_ms()))
        assert again.outcome is Outcome.REFUSED
        found = await desk.run(desk.trading.query_order(ref, now_unix_ms()))
        assert found is not None
        assert found.status is OrderStatus.CANCELLED


async def test_cancel_all_leaves_nothing_open() -> None:
    """What shutdown does."""
    async with a_desk() as desk:
        for price in (59_000, 59_001):
            await desk.place(desk.order(price=price, time_in_force=TimeInForce.GTC))
            await desk.until(is_ack)

        await desk.run(desk.trading.cancel_all_orders(SYMBOL))

        await desk.until(is_final)
        await desk.until_nothing_is_open()


async def test_a_lost_connection_cancels_what_rests() -> None:
    """Cancel-on-disconnect was armed on this connection; the venue keeps to it."""
    async with a_desk() as desk:
        request = desk.order(price=59_000, time_in_force=TimeInForce.GTC)
        await desk.place(request)
        await desk.until(is_ack)

        await desk.socket.close(code=aiohttp.WSCloseCode.INTERNAL_ERROR)

        await desk.until_nothing_is_open()


async def test_an_order_written_too_late_is_refused() -> None:
    """Past its window the venue drops it: a template kept too long cannot trade."""
    async with a_desk() as desk:
        await desk.write(desk.trading.sign_create(desk.order(price=60_100), now_unix_ms() - 61_000))

        [ack] = only(OrderAck, await desk.until(is_ack))

        assert ack.outcome is Outcome.REFUSED
        assert ack.text


async def test_a_signature_for_another_price_is_refused() -> None:
    """The simulator does verify: a wrong hash would have failed every test above."""
    async with a_desk() as desk:
        signed = desk.trading.sign_create(desk.order(price=60_100), now_unix_ms())
        assert isinstance(signed.wire, bytes)
        await desk.write(
            signed._replace(wire=signed.wire.replace(b'"price":"60100.0"', b'"price":"60200.0"'))
        )

        [ack] = only(OrderAck, await desk.until(is_ack))

        assert ack.outcome is Outcome.REFUSED
        assert "SIGNATURE" in ack.text


async def test_orders_go_over_http_where_the_socket_may_not_take_them() -> None:
    """The fallback: same order, same events, the ack is the answer."""
    async with a_desk(create_transport="http") as desk:
        request = desk.order(price=60_100)
        signed = desk.trading.sign_create(request, now_unix_ms())

        def conversation() -> Call[HttpResponse]:
            assert isinstance(signed.wire, HttpRequest)
            return (yield signed.wire)

        ack = desk.trading.parse_create_response(request, await desk.run(conversation()))

        assert ack.outcome is Outcome.ACCEPTED
        final = only(OrderUpdate, await desk.until(is_final))[-1]
        assert (final.venue_order_id, final.status) == (ack.venue_order_id, OrderStatus.FILLED)


async def test_a_maintenance_refusal_may_be_tried_again() -> None:
    """cancel_only lasts minutes: refused for now, with a pause."""
    async with a_desk() as desk:
        desk.front.system_status = "cancel_only"
        await desk.place(desk.order(price=60_100))

        [ack] = only(OrderAck, await desk.until(is_ack))

        assert (ack.outcome, ack.retry_after_ms) == (Outcome.REFUSED, 5_000)


async def test_a_token_is_renewed_and_serves() -> None:
    """The stream stays authenticated meanwhile."""
    async with a_desk() as desk:
        assert desk.trading.renew_due_unix_ms > now_unix_ms()
        await desk.run(desk.trading.renew(now_unix_ms()))
        await desk.run(desk.trading.query_account(now_unix_ms()))
        await desk.place(desk.order(price=60_100))
        assert only(OrderUpdate, await desk.until(is_final))[-1].status is OrderStatus.FILLED


class Watch:
    """A market-data connection read into lists."""

    def __init__(self, desk: Desk, **options: Any) -> None:
        self.feed = ParadexMarketData(desk.hosts, {SYMBOL: 7}, **options)
        self.tops: list[TopOfBook] = []
        self.depths: list[Depth] = []
        self.faults: list[FeedFault] = []

    async def until(self, socket: aiohttp.ClientWebSocketResponse, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not done():
                for frame in self.feed.take_frames():
                    await socket.send_str(frame.decode())
                message = await socket.receive()
                is_binary = message.type is aiohttp.WSMsgType.BINARY
                self.feed.receive(message.data if is_binary else message.data.encode(), is_binary, 1)
                self.tops += self.feed.take_tops()
                self.depths += self.feed.take_depths()
                self.faults += self.feed.take_faults()


@pytest.mark.parametrize("options", [{}, {"schema_version": 1}, {"sbe": False}])
async def test_market_data_follows_the_simulated_book(options: dict[str, Any]) -> None:
    """Both encodings, both versions: top of book and depth, without a fault."""
    async with a_desk() as desk:
        watch = Watch(desk, **options)
        async with desk.session.ws_connect(watch.feed.url) as socket:
            watch.feed.connected(0)
            await watch.until(socket, lambda: bool(watch.depths))
            desk.show(61_000, 61_002)
            await watch.until(
                socket,
                lambda: (
                    any(top.bid_e8 == 61_000 * E8 for top in watch.tops)
                    and watch.depths[-1].bids == [(61_000 * E8, E8)]
                ),
            )
        assert watch.tops[-1][:5] == (7, 61_000 * E8, E8, 61_002 * E8, E8)
        assert watch.depths[-1].asks == [(61_002 * E8, E8)]
        assert all(top.is_valid for top in watch.tops)
        assert watch.faults == []


async def test_a_lost_delta_is_a_gap_and_mends_itself() -> None:
    """The venue drops one book frame: the book is void, then a new snapshot makes it good."""
    async with a_desk() as desk:
        watch = Watch(desk)
        async with desk.session.ws_connect(watch.feed.url) as socket:
            watch.feed.connected(0)
            await watch.until(socket, lambda: bool(watch.depths))
            desk.front.faults.add(Fault("push.order_book.*", drop=True))
            bid = 60_000

            def lost() -> bool:
                nonlocal bid
                bid += 1
                desk.show(bid, bid + 1)
                return bool(watch.faults)

            await watch.until(socket, lost)
            assert [fault.kind for fault in watch.faults] == [FaultKind.GAP]
            assert not watch.depths[-1].is_valid
            desk.show(62_000, 62_001)
            await watch.until(
                socket,
                lambda: watch.depths[-1].is_valid and watch.depths[-1].bids == [(62_000 * E8, E8)],
            )
        assert len(watch.faults) == 1


async def test_a_stream_with_an_expired_token_ends_and_asks_for_another() -> None:
    """Tokens live five minutes; a reconnection after a quiet night must not go on without one."""
    async with a_desk() as desk:
        desk.clock.ahead_s = 400

        async with desk.session.ws_connect(desk.trading.stream_url()) as socket:
            await desk.socket.close()
            desk.socket = socket
            with pytest.raises(FrameError, match="auth refused: 40111"):
                await desk.read_stream()

        assert desk.trading.renew_due_unix_ms == 0
