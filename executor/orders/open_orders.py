"""Open orders at the venues that no machine waits for: ours are cancelled, others are reported.

Every order we send takes at once or not at all, so an open one that no pair has under way is left
over from an earlier process or from a message that was lost. Positions are the machine's to compare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from events.positions import ReconcileDiff, VenueLost
from executor.gateways.contract import OrderGateway
from executor.pair.client_order_id import epoch_of
from executor.pairs import Pairs, Report
from venues.contract import Instrument, OrderRef, OrderUpdate, Outcome, TransportError, VenueError

# Ids of our earlier processes look like ours: an epoch is seconds, and no order rests for a month.
EPOCHS_REMEMBERED = 31 * 86_400
_CONFIRM_PAUSE_S = 0.1
_RETRY_PAUSE_S = 0.5


class Swept(NamedTuple):
    """What the last sweep of a venue found."""

    cancelled: int  # orders of ours that were open, and are gone
    foreign: int  # orders of others that stand
    open_ids: tuple[int, ...] | None = ()  # ours that stand still; None: the venue did not say


class OpenOrders:
    """Sweeps both venues' open orders. ``foreign`` counts those that are not ours."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        gateways: Mapping[str, OrderGateway],
        instruments: tuple[Instrument, ...],
        epoch: int,
        report: Report,
    ) -> None:
        self._pairs = pairs
        self._gateways = gateways
        self._report = report
        self._instruments = instruments
        self._epoch = epoch
        self._reported: set[tuple[str, str]] = set()  # (venue, venue order id)
        self._accepted: set[tuple[str, str]] = set()  # the operator knows them
        self.foreign: dict[str, int] = {}  # by venue, as last seen, without those

    async def sweep(self, venue: str) -> None:
        """One sweep of a venue: cancel our strays, report and count the orders of others."""
        gateway = self._gateways[venue]
        under_way = self._under_way()
        try:
            orders = await gateway.query_open_orders()
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=venue, what="open orders", detail=str(error)))
            return
        # An order may have begun or ended while the question was on its way.
        under_way |= self._under_way()
        foreign = [update for update in orders if not self._is_ours(update.client_order_id)]
        self.foreign[venue] = sum((venue, item.venue_order_id) not in self._accepted for item in foreign)
        for update in foreign:
            if (venue, update.venue_order_id) not in self._reported:
                self._reported.add((venue, update.venue_order_id))
                self._report_open(venue, update, explained_by=None)
        for update in orders:
            if update in foreign or update.client_order_id in under_way:
                continue
            self._report_open(venue, update, explained_by="ours")
            await self._cancel(gateway, update)

    def accept_foreign(self) -> None:
        """The operator knows of the orders of others that were reported: they stop nothing any more."""
        self._accepted |= self._reported
        self.foreign = dict.fromkeys(self.foreign, 0)

    async def cancel_foreign(self) -> None:
        """Cancel the orders of others, as the operator has decided; the next sweep says what is left."""
        for venue, gateway in self._gateways.items():
            try:
                orders = await gateway.query_open_orders()
            except (TransportError, VenueError) as error:
                self._report(VenueLost(venue=venue, what="open orders", detail=str(error)))
                continue
            for update in orders:
                if not self._is_ours(update.client_order_id):
                    await self._cancel(gateway, update)
            await self.sweep(venue)

    async def cancel_all_ours(self, patience_s: float) -> dict[str, Swept]:
        """Cancel our open orders everywhere until the venues show none, or the time is up. By venue."""
        venues = self._gateways
        found = await asyncio.gather(*(self._cancel_ours(gateway, patience_s) for gateway in venues.values()))
        return dict(zip(venues, found, strict=True))

    async def _cancel_ours(self, gateway: OrderGateway, patience_s: float) -> Swept:
        cancelled: set[int] = set()
        ours: list[OrderUpdate] | None = None
        try:
            async with asyncio.timeout(patience_s):
                while True:
                    try:
                        orders = await gateway.query_open_orders()
                    except (TransportError, VenueError) as error:
                        self._report(VenueLost(venue=gateway.venue, what="open orders", detail=str(error)))
                        await asyncio.sleep(_RETRY_PAUSE_S)
                        continue
                    ours = [update for update in orders if self._is_ours(update.client_order_id)]
                    if not ours:
                        return Swept(len(cancelled), len(orders))
                    for update in ours:
                        cancelled.add(update.client_order_id)
                        await self._cancel(gateway, update)
                    await asyncio.sleep(_CONFIRM_PAUSE_S)
        except TimeoutError:
            left = None if ours is None else tuple(update.client_order_id for update in ours)
            return Swept(len(cancelled - set(left or ())), 0, left)

    async def _cancel(self, gateway: OrderGateway, update: OrderUpdate) -> None:
        instrument = self._instruments[update.instrument_id]
        ref = OrderRef(update.client_order_id, instrument, update.venue_order_id)
        try:
            ack = await gateway.cancel_order(ref)
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=gateway.venue, what="cancel", detail=str(error)))
            return
        if ack.outcome is not Outcome.ACCEPTED:
            detail = f"{ack.code} {ack.text}"
            self._report(ReconcileDiff(venue=gateway.venue, kind="cancel", detail=detail))

    def _under_way(self) -> set[int]:
        """Client order ids that a pair waits for."""
        return {
            order.client_order_id for pair in self._pairs for leg in pair.state.legs for order in leg.live
        }

    def _is_ours(self, client_order_id: int) -> bool:
        epoch = epoch_of(client_order_id)
        return self._epoch - EPOCHS_REMEMBERED < epoch <= self._epoch

    def _report_open(self, venue: str, update: OrderUpdate, *, explained_by: str | None) -> None:
        """An order stands at a venue that no pair waits for."""
        self._report(
            ReconcileDiff(
                venue=venue,
                kind="open order",
                explained_by=explained_by,
                client_order_id=update.client_order_id,
                venue_order_id=update.venue_order_id,
                instrument_id=update.instrument_id,
                size_e8=update.size_e8,
                filled_e8=update.filled_e8,
            )
        )
