"""What the venues are asked: the fate of an order, its fills and funding, a cancel, what is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from events.fills import FillReported, FundingPaid, FundingRead
from events.positions import VenueLost
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.pair.messages import (
    At,
    CancelConfirmed,
    FillsRead,
    GridRead,
    OrderReport,
    PositionRead,
    QueryAnswered,
)
from executor.pair.order import Order, is_fill_of
from executor.pair.order_updates import is_known_fill
from executor.pairs import Feed, PairRuntime, Pairs, Report, report_position
from runtime.background import BackgroundTasks
from runtime.clock import Clock
from venues.contract import Fill, Instrument, OrderRef, OrderUpdate, Outcome, TransportError, VenueError

_FUNDING_TRIES = 5
_FUNDING_PAUSE_S = 1.0  # an order's row may follow its event


class VenueQueries:
    """Queries to the venues. One that fails is not answered: the machine asks again by itself."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        gateways: Mapping[str, OrderGateway],
        prices: Prices,
        tasks: BackgroundTasks,
        adopt_grids: Callable[[Sequence[Instrument]], None],
        report: Report,
        clock: Clock,
    ) -> None:
        self._pairs = pairs
        self._gateways = gateways
        self._prices = prices
        self._tasks = tasks
        self._adopt_grids = adopt_grids
        self._report = report
        self._clock = clock
        self._feed: Feed = _nobody

    def connect(self, feed: Feed) -> None:
        """Have answers become events of the machines."""
        self._feed = feed

    async def query_order(
        self, pair: PairRuntime, leg: int, client_order_id: int, venue_order_id: str
    ) -> None:
        """What became of an order."""
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        asked_mono_ns = self._clock.mono_ns()
        try:
            update = await self._gateways[instrument.venue].query_order(ref)
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=instrument.venue, what="order query", detail=str(error)))
            return
        at = self._prices.at(pair)
        named = client_order_id if update is None else update.client_order_id or client_order_id
        reported = None if update is None else order_report(at, named, update)
        answer = QueryAnswered(
            at, client_order_id, asked_mono_ns, reported, is_by_venue_id=bool(venue_order_id)
        )
        self._feed(pair, answer)
        if update is not None and named == client_order_id:  # its fills may never be reported
            self._report_funding_of_order(pair, leg, client_order_id, update)

    async def query_fills(self, pair: PairRuntime, order: Order) -> None:
        """Ask for the price and fee of everything an order has filled, where not all were reported."""
        instrument = pair.rules.instruments[order.leg]
        ref = OrderRef(order.client_order_id, instrument, order.venue_order_id)
        age_ms = max(0, self._clock.mono_ns() - order.sent_mono_ns) // 1_000_000
        try:
            fills = await self._gateways[instrument.venue].query_fills(ref, age_ms)
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=instrument.venue, what="fills", detail=str(error)))
            return
        if fills is None:
            await self.query_order(pair, order.leg, order.client_order_id, order.venue_order_id)
            return
        now = pair.order(order.client_order_id)
        if now is None or now.is_accounted:
            return  # reported while the question was under way
        fills = [
            fill
            for fill in fills
            if is_fill_of(now, leg=fill.instrument_id % 2, side=fill.side, size_e8=fill.size_e8)
        ]
        self._feed(pair, FillsRead(self._prices.at(pair), order.client_order_id, tuple(fills)))
        for fill in fills:
            if not is_known_fill(now, fill.fill_id):
                self.report_fill(pair, order.client_order_id, fill)

    def report_fill(self, pair: PairRuntime, client_order_id: int, fill: Fill) -> None:
        """Report an execution, and what funding it has settled, which is asked for where it does not say."""
        leg = fill.instrument_id % 2
        instrument, order = pair.rules.instruments[leg], pair.order(client_order_id)
        self._report(
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
            self._report_funding(pair, leg, payment_id=fill.fill_id, amount_e8=fill.funding_e8)
        elif fill.venue_order_id:
            self._tasks.start(self.query_funding(pair, leg, client_order_id, fill.venue_order_id))

    async def query_funding_due(self, venue: str) -> None:
        """What an earlier process has seen due and may not have reported, once this one can ask."""
        for pair, leg in self._pairs.legs_on(venue):
            due = [funding for funding in pair.funding_due if funding.leg == leg]
            pair.funding_due = [funding for funding in pair.funding_due if funding.leg != leg]
            for funding in due:
                await self.query_funding(pair, *funding, tries=1)

    async def query_funding(
        self,
        pair: PairRuntime,
        leg: int,
        client_order_id: int,
        venue_order_id: str,
        tries: int = _FUNDING_TRIES,
    ) -> None:
        """What funding an order's fills have settled, where fills do not say. For the books alone: nothing
        depends on it, so it is asked for a few times and then let be, until the next start."""
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        for _ in range(tries):
            try:
                update = await self._gateways[instrument.venue].query_order(ref)
            except (TransportError, VenueError) as error:
                self._report(VenueLost(venue=instrument.venue, what="funding", detail=str(error)))
            else:
                if update is not None and update.client_order_id not in (0, client_order_id):
                    update = None  # another order's, under an id that was believed to be this one's
                if update is not None and self._report_funding_of_order(pair, leg, client_order_id, update):
                    return
            await asyncio.sleep(_FUNDING_PAUSE_S)

    def _report_funding_of_order(
        self, pair: PairRuntime, leg: int, client_order_id: int, update: OrderUpdate
    ) -> bool:
        """Report what the venue says an order's fills have settled; False where it does not say."""
        if update.funding_e8 is None:
            return False
        self._report_funding(pair, leg, payment_id=update.venue_order_id, amount_e8=update.funding_e8)
        # Only now is the question answered: killed in between, the next process asks again.
        self._report(
            FundingRead(
                pair=pair.rules.pair,
                leg=leg,
                client_order_id=client_order_id,
                amount_e8=update.funding_e8,
            )
        )
        return True

    async def cancel_order(
        self, pair: PairRuntime, leg: int, client_order_id: int, venue_order_id: str
    ) -> None:
        """Cancel an order that is in doubt or should have ended."""
        instrument = pair.rules.instruments[leg]
        ref = OrderRef(client_order_id, instrument, venue_order_id)
        try:
            ack = await self._gateways[instrument.venue].cancel_order(ref)
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=instrument.venue, what="cancel", detail=str(error)))
            return
        if ack.outcome is Outcome.ACCEPTED:
            self._feed(pair, CancelConfirmed(self._prices.at(pair), client_order_id))

    async def query_positions(self, pair: PairRuntime, venue: str) -> None:
        """What a venue holds of a pair."""
        asked_mono_ns = self._clock.mono_ns()
        try:
            sizes_e8 = await self._gateways[venue].query_positions()
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=venue, what="positions", detail=str(error)))
            return
        for leg, instrument in enumerate(pair.rules.instruments):
            if instrument.venue == venue:
                size_e8 = sizes_e8[instrument.instrument_id]
                self._feed(pair, PositionRead(self._prices.at(pair), leg, size_e8, asked_mono_ns))
                report_position(self._report, pair, leg, size_e8)

    async def query_grids(self, venue: str) -> None:
        """What prices and sizes a venue's contracts take now."""
        asked_mono_ns = self._clock.mono_ns()
        try:
            found = await self._gateways[venue].query_instruments()
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=venue, what="instruments", detail=str(error)))
            return
        self._adopt_grids(found)
        for pair, leg in self._pairs.legs_on(venue):
            self._feed(pair, GridRead(self._prices.at(pair), leg, asked_mono_ns))

    def _report_funding(self, pair: PairRuntime, leg: int, *, payment_id: str, amount_e8: int) -> None:
        """Report funding that a venue has settled; ``payment_id`` is its own on that venue."""
        if amount_e8:
            instrument = pair.rules.instruments[leg]
            self._report(
                FundingPaid(
                    pair=pair.rules.pair,
                    leg=leg,
                    venue=instrument.venue,
                    symbol=instrument.symbol,
                    payment_id=payment_id,
                    amount_e8=amount_e8,
                )
            )


def _nobody(_: PairRuntime, __: object) -> None:
    raise AssertionError("the engine connects its parts before they are used")


def order_report(at: At, client_order_id: int, update: OrderUpdate) -> OrderReport:
    """A venue's update as the machine takes it in."""
    return OrderReport(
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
