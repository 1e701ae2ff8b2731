"""The matching engine's inputs and outputs: contracts, orders, fills, reasons.

Units: prices and money in quote currency, sizes in base currency, all ``int`` scaled by 10**8
(``_e8``). ``_unix_ns`` is the exchange's own clock. Sides are +1 (buy) and -1 (sell), the sign of
the position they build. A venue's own terms (statuses, codes, id formats) belong to its front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from venues.contract import E8, price_step_e8

BUY = 1
SELL = -1
TimeInForce = Literal["GTC", "IOC", "FOK"]
Levels = Sequence[tuple[int, int]]  # (price_e8, size_e8), best first


class Reason(Enum):
    """Why a request was refused or an order ended without being filled."""

    # refused at the door: no order exists
    UNKNOWN_ACCOUNT = "unknown account"
    UNKNOWN_SYMBOL = "unknown symbol"
    MARKET_CLOSED = "market closed"
    PRICE_OFF_GRID = "price off grid"
    SIZE_OFF_GRID = "size off grid"
    SIZE_TOO_SMALL = "size too small"
    SIZE_TOO_LARGE = "size too large"
    NOTIONAL_TOO_SMALL = "notional too small"
    TOO_MANY_OPEN_ORDERS = "too many open orders"
    ORDER_NOT_FOUND = "order not found"
    ORDER_NOT_OPEN = "order not open"
    NOTHING_CHANGED = "no order parameters changed"
    SIZE_ALREADY_FILLED = "size already filled"
    LEVERAGE_OUT_OF_RANGE = "leverage out of range"
    LEVERAGE_LOWERED_WITH_POSITION = "leverage lowered with position"
    # refused by risk when the order reached the engine: it ends REJECTED
    INSUFFICIENT_MARGIN = "insufficient margin"
    REDUCE_ONLY_INCREASES = "reduce-only would increase"
    REDUCE_ONLY_EXCEEDS_POSITION = "reduce-only exceeds position"
    POSITION_LIMIT = "position limit"
    PRICE_BAND = "outside price band"
    # taken out of the book or never let in: it ends CANCELLED
    POST_ONLY_WOULD_CROSS = "post-only would cross"
    NO_LIQUIDITY = "no liquidity"  # the rest of an IOC, the whole of a FOK
    SELF_TRADE = "self trade"
    USER_CANCELLED = "user cancelled"
    LIQUIDATION = "liquidation"


class Refused(Exception):
    """The exchange said no to a request: nothing was registered or changed."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(reason, text)
        self.reason = reason
        self.text = text

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.text}"


def decimals_of(step_e8: int) -> int:
    """Decimals of multiples of a step: 1 for 0.1 and for 0.5."""
    decimals = 8
    while decimals and step_e8 % 10 == 0:
        step_e8 //= 10
        decimals -= 1
    return decimals


@dataclass(frozen=True, slots=True)
class SimInstrument:
    """One contract as this exchange lists it. Zero means "no such limit" for the limits."""

    symbol: str
    base: str
    tick_e8: int
    lot_e8: int
    min_size_e8: int
    min_notional_e8: int
    max_size_e8: int
    price_decimals: int
    size_decimals: int
    taker_fee_bps: float
    maker_fee_bps: float
    initial_margin_ratio_e8: int
    maintenance_margin_ratio_e8: int
    position_limit_e8: int = 0
    max_open_orders: int = 0
    price_band_e8: int = 0  # half width around the mark, as a ratio, for aggressive limits
    significant_figures: int = 0  # of a price, at most; 0: ``tick_e8`` is the step of every price

    def __post_init__(self) -> None:
        """Raise ValueError where the grid is unusable.

        Price times size must be exact at eight decimals: accounts then add up to the last digit.
        """
        if self.tick_e8 <= 0 or self.lot_e8 <= 0:
            raise ValueError(f"{self.symbol}: tick and lot must be positive")
        if self.tick_e8 * self.lot_e8 % E8:
            raise ValueError(f"{self.symbol}: tick times lot has more than eight decimals")

    def price_step_e8(self, price_e8: int) -> int:
        """The step of prices at this one."""
        return price_step_e8(price_e8, self.tick_e8, self.significant_figures)

    @property
    def taker_fee_rate_e8(self) -> int:
        return round(self.taker_fee_bps * 10_000)

    @property
    def maker_fee_rate_e8(self) -> int:
        return round(self.maker_fee_bps * 10_000)


class NewOrder(NamedTuple):
    """A request to trade. ``limit_price_e8`` None takes whatever the book holds within the price band."""

    symbol: str
    side: int
    size_e8: int
    limit_price_e8: int | None
    time_in_force: TimeInForce = "GTC"
    post_only: bool = False
    reduce_only: bool = False
    client_id: str = ""  # "" when the client gave none


