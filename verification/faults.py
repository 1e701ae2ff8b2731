"""``make faults``: the real executor under every fault script, at each venue, at entry and at exit.

    python -m verification.faults [--only WORD ...] [--jobs N]

Each case is an executor process and simulated venues of its own. While the script runs the pair must
come to rest flat, hedged, or HALTED with its exposure told, in agreement with the venues' own books, and
nothing that its own orders did may surprise it. Once the venue is well again, what is hedged must close,
what is HALTED must follow ``tools reconcile flatten``, and what is flat must be free to open. Then the
executor is broken on purpose, in one place each time, and the same promises must be seen broken, while
the executor as it is keeps them. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Final, NamedTuple

from runtime.reconcile_request import answered, ask
from shm.records import PairPhase
from simulator import fault_scripts
from simulator.fault_runs import FaultRuns, Run
from tests.executor.harness import HYPERLIQUID_PAIRS, SYMBOLS, VENUES, Harness, a_harness, symbols_of
from tests.executor.invariants import SETTLE_S, broken_promises, halt_reason, surprises, until_at_rest

MOMENTS: Final = ("entry", "exit")
# Market data does not come from the venues here: the test itself is the feeds.
_OF_MARKET_DATA: Final = ("sequence_gap", "stall")
# A question has to be asked before its answer can be wrong.
_ASKED_BECAUSE: Final = {
    "order_missing_by_id": ("reply_lost", "event_lost:count=none"),
    "order_missing_from_history": ("reply_lost", "event_lost:count=none"),
    "replay_taken": ("request_repeated",),
}
# What others do to a position, or what is shown of it, is a surprise by its nature; so is an order of ours
# that a venue takes twice.
_SURPRISING: Final = {"position_misread", "liquidated", "deleveraged", "replay_taken"}
_TWICE: Final = "replay_taken"
_MUTANT_S: Final = 25.0
_STRIKES_S: Final = 5.0  # positions are read every second
_WELL_S: Final = 45.0  # until a venue that is well is traded on again: reconnecting has its pauses

_DELAYED: Final = "reply_delayed:delay_ms=300"  # what follows strikes with orders under way
COMBINATIONS: Final = (
    *(
        (
            f"reply_lost:venue={venue}",
            f"order_missing_from_history:venue={venue}",
            f"event_lost:venue={venue},count=none",
        )
        for venue in VENUES
    ),
    (
        "reply_lost:venue=paradex",
        "order_missing_by_id:venue=paradex",
        "event_lost:venue=paradex,count=none",
        "executed_late:venue=paradex,delay_ms=2000",
    ),
    *((_DELAYED, f"restarted:venue={venue},after_s=0.1") for venue in VENUES),
    (_DELAYED, "restarted:after_s=0.1"),
    *((_DELAYED, f"half_open:venue={venue},after_s=0.1") for venue in VENUES),
    *((_DELAYED, f"tokens_expired:venue={venue},after_s=0.1") for venue in VENUES),
    *((f"filled_in_part:venue={venue}", f"position_misread:venue={venue},count=3") for venue in VENUES),
    *((f"reply_lost:venue={venue}", f"position_misread:venue={venue},misread=double") for venue in VENUES),
    ("request_repeated_last:venue=paradex", "replay_taken"),
    ("filled_in_part", "event_duplicated"),
    ("filled_in_steps", "events_reordered", "event_duplicated"),
    ("gateway_timeout", "malformed_event"),
    ("executed_late:venue=vest,delay_ms=600", "rejected:venue=paradex"),
    ("malformed_reply:venue=vest", "rejected_late:venue=paradex"),
)
_OURS: Final = "hyperliquid"
# What that venue is known for: answer, order updates and fills of one order in any order, and a refusal in
# doubt of which only half can be asked for.
HYPERLIQUID_COMBINATIONS: Final = (
    (f"reply_delayed:venue={_OURS},delay_ms=150", f"events_reordered:venue={_OURS}"),
    (f"reply_lost:venue={_OURS}", f"event_lost:venue={_OURS},count=none"),
    (f"answer_without_id:venue={_OURS}", f"executed_late:venue={_OURS},delay_ms=600"),
    (f"nonce_too_old:venue={_OURS}", f"order_missing_from_history:venue={_OURS}"),
    (f"filled_in_part:venue={_OURS}", f"event_duplicated:venue={_OURS}"),
    (_DELAYED, f"restarted:venue={_OURS},after_s=0.1"),
)


class Case(NamedTuple):
    """Scripts that run together, as the command line has them, when they begin, and the pair's venues."""

    scripts: tuple[str, ...]
    moment: str
    venues: tuple[str, ...] = tuple(SYMBOLS)  # the first leg first

    def __str__(self) -> str:
        pair = "" if self.venues == tuple(SYMBOLS) else f" {'-'.join(self.venues)}"
        return f"{'+'.join(self.scripts)} {self.moment}{pair}"


