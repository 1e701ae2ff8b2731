"""Trades: opened and closed, their slippage, and the slippage model"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from events.event import Event, SideName, Text


class LegName(Struct, frozen=True, kw_only=True):
    """Which leg, and which contract it is."""

    leg: int
    venue: str
    symbol: str


class ContractName(Struct, frozen=True, kw_only=True):
    """One contract on one venue."""

    venue: str
    symbol: str


class TradeOpened(Event, frozen=True, kw_only=True):
    """both legs filled: the pair is hedged"""

    pair: str
    trade_id: int
    direction: int
    layer: int
    signal_id: int
    size_e8: int
    legs: tuple[LegName, LegName]
    entry_prices_e8: tuple[int, int]
    entry_spread_bps: float
    fees_e8: int
    naked_ms: float
    retries: int
    is_estimated: bool = False
    long_venue: str = ""
    short_venue: str = ""
    latency_us: float | None = None  # from the frame that decided it to both legs' bytes written
    # What one unit of the second leg's quote currency was worth in the first's; None without a live rate.
    quote_rate_e8: int | None = None


class TradeClosed(Event, frozen=True, kw_only=True):
    """both legs closed: result in quote currency"""

    pair: str
    trade_id: int
    direction: int
    size_e8: int
    legs: tuple[LegName, LegName]
    entry_prices_e8: tuple[int, int]
    exit_prices_e8: tuple[int, int]
    entry_spread_bps: float
    exit_spread_bps: float
    gross_e8: int
    fees_e8: int
    net_e8: int
    remainders_e8: tuple[int, int]
    reason: Text
    layers: int
    hold_ms: float
    naked_ms: float
    naked_notional_max_e8: int
    retries: int
    is_estimated: bool
    why: Text = ""  # ``reason`` in a sentence, with the figures that decided
    # Of a pair with a live quote rate: the rate at the entry and at the exit, and what of the result its move
    # made. All results are in the first leg's quote currency.
    quote_rates_e8: tuple[int, int] | None = None
    rate_move_e8: int | None = None


class TradeResult(Event, frozen=True, kw_only=True):
    """What every event about a trade's result says that comes after its books were closed."""

    pair: str
    trade_id: int
    direction: int
    gross_e8: int
    fees_e8: int
    net_e8: int
    is_estimated: bool
    closed_ago_ms: float


class TradeCorrected(TradeResult, frozen=True, kw_only=True):
    """a price or fee of a closed trade became known late: its result now, and by how much that changed"""

    was_estimated: bool
    gross_change_e8: int
    fees_change_e8: int
    net_change_e8: int
    leg: int
    venue: str
    symbol: str
    client_order_id: int


class TradeRetold(TradeResult, frozen=True, kw_only=True):
    """the result of a trade closed in an earlier incarnation, which may not have reported it"""


class SlippageMeasured(Event, frozen=True, kw_only=True, tag="slippage"):
    """detected, sent and filled spread of an entry or exit, every stage, what was learned"""

    pair: str
    trade_id: int
    legs: tuple[ContractName, ContractName]
    kind: Literal["entry", "exit"]
    signal_id: int
    layer: int
    sides: tuple[SideName, SideName]
    detected_bps: float | None
    sent_bps: float | None
    filled_bps: float | None
    first_leg_sent_bps: float | None
    second_leg_sent_bps: float | None
    first_leg_bps: float | None
    second_leg_bps: float | None
    detected_prices_e8: tuple[int, int]
    sent_prices_e8: tuple[int, int]
    filled_prices_e8: tuple[int, int]
    recv_to_publish_us: float | None
    publish_to_seen_us: float | None
    seen_to_decided_us: float | None
    decided_to_executor_us: float | None
    executor_to_first_us: float | None
    executor_to_both_us: float | None
    recv_to_both_us: float | None
    sent_to_acked_us: tuple[float | None, float | None]
    sent_to_filled_us: tuple[float | None, float | None]
    learned_bps: tuple[float | None, float | None]
    learned_samples: tuple[int | None, int | None]


class SlippageNotKept(Event, frozen=True, kw_only=True):
    """what was learned about slippage could not be read or written"""

    LEVELS = ("warning",)
    detail: Text


class Percentiles(Struct, frozen=True, kw_only=True):
    """One stage in microseconds."""

    count: int
    p50: float
    p99: float
    max: float


class Latency(Event, frozen=True, kw_only=True):
    """percentiles of every stage since start"""

    stages_us: Mapping[str, Percentiles]
    template_hits: int
    template_misses: int


class BreakerOpened(Event, frozen=True, kw_only=True):
    """too many failures in a row: no entries for a while"""

    LEVELS = ("warning",)
    pair: str
    cause: str
    failures: int
    limit: int
    pause_s: float


class BreakerHalfOpen(Event, frozen=True, kw_only=True):
    """the pause is over: one entry may try, and its end decides"""

    failures: int


class BreakerClosed(Event, frozen=True, kw_only=True):
    """entries are allowed again"""


class PaperHolding(Struct, frozen=True, kw_only=True):
    """One contract of a virtual account."""

    size_e8: int
    entry_price_e8: int


class PaperAccount(Event, frozen=True, kw_only=True):
    """mode paper: a venue's virtual balance, equity, fees and positions"""

    venue: str
    balance_e8: int
    equity_e8: int
    fees_e8: int
    positions: Mapping[str, PaperHolding]
