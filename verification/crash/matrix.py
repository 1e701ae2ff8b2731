"""The crash matrix: the real process is killed at a point of the code while a trade is in a given scene.

One instance lives through many cells; the real supervisor brings the victim back each time. A cell is
good when the pair is then flat, hedged or HALTED in the venues' own books, no client order id was seen
twice, and the executor trades again.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, NamedTuple

from persistence.journal import journal_directory
from persistence.server import start_server
from runtime import reconcile_request
from runtime.crash_points import MOMENTS, POINTS, VARIABLE
from settings import load_raw, parse_settings
from shm.counter_names import DATABASE_UP, PROCESS_STATES
from shm.layout import Memory
from shm.records import PairPhase
from simulator.orders import Reason
from supervision.unattended import EXIT_NOT_YET
from tests.crash.stage import CLOSED_BPS, HOLD_BPS, PAIR, REFUSALS, SIZE_E8, SYMBOLS, WIDE_BPS, Stage
from tests.instance import Instance, memory_dir
from verification.agreement import differences

SCENES: Final = ("entry", "hold", "exit", "retry", "unwind", "shutdown")
REACH_S: Final = 15.0
_SETTLE_S: Final = 60.0
_RESTART_S: Final = 5.0  # before a start that was not possible is tried again
_REST_S: Final = 0.5  # a process that goes on after a stop has yet to act on what it finds
_STEADY_S: Final = 10.5  # an incarnation this long counts as steady to the supervisor: no back-off
_AT_REST: Final = (PairPhase.FLAT, PairPhase.HEDGED, PairPhase.HALTED)
_KILLED: Final = "SIGKILL"
# Where the executor speaks with a venue, or is about to.
_AT_VENUES: Final = ("machine_write", "order_send", "answer_receive", "stream_receive", "question")


class Cell(NamedTuple):
    process: str
    point: str
    moment: str
    nth: int
    scene: str

    def __str__(self) -> str:
        return f"{self.process:12} {self.point:15} {self.moment:6} {self.nth} {self.scene}"


@dataclass(slots=True)
class Outcome:
    """What became of a cell. ``result``: FLAT, HEDGED, HALTED; "not passed"; or what went wrong."""

    cell: Cell
    result: str
    again_s: float = 0.0  # from the kill to trading again

    @property
    def is_good(self) -> bool:
        return self.result in ("FLAT", "HEDGED", "HALTED", "not passed")


def all_cells() -> list[Cell]:
    """Every point, both moments, every scene; the two orders of a batch apart. Shutdowns come last."""
    executor = [
        Cell("executor", point.name, moment, nth, scene)
        for scene in SCENES
        for point in POINTS["executor"]
        for moment in MOMENTS
        for nth in ((1, 2) if point.name == "order_send" and scene in ("entry", "exit") else (1,))
        if not (point.name == "signal_write" and scene not in ("entry", "exit"))
    ]
    others = [
        Cell(process, point.name, moment, 1, scene)
        for scene in ("entry", "hold", "exit")
        for process in (*(f"feed-{venue}" for venue in SYMBOLS), "detector", "persistence")
        for point in POINTS[process.partition("-")[0]]
        for moment in MOMENTS
        if not (point.name == "signal_push" and scene == "hold")
    ]
    # Interleaved, so that no process dies young twice in a row: that would be the supervisor's back-off.
    mixed: list[Cell] = []
    trading = [cell for cell in executor if cell.scene != "shutdown"]
    for number in range(max(len(trading), len(others))):
        mixed += [cells[number] for cells in (trading, others) if number < len(cells)]
    return mixed + [cell for cell in executor if cell.scene == "shutdown"]


def hyperliquid_cells() -> list[Cell]:
    """For pairs with a leg there: every point at which the executor meets a venue, and that venue's feed."""
    executor = [cell for cell in all_cells() if cell.process == "executor" and cell.point in _AT_VENUES]
    feed = [cell._replace(process="feed-hyperliquid") for cell in all_cells() if cell.process == "feed-vest"]
    # In turns: whatever dies twice in a row meets the supervisor's back-off.
    trading = [cell for cell in executor if cell.scene != "shutdown"]
    mixed = [cell for cells in zip_longest(trading, feed) for cell in cells if cell is not None]
    return mixed + [cell for cell in executor if cell.scene == "shutdown"]


