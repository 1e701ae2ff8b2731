"""ccxt, unchanged, against a venue: ``ccxt.paradex`` over REST, ``ccxt.pro.paradex`` over its socket too.

Run in the clients' environment: ``python -m conformance.clients.ccxt_client --json URL --sbe URL``,
venues as for ``paradex_sdk``.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import ccxt
import ccxt.pro
import httpx
from fast_stark_crypto import get_public_key

from .accounts import BASE_KEY, CCXT_L1_KEY, L1_ADDRESS
from .checklist import DEADLINE_S, Checklist, Unexpected

SYMBOL: Final = "BTC/USD:USDC"
SIZE: Final = 0.02
REPEAT_S: Final = 0.5  # after this long without news what a watch waits for is done again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", required=True)
    parser.add_argument("--sbe", required=True)
    urls = parser.parse_args()

    _over_rest(Checklist("ccxt.paradex"), urls.json)
    for index, (url, is_sbe, encoding) in enumerate(
        ((urls.json, False, "JSON"), (urls.json, True, "SBE"), (urls.sbe, True, "SBE only"))
    ):
        calls = Checklist(f"ccxt.pro.paradex · {encoding}")
        asyncio.run(_over_socket(calls, url, BASE_KEY + 0x200 + index, is_sbe=is_sbe))


def _configure(exchange: Any, url: str) -> Any:
    exchange.urls["api"] = {
        "v1": url,
        "v2": url.removesuffix("v1") + "v2",
        "ws": url.replace("http", "ws", 1),
    }
    return exchange


# --- REST ---


def _over_rest(calls: Checklist, url: str) -> None:
    """With nothing but an L1 key: ccxt derives the L2 key and the address itself."""
    exchange = _configure(ccxt.paradex({"walletAddress": L1_ADDRESS, "privateKey": CCXT_L1_KEY}), url)
    with calls.section():
        _public_reads(exchange, calls)
        with calls("fetch_balance", "is refused until the account is onboarded") as call:
            call.refused(exchange.fetch_balance, ccxt.BadRequest, "NOT_ONBOARDED")
        with calls("onboarding", "is accepted"):
            exchange.onboarding()
        with calls("fetch_balance", "has the collateral") as call:
            balance = exchange.fetch_balance()
            call.expect(balance["total"]["USDC"] > 0, balance)
        _orders(exchange, calls)
        _trading(exchange, calls)


def _public_reads(exchange: Any, calls: Checklist) -> None:
    with calls("load_markets", "lists the market with its grid") as call:
        market = exchange.load_markets()[SYMBOL]
        call.expect(market["precision"]["price"] == 0.1 and market["swap"], market)
    with calls("fetch_time", "is in milliseconds") as call:
        time = exchange.fetch_time()
        call.expect(len(str(time)) == 13, time)
    with calls("fetch_status", "is ok") as call:
        status = exchange.fetch_status()
        call.expect(status["status"] == "ok", status)
    with calls("fetch_ticker", "bids below the ask") as call:
        ticker = exchange.fetch_ticker(SYMBOL)
        call.expect(0 < ticker["bid"] < ticker["ask"], ticker)
    with calls("fetch_tickers", "has every market") as call:
        tickers = exchange.fetch_tickers()
        call.expect(set(tickers) == set(exchange.markets), tickers)
    with calls("fetch_order_book", "has both sides, best first") as call:
        book = exchange.fetch_order_book(SYMBOL)
        call.expect(book["bids"][0][0] > book["bids"][-1][0], book)
        call.expect(book["bids"][0][0] < book["asks"][0][0], book)
    with calls("fetch_trades", "is a list of the market's trades") as call:
        trades = exchange.fetch_trades(SYMBOL)
        call.expect(all(trade["symbol"] == SYMBOL for trade in trades), trades)
    with calls("fetch_open_interest", "is not negative") as call:
        interest = exchange.fetch_open_interest(SYMBOL)
        call.expect(interest["openInterestAmount"] >= 0, interest)
    with calls("fetch_funding_rate", "is a number") as call:
        rate = exchange.fetch_funding_rate(SYMBOL)
        call.expect(isinstance(rate["fundingRate"], float), rate)


def _orders(exchange: Any, calls: Checklist) -> None:
    low = _far_below(exchange.fetch_order_book(SYMBOL))
    with calls("create_order", "a limit order is accepted") as call:
        order = _limit(exchange, low, "cx-1")
        call.expect(order["clientOrderId"] == "cx-1", order)
    with calls("fetch_order", "it is open") as call:
        call.eventually(lambda: exchange.fetch_order(order["id"], SYMBOL)["info"]["status"] == "OPEN", "OPEN")
    with calls("fetch_open_orders", "it is listed") as call:
        listed = exchange.fetch_open_orders(SYMBOL)
        call.expect([entry["id"] for entry in listed] == [order["id"]], listed)
    with calls("edit_order", "size and price change, the id stays") as call:
        edited = exchange.edit_order(order["id"], SYMBOL, "limit", "buy", 2 * SIZE, low - 100)
        call.expect(edited["id"] == order["id"], edited)
        call.eventually(lambda: _price_and_amount(exchange, order["id"]) == (low - 100, 2 * SIZE), "changed")
    with calls("cancel_order", "it is closed as cancelled") as call:
        exchange.cancel_order(order["id"], SYMBOL)
        call.eventually(lambda: _status(exchange, order["id"]) == "canceled", "canceled")
    with calls("cancel_order", "by client id, too") as call:
        other = _limit(exchange, low, "cx-2")
        exchange.cancel_order(None, SYMBOL, {"clientOrderId": "cx-2"})
        call.eventually(lambda: _status(exchange, other["id"]) == "canceled", "canceled")
    with calls("create_orders", "two orders are accepted") as call:
        request = {"symbol": SYMBOL, "type": "limit", "side": "buy", "amount": SIZE, "price": low}
        answer = exchange.create_orders([dict(request, params={"clientOrderId": f"cx-{n}"}) for n in (3, 4)])
        # ccxt turns every entry of "errors" into a rejected order without an id, the nulls included.
        created = [order for order in answer if order["id"]]
        call.expect([order["clientOrderId"] for order in created] == ["cx-3", "cx-4"], answer)
    with calls("cancel_orders", "one of them is closed") as call:
        exchange.cancel_orders([created[0]["id"]])
        call.eventually(lambda: _status(exchange, created[0]["id"]) == "canceled", "canceled")
    with calls("cancel_all_orders", "no order is left open") as call:
        exchange.cancel_all_orders(SYMBOL)
        call.eventually(lambda: not exchange.fetch_open_orders(SYMBOL), "no open orders")
    with calls("create_order", "a size below the minimum value is refused") as call:
        call.refused(
            lambda: exchange.create_order(SYMBOL, "limit", "buy", 0.00001, low),
            ccxt.ExchangeError,
            "INVALID_REQUEST_PARAMETER",
        )


def _trading(exchange: Any, calls: Checklist) -> None:
    with calls("create_order", "a market order is filled") as call:
        order = exchange.create_order(SYMBOL, "market", "buy", SIZE)
        call.eventually(lambda: _status(exchange, order["id"]) == "closed", "closed")
    with calls("fetch_my_trades", "they add up to the order, with a fee") as call:
        trades = [trade for trade in exchange.fetch_my_trades(SYMBOL) if trade["order"] == order["id"]]
        call.expect(abs(sum(trade["amount"] for trade in trades) - SIZE) < 1e-9, trades)
        call.expect(all(trade["fee"]["cost"] > 0 for trade in trades), trades)
    with calls("fetch_positions", "it is a long position of that size") as call:
        positions = exchange.fetch_positions([SYMBOL])
        call.expect([(p["side"], p["contracts"]) for p in positions] == [("long", SIZE)], positions)
    with calls("create_order", "a reduce-only market order closes it") as call:
        order = exchange.create_order(SYMBOL, "market", "sell", SIZE, None, {"reduceOnly": True})
        call.eventually(lambda: _status(exchange, order["id"]) == "closed", "closed")
        call.expect(all(p["contracts"] == 0 for p in exchange.fetch_positions([SYMBOL])), "a position")


def _far_below(book: Any) -> int:
    """A price on the grid at which a buy order rests and is not filled."""
    return int(book["bids"][0][0] * 0.9)


def _limit(exchange: Any, price: float, client_order_id: str) -> Any:
    return exchange.create_order(SYMBOL, "limit", "buy", SIZE, price, {"clientOrderId": client_order_id})


def _price_and_amount(exchange: Any, order_id: str) -> tuple[float, float]:
    order = exchange.fetch_order(order_id, SYMBOL)
    return order["price"], order["amount"]


def _status(exchange: Any, order_id: str) -> str | None:
    """ccxt's word for the state of an order, read from the history."""
    statuses = [order["status"] for order in exchange.fetch_orders(SYMBOL) if order["id"] == order_id]
    return str(statuses[0]) if statuses else None