@dataclass(slots=True)
class Outcome:
    """What became of a case. ``broken`` is empty when every promise was kept."""

    case: Case
    runs: list[Run] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)  # phases at rest: under the scripts, after, once closed
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def struck(self) -> int:
        return sum(run.struck for run in self.runs)


def all_cases() -> list[Case]:
    """Every script at every venue where it can happen, then the combinations; each at both moments. At
    Hyperliquid with that leg on either side."""
    ours = [*(_alone(name, _OURS) for name in _names(_OURS)), *HYPERLIQUID_COMBINATIONS]
    others = [*(_alone(name, venue) for venue in VENUES for name in _names(venue)), *COMBINATIONS]
    return [
        *(Case(scripts, moment) for scripts in others for moment in MOMENTS),
        *(
            Case(scripts, moment, tuple(pair))
            for pair in HYPERLIQUID_PAIRS
            for scripts in ours
            for moment in MOMENTS
        ),
    ]


def _names(venue: str) -> list[str]:
    """The scripts that can happen at a venue, those of market data left out."""
    return [
        name
        for name in fault_scripts.names()
        if name not in _OF_MARKET_DATA and venue in (fault_scripts.load(name).venues or (venue,))
    ]


def _alone(name: str, venue: str) -> tuple[str, ...]:
    """One script at one venue, with what it takes for it to happen."""
    parts = (*_ASKED_BECAUSE.get(name, ()), name)
    return tuple(f"{part}{',' if ':' in part else ':'}venue={venue}" for part in parts)


async def play(case: Case, *, settle_s: float = SETTLE_S, prelude: str = "") -> Outcome:
    """Run one case from a fresh start. Never raises for what the executor did.

    prelude: Python that the executor's process runs first, to break it on purpose.
    """
    began_s = time.monotonic()
    outcome = Outcome(case)
    scripts = [fault_scripts.parse(text) for text in case.scripts]
    try:
        # The breaker would forbid the trades that follow; it is no matter of these cases.
        symbols = symbols_of(case.venues)
        async with (
            a_harness(symbols, risk__max_consecutive_failures=1000) as harness,
            AsyncExitStack() as at_end,
        ):
            await harness.start(prelude=prelude)
            if case.moment == "exit":
                await harness.open()
            faults = FaultRuns(harness.simulator)
            at_end.push_async_callback(faults.stop)
            for script in scripts:
                outcome.runs += await faults.start(script)
            if case.moment == "exit":
                await _have_struck([run for run in outcome.runs if run.script.name == "position_misread"])
            await signal(harness, case.moment)
            await _rest(harness, outcome, settle_s)
            if not await _have_struck(outcome.runs):
                missed = ", ".join(run.script.name for run in outcome.runs if not run.struck)
                outcome.broken.append(f"never struck: {missed}")
            await faults.stop()
            await _rest(harness, outcome, settle_s)
            if harness.phase is PairPhase.HEDGED:
                await signal(harness, "exit")
                await _rest(harness, outcome, settle_s)
                if harness.phase is PairPhase.HEDGED:
                    outcome.broken.append(
                        "an exit was asked for, the venues are well, and it is hedged still"
                    )
            if harness.phase is PairPhase.HALTED:
                number = ask(harness.directory, "flatten")
                await harness.until(
                    lambda: answered(harness.directory, number) is not None, "flatten", settle_s
                )
                await _rest(harness, outcome, settle_s)
                if outcome.ends[-1] != "FLAT":
                    outcome.broken.append(f"{outcome.ends[-1]} after the operator asked for flat")
            if harness.phase is PairPhase.FLAT:
                await harness.until(
                    lambda: harness.view is not None and harness.view.entries_allowed == 1,
                    "leave to open on venues that are well",
                    min(settle_s, _WELL_S),
                )
            if any(script.name == _TWICE for script in scripts):  # its client order id comes twice, too
                outcome.broken = [text for text in outcome.broken if " came 2 times" not in text]
            if not _SURPRISING & {script.name for script in scripts}:
                outcome.broken += surprises(harness)
    except AssertionError as error:
        outcome.broken.append(str(error))
    outcome.took_s = time.monotonic() - began_s
    return outcome


