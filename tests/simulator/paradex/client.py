"""A minimal independent Paradex client: aiohttp, its own signing, its own SBE reading.

It knows the venue from its documentation alone and imports nothing of the simulator's protocol code
or of ``venues.paradex``: what both got wrong in the same way would still show here.
"""

from __future__ import annotations

import itertools
import json
import struct
import time
from types import TracebackType
from typing import Any, Self

import aiohttp
from Crypto.Hash import keccak
from fast_stark_crypto import get_public_key, pedersen_hash, sign

from tests.waiting import DEADLINE_S

NULL = -(2**63)
PROXY_HASH = 0x3530CC4759D78042F1B543BF797F5F3D647CDE0388C33734CF91B7F7B9314A9
ACCOUNT_HASH = 0x41CB0280EBADAA75F996D8D92C6F265F6D040BB3BA442E5F86A554F1765244E
ORDER_TYPE = "Order(timestamp:felt,market:felt,side:felt,orderType:felt,size:felt,price:felt)"
MODIFY_TYPE = ORDER_TYPE.replace("Order(", "ModifyOrder(").replace(")", ",id:felt)")
REQUEST_TYPE = "Request(method:felt,path:felt,body:felt,timestamp:felt,expiration:felt)"


def short(text: str) -> int:
    return int.from_bytes(text.encode(), "big")


def starknet_keccak(text: str) -> int:
    return int(keccak.new(digest_bits=256, data=text.encode()).hexdigest(), 16) % 2**250


def chain(*values: int) -> int:
    state = 0
    for value in (*values, len(values)):
        state = pedersen_hash(state, value)
    return state


class Key:
    """A private key and the account that follows from it."""

    def __init__(self, private: int, account: int | None = None) -> None:
        self.private = private
        self.public: int = get_public_key(private)
        calldata = chain(ACCOUNT_HASH, starknet_keccak("initialize"), 2, self.public, 0)
        derived = chain(short("STARKNET_CONTRACT_ADDRESS"), 0, self.public, PROXY_HASH, calldata)
        self.account = account or derived % (2**251 - 256)

    def sign(self, type_string: str, *fields: int) -> str:
        domain = chain(
            starknet_keccak("StarkNetDomain(name:felt,chainId:felt,version:felt)"),
            short("Paradex"),
            short("PRIVATE_SN_POTC_SEPOLIA"),
            1,
        )
        struct_hash = chain(starknet_keccak(type_string), *fields)
        r, s = sign(self.private, chain(short("StarkNet Message"), domain, self.account, struct_hash))
        return json.dumps([str(r), str(s)])

    def order(self, **fields: Any) -> dict[str, Any]:
        """A signed create request; defaults to a resting buy."""
        body: dict[str, Any] = {
            "market": "BTC-USD-PERP",
            "side": "BUY",
            "type": "LIMIT",
            "size": "0.01",
            "price": "60000",
            "instruction": "GTC",
            "signature_timestamp": int(time.time() * 1000),
        }
        body.update(fields)
        body = {name: value for name, value in body.items() if value is not None}
        if "signature" not in body:
            body["signature"] = self.sign(ORDER_TYPE, *_order_fields(body))
        return body

    def modify(self, order_id: str, **fields: Any) -> dict[str, Any]:
        body = self.order(signature="unsigned", **fields)
        body["signature"] = self.sign(MODIFY_TYPE, *_order_fields(body), int(order_id))
        return {**body, "id": order_id}

    def auth_headers(self, *, timestamp_s: int | None = None, life_s: int = 1800) -> dict[str, str]:
        now_s = int(time.time()) if timestamp_s is None else timestamp_s
        expiry_s = now_s + life_s
        return {
            "PARADEX-STARKNET-ACCOUNT": hex(self.account),
            "PARADEX-STARKNET-SIGNATURE": self.sign(
                REQUEST_TYPE, short("POST"), short("/v1/auth"), 0, now_s, expiry_s
            ),
            "PARADEX-TIMESTAMP": str(now_s),
            "PARADEX-SIGNATURE-EXPIRATION": str(expiry_s),
        }

    def onboarding_headers(self) -> dict[str, str]:
        return {
            "PARADEX-ETHEREUM-ACCOUNT": "0x1111111111111111111111111111111111111111",
            "PARADEX-STARKNET-ACCOUNT": hex(self.account),
            "PARADEX-STARKNET-SIGNATURE": self.sign("Constant(action:felt)", short("Onboarding")),
        }


def _order_fields(body: dict[str, Any]) -> tuple[int, ...]:
    def scaled(text: str) -> int:
        whole, _, fraction = text.partition(".")
        return int(whole + fraction.ljust(8, "0")[:8])

    return (
        body["signature_timestamp"],
        short(body["market"]),
        {"BUY": 1, "SELL": 2}[body["side"]],
        short(body["type"]),
        scaled(body["size"]),
        scaled(body.get("price", "0")),
    )


