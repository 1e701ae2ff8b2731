"""Every guard of the pair machine, switched off, must let the exploration break a promise.

A guard whose absence nothing notices guards nothing, or the exploration is blind there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from executor.pair import accounting, entry, machine, order, order_updates, reconcile, repair
from executor.pair import transition as transition
from executor.pair.messages import QueryAnswered
from executor.pair.order import Order, OrderState
from executor.pair.rules import PairRules
from executor.pair.state import Halt, PairState, next_client_order_id
from executor.pair.transition import Transition
from tests.executor.pair.model import MS, Budget, Move, some_rules
from verification.explore import Result, describe, explore


class Mutant(NamedTuple):
    """One guard switched off, and the trouble it is there for."""

    guard: str
    patches: tuple[tuple[Any, str, Any], ...]
    budget: Budget
    fates: tuple[str, ...] = ("fill",)
    prefix: tuple[Move, ...] = ()
    rules: PairRules = some_rules()


def _same_epoch_id(rules: PairRules, state: PairState, leg: int) -> int:
    return next_client_order_id(rules, replace(state, epoch=1), leg)


def _added_up(order: Order) -> int:
    return order.reported_e8 + order.fills_e8


def _told_is_certain(order: Order) -> bool:
    return order.is_reported or order.fills_e8 >= order.size_e8 or order.state is OrderState.UNSENT


def _keeps_reads(_: Transition, __: int) -> None:
    """A read asked before a change is believed after it."""


def _keeps_order(_: Transition, __: Order) -> None:
    """What is open stays open."""


def _after_one_late_denial(rules: PairRules, order: Order, reads: int, read_mono_ns: int) -> bool:
    is_denied = order.unknown_answers >= rules.unknown_answers_min and order.late_denials >= 1
    return is_denied and reads >= rules.equal_reads_min and read_mono_ns >= order.gone_mono_ns


def _nothing_explained(_: Transition, __: int) -> None:
    """A position nobody expected is overlooked."""


def _always(*_: object) -> bool:
    return True


def _answers_what_was_asked(transition: Transition, event: QueryAnswered) -> None:
    """Whatever a venue says to a question is taken for the fate of the order it was asked about."""
    if event.reported is not None:
        asked = event.reported._replace(
            client_order_id=event.client_order_id, instrument_id=-1, side=None, size_e8=None
        )
        machine._on_order_report(transition, asked)


def _never(*_: object) -> bool:
    return False


MUTANTS = (
    Mutant(
        "nothing is sent while an order is under way or in doubt",
        ((repair, "must_keep_still", lambda state: state.halt is Halt.UNEXPLAINED),),
        Budget(exits=0),
    ),
    Mutant(
        "nothing is opened while something is under way, in doubt or to be mended",
        ((entry, "entry_finds_pair_at_rest", _always),),
        Budget(rash=True, entries=2, empties=1, delays=0, exits=0),
        rules=some_rules(layers_max=2),
    ),
    Mutant(
        "doubt ends only after spaced denials past the order's validity",
        ((reconcile, "position_may_settle", lambda rules, order, reads, read: order.unknown_answers > 0),),
        Budget(delays=6, exits=0),
        prefix=(Move("enter"), Move("fill", 0), Move("deliver", 0), Move("tick")),
    ),
    Mutant(
        "one denial past the validity is not enough",
        ((reconcile, "position_may_settle", _after_one_late_denial),),
        Budget(delays=6, exits=0),
        prefix=(
            *(Move("enter"), Move("fill", 0), Move("deliver", 0), Move("tick")),
            *(Move("tick"),) * 2,
        ),
        rules=some_rules(appear_ns=1_050 * MS, on_single_leg="unwind"),  # ends as positions are read
    ),
    Mutant(
        "what is in doubt is cancelled",
        ((transition.Transition, "cancel", _keeps_order),),
        Budget(rests=1, is_stuck=True, delays=0, exits=0),
    ),
    Mutant(
        "legs that differ for too long are closed",
        ((repair, "has_drifted_for_too_long", _never),),
        Budget(partials=1, delays=0, exits=0),
        rules=some_rules(
            drift_lots_max=1, drift_bps_max=5_000, hedge_drift_bps_max=100, hedge_drift_ns_max=3_000 * MS
        ),
    ),
    Mutant(
        "an execution told twice counts once",
        ((order_updates, "is_known_fill", _never),),
        Budget(chatty=True, partials=1, doubled_messages=1, delays=0, exits=0),
    ),
    Mutant(
        "totals and single executions are not added up",
        ((order.Order, "filled_e8", property(_added_up)),),
        Budget(chatty=True, delays=0, exits=0),
    ),
    Mutant(
        "an amount not told is not nothing",
        ((order_updates, "amount_reported", lambda order, facts: facts.filled_e8 or 0),),
        Budget(uncounted=1, partials=1, delays=0, exits=0),
    ),
    Mutant(
        "retries are bounded",
        ((repair, "retries_are_used_up", _never),),
        Budget(empties=1, delays=0, exits=0),
        ("refuse",),
        rules=some_rules(max_unmended_ns=10**15),
    ),
    Mutant(
        "a position read before a change says nothing after it",
        ((transition.Transition, "distrust_reads", _keeps_reads),),
        Budget(uncounted=1, partials=1, delays=2, exits=0),
        prefix=(Move("enter"), Move("tick"), Move("fill", 0), Move("fill_partly", 1, "uncounted")),
        rules=some_rules(reconcile_interval_ns=300 * MS),
    ),
    Mutant(
        "an answer that refuses may have been another order's: a position is laid to it all the same",
        ((order.Order, "is_certain", property(_told_is_certain)),),
        Budget(false_refusals=1, delays=0, exits=0),
        prefix=(Move("enter"), Move("fill", 1), Move("call_refused", 0, "executed, not listed")),
    ),
    Mutant(
        "nothing is opened on top of an order that an answer alone called refused",
        ((transition, "is_refusal_open", _never),),
        Budget(false_refusals=1, refusals=1, delays=2, exits=0, entries=2),
        prefix=(
            Move("enter"),
            Move("call_refused", 0, "before it executes"),
            Move("refuse", 1),
            Move("deliver", 0),
            Move("deliver", 0),
        ),
    ),
    Mutant(
        "an answer about another order is not this one's",
        ((machine, "_HANDLERS", {**machine._HANDLERS, QueryAnswered: _answers_what_was_asked}),),
        Budget(crossed=1, lost_on_wire=1, delays=0),
        prefix=(
            *(Move("enter"), Move("fill", 0), Move("fill", 1), Move("deliver", 0), Move("deliver", 0)),
            *(Move("exit"), Move("cross", 2, "with 0"), Move("vanish", 2), Move("fill", 3)),
        ),
    ),
    Mutant(
        "nothing is opened on a grid that its venue has refused",
        ((transition, "is_grid_known", _always),),
        Budget(grid_refusals=1, empties=1, entries=2, delays=0, exits=0),
        prefix=(Move("enter"), Move("refuse_grid", 0), Move("fill_nothing", 1)),
    ),
    Mutant(
        "what shrinks is reduce-only",
        ((transition, "is_reducing", _never),),
        Budget(delays=0),
    ),
    Mutant(
        "completing ends: in number, in time, and with HALTED",
        ((repair, "may_complete", _always),),
        Budget(refusals=1, delays=0, exits=0),
        ("refuse",),
        rules=some_rules(max_unmended_ns=10**15),
    ),
    Mutant(
        "ids of two lives differ",
        ((transition, "next_client_order_id", _same_epoch_id),),
        Budget(restarts=1, empties=2, delays=1, exits=0, entries=2),
    ),
    Mutant(
        "legs that differ are mended",
        ((repair, "is_naked", _never), (accounting, "is_naked", _never)),
        Budget(empties=1, delays=0, exits=0),
    ),
    Mutant(
        "a position closed from outside is taken in",
        ((reconcile, "explain_difference", _nothing_explained),),
        Budget(outsiders=1, delays=0, exits=0),
    ),
)


_killed: list[str] = []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_without_the_guard_a_promise_breaks(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shortest trace is part of the output (``pytest -s``)."""
    for owner, name, replacement in mutant.patches:
        monkeypatch.setattr(owner, name, replacement)

    result = _explore(mutant, states_max=2_500)

    print("\n" + describe(mutant.guard, result))
    assert result.counter_example is not None, f"switched off and not noticed: {mutant.guard}"
    _killed.append(mutant.guard)


def test_the_guards_that_were_switched_off_are_listed() -> None:
    """``pytest -s`` ends with what was proven; alone, this test has nothing to list."""
    print(f"\nmutants killed: {len(_killed)} of {len(MUTANTS)}", *_killed, sep="\n  ")
    assert len(set(_killed)) == len(_killed) <= len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard.replace(" ", "-"))
def test_with_the_guard_the_same_trouble_breaks_nothing(mutant: Mutant) -> None:
    """The same exploration of the machine as it is; otherwise the test above proves nothing."""
    result = _explore(mutant, states_max=150)

    assert result.counter_example is None, describe(mutant.guard, result)


def _explore(mutant: Mutant, states_max: int) -> Result:
    return explore(
        mutant.budget,
        depth=40,
        states_max=states_max,
        rules=mutant.rules,
        fates=mutant.fates,
        prefix=mutant.prefix,
    )
