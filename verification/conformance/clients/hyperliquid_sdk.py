"""Hyperliquid's official SDK, unchanged, against a venue: ``Exchange`` and ``Info``, HTTP and socket.

Run in the clients' environment: ``python -m conformance.clients.hyperliquid_sdk --hyperliquid URL``. It signs
for the testnet, as it does for every host but production's.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

import eth_account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.signing import OrderType
from hyperliquid.utils.types import Cloid

from .accounts import HYPERLIQUID_AGENT_KEY, HYPERLIQUID_KEY
from .checklist import Checklist

COIN: Final = "BTC"
SPOT: Final = "HYPE/USDC"  # "@1" on the wire
SIZE: Final = 0.02
GTC: Final[OrderType] = {"limit": {"tif": "Gtc"}}
IOC: Final[OrderType] = {"limit": {"tif": "Ioc"}}
ALO: Final[OrderType] = {"limit": {"tif": "Alo"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyperliquid", required=True)
    url = parser.parse_args().hyperliquid
    wallet = eth_account.Account.from_key(HYPERLIQUID_KEY)

    calls = Checklist("hyperliquid-python-sdk · own key")
    with calls.section():
        info = Info(url)
        try:
            _public_reads(info, calls)
            with calls("user_state", "an account with collateral") as call:
                state = info.user_state(wallet.address)
                call.expect(float(state["marginSummary"]["accountValue"]) > 0, state)
            exchange = Exchange(wallet, url)
            received = _subscriptions(info, wallet.address, calls)
            _orders(exchange, info, wallet.address, calls)
            _trades(exchange, info, wallet.address, calls)
            _settings(exchange, calls)
            _received(received, calls)
        finally:
            info.disconnect_websocket()
    _with_agent(url, wallet, Checklist("hyperliquid-python-sdk · agent"))


def _public_reads(info: Any, calls: Checklist) -> None:
    with calls("meta", "lists the coin with its decimals and leverage") as call:
        universe = info.meta()["universe"]
        call.expect(universe[0] | {"name": COIN, "szDecimals": 5, "maxLeverage": 40} == universe[0], universe)
    with calls("spot_meta", "lists spot pairs and their tokens") as call:
        spot = info.spot_meta()
        call.expect(spot["universe"] and spot["tokens"][0]["name"] == "USDC", spot)
    with calls("meta_and_asset_ctxs", "has a context for every coin") as call:
        meta, contexts = info.meta_and_asset_ctxs()
        call.expect(len(meta["universe"]) == len(contexts) and float(contexts[0]["markPx"]) > 0, contexts)
    with calls("all_mids", "has a price of the coin") as call:
        mids = info.all_mids()
        call.expect(float(mids[COIN]) > 0, mids)
    with calls("l2_snapshot", "has both sides, best first") as call:
        bids, asks = info.l2_snapshot(COIN)["levels"]
        call.expect(float(bids[0]["px"]) > float(bids[-1]["px"]), bids)
        call.expect(float(bids[0]["px"]) < float(asks[0]["px"]), asks)
    with calls("l2_snapshot", "a spot pair by its tokens' names has a book") as call:
        bids, asks = info.l2_snapshot(SPOT)["levels"]
        call.expect(0 < float(bids[0]["px"]) < float(asks[0]["px"]), bids)
    with calls("spot_meta_and_asset_ctxs", "has a price for every spot pair") as call:
        meta, contexts = info.spot_meta_and_asset_ctxs()
        call.expect(len(meta["universe"]) == len(contexts), contexts)
        call.expect(all(float(context["midPx"]) > 0 for context in contexts), contexts)
    with calls("funding_history", "is a list of the coin's rates") as call:
        history = info.funding_history(COIN, 0)
        call.expect(all(row["coin"] == COIN for row in history), history)


def _subscriptions(info: Any, address: str, calls: Checklist) -> dict[str, list[Any]]:
    received: dict[str, list[Any]] = {}
    wanted: list[dict[str, str]] = [
        *({"type": kind, "coin": COIN} for kind in ("bbo", "l2Book", "trades")),
        {"type": "bbo", "coin": SPOT},
        *(
            {"type": kind, "user": address}
            for kind in ("orderUpdates", "userFills", "userEvents", "userFundings")
        ),
    ]
    for subscription in wanted:
        kind = subscription["type"]
        name = f"{kind} of {SPOT}" if subscription.get("coin") == SPOT else kind
        with calls("subscribe", name):
            info.subscribe(subscription, received.setdefault(name, []).append)
    return received


def _received(received: dict[str, list[Any]], calls: Checklist) -> None:
    """After all the trading: every subscription has brought something."""
    for kind, messages in received.items():
        with calls("subscribe", f"{kind} brought something") as call:
            call.eventually(lambda messages=messages: messages, kind)  # type: ignore[misc]
    with calls("userFills", "a snapshot first, then the fills of our orders") as call:
        fills = received["userFills"]
        call.expect(fills[0]["data"].get("isSnapshot") is True, fills[0])
        call.expect(any(message["data"]["fills"] for message in fills[1:]), fills)


def _low(info: Any) -> int:
    """A price on the grid at which a buy order rests and is not filled."""
    return int(float(info.all_mids()[COIN]) * 0.9)


def _status(answer: Any) -> Any:
    return answer["response"]["data"]["statuses"][0]


def _orders(exchange: Any, info: Any, address: str, calls: Checklist) -> None:
    low, cloid = _low(info), Cloid.from_int(7)
    with calls("order", "a limit order rests, under our cloid") as call:
        status = _status(exchange.order(COIN, True, SIZE, low, GTC, cloid=cloid))
        call.expect(status["resting"]["cloid"] == cloid.to_raw(), status)
    oid = status["resting"]["oid"]
    with calls("open_orders", "it is listed") as call:
        rows = info.open_orders(address)
        call.expect([(row["oid"], float(row["sz"])) for row in rows] == [(oid, SIZE)], rows)
    with calls("frontend_open_orders", "with its time in force") as call:
        rows = info.frontend_open_orders(address)
        call.expect(rows[0]["tif"] == "Gtc" and rows[0]["orderType"] == "Limit", rows)
    with calls("query_order_by_cloid", "it is open") as call:
        found = info.query_order_by_cloid(address, cloid)
        call.expect(found["order"]["status"] == "open", found)
    with calls("order", "the same cloid while it is open is refused") as call:
        call.expect("error" in _status(exchange.order(COIN, True, SIZE, low, GTC, cloid=cloid)), "taken")
    with calls("modify_order", "a new number under the same cloid") as call:
        status = _status(exchange.modify_order(cloid, COIN, True, 2 * SIZE, low - 100, GTC, cloid=cloid))
        call.expect(status["resting"]["oid"] != oid, status)
    with calls("cancel_by_cloid", "is a success, and no second time") as call:
        call.expect(_status(exchange.cancel_by_cloid(COIN, cloid)) == "success", "refused")
        call.expect("never placed" in _status(exchange.cancel_by_cloid(COIN, cloid))["error"], "cancelled")
    with calls("bulk_orders", "two orders have an answer each") as call:
        requests = [
            {
                "coin": COIN,
                "is_buy": True,
                "sz": SIZE,
                "limit_px": low - number,
                "order_type": GTC,
                "reduce_only": False,
            }
            for number in (1, 2)
        ]
        answer = exchange.bulk_orders(requests)
        oids = [status["resting"]["oid"] for status in answer["response"]["data"]["statuses"]]
        call.expect(len(set(oids)) == 2, answer)
    with calls("bulk_cancel", "both are cancelled") as call:
        answer = exchange.bulk_cancel([{"coin": COIN, "oid": number} for number in oids])
        call.expect(answer["response"]["data"]["statuses"] == ["success", "success"], answer)
    with calls("order", "post-only that would cross is refused") as call:
        error = _status(exchange.order(COIN, True, SIZE, int(1.2 * low), ALO))["error"]
        call.expect(error.startswith("Post only order would have immediately matched"), error)
    with calls("order", "below ten dollars is refused") as call:
        error = _status(exchange.order(COIN, True, 0.0001, low, GTC))["error"]
        call.expect(error.startswith("Order must have minimum value of $10."), error)
    with calls("order", "more than five figures is refused") as call:
        error = _status(exchange.order(COIN, True, SIZE, low + 0.5, GTC))["error"]
        call.expect(error.startswith("Price must be divisible by tick size."), error)
    with calls("historical_orders", "has all of them") as call:
        rows = info.historical_orders(address)
        call.expect({row["status"] for row in rows} >= {"canceled", "badAloPxRejected"}, rows)


def _trades(exchange: Any, info: Any, address: str, calls: Checklist) -> None:
    with calls("market_open", "is filled whole") as call:
        status = _status(exchange.market_open(COIN, True, SIZE))
        call.expect(float(status["filled"]["totalSz"]) == SIZE, status)
    with calls("user_fills", "they add up to the order, with a fee") as call:
        rows = [row for row in info.user_fills(address) if row["oid"] == status["filled"]["oid"]]
        call.expect(abs(sum(float(row["sz"]) for row in rows) - SIZE) < 1e-9, rows)
        call.expect(all(float(row["fee"]) > 0 and row["dir"] == "Open Long" for row in rows), rows)
    with calls("user_fills_by_time", "has them, too") as call:
        rows = info.user_fills_by_time(address, int(time.time() * 1000) - 60_000)
        call.expect(rows, rows)
    with calls("user_state", "a long position of that size, with its margin") as call:
        state = info.user_state(address)
        [position] = [row["position"] for row in state["assetPositions"]]
        call.expect(float(position["szi"]) == SIZE and float(position["marginUsed"]) > 0, position)
    with calls("order", "an IOC beyond the market finds nothing") as call:
        error = _status(exchange.order(COIN, True, SIZE, _low(info), IOC))["error"]
        call.expect(error.startswith("Order could not immediately match"), error)
    with calls("order", "reduce-only of more than is held is cut to it") as call:
        status = _status(exchange.order(COIN, False, 2 * SIZE, _low(info), IOC, reduce_only=True))
        call.expect(float(status["filled"]["totalSz"]) == SIZE, status)
    with calls("user_state", "it is flat again") as call:
        call.expect(info.user_state(address)["assetPositions"] == [], "a position")
    with calls("market_close", "closes what market_open opened") as call:
        exchange.market_open(COIN, False, SIZE)
        status = _status(exchange.market_close(COIN))
        call.expect(float(status["filled"]["totalSz"]) == SIZE, status)
    with calls("user_funding_history", "is a list") as call:
        call.expect(isinstance(info.user_funding_history(address, 0), list), "no list")
    with calls("user_fees", "has the taker's rate") as call:
        fees = info.user_fees(address)
        call.expect(float(fees["userCrossRate"]) == 0.00045, fees)
    with calls("user_rate_limit", "counts what was sent") as call:
        budget = info.user_rate_limit(address)
        call.expect(0 < budget["nRequestsUsed"] < budget["nRequestsCap"], budget)


def _settings(exchange: Any, calls: Checklist) -> None:
    with calls("update_leverage", "is taken") as call:
        answer = exchange.update_leverage(5, COIN)
        call.expect(answer["status"] == "ok", answer)
    with calls("schedule_cancel", "is set and cleared") as call:
        answer = exchange.schedule_cancel(int(time.time() * 1000) + 60_000)
        call.expect(answer["status"] == "ok", answer)
        call.expect(exchange.schedule_cancel(None)["status"] == "ok", "not cleared")
    with calls("noop", "uses a nonce up, once") as call:
        nonce = int(time.time() * 1000)
        call.expect(exchange.noop(nonce)["status"] == "ok", "refused")
        again = exchange.noop(nonce)
        call.expect(again["response"].startswith("Invalid nonce: duplicate nonce"), again)
    with calls("usd_class_transfer", "is refused in the venue's way") as call:
        answer = exchange.usd_class_transfer(1.0, True)
        call.expect(answer["status"] == "err", answer)


def _with_agent(url: str, wallet: Any, calls: Checklist) -> None:
    agent = eth_account.Account.from_key(HYPERLIQUID_AGENT_KEY)
    with calls.section():
        by_agent = Exchange(agent, url, account_address=wallet.address)
        low = _low(by_agent.info)
        with calls("order", "an agent nobody approved does not exist") as call:
            answer = by_agent.order(COIN, True, SIZE, low, GTC)
            call.expect(
                answer["response"].lower().startswith(f"user or api wallet {agent.address.lower()}"), answer
            )
        with calls("approve_agent", "is taken from the account's own key") as call:
            answer, key = Exchange(wallet, url).approve_agent("tandem")
            call.expect(answer["status"] == "ok", answer)
        approved = eth_account.Account.from_key(key)
        by_agent = Exchange(approved, url, account_address=wallet.address)
        with calls("user_role", "names the account it acts for") as call:
            role = by_agent.info.user_role(approved.address)
            call.expect(role == {"role": "agent", "data": {"user": wallet.address.lower()}}, role)
        with calls("extra_agents", "lists it with its end") as call:
            agents = by_agent.info.extra_agents(wallet.address)
            call.expect(agents[0]["validUntil"] > time.time() * 1000, agents)
        with calls("order", "rests on the account's books") as call:
            status = _status(by_agent.order(COIN, True, SIZE, low, GTC))
            oids = [row["oid"] for row in by_agent.info.open_orders(wallet.address)]
            call.expect(status["resting"]["oid"] in oids, status)
        with calls("cancel", "is cancelled by it, too") as call:
            call.expect(_status(by_agent.cancel(COIN, status["resting"]["oid"])) == "success", "refused")
        with calls("usd_class_transfer", "an agent may not move money") as call:
            answer = by_agent.usd_class_transfer(1.0, True)
            call.expect(answer["status"] == "err", answer)


if __name__ == "__main__":
    main()
