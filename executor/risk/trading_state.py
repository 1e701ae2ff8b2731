"""Whether anything may be opened at all: the reasons that stop entries everywhere, each asked in one place.

``look`` takes in a few times a second what changes slowly. What can change between two looks is read anew
whenever somebody asks: the kill switch, a stop, a pause, the breaker, the day's result.
"""

from __future__ import annotations

from typing import NamedTuple

from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import Results
from executor.risk.pre_trade import Refused
from runtime.bootstrap import Stop
from runtime.kill_switch import KillSwitch
from runtime.operator_orders import StandingOrders
from settings import RiskSettings
from shm.counters import CounterTable
from shm.entry_block import EntryBlock
from venues.contract import E8


class Conditions(NamedTuple):
    """What changes slowly, as it was found at the last look."""

    is_queue_crowded: bool = False  # the next events might not fit the queue to persistence
    has_foreign_orders: bool = False
    has_unexplained_position: bool = False
    venue_closed: str = ""  # "<venue>: <its own status>"
    is_clock_off: bool = False
    naked_s_today: float = 0.0
    margin_age_s: float = -1.0  # of the oldest one; below 0 until every venue has reported one
    is_exposure_known: bool = True


class TradingState:
    """Control flags of the supervisor, persistence and the operator, and the limits of the day."""

    def __init__(
        self,
        *,
        supervisor: CounterTable,
        persistence: CounterTable,
        latch: KillSwitch,
        orders: StandingOrders,
        stop: Stop,
        breaker: Breaker,
        results: Results,
        risk: RiskSettings,
    ) -> None:
        self.latch = latch
        self.orders = orders
        self._supervisor = supervisor
        self._persistence = persistence
        self._stop = stop
        self._breaker = breaker
        self._results = results
        self._conditions = Conditions()
        self._stopping_place = supervisor.index("stopping")
        self._paused_place = supervisor.index("entries_paused")
        self._held_place = supervisor.index("entries_held")
        self._journal_full_place = persistence.index("journal_full")
        self._lease_lost_place = persistence.index("lease_lost")
        self.limit(risk)

    def limit(self, risk: RiskSettings) -> None:
        """Go by these limits from now on."""
        self._breaker.limit(risk)
        self._failures_max = risk.max_consecutive_failures
        self._daily_loss_e8 = risk.max_daily_loss_quote_e8
        self._drawdown_e8 = risk.drawdown_limit_e8
        self._margin_age_s_max = risk.max_margin_age_s
        self._naked_budget_s = risk.naked_budget_s_per_day

    @property
    def was_terminated(self) -> bool:
        """We ourselves are to end now."""
        return self._stop.is_set()

    @property
    def held(self) -> int:
        """Above 0 while settings change."""
        return self._supervisor.get(self._held_place)

    @property
    def are_margins_known(self) -> bool:
        """Whether every venue had reported its margin lately at the last look."""
        return 0 <= self._conditions.margin_age_s <= self._margin_age_s_max

    def look(self, conditions: Conditions, now_mono_ns: int) -> list[Refused]:
        """Take in what changes slowly; every reason that holds now."""
        self.latch.look()
        self._conditions = conditions
        return self.refusals(now_mono_ns)

    def refusals(self, now_mono_ns: int) -> list[Refused]:
        """Every reason why nothing may be opened anywhere, in the order of ``TRADING_STATE``.

        Asked before every entry's bytes, where nearly always none holds: then asking for the first would
        cost as much.
        """
        found: list[Refused] = []
        supervisor, persistence, slow = self._supervisor, self._persistence, self._conditions
        breaker, results = self._breaker, self._results
        if self.latch.is_engaged:
            found.append(Refused(EntryBlock.KILL_LATCH, 1, 0))
        if self._stop.is_set() or supervisor.get(self._stopping_place):
            found.append(Refused(EntryBlock.STOPPING, 1, 0))
        if supervisor.get(self._held_place):
            found.append(Refused(EntryBlock.SETTINGS_CHANGE, 1, 0))
        # The very next entry sees the counter; the files outlive it.
        if supervisor.get(self._paused_place) or self.orders.is_paused:
            found.append(Refused(EntryBlock.PAUSED, 1, 0))
        if persistence.get(self._lease_lost_place):
            found.append(Refused(EntryBlock.LEASE_LOST, 1, 0))
        if slow.is_queue_crowded or persistence.get(self._journal_full_place):
            found.append(Refused(EntryBlock.JOURNAL_FULL, 1, 0))
        if slow.has_foreign_orders:
            found.append(Refused(EntryBlock.FOREIGN_ORDERS, 1, 0))
        if slow.has_unexplained_position:
            found.append(Refused(EntryBlock.UNEXPLAINED, 1, 0))
        if breaker.has_tripped and breaker.is_open(now_mono_ns):
            found.append(Refused(EntryBlock.BREAKER, breaker.failures, self._failures_max))
        if slow.venue_closed:
            found.append(Refused(EntryBlock.VENUE_CLOSED, 1, 0, slow.venue_closed))
        if slow.is_clock_off:
            found.append(Refused(EntryBlock.CLOCK_OFF, 1, 0))
        result_e8 = results.today_e8
        if -result_e8 >= self._daily_loss_e8:
            found.append(Refused(EntryBlock.DAILY_LOSS, -result_e8 / E8, self._daily_loss_e8 / E8))
        if (fall_e8 := results.best_e8 - result_e8) >= self._drawdown_e8:
            found.append(Refused(EntryBlock.DRAWDOWN, fall_e8 / E8, self._drawdown_e8 / E8))
        if slow.naked_s_today >= self._naked_budget_s:
            found.append(Refused(EntryBlock.NAKED_BUDGET, slow.naked_s_today, self._naked_budget_s))
        if not self.are_margins_known:
            found.append(Refused(EntryBlock.MARGIN_UNKNOWN, slow.margin_age_s, self._margin_age_s_max))
        if not slow.is_exposure_known:
            found.append(Refused(EntryBlock.EXPOSURE_UNKNOWN, 0, 1))
        return found

    def close(self) -> None:
        """Let go of the memory."""
        self.latch.close()
        self._supervisor.close()
        self._persistence.close()