async def signal(harness: Harness, moment: str) -> None:
    """Give the signal and wait until something has come of it.

    An entry that did not leave is asked for again, as the detector would: signing may take longer on a loaded
    machine than an entry waits for it.
    """
    sent, refused = harness.counter("orders_sent_total"), len(harness.logged("signal_refused"))
    idle = (harness.phase, PairPhase.OPENING)  # it opens for a moment even if nothing leaves

    def has_answer() -> bool:
        return (
            harness.phase not in idle
            or harness.counter("orders_sent_total") > sent
            or len(harness.logged("signal_refused")) > refused
        )

    def has_not_left(given_up: int) -> bool:
        return has_answer() or harness.unsent() >= given_up

    while not has_answer():
        given_up = harness.unsent() + 2  # both legs
        if moment == "entry":
            harness.enter()
        else:
            second = list(harness.symbols)[1]
            harness.show(second, 50_000, 50_001)
            harness.exit()
        await harness.until(partial(has_not_left, given_up), f"an answer to the {moment} signal")


async def _rest(harness: Harness, outcome: Outcome, settle_s: float) -> None:
    await until_at_rest(harness, settle_s)
    outcome.ends.append(f"{harness.phase.name} {halt_reason(harness)}".strip())
    outcome.broken += broken_promises(harness)


async def _have_struck(runs: list[Run]) -> bool:
    deadline_s = time.monotonic() + _STRIKES_S
    while not all(run.struck for run in runs):
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(0.01)
    return True


# ------------------------------------------------------------------------------- broken on purpose


class Mutant(NamedTuple):
    """One guard of the executor switched off, and the case that must show it."""

    guard: str
    prelude: str
    case: Case


_SILENT: Final = ("reply_lost:venue=vest", "event_lost:venue=vest,count=none")
MUTANTS: Final = (
    Mutant(
        "silence is no refusal",
        """
from executor.pair import machine, order as orders
from msgspec.structs import replace
def give_up(transition):
    for order in transition.live_orders():
        if order.state is orders.OrderState.SENT and transition.now_mono_ns >= order.due_mono_ns:
            order_refused = replace(order, is_reported=True)
            gone = orders.moved(order_refused, orders.OrderState.REJECTED, transition.now_mono_ns)
            transition.put(order, gone)
machine.ask_about_silent_orders = give_up
""",
        Case(_SILENT, "entry"),
    ),
    Mutant(
        "what is silent is asked for",
        "from executor.pair import transition; transition.Transition.query = lambda self, order: None",
        Case(_SILENT, "entry"),
    ),
    Mutant(
        "a part that filled counts",
        """
from executor.pair import machine, order_updates as orders
orders.amount_reported = lambda order, told: 0
machine.after_fill = lambda order, fill, **_: order
""",
        Case(("filled_in_part:venue=paradex",), "entry"),
    ),
    Mutant(
        "an execution told twice counts once",
        "from executor.pair import order_updates; order_updates.is_known_fill = lambda order, fill: False",
        Case(("filled_in_part:venue=paradex", "event_duplicated:venue=paradex"), "entry"),
    ),
    Mutant(
        "a stream that is back is taken up again",
        """
from executor.pair import machine
real, seen = machine._HANDLERS[machine.StreamBack], set()
def only_the_first(transition, event):
    if event.leg not in seen:
        seen.add(event.leg)
        real(transition, event)
machine._HANDLERS[machine.StreamBack] = only_the_first
""",
        Case(("restarted:venue=paradex",), "exit"),
    ),
    Mutant(
        "legs that differ are mended",
        """
from executor.pair import accounting, repair
repair.is_naked = accounting.is_naked = lambda rules, state: False
""",
        Case(("rejected:venue=vest",), "entry"),
    ),
    Mutant(
        "a gateway's error says nothing about the order",
        """
from executor.pair import machine
from msgspec.structs import replace
from venues.contract import Outcome
real = machine.after_ack
def refused_for_good(order, outcome, **k):
    # A refusal by an answer alone would be asked for, and so come out right in the end.
    believed = Outcome.REFUSED if outcome is Outcome.IN_DOUBT else outcome
    return replace(real(order, believed, **k), is_refused=False)
machine.after_ack = refused_for_good
""",
        Case(("gateway_timeout:venue=vest", "event_lost:venue=vest,count=none"), "entry"),
    ),
)


