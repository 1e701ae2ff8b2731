"""Who takes in what the pair machines report: counters, breaker, latency, the journal and the log, slippage.

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
from executor.metrics.counters import ExecutorCounters
from executor.metrics.exit_reason import why_closed
from executor.metrics.latency import LatencyRecorder
from executor.metrics.slippage_model import SlippageModel
from executor.pairs import PairRuntime, Report
from executor.risk.circuit_breaker import Breaker
from runtime.clock import Clock
from shm.records import SignalKind


class Subscribers:
    """Hands each event of a pair machine to everybody concerned, in this order."""

    def __init__(
        self,
        *,
        breaker: Breaker,
        latency: LatencyRecorder,
        slippage: SlippageModel,
        counters: ExecutorCounters,
        report: Report,
        clock: Clock,
    ) -> None:
        self._breaker = breaker
        self._latency = latency
        self._slippage = slippage
        self._counters = counters
        self._report = report
        self._clock = clock

    def publish(self, pair: PairRuntime, event: Event) -> None:
        """Hand one event of a pair's machine to all of them."""
        self._count(event)
        self._watch_failures(pair, event)
        self._report(self._timed(pair, event))
        self._learn(pair, event)

    def _count(self, event: Event) -> None:
        count = self._counters.count
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
                self._latency.record("naked", int(event.naked_ms * 1e6))

    def _watch_failures(self, pair: PairRuntime, event: Event) -> None:
        """What the circuit breaker goes by."""
        breaker = self._breaker
        match event:
            case LegAutoClose() | LegRejected() | LegUnknown() if breaker.failed(self._clock.mono_ns()):
                self._report(
                    BreakerOpened(
                        pair=pair.rules.pair,
                        cause=event.name(),
                        failures=breaker.failures,
                        limit=breaker.failures_max,
                        pause_s=breaker.pause_s,
                    )
                )
            case TradeOpened() if breaker.succeeded():
                self._report(BreakerClosed())
            case PhaseChanged(phase="FLAT"):
                breaker.undecided()

    def _timed(self, pair: PairRuntime, event: Event) -> Event:
        """The event with what its signal adds: how long it took, and why a trade was closed."""
        latency = self._latency
        match event:
            case LegAcked():
                return replace(event, ack_us=latency.ack_us(event.client_order_id))
            case LegFilled():
                now_mono_ns = self._clock.mono_ns()
                for execution in pair.executions.values():
                    execution.stages.reached(execution.stages.filled, event.client_order_id, now_mono_ns)
                return replace(event, fill_us=latency.filled(event.client_order_id, now_mono_ns))
            case TradeOpened() if opening := pair.executions.get(SignalKind.ENTER):
                return replace(event, latency_us=opening.stages.fields_us()["recv_to_both_us"])
            case TradeClosed():
                closing = pair.executions.get(SignalKind.EXIT)
                why = why_closed(event, closing.stages.signal if closing else None, pair.strategy)
                return replace(event, why=why)
        return event

    def _learn(self, pair: PairRuntime, event: Event) -> None:
        match event:
            case OrderChanged():
                for execution in pair.executions.values():
                    execution.follow(event)
            case TradeOpened():
                self._measure_slippage(pair, SignalKind.ENTER, event.trade_id)
            case TradeClosed():
                self._measure_slippage(pair, SignalKind.EXIT, event.trade_id)
                pair.executions.pop(SignalKind.ENTER, None)

    def _measure_slippage(
        self, pair: PairRuntime, kind: Literal[SignalKind.ENTER, SignalKind.EXIT], trade_id: int
    ) -> None:
        """Compare what was seen, sent and filled, and learn from it; once per signal.

        An entry or exit that no signal of this process asked for has nothing to be compared with.
        """
        execution = pair.executions.pop(kind, None)
        if execution is None:
            return
        rules = pair.rules
        first, second = (ContractName(venue=item.venue, symbol=item.symbol) for item in rules.instruments)
        fields = execution.fields()
        worse_bps = execution.worse_bps(execution.filled_e8)
        known = [
            None if bps is None else self._slippage.observe(instrument, side, bps)
            for instrument, side, bps in zip(rules.instruments, execution.sides, worse_bps, strict=True)
        ]
        try:
            self._slippage.save()
        except OSError as error:  # what was learned is shared all the same; the next trade tries again
            self._report(SlippageNotKept(detail=str(error)))
        first_bps, second_bps = (None if view is None else round(view.mean_bps, 3) for view in known)
        first_samples, second_samples = (None if view is None else view.samples for view in known)
        self._report(
            SlippageMeasured(
                pair=rules.pair,
                trade_id=trade_id,
                legs=(first, second),
                **fields,
                learned_bps=(first_bps, second_bps),
                learned_samples=(first_samples, second_samples),
            )
        )
