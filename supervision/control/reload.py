"""Changes settings while the instance runs: at once, when the pairs are flat, or with the next restart.

A reload validates the whole new file first; with anything wrong, nothing changes. Keys that are ``hot``
(``settings.Reload``) take effect at once, those for ``when flat`` once the pairs concerned hold nothing.
Every change is one generation of settings:

1. entries are suspended on every pair, and the executor acknowledges that;
2. pairs that must be flat are checked again: from here on they stay flat;
3. the new settings are published for processes that start, and the generation counter is raised;
4. detector and executor apply them between two decisions, and publish the generation they work with;
5. entries are resumed.

So no signal of the old rules meets the limits of the new ones. Exits and repairs go on throughout.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from events.operator import Reloaded, ReloadRefused, ReloadWaits, SettingChange
from observability.logs import Reporter
from runtime.bootstrap import publish_settings, read_launch
from runtime.operator_ack import read_acknowledgement
from settings import Reload, Settings, SettingsError, parse_settings
from shm.counter_names import PROCESS_STATES
from shm.counters import CounterTable
from shm.layout import Memory
from shm.records import PairPhase, PairView
from shm.slot import RecordSlots
from supervision.control.config_keys import Change, changes_between, composed, keys_of
from supervision.control.requests import BadRequest, flag_of, seconds_of, until
from supervision.control.socket import Answer, Request, failure

ReadConfig = Callable[[], tuple[Settings, dict[str, Any]]]
_TAKERS: Final = ("detector", "executor")
_PATIENCE_S: Final = 30.0  # with detector and executor, where nobody waits for an answer
_POLL_S: Final = 0.2  # for pairs that have become flat


class _NotNow(Exception):
    """Nothing has changed; the text says why."""


class Reloads:
    """The settings in force and those that wait for flat pairs. ``read_config`` raises SettingsError."""

    def __init__(
        self,
        settings: Settings,
        memory: Memory,
        views: RecordSlots[PairView],
        counters: CounterTable,
        reporter: Reporter,
        read_config: ReadConfig,
    ) -> None:
        self._settings = settings
        self._directory = memory.directory
        self._views = views
        self._counters = counters
        self._takers = [memory.counters(name) for name in _TAKERS]
        self._reporter = reporter
        self._read_config = read_config
        self._lock = asyncio.Lock()  # one reload at a time: other commands run between its steps
        self._suspensions = 0
        self._waiting: list[Change] = []
        self._wanted: dict[str, Any] = {}  # the file that they are of
        self._waiter: asyncio.Task[None] | None = None

    async def reload(self, request: Request, by: str) -> Answer:
        """Read the file anew and apply what may change while running; report the rest."""
        is_dry_run, timeout_s = flag_of(request, "dry_run"), seconds_of(request, 30.0)
        self._refuse_unless_running()
        deadline_s = time.monotonic() + timeout_s
        async with self._lock:
            try:
                wanted, raw = self._read_config()
                now, later, restart = self._sorted(changes_between(self._settings, wanted), raw)
            except SettingsError as error:
                problems = [problem._asdict() for problem in error.problems]
                self._reporter.report(ReloadRefused(by=by, problems=tuple(map(str, error.problems))))
                return failure("nothing is changed: the file is not valid", problems=problems)
            if is_dry_run:
                return self._answer(
                    True, "a dry run: nothing is changed", now, later, restart, is_dry_run=True
                )
            try:
                if now:
                    await self._apply(now, raw, by, deadline_s)
            except (_NotNow, OSError) as error:
                self._reporter.report(ReloadRefused(by=by, problems=(str(error),)))
                return self._answer(False, f"nothing is changed: {error}", [], self._waiting, restart)
            self._waiting, self._wanted = later, raw
            applied = now + await self._apply_what_is_flat(by, deadline_s)
        if self._waiting:
            self._wait_for_flat(by)
        if not self._is_taken_up():
            summary = f"published, but not taken up by every process within {timeout_s:g} s; see the log"
            return self._answer(False, summary, applied, self._waiting, restart)
        summary = "reloaded" if applied else "nothing changes now"
        return self._answer(True, summary, applied, self._waiting, restart)

    async def show(self, request: Request, by: str) -> Answer:
        """Every key as it is in force."""
        waiting = {change.key.path: change.key.value for change in self._waiting}
        keys = [
            {"key": key.name, "value": key.value, "reload": key.reload.value}
            | ({"waiting": waiting[path]} if path in waiting else {})
            for path, key in keys_of(self._settings).items()
        ]
        return {"ok": True, "summary": "the settings in force", "generation": self._generation, "keys": keys}

    # --- what changes when ---

    def _sorted(
        self, changes: Sequence[Change], raw: dict[str, Any]
    ) -> tuple[list[Change], list[Change], list[Change]]:
        """Sort changes into at once, when flat and restart.

        Raises SettingsError where one of these groups alone is not valid: the settings in force always are.
        """
        now, later, restart = (
            [change for change in changes if change.key.reload is reload]
            for reload in (Reload.HOT, Reload.WHEN_FLAT, Reload.RESTART)
        )
        try:
            self._parse(raw, now)
        except SettingsError:
            # Two keys of a pair depend on each other: all changes of that pair wait for the slowest.
            waiting = {change.key.pair for change in later} - {""}
            later = [change for change in now if change.key.pair in waiting] + later
            now = [change for change in now if change.key.pair not in waiting]
            self._parse(raw, now)
        self._parse(raw, now + later)
        return now, later, restart

    def _parse(self, raw: dict[str, Any], changes: Iterable[Change]) -> tuple[dict[str, Any], Settings]:
        """The settings in force with these changes."""
        before = read_launch(self._directory)["settings"]
        made = composed(before, raw, [change.key.path for change in changes])
        return made, parse_settings(made, "the part of the new settings that needs no restart")

    # --- how it changes ---

    async def _apply(
        self,
        changes: Sequence[Change],
        raw: dict[str, Any],
        by: str,
        deadline_s: float,
        *,
        needs_flat: bool = False,
    ) -> None:
        """Change these keys to their values in ``raw`` and wait until every process works with them.

        Raises _NotNow or OSError; then nothing has changed.
        """
        self._suspensions += 1
        held, number = self._counters.index("entries_held"), self._suspensions
        self._counters.set(held, number)
        try:
            if not await until(
                lambda: read_acknowledgement(self._directory).entries_suspended == number, _left_s(deadline_s)
            ):
                raise _NotNow("the executor has not acknowledged that entries are suspended; see its log")
            if needs_flat and not all(self._is_flat(change) for change in changes):
                raise _NotNow("a pair has opened a position just now")
            made, settings = self._parse(raw, changes)
            generation = publish_settings(self._directory, made)
            self._settings = settings
            self._counters.set(self._counters.index("settings_generation"), generation)
            changed = tuple(
                SettingChange(key=change.key.name, old=change.old, new=change.key.value) for change in changes
            )
            self._reporter.report(Reloaded(generation=generation, by=by, changes=changed))
            await until(self._is_taken_up, _left_s(deadline_s))
        finally:
            self._counters.set(held, 0)

    async def _apply_what_is_flat(self, by: str, deadline_s: float) -> list[Change]:
        """Apply the changes whose pairs are flat now; return them."""
        ready = [change for change in self._waiting if self._is_flat(change)]
        if not ready:
            return []
        try:
            await self._apply(ready, self._wanted, by, deadline_s, needs_flat=True)
        except _NotNow:
            return []  # the next poll finds it flat again
        except OSError as error:
            self._reporter.report(ReloadRefused(by=by, problems=(str(error),)))
            return []
        self._waiting = [change for change in self._waiting if change not in ready]
        return ready

    def _wait_for_flat(self, by: str) -> None:
        keys = tuple(change.key.name for change in self._waiting)
        pairs = tuple(sorted({change.key.pair or "all" for change in self._waiting}))
        self._reporter.report(ReloadWaits(by=by, keys=keys, pairs=pairs))
        if self._waiter is None or self._waiter.done():
            self._waiter = asyncio.get_running_loop().create_task(self._poll_for_flat(by))
            self._waiter.add_done_callback(lambda task: task.cancelled() or task.result())

    async def _poll_for_flat(self, by: str) -> None:
        while self._waiting:
            await asyncio.sleep(_POLL_S)
            if self._counters.get(self._counters.index("stopping")):
                return  # the next start reads the file
            async with self._lock:
                await self._apply_what_is_flat(by, time.monotonic() + _PATIENCE_S)

    def _is_flat(self, change: Change) -> bool:
        """Whether nothing is held by the pairs that a change concerns."""
        pairs = [pair.id for pair in self._settings.pairs]
        concerned = [change.key.pair] if change.key.pair else pairs
        views = [self._views.read(pairs.index(pair)) for pair in concerned]
        return all(view is not None and view.phase == PairPhase.FLAT for view in views)

    def _is_taken_up(self) -> bool:
        newest = self._generation
        return all(table.get(table.index("settings_generation")) >= newest for table in self._takers)

    def _refuse_unless_running(self) -> None:
        for name in _TAKERS:
            state = PROCESS_STATES[self._counters.get(self._counters.index(f"state.{name}"))]
            if state != "running":
                raise BadRequest(f"nothing is changed: the {name} is {state}; try again when it runs")

    # --- answers ---

    @property
    def _generation(self) -> int:
        return self._counters.get(self._counters.index("settings_generation"))

    def _answer(
        self,
        ok: bool,
        summary: str,
        changed: list[Change],
        waiting: list[Change],
        restart: list[Change],
        *,
        is_dry_run: bool = False,
    ) -> Answer:
        return {
            "ok": ok,
            "summary": summary,
            "is_dry_run": is_dry_run,
            "generation": self._generation,
            "changed": [change.plain() for change in changed],
            "waiting": [change.plain() for change in waiting],
            "restart": [change.plain() for change in restart],
        }

    def close(self) -> None:
        """Unmap the processes' counters."""
        for table in self._takers:
            table.close()


def _left_s(deadline_s: float) -> float:
    return deadline_s - time.monotonic()
