"""Actions as Hyperliquid wants them written, its ids and numbers, and the shapes of its answers.

The order of an action's keys and the text of every number are part of its signature. Decimals travel as
text, times are integer milliseconds. Unknown members of answers are ignored.

Source: hyperliquid-python-sdk 0.24.0 and the venue's documentation, read in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec

from venues.contract import E8, OrderRequest, OrderStatus, Side, TimeInForce, parse_e8
from venues.hyperliquid.signing import Signature

CLIENT_ORDER_ID_BOUND: Final = 2**53

# Above any documented message (a page of fills opens 2001), far below the nesting that ends a stack.
_BRACKETS_MAX: Final = 4_000

T = TypeVar("T")

# Times whose nanoseconds fit the 64 bits of a shared record.
UnixMs = Annotated[int, msgspec.Meta(ge=0, lt=9 * 10**12)]
OrderId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

_TIMES_IN_FORCE: Final = {TimeInForce.IOC: "Ioc", TimeInForce.GTC: "Gtc"}


# --- numbers and ids ---


def decimal_text(value_e8: int) -> str:
    """A positive number as the venue writes it: no trailing zeros, no exponent. ValueError for any other."""
    if value_e8 <= 0:
        raise ValueError(f"{value_e8} e8 is not positive")
    whole, fraction = divmod(value_e8, E8)
    return f"{whole}.{fraction:08d}".rstrip("0") if fraction else str(whole)


def cloid_text(client_order_id: int) -> str:
    """Our id as the venue carries it: 0x and 32 hex digits. ValueError for one that cannot be ours."""
    if not 0 < client_order_id < CLIENT_ORDER_ID_BOUND:
        raise ValueError(f"client order id {client_order_id} is not between 1 and 2**53 - 1")
    return f"0x{client_order_id:032x}"


def client_order_id(cloid: str | None) -> int:
    """Our id from the venue's text; 0 for an order that somebody else has named, or nobody."""
    if cloid is None or not re.fullmatch("0x[0-9a-fA-F]{32}", cloid):
        return 0
    number = int(cloid, 16)
    return number if number < CLIENT_ORDER_ID_BOUND else 0


def exact_e8(text: str) -> int:
    """A price or size of an order or a fill, where a digit too many is an error. ValueError."""
    value_e8 = parse_e8(text)
    if value_e8 < 0:
        raise ValueError(f"{text[:40]!r} is negative")
    return value_e8


def report_e8(text: str) -> int:
    """An average or an amount of money: digits past the eighth are cut. ValueError if it is no decimal."""
    whole, dot, fraction = text.partition(".")
    if len(fraction) > 8 and fraction.isascii() and fraction.isdigit():
        fraction = fraction[:8]
    return parse_e8(f"{whole}{dot}{fraction}")


# --- actions ---


def order_action(request: OrderRequest, asset: int) -> dict[str, Any]:
    """One limit order. The request must fit its instrument's grid. ValueError for a FOK: there is none."""
    time_in_force = _TIMES_IN_FORCE.get(request.time_in_force)
    if time_in_force is None:
        raise ValueError(f"hyperliquid has no {request.time_in_force.value} orders: use IOC")
    order = {
        "a": asset,
        "b": request.side is Side.BUY,
        "p": decimal_text(request.limit_price_e8),
        "s": decimal_text(request.size_e8),
        "r": request.reduce_only,
        "t": {"limit": {"tif": time_in_force}},
        "c": cloid_text(request.client_order_id),
    }
    return {"type": "order", "orders": [order], "grouping": "na"}


