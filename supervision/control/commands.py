"""What the operator can ask of a running instance, and when it is done.

An order is on disk before anybody acts on it, and it is answered only when the executor has said that
it is in force. Where that takes too long the answer says so, and the order stands all the same.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from events.operator import Control, ControlRefused
from observability.logs import Reporter
from runtime.operator_ack import Heeded, read_heeded
from runtime.operator_orders import (
    Instruction,
    Standing,
    pause_file,
    read_standing,
    standing_file,
    write_standing,
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
    """Answers requests. One of the supervisor's, and told of nothing but through memory."""

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
        self._path = standing_file(settings)
        self._standing: Standing = read_standing(self._path)
        self._reloads = Reloads(settings, memory, self._views, counters, reporter, read_config)
        self._handlers: Mapping[str, Callable[[Request, str], Awaitable[Answer]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "force-exit": self._force_exit,
            "reload": self._reloads.reload,
            "show-config": self._reloads.show,
        }
        self._show_pause()

    async def handle(self, request: Request, by: str) -> Answer:
        """The answer to one request, whatever it asks."""
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

    def tell_refused(self, why: str) -> None:
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
            if self._standing.paused is None or not self._standing.number:
                self._keep(paused=Instruction(by, now_utc(), reason))
        except OSError as error:
            # Not kept, so it ends with this instance; until then it is as good as one that is.
            self._show_pause(is_paused=True)
            return self._told(False, f"paused until this instance ends, but not on disk: {error}")
        number = self._standing.number
        taken = await until(
            lambda: self._heeded.standing >= number and not self._open_for_entries(), timeout_s
        )
        if not taken:
            return self._told(False, f"the pause is on disk and holds, but {self._silence(timeout_s)}")
        return self._told(True, "entries are paused until you resume; exits and repairs go on")

    async def _resume(self, request: Request, by: str) -> Answer:
        pair, timeout_s = text_of(request, "pair"), seconds_of(request)
        self._refuse_while_stopping()
        if pair and pair not in self._standing.forced:
            raise BadRequest(
                f"no forced exit stands for {pair!r}; these do: {', '.join(self._standing.forced) or 'none'}"
            )
        forced = {name: order for name, order in self._standing.forced.items() if pair and name != pair}
        try:
            self._keep(paused=self._standing.paused if pair else None, forced=forced)
        except OSError as error:
            return failure(f"nothing is lifted: {self._path} cannot be written: {error.strerror}")
        number = self._standing.number
        if not await until(lambda: self._has_lifted(number), timeout_s):
            return self._told(False, f"lifted on disk, but {self._silence(timeout_s)}")
        if "file" in self._heeded.paused_by:
            path = pause_file(self._settings)
            return self._told(False, f"lifted, but entries stay paused by {path}: remove that file, too")
        what = f"the forced exit of {pair} is lifted" if pair else "nothing of yours stops entries any more"
        return self._told(True, what)

    async def _force_exit(self, request: Request, by: str) -> Answer:
        pairs, reason = names_of(request, "pairs"), text_of(request, "reason")
        timeout_s = seconds_of(request, 30.0)
        self._refuse_while_stopping()
        if unknown := [name for name in pairs if name not in self._pair_ids]:
            raise BadRequest(f"no pair is called {unknown[0]!r}; known are {', '.join(self._pair_ids)}")
        pairs = pairs or self._pair_ids
        order = Instruction(by, now_utc(), reason)
        try:
            self._keep(forced={**dict.fromkeys(pairs, order), **self._standing.forced})
        except OSError as error:
            return failure(
                f"nothing is closed: {self._path} cannot be written: {error.strerror}; "
                "python -m tools kill closes everything without it"
            )
        number, began_s = self._standing.number, time.monotonic()
        if not await until(lambda: self._heeded.standing >= number, timeout_s):
            return self._told(False, f"the order is on disk and holds, but {self._silence(timeout_s)}")
        left_s = timeout_s - (time.monotonic() - began_s)
        if not await until(lambda: all(self._is_flat(name) for name in pairs), left_s):
            left = [name for name in pairs if not self._is_flat(name)]
            return self._told(
                False,
                f"not flat within {timeout_s:g} s: {', '.join(left)}; it goes on. Look at the log; "
                "a HALTED pair may need python -m tools reconcile",
            )
        return self._told(True, f"flat and kept flat until you resume: {', '.join(pairs)}")

    # --- what stands, and what is in force ---

    @property
    def _heeded(self) -> Heeded:
        return read_heeded(self._directory)

    def _keep(self, **changes: Any) -> None:
        """Change the orders that stand, on disk first. Raises OSError."""
        number = max(time.time_ns(), self._standing.number + 1)
        standing = self._standing._replace(number=number, **changes)
        write_standing(self._path, standing)
        self._standing = standing
        self._show_pause()

    def _show_pause(self, *, is_paused: bool = False) -> None:
        """Set the word that the very next entry looks at."""
        word = self._counters.index("entries_paused")
        self._counters.set(word, int(is_paused or self._standing.paused is not None))

    def _refuse_while_stopping(self) -> None:
        if self._counters.get(self._counters.index("stopping")):
            raise BadRequest("the instance is being stopped: nothing is opened any more")

    def _has_lifted(self, number: int) -> bool:
        """Whether no pair is stopped by what these orders do not say any more. The file was there before the
        word changed: the executor may have heeded the one and not yet the other."""
        heeded = self._heeded
        if heeded.standing < number:
            return False
        paused = bool(self._standing.paused or heeded.paused_by)
        return paused or EntryBlock.PAUSED.text not in heeded.entries_stopped.values()

    def _open_for_entries(self) -> bool:
        views = [self._views.read(number) for number in range(len(self._pair_ids))]
        return any(view is not None and view.entries_allowed for view in views)

    def _is_flat(self, pair: str) -> bool:
        view = self._views.read(self._pair_ids.index(pair))
        return view is not None and view.phase == PairPhase.FLAT

    def _silence(self, timeout_s: float) -> str:
        state = PROCESS_STATES[self._counters.get(self._counters.index("state.executor"))]
        return f"the executor ({state}) has not said within {timeout_s:g} s that it is in force; see its log"

    def _told(self, ok: bool, summary: str) -> Answer:
        """An answer with how everything stands."""
        heeded, standing = self._heeded, self._standing
        return {
            "ok": ok,
            "summary": summary,
            "paused": standing.paused._asdict() if standing.paused else None,
            "paused_by": list(heeded.paused_by),
            "forced_exits": {name: order._asdict() for name, order in standing.forced.items()},
            "pairs": [self._pair(number, heeded) for number in range(len(self._pair_ids))],
        }

    def _pair(self, number: int, heeded: Heeded) -> dict[str, Any]:
        name, view = self._pair_ids[number], self._views.read(number)
        return {
            "pair": name,
            "phase": PairPhase(view.phase).name if view else PairPhase.UNKNOWN.name,
            "size_base": format_e8(view.size_e8, 8) if view else None,
            "naked_base": format_e8(view.naked_e8, 8) if view else None,
            "entries_allowed": bool(view and view.entries_allowed),
            "entries_stopped": heeded.entries_stopped.get(name, ""),
        }
