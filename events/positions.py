"""Positions: what a pair holds, what a venue reports, and where the two differ"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import UNSET, Struct, UnsetType

from events.event import Event, Level, PhaseName, Text, VenueId


class PositionReported(Event, frozen=True, kw_only=True, tag="position"):
    """a position changed, as the venue reports it"""

    pair: str
    leg: int
    venue: str
    symbol: str
    size_e8: int


class HoldingLeg(Struct, frozen=True, kw_only=True):
    """What a pair holds on one leg, at what price."""

    leg: int
    venue: str
    symbol: str
    size_e8: int
    entry_price_e8: int
    fee_e8: int


class HoldingChanged(Event, frozen=True, kw_only=True, tag="holding"):
    """what a pair holds on each leg, at what price, for which trade: after every change"""

    pair: str
    trade_id: int
    direction: int
    layers: int
    legs: tuple[HoldingLeg, HoldingLeg]
    live: tuple[int, ...] | UnsetType = UNSET
    opened_mono_ns: int
    is_estimated: bool
    happened_outside: bool | UnsetType = UNSET  # the same, but no venue will ever mend it
    # What one unit of the second leg's quote currency was worth in the first's when the trade began; only of
    # a pair with a live rate.
    quote_rate_e8: int | UnsetType = UNSET


class Exposed(Event, frozen=True, kw_only=True):
    """The fields of every event that has a pair's exposure."""

    pair: str
    trade_id: int
    positions_e8: tuple[int, int]
    under_way_e8: tuple[int, int]
    net_e8: int
    net_notional_e8: int


class PhaseChanged(Exposed, frozen=True, kw_only=True, tag="pair_state"):
    """a pair changed its phase"""

    before: PhaseName
    phase: PhaseName


class Halted(Exposed, frozen=True, kw_only=True):
    """a pair needs the operator; exact exposure, and again whenever it has changed"""

    LEVELS = ("error",)
    reason: Text
    # What the venues showed last; None before a read.
    venue_positions_e8: tuple[int | None, int | None] | UnsetType = UNSET


class NakedStart(Exposed, frozen=True, kw_only=True):
    """the legs differ by more than a lot"""

    LEVELS = ("warning",)


class NakedEnd(Exposed, frozen=True, kw_only=True):
    """the legs agree again; how long and how much"""

    naked_ms: float


class NakedBudgetSpent(Event, frozen=True, kw_only=True):
    """legs stood alone for longer than a day allows: no entries until midnight UTC"""

    LEVELS = ("error",)
    naked_s: float
    limit_s: float


class ReconcileDiff(Event, frozen=True, kw_only=True):
    """a venue holds something the journal does not explain"""

    LEVELS = ("warning", "error")
    pair: str | UnsetType = UNSET
    trade_id: int | UnsetType = UNSET
    leg: int | UnsetType = UNSET
    venue: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    expected_e8: int | UnsetType = UNSET
    position_e8: int | UnsetType = UNSET
    difference_e8: int | UnsetType = UNSET
    client_order_id: int | UnsetType = UNSET
    venue_order_id: VenueId | UnsetType = UNSET
    instrument_id: int | UnsetType = UNSET
    size_e8: int | UnsetType | None = UNSET
    filled_e8: int | UnsetType | None = UNSET
    legs: tuple[str, str] | UnsetType = UNSET
    sizes_e8: tuple[int, int] | UnsetType = UNSET
    orders: tuple[int, ...] | UnsetType = UNSET
    explained_by: int | str | UnsetType | None = UNSET
    detail: Text | UnsetType = UNSET

    @property
    def level(self) -> Level:
        """Loud where no order of ours explains what a venue holds."""
        return "warning" if self.is_explained or self.kind == "cancel" else "error"

    @property
    def is_explained(self) -> bool:
        """Whether an order of ours is the reason."""
        return isinstance(self.explained_by, int) or self.explained_by == "ours"


class Reconciled(Event, frozen=True, kw_only=True):
    """the operator's decision about what was not explained is carried out"""

    action: str
    positions_e8: Mapping[str, int]


class PositionsRestored(Event, frozen=True, kw_only=True):
    """a venue confirms a position after a start, a reconnect or a repair"""

    pair: str | UnsetType = UNSET
    trade_id: int | UnsetType = UNSET
    leg: int | UnsetType = UNSET
    venue: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    position_e8: int | UnsetType = UNSET
    count: int | UnsetType = UNSET
    positions_e8: Mapping[str, int] | UnsetType = UNSET
    detail: Text | UnsetType = UNSET


class LegShown(Event, frozen=True, kw_only=True):
    """What a venue shows of one leg."""

    pair: str
    trade_id: int
    leg: int
    venue: str
    symbol: str
    position_e8: int


class FlatConfirmed(LegShown, frozen=True, kw_only=True):
    """a venue confirms a flat leg after a close (of that trade), a start, a reconnect or a repair"""


class NotFlat(LegShown, frozen=True, kw_only=True):
    """a venue still shows a position of a trade that was closed: look at it there"""

    LEVELS = ("error",)


class HedgeDrift(Exposed, frozen=True, kw_only=True):
    """the legs differed by more than allowed for too long: both are closed"""

    LEVELS = ("warning",)
    drift_bps: float
    limit_bps: float
    drift_ms: float


class VenueReady(Event, frozen=True, kw_only=True):
    """logged in, streams stand, positions read"""

    FLOOD_BY = ("venue",)
    venue: str


class VenueLost(Event, frozen=True, kw_only=True):
    """a venue's private stream or session is down: no entries until it is back"""

    LEVELS = ("warning",)
    FLOOD_BY = ("venue", "what")
    venue: str
    what: str
    detail: Text


class VenueStatus(Event, frozen=True, kw_only=True):
    """a venue stopped, or began again, to take orders that open: its own status text"""

    LEVELS = ("info", "warning")
    FLOOD_BY = ("venue",)
    venue: str
    status: Text

    @property
    def level(self) -> Level:
        """A warning while the venue takes no new orders."""
        return "info" if self.status == "open" else "warning"


class HoldExceeded(Event, frozen=True, kw_only=True):
    """held for max_hold_s and a leg has no price: the executor closes both; who priced each leg"""

    LEVELS = ("warning",)
    pair: str
    held_s: float
    limit_s: float
    priced_by: Mapping[str, Text]


class ClockOff(Event, frozen=True, kw_only=True):
    """a venue's clock and this host's differ by more than a second: nothing is opened; how to mend it"""

    LEVELS = ("error",)
    venue: str
    offset_ms: float
    limit_ms: float
    detail: Text


class ClockOn(Event, frozen=True, kw_only=True):
    """a venue's clock and this host's agree again"""

    venue: str
    offset_ms: float
