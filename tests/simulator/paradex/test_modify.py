"""Modifying orders over REST and over the socket: what is answered, what follows, what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from simulator.faults import Fault
from tests.simulator.paradex.client import Client, Key, Socket
from tests.simulator.paradex.conftest import BTC, StartVenue, Venue, price
from venues.contract import E8

VECTORS = Path(__file__).parents[2] / "vectors" / "paradex_vectors.json"


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[Client]:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        yield client


async def an_open_order(client: Client, **fields: Any) -> tuple[Socket, str]:
    """A socket that hears of orders and the id of one that rests."""
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    created = await socket.result("order.create", client.key.order(**fields))
    await socket.next_on("orders.ALL", status="NEW")
    await socket.next_on("orders.ALL", status="OPEN")
    return socket, created["order"]["id"]


async def put(client: Client, order_id: str, body: dict[str, Any]) -> tuple[int, Any]:
    status, answer, _ = await client.call("PUT", f"/orders/{order_id}", json=body)
    return status, answer


async def test_a_modification_is_pending_in_the_answer_and_settled_on_the_channel(client: Client) -> None:
    """The id stays; the answer shows the order as it still stands, the event as it stands now."""
    socket, order_id = await an_open_order(client, client_id="m-1")
    body = client.key.modify(order_id, size="0.02", price="60001")
    status, answer = await put(client, order_id, body)
    changed = await socket.next_on("orders.ALL")
    listed = (await client.get("/orders"))["results"]

    assert (status, answer["id"], answer["size"], answer["price"]) == (200, order_id, "0.01", "60000")
    pending, settled = answer["request_info"], changed["request_info"]
    assert (pending["request_type"], pending["status"], pending["message"]) == ("MODIFY_ORDER", "PENDING", "")
    assert settled == {**pending, "status": "SUCCESS"}
    assert (changed["id"], changed["status"], changed["client_id"]) == (order_id, "OPEN", "m-1")
    assert (changed["size"], changed["remaining_size"], changed["price"]) == ("0.02", "0.02", "60001")
    assert changed["timestamp"] == body["signature_timestamp"]
    assert changed["seq_no"] > answer["seq_no"]
    assert [(order["id"], order["size"], order["price"]) for order in listed] == [(order_id, "0.02", "60001")]


async def test_the_socket_modifies_like_rest(client: Client) -> None:
    socket, order_id = await an_open_order(client)
    result = await socket.result("order.modify", client.key.modify(order_id, price="60001"))
    changed = await socket.next_on("orders.ALL")

    assert list(result) == ["order"]
    assert result["order"]["request_info"]["status"] == "PENDING"
    assert (changed["request_info"]["status"], changed["price"]) == ("SUCCESS", "60001")


async def test_a_modification_that_crosses_is_filled(client: Client) -> None:
    socket, order_id = await an_open_order(client)
    await socket.result("order.modify", client.key.modify(order_id, price="65001"))
    closed = await socket.next_on("orders.ALL", status="CLOSED")
    (fill,) = (await client.get("/fills"))["results"]

    assert (closed["remaining_size"], closed["cancel_reason"]) == ("0", "")
    assert closed["request_info"]["status"] == "SUCCESS"
    assert (fill["order_id"], fill["liquidity"], fill["price"]) == (order_id, "TAKER", "65001")


@pytest.mark.parametrize(
    ("created", "changes", "message"),
    [
        ({}, {"size": "90"}, "NOT_ENOUGH_MARGIN"),
        ({}, {"price": "69000"}, "PRICE_BAND"),
        ({"instruction": "POST_ONLY"}, {"price": "65001"}, "POST_ONLY_WOULD_CROSS"),
    ],
)
async def test_what_risk_refuses_is_rejected_later_and_the_order_stays(
    client: Client, created: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    socket, order_id = await an_open_order(client, **created)
    status, answer = await put(client, order_id, client.key.modify(order_id, **changes))
    reported = await socket.next_on("orders.ALL")
    listed = (await client.get("/orders"))["results"]

    assert (status, answer["request_info"]["status"]) == (200, "PENDING")
    assert reported["request_info"]["status"] == "REJECTED"
    assert reported["request_info"]["message"].startswith(f"{message}: ")
    assert (reported["status"], reported["size"], reported["price"]) == ("OPEN", "0.01", "60000")
    assert [(order["id"], order["size"]) for order in listed] == [(order_id, "0.01")]


async def test_an_order_gone_before_its_modification_is_told_so(client: Client, venue: Venue) -> None:
    """The answer said PENDING; the market came first."""
    socket, order_id = await an_open_order(client, price="65000.5")
    venue.front.faults.add(Fault(f"execute.{BTC}", delay_ms=60_000.0))
    await socket.result("order.modify", client.key.modify(order_id, price="64000"))
    venue.show(bids=[(price(64990), E8)], asks=[(price(65000), E8)])
    closed = await socket.next_on("orders.ALL", status="CLOSED")

    assert closed["request_info"]["status"] == "PENDING"
    assert (closed["remaining_size"], closed["price"]) == ("0", "65000.5")


async def test_a_modification_too_late_is_rejected(start: StartVenue) -> None:
    venue = await start(execution_latency_ms=3_000.0)
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        socket, order_id = await an_open_order(client)
        cancelled = await socket.result("order.cancel", {"id": order_id})
        pending = await socket.result("order.modify", client.key.modify(order_id, price="60001"))
        reported = await socket.next_on("orders.ALL", status="CLOSED")
        rejected = await socket.next_on("orders.ALL")

    assert cancelled["status"] == "QUEUED_FOR_CANCELLATION"
    assert pending["order"]["status"] == "OPEN"
    assert reported["request_info"]["status"] == "PENDING"
    assert (rejected["status"], rejected["request_info"]["status"]) == ("CLOSED", "REJECTED")
    assert rejected["request_info"]["message"].startswith("ORDER_IS_NOT_OPEN: ")
    assert (rejected["price"], rejected["cancel_reason"]) == ("60000", "USER_CANCELED")


REFUSALS = [
    ({}, "INVALID_REQUEST_PARAMETER"),
    ({"price": "60000.05"}, "INVALID_REQUEST_PARAMETER"),
    ({"size": "0.000001"}, "INVALID_ORDER_SIZE"),
    ({"size": "0.0001"}, "INVALID_REQUEST_PARAMETER"),  # 6.5 USD is below the minimum notional
    ({"price": "60001", "side": "SELL"}, "INVALID_REQUEST_PARAMETER"),
    ({"price": "3000", "market": "ETH-USD-PERP"}, "INVALID_REQUEST_PARAMETER"),
    ({"price": None, "type": "MARKET"}, "INVALID_REQUEST_PARAMETER"),
    ({"price": "60001", "signature_timestamp": 1_790_000_000_123}, "INVALID_TIMESTAMP"),
    ({"price": "60001", "signature_timestamp": int(time.time() * 1000) + 3_600_000}, "INVALID_TIMESTAMP"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
async def test_what_is_refused_at_once_leaves_the_order_alone(
    client: Client, changes: dict[str, Any], code: str
) -> None:
    """The same code over REST and over the socket; no request is noted."""
    socket, order_id = await an_open_order(client)
    body = client.key.modify(order_id, **changes)
    status, refused = await put(client, order_id, body)
    error = await socket.error("order.modify", body)
    (listed,) = (await client.get("/orders"))["results"]

    assert (status, refused["error"]) == (400, code)
    assert (error["code"], error["message"]) == (100, code)
    if not changes:
        assert refused["message"] == "no order parameters changed"
    assert (listed["size"], listed["price"], listed["request_info"]) == ("0.01", "60000", None)


@pytest.mark.parametrize(
    "forge",
    [
        lambda key, order_id: {**key.modify(order_id, price="60001"), "price": "60002"},
        lambda key, order_id: {**key.modify(order_id, price="60001"), "size": "0.02"},
        lambda key, order_id: {**key.modify(str(int(order_id) + 1), price="60001"), "id": order_id},
        lambda key, order_id: {**key.order(price="60001"), "id": order_id},  # signed as a new order
        lambda key, order_id: {**key.modify(order_id, price="60001"), "signature": '["1","2"]'},
    ],
)
async def test_a_modification_is_signed_with_the_id_it_modifies(client: Client, forge: Any) -> None:
    _, order_id = await an_open_order(client)
    status, refused = await put(client, order_id, forge(client.key, order_id))

    assert (status, refused["error"]) == (400, "INVALID_ORDER_SIGNATURE")


async def test_only_ones_own_open_orders_can_be_modified(client: Client, venue: Venue) -> None:
    socket, order_id = await an_open_order(client)
    body = client.key.modify(order_id, price="60001")
    async with Client(venue.url, private_key=0x77) as other:
        await other.onboard()
        await other.log_in()
        stranger = await put(other, order_id, other.key.modify(order_id, price="60001"))
    two_ids = await put(client, order_id, {**body, "id": "1"})
    unknown = await put(client, "1", client.key.modify("1", price="60001"))
    nameless = await socket.error("order.modify", {**body, "id": None})
    await socket.result("order.cancel", {"id": order_id})
    await socket.next_on("orders.ALL", status="CLOSED")
    closed = await put(client, order_id, body)

    assert (stranger[0], stranger[1]["error"]) == (400, "ORDER_ID_NOT_FOUND")
    assert (two_ids[0], two_ids[1]["error"]) == (400, "VALIDATION_ERROR")
    assert (unknown[0], unknown[1]["error"]) == (400, "ORDER_ID_NOT_FOUND")
    assert nameless["message"] == "ORDER_ID_NOT_FOUND"
    assert (closed[0], closed[1]["error"]) == (400, "ORDER_IS_NOT_OPEN")


async def test_a_market_order_has_no_price_to_modify(client: Client) -> None:
    created = (await client.call("POST", "/orders", json=client.key.order(type="MARKET", price=None)))[1]
    body = client.key.modify(created["id"], type="MARKET", price=None, size="0.02")
    status, refused = await put(client, created["id"], body)

    assert (status, refused["error"]) == (400, "INVALID_REQUEST_PARAMETER")
    assert refused["message"].startswith("type: ")


@pytest.mark.parametrize(
    ("status", "instruction", "code"),
    [
        ("cancel_only", "POST_ONLY", "SYSTEM_STATUS_CANCEL_ONLY"),
        ("post_only", "GTC", "SYSTEM_STATUS_POST_ONLY"),
        ("post_only", "POST_ONLY", ""),
    ],
)
async def test_restricted_modes_look_at_the_orders_own_instruction(
    client: Client, venue: Venue, status: Any, instruction: str, code: str
) -> None:
    """A modification cannot change the instruction, so what it says of it does not count."""
    _, order_id = await an_open_order(client, instruction=instruction)
    venue.front.system_status = status
    http_status, answer = await put(
        client, order_id, client.key.modify(order_id, price="60001", instruction="POST_ONLY")
    )

    assert (http_status, answer.get("error", "")) == ((400, code) if code else (200, ""))


def test_the_test_client_signs_modifications_as_published() -> None:
    """Against the published vector, in the client's own family of deterministic signatures."""
    cases = json.loads(VECTORS.read_text())["signing_cases"]
    (case,) = (case for case in cases if case["name"] == "modify_testnet")
    body = Key(int(case["private_key"], 16)).modify(
        case["message"]["id"], size="0.02", price="60001", signature_timestamp=1_790_000_001_000
    )

    published = case["signatures"]["noseed"]
    assert json.loads(body["signature"]) == [published["r"], published["s"]]