# --- WebSocket ---


async def _over_socket(calls: Checklist, url: str, key: int, *, is_sbe: bool) -> None:
    """With an L2 key and its address given; ccxt speaks SBE by default."""
    with calls.section():
        options = {"paradexAccount": _account(url, key), **({} if is_sbe else {"sbe": False})}
        credentials = {"walletAddress": L1_ADDRESS, "privateKey": CCXT_L1_KEY, "options": options}
        exchange = _configure(ccxt.pro.paradex(credentials), url)
        try:
            with calls("onboarding", "is accepted for an L2 key"):
                await exchange.onboarding()
            await _market_watches(exchange, calls)
            await _order_watches(exchange, calls)
            await _trade_watches(exchange, calls)
        finally:
            await exchange.close()


def _account(url: str, key: int) -> dict[str, str]:
    """An L2 key with the address the venue derives from it."""
    public_key = hex(get_public_key(key))
    question = {"account_signer_type": "starknet", "public_key": public_key}
    answer = httpx.get(f"{url}/onboarding", params=question).raise_for_status().json()
    return {"privateKey": hex(key), "publicKey": public_key, "address": answer["address"]}


async def _market_watches(exchange: Any, calls: Checklist) -> None:
    with calls("watch_ticker", "bids below the ask") as call:
        (ticker,) = await _watched(lambda: _one(exchange.watch_ticker(SYMBOL)), _wait)
        call.expect(0 < ticker["bid"] < ticker["ask"], ticker)
    with calls("watch_tickers", "has the market") as call:
        (tickers,) = await _watched(lambda: _one(exchange.watch_tickers([SYMBOL])), _wait)
        call.expect(SYMBOL in tickers, tickers)
    with calls("watch_order_book", "has both sides, best first") as call:
        (book,) = await _watched(lambda: _one(exchange.watch_order_book(SYMBOL)), _wait)
        call.expect(book["bids"][0][0] > book["bids"][-1][0], book)
        call.expect(book["bids"][0][0] < book["asks"][0][0], book)


