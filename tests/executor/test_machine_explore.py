"""The pair machine keeps its promises in every interleaving, to a bound, and on long random walks.

``python -m tests.executor.explore --depth N --states M`` explores further.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.executor.explore import SCENARIOS, describe, explore
from tests.executor.pair_world import (
    SIZE_E8,
    Budget,
    a_world,
    check_exposure,
    moves,
    play,
    run_out,
    some_rules,
)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_interleaving_breaks_a_promise(name: str) -> None:
    """Breadth first, so that a failure shows the shortest way to it; ``pytest -s`` prints the states."""
    result = explore(SCENARIOS[name], depth=60, states_max=700)

    print("\n" + describe(name, result))
    assert result.counter_example is None, describe(name, result)


def test_a_whole_entry_is_visited_in_every_interleaving() -> None:
    """No bound on states: full, partial and empty fills of both legs, told in any order.

    Forty moves are far more than an entry and its mending take; what remains is waiting.
    """
    budget = Budget(partials=1, empties=1, delays=0, exits=0)

    result = explore(budget, depth=40, states_max=100_000, fates=("fill",))

    print("\n" + describe("a whole entry", result))
    assert result.counter_example is None, describe("a whole entry", result)
    assert result.depth == 40
    assert result.states > 1_000


TROUBLE = Budget(
    partials=3,
    empties=3,
    refusals=2,
    lost_on_wire=1,
    lost_messages=2,
    doubled_messages=3,
    uncounted=1,
    unsent=1,
    restarts=2,
    delays=20,
    exits=3,
    entries=4,
    chatty=True,
)


@settings(max_examples=60, deadline=None)
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
    world = a_world(TROUBLE._replace(outsiders=outsiders, too_late=too_late), rules, direction)
    for _ in range(60):
        world = play(world, data.draw(st.sampled_from(list(moves(world)))))
        check_exposure(world, late_e8=2 * SIZE_E8 * too_late)

    run_out(world, fate)
