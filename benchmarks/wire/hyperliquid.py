"""Hyperliquid as far as a bot of the benchmark needs it: it stands where Vest stands, as the first leg.

One port for ``/info``, ``/exchange`` and ``/ws``; orders come as posts over the socket. As with the other two
nothing is matched and no signature is checked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

import orjson

from benchmarks.wire.market import Market, hyperliquid_symbol
from benchmarks.wire.servers import Client, Reply, Request
from simulator.hyperliquid import messages
from simulator.orders import BUY, SELL, SimFill
from venues.contract import parse_e8

NAME: Final = "hyperliquid"
_USER: Final = "0x" + 40 * "0"
_MONEY: Final = {
    "accountValue": "100000.0",
    "totalNtlPos": "0.0",
    "totalRawUsd": "100000.0",
    "totalMarginUsed": "0.0",
}


class Order(Protocol):
    """What both venues keep of an order."""

    number: int
    client_id: str
    symbol: str
    is_buy: bool
    size_e8: int
    price_e8: int


class Core(Protocol):
    """What both venues share."""

    markets: list[Market]
    positions_e8: dict[tuple[str, str], int]

    def make_order(self, venue: str, client_id: str, symbol: str, is_buy: bool, size_e8: int) -> Any:
        """An order that fills at the touch."""

    def fill(self, venue: str, order: Any) -> None:
        """Count it in."""

    def order_came(
        self, venue: str, order: Any, arrived_mono_ns: int, settle: Callable[[], None]
    ) -> asyncio.Future[None]:
        """Note a leg; the future is done when it may be answered."""


class Hyperliquid:
    """Its answers and streams."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.clients: list[Client] = []

    # --- frames ---

    def send_top(self, market: Market) -> None:
        """The new best prices to whoever follows them."""
        for client, frame, _ in self.top_frames(market):
            client.send(frame, is_binary=False)

    def top_frames(self, market: Market) -> list[tuple[Client, bytes, bool]]:
        """The best prices: to whom, what, and whether it is binary."""
        channel = f"bbo.{hyperliquid_symbol(market.number)}"
        followers = [client for client in self.clients if channel in client.channels]
        frame = market.hyperliquid_bbo() if followers else b""
        return [(client, frame, False) for client in followers]

    def send_book(self, market: Market) -> None:
        """The whole book, as the venue sends it twice a second."""
        channel = f"l2Book.{hyperliquid_symbol(market.number)}"
        for client in self.clients:
            if channel in client.channels:
                client.send(market.hyperliquid_book(), is_binary=False)

    # --- questions ---

    def request(self, request: Request) -> Reply:
        """Answer ``/info``. Actions over HTTP are of no use here and change nothing."""
        body = orjson.loads(request.body)
        match body.get("type", "action"):
            case "meta":
                return Reply(self._meta())
            case "metaAndAssetCtxs":
                return Reply([self._meta(), [{"funding": "0.0"} for _ in self._core.markets]])
            case "userFees":
                return Reply({"userCrossRate": "0.0", "userAddRate": "0.0"})
            case "userAbstraction":
                return Reply("default")
            case "userRole":
                return Reply({"role": "user"})
            case "userRateLimit":
                return Reply({"cumVlm": "0.0", "nRequestsUsed": 0, "nRequestsCap": 10**7})
            case "exchangeStatus":
                return Reply({"time": _unix_ms(), "specialStatuses": None})
            case "clearinghouseState":
                return Reply(self._state())
            case "orderStatus":
                return Reply({"status": "unknownOid"})
            case "action":
                return Reply({"status": "ok", "response": {"type": "default"}})
            case _:
                return Reply([])

    def _meta(self) -> dict[str, Any]:
        rows = [
            {"szDecimals": 5, "name": hyperliquid_symbol(market.number), "maxLeverage": 40}
            for market in self._core.markets
        ]
        return {"universe": rows, "marginTables": [], "collateralToken": 0}

    def _state(self) -> dict[str, Any]:
        positions = [
            {
                "type": "oneWay",
                "position": {
                    "coin": symbol,
                    "szi": messages.number(size_e8),
                    "entryPx": "83440.0",
                    "positionValue": "0.0",
                    "unrealizedPnl": "0.0",
                    "liquidationPx": None,
                    "marginUsed": "0.0",
                },
            }
            for (venue, symbol), size_e8 in self._core.positions_e8.items()
            if venue == NAME and size_e8
        ]
        return {
            "marginSummary": _MONEY,
            "crossMarginSummary": _MONEY,
            "crossMaintenanceMarginUsed": "0.0",
            "withdrawable": "100000.0",
            "assetPositions": positions,
            "time": _unix_ms(),
        }

    # --- the socket ---

    def message(self, client: Client, message: bytes, arrived_mono_ns: int) -> None:
        """Take one frame of a client."""
        request = orjson.loads(message)
        match request["method"]:
            case "ping":
                client.send_json({"channel": "pong"})
            case "post":
                self._post(client, request, arrived_mono_ns)
            case "subscribe":
                self._subscribe(client, request["subscription"])

    def _subscribe(self, client: Client, subscription: dict[str, Any]) -> None:
        kind, coin = subscription["type"], subscription.get("coin", "")
        client.channels.add(f"{kind}.{coin}")
        data = {"method": "subscribe", "subscription": subscription}
        client.send_json({"channel": "subscriptionResponse", "data": data})
        if kind in ("userFills", "userFundings"):
            rows = "fills" if kind == "userFills" else "fundings"
            client.send_json(
                {"channel": kind, "data": {"isSnapshot": True, "user": subscription["user"], rows: []}}
            )
        for market in self._core.markets:
            if hyperliquid_symbol(market.number) == coin:
                frame = market.hyperliquid_bbo() if kind == "bbo" else market.hyperliquid_book()
                client.send(frame, is_binary=False)

    def _post(self, client: Client, request: dict[str, Any], arrived_mono_ns: int) -> None:
        asked = request["request"]["payload"]["action"]["orders"][0]
        order: Order = self._core.make_order(
            NAME,
            str(int(asked["c"], 16)),
            hyperliquid_symbol(asked["a"]),
            asked["b"],
            parse_e8(asked["s"]),
        )

        def settle() -> None:
            size, price = messages.number(order.size_e8), messages.number(order.price_e8)
            filled = {"totalSz": size, "avgPx": price, "oid": order.number, "cloid": asked["c"]}
            payload = {
                "status": "ok",
                "response": {"type": "order", "data": {"statuses": [{"filled": filled}]}},
            }
            response = {"type": "action", "payload": payload}
            client.send_json({"channel": "post", "data": {"id": request["id"], "response": response}})
            self._report(order, asked)

        self._core.order_came(NAME, order, arrived_mono_ns, settle)

    def _report(self, order: Order, asked: dict[str, Any]) -> None:
        start_e8 = self._core.positions_e8.get((NAME, order.symbol), 0)
        self._core.fill(NAME, order)
        side, now_ms = BUY if order.is_buy else SELL, _unix_ms()
        record = messages.Record(
            oid=order.number,
            account=_USER,
            coin=order.symbol,
            side=side,
            limit_e8=parse_e8(asked["p"]),
            asked_e8=order.size_e8,
            left_e8=0,
            tif="Ioc",
            reduce_only=asked["r"],
            cloid=asked["c"],
            created_ms=now_ms,
            word="filled",
            word_ms=now_ms,
        )
        fill = messages.fill_row(_fill_of(order, side), cloid=asked["c"], start_e8=start_e8, liquidation=None)
        for client in self.clients:
            if "orderUpdates." in client.channels:
                client.send_json({"channel": "orderUpdates", "data": [record.news()]})
                client.send_json({"channel": "userFills", "data": {"user": _USER, "fills": [fill]}})


def _fill_of(order: Order, side: int) -> SimFill:
    number = str(order.number)
    return SimFill(
        fill_id=number,
        trade_id=number,
        order_id=number,
        client_id=order.client_id,
        account_id=_USER,
        symbol=order.symbol,
        side=side,
        price_e8=order.price_e8,
        size_e8=order.size_e8,
        remaining_e8=0,
        fee_e8=0,
        realised_e8=0,
        funding_e8=0,
        is_maker=False,
        is_liquidation=False,
        book_sequence=0,
        unix_ns=time.time_ns(),
    )


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
