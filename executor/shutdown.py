"""The orderly end: trades in flight finish, positions go if they are to, no order of ours stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from events.instance import ShutdownStep
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.orders.open_orders import OpenOrders
from executor.pair.messages import EntriesStopped, FlattenRequested
from executor.pair.state import SHUTDOWN, Halt, Plan, has_live_order, is_flat
from executor.pairs import MachineRunner, PairRuntime, Pairs, Report, report_position
from runtime.bootstrap import Stop
from runtime.clock import Clock, mono_s
from settings import RuntimeSettings
from venues.contract import TransportError, VenueError

_POLL_S = 0.01
CANCEL_PATIENCE_S = 3.0  # for our open orders, after the patience with trades is used up


class Shutdown:
    """Ends trading in order."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        runner: MachineRunner,
        prices: Prices,
        gateways: Mapping[str, OrderGateway],
        open_orders: OpenOrders,
        report: Report,
        clock: Clock,
    ) -> None:
        self._pairs = pairs
        self._runner = runner
        self._prices = prices
        self._gateways = gateways
        self._open_orders = open_orders
        self._report = report
        self._clock = clock

    async def run(self, runtime: RuntimeSettings, stop: Stop) -> list[str]:
        """Finish within ``runtime.shutdown_timeout_s``; a further SIGTERM cuts the wait.

        Reports what remains, and returns what is not confirmed: what was given up, and what no venue answered
        about.
        """
        requests = stop.requests
        deadline_s = mono_s(self._clock) + runtime.shutdown_timeout_s

        def is_over() -> bool:
            return mono_s(self._clock) >= deadline_s or stop.requests > requests

        async def wait_for(condition: Callable[[], bool]) -> bool:
            # What is waited for is many things and a signal handler's counter: polling is simplest.
            while not condition() and not is_over():  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
            return condition()

        for pair in self._pairs:
            self._runner.feed(pair, EntriesStopped(self._prices.at(pair), "stopping"))
            if runtime.on_shutdown == "flatten":
                self._runner.feed(pair, FlattenRequested(self._prices.at(pair), SHUTDOWN))
        is_done = _is_flattened if runtime.on_shutdown == "flatten" else _is_settled
        finished = await wait_for(lambda: all(is_done(pair) for pair in self._pairs))
        given_up = [pair.rules.pair for pair in self._pairs if not finished and not is_done(pair)]
        if given_up:
            self._report_step("trades in flight", "given up: see what remains", unconfirmed=tuple(given_up))
        else:
            self._report_step("trades in flight", "finished")
        not_cancelled = await self._cancel_orders()
        unanswered = await self._report_remains()
        return [
            *(f"{pair}: trades in flight" for pair in given_up),
            *(f"{venue}: open orders" for venue in not_cancelled),
            *(f"{venue}: positions" for venue in unanswered),
        ]

    async def _cancel_orders(self) -> list[str]:
        """Cancel what is open of ours; return the venues that did not confirm in time that nothing is."""
        swept = await self._open_orders.cancel_all_ours(CANCEL_PATIENCE_S)
        unconfirmed = {venue: item.open_ids for venue, item in swept.items() if item.open_ids != ()}
        counts = {
            "cancelled": {venue: item.cancelled for venue, item in swept.items()},
            "foreign_orders": sum(item.foreign for item in swept.values()),
        }
        if not unconfirmed:
            self._report_step("open orders", "the venues show none of ours", **counts)
            return []
        shown = "; ".join(
            f"{venue} did not answer" if ids is None else f"{venue} still shows {', '.join(map(str, ids))}"
            for venue, ids in unconfirmed.items()
        )
        detail = f"not confirmed gone within {CANCEL_PATIENCE_S:g} s: {shown}; look there"
        self._report_step("open orders", detail, unconfirmed=tuple(unconfirmed), **counts)
        return list(unconfirmed)

    async def _report_remains(self) -> list[str]:
        """Report what the venues themselves say is left; return those that did not answer."""
        positions: dict[str, int] = {}
        unanswered: list[str] = []
        for venue, gateway in self._gateways.items():
            try:
                async with asyncio.timeout(CANCEL_PATIENCE_S):
                    sizes_e8 = await gateway.query_positions()
            except (TransportError, VenueError, TimeoutError):
                unanswered.append(venue)
                continue
            for pair, leg in self._pairs.legs_on(venue):
                instrument = pair.rules.instruments[leg]
                size_e8 = sizes_e8.get(instrument.instrument_id, 0)
                report_position(self._report, pair, leg, size_e8)
                if size_e8:
                    positions[f"{venue}:{instrument.symbol}"] = size_e8
        self._report(
            ShutdownStep(
                step="positions",
                positions_e8=positions,
                unanswered=tuple(unanswered),
                detail=_summary(positions, unanswered),
            )
        )
        return unanswered

    def _report_step(self, step: str, detail: str, **fields: Any) -> None:
        self._report(ShutdownStep(step=step, detail=detail, **fields))


def _is_settled(pair: PairRuntime) -> bool:
    """Nothing is under way, and nothing will be sent until something happens from outside."""
    return not has_live_order(pair.state) and pair.state.plan is Plan.NONE


def _is_flattened(pair: PairRuntime) -> bool:
    """Flat, reported, and confirmed by the venues; or what is held is not ours to touch."""
    if not _is_settled(pair):
        return False
    if pair.state.halt is Halt.UNEXPLAINED:
        return True
    is_confirmed = all(leg.is_verified for leg in pair.state.legs)
    return is_flat(pair.rules, pair.state) and pair.state.trade is None and is_confirmed


def _summary(positions: dict[str, int], unanswered: list[str]) -> str:
    if unanswered:
        return f"{', '.join(unanswered)} did not say what is held there"
    return "positions remain open" if positions else "flat on every venue"
