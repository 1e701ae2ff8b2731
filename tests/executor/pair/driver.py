"""Drives one pair machine by hand: a clock, a market, and every event in one short call."""

from __future__ import annotations

from typing import Any

import msgspec

from events.codec import EVENTS
from executor.pair.machine import due_mono_ns, step
from executor.pair.messages import (
    Acked,
    At,
    Cancel,
    Command,
    Enter,
    Event,
    Exit,
    FillReport,
    OrderReport,
    PositionRead,
    Query,
    QueryAnswered,
    ReadPositions,
    Send,
    StreamBack,
    Tick,
)
from executor.pair.pricing import LegMarket
from executor.pair.rules import PairRules
from executor.pair.state import Held, PairState, dump, load, new_state
from shm.records import PairPhase
from tests.executor.pair.model import MARKETS, MS, PRICES_E8, SIZE_E8, some_rules
from venues.contract import PAR_E8, OrderStatus, Outcome


class Pair:
    """A pair whose venues have confirmed its positions (flat unless ``held``), ready to trade."""

    def __init__(
        self,
        rules: PairRules | None = None,
        *,
        held: Held | None = None,
        confirmed: tuple[int, int] | None = None,
    ) -> None:
        self.rules = rules or some_rules(max_retries=3)
        self.state: PairState = new_state(self.rules, 1, held)
        self.now_mono_ns = 1_000 * MS
        self.markets: tuple[LegMarket, LegMarket] = MARKETS
        self.rate_e8 = PAR_E8  # of the legs' quote currencies
        self.commands: list[Command] = []  # of the last event, or of the last wait
        self.history: list[Command] = []
        for leg in (0, 1):
            self.feed(StreamBack(self.at, leg))
        expected = held.sizes_e8 if held else (0, 0)
        for leg, position_e8 in enumerate(confirmed or expected):
            self.read(leg, position_e8)

    @property
    def at(self) -> At:
        return At(self.now_mono_ns, self.markets, self.rate_e8)

    def phase(self) -> PairPhase:
        return self.state.phase

    @property
    def positions_e8(self) -> tuple[int, int]:
        return self.state.legs[0].held_e8, self.state.legs[1].held_e8

    def feed(self, event: Event) -> list[Send]:
        """One step, through the journal's bytes; returns the orders it sends."""
        self.state, self.commands = step(self.rules, load(dump(self.state)), event)
        self.history.extend(self.commands)
        return [command for command in self.commands if isinstance(command, Send)]

    def wait(self, ms: float) -> list[Send]:
        """Time passes: ticks whenever one is due, until then."""
        end_mono_ns = self.now_mono_ns + int(ms * MS)
        sends: list[Send] = []
        commands: list[Command] = []
        while (due := max(due_mono_ns(self.rules, self.state), self.now_mono_ns + MS)) <= end_mono_ns:
            self.now_mono_ns = due
            sends += self.feed(Tick(self.at))
            commands += self.commands
        self.now_mono_ns = end_mono_ns
        sends += self.feed(Tick(self.at))
        self.commands = commands + self.commands
        return sends

    def enter(self, direction: int = 1, layer: int = 0, **changes: Any) -> list[Send]:
        signal = Enter(self.at, self.state.last_signal_id + 1, direction, layer, SIZE_E8, PRICES_E8, 100.0)
        return self.feed(signal._replace(**changes))

    def exit(self) -> list[Send]:
        return self.feed(Exit(self.at, self.state.last_signal_id + 1, "signal"))

    def fill(self, send: Send, size_e8: int | None = None, price_e8: int = 0, fee_e8: int = 0) -> list[Send]:
        """The venue says how the order ended: filled by ``size_e8``, by default wholly."""
        size_e8 = send.size_e8 if size_e8 is None else size_e8
        status = OrderStatus.FILLED if size_e8 == send.size_e8 else OrderStatus.CANCELLED
        return self.feed(
            OrderReport(
                self.at,
                send.client_order_id,
                status,
                size_e8,
                price_e8 or send.limit_price_e8,
                fee_e8,
            )
        )

    def reported(self, send: Send, status: OrderStatus, filled_e8: int | None) -> list[Send]:
        return self.feed(OrderReport(self.at, send.client_order_id, status, filled_e8))

    def execution(self, send: Send, fill_id: str, size_e8: int, leg: int | None = None) -> list[Send]:
        return self.feed(
            FillReport(
                self.at,
                send.leg if leg is None else leg,
                send.client_order_id,
                fill_id,
                send.limit_price_e8,
                size_e8,
                0,
            )
        )

    def refuse(self, send: Send) -> list[Send]:
        """The venue itself says that it rejected the order."""
        return self.feed(
            OrderReport(self.at, send.client_order_id, OrderStatus.REJECTED, 0, reason="INSUFFICIENT_MARGIN")
        )

    def refuse_by_answer(self, send: Send, retry_after_ms: int | None = None) -> list[Send]:
        """The answer to its create refuses the order; nothing else is said of it."""
        return self.feed(
            Acked(
                self.at,
                send.client_order_id,
                Outcome.REFUSED,
                code="INSUFFICIENT_MARGIN",
                retry_after_ms=retry_after_ms,
            )
        )

    def unknown(self, send: Send) -> list[Send]:
        """A query asked now is answered: no such order."""
        return self.feed(QueryAnswered(self.at, send.client_order_id, self.now_mono_ns, None))

    def read(self, leg: int, position_e8: int) -> list[Send]:
        """A position asked for a millisecond from now."""
        self.now_mono_ns += MS
        return self.feed(PositionRead(self.at, leg, position_e8, self.now_mono_ns))

    def read_twice(self, leg: int, position_e8: int) -> list[Send]:
        """Two reads far enough apart to confirm each other."""
        sends = self.read(leg, position_e8)
        self.now_mono_ns += self.rules.query_interval_ns
        return sends + self.read(leg, position_e8)

    def confirm(self) -> Pair:
        """Both venues show what the pair believes to hold: it may open again after a close."""
        for leg, position_e8 in enumerate(self.positions_e8):
            self.read_twice(leg, position_e8)
        return self

    def hedged(self, direction: int = 1) -> Pair:
        """The same pair, one layer opened at the limits without fees."""
        for send in self.enter(direction, prices_e8=PRICES_E8):
            self.fill(send, price_e8=PRICES_E8[send.leg])
        assert self.phase() is PairPhase.HEDGED
        return self

    # --- what was said ---

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Fields of every event of one name since the start, as the journal has them."""
        return [
            msgspec.json.decode(msgspec.json.encode(command))
            for command in self.history
            if type(command) is EVENTS[event]
        ]

    def phase_steps(self) -> set[tuple[PairPhase, PairPhase]]:
        """Every change of the phase since the start."""
        return {(PairPhase[line["before"]], PairPhase[line["phase"]]) for line in self.logged("pair_state")}

    def queries(self) -> list[Query]:
        return [command for command in self.commands if isinstance(command, Query)]

    def cancels(self) -> list[Cancel]:
        return [command for command in self.commands if isinstance(command, Cancel)]

    def asks_positions(self) -> bool:
        return any(isinstance(command, ReadPositions) for command in self.commands)
