"""Fuzzes what the simulated venues read from their clients: whole REST requests, and socket frames.

A refusal is an answer; an exception that reaches the web server would be an HTTP 500, and is a
finding. Each simulator lives through many inputs, as it does for its clients, and is made anew now
and then so that its books stay small.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import orjson
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from simulator.exchange import Exchange
from simulator.paradex import VENUE as PARADEX_PARTS
from simulator.paradex import ParadexFront, ParadexSettings
from simulator.paradex.hub import JSON
from simulator.paradex.requests import parse_order
from simulator.paradex.rpc import RpcSession
from simulator.paradex.session import account_id
from simulator.paradex.settings import RateLimits
from simulator.paradex.signing import Verification
from simulator.vest import VENUE as VEST_PARTS
from simulator.vest import VestFront
from simulator.vest.hub import Session
from simulator.vest.sockets import _Close
from venues.contract import E8
from verification.fuzz.oracles import check_error
from verification.fuzz.target import Target, join, split

T = TypeVar("T")
LIVES: Final = 500  # inputs a simulator serves
NOW_UNIX_NS: Final = 1_790_000_000_123_000_000
UNLIMITED: Final = ((10**9, 1),)
IS_BINARY: Final = 1
REST_CALLS_MAX: Final = 4


class Host:
    """One simulator and the loop it lives on."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._left = 0
        self.loop = asyncio.new_event_loop()
        self.front: Any = None
        self.app: web.Application

    def run(self, work: Callable[[Host], Awaitable[T]]) -> T:
        """Do one input's work, and what it left to be done at once."""
        if self._left == 0:
            self._left = LIVES
            self.front = self._make()
            self.app = self.loop.run_until_complete(self._open())
        self._left -= 1
        return self.loop.run_until_complete(self._work(work))

    async def _open(self) -> web.Application:
        app: web.Application = self.front.app()
        app.freeze()
        return app

    async def _work(self, work: Callable[[Host], Awaitable[T]]) -> T:
        raised: list[BaseException] = []

        def hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if "exception" in context:
                raised.append(context["exception"])

        self.loop.set_exception_handler(hear)
        result = await work(self)
        for _ in range(4):  # acknowledgement, execution, and what each of them calls next
            await asyncio.sleep(0)
        if raised:
            raise raised[0]
        return result

    async def call(self, method: str, target: str, headers: dict[str, str], body: bytes) -> int:
        """Serve one request as the web server would; return the status."""
        payload = StreamReader(BaseProtocol(self.loop), 2**16, loop=self.loop)
        payload.feed_data(body)
        payload.feed_eof()
        request = make_mocked_request(
            method, target, headers=CIMultiDict(headers), app=self.app, payload=payload
        )
        try:
            response = await self.app._handle(request)
        except web.HTTPException as refusal:
            return refusal.status
        return response.status


def _target_path(text: bytes) -> str:
    """The query of an input, quoted as HTTP clients must."""
    return quote(text.decode("latin-1"), safe="=&?/.:,%")


# --- Vest ---

VEST_CLIENT: Final = "0x" + "ab" * 20
VEST_CALLS: Final = (
    ("POST", "/v2/orders"),
    ("POST", "/v2/orders/cancel"),
    ("POST", "/v2/register"),
    ("POST", "/v2/account/leverage"),
    ("POST", "/v2/account/listenKey"),
    ("PUT", "/v2/account/listenKey"),
    ("GET", "/v2/orders"),
    ("GET", "/v2/account"),
    ("GET", "/v2/exchangeInfo"),
    ("GET", "/v2/ticker/latest"),
    ("GET", "/v2/depth"),
    ("GET", "/v2/trades"),
    ("GET", "/v2/account/nonce"),
)


