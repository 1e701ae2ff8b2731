"""Shapes of Vest's JSON, and the reading of its decimals.

Decimals travel as text, integers and times (milliseconds) as numbers. Unknown members are ignored:
the live service adds some. Source: Vest API v2 documentation.
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple, TypeVar

import msgspec

from venues.contract import E8, Fill, OrderStatus, OrderUpdate, Side, VenueId, parse_e8
from venues.vest.errors import DELETED_BY_LIQUIDATION, describe, is_of_grid

_NS_PER_MS: Final = 1_000_000

# Far above any documented message (a full page of orders opens 1001), far below the nesting that
# ends an 8 MB stack (seen between 20,000 and 40,000).
_BRACKETS_MAX: Final = 4_000

# Times whose nanoseconds fit the 64 bits of a shared record.
UnixMs = Annotated[int, msgspec.Meta(ge=0, lt=9 * 10**12)]

CLIENT_ORDER_ID_BOUND: Final = 2**53

T = TypeVar("T")


def decode(decoder: msgspec.json.Decoder[T], message: bytes) -> T:
    """Return what ``message`` holds. Raises ValueError if it is not what ``decoder`` reads.

    msgspec follows nesting down the C stack and stops at Python's recursion limit. A library in
    the same process may have raised that limit past the stack's end (eth-account brings one that
    does): 100,000 brackets from a venue would then end the process. Hence a limit of our own.
    """
    if message.count(b"[") > _BRACKETS_MAX or message.count(b"{") > _BRACKETS_MAX:
        raise ValueError(f"it opens more than {_BRACKETS_MAX} brackets")
    try:
        return decoder.decode(message)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


STATUSES: Final = {
    "NEW": OrderStatus.OPEN,
    "PARTIALLY_FILLED": OrderStatus.OPEN,
    "FILLED": OrderStatus.FILLED,
    "CANCELLED": OrderStatus.CANCELLED,
    "REJECTED": OrderStatus.REJECTED,
}


class OrderRow(msgspec.Struct, kw_only=True, rename="camel"):
    """A row of ``GET /orders``, and the ``args`` of a private ORDER event.

    CANCELLED and REJECTED events carry id, status, code, post time and nonce alone.
    """

    id: VenueId
    status: str
    nonce: int | None = None
    symbol: str | None = None
    is_buy: bool | None = None
    size: str | None = None
    code: int | None = None
    last_filled_size: str | None = None
    last_filled_price: str | None = None
    last_filled_time: UnixMs | None = None
    avg_filled_price: str | None = None
    fees: str | None = None
    settled_funding: str | None = None  # rows only: events lack it
    post_time: UnixMs | None = None


class PositionRow(msgspec.Struct, rename="camel"):
    symbol: str
    is_long: bool
    size: str
    entry_price: str | None = None
    mark_price: str | None = None
    liq_price: str | None = None


class AccountRow(msgspec.Struct, rename="camel"):
    """``GET /account``: the account and, there being no endpoint of their own, its positions."""

    total_account_value: str
    withdrawable: str
    total_maint_margin: str
    positions: list[PositionRow]


class SymbolRow(msgspec.Struct, kw_only=True, rename="camel"):
    symbol: str
    base: str
    size_decimals: int
    price_decimals: int
    taker_fee: str
    quote: str = "USDC"
    trading_status: str | None = None


class ExchangeInfo(msgspec.Struct):
    symbols: list[SymbolRow]


class DepthSides(msgspec.Struct):
    """``GET /depth``: price and size as text, best first."""

    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class Registration(msgspec.Struct, rename="camel"):
    api_key: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]+\Z")]  # travels as a header
    acc_group: Annotated[int, msgspec.Meta(ge=0)]


class ListenKey(msgspec.Struct, rename="camel"):
    listen_key: Annotated[str, msgspec.Meta(min_length=1)]


def report_e8(text: str | None) -> int | None:
    """Return an average, mark or money figure in e8, digits past the eighth cut off.

    For figures Vest computes: they may have more decimals than we keep. Sizes and order prices
    never do and go through ``parse_e8``, which refuses to lose a digit.
    """
    if text is None:
        return None
    whole, dot, fraction = text.partition(".")
    if len(fraction) > 8 and fraction.isascii() and fraction.isdigit():
        fraction = fraction[:8]
    return parse_e8(f"{whole}{dot}{fraction}")


def unsigned_e8(text: str | None) -> int | None:
    """Return a size or price as ``report_e8`` does. Raises ValueError for a negative one, too."""
    value_e8 = report_e8(text)
    if value_e8 is not None and value_e8 < 0:
        raise ValueError(f"{text!r} is negative")
    return value_e8


def client_order_id(row: OrderRow) -> int:
    """The order's nonce if it can be one of ours, else 0: other hands choose as they like."""
    return row.nonce if row.nonce is not None and 0 < row.nonce < CLIENT_ORDER_ID_BOUND else 0


