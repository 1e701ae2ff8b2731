"""Orders at the simulated Vest, over real sockets, by a client that shares no code with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import ClientConnectionError

from simulator.faults import Fault
from simulator.vest import VestSettings
from tests.simulator.vest_client import STRANGER_KEY, Stream, VestClient
from tests.simulator.vest_server import VestServer, a_vest
from tests.waiting import DEADLINE_S


@pytest_asyncio.fixture
async def vest() -> AsyncIterator[VestServer]:
    async with a_vest() as server:
        yield server


@pytest_asyncio.fixture
async def client(vest: VestServer) -> VestClient:
    return await vest.client()


async def test_a_market_order_fills_at_the_touch_and_moves_position_and_collateral(
    client: VestClient,
) -> None:
    """Fee 1 bp of the notional, realised result net of it, position by symbol without sign."""
    row = await client.finished(await client.place(client.market(size="0.1000", price="60010.00")))

    assert row["status"] == "FILLED"
    assert row["orderType"] == "MARKET"
    assert (row["avgFilledPrice"], row["lastFilledSize"]) == ("60001.00", "0.1000")
    assert (row["fees"], row["realizedPnl"]) == ("0.600010", "-0.600010")
    account = await client.account()
    (position,) = account["positions"]
    assert (position["symbol"], position["isLong"], position["size"]) == ("BTC-PERP", True, "0.1000")
    assert position["entryPrice"] == "60001.00"
    assert account["collateral"] == "99999.399990"
    assert account["totalAccountValue"] == "99999.349990"  # the mark is the mid, half a dollar below


async def test_private_events_tell_an_order_from_new_to_filled(client: VestClient) -> None:
    """NEW first, then FILLED with what was filled; correlated by id and by nonce."""
    stream = await client.private_stream()
    body = client.market(size="0.1000", price="60010.00")

    order_id = await client.place(body)

    new, filled = await stream.order_events(2)
    assert (new["status"], filled["status"]) == ("NEW", "FILLED")
    assert new["id"] == filled["id"] == order_id
    assert new["nonce"] == filled["nonce"] == body["order"]["nonce"]
    assert "avgFilledPrice" not in new
    assert (filled["avgFilledPrice"], filled["lastFilledSize"]) == ("60001.00", "0.1000")
    assert filled["fees"] == "0.600010"


async def test_an_event_reaches_only_the_account_it_is_about(vest: VestServer, client: VestClient) -> None:
    """Private means private: another account's socket hears its own orders alone."""
    other = await vest.other_client()
    stream = await other.private_stream()

    await client.finished(await client.place(client.market(price="60010.00")))
    own = await other.place(other.market(price="60010.00"))

    (event,) = await stream.order_events(1)
    assert event["id"] == own


async def test_a_market_order_gives_the_rest_back_and_tells_its_part_first(client: VestClient) -> None:
    """CANCELLED names no size, so what was filled must have been told before."""
    stream = await client.private_stream()

    order_id = await client.place(client.market(size="2.5000", price="60010.00"))

    new, partly, cancelled = await stream.order_events(3)
    assert [new["status"], partly["status"], cancelled["status"]] == ["NEW", "PARTIALLY_FILLED", "CANCELLED"]
    assert partly["lastFilledSize"] == "1.0000"
    assert set(cancelled) == {"id", "status", "postTime", "nonce"}
    assert (await client.account())["positions"][0]["size"] == "1.0000"
    assert (await client.row(order_id))["avgFilledPrice"] is None


async def test_a_market_order_that_finds_nothing_within_its_price_is_rejected_3001(
    client: VestClient,
) -> None:
    """The limit price of a MARKET order is the worst it may pay."""
    stream = await client.private_stream()

    order_id = await client.place(client.market(price="60000.99"))

    _, rejected = await stream.order_events(2)
    assert set(rejected) == {"id", "status", "code", "postTime", "nonce"}
    assert (rejected["status"], rejected["code"]) == ("REJECTED", 3001)
    assert (await client.row(order_id))["code"] == 3001


