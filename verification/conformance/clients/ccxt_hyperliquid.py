"""ccxt, unchanged, against Hyperliquid: ``ccxt.hyperliquid`` over HTTP, ``ccxt.pro.hyperliquid`` on sockets.

Run in the clients' environment: ``python -m conformance.clients.ccxt_hyperliquid --hyperliquid URL``. In its
sandbox mode it signs for the testnet, as everybody does on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import ccxt
import ccxt.pro
import eth_account

from .accounts import CCXT_HYPERLIQUID_KEY
from .checklist import DEADLINE_S, Checklist, Unexpected

SYMBOL: Final = "BTC/USDC:USDC"
SIZE: Final = 0.02
REPEAT_S: Final = 0.5  # after this long without news what a watch waits for is done again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyperliquid", required=True)
    url = parser.parse_args().hyperliquid
    _over_http(Checklist("ccxt.hyperliquid"), url)
    asyncio.run(_over_socket(Checklist("ccxt.pro.hyperliquid"), url))


def _made(kind: Any, url: str) -> Any:
    """Without the options it would ask for a builder's fee and set a referrer before the first order."""
    address = eth_account.Account.from_key(CCXT_HYPERLIQUID_KEY).address
    options = {"builderFee": False, "approvedBuilderFee": True, "refSet": True, "sandboxMode": True}
    exchange = kind({"walletAddress": address, "privateKey": CCXT_HYPERLIQUID_KEY, "options": options})
    exchange.urls["api"] = {
        "public": url,
        "private": url,
        "ws": {"public": f"{url.replace('http', 'ws', 1)}/ws"},
    }
    exchange.urls["test"] = exchange.urls["api"]
    return exchange


# --- HTTP ---


def _over_http(calls: Checklist, url: str) -> None:
    exchange = _made(ccxt.hyperliquid, url)
    with calls.section():
        _public_reads(exchange, calls)
        with calls("fetch_balance", "has the collateral") as call:
            balance = exchange.fetch_balance()
            call.expect(balance["total"]["USDC"] > 0, balance)
        _orders(exchange, calls)
        _trading(exchange, calls)


def _public_reads(exchange: Any, calls: Checklist) -> None:
    with calls("load_markets", "lists the perpetual with its sizes") as call:
        market = exchange.load_markets()[SYMBOL]
        call.expect(market["swap"] and market["precision"]["amount"] == 0.00001, market)
    with calls("fetch_ticker", "has a price") as call:
        ticker = exchange.fetch_ticker(SYMBOL)
        call.expect(ticker["last"] or ticker["close"] or ticker["bid"], ticker)
    with calls("fetch_order_book", "has both sides, best first") as call:
        book = exchange.fetch_order_book(SYMBOL)
        call.expect(book["bids"][0][0] > book["bids"][-1][0], book)
        call.expect(book["bids"][0][0] < book["asks"][0][0], book)
    with calls("fetch_funding_rates", "has the perpetual's") as call:
        rates = exchange.fetch_funding_rates([SYMBOL])
        call.expect(isinstance(rates[SYMBOL]["fundingRate"], float), rates)


