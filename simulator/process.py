"""Runs all simulated venues in one process: ports, exchanges, fronts, market, faults.

``serve`` starts them within a running event loop, as tests do; ``run`` is the program. A
venue is made of its ``SimulatedVenue``; this module binds its port, shows it the market and takes it down.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from email.utils import formatdate

from aiohttp import web

from simulator.clock import VenueClock
from simulator.config import SimulatorConfig
from simulator.exchange import Exchange
from simulator.fault_runs import FaultRuns, Report
from simulator.front import Front, FrontSettings, SimulatedVenue, Which
from simulator.market import MarketSource, play
from simulator.registry import simulated_venues

_BEAT_S = 0.25
_CUT_S = 0.05  # for every socket's reader to notice that it was cut
_SHUTDOWN_S = 2.0  # how long open requests may linger once their front has stopped


class PortTaken(Exception):
    """A configured port is taken or may not be used."""

    def __init__(self, venue: str, host: str, port: int, why: str) -> None:
        super().__init__(venue, host, port, why)
        self.venue = venue
        self.host = host
        self.port = port
        self.why = why

    def __str__(self) -> str:
        return (
            f"cannot serve {self.venue} on {self.host}:{self.port}: {self.why}; "
            "stop what uses it or choose another port (0 lets the system choose)"
        )


@dataclass(slots=True)
class _Served:
    """One front on its port."""

    front: Front
    clock: VenueClock | None
    runner: web.AppRunner
    site: web.TCPSite
    port: int

    @property
    def transports(self) -> list[asyncio.Transport]:
        """Every connection that stands, to sockets and to REST alike."""
        assert self.runner.server is not None
        handlers = self.runner.server.connections
        return [each.transport for each in handlers if each.transport is not None]


class RunningSimulator:
    """Venues that answer. Made by ``serve``; ``stop`` takes them down."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._served: dict[str, _Served] = {}
        self._market: asyncio.Task[None] | None = None

    @property
    def ports(self) -> dict[str, int]:
        """The port of each venue."""
        return {venue: served.port for venue, served in self._served.items()}

    @property
    def fronts(self) -> dict[str, Front]:
        return {venue: served.front for venue, served in self._served.items()}

    @property
    def exchanges(self) -> dict[str, Exchange]:
        return {venue: served.front.exchange for venue, served in self._served.items()}

    @property
    def clocks(self) -> dict[str, VenueClock]:
        """Of the venues whose clock can be set."""
        return {venue: served.clock for venue, served in self._served.items() if served.clock}

    async def add(self, front: Front, port: int, clock: VenueClock | None = None) -> None:
        """Bind a front's port and start it. ``clock`` is its exchange's. Raises PortTaken."""
        app = front.app()
        if clock is not None:
            app.on_response_prepare.append(_dated_by(clock))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            site = await self._listen(front.venue, runner, port)
        except PortTaken:
            await runner.cleanup()
            raise
        self._served[front.venue] = _Served(front, clock, runner, site, runner.addresses[0][1])
        await front.start()

    async def _listen(self, venue: str, runner: web.AppRunner, port: int) -> web.TCPSite:
        site = web.TCPSite(runner, self.host, port)
        try:
            await site.start()
        except OSError as error:
            why = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
            raise PortTaken(venue, self.host, port, why) from error
        return site

    # --- what fault scripts do to a whole venue ---

    def mute(self, venue: str, which: Which) -> int:
        """Make the connections that stand half-open; new ones work. Return how many there were.

        "all" takes the connections to REST in, those that are kept alive for the next request.
        """
        served = self._served[venue]
        count = served.front.mute(which)
        if which == "all":
            transports = [each for each in served.transports if not each.is_closing()]
            for transport in transports:
                transport.pause_reading()
            count = len(transports)
        return count

    async def restart(self, venue: str, down_s: float) -> None:
        """Close a venue's port and cut every connection; serve again on the same port after ``down_s``.

        Orders, positions, accounts and tokens are kept, and what was accepted is executed; answers
        under way are lost. Raises PortTaken if another program has the port by then.
        """
        served = self._served[venue]
        served.front.is_down = True
        try:
            await served.site.stop()
            for transport in served.transports:
                transport.abort()
            await asyncio.sleep(max(down_s, _CUT_S))
            served.site = await self._listen(venue, served.runner, served.port)
        finally:
            served.front.is_down = False

    async def play(self, source: MarketSource, speed: float = 1.0) -> None:
        """Show a market from its beginning, in place of the one shown so far."""
        await self._stop_market()
        self._market = asyncio.create_task(play(source, self.exchanges, speed))

    async def wait(self) -> None:
        """Wait for the market to end, which only an error brings: it is raised here."""
        if self._market is not None:
            await asyncio.shield(self._market)

    async def stop(self) -> None:
        """Stop the market, close the sockets, give back the ports."""
        await self._stop_market()
        for served in self._served.values():
            await served.front.stop()
            await served.runner.cleanup()
        self._served.clear()

    async def _stop_market(self) -> None:
        if self._market is not None and not self._market.done():
            self._market.cancel()
            with suppress(asyncio.CancelledError):
                await self._market


