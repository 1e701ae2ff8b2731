"""What Vest alone offers, over real sockets; the rest is ``tests/venues/test_conformance_sockets``."""

from __future__ import annotations

from tests.venues.account import a_venue_harness, is_ack, is_final, now_unix_ms, only
from tests.venues.vest.venue_case import VENUE_CASE
from venues.contract import E8, OrderAck, OrderRef, OrderStatus, Outcome, TimeInForce


async def test_the_double_of_a_filled_order_is_in_doubt_and_the_question_finds_the_first() -> None:
    """Vest knows a double by its nonce even after the order has ended; its rejection is not the order's."""
    async with a_venue_harness(VENUE_CASE) as harness:
        signed = harness.trading.sign_create(harness.order(price=60_100), now_unix_ms())
        await harness.write(signed)
        [first] = only(OrderAck, await harness.until(is_ack, is_final))
        await harness.write(signed)
        second = only(OrderAck, await harness.until(is_ack))[-1]

        assert (second.outcome, second.code) == (Outcome.IN_DOUBT, "3015")
        update = await harness.found(signed.request)
        assert (update.venue_order_id, update.status) == (first.venue_order_id, OrderStatus.FILLED)


async def test_refusals_carry_the_venues_codes() -> None:
    """An order too old for its window, and a cancel of an order that has ended."""
    async with a_venue_harness(VENUE_CASE) as harness:
        await harness.write(harness.trading.sign_create(harness.order(price=60_100), now_unix_ms() - 6_000))
        [late] = only(OrderAck, await harness.until(is_ack))
        assert late.code == "1132"

        request = harness.order(price=60_100)
        await harness.place(request)
        await harness.until(is_final)
        ref = OrderRef(request.client_order_id, harness.instrument)
        assert (await harness.run(harness.trading.cancel_order(ref, now_unix_ms()))).code == "3017"


async def test_ioc_takes_within_its_limit() -> None:
    """Sent as MARKET with a worst price, since IOC is not documented."""
    async with a_venue_harness(VENUE_CASE) as harness:
        await harness.place(harness.order(price=60_001, time_in_force=TimeInForce.IOC))
        await harness.until(is_final)
        assert await harness.position_e8() == E8 // 10
        await harness.place(harness.order(price=60_000, time_in_force=TimeInForce.IOC))
        await harness.until(is_final)
        assert await harness.position_e8() == E8 // 10