async def play_mutant(mutant: Mutant, *, is_off: bool = True) -> Outcome:
    """The mutant's case with the guard switched off, or with all guards on. Long doubt is not waited for."""
    return await play(mutant.case, settle_s=_MUTANT_S, prelude=mutant.prelude if is_off else "")


# ---------------------------------------------------------------------------------------- the table


async def _play_all(cases: list[Case], jobs: int) -> list[Outcome]:
    room = asyncio.Semaphore(jobs)
    done = 0

    async def one(case: Case) -> Outcome:
        nonlocal done
        async with room:
            outcome = await play(case)
        done += 1
        ends = " > ".join(outcome.ends)
        line = f"{done:3}/{len(cases)} {case!s:88} {outcome.struck:4} {ends:28} {outcome.took_s:5.1f} s"
        print(f"{line}  WRONG" if outcome.broken else line, flush=True)
        for text in outcome.broken:
            print(f"    {text}", flush=True)
        return outcome

    return await asyncio.gather(*(one(case) for case in cases))


async def _play_mutants() -> int:
    """Play the mutants, each beside the executor as it is; return how many were not told apart."""
    not_told_apart = 0
    print("\nswitched off on purpose:")
    for mutant in MUTANTS:
        off, on = await asyncio.gather(play_mutant(mutant), play_mutant(mutant, is_off=False))
        seen = off.broken[0].splitlines()[0] if off.broken else "NOT NOTICED"
        if on.broken:
            seen = f"BROKEN WITHOUT IT TOO: {on.broken[0].splitlines()[0]}"
        not_told_apart += not off.broken or bool(on.broken)
        print(f"    {mutant.guard:48} {seen[:100]}", flush=True)
    return not_told_apart


def _summarise(outcomes: list[Outcome]) -> int:
    """Print the figures; return how many cases went wrong."""
    wrong = sum(bool(outcome.broken) for outcome in outcomes)
    took_s = [outcome.took_s for outcome in outcomes]
    print(f"\ncases: {len(outcomes)}, strikes: {sum(outcome.struck for outcome in outcomes)}, wrong: {wrong}")
    for when, place in (("under the scripts", 0), ("in the end", -1)):
        ends = Counter(outcome.ends[place] if outcome.ends else "no rest" for outcome in outcomes)
        print(f"at rest {when}:", ", ".join(f"{n} {name}" for name, n in ends.most_common()))
    print(f"seconds per case: p50 {median(took_s):.1f}  max {max(took_s):.1f}")
    return wrong


async def _run(cases: list[Case], jobs: int, *, with_mutants: bool) -> int:
    wrong = _summarise(await _play_all(cases, jobs)) if cases else 0
    not_told_apart = await _play_mutants() if with_mutants else 0
    return int(bool(wrong or not_told_apart))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.faults", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="cases that contain every one of these words")
    parser.add_argument("--jobs", type=int, default=3, help="cases at a time; they wait more than they work")
    chosen = parser.parse_args()
    cases = [case for case in all_cases() if all(word in str(case) for word in chosen.only)]
    return asyncio.run(_run(cases, chosen.jobs, with_mutants=not chosen.only or not cases))


if __name__ == "__main__":
    sys.exit(main())
