"""The venues' readers: market data, private streams, REST conversations, SBE, decimals."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, Final

from tests.venues.paradex import samples as paradex
from tests.venues.vest import builders as vest
from venues.contract import (
    Account,
    FrameError,
    HttpRequest,
    HttpResponse,
    Instrument,
    MarketData,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Outcome,
    Position,
    Trading,
    TransportError,
    VenueError,
    parse_e8,
)
from venues.paradex import ParadexCredentials, ParadexMarketData, ParadexTrading, sbe
from venues.vest import PRODUCTION_HOSTS, VestCredentials, VestMarketData, VestTrading
from verification.fuzz.oracles import (
    check_account,
    check_ack,
    check_error,
    check_event,
    check_frames,
    check_instrument,
    check_market_data,
    check_position,
    check_request,
    check_update,
)
from verification.fuzz.target import Target, join, split

TIME_STEP_NS: Final = 7 * 10**9
IS_BINARY, TICKS = 1, 2  # flags of a frame
ANSWERS_MAX: Final = 8
STATUSES: Final = (200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 502, 503, 530)
RETRY_AFTER: Final = (None, "1", "999999999999", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "٣", "")


# --- market data ---


def feed_market_data(feed: MarketData, data: bytes) -> None:
    """Every frame gives something well-formed, or is a FrameError and used for nothing."""
    feed.connected(0)
    check_frames(feed.take_frames())
    now_mono_ns = 0
    for flags, frame in split(data):
        now_mono_ns += TIME_STEP_NS
        try:
            feed.receive(frame, bool(flags & IS_BINARY), now_mono_ns)
        except FrameError as error:
            check_error(error)
            assert feed.take_tops() == []
        if flags & TICKS:
            feed.tick(now_mono_ns)
        check_market_data(feed)


def vest_market_data(data: bytes) -> None:
    feed_market_data(VestMarketData(PRODUCTION_HOSTS, {"BTC-PERP": 7, "ETH-PERP": 8}), data)


def paradex_market_data(data: bytes) -> None:
    feed = ParadexMarketData(paradex.HOSTS, {"BTC-USD-PERP": 7, "ETH-USD-PERP": 8}, sbe=len(data) % 2 == 0)
    feed_market_data(feed, data)


def vest_market_seeds() -> Sequence[bytes]:
    book = {"bids": [["100.5", "1.25"], ["100.0", "2"]], "asks": [["101.0", "0.5"]]}
    frames: list[Any] = [
        {"channel": "BTC-PERP@depth", "data": book},
        {"channel": "ETH-PERP@depth", "data": book, "tsMs": 1_790_000_000_123},
        {"channel": "BTC-PERP@depth", "data": {"bids": [], "asks": []}},
        {"channel": "BTC-PERP@depth", "data": {"bids": book["asks"], "asks": book["bids"]}},
        {"result": None, "id": 1},
        {"id": 2, "code": 1121, "msg": "BAD_SYMBOL"},
        {"data": "PONG"},
        {"subscription_outcomes": [{"requested": "BTC-PERP@depth", "status": "rejected", "reason": "x"}]},
    ]
    return conversations([(index % 2, json.dumps(frame).encode()) for index, frame in enumerate(frames)])


def paradex_market_seeds() -> Sequence[bytes]:
    acknowledgement, captured = paradex.captured_session()
    frames = [(0, acknowledgement), *((IS_BINARY, bbo.frame) for bbo in captured[:3])]
    frames += [(IS_BINARY, bytes.fromhex(frame["hex"])) for frame in paradex.VECTORS["sbe_frames"]]
    frames += [
        (IS_BINARY, paradex.book_frame(5, bids=[(100, 1)], asks=[(101, 1)], is_snapshot=True)),
        (IS_BINARY, paradex.book_frame(6, bids=[(100, 0)], asks=[(99, 1)])),
        (IS_BINARY | TICKS, paradex.book_frame(8, bids=[(98, 3)])),
    ]
    bbo = {"seq_no": 9, "last_updated_at": 1_790_000_000_123, "market": "BTC-USD-PERP"}
    prices = {"bid": "1", "bid_size": "1", "ask": "2", "ask_size": "3"}
    level = {"side": "BUY", "price": "100", "size": "1"}
    book = {**bbo, "update_type": "s", "inserts": [level], "updates": [], "deletes": []}
    frames += [
        (0, paradex.notification("bbo.BTC-USD-PERP", bbo | prices)),
        (0, paradex.notification("order_book.BTC-USD-PERP.deltas", book)),
        (0, paradex.notification("order_book.BTC-USD-PERP.snapshot@15@100ms", book)),
        (TICKS, b'{"jsonrpc":"2.0","id":9007199254740992,"result":{"channel":"bbo.BTC-USD-PERP"}}'),
        (0, b'{"id":9007199254740994,"error":{"code":-32600,"message":"invalid","data":"no"}}'),
    ]  # fmt: skip
    return conversations(frames)


# --- private streams ---


def feed_stream(trading: Trading, data: bytes) -> None:
    trading.stream_connected(0)
    check_frames(trading.stream_take_frames())
    now_mono_ns = 0
    for flags, frame in split(data):
        now_mono_ns += TIME_STEP_NS
        try:
            trading.stream_receive(frame, bool(flags & IS_BINARY), now_mono_ns)
        except FrameError as error:
            check_error(error)
            assert trading.stream_take_events() == []
        if flags & TICKS:
            trading.stream_tick(now_mono_ns)
        for event in trading.stream_take_events():
            check_event(event)
        check_frames(trading.stream_take_frames())


def vest_stream(data: bytes) -> None:
    feed_stream(vest.a_session(), data)


def paradex_stream(data: bytes) -> None:
    feed_stream(_paradex_knowing_btc(), data)


@cache  # signing a login takes milliseconds; a new connection forgets what the last one left
def _paradex_knowing_btc() -> ParadexTrading:
    return _new_paradex()


def _new_paradex() -> ParadexTrading:
    trading = paradex.a_trading(client_id_prefix="c")
    trading.sign_create(paradex.an_order(), paradex.NOW_MS)
    return trading


def vest_stream_seeds() -> Sequence[bytes]:
    row = {
        "id": "0x1", "nonce": 5, "symbol": "BTC-PERP", "isBuy": True, "orderType": "LIMIT",
        "limitPrice": "90000.00", "size": "0.1000", "status": "NEW", "code": None,
        "postTime": 1_763_600_000_050,
    }  # fmt: skip
    filled = row | {
        "lastFilledSize": "0.0400", "lastFilledPrice": "89960.00", "lastFilledTime": 1_763_600_000_120,
        "avgFilledPrice": "89960.00", "fees": "0.359840", "status": "PARTIALLY_FILLED",
    }  # fmt: skip
    orders = [
        row,
        filled,
        filled | {"status": "FILLED"},
        {"id": "0x1", "status": "CANCELLED", "nonce": 5, "postTime": 7, "code": None},
        {"id": "0x1", "status": "REJECTED", "nonce": 5, "postTime": 7, "code": 3002},
        {"id": "0x2", "status": "REJECTED", "nonce": 5, "postTime": 7, "code": 3015},
    ]
    pushes: list[Any] = [
        {"channel": "account_private", "data": {"event": "ORDER", "args": order}} for order in orders
    ]
    pushes += [{"result": None, "id": 1}, {"data": "PONG"}]
    pushes += [{"channel": "account_private", "data": {"event": "LP", "args": {}}}]
    return conversations([(index % 2, json.dumps(push).encode()) for index, push in enumerate(pushes)])


def paradex_stream_seeds() -> Sequence[bytes]:
    order = {
        "id": "1", "market": "BTC-USD-PERP", "status": "CLOSED", "size": "0.01", "remaining_size": "0.004",
        "avg_fill_price": "60000.05", "cancel_reason": "USER_CANCELED", "client_id": "c-17",
        "last_updated_at": 1_790_000_000_123,
    }  # fmt: skip
    fill = {
        "id": "f1", "market": "BTC-USD-PERP", "side": "SELL", "price": "64990", "size": "0.04",
        "fee": "0.077988000001", "client_id": "c-17", "order_id": "1", "created_at": 1_790_000_000_123,
    }  # fmt: skip
    position = {"market": "BTC-USD-PERP", "status": "OPEN", "side": "SHORT", "size": "-0.04"}
    account = {"account_value": "1", "free_collateral": "0.5", "maintenance_margin_requirement": "0"}
    frames = [
        (IS_BINARY, paradex.sbe_frame(name))
        for name in ("order_open", "order_closed_market_ro", "fill_maker", "position_short", "account")
    ]
    for channel, content in (
        ("orders.ALL", order), ("fills.ALL", fill), ("positions", position), ("account", account)
    ):  # fmt: skip
        frames.append((0, paradex.notification(channel, content)))
    frames += [
        (0, b'{"id":9007199254740992,"result":{"node_id":"a"}}'),
        (0, b'{"id":17,"result":{"order":{"id":"1"}}}'),
        (0, b'{"id":17,"error":{"code":100,"message":"INVALID_ORDER_SIZE","data":"small"}}'),
        (TICKS, b'{"id":9007199254740992,"error":{"code":40111,"message":"invalid bearer"}}'),
    ]
    return conversations(frames)


# --- REST ---


def converse(call: Generator[HttpRequest, HttpResponse, Any], data: bytes) -> None:
    """Answer a conversation with the input's parts; it ends in a result, a refusal or a doubt."""
    answers = split(data)[:ANSWERS_MAX]
    try:
        check_request(next(call))
        for flags, body in answers:
            retry_after = RETRY_AFTER[(flags >> 4) % len(RETRY_AFTER)]
            headers = {} if retry_after is None else {"retry-after": retry_after}
            response = HttpResponse(STATUSES[flags % len(STATUSES)], headers, body, paradex.NOW_MS)
            check_request(call.send(response))
    except StopIteration as stop:
        check_result(stop.value)
    except (VenueError, TransportError) as error:
        check_error(error)
    finally:
        call.close()


