"""One batch of orders onto the wire: rendered together, written together, an entry whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from events.orders import LegSent
from executor.gateways.contract import Budget, NotSent, ReadyOrder, Urgency
from executor.market import Prices
from executor.metrics.latency import SignalTimestamps
from executor.orders.presigned import Slot
from executor.orders.stagger import Hold, Stagger
from executor.pair.config import SIGNING_SPARE_MS
from executor.pair.messages import At, Send, SendFailed
from executor.pair.order import ENDED, OrderState, Purpose
from executor.pair.order_facts import about_leg
from executor.pair.state import is_naked
from executor.pairs import Feed, PairRuntime, Report
from runtime.clock import Clock, unix_ms
from venues.contract import OffGrid, OrderRequest, TimeInForce

URGENCY_OF: Final[Mapping[Purpose, Urgency]] = {
    Purpose.ENTRY: Urgency.OPEN,
    Purpose.EXIT: Urgency.CLOSE,
    Purpose.COMPLETE: Urgency.HEDGE,
    Purpose.UNWIND: Urgency.HEDGE,
}
assert set(URGENCY_OF) == set(Purpose)


class Outlet(Protocol):
    """What a sender needs of a venue's gateway."""

    time_in_force: TimeInForce

    @property
    def clock(self) -> Clock:
        """The venue's clock, as far as it is known."""

    @property
    def budget(self) -> Budget:
        """What the venue's rate limits leave."""

    def sign(self, request: OrderRequest) -> ReadyOrder:
        """Render and sign. Raises OffGrid, and NotSent."""

    def send(self, order: ReadyOrder) -> None:
        """Write it now. Raises NotSent when certainly not a byte left."""

    def count_sent(self, now_mono_ns: int) -> None:
        """Spend what an order that was written costs of the venue's rate limits."""


class SentCounts(Protocol):
    """Where sent orders are counted."""

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""


class SentRate(Protocol):
    """Where the orders of a minute are counted."""

    def count(self, now_mono_ns: int) -> None:
        """One more was written."""


class SentTimes(Protocol):
    """Where it is kept when an order was written."""

    def sent(self, client_order_id: int, now_mono_ns: int) -> None:
        """An order was written."""

    def sent_mono_ns(self, client_order_id: int) -> int:
        """When it was."""

    def both_sent(self, stages: SignalTimestamps) -> None:
        """Both legs of a signal were."""


