"""Who may do what at the simulated Vest: registration, API keys, listen keys, sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import WSMsgType

from simulator.faults import Fault
from simulator.vest import VestSettings
from tests.simulator.vest_client import (
    PRIMARY_KEY,
    SIGNING_KEY,
    STRANGER_KEY,
    Stream,
    VestClient,
    address,
    sign_registration,
)
from tests.simulator.vest_server import VestServer, a_vest
from tests.waiting import DEADLINE_S


@pytest_asyncio.fixture
async def vest() -> AsyncIterator[VestServer]:
    async with a_vest() as server:
        yield server


def a_registration(**changes: Any) -> dict[str, Any]:
    expiry_ms = int((time.time() + 86_400) * 1e3)
    body = {
        "signingAddr": address(SIGNING_KEY),
        "primaryAddr": address(PRIMARY_KEY),
        "signature": sign_registration(PRIMARY_KEY, address(SIGNING_KEY), expiry_ms),
        "expiryTime": expiry_ms,
        "networkType": 0,
    }
    return body | changes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": "0x" + "00" * 65}, 1022),
        ({"signature": "0x1234"}, 1022),
        ({"primaryAddr": address(STRANGER_KEY)}, 1022),
        ({"signingAddr": address(STRANGER_KEY)}, 1022),
        ({"signingAddr": "nonsense"}, 1022),
        ({"expiryTime": 1_700_000_000_000}, 1130),
        ({"expiryTime": "1764204800000"}, 1130),
        ({"networkType": 1}, 1024),
        ({"networkType": True}, 1130),
    ],
)
async def test_a_registration_that_proves_nothing_is_refused(
    vest: VestServer, changes: dict[str, Any], code: int
) -> None:
    """The primary key must have signed exactly this delegate until exactly this time."""
    client = VestClient(vest.session, vest.port)

    assert await client.refused("/register", a_registration(**changes)) == code
    assert not vest.exchange.has_account(address(PRIMARY_KEY))


async def test_case_of_addresses_does_not_matter(vest: VestServer) -> None:
    """Addresses are twenty bytes; their text may be checksummed or not."""
    client = VestClient(vest.session, vest.port)
    body = a_registration(signingAddr=address(SIGNING_KEY).upper().replace("0X", "0x"))

    assert (await client.call("POST", "/register", body))[0] == 200


@pytest.mark.parametrize("group", [0, 3])
async def test_private_calls_need_group_and_key(group: int) -> None:
    """Group first (1146), key second (1002, HTTP 403), whatever the group's number is."""
    async with a_vest(VestSettings(account_group=group)) as vest:
        client = await vest.client()
        key, route = client.headers["X-API-KEY"], client.headers["xrestservermm"]
        assert route == f"restserver{group}"

        async def code(headers: dict[str, str]) -> tuple[int, int]:
            status, answer = await client.call("GET", "/account", headers=headers)
            return status, answer["detail"]["code"]

        assert await code({"X-API-KEY": key}) == (400, 1146)
        assert await code({"X-API-KEY": key, "xrestservermm": "restserver99"}) == (400, 1146)
        assert await code({"X-API-KEY": key, "xrestservermm": f"restserver{group + 1}"}) == (400, 1146)
        assert await code({"xrestservermm": route}) == (403, 1002)
        assert await code({"X-API-KEY": "x", "xrestservermm": route}) == (403, 1002)
        assert (await client.call("GET", "/account"))[0] == 200


async def test_a_delegate_and_its_key_die_with_the_registration() -> None:
    """After expiry the API key is unknown; a new registration brings a new one, same account."""
    now_ms = int(time.time() * 1e3)
    async with a_vest(now_unix_ns=lambda: now_ms * 1_000_000) as vest:
        client = VestClient(vest.session, vest.port)
        await client.register(expiry_ms=now_ms + 1_000)
        first_key = client.headers["X-API-KEY"]
        assert (await client.call("GET", "/account"))[0] == 200

        now_ms += 1_000

        assert (await client.call("GET", "/account"))[0] == 403
        await client.register(expiry_ms=now_ms + 1_000)
        assert client.headers["X-API-KEY"] != first_key
        assert (await client.account())["collateral"] == "100000.000000"


