"""The orderly end: trades in flight finish, positions go if they are to, no order of ours stays open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from events.instance import ShutdownStep
from executor.desk import Desk, Pair
from executor.engine import Engine
from executor.orders.open_orders import OpenOrders
from executor.pair.messages import EntriesStopped, FlattenRequested
from executor.pair.state import SHUTDOWN, Halt, Plan, has_live_order, is_flat
from runtime.bootstrap import Stop
from runtime.clock import mono_s
from settings import RuntimeSettings
from venues.contract import TransportError, VenueError

_LOOK_S = 0.01
CANCEL_PATIENCE_S = 3.0  # for our open orders, after the patience with trades is used up


async def shut_down(
    desk: Desk, engine: Engine, open_orders: OpenOrders, runtime: RuntimeSettings, stop: Stop
) -> list[str]:
    """Finish within ``runtime.shutdown_timeout_s``; a further SIGTERM cuts the wait. Reports what remains,
    and returns what is not confirmed: what was given up, and of which venues what was not answered."""
    requests = stop.requests
    deadline_s = mono_s(desk.clock) + runtime.shutdown_timeout_s

    async def wait_for(condition: Callable[[], bool]) -> bool:
        # What is waited for is many things and a signal handler's counter: looking is simplest.
        while not condition() and mono_s(desk.clock) < deadline_s and stop.requests <= requests:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        return condition()

    for pair in desk.pairs:
        engine.feed(pair, EntriesStopped(desk.at(pair), "stopping"))
        if runtime.on_shutdown == "flatten":
            engine.feed(pair, FlattenRequested(desk.at(pair), SHUTDOWN))
    is_done = _is_flattened if runtime.on_shutdown == "flatten" else _is_settled
    finished = await wait_for(lambda: all(is_done(pair) for pair in desk.pairs))
    given_up = [pair.rules.pair for pair in desk.pairs if not finished and not is_done(pair)]
    if given_up:
        _report(desk, "trades in flight", "given up: see what remains", unconfirmed=tuple(given_up))
    else:
        _report(desk, "trades in flight", "finished")
    not_cancelled = await _cancel_orders(desk, open_orders)
    unanswered = await _tell_remains(desk)
    return [
        *(f"{pair}: trades in flight" for pair in given_up),
        *(f"{venue}: open orders" for venue in not_cancelled),
        *(f"{venue}: positions" for venue in unanswered),
    ]


async def _cancel_orders(desk: Desk, open_orders: OpenOrders) -> list[str]:
    """Cancel what is open of ours; return the venues that did not confirm in time that nothing is."""
    swept = await open_orders.cancel_all_ours(CANCEL_PATIENCE_S)
    unconfirmed = {venue: item.open_ids for venue, item in swept.items() if item.open_ids != ()}
    counts = {
        "cancelled": {venue: item.cancelled for venue, item in swept.items()},
        "foreign_orders": sum(item.foreign for item in swept.values()),
    }
    if not unconfirmed:
        _report(desk, "open orders", "the venues show none of ours", **counts)
        return []
    shown = "; ".join(
        f"{venue} did not answer" if ids is None else f"{venue} still shows {', '.join(map(str, ids))}"
        for venue, ids in unconfirmed.items()
    )
    detail = f"not confirmed gone within {CANCEL_PATIENCE_S:g} s: {shown}; look there"
    _report(desk, "open orders", detail, unconfirmed=tuple(unconfirmed), **counts)
    return list(unconfirmed)


def _is_settled(pair: Pair) -> bool:
    """Nothing is under way, and nothing will be sent until something happens from outside."""
    return not has_live_order(pair.state) and pair.state.plan is Plan.NONE


def _is_flattened(pair: Pair) -> bool:
    """Flat, told, and confirmed by the venues; or what is held is not ours to touch."""
    if not _is_settled(pair):
        return False
    if pair.state.halt is Halt.UNEXPLAINED:
        return True
    is_confirmed = all(leg.is_verified for leg in pair.state.legs)
    return is_flat(pair.rules, pair.state) and pair.state.trade is None and is_confirmed


async def _tell_remains(desk: Desk) -> list[str]:
    """Report what the venues themselves say is left; return those that did not say."""
    positions: dict[str, int] = {}
    unanswered: list[str] = []
    for venue, gateway in desk.gateways.items():
        try:
            async with asyncio.timeout(CANCEL_PATIENCE_S):
                sizes_e8 = await gateway.query_positions()
        except (TransportError, VenueError, TimeoutError):
            unanswered.append(venue)
            continue
        for pair, leg in desk.legs_on(venue):
            instrument = pair.rules.instruments[leg]
            size_e8 = sizes_e8.get(instrument.instrument_id, 0)
            desk.tell_position(pair, leg, size_e8)
            if size_e8:
                positions[f"{venue}:{instrument.symbol}"] = size_e8
    desk.reports.report(
        ShutdownStep(
            step="positions",
            positions_e8=positions,
            unanswered=tuple(unanswered),
            detail=_summary(positions, unanswered),
        )
    )
    return unanswered


def _summary(positions: dict[str, int], unanswered: list[str]) -> str:
    if unanswered:
        return f"{', '.join(unanswered)} did not say what is held there"
    return "positions remain open" if positions else "flat on every venue"


def _report(desk: Desk, step: str, detail: str, **fields: Any) -> None:
    desk.reports.report(ShutdownStep(step=step, detail=detail, **fields))
