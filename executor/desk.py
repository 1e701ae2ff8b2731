"""What every part of the executor works with: pairs, venues, prices, log, and the day's figures."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from events.positions import PositionReported
from executor.gateways.contract import OrderGateway
from executor.market import Prices
from executor.metrics.latency import LatencyRecorder, SignalTimestamps
from executor.metrics.reports import Reports
from executor.metrics.slippage_model import SlippageModel
from executor.metrics.tca import ExecutionReport
from executor.orders.presigned import PresignedOrders
from executor.orders.stagger import Stagger
from executor.pair.client_order_id import pair_id_of
from executor.pair.messages import At, PendingSignal, Prediction
from executor.pair.order import DOUBTFUL
from executor.pair.rules import PairRules
from executor.pair.state import PairState
from executor.risk.circuit_breaker import Breaker
from executor.risk.daily_pnl import PairResult, Results
from executor.risk.exposure import Exposure
from executor.risk.margin import Margins
from executor.risk.order_rate import OrderRate
from executor.risk.pre_trade import Limits
from runtime.carried_positions import HeldFunding, HeldPair
from runtime.clock import Clock
from settings import Settings
from shm.records import PairView, SignalKind
from venues.contract import Instrument


@dataclass(slots=True)
class Pair:
    """One pair and what surrounds its machine."""

    rules: PairRules
    state: PairState
    presigned: PresignedOrders
    max_age_ns: int  # of a price that orders may go by
    layer_sizes_e8: dict[int, int]  # what the detector enters with, by layer
    limits: Limits
    was_restored: bool = False  # taken over from an earlier life
    suspended: str = ""  # why nothing is opened on it in this run: its contracts do not fit its settings
    result: PairResult = field(default_factory=PairResult)
    unsettled: PendingSignal | None = None  # of the last epoch, whose step may not have been finished
    funding_due: list[HeldFunding] = field(default_factory=list)  # to be asked for, of earlier lives' orders
    fresh: SignalTimestamps | None = None  # of the signal whose own batch is being sent now
    batches: dict[SignalKind, ExecutionReport] = field(
        default_factory=dict
    )  # sent and not yet told as slippage
    last_signal_id: int = 0
    predictions: dict[int, Prediction] = field(default_factory=dict)  # by direction of an entry; 0: the exit
    entries_stopped: str = ""  # what the machine was told last
    refused_until_mono_ns: int = 0  # no entry is asked for again before this
    view: PairView | None = None
    told_positions_e8: list[int | None] = field(default_factory=lambda: [None, None])
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class Desk:
    """One event loop's worth of shared things. Nothing here is touched from elsewhere, but that gateways
    sign in the signer's thread, too (``arming``)."""

    settings: Settings
    clock: Clock
    pairs: tuple[Pair, ...]
    prices: Prices
    reports: Reports
    ledger: LatencyRecorder
    breaker: Breaker
    instruments: tuple[Instrument, ...]  # by instrument_id, with the grids as they are now
    learned: SlippageModel
    gateways: dict[str, OrderGateway] = field(default_factory=dict)
    strangers: list[HeldPair] = field(default_factory=list)  # held by pairs that are configured no more
    rate: OrderRate = field(default_factory=OrderRate)
    exposure: Exposure = field(init=False)
    results: Results = field(init=False)
    margins: Margins = field(init=False)
    stagger: Stagger = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.exposure = Exposure([(pair.rules, pair.state) for pair in self.pairs])
        self.results = Results([pair.result for pair in self.pairs], self.clock)
        self.margins = Margins(self.settings.venue_names, self.reports, self.clock)
        execution = self.settings.execution
        self.stagger = Stagger(is_on=execution.stagger, hold_ns_max=int(execution.stagger_max_ms * 1e6))

    def tell_position(self, pair: Pair, leg: int, size_e8: int) -> None:
        """Log a position a venue has told, if it is news: positions are read all the time."""
        if pair.told_positions_e8[leg] != size_e8:
            pair.told_positions_e8[leg] = size_e8
            instrument = pair.rules.instruments[leg]
            self.reports.report(
                PositionReported(
                    pair=pair.rules.pair,
                    leg=leg,
                    venue=instrument.venue,
                    symbol=instrument.symbol,
                    size_e8=size_e8,
                )
            )

    def at(self, pair: Pair, *, with_depth: bool = True) -> At:
        """Now, and what both legs could be traded at."""
        now_mono_ns = self.clock.mono_ns()
        look = self.prices.market if with_depth else self.prices.touch
        first, second = pair.rules.instruments
        return At(
            now_mono_ns,
            (
                look(first.instrument_id, now_mono_ns, pair.max_age_ns),
                look(second.instrument_id, now_mono_ns, pair.max_age_ns),
            ),
        )

    def legs_on(self, venue: str) -> Iterator[tuple[Pair, int]]:
        for pair in self.pairs:
            for leg, instrument in enumerate(pair.rules.instruments):
                if instrument.venue == venue:
                    yield pair, leg

    def pair_of_order(self, client_order_id: int) -> Pair | None:
        """The pair whose machine may know the order. It looks the id up itself."""
        pair_id = pair_id_of(client_order_id)
        return self.pairs[pair_id] if client_order_id and pair_id < len(self.pairs) else None

    def naked_today_ns(self, now_mono_ns: int) -> int:
        """How long legs have stood alone since midnight UTC, all pairs, with what goes on now."""
        naked_ns = self.results.naked_ns
        for pair in self.pairs:
            if pair.state.is_naked_told:
                naked_ns += now_mono_ns - pair.state.naked_mono_ns
        return naked_ns

    def orders_in_doubt(self) -> int:
        return sum(
            order.state in DOUBTFUL for pair in self.pairs for leg in pair.state.legs for order in leg.live
        )

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background. What it raises ends the process: it is our own error."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for pair in self.pairs:
            if pair.timer is not None:
                pair.timer.cancel()
        self.prices.close()
        self.learned.close()
