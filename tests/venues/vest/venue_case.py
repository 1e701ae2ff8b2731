"""Vest, as the conformance suite knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.faults import Fault
from simulator.vest import VENUE as SIMULATOR
from simulator.vest import VestFront
from tests.venues.venue_case import Answer, Effect, Frame, OrderEvent, Strikes, VenueCase
from tests.venues.vest.builders import (
    API_KEY,
    BTC,
    BTC_ROW,
    LISTEN_KEY,
    PRIMARY_KEY,
    SIGNING_KEY,
    an_answer,
    an_order,
)
from venues.contract import OrderStatus, Outcome, VenueHosts
from venues.vest import VENUE

ORDER = an_order()
EVENT: dict[str, Any] = {
    "id": "0x1", "nonce": ORDER.client_order_id, "symbol": "BTC-PERP", "isBuy": True, "orderType": "LIMIT",
    "limitPrice": "90000.00", "size": "0.1000", "status": "NEW", "code": None, "postTime": 1_763_600_000_050,
}  # fmt: skip
EXECUTED = {
    "lastFilledSize": "0.0400", "lastFilledPrice": "89960.00", "lastFilledTime": 1_763_600_000_120,
    "avgFilledPrice": "89960.00", "fees": "0.359840",
}  # fmt: skip
ENDED = {"id": "0x1", "nonce": ORDER.client_order_id, "postTime": 1_763_600_000_050, "code": None}


def frame(content: Any) -> Frame:
    return Frame(json.dumps(content).encode(), is_binary=True)


def push(**args: Any) -> Frame:
    return frame({"channel": "account_private", "data": {"event": "ORDER", "args": args}})


def book(bid: int, ask: int, number: int) -> Sequence[Frame]:
    sides = {
        name: [[f"{price}.00", "1.0000"]] if price else [] for name, price in (("bids", bid), ("asks", ask))
    }
    return [frame({"channel": "BTC-PERP@depth", "data": sides})]


def is_no_news(message: Mapping[str, Any]) -> bool:
    """Pongs, and acknowledgements of the one subscription that is made."""
    outcomes = message.get("subscription_outcomes")
    if outcomes is not None:
        return all(outcome.get("status") == "registered" for outcome in outcomes)
    return message.get("data") == "PONG" or message.get("id") == 1


def hosts(port: int) -> VenueHosts:
    base = f"127.0.0.1:{port}"
    return VenueHosts(f"http://{base}/v2", f"ws://{base}/ws-api", f"ws://{base}/ws-api")


VENUE_CASE = VenueCase(
    value=VENUE,
    symbol="BTC-PERP",
    instrument=BTC,
    order=ORDER,
    secrets=(PRIMARY_KEY[2:], SIGNING_KEY[2:], API_KEY, LISTEN_KEY),
    environment={"VEST_PRIMARY_PRIVATE_KEY": PRIMARY_KEY, "VEST_SIGNING_PRIVATE_KEY": SIGNING_KEY},
    login=(an_answer({"apiKey": API_KEY, "accGroup": 0}), an_answer({"listenKey": LISTEN_KEY})),
    renewal=(an_answer({"listenKey": LISTEN_KEY}),),
    listing=(an_answer({"symbols": [BTC_ROW]}),),
    refusal=an_answer({"detail": {"code": 1002, "msg": "UNAUTHORIZED"}}, status=401),
    acknowledge=lambda request: frame({"result": None, "id": json.loads(request)["id"]}),
    book=book,
    public_frames=(
        ("book", book(100, 101, 1)[0], Effect.NEWS),
        (
            "book of another symbol",
            frame({"channel": "X@depth", "data": {"bids": [], "asks": []}}),
            Effect.NAMED,
        ),
        ("refused subscription", frame({"id": 1, "code": 1121, "msg": "BAD_SYMBOL"}), Effect.NAMED),
        ("reply to nothing", frame({"result": None, "id": 99}), Effect.NAMED),
        ("unknown object", frame({"hello": "harness"}), Effect.NAMED),
        ("another channel", frame({"channel": "BTC-PERP@kline", "data": {"open": "1"}}), Effect.ERROR),
        ("worst level first", frame({"channel": "BTC-PERP@depth", "data": {
            "bids": [["1", "1"], ["2", "1"]], "asks": []}}), Effect.NAMED),
        ("pong", frame({"data": "PONG"}), Effect.NO_NEWS),
        ("acknowledgement", frame({"result": None, "id": 1}), Effect.NO_NEWS),
    ),
    is_no_news=is_no_news,
    create_answers=(
        Answer("accepted", an_answer({"id": "0x1"}), Outcome.ACCEPTED),
        Answer("refused", an_answer({"detail": {"code": 3002, "msg": "X"}}, status=400), Outcome.REFUSED),
        Answer("refused in a 200", an_answer({"code": 1111, "msg": "BAD_DECIMALS"}), Outcome.REFUSED),
        Answer("rate limited", an_answer({"code": 429, "msg": "slow"}, status=429, retry_after="7"),
               Outcome.REFUSED, names_pause=True),
        Answer("oracle behind", an_answer({"code": 3003, "msg": "X"}), Outcome.REFUSED, names_pause=True),
        Answer("duplicate", an_answer({"code": 3015, "msg": "DUPLICATE"}, status=400), Outcome.IN_DOUBT),
        Answer("failure inside", an_answer(b"<html>", status=502), Outcome.IN_DOUBT),
        Answer("unknown code", an_answer({"code": 9999, "msg": "?"}, status=400), Outcome.IN_DOUBT),
        Answer("unreadable success", an_answer(b"{"), Outcome.IN_DOUBT),
    ),
    order_events=(
        OrderEvent("open", [push(**EVENT)], OrderStatus.OPEN, 0),
        OrderEvent(
            "partially filled",
            [push(**EVENT | EXECUTED | {"status": "PARTIALLY_FILLED"})],
            OrderStatus.OPEN,
            None,
        ),
        OrderEvent(
            "filled",
            [push(**EVENT | EXECUTED | {"status": "FILLED", "lastFilledSize": "0.1000"})],
            OrderStatus.FILLED,
            ORDER.size_e8,
        ),
        OrderEvent(
            "filled in two",
            [
                push(**EVENT | EXECUTED | {"status": "PARTIALLY_FILLED"}),
                push(**EVENT | EXECUTED | {"status": "FILLED", "lastFilledSize": "0.0600"}),
            ],
            OrderStatus.FILLED,
            ORDER.size_e8,
        ),
        OrderEvent("cancelled", [push(**ENDED, status="CANCELLED")], OrderStatus.CANCELLED, None),
        OrderEvent("rejected", [push(**ENDED | {"code": 3002}, status="REJECTED")], OrderStatus.REJECTED, 0),
    ),
    private_rubbish=(
        push(status="NEW"),
        push(**EVENT | {"status": "EXPIRED"}),
        push(**EVENT | {"size": "-0.1"}),
        frame({"channel": "account_private", "data": {"event": "MARGIN_CALL", "args": {}}}),
        frame({"channel": "tickers", "data": {"event": "ORDER", "args": EVENT}}),
        frame({"id": 1, "code": 1002, "msg": "UNAUTHORIZED"}),
    ),
    simulator=SIMULATOR,
    front=VestFront,
    hosts=hosts,
    strikes=lambda: Strikes(
        rate_limit=Fault("rest.orders.create", code="1003"),
        doubt=Fault("rest.orders.create", status=502, body=b"<html>"),
        lost_answer=Fault("rest.orders.create", drop_reply=True),
        lost_push=Fault("push.depth.BTC-PERP", drop=True),
    ),
    counts_messages=False,
    pings_by_itself=True,
    tells_partial_fills=False,
    late_ms=6_000,
)  # fmt: skip
