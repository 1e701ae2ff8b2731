"""Each process is stopped (SIGSTOP) for half a minute while the market goes on.

Twice: with the supervisor's usual patience, which replaces what does not beat after seconds, and with so
much that the very process goes on half a minute later, in the middle of whatever it was doing. What is not
stopped has to carry on: where orders can leave at all, trades are made meanwhile.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from shm.records import PairPhase
from tests.crash.stage import CLOSED_BPS, HOLD_BPS, WIDE_BPS, Stage
from verification.crash.matrix import REACH_S, Cell, Matrix, Outcome

STOPPED_S: Final = 30.0
PATIENCE_MS: Final = 120_000  # of a supervisor that replaces nobody
_SWING_S: Final = 3.0  # the market opens and closes the gap
_NOTICE_S: Final = 1.0  # a leg unhedged for longer has to be reported
_TRADED_WITHOUT: Final = ("supervisor", "persistence")
_EXECUTOR: Final = (
    Cell("executor", "order_send", "after", 1, "entry"),  # one leg has left, the other has not
    Cell("executor", "view_publish", "before", 1, "hold"),
    Cell("executor", "order_send", "after", 1, "exit"),
    Cell("executor", "answer_receive", "before", 1, "retry"),
    Cell("executor", "order_send", "before", 1, "unwind"),
)


def cells() -> list[Cell]:
    """The executor in every scene, the others in those that differ for them."""
    others = [
        Cell(process, point, "after", 1, scene)
        for process, point in (
            ("feed-vest", "slot_publish"),
            ("feed-paradex", "frame_receive"),
            ("detector", "quote_receive"),
            ("persistence", "journal_append"),
            ("supervisor", "-"),
        )
        for scene in ("entry", "exit")
    ]
    return [*_EXECUTOR, *others]


@dataclass(slots=True)
class Stood(Outcome):
    """``unhedged_s``: the longest that the legs differed in the venues' books, from the stop on."""

    unhedged_s: float = 0.0


class Stopped(Matrix):
    """The matrix's instance, one process of it stopped per cell."""

    def __init__(self, stage: Stage, *, stopped_s: float = STOPPED_S, reach_s: float = REACH_S) -> None:
        super().__init__(stage, reach_s=reach_s)
        self._stopped_s = stopped_s

    def _trade(self, cell: Cell) -> Outcome:
        self.instance.take_waiting()
        lines_before = len(self.instance.lines)
        stopped_mono_ns = self._stop(cell)
        if not stopped_mono_ns:
            return Outcome(cell, "not passed")
        pid = self._pid_of(cell.process)
        filled_before = self._filled_orders()
        try:
            unhedged_s = self._let_the_market_swing(cell.process, pid, stopped_mono_ns)
        finally:
            with suppress(ProcessLookupError):  # replaced meanwhile
                os.kill(pid, signal.SIGCONT)
        filled = self._filled_orders() - filled_before
        is_replaced = self._pid_of(cell.process) != pid
        if is_replaced:
            self._last_death_s[cell.process] = time.monotonic()
        self.stage.market.gap_bps = HOLD_BPS
        self._wait(lambda: self._trades_again(time.monotonic_ns() - 10**9), "trading again")
        again_s = (time.monotonic_ns() - stopped_mono_ns) / 1e9
        self._wait_for_rest()
        if self.phase is not PairPhase.HALTED:
            self._wait_for_agreement()
            self._wait_for_rest()
        self.instance.take_waiting()
        alarms = [
            line for line in self.instance.lines[lines_before:] if line["level"] in ("warning", "error")
        ]
        is_patient = self._settings.runtime.heartbeat_timeout_ms > 1e3 * self._stopped_s
        if is_replaced is (is_patient or cell.process == "supervisor"):
            return Outcome(cell, "replaced" if is_replaced else "not replaced", again_s)
        if unhedged_s > _NOTICE_S and not alarms:
            return Outcome(cell, f"unhedged for {unhedged_s:.1f} s and nothing reported", again_s)
        if cell.process in _TRADED_WITHOUT and not filled:
            return Outcome(cell, "nothing was traded meanwhile", again_s)
        return Stood(cell, self._verdict(), again_s, unhedged_s)

    def _stop(self, cell: Cell) -> int:
        """Stop the process in its scene; when that was, 0 if the scene did not pass the point."""
        if cell.process != "supervisor":
            return self._play(cell, "SIGSTOP")
        self._go_to(PairPhase.HEDGED if cell.scene == "exit" else PairPhase.FLAT)
        os.kill(self.instance.process.pid, signal.SIGSTOP)
        return time.monotonic_ns()

    def _pid_of(self, process: str) -> int:
        if process == "supervisor":
            return self.instance.process.pid
        return self._counter("supervisor", f"pid.{process}")

    def _filled_orders(self) -> int:
        return sum(
            order.filled_e8 > 0 for venue in self.stage.positions_e8 for order in self.stage.orders(venue)
        )

    def _let_the_market_swing(self, process: str, pid: int, stopped_mono_ns: int) -> float:
        """Until the time is over or the process was replaced; the longest time one leg stood alone."""
        longest_ns = alone_mono_ns = 0
        end_mono_ns = stopped_mono_ns + int(self._stopped_s * 1e9)
        while (now_mono_ns := time.monotonic_ns()) < end_mono_ns and self._pid_of(process) == pid:
            is_open = int((now_mono_ns - stopped_mono_ns) / 1e9 / _SWING_S) % 2
            self.stage.market.gap_bps = CLOSED_BPS if is_open else WIDE_BPS
            if sum(self.stage.positions_e8.values()):
                alone_mono_ns = alone_mono_ns or now_mono_ns
                longest_ns = max(longest_ns, now_mono_ns - alone_mono_ns)
            else:
                alone_mono_ns = 0
            time.sleep(0.02)
        return longest_ns / 1e9
