"""Orders: each from its intent to its end"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from events.event import ENDED, UNANSWERED, Event, OrderStateName, PurposeName, SideName, Text, VenueId


class OrderEvent(Event, frozen=True, kw_only=True):
    """The fields of every event about one order of ours."""

    pair: str
    trade_id: int
    leg: int
    venue: str
    symbol: str
    client_order_id: int
    side: SideName
    purpose: PurposeName
    attempt: int


class IntentWritten(OrderEvent, frozen=True, kw_only=True):
    """orders are journalled and about to leave"""

    size_e8: int
    limit_price_e8: int
    reduce_only: bool


class LegSent(OrderEvent, frozen=True, kw_only=True):
    """an order's bytes were written"""

    sent_mono_ns: int


class OrderChanged(OrderEvent, frozen=True, kw_only=True):
    """What every event about what became of an order says."""

    order_state: OrderStateName
    venue_order_id: VenueId
    size_e8: int
    filled_e8: int
    average_price_e8: int
    fee_e8: int
    is_estimated: bool = False  # a price, fee or amount in it was not reported by the venue, or not yet
    code: Text = ""
    text: Text = ""
    reason: Text = ""

    @property
    def is_answered(self) -> bool:
        """Whether the venue has reported anything about the order."""
        return self.order_state not in UNANSWERED

    @property
    def is_ended(self) -> bool:
        """Whether nothing more comes of the order."""
        return self.order_state in ENDED


class LegAcked(OrderChanged, frozen=True, kw_only=True):
    """the venue accepted an order"""

    ack_us: float | UnsetType | None = UNSET


class LegRejected(OrderChanged, frozen=True, kw_only=True):
    """the venue or our own check refused an order"""

    LEVELS = ("warning",)


class LegFilled(OrderChanged, frozen=True, kw_only=True):
    """an order filled, wholly or in part"""

    fill_us: float | UnsetType | None = UNSET


class LegCancelled(OrderChanged, frozen=True, kw_only=True):
    """an order ended with size left"""


class LegUnknown(OrderChanged, frozen=True, kw_only=True):
    """no answer in time: the order is in doubt and will be asked for"""

    LEVELS = ("warning",)


class LegResolved(OrderChanged, frozen=True, kw_only=True):
    """the venue's answer ended the doubt"""

    doubt_ms: float | UnsetType = UNSET
    questions: int | UnsetType = UNSET


class LegRetold(OrderChanged, frozen=True, kw_only=True):
    """what became of an order of an earlier epoch, which may not have reported it"""


class LegCorrected(OrderChanged, frozen=True, kw_only=True):
    """the price or fee of what an order filled is known, or known better, after it was reported"""


class AnswerDisowned(OrderEvent, frozen=True, kw_only=True):
    """a venue's answer about an order concerns another one: ignored, and queried again by our own id"""

    LEVELS = ("warning",)
    FLOOD_BY = ("pair", "leg")
    size_e8: int
    venue_order_id: VenueId
    named_order_id: int
    named_side: str | None
    named_size_e8: int | None


class LegRetry(Event, frozen=True, kw_only=True):
    """What every try to mend or close a leg says; one that is given up has no order."""

    LEVELS = ("warning",)
    pair: str
    trade_id: int
    leg: int | UnsetType = UNSET
    venue: str | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    side: SideName | UnsetType = UNSET
    purpose: PurposeName | UnsetType = UNSET
    size_e8: int | UnsetType = UNSET
    limit_price_e8: int | UnsetType = UNSET
    attempt: int
    limit: int
    complete_cost_e8: int | UnsetType | None = UNSET
    unwind_cost_e8: int | UnsetType | None = UNSET


class OrderRetry(LegRetry, frozen=True, kw_only=True):
    """a leg known dead is tried again; attempt and limit"""

    given_up: bool = False


class LegAutoClose(LegRetry, frozen=True, kw_only=True):
    """the surviving leg is closed because the other could not be completed"""
