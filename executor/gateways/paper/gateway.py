"""The gateway of mode paper: a virtual venue behind the same contract as a real one.

The process, the pair machine and the detector are those of mode live and cannot report. No key is
read and nothing is sent anywhere: prices come from the feeds, through shared memory.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

from events.trades import PaperAccount, PaperHolding
from executor.gateways.contract import Listener, NotSent, ReadyOrder
from executor.gateways.paper.book import NoBook, PaperBook, standing_book
from executor.gateways.paper.journal import PaperJournal, PaperJournalError, PaperOrder
from executor.gateways.paper.venue import OrderRefused, Terms, VirtualVenue, update_of, venue_order_id
from executor.gateways.paper.wire import OneWay
from executor.gateways.rate_limit import RateBudget
from executor.market import Prices
from observability.logs import Reporter
from runtime import bootstrap
from runtime.clock import Clock, unix_ms
from runtime.fees import taker_fee_bps
from settings import PROJECT, PaperVenueSettings, Settings
from venues import registry
from venues.contract import (
    E8,
    Account,
    Fill,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Outcome,
    Position,
    Side,
    TimeInForce,
    Touch,
    TransportError,
    check_grid,
)

_PPB_PER_BPS = 100_000
_T = TypeVar("_T")


def connect(process: bootstrap.Launch, venue: str, listener: Listener, prices: Prices) -> PaperGateway:
    """The paper gateway of one venue. Ends the process with a clear message if it cannot be made."""
    settings = process.settings
    chosen = settings.paper.venues[venue]
    instruments = tuple(item for item in process.instruments if item.venue == venue)
    path = PROJECT / settings.persistence.var_dir / f"paper-{settings.bot_id}-{venue}.journal"
    try:
        journal = PaperJournal(path, venue, chosen.balance_quote_e8)
    except PaperJournalError as error:
        bootstrap.refuse(f"executor: {error}")
    max_age_ns = int(settings.paper.max_price_age_ms * 1e6)

    def look(instrument: Instrument) -> PaperBook | NoBook:
        return standing_book(
            prices.quote(instrument.instrument_id),
            prices.depth(instrument.instrument_id),
            now_mono_ns=process.clock.mono_ns(),
            max_age_ns=max_age_ns,
        )

    terms = terms_of(settings, chosen, instruments)
    return PaperGateway(
        venue,
        VirtualVenue(instruments, terms, look, journal),
        instruments,
        listener,
        process.reporter,
        process.clock,
        time_in_force=registry.venue(venue).taker_time_in_force,
        chosen=chosen,
        seed=settings.paper.seed,
        validity_ms=settings.execution.order_validity_ms,
    )


def terms_of(settings: Settings, chosen: PaperVenueSettings, instruments: tuple[Instrument, ...]) -> Terms:
    """Fees are those the pair machine reckons with; rates become integers here."""
    return Terms(
        fee_ppb={item.symbol: round(taker_fee_bps(settings, item) * _PPB_PER_BPS) for item in instruments},
        slippage_ppb=round(chosen.slippage_bps * _PPB_PER_BPS),
        leverage_max=chosen.leverage_max,
    )


class PaperGateway:
    """See ``executor.gateways.contract.OrderGateway``.

    Orders, questions and what is reported travel: out, and back by one way for answers and another for
    the private stream. What is still on its way when the process dies has not happened; what has
    arrived is in the account's file, and the next process learns of it by its queries.
    """

    def __init__(
        self,
        venue: str,
        virtual: VirtualVenue,
        instruments: tuple[Instrument, ...],
        listener: Listener,
        reporter: Reporter,
        clock: Clock,
        *,
        time_in_force: TimeInForce,
        chosen: PaperVenueSettings,
        seed: int,
        validity_ms: int,
    ) -> None:
        self.venue = venue
        self._validity_ms = validity_ms
        self._travel_ms = validity_ms // 2  # left for the way there when an order is written
        self.time_in_force = time_in_force
        self._virtual = virtual
        self._instruments = {item.symbol: item for item in instruments}
        self._listener = listener
        self._reporter = reporter
        self.clock = clock
        self._is_open = False
        self.budget = RateBudget(())
        self._out, self._answers, self._stream = (
            OneWay(
                random.Random(f"{seed} {venue} {way}"),
                clock,
                latency_ms=chosen.latency_ms,
                jitter_ms=chosen.jitter_ms,
            )
            for way in ("orders", "answers", "stream")
        )

    # --- state ---

    @property
    def closed(self) -> str:
        """A virtual venue never is; the real one's windows are kept by the detector."""
        return ""

    @property
    def is_up(self) -> bool:
        return self._is_open

    @property
    def can_ask(self) -> bool:
        return self._is_open

    @property
    def can_send(self) -> bool:
        return self._is_open

    async def run(self) -> None:
        """Be there until cancelled: no login can fail, no stream can be lost."""
        self._is_open = True
        self._report_account()
        self._listener.on_up(self.venue)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._is_open = False
            for way in (self._out, self._answers, self._stream):
                way.close()

    # --- orders ---

    def sign(self, request: OrderRequest) -> ReadyOrder:
        """There is nothing to render; the numbers are checked as a venue's protocol checks them."""
        check_grid(request)
        return ReadyOrder(request, b"", unix_ms(self.clock) + self._validity_ms - self._travel_ms)

    def send(self, order: ReadyOrder) -> None:
        if not self._is_open:
            raise NotSent(f"{self.venue}: not open")
        self._out.carry(lambda: self._arrived(order))

    def count_sent(self, now_mono_ns: int) -> None:
        """A virtual venue has no rate limits."""

    def _arrived(self, order: ReadyOrder) -> None:
        now_unix_ms = unix_ms(self.clock)
        ended = self._virtual.execute(
            order.request,
            valid_until_unix_ms=order.valid_until_unix_ms + self._travel_ms,
            now_unix_ms=now_unix_ms,
        )
        if isinstance(ended, OrderRefused):
            ack = OrderAck(order.request.client_order_id, Outcome.REFUSED, "", ended.code, ended.text)
        else:
            ack = _ack(ended)
        self._answers.carry(lambda: self._listener.on_ack(self.venue, ack, self.clock.mono_ns()))
        if isinstance(ended, PaperOrder) and not ended.is_refused:
            for reported in self._news(ended):
                self._tell(reported)
            if ended.fills:
                self._report_account()

    def _tell(self, reported: Fill | OrderUpdate) -> None:
        self._stream.carry(lambda: self._listener.on_report(self.venue, reported, self.clock.mono_ns()))

    def _news(self, order: PaperOrder) -> list[Fill | OrderUpdate]:
        """What the private stream says of an order: every execution, then how it ended."""
        instrument_id = self._instruments[order.symbol].instrument_id
        fills = [
            Fill(
                fill_id=f"{venue_order_id(order)}-{number}",
                client_order_id=order.client_order_id,
                venue_order_id=venue_order_id(order),
                instrument_id=instrument_id,
                side=Side(order.side),
                price_e8=fill.price_e8,
                size_e8=fill.size_e8,
                fee_e8=fill.fee_e8,
                venue_unix_ns=order.arrived_unix_ms * 1_000_000,
                funding_e8=0,  # virtual accounts settle none
            )
            for number, fill in enumerate(order.fills, 1)
        ]
        return [*fills, update_of(order, instrument_id)]

    def _report_account(self) -> None:
        account = self._virtual.account
        held = {symbol: item for symbol, item in account.holdings.items() if item.size_e8}
        self._reporter.report(
            PaperAccount(
                venue=self.venue,
                balance_e8=account.balance_e16 // E8,
                equity_e8=self._virtual.equity_e8(),
                fees_e8=sum(item.fees_e8 for item in account.holdings.values()),
                positions={
                    symbol: PaperHolding(size_e8=item.size_e8, entry_price_e8=item.entry_price_e8)
                    for symbol, item in held.items()
                },
            )
        )

    # --- questions ---

    async def query_order(self, ref: OrderRef) -> OrderUpdate | None:
        def answer() -> OrderUpdate | None:
            order = self._virtual.order(ref.client_order_id)
            return update_of(order, ref.instrument.instrument_id) if order else None

        return await self._ask(answer)

    async def query_fills(self, ref: OrderRef, age_ms: int) -> list[Fill] | None:
        def answer() -> list[Fill] | None:
            order = self._virtual.order(ref.client_order_id)
            return [reported for reported in self._news(order) if isinstance(reported, Fill)] if order else []

        return await self._ask(answer)

    async def query_open_orders(self) -> list[OrderUpdate]:
        """None ever is: what an order does not take on arrival is cancelled."""
        none: list[OrderUpdate] = []
        return await self._ask(lambda: none)

    async def query_positions(self) -> dict[int, int]:
        return await self._ask(
            lambda: {
                item.instrument_id: self._virtual.account.position_e8(symbol)
                for symbol, item in self._instruments.items()
            }
        )

    async def query_instruments(self) -> list[Instrument]:
        """A virtual venue takes what it took at its start."""
        return list(self._instruments.values())

    async def query_margin(self) -> tuple[Account, list[Position]]:
        return await self._ask(self._virtual.margin)

    async def query_touch(self, instrument: Instrument) -> Touch:
        """There is none but the feed's: virtual orders meet nothing else."""
        raise TransportError(f"{self.venue}: the virtual venue has no market of its own")

    async def cancel_order(self, ref: OrderRef) -> OrderAck:
        """Always too late; the order's end is reported as any venue reports it."""
        text = "no such order is open"
        return await self._ask(
            lambda: OrderAck(ref.client_order_id, Outcome.REFUSED, "", "PAPER_NOT_OPEN", text)
        )

    async def _ask(self, answer: Callable[[], _T]) -> _T:
        """What ``answer`` says when the question arrives, once that has come back."""
        if not self._is_open:
            raise TransportError(f"{self.venue}: not open")
        received: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def receive(result: _T) -> None:
            if not received.done():  # cancelled meanwhile: whoever asked is gone
                received.set_result(result)

        def arrived() -> None:
            result = answer()
            self._answers.carry(lambda: receive(result))

        self._out.carry(arrived)
        return await received


def _ack(order: PaperOrder) -> OrderAck:
    if order.is_refused:
        return OrderAck(order.client_order_id, Outcome.REFUSED, venue_order_id(order), order.code, order.text)
    return OrderAck(order.client_order_id, Outcome.ACCEPTED, venue_order_id(order))