async def test_flat_error_bodies_can_be_chosen() -> None:
    """Both shapes exist in the wild; a client must read either."""
    async with a_vest(VestSettings(detail_errors=False)) as vest:
        client = VestClient(vest.session, vest.port)
        _, answer = await client.call("GET", "/account")
        assert answer["code"] == 1146


async def test_listen_key_lives_an_hour_is_shared_and_extended() -> None:
    """POST returns the live key again; PUT extends it; 1125 once it is dead or deleted."""
    now_ms = int(time.time() * 1e3)
    async with a_vest(now_unix_ns=lambda: now_ms * 1_000_000) as vest:
        client = VestClient(vest.session, vest.port)
        await client.register(expiry_ms=now_ms + 100_000_000)
        assert await client.refused("/account/listenKey", None, "PUT") == 1125
        key = await client.listen_key()
        assert len(key) == 32
        now_ms += 3_599_000
        assert (await client.call("PUT", "/account/listenKey"))[1] == {"listenKey": key}
        now_ms += 3_599_000
        assert await client.listen_key() == key
        now_ms += 3_600_000
        assert await client.refused("/account/listenKey", None, "PUT") == 1125
        assert await client.listen_key() != key
        assert (await client.call("DELETE", "/account/listenKey"))[1] == {}
        assert await client.refused("/account/listenKey", None, "PUT") == 1125


@pytest.mark.parametrize(
    ("query", "base", "code"),
    [
        ("", "version=2.0", 4000),
        ("", "x=1", 4000),
        ("listenKey=00", "version=1.0", 4004),
    ],
)
async def test_a_socket_that_may_not_connect_is_closed_with_its_code(
    vest: VestServer, query: str, base: str, code: int
) -> None:
    """The upgrade succeeds and the close code says why."""
    stream = await Stream.open(vest.session, vest.port, query, base=base)

    assert await stream.close_code() == code


@pytest.mark.parametrize(("group", "code"), [("restserver77", 4001), ("server0", 4002)])
async def test_a_wrong_account_group_closes_the_socket(vest: VestServer, group: str, code: int) -> None:
    """An unknown shard and a malformed one are told apart."""
    url = f"ws://127.0.0.1:{vest.port}/ws-api?version=1.0&xwebsocketserver={group}"

    assert await Stream(await vest.session.ws_connect(url)).close_code() == code


async def test_the_private_channel_needs_a_listen_key(vest: VestServer) -> None:
    """4003 at the subscription, not before: the socket may have come for market data."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.send({"method": "SUBSCRIBE", "params": ["account_private"], "id": 5})

    assert await stream.close_code() == 4003


async def test_an_expired_listen_key_closes_its_sockets_and_opens_no_more() -> None:
    """4005 on the open socket and on the next attempt."""
    now_ms = int(time.time() * 1e3)
    settings = VestSettings(ticker_interval_ms=20)
    async with a_vest(settings, now_unix_ns=lambda: now_ms * 1_000_000) as vest:
        client = VestClient(vest.session, vest.port)
        await client.register(expiry_ms=now_ms + 100_000_000)
        key = await client.listen_key()
        stream = await client.private_stream()

        now_ms += 3_600_000

        assert await stream.close_code() == 4005
        again = await Stream.open(vest.session, vest.port, f"listenKey={key}")
        assert await again.close_code() == 4005


async def test_depth_comes_at_once_and_again_in_calm(vest: VestServer) -> None:
    """Full padded snapshots, best first, in binary frames; repeated although nothing changes."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.send({"method": "SUBSCRIBE", "params": ["BTC-PERP@depth"], "id": 9})
    message = await stream.socket.receive(timeout=DEADLINE_S)
    assert message.type is WSMsgType.BINARY
    assert json.loads(message.data) == {"result": None, "id": 9}

    first = await stream.push("BTC-PERP@depth")
    assert first == {"bids": [["60000.00", "1.0000"]], "asks": [["60001.00", "1.0000"]]}
    assert await stream.push("BTC-PERP@depth") == first
    calm_s = time.monotonic()
    assert await stream.push("BTC-PERP@depth") == first
    assert time.monotonic() - calm_s > 0.1


