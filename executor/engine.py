"""Feeds the pair machines their events and carries out what they decide.

One step is: what the machine has decided into the state store, every ``Send`` of its batch onto the wire,
then everything that can wait: its conclusions, events, queries, the view for others. A signal that was
predicted takes the fast path (``pair.fast_path``): its event into the store, its orders onto the wire, then
its step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from events.decisions import SignalStages
from events.event import Event
from events.orders import IntentWritten
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.metrics.latency import LatencyRecorder, SignalTimestamps
from executor.metrics.subscribers import Subscribers
from executor.metrics.tca import ExecutionReport
from executor.orders.sender import Sender
from executor.pair import fast_path, machine
from executor.pair.messages import (
    Cancel,
    Command,
    Enter,
    Exit,
    Publish,
    Query,
    ReadGrid,
    ReadPositions,
    Send,
    SendFailed,
    Tick,
)
from executor.pair.messages import Event as MachineEvent
from executor.pair.state import dump
from executor.pairs import Feed, PairRuntime, Pairs, Report
from executor.recovery.state_store import StateStore, StoredPair
from executor.risk.book import Risk
from runtime.background import BackgroundTasks
from runtime.clock import Clock
from shm.records import Signal, SignalKind
from shm.views import ViewWriter
from venues.contract import PAR_E8

_SHORTEST_TIMER_S = 0.001  # a timer that is due at once must not starve the sockets


class Queries(Protocol):
    """Who asks the venues for the machines. An answer is fed to the machine; a failure is not."""

    def connect(self, feed: Feed) -> None:
        """Have answers fed there."""

    def query_order(
        self, pair: PairRuntime, leg: int, client_order_id: int, venue_order_id: str
    ) -> Coroutine[Any, Any, None]:
        """What became of an order."""

    def cancel_order(
        self, pair: PairRuntime, leg: int, client_order_id: int, venue_order_id: str
    ) -> Coroutine[Any, Any, None]:
        """Cancel an order."""

    def query_positions(self, pair: PairRuntime, venue: str) -> Coroutine[Any, Any, None]:
        """What a venue holds of a pair."""

    def query_grids(self, venue: str) -> Coroutine[Any, Any, None]:
        """What prices and sizes a venue's contracts take."""


class SignalStore(Protocol):
    """Where a signal and its orders are kept before they leave."""

    def write_event(self, pair_id: int, event: bytes) -> None:
        """Keep them; the next write of the pair's state settles them."""


class _Ahead(NamedTuple):
    """Orders that left before their step, and those that did not get away."""

    sends: tuple[Send, ...]
    failed: list[SendFailed]


