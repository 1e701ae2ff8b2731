"""Breadth-first exploration of the pair machine: every interleaving, to a bound.

``python -m tests.executor.explore --depth N`` prints, for each scenario of trouble, how many states
it visited and how long that took, or the shortest sequence of moves that breaks a promise.

From every state the rest of the story
is also told without further trouble, three ways (all later orders fill, find nothing, are refused),
and must come to rest flat, hedged or HALTED, holding what the venues hold.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Hashable
from typing import Any, NamedTuple

from msgspec.structs import replace

from executor.messages import Event, PositionRead, QueryAnswered
from executor.state import Leg, PairRules, Trade
from tests.executor.pair_world import (
    SIZE_E8,
    Budget,
    Move,
    World,
    a_world,
    check_exposure,
    moves,
    play,
    run_out,
)

SCENARIOS: dict[str, Budget] = {
    "acks, updates and executions in any order, one doubled": Budget(
        chatty=True, doubled_messages=1, delays=0, exits=0
    ),
    "two partial fills, one lost message": Budget(partials=2, lost_messages=1, delays=1),
    "a partial and an empty fill, doubled messages": Budget(
        partials=1, empties=1, doubled_messages=1, delays=1
    ),
    "an order lost on the wire": Budget(lost_on_wire=1, partials=1, delays=2, exits=0),
    "refusals": Budget(refusals=2, empties=1, delays=1),
    "amounts not told": Budget(uncounted=1, partials=1, empties=1, delays=1, exits=0),
    "one restart, one partial, one lost reply": Budget(restarts=1, partials=1, lost_messages=1, delays=1),
    "one restart, an order that never left": Budget(restarts=1, unsent=1, empties=1, delays=1),
    "a position closed from outside": Budget(outsiders=1, partials=1, delays=1),
    "an order that comes to life after its time": Budget(too_late=1, empties=1, delays=14, exits=0),
}


class Result(NamedTuple):
    """What an exploration found."""

    states: int
    depth: int  # deepest level that was finished
    seconds: float
    is_complete: bool  # nothing was left to visit
    counter_example: tuple[Move, ...] | None
    broken: str


def explore(
    budget: Budget,
    *,
    depth: int,
    states_max: int,
    rules: PairRules | None = None,
    direction: int = 1,
    fates: tuple[str, ...] = ("fill", "fill_nothing", "refuse"),
    prefix: tuple[Move, ...] = (),
) -> Result:
    """Visit every state reachable within ``depth`` moves, ``states_max`` at most.

    prefix: moves made before the exploration begins, to reach deeper places sooner.
    """
    started = time.monotonic()
    first = a_world(budget, rules, direction)
    for move in prefix:
        first = play(first, move)
    seen: set[Hashable] = {canonical(first)}
    rested: dict[str, set[Hashable]] = {fate: set() for fate in fates}
    level: list[tuple[World, tuple[Move, ...]]] = [(first, prefix)]
    for number in range(depth):
        following: list[tuple[World, tuple[Move, ...]]] = []
        for world, path in level:
            for move in moves(world):
                trail = (*path, move)
                try:
                    after = play(world, move)
                    check_exposure(after, late_e8=SIZE_E8 if budget.too_late else 0)
                    key = canonical(after)
                    if key in seen:
                        continue
                    for fate in fates:
                        _run_out(after, fate, rested[fate])
                except AssertionError as broken:
                    seconds = time.monotonic() - started
                    return Result(len(seen), number, seconds, False, trail, str(broken))
                seen.add(key)
                following.append((after, trail))
                if len(seen) >= states_max:
                    return Result(len(seen), number, time.monotonic() - started, False, None, "")
        level = following
        if not level:
            return Result(len(seen), number, time.monotonic() - started, True, None, "")
    return Result(len(seen), depth, time.monotonic() - started, False, None, "")


def _run_out(world: World, fate: str, rested: set[Hashable]) -> None:
    """Tell the rest of the story, up to a state whose end was seen before."""
    passed: set[Hashable] = set()

    def is_known(now: World) -> bool:
        key = canonical(now)
        if key in rested:
            return True
        passed.add(key)
        return False

    run_out(world, fate, is_known)
    rested |= passed


def canonical(world: World) -> Hashable:
    """What a world's future depends on.

    Left out: what is only told; absolute time (nothing looks back further than ``_LONG_AGO_NS``); the
    order of the mail; and ended orders whose amount is the venue's word, that no message speaks of
    any more: their ids stay used, since ids only grow.
    """
    state, now_mono_ns = world.state, world.now_mono_ns
    spoken_of = {getattr(event, "client_order_id", 0) for event in world.mail}
    known = {order.client_order_id for leg in state.legs for order in leg.live}
    doubtful = {order.client_order_id for leg in state.legs for order in leg.past if not order.is_certain}
    matters = spoken_of | known | doubtful
    return (
        replace(
            state,
            view=None,
            trade=_of_trade(state.trade),
            legs=(
                _of_leg(state.legs[0], matters, now_mono_ns),
                _of_leg(state.legs[1], matters, now_mono_ns),
            ),
            **_ages(state, now_mono_ns),
        ),
        world.positions_e8,
        tuple(
            order._replace(sent_mono_ns=_age(order.sent_mono_ns, now_mono_ns))
            for order in world.orders
            if order.is_on_wire or order.send.client_order_id in matters
        ),
        frozenset(_of_mail(event, now_mono_ns) for event in world.mail),
        world.budget,
    )


_LONG_AGO_NS = -6_000_000_000  # longer than every window of the explored rules


def _age(mono_ns: int, now_mono_ns: int) -> int:
    return max(mono_ns - now_mono_ns, _LONG_AGO_NS) if mono_ns else 1


_TIMES_OF: dict[type, tuple[str, ...]] = {}


def _ages(value: Any, now_mono_ns: int) -> dict[str, Any]:
    kind = type(value)
    names = _TIMES_OF.get(kind)
    if names is None:
        names = _TIMES_OF[kind] = tuple(name for name in kind.__struct_fields__ if name.endswith("_mono_ns"))
    return {name: _age(getattr(value, name), now_mono_ns) for name in names}


def _of_leg(leg: Leg, matters: set[int], now_mono_ns: int) -> Leg:
    return replace(
        leg,
        live=tuple(replace(order, **_ages(order, now_mono_ns)) for order in leg.live),
        past=tuple(
            replace(order, **_ages(order, now_mono_ns))
            for order in leg.past
            if order.client_order_id in matters
        ),
        sequence=0,
        **_ages(leg, now_mono_ns),
    )


def _of_trade(trade: Trade | None) -> Trade | None:
    if trade is None:
        return None
    return replace(
        trade,
        trade_id=0,
        naked_ns=0,
        naked_notional_max_e8=0,
        retries=0,
        opened_mono_ns=0,
        closed_mono_ns=min(trade.closed_mono_ns, 1),
    )


def _of_mail(event: Event, now_mono_ns: int) -> Event:
    if isinstance(event, PositionRead | QueryAnswered):
        return event._replace(asked_mono_ns=_age(event.asked_mono_ns, now_mono_ns))
    return event


def main() -> int:
    """Explore every scenario; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--depth", type=int, default=14, help="moves from a flat, confirmed pair")
    parser.add_argument("--states", type=int, default=100_000, help="states per scenario at most")
    parser.add_argument("--scenario", default="", help="only those whose name contains this")
    arguments = parser.parse_args()
    failures = total = 0
    for name, budget in SCENARIOS.items():
        if arguments.scenario not in name:
            continue
        result = explore(budget, depth=arguments.depth, states_max=arguments.states)
        print(describe(name, result), flush=True)
        total += result.states
        failures += result.counter_example is not None
    print(f"{total} states, {failures} broken promises")
    return 1 if failures else 0


def describe(name: str, result: Result) -> str:
    """One scenario's outcome in words."""
    reach = "everything" if result.is_complete else f"every interleaving of {result.depth} moves"
    text = f"{name}: {result.states} states, {reach}, {result.seconds:.1f} s"
    if result.counter_example is None:
        return text
    steps = "\n".join(
        f"    {number}. {' '.join(map(str, move))}" for number, move in enumerate(result.counter_example, 1)
    )
    return f"{text}\n  BROKEN: {result.broken}\n{steps}"


if __name__ == "__main__":
    raise SystemExit(main())
