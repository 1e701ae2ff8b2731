"""Everything that is due now and then: the heartbeat, gates that come and go, views, sweeps, collection."""

from __future__ import annotations

import asyncio
import gc

from events.positions import NakedBudgetSpent, PositionsRestored
from events.trades import BreakerHalfOpen, Latency
from executor.desk import Desk
from executor.engine import Engine
from executor.operator.grids import READ_S
from executor.operator.hold_limit import HoldLimit
from executor.operator.reconcile import Decisions
from executor.operator.reload import Reloading
from executor.operator.standing_orders import Operator
from executor.orders.fill_queries import FillQueries
from executor.orders.open_orders import OpenOrders
from executor.pair.messages import EntriesAllowed, EntriesStopped
from executor.pair.state import Halt, has_live_order
from executor.risk.clock_watch import ClockWatch
from executor.risk.trading_state import TradingState
from runtime.clock import mono_s
from shm import counter_names
from shm.records import PairPhase

TURN_S = 0.05
PUBLISH_S = 1.0
COLLECT_S = 30.0
LATENCY_S = 60.0


class Housekeeping:
    """One slow loop. ``was_told_to_stop`` is set by the transition that notices a SIGTERM."""

    def __init__(
        self,
        desk: Desk,
        engine: Engine,
        trading_state: TradingState,
        open_orders: OpenOrders,
        decisions: Decisions,
        operator: Operator,
        reloading: Reloading,
        fill_queries: FillQueries,
        hold_limit: HoldLimit,
    ) -> None:
        self.was_told_to_stop = asyncio.Event()
        self._desk = desk
        self._engine = engine
        self._trading_state = trading_state
        self._open_orders = open_orders
        self._grids_read_s = dict.fromkeys(desk.settings.venue_names, 0.0)
        self._swept_s = dict.fromkeys(desk.settings.venue_names, 0.0)
        self._decisions = decisions
        self._operator = operator
        self._reloading = reloading
        self._fill_queries = fill_queries
        self._hold_limit = hold_limit
        self._clock_watch = ClockWatch(desk.gateways, desk.settings.venue_names, desk.reports)
        self._is_restored_told = False
        self._was_naked_budget_spent = self._was_breaker_open = False
        self._published_s = self._collected_s = self._latency_told_s = mono_s(self._desk.clock)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._transition(mono_s(self._desk.clock))
            await asyncio.sleep(TURN_S)

    def tell_latency(self) -> None:
        """How long every stage took since the start, and how many orders were signed beforehand."""
        reports = self._desk.reports
        reports.report(
            Latency(
                stages_us=self._desk.ledger.percentiles_us(),
                template_hits=reports.counted("template_hits_total"),
                template_misses=reports.counted("template_misses_total"),
            )
        )

    def _transition(self, now_s: float) -> None:
        desk = self._desk
        desk.reports.beat()
        desk.reports.set("orders_in_doubt", desk.orders_in_doubt())
        desk.reports.set("ready", int(self._is_ready()))
        if self._trading_state.was_terminated:
            self.was_told_to_stop.set()
        self._trading_state.latch.look()
        desk.results.refresh()
        self._decisions.look()
        self._operator.look()
        self._clock_watch.look()
        self._hold_limit.look()
        held = self._trading_state.held  # before the gates: what they do not follow yet is not acknowledged
        self._follow_gates()
        self._operator.acknowledge(held)
        self._reloading.look()
        self._fill_queries.look(int(now_s * 1e9))
        self._show_limits()
        self._tell_restored()
        self._sweep_when_due(now_s)
        if now_s - self._published_s >= PUBLISH_S:
            self._published_s = now_s
            for pair in desk.pairs:
                self._engine.publish(pair)
        if now_s - self._latency_told_s >= LATENCY_S:
            self._latency_told_s = now_s
            self.tell_latency()
        if now_s - self._collected_s >= COLLECT_S and not self._is_trading():
            self._collected_s = now_s
            gc.collect()

    def _is_ready(self) -> bool:
        return (
            all(gateway.is_up for gateway in self._desk.gateways.values())
            and self._are_margins_known()
            and all(
                pair.state.phase is not PairPhase.UNKNOWN and all(leg.is_verified for leg in pair.state.legs)
                for pair in self._desk.pairs
            )
        )

    def _is_trading(self) -> bool:
        return any(has_live_order(pair.state) for pair in self._desk.pairs)

    def _follow_gates(self) -> None:
        """Tell machines and detector when a reason not to enter comes or goes."""
        common = self._why_no_entries()
        self._desk.reports.set("entries_stopped", _stop_number(common))
        for pair in self._desk.pairs:
            reason = common or self._operator.why_no_entries(pair) or pair.suspended
            if pair.entries_stopped != reason:
                pair.entries_stopped = reason
                at = self._desk.at(pair)
                self._engine.feed(pair, EntriesStopped(at, reason) if reason else EntriesAllowed(at))
                self._engine.publish(pair)

    def _show_limits(self) -> None:
        """What the day's limits and the breaker go by, for those who watch."""
        desk, now_mono_ns = self._desk, self._desk.clock.mono_ns()
        reports = desk.reports
        reports.set("result_today_e8", desk.results.today_e8)
        reports.set("best_today_e8", desk.results.best_e8)
        reports.set("estimated_today", desk.results.estimated)
        reports.set("naked_today_us", desk.naked_today_ns(now_mono_ns) // 1_000)
        breaker = counter_names.BREAKER_CLOSED
        if desk.breaker.has_tripped:
            is_open = desk.breaker.is_open(now_mono_ns)
            breaker = counter_names.BREAKER_OPEN if is_open else counter_names.BREAKER_HALF_OPEN
        reports.set("breaker", breaker)

    def _why_no_entries(self) -> str:
        desk, risk = self._desk, self._desk.settings.risk
        if self._trading_state.latch.is_pulled:
            return "kill latch"
        if self._trading_state.is_stopping:
            return "stopping"
        if self._trading_state.held:
            return "settings change"
        if self._trading_state.is_paused:
            return "paused"
        if self._trading_state.is_lease_lost:
            return "lease lost"
        if self._trading_state.is_journal_full or desk.reports.is_crowded:
            return "journal full"
        if any(self._open_orders.foreign.values()):
            return "open orders of others"
        if desk.strangers or any(pair.state.halt is Halt.UNEXPLAINED for pair in desk.pairs):
            return "unexplained position"
        is_open = desk.breaker.is_open(self._desk.clock.mono_ns())
        if self._was_breaker_open and not is_open and desk.breaker.has_tripped:
            desk.reports.report(BreakerHalfOpen(failures=desk.breaker.failures))
        self._was_breaker_open = is_open
        if is_open:
            return "breaker"
        for venue, gateway in desk.gateways.items():
            if gateway.closed:
                return f"{venue}: {gateway.closed}"
        if self._clock_watch.off:
            return "clock off"
        results = desk.results
        if -results.today_e8 >= risk.max_daily_loss_quote_e8:
            return "daily loss"
        if results.best_e8 - results.today_e8 >= (risk.max_drawdown_quote_e8 or risk.max_daily_loss_quote_e8):
            return "drawdown"
        if self._is_naked_budget_spent():
            return "naked budget"
        if not self._are_margins_known():
            return "margin unknown"
        if not desk.exposure.is_known:
            return "exposure unknown"
        return ""

    def _is_naked_budget_spent(self) -> bool:
        """Whether legs stood alone for too long today; said once, and again on another day."""
        naked_s = self._desk.naked_today_ns(self._desk.clock.mono_ns()) / 1e9
        budget_s = self._desk.settings.risk.naked_budget_s_per_day
        is_spent = naked_s >= budget_s
        if is_spent and not self._was_naked_budget_spent:
            self._desk.reports.report(NakedBudgetSpent(naked_s=round(naked_s, 3), limit_s=budget_s))
        self._was_naked_budget_spent = is_spent
        return is_spent

    def _are_margins_known(self) -> bool:
        age_ns_max = int(self._desk.settings.risk.max_margin_age_s * 1e9)
        return self._desk.margins.are_known(self._desk.clock.mono_ns(), age_ns_max)

    def _tell_restored(self) -> None:
        """Once the venues have confirmed what an earlier life held: how much of it was adopted."""
        restored = [pair for pair in self._desk.pairs if pair.was_restored]
        if self._is_restored_told or not all(leg.is_verified for pair in restored for leg in pair.state.legs):
            return
        self._is_restored_told = True
        held = [(pair, leg) for pair in restored for leg in (0, 1) if pair.state.legs[leg].held_e8]
        if held:
            positions_e8 = {
                f"{item.venue}:{item.symbol}": pair.state.legs[leg].held_e8
                for pair, leg in held
                for item in (pair.rules.instruments[leg],)
            }
            detail = "both venues confirm them; their exits are monitored"
            self._desk.reports.report(
                PositionsRestored(count=len(held), positions_e8=positions_e8, detail=detail)
            )

    def _sweep_when_due(self, now_s: float) -> None:
        """Look at a venue's open orders and margin once it is up, after each reconnect, and on the timer; at
        what its contracts' prices and sizes must be now and then."""
        for venue, gateway in self._desk.gateways.items():
            if gateway.can_ask and now_s - self._grids_read_s[venue] >= READ_S:
                self._grids_read_s[venue] = now_s
                self._desk.start(self._engine.grids.read(venue))
            if not gateway.is_up:
                self._swept_s[venue] = 0.0
            elif now_s - self._swept_s[venue] >= self._desk.settings.execution.reconcile_interval_s:
                self._swept_s[venue] = now_s
                self._desk.start(self._open_orders.sweep(venue))
                self._desk.start(self._desk.margins.read(gateway))


def _stop_number(reason: str) -> int:
    """A reason's place in ``ENTRY_STOPS``; "<venue>: <its own word>" is a venue that is closed."""
    known = "venue closed" if ": " in reason else reason
    # Only shown: a reason that has no place there must not end who looks after positions.
    return counter_names.ENTRY_STOPS.index(known if known in counter_names.ENTRY_STOPS else "another reason")
