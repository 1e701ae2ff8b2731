"""A real executor process between a real simulator and a test that is feeds, detector and supervisor.

The market stands still unless the test moves it, so what an order meets is known beforehand.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from runtime.bootstrap import write_launch
from settings import PROJECT, parse_settings
from shm.counter_names import (
    EXECUTOR_COUNTERS,
    EXECUTOR_HISTOGRAMS,
    PERSISTENCE_COUNTERS,
    SUPERVISOR_COUNTERS,
)
from shm.layout import DOORBELLS, MACHINE_CAPACITY, Memory, MemoryPlan
from shm.queue import QueueTap
from shm.records import (
    SIGNAL,
    SLIPPAGE_VIEW,
    DepthBook,
    PairPhase,
    PairView,
    Quote,
    QuoteFlags,
    Signal,
    SignalKind,
    SlippageView,
    pack_depth,
)
from shm.slot import SlotTable
from simulator.config import SimulatorConfig
from simulator.exchange import Exchange
from simulator.market import Top
from simulator.orders import NewOrder, SimOrder
from simulator.process import RunningSimulator, serve
from supervision.preflight import _fetch_all, loopback_urls
from tests.events.catalogue import check
from tests.waiting import DEADLINE_S, eventually
from venues.contract import E8, Instrument
from venues.registry import venue

VENUES = ("paradex", "vest")
SYMBOLS = {"vest": "BTC-PERP", "paradex": "BTC-USD-PERP"}
# The same with Hyperliquid on either side.
HYPERLIQUID_PAIRS = (("vest", "hyperliquid"), ("hyperliquid", "paradex"))
LEGS = {"vest": 0, "paradex": 1}
SIZE_E8 = E8 // 50
MAIN = "\nfrom executor.process import main\nmain()\n"
Line = Mapping[str, Any]
Levels = Sequence[tuple[float, float]]


def symbols_of(venues: Sequence[str]) -> dict[str, str]:
    """The bitcoin contracts of a pair's venues, in their order."""
    known = {**SYMBOLS, "hyperliquid": "BTC"}
    return {name: known[name] for name in venues}


class StandingStill:
    """A market source that never speaks: the test shows the prices."""

    def __init__(self, symbols: Mapping[str, str] = SYMBOLS) -> None:
        self._symbols = symbols

    def tops(self) -> Iterator[Top]:
        for name, symbol in self._symbols.items():
            yield Top(0, name, symbol, 50_000 * E8, 5 * E8, 50_001 * E8, 5 * E8)
        while True:
            yield Top(10**18, "nowhere", "", 0, 0, 0, 0)


def raw_settings(
    ports: Mapping[str, int], changes: Mapping[str, Any], symbols: Mapping[str, str] = SYMBOLS
) -> dict[str, Any]:
    """Settings as the supervisor would hand them on; ``changes`` by "section.key"."""
    raw: dict[str, Any] = {
        "version": 1,
        "mode": "sim",
        "bot_id": "test",
        "pairs": [{"id": "btc", "base": "BTC", "legs": dict(symbols), "size_base": "0.02"}],
        "strategy": {"entry_bps": 2.0, "exit_bps": 0.0, "max_quote_age_ms": 3_600_000.0},
        "execution": {"price_band_bps": 5.0, "reply_timeout_ms": 400.0, "reconcile_interval_s": 1.0},
        "risk": {
            "max_order_notional_quote": "5000",
            "max_position_notional_quote": "10000",
            "max_daily_loss_quote": "200",
        },
        "runtime": {"on_shutdown": "keep", "shutdown_timeout_s": 60.0},
        "quote": {},
        "venues": {name: loopback_urls(venue(name).production_hosts, ports[name]) for name in symbols},
    }
    for path, value in changes.items():
        section, key = path.split(".")
        raw[section][key] = value
    return raw