async def test_fok_fills_whole_or_is_rejected_3001(client: VestClient) -> None:
    """One coin is shown: more than that must leave no fill behind."""
    too_much = client.order(size="1.0001", price="60001.00", time_in_force="FOK")
    just_right = client.order(size="1.0000", price="60001.00", time_in_force="FOK")

    refused = await client.finished(await client.place(too_much))
    assert (refused["status"], refused["code"]) == ("REJECTED", 3001)
    assert (await client.account())["positions"] == []

    assert (await client.finished(await client.place(just_right)))["status"] == "FILLED"


async def test_a_resting_order_is_filled_by_the_market_in_steps(vest: VestServer, client: VestClient) -> None:
    """GTC rests silently; the market reaches it twice; each time the account is told."""
    stream = await client.private_stream()
    order_id = await client.place(client.order(size="0.5000", price="59990.00"))
    (new,) = await stream.order_events(1)

    vest.show(59_980, 59_990, size=0.2)
    vest.show(59_980, 59_985, size=0.4)

    partly, filled = await stream.order_events(2)
    assert [new["status"], partly["status"], filled["status"]] == ["NEW", "PARTIALLY_FILLED", "FILLED"]
    assert (partly["lastFilledSize"], filled["lastFilledSize"]) == ("0.2000", "0.3000")
    assert filled["avgFilledPrice"] == "59990.00"  # its own price: it was there first
    assert (await client.row(order_id))["fees"] == "2.999500"


async def test_a_cancelled_order_leaves_the_book_and_cannot_be_cancelled_again(
    vest: VestServer, client: VestClient
) -> None:
    """The event names neither symbol nor size; a second cancel is 3017."""
    stream = await client.private_stream()
    order_id = await client.place(client.order(price="59999.50", size="0.7000"))
    await stream.order_events(1)
    assert (await client.call("GET", "/depth?symbol=BTC-PERP"))[1]["bids"][0] == ["60000.00", "1.0000"]

    assert (await client.call("POST", "/orders/cancel", client.cancellation(order_id)))[0] == 200

    (event,) = await stream.order_events(1)
    assert event["status"] == "CANCELLED"
    assert set(event) == {"id", "status", "postTime", "nonce"}
    assert len((await client.call("GET", "/depth?symbol=BTC-PERP"))[1]["bids"]) == 1
    assert await client.refused("/orders/cancel", client.cancellation(order_id)) == 3017


async def test_nobody_cancels_a_strangers_order(vest: VestServer, client: VestClient) -> None:
    """An id is not a key: the order of another account is unknown here."""
    order_id = await client.place(client.order(price="59000.00"))
    other = await vest.other_client()

    assert await other.refused("/orders/cancel", other.cancellation(order_id)) == 3017
    assert (await client.row(order_id))["status"] == "NEW"


async def test_reduce_only_may_not_open_and_not_exceed(client: VestClient) -> None:
    """3018 without a position to reduce, 3019 beyond it; exactly all of it is fine."""

    async def sell(size: str) -> dict[str, object]:
        body = client.market(is_buy=False, size=size, price="59990.00", reduce_only=True)
        return await client.finished(await client.place(body))

    assert (await sell("0.1000"))["code"] == 3018
    await client.finished(await client.place(client.market(size="0.1000", price="60010.00")))
    assert (await sell("0.1001"))["code"] == 3019
    assert (await sell("0.1000"))["status"] == "FILLED"
    assert (await client.account())["positions"] == []


async def test_a_resting_reduce_only_order_is_cancelled_with_its_position(
    vest: VestServer, client: VestClient
) -> None:
    """It was accepted and rested: its end is a cancel, not a rejection with a code."""
    await client.finished(await client.place(client.market(size="0.1000", price="60010.00")))
    resting = await client.place(
        client.order(is_buy=False, size="0.1000", price="61000.00", reduce_only=True)
    )

    await client.finished(await client.place(client.market(is_buy=False, price="59990.00")))

    row = await client.finished(resting)
    assert (row["status"], row["code"]) == ("CANCELLED", None)