async def test_a_change_does_not_wait_for_the_next_refresh() -> None:
    """The interval bounds how often, not how late: a change after calm is pushed at once."""
    async with a_vest(VestSettings(depth_refresh_ms=60_000)) as vest:
        stream = await Stream.open(vest.session, vest.port)
        await stream.subscribe("BTC-PERP@depth")
        assert await stream.push("BTC-PERP@depth") == await stream.push("BTC-PERP@depth")

        vest.show(60_010, 60_011)

        assert (await stream.push("BTC-PERP@depth"))["bids"] == [["60010.00", "1.0000"]]


async def test_a_burst_of_changes_is_one_push_with_the_newest_book(vest: VestServer) -> None:
    """A thousand changes in one turn cost one frame."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.subscribe("BTC-PERP@depth")
    await stream.push("BTC-PERP@depth")
    await stream.push("BTC-PERP@depth")

    for step in range(1_000):
        vest.show(60_000 + step, 60_001 + step)

    assert (await stream.push("BTC-PERP@depth"))["bids"] == [["60999.00", "1.0000"]]


async def test_text_frames_can_be_chosen() -> None:
    """Readers must take either; so must the simulator be able to send either."""
    async with a_vest(VestSettings(binary_frames=False)) as vest:
        stream = await Stream.open(vest.session, vest.port)
        await stream.send({"method": "PING", "params": [], "id": 0})
        message = await stream.socket.receive(timeout=DEADLINE_S)
        assert (message.type, message.data) == (WSMsgType.TEXT, '{"data":"PONG"}')


async def test_tickers_trades_and_unsubscribing(vest: VestServer) -> None:
    """Tickers at once; a trade as it happens, without a side; silence after UNSUBSCRIBE."""
    client = await vest.client()
    stream = await Stream.open(vest.session, vest.port)
    await stream.subscribe("tickers", "BTC-PERP@trades")
    rows = await stream.push("tickers")
    assert [row["symbol"] for row in rows] == ["BTC-PERP", "ETH-PERP"]
    assert rows[0]["markPrice"] == "60000.50"

    await client.place(client.market(price="60010.00"))
    trade = await stream.push("BTC-PERP@trades")
    assert (trade["price"], trade["qty"], trade["quoteQty"]) == ("60001.00", "0.1000", "6000.100000")
    assert "side" not in trade

    await stream.send({"method": "UNSUBSCRIBE", "params": ["BTC-PERP@trades"], "id": 3})
    await stream.send({"method": "PING"})
    while await stream.next() != {"data": "PONG"}:
        pass
    await client.finished(await client.place(client.market(price="60010.00")))
    await stream.send({"method": "PING"})
    while (message := await stream.next()) != {"data": "PONG"}:
        assert message.get("channel") != "BTC-PERP@trades"


@pytest.mark.parametrize(
    "message", ["nonsense", "[1]", '{"method":"SUBSCRIBE","params":["X@depth"],"id":4}', '{"method":"FLY"}']
)
async def test_rubbish_is_answered_with_an_error_and_the_socket_lives(vest: VestServer, message: str) -> None:
    """One bad message is no reason to lose the stream."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.socket.send_str(message)

    assert (await stream.next())["error"]["code"] == 1130
    await stream.send({"method": "PING"})
    assert await stream.next() == {"data": "PONG"}


async def test_market_data_can_stall_while_pongs_continue(vest: VestServer) -> None:
    """The socket is alive, the data is not: liveness must be the age of data."""
    stream = await Stream.open(vest.session, vest.port)
    await stream.subscribe("BTC-PERP@depth")
    await stream.push("BTC-PERP@depth")
    stall = vest.front.faults.add(Fault("push.depth.*", times=None, drop=True))

    vest.show(60_500, 60_501)
    async with asyncio.timeout(DEADLINE_S):
        while stall.struck < 2:
            await stream.send({"method": "PING"})
            while (message := await stream.next()) != {"data": "PONG"}:
                assert message["data"]["bids"][0][0] == "60000.00"

    vest.front.faults.remove(stall)
    assert (await stream.push("BTC-PERP@depth"))["bids"][0][0] == "60500.00"


