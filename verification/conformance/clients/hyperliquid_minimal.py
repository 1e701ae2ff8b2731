"""The smallest client of Hyperliquid that trades: eth-account, msgpack and aiohttp, nothing else.

Written from the venue's documentation beside the official SDK and beside ``venues.hyperliquid``, so that a
misreading which those two share shows here. It makes an agent and trades with the agent's key alone, over
the socket's ``post`` and over HTTP. Run in the clients' environment:
``python -m conformance.clients.hyperliquid_minimal --hyperliquid URL``. It signs for the testnet.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Self

import aiohttp
import msgpack
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak

from .accounts import MINIMAL_HYPERLIQUID_AGENT_KEY, MINIMAL_HYPERLIQUID_KEY
from .checklist import DEADLINE_S, Checklist, Unexpected

COIN: Final = "BTC"
SIZE: Final = "0.02"
_NOBODY: Final = "0x" + 40 * "0"
_DOMAIN_FIELDS: Final = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


class Client:
    """One socket and one HTTP session for an account; ``key`` signs, the account's or its agent's."""

    def __init__(self, url: str, key: str, address: str) -> None:
        self.address = address
        self._url = url
        self._wallet = Account.from_key(key)
        self._nonces = itertools.count(int(time.time() * 1000))
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Condition()
        self.received: dict[str, list[Any]] = {}  # channel -> data, oldest first

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"{self._url}/ws")
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()
        await self._http.close()

    async def _read(self) -> None:
        async for message in self._socket:
            frame = message.json()
            channel, data = frame["channel"], frame.get("data")
            if channel == "post":
                self._answers.pop(data["id"]).set_result(data["response"])
                continue
            async with self._news:
                self.received.setdefault(channel, []).append(data)
                self._news.notify_all()

    async def until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait for frames that make it hold. Raises Unexpected at the deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S), self._news:
                await self._news.wait_for(holds)
        except TimeoutError:
            raise Unexpected(
                f"not within {DEADLINE_S:g} s: {what}; received {self.received!r:.300}"
            ) from None

    async def subscribe(self, **subscription: str) -> None:
        await self._socket.send_json({"method": "subscribe", "subscription": subscription})

    async def info(self, kind: str, **fields: Any) -> Any:
        async with self._http.post(f"{self._url}/info", json={"type": kind, **fields}) as response:
            return await response.json()

    async def act(self, action: dict[str, Any], *, nonce: int | None = None) -> Any:
        """Carry out an action over HTTP."""
        return await self.exchange(self.signed(action, nonce=nonce))

    async def post(self, action: dict[str, Any], *, nonce: int | None = None) -> Any:
        """Carry out an action over the socket."""
        number = next(self._ids)
        self._answers[number] = asyncio.get_running_loop().create_future()
        payload = self.signed(action, nonce=nonce)
        await self._socket.send_json(
            {"method": "post", "id": number, "request": {"type": "action", "payload": payload}}
        )
        async with asyncio.timeout(DEADLINE_S):
            response = await self._answers[number]
        if response["type"] != "action":
            raise Unexpected(repr(response))
        return response["payload"]

    async def exchange(self, body: dict[str, Any]) -> Any:
        async with self._http.post(f"{self._url}/exchange", json=body) as response:
            return await response.json()

    def signed(self, action: dict[str, Any], *, nonce: int | None = None) -> dict[str, Any]:
        """The action in its envelope: a hash of its MessagePack, signed as an agent of the testnet."""
        nonce = next(self._nonces) if nonce is None else nonce
        hashed = keccak(msgpack.packb(action) + nonce.to_bytes(8, "big") + b"\0")
        domain = {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": _NOBODY}
        fields = [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}]
        message = {"source": "b", "connectionId": hashed}
        return {"action": action, "nonce": nonce, "signature": self._sign(domain, "Agent", fields, message)}

    async def approve_agent(self, address: str, name: str) -> Any:
        """Let a key trade for this account. Only the account's own key may."""
        nonce = next(self._nonces)
        message = {"hyperliquidChain": "Testnet", "agentAddress": address, "agentName": name, "nonce": nonce}
        kinds = ("string", "address", "string", "uint64")
        fields = [{"name": field, "type": kind} for field, kind in zip(message, kinds, strict=True)]
        domain = {
            "name": "HyperliquidSignTransaction",
            "version": "1",
            "chainId": 0x66EEE,
            "verifyingContract": _NOBODY,
        }
        signature = self._sign(domain, "HyperliquidTransaction:ApproveAgent", fields, message)
        action = {"type": "approveAgent", "signatureChainId": "0x66eee", **message}
        return await self.exchange({"action": action, "nonce": nonce, "signature": signature})

    def _sign(
        self, domain: dict[str, Any], kind: str, fields: list[dict[str, str]], message: dict[str, Any]
    ) -> dict[str, Any]:
        types = {"EIP712Domain": _DOMAIN_FIELDS, kind: fields}
        whole = {"domain": domain, "types": types, "primaryType": kind, "message": message}
        signed = self._wallet.sign_message(encode_typed_data(full_message=whole))
        return {"r": hex(signed.r), "s": hex(signed.s), "v": signed.v}