def check_result(result: object) -> None:
    for one in result if isinstance(result, list) else [result]:
        if isinstance(one, OrderUpdate):
            check_update(one)
        elif isinstance(one, Position):
            check_position(one)
        elif isinstance(one, Account):
            check_account(one)
        elif isinstance(one, OrderAck):
            check_ack(one)
        elif isinstance(one, Instrument):
            check_instrument(one)
        else:
            assert one is None, one


Calls = Sequence[Callable[[Trading], Generator[HttpRequest, HttpResponse, Any]]]


def calls(order: OrderRequest) -> Calls:
    """Every REST conversation of the contract; the first byte of an input chooses one."""
    symbol, now_ms = order.instrument.symbol, paradex.NOW_MS
    by_client_id = OrderRef(order.client_order_id, order.instrument)
    by_venue_id = by_client_id._replace(venue_order_id="0x1/é?")
    return (
        lambda trading: trading.fetch_instruments({symbol: 7}),
        lambda trading: trading.query_order(by_client_id, now_ms),
        lambda trading: trading.query_order(by_venue_id, now_ms),
        lambda trading: trading.query_open_orders(now_ms),
        lambda trading: trading.query_positions(now_ms),
        lambda trading: trading.query_account(now_ms),
        lambda trading: trading.cancel_order(by_client_id, now_ms),
        lambda trading: trading.cancel_order(by_venue_id, now_ms),
    )


