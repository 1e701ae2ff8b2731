"""A stage for crashes: real venues that outlive the instance, and a market that does as it is told.

The simulator runs in a thread of this process with its real sockets; Tandem runs as an operator runs
it, in mode live with real keys (the simulator's), because in mode sim the venues would be killed with
it. The second venue (Paradex) stands ``gap_bps`` above the first (Vest); both quote twenty times a second.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from executor.accounts import simulated_secrets
from settings import KNOWN_VENUES
from simulator.config import SimulatorConfig
from simulator.faults import Fault
from simulator.front import FrontSettings
from simulator.market import Top
from simulator.orders import SimOrder
from simulator.process import RunningSimulator, serve
from supervision.preflight import loopback_urls
from supervision.takeover import processes_of
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.waiting import DEADLINE_S, wait_until
from venues.contract import E8
from venues.registry import venue as venue_of

SYMBOLS = {"vest": "BTC-PERP", "paradex": "BTC-USD-PERP"}
# How a venue refuses an order for want of margin: the point of its fault plan, and the code.
REFUSALS = {
    "vest": ("rest.orders.create", "3002"),
    "paradex": ("ws.order.create", "NOT_ENOUGH_MARGIN"),
    "hyperliquid": ("ws.order.create", "INSUFFICIENT_MARGIN"),
}
PAIR = "btc"
SIZE_E8 = E8 // 50
WIDE_BPS, HOLD_BPS, CLOSED_BPS = 12.0, 4.0, -3.0
_STEP_NS = 50_000_000
T = TypeVar("T")


class Market:
    """A source that shows whatever gap stands now, a little moved each time so that it is news."""

    def __init__(self, symbols: Mapping[str, str]) -> None:
        self.symbols = symbols
        self.gap_bps = 0.0
        self.steps = 0
        self.size_e8 = dict.fromkeys(symbols, 5 * E8)

    def tops(self) -> Iterator[Top]:
        at_ns, second = 0, list(self.symbols)[1]
        while True:
            self.steps += 1
            for venue, symbol in self.symbols.items():
                shift = 1 + self.gap_bps / 10_000 if venue == second else 1.0
                bid_e8 = int(50_000 * shift) * E8
                size_e8 = self.size_e8[venue] + self.steps % 2 * E8 // 10
                yield Top(at_ns, venue, symbol, bid_e8, size_e8, bid_e8 + E8, size_e8)
            at_ns += _STEP_NS


class Stage:
    """The venues, and what an instance under test needs to find them."""

    def __init__(
        self,
        directory: Path,
        changes: Mapping[str, Any],
        symbols: Mapping[str, str],
        market: Market | None = None,
        settings: Mapping[str, FrontSettings] | None = None,
    ) -> None:
        self.symbols = symbols  # of the pair, by venue, the first leg first
        self._instances: list[Instance] = []
        self.market = market or Market(symbols)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        config = SimulatorConfig(taker_fee_bps=0.1, ack_latency_ms=3.0)
        self._simulator: RunningSimulator = asyncio.run_coroutine_threadsafe(
            serve(config, source=self.market, settings=settings), self._loop
        ).result(DEADLINE_S)
        self.config = self._write_config(directory, changes)
        self.env_file = directory / "keys.env"
        secrets = {name: value for venue in KNOWN_VENUES for name, value in simulated_secrets(venue).items()}
        self.env_file.write_text("".join(f"{name}={value}\n" for name, value in secrets.items()))

    def _write_config(self, directory: Path, changes: Mapping[str, Any]) -> Path:
        path = write_config(directory)
        raw = yaml.safe_load(path.read_text())
        raw["mode"] = "live"
        raw["pairs"] = [{"id": PAIR, "base": "BTC", "legs": dict(self.symbols), "size_base": "0.02"}]
        raw["strategy"] |= {"entry_bps": 6.0, "exit_bps": 1.0, "cooldown_ms": 100, "signal_ttl_ms": 200}
        raw["execution"] |= {"reconcile_interval_s": 2, "price_band_bps": 5.0}
        raw["risk"] |= {"max_orders_per_minute": 10_000, "max_daily_loss_quote": "100000"}
        raw["risk"] |= {"max_consecutive_failures": 1_000, "naked_budget_s_per_day": 86_400}
        raw["runtime"] |= {"on_shutdown": "keep"}
        raw["venues"] = {
            venue: loopback_urls(venue_of(venue).production_hosts, port)
            for venue, port in self._simulator.ports.items()
        }
        for name, value in changes.items():
            section, key = name.split("__")
            raw[section][key] = value
        path.write_text(yaml.safe_dump(raw))
        return path

    def start(self, **env: str) -> Instance:
        self._instances.append(Instance(self.config, "--live", "--env-file", str(self.env_file), env=env))
        return self._instances[-1]

    def close(self) -> None:
        for instance in self._instances:
            instance.end_at_once()
        asyncio.run_coroutine_threadsafe(self._simulator.stop(), self._loop).result(DEADLINE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        shutil.rmtree(memory_dir(self.config), ignore_errors=True)

    def let_the_market_go_on(self, steps: int = 40) -> None:
        """Until both venues have quoted that often; a step is a twentieth of a second."""
        until = self.market.steps + steps
        wait_until(lambda: self.market.steps >= until, "quotes")

    @property
    def ports(self) -> dict[str, int]:
        """The venues' own ports."""
        return self._simulator.ports

    # --- the venues' word; read in their own thread ---

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something on the venues' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE_S)

    def begin(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        """Run something on the venues' loop beside them, until it is cancelled."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def ask(self, question: Callable[[RunningSimulator], T]) -> T:
        async def answer() -> T:
            return question(self._simulator)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(DEADLINE_S)

    def wait_for_accounts(self) -> None:
        """Until somebody has registered at both venues: ``running`` says that processes run, not that they
        have logged in."""
        wait_until(
            lambda: self.ask(lambda sim: all(sim.exchanges[venue].account_ids for venue in self.symbols)),
            "an account at every venue",
        )

    def add_fault(self, venue: str, point: str, **fields: Any) -> Fault:
        return self.ask(lambda simulator: simulator.fronts[venue].faults.add(Fault(point, **fields)))

    def clear_faults(self) -> None:
        def clear(simulator: RunningSimulator) -> None:
            for front in simulator.fronts.values():
                front.faults.clear()

        self.ask(clear)

    def close_sockets(self, venue: str) -> None:
        """Close every private stream of a venue, as a restart of its servers would."""

        async def close() -> None:
            await self._simulator.fronts[venue].close_sockets("private")

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(DEADLINE_S)

    def orders(self, venue: str) -> list[SimOrder]:
        return self.ask(
            lambda simulator: [
                order
                for account in simulator.exchanges[venue].account_ids
                for order in simulator.exchanges[venue].orders(account)
            ]
        )

    @property
    def positions_e8(self) -> dict[str, int]:
        return self.ask(lambda _: self.books_e8())

    def books_e8(self) -> dict[str, int]:
        """The same for whoever runs on the venues' own loop."""
        return {
            venue: sum(
                position.size_e8
                for account in exchange.account_ids
                for position in exchange.positions(account)
            )
            for venue in self.symbols
            for exchange in (self._simulator.exchanges[venue],)
        }

    def doubled_ids(self) -> list[str]:
        """Client order ids that a venue has seen more than once."""
        ids = Counter(order.client_id for venue in self.symbols for order in self.orders(venue))
        return [client_id for client_id, count in ids.items() if count > 1]

    def open_orders(self) -> list[SimOrder]:
        return [order for venue in self.symbols for order in self.orders(venue) if not order.status.is_final]


@contextmanager
def a_stage(
    symbols: Mapping[str, str] = SYMBOLS,
    market: Market | None = None,
    settings: Mapping[str, FrontSettings] | None = None,
    **changes: Any,
) -> Iterator[Stage]:
    """A stage that closes at the end.

    ``market``: another than the pair's usual one; ``settings``: a simulated venue's own, by its name;
    ``changes``: of the configuration, by ``section__key``.
    """
    with a_directory() as directory:
        stage = Stage(directory, changes, symbols, market, settings)
        try:
            yield stage
        finally:
            stage.close()


def children_of(stage: Stage) -> list[int]:
    """Pids of every process of the instance but the supervisor and the database."""
    return processes_of(memory_dir(stage.config) / "tandem-test")


def kill_all(pids: list[int], signum: int) -> None:
    for pid in pids:
        os.kill(pid, signum)
