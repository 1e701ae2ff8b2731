"""Paradex, as the conformance suite knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.faults import Fault
from simulator.paradex import VENUE as SIMULATOR
from simulator.paradex import ParadexFront, ParadexSettings
from tests.venues.paradex.samples import (
    BTC,
    CONFIG,
    PRIVATE_KEY,
    an_order,
    answer,
    bbo_frame,
    book_frame,
    notification,
    rate_limited,
    refusal,
    sbe_frame,
)
from tests.venues.venue_case import Answer, Effect, Frame, OrderEvent, Strikes, VenueCase
from tests.waiting import DEADLINE_S
from venues.contract import E8, OrderStatus, Outcome, VenueHosts
from venues.paradex import VENUE

ORDER = an_order()
TOKEN = "e30.opaque.secret-of-the-token"
NEXT_TOKEN = "e30.opaque.secret-of-the-next"
SYMBOL = "BTC-USD-PERP"
PING_INTERVAL_S = 0.02  # far below the venue's 55 s, so that a test hears several
MARKET = {
    "symbol": SYMBOL,
    "base_currency": "BTC",
    "price_tick_size": "0.1",
    "order_size_increment": "0.00001",
    "min_notional": "10",
    "max_order_size": "100",
}


CREATED = {"id": "1", "client_id": "td-17", "market": SYMBOL, "side": "BUY", "size": "0.01"}


def text(content: Any) -> Frame:
    return Frame(json.dumps(content).encode() + b"\n")


def on(channel: str, **data: Any) -> Frame:
    return Frame(notification(channel, data))


def order(status: str, remaining: str, reason: str = "", **changes: Any) -> Frame:
    row = {
        "id": "1", "market": SYMBOL, "side": "BUY", "status": status, "size": "0.01",
        "remaining_size": remaining, "avg_fill_price": "60000.1", "cancel_reason": reason,
        "client_id": "td-17", "last_updated_at": 1_790_000_000_123,
    } | changes  # fmt: skip
    return on("orders.ALL", **row)


def reply(**content: Any) -> Frame:
    return text({"jsonrpc": "2.0", "id": ORDER.client_order_id, **content})


def error(code: int, message: str) -> Frame:
    return reply(error={"code": code, "message": message})


def book(bid: int, ask: int, number: int) -> Sequence[Frame]:
    """The bbo and, as a snapshot of one level a side, the book."""
    top = bbo_frame(
        number,
        bid_e8=bid * E8,
        bid_size_e8=E8 if bid else 0,
        ask_e8=ask * E8,
        ask_size_e8=E8 if ask else 0,
    )
    sides = book_frame(
        number, bids=[(bid, 1)] if bid else [], asks=[(ask, 1)] if ask else [], is_snapshot=True
    )
    return [Frame(top, is_binary=True), Frame(sides, is_binary=True)]


def is_no_news(message: Mapping[str, Any]) -> bool:
    """Replies to the two subscriptions, whose ids follow from the first."""
    return message.get("id") in (2**53, 2**53 + 2)


def hosts(port: int) -> VenueHosts:
    base = f"127.0.0.1:{port}/v1"
    return VenueHosts(f"http://{base}", f"ws://{base}", f"ws://{base}")


VENUE_CASE = VenueCase(
    value=VENUE,
    symbol=SYMBOL,
    instrument=BTC,
    order=ORDER,
    secrets=(PRIVATE_KEY[2:], str(int(PRIVATE_KEY, 16)), TOKEN, NEXT_TOKEN),
    environment={"PARADEX_L2_PRIVATE_KEY": PRIVATE_KEY, "PARADEX_L1_ADDRESS": "0x" + "11" * 20},
    login=(answer(CONFIG), answer({"jwt_token": TOKEN})),
    renewal=(answer({"jwt_token": NEXT_TOKEN}),),
    listing=(answer({"results": [MARKET]}),),
    refusal=refusal("UNAUTHORIZED_ERROR", status=401),
    acknowledge=lambda request: text({"jsonrpc": "2.0", "id": json.loads(request)["id"], "result": {}}),
    book=book,
    public_frames=(
        ("bbo", book(100, 101, 5)[0], Effect.NEWS),
        ("book", book(100, 101, 5)[1], Effect.NEWS),
        ("bbo of another market", Frame(bbo_frame(1, symbol="X-USD-PERP"), is_binary=True), Effect.NAMED),
        (
            "refused subscription",
            text({"id": 2**53, "error": {"code": -32600, "message": "no"}}),
            Effect.NAMED,
        ),
        ("reply to nothing", text({"id": 99, "result": {}}), Effect.NAMED),
        ("channel never asked for", on("trades.ALL", price="1"), Effect.NAMED),
        ("SBE of another channel", Frame(sbe_frame("order_open"), is_binary=True), Effect.NAMED),
        ("unknown SBE template", Frame(bytes([0, 0, 99, 0, 1, 0, 2, 0]), is_binary=True), Effect.NAMED),
        ("unknown object", text({"hello": "harness"}), Effect.ERROR),
        ("SBE cut short", Frame(book(100, 101, 5)[0].content[:-3], is_binary=True), Effect.ERROR),
        ("heartbeat", Frame(sbe_frame("heartbeat"), is_binary=True), Effect.NO_NEWS),
        ("acknowledgement", text({"id": 2**53, "result": {}}), Effect.NO_NEWS),
    ),
    is_no_news=is_no_news,
    create_answers=(
        Answer("accepted", reply(result={"order": CREATED}), Outcome.ACCEPTED),
        Answer("accepted over http", answer(CREATED, 201), Outcome.ACCEPTED),
        Answer("refused", error(100, "INVALID_ORDER_SIZE"), Outcome.REFUSED),
        Answer("refused over http", refusal("INVALID_ORDER_SIZE"), Outcome.REFUSED),
        Answer("rate limited", error(42901, "rate limited"), Outcome.REFUSED, names_pause=True),
        Answer("rate limited over http", rate_limited(), Outcome.REFUSED, names_pause=True),
        Answer("maintenance", error(100, "SYSTEM_STATUS_CANCEL_ONLY"), Outcome.REFUSED, names_pause=True),
        Answer("duplicate", error(100, "DUPLICATED_CLIENT_ID"), Outcome.IN_DOUBT),
        Answer("failure inside", error(-32603, "internal"), Outcome.IN_DOUBT),
        Answer("failure inside over http", answer(b"<html>", 502), Outcome.IN_DOUBT),
        Answer("unknown code", error(777, "?"), Outcome.IN_DOUBT),
        Answer("unreadable success over http", answer(b"{", 201), Outcome.IN_DOUBT),
    ),
    order_events=(
        OrderEvent("open", [order("OPEN", "0.01")], OrderStatus.OPEN, 0),
        OrderEvent("partially filled", [order("OPEN", "0.004")], OrderStatus.OPEN, 600_000),
        OrderEvent("filled", [order("CLOSED", "0")], OrderStatus.FILLED, ORDER.size_e8),
        OrderEvent(
            "filled in two", [order("OPEN", "0.004"), order("CLOSED", "0")], OrderStatus.FILLED, ORDER.size_e8
        ),
        OrderEvent("cancelled", [order("CLOSED", "0.01", "USER_CANCELED")], OrderStatus.CANCELLED, 0),
        OrderEvent("rejected", [order("CLOSED", "0.01", "NOT_ENOUGH_MARGIN")], OrderStatus.REJECTED, 0),
    ),
    private_rubbish=(
        on("orders.ALL"),
        order("EXPIRED", "0.01"),
        order("OPEN", "-0.1"),
        order("OPEN", "0.02"),
        order("OPEN", "0.01", side=None),
        order("OPEN", "0.01", side="LONG"),
        on("balance_events"),
        text({"id": -4, "result": {"order": {"id": "1"}}}),
        Frame(sbe_frame("order_open")[:-3], is_binary=True),
    ),
    simulator=SIMULATOR,
    front=lambda exchange: ParadexFront(
        exchange, ParadexSettings(ping_interval_s=PING_INTERVAL_S, pong_timeout_s=DEADLINE_S)
    ),
    hosts=hosts,
    strikes=lambda: Strikes(
        rate_limit=Fault("ws.order.create", code="RATE_LIMITED"),
        doubt=Fault("ws.order.create", code="INTERNAL_ERROR"),
        lost_answer=Fault("ws.order.create", drop_reply=True),
        lost_push=Fault("push.order_book.*", drop=True),
    ),
    counts_messages=True,
    pings_by_itself=False,
    tells_partial_fills=True,
    late_ms=61_000,
)  # fmt: skip
