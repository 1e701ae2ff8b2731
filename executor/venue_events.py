"""What gateways report, as events for the pair machines."""

from __future__ import annotations

from events.positions import VenueLost, VenueReady
from executor.market import Prices
from executor.metrics.latency import LatencyRecorder
from executor.orders.stagger import Stagger
from executor.orders.venue_ids import VenueIds
from executor.pair.messages import Acked, At, FillReport, StreamBack, StreamLost
from executor.pair.order import is_fill_of
from executor.pairs import Feed, PairRuntime, Pairs, Report
from executor.venue_queries import VenueQueries, order_report
from runtime.background import BackgroundTasks
from venues.contract import Account, Fill, OrderAck, OrderUpdate, Outcome, Position


class VenueEvents:
    """The gateways' ``Listener``."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        prices: Prices,
        queries: VenueQueries,
        latency: LatencyRecorder,
        stagger: Stagger,
        tasks: BackgroundTasks,
        feed: Feed,
        report: Report,
    ) -> None:
        self._pairs = pairs
        self._prices = prices
        self._queries = queries
        self._latency = latency
        self._stagger = stagger
        self._tasks = tasks
        self._feed = feed
        self._report = report
        self._ids = VenueIds(pairs)

    def on_ack(self, venue: str, ack: OrderAck, recv_mono_ns: int) -> None:
        pair = self._pairs.of_order(ack.client_order_id)
        if pair is None:
            return
        ack = self._own_id_alone(venue, ack)
        self._latency.acked(ack.client_order_id, recv_mono_ns)
        sent_mono_ns = self._latency.sent_mono_ns(ack.client_order_id)
        if sent_mono_ns and ack.outcome is not Outcome.IN_DOUBT:
            self._stagger.answered(venue, recv_mono_ns - sent_mono_ns)
        for execution in pair.executions.values():
            execution.stages.reached(execution.stages.acked, ack.client_order_id, recv_mono_ns)
        self._feed(pair, acked(self._prices.at(pair), ack))

    def _own_id_alone(self, venue: str, ack: OrderAck) -> OrderAck:
        """The answer, or doubt where it gives the order an id that is another one's already."""
        owner = self._ids.owner(venue, ack.venue_order_id)
        if owner not in (0, ack.client_order_id):
            text = f"the answer names {ack.venue_order_id}, which is order {owner}"
            return OrderAck(ack.client_order_id, Outcome.IN_DOUBT, text=text)
        self._ids.learn(venue, ack.venue_order_id, ack.client_order_id)
        return ack

    def on_report(
        self, venue: str, report: OrderUpdate | Fill | Position | Account, recv_mono_ns: int
    ) -> None:
        match report:
            case OrderUpdate():
                self._ids.learn(venue, report.venue_order_id, report.client_order_id)
                client_order_id = report.client_order_id or self._ids.owner(venue, report.venue_order_id)
                pair = self._pairs.of_order(client_order_id)
                if pair is not None:
                    self._feed(pair, order_report(self._prices.at(pair), client_order_id, report))
            case Fill() if 0 <= report.instrument_id < 2 * len(self._pairs):
                pair = self._pairs[report.instrument_id // 2]
                client_order_id = self._order_of_fill(venue, pair, report)
                event = FillReport(
                    at=self._prices.at(pair),
                    leg=report.instrument_id % 2,
                    client_order_id=client_order_id,
                    fill_id=report.fill_id,
                    price_e8=report.price_e8,
                    size_e8=report.size_e8,
                    fee_e8=report.fee_e8,
                )
                self._feed(pair, event)
                self._queries.report_fill(pair, client_order_id, report)
            case _:
                # A pushed position or balance does not say how old it is; the machine has them read.
                return

    def on_up(self, venue: str) -> None:
        self._report(VenueReady(venue=venue))
        for pair, leg in self._pairs.legs_on(venue):
            self._feed(pair, StreamBack(self._prices.at(pair), leg))
        self._tasks.start(self._queries.query_funding_due(venue))

    def on_down(self, venue: str, reason: str) -> None:
        self._report(VenueLost(venue=venue, what="private stream", detail=reason))
        for pair, leg in self._pairs.legs_on(venue):
            self._feed(pair, StreamLost(self._prices.at(pair), leg))

    def _order_of_fill(self, venue: str, pair: PairRuntime, fill: Fill) -> int:
        """Our id of the order an execution is of; 0 for somebody else's, and where it does not fit its order.

        Then no order's amount grows, and the position is read.
        """
        leg = fill.instrument_id % 2
        self._ids.learn(venue, fill.venue_order_id, fill.client_order_id)
        client_order_id = fill.client_order_id or self._ids.owner(venue, fill.venue_order_id)
        for order in (*pair.state.legs[leg].live, *pair.state.legs[leg].past):
            if order.client_order_id == client_order_id and not is_fill_of(
                order, leg=leg, side=fill.side, size_e8=fill.size_e8
            ):
                return 0
        return client_order_id


def acked(at: At, ack: OrderAck) -> Acked:
    return Acked(
        at=at,
        client_order_id=ack.client_order_id,
        outcome=ack.outcome,
        venue_order_id=ack.venue_order_id,
        code=ack.code,
        text=ack.text,
        # Entries keep the whole pause: the gateway's budget sees to that.
        retry_after_ms=ack.retry_after_ms if ack.mends_after_ms is None else ack.mends_after_ms,
        is_of_grid=ack.is_of_grid,
    )
