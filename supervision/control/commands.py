"""Carries out the operator's commands: pause, resume, force-exit, reload, show-config.

An instruction is on disk before anybody acts on it. It is answered when the executor has acknowledged that
it is in force; where that takes too long the answer says so, and the instruction holds all the same.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from events.operator import Control, ControlRefused
from observability.logs import Reporter
from runtime.operator_ack import Acknowledgement, read_acknowledgement
from runtime.operator_orders import (
    Instruction,
    Instructions,
    instructions_file,
    pause_file,
    read_instructions,
    write_instructions,
)
from settings import Settings
from shm.counter_names import PROCESS_STATES
from shm.counters import CounterTable
from shm.entry_block import EntryBlock
from shm.layout import Memory
from shm.records import PairPhase
from supervision.control.reload import ReadConfig, Reloads
from supervision.control.requests import BadRequest, names_of, now_utc, seconds_of, text_of, until
from supervision.control.socket import Answer, Request, failure
from venues.contract import format_e8


class Commands:
    """Answers requests within the supervisor's process; the executor is reached through memory alone."""

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        counters: CounterTable,
        reporter: Reporter,
        read_config: ReadConfig,
    ) -> None:
        self._settings = settings
        self._pair_ids = [pair.id for pair in settings.pairs]
        self._directory: Path = memory.directory
        self._counters = counters
        self._views = memory.pairs()
        self._reporter = reporter
        self._path = instructions_file(settings)
        self._instructions: Instructions = read_instructions(self._path)
        self._reloads = Reloads(settings, memory, self._views, counters, reporter, read_config)
        self._handlers: Mapping[str, Callable[[Request, str], Awaitable[Answer]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "force-exit": self._force_exit,
            "reload": self._reloads.reload,
            "show-config": self._reloads.show,
        }
        self._publish_pause()

    async def handle(self, request: Request, by: str) -> Answer:
        """Return the answer to one request; every answered command is logged."""
        handler = self._handlers.get(request["command"])
        if handler is None:
            return failure(f"unknown command; known are {', '.join(self._handlers)}")
        try:
            answer = await handler(request, by)
        except BadRequest as error:
            return failure(str(error))
        self._reporter.report(
            Control(command=request["command"], by=by, ok=answer["ok"], detail=answer["summary"])
        )
        return answer

    def report_refused(self, why: str) -> None:
        """Log a request that could not be read or whose sender may not ask."""
        self._reporter.report(ControlRefused(detail=why))

    def close(self) -> None:
        """Unmap the tables the commands read."""
        self._reloads.close()
        self._views.close()

    # --- entries ---

    async def _pause(self, request: Request, by: str) -> Answer:
        reason, timeout_s = text_of(request, "reason"), seconds_of(request)
        self._refuse_while_stopping()
        try:
            if self._instructions.paused is None or not self._instructions.number:
                self._keep(paused=Instruction(by, now_utc(), reason))
        except OSError as error:
            # Not on disk, so it ends with this instance; until then it works like one that is.
            self._publish_pause(is_paused=True)
            return self._answer(False, f"paused until this instance ends, but not on disk: {error}")
        number = self._instructions.number
        taken = await until(
            lambda: self._acknowledged.instructions >= number and not self._open_for_entries(), timeout_s
        )
        if not taken:
            return self._answer(
                False, f"the pause is on disk and holds, but {self._unacknowledged(timeout_s)}"
            )
        return self._answer(True, "entries are paused until you resume; exits and repairs go on")

    async def _resume(self, request: Request, by: str) -> Answer:
        pair, timeout_s = text_of(request, "pair"), seconds_of(request)
        self._refuse_while_stopping()
        if pair and pair not in self._instructions.forced:
            raise BadRequest(
                f"there is no forced exit of {pair!r}; there is of: "
                f"{', '.join(self._instructions.forced) or 'none'}"
            )
        forced = {name: order for name, order in self._instructions.forced.items() if pair and name != pair}
        try:
            self._keep(paused=self._instructions.paused if pair else None, forced=forced)
        except OSError as error:
            return failure(f"nothing is lifted: {self._path} cannot be written: {error.strerror}")
        number = self._instructions.number
        if not await until(lambda: self._has_lifted(number), timeout_s):
            return self._answer(False, f"lifted on disk, but {self._unacknowledged(timeout_s)}")
        if "file" in self._acknowledged.paused_by:
            path = pause_file(self._settings)
            return self._answer(False, f"lifted, but entries stay paused by {path}: remove that file, too")
        what = f"the forced exit of {pair} is lifted" if pair else "resumed: no operator stop is active"
        return self._answer(True, what)

    async def _force_exit(self, request: Request, by: str) -> Answer:
        pairs, reason = names_of(request, "pairs"), text_of(request, "reason")
        timeout_s = seconds_of(request, 30.0)
        self._refuse_while_stopping()
        if unknown := [name for name in pairs if name not in self._pair_ids]:
            raise BadRequest(f"no pair is called {unknown[0]!r}; known are {', '.join(self._pair_ids)}")
        pairs = pairs or self._pair_ids
        order = Instruction(by, now_utc(), reason)
        try:
            self._keep(forced={**dict.fromkeys(pairs, order), **self._instructions.forced})
        except OSError as error:
            return failure(
                f"nothing is closed: {self._path} cannot be written: {error.strerror}; "
                "python -m tools kill closes everything without it"
            )
        number, began_s = self._instructions.number, time.monotonic()
        if not await until(lambda: self._acknowledged.instructions >= number, timeout_s):
            return self._answer(
                False, f"the order is on disk and holds, but {self._unacknowledged(timeout_s)}"
            )
        left_s = timeout_s - (time.monotonic() - began_s)
        if not await until(lambda: all(self._is_flat(name) for name in pairs), left_s):
            left = [name for name in pairs if not self._is_flat(name)]
            return self._answer(
                False,
                f"not flat within {timeout_s:g} s: {', '.join(left)}; it goes on. Look at the log; "
                "a HALTED pair may need python -m tools reconcile",
            )
        return self._answer(True, f"flat and kept flat until you resume: {', '.join(pairs)}")

    # --- instructions given, and those in force ---

    @property
    def _acknowledged(self) -> Acknowledgement:
        return read_acknowledgement(self._directory)

    def _keep(self, **changes: Any) -> None:
        """Change the instructions, on disk first. Raises OSError."""
        number = max(time.time_ns(), self._instructions.number + 1)
        instructions = self._instructions._replace(number=number, **changes)
        write_instructions(self._path, instructions)
        self._instructions = instructions
        self._publish_pause()

    def _publish_pause(self, *, is_paused: bool = False) -> None:
        """Set the flag in memory that the very next entry reads."""
        word = self._counters.index("entries_paused")
        self._counters.set(word, int(is_paused or self._instructions.paused is not None))

    def _refuse_while_stopping(self) -> None:
        if self._counters.get(self._counters.index("stopping")):
            raise BadRequest("the instance is being stopped: nothing is opened any more")

    def _has_lifted(self, number: int) -> bool:
        """Whether no pair is stopped any more by what was lifted.

        The file changes before the flag in memory: the executor may have acknowledged the one only.
        """
        acknowledged = self._acknowledged
        if acknowledged.instructions < number:
            return False
        paused = bool(self._instructions.paused or acknowledged.paused_by)
        return paused or EntryBlock.PAUSED.text not in acknowledged.entries_stopped.values()

    def _open_for_entries(self) -> bool:
        views = [self._views.read(number) for number in range(len(self._pair_ids))]
        return any(view is not None and view.entries_allowed for view in views)

    def _is_flat(self, pair: str) -> bool:
        view = self._views.read(self._pair_ids.index(pair))
        return view is not None and view.phase == PairPhase.FLAT

    def _unacknowledged(self, timeout_s: float) -> str:
        state = PROCESS_STATES[self._counters.get(self._counters.index("state.executor"))]
        return f"the executor ({state}) has not acknowledged it within {timeout_s:g} s; see its log"

    def _answer(self, ok: bool, summary: str) -> Answer:
        """An answer with the state of every pair and every instruction."""
        acknowledged, instructions = self._acknowledged, self._instructions
        return {
            "ok": ok,
            "summary": summary,
            "paused": instructions.paused._asdict() if instructions.paused else None,
            "paused_by": list(acknowledged.paused_by),
            "forced_exits": {name: order._asdict() for name, order in instructions.forced.items()},
            "pairs": [self._pair(number, acknowledged) for number in range(len(self._pair_ids))],
        }

    def _pair(self, number: int, acknowledged: Acknowledgement) -> dict[str, Any]:
        name, view = self._pair_ids[number], self._views.read(number)
        return {
            "pair": name,
            "phase": PairPhase(view.phase).name if view else PairPhase.UNKNOWN.name,
            "size_base": format_e8(view.size_e8, 8) if view else None,
            "naked_base": format_e8(view.naked_e8, 8) if view else None,
            "entries_allowed": bool(view and view.entries_allowed),
            "entries_stopped": acknowledged.entries_stopped.get(name, ""),
        }
