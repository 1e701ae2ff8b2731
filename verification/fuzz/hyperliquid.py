"""Hyperliquid's readers, and what its simulated twin reads: frames, answers, signed actions.

Mutation cannot sign, and an action whose signature is wrong is looked at no further. So the harness signs
what it sends to the simulator: every action that MessagePack can hold reaches the code that carries it out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import orjson

from simulator.exchange import Exchange
from simulator.hyperliquid import VENUE as SIMULATOR
from simulator.hyperliquid import HyperliquidFront, HyperliquidSettings
from simulator.hyperliquid.signing import action_hash
from simulator.hyperliquid.sockets import Session
from tests.venues.hyperliquid import builders
from tests.venues.hyperliquid.venue_case import VENUE_CASE
from tests.venues.venue_case import Frame
from venues.contract import E8, OrderRef, OrderUpdate
from venues.hyperliquid import VENUE, HyperliquidCredentials, HyperliquidMarketData, HyperliquidTrading
from venues.hyperliquid.messages import cancel_action, cloid_text, order_action
from venues.hyperliquid.signing import Signer
from verification.fuzz.oracles import check_update
from verification.fuzz.simulators import NOW_UNIX_NS, Host
from verification.fuzz.target import Target, join, split
from verification.fuzz.venues import (
    IS_BINARY,
    TICKS,
    conversations,
    converse,
    converse_rest,
    feed_market_data,
    feed_stream,
    rest_seeds,
)

ORDER: Final = builders.an_order()
CLOID: Final = cloid_text(ORDER.client_order_id)


# --- the venue's readers ---


def market_data(data: bytes) -> None:
    feed_market_data(HyperliquidMarketData(builders.HOSTS, {"BTC": 7, "ETH": 8}), data)


def market_seeds() -> Sequence[bytes]:
    frames = [(0, frame.content) for number in range(2) for frame in VENUE_CASE.book(100, 101, number)]
    frames += [(int(frame.is_binary), frame.content) for _, frame, _ in VENUE_CASE.public_frames]
    frames.append((TICKS, b'{"channel":"pong"}'))
    return conversations(frames)


def stream(data: bytes) -> None:
    feed_stream(_with_an_order(), data)


@cache  # a new connection forgets what the last one left
def _with_an_order() -> HyperliquidTrading:
    return _new_with_an_order()


def _new_with_an_order() -> HyperliquidTrading:
    trading = builders.a_session()
    builders.leave(trading, trading.sign_create(ORDER, builders.NOW_UNIX_MS))
    return trading


def stream_seeds() -> Sequence[bytes]:
    frames = [frame for event in VENUE_CASE.order_events for frame in event.frames]
    frames += [case.answer for case in VENUE_CASE.create_answers if isinstance(case.answer, Frame)]
    frames += VENUE_CASE.private_rubbish
    funding = {"time": 1, "coin": "BTC", "usdc": "-0.1", "szi": "1", "fundingRate": "0.1", "nSamples": None}
    data = {"isSnapshot": True, "user": builders.MASTER, "fundings": [funding]}
    parts = [(int(frame.is_binary) * IS_BINARY, frame.content) for frame in frames]
    parts.append((TICKS, orjson.dumps({"channel": "userFundings", "data": data})))
    return conversations(parts)


_CONVERSATIONS: Final = 3  # of our own, beside those that every venue has


def rest(data: bytes) -> None:
    """By the first byte: what every venue is asked, or what this one alone is."""
    choice, answers = (data[0], data[1:]) if data else (0, b"")
    if choice < 256 - _CONVERSATIONS:
        agent = HyperliquidCredentials(builders.AGENT_KEY, builders.MASTER, "0x" + "11" * 20)
        converse_rest(
            data,
            order=ORDER,
            logged_in=_with_an_order,
            renewing=_new_with_an_order,
            logged_out=lambda: HyperliquidTrading(builders.HOSTS, agent),
        )
        return
    trading, ref = _with_an_order(), OrderRef(ORDER.client_order_id, ORDER.instrument)
    if choice == 255:
        converse(_checked_void(trading, ref), answers)
    elif choice == 254:
        assert VENUE.fetch_funding is not None
        converse(_nothing_of(VENUE.fetch_funding({"BTC": 7})), answers)
    else:
        converse(_nothing_of(trading.query_closed()), answers)


def _checked_void(trading: HyperliquidTrading, ref: OrderRef) -> Any:
    """What ends a doubt ends it: nothing that may still come into being."""
    update = yield from trading.void_order(ref, builders.NOW_UNIX_MS)
    if isinstance(update, OrderUpdate):
        check_update(update)
        assert update.client_order_id in (0, ref.client_order_id)


def _nothing_of(call: Any) -> Any:
    """Carry on a conversation whose result is no record of the contract."""
    yield from call


def rest_seeds_of_ours() -> Sequence[bytes]:
    row = {
        "coin": "BTC", "side": "B", "limitPx": "90000.0", "sz": "0.0", "oid": 5, "timestamp": 1,
        "origSz": "0.1", "cloid": CLOID,
    }  # fmt: skip
    news = {"order": row, "status": "filled", "statusTimestamp": 1}
    fill = {
        "coin": "BTC", "px": "89960.0", "sz": "0.1", "side": "B", "time": 1, "oid": 5, "crossed": True,
        "fee": "0.359", "tid": 1, "cloid": CLOID, "feeToken": "USDC", "dir": "Open Long",
        "startPosition": "0.0", "closedPnl": "0.0", "hash": "0x0", "twapId": None,
    }  # fmt: skip
    position = {
        "coin": "BTC", "szi": "-0.1", "leverage": {"type": "cross", "value": 20}, "entryPx": "80000.0",
        "positionValue": "8000.0", "unrealizedPnl": "0.45", "returnOnEquity": "0.1", "liquidationPx": None,
        "marginUsed": "4.02", "maxLeverage": 40, "cumFunding": {"allTime": "0.1", "sinceOpen": "0.0"},
    }  # fmt: skip
    summary = {"accountValue": "463.9", "totalNtlPos": "8.4", "totalRawUsd": "3.4", "totalMarginUsed": "4.0"}
    state = {
        "marginSummary": summary, "crossMarginSummary": summary, "crossMaintenanceMarginUsed": "1.0",
        "withdrawable": "459.9", "assetPositions": [{"type": "oneWay", "position": position}], "time": 1,
    }  # fmt: skip
    found = {"status": "order", "order": news}
    cancelled = {"status": "ok", "response": {"type": "cancel", "data": {"statuses": ["success"]}}}
    placed = {"status": "ok", "response": {"type": "order", "data": {"statuses": [{"resting": {"oid": 5}}]}}}
    role = {"role": "agent", "data": {"user": builders.MASTER}}
    agents = [{"name": "a", "address": builders.AGENT, "validUntil": 2**41}]
    bodies: dict[int, list[Any]] = {
        0: [builders.META, builders.FEES], 1: [found, [fill]], 2: [found, [fill]], 3: [[row]], 4: [state],
        5: [state, {"balances": [{"coin": "USDC", "total": "5.0", "hold": "0.0"}]}], 6: [cancelled],
        7: [cancelled], 8: [builders.BUDGET, builders.META],
        9: ["default", role, {"role": "vault"}, builders.BUDGET, agents], 10: [placed],
        253: [{"time": 1, "specialStatuses": None}], 254: [[builders.META, [{"funding": "0.0000125"}]]],
        255: [{"status": "err", "response": "Invalid nonce: duplicate nonce 5"}, found, [fill]],
    }  # fmt: skip
    return rest_seeds(bodies, {"status": "err", "response": "User or API Wallet 0x1 does not exist."})


# --- the simulated venue's ---

_SIGNER: Final = Signer(builders.MASTER_KEY, is_mainnet=False)
_IS_SIGNED, _IS_INFO = 1, 2  # flags of a request
_NONCE: Final = NOW_UNIX_NS // 10**6


def _front() -> HyperliquidFront:
    exchange = Exchange(SIMULATOR.listing, now_unix_ns=lambda: NOW_UNIX_NS, make_id=SIMULATOR.make_id)
    exchange.apply_market("BTC", [(60_000 * E8, E8)], [(60_001 * E8, E8)])
    settings = HyperliquidSettings(ack_latency_ms=0.0, ip_weight_per_minute=10**9, request_budget=10**9)
    front = HyperliquidFront(exchange, settings)
    front.members.open(_SIGNER.address)
    return front


_SIMULATOR: Final = Host(_front)


def simulated_requests(data: bytes) -> None:
    """Parts: by flags a question, an action that is signed here, or an envelope as it is."""

    async def work(host: Host) -> None:
        for number, (flags, content) in enumerate(split(data)[:4]):
            body = _signed(content, _NONCE + number) if flags & _IS_SIGNED else content
            path = "/info" if flags & _IS_INFO else "/exchange"
            headers = {"Content-Type": "application/json"}
            assert await host.call("POST", path, headers, body) < 500
        host.front.members.nonces.clear()

    _SIMULATOR.run(work)


def _signed(content: bytes, nonce: int) -> bytes:
    """The envelope of an action, or the content where it is none."""
    try:
        action = orjson.loads(content)
        hashed = action_hash(action, nonce, None, None)
    except ValueError:
        return content
    signature = _SIGNER.sign(hashed)._asdict()
    return orjson.dumps({"action": action, "nonce": nonce, "signature": signature})


def simulated_frames(data: bytes) -> None:
    """Socket frames of one session; everything that is pushed is JSON."""

    async def work(host: Host) -> None:
        socket: Any = None  # written to by a task that is not started here
        session = Session(socket, None)
        host.front._hub.sessions.add(session)
        try:
            for number, (flags, content) in enumerate(split(data)):
                frame = _post(content, number) if flags & _IS_SIGNED else content
                host.front._receive(session, frame, "127.0.0.1")
        finally:
            host.front._hub.sessions.discard(session)
        host.front.members.nonces.clear()
        for queued in (*session._ordered, *session._newest.values()):
            json.loads(queued)

    _SIMULATOR.run(work)


def _post(content: bytes, number: int) -> bytes:
    payload = _signed(content, _NONCE + number)
    return b'{"method":"post","id":7,"request":{"type":"action","payload":' + payload + b"}}"


def _actions() -> list[bytes]:
    order = order_action(ORDER, 0)
    changed = order["orders"][0]
    known = [
        order,
        cancel_action(0, CLOID),
        {"type": "cancel", "cancels": [{"a": 0, "o": 5}]},
        {"type": "modify", "oid": CLOID, "order": changed},
        {"type": "batchModify", "modifies": [{"oid": 5, "order": changed}]},
        {"type": "scheduleCancel", "time": _NONCE + 60_000},
        {"type": "updateLeverage", "asset": 0, "isCross": True, "leverage": 5},
        {"type": "noop"},
    ]
    return [orjson.dumps(action) for action in known]


def simulated_request_seeds() -> Sequence[bytes]:
    user = {"user": _SIGNER.address}
    kinds = (
        *("meta", "spotMeta", "metaAndAssetCtxs", "spotMetaAndAssetCtxs", "perpDexs", "allMids"),
        *("clearinghouseState", "spotClearinghouseState", "openOrders", "frontendOpenOrders", "userFills"),
        *("historicalOrders", "userFees", "userRateLimit", "userRole", "userAbstraction", "extraAgents"),
    )
    questions: list[dict[str, Any]] = [{"type": kind, **user} for kind in kinds]
    questions += [
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2},
        {"type": "orderStatus", "oid": CLOID, **user},
        {"type": "userFillsByTime", "startTime": 0, "endTime": 2**41, **user},
        {"type": "userFunding", "startTime": 0, **user},
        {"type": "fundingHistory", "coin": "BTC", "startTime": 0},
        {"type": "activeAssetData", "coin": "BTC", **user},
    ]
    seeds = [join([(_IS_SIGNED, action)]) for action in _actions()]
    seeds += [join([(_IS_INFO, orjson.dumps(question))]) for question in questions]
    return [*seeds, join([(0, _signed(action, _NONCE)) for action in _actions()[:3]])]


def simulated_frame_seeds() -> Sequence[bytes]:
    subscriptions: list[dict[str, Any]] = [
        {"type": "l2Book", "coin": "BTC"},
        {"type": "bbo", "coin": "BTC"},
        {"type": "userFills", "user": _SIGNER.address},
        {"type": "orderUpdates", "user": _SIGNER.address},
    ]
    frames: list[dict[str, Any]] = [
        {"method": method, "subscription": subscription}
        for method in ("subscribe", "unsubscribe")
        for subscription in subscriptions
    ]
    question = {"type": "info", "payload": {"type": "l2Book", "coin": "BTC"}}
    frames += [{"method": "ping"}, {"method": "post", "id": 5, "request": question}]
    seeds = [join([(0, orjson.dumps(frame))]) for frame in frames]
    return [*seeds, *(join([(_IS_SIGNED, action)]) for action in _actions())]


TARGETS: Final = (
    Target("hyperliquid_market_data", market_data, market_seeds),
    Target("hyperliquid_stream", stream, stream_seeds),
    Target("hyperliquid_rest", rest, rest_seeds_of_ours),
    Target("hyperliquid_simulator_rest", simulated_requests, simulated_request_seeds),
    Target("hyperliquid_simulator_socket", simulated_frames, simulated_frame_seeds),
)
