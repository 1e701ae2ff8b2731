"""Both venues of the wire-to-wire benchmark, in one process of their own.

They speak the venues' wire as far as a trading bot needs it: login, instruments, positions, public
and private streams, orders. Nothing is matched and no signature is checked: an order is filled as
soon as both legs have come, and the market then moves on to the next trade. The simulator, which
does all of that, would be busy with it while latencies are measured.

    python -m benchmarks.wire.venues --trades 400 --out FILE [--certificate PEM]

Prints its ports as one JSON line, waits for a line on standard input, trades, says ``done``, and serves on
until standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import json
import random
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from benchmarks.wire.hyperliquid import Hyperliquid
from benchmarks.wire.market import Market, paradex_symbol, vest_symbol
from benchmarks.wire.servers import Client, Reply, Request, serve
from simulator.paradex import messages, sbe
from simulator.paradex.records import FillRecord, OrderRecord
from venues.contract import format_e8, parse_e8

_RECORDED: Final = (
    Path(__file__).parents[2] / "tests/data/paradex/bbo_BTC-USD-PERP_20261008_first103_decoded.csv"
)
_BOOKS_PER_S: Final = 9.6  # of order_book deltas in the capture the recorded quotes come from
_FIRST_PER_S: Final = 4.0  # 2.6 to 6.5 in the venue's own stream
_WHOLE_BOOKS_PER_S: Final = 2.0  # Hyperliquid's books; its best prices come as often as Vest's here
_LEGS_WITHIN_S: Final = 5.0
_ANSWER_AFTER_S: Final = 0.002
_FAR_MS: Final = 7 * 86_400_000


@dataclass(slots=True)
class Trade:
    """One tagged frame and the orders that came of it; times are ``_mono_ns``, 0 for never."""

    number: int
    venue: str  # whose frame crossed the threshold
    is_entry: bool
    frame: str = ""  # its payload in hexadecimal digits
    sent_mono_ns: int = 0
    left_mono_ns: int = 0  # the kernel gave it to the network; where departures are stamped
    arrived_mono_ns: dict[str, int] = field(default_factory=dict)
    client_order_ids: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Order:
    """An order as both venues have it."""

    number: int
    client_id: str
    symbol: str
    is_buy: bool
    size_e8: int
    price_e8: int


class Venues:
    """Accounts, books and streams of both venues, and the trade that is under way."""

    def __init__(self, instruments: int, *, first: str = "vest", stamps_departures: bool = False) -> None:
        self.first = first
        self.hyperliquid = Hyperliquid(self)
        self.markets = [Market(number, first) for number in range(instruments)]
        self.stamps_departures = stamps_departures
        self.trade: Trade | None = None
        self.both_came = asyncio.Event()
        self.orders: dict[tuple[str, str], _Order] = {}
        self.positions_e8: dict[tuple[str, str], int] = {}
        self.vest_clients: list[Client] = []
        self.paradex_clients: list[Client] = []
        self._order_count = 1_000
        self._unsettled: list[tuple[asyncio.Future[None], Callable[[], None]]] = []

    # --- public frames ---

    def send_first(self, market: Market) -> None:
        """The first leg's new top of book to whoever follows it."""
        for client, frame, is_binary in self.first_frames(market):
            client.send(frame, is_binary=is_binary)

    def first_frames(self, market: Market) -> list[tuple[Client, bytes, bool]]:
        """The same: to whom, what, and whether it is binary."""
        if self.first != "vest":
            return self.hyperliquid.top_frames(market)
        frame, channel = market.vest_depth(), f"{vest_symbol(market.number)}@depth"
        return [(client, frame, True) for client in self.vest_clients if channel in client.channels]

    def send_paradex(self, market: Market) -> None:
        """The new top of book to whoever follows it."""
        for client, frame in self.paradex_frames(market):
            client.send(frame, is_binary=client.is_sbe)

    def paradex_frames(self, market: Market) -> list[tuple[Client, bytes]]:
        """The top of book as its ``bbo``, and in snapshots of the book for clients that know no other."""
        symbol, frames = paradex_symbol(market.number), []
        for client in self.paradex_clients:
            for channel in client.channels:
                if channel == f"bbo.{symbol}":
                    frames.append((client, market.paradex_bbo(is_sbe=client.is_sbe)))
                elif channel.startswith(f"order_book.{symbol}.snapshot"):
                    frames.append((client, market.paradex_book(channel, is_sbe=client.is_sbe)))
        return frames

    def send_book(self, market: Market) -> None:
        """The next change of the book behind the best prices."""
        channel = f"order_book.{paradex_symbol(market.number)}.deltas"
        for client in self.paradex_clients:
            if channel in client.channels:
                client.send(market.paradex_book(channel, is_sbe=client.is_sbe), is_binary=client.is_sbe)

    # --- the trade under way ---

    def order_came(
        self, venue: str, order: _Order, arrived_mono_ns: int, settle: Callable[[], None]
    ) -> asyncio.Future[None]:
        """Note a leg; the future is done when it may be answered."""
        self.orders[venue, order.client_id] = order
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unsettled.append((answered, settle))
        trade = self.trade
        if trade is not None and venue not in trade.arrived_mono_ns:
            trade.arrived_mono_ns[venue] = arrived_mono_ns
            trade.client_order_ids[venue] = order.client_id
            if len(trade.arrived_mono_ns) == 2:
                asyncio.get_running_loop().call_later(_ANSWER_AFTER_S, self._settle)
        else:
            asyncio.get_running_loop().call_later(_ANSWER_AFTER_S, self._settle)
        return answered

    def _settle(self) -> None:
        """Answer and fill whatever has come."""
        waiting, self._unsettled = self._unsettled, []
        for answered, settle in waiting:
            answered.set_result(None)
            settle()
        self.both_came.set()

    def make_order(self, venue: str, client_id: str, symbol: str, is_buy: bool, size_e8: int) -> _Order:
        """An order that fills at the touch: it is for the bot to give a limit that allows it."""
        self._order_count += 1
        bid_e8, ask_e8 = self.markets[0].touch(venue)
        return _Order(self._order_count, client_id, symbol, is_buy, size_e8, ask_e8 if is_buy else bid_e8)

    def fill(self, venue: str, order: _Order) -> None:
        signed_e8 = order.size_e8 if order.is_buy else -order.size_e8
        key = (venue, order.symbol)
        self.positions_e8[key] = self.positions_e8.get(key, 0) + signed_e8

    # --- Vest ---

    def vest_request(self, request: Request) -> Reply:
        path = request.path.removeprefix("/v2").partition("?")[0]
        match request.method, path:
            case "POST", "/orders":
                return self._vest_create(request)
            case _, "/register":
                return Reply({"apiKey": "benchmark", "accGroup": 0})
            case _, "/account/listenKey":
                return Reply({"listenKey": "benchmark"})
            case "GET", "/exchangeInfo":
                return Reply({"symbols": [_vest_listing(market.number) for market in self.markets]})
            case "GET", "/account":
                return Reply(self._vest_account())
            case "GET", "/orders":
                nonce = request.path.partition("nonce=")[2].partition("&")[0]
                order = self.orders.get(("vest", nonce))
                return Reply([self._vest_row(order)] if order else [])
            case _:
                return Reply({})

    def _vest_create(self, request: Request) -> Reply:
        fields = orjson.loads(request.body)["order"]
        order = self.make_order(
            "vest", str(fields["nonce"]), fields["symbol"], fields["isBuy"], parse_e8(fields["size"])
        )

        def settle() -> None:
            self.fill("vest", order)
            event = {"channel": "account_private", "data": {"event": "ORDER", "args": self._vest_row(order)}}
            for client in self.vest_clients:
                if "account_private" in client.channels:
                    client.send_json(event)

        answered = self.order_came("vest", order, request.arrived_mono_ns, settle)
        return Reply({"id": f"0x{order.number:x}"}, answered)

    def _vest_row(self, order: _Order) -> dict[str, Any]:
        price, size, now_ms = format_e8(order.price_e8, 2), format_e8(order.size_e8, 4), _unix_ms()
        return {
            "id": f"0x{order.number:x}",
            "nonce": int(order.client_id) if order.client_id.isdigit() else 0,
            "symbol": order.symbol,
            "isBuy": order.is_buy,
            "orderType": "LIMIT",
            "limitPrice": price,
            "size": size,
            "reduceOnly": False,
            "status": "FILLED",
            "postTime": now_ms,
            "lastFilledSize": size,
            "lastFilledPrice": price,
            "lastFilledTime": now_ms,
            "avgFilledPrice": price,
            "fees": "0.000000",
        }

    def _vest_account(self) -> dict[str, Any]:
        positions = [
            {
                "symbol": symbol,
                "isLong": size_e8 > 0,
                "size": format_e8(abs(size_e8), 4),
                "entryPrice": "83440.00",
                "markPrice": "83440.00",
                "liqPrice": "10000.00" if size_e8 > 0 else "500000.00",
            }
            for (venue, symbol), size_e8 in self.positions_e8.items()
            if venue == "vest" and size_e8
        ]
        money = {"totalAccountValue": "100000", "withdrawable": "100000", "totalMaintMargin": "0"}
        return {**money, "positions": positions}

    def vest_message(self, client: Client, message: bytes, arrived_mono_ns: int) -> None:
        request = orjson.loads(message)
        if request["method"] == "PING":
            client.send_json({"data": "PONG"})
        elif request["method"] == "SUBSCRIBE":
            client.channels.update(request["params"])
            client.send_json({"result": None, "id": request["id"]})
            for market in self.markets:
                if f"{vest_symbol(market.number)}@depth" in request["params"]:
                    self.send_first(market)

    # --- Paradex ---

    def paradex_request(self, request: Request) -> Reply:
        path = request.path.removeprefix("/v1").partition("?")[0]
        match request.method, path.split("/")[1]:
            case "POST", "orders":
                order = self._paradex_order(orjson.loads(request.body))
                answered = self.order_came(
                    "paradex", order, request.arrived_mono_ns, lambda: self._paradex_settle(order)
                )
                return Reply(self._paradex_created(order), answered)
            case "GET", "system":
                return Reply(_PARADEX_CONFIG)
            case "POST", "auth":
                return Reply({"jwt_token": "benchmark"})
            case "GET", "markets":
                return Reply({"results": [_paradex_listing(market.number) for market in self.markets]})
            case "GET", "positions":
                return Reply({"results": self._paradex_positions()})
            case "GET", "account":
                money = ("account_value", "free_collateral", "maintenance_margin_requirement")
                return Reply(dict.fromkeys(money, "100000"))
            case "GET", "orders" if "/by_client_id/" in path:
                order_or_none = self.orders.get(("paradex", path.rpartition("/")[2]))
                return Reply(messages.order(_order_record(order_or_none)) if order_or_none else {})
            case _:
                return Reply({"results": []})

    def paradex_message(self, client: Client, message: bytes, arrived_mono_ns: int) -> None:
        request = orjson.loads(message)
        method, params = request["method"], request.get("params") or {}
        if method == "order.create":
            self._paradex_create(client, request["id"], params, arrived_mono_ns)
            return
        result: dict[str, Any] = {}
        if method == "subscribe":
            channel = params["channel"]
            client.channels.add(channel)
            result = {"channel": channel}
        client.send_json({"jsonrpc": "2.0", "id": request.get("id", 0), "result": result})
        if method == "subscribe":
            for market in self.markets:
                symbol = paradex_symbol(market.number)
                if channel == f"order_book.{symbol}.deltas":
                    market.book_sequence = 0
                    self.send_book(market)
                elif f".{symbol}" in channel:
                    self.send_paradex(market)

    def _paradex_create(
        self, client: Client, request_id: int, params: dict[str, Any], arrived_mono_ns: int
    ) -> None:
        order = self._paradex_order(params)

        def settle() -> None:
            result = {"order": self._paradex_created(order)}
            client.send_json({"jsonrpc": "2.0", "id": request_id, "result": result})
            self._paradex_settle(order)

        self.order_came("paradex", order, arrived_mono_ns, settle)

    def _paradex_order(self, params: dict[str, Any]) -> _Order:
        return self.make_order(
            "paradex",
            params.get("client_id", ""),
            params["market"],
            params["side"] == "BUY",
            parse_e8(params["size"]),
        )

    def _paradex_created(self, order: _Order) -> dict[str, Any]:
        return messages.order(_order_record(order)._replace(status="NEW", remaining_e8=order.size_e8))

    def _paradex_settle(self, order: _Order) -> None:
        self.fill("paradex", order)
        now_us = _unix_ms() * 1_000
        fill, update = _fill_record(order), _order_record(order)
        encoded = {
            "fills.ALL": (sbe.fill(fill, version=2, now_us=now_us), messages.fill(fill)),
            "orders.ALL": (sbe.order(update, version=2, now_us=now_us), messages.order(update)),
        }
        for client in self.paradex_clients:
            for channel, (binary, body) in encoded.items():
                if channel in client.channels:
                    frame = binary if client.is_sbe else messages.notification(channel, body)
                    client.send(frame, is_binary=client.is_sbe)

    def _paradex_positions(self) -> list[dict[str, Any]]:
        return [
            {
                "market": symbol,
                "status": "OPEN",
                "side": "LONG" if size_e8 > 0 else "SHORT",
                "size": messages.decimal(size_e8),
                "average_entry_price": "83440",
                "liquidation_price": "10000" if size_e8 > 0 else "500000",
            }
            for (venue, symbol), size_e8 in self.positions_e8.items()
            if venue == "paradex" and size_e8
        ]