def order(*, is_buy: bool, price: int, size: str, tif: str, number: int, reduces: bool = False) -> Any:
    """One order; its keys stand in the order they are hashed in. BTC is the first of the listing."""
    return {
        "a": 0,
        "b": is_buy,
        "p": str(price),
        "s": size,
        "r": reduces,
        "t": {"limit": {"tif": tif}},
        "c": f"0x{number:032x}",
    }


def placed(wanted: Any) -> dict[str, Any]:
    return {"type": "order", "orders": [wanted], "grouping": "na"}


def status_of(answer: Any) -> Any:
    return answer["response"]["data"]["statuses"][0]


async def run(url: str) -> None:
    calls = Checklist("eth-account + msgpack + aiohttp")
    address = Account.from_key(MINIMAL_HYPERLIQUID_KEY).address.lower()
    with calls.section():
        async with Client(url, MINIMAL_HYPERLIQUID_KEY, address) as owner:
            await _log_in(owner, calls)
        async with Client(url, MINIMAL_HYPERLIQUID_AGENT_KEY, address) as client:
            mid = await _read_market(client, calls)
            await _subscribe(client, calls)
            await _rest_and_change(client, calls, mid)
            await _trade(client, calls, mid)
            await _use_nonces(client, calls)
            await _read_money(client, calls)


async def _log_in(owner: Client, calls: Checklist) -> None:
    agent = Account.from_key(MINIMAL_HYPERLIQUID_AGENT_KEY).address.lower()
    with calls("clearinghouseState", "an account with collateral") as call:
        state = await owner.info("clearinghouseState", user=owner.address)
        call.expect(float(state["marginSummary"]["accountValue"]) > 0, state)
    with calls("approveAgent", "is taken from the account's own key") as call:
        answer = await owner.approve_agent(agent, "minimal")
        call.expect(answer == {"status": "ok", "response": {"type": "default"}}, answer)
    with calls("userRole", "the agent names its account") as call:
        role = await owner.info("userRole", user=agent)
        call.expect(role == {"role": "agent", "data": {"user": owner.address}}, role)
    with calls("extraAgents", "lists it under its name, with its end") as call:
        rows = await owner.info("extraAgents", user=owner.address)
        [row] = [row for row in rows if row["address"].lower() == agent]
        call.expect(row["name"] == "minimal" and row["validUntil"] > time.time() * 1000, row)


async def _read_market(client: Client, calls: Checklist) -> int:
    with calls("meta", "BTC is the first asset") as call:
        meta = await client.info("meta")
        call.expect((meta["universe"][0]["name"], meta["universe"][0]["szDecimals"]) == (COIN, 5), meta)
    with calls("allMids", "has its price") as call:
        mids = await client.info("allMids")
        call.expect(float(mids[COIN]) > 0, mids)
    return int(float(mids[COIN]))