def converse_rest(
    data: bytes,
    *,
    order: OrderRequest,
    logged_in: Callable[[], Trading],
    renewing: Callable[[], Trading],
    logged_out: Callable[[], Trading],
) -> None:
    """By the first byte: any call, a login with a call after it, or the answer to a create."""
    choice, rest = (data[0], data[1:]) if data else (0, b"")
    known = calls(order)
    number = choice % (len(known) + 3)
    if number < len(known):
        converse(known[number](logged_in()), rest)
    elif number == len(known):
        converse(renewing().renew(paradex.NOW_MS), rest)
    elif number == len(known) + 1:
        trading = logged_out()
        converse(trading.login(paradex.NOW_MS), rest)
        if trading.renew_due_unix_ms:  # what the venue granted travels in every later request
            converse(trading.query_account(paradex.NOW_MS), b"")
            assert trading.stream_url().isascii()
            assert trading.stream_url().isprintable()
    else:
        for flags, body in split(rest)[:1]:
            status = STATUSES[flags % len(STATUSES)]
            ack = logged_in().parse_create_response(order, HttpResponse(status, {}, body, paradex.NOW_MS))
            check_ack(ack)
            assert ack.outcome is not Outcome.ACCEPTED or 200 <= status < 300, ack


def vest_rest(data: bytes) -> None:
    credentials = VestCredentials(vest.PRIMARY_KEY, vest.SIGNING_KEY)
    converse_rest(
        data,
        order=vest.an_order(),
        logged_in=vest.a_session,
        renewing=vest.a_session,
        logged_out=lambda: VestTrading(PRODUCTION_HOSTS, credentials),
    )


def paradex_rest(data: bytes) -> None:
    credentials = ParadexCredentials(paradex.PRIVATE_KEY, l1_address="0x" + "11" * 20)
    converse_rest(
        data,
        order=paradex.an_order(),
        logged_in=_paradex_knowing_btc,
        renewing=_new_paradex,
        logged_out=lambda: ParadexTrading(paradex.HOSTS, credentials),
    )


