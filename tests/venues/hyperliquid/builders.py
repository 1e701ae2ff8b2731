"""What Hyperliquid tests share: keys, an instrument, answers, a logged-in account, a way to drive a Call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeVar

from venues.contract import (
    E8,
    Call,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderRequest,
    Side,
    SignedOrder,
    TimeInForce,
    TransportError,
    VenueHosts,
)
from venues.hyperliquid import HyperliquidCredentials, HyperliquidTrading

T = TypeVar("T")

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "hyperliquid_vectors.json").read_text()
)
KEYS: Final[dict[str, str]] = VECTORS["keys"]
MASTER_KEY, MASTER = KEYS["master_private_key"], KEYS["master_address"]
AGENT_KEY, AGENT = KEYS["agent_private_key"], KEYS["agent_address"]
NOW_UNIX_MS: Final = 1_790_000_000_123
HOSTS: Final = VenueHosts("http://127.0.0.1:1", "ws://127.0.0.1:1/ws", "ws://127.0.0.1:1/ws")

META: Final = {
    "universe": [
        {"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56},
        {"szDecimals": 4, "name": "ETH", "maxLeverage": 25, "marginTableId": 55},
        {"szDecimals": 1, "name": "OLD", "maxLeverage": 3, "marginTableId": 3, "isDelisted": True},
    ],
    "marginTables": [],
    "collateralToken": 0,
}
FEES: Final = {"userCrossRate": "0.00045", "userAddRate": "0.00015"}
USER: Final = {"role": "user"}
BUDGET: Final = {"cumVlm": "0.0", "nRequestsUsed": 12, "nRequestsCap": 10_000, "nRequestsSurplus": 0}

BTC: Final = Instrument(
    instrument_id=7,
    venue="hyperliquid",
    symbol="BTC",
    base="BTC",
    tick_e8=E8 // 10,
    lot_e8=10**3,
    min_size_e8=10**3,
    min_notional_e8=10 * E8,
    max_size_e8=0,
    price_decimals=1,
    size_decimals=5,
    taker_fee_bps=4.5,
    is_trading=True,
    significant_figures=5,
    quote="USDC",
)


def an_order(**changes: Any) -> OrderRequest:
    """Buy 0.1 at 90000."""
    order = OrderRequest(NOW_UNIX_MS << 10, BTC, Side.BUY, E8 // 10, 90_000 * E8, False, TimeInForce.IOC)
    return order._replace(**changes)


def an_answer(content: Any, *, status: int = 200, **headers: str) -> HttpResponse:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, body, NOW_UNIX_MS)


def drive(call: Call[T], *answers: Any) -> tuple[list[HttpRequest], T]:
    """Answer each request with the next answer (a JSON value, a response, an error); requests and result."""
    requests: list[HttpRequest] = []
    left = iter(answers)
    try:
        requests.append(next(call))
        while True:
            answer = next(left)
            if isinstance(answer, TransportError):
                requests.append(call.throw(answer))
            else:
                response = answer if isinstance(answer, HttpResponse) else an_answer(answer)
                requests.append(call.send(response))
    except StopIteration as stop:
        if next(left, None) is not None:
            raise AssertionError("the conversation ended before the last answer") from None
        return requests, stop.value


def a_session(hosts: VenueHosts = HOSTS, **credentials: str) -> HyperliquidTrading:
    """An account that knows BTC and is logged in, with the agent's key or with its own."""
    chosen = {"private_key": MASTER_KEY, **credentials}
    trading = HyperliquidTrading(hosts, HyperliquidCredentials(**chosen))
    drive(trading.fetch_instruments({"BTC": 7}), META, FEES)
    account = chosen.get("account")
    answers: list[Any] = ["default", {"role": "agent", "data": {"user": account}} if account else USER]
    if chosen.get("sub_account"):
        answers += [{"role": "vault"}]
    drive(trading.login(NOW_UNIX_MS), *answers, BUDGET, *([[]] if account else []))
    return trading


def leave(trading: HyperliquidTrading, signed: SignedOrder) -> None:
    """Have a signed order's bytes written."""
    trading.order_leaves(signed.request, signed.wire)