def _vest() -> VestFront:
    exchange = Exchange(VEST_PARTS.listing, now_unix_ns=lambda: NOW_UNIX_NS, make_id=VEST_PARTS.make_id)
    exchange.apply_market("BTC-PERP", [(60_000 * E8, E8)], [(60_001 * E8, E8)])
    front = VestFront(exchange)
    exchange.open_account(VEST_CLIENT, 100_000 * E8)
    front.clients.register(VEST_CLIENT, VEST_CLIENT, 0, 2**60)
    return front


_VEST: Final = Host(_vest)


def vest_requests(data: bytes) -> None:
    """Parts: by flags the call; content: query, a newline, body."""

    async def work(host: Host) -> None:
        [api_key] = host.front.clients._api_keys
        headers = {"xrestservermm": "restserver0", "X-API-KEY": api_key}
        for flags, content in split(data)[:REST_CALLS_MAX]:
            method, path = VEST_CALLS[flags % len(VEST_CALLS)]
            query, _, body = content.partition(b"\n")
            assert await host.call(method, f"{path}?{_target_path(query)}", headers, body) < 500
            for key in [key for key in host.front.clients._api_keys if key != api_key]:
                del host.front.clients._api_keys[key]

    _VEST.run(work)


def vest_frames(data: bytes) -> None:
    """Socket frames of a private session, answered or ended by a close code."""

    async def work(host: Host) -> None:
        client = host.front.clients._by_primary[VEST_CLIENT]
        socket: Any = None  # written to by a task that is not started here
        session = Session(socket, client, "", None)
        host.front._hub.sessions.add(session)
        try:
            for flags, content in split(data):
                frame: str | bytes = content
                if not flags & IS_BINARY:
                    frame = content.decode("utf-8", "replace")  # aiohttp refuses other text by itself
                host.front._sockets._receive(session, frame)
        except _Close as close:
            check_error(close)
        finally:
            host.front._hub.sessions.discard(session)
        for queued in (*session._ordered, *session._newest.values()):
            json.loads(queued)

    _VEST.run(work)


def vest_request_seeds() -> Sequence[bytes]:
    order = {
        "time": NOW_UNIX_NS // 10**6, "nonce": 5, "symbol": "BTC-PERP", "isBuy": True, "size": "0.1000",
        "orderType": "LIMIT", "limitPrice": "60000.00", "reduceOnly": False, "timeInForce": "FOK",
    }  # fmt: skip
    signed = {"order": order, "recvWindow": 60_000, "signature": "0x" + "1b" * 65}
    registration = {
        "signingAddr": "0x" + "cd" * 20, "primaryAddr": "0x" + "ef" * 20, "signature": "0x" + "1c" * 65,
        "expiryTime": NOW_UNIX_NS // 10**6 + 1, "networkType": 0,
    }  # fmt: skip
    cancel = {"order": {"time": 1, "nonce": 1, "id": "0x1"}, "recvWindow": 1, "signature": "0x" + "00" * 65}
    bodies: list[tuple[int, bytes, Any]] = [
        (0, b"", signed), (1, b"", cancel), (2, b"", registration),
        (3, b"", {"time": 1, "symbol": "BTC-PERP", "value": 5}), (4, b"", {}), (5, b"", {}),
        (6, b"id=0x1&symbol=BTC-PERP&startTime=1&endTime=2&limit=5&nonce=5&status=NEW", None),
        (7, b"time=1", None), (8, b"symbols=BTC-PERP,ETH-PERP", None), (9, b"symbols=BTC-PERP", None),
        (10, b"symbol=BTC-PERP&limit=5", None), (11, b"symbol=BTC-PERP&limit=5", None), (12, b"", None),
    ]  # fmt: skip
    return [join([(call, query + b"\n" + json.dumps(body).encode())]) for call, query, body in bodies]


