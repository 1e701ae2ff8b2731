"""Feeds the pair machines what is heard and carries out what they decide.

One step is: what the machine has decided into the journal, every ``Send`` of its batch onto the wire,
then everything that can wait: its conclusions, events, questions, the view for others. A signal
that was rehearsed goes a shorter way (``lane``): its event into the journal, its orders onto the
wire, then its step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from events.decisions import SignalStages
from events.event import Event
from events.orders import IntentWritten
from executor.desk import Desk, Pair
from executor.metrics.latency import SignalTimestamps
from executor.metrics.subscribers import Subscribers
from executor.metrics.tca import ExecutionReport
from executor.operator.grids import Grids
from executor.orders.sender import Wire
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
from executor.pair.messages import Event as Input
from executor.pair.state import dump
from executor.recovery.state_store import StateStore, StoredPair
from executor.venue_events import Asking
from shm.records import Signal, SignalKind
from shm.views import ViewWriter


class _Ahead(NamedTuple):
    """Orders that left before their step, and those that did not get away."""

    sends: tuple[Send, ...]
    failed: list[SendFailed]


_SHORTEST_TIMER_S = 0.001  # a timer that is due at once must not starve the sockets


class Engine:
    """Steps the machines, one event at a time, in the order they came."""

    def __init__(self, desk: Desk, journal: StateStore, views: ViewWriter) -> None:
        self._desk = desk
        self._journal = journal
        self._views = views
        self._wire = Wire(desk, self.feed)
        self._asking = Asking(desk, self.feed)
        self._subscribers = Subscribers(desk)
        self.grids = Grids(desk, self.feed)
        self._waiting: deque[tuple[Pair, Input]] = deque()
        self._is_stepping = False

    def feed(self, pair: Pair, event: Input) -> None:
        """Give the machine an event and carry out what it commands, and what follows from that."""
        self._waiting.append((pair, event))
        if self._is_stepping:
            return
        self._is_stepping = True
        self._step_on()

    def obey(self, pair: Pair, event: Enter | Exit, signal: Signal, seen_mono_ns: int) -> bool:
        """Feed what a signal asks for, and measure what comes of it. Returns whether an order left."""
        stages = pair.fresh = SignalTimestamps(signal, seen_mono_ns, self._desk.clock.mono_ns())
        sends = None
        if not self._waiting and not self._is_stepping:
            rehearsal = pair.predictions.get(event.direction if type(event) is Enter else 0)
            sends = fast_path.predicted_sends(pair.rules, pair.state, event, rehearsal)
        if sends is None:
            self.feed(pair, event)
        else:
            self._go_ahead(pair, event, sends)
        pair.fresh = None
        self._desk.ledger.record("decided_to_seen", seen_mono_ns - signal.decided_mono_ns)
        self._desk.ledger.record("seen_to_checked", stages.checked - seen_mono_ns)
        if any(stages.sent):
            pair.batches[SignalKind(signal.kind)] = ExecutionReport(stages, event.at.markets)
            first_id, second_id = stages.client_order_ids
            self._desk.reports.report(
                SignalStages(
                    pair=pair.rules.pair,
                    signal_id=signal.signal_id,
                    client_order_ids=(first_id, second_id),
                    **stages.fields_mono_ns(),
                )
            )
        return any(stages.sent)

    def keep_warm(self, pair: Pair, event: Enter | Exit) -> None:
        """Go the short way of an event as far as nothing comes of it."""
        rehearsal = pair.predictions.get(event.direction if type(event) is Enter else 0)
        sends = fast_path.predicted_sends(pair.rules, pair.state, event, rehearsal)
        if sends is not None:
            fast_path.dump_taken(event, sends)
            self._wire.keep_warm(pair, sends, event.at)

    def tick(self, pair: Pair) -> None:
        self.feed(pair, Tick(self._desk.at(pair)))

    def publish(self, pair: Pair) -> None:
        """Show the pair to the others, with the process's own reasons not to enter."""
        if pair.view is not None:
            now_mono_ns = self._desk.clock.mono_ns()
            is_held = bool(pair.entries_stopped) or now_mono_ns < pair.refused_until_mono_ns
            view = pair.view._replace(
                entries_allowed=int(pair.view.entries_allowed and not is_held),
                last_signal_id=pair.last_signal_id,
                updated_mono_ns=now_mono_ns,
            )
            self._views.write(pair.rules.pair_id, view)

    def close(self) -> None:
        self._views.close()
        self._journal.close()

    # --- one step ---

    def _step_on(self) -> None:
        """Take in what waits. An error of our own ends the stepping for good: orders may have left that
        the machine does not know of, and nothing that is heard until the process has ended may take the
        place of what its successor needs to know in the journal."""
        while self._waiting:
            self._step(*self._waiting.popleft())
        self._is_stepping = False

    def _step(self, pair: Pair, event: Input, ahead: _Ahead | None = None) -> None:
        """Take an event in; ``ahead`` is what has left for it already."""
        transition = machine.decide(pair.rules, pair.state, event)
        sends, failed = transition.sends, []
        if ahead is not None:
            assert tuple(sends) == ahead.sends, f"{ahead.sends} left for {event}, the machine wants {sends}"
            failed = ahead.failed
        elif sends:
            orders = [self._wire.render(pair, send, event.at) for send in sends]
            pair.state = transition.state
            self._write_journal(pair)
            failed = self._wire.write(pair, sends, orders)
        pair.state, commands = machine.conclude(transition)
        self._add_results(pair, commands)
        self._write_journal(pair)
        if sends:
            for command in commands:
                if type(command) is IntentWritten:
                    self._desk.reports.report(command)
            self._wire.tell_sent(pair, sends, failed)
            self._waiting.extendleft((pair, item) for item in reversed(failed))
        self._desk.exposure.update(pair.rules, pair.state)
        for command in commands:
            self._carry_out(pair, command)
        self._set_timer(pair)

    def _go_ahead(self, pair: Pair, event: Enter | Exit, sends: tuple[Send, ...]) -> None:
        """The short way: journal the event, write its orders, then take its step. See ``lane``."""
        self._is_stepping = True
        orders = [self._wire.render(pair, send, event.at) for send in sends]
        self._journal.write_event(pair.rules.pair_id, fast_path.dump_taken(event, sends))
        failed = self._wire.write(pair, sends, orders)
        self._step(pair, event, _Ahead(sends, failed))
        self._step_on()

    def settle(self, pair: Pair) -> None:
        """Take the step of an event whose orders an earlier life may have written before it."""
        if pair.unsettled is not None:
            pair.state, commands = machine.take_pending(pair.rules, pair.state, pair.unsettled)
            pair.unsettled = None
            self._add_results(pair, commands)
            self._write_journal(pair)
            for command in commands:
                if isinstance(command, Event):
                    self._desk.reports.report(command)

    def _write_journal(self, pair: Pair) -> None:
        entry = StoredPair(dump(pair.state), *astuple(pair.result))
        self._journal.write(pair.rules.pair_id, entry)

    def _set_timer(self, pair: Pair) -> None:
        due_s = (machine.due_mono_ns(pair.rules, pair.state) - self._desk.clock.mono_ns()) / 1e9
        if pair.timer is not None:
            pair.timer.cancel()
        loop = asyncio.get_running_loop()
        pair.timer = loop.call_later(max(due_s, _SHORTEST_TIMER_S), self.tick, pair)

    # --- commands that can wait ---

    def _carry_out(self, pair: Pair, command: Command) -> None:
        match command:
            case IntentWritten() | Send():
                return  # done before everything else
            case Event():
                self._subscribers.hand(pair, command)
            case Publish():
                pair.view = command.view
                self.publish(pair)
            case Query():
                venue = pair.rules.instruments[command.leg].venue
                self._ask(venue, self._asking.about_order(pair, command.leg, *_names(command)))
            case Cancel():
                venue = pair.rules.instruments[command.leg].venue
                self._ask(venue, self._asking.to_cancel(pair, command.leg, *_names(command)))
            case ReadGrid():
                venue = pair.rules.instruments[command.leg].venue
                self._ask(venue, self.grids.read(venue))
            case ReadPositions():
                for venue in dict.fromkeys(item.venue for item in pair.rules.instruments):
                    self._ask(venue, self._asking.about_positions(pair, venue))

    def _ask(self, venue: str, question: Coroutine[Any, Any, None]) -> None:
        """Put a question once the venue can be asked; until then the machine repeats it by itself."""
        if self._desk.gateways[venue].can_ask:
            self._desk.start(question)
        else:
            question.close()

    def _add_results(self, pair: Pair, commands: Sequence[Command]) -> None:
        """What a step adds to the day, before its state is journalled. See ``Results.follow``."""
        for command in commands:
            if isinstance(command, Event):
                self._desk.results.follow(pair.result, command)


def _names(command: Query | Cancel) -> tuple[int, str]:
    return command.client_order_id, command.venue_order_id
