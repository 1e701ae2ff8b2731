"""The operator's standing orders, carried out: entries paused, pairs closed and kept closed.

Polled a few times a second and level by level: whatever was missed, killed or restarted in between,
the next poll makes what is into what is ordered. Only then is it acknowledged.
"""

from __future__ import annotations

from pathlib import Path

from events.operator import ForcedExit, Paused, Resumed
from executor.market import Prices
from executor.pair.messages import FlattenRequested, OperatorResumed
from executor.pair.state import Halt
from executor.pairs import MachineRunner, PairRuntime, Pairs, Report
from executor.risk.trading_state import TradingState
from runtime.operator_ack import Acknowledgement, write_acknowledgement
from runtime.operator_orders import FORCED_EXIT, Instruction


class Operator:
    """Carries out what ``trading_state.orders`` says."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        runner: MachineRunner,
        prices: Prices,
        trading_state: TradingState,
        report: Report,
        directory: Path,
    ) -> None:
        self._pairs = pairs
        self._runner = runner
        self._prices = prices
        self._orders = trading_state.orders
        self._report = report
        self._directory = directory
        self._paused_by: dict[str, Instruction] = {}  # as logged: "control", "file"
        self._forced: dict[str, Instruction] = {}  # as logged, by pair
        self._acknowledged: Acknowledgement | None = None

    def poll(self) -> None:
        """Take up what is ordered now, and lift what is ordered no more."""
        self._orders.look()
        for pair in self._pairs:
            self._close_or_free(pair)

    def why_no_entries(self, pair: PairRuntime) -> str:
        """The operator's reason not to open anything on this pair alone; empty when there is none."""
        return FORCED_EXIT if self._is_forced(pair) else ""

    def acknowledge(self, held: int) -> None:
        """Write what is in force, once every machine and every view has it; ``held`` too."""
        self._report_changes()
        acknowledged = Acknowledgement(
            self._orders.instructions.number,
            held,
            list(self._paused_by),
            list(self._forced),
            {pair.rules.pair: pair.entries_stopped for pair in self._pairs},
        )
        if acknowledged != self._acknowledged:
            write_acknowledgement(self._directory, acknowledged)
            self._acknowledged = acknowledged

    def _report_changes(self) -> None:
        """Log what has come into force and what was lifted; a new process reports again what is in force."""
        instructions, report = self._orders.instructions, self._report
        paused_by: dict[str, Instruction] = {}
        if instructions.paused is not None:
            paused_by["control"] = instructions.paused
        if self._orders.is_pause_file_there:
            paused_by["file"] = Instruction(str(self._orders.pause_path), "")
        for name in self._paused_by.keys() - paused_by.keys():
            report(Resumed(what="entries", switch=name))
        for name, order in paused_by.items():
            if name not in self._paused_by:
                report(Paused(switch=name, **order._asdict()))
        forced = {pair.rules.pair: pair for pair in self._pairs if self._is_forced(pair)}
        for name in self._forced.keys() - forced.keys():
            report(Resumed(what="forced exit", pair=name))
        for name in forced.keys() - self._forced.keys():
            report(ForcedExit(pair=name, **instructions.forced[name]._asdict()))
        self._paused_by, self._forced = paused_by, {name: instructions.forced[name] for name in forced}

    def _is_forced(self, pair: PairRuntime) -> bool:
        return pair.rules.pair in self._orders.instructions.forced

    def _close_or_free(self, pair: PairRuntime) -> None:
        state, feed = pair.state, self._runner.feed
        if self._is_forced(pair):
            if not state.flatten:  # somebody else's wish to have it flat is as good, until it ends
                feed(pair, FlattenRequested(self._prices.at(pair), FORCED_EXIT))
        elif state.flatten == FORCED_EXIT and state.halt is Halt.NONE and self._orders.instructions.is_known:
            # A HALTED pair keeps its wish: resuming decides nothing about what halted it.
            feed(pair, OperatorResumed(self._prices.at(pair)))
