"""Decisions: what the detector found, and what the gates before the wire made of it"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from events.event import Event


class SignalDecided(Event, frozen=True, kw_only=True, tag="signal"):
    """the detector found an entry or an exit"""

    FLOOD_BY = ("pair", "kind")
    pair: str
    signal_id: int
    kind: Literal["enter", "exit"]
    direction: int
    layer: int
    size_base: float
    first_price: float
    second_price: float
    spread_bps: float
    edge_bps: float
    recv_to_decided_us: float
    seen_to_decided_us: float
    buy_venue: str = ""  # of the orders it asks for
    sell_venue: str = ""
    threshold_bps: float | None = None  # that the spread has reached: an entry's at least, an exit's at most


class SignalRefused(Event, frozen=True, kw_only=True):
    """the executor refused a signal; gate, value, limit"""

    FLOOD_BY = ("pair", "gate")
    pair: str
    trade_id: int | UnsetType = UNSET
    signal_id: int
    kind: Literal["ENTER", "EXIT"] | UnsetType = UNSET
    gate: str
    value: int | float | str
    limit: int | float | str


class SignalStages(Event, frozen=True, kw_only=True):
    """when a signal passed each stage from the socket to both legs' bytes"""

    pair: str
    signal_id: int
    client_order_ids: tuple[int, int]
    recv_mono_ns: int
    publish_mono_ns: int
    detector_mono_ns: int
    decided_mono_ns: int
    executor_mono_ns: int
    checked_mono_ns: int
    sent_mono_ns: tuple[int, int]


class LastRefusal(Struct, frozen=True, kw_only=True):
    """The newest refusal of the detector's gates."""

    gate: str
    value: float
    limit: float


class Refusals(Event, frozen=True, kw_only=True):
    """counts of refusals by gate since the last such line"""

    pair: str
    evaluations: int
    signals: int
    expected_slippage_bps: float
    expected_funding_bps: float
    gates: Mapping[str, int]
    last: LastRefusal | None
    spreads_bps: tuple[float, float] | None
    best_spreads_bps: tuple[float, float] | None = None  # the widest since the last such line
    threshold_bps: float | None = None  # of the first layer
    fees_bps: float | None = None  # in and out, both legs
    min_edge_bps: float | None = None


class QuotesOvertaken(Event, frozen=True, kw_only=True):
    """the detector missed quotes and resumed at the newest"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue",)
    venue: str
    quotes: int
