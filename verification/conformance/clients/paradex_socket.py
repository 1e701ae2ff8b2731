"""The SDK's socket: subscriptions, market data, orders, private events, and a connection that breaks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from paradex_py.api.ws_client import ParadexWebsocketChannel as Channel
from paradex_py.api.ws_client import WsRpcError
from paradex_py.common.order import OrderSide

from .checklist import DEADLINE_S, Checklist, Unexpected
from .paradex_orders import MARKET, SIZE, closed_as, far_below, limit_order, market_order

# Fields that the SDK's SBE models name differently from the JSON channels.
SBE_NAMES: Final = {
    "id": "order_id",
    "client_id": "client_order_id",
    "remaining_size": "size_open",
    "bid": "bid_price",
    "ask": "ask_price",
}


class Inbox:
    """Everything the channels have sent, by channel, and a caller that waits for it."""

    def __init__(self) -> None:
        self._received: dict[str, list[dict[str, Any]]] = {}
        self._news = asyncio.Event()

    async def receive(self, channel: object, message: dict[str, Any]) -> None:
        """The SDK's callback."""
        params = message["params"]
        self._received.setdefault(params["channel"], []).append(params["data"])
        self._news.set()

    def forget(self, channel: str) -> None:
        self._received.pop(channel, None)

    async def until(self, channel: str, **wanted: str | Decimal) -> dict[str, Any]:
        """Wait for an event of a channel whose fields are as wanted. Raises Unexpected at the deadline."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    self._news.clear()
                    for data in self._received.get(channel, []):
                        if all(_same(_field(data, name), value) for name, value in wanted.items()):
                            return data
                    await self._news.wait()
        except TimeoutError:
            received = self._received.get(channel, [])
            raise Unexpected(
                f"{channel}: no {wanted}; {len(received)} events, last {received[-1:]}"
            ) from None


async def trade_over_socket(client: Any, calls: Checklist, *, is_sbe: bool) -> None:
    socket, inbox = client.ws_client, Inbox()
    try:
        with calls.section():
            with calls("ws connect", "the socket opens") as call:
                call.expect(await socket.connect(), "connect() returned False")
            await _subscriptions(socket, inbox, calls, is_sbe=is_sbe)
            await _market_channels(socket, inbox, calls, is_sbe=is_sbe)
            await _orders_over_socket(client.api_client, socket, inbox, calls)
            await _trades_over_socket(socket, inbox, calls)
            await _cancel_on_disconnect(client.api_client, socket, calls)
    finally:
        await _close(client)


async def json_is_refused(client: Any, calls: Checklist) -> None:
    with calls("ws connect", "without an SBE version is refused at the handshake") as call:
        call.expect(await client.ws_client.connect() is False, "connected")
    await _close(client)


async def _subscriptions(socket: Any, inbox: Inbox, calls: Checklist, *, is_sbe: bool) -> None:
    for channel, params in (
        (Channel.BBO, {"market": MARKET}),
        (Channel.TRADES, {"market": MARKET}),
        (Channel.MARKETS_SUMMARY, {"market": MARKET}),
        (Channel.ORDERS, {"market": "ALL"}),
        (Channel.FILLS, {"market": "ALL"}),
        (Channel.POSITIONS, None),
        (Channel.ACCOUNT, None),
    ):
        with calls("subscribe", f"{channel.name} is acknowledged"):
            await socket.subscribe(channel, callback=inbox.receive, params=params)
            await _acknowledged(socket, channel.value.format(**(params or {})))
    with calls("subscribe", "ORDER_BOOK is acknowledged"):
        await socket.subscribe_by_name(_book_channel(is_sbe), callback=inbox.receive)
        await _acknowledged(socket, _book_channel(is_sbe))


def _book_channel(is_sbe: bool) -> str:
    return f"order_book.{MARKET}." + ("deltas" if is_sbe else "snapshot@15@50ms")


async def _acknowledged(socket: Any, channel: str) -> None:
    await _until(lambda: socket.get_subscriptions().get(channel) is True, f"{channel} acknowledged")


async def _market_channels(socket: Any, inbox: Inbox, calls: Checklist, *, is_sbe: bool) -> None:
    with calls("bbo", "bids below the ask") as call:
        bbo = await inbox.until(f"bbo.{MARKET}")
        call.expect(Decimal(_field(bbo, "bid")) < Decimal(_field(bbo, "ask")), bbo)
    with calls("markets_summary", "has a mark price") as call:
        summary = await inbox.until(f"markets_summary.{MARKET}")
        call.expect(Decimal(summary["mark_price"]) > 0, summary)
    with calls("order_book", "begins with both sides of the book") as call:
        book = await inbox.until(_book_channel(is_sbe))
        levels = (
            (book["bids"], book["asks"])
            if is_sbe
            else [[level for level in book["inserts"] if level["side"] == side] for side in ("BUY", "SELL")]
        )
        call.expect(all(len(side) > 5 for side in levels), book)
    with calls("unsubscribe", "subscribed again, the channel begins with the whole book anew"):
        channel = _book_channel(is_sbe)
        await socket.unsubscribe_by_name(channel)
        await _acknowledged(socket, channel)  # the SDK books this answer as a subscription
        inbox.forget(channel)
        await socket.subscribe_by_name(channel, callback=inbox.receive)
        await inbox.until(channel, **({"pkg_type": "SNAPSHOT"} if is_sbe else {"update_type": "s"}))


async def _orders_over_socket(api: Any, socket: Any, inbox: Inbox, calls: Checklist) -> None:
    low = await asyncio.to_thread(far_below, api)
    orders = "orders.ALL"
    with calls("ws submit_order", "is accepted, reported as NEW and as OPEN") as call:
        order = (await socket.submit_order(limit_order(low, "ws-1")))["order"]
        call.expect(order["status"] == "NEW", order)
        await inbox.until(orders, id=order["id"], status="NEW", client_id="ws-1")
        await inbox.until(orders, id=order["id"], status="OPEN", remaining_size=SIZE)
    with calls("ws modify_order", "is pending, then reported with its new price") as call:
        change = limit_order(low - 100, "ws-1")
        change.id = order["id"]
        pending = (await socket.modify_order(order["id"], change))["order"]
        call.expect(pending["request_info"]["status"] == "PENDING", pending)
        changed = await inbox.until(orders, id=order["id"], price=low - 100)
        call.expect(changed["request_info"]["status"] == "SUCCESS", changed)
    with calls("ws cancel_order", "is queued, then reported as cancelled") as call:
        queued = await socket.cancel_order(order["id"])
        call.expect(queued["status"] == "QUEUED_FOR_CANCELLATION", queued)
        await inbox.until(orders, id=order["id"], status="CLOSED", cancel_reason="USER_CANCELED")
    with calls("ws cancel_order_by_client_id", "finds the order"):
        order = (await socket.submit_order(limit_order(low, "ws-2")))["order"]
        await socket.cancel_order_by_client_id("ws-2", MARKET)
        await inbox.until(orders, id=order["id"], status="CLOSED")
    with calls("ws submit_orders_batch", "both orders are accepted") as call:
        results = (await socket.submit_orders_batch([limit_order(low, f"ws-batch-{n}") for n in range(2)]))[
            "results"
        ]
        ids = [result["order"]["id"] for result in results]
        call.expect(len(ids) == 2, results)
    with calls("ws cancel_orders_batch", "both are reported as cancelled"):
        await socket.cancel_orders_batch(ids)
        for order_id in ids:
            await inbox.until(orders, id=order_id, status="CLOSED")
    with calls("ws cancel_all_orders", "closes what is open") as call:
        order = (await socket.submit_order(limit_order(low, "ws-3")))["order"]
        answer = await socket.cancel_all_orders()
        call.expect(answer == {"status": "ok"}, answer)
        await inbox.until(orders, id=order["id"], status="CLOSED")
    with calls("ws submit_order", "a price off the grid is refused") as call:
        try:
            answer = await socket.submit_order(limit_order(Decimal("60000.123456"), "ws-4"))
        except WsRpcError as refusal:
            call.expect("INVALID_REQUEST_PARAMETER" in str(refusal), refusal)
        else:
            raise Unexpected(f"not refused: {answer}")


async def _trades_over_socket(socket: Any, inbox: Inbox, calls: Checklist) -> None:
    with calls("ws submit_order", "a market order is reported as filled"):
        order = (await socket.submit_order(market_order(OrderSide.Buy)))["order"]
        await inbox.until("orders.ALL", id=order["id"], status="CLOSED", remaining_size=Decimal(0))
    with calls("fills", "its fill is reported, with a fee") as call:
        fill = await inbox.until("fills.ALL", order_id=order["id"], liquidity="TAKER")
        call.expect(Decimal(fill["fee"]) > 0 and fill["side"] == "BUY", fill)
    with calls("trades", "it is published"):
        await inbox.until(f"trades.{MARKET}", side="BUY", price=Decimal(fill["price"]))
    with calls("positions", "a long position is reported"):
        await inbox.until("positions", market=MARKET, side="LONG", size=SIZE)
    with calls("account", "the margin it needs is reported") as call:
        account = await inbox.until("account")
        call.expect(Decimal(account["account_value"]) > 0, account)
    with calls("ws submit_order", "a reduce-only market order closes the position"):
        await socket.submit_order(market_order(OrderSide.Sell, reduce_only=True))
        await inbox.until("positions", market=MARKET, size=Decimal(0))


async def _cancel_on_disconnect(api: Any, socket: Any, calls: Checklist) -> None:
    """Last, for it breaks the connection."""
    low = await asyncio.to_thread(far_below, api)
    with calls("ws cancel_on_disconnect", "a broken connection takes its orders along") as call:
        answer = await socket.cancel_on_disconnect(True)
        call.expect(answer == {"enabled": True}, answer)
        order = (await socket.submit_order(limit_order(low, "ws-5")))["order"]
        socket.ws.transport.abort()
        await asyncio.to_thread(
            call.eventually, lambda: closed_as(api, order["id"]) == "USER_CANCELED", "cancelled"
        )


async def _close(client: Any) -> None:
    """Close a client for good.

    The SDK cancels its reader once and waits for it. A frame that arrives at that moment swallows the
    cancellation (``asyncio.wait_for`` before Python 3.12), so it is repeated.
    """
    closing = asyncio.ensure_future(client.close())
    while not closing.done():
        await asyncio.wait({closing}, timeout=1.0)
        closing.cancel()
    if not closing.cancelled():
        closing.result()


async def _until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():  # noqa: ASYNC110 (the SDK rings no bell when it books an answer)
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise Unexpected(f"not within {DEADLINE_S:g} s: {what}") from None


def _field(data: Mapping[str, Any], name: str) -> Any:
    """A field by its JSON name, under the name the SDK's SBE model has for it where it has another."""
    return data[name] if name in data else data[SBE_NAMES[name]]


def _same(seen: Any, wanted: str | Decimal) -> bool:
    if isinstance(wanted, Decimal):
        return seen is not None and Decimal(seen) == wanted
    return bool(seen == wanted)
