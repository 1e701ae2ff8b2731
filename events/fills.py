"""Fills and funding: what the venues report as executed and paid"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from events.event import Event, SideName, VenueId


class FillReported(Event, frozen=True, kw_only=True, tag="fill"):
    """one execution as the venue reported it"""

    pair: str
    leg: int
    venue: str
    symbol: str
    client_order_id: int
    venue_order_id: VenueId
    fill_id: VenueId
    side: SideName
    price_e8: int
    size_e8: int
    fee_e8: int
    is_funding_due: bool | UnsetType = UNSET
    trade_id: int = 0


class FundingPaid(Event, frozen=True, kw_only=True):
    """a venue has settled funding; positive = received"""

    pair: str
    leg: int
    venue: str
    symbol: str
    payment_id: VenueId
    amount_e8: int


class FundingRead(Event, frozen=True, kw_only=True):
    """the funding that an order's fills have settled, where fills do not report it; may be 0"""

    pair: str
    leg: int
    client_order_id: int
    amount_e8: int