class Frame:
    """One SBE frame, read field by field as the schema lays it out."""

    def __init__(self, data: bytes) -> None:
        self.block_length, self.template, self.schema, self.version = struct.unpack_from("<4H", data)
        self._data = data
        self._at = 8 + self.block_length

    def integers(self, count: int, at: int = 0) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}q", self._data, 8 + at)

    def byte(self, at: int) -> int:
        return self._data[8 + at]

    def group(self) -> list[tuple[int, int]]:
        length, count = struct.unpack_from("<2H", self._data, self._at)
        entries = [
            struct.unpack_from("<2q", self._data, self._at + 4 + index * length) for index in range(count)
        ]
        self._at += 4 + count * length
        return entries

    def text(self) -> str:
        size = self._data[self._at]
        self._at += 1 + size
        return self._data[self._at - size : self._at].decode()


class Socket:
    """A WebSocket whose frames are sorted as they come: replies by id, notifications, SBE frames."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.raw = socket
        self.notifications: list[tuple[str, Any]] = []
        self.frames: list[Frame] = []
        self.texts: list[str] = []
        self._replies: dict[Any, dict[str, Any]] = {}
        self._ids = itertools.count(1)

    async def read(self) -> aiohttp.WSMessage:
        """Take one frame. Raises TimeoutError at the deadline."""
        message = await self.raw.receive(timeout=DEADLINE_S)
        if message.type is aiohttp.WSMsgType.BINARY:
            self.frames.append(Frame(message.data))
        elif message.type is aiohttp.WSMsgType.TEXT:
            self.texts.append(message.data)
            value = json.loads(message.data)
            if value.get("method") == "subscription":
                self.notifications.append((value["params"]["channel"], value["params"]["data"]))
            else:
                self._replies[value["id"]] = value
        else:
            raise ConnectionError(f"closed with {self.raw.close_code}")
        return message

    async def call(self, method: str, params: Any = None) -> dict[str, Any]:
        """Send a request and return its whole reply."""
        request_id = next(self._ids)
        request = {"jsonrpc": "2.0", "id": request_id, "method": method}
        await self.raw.send_json(request if params is None else {**request, "params": params})
        return await self.reply(request_id)

    async def reply(self, request_id: int) -> dict[str, Any]:
        while request_id not in self._replies:
            await self.read()
        return self._replies.pop(request_id)

    async def result(self, method: str, params: Any = None) -> dict[str, Any]:
        reply = await self.call(method, params)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    async def error(self, method: str, params: Any = None) -> dict[str, Any]:
        reply = await self.call(method, params)
        assert "result" not in reply, reply
        error: dict[str, Any] = reply["error"]
        return error

    async def subscribe(self, *channels: str) -> None:
        for channel in channels:
            assert await self.result("subscribe", {"channel": channel}) == {"channel": channel}

    async def next_on(self, channel: str, **wanted: Any) -> dict[str, Any]:
        """Take the next notification of a channel whose fields are as wanted; others stay."""
        while True:
            for index, (name, data) in enumerate(self.notifications):
                if name == channel and all(data[key] == value for key, value in wanted.items()):
                    del self.notifications[index]
                    return dict(data)
            await self.read()

    async def next_frame(self, template: int) -> Frame:
        """Take the next SBE frame of a template; others stay."""
        while True:
            for index, frame in enumerate(self.frames):
                if frame.template == template:
                    return self.frames.pop(index)
            await self.read()


class Client:
    """One key talking to one venue."""

    def __init__(
        self, base_url: str, private_key: int = 0x1234567890ABCDEF, account: int | None = None
    ) -> None:
        self.base_url = base_url
        self.key = Key(private_key, account)
        self.token = ""
        self.http = aiohttp.ClientSession()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, Any]:
        """Return (status, body, headers); the body is None where it is empty."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        async with self.http.request(
            method,
            self.base_url + path,
            headers={**bearer, **(headers or {})},
            timeout=aiohttp.ClientTimeout(total=DEADLINE_S),
            **options,
        ) as response:
            text = await response.text()
            return response.status, json.loads(text) if text else None, response.headers

    async def get(self, path: str) -> Any:
        status, body, _ = await self.call("GET", path)
        assert status == 200, body
        return body

    async def onboard(self) -> None:
        status, body, _ = await self.call(
            "POST",
            "/onboarding",
            headers=self.key.onboarding_headers(),
            json={"public_key": hex(self.key.public)},
        )
        assert (status, body) == (200, None)

    async def log_in(self, query: str = "") -> None:
        path = f"/auth/{hex(self.key.public)}{query}"
        status, body, _ = await self.call("POST", path, headers=self.key.auth_headers())
        assert status == 200, body
        self.token = body["jwt_token"]

    async def socket(self, query: str = "", *, auth: bool = True, **options: Any) -> Socket:
        url = self.base_url.replace("http", "ws") + query
        socket = Socket(await self.http.ws_connect(url, **options))
        if auth:
            assert "node_id" in await socket.result("auth", {"bearer": self.token})
        return socket