async def _order_watches(exchange: Any, calls: Checklist) -> None:
    low = _far_below(await exchange.fetch_order_book(SYMBOL))
    resting: list[str] = []

    async def place_or_cancel() -> None:
        # In turns: ccxt keeps the latest state of an order alone, and one state can overtake another.
        if resting:
            await exchange.cancel_order(resting.pop(), SYMBOL)
        else:
            resting.append((await _limit(exchange, low, "cx-pro"))["id"])

    with calls("watch_orders", "an order is reported as open and as canceled") as call:
        orders = await _watched(
            lambda: exchange.watch_orders(SYMBOL),
            place_or_cancel,
            lambda orders: {"open", "canceled"} <= {order["status"] for order in orders},
        )
        call.expect(all(order["clientOrderId"] == "cx-pro" for order in orders), orders)
        call.expect(all((order["price"], order["amount"]) == (low, SIZE) for order in orders), orders)


async def _trade_watches(exchange: Any, calls: Checklist) -> None:
    is_long = False

    async def buy_or_sell() -> None:
        nonlocal is_long
        side, parameters = ("sell", {"reduceOnly": True}) if is_long else ("buy", {})
        await exchange.create_order(SYMBOL, "market", side, SIZE, None, parameters)
        is_long = not is_long

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
    with calls("watch_positions", "a long position is reported, and its end") as call:
        positions = await _watched(
            lambda: exchange.watch_positions([SYMBOL]),
            buy_or_sell,
            lambda positions: {0.0, SIZE} <= {position["contracts"] for position in positions},
        )
        sides = {position["side"] for position in positions if position["contracts"]}
        call.expect(sides == {"long"}, positions)
    with calls("watch_balance", "the collateral is reported") as call:
        balances = await _watched(lambda: _one(exchange.watch_balance()), buy_or_sell)
        call.expect(balances[-1]["total"]["USDC"] > 0, balances)


async def _watched(
    watch: Callable[[], Awaitable[list[Any]]],
    cause: Callable[[], Awaitable[None]],
    is_enough: Callable[[list[Any]], bool] = bool,
) -> list[Any]:
    """Cause events again and again until a watch has reported enough of them; return what it reported.

    ccxt does not say when a subscription has been answered, so the first events may be missed.
    Raises Unexpected at the deadline.
    """
    seen: list[Any] = []
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not is_enough(seen):
                seen += await _told(asyncio.ensure_future(watch()), cause)
    except TimeoutError:
        raise Unexpected(f"not within {DEADLINE_S:g} s; received so far: {seen!r:.200}") from None
    return seen


async def _told(watch: asyncio.Future[list[Any]], cause: Callable[[], Awaitable[None]]) -> list[Any]:
    try:
        while not watch.done():
            await cause()
            await asyncio.wait({watch}, timeout=REPEAT_S)
        return watch.result()
    finally:
        watch.cancel()


async def _one(awaitable: Awaitable[Any]) -> list[Any]:
    return [await awaitable]


async def _wait() -> None:
    """The market moves by itself."""


if __name__ == "__main__":
    main()
