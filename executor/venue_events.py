"""What gateways tell, as events for the pair machines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from events.fills import FillReported, FundingPaid, FundingRead
from events.positions import VenueReady
from executor.desk import Desk, Pair
from executor.orders.venue_ids import VenueIds
from executor.pair.messages import (
    Acked,
    At,
    CancelConfirmed,
    Event,
    FillsRead,
    FillTold,
    OrderTold,
    PositionRead,
    QueryAnswered,
    StreamBack,
    StreamLost,
)
from executor.pair.order import Order, is_fill_of
from executor.pair.order_updates import is_known_fill
from venues.contract import (
    Account,
    Fill,
    OrderAck,
    OrderRef,
    OrderUpdate,
    Outcome,
    Position,
    TransportError,
    VenueError,
)

_FUNDING_TRIES = 5
_FUNDING_PAUSE_S = 1.0  # an order's row may follow its event

Feed = Callable[[Pair, Event], None]


class VenueEvents:
    """The gateways' ``Listener``."""

    def __init__(self, desk: Desk, feed: Feed) -> None:
        self._desk = desk
        self._feed = feed
        self._asking = Asking(desk, feed)
        self._ids = VenueIds(desk)

    def on_ack(self, venue: str, ack: OrderAck, recv_mono_ns: int) -> None:
        pair = self._desk.pair_of_order(ack.client_order_id)
        if pair is None:
            return
        ack = self._own_id_alone(venue, ack)
        self._desk.ledger.acked(ack.client_order_id, recv_mono_ns)
        sent_mono_ns = self._desk.ledger.sent_mono_ns(ack.client_order_id)
        if sent_mono_ns and ack.outcome is not Outcome.IN_DOUBT:
            self._desk.stagger.answered(venue, recv_mono_ns - sent_mono_ns)
        for batch in pair.batches.values():
            batch.stages.reached(batch.stages.acked, ack.client_order_id, recv_mono_ns)
        self._feed(pair, acked(self._desk.at(pair), ack))

    def _own_id_alone(self, venue: str, ack: OrderAck) -> OrderAck:
        """The answer, or doubt where it gives the order an id that is another one's already."""
        owner = self._ids.owner(venue, ack.venue_order_id)
        if owner not in (0, ack.client_order_id):
            text = f"the answer names {ack.venue_order_id}, which is order {owner}"
            return OrderAck(ack.client_order_id, Outcome.IN_DOUBT, text=text)
        self._ids.learn(venue, ack.venue_order_id, ack.client_order_id)
        return ack

    def on_told(self, venue: str, told: OrderUpdate | Fill | Position | Account, recv_mono_ns: int) -> None:
        match told:
            case OrderUpdate():
                self._ids.learn(venue, told.venue_order_id, told.client_order_id)
                client_order_id = told.client_order_id or self._ids.owner(venue, told.venue_order_id)
                pair = self._desk.pair_of_order(client_order_id)
                if pair is not None:
                    self._feed(pair, order_told(self._desk.at(pair), client_order_id, told))
            case Fill() if 0 <= told.instrument_id < 2 * len(self._desk.pairs):
                pair = self._desk.pairs[told.instrument_id // 2]
                client_order_id = self._order_of_fill(venue, pair, told)
                event = FillTold(
                    at=self._desk.at(pair),
                    leg=told.instrument_id % 2,
                    client_order_id=client_order_id,
                    fill_id=told.fill_id,
                    price_e8=told.price_e8,
                    size_e8=told.size_e8,
                    fee_e8=told.fee_e8,
                )
                self._feed(pair, event)
                self._asking.tell_fill(pair, client_order_id, told)
            case _:
                # A pushed position or balance does not say how old it is; the machine has them read.
                return

    def on_up(self, venue: str) -> None:
        self._desk.reports.report(VenueReady(venue=venue))
        for pair, leg in self._desk.legs_on(venue):
            self._feed(pair, StreamBack(self._desk.at(pair), leg))
        self._desk.start(self._asking.about_funding_of_before(venue))

    def on_down(self, venue: str, reason: str) -> None:
        self._desk.reports.venue_lost(venue, "private stream", reason)
        for pair, leg in self._desk.legs_on(venue):
            self._feed(pair, StreamLost(self._desk.at(pair), leg))

    def _order_of_fill(self, venue: str, pair: Pair, fill: Fill) -> int:
        """Our id of the order an execution is of; 0 for a stranger's, and for one that does not fit the order
        it is said to be of: then nobody's amount grows, and the position is read."""
        leg = fill.instrument_id % 2
        self._ids.learn(venue, fill.venue_order_id, fill.client_order_id)
        client_order_id = fill.client_order_id or self._ids.owner(venue, fill.venue_order_id)
        for order in (*pair.state.legs[leg].live, *pair.state.legs[leg].past):
            if order.client_order_id == client_order_id and not is_fill_of(
                order, leg=leg, side=fill.side, size_e8=fill.size_e8
            ):
                return 0
        return client_order_id


class Asking:
    """Questions to the venues. A question that fails is not answered: the machine asks again by itself."""

    def __init__(self, desk: Desk, feed: Feed) -> None:
        self._desk = desk
        self._feed = feed

    async def about_order(self, pair: Pair, leg: int, client_order_id: int, venue_order_id: str) -> None:
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        asked_mono_ns = self._desk.clock.mono_ns()
        try:
            update = await self._desk.gateways[instrument.venue].query_order(ref)
        except (TransportError, VenueError) as error:
            self._desk.reports.venue_lost(instrument.venue, "order query", error)
            return
        at = self._desk.at(pair)
        named = client_order_id if update is None else update.client_order_id or client_order_id
        told = None if update is None else order_told(at, named, update)
        answer = QueryAnswered(at, client_order_id, asked_mono_ns, told, is_by_venue_id=bool(venue_order_id))
        self._feed(pair, answer)
        if update is not None and named == client_order_id:  # its fills may never be told
            self._tell_funding_of_order(pair, leg, client_order_id, update)

    async def about_fills(self, pair: Pair, order: Order) -> None:
        """Ask for the price and fee of everything an order has filled, where they were not all heard."""
        instrument = pair.rules.instruments[order.leg]
        ref = OrderRef(order.client_order_id, instrument, order.venue_order_id)
        age_ms = max(0, self._desk.clock.mono_ns() - order.sent_mono_ns) // 1_000_000
        try:
            fills = await self._desk.gateways[instrument.venue].query_fills(ref, age_ms)
        except (TransportError, VenueError) as error:
            self._desk.reports.venue_lost(instrument.venue, "fills", error)
            return
        if fills is None:
            await self.about_order(pair, order.leg, order.client_order_id, order.venue_order_id)
            return
        now = order_of(pair, order.client_order_id)
        if now is None or now.is_accounted:
            return  # heard while the question was under way
        fills = [
            fill
            for fill in fills
            if is_fill_of(now, leg=fill.instrument_id % 2, side=fill.side, size_e8=fill.size_e8)
        ]
        self._feed(pair, FillsRead(self._desk.at(pair), order.client_order_id, tuple(fills)))
        for fill in fills:
            if not is_known_fill(now, fill.fill_id):
                self.tell_fill(pair, order.client_order_id, fill)

    def tell_fill(self, pair: Pair, client_order_id: int, fill: Fill) -> None:
        """Report an execution, and what funding it has settled, which is asked for where it does not say."""
        leg = fill.instrument_id % 2
        instrument, order = pair.rules.instruments[leg], order_of(pair, client_order_id)
        self._desk.reports.report(
            FillReported(
                pair=pair.rules.pair,
                trade_id=order.trade_id if order else 0,
                leg=leg,
                venue=instrument.venue,
                symbol=instrument.symbol,
                client_order_id=client_order_id,
                venue_order_id=fill.venue_order_id,
                fill_id=fill.fill_id,
                side="BUY" if fill.side > 0 else "SELL",
                price_e8=fill.price_e8,
                size_e8=fill.size_e8,
                fee_e8=fill.fee_e8,
                is_funding_due=fill.funding_e8 is None,
            )
        )
        if fill.funding_e8 is not None:
            tell_funding(self._desk, pair, leg, payment_id=fill.fill_id, amount_e8=fill.funding_e8)
        elif fill.venue_order_id:
            self._desk.start(self.about_funding(pair, leg, client_order_id, fill.venue_order_id))

    async def about_funding_of_before(self, venue: str) -> None:
        """What an earlier life has noticed and may not have told, once this one can ask."""
        for pair, leg in self._desk.legs_on(venue):
            due = [funding for funding in pair.funding_due if funding.leg == leg]
            pair.funding_due = [funding for funding in pair.funding_due if funding.leg != leg]
            for funding in due:
                await self.about_funding(pair, *funding, tries=1)

    async def about_funding(
        self, pair: Pair, leg: int, client_order_id: int, venue_order_id: str, tries: int = _FUNDING_TRIES
    ) -> None:
        """What funding an order's fills have settled, where fills do not tell. For the books alone: nothing
        depends on it, so it is asked for a few times and then let be, until the next start."""
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        for _ in range(tries):
            try:
                update = await self._desk.gateways[instrument.venue].query_order(ref)
            except (TransportError, VenueError) as error:
                self._desk.reports.venue_lost(instrument.venue, "funding", error)
            else:
                if update is not None and update.client_order_id not in (0, client_order_id):
                    update = None  # another order's, under an id that was believed to be this one's
                if update is not None and self._tell_funding_of_order(pair, leg, client_order_id, update):
                    return
            await asyncio.sleep(_FUNDING_PAUSE_S)

    def _tell_funding_of_order(self, pair: Pair, leg: int, client_order_id: int, update: OrderUpdate) -> bool:
        """Tell what the venue says an order's fills have settled; False where it does not say."""
        if update.funding_e8 is None:
            return False
        tell_funding(self._desk, pair, leg, payment_id=update.venue_order_id, amount_e8=update.funding_e8)
        # Only now is the question answered: killed in between, the next life asks again.
        self._desk.reports.report(
            FundingRead(
                pair=pair.rules.pair,
                leg=leg,
                client_order_id=client_order_id,
                amount_e8=update.funding_e8,
            )
        )
        return True

    async def to_cancel(self, pair: Pair, leg: int, client_order_id: int, venue_order_id: str) -> None:
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        try:
            ack = await self._desk.gateways[instrument.venue].cancel_order(ref)
        except (TransportError, VenueError) as error:
            self._desk.reports.venue_lost(instrument.venue, "cancel", error)
            return
        if ack.outcome is Outcome.ACCEPTED:
            self._feed(pair, CancelConfirmed(self._desk.at(pair), client_order_id))

    async def about_positions(self, pair: Pair, venue: str) -> None:
        asked_mono_ns = self._desk.clock.mono_ns()
        try:
            sizes_e8 = await self._desk.gateways[venue].query_positions()
        except (TransportError, VenueError) as error:
            self._desk.reports.venue_lost(venue, "positions", error)
            return
        for leg, instrument in enumerate(pair.rules.instruments):
            if instrument.venue == venue:
                size_e8 = sizes_e8[instrument.instrument_id]
                self._feed(pair, PositionRead(self._desk.at(pair), leg, size_e8, asked_mono_ns))
                self._desk.tell_position(pair, leg, size_e8)


def tell_funding(desk: Desk, pair: Pair, leg: int, *, payment_id: str, amount_e8: int) -> None:
    """Log funding that a venue has settled; ``payment_id`` is its own on that venue."""
    if amount_e8:
        instrument = pair.rules.instruments[leg]
        desk.reports.report(
            FundingPaid(
                pair=pair.rules.pair,
                leg=leg,
                venue=instrument.venue,
                symbol=instrument.symbol,
                payment_id=payment_id,
                amount_e8=amount_e8,
            )
        )


def order_of(pair: Pair, client_order_id: int) -> Order | None:
    """One of the pair's orders, as long as its machine remembers it."""
    for leg in pair.state.legs:
        for order in (*leg.live, *leg.past):
            if client_order_id and order.client_order_id == client_order_id:
                return order
    return None


def order_told(at: At, client_order_id: int, update: OrderUpdate) -> OrderTold:
    return OrderTold(
        at=at,
        client_order_id=client_order_id,
        status=update.status,
        filled_e8=update.filled_e8,
        average_price_e8=update.average_price_e8,
        fee_e8=update.fee_e8,
        reason=update.reason,
        venue_order_id=update.venue_order_id,
        instrument_id=update.instrument_id,
        side=update.side,
        size_e8=update.size_e8,
        is_of_grid=update.is_of_grid,
    )


def acked(at: At, ack: OrderAck) -> Acked:
    return Acked(
        at=at,
        client_order_id=ack.client_order_id,
        outcome=ack.outcome,
        venue_order_id=ack.venue_order_id,
        code=ack.code,
        text=ack.text,
        retry_after_ms=ack.retry_after_ms,
        is_of_grid=ack.is_of_grid,
    )