def vest_rest_seeds() -> Sequence[bytes]:
    row = {
        "id": "0x1", "nonce": vest.NOW_UNIX_MS, "symbol": "BTC-PERP", "isBuy": True, "size": "0.1000",
        "status": "FILLED", "code": None, "lastFilledSize": "0.1000", "lastFilledPrice": "89960.00",
        "lastFilledTime": 1_763_600_000_120, "avgFilledPrice": "89960.00", "fees": "0.899600",
        "postTime": 1_763_600_000_050,
    }  # fmt: skip
    position = {"symbol": "BTC-PERP", "isLong": False, "size": "0.1", "entryPrice": "89900.00",
                "markPrice": "89910.00", "liqPrice": None}  # fmt: skip
    account = {"totalAccountValue": "1001.000000", "withdrawable": "551.500000",
               "totalMaintMargin": "224.750000", "positions": [position]}  # fmt: skip
    bodies: dict[int, list[Any]] = {
        0: [{"symbols": [vest.BTC_ROW]}], 1: [[row]], 2: [[row | {"id": "0x1/é?"}]],
        3: [[row | {"status": "NEW"}], [row | {"status": "PARTIALLY_FILLED"}]], 4: [account], 5: [account],
        6: [[row], {"id": "0x1"}], 7: [{"id": "0x1"}], 8: [{"listenKey": "k"}],
        9: [{"apiKey": "key", "accGroup": 3}, {"listenKey": "k"}], 10: [{"id": "0x1"}],
    }  # fmt: skip
    return rest_seeds(bodies, {"detail": {"code": 1111, "msg": "BAD_DECIMALS"}})


def paradex_rest_seeds() -> Sequence[bytes]:
    market = {
        "symbol": "BTC-USD-PERP", "base_currency": "BTC", "price_tick_size": "0.1",
        "order_size_increment": "0.00001", "min_notional": "10", "max_order_size": "100",
        "fee_config": {"api_fee": {"taker_fee": {"fee": "0.00045"}}},
    }  # fmt: skip
    order = {
        "id": "1", "market": "BTC-USD-PERP", "status": "OPEN", "size": "0.01", "remaining_size": "0.004",
        "avg_fill_price": "60000.05", "client_id": "c-17", "last_updated_at": 1_790_000_000_123,
    }  # fmt: skip
    position = {"market": "BTC-USD-PERP", "status": "OPEN", "side": "SHORT", "size": "-0.04",
                "average_entry_price": "64990.123456789012", "liquidation_price": ""}  # fmt: skip
    account = {"account_value": "1", "free_collateral": "0.5", "maintenance_margin_requirement": "0"}
    token = {"jwt_token": "e30.eyJpYXQiOjEsImV4cCI6M30.c2ln"}
    bodies: dict[int, list[Any]] = {
        0: [{"results": [market]}], 1: [order], 2: [order], 3: [{"results": [order]}],
        4: [{"results": [position]}], 5: [account], 6: [{}], 7: [{}], 8: [token],
        9: [paradex.CONFIG, token], 10: [order],
    }  # fmt: skip
    return rest_seeds(bodies, {"error": "NOT_ONBOARDED", "message": "x"})


def rest_seeds(bodies: dict[int, list[Any]], refusal: Any) -> Sequence[bytes]:
    seeds = []
    for choice, answers in bodies.items():
        parts = [(0, json.dumps(body).encode()) for body in answers]
        refused = (6, json.dumps(refusal).encode())
        seeds += [bytes([choice]) + join(parts), bytes([choice]) + join([refused, *parts])]
    return seeds


# --- leaves ---


def paradex_sbe(data: bytes) -> None:
    try:
        sbe.decode(data)
    except sbe.SbeError as error:
        check_error(error)


def decimals(data: bytes) -> None:
    """A plain decimal that fits is read exactly; anything else is a ValueError."""
    text = data.decode("utf-8", "replace")
    try:
        value_e8 = parse_e8(text)
    except ValueError as error:
        check_error(error)
        return
    assert Decimal(value_e8) == Decimal(text).scaleb(8), text
    assert abs(value_e8) < 2**63, text


def conversations(frames: Sequence[tuple[int, bytes]]) -> Sequence[bytes]:
    """Each frame alone, and all of them in one go."""
    return [*(join([frame]) for frame in frames), join(frames)]


TARGETS: Final = (
    Target("vest_market_data", vest_market_data, vest_market_seeds),
    Target("paradex_market_data", paradex_market_data, paradex_market_seeds),
    Target("vest_stream", vest_stream, vest_stream_seeds),
    Target("paradex_stream", paradex_stream, paradex_stream_seeds),
    Target("vest_rest", vest_rest, vest_rest_seeds),
    Target("paradex_rest", paradex_rest, paradex_rest_seeds),
    Target(
        "paradex_sbe",
        paradex_sbe,
        lambda: [bytes.fromhex(frame["hex"]) for frame in paradex.VECTORS["sbe_frames"]],
    ),
    Target(
        "parse_e8", decimals, lambda: [b"0", b"-1.5", b"31478.75", b"0.000000010", b"92233720368.54775807"]
    ),
)
