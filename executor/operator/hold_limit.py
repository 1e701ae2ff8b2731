"""Closes what has been held for ``max_hold_s`` where the detector cannot ask for it: a leg has no price.

The detector decides on quotes, so a leg whose feed is silent or unreadable has no exit of its own. Then the
venue itself is asked for its touch; where it does not answer, the last price that was known serves. The
orders are limits as ever, and whatever does not fill is tried again like any leg that must go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from events.positions import HoldExceeded
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.pair.messages import At, FlattenRequested, OperatorResumed
from executor.pair.pricing import LegMarket
from executor.pair.state import Halt, Plan, has_live_order, is_flat
from executor.pairs import MachineRunner, PairRuntime, Pairs, Report
from runtime.background import BackgroundTasks
from runtime.clock import Clock
from shm.records import PairPhase
from venues.contract import Instrument, TransportError, VenueError

MAX_HOLD: Final = "max_hold_s"
# The detector goes first where it sees both legs.
SPARE_NS: Final = 1_000_000_000
_QUERY_S: Final = 2.0


class HoldLimit:
    """Polled several times a second, pair by pair."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        runner: MachineRunner,
        prices: Prices,
        gateways: Mapping[str, OrderGateway],
        tasks: BackgroundTasks,
        report: Report,
        clock: Clock,
    ) -> None:
        self._pairs = pairs
        self._runner = runner
        self._prices = prices
        self._gateways = gateways
        self._tasks = tasks
        self._report = report
        self._clock = clock
        self._querying: set[int] = set()  # pairs whose touches are being queried

    def poll(self) -> None:
        """Close what is due, and free what was closed for it."""
        for pair in self._pairs:
            state = pair.state
            if state.flatten == MAX_HOLD:
                if is_flat(pair.rules, state) and state.halt is Halt.NONE and not has_live_order(state):
                    self._runner.feed(pair, OperatorResumed(self._prices.at(pair)))
            elif pair.rules.pair_id not in self._querying and self._is_due(pair):
                self._querying.add(pair.rules.pair_id)
                self._tasks.start(self._close(pair))

    def _is_due(self, pair: PairRuntime) -> bool:
        state = pair.state
        if pair.view is None or pair.view.phase != PairPhase.HEDGED:
            return False
        if state.plan is not Plan.NONE or state.flatten or state.halt is not Halt.NONE:
            return False
        if self._held_ns(pair) < _limit_ns(pair) + SPARE_NS:
            return False
        # Of a venue that is away nothing can be closed; what is due stays due until it is back.
        if not all(self._gateways[item.venue].can_send for item in pair.rules.instruments):
            return False
        return not all(market.is_valid for market in self._prices.at(pair, with_depth=False).markets)

    async def _close(self, pair: PairRuntime) -> None:
        first, second = [await self._market(pair, leg) for leg in (0, 1)]
        assert pair.rules.pair_id in self._querying, "one query a pair"
        self._querying.discard(pair.rules.pair_id)
        if not self._is_due(pair):
            return  # the leg has a price again, or somebody else closes it
        self._report(
            HoldExceeded(
                pair=pair.rules.pair,
                held_s=round(self._held_ns(pair) / 1e9, 3),
                limit_s=_limit_ns(pair) / 1e9,
                priced_by={
                    f"{item.venue}:{item.symbol}": source
                    for item, (_, source) in zip(pair.rules.instruments, (first, second), strict=True)
                },
            )
        )
        at = At(self._clock.mono_ns(), (first[0], second[0]))
        self._runner.feed(pair, FlattenRequested(at, MAX_HOLD))

    async def _market(self, pair: PairRuntime, leg: int) -> tuple[LegMarket, str]:
        """What a leg can be closed at, and who says so."""
        instrument = pair.rules.instruments[leg]
        market = self._prices.at(pair, with_depth=False).markets[leg]
        if market.is_valid:
            return market, "feed"
        try:
            async with asyncio.timeout(_QUERY_S):
                touch = await self._gateways[instrument.venue].query_touch(instrument)
            if 0 < touch.bid_e8 <= touch.ask_e8:
                return LegMarket(True, touch.bid_e8, touch.ask_e8), "asked"
        except (TransportError, VenueError, TimeoutError):
            pass  # the last known price is what is left, and the line says so
        return self._last_known(instrument), "last known"

    def _last_known(self, instrument: Instrument) -> LegMarket:
        quote = self._prices.quote(instrument.instrument_id)
        if quote is None or not 0 < quote.bid_e8 <= quote.ask_e8:
            return LegMarket(False)  # the machine remembers an older one
        return LegMarket(True, quote.bid_e8, quote.ask_e8)

    def _held_ns(self, pair: PairRuntime) -> int:
        assert pair.view is not None
        return self._clock.mono_ns() - pair.view.opened_mono_ns


def _limit_ns(pair: PairRuntime) -> int:
    return int(pair.strategy.max_hold_s * 1e9)
