"""Presigned orders: rendered and signed before anybody wants them, one per order likely next.

A template is signed for the client order id that the leg's next order will have, so all templates
of a leg exclude each other: once that id is used, every one of them is spent. Its limit price lies
between the touch and the end of the price band, so that it still serves after the price has moved
either way; after ``rearm_bps`` it is made anew. All of that happens off the hot path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from executor.gateways.contract import ReadyOrder
from executor.pair.pricing import LegMarket, limit_price_e8, touch_e8
from venues.contract import Instrument, Side

# A limit close to the touch would save a signature and lose the fill: this part of the band has to be
# left beyond the touch when a template is sent. Signed halfway between that and the end of the band.
REACH_MIN = 0.25
SIGNED_AT = (REACH_MIN + 1) / 2
VALIDITY_SPARE_MS = 200  # a template with less left is made anew, and not taken below half of it


class Slot(NamedTuple):
    """What an order must be to be served by a template, apart from its price and id."""

    leg: int
    side: Side
    size_e8: int
    reduce_only: bool


class WantedTemplate(NamedTuple):
    """A template that should be signed now."""

    slot: Slot
    client_order_id: int
    limit_price_e8: int


class PresignedOrders:
    """One pair's templates."""

    def __init__(self, *, band_bps: float, rearm_bps: float) -> None:
        assert band_bps >= 0
        assert rearm_bps >= 0, "distances have no direction"
        self._renew_bps = min(rearm_bps, (1 - SIGNED_AT) * band_bps)
        self._band_bps = SIGNED_AT * band_bps
        self._reach_ppb = round(REACH_MIN * band_bps * 100_000)
        self._templates: dict[Slot, ReadyOrder] = {}

    def limit_price_e8(self, instrument: Instrument, side: Side, touch_e8: int) -> int:
        """The protective price to sign when the touch is ``touch_e8``."""
        return limit_price_e8(instrument, side, touch_e8, self._band_bps)

    def first_stale(self, wanted: Iterable[WantedTemplate], now_unix_ms: int) -> WantedTemplate | None:
        """The first wanted template that is missing, spent, running out or off its price."""
        for item in wanted:
            template = self._templates.get(item.slot)
            if (
                template is None
                or template.request.client_order_id != item.client_order_id
                or template.valid_until_unix_ms - now_unix_ms < VALIDITY_SPARE_MS
                or self._has_moved(template.request.limit_price_e8, item.limit_price_e8)
            ):
                return item
        return None

    def _has_moved(self, signed_e8: int, wanted_e8: int) -> bool:
        return 10_000 * abs(signed_e8 - wanted_e8) > self._renew_bps * wanted_e8

    def put(self, slot: Slot, order: ReadyOrder) -> None:
        """Keep ``order`` in place of what the slot held, which can no longer be taken."""
        self._templates[slot] = order

    def copy(self) -> PresignedOrders:
        """The same templates, to be taken without spending these."""
        other = object.__new__(PresignedOrders)
        other._renew_bps, other._band_bps, other._reach_ppb = self._renew_bps, self._band_bps, self._reach_ppb
        other._templates = self._templates.copy()
        return other

    def keep_only(self, wanted: Iterable[WantedTemplate]) -> None:
        """Drop templates nobody wants any more."""
        slots = {item.slot for item in wanted}
        for slot in [slot for slot in self._templates if slot not in slots]:
            del self._templates[slot]

    def take(
        self, slot: Slot, *, client_order_id: int, worst_price_e8: int, market: LegMarket, now_unix_ms: int
    ) -> ReadyOrder | None:
        """Hand over the slot's template if it may be sent now; it is spent either way.

        It may when its id is the one wanted, it stays valid a moment longer, and its limit price
        reaches far enough beyond the market's touch without passing ``worst_price_e8``.
        """
        order = self._templates.pop(slot, None)
        if order is None or order.request.client_order_id != client_order_id:
            return None
        price_now_e8 = touch_e8(market, slot.side)
        if not price_now_e8:
            return None
        if order.valid_until_unix_ms - now_unix_ms < VALIDITY_SPARE_MS // 2:
            return None
        reach_e8 = price_now_e8 * self._reach_ppb // 1_000_000_000
        price_e8 = order.request.limit_price_e8 * slot.side
        return (
            order if price_now_e8 * slot.side + reach_e8 <= price_e8 <= worst_price_e8 * slot.side else None
        )
