"""Vectors, captures and builders the Paradex tests share."""

from __future__ import annotations

import base64
import csv
import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from venues.contract import (
    Call,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderRequest,
    Side,
    TimeInForce,
    VenueHosts,
    parse_e8,
)
from venues.paradex import ParadexCredentials, ParadexTrading, sbe

TESTS = Path(__file__).parents[2]
VECTORS: dict[str, Any] = json.loads((TESTS / "vectors" / "paradex_vectors.json").read_text())
NOW_MS = 1_790_000_000_123
HOSTS = VenueHosts("http://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1", "ws://127.0.0.1:1/v1")

PRIVATE_KEY = "0x1234567890abcdef1234567890abcdef"
ACCOUNT = "0x3ca3878d9c0358c9abe2b8eede50bc08b33a189b7c8f1b3c344b52fcb48406e"
BTC = Instrument(
    instrument_id=7,
    venue="paradex",
    symbol="BTC-USD-PERP",
    base="BTC",
    tick_e8=10_000_000,
    lot_e8=1_000,
    min_size_e8=1_000,
    min_notional_e8=10 * 10**8,
    max_size_e8=100 * 10**8,
    price_decimals=1,
    size_decimals=5,
    taker_fee_bps=4.5,
    is_trading=True,
)

T = TypeVar("T")


class CapturedBbo(NamedTuple):
    frame: bytes
    unix_us: int
    sequence: int
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int


def captured_session() -> tuple[bytes, list[CapturedBbo]]:
    """The text acknowledgement of a real session, and its bbo frames beside their known content."""
    folder = TESTS / "data" / "paradex"
    lines = [
        json.loads(line)
        for line in (folder / "ws_sbe_bbo_BTC-USD-PERP_20261008_first104.jsonl").read_text().splitlines()
    ]
    with (folder / "bbo_BTC-USD-PERP_20261008_first103_decoded.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(lines) == len(rows) + 1 == 104
    bbos = [
        CapturedBbo(
            base64.b64decode(line["b64"]),
            int(row["exch_us"]),
            int(row["seq_no"]),
            *(parse_e8(row[name]) for name in ("bid_px", "bid_qty", "ask_px", "ask_qty")),
        )
        for line, row in zip(lines[1:], rows, strict=True)
    ]
    return lines[0]["text"].encode(), bbos


def sbe_frame(name: str, *, version: int = 2) -> bytes:
    """A frame of the vector file by its name."""
    (found,) = (
        bytes.fromhex(frame["hex"])
        for frame in VECTORS["sbe_frames"]
        if frame["name"] == name and frame["schema_version"] == version
    )
    return found


def bbo_frame(
    sequence: int,
    *,
    bid_e8: int = 65_000 * 10**8,
    bid_size_e8: int = 10**8,
    ask_e8: int = 65_001 * 10**8,
    ask_size_e8: int = 10**8,
    unix_us: int = NOW_MS * 1_000,
    symbol: str = "BTC-USD-PERP",
) -> bytes:
    block = sbe.BBO_BLOCK.pack(unix_us, sequence, bid_e8, bid_size_e8, ask_e8, ask_size_e8)
    return sbe.HEADER.pack(len(block), 2, 1, 2) + block + bytes([len(symbol)]) + symbol.encode()


def book_frame(
    sequence: int,
    *,
    bids: list[tuple[int, int]] | None = None,
    asks: list[tuple[int, int]] | None = None,
    is_snapshot: bool = False,
    symbol: str = "BTC-USD-PERP",
) -> bytes:
    """An SBE book frame; levels as whole (price, size), scaled here."""

    def group(levels: list[tuple[int, int]]) -> bytes:
        numbers = b"".join(
            (value * 10**8).to_bytes(8, "little", signed=True) for level in levels for value in level
        )
        return (16).to_bytes(2, "little") + len(levels).to_bytes(2, "little") + numbers

    block = (NOW_MS * 1_000).to_bytes(8, "little") + sequence.to_bytes(8, "little")
    block += bytes([not is_snapshot]) + (sbe.NULL.to_bytes(8, "little", signed=True) * 9)
    head = sbe.HEADER.pack(len(block), 3, 1, 2)
    return head + block + group(bids or []) + group(asks or []) + bytes([len(symbol)]) + symbol.encode()


def notification(channel: str, data: dict[str, Any]) -> bytes:
    message = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return json.dumps(message).encode() + b"\n"


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers or {}, content, NOW_MS)


def rate_limited(code: str = "RATE", *, text: str = "slow", retry_after_s: int = 2) -> HttpResponse:
    """The venue's own 429: its error object, and the headers of its limit."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-window")
    headers = {**dict.fromkeys(names, "0"), "retry-after": str(retry_after_s)}
    return answer({"error": code, "message": text}, 429, headers)


def refusal(code: str, *, status: int = 400, text: str = "as the venue puts it") -> HttpResponse:
    return answer({"error": code, "message": text, "data": None}, status)


def converse(call: Call[T], *answers: HttpResponse) -> tuple[list[HttpRequest], T]:
    """Play the venue: give the answers in turn; return what was asked and what came back."""
    requests: list[HttpRequest] = []
    try:
        request = next(call)
        for response in answers:
            requests.append(request)
            request = call.send(response)
    except StopIteration as stop:
        assert len(requests) == len(answers), "fewer questions than answers"
        return requests, stop.value
    raise AssertionError(f"one question too many: {request.method} {request.path}")


CONFIG = {
    "starknet_chain_id": "PRIVATE_SN_POTC_SEPOLIA",
    "paraclear_account_proxy_hash": "0x3530cc4759d78042f1b543bf797f5f3d647cde0388c33734cf91b7f7b9314a9",
    "paraclear_account_hash": "0x41cb0280ebadaa75f996d8d92c6f265f6d040bb3ba442e5f86a554f1765244e",
    "l1_chain_id": "11155111",
}


def a_trading(*, logged_in: bool = True, account: str = "", **options: Any) -> ParadexTrading:
    trading = ParadexTrading(HOSTS, ParadexCredentials(PRIVATE_KEY, account), **options)
    if logged_in:
        converse(trading.login(NOW_MS), answer(CONFIG), answer({"jwt_token": "opaque-token"}))
    return trading


def an_order(**changes: Any) -> OrderRequest:
    request = OrderRequest(
        client_order_id=17,
        instrument=BTC,
        side=Side.BUY,
        size_e8=1_000_000,
        limit_price_e8=6_000_010_000_000,
        reduce_only=False,
        time_in_force=TimeInForce.IOC,
    )
    return request._replace(**changes)
