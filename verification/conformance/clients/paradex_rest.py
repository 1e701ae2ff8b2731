"""The SDK's REST calls: market data, account, and orders from create to end."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from paradex_py.common.order import OrderSide

from .checklist import Checklist
from .paradex_orders import MARKET, SIZE, closed_as, far_below, ids, limit_order, market_order


def public_reads(api: Any, calls: Checklist) -> None:
    with calls.section():
        with calls("fetch_system_config", "names the chain") as call:
            config = api.fetch_system_config()
            call.expect(config.starknet_chain_id == "PRIVATE_SN_POTC_SEPOLIA", config)
        with calls("fetch_system_state", "is ok") as call:
            state = api.fetch_system_state()
            call.expect(state == {"status": "ok"}, state)
        with calls("fetch_system_time", "is in milliseconds") as call:
            time = api.fetch_system_time()
            call.expect(len(str(time["server_time"])) == 13, time)
        with calls("fetch_markets", "lists the market with its grid") as call:
            markets = {market["symbol"]: market for market in api.fetch_markets()["results"]}
            call.expect(Decimal(markets[MARKET]["price_tick_size"]) > 0, markets)
        with calls("fetch_markets_summary", "has a mark price for every market") as call:
            summaries = api.fetch_markets_summary({"market": "ALL"})["results"]
            call.expect({summary["symbol"] for summary in summaries} == set(markets), summaries)
            call.expect(all(Decimal(summary["mark_price"]) > 0 for summary in summaries), summaries)
        with calls("fetch_bbo", "bids below the ask") as call:
            bbo = api.fetch_bbo(MARKET)
            call.expect(0 < Decimal(bbo["bid"]) < Decimal(bbo["ask"]), bbo)
        with calls("fetch_orderbook", "has the depth asked for, best first") as call:
            book = api.fetch_orderbook(MARKET, {"depth": 5})
            bids = [Decimal(price) for price, _ in book["bids"]]
            call.expect(len(bids) == len(book["asks"]) == 5, book)
            call.expect(bids == sorted(bids, reverse=True), bids)
        with calls("fetch_trades", "is a list of the market's trades") as call:
            trades = api.fetch_trades({"market": MARKET})["results"]
            call.expect(all(trade["market"] == MARKET for trade in trades), trades)


def private_reads(api: Any, calls: Checklist) -> None:
    with calls.section():
        with calls("fetch_account_summary", "is active, with its collateral") as call:
            account = api.fetch_account_summary()
            call.expect(account.status == "ACTIVE" and Decimal(account.total_collateral) > 0, account)
        with calls("fetch_account_info", "has the fees") as call:
            (info,) = api.fetch_account_info()["results"]
            call.expect(Decimal(info["fees"]["taker_rate"]) > 0, info)
        with calls("fetch_balances", "agrees with the account") as call:
            (balance,) = api.fetch_balances()["results"]
            call.expect(Decimal(balance["size"]) == Decimal(account.total_collateral), balance)
        with calls("fetch_positions", "is empty before the first trade") as call:
            positions = api.fetch_positions()["results"]
            call.expect(positions == [], positions)


def orders_over_rest(api: Any, calls: Checklist) -> None:
    with calls.section():
        low = far_below(api)
        with calls("submit_order", "a limit order is accepted as NEW") as call:
            order = api.submit_order(limit_order(low, "rest-1"))
            call.expect(order["status"] == "NEW" and order["client_id"] == "rest-1", order)
        with calls("fetch_order", "it rests in the book") as call:
            call.eventually(lambda: api.fetch_order(order["id"])["status"] == "OPEN", "OPEN")
        with calls("fetch_order_by_client_id", "it is found by its client id") as call:
            found = api.fetch_order_by_client_id("rest-1")
            call.expect(found["id"] == order["id"], found)
        with calls("fetch_orders", "it is listed among the open orders") as call:
            call.expect(order["id"] in ids(api.fetch_orders({"market": MARKET})), order["id"])
        with calls("modify_order", "size and price change, the id stays") as call:
            change = limit_order(low - 100, "rest-1", size=2 * SIZE)
            change.id = order["id"]
            pending = api.modify_order(order["id"], change)
            call.expect(pending["request_info"]["status"] == "PENDING", pending)
            call.eventually(
                lambda: api.fetch_order(order["id"])["request_info"]["status"] == "SUCCESS", "SUCCESS"
            )
            changed = api.fetch_order(order["id"])
            call.expect(Decimal(changed["price"]) == low - 100, changed)
            call.expect(Decimal(changed["size"]) == 2 * SIZE, changed)
        with calls("modify_order", "a change of nothing is refused") as call:
            same = limit_order(low - 100, "rest-1", size=2 * SIZE)
            same.id = order["id"]
            call.refused(
                lambda: api.modify_order(order["id"], same), ValueError, "no order parameters changed"
            )
        with calls("cancel_order", "it is closed as cancelled by the user") as call:
            api.cancel_order(order["id"])
            call.eventually(lambda: closed_as(api, order["id"]) == "USER_CANCELED", "USER_CANCELED")
        with calls("cancel_order_by_client_id", "an order is found and closed") as call:
            other = api.submit_order(limit_order(low, "rest-2"))
            api.cancel_order_by_client_id("rest-2")
            call.eventually(lambda: closed_as(api, other["id"]) == "USER_CANCELED", "USER_CANCELED")
        with calls("submit_orders_batch", "three orders are accepted") as call:
            batch = api.submit_orders_batch([limit_order(low, f"rest-batch-{n}") for n in range(3)])
            call.expect([order["status"] for order in batch["orders"]] == ["NEW"] * 3, batch)
            batch_ids = [order["id"] for order in batch["orders"]]
        with calls("cancel_orders_batch", "each order is answered for") as call:
            results = api.cancel_orders_batch(order_ids=[batch_ids[0], order["id"]])["results"]
            statuses = [result["status"] for result in results]
            call.expect(statuses == ["QUEUED_FOR_CANCELLATION", "ALREADY_CLOSED"], results)
        with calls("cancel_all_orders", "no order is left open") as call:
            api.cancel_all_orders({"market": MARKET})
            call.eventually(lambda: not ids(api.fetch_orders()), "no open orders")
    with calls.section():
        with calls("submit_order", "a size off the grid is refused") as call:
            call.refused(
                lambda: api.submit_order(limit_order(low, "rest-3", size=Decimal("0.000001"))),
                ValueError,
                "INVALID_ORDER_SIZE",
            )
        with calls("submit_order", "a market order is filled") as call:
            bought = api.submit_order(market_order(OrderSide.Buy))
            call.eventually(lambda: closed_as(api, bought["id"]) == "", "filled")
        with calls("fetch_fills", "they add up to the order, with a fee") as call:
            fills = [fill for fill in api.fetch_fills()["results"] if fill["order_id"] == bought["id"]]
            call.expect(sum(Decimal(fill["size"]) for fill in fills) == SIZE, fills)
            call.expect(all(Decimal(fill["fee"]) > 0 for fill in fills), fills)
        with calls("fetch_positions", "it is a long position of that size") as call:
            (position,) = api.fetch_positions()["results"]
            call.expect((position["side"], Decimal(position["size"])) == ("LONG", SIZE), position)
        with calls("submit_order", "a reduce-only market order closes it") as call:
            sold = api.submit_order(market_order(OrderSide.Sell, reduce_only=True))
            call.eventually(lambda: closed_as(api, sold["id"]) == "", "filled")
            (position,) = api.fetch_positions()["results"]
            call.expect(Decimal(position["size"]) == 0, position)
        with calls("fetch_orders_history", "it lists both orders, newest first") as call:
            history = api.fetch_orders_history({"market": MARKET})
            call.expect(ids(history)[:2] == [sold["id"], bought["id"]], history)
