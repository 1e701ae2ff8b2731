"""Feeds the pair machines what is heard and carries out what they decide.

One step is: the machine's new state into the journal, every ``Send`` of its batch onto the wire,
then everything that can wait: log lines, questions, the view for others. Orders of a batch are
rendered before the first of them is written, and an entry leaves with both legs or not at all.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from executor import machine
from executor.gateway import NotSent, OrderGateway, ReadyOrder
from executor.journal import Entry, Journal
from executor.messages import (
    Acked,
    At,
    Cancel,
    Command,
    Enter,
    Event,
    Exit,
    FillTold,
    LegMarket,
    Log,
    OrderTold,
    PositionRead,
    Publish,
    Purpose,
    Query,
    QueryAnswered,
    ReadPositions,
    Send,
    SendFailed,
    StreamBack,
    StreamLost,
    Tick,
)
from executor.orders import DOUBTFUL
from executor.plans import has_live_order
from executor.prices import Prices
from executor.pricing import closable_e8
from executor.risk import Breaker, OrderRate
from executor.stages import Ledger, Stages
from executor.state import (
    PAIR_BITS,
    SEQUENCE_BITS,
    PairRules,
    PairState,
    Plan,
    dump,
    is_flat,
    next_client_order_id,
    shrinking_side,
)
from executor.templates import Armoury, Slot, Wanted
from launch import Launch
from logs import print_line
from settings import Settings
from shm.records import PairView, Signal
from venues.contract import (
    Account,
    Fill,
    OffGrid,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Position,
    Side,
    TransportError,
    VenueError,
)

_PAIR_MASK = (1 << PAIR_BITS) - 1
_DAY_S = 86_400


@dataclass(slots=True)
class Pair:
    """One pair and what surrounds its machine."""

    rules: PairRules
    state: PairState
    armoury: Armoury
    max_age_ns: int  # of a price that orders may go by
    layer_sizes_e8: dict[int, int]  # what the detector enters with, by layer
    result_day: int = 0
    result_e8: int = 0  # realised on that day
    stages: Stages | None = None  # of the newest signal
    is_signal_fresh: bool = False  # what is sent now is the signal's own batch
    last_signal_id: int = 0
    entries_stopped: str = ""  # what the machine was told last
    view: PairView | None = None
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Batch:
    """The orders of one step on their way to the wire."""

    sends: list[Send] = field(default_factory=list)
    failed: list[SendFailed] = field(default_factory=list)


class Conductor:
    """Owns the pairs. Everything here runs on one event loop; ``feed`` never runs inside itself."""

    def __init__(
        self,
        process: Launch,
        pairs: Sequence[Pair],
        prices: Prices,
        journal: Journal,
        ledger: Ledger,
        breaker: Breaker,
    ) -> None:
        self.pairs = tuple(pairs)
        self.gateways: dict[str, OrderGateway] = {}
        self.rate = OrderRate()
        self.breaker = breaker
        self.ledger = ledger
        self.prices = prices
        self._process = process
        self._settings: Settings = process.settings
        self._log = process.log
        self._journal = journal
        self._views = process.memory.pairs(writer=True)
        self._counters = process.counters
        self._index = {name: process.counters.index(name) for name in process.counters.names}
        self._waiting: deque[tuple[Pair, Event]] = deque()
        self._is_stepping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._line_head = {"proc": process.process, "pid": os.getpid(), "run_id": process.run_id}

    # --- events in ---

    def at(self, pair: Pair, *, with_depth: bool = True) -> At:
        now_mono_ns = time.monotonic_ns()
        look = self.prices.market if with_depth else self.prices.touch
        first, second = pair.rules.instruments
        return At(
            now_mono_ns,
            (
                look(first.instrument_id, now_mono_ns, pair.max_age_ns),
                look(second.instrument_id, now_mono_ns, pair.max_age_ns),
            ),
        )

    def feed(self, pair: Pair, event: Event) -> None:
        """Give the machine an event and carry out what it commands, and what follows from that."""
        self._waiting.append((pair, event))
        if self._is_stepping:
            return
        self._is_stepping = True
        try:
            while self._waiting:
                self._step(*self._waiting.popleft())
        finally:
            self._is_stepping = False

    def tick(self, pair: Pair) -> None:
        self.feed(pair, Tick(self.at(pair)))

    # --- one step ---

    def _step(self, pair: Pair, event: Event) -> None:
        pair.state, commands = machine.step(pair.rules, pair.state, event)
        batch = Batch([command for command in commands if isinstance(command, Send)])
        orders = [self._render(pair, send, event.at) for send in batch.sends]
        self.journal_state(pair)
        if batch.sends:
            intents = [self._intent_line(command) for command in commands if _is_intent(command)]
            for line in intents:
                self._to_persistence(line)
            self._write(pair, batch, orders)
            for line in intents:
                print_line(line)
        for command in commands:
            if not isinstance(command, Send) and not _is_intent(command):
                self._carry_out(pair, command)
        self._waiting.extendleft((pair, failed) for failed in reversed(batch.failed))
        self._set_timer(pair)

    def journal_state(self, pair: Pair) -> None:
        self._journal.write(pair.rules.pair_id, Entry(dump(pair.state), pair.result_day, pair.result_e8))

    def _render(self, pair: Pair, send: Send, at: At) -> ReadyOrder | str:
        """The bytes of an order, armed or made now; a text when it cannot be made."""
        instrument = pair.rules.instruments[send.leg]
        armed = pair.armoury.take(
            Slot(send.leg, send.side, send.size_e8, send.reduce_only),
            client_order_id=send.client_order_id,
            worst_price_e8=send.limit_price_e8,
            touch_e8=_touch_e8(at.markets[send.leg], send.side),
            now_unix_ms=time.time_ns() // 1_000_000,
        )
        if armed is not None:
            self.count("template_hits_total")
            return armed
        self.count("template_misses_total")
        gateway = self.gateways[instrument.venue]
        request = OrderRequest(
            client_order_id=send.client_order_id,
            instrument=instrument,
            side=send.side,
            size_e8=send.size_e8,
            limit_price_e8=send.limit_price_e8,
            reduce_only=send.reduce_only,
            time_in_force=gateway.time_in_force,
        )
        try:
            return gateway.sign(request)
        except (OffGrid, NotSent) as error:
            return str(error)

    def _write(self, pair: Pair, batch: Batch, orders: Sequence[ReadyOrder | str]) -> None:
        broken = next((order for order in orders if isinstance(order, str)), None)
        is_entry = any(send.purpose is Purpose.ENTRY for send in batch.sends)
        withheld = broken if is_entry else None
        written: list[tuple[Send, int]] = []
        for send, order in zip(batch.sends, orders, strict=True):
            venue = pair.rules.instruments[send.leg].venue
            try:
                if isinstance(order, str):
                    raise NotSent(order)
                if withheld is not None:
                    raise NotSent(f"the other leg cannot leave: {withheld}")
                self.gateways[venue].send(order)
            except NotSent as error:
                batch.failed.append(SendFailed(self.at(pair), send.client_order_id, str(error)))
                if is_entry and not written:
                    withheld = str(error)
            else:
                written.append((send, time.monotonic_ns()))
        for send, sent_mono_ns in written:
            self.rate.count(sent_mono_ns)
            self.count("orders_sent_total")
            self.ledger.sent(send.client_order_id, sent_mono_ns)
            if pair.stages is not None and pair.is_signal_fresh:
                pair.stages.client_order_ids[send.leg] = send.client_order_id
                pair.stages.sent[send.leg] = sent_mono_ns
        if len(written) == 2 and pair.stages is not None and pair.is_signal_fresh:
            self.ledger.both_sent(pair.stages)
        for send, sent_mono_ns in written:
            instrument = pair.rules.instruments[send.leg]
            self.log(
                "info",
                "leg_sent",
                {
                    "pair": pair.rules.pair,
                    "trade_id": pair.state.trade.trade_id if pair.state.trade else 0,
                    "leg": send.leg,
                    "venue": instrument.venue,
                    "symbol": instrument.symbol,
                    "client_order_id": send.client_order_id,
                    "side": send.side.name,
                    "purpose": send.purpose.name.lower(),
                    "attempt": send.attempt,
                    "sent_mono_ns": sent_mono_ns,
                },
            )

    # --- commands that can wait ---

    def _carry_out(self, pair: Pair, command: Command) -> None:
        match command:
            case Log():
                self._tell(pair, command)
            case Publish():
                pair.view = command.view
                self.publish(pair, command.view.updated_mono_ns)
            case Query():
                self._ask(pair.rules.instruments[command.leg].venue, self._query(pair, command))
            case Cancel():
                self._ask(pair.rules.instruments[command.leg].venue, self._cancel(pair, command))
            case ReadPositions():
                for venue in {item.venue for item in pair.rules.instruments}:
                    self._ask(venue, self._read_positions(pair, venue))
            case Send():
                raise AssertionError("sends are written before the rest")

    def _tell(self, pair: Pair, line: Log) -> None:
        fields = dict(line.fields)
        match line.event:
            case "trade_opened":
                self.count("trades_opened_total")
                self._entry_ended_well()
            case "trade_closed":
                self.count("trades_closed_total")
                self._add_result(pair, fields["result_e8"])
            case "leg_auto_close":
                self.count("legs_closed_total")
                self.failed(pair, line.event)
            case "leg_rejected":
                self.count("orders_rejected_total")
                self.failed(pair, line.event)
            case "leg_unknown":
                self.failed(pair, line.event)
            case "leg_filled":
                now_mono_ns = time.monotonic_ns()
                self.ledger.since_sent("sent_to_filled", fields["client_order_id"], now_mono_ns)
                if pair.stages is not None:
                    pair.stages.reached(pair.stages.filled, fields["client_order_id"], now_mono_ns)
            case "naked_end":
                self.ledger.record("naked", int(fields["naked_ms"] * 1e6))
            case "pair_state" if fields["phase"] == "FLAT":
                self.breaker.undecided()
        if line.event in ("trade_opened", "slippage") and pair.stages is not None:
            fields["stages_us"] = pair.stages.fields_us()
        self.log(line.level, line.event, fields)

    def publish(self, pair: Pair, now_mono_ns: int) -> None:
        """Show the pair to the others, with the process's own reasons not to enter."""
        view = pair.view
        if view is None:
            return
        allowed = view.entries_allowed and not pair.entries_stopped
        self._views.write(
            pair.rules.pair_id,
            view._replace(
                entries_allowed=int(allowed),
                last_signal_id=pair.last_signal_id,
                updated_mono_ns=now_mono_ns,
            ),
        )

    def _ask(self, venue: str, question: Coroutine[Any, Any, None]) -> None:
        """Put a question once the venue can be asked; until then the machine repeats it by itself."""
        if self.gateways[venue].can_ask:
            self.start(question)
        else:
            question.close()

    async def _query(self, pair: Pair, query: Query) -> None:
        instrument = pair.rules.instruments[query.leg]
        ref = OrderRef(query.client_order_id, instrument, query.venue_order_id)
        asked_mono_ns = time.monotonic_ns()
        try:
            update = await self.gateways[instrument.venue].query_order(ref)
        except (TransportError, VenueError) as error:
            # No answer: the machine asks again by itself.
            self._lost(instrument.venue, "order query", error)
            return
        at = self.at(pair)
        told = None if update is None else _order_told(at, query.client_order_id, update)
        self.feed(pair, QueryAnswered(at, query.client_order_id, asked_mono_ns, told))

    async def _cancel(self, pair: Pair, cancel: Cancel) -> None:
        instrument = pair.rules.instruments[cancel.leg]
        ref = OrderRef(cancel.client_order_id, instrument, cancel.venue_order_id)
        try:
            ack = await self.gateways[instrument.venue].cancel_order(ref)
        except (TransportError, VenueError) as error:
            self._lost(instrument.venue, "cancel", error)
            return
        self.feed(pair, _acked(self.at(pair), ack, is_cancel=True))

    async def _read_positions(self, pair: Pair, venue: str) -> None:
        asked_mono_ns = time.monotonic_ns()
        try:
            sizes_e8 = await self.gateways[venue].query_positions()
        except (TransportError, VenueError) as error:
            self._lost(venue, "positions", error)
            return
        for leg, instrument in enumerate(pair.rules.instruments):
            if instrument.venue == venue:
                size_e8 = sizes_e8[instrument.instrument_id]
                self.feed(pair, PositionRead(self.at(pair), leg, size_e8, asked_mono_ns))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background. What it raises ends the process: it is our own error."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()

    def _set_timer(self, pair: Pair) -> None:
        due_s = (machine.due_mono_ns(pair.rules, pair.state) - time.monotonic_ns()) / 1e9
        if pair.timer is not None:
            pair.timer.cancel()
        # A millisecond at least: a timer that is due at once must not starve the sockets.
        pair.timer = asyncio.get_running_loop().call_later(max(due_s, 0.001), self.tick, pair)

    # --- what gateways tell (gateway.Listener) ---

    def on_ack(self, venue: str, ack: OrderAck, recv_mono_ns: int) -> None:
        pair = self._pair_of_order(ack.client_order_id)
        if pair is None:
            return
        self.ledger.since_sent("sent_to_acked", ack.client_order_id, recv_mono_ns)
        if pair.stages is not None:
            pair.stages.reached(pair.stages.acked, ack.client_order_id, recv_mono_ns)
        self.feed(pair, _acked(self.at(pair), ack))

    def on_told(self, venue: str, told: OrderUpdate | Fill | Position | Account, recv_mono_ns: int) -> None:
        match told:
            case OrderUpdate():
                client_order_id = told.client_order_id or self._known_as(venue, told.venue_order_id)
                pair = self._pair_of_order(client_order_id)
                if pair is not None:
                    self.feed(pair, _order_told(self.at(pair), client_order_id, told))
            case Fill() if 0 <= told.instrument_id < 2 * len(self.pairs):
                pair = self.pairs[told.instrument_id // 2]
                client_order_id = told.client_order_id or self._known_as(venue, told.venue_order_id)
                self.feed(
                    pair,
                    FillTold(
                        self.at(pair),
                        told.instrument_id % 2,
                        client_order_id,
                        told.fill_id,
                        told.price_e8,
                        told.size_e8,
                        told.fee_e8,
                    ),
                )
            case _:
                # A pushed position or balance does not say how old it is; the machine has them read.
                return

    def on_up(self, venue: str) -> None:
        self.log("info", "venue_ready", {"venue": venue})
        for pair, leg in self._legs_on(venue):
            self.feed(pair, StreamBack(self.at(pair), leg))

    def on_down(self, venue: str, reason: str) -> None:
        self.log("warning", "venue_lost", {"venue": venue, "what": "private stream", "detail": reason})
        for pair, leg in self._legs_on(venue):
            self.feed(pair, StreamLost(self.at(pair), leg))

    def _legs_on(self, venue: str) -> list[tuple[Pair, int]]:
        return [
            (pair, leg)
            for pair in self.pairs
            for leg, instrument in enumerate(pair.rules.instruments)
            if instrument.venue == venue
        ]

    def _pair_of_order(self, client_order_id: int) -> Pair | None:
        """The pair whose machine may know the order. It looks the id up itself."""
        pair_id = client_order_id >> SEQUENCE_BITS & _PAIR_MASK
        return self.pairs[pair_id] if client_order_id and pair_id < len(self.pairs) else None

    def _known_as(self, venue: str, venue_order_id: str) -> int:
        """Our id of an order that the venue names only by its own; 0 when we do not know it."""
        for pair, leg in self._legs_on(venue):
            for order in (*pair.state.legs[leg].live, *pair.state.legs[leg].past):
                if venue_order_id and order.venue_order_id == venue_order_id:
                    return order.client_order_id
        return 0

    # --- risk book-keeping ---

    def failed(self, pair: Pair, what: str) -> None:
        if self.breaker.failed(time.monotonic_ns()):
            self.log(
                "warning",
                "breaker_opened",
                {
                    "pair": pair.rules.pair,
                    "cause": what,
                    "failures": self.breaker.failures,
                    "limit": self._settings.risk.max_consecutive_failures,
                    "pause_s": self._settings.risk.breaker_pause_s,
                },
            )

    def _entry_ended_well(self) -> None:
        if self.breaker.succeeded():
            self.log("info", "breaker_closed", {})

    def _add_result(self, pair: Pair, result_e8: int) -> None:
        today = _today()
        if pair.result_day != today:
            pair.result_day, pair.result_e8 = today, 0
        pair.result_e8 += result_e8
        self.journal_state(pair)

    def result_today_e8(self) -> int:
        today = _today()
        return sum(pair.result_e8 for pair in self.pairs if pair.result_day == today)

    def orders_in_doubt(self) -> int:
        return sum(
            order.state in DOUBTFUL for pair in self.pairs for leg in pair.state.legs for order in leg.live
        )

    # --- templates ---

    def arm_one(self, pair: Pair) -> bool:
        """Make the most urgent template of a pair; False when all that are wanted stand."""
        wanted = self._wanted(pair)
        pair.armoury.keep_only(wanted)
        stale = pair.armoury.first_stale(wanted, time.time_ns() // 1_000_000)
        if stale is None:
            return False
        instrument = pair.rules.instruments[stale.slot.leg]
        gateway = self.gateways[instrument.venue]
        if not gateway.is_up:
            return False
        request = OrderRequest(
            client_order_id=stale.client_order_id,
            instrument=instrument,
            side=stale.slot.side,
            size_e8=stale.slot.size_e8,
            limit_price_e8=stale.limit_price_e8,
            reduce_only=stale.slot.reduce_only,
            time_in_force=gateway.time_in_force,
        )
        pair.armoury.put(stale.slot, gateway.sign(request))
        return True

    def _wanted(self, pair: Pair) -> list[Wanted]:
        """What is likely sent next: the exit of what is held, and the next layer."""
        state, rules = pair.state, pair.rules
        if has_live_order(state) or state.plan is not Plan.NONE:
            return []
        slots = []
        for leg, held in enumerate(state.legs):
            size_e8 = closable_e8(rules.instruments[leg], abs(held.held_e8))
            if size_e8:
                slots.append(Slot(leg, shrinking_side(held.held_e8), size_e8, reduce_only=True))
        flat = is_flat(rules, state)
        trade = None if flat else state.trade
        layer_e8 = pair.layer_sizes_e8.get(trade.layers if trade else 0)
        if layer_e8 and not pair.entries_stopped and (flat or trade):
            for direction in (1, -1) if trade is None else (trade.direction,):
                slots.append(Slot(0, Side(direction), layer_e8, reduce_only=False))
                slots.append(Slot(1, Side(-direction), layer_e8, reduce_only=False))
        now_mono_ns = time.monotonic_ns()
        markets = [
            self.prices.touch(item.instrument_id, now_mono_ns, pair.max_age_ns) for item in rules.instruments
        ]
        return [
            Wanted(
                slot,
                next_client_order_id(rules, state, slot.leg),
                pair.armoury.limit_price_e8(rules.instruments[slot.leg], slot.side, touch_e8),
            )
            for slot in slots
            if (touch_e8 := _touch_e8(markets[slot.leg], slot.side))
        ]

    # --- log ---

    def count(self, name: str, amount: int = 1) -> None:
        self._counters.add(self._index[name], amount)

    def set_counter(self, name: str, value: int) -> None:
        self._counters.set(self._index[name], value)

    def log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        getattr(self._log, level)(event, **fields)

    def _lost(self, venue: str, what: str, error: Exception) -> None:
        self.log("warning", "venue_lost", {"venue": venue, "what": what, "detail": str(error)})

    def _intent_line(self, command: Command) -> bytes:
        """``intent_written`` as a log line, without the logger: it has to exist before the bytes leave."""
        assert isinstance(command, Log)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        head = {"ts": now, "level": command.level, "event": command.event, **self._line_head}
        return orjson.dumps({**head, **command.fields, "mono_ns": time.monotonic_ns()})

    def _to_persistence(self, line: bytes) -> None:
        if self._process.events is not None:
            self._process.events.push(line)  # a full queue counts what it refuses, and the line is printed

    def obey(self, pair: Pair, event: Enter | Exit, signal: Signal, seen_mono_ns: int) -> None:
        """Feed what a signal asks for, and measure what comes of it."""
        pair.stages = Stages(signal, seen_mono_ns)
        pair.is_signal_fresh = True
        self.feed(pair, event)
        pair.is_signal_fresh = False
        self.ledger.record("decided_to_seen", seen_mono_ns - signal.decided_mono_ns)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for pair in self.pairs:
            if pair.timer is not None:
                pair.timer.cancel()
        self._views.close()


def _is_intent(command: Command) -> bool:
    return isinstance(command, Log) and command.event == "intent_written"


def _touch_e8(market: LegMarket, side: Side) -> int:
    """The price an order on this side meets; 0 when there is none to go by."""
    if not market.is_valid:
        return 0
    return market.ask_e8 if side is Side.BUY else market.bid_e8


def _order_told(at: At, client_order_id: int, update: OrderUpdate) -> OrderTold:
    return OrderTold(
        at,
        client_order_id,
        update.status,
        update.filled_e8,
        update.average_price_e8,
        update.fee_e8,
        update.reason,
        update.venue_order_id,
    )


def _acked(at: At, ack: OrderAck, *, is_cancel: bool = False) -> Acked:
    return Acked(
        at,
        ack.client_order_id,
        ack.outcome,
        ack.venue_order_id,
        ack.code,
        ack.text,
        ack.retry_after_ms,
        is_cancel,
    )


def _today() -> int:
    return int(time.time()) // _DAY_S