def cancel_action(asset: int, cloid: str) -> dict[str, Any]:
    return {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": cloid}]}


def leverage_action(asset: int, leverage: int) -> dict[str, Any]:
    return {"type": "updateLeverage", "asset": asset, "isCross": True, "leverage": leverage}


def schedule_cancel_action(at_unix_ms: int) -> dict[str, Any]:
    """Cancel every open order of the account then, unless told otherwise before."""
    return {"type": "scheduleCancel", "time": at_unix_ms}


NOOP_ACTION: Final[dict[str, Any]] = {"type": "noop"}


def payload(
    action: dict[str, Any], nonce: int, signature: Signature, *, vault: str, expires_unix_ms: int | None
) -> dict[str, Any]:
    """The body of ``POST /exchange``, and the payload of a post over the socket."""
    return {
        "action": action,
        "nonce": nonce,
        "signature": signature._asdict(),
        "vaultAddress": vault or None,
        "expiresAfter": expires_unix_ms,
    }


# --- reading ---


def decode(decoder: msgspec.json.Decoder[T], message: bytes) -> T:
    """Return what ``message`` holds. Raises ValueError if it is not what ``decoder`` reads.

    msgspec follows nesting down the C stack, whose end Python's recursion limit may lie behind.
    """
    if message.count(b"[") > _BRACKETS_MAX or message.count(b"{") > _BRACKETS_MAX:
        raise ValueError(f"it opens more than {_BRACKETS_MAX} brackets")
    try:
        return decoder.decode(message)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class Level(msgspec.Struct, gc=False):
    px: str
    sz: str


class OrderRow(msgspec.Struct):
    """An order as ``openOrders``, ``orderStatus`` and ``orderUpdates`` tell it. ``sz`` is what remains."""

    coin: str
    side: str
    limitPx: str
    sz: str
    oid: OrderId
    timestamp: UnixMs
    origSz: str
    cloid: str | None = None
    reduceOnly: bool = False


class OrderNews(msgspec.Struct):
    order: OrderRow
    status: str
    statusTimestamp: UnixMs


class OrderStatusAnswer(msgspec.Struct):
    status: str  # "order" or "unknownOid"
    order: OrderNews | None = None


class FillRow(msgspec.Struct):
    coin: str
    px: str
    sz: str
    side: str
    time: UnixMs
    oid: OrderId
    fee: str
    tid: Annotated[int, msgspec.Meta(ge=0)]
    cloid: str | None = None


class FundingRow(msgspec.Struct):
    """One hour's funding of one position; ``usdc`` is negative when it was paid."""

    time: UnixMs
    coin: str
    usdc: str


class PerpetualRow(msgspec.Struct):
    name: str
    szDecimals: Annotated[int, msgspec.Meta(ge=0, le=6)]
    isDelisted: bool = False


class Meta(msgspec.Struct):
    universe: list[PerpetualRow]


class SpotPairRow(msgspec.Struct):
    name: str  # what it is called on the wire: @107
    tokens: tuple[int, int]  # base and quote, by their index


class TokenRow(msgspec.Struct):
    name: str
    index: int
    szDecimals: Annotated[int, msgspec.Meta(ge=0, le=8)]


class SpotMeta(msgspec.Struct):
    universe: list[SpotPairRow]
    tokens: list[TokenRow]


class PositionRow(msgspec.Struct):
    coin: str
    szi: str  # signed, long positive
    entryPx: str | None = None
    positionValue: str | None = None
    liquidationPx: str | None = None


class PositionEntry(msgspec.Struct):
    position: PositionRow


class MarginSummary(msgspec.Struct):
    accountValue: str
    totalMarginUsed: str


class ClearinghouseState(msgspec.Struct):
    crossMarginSummary: MarginSummary
    crossMaintenanceMarginUsed: str
    assetPositions: list[PositionEntry]


def order_status(word: str) -> OrderStatus:
    """The venue's status word in ours. One nobody documented is read by its ending, else as open."""
    if word == "filled":
        return OrderStatus.FILLED
    if word.endswith("ejected"):
        return OrderStatus.REJECTED
    if "ancel" in word:  # canceled, marginCanceled, scheduledCancel, …
        return OrderStatus.CANCELLED
    return OrderStatus.OPEN


def side_of(letter: str) -> Side:
    """Side from the venue's letter. ValueError for another."""
    sides = {"B": Side.BUY, "A": Side.SELL}
    if letter not in sides:
        raise ValueError(f"side {letter[:8]!r} is not documented")
    return sides[letter]


class Executions(msgspec.Struct):
    """What the fills of one order add up to."""

    size_e8: int = 0
    quote_e8: int = 0
    fee_e8: int = 0

    def add(self, row: FillRow) -> None:
        """Count a fill in. ValueError if its figures are none."""
        size_e8, price_e8 = exact_e8(row.sz), exact_e8(row.px)
        self.size_e8 += size_e8
        self.quote_e8 += size_e8 * price_e8
        self.fee_e8 += report_e8(row.fee)

    @property
    def average_price_e8(self) -> int:
        return self.quote_e8 // self.size_e8 if self.size_e8 else 0


def executions_of(rows: Sequence[FillRow], oid: int) -> Executions:
    """What an order's fills among these rows add up to; the same fill twice counts once."""
    total = Executions()
    for row in {(row.time, row.coin, row.tid): row for row in rows if row.oid == oid}.values():
        total.add(row)
    return total
