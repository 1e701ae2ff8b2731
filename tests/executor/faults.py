"""``make faults``: the real executor under every fault script, at each venue, at entry and at exit.

    python -m tests.executor.faults [--only WORD ...] [--jobs N]

Each case is an executor process and simulated venues of its own. While the script runs the pair must
come to rest flat, hedged, or HALTED with its exposure told, in agreement with the venues' own books;
once the venue is well again, what is hedged must close. Exit code 1 on any broken promise.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from statistics import median
from typing import Final, NamedTuple

from shm.records import PairPhase
from simulator import fault_scripts
from simulator.fault_runs import FaultRuns, Run
from tests.executor.trouble import broken_promises, until_at_rest
from tests.executor.world import VENUES, World, a_world

MOMENTS: Final = ("entry", "exit")
# Market data does not come from the venues here: the test itself is the feeds.
_OF_MARKET_DATA: Final = ("sequence_gap", "stall")
# A question has to be asked before its answer can be wrong.
_ASKED_BECAUSE: Final = {
    "order_missing_by_id": ("reply_lost", "event_lost:count=none"),
    "order_missing_from_history": ("reply_lost", "event_lost:count=none"),
}
_STRIKES_S: Final = 5.0  # positions are read every second

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
    ("filled_in_part", "event_duplicated"),
    ("filled_in_steps", "events_reordered", "event_duplicated"),
    ("gateway_timeout", "malformed_event"),
    ("executed_late:venue=vest,delay_ms=600", "rejected:venue=paradex"),
    ("malformed_reply:venue=vest", "rejected_late:venue=paradex"),
)


class Case(NamedTuple):
    """Scripts that run together, as the command line has them, and when they begin."""

    scripts: tuple[str, ...]
    moment: str

    def __str__(self) -> str:
        return f"{'+'.join(self.scripts)} {self.moment}"


class Outcome(NamedTuple):
    """What became of a case. ``broken`` is empty when every promise was kept."""

    case: Case
    struck: int
    ends: tuple[str, ...]  # phases at rest: under the scripts, after them, after an exit
    took_s: float
    broken: list[str]


def all_cases() -> list[Case]:
    """Every script at every venue where it can happen, then the combinations; each at both moments."""
    alone = [
        tuple(f"{part}{',' if ':' in part else ':'}venue={venue}" for part in (*helpers, name))
        for name in fault_scripts.names()
        if name not in _OF_MARKET_DATA
        for helpers in (_ASKED_BECAUSE.get(name, ()),)
        for venue in (fault_scripts.load(name).venues or VENUES)
    ]
    return [Case(scripts, moment) for scripts in (*alone, *COMBINATIONS) for moment in MOMENTS]


async def play(case: Case) -> Outcome:
    """Run one case from a fresh start. Never raises for what the executor did."""
    began_s = time.monotonic()
    ends: list[str] = []
    broken: list[str] = []
    runs: list[Run] = []
    try:
        # The breaker would forbid the trades that follow; it is no matter of these cases.
        async with a_world(risk__max_consecutive_failures=1000) as world:
            await world.start()
            if case.moment == "exit":
                await world.open()
            faults = FaultRuns(world.simulator)
            for text in case.scripts:
                runs += await faults.start(fault_scripts.parse(text))
            await _signal(world, case.moment)
            await _rest(world, ends, broken)
            if not await _have_struck(runs):
                broken.append(f"never struck: {', '.join(run.script.name for run in runs if not run.struck)}")
            await faults.stop()
            await _rest(world, ends, broken)
            if world.phase is PairPhase.HEDGED:
                await _signal(world, "exit")
                await _rest(world, ends, broken)
                if world.phase is PairPhase.HEDGED:
                    broken.append("hedged still, though the venues are well and an exit was asked for")
    except AssertionError as error:
        broken.append(str(error))
    return Outcome(case, sum(run.struck for run in runs), tuple(ends), time.monotonic() - began_s, broken)


async def _signal(world: World, moment: str) -> None:
    """Give the signal and wait until something has come of it."""
    sent, refused = world.counter("orders_sent_total"), len(world.told("signal_refused"))
    if moment == "entry":
        world.enter()
    else:
        world.show("paradex", 50_000, 50_001)
        world.exit()
    phase = world.phase
    await world.until(
        lambda: (
            world.phase is not phase
            or world.counter("orders_sent_total") > sent
            or len(world.told("signal_refused")) > refused
        ),
        f"an answer to the {moment} signal",
    )


async def _rest(world: World, ends: list[str], broken: list[str]) -> None:
    await until_at_rest(world)
    ends.append(world.phase.name)
    broken += broken_promises(world)


async def _have_struck(runs: list[Run]) -> bool:
    deadline_s = time.monotonic() + _STRIKES_S
    while not all(run.struck for run in runs):
        if time.monotonic() > deadline_s:
            return False
        await asyncio.sleep(0.01)
    return True


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
        wrong = "  WRONG" if outcome.broken else ""
        print(
            f"{done:3}/{len(cases)} {case!s:90} {outcome.struck:4} {ends:28} {outcome.took_s:5.1f} s{wrong}",
            flush=True,
        )
        for text in outcome.broken:
            print(f"    {text}", flush=True)
        return outcome

    return await asyncio.gather(*(one(case) for case in cases))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.executor.faults", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="cases that contain every one of these words")
    parser.add_argument("--jobs", type=int, default=3, help="cases at a time; they wait more than they work")
    chosen = parser.parse_args()
    cases = [case for case in all_cases() if all(word in str(case) for word in chosen.only)]
    outcomes = asyncio.run(_play_all(cases, chosen.jobs))
    ends = Counter(outcome.ends[0] if outcome.ends else "no rest" for outcome in outcomes)
    last = Counter(outcome.ends[-1] if outcome.ends else "no rest" for outcome in outcomes)
    took_s = [outcome.took_s for outcome in outcomes]
    wrong = sum(bool(outcome.broken) for outcome in outcomes)
    print(f"\ncases: {len(outcomes)}, strikes: {sum(outcome.struck for outcome in outcomes)}, wrong: {wrong}")
    print("at rest under the scripts:", ", ".join(f"{n} {name}" for name, n in ends.most_common()))
    print("at rest in the end:", ", ".join(f"{n} {name}" for name, n in last.most_common()))
    print(f"seconds per case: p50 {median(took_s):.1f}  max {max(took_s):.1f}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
