"""Breadth-first exploration of the pair machine: every interleaving, to a bound.

``python -m verification.explore`` prints, for each scenario of trouble, how many states it visited
and how long that took, or the shortest sequence of moves that breaks a promise.

A scenario whose every state was visited is finished: there is no other interleaving of its trouble. Then
every state must also have a way to rest, flat, hedged or HALTED, believing what the venues hold. Where
only a part is visited, the rest of the story can be told from every state without further trouble, three
ways (all later orders fill, find nothing, are refused).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple

from msgspec.structs import replace

from executor.pair.messages import Event, GridRead, PositionRead, QueryAnswered
from executor.pair.order import Order
from executor.pair.rules import PairRules
from executor.pair.state import Leg, LegLedger, Trade
from shm.records import PairPhase
from tests.executor.pair.model import (
    LOT_E8,
    SIZE_E8,
    Budget,
    Move,
    System,
    a_system,
    check_exposure,
    check_rest,
    is_quiet,
    knows_truth,
    moves,
    phase_steps_taken,
    play,
    run_out,
)

# Small enough to be visited to the last state, in the test suite. Time passes only when nothing is on
# its way, unless ``delays`` allows for more: what comes later than a timeout is the larger scenarios' matter.
SCENARIOS: dict[str, Budget] = {
    "a partial fill, a restart": Budget(partials=1, restarts=1, delays=0, exits=0),
    "a partial fill, a lost message": Budget(partials=1, lost_messages=1, delays=0, exits=0),
    "acks, updates and executions in any order, one doubled": Budget(
        chatty=True, doubled_messages=1, delays=0, exits=0
    ),
    "an empty fill, and an exit": Budget(empties=1, delays=0),
    "two refusals, and an exit": Budget(refusals=2, delays=0),
    "an order that is called refused and executes all the same, before or after": Budget(
        false_refusals=1, delays=0, exits=0
    ),
    "an answer that names an order of before, and the order lost": Budget(
        crossed=1, lost_on_wire=1, delays=0
    ),
    "an order rejected for its grid": Budget(grid_refusals=1, entries=2, delays=1, exits=0),
    "amounts not told": Budget(uncounted=1, partials=1, empties=1, delays=0, exits=0),
    "an order lost on the wire, a partial fill": Budget(lost_on_wire=1, partials=1, delays=0, exits=0),
    "an order that stays open until it fills or is cancelled": Budget(rests=1, empties=1, delays=0, exits=0),
    "an order that stays open until it is cancelled, a lost message": Budget(
        rests=1, is_stuck=True, lost_messages=1, delays=0, exits=0
    ),
    "an order that never left": Budget(unsent=1, empties=1, delays=0),
    "entries asked for at any moment": Budget(rash=True, entries=2, empties=1, delays=0, exits=0),
    "a private stream breaks": Budget(disconnects=1, delays=0, exits=0),
    "a position closed from outside, wholly or in part": Budget(outsiders=1, partials=1, delays=0, exits=0),
    "somebody else trades on our account": Budget(strangers=1, partials=1, delays=0, exits=0),
}
# Where time may pass at any moment, and trouble comes in company: ``make explore``, not the suite.
LARGER: dict[str, Budget] = {
    "an order that stays open, a late answer": Budget(rests=1, delays=1, exits=0),
    "an order lost on the wire, a partial fill, an exit": Budget(lost_on_wire=1, partials=1, delays=0),
    "an order that is called refused and executes, wholly or in part": Budget(
        false_refusals=1, partials=1, delays=0, exits=0
    ),
    "an order that is called refused and executes, a restart, an exit": Budget(
        false_refusals=1, restarts=1, delays=0
    ),
    "an order that is called refused and executes, an empty fill, a late answer": Budget(
        false_refusals=1, empties=1, delays=1, exits=0
    ),
    "a position closed from outside, a partial fill, an exit": Budget(outsiders=1, partials=1, delays=0),
    "an order lost on the wire, a partial fill, a late answer": Budget(
        lost_on_wire=1, partials=1, delays=1, exits=0
    ),
    "two partial fills, one restart, one lost message, an exit": Budget(
        partials=2, restarts=1, lost_messages=1, delays=0
    ),
    "a partial fill, a lost message, one doubled, two late": Budget(
        partials=1, lost_messages=1, doubled_messages=1, delays=2, exits=0
    ),
    "a restart, an order that never left, an empty fill, an exit": Budget(
        restarts=1, unsent=1, empties=1, delays=0
    ),
    "an open order, a partial fill, a restart": Budget(rests=1, partials=1, restarts=1, delays=1, exits=0),
    "a private stream breaks, an empty fill, one message late": Budget(
        disconnects=1, empties=1, delays=1, exits=0
    ),
    "refusals, and an exit, two messages late": Budget(refusals=2, empties=1, delays=2),
    "an order that comes to life after its time": Budget(too_late=1, empties=1, delays=14, exits=0),
    "a position closed from outside, a lost message, an exit": Budget(
        outsiders=1, partials=1, lost_messages=1, delays=1
    ),
    "acks, updates and executions in any order, a partial fill, two doubled": Budget(
        chatty=True, partials=1, doubled_messages=2, delays=0, exits=0
    ),
}


class Result(NamedTuple):
    """What an exploration found."""

    states: int
    steps: int  # moves taken, each from a state of its own
    depth: int  # deepest level that was finished
    seconds: float
    is_complete: bool  # nothing was left to visit
    counter_example: tuple[Move, ...] | None
    broken: str
    phase_steps: frozenset[tuple[PairPhase, PairPhase]]  # changes of the phase that were seen


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
    phase_steps_taken.clear()
    first = a_system(budget, rules, direction)
    for move in prefix:
        first = play(first, move)
    graph = _Graph(canonical(first), prefix)
    if is_quiet(first):
        graph.ends.append(0)
    rested: dict[str, set[Hashable]] = {fate: set() for fate in fates}
    # What others do, and orders written off that live after all, show when positions are read next.
    is_told_all = not (budget.outsiders or budget.strangers or budget.too_late)
    late_e8 = SIZE_E8 * bool(budget.too_late) + LOT_E8 * budget.strangers
    level = [(0, first)]

    def result(finished: int, trail: tuple[Move, ...] | None = None, broken: str = "") -> Result:
        seconds = time.monotonic() - started
        is_complete = not level and trail is None
        steps = frozenset(phase_steps_taken)
        return Result(len(graph.seen), graph.steps, finished, seconds, is_complete, trail, broken, steps)

    for number in range(depth):
        following: list[tuple[int, System]] = []
        for origin, system in level:
            for move in moves(system):
                try:
                    after = play(system, move)
                    check_exposure(after, late_e8=late_e8)
                    reached, is_new = graph.reach(origin, move, canonical(after))
                    if not is_new:
                        continue
                    if is_quiet(after) and (is_told_all or knows_truth(after)):
                        check_rest(after)
                        graph.ends.append(reached)
                    for fate in fates:
                        _run_out(after, fate, rested[fate])
                except AssertionError as broken:
                    return result(number, (*graph.trail(origin), move), str(broken))
                following.append((reached, after))
                if len(graph.seen) >= states_max:
                    return result(number)
        level = following
        if not level:
            lost = graph.first_without_end()
            if lost is not None:
                return result(number, graph.trail(lost), "from here no move leads to rest")
            return result(number)
    return result(depth)


class _Graph:
    """The states seen, how each was reached first, and where each leads."""

    def __init__(self, first: Hashable, prefix: tuple[Move, ...]) -> None:
        self.seen: dict[Hashable, int] = {first: 0}
        self.ends: list[int] = []  # states at rest
        self.steps = 0
        self._prefix = prefix
        self._first_reached: list[tuple[int, Move] | None] = [None]
        self._origins: list[list[int]] = [[]]

    def reach(self, origin: int, move: Move, key: Hashable) -> tuple[int, bool]:
        """Note a move; return the number of the state it leads to, and whether it is a new one."""
        self.steps += 1
        number = self.seen.setdefault(key, len(self.seen))
        is_new = number == len(self._origins)
        if is_new:
            self._first_reached.append((origin, move))
            self._origins.append([])
        self._origins[number].append(origin)
        return number, is_new

    def trail(self, number: int) -> tuple[Move, ...]:
        """The shortest sequence of moves that leads to a state."""
        found: list[Move] = []
        while (reached := self._first_reached[number]) is not None:
            number, move = reached
            found.append(move)
        return (*self._prefix, *reversed(found))

    def first_without_end(self) -> int | None:
        """The first state from which no sequence of moves comes to rest; None when all do."""
        can_end = set(self.ends)
        waiting = list(can_end)
        while waiting:
            for origin in self._origins[waiting.pop()]:
                if origin not in can_end:
                    can_end.add(origin)
                    waiting.append(origin)
        return next((number for number in range(len(self._origins)) if number not in can_end), None)


def _run_out(system: System, fate: str, rested: set[Hashable]) -> None:
    """Tell the rest of the story, up to a state whose end was seen before."""
    passed: set[Hashable] = set()

    def is_known(now: System) -> bool:
        key = canonical(now)
        if key in rested:
            return True
        passed.add(key)
        return False

    run_out(system, fate, is_known)
    rested |= passed


def canonical(system: System) -> Hashable:
    """What a world's future depends on.

    Left out: what is only told; absolute time (nothing looks back further than ``_LONG_AGO_NS``); the
    order of the mail; and ended orders whose amount is the venue's word, that no message speaks of
    any more: their ids stay used, since ids only grow.
    """
    state, now_mono_ns = system.state, system.now_mono_ns
    spoken_of = {getattr(event, "client_order_id", 0) for event in system.mail}
    known = {order.client_order_id for leg in state.legs for order in leg.live}
    doubtful = {order.client_order_id for leg in state.legs for order in leg.past if not order.is_certain}
    matters = spoken_of | known | doubtful
    return (
        replace(
            state,
            view=None,
            trade=None,
            closed=(),
            legs=(
                _of_leg(state.legs[0], matters, now_mono_ns),
                _of_leg(state.legs[1], matters, now_mono_ns),
            ),
            **_ages(state, now_mono_ns),
        ),
        _of_trade(state.trade),
        system.positions_e8,
        system.streams,
        tuple(
            order._replace(
                sent_mono_ns=_age(order.sent_mono_ns, now_mono_ns),
                is_crossed_with=int(order.is_crossed_with > 0),
            )
            for order in system.orders
            if order.is_on_wire or order.send.client_order_id in matters or system.budget.crossed
        ),
        frozenset(Counter(_of_mail(event, now_mono_ns) for event in system.mail).items()),
        system.grids,
        system.is_meddled,
        system.budget,
    )


_COUNTS_MAX = 5  # nothing distinguishes larger counts of reads, questions and denials
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
        live=tuple(_of_order(order, now_mono_ns) for order in leg.live),
        past=tuple(_of_order(order, now_mono_ns) for order in leg.past if order.client_order_id in matters),
        sequence=0,
        reads=min(leg.reads, _COUNTS_MAX),
        **_ages(leg, now_mono_ns),
    )


def _of_order(order: Order, now_mono_ns: int) -> Order:
    """What is only told is left out: prices, fees, the venue's own id, unless it is another's."""
    return replace(
        order,
        reported_quote_e8=0,
        fills_quote_e8=0,
        fills_fee_e8=0,
        reported_fee_e8=None,
        trade_id=0,
        limit_price_e8=0,
        venue_order_id=order.venue_order_id if order.venue_order_id[1:] != str(order.client_order_id) else "",
        questions=min(order.questions, _COUNTS_MAX),
        unknown_answers=min(order.unknown_answers, _COUNTS_MAX),
        **_ages(order, now_mono_ns),
    )


def _of_trade(trade: Trade | None) -> Hashable:
    if trade is None:
        return None
    is_empty = trade.books == (LegLedger(), LegLedger())
    return trade.layers, trade.layer, trade.hedged_e8, is_empty, trade.closed_mono_ns > 0


def _of_mail(event: Event, now_mono_ns: int) -> Event:
    if isinstance(event, PositionRead | QueryAnswered | GridRead):
        return event._replace(asked_mono_ns=_age(event.asked_mono_ns, now_mono_ns))
    return event


def main() -> int:
    """Explore every scenario; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--depth", type=int, default=1_000, help="moves from a flat, confirmed pair")
    parser.add_argument(
        "--states", type=int, default=250_000, help="states per scenario at most; a gigabyte of memory"
    )
    parser.add_argument("--scenario", default="", help="only those whose name contains this")
    arguments = parser.parse_args()
    failures = states = moves_made = 0
    for name, budget in (SCENARIOS | LARGER).items():
        if arguments.scenario not in name:
            continue
        result = explore(budget, depth=arguments.depth, states_max=arguments.states, fates=())
        print(describe(name, result), flush=True)
        states, moves_made = states + result.states, moves_made + result.steps
        failures += result.counter_example is not None
    print(f"{states} states, {moves_made} moves, {failures} broken promises")
    return 1 if failures else 0


def describe(name: str, result: Result) -> str:
    """One scenario's outcome in words."""
    reach = "all there are" if result.is_complete else f"every interleaving of {result.depth} moves"
    text = f"{name}: {result.states} states, {result.steps} moves, {reach}, {result.seconds:.1f} s"
    if result.counter_example is None:
        return text
    steps = "\n".join(
        f"    {number}. {' '.join(map(str, move))}" for number, move in enumerate(result.counter_example, 1)
    )
    return f"{text}\n  BROKEN: {result.broken}\n{steps}"


if __name__ == "__main__":
    raise SystemExit(main())
