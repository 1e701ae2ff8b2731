"""The executor process: signals in, machines stepped, both venues spoken to, everything told.

One event loop, and a thread beside it that signs (``arming``). Signals arrive through shared memory:
the detector rings the bell when the loop sleeps, and a timer bounds a lost ring. Nothing here blocks,
and nothing is awaited between a signal and its orders' bytes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import uvloop

from events.instance import ProcessStarted, ProcessStopped
from events.positions import ReconcileDiff
from events.trades import SlippageNotKept
from executor import accounts
from executor.desk import Desk, Pair
from executor.engine import Engine
from executor.funding import Funding
from executor.gateways.contract import LoginRefused
from executor.gateways.paper import gateway as paper
from executor.housekeeping import Housekeeping
from executor.market import Prices
from executor.metrics.latency import LatencyRecorder
from executor.metrics.reports import Reports
from executor.metrics.slippage_model import SlippageModel, learned_file
from executor.operator.hold_limit import HoldLimit
from executor.operator.reconcile import Decisions
from executor.operator.reload import Reloading
from executor.operator.resolve import resolve_pair
from executor.operator.standing_orders import Operator
from executor.orders.fill_queries import FillQueries
from executor.orders.open_orders import OpenOrders
from executor.orders.presigner import Presigner, predict_one
from executor.pair.accounting import holding, retold
from executor.pair.fast_path import load_taken
from executor.pair.messages import Restarted
from executor.pair.state import PairState, load, new_state
from executor.recovery.restore import find_held, state_of, strangers
from executor.recovery.state_store import StateStore
from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import PairResult
from executor.risk.trading_state import TradingState
from executor.shutdown import shut_down
from executor.signals import Signals
from executor.venue_events import Asking, VenueEvents
from runtime import bootstrap
from runtime.carried_positions import CarriedFunding, CarriedPair, read_carried
from runtime.clock import unix_ms
from runtime.kill_switch import KillSwitch, kill_file
from runtime.operator_orders import StandingOrders
from runtime.unconfirmed import write_unconfirmed
from runtime.venue_hosts import venue_hosts
from shm.agent import quiet_garbage_collector
from venues.contract import VenueHosts

PARK_S = 0.01  # bounds a lost wake-up
ARM_PAUSE_S = 0.002  # between looks for a template to renew; one is made per look


def main(argv: list[str] | None = None) -> None:
    process = bootstrap.start("executor", argv)
    try:
        uvloop.run(Executor(process).run())
    except LoginRefused as error:
        bootstrap.refuse(f"executor: {error}")


class FundingRates(Protocol):
    """Where funding rates come from: ``Funding`` asks the venues, a replay knows what they answered."""

    async def run(self, hosts: dict[str, VenueHosts]) -> None:
        """Keep the rates in shared memory until cancelled."""

    def close(self) -> None: ...


class Executor:
    """Wires the parts to memory, venues and time.

    funding: another source of rates than the venues.
    is_driven: whoever made it calls ``take_signals`` when there may be one, and nothing is signed beforehand.
    """

    def __init__(
        self, process: bootstrap.Launch, *, funding: FundingRates | None = None, is_driven: bool = False
    ) -> None:
        settings, memory = process.settings, process.memory
        self._process = process
        self._bell = memory.doorbell("executor")
        journal = StateStore(memory.machines(writer=True), memory.taken(writer=True))
        held = read_carried(memory.directory)
        pairs = tuple(_make_pair(process, journal, held, number) for number in range(len(settings.pairs)))
        self._desk = Desk(
            settings=settings,
            clock=process.clock,
            pairs=pairs,
            strangers=strangers([pair.rules for pair in pairs], held),
            instruments=process.instruments,
            prices=Prices(memory, process.instruments),
            reports=Reports(process),
            ledger=LatencyRecorder(process.counters),
            breaker=Breaker(settings.risk),
            learned=SlippageModel(
                memory.slippage(writer=True), process.instruments, learned_file(settings), process.clock
            ),
        )
        self._trading_state = TradingState(
            supervisor=memory.counters("supervisor"),
            persistence=memory.counters("persistence"),
            latch=KillSwitch(kill_file(settings), memory.latch()),
            orders=StandingOrders(settings),
            stop=process.stop,
            breaker=self._desk.breaker,
            results=self._desk.results,
            risk=settings.risk,
        )
        self._engine = Engine(self._desk, journal, memory.views_writer())
        self._signals = Signals(self._desk, self._engine, self._trading_state, memory.signals_reader())
        self._open_orders = OpenOrders(self._desk, process.instruments, process.epoch)
        decisions = Decisions(self._desk, self._engine, self._open_orders, memory.directory)
        operator = Operator(self._desk, self._engine, self._trading_state, memory.directory)
        self._settings = bootstrap.SettingsWatch(process)
        reloading = Reloading(self._desk, self._engine, self._trading_state, self._settings)
        self._housekeeping = Housekeeping(
            self._desk,
            self._engine,
            self._trading_state,
            self._open_orders,
            decisions,
            operator,
            reloading,
            FillQueries(self._desk, Asking(self._desk, self._engine.feed)),
            HoldLimit(self._desk, self._engine),
        )
        self._funding = funding or Funding(
            settings, memory.funding(writer=True), self._desk.reports, process.clock
        )
        self._is_driven = is_driven
        self._signer = Presigner(self._desk)
        self._armed_next = 0
        self._is_closing = False
        self._desk.reports.set("ready", 0)  # what an earlier life left says nothing about this one

    # --- life ---

    async def run(self) -> None:
        """Trade until SIGTERM, then end in order. Raises LoginRefused."""
        loop = asyncio.get_running_loop()
        crash: asyncio.Future[None] = loop.create_future()

        def crashed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            # An error of our own in a callback ends the process; the supervisor starts a clean one.
            if not crash.done():
                crash.set_exception(context.get("exception") or RuntimeError(context["message"]))

        loop.set_exception_handler(crashed)
        self._connect()
        self._begin()
        tasks = [
            *(asyncio.create_task(gateway.run()) for gateway in self._desk.gateways.values()),
            asyncio.create_task(self._housekeeping.run()),
            asyncio.create_task(self._funding.run(self._hosts())),
            asyncio.create_task(self._until_stopped()),
        ]
        try:
            await asyncio.wait({*tasks, crash}, return_when=asyncio.FIRST_COMPLETED)
            for ended in (crash, *tasks):
                if ended.done():
                    ended.result()
        finally:
            self._is_closing = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._housekeeping.tell_latency()
            self._close()
        self._process.reporter.report(ProcessStopped())

    def _connect(self) -> None:
        hearing = VenueEvents(self._desk, self._engine.feed)
        is_first_life = not any(pair.was_restored for pair in self._desk.pairs)
        for venue in self._desk.settings.venue_names:
            self._desk.gateways[venue] = (
                paper.connect(self._process, venue, hearing, self._desk.prices)
                if self._desk.settings.mode == "paper"
                else accounts.connect(self._process, venue, hearing, may_give_up=is_first_life)
            )

    def _hosts(self) -> dict[str, VenueHosts]:
        settings = self._desk.settings
        return {venue: venue_hosts(settings, venue) for venue in settings.venue_names}

    def _begin(self) -> None:
        desk, waiting = self._desk, self._desk.settings.idle_strategy("executor")
        for pair in desk.pairs:
            self._engine.settle(pair)
            if pair.state.epoch != self._process.epoch:
                self._engine.feed(pair, Restarted(desk.at(pair), self._process.epoch))
            else:
                self._engine.tick(pair)
            if pair.was_restored:
                # The last life may have been killed between a change and its event.
                now_mono_ns = desk.clock.mono_ns()
                for told in (*retold(pair.rules, pair.state, now_mono_ns), holding(pair.rules, pair.state)):
                    desk.reports.report(told)
        for stranger in desk.strangers:
            unlooked = ReconcileDiff(
                kind="pair",
                pair=stranger.pair,
                legs=stranger.legs,
                sizes_e8=stranger.sizes_e8,
                orders=tuple(order.client_order_id for order in stranger.orders),
                explained_by=None,
                detail="an earlier run held this for a pair that is not configured so any more and is not "
                "looked after: configure it again, or close it at the venues and run: "
                "python -m tools reconcile --adopt",
            )
            desk.reports.report(unlooked)
        started = ProcessStarted(
            idle=waiting,
            pairs=tuple(pair.rules.pair for pair in desk.pairs),
            restored=tuple(pair.rules.pair for pair in desk.pairs if pair.was_restored),
            http_connections=desk.settings.execution.http_connections,
            kill_file=str(self._trading_state.latch.path),
            pause_file=str(self._trading_state.orders.pause_path),
        )
        desk.reports.report(started)
        try:
            desk.learned.load()
        except (OSError, ValueError) as error:
            detail = f"{learned_file(desk.settings)}: {error}; begun anew"
            desk.reports.report(SlippageNotKept(detail=detail))
        self._settings.done()
        quiet_garbage_collector()
        if self._is_driven:
            return
        self._listen(waiting)
        self._keep_armed()
        if desk.settings.runtime.keep_warm_ms:
            self._keep_warm(desk.settings.runtime.keep_warm_ms / 1_000)

    # --- for whoever drives it ---

    def take_signals(self) -> None:
        """Take the signals that wait."""
        self._signals.take_all()

    @property
    def open_pairs(self) -> int:
        """Pairs with a trade that has not ended."""
        return sum(pair.state.trade is not None for pair in self._desk.pairs)

    async def equity_e8(self) -> int:
        """What the accounts at all venues are worth together."""
        accounts = [await gateway.query_margin() for gateway in self._desk.gateways.values()]
        return sum(account.value_e8 for account, _ in accounts)

    async def _until_stopped(self) -> None:
        await self._housekeeping.was_told_to_stop.wait()
        runtime, stop = self._desk.settings.runtime, self._process.stop
        left = await shut_down(self._desk, self._engine, self._open_orders, runtime, stop)
        write_unconfirmed(self._process.memory.directory, left)

    def _close(self) -> None:
        self._signer.close()
        self._desk.close()
        self._engine.close()
        self._funding.close()
        self._signals.close()
        self._trading_state.close()
        self._settings.close()

    # --- waiting for signals ---

    def _listen(self, waiting: str) -> None:
        if waiting == "park":
            if self._bell.fd >= 0:
                asyncio.get_running_loop().add_reader(self._bell.fd, self._rung)
            self._look_and_park()
        else:
            self._poll(yields=waiting == "yield")

    def _rung(self) -> None:
        if self._is_closing:
            return
        self._signals.take_all()
        self._bell.drain()  # before the next announcement, and after the work it was rung for
        self._take_and_announce()

    def _look_and_park(self) -> None:
        if not self._is_closing:
            self._take_and_announce()
            asyncio.get_running_loop().call_later(PARK_S, self._look_and_park)

    def _take_and_announce(self) -> None:
        """Take what is there, ask to be rung, and look once more: a signal may have come in between."""
        if self._is_closing:
            return
        self._signals.take_all()
        self._bell.announce_sleep()
        while self._signals.has_more():
            self._signals.take_all()
            self._bell.announce_sleep()

    def _poll(self, *, yields: bool) -> None:
        if self._is_closing:
            return
        self._signals.take_all()
        if yields:
            os.sched_yield()
        asyncio.get_running_loop().call_soon(lambda: self._poll(yields=yields))

    # --- arming ---

    def _keep_armed(self) -> None:
        """Renew at most one template per look, and none while a signal waits."""
        if self._is_closing:
            return
        pairs = self._desk.pairs
        if not self._signals.has_more():
            self._armed_next = (self._armed_next + 1) % len(pairs)
            if not predict_one(self._desk, pairs[self._armed_next]):
                signing = self._signer.arm_one(pairs[self._armed_next])
                if signing is not None:
                    signing.add_done_callback(lambda _: self._keep_armed_later())
                    return
        self._keep_armed_later()

    def _keep_armed_later(self) -> None:
        asyncio.get_running_loop().call_later(ARM_PAUSE_S, self._keep_armed)

    def _keep_warm(self, every_s: float) -> None:
        if not self._is_closing:
            self._signals.keep_warm(self._desk.pairs[self._armed_next])
            asyncio.get_running_loop().call_later(every_s, self._keep_warm, every_s)


def _make_pair(
    process: bootstrap.Launch, journal: StateStore, held: Sequence[CarriedPair], number: int
) -> Pair:
    """A pair as its last life left it, as the journal of an earlier run tells it, or a new one."""
    resolved = resolve_pair(process.settings, process.instruments, number)
    rules = resolved.rules
    entry, told = journal.read(number), find_held(rules, held)
    known = _load(process, rules.pair, entry.state) if entry else None
    event = journal.read_event(number) if known else None
    if entry is not None and known is not None:
        state, result = known, PairResult(*entry[1:])
    elif told is not None:
        state = state_of(rules, process.epoch, told, process.clock.mono_ns(), unix_ms(process.clock))
        result = PairResult(told.result_day, told.result_e8, told.best_e8, estimated=told.estimated)
    else:
        state, result = new_state(rules, process.epoch), PairResult()
    return Pair(
        **resolved._asdict(),
        state=state,
        was_restored=known is not None or told is not None,
        suspended=process.suspended.get(rules.pair, ""),
        result=result,
        unsettled=load_taken(event) if event else None,
        funding_due=_funding_due(state, told),
    )


def _funding_due(state: PairState, told: CarriedPair | None) -> list[CarriedFunding]:
    """Orders whose funding an earlier life may not have told: those the journal names, and those that
    the machine still remembers. What was told before is told once more, under the same payment's name."""
    due = {funding.client_order_id: funding for funding in (told.funding_due if told else ())}
    for number, leg in enumerate(state.legs):
        for order in leg.past:
            if order.filled_e8 and order.venue_order_id:
                due[order.client_order_id] = CarriedFunding(
                    number, order.client_order_id, order.venue_order_id
                )
    return list(due.values())


def _load(process: bootstrap.Launch, pair: str, state: bytes) -> PairState | None:
    """An earlier life's state; None, and said, where another version wrote it: the journal and the venues
    know most of it, and an executor that ends of it leaves the pair to itself."""
    try:
        return load(state)
    except msgspec.DecodeError as error:
        detail = f"its machine was left by another version: {error}; the journal's word is taken"
        process.reporter.report(ReconcileDiff(kind="machine", pair=pair, explained_by=None, detail=detail))
        return None
