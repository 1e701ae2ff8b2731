"""A minimal Vest v2 client written from the documentation alone: eth-account, eth-abi, aiohttp.

It imports nothing of ours, so that it cannot share a misreading with the simulator.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType
from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_utils.crypto import keccak

from tests.waiting import DEADLINE_S

PRIMARY_KEY = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
SIGNING_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
STRANGER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"
CONTRACT = "0x919386306C47b2Fe1036e3B4F7C40D22D2461a23"
ORDER_TYPES = ["uint256", "uint256", "string", "string", "bool", "string", "string", "bool"]


def address(key: str) -> str:
    return str(Account.from_key(key).address).lower()


def sign(key: str, types: list[str], values: list[Any]) -> str:
    message = encode_defunct(primitive=keccak(encode(types, values)))
    return "0x" + bytes(Account.sign_message(message, key).signature).hex()


def sign_registration(key: str, signer: str, expiry_ms: int, contract: str = CONTRACT) -> str:
    message = encode_typed_data(
        {"name": "VestRouterV2", "version": "0.0.1", "verifyingContract": contract},
        {
            "SignerProof": [
                {"name": "approvedSigner", "type": "address"},
                {"name": "signerExpiry", "type": "uint256"},
            ]
        },
        {"approvedSigner": signer, "signerExpiry": expiry_ms},
    )
    return "0x" + bytes(Account.sign_message(message, key).signature).hex()


class VestClient:
    """One account at one server. Answers come back as (status, parsed body)."""

    def __init__(
        self, session: ClientSession, port: int, *, primary: str = PRIMARY_KEY, signing: str = SIGNING_KEY
    ) -> None:
        self.session = session
        self.port = port
        self.primary = primary
        self.signing = signing
        self.headers: dict[str, str] = {}
        self.group = 0
        self._nonce = int(time.time() * 1e3)

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.port}/v2{path}"
        chosen = self.headers if headers is None else headers
        data = None if body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, headers=chosen) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None

    async def register(self, expiry_ms: int | None = None) -> None:
        expiry_ms = expiry_ms or int((time.time() + 86_400) * 1e3)
        body = {
            "signingAddr": address(self.signing),
            "primaryAddr": address(self.primary),
            "signature": sign_registration(self.primary, address(self.signing), expiry_ms),
            "expiryTime": expiry_ms,
            "networkType": 0,
        }
        status, answer = await self.call("POST", "/register", body)
        assert status == 200, answer
        self.group = answer["accGroup"]
        self.headers = {"X-API-KEY": answer["apiKey"], "xrestservermm": f"restserver{self.group}"}

    def order(
        self,
        symbol: str = "BTC-PERP",
        *,
        is_buy: bool = True,
        size: str = "0.1000",
        price: str = "60000.00",
        kind: str = "LIMIT",
        reduce_only: bool = False,
        time_in_force: str | None = "GTC",
        key: str | None = None,
        time_ms: int | None = None,
        nonce: int | None = None,
        window_ms: int = 60_000,
    ) -> dict[str, Any]:
        """A signed order body; every call has its own nonce."""
        self._nonce += 1
        time_ms = time_ms or int(time.time() * 1e3)
        nonce = nonce or self._nonce
        values = [time_ms, nonce, kind, symbol, is_buy, size, price, reduce_only]
        fields: dict[str, Any] = {
            "time": time_ms,
            "nonce": nonce,
            "symbol": symbol,
            "isBuy": is_buy,
            "size": size,
            "orderType": kind,
            "limitPrice": price,
            "reduceOnly": reduce_only,
        }
        if time_in_force is not None:
            fields["timeInForce"] = time_in_force
        signature = sign(key or self.signing, ORDER_TYPES, values)
        return {"order": fields, "recvWindow": window_ms, "signature": signature}

    def market(self, **changes: Any) -> dict[str, Any]:
        return self.order(kind="MARKET", time_in_force=None, **changes)

    def cancellation(self, order_id: str) -> dict[str, Any]:
        self._nonce += 1
        time_ms = int(time.time() * 1e3)
        signature = sign(self.signing, ["uint256", "uint256", "string"], [time_ms, self._nonce, order_id])
        fields = {"time": time_ms, "nonce": self._nonce, "id": order_id}
        return {"order": fields, "recvWindow": 60_000, "signature": signature}

    async def place(self, body: dict[str, Any]) -> str:
        status, answer = await self.call("POST", "/orders", body)
        assert status == 200, answer
        return str(answer["id"])

    async def refused(self, path: str, body: Any, method: str = "POST") -> int:
        """The code a call is refused with, whichever of the two shapes carries it."""
        status, answer = await self.call(method, path, body)
        assert status >= 400, answer
        return int(answer.get("detail", answer)["code"])

    async def row(self, order_id: str) -> dict[str, Any]:
        status, rows = await self.call("GET", f"/orders?id={order_id}")
        assert status == 200, rows
        assert len(rows) == 1, rows
        return dict(rows[0])

    async def finished(self, order_id: str) -> dict[str, Any]:
        """The order's row once it is final."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                row = await self.row(order_id)
                if row["status"] in ("FILLED", "CANCELLED", "REJECTED"):
                    return row

    async def account(self) -> dict[str, Any]:
        status, answer = await self.call("GET", f"/account?time={int(time.time() * 1e3)}")
        assert status == 200, answer
        return dict(answer)

    async def listen_key(self) -> str:
        status, answer = await self.call("POST", "/account/listenKey")
        assert status == 200, answer
        return str(answer["listenKey"])

    async def private_stream(self) -> Stream:
        stream = await Stream.open(self.session, self.port, f"listenKey={await self.listen_key()}")
        await stream.subscribe("account_private")
        return stream


class Stream:
    """One WebSocket; frames may be text or binary, as the documentation's readers found."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket

    @classmethod
    async def open(
        cls, session: ClientSession, port: int, query: str = "", *, base: str = "version=1.0"
    ) -> Stream:
        url = f"ws://127.0.0.1:{port}/ws-api?{base}&xwebsocketserver=restserver0"
        return cls(await session.ws_connect(f"{url}&{query}" if query else url))

    async def send(self, message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def subscribe(self, *channels: str) -> None:
        await self.send({"method": "SUBSCRIBE", "params": list(channels), "id": 1})
        assert await self.next() == {"result": None, "id": 1}

    async def next(self) -> Any:
        message = await self.socket.receive(timeout=DEADLINE_S)
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        return json.loads(message.data)

    async def push(self, channel: str) -> Any:
        """The data of the next push of a channel."""
        while True:
            message = await self.next()
            if message.get("channel") == channel:
                return message["data"]

    async def order_events(self, count: int) -> list[dict[str, Any]]:
        """The arguments of the next ORDER events."""
        events = [await self.push("account_private") for _ in range(count)]
        assert all(event["event"] == "ORDER" for event in events)
        return [event["args"] for event in events]

    async def close_code(self) -> int | None:
        """Read until the server closes; return its code."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self.socket.receive()
                if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING):
                    return self.socket.close_code