def vest_frame_seeds() -> Sequence[bytes]:
    frames: list[Any] = [
        {"method": "PING", "params": [], "id": 0},
        {"method": "SUBSCRIBE", "params": ["BTC-PERP@depth", "account_private"], "id": 1},
        {"method": "SUBSCRIBE", "params": ["BTC-PERP@trades", "tickers", "BTC-PERP@kline_1m"], "id": "x"},
        {"method": "UNSUBSCRIBE", "params": ["BTC-PERP@depth"], "id": 1},
        {"method": "NOPE"},
    ]
    return [join([(index % 2, json.dumps(frame).encode())]) for index, frame in enumerate(frames)]


# --- Paradex ---

PARADEX_ACCOUNT: Final = 0xABC
PARADEX_CALLS: Final = (
    ("POST", "/v1/orders"),
    ("POST", "/v1/orders/batch"),
    ("DELETE", "/v1/orders/batch"),
    ("DELETE", "/v1/orders"),
    ("GET", "/v1/orders"),
    ("GET", "/v1/orders-history"),
    ("GET", "/v1/fills"),
    ("GET", "/v1/trades"),
    ("GET", "/v1/markets/summary"),
    ("GET", "/v1/orderbook/BTC-USD-PERP"),
    ("GET", "/v1/onboarding"),
    ("POST", "/v1/onboarding"),
    ("POST", "/v1/auth/0x1"),
    ("GET", "/v1/orders/by_client_id/c"),
    ("DELETE", "/v1/orders/by_client_id/c"),
    ("GET", "/v1/account"),
    ("GET", "/v1/positions"),
    ("GET", "/v1/markets"),
)
PARADEX_HEADERS: Final = (
    "PARADEX-STARKNET-ACCOUNT",
    "PARADEX-STARKNET-SIGNATURE",
    "PARADEX-TIMESTAMP",
    "PARADEX-SIGNATURE-EXPIRATION",
)


def _paradex() -> ParadexFront:
    exchange = Exchange(PARADEX_PARTS.listing, now_unix_ns=lambda: NOW_UNIX_NS, make_id=PARADEX_PARTS.make_id)
    exchange.apply_market("BTC-USD-PERP", [(60_000 * E8, E8)], [(60_001 * E8, E8)])
    limits = RateLimits(**dict.fromkeys(RateLimits.__dataclass_fields__, UNLIMITED))
    # Orders are believed without their signature being checked: mutation cannot sign.
    settings = ParadexSettings(ack_latency_ms=0.0, verification=Verification.NONE, rate_limits=limits)
    front = ParadexFront(exchange, settings)
    exchange.open_account(account_id(PARADEX_ACCOUNT), 100_000 * E8)
    front._members._main_keys[PARADEX_ACCOUNT] = 5
    return front


_PARADEX: Final = Host(_paradex)


def paradex_requests(data: bytes) -> None:
    """Parts: by flags the call; content: query, a newline, four header values by tabs, a newline, body."""

    async def work(host: Host) -> None:
        token = host.front._mint.issue(PARADEX_ACCOUNT, 5, is_retail=False)
        for flags, content in split(data)[:REST_CALLS_MAX]:
            method, path = PARADEX_CALLS[flags % len(PARADEX_CALLS)]
            query, _, rest = content.partition(b"\n")
            values, _, body = rest.partition(b"\n")
            texts = [quote(value.decode("latin-1"), safe='["]:,') for value in values.split(b"\t")]
            headers = dict(zip(PARADEX_HEADERS, texts, strict=False))
            headers["Authorization"] = f"Bearer {token}"
            assert await host.call(method, f"{path}?{_target_path(query)}", headers, body) < 500

    _PARADEX.run(work)


class Wire:
    """The outbox of a socket."""

    encoding = JSON

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes, *, is_binary: bool) -> None:
        if not is_binary:
            json.loads(data)
        self.sent.append(data)


