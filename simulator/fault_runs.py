"""Fault scripts at work: what each makes a running simulator do, when it begins and when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Protocol

from events.simulator import FaultBegan, FaultEnded
from simulator.clock import VenueClock
from simulator.exchange import Exchange
from simulator.fault_scripts import (
    ALL,
    AnyScript,
    CloseOut,
    Delist,
    ExpireSessions,
    Mute,
    Relist,
    Restart,
    Restrict,
    ScriptError,
    SkewClock,
    Strike,
)
from simulator.faults import Fault
from simulator.front import Front, Which
from simulator.orders import Reason, SimPosition

Report = Callable[[FaultBegan | FaultEnded], object]


class Simulator(Protocol):
    """What scripts need of ``process.RunningSimulator``."""

    @property
    def fronts(self) -> dict[str, Front]: ...

    @property
    def clocks(self) -> dict[str, VenueClock]: ...

    def mute(self, venue: str, which: Which) -> int: ...

    async def restart(self, venue: str, down_s: float) -> None: ...


class Run:
    """One script at one venue. ``struck`` counts what it has done so far."""

    def __init__(self, script: AnyScript, venue: str) -> None:
        self.script = script
        self.venue = venue
        self.fault: Fault | None = None  # armed by a script that strikes at points
        self._done = 0

    @property
    def struck(self) -> int:
        return self.fault.struck if self.fault is not None else self._done

    def did(self, times: int = 1) -> None:
        self._done += times


class FaultRuns:
    """The scripts of one simulator."""

    def __init__(self, simulator: Simulator, report: Report = lambda event: None) -> None:
        self._simulator = simulator
        self._report = report
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self, script: AnyScript) -> list[Run]:
        """Begin a script; one without ``after_s`` has begun when this returns. One run per venue.

        Raises ScriptError for what this simulator's venues do not have.
        """
        self.check(script)
        runs = [Run(script, venue) for venue in self._venues(script)]
        for run in runs:
            begun = asyncio.Event()
            task = asyncio.create_task(self._live(run, begun))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            if not script.after_s:
                await begun.wait()
        return runs

    def check(self, script: AnyScript) -> None:
        """Raise ScriptError for what this simulator's venues do not have."""
        for venue in self._venues(script):
            _check(script, self._simulator.fronts[venue])

    def _venues(self, script: AnyScript) -> tuple[str, ...]:
        """Where it happens; everywhere means at the venues served. Raises ScriptError for another."""
        served = self._simulator.fronts
        if script.venue == ALL:
            return tuple(venue for venue in script.chosen_venues if venue in served)
        if script.venue not in served:
            raise ScriptError(script.name, "venue", f"{script.venue} is not served; {', '.join(served)} are")
        return (script.venue,)

    async def wait(self) -> None:
        """Wait until a script fails, and raise why."""
        await self._failure

    async def stop(self) -> None:
        """End every script: what it did to the venue is taken back."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failure.done():
            self._failure.set_exception(error)

    async def _live(self, run: Run, begun: asyncio.Event) -> None:
        script = run.script
        await asyncio.sleep(script.after_s)
        self._report(FaultBegan(fault=script.name, venue=run.venue, detail=script.description))
        async with self._effect(run):
            begun.set()
            if script.for_s is None:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(script.for_s)
        self._report(FaultEnded(fault=script.name, venue=run.venue, struck=run.struck))

    def _effect(self, run: Run) -> AbstractAsyncContextManager[None]:
        front = self._simulator.fronts[run.venue]
        match run.script:
            case Strike():
                return _strike(run, run.script, front)
            case SkewClock():
                return _skew_clock(run, self._simulator.clocks[run.venue], run.script.ahead_ms)
            case Restrict():
                return _restrict(run, front, run.script)
            case ExpireSessions():
                return _once(run, front.expire_sessions)
            case Mute():
                return _mute(run, self._simulator, run.script)
            case Restart():
                return _beside(_restart(run, self._simulator, run.script))
            case Relist():
                return _once(run, partial(_relist, front.exchange, run.script))
            case Delist():
                return _delist(run, front.exchange, run.script)
            case CloseOut():
                return _beside(_close_first_position(run, front.exchange, run.script))


def _check(script: AnyScript, front: Front) -> None:
    """Raise ScriptError for a code, a mode or a symbol that a venue does not have."""
    match script:
        case Strike() if code := script.of(script.code, front.venue):
            if code not in front.error_codes:
                known = ", ".join(sorted(front.error_codes))
                raise ScriptError(script.name, "code", f"{front.venue} has no {code!r}; it has {known}")
        case Restrict() if script.mode not in front.modes:
            known = ", ".join(sorted(front.modes))
            raise ScriptError(script.name, "mode", f"{front.venue} has no {script.mode!r}; it has {known}")
        case _:
            pass
    pattern = getattr(script, "symbol", "*")
    if not any(fnmatchcase(symbol, pattern) for symbol in front.exchange.symbols):
        known = ", ".join(front.exchange.symbols)
        raise ScriptError(script.name, "symbol", f"{front.venue} lists no {pattern!r}; it lists {known}")


# --- what each kind of script does, from its beginning to its end ---


@asynccontextmanager
async def _strike(run: Run, script: Strike, front: Front) -> AsyncIterator[None]:
    headers = {} if script.retry_after_s is None else {"retry-after": str(script.retry_after_s)}
    fault = Fault(
        "|".join(script.at),
        times=script.count,
        symbol=script.symbol,
        probability=script.probability,
        seed=script.seed,
        delay_ms=script.delay_ms,
        drop=script.drop,
        drop_reply=script.drop_reply,
        duplicate=script.duplicate,
        answers_last=script.answers_last,
        garble=script.garble,
        is_crossed=script.is_crossed,
        code=script.of(script.code, front.venue),
        status=script.status,
        body=script.of(script.body, front.venue).encode(),
        headers=headers,
        is_carried_out=script.is_carried_out,
        steps=script.steps,
        share=script.share,
        reason=Reason[script.reason.upper()] if script.reason else None,
        misread=script.misread,
    )
    run.fault = front.faults.add(fault)
    try:
        yield
    finally:
        front.faults.remove(fault)


@asynccontextmanager
async def _once(run: Run, act: Callable[[], None]) -> AsyncIterator[None]:
    act()
    run.did()
    yield


@asynccontextmanager
async def _skew_clock(run: Run, clock: VenueClock, ahead_ms: float) -> AsyncIterator[None]:
    clock.ahead_ms += ahead_ms
    run.did()
    try:
        yield
    finally:
        clock.ahead_ms -= ahead_ms


@asynccontextmanager
async def _restrict(run: Run, front: Front, script: Restrict) -> AsyncIterator[None]:
    front.set_mode(script.mode)
    run.did()
    try:
        yield
    finally:
        front.set_mode("open")


@asynccontextmanager
async def _mute(run: Run, simulator: Simulator, script: Mute) -> AsyncIterator[None]:
    run.did(simulator.mute(run.venue, script.sockets))
    yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Work that has begun when the script has, and ends with it at the latest."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        await asyncio.sleep(0)
        yield
        task.cancel()


async def _restart(run: Run, simulator: Simulator, script: Restart) -> None:
    await simulator.restart(run.venue, script.down_s)
    run.did()


async def _close_first_position(run: Run, exchange: Exchange, script: CloseOut) -> None:
    filled = asyncio.Event()
    exchange.on_fill(lambda fill, order: filled.set())
    while (found := _open_position(exchange, script.symbol)) is None:
        filled.clear()
        await filled.wait()
    account_id, position = found
    instrument = exchange.instrument(position.symbol)
    size_e8 = max(round(abs(position.size_e8) * script.share) // instrument.lot_e8, 1) * instrument.lot_e8
    mark_e8 = position.mark_price_e8
    mark_e8 -= mark_e8 % instrument.price_step_e8(mark_e8)
    price_e8 = mark_e8 if script.against == "mark" else None
    exchange.close_out(account_id, position.symbol, size_e8, price_e8=price_e8)
    run.did()


def _relist(exchange: Exchange, script: Relist) -> None:
    for symbol in exchange.symbols:
        if fnmatchcase(symbol, script.symbol):
            exchange.relist(symbol, tick_factor=script.tick_factor, lot_factor=script.lot_factor)


@asynccontextmanager
async def _delist(run: Run, exchange: Exchange, script: Delist) -> AsyncIterator[None]:
    chosen = [symbol for symbol in exchange.symbols if fnmatchcase(symbol, script.symbol)]
    for symbol in chosen:
        exchange.set_trading(symbol, False)
    run.did()
    try:
        yield
    finally:
        for symbol in chosen:
            exchange.set_trading(symbol, True)


def _open_position(exchange: Exchange, pattern: str) -> tuple[str, SimPosition] | None:
    for account_id in exchange.account_ids:
        for position in exchange.positions(account_id):
            if position.size_e8 and fnmatchcase(position.symbol, pattern):
                return account_id, position
    return None
