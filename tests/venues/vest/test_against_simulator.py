"""The adapter and the simulated Vest over real sockets: login to cancel.

The simulator checks signatures with eth-account, and a client that shares no code with either
trades on it in ``tests/simulator``: an error both sides share would have to be theirs too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import aiohttp
import pytest

from simulator.exchange import Exchange
from simulator.process import RunningSimulator
from simulator.vest import KIT, VestFront
from tests.venues.vest.builders import PRIMARY_KEY
from venues.contract import (
    E8,
    Call,
    Fill,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Outcome,
    PrivateEvent,
    Side,
    SignedOrder,
    StreamReady,
    TimeInForce,
    TopOfBook,
    VenueError,
    VenueHosts,
)
from venues.rest_client import perform
from venues.vest import VestCredentials, VestMarketData, VestTrading, fetch_instruments

T = TypeVar("T")
WITHIN_S = 10.0


def now_unix_ms() -> int:
    return time.time_ns() // 1_000_000


class Desk:
    """A logged-in account on a simulated Vest, with its private stream read into ``events``."""

    def __init__(self, exchange: Exchange, port: int, session: aiohttp.ClientSession) -> None:
        base = f"127.0.0.1:{port}"
        self.hosts = VenueHosts(f"http://{base}/v2", f"ws://{base}/ws-api", f"ws://{base}/ws-api")
        self.exchange = exchange
        self.session = session
        self.trading = VestTrading(self.hosts, VestCredentials(PRIMARY_KEY))
        self.events: asyncio.Queue[PrivateEvent] = asyncio.Queue()
        self.last_id = now_unix_ms() << 10
        self.btc: Instrument

    def show(self, bid: int, ask: int) -> None:
        """One bitcoin at one price on either side."""
        self.exchange.apply_market("BTC-PERP", [(bid * E8, E8)], [(ask * E8, E8)])

    async def run(self, call: Call[T]) -> T:
        return await perform(self.session, self.hosts.rest_url, call, timeout_s=WITHIN_S)

    async def read_stream(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.trading.stream_connected(0)
        for frame in self.trading.stream_take_frames():
            await socket.send_str(frame.decode())
        async for message in socket:
            is_binary = message.type is aiohttp.WSMsgType.BINARY
            frame = message.data if is_binary else message.data.encode()
            self.trading.stream_receive(frame, is_binary, 1)
            for event in self.trading.stream_take_events():
                self.events.put_nowait(event)

    async def until(self, is_it: Callable[[PrivateEvent], bool]) -> list[PrivateEvent]:
        """The events up to and including the first that ``is_it``."""
        seen = []
        async with asyncio.timeout(WITHIN_S):
            while True:
                seen.append(await self.events.get())
                if is_it(seen[-1]):
                    return seen

    def order(
        self, *, price: int, time_in_force: TimeInForce, side: Side = Side.BUY, reduce_only: bool = False
    ) -> OrderRequest:
        self.last_id += 1
        return OrderRequest(self.last_id, self.btc, side, E8 // 10, price * E8, reduce_only, time_in_force)

    async def place(self, request: OrderRequest) -> OrderAck:
        return await self.write(self.trading.sign_create(request, now_unix_ms()))

    async def write(self, signed: SignedOrder) -> OrderAck:
        def conversation() -> Call[HttpResponse]:
            assert isinstance(signed.wire, HttpRequest)
            return (yield signed.wire)

        return self.trading.parse_create_response(signed.request, await self.run(conversation()))


@asynccontextmanager
async def a_desk() -> AsyncIterator[Desk]:
    """The simulator as shipped, on a port of the system's choosing, and a desk logged in to it."""
    exchange = Exchange(KIT.listing, now_unix_ns=time.time_ns, make_id=KIT.make_id)
    running = RunningSimulator("127.0.0.1")
    await running.add(VestFront(exchange), 0)
    try:
        async with aiohttp.ClientSession() as session:
            desk = Desk(exchange, running.ports["vest"], session)
            desk.show(60_000, 60_001)
            [desk.btc] = await desk.run(desk.trading.fetch_instruments({"BTC-PERP": 7}))
            await desk.run(desk.trading.login(now_unix_ms()))
            async with session.ws_connect(desk.trading.stream_url()) as socket:
                reading = asyncio.create_task(desk.read_stream(socket))
                await desk.until(lambda event: isinstance(event, StreamReady))
                yield desk
            await reading
    finally:
        await running.stop()


def is_final(event: PrivateEvent) -> bool:
    return isinstance(event, OrderUpdate) and event.status.is_final