_PARADEX_CONFIG: Final = {
    "starknet_chain_id": "PRIVATE_SN_POTC_SEPOLIA",
    "paraclear_account_proxy_hash": "0x1",
    "paraclear_account_hash": "0x2",
}


def _vest_listing(number: int) -> dict[str, Any]:
    symbol = vest_symbol(number)
    return {
        "symbol": symbol,
        "base": symbol.partition("-")[0],
        "sizeDecimals": 4,
        "priceDecimals": 2,
        "takerFee": "0",
        "tradingStatus": "TRADING",
    }


def _paradex_listing(number: int) -> dict[str, Any]:
    symbol = paradex_symbol(number)
    return {
        "symbol": symbol,
        "base_currency": symbol.partition("-")[0],
        "quote_currency": "USD",
        "settlement_currency": "USDC",
        "asset_kind": "PERP",
        "price_tick_size": "0.1",
        "order_size_increment": "0.0001",
        "min_notional": "10",
        "max_order_size": "100",
        "fee_config": {"api_fee": {"taker_fee": {"fee": "0"}}},
    }


def _order_record(order: _Order) -> OrderRecord:
    now_us = _unix_ms() * 1_000
    return OrderRecord(
        order_id=str(order.number),
        client_id=order.client_id,
        account=1,
        market=order.symbol,
        side="BUY" if order.is_buy else "SELL",
        order_type="LIMIT",
        instruction="IOC",
        status="CLOSED",
        price_e8=order.price_e8,
        trigger_price_e8=None,
        size_e8=order.size_e8,
        remaining_e8=0,
        average_price_e8=order.price_e8,
        cancel_reason="",
        flags=(),
        stp="",
        seq_no=order.number,
        signed_unix_ms=now_us // 1_000,
        received_us=now_us,
        created_us=now_us,
        updated_us=now_us,
        published_us=now_us,
        request=None,
    )