def _orders(exchange: Any, calls: Checklist) -> None:
    low = _far_below(exchange.fetch_order_book(SYMBOL))
    with calls("create_order", "a limit order rests under our cloid") as call:
        order = _limit(exchange, low, 1)
        call.expect(order["id"], order)
    with calls("fetch_order", "it is open") as call:
        found = exchange.fetch_order(order["id"], SYMBOL)
        call.expect(found["status"] == "open" and found["amount"] == SIZE, found)
    with calls("fetch_open_orders", "it is listed") as call:
        listed = exchange.fetch_open_orders(SYMBOL)
        call.expect([entry["id"] for entry in listed] == [order["id"]], listed)
    with calls("edit_order", "a new number at the new price") as call:
        edited = exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 2 * SIZE, low - 100)
        [entry] = exchange.fetch_open_orders(SYMBOL)
        call.expect((entry["price"], entry["amount"]) == (low - 100, 2 * SIZE), edited)
    with calls("cancel_order", "it is gone") as call:
        exchange.cancel_order(entry["id"], SYMBOL)
        call.expect(exchange.fetch_open_orders(SYMBOL) == [], "still open")
    with calls("cancel_order", "by cloid, too") as call:
        other = _limit(exchange, low, 2)
        exchange.cancel_order(None, SYMBOL, {"clientOrderId": _cloid(2)})
        call.expect(exchange.fetch_order(other["id"], SYMBOL)["status"] == "canceled", "still open")
    with calls("cancel_order", "what is not open is refused") as call:
        call.refused(lambda: exchange.cancel_order(other["id"], SYMBOL), ccxt.OrderNotFound, "never placed")
    with calls("create_orders", "two orders rest") as call:
        request = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": SIZE}
        made = exchange.create_orders([dict(request, price=low - number) for number in (1, 2)])
        call.expect(len({entry["id"] for entry in made}) == 2, made)
    with calls("cancel_orders", "both are gone") as call:
        exchange.cancel_orders([entry["id"] for entry in made], SYMBOL)
        call.expect(exchange.fetch_open_orders(SYMBOL) == [], "still open")
    with calls("cancel_all_orders_after", "the dead man's switch is set") as call:
        answer = exchange.cancel_all_orders_after(60_000)
        call.expect(answer["status"] == "ok", answer)
    with calls("create_order", "below ten dollars is refused") as call:
        call.refused(
            lambda: exchange.create_order(SYMBOL, "limit", "buy", 0.0001, low),
            ccxt.ExchangeError,
            "minimum value of $10",
        )


def _trading(exchange: Any, calls: Checklist) -> None:
    with calls("create_order", "a market order is filled") as call:
        price = exchange.fetch_order_book(SYMBOL)["asks"][0][0]
        order = exchange.create_order(SYMBOL, "market", "buy", SIZE, price)
        call.expect(order["filled"] == SIZE, order)
    with calls("fetch_my_trades", "they add up to the order, with a fee") as call:
        trades = [trade for trade in exchange.fetch_my_trades(SYMBOL) if trade["order"] == order["id"]]
        call.expect(abs(sum(trade["amount"] for trade in trades) - SIZE) < 1e-9, trades)
        call.expect(all(trade["fee"]["cost"] > 0 for trade in trades), trades)
    with calls("fetch_positions", "it is a long position of that size") as call:
        positions = exchange.fetch_positions([SYMBOL])
        call.expect([(p["side"], p["contracts"]) for p in positions] == [("long", SIZE)], positions)
    with calls("create_order", "a reduce-only IOC closes it") as call:
        price = exchange.fetch_order_book(SYMBOL)["bids"][0][0]
        parameters = {"reduceOnly": True, "timeInForce": "Ioc"}
        exchange.create_order(SYMBOL, "limit", "sell", SIZE, int(price * 0.99), parameters)
        call.expect(exchange.fetch_positions([SYMBOL]) == [], "a position")
    with calls("set_leverage", "is taken") as call:
        answer = exchange.set_leverage(5, SYMBOL)
        call.expect(answer["status"] == "ok", answer)
    with calls("fetch_funding_history", "is a list") as call:
        call.expect(isinstance(exchange.fetch_funding_history(SYMBOL), list), "no list")


def _cloid(number: int) -> str:
    return f"0x{number:032x}"


def _far_below(book: Any) -> int:
    """A price on the grid at which a buy order rests and is not filled."""
    return int(book["bids"][0][0] * 0.9)


def _limit(exchange: Any, price: float, number: int) -> Any:
    return exchange.create_order(SYMBOL, "limit", "buy", SIZE, price, {"clientOrderId": _cloid(number)})


# --- WebSocket ---