class Sender:
    """Turns ``Send`` commands into bytes. Nothing here is awaited."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Outlet],
        prices: Prices,
        rate: SentRate,
        stagger: Stagger,
        latency: SentTimes,
        counters: SentCounts,
        report: Report,
        clock: Clock,
    ) -> None:
        self._gateways = gateways
        self._prices = prices
        self._rate = rate
        self._stagger = stagger
        self._latency = latency
        self._counters = counters
        self._report = report
        self._clock = clock
        self._feed: Feed | None = None
        self._held_back: set[int] = set()  # client order ids
        self._hits = 0  # templates taken and not counted yet: that waits until the bytes have left

    def connect(self, feed: Feed) -> None:
        """Have an order that was held back and then did not leave become an event of its pair's machine."""
        self._feed = feed

    def render(self, pair: PairRuntime, send: Send, at: At) -> ReadyOrder | NotSent:
        """The bytes of an order, presigned or made now; NotSent as a value when it cannot be made."""
        instrument = pair.rules.instruments[send.leg]
        gateway = self._gateways[instrument.venue]
        presigned = pair.presigned.take(
            Slot(send.leg, send.side, send.size_e8, send.reduce_only),
            client_order_id=send.client_order_id,
            worst_price_e8=send.limit_price_e8,
            market=at.markets[send.leg],
            now_unix_ms=unix_ms(gateway.clock),
        )
        if presigned is not None:
            assert presigned.request.client_order_id == send.client_order_id, "a template serves one order"
            assert presigned.request.size_e8 == send.size_e8, (
                "a template serves the very order it was made for"
            )
            self._hits += 1
            return presigned
        self._counters.count("template_misses_total")
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
            order = gateway.sign(request)
        except OffGrid as error:
            return NotSent(str(error))
        except NotSent as error:
            return error
        late_ns = self._clock.mono_ns() - at.now_mono_ns
        if late_ns > SIGNING_SPARE_MS * 1_000_000:  # this process was stopped in between
            return NotSent(f"signed {late_ns / 1e6:.0f} ms after it was decided")
        return order

    def write(
        self, pair: PairRuntime, sends: Sequence[Send], orders: Sequence[ReadyOrder | NotSent]
    ) -> list[SendFailed]:
        """Write a batch. Returns what did not leave.

        Closing and mending orders leave one without the other; an entry's first leg does not leave
        when the second is known not to. With ``execution.stagger`` the faster venue's leg of an entry
        is held back for a moment: it leaves by itself, and nobody waits for it.
        """
        assert 0 < len(sends) == len(orders) <= 2, "a batch is one or both legs"
        assert len({send.leg for send in sends}) == len(sends), "one order per leg"
        failed: list[tuple[Send, str]] = []
        written: list[tuple[Send, int]] = []
        is_entry = sends[0].purpose is Purpose.ENTRY
        if is_entry:  # its venues' rate limits were asked a moment ago, by ``pre_trade.check``
            withheld = next((str(order) for order in orders if isinstance(order, NotSent)), "")
        else:
            withheld = self._no_room_for(pair, sends)
        hold = None
        if is_entry and self._stagger.is_on and len(sends) == 2 and not withheld:
            hold = self._hold(pair)
        for send, order in zip(sends, orders, strict=True):
            if hold is not None and send.leg == hold.leg and isinstance(order, ReadyOrder):
                continue
            try:
                if isinstance(order, NotSent):
                    raise order
                if withheld:
                    raise NotSent(f"withheld: {withheld}")
                self._gateways[pair.rules.instruments[send.leg].venue].send(order)
            except NotSent as error:
                failed.append((send, str(error)))
                if is_entry and not written:
                    withheld = withheld or str(error)
            else:
                written.append((send, self._clock.mono_ns()))
        self._account(pair, written)
        if hold is not None:
            send, order = next(item for item in zip(sends, orders, strict=True) if item[0].leg == hold.leg)
            assert isinstance(order, ReadyOrder)
            if written:
                self._send_later(pair, send, order, hold)
            else:  # an entry leaves whole or not at all
                failed.append((send, f"the other leg cannot leave: {withheld}"))
        return [SendFailed(self._prices.at(pair), send.client_order_id, reason) for send, reason in failed]

    def _no_room_for(self, pair: PairRuntime, sends: Sequence[Send]) -> str:
        """Why a venue's rate limit withholds the whole batch, empty when it does not: a close of one leg
        that the other's limit stopped would leave that one alone. Legs that differ already do not wait:
        what is left of an exit mends them, whatever it is called."""
        if is_naked(pair.rules, pair.state):
            return ""
        now_mono_ns = self._clock.mono_ns()
        for send in sends:
            venue = pair.rules.instruments[send.leg].venue
            if not self._gateways[venue].budget.has_room(URGENCY_OF[send.purpose], now_mono_ns):
                self._counters.count("orders_withheld_total", len(sends))
                return f"only the reserve of {venue}'s rate limit is left"
        return ""

    def _hold(self, pair: PairRuntime) -> Hold | None:
        first, second = pair.rules.instruments
        return self._stagger.hold((first.venue, second.venue))

    def _send_later(self, pair: PairRuntime, send: Send, order: ReadyOrder, hold: Hold) -> None:
        assert send.client_order_id not in self._held_back, "an order is held back once"
        self._held_back.add(send.client_order_id)
        stages = pair.in_flight
        if stages is not None:
            stages.client_order_ids[send.leg] = send.client_order_id
        asyncio.get_running_loop().call_later(
            hold.duration_ns / 1e9, self._send_held_back, pair, send, order, stages
        )

    def _send_held_back(
        self, pair: PairRuntime, send: Send, order: ReadyOrder, stages: SignalTimestamps | None
    ) -> None:
        """The held leg's moment. It stays when the other leg is known dead or its own has been given up."""
        self._held_back.discard(send.client_order_id)
        try:
            if not self._is_still_wanted(pair, send):
                raise NotSent("the other leg ended before this one had left")
            self._gateways[pair.rules.instruments[send.leg].venue].send(order)
        except NotSent as error:
            assert self._feed is not None, "the engine connects itself before anything is sent"
            self._feed(pair, SendFailed(self._prices.at(pair), send.client_order_id, str(error)))
        else:
            self._account(pair, [(send, self._clock.mono_ns())], stages)
            if stages is not None and all(stages.sent):
                self._latency.both_sent(stages)
            self.report_sent(pair, [send], [])

    def _is_still_wanted(self, pair: PairRuntime, send: Send) -> bool:
        own, other = pair.state.legs[send.leg], pair.state.legs[1 - send.leg]
        is_live = any(
            order.client_order_id == send.client_order_id and order.state is OrderState.SENT
            for order in own.live
        )
        trade_id = pair.state.trade.trade_id if pair.state.trade else 0
        sibling = max(
            (order for order in (*other.live, *other.past) if order.trade_id == trade_id),
            key=lambda order: order.client_order_id,
            default=None,
        )
        return is_live and sibling is not None and not (sibling.state in ENDED and not sibling.filled_e8)

    def _account(
        self, pair: PairRuntime, written: Sequence[tuple[Send, int]], stages: SignalTimestamps | None = None
    ) -> None:
        stages = stages or pair.in_flight
        if self._hits:
            self._counters.count("template_hits_total", self._hits)
            self._hits = 0
        for send, sent_mono_ns in written:
            self._gateways[pair.rules.instruments[send.leg].venue].count_sent(sent_mono_ns)
            self._rate.count(sent_mono_ns)
            self._counters.count("orders_sent_total")
            self._latency.sent(send.client_order_id, sent_mono_ns)
            if stages is not None:
                stages.client_order_ids[send.leg] = send.client_order_id
                stages.sent[send.leg] = sent_mono_ns
        assert len(written) <= 2, "a batch is one or both legs"
        if len(written) == 2 and stages is not None:
            self._latency.both_sent(stages)

    def report_sent(self, pair: PairRuntime, sends: Sequence[Send], failed: Sequence[SendFailed]) -> None:
        """Report what was sent, once there is time for it."""
        unsent = {item.client_order_id for item in failed}
        for send in sends:
            if send.client_order_id in unsent or send.client_order_id in self._held_back:
                continue
            about: dict[str, Any] = {
                "pair": pair.rules.pair,
                "trade_id": pair.state.trade.trade_id if pair.state.trade else 0,
                **about_leg(pair.rules, send.leg),
                "client_order_id": send.client_order_id,
                "side": send.side.name,
                "purpose": send.purpose.name.lower(),
                "attempt": send.attempt,
            }
            sent_mono_ns = self._latency.sent_mono_ns(send.client_order_id)
            self._report(LegSent(**about, sent_mono_ns=sent_mono_ns))
