"""``make crash``: every point in every scene, a table of what became of each, and what recovery took.

    python -m tests.crash [--scenes SCENE ...] [--only WORD ...]

Exit code 1 if any cell ended otherwise than flat, hedged or HALTED.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from statistics import median

from tests.crash.matrix import SCENES, Matrix, Outcome, all_cells
from tests.crash.stage import a_stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="cells that contain every one of these words")
    parser.add_argument("--scenes", nargs="*", default=SCENES, choices=SCENES)
    arguments = parser.parse_args()
    words = arguments.only
    cells = [
        cell
        for cell in all_cells()
        if cell.scene in arguments.scenes and set(words) <= set(str(cell).split())
    ]
    outcomes: list[Outcome] = []
    with a_stage(runtime__on_shutdown="flatten") as stage:
        matrix = Matrix(stage)
        for number, cell in enumerate(cells, 1):
            outcome = matrix.run(cell)
            outcomes.append(outcome)
            took = f"{outcome.again_s:6.2f} s" if outcome.again_s else ""
            print(f"{number:3}/{len(cells)} {cell!s:52} {outcome.result:12} {took}", flush=True)
        wrong = matrix.finish()
    _summarise(outcomes, wrong)
    return int(bool(wrong) or not all(outcome.is_good for outcome in outcomes))


def _summarise(outcomes: list[Outcome], wrong: list[str]) -> None:
    results = Counter(outcome.result if outcome.is_good else "WRONG" for outcome in outcomes)
    print("\nresults:", ", ".join(f"{count} {result}" for result, count in results.most_common()))
    again: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.again_s:
            again[outcome.cell.process].append(outcome.again_s)
    for process, took in again.items():
        figures = f"p50 {median(took):.2f} s  max {max(took):.2f} s  n {len(took)}"
        print(f"kill to trading again: {process:12} {figures}")
    print("database against venues:", "; ".join(wrong) or "agree")


if __name__ == "__main__":
    sys.exit(main())