async def _over_socket(calls: Checklist, url: str) -> None:
    with calls.section():
        exchange = _made(ccxt.pro.hyperliquid, url)
        try:
            with calls("load_markets", "lists the perpetual") as call:
                call.expect(SYMBOL in await exchange.load_markets(), "not listed")
            await _watches(exchange, calls)
        finally:
            await exchange.close()


async def _watches(exchange: Any, calls: Checklist) -> None:
    with calls("watch_order_book", "has both sides, best first") as call:
        (book,) = await _watched(lambda: _one(exchange.watch_order_book(SYMBOL)), _wait)
        call.expect(book["bids"][0][0] > book["bids"][-1][0], book)
        call.expect(book["bids"][0][0] < book["asks"][0][0], book)
    low = _far_below(book)
    is_long = False

    async def buy_or_sell() -> None:
        nonlocal is_long
        side, parameters = ("sell", {"reduceOnly": True}) if is_long else ("buy", {})
        price = (await exchange.fetch_order_book(SYMBOL))["bids"][0][0]
        await exchange.create_order(SYMBOL, "market", side, SIZE, price, parameters)
        is_long = not is_long

    async def place_or_cancel() -> None:
        for order in await exchange.fetch_open_orders(SYMBOL):
            await exchange.cancel_order(order["id"], SYMBOL)
            return
        await exchange.create_order(SYMBOL, "limit", "buy", SIZE, low)

    with calls("watch_trades", "a trade is published") as call:
        trades = await _watched(lambda: exchange.watch_trades(SYMBOL), buy_or_sell)
        call.expect(all(trade["price"] > 0 and trade["symbol"] == SYMBOL for trade in trades), trades)
    with calls("watch_my_trades", "fills of both sides are reported, with a fee") as call:
        fills = await _watched(
            lambda: exchange.watch_my_trades(SYMBOL),
            buy_or_sell,
            lambda fills: {"buy", "sell"} <= {fill["side"] for fill in fills},
        )
        call.expect(all(fill["fee"]["cost"] > 0 for fill in fills), fills)
    with calls("watch_orders", "an order is reported as open and as canceled") as call:
        orders = await _watched(
            lambda: exchange.watch_orders(SYMBOL),
            place_or_cancel,
            lambda orders: {"open", "canceled"} <= {order["status"] for order in orders},
        )
        call.expect(bool(orders), orders)
    with calls("create_order_ws", "an order goes over the socket") as call:
        order = await exchange.create_order_ws(SYMBOL, "limit", "buy", SIZE, low)
        call.expect(order["id"], order)
    with calls("cancel_order_ws", "and its cancel, too") as call:
        await exchange.cancel_order_ws(order["id"], SYMBOL)
        open_ids = [each["id"] for each in await exchange.fetch_open_orders(SYMBOL)]
        call.expect(order["id"] not in open_ids, open_ids)


async def _watched(
    watch: Callable[[], Awaitable[list[Any]]],
    cause: Callable[[], Awaitable[None]],
    is_enough: Callable[[list[Any]], bool] = bool,
) -> list[Any]:
    """Cause events until a watch has reported enough of them. Raises Unexpected at the deadline."""
    seen: list[Any] = []
    try:
        async with asyncio.timeout(2 * DEADLINE_S):
            while not is_enough(seen):
                watching = asyncio.ensure_future(watch())
                try:
                    while not watching.done():
                        await cause()
                        await asyncio.wait({watching}, timeout=REPEAT_S)
                    seen += watching.result()
                finally:
                    watching.cancel()
    except TimeoutError:
        raise Unexpected(f"not within {2 * DEADLINE_S:g} s; received so far: {seen!r:.200}") from None
    return seen


async def _one(awaitable: Awaitable[Any]) -> list[Any]:
    return [await awaitable]


async def _wait() -> None:
    """The market moves by itself."""


if __name__ == "__main__":
    main()