class Matrix:
    """One instance on a stage, and the cells it lives through.

    reach_s: a scene that does not pass the point by then does not pass it.
    """

    def __init__(self, stage: Stage, *, reach_s: float = REACH_S) -> None:
        self._reach_s = reach_s
        self.stage = stage
        self._order = stage.config.parent / "crash-at"
        self._done = self._order.with_name(self._order.name + ".done")
        self._settings = parse_settings(load_raw(stage.config), str(stage.config))
        self._feeds = [f"feed-{venue}" for venue in stage.symbols]
        self._last_death_s = dict.fromkeys(("executor", *self._feeds, "detector"), 0.0)
        self.instance: Instance
        self._start()

    # --- the instance ---

    def _start(self) -> None:
        self.stage.market.gap_bps = HOLD_BPS
        while True:
            self.instance = self.stage.start(**{VARIABLE: str(self._order)})
            found = self.instance.wait_for(lambda line: line["event"] in ("running", "shutdown_done"), 90)
            if found["event"] == "running":
                break
            # As systemd would: a venue did not answer, or had been asked too often by the cells before.
            assert self.instance.finish() == EXIT_NOT_YET, self.instance.lines[-3:]
            time.sleep(_RESTART_S)
        self._memory = Memory(memory_dir(self.stage.config) / "tandem-test")
        self._views = self._memory.pairs()
        self._counters = {
            name: self._memory.counters(name)
            for name in ("executor", "supervisor", *self._feeds, "detector", "persistence")
        }
        self._wait(self._is_ready, "ready after the start")

    def _counter(self, process: str, name: str) -> int:
        table = self._counters[process]
        return table.get(table.index(name))

    @property
    def phase(self) -> PairPhase:
        view = self._views.read(0)
        return PairPhase(view.phase) if view else PairPhase.UNKNOWN

    def _is_running(self, process: str) -> bool:
        return self._counter("supervisor", f"state.{process}") == PROCESS_STATES.index("running")

    def _is_ready(self) -> bool:
        return all(self._is_running(name) for name in self._counters if name != "supervisor") and bool(
            self._counter("executor", "ready")
        )

    def _trades_again(self, died_mono_ns: int) -> bool:
        """Whether every process beats, quotes are fresh, and the executor has its venues' word."""
        # The configuration is written with its keys sorted: Paradex is the first leg of today's pair.
        venues = sorted(self.stage.symbols)
        fresh = [self._memory.tops(venue).read(leg) for leg, venue in enumerate(venues)]
        return (
            self._is_ready()
            and self._counter("executor", "heartbeat_mono_ns") > died_mono_ns
            and all(quote is not None and quote.recv_mono_ns > died_mono_ns for quote in fresh)
        )

    def _wait(self, condition: Callable[[], bool], what: str, timeout_s: float = _SETTLE_S) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what}: not within {timeout_s:g} s; phase {self.phase.name}")
            if self.instance.process.poll() is not None:
                self.instance.finish()
                raise AssertionError(f"{what}: the instance ended; last: {self.instance.lines[-3:]}")
            time.sleep(0.005)

    # --- one cell ---

    def run(self, cell: Cell) -> Outcome:
        died_s = self._last_death_s.get(cell.process, 0.0)
        time.sleep(max(0.0, died_s + _STEADY_S - time.monotonic()))
        try:
            return self._shut_down(cell) if cell.scene == "shutdown" else self._trade(cell)
        except AssertionError as error:
            self.stage.clear_faults()
            self._order.unlink(missing_ok=True)
            return Outcome(cell, str(error)[:600])

    def _arm(self, cell: Cell, fate: str) -> None:
        self._done.unlink(missing_ok=True)
        scene = cell.scene if cell.process == "executor" else "-"
        unfinished = self._order.with_name("unfinished")
        unfinished.write_text(f"{cell.process} {cell.point} {cell.moment} {cell.nth} {scene} {fate}")
        unfinished.rename(self._order)

    def _trade(self, cell: Cell) -> Outcome:
        died_mono_ns = self._play(cell, _KILLED)
        if died_mono_ns:
            self._last_death_s[cell.process] = died_mono_ns / 1e9
            self._wait(lambda: not self._is_running(cell.process), "the death is noticed")
        self._wait(lambda: self._trades_again(died_mono_ns), "trading again")
        again_s = (time.monotonic_ns() - died_mono_ns) / 1e9 if died_mono_ns else 0.0
        self._wait_for_rest()
        if not died_mono_ns:
            return Outcome(cell, "not passed", again_s)
        return Outcome(cell, self._verdict(), again_s)

    def _play(self, cell: Cell, fate: str) -> int:
        """Bring the scene about with the fate that waits in it; when it struck, 0 if it did not.

        fate: the signal, and who gets it besides the process that passes the point; see ``crashpoints``.
        """
        market, is_executor = self.stage.market, cell.process == "executor"
        is_in_trade = cell.scene in ("hold", "exit")
        self._go_to(PairPhase.HEDGED if is_in_trade else PairPhase.FLAT)
        if is_executor:  # it knows the scene itself
            self._arm(cell, fate)
        second, symbol = list(self.stage.symbols.items())[1]
        if cell.scene == "retry":
            # The order's update ends it: one that only its answer refused is not followed by another.
            self.stage.add_fault(second, f"execute.{symbol}", reason=Reason.INSUFFICIENT_MARGIN)
        elif cell.scene == "unwind":
            point, code = REFUSALS[second]
            self.stage.add_fault(second, point, code=code, times=None)
        market.gap_bps = {"hold": HOLD_BPS, "exit": CLOSED_BPS}.get(cell.scene, WIDE_BPS)
        if not is_executor:  # as soon as the scene begins
            self._arm(cell, fate)
        is_reached = self._is_reached()
        self.stage.clear_faults()
        market.gap_bps = HOLD_BPS
        return int(self._done.read_text()) if is_reached else 0

    def _is_reached(self) -> bool:
        deadline_s = time.monotonic() + self._reach_s
        while time.monotonic() < deadline_s:
            if self._done.exists() and not self._order.exists():
                return True
            time.sleep(0.005)
        self._order.unlink(missing_ok=True)
        return self._done.exists()

    def _shut_down(self, cell: Cell) -> Outcome:
        """The executor dies while the whole is being stopped; the next start takes up what it left."""
        self._go_to(PairPhase.HEDGED)
        self._arm(cell, _KILLED)
        self.instance.stop(signal.SIGTERM, timeout_s=90)
        is_reached = self._done.exists()
        self._order.unlink(missing_ok=True)
        self._start()
        self._wait_for_rest()
        return Outcome(cell, self._verdict() if is_reached else "not passed")

    def _go_to(self, phase: PairPhase) -> None:
        self._wait(self._is_ready, "ready")
        if self.phase is PairPhase.HALTED:  # it stays so until the operator has looked
            reconcile_request.ask(self._memory.directory, "adopt")
            self._wait(lambda: self.phase is not PairPhase.HALTED, "no longer HALTED")
        if self.phase is not phase:
            self.stage.market.gap_bps = WIDE_BPS if phase is PairPhase.HEDGED else CLOSED_BPS
            self._wait(lambda: self.phase is phase, phase.name)
        self.stage.market.gap_bps = HOLD_BPS

    def _wait_for_rest(self) -> None:
        """Until nothing has been under way for a moment."""
        moved_s = [time.monotonic()]

        def rests() -> bool:
            if not self._is_at_rest():
                moved_s[0] = time.monotonic()
            return time.monotonic() - moved_s[0] >= _REST_S

        self._wait(rests, "at rest")

    def _is_at_rest(self) -> bool:
        view = self._views.read(0)
        if view is None or PairPhase(view.phase) not in _AT_REST:
            return False
        return view.phase == PairPhase.HALTED or self._is_told_right()

    def _is_told_right(self) -> bool:
        view = self._views.read(0)
        first_e8, second_e8 = self.stage.positions_e8.values()
        told_e8 = 0 if view is None or view.phase == PairPhase.FLAT else view.size_e8
        return abs(first_e8) == told_e8 and first_e8 == -second_e8

    def _verdict(self) -> str:
        doubled, open_orders = self.stage.doubled_ids(), self.stage.open_orders()
        if doubled:
            return f"client order ids twice: {doubled}"
        if open_orders:
            return f"open orders: {open_orders}"
        if max(map(abs, self.stage.positions_e8.values())) > SIZE_E8:
            return f"too much is held: {self.stage.positions_e8}"
        return self.phase.name

    def why_halted(self) -> str:
        """What the log says of a pair that is HALTED; empty if it is not."""
        if self.phase is not PairPhase.HALTED:
            return ""
        self.instance.take_waiting()
        return next((str(line["reason"]) for line in reversed(self.instance.events("halted"))), "")

    def _wait_for_agreement(self) -> None:
        """Until journal, database and venues tell the same positions and orders."""
        self._wait(lambda: self._counter("persistence", "database_state") == DATABASE_UP, "the database")
        deadline_s = time.monotonic() + _SETTLE_S
        while wrong := list(self._differences()):
            if time.monotonic() > deadline_s:
                raise AssertionError("; ".join(wrong))
            time.sleep(0.05)

    # --- the end ---

    def finish(self) -> list[str]:
        """Stop in order; what the database does not tell as the venues do."""
        self._go_to(PairPhase.FLAT)
        # Not SIGINT: started in the background by a shell, this process has it ignored, and so its children.
        exit_code = self.instance.stop(signal.SIGTERM, timeout_s=120)
        wrong = [] if exit_code == 0 else [f"exit code {exit_code}"]
        return wrong + list(self._differences())

    def _differences(self) -> Iterator[str]:
        """What the database or the journal does not tell as the venues do."""
        orders = {venue: self.stage.orders(venue) for venue in self.stage.symbols}
        url = start_server(Path(self.stage.config.parent / "var"))
        journal = journal_directory(self._settings)
        return differences(journal, url, PAIR, self.stage.positions_e8, orders)
