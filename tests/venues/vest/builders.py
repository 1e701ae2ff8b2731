"""What Vest tests share: keys, an instrument, a logged-in account, and a way to drive a Call."""

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
    TimeInForce,
    TransportError,
    VenueHosts,
)
from venues.vest import PRODUCTION_HOSTS, VestCredentials, VestTrading

VECTORS: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "vest_vectors.json").read_text()
)
PRIMARY_KEY: Final[str] = VECTORS["keys"]["primary_private_key"]
SIGNING_KEY: Final[str] = VECTORS["keys"]["signing_private_key"]
API_KEY: Final = "eyJhbGciOi.secret"
LISTEN_KEY: Final = "579e00000000000000000000000000078"
NOW_UNIX_MS: Final = 1_763_600_000_000

BTC: Final = Instrument(
    instrument_id=7,
    venue="vest",
    symbol="BTC-PERP",
    base="BTC",
    tick_e8=10**6,
    lot_e8=10**4,
    min_size_e8=10**4,
    min_notional_e8=0,
    max_size_e8=0,
    price_decimals=2,
    size_decimals=4,
    taker_fee_bps=1.0,
    is_trading=True,
    quote="USDC",
)

BTC_ROW: Final = {
    "symbol": "BTC-PERP",
    "displayName": "BTC-PERP",
    "base": "BTC",
    "quote": "USDC",
    "sizeDecimals": 4,
    "priceDecimals": 2,
    "initMarginRatio": "0.020000",
    "maintMarginRatio": "0.010000",
    "takerFee": "0.0001",
    "isolated": False,
    "asset": "crypto",
    "tradingStatus": "TRADING",
}

T = TypeVar("T")


def an_order(**changes: Any) -> OrderRequest:
    """Buy 0.1 BTC at 90000 or better, all or nothing."""
    order = OrderRequest(
        client_order_id=NOW_UNIX_MS,
        instrument=BTC,
        side=Side.BUY,
        size_e8=E8 // 10,
        limit_price_e8=90_000 * E8,
        reduce_only=False,
        time_in_force=TimeInForce.FOK,
    )
    return order._replace(**changes)


def an_answer(content: object = None, *, status: int = 200, **headers: str) -> HttpResponse:
    """An answer of Vest; bytes as they are, anything else as JSON."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return HttpResponse(
        status, {name.replace("_", "-"): text for name, text in headers.items()}, body, NOW_UNIX_MS
    )


def drive(call: Call[T], *answers: HttpResponse | TransportError) -> tuple[list[HttpRequest], T]:
    """Feed a conversation its answers; return what it asked and what it concluded."""
    requests = []
    pending = list(answers)
    try:
        requests.append(next(call))
        while pending:
            answer = pending.pop(0)
            requests.append(call.throw(answer) if isinstance(answer, TransportError) else call.send(answer))
    except StopIteration as stop:
        assert not pending, f"never asked for {len(pending)} of the answers"
        result: T = stop.value
        return requests, result
    raise AssertionError(f"asked for more than {len(answers)} answers: {requests[-1]}")


def a_session(*, account_group: int = 0, hosts: VenueHosts = PRODUCTION_HOSTS) -> VestTrading:
    """An account that has logged in and knows BTC-PERP."""
    trading = VestTrading(hosts, VestCredentials(PRIMARY_KEY, SIGNING_KEY), recv_window_ms=60_000)
    drive(
        trading.login(NOW_UNIX_MS),
        an_answer({"apiKey": API_KEY, "accGroup": account_group}),
        an_answer({"listenKey": LISTEN_KEY}),
    )
    drive(trading.fetch_instruments({"BTC-PERP": BTC.instrument_id}), an_answer({"symbols": [BTC_ROW]}))
    return trading