def _fill_record(order: _Order) -> FillRecord:
    return FillRecord(
        fill_id=f"f{order.number}",
        order_id=str(order.number),
        client_id=order.client_id,
        trade_id=str(order.number),
        account=1,
        market=order.symbol,
        side="BUY" if order.is_buy else "SELL",
        liquidity="TAKER",
        price_e8=order.price_e8,
        size_e8=order.size_e8,
        remaining_e8=0,
        fee_e8=0,
        fill_type="FILL",
        realized_pnl_e8=0,
        realized_funding_e8=0,
        underlying_price_e8=order.price_e8,
        book_seq_no=order.number,
        created_us=_unix_ms() * 1_000,
    )


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000


# ------------------------------------------------------------------------------------ its course


def recorded_gaps_s() -> list[float]:
    """Pauses between the best bid and offers of a real session on Paradex."""
    with _RECORDED.open() as file:
        stamps = [int(row["recv_ns"]) for row in csv.DictReader(file)]
    return [(after - before) / 1e9 for before, after in pairwise(stamps)]


async def quote_paradex(venues: Venues, market: Market, gaps_s: list[float], rng: random.Random) -> None:
    """Best bids and offers at the recorded pace, for ever; each market begins somewhere else in it."""
    place = rng.randrange(len(gaps_s))
    while True:
        await asyncio.sleep(gaps_s[place])
        place = (place + 1) % len(gaps_s)
        venues.send_paradex(market)