async def _subscribe(client: Client, calls: Checklist) -> None:
    for kind in ("bbo", "l2Book"):
        with calls("subscribe", f"{kind} has a first frame with both sides") as call:
            await client.subscribe(type=kind, coin=COIN)
            await client.until(kind, partial(client.received.get, kind))
            data = client.received[kind][0]
            bid, ask = data["bbo"] if kind == "bbo" else (side[0] for side in data["levels"])
            call.expect(0 < float(bid["px"]) < float(ask["px"]), data)
    for kind in ("orderUpdates", "userFills", "userFundings", "clearinghouseState"):
        with calls("subscribe", f"{kind} is acknowledged"):
            await client.subscribe(type=kind, user=client.address)
            await client.until(kind, partial(_is_acknowledged, client, kind))
    with calls("subscribe", "userFills begins with a snapshot") as call:
        await client.until("userFills", lambda: client.received.get("userFills"))
        call.expect(
            client.received["userFills"][0].get("isSnapshot") is True, client.received["userFills"][0]
        )


def _is_acknowledged(client: Client, kind: str) -> bool:
    answers = client.received.get("subscriptionResponse", ())
    return any(answer["subscription"]["type"] == kind for answer in answers)


def _news_of(client: Client, number: int) -> list[str]:
    """The statuses that the stream has sent of an order, oldest first."""
    cloid = f"0x{number:032x}"
    rows = [row for rows in client.received.get("orderUpdates", ()) for row in rows]
    return [row["status"] for row in rows if row["order"].get("cloid") == cloid]


async def _rest_and_change(client: Client, calls: Checklist, mid: int) -> None:
    low, cloid = int(mid * 0.9), f"0x{1:032x}"
    resting = order(is_buy=True, price=low, size=SIZE, tif="Gtc", number=1)
    with calls("order by post", "a limit order rests under our number") as call:
        status = status_of(await client.post(placed(resting)))
        call.expect(status["resting"]["cloid"] == cloid, status)
    oid = status["resting"]["oid"]
    with calls("orderUpdates", "says that it is open"):
        await client.until("open", lambda: "open" in _news_of(client, 1))
    with calls("openOrders", "lists it") as call:
        rows = await client.info("openOrders", user=client.address)
        call.expect([row["oid"] for row in rows] == [oid], rows)
    with calls("modify", "takes another price under the same number") as call:
        moved = order(is_buy=True, price=low - 100, size=SIZE, tif="Gtc", number=1)
        answer = await client.act({"type": "modify", "oid": oid, "order": moved})
        call.expect(answer["status"] == "ok", answer)
        found = await client.info("orderStatus", user=client.address, oid=cloid)
        call.expect(float(found["order"]["order"]["limitPx"]) == low - 100, found)
    with calls("cancelByCloid", "cancels it, and no second time") as call:
        cancel = {"type": "cancelByCloid", "cancels": [{"asset": 0, "cloid": cloid}]}
        call.expect(status_of(await client.post(cancel)) == "success", "refused")
        call.expect("never placed" in status_of(await client.act(cancel))["error"], "cancelled twice")
    with calls("orderStatus", "it is cancelled") as call:
        found = await client.info("orderStatus", user=client.address, oid=cloid)
        call.expect(found["order"]["status"] == "canceled", found)


