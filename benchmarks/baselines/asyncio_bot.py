"""Baseline (a): the whole bot in one asyncio process, each library used as its documentation shows.

websockets, orjson, floats, aiohttp; an order is signed when it is wanted: Vest's by eth-account,
Paradex's by starknet-py, as they ship. With ``--signing free`` both signatures are constants, which
shows what the rest costs. Written once and left alone: it is what Tandem is measured against.

Runs in an environment of its own and imports nothing of ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

import aiohttp
import orjson
import websockets
from eth_abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils import keccak
from starknet_py.hash.utils import message_signature
from starknet_py.utils.typed_data import TypedData

VEST_KEY = "0x" + "11" * 32
PARADEX_KEY = int("02" * 31, 16)
PARADEX_ACCOUNT = 0x3CA3878D9C0358C9ABE2B8EEDE50BC08B33A189B7C8F1B3C344B52FCB48406E
VEST, PARADEX = "BTC-PERP", "BTC-USD-PERP"
ORDER_TYPES = ("uint256", "uint256", "string", "string", "bool", "string", "string", "bool")
PARADEX_TYPES = {
    "StarkNetDomain": ["name", "chainId", "version"],
    "Order": ["timestamp", "market", "side", "orderType", "size", "price"],
}


class Bot:
    def __init__(self, options: argparse.Namespace) -> None:
        self.urls = json.loads(options.urls)
        self.entry_bps, self.exit_bps = options.entry_bps, options.exit_bps
        self.size = options.size
        self.is_signing_free = options.signing == "free"
        self.vest: tuple[float, float] | None = None  # bid, ask
        self.paradex: tuple[float, float] | None = None
        self.has_quotes = asyncio.Event()
        self.is_in = False
        self.is_busy = False
        self.nonce = time.time_ns() // 1_000_000
        self.tasks: set[asyncio.Task[None]] = set()
        self.session: aiohttp.ClientSession

    async def run(self) -> None:
        async with aiohttp.ClientSession(
            json_serialize=lambda value: orjson.dumps(value).decode()
        ) as session:
            self.session = session
            await asyncio.gather(self.listen_vest(), self.listen_paradex(), self.say_ready())

    async def say_ready(self) -> None:
        await self.has_quotes.wait()
        # Connections stand before the first order, as they do for everybody else.
        for venue in ("vest", "paradex"):
            async with self.session.get(self.urls[venue]["rest_url"] + "/") as response:
                await response.read()
        print("ready", flush=True)

    async def listen_vest(self) -> None:
        url = self.urls["vest"]["public_ws_url"] + "?version=1.0&xwebsocketserver=restserver0"
        async with websockets.connect(url, compression=None) as socket:
            await socket.send(orjson.dumps({"method": "SUBSCRIBE", "params": [f"{VEST}@depth"], "id": 1}))
            async for frame in socket:
                message = orjson.loads(frame)
                if message.get("channel"):
                    book = message["data"]
                    self.vest = float(book["bids"][0][0]), float(book["asks"][0][0])
                    self.decide()

    async def listen_paradex(self) -> None:
        async with websockets.connect(self.urls["paradex"]["public_ws_url"], compression=None) as socket:
            request = {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "subscribe",
                "params": {"channel": f"bbo.{PARADEX}"},
            }
            await socket.send(orjson.dumps(request).decode())
            async for frame in socket:
                message = orjson.loads(frame)
                if message.get("method") == "subscription":
                    data = message["params"]["data"]
                    self.paradex = float(data["bid"]), float(data["ask"])
                    self.decide()

    def decide(self) -> None:
        if self.is_busy or self.vest is None or self.paradex is None:
            return
        self.has_quotes.set()
        (vest_bid, vest_ask), (paradex_bid, paradex_ask) = self.vest, self.paradex
        if not self.is_in:
            if (paradex_bid - vest_ask) / vest_ask * 10_000 >= self.entry_bps:
                self.start(True, vest_ask, paradex_bid)
        elif (paradex_ask - vest_bid) / vest_bid * 10_000 <= self.exit_bps:
            self.start(False, vest_bid, paradex_ask)

    def start(self, is_entry: bool, vest_price: float, paradex_price: float) -> None:
        self.is_busy = True
        task = asyncio.create_task(self.trade(is_entry, vest_price, paradex_price))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def trade(self, is_entry: bool, vest_price: float, paradex_price: float) -> None:
        await asyncio.gather(
            self.order_on_vest(is_entry, vest_price * (1.0005 if is_entry else 0.9995)),
            self.order_on_paradex(not is_entry, paradex_price * (0.9995 if is_entry else 1.0005)),
        )
        self.is_in = is_entry
        self.is_busy = False

    async def order_on_vest(self, is_buy: bool, price: float) -> None:
        self.nonce += 1
        now_ms = time.time_ns() // 1_000_000
        size, limit = f"{float(self.size):.4f}", f"{price:.2f}"
        values = (now_ms, self.nonce, "LIMIT", VEST, is_buy, size, limit, False)
        if self.is_signing_free:
            signature = "0x" + "00" * 65
        else:
            digest = keccak(encode(ORDER_TYPES, values))
            signature = "0x" + Account.sign_message(encode_defunct(digest), VEST_KEY).signature.hex()
        order = {
            "time": now_ms,
            "nonce": self.nonce,
            "symbol": VEST,
            "isBuy": is_buy,
            "size": size,
            "orderType": "LIMIT",
            "limitPrice": limit,
            "reduceOnly": False,
            "timeInForce": "FOK",
        }
        body = {"order": order, "recvWindow": 5000, "signature": signature}
        headers = {"xrestservermm": "restserver0", "X-API-KEY": "benchmark"}
        async with self.session.post(
            self.urls["vest"]["rest_url"] + "/orders", json=body, headers=headers
        ) as response:
            await response.json()

    async def order_on_paradex(self, is_buy: bool, price: float) -> None:
        now_ms = time.time_ns() // 1_000_000
        limit = f"{price:.1f}"
        if self.is_signing_free:
            signature = '["1","1"]'
        else:
            message = {
                "timestamp": now_ms,
                "market": PARADEX,
                "side": "1" if is_buy else "2",
                "orderType": "LIMIT",
                "size": str(round(float(self.size) * 10**8)),
                "price": str(round(float(limit) * 10**8)),
            }
            data = TypedData.from_dict(
                {
                    "types": {
                        name: [{"name": field, "type": "felt"} for field in fields]
                        for name, fields in PARADEX_TYPES.items()
                    },
                    "primaryType": "Order",
                    "domain": {"name": "Paradex", "chainId": "PRIVATE_SN_POTC_SEPOLIA", "version": "1"},
                    "message": message,
                }
            )
            r, s = message_signature(data.message_hash(PARADEX_ACCOUNT), PARADEX_KEY)
            signature = f'["{r}","{s}"]'
        body: dict[str, Any] = {
            "market": PARADEX,
            "side": "BUY" if is_buy else "SELL",
            "type": "LIMIT",
            "size": self.size,
            "price": limit,
            "instruction": "IOC",
            "client_id": f"bot-{now_ms}",
            "signature_timestamp": now_ms,
            "signature": signature,
        }
        headers = {"Authorization": "Bearer benchmark"}
        async with self.session.post(
            self.urls["paradex"]["rest_url"] + "/orders", json=body, headers=headers
        ) as response:
            await response.json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", required=True)
    parser.add_argument("--entry-bps", type=float, required=True)
    parser.add_argument("--exit-bps", type=float, required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--signing", choices=("shipped", "free"), default="shipped")
    asyncio.run(Bot(parser.parse_args()).run())


if __name__ == "__main__":
    main()