class Harness:
    """Both venues, the memory, and executor processes one after the other."""

    def __init__(
        self,
        simulator: RunningSimulator,
        directory: Path,
        raw: dict[str, Any],
        symbols: Mapping[str, str] = SYMBOLS,
    ) -> None:
        self.simulator = simulator
        self.symbols = symbols  # by venue, the first leg first
        self.legs = {venue: number for number, venue in enumerate(symbols)}
        self.directory = directory
        self._lines: list[Line] = []
        self.errors = b""
        self.process: asyncio.subprocess.Process | None = None
        self.settings = parse_settings(raw, "test")
        self.raw = raw
        self._readers: list[asyncio.Task[None]] = []
        self.epoch = 28_000_000
        self.detector_epoch = 1
        self._signal_id = 0

    async def create_memory(self) -> None:
        settings = parse_settings(self.raw, "test")
        found, problems = await _fetch_all(settings)
        assert not problems
        self.instruments: tuple[Instrument, ...] = tuple(found[number] for number in range(2))
        plan = MemoryPlan(
            venues=tuple(sorted(self.symbols)),
            instrument_count=len(settings.watched),
            pair_count=1,
            ring_cells=16,
            signal_queue_bytes=1 << 14,
            event_queue_bytes=self.raw["runtime"].get("event_queue_kib", 1_024) << 10,
            event_sources=("executor",),
        )
        counters = {
            "executor": (list(EXECUTOR_COUNTERS), list(EXECUTOR_HISTOGRAMS)),
            "supervisor": (list(SUPERVISOR_COUNTERS), []),
            "persistence": (list(PERSISTENCE_COUNTERS), []),
        }
        Memory.create(self.directory, plan, counters)
        self.rewrite_launch()
        self.bells = {name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in DOORBELLS}
        self.memory = Memory(self.directory, self.bells)
        self._tops = {venue: self.memory.tops(venue, writer=True) for venue in self.symbols}
        self._depth = {venue: self.memory.depth(venue, writer=True) for venue in self.symbols}
        self._signals = self.memory.signals_writer()
        self._bell = self.memory.doorbell("executor")
        self._views = self.memory.pairs()
        self._executor_counters = self.memory.counters("executor")
        self.supervisor = self.memory.counters("supervisor", writer=True)
        self.events = self.memory.events_reader("executor")
        self._events_tap = QueueTap.attach(self.directory / "events.executor")

    def rewrite_launch(self, *, suspended: Mapping[str, str] | None = None, **changes: Any) -> None:
        raw = {**self.raw, **changes}
        env_file = self.directory / "none.env"
        write_launch(self.directory, raw, "run", self.instruments, env_file, (), suspended or {})

    # --- venues and feeds ---

    def exchange(self, venue: str) -> Exchange:
        return self.simulator.exchanges[venue]

    def show(self, venue: str, bid: float, ask: float, *, size: float = 5.0, to_feed: bool = True) -> None:
        """Set a venue's market; with ``to_feed`` also what the feed publishes of it."""
        self.show_levels(venue, [(bid, size)], [(ask, size)], to_feed=to_feed)

    def show_levels(self, venue: str, bids: Levels, asks: Levels, *, to_feed: bool = True) -> None:
        """The same with levels behind the touch: (price, size), best first."""
        bids_e8, asks_e8 = (
            [(round(price * E8), round(size * E8)) for price, size in side] for side in (bids, asks)
        )
        self.exchange(venue).apply_market(self.symbols[venue], bids_e8, asks_e8)
        if not to_feed:
            return
        number, now = self.legs[venue], time.monotonic_ns()
        (bid_e8, bid_size_e8), (ask_e8, ask_size_e8) = bids_e8[0], asks_e8[0]
        quote = Quote(
            number, bid_e8, ask_e8, bid_size_e8, ask_size_e8, 0, now, now, 0, int(QuoteFlags.VALID), 1
        )
        self._tops[venue].write(number, quote)
        self._depth[venue].write(number, pack_depth(DepthBook(bids_e8, asks_e8, now, 0, True)))

    def show_rate(self, price: float) -> None:
        """The price of the instrument that ``quote`` names, as its feed publishes it."""
        (rate,) = self.settings.quote.values()
        assert rate != "par", "a rate at par has no price"
        number, now, price_e8 = len(self.legs), time.monotonic_ns(), round(price * E8)
        quote = Quote(number, price_e8, price_e8, E8, E8, 0, now, now, 0, int(QuoteFlags.VALID), 1)
        self._tops[rate.venue].write(number, quote)

    def position_e8(self, venue: str) -> int:
        exchange = self.exchange(venue)
        return sum(
            position.size_e8 for account in exchange.account_ids for position in exchange.positions(account)
        )

    @property
    def positions_e8(self) -> tuple[int, int]:
        """(first leg, second leg), as the venues keep them."""
        first, second = self.symbols
        return self.position_e8(first), self.position_e8(second)

    def orders(self, venue: str) -> list[SimOrder]:
        exchange = self.exchange(venue)
        return [order for account in exchange.account_ids for order in exchange.orders(account)]

    def rest_order(self, venue: str, *, client_id: int) -> str:
        """An order of our account, far from the market, that stays open. Returns its id."""
        exchange = self.exchange(venue)
        new = NewOrder(self.symbols[venue], 1, SIZE_E8, 49_000 * E8, client_id=str(client_id))
        order = exchange.submit(exchange.account_ids[0], new)
        return exchange.execute(order.order_id).order_id

    def is_open(self, venue: str, order_id: str) -> bool:
        order = self.exchange(venue).order(order_id)
        return order is not None and not order.status.is_final

    # --- detector ---

    def enter(
        self,
        *,
        direction: int = 1,
        size_e8: int = SIZE_E8,
        ttl_ms: float = 60_000,
        seen: tuple[float, float] | None = None,
    ) -> None:
        """An entry at the touches the feeds show: +1 buys the first leg and sells the second.

        With ``seen`` the prices are those, whatever the feeds show by now.
        """
        if seen is not None:
            seen_e8 = round(seen[0] * E8), round(seen[1] * E8)
            self._send(SignalKind.ENTER, direction, size_e8, seen_e8, ttl_ms)
            return
        first, second = (self._tops[venue].read(self.legs[venue]) for venue in self.symbols)
        assert first is not None
        assert second is not None
        prices = (first.ask_e8, second.bid_e8) if direction > 0 else (first.bid_e8, second.ask_e8)
        self._send(SignalKind.ENTER, direction, size_e8, prices, ttl_ms)

    def exit(self, *, direction: int = 1, ttl_ms: float = 60_000) -> None:
        """Closing what was entered in ``direction``, at the touches the feeds show."""
        first, second = (self._tops[venue].read(self.legs[venue]) for venue in self.symbols)
        assert first is not None
        assert second is not None
        prices = (first.bid_e8, second.ask_e8) if direction > 0 else (first.ask_e8, second.bid_e8)
        self._send(SignalKind.EXIT, direction, 0, prices, ttl_ms)

    def _send(
        self, kind: SignalKind, direction: int, size_e8: int, prices_e8: tuple[int, int], ttl_ms: float
    ) -> None:
        self._signal_id += 1
        now = time.monotonic_ns()
        made = Signal(
            (self.detector_epoch << 32) + self._signal_id, self.detector_epoch, 0, kind, direction, 0,
            size_e8, *prices_e8, 5.0, 3.0, now, now, now, now,
            now + int(ttl_ms * 1e6),
        )  # fmt: skip
        assert self._signals.push(SIGNAL.pack(*made))
        self._bell.ring()

    # --- executor ---

    async def start(
        self, *, wait_ready: bool = True, stdout: int = asyncio.subprocess.PIPE, prelude: str = ""
    ) -> None:
        """Start a new life of the executor.

        stdout: where its lines go; by default they are read and thrown away, ``lines`` has them.
        prelude: Python that the process runs first, to plant its own death at an exact place.
        """
        self.epoch += 1
        bells = ",".join(f"{name}={fd}" for name, fd in self.bells.items())
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, *(("-c", prelude + MAIN) if prelude else ("-m", "executor")),
            "--memory", str(self.directory), "--bells", bells, "--epoch", str(self.epoch),
            cwd=PROJECT, pass_fds=tuple(self.bells.values()),
            stdout=stdout, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stderr is not None
        if self.process.stdout is not None:
            self._readers.append(asyncio.create_task(self._read_away(self.process.stdout)))
        self._readers.append(asyncio.create_task(self._read_errors(self.process.stderr)))
        # Slots and counters still say what the last life left in them: first this life has to speak.
        if wait_ready:
            pid = self.process.pid
            await self.until(lambda: bool(self.logged("process_started", pid=pid)), "its start", DEADLINE_S)
            await self.until(
                lambda: self.view is not None and self.view.entries_allowed == 1, "ready", DEADLINE_S
            )

    @property
    def lines(self) -> list[Line]:
        """What the executor has told so far, in all its lives. Taken from its queue to persistence, which has
        a line as soon as anything else of the same step can be seen; stdout is written by another thread."""
        while (message := self._events_tap.poll()) is not None:
            self._lines.append(json.loads(message))
            check(self._lines[-1])
        assert self._events_tap.missed_bytes == 0
        return self._lines

    async def _read_away(self, stream: asyncio.StreamReader) -> None:
        while await stream.read(65_536):
            pass

    async def _read_errors(self, stream: asyncio.StreamReader) -> None:
        while data := await stream.read(65_536):
            self.errors += data

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def forget_journal(self) -> None:
        """What a reboot of the machine does to shared memory."""
        path = self.directory / "machines"
        path.unlink()
        SlotTable.create(path, count=2, capacity=MACHINE_CAPACITY)

    def learned(self, index: int) -> SlippageView | None:
        return self.memory.slippage().read(index)

    def forget_learned(self) -> None:
        """What a reboot does to the slots; the file stays."""
        path = self.directory / "slippage"
        path.unlink()
        SlotTable.create(path, count=4, capacity=SLIPPAGE_VIEW.size)

    async def terminate(self) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    @property
    def view(self) -> PairView | None:
        return self._views.read(0)

    @property
    def phase(self) -> PairPhase:
        return PairPhase(self.view.phase) if self.view else PairPhase.UNKNOWN

    def counter(self, name: str) -> int:
        return self._executor_counters.get(self._executor_counters.index(name))

    def logged(self, event: str, **fields: Any) -> list[Line]:
        """Log lines with this event and these fields, of all lives."""
        wanted = {"event": event, **fields}.items()
        return [line for line in self.lines if all(line.get(name) == value for name, value in wanted)]

    async def until(
        self, condition: Callable[[], bool], what: str = "", timeout_s: float = DEADLINE_S
    ) -> None:
        """Wait for a condition; AssertionError with the log when it does not come true."""

        def is_so() -> bool:
            if condition():
                return True
            is_dead = self.process is not None and self.process.returncode not in (None, 0, -signal.SIGKILL)
            assert not is_dead, f"the executor ended before {what or 'the condition'}"
            return False

        try:
            await eventually(is_so, what, timeout_s)
        except AssertionError as error:
            shown = "\n".join(json.dumps(line) for line in self.lines[-60:])
            raise AssertionError(f"{error}\n{shown}\n{self.errors.decode()}") from None

    async def until_phase(self, phase: PairPhase) -> None:
        await self.until(lambda: self.phase is phase, phase.name)

    async def until_logged(self, event: str, **fields: Any) -> Line:
        await self.until(lambda: bool(self.logged(event, **fields)), f"{event} {fields}")
        return self.logged(event, **fields)[0]

    async def settle_templates(self) -> None:
        """Wait until the executor had the time to arm everything it wants, many times over."""
        beats = self.counter("heartbeat_mono_ns") + 500_000_000
        await self.until(lambda: self.counter("heartbeat_mono_ns") > beats, "half a second of arming")

    async def until_next_beat(self) -> None:
        """Wait until the executor has looked after everything it looks after once a transition."""
        beat_mono_ns = self.counter("heartbeat_mono_ns")
        await self.until(lambda: self.counter("heartbeat_mono_ns") != beat_mono_ns, "a beat")

    async def open(self, *, direction: int = 1) -> None:
        """Enter, once that is allowed, and wait until the pair is hedged.

        An entry that this machine took too long to sign does not leave, one whose answers it took too long
        to read is undone: either is asked for again, as the detector would.
        """
        is_hedged = False
        while not is_hedged:
            await self.until(
                lambda: self.view is not None and self.view.entries_allowed == 1, "leave to enter"
            )
            given_up = self.unsent() + 2  # both legs: an entry leaves whole or not at all
            undone = len(self.logged("pair_state", phase="FLAT")) + 1
            self.enter(direction=direction)
            await self.until(partial(self._has_entered_or_not, given_up, undone), PairPhase.HEDGED.name)
            is_hedged = self.phase is PairPhase.HEDGED

    def _has_entered_or_not(self, given_up: int, undone: int) -> bool:
        is_over = self.unsent() >= given_up or len(self.logged("pair_state", phase="FLAT")) >= undone
        return (self.phase is PairPhase.FLAT and is_over) or self.phase is PairPhase.HEDGED

    def unsent(self) -> int:
        """How many orders have not left, for one reason or the other."""
        return len(self.logged("leg_rejected", order_state="unsent"))

    async def close(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await asyncio.gather(*self._readers)
        for fd in self.bells.values():
            os.close(fd)


@asynccontextmanager
async def a_harness(symbols: Mapping[str, str] = SYMBOLS, **changes: Any) -> AsyncIterator[Harness]:
    """Both venues at 50 000 / 50 001 with a gap: the second stands 10 bps higher. No executor yet.

    ``changes`` by "section__key".
    """
    config = SimulatorConfig(venues=tuple(symbols), taker_fee_bps=0.1, ack_latency_ms=1.0)
    simulator = await serve(config, source=StandingStill(symbols))
    directory = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="test-executor-")) / "memory"
    settings = {name.replace("__", "."): value for name, value in changes.items()}
    raw = raw_settings(simulator.ports, settings, symbols)
    raw["persistence"] = {"var_dir": str(directory.parent / "var")}
    harness = Harness(simulator, directory, raw, symbols)
    try:
        await harness.create_memory()
        first, second = symbols
        harness.show(first, 50_000, 50_001)
        harness.show(second, 50_050, 50_051)
        yield harness
    finally:
        await harness.close()
        await simulator.stop()
        shutil.rmtree(directory.parent)
