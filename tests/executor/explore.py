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
from typing import NamedTuple

from executor.state import PairRules
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
    "two partial fills, one lost message": Budget(partials=2, lost_messages=1, delays=2),
    "one partial, one empty, doubled messages": Budget(partials=1, empties=1, doubled_messages=2, delays=1),
    "an order lost on the wire": Budget(lost_on_wire=1, partials=1, delays=3),
    "refusals": Budget(refusals=2, empties=1, delays=1),
    "amounts not told": Budget(uncounted=1, partials=1, empties=1, delays=1),
    "one restart, one partial, one lost reply": Budget(restarts=1, partials=1, lost_messages=1, delays=1),
    "one restart, an order that never left": Budget(restarts=1, unsent=1, empties=1, delays=1),
    "a position closed from outside": Budget(outsiders=1, partials=1, delays=1),
    "an order that comes to life after its time": Budget(too_late=1, partials=1, delays=12, exits=0),
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
) -> Result:
    """Visit every state reachable within ``depth`` moves, ``states_max`` at most."""
    started = time.monotonic()
    first = a_world(budget, rules, direction)
    seen: set[Hashable] = {canonical(first)}
    rested: dict[str, set[Hashable]] = {fate: set() for fate in fates}
    level: list[tuple[World, tuple[Move, ...]]] = [(first, ())]
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
    """What makes a world what it is: not what was only told, nor the order of the mail."""
    return world._replace(state=world.state._replace(view=None), mail=()), frozenset(world.mail)


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
