"""What the operator has decided about what nothing explains: take it for ours, or close it.

The request comes through ``runtime.reconcile_request``. ``adopt``: positions become ours as the
venues report them, and what is naked then is mended like any leg; orders of others may stay.
``flatten``: the same, and then everything on the pairs concerned is closed and the orders of others
are cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from events.event import Event
from events.orders import LegResolved
from events.positions import HoldingChanged, HoldingLeg, Reconciled
from executor.market import Prices
from executor.orders.open_orders import OpenOrders
from executor.pair.messages import FlattenRequested, OperatorResumed
from executor.pair.state import Halt, is_flat
from executor.pairs import MachineRunner, PairRuntime, Pairs, Report
from runtime.background import BackgroundTasks
from runtime.carried_positions import CarriedPair, read_carried, write_carried
from runtime.reconcile_request import ReconcileRequest, answer, answered, asked

ACTIONS: Final = ("adopt", "flatten")
_REASON = "reconcile"


class Decisions:
    """Polls for a request, and follows it until it is done."""

    def __init__(
        self,
        *,
        pairs: Pairs,
        orphaned: list[CarriedPair],
        runner: MachineRunner,
        prices: Prices,
        open_orders: OpenOrders,
        tasks: BackgroundTasks,
        report: Report,
        directory: Path,
    ) -> None:
        self._pairs = pairs
        self._orphaned = orphaned  # held by pairs that are configured no more; forgotten once decided about
        self._runner = runner
        self._prices = prices
        self._tasks = tasks
        self._report = report
        self._open_orders = open_orders
        self._directory = directory
        newest = asked(directory)
        # What an earlier process was asked for and did not finish is begun again.
        is_old = newest is not None and answered(directory, newest.number) is not None
        self._taken_up = newest.number if newest is not None and is_old else 0
        self._request: ReconcileRequest | None = None
        self._concerned: list[PairRuntime] = []

    def poll(self) -> None:
        """Take up what is new; go on with what is not done."""
        request = asked(self._directory)
        if request is not None and request.number > self._taken_up:
            self._taken_up, self._request = request.number, request
            self._begin(request)
        if self._request is not None:
            self._go_on(self._request)
        else:  # an earlier process was killed while it followed one: the request may be gone with its memory
            self._let_open_again(self._pairs)

    def _begin(self, request: ReconcileRequest) -> None:
        self._concerned = [
            pair for pair in self._pairs if pair.state.halt is not Halt.NONE or pair.state.flatten == _REASON
        ]
        self._forget_orphaned()
        if request.action == "flatten":
            self._tasks.start(self._open_orders.cancel_foreign())
        else:
            self._open_orders.accept_foreign()

    def _go_on(self, request: ReconcileRequest) -> None:
        feed = self._runner.feed
        wants_flat = request.action == "flatten"
        for pair in self._concerned:
            if pair.state.halt is not Halt.NONE:
                # Answered once both legs were read; until then it has them read.
                feed(pair, OperatorResumed(self._prices.at(pair), adopt=True))
            elif wants_flat and pair.state.flatten != _REASON and not is_flat(pair.rules, pair.state):
                feed(pair, FlattenRequested(self._prices.at(pair), _REASON))
        if not all(self._is_done(pair, wants_flat=wants_flat) for pair in self._concerned):
            return
        if wants_flat and any(self._open_orders.foreign.values()):
            return
        self._let_open_again(self._concerned)
        self._request = None
        positions_e8 = {
            f"{instrument.venue}:{instrument.symbol}": leg.held_e8
            for pair in self._pairs
            for instrument, leg in zip(pair.rules.instruments, pair.state.legs, strict=True)
        }
        self._report(Reconciled(action=request.action, positions_e8=positions_e8))
        answer(self._directory, request.number, {"action": request.action, "positions_e8": positions_e8})

    def _let_open_again(self, pairs: Iterable[PairRuntime]) -> None:
        for pair in pairs:
            if pair.state.flatten == _REASON and self._is_done(pair, wants_flat=True):
                self._runner.feed(pair, OperatorResumed(self._prices.at(pair)))

    def _is_done(self, pair: PairRuntime, *, wants_flat: bool) -> bool:
        if pair.state.halt is not Halt.NONE or any(leg.live for leg in pair.state.legs):
            return False
        return not wants_flat or is_flat(pair.rules, pair.state)

    def _forget_orphaned(self) -> None:
        """The operator has looked after what no configured pair holds: the journal is to forget it."""
        if not self._orphaned:
            return
        for orphan in self._orphaned:
            for event in _forgotten(orphan):
                self._report(event)
        kept = [pair for pair in read_carried(self._directory) if pair not in self._orphaned]
        write_carried(self._directory, kept)
        self._orphaned.clear()


def _forgotten(orphan: CarriedPair) -> Iterator[Event]:
    """Everything of the pair is over, and it holds nothing."""
    names = [name.partition(":") for name in orphan.legs]
    for order in orphan.orders:
        venue, _, symbol = names[order.leg]
        about: dict[str, Any] = {"side": order.side, "purpose": order.purpose}
        yield LegResolved(
            **about,
            pair=orphan.pair,
            trade_id=order.trade_id,
            leg=order.leg,
            venue=venue,
            symbol=symbol,
            client_order_id=order.client_order_id,
            attempt=order.attempt,
            order_state="absent",
            venue_order_id="",
            size_e8=order.size_e8,
            filled_e8=0,
            average_price_e8=0,
            fee_e8=0,
        )
    first, second = (
        HoldingLeg(leg=leg, venue=venue, symbol=symbol, size_e8=0, entry_price_e8=0, fee_e8=0)
        for leg, (venue, _, symbol) in enumerate(names)
    )
    yield HoldingChanged(
        pair=orphan.pair,
        trade_id=0,
        direction=0,
        layers=0,
        legs=(first, second),
        live=(),
        opened_mono_ns=0,
        is_estimated=False,
    )