async def test_an_order_beyond_the_margin_is_accepted_and_then_rejected_3002() -> None:
    """Acceptance is not execution: the refusal of risk arrives as an event."""
    async with a_vest(VestSettings(starting_collateral_e8=100 * 10**8)) as vest:
        client = await vest.client()
        stream = await client.private_stream()

        await client.place(client.market(size="1.0000", price="60010.00"))

        new, rejected = await stream.order_events(2)
        assert (new["status"], rejected["status"], rejected["code"]) == ("NEW", "REJECTED", 3002)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"size": 0.1}, 1130),
        ({"isBuy": 1}, 1130),
        ({"time": "1763600000000"}, 1130),
        ({"symbol": "DOGE-PERP"}, 1121),
        ({"orderType": "STOP_LOSS"}, 1116),
        ({"timeInForce": "IOC"}, 1133),
        ({"size": "0.1"}, 1111),
        ({"size": "0.10000"}, 1111),
        ({"size": "1e-1"}, 1111),
        ({"size": "-0.1000"}, 1111),
        ({"limitPrice": "60000"}, 1111),
        ({"size": "0.2000"}, 1022),
        ({"limitPrice": "60000.01"}, 1022),
        ({"isBuy": False}, 1022),
        ({"reduceOnly": True}, 1022),
        ({"nonce": 2**256}, 1130),
        ({"tpPrice": "61000.00", "tpSignature": "0x00"}, 1145),
    ],
)
async def test_a_bad_order_is_refused_with_its_code(
    client: VestClient, changes: dict[str, object], code: int
) -> None:
    """Each member is changed after signing: shape, words and decimals are judged before the signature."""
    body = client.order()
    body["order"] |= changes

    assert await client.refused("/orders", body) == code
    assert (await client.call("GET", "/orders"))[1] == []


async def test_size_and_price_of_zero_are_refused(client: VestClient) -> None:
    """Well-formed and signed, and still no order."""
    assert await client.refused("/orders", client.order(size="0.0000")) == 1130
    assert await client.refused("/orders", client.order(price="0.00")) == 1130


@pytest.mark.parametrize("window", [0, -1, "5000", 1.5, True])
async def test_an_unusable_receive_window_is_1131(client: VestClient, window: object) -> None:
    """The window is not signed; only a positive whole number is one."""
    body = client.order()
    body["recvWindow"] = window

    assert await client.refused("/orders", body) == 1131


async def test_an_old_order_is_1132_and_its_window_decides(client: VestClient) -> None:
    """Seven seconds late is too late by default and in time for a client that asked for ten."""
    body = client.order(time_ms=int(time.time() * 1e3) - 7_000)
    del body["recvWindow"]
    assert await client.refused("/orders", body) == 1132

    body["recvWindow"] = 10_000
    assert (await client.call("POST", "/orders", body))[0] == 200


async def test_the_same_order_twice_is_a_duplicate_3015(client: VestClient) -> None:
    """A client that re-sends after silence must not trade twice."""
    body = client.order(price="59000.00")

    await client.place(body)

    assert await client.refused("/orders", body) == 3015
    assert len((await client.call("GET", "/orders"))[1]) == 1


async def test_only_the_accounts_own_keys_sign_for_it(client: VestClient) -> None:
    """The delegate and the primary key are accepted, a stranger's never."""
    assert await client.refused("/orders", client.order(key=STRANGER_KEY)) == 1022
    await client.place(client.order(price="59000.00", key=client.primary))


async def test_a_halted_symbol_refuses_at_the_door_1148(vest: VestServer, client: VestClient) -> None:
    """And the tickers say so."""
    vest.exchange.set_trading("BTC-PERP", False)

    assert await client.refused("/orders", client.order()) == 1148
    _, answer = await client.call("GET", "/ticker/latest?symbols=BTC-PERP")
    assert answer["tickers"][0]["status"] == "HALT"


