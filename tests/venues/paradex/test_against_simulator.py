"""What Paradex alone offers, over real sockets; the rest is ``tests/venues/test_conformance_sockets``."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from simulator.paradex import ParadexFront, ParadexSettings
from tests.venues.account import SIZE_E8, Watch, a_venue_harness, is_ack, is_fill, is_final, only
from tests.venues.paradex.samples import PRIVATE_KEY
from tests.venues.paradex.venue_case import VENUE_CASE
from venues.contract import (
    E8,
    Account,
    Fill,
    FrameError,
    OrderAck,
    OrderStatus,
    OrderUpdate,
    Outcome,
    Position,
    PrivateEvent,
    TimeInForce,
)
from venues.paradex import ParadexCredentials, ParadexMarketData, ParadexTrading


def is_position(event: PrivateEvent) -> bool:
    return isinstance(event, Position)


@pytest.mark.parametrize("sbe_private", [False, True])
async def test_the_private_channels_tell_a_fill_in_either_encoding(sbe_private: bool) -> None:
    """Update, fill, position and account, as JSON and as SBE."""
    settings = ParadexSettings(sbe_private=sbe_private)
    async with a_venue_harness(
        VENUE_CASE, make_front=lambda exchange: ParadexFront(exchange, settings)
    ) as harness:
        request = harness.order(price=60_100)
        await harness.place(request)

        events = await harness.until(
            is_ack, is_final, is_fill, is_position, lambda event: isinstance(event, Account)
        )

        final, [fill] = only(OrderUpdate, events)[-1], only(Fill, events)
        assert (final.status, final.filled_e8, final.reason) == (OrderStatus.FILLED, SIZE_E8, "")
        assert (fill.client_order_id, fill.price_e8, fill.size_e8) == (
            request.client_order_id,
            60_001 * E8,
            SIZE_E8,
        )
        assert fill.fee_e8 == 60_001 * SIZE_E8 * 45 // 100_000
        assert only(Position, events)[-1][:3] == (7, SIZE_E8, 60_001 * E8)


async def test_a_lost_connection_cancels_what_rests() -> None:
    """Cancel-on-disconnect was armed on this connection; the venue keeps to it."""
    async with a_venue_harness(VENUE_CASE) as harness:
        request = harness.order(price=59_000, time_in_force=TimeInForce.GTC)
        await harness.place(request)
        await harness.until(is_ack)

        await harness.socket.close(code=aiohttp.WSCloseCode.INTERNAL_ERROR)

        await harness.until_nothing_is_open()


async def test_orders_go_over_http_where_the_socket_may_not_take_them() -> None:
    """The fallback: same order, same events, the ack is the answer."""
    credentials = ParadexCredentials(PRIVATE_KEY, l1_address="0x" + "11" * 20)
    async with a_venue_harness(
        VENUE_CASE, make_trading=lambda hosts: ParadexTrading(hosts, credentials, create_transport="http")
    ) as harness:
        await harness.place(harness.order(price=60_100))

        events = await harness.until(is_ack, is_final)

        [ack], final = only(OrderAck, events), only(OrderUpdate, events)[-1]
        assert ack.outcome is Outcome.ACCEPTED
        assert (final.venue_order_id, final.status) == (ack.venue_order_id, OrderStatus.FILLED)


async def test_a_maintenance_refusal_may_be_tried_again() -> None:
    """cancel_only lasts minutes: refused for now, with a pause."""
    async with a_venue_harness(VENUE_CASE) as harness:
        assert isinstance(harness.front, ParadexFront)
        harness.front.system_status = "cancel_only"
        await harness.place(harness.order(price=60_100))

        [ack] = only(OrderAck, await harness.until(is_ack))

        assert (ack.outcome, ack.retry_after_ms) == (Outcome.REFUSED, 5_000)


@pytest.mark.parametrize("options", [{"schema_version": 1}, {"sbe": False}])
async def test_market_data_follows_the_simulated_book(options: dict[str, Any]) -> None:
    """The older schema and plain JSON, as the newest in the conformance suite."""
    async with a_venue_harness(VENUE_CASE) as harness:
        watch = Watch(ParadexMarketData(harness.hosts, {VENUE_CASE.symbol: 7}, **options))
        async with harness.session.ws_connect(watch.feed.url) as socket:
            watch.feed.connected(0)
            await watch.until(socket, lambda: bool(watch.depths))
            harness.show(61_000, 61_002)
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


async def test_a_stream_with_an_expired_token_ends_and_asks_for_another() -> None:
    """Tokens live five minutes; a reconnection after a quiet night must not go on without one."""
    async with a_venue_harness(VENUE_CASE) as harness:
        harness.clock.ahead_s = 400

        async with harness.session.ws_connect(harness.trading.stream_url()) as socket:
            await harness.socket.close()
            harness.socket = socket
            with pytest.raises(FrameError, match="auth refused: 40111"):
                await harness.read_stream()

        assert harness.trading.renew_due_unix_ms == 0
