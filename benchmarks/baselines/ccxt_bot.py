"""Baseline (b): the bot of ``asyncio_bot`` with ccxt.pro as its client of Paradex.

ccxt knows no Vest, so that side stays as it was. Books come from ``watch_order_book``, in JSON or in
the binary encoding that ccxt uses by default; orders go by ``create_order``. Both venues'
signatures are made free, as ccxt's own take longer than everything else together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

import aiohttp
import ccxt.pro
import orjson

VEST, PARADEX = "BTC-PERP", "BTC/USD:USDC"
ACCOUNT = {"privateKey": "0x2", "publicKey": "0x3", "address": "0x4"}


class Bot:
    def __init__(self, options: argparse.Namespace) -> None:
        self.urls = json.loads(options.urls)
        self.entry_bps, self.exit_bps = options.entry_bps, options.exit_bps
        self.size = options.size
        self.vest: tuple[float, float] | None = None  # bid, ask
        self.paradex: tuple[float, float] | None = None
        self.has_quotes = asyncio.Event()
        self.is_in = False
        self.is_busy = False
        self.nonce = time.time_ns() // 1_000_000
        self.tasks: set[asyncio.Task[None]] = set()
        self.session: aiohttp.ClientSession
        settings = {"paradexAccount": ACCOUNT, **({} if options.sbe else {"sbe": False})}
        self.exchange: Any = ccxt.pro.paradex({"options": settings, "enableRateLimit": False})
        rest, socket = self.urls["paradex"]["rest_url"], self.urls["paradex"]["public_ws_url"]
        self.exchange.urls["api"] = {"v1": rest, "v2": rest.removesuffix("v1") + "v2", "ws": socket}
        self.exchange.starknet_encode_structured_data = lambda *_: "0x1"
        self.exchange.starknet_sign = lambda *_: '["1","1"]'

    async def run(self) -> None:
        await self.exchange.load_markets()
        async with aiohttp.ClientSession(
            json_serialize=lambda value: orjson.dumps(value).decode()
        ) as session:
            self.session = session
            await asyncio.gather(self.listen_vest(), self.listen_paradex(), self.say_ready())

    async def say_ready(self) -> None:
        await self.has_quotes.wait()
        await self.exchange.authenticate_rest()
        async with self.session.get(self.urls["vest"]["rest_url"] + "/") as response:
            await response.read()
        print("ready", flush=True)

    async def listen_vest(self) -> None:
        url = self.urls["vest"]["public_ws_url"] + "?version=1.0&xwebsocketserver=restserver0"
        async with self.session.ws_connect(url) as socket:
            await socket.send_bytes(
                orjson.dumps({"method": "SUBSCRIBE", "params": [f"{VEST}@depth"], "id": 1})
            )
            async for frame in socket:
                message = orjson.loads(frame.data)
                if message.get("channel"):
                    book = message["data"]
                    self.vest = float(book["bids"][0][0]), float(book["asks"][0][0])
                    self.decide()

    async def listen_paradex(self) -> None:
        while True:
            book = await self.exchange.watch_order_book(PARADEX)
            self.paradex = book["bids"][0][0], book["asks"][0][0]
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
        side, price = ("sell", paradex_price * 0.9995) if is_entry else ("buy", paradex_price * 1.0005)
        await asyncio.gather(
            self.order_on_vest(is_entry, vest_price * (1.0005 if is_entry else 0.9995)),
            self.exchange.create_order(
                PARADEX, "limit", side, float(self.size), round(price, 1), {"timeInForce": "IOC"}
            ),
        )
        self.is_in = is_entry
        self.is_busy = False

    async def order_on_vest(self, is_buy: bool, price: float) -> None:
        self.nonce += 1
        order = {
            "time": time.time_ns() // 1_000_000,
            "nonce": self.nonce,
            "symbol": VEST,
            "isBuy": is_buy,
            "size": f"{float(self.size):.4f}",
            "orderType": "LIMIT",
            "limitPrice": f"{price:.2f}",
            "reduceOnly": False,
            "timeInForce": "FOK",
        }
        body = {"order": order, "recvWindow": 5000, "signature": "0x" + "00" * 65}
        headers = {"xrestservermm": "restserver0", "X-API-KEY": "benchmark"}
        async with self.session.post(
            self.urls["vest"]["rest_url"] + "/orders", json=body, headers=headers
        ) as response:
            await response.json()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--urls", required=True)
    parser.add_argument("--entry-bps", type=float, required=True)
    parser.add_argument("--exit-bps", type=float, required=True)
    parser.add_argument("--size", required=True)
    parser.add_argument("--sbe", action="store_true")
    asyncio.run(Bot(parser.parse_args()).run())


if __name__ == "__main__":
    main()
