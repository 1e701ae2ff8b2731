"""Orders over REST and over the socket: life cycle, private events, refusals, disconnection."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from simulator.faults import Fault
from simulator.paradex.settings import RateLimits
from simulator.paradex.signing import Verification
from tests.simulator.paradex.client import Client, Key
from tests.simulator.paradex.conftest import BTC, StartVenue, Venue, price
from tests.waiting import eventually
from venues.contract import E8


@pytest.fixture
async def client(venue: Venue) -> AsyncIterator[Client]:
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        yield client


async def test_an_order_over_rest_rests_and_is_cancelled(client: Client) -> None:
    """NEW is the answer; that it rests and that it is gone is told on the channel."""
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    status, created, _ = await client.call("POST", "/orders", json=client.key.order(client_id="q-1"))
    opened = await socket.next_on("orders.ALL", status="OPEN")
    listed = await client.get("/orders")
    fetched = await client.get(f"/orders/{created['id']}")
    by_client_id = await client.get("/orders/by_client_id/q-1")
    deleted = await client.call("DELETE", f"/orders/{created['id']}")
    closed = await socket.next_on("orders.ALL", status="CLOSED")
    gone = await client.call("GET", f"/orders/{created['id']}")
    again = await client.call("DELETE", f"/orders/{created['id']}")

    assert (status, created["status"], created["remaining_size"]) == (201, "NEW", "0.01")
    assert created["timestamp"] == opened["timestamp"] <= time.time() * 1000
    assert len(created["id"]) == 28
    assert opened["id"] == fetched["id"] == by_client_id["id"] == created["id"]
    assert [order["id"] for order in listed["results"]] == [created["id"]]
    assert deleted[:2] == (204, None)
    assert (closed["id"], closed["cancel_reason"], closed["remaining_size"]) == (
        created["id"],
        "USER_CANCELED",
        "0.01",
    )
    assert opened["seq_no"] < closed["seq_no"]
    assert (gone[0], gone[1]["error"]) == (400, "ORDER_ID_NOT_FOUND")
    assert (again[0], again[1]["error"]) == (400, "ORDER_IS_CLOSED")


async def test_a_taker_over_the_socket_is_filled(client: Client) -> None:
    """Fee, average price, position and collateral follow from one fill to the last digit."""
    socket = await client.socket()
    await socket.subscribe(f"orders.{BTC}", "account")
    body = client.key.order(side="SELL", size="0.5", price="64990", instruction="IOC", client_id="t-1")
    reply = await socket.call("order.create", body)
    closed = await socket.next_on(f"orders.{BTC}", status="CLOSED")
    account = await socket.next_on("account")
    (fill,) = (await client.get("/fills"))["results"]
    (position,) = (await client.get("/positions"))["results"]

    result = reply["result"]
    assert result["order"]["status"] == "NEW"
    assert result["received_at"] > 10**18  # nanoseconds here
    assert reply["usOut"] - reply["usIn"] == reply["usDiff"] >= 0
    assert closed["id"] == result["order"]["id"]
    assert (closed["remaining_size"], closed["cancel_reason"], closed["avg_fill_price"]) == ("0", "", "65000")
    assert (fill["price"], fill["size"], fill["side"], fill["liquidity"]) == ("65000", "0.5", "SELL", "TAKER")
    assert (fill["order_id"], fill["client_id"]) == (closed["id"], "t-1")
    assert fill["fee"] == "14.625"  # 4.5 bps of 32,500
    assert (position["side"], position["size"], position["average_entry_price"]) == ("SHORT", "-0.5", "65000")
    assert position["status"] == "OPEN"
    assert account["total_collateral"] == "99985.375"


async def test_the_events_of_one_fill_come_in_the_documented_order(client: Client) -> None:
    socket = await client.socket()
    await socket.subscribe("account", "positions", "orders.ALL", "fills.ALL")
    await socket.result("order.create", client.key.order(side="BUY", price="65001", instruction="IOC"))
    while "account" not in [name for name, _ in socket.notifications]:
        await socket.read()

    names = [name for name, data in socket.notifications if data.get("status") != "NEW"]
    assert names == ["fills.ALL", "orders.ALL", "positions", "account"]


async def test_the_rest_of_an_ioc_is_given_back_with_a_reason(client: Client) -> None:
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    await socket.result("order.create", client.key.order(size="3", price="65001", instruction="IOC"))
    closed = await socket.next_on("orders.ALL", status="CLOSED")

    assert (closed["remaining_size"], closed["avg_fill_price"]) == ("1", "65001")
    assert closed["cancel_reason"] == "NO_LIQUIDITY"


async def test_a_market_order_needs_no_price_and_stops_at_the_band(client: Client, venue: Venue) -> None:
    """Its signed price is zero; its limit is the edge of the price band around the mark."""
    venue.show(bids=[(price(65000), E8)], asks=[(price(65001), E8), (price(80000), E8)])
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    body = client.key.order(type="MARKET", size="2", price=None)
    await socket.result("order.create", body)
    closed = await socket.next_on("orders.ALL", status="CLOSED")

    assert (closed["type"], closed["price"]) == ("MARKET", "0")
    assert (closed["remaining_size"], closed["avg_fill_price"]) == ("1", "65001")


async def test_a_resting_order_is_filled_when_the_market_comes_to_it(client: Client, venue: Venue) -> None:
    socket = await client.socket()
    await socket.subscribe("orders.ALL", "fills.ALL")
    await socket.result("order.create", client.key.order(price="65000.5", instruction="POST_ONLY"))
    await socket.next_on("orders.ALL", status="OPEN")
    venue.show(bids=[(price(64990), E8)], asks=[(price(65000), E8)])
    fill = await socket.next_on("fills.ALL")
    closed = await socket.next_on("orders.ALL", status="CLOSED")

    assert (fill["liquidity"], fill["price"]) == ("MAKER", "65000.5")
    assert closed["remaining_size"] == "0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": "65001", "instruction": "POST_ONLY"}, "POST_ONLY_WOULD_CROSS"),
        ({"size": "90"}, "NOT_ENOUGH_MARGIN"),
        ({"flags": ["REDUCE_ONLY"]}, "REDUCE_ONLY_INCREASES"),
        ({"price": "69000"}, "PRICE_BAND"),
        ({"price": "64000", "size": "0.01", "instruction": "IOC"}, "NO_LIQUIDITY"),
    ],
)
async def test_what_risk_or_matching_refuses_is_closed_with_a_reason(
    client: Client, changes: dict[str, Any], reason: str
) -> None:
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    reply = await socket.result("order.create", client.key.order(**changes))
    closed = await socket.next_on("orders.ALL", status="CLOSED")

    assert closed["id"] == reply["order"]["id"]
    assert closed["cancel_reason"] == reason
    assert closed["remaining_size"] == closed["size"]


REFUSALS = [
    ({"price": "60000.05"}, "INVALID_REQUEST_PARAMETER"),
    ({"size": "0.000001"}, "INVALID_ORDER_SIZE"),
    ({"size": "101"}, "INVALID_ORDER_SIZE"),
    ({"size": "0.0001"}, "INVALID_REQUEST_PARAMETER"),  # 6.5 USD is below the minimum notional
    ({"market": "DOGE-USD-PERP"}, "MARKET_NOT_FOUND"),
    ({"instruction": "RPI"}, "RPI_ACCOUNT_NOT_WHITELISTED"),
    ({"type": "STOP_LIMIT"}, "REQUEST_NOT_ALLOWED"),
    ({"recv_window": 5}, "INVALID_REQUEST_PARAMETER"),
    ({"client_id": "x" * 65}, "VALIDATION_ERROR"),
    ({"side": "LONG", "signature": '["1","2"]'}, "VALIDATION_ERROR"),
    ({"instruction": "FOK"}, "VALIDATION_ERROR"),
    ({"flags": ["FAST"]}, "VALIDATION_ERROR"),
    ({"size": "1e3", "signature": '["1","2"]'}, "INVALID_ORDER_SIZE"),
    ({"size": "-1", "signature": '["1","2"]'}, "INVALID_ORDER_SIZE"),
    ({"size": 1, "signature": '["1","2"]'}, "INVALID_ORDER_SIZE"),
    ({"signature": '["1","2"]'}, "INVALID_ORDER_SIGNATURE"),
    ({"signature": "rubbish"}, "INVALID_ORDER_SIGNATURE"),
    ({"signature": ""}, "VALIDATION_ERROR"),
    ({"signature_timestamp": 1_790_000_000_123}, "INVALID_TIMESTAMP"),
    ({"signature_timestamp": int(time.time() * 1000) + 3_600_000}, "INVALID_TIMESTAMP"),
]


@pytest.mark.parametrize(("changes", "code"), REFUSALS)
async def test_what_is_refused_at_the_door_never_becomes_an_order(
    client: Client, changes: dict[str, Any], code: str
) -> None:
    """The same code over REST and over the socket, and no order exists afterwards."""
    body = client.key.order(**changes)
    socket = await client.socket()
    status, refused, _ = await client.call("POST", "/orders", json=body)
    error = await socket.error("order.create", body)
    history = await client.get("/orders-history")

    assert (status, refused["error"]) == (400, code)
    assert (error["code"], error["message"]) == (100, code)
    assert error["data"]
    assert history["results"] == []


@pytest.mark.parametrize("field", ["size", "price", "side", "market"])
async def test_a_signature_covers_every_signed_field(client: Client, field: str) -> None:
    """What was signed is what must be sent: a changed field is a forged order."""
    body = client.key.order()
    changed = {"size": "0.02", "price": "60000.1", "side": "SELL", "market": "ETH-USD-PERP"}
    status, refused, _ = await client.call("POST", "/orders", json={**body, field: changed[field]})

    assert (status, refused["error"]) == (400, "INVALID_ORDER_SIGNATURE")


async def test_verification_can_be_turned_off(start: StartVenue) -> None:
    venue = await start(verification=Verification.NONE)
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        status, _, _ = await client.call("POST", "/orders", json=client.key.order(signature='["1","2"]'))

    assert status == 201


async def test_a_client_id_is_free_again_once_its_order_is_closed(client: Client) -> None:
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    first = await socket.result("order.create", client.key.order(client_id="same"))
    error = await socket.error("order.create", client.key.order(client_id="same"))
    await socket.result("order.cancel", {"client_id": "same", "market": BTC})
    await socket.next_on("orders.ALL", status="CLOSED")
    second = await socket.result("order.create", client.key.order(client_id="same"))
    history = (await client.get("/orders-history?client_id=same"))["results"]

    assert error["message"] == "DUPLICATED_CLIENT_ID"
    assert [order["id"] for order in history] == [second["order"]["id"], first["order"]["id"]]


async def test_history_is_paged_newest_first(client: Client) -> None:
    socket = await client.socket()
    created = [
        (await socket.result("order.create", client.key.order(client_id=f"c{n}")))["order"]["id"]
        for n in range(3)
    ]
    first = await client.get("/orders-history?page_size=2")
    second = await client.get(f"/orders-history?page_size=2&cursor={first['next']}")
    bad = await client.call("GET", "/orders-history?cursor=nonsense")

    assert [order["id"] for order in first["results"]] == created[:0:-1]
    assert [order["id"] for order in second["results"]] == created[:1]
    assert second["next"] is None
    assert bad[1]["error"] == "INVALID_REQUEST_PARAMETER"


async def test_cancel_all_takes_the_market_it_is_told(client: Client, venue: Venue) -> None:
    eth = "ETH-USD-PERP"
    venue.show(bids=[(price(3000), E8)], asks=[(price(3001), E8)], symbol=eth)
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    await socket.result("order.create", client.key.order())
    await socket.result("order.create", client.key.order(market=eth, price="2900"))
    await socket.next_on("orders.ALL", market=eth, status="OPEN")
    assert await socket.result("order.cancel_all", {"market": eth}) == {"status": "ok"}
    await socket.next_on("orders.ALL", market=eth, status="CLOSED")
    left = (await client.get("/orders"))["results"]
    status, body, _ = await client.call("DELETE", "/orders")
    await socket.next_on("orders.ALL", market=BTC, status="CLOSED")

    assert [order["market"] for order in left] == [BTC]
    assert (status, body) == (200, {})
    assert (await client.get("/orders"))["results"] == []


async def test_a_batch_is_answered_order_by_order(client: Client) -> None:
    socket = await client.socket()
    good, twin = client.key.order(client_id="b"), client.key.order(client_id="b")
    result = await socket.result("order.create_batch", [good, twin])
    status, body, _ = await client.call(
        "POST", "/orders/batch", json=[client.key.order(), client.key.order(client_id="b")]
    )
    forged = await socket.error(
        "order.create_batch", {"orders": [client.key.order(), client.key.order(signature='["1","2"]')]}
    )
    too_many = await client.call("POST", "/orders/batch", json=[good] * 11)
    ids = [result["results"][0]["order"]["id"], body["orders"][0]["id"], "no-such-order"]
    cancelled = await socket.result("order.cancel_batch", {"order_ids": ids})

    assert "DUPLICATED_CLIENT_ID" in result["results"][1]["error"]
    assert status == 201
    assert body["orders"][1] is None
    assert body["errors"] == [
        None,
        {"error": "DUPLICATED_CLIENT_ID", "message": body["errors"][1]["message"]},
    ]
    assert forged["message"] == "INVALID_ORDER_SIGNATURE"
    assert too_many[1]["error"] == "BATCH_SIZE_OUT_OF_RANGE"
    assert [entry["status"] for entry in cancelled["results"]] == [
        "QUEUED_FOR_CANCELLATION",
        "QUEUED_FOR_CANCELLATION",
        "NOT_FOUND",
    ]


async def test_another_account_sees_and_touches_nothing_of_ours(client: Client, venue: Venue) -> None:
    async with Client(venue.url, private_key=0xBEEF) as stranger:
        await stranger.onboard()
        await stranger.log_in()
        theirs = await stranger.socket()
        await theirs.subscribe("orders.ALL", "account")
        ours = await client.socket()
        await ours.subscribe("account")
        order_id = (await ours.result("order.create", client.key.order(client_id="mine")))["order"]["id"]
        await ours.next_on("account")
        by_id = await theirs.error("order.cancel", {"id": order_id})
        by_client_id = await theirs.error("order.cancel", {"client_id": "mine", "market": BTC})
        listed = (await stranger.get("/orders"))["results"]
        seen = list(theirs.notifications)

    assert by_id["message"] == "ORDER_ID_NOT_FOUND"
    assert by_client_id["message"] == "CLIENT_ORDER_ID_NOT_FOUND"
    assert (listed, seen) == ([], [])


async def test_an_unexpected_disconnect_cancels_what_was_placed_on_it(client: Client, venue: Venue) -> None:
    watcher = await client.socket()
    await watcher.subscribe("orders.ALL")
    armed, unarmed = await client.socket(), await client.socket()
    assert await armed.result("order.cancel_on_disconnect", {"enabled": True}) == {"enabled": True}
    doomed = (await armed.result("order.create", client.key.order()))["order"]["id"]
    kept = (await unarmed.result("order.create", client.key.order()))["order"]["id"]
    await watcher.next_on("orders.ALL", id=kept, status="OPEN")
    for socket in (unarmed, armed):
        transport = socket.raw._response.connection.transport  # type: ignore[union-attr]
        assert transport is not None
        transport.abort()
    closed = await watcher.next_on("orders.ALL", status="CLOSED")
    left = (await client.get("/orders"))["results"]

    assert (closed["id"], closed["cancel_reason"]) == (doomed, "USER_CANCELED")
    assert [order["id"] for order in left] == [kept]


async def test_a_clean_goodbye_keeps_the_orders(client: Client) -> None:
    socket = await client.socket()
    await socket.result("order.cancel_on_disconnect", {"enabled": True})
    order_id = (await socket.result("order.create", client.key.order()))["order"]["id"]
    await socket.raw.close()
    left = (await client.get("/orders"))["results"]

    assert [order["id"] for order in left] == [order_id]


async def test_the_answer_and_the_execution_take_the_time_they_are_told(start: StartVenue) -> None:
    venue = await start(ack_latency_ms=40.0, execution_latency_ms=60.0)
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        socket = await client.socket()
        await socket.subscribe("orders.ALL")
        began = time.monotonic()
        await socket.result("order.create", client.key.order())
        acked_s = time.monotonic() - began
        await socket.next_on("orders.ALL", status="OPEN")
        opened_s = time.monotonic() - began

    assert acked_s >= 0.039
    assert opened_s >= 0.099


async def test_retail_tokens_wait_at_the_speed_bump(start: StartVenue) -> None:
    venue = await start(retail_delay_ms=80.0)
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in("?token_usage=interactive")
        began = time.monotonic()
        await client.call("POST", "/orders", json=client.key.order())
        elapsed_s = time.monotonic() - began

    assert elapsed_s >= 0.08


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("cancel_only", "SYSTEM_STATUS_CANCEL_ONLY"),
        ("post_only", "SYSTEM_STATUS_POST_ONLY"),
        ("maintenance", "SERVICE_UNAVAILABLE"),
    ],
)
async def test_restricted_modes_refuse_takers(client: Client, venue: Venue, status: Any, code: str) -> None:
    venue.front.system_status = status
    http_status, body, _ = await client.call("POST", "/orders", json=client.key.order())

    assert body["error"] == code
    assert http_status == (503 if status == "maintenance" else 400)


async def test_post_only_mode_takes_post_only_orders(client: Client, venue: Venue) -> None:
    venue.front.system_status = "post_only"
    status, _, _ = await client.call("POST", "/orders", json=client.key.order(instruction="POST_ONLY"))

    assert status == 201


async def test_rest_and_socket_share_the_order_budget(start: StartVenue) -> None:
    venue = await start(rate_limits=RateLimits(orders=((2, 60),)))
    async with Client(venue.url) as client:
        await client.onboard()
        await client.log_in()
        socket = await client.socket()
        first = await client.call("POST", "/orders", json=client.key.order())
        await socket.result("order.create", client.key.order())
        over_socket = await socket.error("order.create", client.key.order())
        over_rest = await client.call("DELETE", "/orders")

    assert first[0] == 201
    assert first[2]["x-ratelimit-remaining"] == "1"
    assert over_socket["code"] == 42901
    assert (over_rest[0], "retry-after" in over_rest[2]) == (429, True)


async def test_a_lost_answer_does_not_undo_the_order(client: Client, venue: Venue) -> None:
    """What a timeout leaves behind: the client knows nothing, the venue has the order."""
    venue.front.faults.add(Fault("ws.order.create", drop_reply=True))
    socket = await client.socket()
    await socket.subscribe("orders.ALL")
    await socket.raw.send_json(
        {"jsonrpc": "2.0", "id": 99, "method": "order.create", "params": client.key.order(client_id="lost")}
    )
    opened = await socket.next_on("orders.ALL", status="OPEN")

    assert opened["client_id"] == "lost"
    assert not any('"id":99,' in text for text in socket.texts)


async def test_faults_answer_in_the_venues_words(client: Client, venue: Venue) -> None:
    venue.front.faults.add(Fault("rest.orders.create", code="NOT_ENOUGH_MARGIN"))
    venue.front.faults.add(Fault("rest.orders.create", status=502, body=b"<html>"))
    first = await client.call("POST", "/orders", json=client.key.order())
    async with client.http.post(
        f"{client.base_url}/orders",
        json=client.key.order(),
        headers={"Authorization": f"Bearer {client.token}"},
    ) as response:
        second = response.status, await response.read()

    assert (first[0], first[1]["error"]) == (400, "NOT_ENOUGH_MARGIN")
    assert second == (502, b"<html>")
    assert (await client.get("/orders-history"))["results"] == []


async def test_an_acknowledgement_does_not_wait_for_the_execution(client: Client, venue: Venue) -> None:
    venue.front.faults.add(Fault(f"execute.{BTC}", delay_ms=3_600_000.0))
    status, created, _ = await client.call("POST", "/orders", json=client.key.order())
    order = venue.front.exchange.order(created["id"])

    assert status == 201
    assert order is None or order.status.value != "open"


async def test_an_execution_can_be_late(client: Client, venue: Venue) -> None:
    venue.front.faults.add(Fault(f"execute.{BTC}", delay_ms=120.0))
    began = time.monotonic()
    _, created, _ = await client.call("POST", "/orders", json=client.key.order())
    exchange = venue.front.exchange

    def is_open() -> bool:
        order = exchange.order(created["id"])
        return order is not None and order.status.value == "open"

    await eventually(is_open, "the order opens")
    assert time.monotonic() - began >= 0.12


def test_the_test_client_signs_as_published() -> None:
    """The client's own hashing is checked too, or its agreement with the venue would prove little."""
    key = Key(0x1234567890ABCDEF1234567890ABCDEF)

    assert key.account == 0x3CA3878D9C0358C9ABE2B8EEDE50BC08B33A189B7C8F1B3C344B52FCB48406E