class Engine:
    """Steps the machines, one event at a time, in the order they came."""

    def __init__(
        self,
        pairs: Pairs,
        sender: Sender,
        queries: Queries,
        risk: Risk,
        subscribers: Subscribers,
        clock: Clock,
        *,
        null_sender: Sender,
        null_store: SignalStore,
        prices: Prices,
        gateways: Mapping[str, OrderGateway],
        latency: LatencyRecorder,
        store: StateStore,
        views: ViewWriter,
        tasks: BackgroundTasks,
        report: Report,
    ) -> None:
        self._pairs = pairs
        self._sender = sender
        self._queries = queries
        self._risk = risk
        self._subscribers = subscribers
        self._clock = clock
        self._prices = prices
        self._gateways = gateways
        self._latency = latency
        self._store = store
        self._views = views
        self._tasks = tasks
        self._report = report
        self._null_sender = null_sender
        self._null_store = null_store
        self._waiting: deque[tuple[PairRuntime, MachineEvent]] = deque()
        self._is_stepping = False
        sender.connect(self.feed)
        queries.connect(self.feed)

    def feed(self, pair: PairRuntime, event: MachineEvent) -> None:
        """Give the machine an event and carry out what it commands, and what follows from that."""
        self._waiting.append((pair, event))
        if self._is_stepping:
            return
        self._is_stepping = True
        self._step_on()

    def submit(self, pair: PairRuntime, event: Enter | Exit, signal: Signal, seen_mono_ns: int) -> bool:
        """Feed what a signal asks for, and measure what comes of it. Returns whether an order left."""
        assert pair.in_flight is None, "one signal at a time"
        stages = pair.in_flight = SignalTimestamps(signal, seen_mono_ns, self._clock.mono_ns())
        sends = None
        if not self._waiting and not self._is_stepping:
            sends = self._predicted_sends(pair, event)
        if sends is None:
            self.feed(pair, event)
        else:
            self._is_stepping = True
            assert pair.stored is pair.state, "a signal is stored beside the state that it meets"
            failed = self._send_ahead(pair, event, sends, self._sender, self._store)
            self._step(pair, event, _Ahead(sends, failed))
            self._step_on()
        pair.in_flight = None
        self._latency.record("decided_to_seen", seen_mono_ns - signal.decided_mono_ns)
        self._latency.record("seen_to_checked", stages.checked - seen_mono_ns)
        if any(stages.sent):
            if signal.direction:  # none: what a trade left on both legs is closed, by no trade's measure
                pair.executions[SignalKind(signal.kind)] = ExecutionReport(
                    stages, event.at.markets, event.at.rate_e8 or PAR_E8
                )
            first_id, second_id = stages.client_order_ids
            self._report(
                SignalStages(
                    pair=pair.rules.pair,
                    signal_id=signal.signal_id,
                    client_order_ids=(first_id, second_id),
                    **stages.fields_mono_ns(),
                )
            )
        return any(stages.sent)

    def warm(self, pair: PairRuntime, event: Enter | Exit) -> None:
        """Take the fast path of a signal with a sender and a store that do nothing."""
        sends = self._predicted_sends(pair, event)
        if sends is not None:
            rehearsal = replace(pair, presigned=pair.presigned.copy())
            self._send_ahead(rehearsal, event, sends, self._null_sender, self._null_store)

    def tick(self, pair: PairRuntime) -> None:
        """Let time pass for a machine."""
        self.feed(pair, Tick(self._prices.at(pair)))

    def publish(self, pair: PairRuntime) -> None:
        """Show the pair to the others, with the process's own reasons not to enter."""
        if pair.view is not None:
            now_mono_ns = self._clock.mono_ns()
            is_held = bool(pair.entries_stopped) or now_mono_ns < pair.refused_until_mono_ns
            view = pair.view._replace(
                entries_allowed=int(pair.view.entries_allowed and not is_held),
                last_signal_id=pair.last_signal_id,
                updated_mono_ns=now_mono_ns,
            )
            self._views.write(pair.rules.pair_id, view)

    def close(self) -> None:
        """Let go of the memory, and of the timers."""
        self._pairs.close()
        self._views.close()
        self._store.close()

    # --- one step ---

    def _step_on(self) -> None:
        """Take in what waits. An error of our own ends the stepping for good: orders may have left that
        the machine does not know of, and nothing that comes in until the process has ended may take the
        place of what its successor needs to know in the store."""
        assert self._is_stepping, "one step at a time"
        while self._waiting:
            self._step(*self._waiting.popleft())
        self._is_stepping = False

    def _step(self, pair: PairRuntime, event: MachineEvent, ahead: _Ahead | None = None) -> None:
        """Take an event in; ``ahead`` is what has left for it already."""
        transition = machine.decide(pair.rules, pair.state, event)
        sends, failed = transition.sends, []
        if ahead is not None:
            assert tuple(sends) == ahead.sends, f"{ahead.sends} left for {event}, the machine wants {sends}"
            failed = ahead.failed
        elif sends:
            orders = [self._sender.render(pair, send, event.at) for send in sends]
            pair.take_state(transition.state)
            self._store_state(pair)
            assert pair.stored is pair.state, "no order leaves before the state that knows it is stored"
            failed = self._sender.write(pair, sends, orders)
        state, commands = machine.conclude(transition)
        pair.take_state(state)
        self._add_results(pair, commands)
        self._store_state(pair)
        if sends:
            for command in commands:
                if type(command) is IntentWritten:
                    self._report(command)
            self._sender.report_sent(pair, sends, failed)
            self._waiting.extendleft((pair, item) for item in reversed(failed))
        self._risk.exposure.update(pair.rules, pair.state)
        for command in commands:
            self._carry_out(pair, command)
        self._set_timer(pair)

    def _predicted_sends(self, pair: PairRuntime, event: Enter | Exit) -> tuple[Send, ...] | None:
        """The orders of a signal, if they are certain before its step is taken."""
        prediction = pair.predictions.get(event.direction if type(event) is Enter else 0)
        return fast_path.predicted_sends(pair.rules, pair.state, event, prediction)

    def _send_ahead(
        self,
        pair: PairRuntime,
        event: Enter | Exit,
        sends: tuple[Send, ...],
        sender: Sender,
        store: SignalStore,
    ) -> list[SendFailed]:
        """The fast path: store the event, write its orders. Its step comes next, see ``pair.fast_path``."""
        orders = [sender.render(pair, send, event.at) for send in sends]
        store.write_event(pair.rules.pair_id, fast_path.dump_taken(event, sends))
        return sender.write(pair, sends, orders)

    def settle(self, pair: PairRuntime) -> None:
        """Take the step of a signal whose orders an earlier process may have written before it."""
        if pair.unsettled is not None:
            state, commands = machine.take_pending(pair.rules, pair.state, pair.unsettled)
            pair.take_state(state)
            pair.unsettled = None
            assert not self._waiting, "what was begun is ended before anything else"
            self._add_results(pair, commands)
            self._store_state(pair)
            for command in commands:
                if isinstance(command, Event):
                    self._report(command)

    def _store_state(self, pair: PairRuntime) -> None:
        result = pair.result  # field by field: ``astuple`` copies each of them, before every order
        entry = StoredPair(
            state=dump(pair.state),
            day=result.day,
            result_e8=result.result_e8,
            best_e8=result.best_e8,
            naked_ns=result.naked_ns,
            estimated=result.estimated,
        )
        self._store.write(pair.rules.pair_id, entry)
        pair.stored = pair.state

    def _set_timer(self, pair: PairRuntime) -> None:
        due_s = (machine.due_mono_ns(pair.rules, pair.state) - self._clock.mono_ns()) / 1e9
        if pair.timer is not None:
            pair.timer.cancel()
        loop = asyncio.get_running_loop()
        pair.timer = loop.call_later(max(due_s, _SHORTEST_TIMER_S), self.tick, pair)

    # --- commands that can wait ---

    def _carry_out(self, pair: PairRuntime, command: Command) -> None:
        match command:
            case IntentWritten() | Send():
                return  # done before everything else
            case Event():
                self._subscribers.publish(pair, command)
            case Publish():
                pair.view = command.view
                self.publish(pair)
            case Query():
                venue = pair.rules.instruments[command.leg].venue
                self._query(venue, self._queries.query_order(pair, command.leg, *_names(command)))
            case Cancel():
                venue = pair.rules.instruments[command.leg].venue
                self._query(venue, self._queries.cancel_order(pair, command.leg, *_names(command)))
            case ReadGrid():
                venue = pair.rules.instruments[command.leg].venue
                self._query(venue, self._queries.query_grids(venue))
            case ReadPositions():
                for venue in dict.fromkeys(item.venue for item in pair.rules.instruments):
                    self._query(venue, self._queries.query_positions(pair, venue))

    def _query(self, venue: str, query: Coroutine[Any, Any, None]) -> None:
        """Start a query once the venue can be asked; until then the machine repeats it by itself."""
        if self._gateways[venue].can_ask:
            self._tasks.start(query)
        else:
            query.close()

    def _add_results(self, pair: PairRuntime, commands: Sequence[Command]) -> None:
        """What a step adds to the day, before its state is stored. See ``Results.follow``."""
        for command in commands:
            if isinstance(command, Event):
                self._risk.results.follow(pair.result, command)


def _names(command: Query | Cancel) -> tuple[int, str]:
    return command.client_order_id, command.venue_order_id