async def test_an_order_is_found_by_nonce_when_the_reply_was_lost(
    vest: VestServer, client: VestClient
) -> None:
    """The venue executes, the answer never comes: the nonce is the key for asking."""
    vest.front.faults.add(Fault("rest.orders.create", drop_reply=True))
    body = client.market(price="60010.00")

    with pytest.raises(ClientConnectionError):
        await client.call("POST", "/orders", body)

    async with asyncio.timeout(DEADLINE_S):
        status, rows = await client.call("GET", f"/orders?nonce={body['order']['nonce']}")
    assert status == 200
    assert [row["nonce"] for row in rows] == [body["order"]["nonce"]]


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault("rest.orders.*", code="1003"), 429, {"detail": {"code": 1003, "msg": "TOO_MANY_REQUESTS"}}),
        (Fault("rest.orders.create", status=530, body=b'"origin down"'), 530, "origin down"),
    ],
)
async def test_a_fault_answers_instead_of_the_call(
    vest: VestServer, client: VestClient, fault: Fault, status: int, body: object
) -> None:
    """Refused by the edge: nothing was executed, and the fault is spent."""
    vest.front.faults.add(fault)

    assert await client.call("POST", "/orders", client.order()) == (status, body)
    assert (await client.call("GET", "/orders"))[1] == []
    assert fault.struck == 1


async def test_a_duplicated_and_a_dropped_event(vest: VestServer, client: VestClient) -> None:
    """At-least-once and at-most-once are both possible on a stream without sequence numbers."""
    stream = await client.private_stream()
    vest.front.faults.add(Fault("push.account_private", duplicate=True))
    order_id = await client.place(client.order(price="59000.00"))
    first, second = await stream.order_events(2)
    assert first == second

    vest.front.faults.add(Fault("push.account_private", drop=True))
    dropped = await client.place(client.order(price="59001.00"))
    await client.call("POST", "/orders/cancel", client.cancellation(order_id))
    (event,) = await stream.order_events(1)
    assert (event["id"], event["status"]) == (order_id, "CANCELLED")
    assert (await client.row(dropped))["status"] == "NEW"


async def test_execution_waits_for_its_latency() -> None:
    """Accepted is not executed: until the latency is over the order is NEW."""
    async with a_vest(VestSettings(execution_latency_ms=40)) as vest:
        client = await vest.client()

        began_s = time.monotonic()
        order_id = await client.place(client.market(price="60010.00"))
        assert (await client.row(order_id))["status"] == "NEW"
        assert (await client.finished(order_id))["status"] == "FILLED"
        assert time.monotonic() - began_s >= 0.04


async def test_queries_filter_by_status_symbol_and_count(client: VestClient) -> None:
    """Newest first; unknown filters of other members are not invented."""
    first = await client.place(client.order(price="59000.00"))
    second = await client.place(client.order(price="59001.00"))
    third = await client.place(client.order("ETH-PERP", price="2900.000", size="1.000"))

    async def ids(query: str) -> list[str]:
        return [row["id"] for row in (await client.call("GET", f"/orders?{query}"))[1]]

    assert await ids("status=NEW") == [third, second, first]
    assert await ids("symbol=BTC-PERP") == [second, first]
    assert await ids("limit=1") == [third]
    assert await ids(f"id={first},{third}") == [third, first]
    assert await ids("status=FILLED") == []
    assert await client.refused("/orders?limit=x", None, "GET") == 1130


async def test_the_market_stream_shows_a_resting_order_and_its_end(
    vest: VestServer, client: VestClient
) -> None:
    """A client's order is part of the public book."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.subscribe("BTC-PERP@depth")
    order_id = await client.place(client.order(price="60000.50", size="0.3000"))

    async with asyncio.timeout(DEADLINE_S):
        while (await stream.push("BTC-PERP@depth"))["bids"][0] != ["60000.50", "0.3000"]:
            pass
        await client.call("POST", "/orders/cancel", client.cancellation(order_id))
        while (await stream.push("BTC-PERP@depth"))["bids"][0] != ["60000.00", "1.0000"]:
            pass
