"""``python -m verification.proxy``: every fault at both moments; the exit code counts disagreements.

--only TEXT   runs whose line holds this text        --every N     one in N, for a sample
--jobs N      runs at a time                         --first N     go on with this run, of 176
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from verification.proxy.kinds import FAULTS
from verification.proxy.play import MOMENTS, Run, play_all


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.proxy", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    parser.add_argument("--jobs", type=int, default=2, metavar="N")
    parser.add_argument("--first", type=int, default=1, metavar="N")
    arguments = parser.parse_args()
    pairs = ((fault, moment) for fault in FAULTS for moment in MOMENTS)
    runs = [Run(number, *pair) for number, pair in enumerate(pairs, 1)][arguments.first - 1 :]
    wanted = [run for run in runs if arguments.only in f"{run.fault} {run.moment}"][:: arguments.every]
    outcomes = asyncio.run(play_all(wanted, arguments.jobs))
    broken = sum(bool(outcome.broken) for outcome in outcomes)
    estimated = sum(outcome.is_estimated for outcome in outcomes)
    unstruck = sum(not outcome.struck for outcome in outcomes)
    halted = sum(any("HALTED" in end for end in outcome.ends) for outcome in outcomes)
    print(
        f"{len(outcomes)} runs of {len(FAULTS)} faults x {len(MOMENTS)}: {broken} disagree with the venues' "
        f"books, the journal or the database; {halted} HALTED, {estimated} estimated, {unstruck} never struck"
    )
    return min(broken, 100)


if __name__ == "__main__":
    sys.exit(main())