async def serve(
    config: SimulatorConfig,
    *,
    source: MarketSource | None = None,
    settings: Mapping[str, FrontSettings] | None = None,
    now_unix_ns: Callable[[], int] = time.time_ns,
) -> RunningSimulator:
    """Start the venues and the market; return once all answer.

    ``source`` replaces the configured market, ``settings`` (by venue) a venue's defaults. Raises
    PortTaken, and then nothing is left running.
    """
    running = RunningSimulator(config.host)
    async with AsyncExitStack() as until_all_answer:
        until_all_answer.push_async_callback(running.stop)
        for venue, parts in simulated_venues().items():
            if not config.serves(venue):
                continue
            front_settings = config.front((settings or {}).get(venue, parts.settings))
            clock = VenueClock(now_unix_ns)
            front = parts.make_front(_exchange(venue, parts, config, clock.now_unix_ns), front_settings)
            await running.add(front, config.ports.get(venue, 0), clock)
        until_all_answer.pop_all()
    await running.play(source or config.market(), config.speed)
    return running


def _dated_by(clock: VenueClock) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Every answer is dated by the venue's own clock, which may be wrong."""

    async def date(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(clock.now_unix_ns() / 1e9, usegmt=True)

    return date


def _exchange(
    venue: str, parts: SimulatedVenue, config: SimulatorConfig, now_unix_ns: Callable[[], int]
) -> Exchange:
    instruments = [config.instrument(venue, listed) for listed in parts.listing]
    return Exchange(instruments, now_unix_ns=now_unix_ns, make_id=parts.make_id)


async def run(
    config: SimulatorConfig,
    announce: Callable[[RunningSimulator], None],
    beat: Callable[[int], None],
    report: Report,
) -> None:
    """Serve until SIGTERM or SIGINT.

    ``announce`` is called once all venues answer, ``beat`` with the monotonic time while they do. The
    configured fault scripts begin then; ``report`` takes an event at each beginning and end. Raises
    PortTaken, and ScriptError for a script that these venues cannot follow.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running = await serve(config)
    faults = FaultRuns(running, report)
    try:
        for script in config.faults:
            faults.check(script)
        announce(running)
        for script in config.faults:
            await faults.start(script)
        work = (running.wait(), faults.wait(), stop.wait(), _keep_beating(beat))
        tasks = {asyncio.create_task(each) for each in work}
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            task.result()
    finally:
        await faults.stop()
        await running.stop()


async def _keep_beating(beat: Callable[[int], None]) -> None:
    while True:
        beat(time.monotonic_ns())
        await asyncio.sleep(_BEAT_S)
