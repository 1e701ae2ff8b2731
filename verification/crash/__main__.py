"""``make crash``: every point in every scene, a table of what became of each, and what recovery took.

    python -m verification.crash [--parts PART ...] [--scenes SCENE ...] [--only WORD ...] [--every N]

Parts: ``points`` kills one process at every point of its code, ``everything`` all of them at once and the
database server with them, ``stopped`` stops each for half a minute, replaced by the supervisor, and
``patient`` the same where nobody replaces it; ``vest-hyperliquid`` and ``hyperliquid-paradex`` are the first
part for pairs with a leg at Hyperliquid, where a process meets a venue. Exit code 1 if any cell ended
otherwise than flat, hedged or HALTED, if no cell of a scene passed its point, or if journal, database and
venues did not agree.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

from simulator.hyperliquid.settings import HyperliquidSettings
from tests.crash.stage import SYMBOLS, Stage, a_stage
from tests.executor.harness import HYPERLIQUID_PAIRS, symbols_of
from verification.crash import kill_all, stopped
from verification.crash.kill_all import Everything
from verification.crash.matrix import SCENES, Cell, Matrix, Outcome, all_cells, hyperliquid_cells
from verification.crash.stopped import PATIENCE_MS, Stood, Stopped

# Forty starts a minute use up what Hyperliquid answers an address (1,200 of weight). Then every question is
# refused, and the cells tell of that alone: most points are not passed, and doubt stays. Trading never gets
# there, and what it does without answers is the faults' matter.
_UNWEARIED: Final = {"hyperliquid": HyperliquidSettings(ip_weight_per_minute=1_000_000)}


class Part(NamedTuple):
    cells: Callable[[], list[Cell]]
    matrix: Callable[[Stage], Matrix]
    changes: Mapping[str, Any] = {}
    symbols: Mapping[str, str] = SYMBOLS


PARTS: Final[Mapping[str, Part]] = {
    "points": Part(all_cells, Matrix),
    "everything": Part(kill_all.cells, Everything),
    "stopped": Part(stopped.cells, Stopped),
    "patient": Part(stopped.cells, Stopped, {"runtime__heartbeat_timeout_ms": PATIENCE_MS}),
    **{"-".join(pair): Part(hyperliquid_cells, Matrix, {}, symbols_of(pair)) for pair in HYPERLIQUID_PAIRS},
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.crash", description=__doc__)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=PARTS)
    parser.add_argument("--only", nargs="*", default=[], help="cells that contain every one of these words")
    parser.add_argument("--scenes", nargs="*", default=SCENES, choices=SCENES)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="one cell in N, for a sample")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the instance ends with us
    is_good = True
    for name in arguments.parts:
        part = PARTS[name]
        cells = [
            cell
            for cell in part.cells()
            if cell.scene in arguments.scenes and set(arguments.only) <= set(str(cell).split())
        ][:: arguments.every]
        if cells:
            print(f"\n{name}: {len(cells)} cells", flush=True)
            is_good &= _run(part, cells)
    return int(not is_good)


def _run(part: Part, cells: list[Cell]) -> bool:
    outcomes: list[Outcome] = []
    with a_stage(part.symbols, settings=_UNWEARIED, runtime__on_shutdown="flatten", **part.changes) as stage:
        matrix = part.matrix(stage)
        for number, cell in enumerate(cells, 1):
            outcome = matrix.run(cell)
            outcomes.append(outcome)
            took = f"{outcome.again_s:6.2f} s" if outcome.again_s else ""
            told = f"{cell!s:52} {outcome.result:12} {took} {matrix.why_halted()}"
            print(f"{number:3}/{len(cells)} {told}".rstrip(), flush=True)
        wrong = matrix.finish()
    unreached = unreached_scenes(outcomes)
    _summarise(
        outcomes, [*wrong, *(f"no cell of the scene {scene!r} passed its point" for scene in unreached)]
    )
    return not wrong and not unreached and all(outcome.is_good for outcome in outcomes)


def unreached_scenes(outcomes: Sequence[Outcome]) -> list[str]:
    """Scenes that were not brought about by any of their cells: nothing is proven of them."""
    passed = {outcome.cell.scene for outcome in outcomes if outcome.result != "not passed"}
    return sorted({outcome.cell.scene for outcome in outcomes} - passed)


def _summarise(outcomes: list[Outcome], wrong: list[str]) -> None:
    by_scene: dict[str, Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        by_scene[outcome.cell.scene][outcome.result if outcome.is_good else "WRONG"] += 1
    for scene, results in by_scene.items():
        found = ", ".join(f"{count} {result}" for result, count in results.most_common())
        print(f"{scene:10} {results.total():3} cells: {found}")
    again: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.again_s:
            again[outcome.cell.process].append(outcome.again_s)
    for process, took in again.items():
        figures = f"p50 {median(took):.2f} s  max {max(took):.2f} s  n {len(took)}"
        print(f"to trading again: {process:12} {figures}")
    alone = [outcome.unhedged_s for outcome in outcomes if isinstance(outcome, Stood)]
    if alone:
        print(f"one leg alone in the venues' books: p50 {median(alone):.2f} s  max {max(alone):.2f} s")
    print("journal and database against venues:", "; ".join(wrong) or "agree")


if __name__ == "__main__":
    sys.exit(main())