async def test_the_venue_can_close_sockets_as_in_a_restart(vest: VestServer) -> None:
    """1012 on the private socket; the public one stays."""
    client = await vest.client()
    private = await client.private_stream()
    public = await Stream.open(vest.session, vest.port)

    await vest.front.close_sockets("private")

    assert await private.close_code() == 1012
    await public.send({"method": "PING"})
    assert await public.next() == {"data": "PONG"}


async def test_leverage_raises_margin_and_cannot_be_lowered_with_a_position(vest: VestServer) -> None:
    """10x asks for a tenth; with a position open 3021, raising stays possible."""
    client = await vest.client()

    async def set_leverage(value: int) -> tuple[int, Any]:
        body = {"time": int(time.time() * 1e3), "symbol": "BTC-PERP", "value": value, "nonce": 1}
        return await client.call("POST", "/account/leverage", body)

    assert await set_leverage(10) == (200, {"symbol": "BTC-PERP", "value": 10})
    await client.finished(await client.place(client.market(size="0.1000", price="60010.00")))
    (position,) = (await client.account())["positions"]
    assert (position["initMarginRatio"], position["initMargin"]) == ("0.1000", "600.005000")
    status, answer = await set_leverage(5)
    assert (status, answer["detail"]["code"]) == (400, 3021)
    assert (await set_leverage(20))[0] == 200
    assert {"symbol": "BTC-PERP", "value": 20} in (await client.account())["leverages"]


async def test_exchange_info_and_public_errors(vest: VestServer) -> None:
    """The grid a client must read; unknown symbols are named as the venue does."""
    client = VestClient(vest.session, vest.port)

    _, info = await client.call("GET", "/exchangeInfo")
    rows = {row["symbol"]: row for row in info["symbols"]}
    assert (rows["BTC-PERP"]["sizeDecimals"], rows["BTC-PERP"]["priceDecimals"]) == (4, 2)
    assert (rows["ETH-PERP"]["sizeDecimals"], rows["ETH-PERP"]["priceDecimals"]) == (3, 3)
    assert rows["BTC-PERP"]["takerFee"] == "0.0001"
    assert await client.refused("/exchangeInfo?symbols=X", None, "GET") == 1121
    assert (await client.call("GET", "/depth?symbol=X"))[0] == 404


async def test_funding_settles_on_the_hour_and_shows_in_account_and_tickers() -> None:
    """A long pays the hourly rate of the mark once the hour has struck; no event is sent."""
    clock_ns = 1_800_000_000_000_000_000  # on the hour
    settings = VestSettings(funding_rate_e12=10**9, ticker_interval_ms=20)
    async with a_vest(settings, now_unix_ns=lambda: clock_ns) as vest:
        client = VestClient(vest.session, vest.port)
        await client.register(expiry_ms=2 * 10**12)
        body = client.market(size="0.1000", price="60010.00", time_ms=clock_ns // 10**6)
        vest.exchange.execute(await client.place(body))

        clock_ns += 3_600_000_000_000
        async with asyncio.timeout(DEADLINE_S):
            while (await client.account())["positions"][0]["unrealizedPnl"] == "-0.050000":
                pass

        (position,) = (await client.account())["positions"]
        assert position["unrealizedPnl"] == "-6.050050"  # the mark is 60000.50: 0.1 coin, 0.1 %
        assert position["entryFunding"] == "0.000000000000"
        _, tickers = await client.call("GET", "/ticker/latest?symbols=BTC-PERP")
        assert tickers["tickers"][0]["cumFunding"] == "60.000500000000"
        assert tickers["tickers"][0]["oneHrFundingRate"] == "0.001000000000"
