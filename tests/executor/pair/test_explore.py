"""The pair machine keeps its promises in every interleaving of limited trouble, and on long random walks.

``make explore`` goes through larger scenarios.
"""

from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from executor.pair.machine import step
from executor.pair.messages import At, FlattenRequested, OperatorResumed, Tick
from executor.pair.state import PHASE_STEPS, Halt, Held, new_state
from shm.records import PairPhase
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import (
    LOT_E8,
    MARKETS,
    MS,
    PRICES_E8,
    SIZE_E8,
    Budget,
    a_system,
    an_instrument,
    check_exposure,
    moves,
    phase_steps_taken,
    play,
    run_out,
    some_rules,
)
from verification.explore import LARGER, SCENARIOS, Result, describe, explore


@cache
def explored(name: str) -> Result:
    return explore(SCENARIOS[name], depth=1_000, states_max=1_000_000, fates=())


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    """Every state there is, breadth first: a failure shows the shortest way to it."""
    result = explored(name)

    print("\n" + describe(name, result))
    assert result.counter_example is None, describe(name, result)
    assert result.is_complete


def test_the_table_of_phases_allows_what_happens_and_nothing_else() -> None:
    """A step outside the table fails where it is made; a step nothing ever takes does not belong there."""
    allowed = {(before, after) for before, following in PHASE_STEPS.items() for after in following}
    layered = explore(
        Budget(delays=0, entries=2),
        depth=1_000,
        states_max=1_000_000,
        rules=some_rules(layers_max=2),
        fates=(),
    )
    assert layered.is_complete, describe("two layers", layered)
    taken = layered.phase_steps | _steps_of_long_stories() | _steps_of_rare_stories()
    taken |= _steps_of_first_and_operators_events()
    for name in SCENARIOS:  # until each was seen: the others are explored above, likely by another process
        if allowed <= taken:
            break
        taken |= explored(name).phase_steps

    assert taken <= allowed
    untaken = sorted(f"{before.name} -> {after.name}" for before, after in allowed - taken)
    assert not untaken


def _steps_of_long_stories() -> set[tuple[PairPhase, PairPhase]]:
    phase_steps_taken.clear()
    for seed in range(120):
        chance = random.Random(seed)
        rules = some_rules(max_retries=seed % 3, layers_max=1 + seed % 2)
        system = a_system(TROUBLE._replace(outsiders=1, strangers=seed % 2), rules)
        for _ in range(60):
            system = play(system, chance.choice(list(moves(system))))
        if not seed % 2:
            run_out(system, ("fill", "fill_nothing", "refuse")[seed % 3])
    return set(phase_steps_taken)


def _steps_of_rare_stories() -> set[tuple[PairPhase, PairPhase]]:
    """What needs an operator, finer lots, a surprise in the middle of an entry, or an exit given up."""
    fine = (an_instrument(0, lot_e8=LOT_E8 // 10, min_size_e8=LOT_E8 // 10), an_instrument(1))
    flattened, fine_lots, surprised, stopped = Pair(), Pair(some_rules(instruments=fine)), Pair(), Pair()
    given_up = Pair(some_rules(max_retries=0)).hedged()

    late, other = flattened.enter()
    for send in (late, other):
        flattened.fill(send, 0)
    flattened.feed(FlattenRequested(flattened.at, "operator"))
    flattened.execution(late, "told after its end", LOT_E8)

    late, other = fine_lots.enter()
    for send in (late, other):
        fine_lots.fill(send, 0)
    fine_lots.execution(late, "less than both venues take", LOT_E8 // 10)
    fine_lots.read_twice(0, 0)

    first, second = surprised.enter()
    surprised.fill(second)
    surprised.read_twice(1, -SIZE_E8 - LOT_E8)
    surprised.read(1, -SIZE_E8)
    surprised.fill(first)
    surprised.read_twice(1, -SIZE_E8 - LOT_E8)

    sends = stopped.enter()
    stopped.feed(FlattenRequested(stopped.at, "operator"))
    for send in sends:
        stopped.fill(send)

    for send in given_up.exit():
        given_up.refuse(send)
    pairs = (flattened, fine_lots, surprised, stopped, given_up)
    return set().union(*(pair.phase_steps() for pair in pairs))


def _steps_of_first_and_operators_events() -> set[tuple[PairPhase, PairPhase]]:
    """What a start begins with, and what a HALTED pair is when the operator lets it go on."""
    rules, taken = some_rules(), set()
    for sizes_e8 in ((0, 0), (SIZE_E8, -SIZE_E8), (SIZE_E8, 0)):
        held = Held(1, sizes_e8, PRICES_E8, (0, 0), 1, 1) if any(sizes_e8) else None
        new = new_state(rules, 1, held)
        at = At(10_000 * MS, MARKETS)
        for event in (Tick(at), FlattenRequested(at, "operator")):
            state, _ = step(rules, new, event)
            taken.add((new.phase, state.phase))
            halted = replace(state, halt=Halt.NOT_MENDED, phase=PairPhase.HALTED)
            resumed, _ = step(rules, halted, OperatorResumed(at))
            taken.add((halted.phase, resumed.phase))
    return taken


@pytest.mark.parametrize("name", SCENARIOS | LARGER)
def test_whatever_becomes_of_later_orders_every_story_ends(name: str) -> None:
    """From each of the first states on, all later orders fill, find nothing, or are refused for ever."""
    result = explore((SCENARIOS | LARGER)[name], depth=60, states_max=250)

    print("\n" + describe(name, result))
    assert result.counter_example is None, describe(name, result)


TROUBLE = Budget(
    partials=3,
    empties=3,
    refusals=2,
    lost_on_wire=1,
    false_refusals=1,
    crossed=1,
    lost_messages=2,
    doubled_messages=3,
    uncounted=1,
    unsent=1,
    restarts=2,
    disconnects=2,
    rests=1,
    delays=20,
    exits=3,
    entries=4,
    chatty=True,
)


@settings(max_examples=60)
@given(
    data=st.data(),
    outsiders=st.integers(0, 1),
    too_late=st.integers(0, 1),
    layers_max=st.integers(1, 2),
    max_retries=st.integers(0, 3),
    on_single_leg=st.sampled_from(["auto", "complete", "unwind"]),
    direction=st.sampled_from([1, -1]),
    fate=st.sampled_from(["fill", "fill_nothing", "refuse"]),
)
def test_long_stories_end_flat_hedged_or_halted(
    data: st.DataObject,
    outsiders: int,
    too_late: int,
    layers_max: int,
    max_retries: int,
    on_single_leg: str,
    direction: int,
    fate: str,
) -> None:
    """Several trades under all kinds of trouble at once; at rest the machine knows the truth."""
    rules = some_rules(layers_max=layers_max, max_retries=max_retries, on_single_leg=on_single_leg)
    system = a_system(TROUBLE._replace(outsiders=outsiders, too_late=too_late), rules, direction)
    for _ in range(60):
        system = play(system, data.draw(st.sampled_from(list(moves(system)))))
        check_exposure(system, late_e8=2 * SIZE_E8 * too_late)

    run_out(system, fate)
