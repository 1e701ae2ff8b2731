"""A sample of the crash matrix; ``make crash`` runs all of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from runtime.crash_points import POINTS, TWINS
from settings import PROJECT
from tests.crash.stage import a_stage
from tests.executor.harness import HYPERLIQUID_PAIRS, symbols_of
from tests.instance import a_directory, descendants
from tests.waiting import DEADLINE_S, wait_until
from verification.crash.__main__ import unreached_scenes
from verification.crash.kill_all import Everything
from verification.crash.matrix import Cell, Matrix, Outcome, all_cells
from verification.crash.stopped import Stopped

SAMPLE = (
    Cell("executor", "order_send", "after", 1, "entry"),  # one leg has left, the other has not
    Cell("persistence", "journal_sync", "before", 1, "exit"),
    Cell("detector", "signal_push", "after", 1, "entry"),
    Cell("executor", "machine_write", "after", 1, "exit"),
    Cell("persistence", "database_commit", "after", 1, "entry"),
    Cell("executor", "order_send", "after", 1, "retry"),
    Cell("feed-vest", "slot_publish", "after", 1, "hold"),  # behind C, where that is built
)


def play(matrix: Matrix, cell: Cell) -> Outcome:
    """Play it until the point was passed: an answer that comes behind its fills finds the scene over."""
    outcome = matrix.run(cell)
    for _ in range(10):
        if outcome.result != "not passed":
            break
        outcome = matrix.run(cell)
    return outcome


def test_killed_at_points_of_a_trade_everything_ends_flat_or_hedged() -> None:
    """Real processes, real venues, the real supervisor; database and venues agree at the end."""
    with a_stage(runtime__on_shutdown="flatten") as stage:
        matrix = Matrix(stage, reach_s=60.0)
        outcomes = [play(matrix, cell) for cell in SAMPLE]
        wrong = matrix.finish()

    assert {outcome.result for outcome in outcomes} <= {"FLAT", "HEDGED"}, outcomes
    assert wrong == []


@pytest.mark.parametrize("venues", HYPERLIQUID_PAIRS, ids="-".join)
def test_with_a_leg_at_hyperliquid_on_either_side_it_is_the_same(venues: tuple[str, str]) -> None:
    """There an answer that was lost with its process is asked for, or its nonce used up."""
    with a_stage(symbols_of(venues), runtime__on_shutdown="flatten") as stage:
        matrix = Matrix(stage, reach_s=60.0)
        outcomes = [
            play(matrix, Cell("executor", "order_send", "after", 1, "entry")),
            play(matrix, Cell("feed-hyperliquid", "frame_receive", "after", 1, "hold")),
            play(matrix, Cell("executor", "stream_receive", "before", 1, "exit")),
        ]
        wrong = matrix.finish()

    assert {outcome.result for outcome in outcomes} <= {"FLAT", "HEDGED"}, outcomes
    assert wrong == []


def test_when_everything_dies_at_once_the_next_start_knows_all_of_it() -> None:
    """Supervisor, processes and database server, while the answer to an order is being taken in."""
    with a_stage(runtime__on_shutdown="flatten") as stage:
        matrix = Everything(stage, reach_s=60.0)
        outcome = play(matrix, Cell("executor", "answer_receive", "before", 1, "entry"))
        wrong = matrix.finish()

    assert outcome.result in ("FLAT", "HEDGED"), outcome
    assert wrong == []


def test_a_process_that_stops_is_replaced_and_a_stopped_supervisor_stops_nothing() -> None:
    """The executor hangs with one leg sent; then trading goes on under a supervisor that does not run."""
    with a_stage(runtime__on_shutdown="flatten") as stage:
        matrix = Stopped(stage, stopped_s=12.0, reach_s=60.0)
        outcomes = [
            play(matrix, Cell("executor", "order_send", "after", 1, "entry")),
            play(matrix, Cell("supervisor", "-", "after", 1, "entry")),
        ]
        wrong = matrix.finish()

    assert {outcome.result for outcome in outcomes} <= {"FLAT", "HEDGED"}, outcomes
    assert wrong == []


def test_every_point_is_a_function_that_is_there_and_in_the_matrix() -> None:
    """A renamed function would silently take its cells out of the matrix."""
    cells = {(cell.process.partition("-")[0], cell.point) for cell in all_cells()}
    for process, points in (*POINTS.items(), *TWINS.items()):
        for point in points:
            assert callable(getattr(getattr(import_module(point.module), point.owner), point.function))
            assert (process, point.name) in cells


def test_a_scene_that_no_cell_brought_about_is_named() -> None:
    """Every cell of the retries was "not passed", which is good for one cell, and nobody saw it."""
    entry, retry = (next(cell for cell in SAMPLE if cell.scene == scene) for scene in ("entry", "retry"))
    outcomes = [Outcome(entry, "FLAT"), Outcome(entry, "not passed"), Outcome(retry, "not passed")]

    assert unreached_scenes(outcomes) == ["retry"]
    assert unreached_scenes([*outcomes, Outcome(retry, "HALTED")]) == []


def test_a_run_that_is_ended_leaves_no_instance_behind() -> None:
    """It would trade on beside whatever is measured next."""
    with a_directory() as directory:  # a short path, for the database's socket
        process = subprocess.Popen(
            [sys.executable, "-m", "verification.crash", "--parts", "points", "--only", "machine_write"],
            cwd=PROJECT,
            env={**os.environ, "TMPDIR": str(directory)},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert any(line.lstrip().startswith(b"1/") for line in process.stdout)
        assert list(descendants(str(directory))) != []
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 128 + signal.SIGTERM
        process.stdout.close()
        wait_until(lambda: not list(descendants(str(directory))))
        assert list(Path(directory).glob("tandem-test-*")) == []
