"""Everything that is due now and then: the heartbeat, gates that come and go, views, sweeps, collection."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Mapping, Sequence
from math import inf
from typing import Any

from events.positions import NakedBudgetSpent, PositionsRestored
from events.trades import BreakerHalfOpen, Latency
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.metrics.counters import ExecutorCounters
from executor.metrics.latency import LatencyRecorder
from executor.operator.grids import READ_S
from executor.operator.hold_limit import HoldLimit
from executor.operator.reconcile import Decisions
from executor.operator.reload import Reloading
from executor.operator.resolve import Configuration
from executor.operator.standing_orders import Operator
from executor.orders.fill_queries import FillQueries
from executor.orders.open_orders import OpenOrders
from executor.pair.messages import EntriesAllowed, EntriesStopped
from executor.pair.state import Halt, has_live_order
from executor.pairs import MachineRunner, Pairs, Report
from executor.risk.book import Risk
from executor.risk.clock_watch import ClockWatch
from executor.risk.pre_trade import Refused
from executor.risk.trading_state import Conditions, TradingState
from runtime.background import BackgroundTasks
from runtime.carried_positions import CarriedPair
from runtime.clock import Clock, mono_s
from shm import counter_names
from shm.entry_block import EntryBlock, bits_of, number_of
from shm.records import PairPhase

TURN_S = 0.05
PUBLISH_S = 1.0
COLLECT_S = 30.0
LATENCY_S = 60.0


class Housekeeping:
    """One slow loop. ``is_to_stop`` is set by the turn that notices a SIGTERM."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        orphaned: Sequence[CarriedPair],
        runner: MachineRunner,
        risk: Risk,
        trading_state: TradingState,
        configuration: Configuration,
        prices: Prices,
        gateways: Mapping[str, OrderGateway],
        open_orders: OpenOrders,
        decisions: Decisions,
        operator: Operator,
        reloading: Reloading,
        fill_queries: FillQueries,
        hold_limit: HoldLimit,
        clock_watch: ClockWatch,
        query_grids: Callable[[str], Coroutine[Any, Any, None]],
        is_queue_crowded: Callable[[], bool],
        latency: LatencyRecorder,
        tasks: BackgroundTasks,
        counters: ExecutorCounters,
        report: Report,
        clock: Clock,
    ) -> None:
        self.is_to_stop = asyncio.Event()
        self._pairs = pairs
        self._orphaned = orphaned
        self._runner = runner
        self._risk = risk
        self._trading_state = trading_state
        self._configuration = configuration
        self._prices = prices
        self._gateways = gateways
        self._open_orders = open_orders
        self._decisions = decisions
        self._operator = operator
        self._reloading = reloading
        self._fill_queries = fill_queries
        self._hold_limit = hold_limit
        self._clock_watch = clock_watch
        self._query_grids = query_grids
        self._is_queue_crowded = is_queue_crowded
        self._latency = latency
        self._tasks = tasks
        self._counters = counters
        self._report = report
        self._clock = clock
        venues = configuration.settings.venue_names
        # Not 0: the clock begins at the machine's start, which may be nearer than an interval.
        self._grids_read_s = dict.fromkeys(venues, -inf)
        self._swept_s = dict.fromkeys(venues, -inf)
        self._is_restored_reported = False
        self._blocks: set[EntryBlock] = set()  # what stopped entries everywhere at the last turn
        self._published_s = self._collected_s = self._latency_reported_s = mono_s(clock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._do_work(mono_s(self._clock))
            await asyncio.sleep(TURN_S)

    def report_latency(self) -> None:
        """Report how long every stage took since the start, and how many orders were signed beforehand."""
        self._report(
            Latency(
                stages_us=self._latency.percentiles_us(),
                template_hits=self._counters.value("template_hits_total"),
                template_misses=self._counters.value("template_misses_total"),
            )
        )

    def _do_work(self, now_s: float) -> None:
        self._counters.set("heartbeat_mono_ns", self._clock.mono_ns())
        self._counters.set("orders_in_doubt", self._pairs.orders_in_doubt())
        self._counters.set("ready", int(self._is_ready()))
        are_down = (not self._gateways[venue].is_up for venue in self._configuration.settings.venue_names)
        self._counters.set("venues_down", sum(down << place for place, down in enumerate(are_down)))
        if self._trading_state.was_terminated:
            self.is_to_stop.set()
        self._risk.results.refresh()
        self._decisions.poll()
        self._operator.poll()
        self._clock_watch.poll()
        self._hold_limit.poll()
        held = self._trading_state.held  # before the gates: what they do not follow yet is not acknowledged
        self._follow_gates()
        self._operator.acknowledge(held)
        self._reloading.poll()
        self._fill_queries.poll(int(now_s * 1e9))
        self._show_limits()
        self._report_restored()
        self._sweep_when_due(now_s)
        if now_s - self._published_s >= PUBLISH_S:
            self._published_s = now_s
            for pair in self._pairs:
                self._runner.publish(pair)
        if now_s - self._latency_reported_s >= LATENCY_S:
            self._latency_reported_s = now_s
            self.report_latency()
        if now_s - self._collected_s >= COLLECT_S and not self._is_trading():
            self._collected_s = now_s
            gc.collect()

    def _is_ready(self) -> bool:
        return (
            all(gateway.is_up for gateway in self._gateways.values())
            and self._trading_state.are_margins_known
            and all(
                pair.state.phase is not PairPhase.UNKNOWN and all(leg.is_verified for leg in pair.state.legs)
                for pair in self._pairs
            )
        )

    def _is_trading(self) -> bool:
        return any(has_live_order(pair.state) for pair in self._pairs)

    def _follow_gates(self) -> None:
        """Let machines and detector know when a reason not to enter comes or goes."""
        blocks = self._trading_state.look(self._conditions(), self._clock.mono_ns())
        first = blocks[0] if blocks else None
        self._counters.set("entries_stopped", number_of(first and first.block))
        self._counters.set("entry_blocks", bits_of(refused.block for refused in blocks))
        self._report_changes(blocks)
        for pair in self._pairs:
            reason = (first and first.text) or self._operator.why_no_entries(pair) or pair.suspended
            if pair.entries_stopped != reason:
                pair.entries_stopped = reason
                at = self._prices.at(pair)
                self._runner.feed(pair, EntriesStopped(at, reason) if reason else EntriesAllowed(at))
                self._runner.publish(pair)

    def _show_limits(self) -> None:
        """What the day's limits and the breaker go by, for those who watch."""
        risk, counters, now_mono_ns = self._risk, self._counters, self._clock.mono_ns()
        counters.set("result_today_e8", risk.results.today_e8)
        counters.set("best_today_e8", risk.results.best_e8)
        counters.set("estimated_today", risk.results.estimated)
        counters.set("naked_today_us", self._naked_today_ns(now_mono_ns) // 1_000)
        breaker = counter_names.BREAKER_CLOSED
        if risk.breaker.has_tripped:
            is_open = risk.breaker.is_open(now_mono_ns)
            breaker = counter_names.BREAKER_OPEN if is_open else counter_names.BREAKER_HALF_OPEN
        counters.set("breaker", breaker)

    def _naked_today_ns(self, now_mono_ns: int) -> int:
        """For how long legs have been naked since midnight UTC, all pairs, with what goes on now."""
        return self._risk.results.naked_ns + self._pairs.naked_now_ns(now_mono_ns)

    def _conditions(self) -> Conditions:
        """What changes slowly of all that stops entries."""
        closed = (f"{venue}: {gateway.closed}" for venue, gateway in self._gateways.items() if gateway.closed)
        return Conditions(
            is_queue_crowded=self._is_queue_crowded(),
            has_foreign_orders=any(self._open_orders.foreign.values()),
            has_unexplained_position=bool(self._orphaned)
            or any(pair.state.halt is Halt.UNEXPLAINED for pair in self._pairs),
            venue_closed=next(closed, ""),
            is_clock_off=bool(self._clock_watch.off),
            naked_s_today=self._naked_today_ns(self._clock.mono_ns()) / 1e9,
            margin_age_s=self._risk.margins.oldest_s(self._clock.mono_ns()),
            is_exposure_known=self._risk.exposure.is_known,
        )

    def _report_changes(self, blocks: Sequence[Refused]) -> None:
        """Report a breaker that lets one entry try, and a naked budget that is spent: once, and again on
        another day."""
        by_block = {refused.block: refused for refused in blocks}
        before, self._blocks = self._blocks, set(by_block)
        if EntryBlock.BREAKER in before - self._blocks and self._risk.breaker.has_tripped:
            self._report(BreakerHalfOpen(failures=self._risk.breaker.failures))
        if EntryBlock.NAKED_BUDGET in self._blocks - before:
            spent = by_block[EntryBlock.NAKED_BUDGET]
            self._report(NakedBudgetSpent(naked_s=round(spent.value, 3), limit_s=spent.limit))

    def _report_restored(self) -> None:
        """Once the venues have confirmed what an earlier process held: how much of it was adopted."""
        restored = [pair for pair in self._pairs if pair.was_restored]
        if self._is_restored_reported or not all(
            leg.is_verified for pair in restored for leg in pair.state.legs
        ):
            return
        self._is_restored_reported = True
        held = [(pair, leg) for pair in restored for leg in (0, 1) if pair.state.legs[leg].held_e8]
        if held:
            positions_e8 = {
                f"{item.venue}:{item.symbol}": pair.state.legs[leg].held_e8
                for pair, leg in held
                for item in (pair.rules.instruments[leg],)
            }
            detail = "both venues confirm them; their exits are monitored"
            self._report(PositionsRestored(count=len(held), positions_e8=positions_e8, detail=detail))

    def _sweep_when_due(self, now_s: float) -> None:
        """Read a venue's open orders and margin once it is up, after each reconnect, and on the timer.

        Now and then what its contracts' prices and sizes must be.
        """
        for venue, gateway in self._gateways.items():
            if gateway.can_ask and now_s - self._grids_read_s[venue] >= READ_S:
                self._grids_read_s[venue] = now_s
                self._tasks.start(self._query_grids(venue))
            if not gateway.is_up:
                self._swept_s[venue] = -inf
            elif now_s - self._swept_s[venue] >= self._configuration.settings.execution.reconcile_interval_s:
                self._swept_s[venue] = now_s
                self._tasks.start(self._open_orders.sweep(venue))
                self._tasks.start(self._risk.margins.read(gateway))
