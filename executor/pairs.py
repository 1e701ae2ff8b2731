"""The pairs an executor trades: each machine's state, with what is prepared and measured around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from events.event import Event
from events.positions import PositionReported
from executor.metrics.latency import SignalTimestamps
from executor.metrics.tca import ExecutionReport
from executor.orders.presigned import PresignedOrders
from executor.pair.client_order_id import pair_id_of
from executor.pair.messages import Event as MachineEvent
from executor.pair.messages import PendingSignal, Prediction
from executor.pair.order import DOUBTFUL, Order
from executor.pair.rules import PairRules
from executor.pair.state import Halt, PairState, entry_finds_pair_at_rest
from executor.risk.daily_pnl import PairResult
from executor.risk.pre_trade import Limits
from runtime.carried_positions import CarriedFunding
from runtime.quote_rate import QuoteRate
from settings import StrategySettings
from shm.records import PairView, SignalKind

Report = Callable[[Event], object]  # journals and logs an event


@dataclass(slots=True)
class PairRuntime:
    """One pair and what surrounds its machine. The engine alone changes ``state``, by ``take_state``."""

    rules: PairRules
    state: PairState
    presigned: PresignedOrders
    max_age_ns: int  # of a price that orders may go by
    strategy: StrategySettings
    layer_sizes_e8: dict[int, int]  # what the detector enters with, by layer
    limits: Limits
    quote_rate: QuoteRate | None = None  # where the live rate of the legs' quote currencies is read
    was_restored: bool = False  # taken over from an earlier epoch
    suspended: str = ""  # why nothing is opened on it in this run: its contracts do not fit its settings
    result: PairResult = field(default_factory=PairResult)
    unsettled: PendingSignal | None = None  # of an earlier epoch, whose step may not have been finished
    funding_due: list[CarriedFunding] = field(
        default_factory=list
    )  # to be queried, of earlier epochs' orders
    in_flight: SignalTimestamps | None = None  # of the signal whose own batch is being sent now
    # By kind of signal: sent, and its slippage not reported yet.
    executions: dict[SignalKind, ExecutionReport] = field(default_factory=dict)
    last_signal_id: int = 0
    predictions: dict[int, Prediction] = field(default_factory=dict)  # by direction of an entry; 0: the exit
    entries_stopped: str = ""  # the reason its machine knows
    refused_until_mono_ns: int = 0  # the detector sends no entry before this
    view: PairView | None = None
    reported_positions_e8: list[int | None] = field(default_factory=lambda: [None, None])
    timer: asyncio.TimerHandle | None = None
    stored: PairState | None = None  # what the state store holds
    may_enter: bool = field(init=False)  # the state would take an entry; read on the hot path

    def __post_init__(self) -> None:
        self.take_state(self.state)

    def take_state(self, state: PairState) -> None:
        """Go on from this state, and work out what the next signal is asked."""
        self.state = state
        self.may_enter = state.halt is Halt.NONE and entry_finds_pair_at_rest(state)

    def order(self, client_order_id: int) -> Order | None:
        """One of its orders, as long as its machine remembers it."""
        for leg in self.state.legs:
            for order in (*leg.live, *leg.past):
                if client_order_id and order.client_order_id == client_order_id:
                    return order
        return None


Feed = Callable[[PairRuntime, MachineEvent], None]


class MachineRunner(Protocol):
    """What those who watch and instruct the machines need of the engine."""

    def feed(self, pair: PairRuntime, event: MachineEvent) -> None:
        """Give a machine an event and carry out what it commands."""

    def tick(self, pair: PairRuntime) -> None:
        """Let time pass for a machine."""

    def publish(self, pair: PairRuntime) -> None:
        """Show the pair to other processes."""


class Pairs:
    """All pairs, by number and by what belongs to them."""

    def __init__(self, pairs: Sequence[PairRuntime]) -> None:
        self._pairs = tuple(pairs)
        assert self._pairs, "an executor trades at least one pair"
        for number, pair in enumerate(self._pairs):
            assert pair.rules.pair_id == number, "a pair's number is its place"

    def __iter__(self) -> Iterator[PairRuntime]:
        return iter(self._pairs)

    def __getitem__(self, number: int) -> PairRuntime:
        return self._pairs[number]

    def __len__(self) -> int:
        return len(self._pairs)

    def legs_on(self, venue: str) -> Iterator[tuple[PairRuntime, int]]:
        """Every leg that is traded on a venue."""
        for pair in self._pairs:
            for leg, instrument in enumerate(pair.rules.instruments):
                if instrument.venue == venue:
                    yield pair, leg

    def of_order(self, client_order_id: int) -> PairRuntime | None:
        """The pair whose machine may know the order. It looks the id up itself."""
        pair_id = pair_id_of(client_order_id)
        return self._pairs[pair_id] if client_order_id and pair_id < len(self._pairs) else None

    def naked_now_ns(self, now_mono_ns: int) -> int:
        """For how long legs have been naked that are naked now, all pairs added up."""
        return sum(
            now_mono_ns - pair.state.naked_mono_ns for pair in self._pairs if pair.state.is_naked_reported
        )

    def orders_in_doubt(self) -> int:
        """How many orders wait for a venue's answer about their fate."""
        return sum(
            order.state in DOUBTFUL for pair in self._pairs for leg in pair.state.legs for order in leg.live
        )

    def close(self) -> None:
        """Cancel the timers."""
        for pair in self._pairs:
            if pair.timer is not None:
                pair.timer.cancel()


def report_position(report: Report, pair: PairRuntime, leg: int, size_e8: int) -> None:
    """Report a position a venue has named, if it is news: positions are read all the time."""
    assert leg in (0, 1), "a pair has two legs"
    if pair.reported_positions_e8[leg] != size_e8:
        pair.reported_positions_e8[leg] = size_e8
        instrument = pair.rules.instruments[leg]
        report(
            PositionReported(
                pair=pair.rules.pair,
                leg=leg,
                venue=instrument.venue,
                symbol=instrument.symbol,
                size_e8=size_e8,
            )
        )