async def test_a_fok_order_is_filled_and_every_source_tells_the_same() -> None:
    async with a_desk() as desk:
        request = desk.order(price=60_100, time_in_force=TimeInForce.FOK)
        ack = await desk.place(request)
        assert ack.outcome is Outcome.ACCEPTED
        events = await desk.until(is_final)
        [fill] = [event for event in events if isinstance(event, Fill)]
        final = events[-1]
        assert isinstance(final, OrderUpdate)
        assert (final.status, final.filled_e8) == (OrderStatus.FILLED, E8 // 10)
        assert (final.client_order_id, final.venue_order_id) == (request.client_order_id, ack.venue_order_id)
        assert (fill.price_e8, fill.size_e8, fill.side) == (60_001 * E8, E8 // 10, Side.BUY)
        by_nonce = await desk.run(
            desk.trading.query_order(OrderRef(request.client_order_id, desk.btc), now_unix_ms())
        )
        assert by_nonce == final
        [position] = await desk.run(desk.trading.query_positions(now_unix_ms()))
        assert (position.instrument_id, position.size_e8) == (7, E8 // 10)
        assert position.entry_price_e8 == 60_001 * E8


async def test_an_ioc_order_takes_within_its_limit_and_reduces() -> None:
    async with a_desk() as desk:
        await desk.place(desk.order(price=60_100, time_in_force=TimeInForce.FOK))
        await desk.until(is_final)
        closing = desk.order(price=59_900, time_in_force=TimeInForce.IOC, side=Side.SELL, reduce_only=True)
        assert (await desk.place(closing)).outcome is Outcome.ACCEPTED
        assert (await desk.until(is_final))[-1].status is OrderStatus.FILLED  # type: ignore[union-attr]
        positions = await desk.run(desk.trading.query_positions(now_unix_ms()))
        assert [position for position in positions if position.size_e8] == []


async def test_a_fok_order_out_of_reach_fills_nothing() -> None:
    async with a_desk() as desk:
        ack = await desk.place(desk.order(price=59_000, time_in_force=TimeInForce.FOK))
        assert ack.outcome is Outcome.ACCEPTED
        final = (await desk.until(is_final))[-1]
        assert isinstance(final, OrderUpdate)
        assert final.status in (OrderStatus.REJECTED, OrderStatus.CANCELLED)
        assert not final.filled_e8


async def test_a_resting_order_is_listed_cancelled_and_gone() -> None:
    async with a_desk() as desk:
        request = desk.order(price=59_000, time_in_force=TimeInForce.GTC)
        await desk.place(request)
        [resting] = await desk.run(desk.trading.query_open_orders(now_unix_ms()))
        assert (resting.client_order_id, resting.status) == (request.client_order_id, OrderStatus.OPEN)
        ref = OrderRef(request.client_order_id, desk.btc)
        assert (await desk.run(desk.trading.cancel_order(ref, now_unix_ms()))).outcome is Outcome.ACCEPTED
        final = (await desk.until(is_final))[-1]
        assert isinstance(final, OrderUpdate)
        assert (final.status, final.instrument_id) == (OrderStatus.CANCELLED, -1)
        assert await desk.run(desk.trading.query_open_orders(now_unix_ms())) == []
        again = await desk.run(desk.trading.cancel_order(ref, now_unix_ms()))
        assert (again.outcome, again.code) == (Outcome.REFUSED, "3017")


async def test_the_same_order_written_twice_stays_one_order() -> None:
    """The second is a duplicate: in doubt, and the question finds the first, filled."""
    async with a_desk() as desk:
        signed = desk.trading.sign_create(
            desk.order(price=60_100, time_in_force=TimeInForce.FOK), now_unix_ms()
        )
        first, second = await desk.write(signed), await desk.write(signed)
        assert (first.outcome, second.outcome, second.code) == (Outcome.ACCEPTED, Outcome.IN_DOUBT, "3015")
        ref = OrderRef(signed.request.client_order_id, desk.btc)
        update = await desk.run(desk.trading.query_order(ref, now_unix_ms()))
        assert update is not None
        assert (update.venue_order_id, update.status) == (first.venue_order_id, OrderStatus.FILLED)


async def test_an_order_written_too_late_is_refused() -> None:
    """Past its window the venue drops it: a template kept too long cannot trade."""
    async with a_desk() as desk:
        request = desk.order(price=60_100, time_in_force=TimeInForce.FOK)
        ack = await desk.write(desk.trading.sign_create(request, now_unix_ms() - 6_000))
        assert (ack.outcome, ack.code) == (Outcome.REFUSED, "1132")


async def test_session_leverage_and_account_are_served() -> None:
    async with a_desk() as desk:
        await desk.run(desk.trading.renew(now_unix_ms()))
        assert await desk.run(desk.trading.set_leverage(desk.btc, 5, now_unix_ms())) == 5
        account = await desk.run(desk.trading.query_account(now_unix_ms()))
        assert account.value_e8 >= account.free_e8 > 0


async def test_an_unknown_symbol_is_named() -> None:
    async with a_desk() as desk:
        with pytest.raises(VenueError, match=r"NOPE-PERP|1121"):
            await desk.run(fetch_instruments({"NOPE-PERP": 1}))


async def test_market_data_follows_the_simulated_book() -> None:
    async with a_desk() as desk:
        feed = VestMarketData(desk.hosts, {"BTC-PERP": 7})
        async with desk.session.ws_connect(feed.url) as socket, asyncio.timeout(WITHIN_S):
            feed.connected(0)
            for frame in feed.take_frames():
                await socket.send_str(frame.decode())
            tops: list[TopOfBook] = []
            desk.show(61_000, 61_002)
            while not any(top.bid_e8 == 61_000 * E8 for top in tops):
                message = await socket.receive()
                is_binary = message.type is aiohttp.WSMsgType.BINARY
                feed.receive(message.data if is_binary else message.data.encode(), is_binary, 1)
                tops += feed.take_tops()
        assert tops[-1].ask_e8 == 61_002 * E8
        assert all(top.is_valid for top in tops)
        assert feed.take_faults() == []
