"""The executor process: signals in, machines stepped, both venues spoken to, everything reported.

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
from executor.engine import Engine
from executor.gateways.contract import LoginRefused, OrderGateway
from executor.gateways.funding import Funding
from executor.gateways.paper import gateway as paper
from executor.housekeeping import Housekeeping
from executor.market import Prices
from executor.metrics.counters import ExecutorCounters
from executor.metrics.latency import LatencyRecorder
from executor.metrics.slippage_model import SlippageModel, learned_file
from executor.metrics.subscribers import Subscribers
from executor.operator.grids import adopt_grids
from executor.operator.hold_limit import HoldLimit
from executor.operator.reconcile import Decisions
from executor.operator.reload import Reloading
from executor.operator.resolve import Configuration, resolve_pair
from executor.operator.standing_orders import Operator
from executor.orders.fill_queries import FillQueries
from executor.orders.open_orders import OpenOrders
from executor.orders.presigner import Presigner, likely_signals, predict_one
from executor.orders.sender import Sender
from executor.orders.stagger import Stagger
from executor.orders.warming import NullStore, null_sender
from executor.pair.accounting import events_to_repeat, holding
from executor.pair.fast_path import load_taken
from executor.pair.messages import Restarted
from executor.pair.state import PairState, load, new_state
from executor.pairs import PairRuntime, Pairs, Report
from executor.recovery.restore import find_held, orphaned_positions, state_of
from executor.recovery.state_store import StateStore
from executor.risk.book import Risk
from executor.risk.circuit_breaker import Breaker
from executor.risk.clock_watch import ClockWatch
from executor.risk.daily_pnl import PairResult, Results
from executor.risk.exposure import Exposure
from executor.risk.margin import Margins
from executor.risk.order_rate import OrderRate
from executor.risk.trading_state import TradingState
from executor.shutdown import Shutdown
from executor.signals import Signals
from executor.venue_events import VenueEvents
from executor.venue_queries import VenueQueries
from runtime import bootstrap
from runtime.background import BackgroundTasks
from runtime.carried_positions import CarriedFunding, CarriedPair, read_carried
from runtime.clock import unix_ms
from runtime.kill_switch import KillSwitch, kill_file
from runtime.operator_orders import StandingOrders
from runtime.unconfirmed import write_unconfirmed
from runtime.venue_hosts import venue_hosts
from shm.agent import quiet_garbage_collector
from venues.contract import VenueHosts

PARK_S = 0.01  # bounds a lost wake-up
PRESIGN_PAUSE_S = 0.002  # between searches for a template to renew; one is made per search


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
        settings, memory, clock = process.settings, process.memory, process.clock
        report: Report = process.reporter.report
        self._process = process
        self._report = report
        self._clock = clock
        self._bell = memory.doorbell("executor")
        store = StateStore(memory.machines(writer=True), memory.taken(writer=True))
        held = read_carried(memory.directory)
        pairs = Pairs([_make_pair(process, store, held, number) for number in range(len(settings.pairs))])
        self._pairs = pairs
        self._orphaned = orphaned_positions([pair.rules for pair in pairs], held)
        self._configuration = Configuration(settings, process.instruments, pairs)
        self._gateways: dict[str, OrderGateway] = {}
        self._prices = prices = Prices(memory, process.instruments, clock)
        self._counters = counters = ExecutorCounters(process.counters)
        self._latency = latency = LatencyRecorder(process.counters)
        self._tasks = tasks = BackgroundTasks()
        self._slippage = SlippageModel(
            memory.slippage(writer=True), process.instruments, learned_file(settings), clock
        )
        risk = Risk(
            breaker=Breaker(settings.risk),
            exposure=Exposure([(pair.rules, pair.state) for pair in pairs]),
            results=Results([pair.result for pair in pairs], clock),
            margins=Margins(settings.venue_names, report, clock),
            rate=OrderRate(),
        )
        execution = settings.execution
        self._stagger = Stagger(is_on=execution.stagger, hold_ns_max=int(execution.stagger_max_ms * 1e6))
        self._queries = VenueQueries(
            pairs=pairs,
            gateways=self._gateways,
            prices=prices,
            tasks=tasks,
            adopt_grids=lambda found: adopt_grids(found, self._configuration, report),
            report=report,
            clock=clock,
        )
        sender = Sender(
            gateways=self._gateways,
            prices=prices,
            rate=risk.rate,
            stagger=self._stagger,
            latency=latency,
            counters=counters,
            report=report,
            clock=clock,
        )
        subscribers = Subscribers(
            breaker=risk.breaker,
            latency=latency,
            slippage=self._slippage,
            counters=counters,
            report=report,
            clock=clock,
        )
        self._engine = Engine(
            pairs,
            sender,
            self._queries,
            risk,
            subscribers,
            clock,
            null_sender=null_sender(self._gateways, prices, clock),
            null_store=NullStore(),
            prices=prices,
            gateways=self._gateways,
            latency=latency,
            store=store,
            views=memory.views_writer(),
            tasks=tasks,
            report=report,
        )
        self._trading_state = TradingState(
            supervisor=memory.counters("supervisor"),
            persistence=memory.counters("persistence"),
            latch=KillSwitch(kill_file(settings), memory.latch()),
            orders=StandingOrders(settings),
            stop=process.stop,
            breaker=risk.breaker,
            results=risk.results,
            risk=settings.risk,
        )
        self._signals = Signals(
            pairs=pairs,
            engine=self._engine,
            risk=risk,
            trading_state=self._trading_state,
            prices=prices,
            gateways=self._gateways,
            queue=memory.signals_reader(),
            counters=counters,
            report=report,
            clock=clock,
        )
        self._settings = bootstrap.SettingsWatch(process)
        self._open_orders = OpenOrders(
            pairs=pairs,
            gateways=self._gateways,
            instruments=process.instruments,
            epoch=process.epoch,
            report=report,
        )
        self._housekeeping = self._make_housekeeping(risk)
        self._funding = funding or Funding(settings, memory.funding(writer=True), report, clock)
        self._is_driven = is_driven
        self._presigner = Presigner(self._gateways, prices, clock)
        self._presigned_next = 0
        self._is_closing = False
        counters.set("ready", 0)  # what an earlier process left says nothing about this one

    def _make_housekeeping(self, risk: Risk) -> Housekeeping:
        """What is polled, with the parts that it polls."""
        pairs, engine, prices, tasks = self._pairs, self._engine, self._prices, self._tasks
        gateways, report, clock = self._gateways, self._report, self._clock
        directory = self._process.memory.directory
        return Housekeeping(
            pairs=pairs,
            orphaned=self._orphaned,
            runner=engine,
            risk=risk,
            trading_state=self._trading_state,
            configuration=self._configuration,
            prices=prices,
            gateways=gateways,
            open_orders=self._open_orders,
            decisions=Decisions(
                pairs=pairs,
                orphaned=self._orphaned,
                runner=engine,
                prices=prices,
                open_orders=self._open_orders,
                tasks=tasks,
                report=report,
                directory=directory,
            ),
            operator=Operator(
                pairs=pairs,
                runner=engine,
                prices=prices,
                trading_state=self._trading_state,
                report=report,
                directory=directory,
            ),
            reloading=Reloading(
                configuration=self._configuration,
                pairs=pairs,
                runner=engine,
                trading_state=self._trading_state,
                stagger=self._stagger,
                watch=self._settings,
            ),
            fill_queries=FillQueries(
                pairs=pairs, gateways=gateways, query_fills=self._queries.query_fills, tasks=tasks
            ),
            hold_limit=HoldLimit(
                pairs=pairs,
                runner=engine,
                prices=prices,
                gateways=gateways,
                tasks=tasks,
                report=report,
                clock=clock,
            ),
            clock_watch=ClockWatch(
                gateways, self._configuration.settings.venue_names, report, self._counters
            ),
            query_grids=self._queries.query_grids,
            is_queue_crowded=self._process.is_queue_crowded,
            latency=self._latency,
            tasks=tasks,
            counters=self._counters,
            report=report,
            clock=clock,
        )

    # --- start and end ---

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
            *(asyncio.create_task(gateway.run()) for gateway in self._gateways.values()),
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
            self._housekeeping.report_latency()
            self._close()
        self._process.reporter.report(ProcessStopped())

    def _connect(self) -> None:
        events = VenueEvents(
            pairs=self._pairs,
            prices=self._prices,
            queries=self._queries,
            latency=self._latency,
            stagger=self._stagger,
            tasks=self._tasks,
            feed=self._engine.feed,
            report=self._report,
        )
        is_first_start = not any(pair.was_restored for pair in self._pairs)
        settings = self._configuration.settings
        for venue in settings.venue_names:
            self._gateways[venue] = (
                paper.connect(self._process, venue, events, self._prices)
                if settings.mode == "paper"
                else accounts.connect(self._process, venue, events, may_give_up=is_first_start)
            )

    def _hosts(self) -> dict[str, VenueHosts]:
        settings = self._configuration.settings
        return {venue: venue_hosts(settings, venue) for venue in settings.venue_names}

    def _begin(self) -> None:
        settings = self._configuration.settings
        waiting = settings.idle_strategy("executor")
        for pair in self._pairs:
            self._engine.settle(pair)
            if pair.state.epoch != self._process.epoch:
                self._engine.feed(pair, Restarted(self._prices.at(pair), self._process.epoch))
            else:
                self._engine.tick(pair)
            if pair.was_restored:
                # The last process may have been killed between a change and its event.
                now_mono_ns = self._clock.mono_ns()
                for event in (
                    *events_to_repeat(pair.rules, pair.state, now_mono_ns),
                    holding(pair.rules, pair.state),
                ):
                    self._report(event)
        for orphan in self._orphaned:
            difference = ReconcileDiff(
                kind="pair",
                pair=orphan.pair,
                legs=orphan.legs,
                sizes_e8=orphan.sizes_e8,
                orders=tuple(order.client_order_id for order in orphan.orders),
                explained_by=None,
                detail="an earlier run held this for a pair that is not configured so any more and is not "
                "looked after: configure it again, or close it at the venues and run: "
                "python -m tools reconcile --adopt",
            )
            self._report(difference)
        started = ProcessStarted(
            idle=waiting,
            pairs=tuple(pair.rules.pair for pair in self._pairs),
            restored=tuple(pair.rules.pair for pair in self._pairs if pair.was_restored),
            http_connections=settings.execution.http_connections,
            kill_file=str(self._trading_state.latch.path),
            pause_file=str(self._trading_state.orders.pause_path),
        )
        self._report(started)
        try:
            self._slippage.load()
        except (OSError, ValueError) as error:
            detail = f"{learned_file(settings)}: {error}; begun anew"
            self._report(SlippageNotKept(detail=detail))
        self._settings.done()
        quiet_garbage_collector()
        if self._is_driven:
            return
        self._listen(waiting)
        self._keep_presigned()
        if settings.runtime.keep_warm_ms:
            self._keep_warm(settings.runtime.keep_warm_ms / 1_000)

    # --- for whoever drives it ---

    def take_signals(self) -> None:
        """Take the signals that wait."""
        self._signals.take_all()

    @property
    def open_pairs(self) -> int:
        """Pairs with a trade that has not ended."""
        return sum(pair.state.trade is not None for pair in self._pairs)

    async def equity_e8(self) -> int:
        """What the accounts at all venues are worth together."""
        accounts = [await gateway.query_margin() for gateway in self._gateways.values()]
        return sum(account.value_e8 for account, _ in accounts)

    async def _until_stopped(self) -> None:
        await self._housekeeping.is_to_stop.wait()
        shutdown = Shutdown(
            pairs=self._pairs,
            runner=self._engine,
            prices=self._prices,
            gateways=self._gateways,
            open_orders=self._open_orders,
            report=self._report,
            clock=self._clock,
        )
        left = await shutdown.run(self._configuration.settings.runtime, self._process.stop)
        write_unconfirmed(self._process.memory.directory, left)

    def _close(self) -> None:
        self._presigner.close()
        self._tasks.close()
        self._engine.close()
        self._prices.close()
        self._slippage.close()
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

    # --- presigning ---

    def _keep_presigned(self) -> None:
        """Renew at most one template per turn, and none while a signal waits."""
        if self._is_closing:
            return
        if not self._signals.has_more():
            self._presigned_next = (self._presigned_next + 1) % len(self._pairs)
            pair = self._pairs[self._presigned_next]
            if not predict_one(self._prices, pair):
                signing = self._presigner.presign_one(pair)
                if signing is not None:
                    signing.add_done_callback(lambda _: self._keep_presigned_later())
                    return
        self._keep_presigned_later()

    def _keep_presigned_later(self) -> None:
        asyncio.get_running_loop().call_later(PRESIGN_PAUSE_S, self._keep_presigned)

    def _keep_warm(self, every_s: float) -> None:
        if not self._is_closing:
            pair = self._pairs[self._presigned_next]
            for _, event in likely_signals(self._prices, pair):
                self._signals.warm(pair, event)
            asyncio.get_running_loop().call_later(every_s, self._keep_warm, every_s)


def _make_pair(
    process: bootstrap.Launch, store: StateStore, held: Sequence[CarriedPair], number: int
) -> PairRuntime:
    """A pair as its last process left it, as the journal of an earlier run reports it, or a new one."""
    resolved = resolve_pair(process.settings, process.instruments, number)
    rules = resolved.rules
    entry, reported = store.read(number), find_held(rules, held)
    known = _load(process, rules.pair, entry.state) if entry else None
    event = store.read_event(number) if known else None
    if entry is not None and known is not None:
        state, result = known, PairResult(*entry[1:])
    elif reported is not None:
        state = state_of(rules, process.epoch, reported, process.clock.mono_ns(), unix_ms(process.clock))
        result = PairResult(
            reported.result_day, reported.result_e8, reported.best_e8, estimated=reported.estimated
        )
    else:
        state, result = new_state(rules, process.epoch), PairResult()
    return PairRuntime(
        **resolved._asdict(),
        state=state,
        was_restored=known is not None or reported is not None,
        suspended=process.suspended.get(rules.pair, ""),
        result=result,
        unsettled=load_taken(event) if event else None,
        funding_due=_funding_due(state, reported),
    )


def _funding_due(state: PairState, reported: CarriedPair | None) -> list[CarriedFunding]:
    """Orders whose funding an earlier process may not have reported: those the journal names, and those that
    the machine still remembers. What was reported before is repeated under the same payment's name."""
    due = {funding.client_order_id: funding for funding in (reported.funding_due if reported else ())}
    for number, leg in enumerate(state.legs):
        for order in leg.past:
            if order.filled_e8 and order.venue_order_id:
                due[order.client_order_id] = CarriedFunding(
                    number, order.client_order_id, order.venue_order_id
                )
    return list(due.values())


def _load(process: bootstrap.Launch, pair: str, state: bytes) -> PairState | None:
    """An earlier process's state; None, and reported, where another version wrote it: journal and venues
    know most of it, and an executor that ends of it leaves the pair to itself."""
    try:
        return load(state)
    except msgspec.DecodeError as error:
        detail = f"its machine was left by another version: {error}; the journal's word is taken"
        process.reporter.report(ReconcileDiff(kind="machine", pair=pair, explained_by=None, detail=detail))
        return None
