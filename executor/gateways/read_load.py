"""What our repeated questions cost a venue in a minute, beside what it lets be asked.

A venue answers what is beyond its budget with 429, orders over HTTP included. The questions come at the
settings' intervals, so the sum is known before anything is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

from executor.gateways import funding
from executor.gateways.http_pool import PING_INTERVAL_S
from executor.gateways.live import CLOCK_LOOK_S, FALLBACK_CONNECTIONS, STATUS_LOOK_S
from executor.operator import grids
from executor.pair.config import naked_bound_ms
from settings import Settings
from venues.contract import ReadBudget
from venues.registry import venue

_MINUTE_S = 60.0


class ReadLoad(NamedTuple):
    """One venue's sum. ``doubt``: of one order a minute that is asked for until its fate is known."""

    venue: str
    swept: float  # at execution.reconcile_interval_s
    doubt: float  # at execution.query_interval_ms
    fixed: float  # at intervals of our own
    per_minute: int
    interval_s_least: float  # with which the budget suffices; 0.0 where none does

    @property
    def total(self) -> float:
        return self.swept + self.doubt + self.fixed

    @property
    def found(self) -> str:
        """The sum in words."""
        return (
            f"{self.venue}: repeated questions weigh {self.total:.0f} of {self.per_minute} a minute "
            f"({self.swept:.0f} every reconcile_interval_s, {self.doubt:.0f} for an order in doubt, "
            f"{self.fixed:.0f} whatever the settings)"
        )

    @property
    def remedy(self) -> str:
        """What to set; empty where the budget suffices."""
        if self.total <= self.per_minute:
            return ""
        if not self.interval_s_least:
            return "a longer execution.query_interval_ms: questions about one order in doubt use it up"
        return (
            f"execution.reconcile_interval_s of {self.interval_s_least:g} or more: it refuses with 429 beyond"
        )


def read_loads(settings: Settings) -> Iterator[ReadLoad]:
    """The sum for each venue that publishes a budget; in paper nobody is asked about an account."""
    if settings.mode == "paper":
        return
    for name in settings.venue_names:
        budget = venue(name).read_budget
        if budget is not None:
            yield _load(settings, name, budget)


def _load(settings: Settings, name: str, budget: ReadBudget) -> ReadLoad:
    interval_s = settings.execution.reconcile_interval_s
    assert interval_s > 0, "settings promise that time passes between two sweeps"
    assert budget.per_minute > 0, "a budget lets something be asked"
    pairs = sum(any(leg.venue == name for leg in pair.legs) for pair in settings.pairs)
    # Margin is account and positions; every pair reads the positions of its venues for itself.
    swept_once = budget.open_orders + budget.account + (1 + pairs) * budget.positions
    questions = ceil(naked_bound_ms(settings) / settings.execution.query_interval_ms)
    doubt = questions * (budget.order + budget.positions)
    fixed = (
        budget.instruments * _MINUTE_S / grids.READ_S
        + budget.funding * _MINUTE_S / funding.INTERVAL_S
        + budget.status * _MINUTE_S / STATUS_LOOK_S
        + budget.server_time * _MINUTE_S / CLOCK_LOOK_S
        + budget.warm * FALLBACK_CONNECTIONS * _MINUTE_S / PING_INTERVAL_S
        + budget.renewals_per_minute
    )
    left = budget.per_minute - doubt - fixed
    return ReadLoad(
        venue=name,
        swept=swept_once * _MINUTE_S / interval_s,
        doubt=doubt,
        fixed=fixed,
        per_minute=budget.per_minute,
        interval_s_least=ceil(10 * swept_once * _MINUTE_S / left) / 10 if left > 0 else 0.0,
    )