class Amendment(NamedTuple):
    """What a resting order shall become. The size is the whole order's: what is filled counts in."""

    size_e8: int
    limit_price_e8: int


class SimOrderStatus(Enum):
    NEW = "new"  # registered, not yet seen by risk and matching
    OPEN = "open"  # resting in the book, perhaps partly filled
    FILLED = "filled"
    CANCELLED = "cancelled"  # size - filled was given back; reason says why
    REJECTED = "rejected"  # risk said no; nothing was filled

    @property
    def is_final(self) -> bool:
        return self not in (SimOrderStatus.NEW, SimOrderStatus.OPEN)


@dataclass(slots=True)
class SimOrder:
    """One order of one account. What the exchange hands out is a snapshot: it never changes."""

    order_id: str
    client_id: str
    account_id: str
    symbol: str
    side: int
    size_e8: int
    limit_price_e8: int | None
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    created_unix_ns: int
    updated_unix_ns: int
    mark_price_e8: int  # when it was created
    initial_margin_ratio_e8: int  # effective, after the account's leverage
    is_liquidation: bool = False
    status: SimOrderStatus = SimOrderStatus.NEW
    reason: Reason | None = None
    filled_e8: int = 0
    notional_e8: int = 0  # sum of price times size over its fills
    fee_e8: int = 0  # sum over its fills, positive = paid
    realised_e8: int = 0  # result of the position it closed, before fees and funding
    funding_e8: int = 0  # funding settled by its fills, positive = received
    last_fill_price_e8: int = 0
    last_fill_size_e8: int = 0
    last_fill_unix_ns: int = 0

    def add_fill(self, fill: SimFill) -> None:
        """Count one execution in."""
        self.filled_e8 += fill.size_e8
        self.notional_e8 += fill.price_e8 * fill.size_e8 // E8
        self.fee_e8 += fill.fee_e8
        self.realised_e8 += fill.realised_e8
        self.funding_e8 += fill.funding_e8
        self.last_fill_price_e8, self.last_fill_size_e8 = fill.price_e8, fill.size_e8
        self.last_fill_unix_ns = self.updated_unix_ns = fill.unix_ns

    @property
    def remaining_e8(self) -> int:
        """Size not filled; of a closed order, the size given back."""
        return self.size_e8 - self.filled_e8

    @property
    def average_price_e8(self) -> int:
        """Average fill price, rounded down to e8; 0 while nothing is filled."""
        return self.notional_e8 * E8 // self.filled_e8 if self.filled_e8 else 0


class SimFill(NamedTuple):
    """One execution as one account sees it; a match of two clients makes two of them."""

    fill_id: str
    trade_id: str  # the match: the same for both sides
    order_id: str
    client_id: str
    account_id: str
    symbol: str
    side: int  # the account's own side
    price_e8: int
    size_e8: int
    remaining_e8: int  # of the order, after this fill
    fee_e8: int  # positive = paid
    realised_e8: int  # result of the part of the position it closed, before fee and funding
    funding_e8: int  # funding it settled, positive = received
    is_maker: bool
    is_liquidation: bool
    book_sequence: int
    unix_ns: int


class SimTrade(NamedTuple):
    """One match as the public sees it."""

    trade_id: str
    symbol: str
    taker_side: int
    price_e8: int
    size_e8: int
    is_liquidation: bool
    book_sequence: int
    unix_ns: int


class SimPosition(NamedTuple):
    """A position valued at the mark. ``size_e8`` 0 when it was closed; it stays listed."""

    symbol: str
    size_e8: int  # signed, long positive
    entry_price_e8: int
    cost_e8: int  # signed entry notional of the open size
    mark_price_e8: int
    unrealised_e8: int  # price result of the open size
    unrealised_funding_e8: int  # accrued since the last fill, positive = received
    realised_e8: int  # price result of all that was closed
    realised_funding_e8: int
    fees_e8: int  # positive = paid
    initial_margin_e8: int
    maintenance_margin_e8: int
    initial_margin_ratio_e8: int
    liquidation_price_e8: int  # 0 when none
    entry_funding_e12: int  # the cumulative funding the position has settled up to
    opened_unix_ns: int
    updated_unix_ns: int
    last_fill_id: str


class SimAccount(NamedTuple):
    """A margin account at the marks."""

    account_id: str
    collateral_e8: int  # money in, plus realised results and funding, minus fees
    value_e8: int  # collateral plus unrealised results and funding
    unrealised_e8: int  # funding included
    initial_margin_e8: int  # positions and open orders together
    order_margin_e8: int  # the part of it that open orders cause
    maintenance_margin_e8: int
    free_e8: int  # value minus initial margin, not below zero
    updated_unix_ns: int

    @property
    def is_liquidatable(self) -> bool:
        return self.value_e8 < self.maintenance_margin_e8
