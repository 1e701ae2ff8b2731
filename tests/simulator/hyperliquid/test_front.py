"""The simulated Hyperliquid by its own rules: refusals, nonces, agents, blocks, budgets, funding."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from simulator.config import SimulatorConfig
from simulator.exchange import Exchange
from simulator.hyperliquid import VENUE, HyperliquidFront, HyperliquidSettings
from simulator.hyperliquid.signing import action_digest, action_hash
from simulator.orders import Reason, SimInstrument
from simulator.process import RunningSimulator
from tests.venues.hyperliquid.builders import AGENT, AGENT_KEY, MASTER, MASTER_KEY, VECTORS
from tests.waiting import DEADLINE_S, eventually
from venues.contract import E8

NOBODY = "does not exist."


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_unix_ns(self) -> int:
        return time.time_ns() + int(self.ahead_s * 1e9)

    @property
    def now_ms(self) -> int:
        return self.now_unix_ns() // 1_000_000


class Client:
    """Signs as eth-account does, with nothing of ours but what the simulator hashes by."""

    def __init__(self, front: HyperliquidFront, url: str, http: aiohttp.ClientSession, clock: Clock) -> None:
        self.front = front
        self.url = url
        self.http = http
        self.clock = clock
        self._nonce = 0

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        async with self.http.post(f"{self.url}{path}", data=data, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text

    async def info(self, kind: str, **fields: Any) -> Any:
        status, answer = await self.post("/info", {"type": kind, **fields})
        assert status == 200, answer
        return answer

    def signed(
        self,
        action: Any,
        *,
        key: str = MASTER_KEY,
        nonce: int = 0,
        vault: str | None = None,
        expires: int | None = None,
    ) -> dict[str, Any]:
        self._nonce = max(self._nonce + 1, self.clock.now_ms)
        nonce = nonce or self._nonce
        digest = action_digest(action_hash(action, nonce, vault, expires), is_mainnet=False)
        made = Account.unsafe_sign_hash(digest, key)
        signature = {"r": hex(made.r), "s": hex(made.s), "v": made.v}
        return {
            "action": action,
            "nonce": nonce,
            "signature": signature,
            "vaultAddress": vault,
            "expiresAfter": expires,
        }

    async def act(self, action: Any, **terms: Any) -> Any:
        status, answer = await self.post("/exchange", self.signed(action, **terms))
        assert status == 200, answer
        return answer

    async def order(self, price: str = "59000", size: str = "0.1", **changes: Any) -> Any:
        """What became of one order: resting, filled or an error."""
        terms = {name: changes.pop(name) for name in ("key", "nonce", "vault", "expires") if name in changes}
        tif = changes.pop("tif", "Gtc")
        wanted = {"a": 0, "b": True, "p": price, "s": size, "r": False, "t": {"limit": {"tif": tif}}}
        action = {"type": "order", "orders": [wanted | changes], "grouping": "na"}
        answer = await self.act(action, **terms)
        return answer["response"]["data"]["statuses"][0] if answer["status"] == "ok" else answer["response"]

    async def position(self, user: str = MASTER) -> float:
        rows = (await self.info("clearinghouseState", user=user))["assetPositions"]
        return sum(float(row["position"]["szi"]) for row in rows)

    async def value(self) -> float:
        state = await self.info("clearinghouseState", user=MASTER)
        return float(state["marginSummary"]["accountValue"])


@asynccontextmanager
async def a_venue(
    listing: tuple[SimInstrument, ...] = VENUE.listing, **settings: Any
) -> AsyncIterator[Client]:
    """BTC at 60000 / 60001, one unit a side; the master has an account."""
    clock = Clock()
    exchange = Exchange(listing, now_unix_ns=clock.now_unix_ns, make_id=VENUE.make_id)
    front = HyperliquidFront(exchange, HyperliquidSettings(**{"ack_latency_ms": 1.0, **settings}))
    running = RunningSimulator("127.0.0.1")
    await running.add(front, 0)
    try:
        exchange.apply_market("BTC", [(60_000 * E8, E8)], [(60_001 * E8, E8)])
        front.members.open(MASTER)
        async with aiohttp.ClientSession() as http:
            yield Client(front, f"http://127.0.0.1:{running.ports['hyperliquid']}", http, clock)
    finally:
        await running.stop()


# --- what is refused, and by which text ---


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"price": "650.55"}, "Order has invalid price."),
        ({"price": "60000.5", "a": 0}, "Price must be divisible by tick size."),
        ({"size": "0.000001"}, "Order has invalid size."),
        ({"size": "0"}, "Order has zero size."),
        ({"size": "0.0001"}, "Order must have minimum value of $10."),
        ({"r": True}, "Reduce only order would increase position."),
        (
            {"price": "60001", "tif": "Alo"},
            "Post only order would have immediately matched, bbo was 60000.0@60001.0",
        ),
        ({"tif": "Ioc"}, "Order could not immediately match against any resting orders."),
        ({"price": "110000"}, "Order price cannot be more than 80% away from the reference price"),
        ({"size": "90", "price": "60001"}, "Insufficient margin to place order."),
        ({"a": 2}, "Order has invalid asset."),
        ({"a": 99}, "Order has invalid asset."),
    ],
)  # fmt: skip
async def test_an_order_is_refused_by_the_venues_text(changes: dict[str, Any], text: str) -> None:
    """And has a status all the same, if it has a name."""
    async with a_venue() as client:
        cloid = f"0x{5:032x}"
        status = await client.order(**changes, c=cloid)
        assert status["error"].startswith(text)
        assert status["error"].endswith(f"asset={changes.get('a', 0)}")
        assert await client.position() == 0
        if changes.get("a", 0) == 0:
            found = await client.info("orderStatus", user=MASTER, oid=cloid)
            assert found["order"]["status"].endswith("ejected")


@pytest.mark.parametrize(
    "change",
    [
        {"p": 59000},
        {"s": "0.10"},
        {"p": "59000.0"},
        {"p": "NaN"},
        {"p": "-1"},
        {"p": "-0"},
        {"p": "5.9e4"},
        {"t": {"limit": {"tif": "Fok"}}},
        {"c": "0x1"},
        {"c": "0x" + "z" * 32},
        {"c": None},
        {"a": "0"},
        {"b": 1},
        {"more": 1},
    ],
    ids=str,
)
async def test_what_is_not_canonical_is_not_parsed(change: dict[str, Any]) -> None:
    async with a_venue() as client:
        order = {"a": 0, "b": True, "p": "59000", "s": "0.1", "r": False, "t": {"limit": {"tif": "Gtc"}}}
        body = client.signed({"type": "order", "orders": [order | change], "grouping": "na"})
        status, text = await client.post("/exchange", body)
        assert (status, text) == (422, "Failed to deserialize the JSON body into the target type")
        assert await client.info("openOrders", user=MASTER) == []


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"[" * 100_000, b'{"action":{}}', b'{"action":{"type":1}}']
)
async def test_rubbish_is_refused_at_both_doors(body: bytes) -> None:
    async with a_venue() as client:
        assert (await client.post("/exchange", body))[0] == 422
        assert (await client.post("/info", body))[0] == 422


# --- signatures, nonces, agents ---


async def test_a_changed_order_recovers_somebody_else() -> None:
    async with a_venue() as client:
        action = {"type": "noop"}
        body = client.signed(action) | {"nonce": client.clock.now_ms + 5}
        _, answer = await client.post("/exchange", body)
        assert answer["status"] == "err"
        assert answer["response"].startswith("User or API Wallet 0x")
        assert answer["response"].endswith(NOBODY)
        assert MASTER not in answer["response"]


async def test_the_same_bytes_are_executed_once_by_whichever_road() -> None:
    async with a_venue() as client:
        order = {"a": 0, "b": True, "p": "60001", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
        body = client.signed({"type": "order", "orders": [order], "grouping": "na"})
        async with client.http.ws_connect(f"{client.url}/ws") as socket:
            await socket.send_json(
                {"method": "post", "id": 7, "request": {"type": "action", "payload": body}}
            )
            reported = (await socket.receive_json(timeout=DEADLINE_S))["data"]
            assert reported["id"] == 7
            assert "filled" in reported["response"]["payload"]["response"]["data"]["statuses"][0]
        _, again = await client.post("/exchange", body)
        assert again["response"] == f"Invalid nonce: duplicate nonce {body['nonce']}"
        assert await client.position() == 0.1


async def test_a_noop_takes_the_place_of_an_order_on_its_way() -> None:
    async with a_venue() as client:
        late = client.signed({"type": "noop"})
        order = {"a": 0, "b": True, "p": "60001", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
        action = {"type": "order", "orders": [order], "grouping": "na"}
        on_its_way = client.signed(action, nonce=late["nonce"])
        assert (await client.post("/exchange", late))[1]["status"] == "ok"
        assert "duplicate nonce" in (await client.post("/exchange", on_its_way))[1]["response"]
        assert await client.position() == 0


async def test_of_a_hundred_nonces_the_smallest_is_the_limit() -> None:
    """Out of order is fine; below the smallest kept, and days away, is not."""
    async with a_venue() as client:
        first = client.clock.now_ms
        for number in range(100):
            assert (await client.act({"type": "noop"}, nonce=first + 10 * number))["status"] == "ok"
        assert (await client.act({"type": "noop"}, nonce=first + 5))["status"] == "ok"
        low = await client.act({"type": "noop"}, nonce=first - 1)
        assert low["response"] == f"Invalid nonce: nonce too low {first - 1} < {first + 5}"
        for days in (-2.1, 1.1):
            away = await client.act({"type": "noop"}, nonce=int(first + days * 86_400_000))
            assert away["response"].startswith("Invalid nonce")


async def test_what_has_expired_is_refused_and_uses_its_nonce_up() -> None:
    async with a_venue() as client:
        now_ms = client.clock.now_ms
        assert (
            await client.order("60001", tif="Ioc", expires=now_ms - 1, nonce=now_ms)
            == "Action already expired"
        )
        assert "duplicate" in await client.order("60001", tif="Ioc", nonce=now_ms)
        budget = await client.info("userRateLimit", user=MASTER)
        assert budget["nRequestsUsed"] == 5


def approval(client: Client, key: str, agent: str, name: str) -> dict[str, Any]:
    """As a wallet signs it: typed data, readable."""
    nonce = client.clock.now_ms
    message = {"hyperliquidChain": "Testnet", "agentAddress": agent, "agentName": name, "nonce": nonce}
    fields = [
        ("hyperliquidChain", "string"),
        ("agentAddress", "address"),
        ("agentName", "string"),
        ("nonce", "uint64"),
    ]
    domain = {
        "name": "HyperliquidSignTransaction", "version": "1", "chainId": 0x66EEE,
        "verifyingContract": "0x" + "0" * 40,
    }  # fmt: skip
    types = {"HyperliquidTransaction:ApproveAgent": [{"name": n, "type": t} for n, t in fields]}
    made = Account.sign_message(encode_typed_data(domain, types, message), key)
    action = {"type": "approveAgent", "signatureChainId": "0x66eee", **message}
    return {"action": action, "nonce": nonce, "signature": {"r": hex(made.r), "s": hex(made.s), "v": made.v}}


async def test_an_agent_acts_for_its_account_until_it_is_replaced_or_expires() -> None:
    async with a_venue() as client:
        assert str(await client.order(key=AGENT_KEY)).endswith(NOBODY)
        assert (await client.post("/exchange", approval(client, MASTER_KEY, AGENT, "tandem")))[1][
            "status"
        ] == "ok"
        assert await client.info("userRole", user=AGENT) == {"role": "agent", "data": {"user": MASTER}}
        assert "resting" in await client.order(key=AGENT_KEY)
        assert len(await client.info("openOrders", user=MASTER)) == 1
        client.front.expire_sessions()
        assert str(await client.order(key=AGENT_KEY)).endswith(NOBODY)


async def test_an_agent_may_not_approve_agents() -> None:
    async with a_venue() as client:
        await client.post("/exchange", approval(client, MASTER_KEY, AGENT, "tandem"))
        _, answer = await client.post("/exchange", approval(client, AGENT_KEY, "0x" + "9" * 40, "more"))
        assert answer["status"] == "err"


async def test_a_sub_account_is_named_by_its_masters_signature() -> None:
    async with a_venue() as client:
        vault = VECTORS["keys"]["vault_address"]
        assert str(await client.order(vault=vault)).startswith("Vault not registered")
        client.front.members.open_sub_account(MASTER, vault)
        assert "resting" in await client.order(vault=vault)
        assert len(await client.info("openOrders", user=vault)) == 1
        assert await client.info("openOrders", user=MASTER) == []


async def test_an_account_that_nobody_asked_about_does_not_exist() -> None:
    async with a_venue(opens_accounts=False) as client:
        assert await client.info("userRole", user=AGENT) == {"role": "missing"}
        await client.info("clearinghouseState", user=AGENT)
        assert str(await client.order(key=AGENT_KEY)).endswith(NOBODY)


# --- matching ---


async def test_a_taker_that_meets_its_own_order_cancels_that_one() -> None:
    async with a_venue() as client:
        assert "resting" in await client.order("60000.0"[:5], b=False, p="60001", s="0.2")
        status = await client.order("60001", "0.5", tif="Ioc")
        assert float(status["filled"]["totalSz"]) == 0.5
        words = {row["status"] for row in await client.info("historicalOrders", user=MASTER)}
        assert "selfTradeCanceled" in words


async def test_reduce_only_is_cut_to_the_position_and_keeps_what_was_asked() -> None:
    async with a_venue() as client:
        await client.order("60001", "0.1", tif="Ioc")
        cloid = f"0x{9:032x}"
        status = await client.order("60000", "0.3", tif="Ioc", b=False, r=True, c=cloid)
        assert float(status["filled"]["totalSz"]) == 0.1
        found = (await client.info("orderStatus", user=MASTER, oid=cloid))["order"]["order"]
        assert (found["origSz"], found["sz"], found["reduceOnly"]) == ("0.3", "0.0", True)
        assert await client.position() == 0


async def test_less_than_ten_dollars_may_close_the_whole_and_nothing_else() -> None:
    async with a_venue() as client:
        await client.order("60001", "0.1", tif="Ioc")
        await client.order("60000", "0.0999", tif="Ioc", b=False, r=True)
        part = await client.order("60000", "0.00005", tif="Ioc", b=False, r=True)
        assert part["error"].startswith("Order must have minimum value")
        whole = await client.order("60000", "0.0001", tif="Ioc", b=False, r=True)
        assert "filled" in whole
        assert await client.position() == 0


async def test_cancels_overtake_takers_of_their_block() -> None:
    """A maker's cancel that arrives after a taker's order is still in time."""
    async with a_venue(ack_latency_ms=1_000.0) as client:
        resting = await client.order("60001", "0.2", b=False, tif="Alo")
        client.front.exchange.apply_market("BTC", [(60_000 * E8, E8)], [])
        taker = asyncio.create_task(client.order("60001", "0.2", tif="Ioc", key=AGENT_KEY))
        client.front.members.open(AGENT)
        await eventually(lambda: client.front._order_entry.blocks._waiting, "the taker waits for its block")
        cancel = {"type": "cancel", "cancels": [{"a": 0, "o": resting["resting"]["oid"]}]}
        answer = await client.act(cancel)
        assert answer["response"]["data"]["statuses"] == ["success"]
        assert "error" in await taker


# --- limits, funding, the switch ---


async def test_a_used_up_budget_refuses_orders_and_still_takes_cancels() -> None:
    async with a_venue(request_budget=2) as client:
        oids = [(await client.order())["resting"]["oid"] for _ in range(2)]
        assert str(await client.order()).startswith("Too many cumulative requests sent (3 > 2)")
        answer = await client.act({"type": "cancel", "cancels": [{"a": 0, "o": oid} for oid in oids]})
        assert answer["response"]["data"]["statuses"] == ["success", "success"]


async def test_trading_earns_requests() -> None:
    async with a_venue(request_budget=2) as client:
        await client.order("60001", "0.1", tif="Ioc")
        budget = await client.info("userRateLimit", user=MASTER)
        assert budget["nRequestsCap"] == 2 + 6_000


async def test_the_weight_of_a_minute_is_an_addresses_limit() -> None:
    async with a_venue(ip_weight_per_minute=70) as client:
        seen = [(await client.post("/info", {"type": "userRole", "user": MASTER}))[0] for _ in range(2)]
        assert seen == [200, 429]


async def test_the_switch_cancels_everything_unless_it_is_set_anew() -> None:
    async with a_venue(starting_volume_e8=10**6 * E8, ip_weight_per_minute=10**6) as client:
        await client.order()
        now_ms = client.clock.now_ms
        early = await client.act({"type": "scheduleCancel", "time": now_ms + 1_000})
        assert early["status"] == "err"
        assert (await client.act({"type": "scheduleCancel", "time": now_ms + 6_000}))["status"] == "ok"
        client.clock.ahead_s = 7.0
        async with asyncio.timeout(DEADLINE_S):
            while await client.info("openOrders", user=MASTER):
                continue


async def test_the_switch_needs_volume() -> None:
    async with a_venue() as client:
        answer = await client.act({"type": "scheduleCancel"})
        assert answer["response"].startswith("Cannot set scheduled cancel time until enough volume traded.")


async def test_funding_is_paid_on_the_hour_and_told() -> None:
    """Into the account itself: the next fill settles nothing."""
    async with a_venue(funding_rate_e12=10**9) as client:
        await client.order("60001", "0.1", tif="Ioc")
        before = float(
            (await client.info("clearinghouseState", user=MASTER))["marginSummary"]["accountValue"]
        )
        async with client.http.ws_connect(f"{client.url}/ws") as socket:
            wanted = {"type": "userFundings", "user": MASTER}
            await socket.send_json({"method": "subscribe", "subscription": wanted})
            assert (await socket.receive_json(timeout=DEADLINE_S))["channel"] == "subscriptionResponse"
            snapshot = (await socket.receive_json(timeout=DEADLINE_S))["data"]
            assert (snapshot["isSnapshot"], snapshot["fundings"]) == (True, [])
            client.clock.ahead_s = 3_600.0
            reported = (await socket.receive_json(timeout=DEADLINE_S))["data"]["fundings"][0]
        assert (reported["coin"], reported["szi"]) == ("BTC", "0.1")
        assert float(reported["usdc"]) == pytest.approx(-6.0, rel=0.01)
        rows = await client.info("userFunding", user=MASTER, startTime=0)
        assert rows[0]["delta"]["usdc"] == reported["usdc"]
        after = await client.value()
        assert after == pytest.approx(before - 6.0, rel=1e-6)


async def test_what_the_venue_cancels_is_told_by_its_own_word() -> None:
    async with a_venue() as client:
        resting = await client.order()
        client.front.exchange.cancel(str(resting["resting"]["oid"]), Reason.LIQUIDATION)
        found = await client.info("orderStatus", user=MASTER, oid=resting["resting"]["oid"])
        assert found["order"]["status"] == "liquidatedCanceled"


# --- sockets ---


async def test_a_subscription_is_known_by_its_canonical_form() -> None:
    async with a_venue() as client, client.http.ws_connect(f"{client.url}/ws") as socket:
        wanted = {"type": "l2Book", "coin": "BTC"}
        await socket.send_json({"method": "subscribe", "subscription": wanted})
        first = await socket.receive_json(timeout=DEADLINE_S)
        assert first["data"]["subscription"] == {**wanted, "nSigFigs": None, "mantissa": None, "fast": False}
        await socket.send_json({"method": "subscribe", "subscription": wanted})
        seen: list[Any] = []
        while not seen or seen[-1]["channel"] != "error":
            seen.append(await socket.receive_json(timeout=DEADLINE_S))
        assert seen[-1]["data"].startswith("Already subscribed: ")


async def test_the_one_fee_it_tells_is_the_highest_of_its_perpetuals() -> None:
    """A run may give one contract another fee than the others; spot has its own."""
    config = SimulatorConfig(taker_fee_bps=0.1, published_fees=frozenset({"hyperliquid:SOL"}))
    listing = tuple(config.instrument("hyperliquid", item) for item in VENUE.listing)
    async with a_venue(listing) as client:
        fees = await client.info("userFees", user=MASTER)
        assert (fees["userCrossRate"], fees["userSpotCrossRate"]) == ("0.00045", "0.0007")


async def test_spot_pairs_have_books_beside_perpetuals_and_take_no_orders_here() -> None:
    """By their names on the wire; the pair's tokens say what its price is in."""
    async with a_venue() as client:
        client.front.exchange.apply_market("@2", [(E8, 7 * E8)], [(10_001 * E8 // 10_000, 5 * E8)])
        meta, contexts = await client.info("spotMetaAndAssetCtxs")
        (pair,) = [pair for pair in meta["universe"] if pair["name"] == "@2"]
        assert [meta["tokens"][index]["name"] for index in pair["tokens"]] == ["USDT0", "USDC"]
        assert contexts[pair["index"]]["midPx"] == "1.00005"
        assert (await client.info("allMids"))["@2"] == "1.00005"
        bids, asks = (await client.info("l2Book", coin="@2"))["levels"]
        assert (bids[0], asks[0]) == (
            {"px": "1.0", "sz": "7.0", "n": 1},
            {"px": "1.0001", "sz": "5.0", "n": 1},
        )
        async with client.http.ws_connect(f"{client.url}/ws") as socket:
            await socket.send_json({"method": "subscribe", "subscription": {"type": "bbo", "coin": "@2"}})
            while (message := await socket.receive_json(timeout=DEADLINE_S))["channel"] != "bbo":
                pass
            assert [side["px"] for side in message["data"]["bbo"]] == ["1.0", "1.0001"]
        assert "invalid asset" in (await client.order(a=10_000 + pair["index"]))["error"]


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        '{"method":"dance"}',
        '{"method":"subscribe"}',
        '{"method":"subscribe","subscription":{"type":"webData2","user":"0x0"}}',
        '{"method":"post","id":"x","request":{"type":"info","payload":{"type":"meta"}}}',
        '{"method":"post","id":7,"request":{"type":"info","payload":{"type":"nothing"}}}',
        '{"method":"post","id":7,"request":{"type":"action","payload":{}}}',
    ],
)
async def test_what_does_not_parse_is_quoted_without_an_id(text: str) -> None:
    async with a_venue() as client, client.http.ws_connect(f"{client.url}/ws") as socket:
        await socket.send_str(text)
        answer = await socket.receive_json(timeout=DEADLINE_S)
        assert answer == {
            "channel": "error", "data": f"Error parsing JSON into valid websocket request: {text}"
        }  # fmt: skip


async def test_a_silent_connection_is_closed_and_a_ping_keeps_it() -> None:
    async with a_venue(idle_close_s=1.5) as client:
        async with client.http.ws_connect(f"{client.url}/ws") as socket:
            message = await socket.receive(timeout=DEADLINE_S)
            assert message.type is aiohttp.WSMsgType.CLOSE
        async with client.http.ws_connect(f"{client.url}/ws") as socket:
            until_s = asyncio.get_running_loop().time() + 2 * 1.5
            while asyncio.get_running_loop().time() < until_s:
                await socket.send_json({"method": "ping"})
                assert await socket.receive_json(timeout=DEADLINE_S) == {"channel": "pong"}
