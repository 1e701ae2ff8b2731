"""Closes what has been held for ``max_hold_s`` where the detector cannot ask for it: a leg has no price.

The detector decides on quotes, so a leg whose feed is silent or unreadable has no exit of its own. Then the
venue itself is asked for its touch; where it does not answer, the last price that was known serves. The
orders are limits as ever, and whatever does not fill is tried again like any leg that must go.
"""

from __future__ import annotations

import asyncio
from typing import Final

from events.positions import HoldExceeded
from executor.desk import Desk, Pair
from executor.engine import Engine
from executor.pair.messages import At, FlattenRequested, OperatorResumed
from executor.pair.pricing import LegMarket
from executor.pair.state import Halt, Plan, has_live_order, is_flat
from shm.records import PairPhase
from venues.contract import Instrument, TransportError, VenueError

MAX_HOLD: Final = "max_hold_s"
# The detector goes first where it sees both legs.
SPARE_NS: Final = 1_000_000_000
_ASK_S: Final = 2.0


class HoldLimit:
    """Looked at several times a second, pair by pair."""

    def __init__(self, desk: Desk, engine: Engine) -> None:
        self._desk = desk
        self._engine = engine
        self._asking: set[int] = set()  # pairs whose touches are being asked for

    def look(self) -> None:
        for pair in self._desk.pairs:
            state = pair.state
            if state.flatten == MAX_HOLD:
                if is_flat(pair.rules, state) and state.halt is Halt.NONE and not has_live_order(state):
                    self._engine.feed(pair, OperatorResumed(self._desk.at(pair)))
            elif pair.rules.pair_id not in self._asking and self._is_due(pair):
                self._asking.add(pair.rules.pair_id)
                self._desk.start(self._close(pair))

    def _is_due(self, pair: Pair) -> bool:
        state, desk = pair.state, self._desk
        if pair.view is None or pair.view.phase != PairPhase.HEDGED:
            return False
        if state.plan is not Plan.NONE or state.flatten or state.halt is not Halt.NONE:
            return False
        if self._held_ns(pair) < self._limit_ns(pair) + SPARE_NS:
            return False
        # Of a venue that is away nothing can be closed; what is due stays due until it is back.
        if not all(desk.gateways[item.venue].can_send for item in pair.rules.instruments):
            return False
        return not all(market.is_valid for market in desk.at(pair, with_depth=False).markets)

    async def _close(self, pair: Pair) -> None:
        first, second = [await self._market(pair, leg) for leg in (0, 1)]
        self._asking.discard(pair.rules.pair_id)
        if not self._is_due(pair):
            return  # the leg was heard again, or somebody else closes it
        self._desk.reports.report(
            HoldExceeded(
                pair=pair.rules.pair,
                held_s=round(self._held_ns(pair) / 1e9, 3),
                limit_s=self._limit_ns(pair) / 1e9,
                priced_by={
                    f"{item.venue}:{item.symbol}": source
                    for item, (_, source) in zip(pair.rules.instruments, (first, second), strict=True)
                },
            )
        )
        at = At(self._desk.clock.mono_ns(), (first[0], second[0]))
        self._engine.feed(pair, FlattenRequested(at, MAX_HOLD))

    async def _market(self, pair: Pair, leg: int) -> tuple[LegMarket, str]:
        """What a leg can be closed at, and who says so."""
        instrument = pair.rules.instruments[leg]
        market = self._desk.at(pair, with_depth=False).markets[leg]
        if market.is_valid:
            return market, "feed"
        try:
            async with asyncio.timeout(_ASK_S):
                touch = await self._desk.gateways[instrument.venue].query_touch(instrument)
            if 0 < touch.bid_e8 <= touch.ask_e8:
                return LegMarket(True, touch.bid_e8, touch.ask_e8), "asked"
        except (TransportError, VenueError, TimeoutError):
            pass  # the last known price is what is left, and the line says so
        return self._last_known(instrument), "last known"

    def _last_known(self, instrument: Instrument) -> LegMarket:
        quote = self._desk.prices.quote(instrument.instrument_id)
        if quote is None or not 0 < quote.bid_e8 <= quote.ask_e8:
            return LegMarket(False)  # the machine remembers an older one
        return LegMarket(True, quote.bid_e8, quote.ask_e8)

    def _held_ns(self, pair: Pair) -> int:
        assert pair.view is not None
        return self._desk.clock.mono_ns() - pair.view.opened_mono_ns

    def _limit_ns(self, pair: Pair) -> int:
        settings = self._desk.settings.pairs[pair.rules.pair_id].strategy
        return int(settings.max_hold_s * 1e9)