async def _trade(client: Client, calls: Checklist, mid: int) -> None:
    with calls("order by post", "an IOC is filled whole, with its price") as call:
        buy = order(is_buy=True, price=int(mid * 1.02), size=SIZE, tif="Ioc", number=2)
        filled = status_of(await client.post(placed(buy)))["filled"]
        call.expect(float(filled["totalSz"]) == float(SIZE), filled)
    with calls("userFills", "has its executions on the stream, fees included") as call:
        await client.until("fills", lambda: _filled(client, filled["oid"]) == float(SIZE))
        rows = [row for row in _fills(client) if row["oid"] == filled["oid"]]
        call.expect(all(float(row["fee"]) > 0 and row["crossed"] for row in rows), rows)
    with calls("clearinghouseState", "holds the position, by question and on the stream") as call:
        state = await client.info("clearinghouseState", user=client.address)
        call.expect([row["position"]["szi"] for row in state["assetPositions"]] == [SIZE], state)
        await client.until("position", lambda: _held(client) == SIZE)
    with calls("order over HTTP", "more than five figures is refused by its text") as call:
        off = order(is_buy=False, price=mid, size=SIZE, tif="Ioc", number=3) | {"p": f"{mid}.5"}
        error = status_of(await client.act(placed(off)))["error"]
        call.expect(error.startswith("Price must be divisible by tick size."), error)
    with calls("order over HTTP", "reduce-only closes it whole") as call:
        sell = order(is_buy=False, price=int(mid * 0.98), size=SIZE, tif="Ioc", number=4, reduces=True)
        closed = status_of(await client.act(placed(sell)))["filled"]
        call.expect(float(closed["totalSz"]) == float(SIZE), closed)
        state = await client.info("clearinghouseState", user=client.address)
        call.expect(state["assetPositions"] == [], state)


def _fills(client: Client) -> list[Any]:
    return [row for data in client.received["userFills"] for row in data["fills"]]


def _filled(client: Client, oid: int) -> float:
    return round(sum(float(row["sz"]) for row in _fills(client) if row["oid"] == oid), 8)


def _held(client: Client) -> str:
    rows = client.received["clearinghouseState"][-1]["clearinghouseState"]["assetPositions"]
    return str(rows[0]["position"]["szi"]) if rows else "0"


async def _use_nonces(client: Client, calls: Checklist) -> None:
    nonce = int(time.time() * 1000) + 60_000
    with calls("noop", "uses a nonce up") as call:
        call.expect((await client.post({"type": "noop"}, nonce=nonce))["status"] == "ok", "refused")
    with calls("order over HTTP", "with that nonce it is refused, and never known") as call:
        late = order(is_buy=True, price=100_000, size=SIZE, tif="Ioc", number=5)
        answer = await client.act(placed(late), nonce=nonce)
        call.expect(answer["response"].startswith("Invalid nonce: duplicate nonce"), answer)
        found = await client.info("orderStatus", user=client.address, oid=late["c"])
        call.expect(found == {"status": "unknownOid"}, found)
    with calls("a changed order", "recovers somebody else, who does not exist") as call:
        body = client.signed(placed(order(is_buy=True, price=50_000, size=SIZE, tif="Ioc", number=6)))
        body["action"]["orders"][0]["p"] = "50001"
        answer = await client.exchange(body)
        call.expect(answer["response"].startswith("User or API Wallet 0x"), answer)


async def _read_money(client: Client, calls: Checklist) -> None:
    with calls("userFunding", "is a list") as call:
        rows = await client.info("userFunding", user=client.address, startTime=0)
        call.expect(isinstance(rows, list), rows)
    with calls("metaAndAssetCtxs", "has the hour's funding rate of the coin") as call:
        meta, contexts = await client.info("metaAndAssetCtxs")
        call.expect(len(meta["universe"]) == len(contexts), contexts)
        call.expect(abs(float(contexts[0]["funding"])) < 0.04, contexts[0])
    with calls("clearinghouseState", "margin: all of it is free when flat") as call:
        state = await client.info("clearinghouseState", user=client.address)
        call.expect(float(state["crossMarginSummary"]["totalMarginUsed"]) == 0, state)
        call.expect(float(state["withdrawable"]) > 0, state)
    with calls("updateLeverage", "is taken") as call:
        leverage = {"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 5}
        call.expect((await client.act(leverage))["status"] == "ok", "refused")
    with calls("userRateLimit", "counts what was sent") as call:
        budget = await client.info("userRateLimit", user=client.address)
        call.expect(0 < budget["nRequestsUsed"] < budget["nRequestsCap"], budget)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyperliquid", required=True)
    asyncio.run(run(parser.parse_args().hyperliquid))
