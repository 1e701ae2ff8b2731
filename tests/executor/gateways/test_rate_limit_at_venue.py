"""The budget against a venue that enforces its limit, over real sockets."""

from __future__ import annotations

import time

from executor.gateways.contract import Urgency
from executor.gateways.rate_limit import RateBudget
from simulator.paradex import ParadexFront, ParadexSettings
from simulator.paradex.settings import RateLimits
from tests.venues.account import a_venue_harness, is_ack, only
from tests.venues.paradex.venue_case import VENUE_CASE
from venues.contract import OrderAck, Outcome, RateLimit
from venues.paradex import ParadexTrading

CALLS, WINDOW_S = 20, 3_600  # so slow a refill that none comes back during the test


async def test_the_reserve_the_budget_keeps_is_there_at_the_venue() -> None:
    """Entries end where the reserve begins; every hedge of the reserve is taken, the next one is not."""
    limits = RateLimits(orders=((CALLS, WINDOW_S),))
    budget = RateBudget((RateLimit(CALLS, WINDOW_S * 1_000),))
    settings = ParadexSettings(rate_limits=limits)
    async with a_venue_harness(
        VENUE_CASE, make_front=lambda exchange: ParadexFront(exchange, settings)
    ) as harness:

        async def place() -> OrderAck:
            budget.spend(time.monotonic_ns())
            await harness.place(harness.order(price=60_100))
            return only(OrderAck, await harness.until(is_ack))[-1]

        opened: list[Outcome] = []
        while budget.has_room(Urgency.OPEN, time.monotonic_ns()):
            opened.append((await place()).outcome)
        assert opened == [Outcome.ACCEPTED] * 15

        hedged = [(await place()).outcome for _ in range(CALLS - len(opened))]
        assert hedged == [Outcome.ACCEPTED] * 5

        refused = await place()
        assert (refused.outcome, refused.code) == (Outcome.REFUSED, "42901")
        assert refused.retry_after_ms is not None
        assert budget.has_room(Urgency.HEDGE, time.monotonic_ns())


def test_paradex_limits_are_the_published_ones() -> None:
    """And the ones the simulated venue enforces."""
    assert tuple((item.calls, item.window_ms // 1_000) for item in ParadexTrading.order_limits) == (
        RateLimits().orders
    )
