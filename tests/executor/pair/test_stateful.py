"""The pair machine against two model venues, as a state machine of its own that hypothesis drives.

Where the exploration visits everything within a little trouble, this goes far with much of it: several
trades and layers, deaths, broken streams, strangers. What fails shrinks to its shortest story.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from executor.pair.order import ENDED
from shm.records import PairPhase
from tests.executor.pair.model import (
    LOT_E8,
    SIZE_E8,
    Budget,
    Move,
    System,
    a_system,
    check_exposure,
    moves,
    play,
    run_out,
    some_rules,
)

TROUBLE = Budget(
    partials=4,
    empties=4,
    refusals=3,
    lost_on_wire=2,
    false_refusals=1,
    crossed=2,
    lost_messages=3,
    doubled_messages=4,
    uncounted=2,
    unsent=2,
    restarts=3,
    disconnects=3,
    rests=2,
    outsiders=1,
    strangers=1,
    too_late=1,
    delays=30,
    exits=4,
    entries=5,
    chatty=True,
    rash=True,
)
UNTOLD = ("vanish", "not_sent", "expire")  # the venue never has it
DECISIONS = (
    "fill",
    "fill_partly",
    "fill_nothing",
    "refuse",
    "call_refused",
    "cross",
    "rest",
    "cancel",
    *UNTOLD,
)
OUTSIDE = ("close_outside", "stranger_trades", "stream_lost", "stream_back")


Rule = TypeVar("Rule", bound=Callable[..., Any])


def _can(*kinds: str, dies: bool = False) -> Callable[[Rule], Rule]:
    """Only while such a move is possible."""
    return precondition(lambda machine: bool(machine.moves_of(kinds, dies=dies)))


class PairBetweenVenues(RuleBasedStateMachine):
    """One rule for each kind of thing that can happen next."""

    system: System

    @initialize(
        layers_max=st.integers(1, 3),
        max_retries=st.integers(0, 3),
        on_single_leg=st.sampled_from(["auto", "complete", "unwind"]),
        direction=st.sampled_from([1, -1]),
        fate=st.sampled_from(["fill", "fill_nothing", "refuse"]),
    )
    def begin(self, layers_max: int, max_retries: int, on_single_leg: str, direction: int, fate: str) -> None:
        rules = some_rules(layers_max=layers_max, max_retries=max_retries, on_single_leg=on_single_leg)
        self.system = a_system(TROUBLE, rules, direction)
        self.fate = fate

    def moves_of(self, kinds: tuple[str, ...], *, dies: bool = False) -> list[Move]:
        return [
            move
            for move in moves(self.system)
            if move.kind in kinds and move.detail.startswith("die") == dies
        ]

    def _play_one_of(self, kinds: tuple[str, ...], data: st.DataObject, *, dies: bool = False) -> None:
        self.system = play(self.system, data.draw(st.sampled_from(self.moves_of(kinds, dies=dies))))

    @_can("enter")
    @rule(data=st.data())
    def detector_sees_an_entry(self, data: st.DataObject) -> None:
        self._play_one_of(("enter",), data)

    @_can("exit")
    @rule(data=st.data())
    def detector_sees_an_exit(self, data: st.DataObject) -> None:
        self._play_one_of(("exit",), data)

    @_can(*DECISIONS)
    @rule(data=st.data())
    def venue_decides(self, data: st.DataObject) -> None:
        self._play_one_of(DECISIONS, data)

    @_can("deliver")
    @rule(data=st.data())
    def message_arrives(self, data: st.DataObject) -> None:
        self._play_one_of(("deliver",), data)

    @_can("deliver_and_keep", "lose")
    @rule(data=st.data())
    def message_is_doubled_or_lost(self, data: st.DataObject) -> None:
        self._play_one_of(("deliver_and_keep", "lose"), data)

    @_can("tick")
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        self._play_one_of(("tick",), data)

    @_can("enter", "exit", "tick", "deliver", dies=True)
    @rule(data=st.data())
    def process_dies(self, data: st.DataObject) -> None:
        self._play_one_of(("enter", "exit", "tick", "deliver"), data, dies=True)

    @_can(*OUTSIDE)
    @rule(data=st.data())
    def venues_interfere(self, data: st.DataObject) -> None:
        self._play_one_of(OUTSIDE, data)

    @invariant()
    def exposure_stays_within_what_was_asked_for(self) -> None:
        check_exposure(self.system, late_e8=2 * SIZE_E8 + LOT_E8)

    @invariant()
    def rest_and_hedge_are_never_claimed_with_an_order_under_way(self) -> None:
        state = self.system.state
        if state.phase in (PairPhase.FLAT, PairPhase.HEDGED):
            assert not any(leg.live for leg in state.legs)

    @invariant()
    def what_ended_is_not_live(self) -> None:
        assert not any(order.state in ENDED for leg in self.system.state.legs for order in leg.live)

    def teardown(self) -> None:
        """However it went: without further trouble the pair comes to rest and knows the truth."""
        if hasattr(self, "system"):
            run_out(self.system, self.fate)


PairBetweenVenues.TestCase.settings = settings(max_examples=40, stateful_step_count=50)
TestPairBetweenVenues = PairBetweenVenues.TestCase
