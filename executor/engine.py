"""Feeds the pair machines what is heard and carries out what they decide.

One step is: what the machine has decided into the journal, every ``Send`` of its batch onto the wire,
then everything that can wait: its conclusions, log lines, questions, the view for others. A signal
that was rehearsed goes a shorter way (``lane``): its event into the journal, its orders onto the
wire, then its step.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

from executor.desk import Desk, Pair
from executor.metrics.latency import SignalTimestamps
from executor.metrics.tca import ExecutionReport
from executor.orders.sender import Wire
from executor.pair import fast_path, machine
from executor.pair.messages import (
    Cancel,
    Command,
    Enter,
    Event,
    Exit,
    Log,
    Publish,
    Query,
    ReadPositions,
    Send,
    SendFailed,
    Tick,
)
from executor.pair.state import dump
from executor.recovery.state_store import Entry, Journal
from executor.risk.daily_pnl import utc_day
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

    def __init__(self, desk: Desk, journal: Journal, views: ViewWriter) -> None:
        self._desk = desk
        self._journal = journal
        self._views = views
        self._wire = Wire(desk, self.feed)
        self._asking = Asking(desk, self.feed)
        self._waiting: deque[tuple[Pair, Event]] = deque()
        self._is_stepping = False

    def feed(self, pair: Pair, event: Event) -> None:
        """Give the machine an event and carry out what it commands, and what follows from that."""
        self._waiting.append((pair, event))
        if self._is_stepping:
            return
        self._is_stepping = True
        self._step_on()

    def obey(self, pair: Pair, event: Enter | Exit, signal: Signal, seen_mono_ns: int) -> bool:
        """Feed what a signal asks for, and measure what comes of it. Returns whether an order left."""
        stages = pair.fresh = SignalTimestamps(signal, seen_mono_ns, time.monotonic_ns())
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
            fields = {
                "pair": pair.rules.pair,
                "signal_id": signal.signal_id,
                "client_order_ids": list(stages.client_order_ids),
            }
            self._desk.reports.log("info", "signal_stages", fields | stages.fields_mono_ns())
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
            now_mono_ns = time.monotonic_ns()
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

    def _step(self, pair: Pair, event: Event, ahead: _Ahead | None = None) -> None:
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
                if isinstance(command, Log) and command.event == "intent_written":
                    self._desk.reports.log(command.level, command.event, command.fields)
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
            pair.state, commands = fast_path.take_up(pair.rules, pair.state, pair.unsettled)
            pair.unsettled = None
            self._add_results(pair, commands)
            self._write_journal(pair)
            for command in commands:
                if isinstance(command, Log):
                    self._desk.reports.log(command.level, command.event, command.fields)

    def _write_journal(self, pair: Pair) -> None:
        result = pair.result
        entry = Entry(dump(pair.state), *astuple(result))
        self._journal.write(pair.rules.pair_id, entry)

    def _set_timer(self, pair: Pair) -> None:
        due_s = (machine.due_mono_ns(pair.rules, pair.state) - time.monotonic_ns()) / 1e9
        if pair.timer is not None:
            pair.timer.cancel()
        loop = asyncio.get_running_loop()
        pair.timer = loop.call_later(max(due_s, _SHORTEST_TIMER_S), self.tick, pair)

    # --- commands that can wait ---

    def _carry_out(self, pair: Pair, command: Command) -> None:
        match command:
            case Log(event="intent_written") | Send():
                return  # done before everything else
            case Log():
                self._tell(pair, command)
            case Publish():
                pair.view = command.view
                self.publish(pair)
            case Query():
                venue = pair.rules.instruments[command.leg].venue
                self._ask(venue, self._asking.about_order(pair, command.leg, *_names(command)))
            case Cancel():
                venue = pair.rules.instruments[command.leg].venue
                self._ask(venue, self._asking.to_cancel(pair, command.leg, *_names(command)))
            case ReadPositions():
                for venue in dict.fromkeys(item.venue for item in pair.rules.instruments):
                    self._ask(venue, self._asking.about_positions(pair, venue))

    def _ask(self, venue: str, question: Coroutine[Any, Any, None]) -> None:
        """Put a question once the venue can be asked; until then the machine repeats it by itself."""
        if self._desk.gateways[venue].can_ask:
            self._desk.start(question)
        else:
            question.close()

    def _tell(self, pair: Pair, line: Log) -> None:
        """Write a line, and keep the figures that follow from it."""
        desk, fields = self._desk, dict(line.fields)
        match line.event:
            case "trade_opened":
                desk.reports.count("trades_opened_total")
                if desk.breaker.succeeded():
                    desk.reports.log("info", "breaker_closed", {})
            case "trade_closed":
                desk.reports.count("trades_closed_total")
                for result in ("gross_e8", "fees_e8", "net_e8"):
                    desk.reports.count(f"{result}_total", fields[result])
                desk.reports.count("naked_us_total", round(fields["naked_ms"] * 1e3))
            case "trade_corrected":
                for result in ("gross", "fees", "net"):
                    desk.reports.count(f"{result}_e8_total", fields[f"{result}_change_e8"])
            case "leg_auto_close":
                desk.reports.count("legs_closed_total")
                self._failed(pair, line.event)
            case "leg_rejected":
                desk.reports.count("orders_rejected_total")
                self._failed(pair, line.event)
            case "leg_unknown":
                self._failed(pair, line.event)
            case "naked_end":
                desk.ledger.record("naked", int(fields["naked_ms"] * 1e6))
            case "pair_state" if fields["phase"] == "FLAT":
                desk.breaker.undecided()
            case "leg_acked":
                fields["ack_us"] = desk.ledger.ack_us(fields["client_order_id"])
            case "leg_filled":
                fields["fill_us"] = self._filled(pair, fields["client_order_id"])
        desk.reports.log(line.level, line.event, fields)
        if "order_state" in fields:
            for batch in pair.batches.values():
                batch.follow(fields)
        elif line.event == "trade_opened":
            self._tell_slippage(pair, SignalKind.ENTER, fields["trade_id"])
        elif line.event == "trade_closed":
            self._tell_slippage(pair, SignalKind.EXIT, fields["trade_id"])
            pair.batches.pop(SignalKind.ENTER, None)

    def _tell_slippage(self, pair: Pair, kind: SignalKind, trade_id: int) -> None:
        """Compare what was seen, sent and filled, and learn from it; once per signal.

        An entry or exit that no signal of this life asked for has nothing to be compared with.
        """
        batch = pair.batches.pop(kind, None)
        if batch is None:
            return
        desk, rules = self._desk, pair.rules
        legs = [{"venue": item.venue, "symbol": item.symbol} for item in rules.instruments]
        told = {"pair": rules.pair, "trade_id": trade_id, "legs": legs, **batch.fields()}
        worse_bps = batch.worse_bps(batch.filled_e8)
        known = [
            None if bps is None else desk.learned.observe(instrument, side, bps)
            for instrument, side, bps in zip(rules.instruments, batch.sides, worse_bps, strict=True)
        ]
        told["learned_bps"] = [None if view is None else round(view.mean_bps, 3) for view in known]
        told["learned_samples"] = [None if view is None else view.samples for view in known]
        try:
            desk.learned.save()
        except OSError as error:  # what was learned is shared all the same; the next trade tries again
            desk.reports.log("warning", "slippage_not_kept", {"detail": str(error)})
        desk.reports.log("info", "slippage", told)

    def _filled(self, pair: Pair, client_order_id: int) -> float | None:
        """Account for a fill told now; return how long after the order's bytes, in µs."""
        now_mono_ns = time.monotonic_ns()
        for batch in pair.batches.values():
            batch.stages.reached(batch.stages.filled, client_order_id, now_mono_ns)
        return self._desk.ledger.filled(client_order_id, now_mono_ns)

    def _failed(self, pair: Pair, cause: str) -> None:
        desk, risk = self._desk, self._desk.settings.risk
        if desk.breaker.failed(time.monotonic_ns()):
            fields = {
                "pair": pair.rules.pair,
                "cause": cause,
                "failures": desk.breaker.failures,
                "limit": risk.max_consecutive_failures,
                "pause_s": risk.breaker_pause_s,
            }
            desk.reports.log("warning", "breaker_opened", fields)

    def _add_results(self, pair: Pair, commands: Sequence[Command]) -> None:
        """What a step adds to the day. Journalled with the state that has forgotten it: added later, it
        would be lost with a process that is killed in between, and the limits would go by too little."""
        for command in commands:
            if isinstance(command, Log) and command.event == "trade_closed":
                fields = command.fields
                self._desk.results.add(
                    pair.result,
                    fields["net_e8"],
                    trade_id=fields["trade_id"],
                    is_estimated=fields["is_estimated"],
                )
            elif isinstance(command, Log) and command.event == "trade_corrected":
                self._correct_result(pair, command.fields)
            elif isinstance(command, Log) and command.event == "naked_end":
                self._desk.results.add_naked(pair.result, int(command.fields["naked_ms"] * 1e6))

    def _correct_result(self, pair: Pair, fields: Mapping[str, Any]) -> None:
        self._desk.results.correct(
            pair.result,
            fields["trade_id"],
            closed_day=utc_day(fields["closed_ago_ms"] / 1e3),
            change_e8=fields["net_change_e8"],
            estimates=fields["is_estimated"] - fields["was_estimated"],
        )


def _names(command: Query | Cancel) -> tuple[int, str]:
    return command.client_order_id, command.venue_order_id