async def every(per_s: float, send: Callable[[], None], rng: random.Random) -> None:
    while True:
        await asyncio.sleep(rng.expovariate(per_s))
        send()


async def trade_all(venues: Venues, count: int, gap_s: float, rng: random.Random) -> list[Trade]:
    """Let the first market cross its threshold ``count`` times, in and out, by either venue's frame."""
    market, done = venues.markets[0], []
    for number in range(count):
        is_entry, venue = number % 2 == 0, ("paradex", venues.first)[number // 2 % 2]
        trade = Trade(number, venue, is_entry)
        market.approach(is_entry=is_entry)
        venues.send_first(market)
        venues.send_paradex(market)
        await asyncio.sleep(gap_s * rng.uniform(0.3, 0.7))
        venues.both_came.clear()
        venues.trade = trade
        market.cross(is_entry=is_entry, venue=venue)
        _send_stamped(venues, market, trade)
        try:
            async with asyncio.timeout(_LEGS_WITHIN_S):
                await venues.both_came.wait()
        except TimeoutError:
            came = ", ".join(trade.arrived_mono_ns) or "none"
            raise SystemExit(
                f"trade {number} ({'entry' if is_entry else 'exit'} by {venue}): legs that came "
                f"within {_LEGS_WITHIN_S:g} s: {came}"
            ) from None
        done.append(trade)
        await asyncio.sleep(gap_s * rng.uniform(0.3, 0.7))
    venues.trade = None
    return done


def _send_stamped(venues: Venues, market: Market, trade: Trade) -> None:
    """Send one venue's new top of book; the frames are rendered before the clock is read."""
    if trade.venue == venues.first:
        frames = venues.first_frames(market)
    else:
        frames = [(client, frame, client.is_sbe) for client, frame in venues.paradex_frames(market)]
    if not frames:
        raise SystemExit(f"trade {trade.number}: nobody follows the quotes of {trade.venue}")
    trade.frame = frames[0][1].hex()
    trade.sent_mono_ns = time.monotonic_ns()
    for client, frame, is_binary in frames:
        if venues.stamps_departures:
            trade.left_mono_ns = client.send_stamped(frame, is_binary=is_binary)
        else:
            client.send(frame, is_binary=is_binary)


async def run(arguments: argparse.Namespace) -> None:
    tls = None
    if arguments.certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(arguments.certificate)
    rng = random.Random(arguments.seed)
    venues = Venues(arguments.pairs, first=arguments.first, stamps_departures=arguments.stamp_departures)
    paradex = serve(venues.paradex_request, venues.paradex_message, tls)
    venues.paradex_clients = paradex.clients
    if arguments.first == "vest":
        first = serve(venues.vest_request, venues.vest_message, tls)
        venues.vest_clients = first.clients
    else:
        first = serve(venues.hyperliquid.request, venues.hyperliquid.message, tls)
        venues.hyperliquid.clients = first.clients
    ports = {arguments.first: first.port, "paradex": paradex.port}
    print(json.dumps(ports), flush=True)
    gaps_s = recorded_gaps_s()
    background = [
        task
        for market in venues.markets
        for task in (
            asyncio.create_task(quote_paradex(venues, market, gaps_s, rng)),
            asyncio.create_task(every(_BOOKS_PER_S, partial(venues.send_book, market), rng)),
            asyncio.create_task(every(_FIRST_PER_S, partial(venues.send_first, market), rng)),
        )
    ]
    if arguments.first == "hyperliquid":
        background += [
            asyncio.create_task(every(_WHOLE_BOOKS_PER_S, partial(venues.hyperliquid.send_book, market), rng))
            for market in venues.markets
        ]
    if arguments.busy:
        for send in (venues.send_first, venues.send_paradex):
            background.append(
                asyncio.create_task(every(arguments.busy, partial(send, venues.markets[0]), rng))
            )
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    gc.collect()
    gc.freeze()
    gc.disable()
    await trade_all(venues, arguments.warm_up, arguments.gap_ms / 1e3, rng)
    trades = await trade_all(venues, arguments.trades, arguments.gap_ms / 1e3, rng)
    arguments.out.write_text(json.dumps([asdict(trade) for trade in trades]))
    print("done", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)  # serve until asked to end
    for task in background:
        task.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=400)
    parser.add_argument("--warm-up", type=int, default=40, help="trades before those that count; even")
    parser.add_argument(
        "--gap-ms", type=float, default=50.0, help="between one trade's legs and the next frame"
    )
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--first", default="vest", choices=("vest", "hyperliquid"), help="the first leg")
    parser.add_argument("--busy", type=float, default=0.0, help="more quotes a second on each venue")
    parser.add_argument("--certificate", help="PEM with certificate and key; without it no TLS")
    parser.add_argument(
        "--stamp-departures", action="store_true", help="stamp when tagged frames leave, for a referee"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
