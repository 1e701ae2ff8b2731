"""Hyperliquid, as the conformance suite knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.faults import Fault
from simulator.hyperliquid import VENUE as SIMULATOR
from simulator.hyperliquid import HyperliquidFront, HyperliquidSettings
from tests.venues.hyperliquid.builders import (
    BTC,
    BUDGET,
    FEES,
    MASTER,
    MASTER_KEY,
    META,
    USER,
    an_answer,
    an_order,
)
from tests.venues.venue_case import Answer, Effect, Frame, OrderEvent, Strikes, VenueCase
from venues.contract import OrderStatus, Outcome, VenueHosts
from venues.hyperliquid import VENUE
from venues.hyperliquid.messages import cloid_text

ORDER = an_order()
CLOID = cloid_text(ORDER.client_order_id)
TIME = 1_791_480_444_000
NEVER = "User or API Wallet 0x70997970c51812dc3a010c7d01b50e0d17dc79c8 does not exist."
UNREADABLE = b"Failed to deserialize the JSON body into the target type"
BUDGET_TEXT = "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $3.25."


def frame(content: Any) -> Frame:
    return Frame(json.dumps(content).encode())


def level(price: int, size: str = "1.0") -> dict[str, Any] | None:
    return {"px": f"{price}.0", "sz": size, "n": 1} if price else None


def book(bid: int, ask: int, number: int) -> Sequence[Frame]:
    sides = [level(bid), level(ask)]
    return [
        frame({"channel": "bbo", "data": {"coin": "BTC", "time": TIME + number, "bbo": sides}}),
        frame(
            {
                "channel": "l2Book",
                "data": {
                    "coin": "BTC",
                    "time": TIME + number,
                    "levels": [[side] if side else [] for side in sides],
                },
            }
        ),
    ]


def acknowledge(request: bytes) -> Frame:
    """The canonical form, defaults filled in."""
    asked = json.loads(request)
    subscription = asked["subscription"]
    if subscription["type"] == "l2Book":
        subscription = {**subscription, "nSigFigs": None, "mantissa": None, "fast": False}
    return frame({"channel": "subscriptionResponse", "data": {**asked, "subscription": subscription}})


def is_no_news(message: Mapping[str, Any]) -> bool:
    return message.get("channel") == "pong"


def hosts(port: int) -> VenueHosts:
    base = f"127.0.0.1:{port}"
    return VenueHosts(f"http://{base}", f"ws://{base}/ws", f"ws://{base}/ws")


def answered(response: Any) -> Frame:
    """The answer to the post of ``ORDER``."""
    return frame({"channel": "post", "data": {"id": ORDER.client_order_id, "response": response}})


def done(status: Any) -> Frame:
    payload = {"status": "ok", "response": {"type": "order", "data": {"statuses": [status]}}}
    return answered({"type": "action", "payload": payload})


def refused(text: str) -> Frame:
    return answered({"type": "action", "payload": {"status": "err", "response": text}})


def order_row(left: str) -> dict[str, Any]:
    return {
        "coin": "BTC", "side": "B", "limitPx": "90000.0", "sz": left, "oid": 569017209592,
        "timestamp": TIME, "origSz": "0.1", "cloid": CLOID,
    }  # fmt: skip


def update(status: str, left: str = "0.1", **changes: Any) -> Frame:
    row = order_row(left) | changes
    news = {"order": row, "status": status, "statusTimestamp": TIME}
    return frame({"channel": "orderUpdates", "data": [news]})


def fills(*sizes: str, **changes: Any) -> Frame:
    rows = [
        {
            "coin": "BTC", "px": "89960.0", "sz": size, "side": "B", "time": TIME, "startPosition": "0.0",
            "dir": "Open Long", "closedPnl": "0.0", "hash": "0x0", "oid": 569017209592, "crossed": True,
            "fee": "0.359", "tid": 167376889247413 + number, "cloid": CLOID, "feeToken": "USDC",
        } | changes
        for number, size in enumerate(sizes)
    ]  # fmt: skip
    return frame({"channel": "userFills", "data": {"user": MASTER, "fills": rows}})


def make_front(exchange: Any) -> HyperliquidFront:
    """Blocks and books as often as a test wants to wait for them."""
    return HyperliquidFront(exchange, HyperliquidSettings(ack_latency_ms=2.0, book_interval_ms=20.0))


VENUE_CASE = VenueCase(
    value=VENUE,
    symbol="BTC",
    instrument=BTC,
    order=ORDER,
    secrets=(MASTER_KEY[2:],),
    environment={"HYPERLIQUID_PRIVATE_KEY": MASTER_KEY},
    login=(an_answer("default"), an_answer(USER), an_answer(BUDGET)),
    renewal=(an_answer(BUDGET), an_answer(META)),
    listing=(an_answer(META), an_answer(FEES)),
    # The one refusal with a status of its own, its text the venue's: any other 4xx may be the edge's.
    refusal=an_answer(UNREADABLE + b": UNAUTHORIZED", status=422),
    acknowledge=acknowledge,
    book=book,
    public_frames=(
        ("bbo", book(100, 101, 1)[0], Effect.NEWS),
        ("book", book(100, 101, 1)[1], Effect.NEWS),
        ("book of another coin", frame({"channel": "l2Book", "data": {
            "coin": "X", "time": TIME, "levels": [[], []]}}), Effect.NAMED),
        ("error", frame({"channel": "error", "data": "Already subscribed: {}"}), Effect.NAMED),
        ("acknowledgement of nothing", frame({"channel": "subscriptionResponse", "data": {
            "method": "subscribe", "subscription": {"type": "bbo", "coin": "X"}}}), Effect.NAMED),
        ("unknown channel", frame({"channel": "candle", "data": {}}), Effect.ERROR),
        ("worst level first", frame({"channel": "l2Book", "data": {"coin": "BTC", "time": TIME, "levels": [
            [level(1), level(2)], []]}}), Effect.NAMED),
        ("a price of nothing", frame({"channel": "bbo", "data": {"coin": "BTC", "time": TIME, "bbo": [
            {"px": "0.0", "sz": "1.0", "n": 1}, None]}}), Effect.NAMED),
        ("a price of nothing, of no coin", frame({"channel": "bbo", "data": {"time": TIME, "bbo": [
            {"px": "0.0", "sz": "1.0", "n": 1}, None]}}), Effect.ERROR),
        ("pong", frame({"channel": "pong"}), Effect.NO_NEWS),
        ("greeting", Frame(b"Websocket connection established."), Effect.NO_NEWS),
        ("acknowledgement", acknowledge(
            b'{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC"}}'), Effect.NO_NEWS),
    ),
    is_no_news=is_no_news,
    create_answers=(
        Answer("resting", done({"resting": {"oid": 1, "cloid": CLOID}}), Outcome.ACCEPTED),
        Answer(
            "filled", done({"filled": {"totalSz": "0.1", "avgPx": "89960.5", "oid": 1}}), Outcome.ACCEPTED
        ),
        Answer("refused", done({"error": "Insufficient margin to place order. asset=0"}), Outcome.REFUSED),
        Answer("refused for reasons nobody documented", done({"error": "Mercury rises."}), Outcome.REFUSED),
        Answer("unknown wallet", refused(NEVER), Outcome.REFUSED),
        Answer("expired", refused("Action already expired"), Outcome.REFUSED),
        Answer("budget", refused(BUDGET_TEXT), Outcome.REFUSED, names_pause=True),
        Answer("after an upgrade", done({"error": "Only post-only orders allowed immediately after network"
                                         " upgrade"}), Outcome.REFUSED, names_pause=True),
        Answer("duplicate", refused("Invalid nonce: duplicate nonce 1790000000123"), Outcome.IN_DOUBT),
        Answer("old", refused("Invalid nonce: nonce too low 1 < 2"), Outcome.IN_DOUBT),
        Answer("unknown refusal", refused("Mercury rises."), Outcome.IN_DOUBT),
        Answer("rate limited, and perhaps executed", answered({"type": "error", "payload":
               "429 Too Many Requests"}), Outcome.IN_DOUBT, names_pause=True),
        Answer("refused by nobody knows whom", answered({"type": "error", "payload": "403 Forbidden"}),
               Outcome.IN_DOUBT),
        Answer("failure inside", answered({"type": "error", "payload": "502 Bad Gateway"}), Outcome.IN_DOUBT),
        Answer("over HTTP: resting", an_answer({"status": "ok", "response": {"type": "order", "data": {
            "statuses": [{"resting": {"oid": 1}}]}}}), Outcome.ACCEPTED),
        Answer("over HTTP: found nothing", an_answer({"status": "ok", "response": {"type": "order", "data": {
            "statuses": [{"error": "Order could not immediately match against any resting orders. asset=0"}]
        }}}), Outcome.REFUSED),
        Answer("over HTTP: upgrade", an_answer(b"null", status=500), Outcome.IN_DOUBT),
        Answer("over HTTP: not parsed", an_answer(
            UNREADABLE + b": EOF", status=422), Outcome.REFUSED),
        Answer("over HTTP: not parsed, says somebody else", an_answer(b"UNAUTHORIZED", status=422),
               Outcome.IN_DOUBT),
        Answer("over HTTP: rate limited, or the edge's limit", an_answer(b"", status=429, retry_after="7"),
               Outcome.IN_DOUBT, names_pause=True),
        Answer("over HTTP: unreadable", an_answer(b"{"), Outcome.IN_DOUBT),
        Answer("over HTTP: fewer words than orders", an_answer({"status": "ok", "response": {
            "type": "order", "data": {"statuses": []}}}), Outcome.IN_DOUBT),
    ),
    order_events=(
        OrderEvent("open", [update("open")], OrderStatus.OPEN, 0),
        OrderEvent("triggered", [update("triggered")], OrderStatus.OPEN, 0),
        OrderEvent("partially filled", [update("open", "0.06")], OrderStatus.OPEN, ORDER.size_e8 * 4 // 10),
        OrderEvent("filled", [update("filled", "0.0")], OrderStatus.FILLED, ORDER.size_e8),
        OrderEvent(
            "filled in part and called filled",
            [update("filled", "0.06")],
            OrderStatus.CANCELLED,
            ORDER.size_e8 * 4 // 10,
        ),
        OrderEvent("cancelled", [update("canceled")], OrderStatus.CANCELLED, 0),
        OrderEvent("cancelled by the venue", [update("selfTradeCanceled", "0.06")], OrderStatus.CANCELLED,
                   ORDER.size_e8 * 4 // 10),
        OrderEvent("found nothing", [update("iocCancelRejected")], OrderStatus.REJECTED, 0),
        OrderEvent("a word nobody documented", [update("moonRejected")], OrderStatus.REJECTED, 0),
    ),
    private_rubbish=(
        update("open", "0.2"),
        update("open", "-0.1"),
        update("open", coin=5),
        update("open", side="X"),
        fills("0.0"),
        fills("0.1", px="-1.0"),
        fills("0.1", "x"),
        frame({"channel": "webData2", "data": {}}),
        frame({"channel": "error", "data": "Error parsing JSON into valid websocket request: {}"}),
        answered({"type": "action", "payload": {"status": "maybe", "response": "x"}}),
        done({"parked": {}}),
    ),
    simulator=SIMULATOR,
    front=make_front,
    hosts=hosts,
    strikes=lambda: Strikes(
        rate_limit=Fault("ws.order.create", code="REQUEST_BUDGET"),
        doubt=Fault("ws.order.create", status=502, body=b"Bad Gateway"),
        lost_answer=Fault("ws.order.create", drop_reply=True),
        lost_push=Fault("push.depth.BTC", drop=True),
    ),
    counts_messages=False,
    pings_by_itself=True,
    tells_partial_fills=True,
    late_ms=6_000,
)  # fmt: skip