def paradex_frames(data: bytes) -> None:
    """JSON-RPC frames of an authenticated session; every frame has an answer of its own."""

    async def work(host: Host) -> None:
        front = host.front
        wire: Any = Wire()
        session = RpcSession(
            wire,
            order_entry=front._order_entry,
            hub=front._hub,
            mint=front._mint,
            feeds=front._feeds,
            faults=front.faults,
            settings=front._settings,
        )
        session.session = front._mint.session(front._mint.issue(PARADEX_ACCOUNT, 5, is_retail=False))
        try:
            for flags, content in split(data):
                frame: str | bytes = content
                if not flags & IS_BINARY:
                    frame = content.decode("utf-8", "replace")
                await session.handle(frame)
            for _ in range(4):
                await asyncio.sleep(0)
        finally:
            session.ended(is_unexpected=True)

    _PARADEX.run(work)


PARADEX_ORDER: Final = {
    "market": "BTC-USD-PERP", "side": "BUY", "type": "LIMIT", "size": "0.01", "price": "60000.1",
    "instruction": "IOC", "client_id": "td-17", "flags": ["REDUCE_ONLY"], "recv_window": 60_000,
    "signature_timestamp": NOW_UNIX_NS // 10**6, "signature": '["1","1"]',
}  # fmt: skip


def paradex_request_seeds() -> Sequence[bytes]:
    parse_order(PARADEX_ORDER)  # a seed that was refused would teach little
    signed = b'0xabc\t["1","1"]\t1790000000\t1790000300'
    page = b"market=BTC-USD-PERP&page_size=5&start_at=1&end_at=2&cursor=x&client_id=td-17&status=OPEN"
    resting = {**PARADEX_ORDER, "instruction": "GTC", "flags": []}
    bodies: dict[int, Any] = {
        0: PARADEX_ORDER, 1: [PARADEX_ORDER, resting], 2: {"order_ids": ["1"], "client_order_ids": ["td-17"]},
        11: {"public_key": "0x1ef15c18599971b7beced415a40f0c7deacfd9b0d1819e03d723d8bc943cfca"},
    }  # fmt: skip
    seeds = [
        join([(call, page + b"\n" + signed + b"\n" + orjson.dumps(bodies.get(call, {})))])
        for call in range(len(PARADEX_CALLS))
    ]
    return [*seeds, join([(0, b"\n\n" + orjson.dumps(resting)), (5, page + b"\n\n"), (13, b"\n\n")])]


def paradex_frame_seeds() -> Sequence[bytes]:
    calls: list[tuple[str, Any]] = [
        ("auth", {"bearer": "a.b.c"}),
        ("subscribe", {"channel": "bbo.BTC-USD-PERP"}),
        ("subscribe", {"channel": "order_book.BTC-USD-PERP.deltas"}),
        ("subscribe", {"channel": "order_book.BTC-USD-PERP.snapshot@15@100ms"}),
        ("subscribe", {"channel": "orders.ALL"}),
        ("unsubscribe", {"channel": "orders.ALL"}),
        ("order.create", PARADEX_ORDER),
        ("order.create", {**PARADEX_ORDER, "instruction": "GTC", "flags": []}),
        ("order.create", {**PARADEX_ORDER, "type": "MARKET", "instruction": "IOC", "flags": []}),
        ("order.create_batch", {"orders": [PARADEX_ORDER]}),
        ("order.cancel", {"client_id": "td-17"}),
        ("order.cancel_batch", {"order_ids": ["1"]}),
        ("order.cancel_all", {"market": "BTC-USD-PERP"}),
        ("order.cancel_on_disconnect", {"enabled": True}),
    ]
    frames = [
        (index % 2, orjson.dumps({"jsonrpc": "2.0", "id": index, "method": method, "params": params}))
        for index, (method, params) in enumerate(calls)
    ]
    return [*(join([frame]) for frame in frames), join(frames)]


TARGETS: Final = (
    Target("vest_simulator_rest", vest_requests, vest_request_seeds),
    Target("vest_simulator_socket", vest_frames, vest_frame_seeds),
    Target("paradex_simulator_rest", paradex_requests, paradex_request_seeds),
    Target("paradex_simulator_socket", paradex_frames, paradex_frame_seeds),
)
