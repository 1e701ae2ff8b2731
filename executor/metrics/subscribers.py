"""Who hears what the pair machines report: counters, breaker, latency, the journal and the log, slippage.

An event is first counted, then timed and kept, then learned from. What a trade adds to the day is not taken
here but before the machine's state is journalled, see ``Results.follow``.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from events.event import Event
from events.orders import LegAcked, LegAutoClose, LegFilled, LegRejected, LegUnknown, OrderChanged
from events.positions import NakedEnd, PhaseChanged
from events.trades import (
    BreakerClosed,
    BreakerOpened,
    ContractName,
    SlippageMeasured,
    SlippageNotKept,
    TradeClosed,
    TradeCorrected,
    TradeOpened,
)
from executor.desk import Desk, Pair
from executor.metrics.exit_reason import why_closed
from shm.records import SignalKind


class Subscribers:
    """Hands each event of a pair machine to everybody concerned, in this order."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def hand(self, pair: Pair, event: Event) -> None:
        self._count(event)
        self._watch_failures(pair, event)
        self._desk.reports.report(self._timed(pair, event))
        self._learn(pair, event)

    def _count(self, event: Event) -> None:
        count = self._desk.reports.count
        match event:
            case TradeOpened():
                count("trades_opened_total")
            case TradeClosed():
                count("trades_closed_total")
                count("gross_e8_total", event.gross_e8)
                count("fees_e8_total", event.fees_e8)
                count("net_e8_total", event.net_e8)
                count("naked_us_total", round(event.naked_ms * 1e3))
            case TradeCorrected():
                count("gross_e8_total", event.gross_change_e8)
                count("fees_e8_total", event.fees_change_e8)
                count("net_e8_total", event.net_change_e8)
            case LegAutoClose():
                count("legs_closed_total")
            case LegRejected():
                count("orders_rejected_total")
            case NakedEnd():
                self._desk.ledger.record("naked", int(event.naked_ms * 1e6))

    def _watch_failures(self, pair: Pair, event: Event) -> None:
        """What the circuit breaker goes by."""
        desk = self._desk
        match event:
            case LegAutoClose() | LegRejected() | LegUnknown() if desk.breaker.failed(
                self._desk.clock.mono_ns()
            ):
                desk.reports.report(
                    BreakerOpened(
                        pair=pair.rules.pair,
                        cause=event.name(),
                        failures=desk.breaker.failures,
                        limit=desk.settings.risk.max_consecutive_failures,
                        pause_s=desk.settings.risk.breaker_pause_s,
                    )
                )
            case TradeOpened() if desk.breaker.succeeded():
                desk.reports.report(BreakerClosed())
            case PhaseChanged(phase="FLAT"):
                desk.breaker.undecided()

    def _timed(self, pair: Pair, event: Event) -> Event:
        """The event with what its signal adds: how long it took, and why a trade was closed."""
        ledger = self._desk.ledger
        match event:
            case LegAcked():
                return replace(event, ack_us=ledger.ack_us(event.client_order_id))
            case LegFilled():
                now_mono_ns = self._desk.clock.mono_ns()
                for batch in pair.batches.values():
                    batch.stages.reached(batch.stages.filled, event.client_order_id, now_mono_ns)
                return replace(event, fill_us=ledger.filled(event.client_order_id, now_mono_ns))
            case TradeOpened() if opening := pair.batches.get(SignalKind.ENTER):
                return replace(event, latency_us=opening.stages.fields_us()["recv_to_both_us"])
            case TradeClosed():
                closing = pair.batches.get(SignalKind.EXIT)
                strategy = self._desk.settings.pairs[pair.rules.pair_id].strategy
                why = why_closed(event, closing.stages.signal if closing else None, strategy)
                return replace(event, why=why)
        return event

    def _learn(self, pair: Pair, event: Event) -> None:
        match event:
            case OrderChanged():
                for batch in pair.batches.values():
                    batch.follow(event)
            case TradeOpened():
                self._measure_slippage(pair, SignalKind.ENTER, event.trade_id)
            case TradeClosed():
                self._measure_slippage(pair, SignalKind.EXIT, event.trade_id)
                pair.batches.pop(SignalKind.ENTER, None)

    def _measure_slippage(
        self, pair: Pair, kind: Literal[SignalKind.ENTER, SignalKind.EXIT], trade_id: int
    ) -> None:
        """Compare what was seen, sent and filled, and learn from it; once per signal.

        An entry or exit that no signal of this life asked for has nothing to be compared with.
        """
        batch = pair.batches.pop(kind, None)
        if batch is None:
            return
        desk, rules = self._desk, pair.rules
        first, second = (ContractName(venue=item.venue, symbol=item.symbol) for item in rules.instruments)
        fields = batch.fields()
        worse_bps = batch.worse_bps(batch.filled_e8)
        known = [
            None if bps is None else desk.learned.observe(instrument, side, bps)
            for instrument, side, bps in zip(rules.instruments, batch.sides, worse_bps, strict=True)
        ]
        try:
            desk.learned.save()
        except OSError as error:  # what was learned is shared all the same; the next trade tries again
            desk.reports.report(SlippageNotKept(detail=str(error)))
        first_bps, second_bps = (None if view is None else round(view.mean_bps, 3) for view in known)
        first_samples, second_samples = (None if view is None else view.samples for view in known)
        desk.reports.report(
            SlippageMeasured(
                pair=rules.pair,
                trade_id=trade_id,
                legs=(first, second),
                **fields,
                learned_bps=(first_bps, second_bps),
                learned_samples=(first_samples, second_samples),
            )
        )
