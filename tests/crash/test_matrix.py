"""A sample of the crash matrix; ``make crash`` runs all of it."""

from __future__ import annotations

from importlib import import_module

from crashpoints import POINTS
from tests.crash.matrix import Cell, Matrix, all_cells
from tests.crash.stage import a_stage

SAMPLE = (
    Cell("executor", "order_send", "after", 1, "entry"),  # one leg has left, the other has not
    Cell("persistence", "journal_sync", "before", 1, "exit"),
    Cell("detector", "signal_push", "after", 1, "entry"),
    Cell("executor", "machine_write", "after", 1, "exit"),
    Cell("persistence", "database_commit", "after", 1, "entry"),
)


def test_killed_at_points_of_a_trade_everything_ends_flat_or_hedged() -> None:
    """Real processes, real venues, the real supervisor; database and venues agree at the end."""
    with a_stage(runtime__on_shutdown="flatten") as stage:
        matrix = Matrix(stage)
        outcomes = [matrix.run(cell) for cell in SAMPLE]
        wrong = matrix.finish()

    assert {outcome.result for outcome in outcomes} <= {"FLAT", "HEDGED"}, outcomes
    assert wrong == []


def test_every_point_is_a_function_that_is_there_and_in_the_matrix() -> None:
    """A renamed function would silently take its cells out of the matrix."""
    cells = {(cell.process.partition("-")[0], cell.point) for cell in all_cells()}
    for process, points in POINTS.items():
        for point in points:
            assert callable(getattr(getattr(import_module(point.module), point.owner), point.function))
            assert (process, point.name) in cells
