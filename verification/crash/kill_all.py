"""Every process of the instance dies at one instruction of the executor; then it is started by hand.

The supervisor, the feeds, detector, executor, persistence and the embedded database server with all of
its processes: nobody is left to finish, to drain or to bring anything back. What the next start finds is
the shared memory as it stood, the journal as far as it was written, and the venues.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from runtime.crash_points import MOMENTS
from shm.counter_names import DATABASE_UP
from shm.records import PairPhase
from tests.crash.stage import children_of
from verification.crash.matrix import Cell, Matrix, Outcome

_POINTS: Final = (
    ("machine_write", 1),
    ("order_send", 1),
    ("order_send", 2),
    ("answer_receive", 1),
    ("stream_receive", 1),
    ("event_push", 1),
)
_HOLD_POINTS: Final = (("machine_write", 1), ("question", 1), ("stream_receive", 1), ("event_push", 1))


def cells() -> list[Cell]:
    """Around every send and everything that is kept or received, in every scene of a trade."""
    return [
        Cell("executor", point, moment, nth, scene)
        for scene in ("entry", "hold", "exit", "retry", "unwind")
        for point, nth in (_HOLD_POINTS if scene == "hold" else _POINTS)
        for moment in MOMENTS
        # What mends goes out alone.
        if not (nth == 2 and scene in ("retry", "unwind"))
    ] + [
        Cell("executor", "signal_write", moment, 1, scene)
        for scene in ("entry", "exit")
        for moment in MOMENTS
    ]


class Everything(Matrix):
    """The matrix's instance, ended as by a power switch that spares memory, once per cell."""

    def _trade(self, cell: Cell) -> Outcome:
        # Another start of the server would wait for the one before.
        self._wait(lambda: self._counter("persistence", "database_state") == DATABASE_UP, "the database")
        pids = [self.instance.process.pid, *self._database_pids(), *children_of(self.stage)]
        executor = self._counter("supervisor", "pid.executor")
        others = [str(pid) for pid in pids if pid != executor]
        died_mono_ns = self._play(cell, " ".join(("SIGKILL", *others)))
        if died_mono_ns:
            self.instance.finish()
            self._start()
        self._wait(lambda: self._trades_again(died_mono_ns), "trading again")
        again_s = (time.monotonic_ns() - died_mono_ns) / 1e9 if died_mono_ns else 0.0
        self._wait_for_rest()
        if self.phase is not PairPhase.HALTED:
            self._wait_for_agreement()
        return Outcome(cell, self._verdict() if died_mono_ns else "not passed", again_s)

    def _database_pids(self) -> list[int]:
        """The server and everything it has started."""
        postmaster = int(
            (self.stage.config.parent / "var/postgres/postmaster.pid").read_text().split("\n", 1)[0]
        )
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]