def order_update(row: OrderRow, instrument_id: int) -> OrderUpdate:
    """Return what a row or event says an order has become.

    Raises ValueError for an undocumented status and for figures that are not decimals.
    """
    status = STATUSES.get(row.status)
    if status is None:
        raise ValueError(f"order status {row.status[:40]!r} is not documented")
    size_e8 = _size_e8(row.size) if row.size is not None else None
    unix_ms = row.last_filled_time or row.post_time or 0
    return OrderUpdate(
        client_order_id=client_order_id(row),
        venue_order_id=row.id,
        instrument_id=instrument_id,
        status=status,
        size_e8=size_e8,
        filled_e8=_filled_e8(row, size_e8),
        average_price_e8=unsigned_e8(row.avg_filled_price),
        fee_e8=report_e8(row.fees),
        reason=describe(row.code) if row.code is not None else "",
        venue_unix_ns=unix_ms * _NS_PER_MS,
        funding_e8=report_e8(row.settled_funding),
        is_of_grid=is_of_grid(row.code),
        side=None if row.is_buy is None else Side.BUY if row.is_buy else Side.SELL,
    )


def _filled_e8(row: OrderRow, size_e8: int | None) -> int | None:
    """The cumulative filled size where the status settles it, else None: Vest does not say."""
    if row.status == "FILLED":
        return size_e8
    if row.status == "NEW":
        return 0
    if row.status == "REJECTED" and row.code != DELETED_BY_LIQUIDATION:
        return 0  # a liquidation may delete an order that had been filled in part
    return None


def _size_e8(text: str) -> int:
    """A size of the order's own grid, where a digit too many is an error."""
    size_e8 = parse_e8(text)
    if size_e8 < 0:
        raise ValueError(f"size {text!r} is negative")
    return size_e8


class Executed(NamedTuple):
    """The executions of one order that its events have reported so far."""

    size_e8: int = 0
    quote_e8: int = 0
    fee_e8: int = 0
    last: tuple[str | int | None, ...] = ()  # the newest event's figures, to know it again


def new_fill(row: OrderRow, instrument_id: int, before: Executed) -> tuple[Fill | None, Executed]:
    """Return the execution an order event reports beyond ``before``, and what is known after it.

    An event names the *last* execution only, and one event for each is not promised. FILLED settles
    what is missing: the whole size at the average price. Vest reports the sum of fees.
    """
    if (
        row.status not in ("FILLED", "PARTIALLY_FILLED")
        or row.last_filled_size is None
        or row.last_filled_price is None
        or row.last_filled_time is None
        or row.is_buy is None
    ):
        return None, before
    reported = (row.status, row.last_filled_time, row.last_filled_size, row.last_filled_price, row.fees)
    if reported == before.last:
        return None, before  # an event may come twice
    size_e8, price_e8 = _size_e8(row.last_filled_size), unsigned_e8(row.last_filled_price) or 0
    average_e8 = unsigned_e8(row.avg_filled_price)
    if row.status == "FILLED" and row.size is not None and average_e8:
        whole_e8 = _size_e8(row.size)
        rest_e8 = whole_e8 - before.size_e8
        if rest_e8 <= 0:
            return None, before
        if rest_e8 != size_e8:
            size_e8 = rest_e8
            price_e8 = (average_e8 * whole_e8 - before.quote_e8 * E8) // rest_e8
    if size_e8 <= 0 or not 0 < price_e8 < 2**63:
        # Also where the average does not go with what was reported before.
        raise ValueError(f"order {row.id[:80]}: a fill of {size_e8} e8 at {price_e8} e8")
    fees_e8 = report_e8(row.fees) or 0
    fill = Fill(
        fill_id=f"{row.id}:{row.last_filled_time}:{size_e8}:{price_e8}:{fees_e8}",
        client_order_id=client_order_id(row),
        venue_order_id=row.id,
        instrument_id=instrument_id,
        side=Side.BUY if row.is_buy else Side.SELL,
        price_e8=price_e8,
        size_e8=size_e8,
        fee_e8=fees_e8 - before.fee_e8,
        venue_unix_ns=row.last_filled_time * _NS_PER_MS,
    )
    quote_e8 = before.quote_e8 + size_e8 * price_e8 // E8
    return fill, Executed(before.size_e8 + size_e8, quote_e8, fees_e8, reported)
