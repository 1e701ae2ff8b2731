"""The fault plan, and the faults at Vest that are about time."""

from __future__ import annotations

import asyncio
import time

from simulator.faults import Fault, FaultPlan
from tests.simulator.vest_server import a_vest
from tests.waiting import DEADLINE_S


def test_the_first_armed_fault_strikes_and_spends_itself() -> None:
    """In the order they were added, each as often as it says, at the points it names."""
    plan = FaultPlan()
    twice = plan.add(Fault("rest.orders.*", times=2))
    always = plan.add(Fault("rest.*", times=None))

    assert plan.take("push.depth.BTC-PERP") is None
    assert [plan.take("rest.orders.create") for _ in range(3)] == [twice, twice, always]
    assert plan.take("rest.account") is always
    assert (twice.struck, always.struck) == (2, 2)

    plan.remove(always)
    plan.remove(twice)  # spent already: nothing to do
    assert plan.take("rest.account") is None


def test_clearing_disarms_everything() -> None:
    """The end of a script must leave a healthy venue."""
    plan = FaultPlan()
    plan.add(Fault("*", times=None))
    plan.clear()

    assert plan.take("rest.account") is None


async def test_a_delayed_answer_comes_after_the_order_was_executed() -> None:
    """The stream overtakes the answer: the client must cope with either order."""
    async with a_vest() as vest:
        client = await vest.client()
        stream = await client.private_stream()
        vest.front.faults.add(Fault("rest.orders.create", delay_ms=200))

        answer = asyncio.create_task(client.place(client.market(price="60010.00")))
        events = await stream.order_events(2)

        assert [event["status"] for event in events] == ["NEW", "FILLED"]
        assert not answer.done()
        assert await answer == events[0]["id"]


async def test_an_order_executed_late_is_new_until_then() -> None:
    """Acknowledged at once, executed when the market may have moved."""
    async with a_vest() as vest:
        client = await vest.client()
        vest.front.faults.add(Fault("execute.BTC-PERP", delay_ms=100))

        began_s = time.monotonic()
        order_id = await client.place(client.market(price="60010.00"))
        assert (await client.row(order_id))["status"] == "NEW"
        vest.show(60_002, 60_003)

        assert (await client.finished(order_id))["avgFilledPrice"] == "60003.00"
        assert time.monotonic() - began_s >= 0.1


async def test_a_late_event_arrives_after_a_younger_one() -> None:
    """Reordering on a stream without sequence numbers."""
    async with a_vest() as vest:
        client = await vest.client()
        stream = await client.private_stream()
        vest.front.faults.add(Fault("push.account_private", delay_ms=100))

        await client.place(client.market(price="60010.00"))

        assert [event["status"] for event in await stream.order_events(2)] == ["FILLED", "NEW"]


async def test_api_keys_can_be_made_to_expire() -> None:
    """The next private call is refused; a new registration heals it."""
    async with a_vest() as vest:
        client = await vest.client()
        vest.front.clients.expire_api_keys((await client.account())["address"])

        async with asyncio.timeout(DEADLINE_S):
            assert await client.refused("/account", None, "GET") == 1002
            await client.register()
        assert (await client.account())["positions"] == []
