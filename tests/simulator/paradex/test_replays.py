"""A signed order is one order: sent again within its window it is refused, whoever sends it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from simulator.faults import Fault
from tests.simulator.paradex.client import Client
from tests.simulator.paradex.conftest import StartVenue, Venue
from tests.waiting import eventually


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[Client]:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        yield client


async def held(client: Client) -> list[str]:
    return [row["size"] for row in (await client.get("/positions"))["results"]]


async def test_the_same_order_byte_for_byte_is_carried_out_once(client: Client) -> None:
    body = client.key.order(side="BUY", price="65001", instruction="IOC", client_id="r-1")
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    assert (await client.call("POST", "/orders", json=body))[0] == 201
    await socket.next_on("orders.ALL", status="CLOSED")
    status, refused, _ = await client.call("POST", "/orders", json=body)
    assert (status, refused["error"]) == (400, "DUPLICATED_CLIENT_ID")
    assert "DUPLICATED_CLIENT_ID" in str(await socket.error("order.create", body))
    assert await held(client) == ["0.01"]


async def test_another_client_id_makes_no_other_order_of_it(client: Client) -> None:
    """The client id is not signed; neither is how long the order may be on its way."""
    body = client.key.order(client_id="r-1")
    assert (await client.call("POST", "/orders", json=body))[0] == 201
    for changes in ({"client_id": "r-2"}, {"client_id": "r-3", "recv_window": 600_000}):
        status, refused, _ = await client.call("POST", "/orders", json={**body, **changes})
        assert (status, refused["error"]) == (400, "DUPLICATED_CLIENT_ID")
    assert len((await client.get("/orders"))["results"]) == 1


async def test_orders_that_differ_in_what_is_signed_are_others(client: Client) -> None:
    """ccxt sends whole seconds: times may be equal."""
    first = client.key.order()
    second = client.key.order(signature_timestamp=first["signature_timestamp"], size="0.02")
    assert [(await client.call("POST", "/orders", json=body))[0] for body in (first, second)] == [201, 201]


async def test_a_modification_sent_again_is_refused(client: Client) -> None:
    _, created, _ = await client.call("POST", "/orders", json=client.key.order())
    change = client.key.modify(created["id"], price="60001")

    async def is_open() -> bool:
        return bool((await client.get(f"/orders/{created['id']}"))["status"] == "OPEN")

    await eventually(is_open, "the order rests")
    path = f"/orders/{created['id']}"
    assert (await client.call("PUT", path, json=change))[0] == 200
    status, refused, _ = await client.call("PUT", path, json=change)
    assert (status, refused["error"]) == (400, "DUPLICATED_CLIENT_ID")


async def test_a_venue_may_be_told_to_take_it(start: StartVenue) -> None:
    venue = await start(takes_replays=True)
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        body = client.key.order(side="BUY", price="65001", instruction="IOC")
        for _ in range(2):
            assert (await client.call("POST", "/orders", json=body))[0] == 201

        async def is_doubled() -> bool:
            return await held(client) == ["0.02"]

        await eventually(is_doubled, "the order is carried out twice")


@pytest.mark.parametrize("answers_last", [False, True])
@pytest.mark.parametrize("is_taken", [False, True])
@pytest.mark.parametrize("road", ["rest", "ws"])
async def test_a_middlebox_repeats_a_request(
    client: Client, venue: Venue, road: str, is_taken: bool, answers_last: bool
) -> None:
    """Which answer comes back is the middlebox's choice: the second one says nothing of the first."""
    point = "rest.orders.create" if road == "rest" else "ws.order.create"
    venue.front.faults.add(Fault(point, duplicate=True, answers_last=answers_last))
    if is_taken:
        venue.front.faults.add(Fault("admit.replay", duplicate=True))
    body = client.key.order(side="BUY", price="65001", instruction="IOC")
    if road == "rest":
        has_worked = (await client.call("POST", "/orders", json=body))[0] == 201
    else:
        socket = await client.socket()
        has_worked = "result" in await socket.call("order.create", body)
    assert has_worked is (is_taken or not answers_last)

    async def is_held() -> bool:
        return await held(client) == ["0.02" if is_taken else "0.01"]

    await eventually(is_held, "what was taken is held")
