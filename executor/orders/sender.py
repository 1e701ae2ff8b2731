"""One batch of orders onto the wire: rendered together, written together, an entry whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from events.orders import LegSent
from executor.desk import Desk, Pair
from executor.gateways.contract import NotSent, ReadyOrder
from executor.gateways.rate_limit import Urgency
from executor.metrics.latency import SignalTimestamps
from executor.orders.presigned import Slot
from executor.orders.stagger import Hold
from executor.pair.config import SIGNING_SPARE_MS
from executor.pair.messages import At, Send, SendFailed
from executor.pair.order import ENDED, OrderState, Purpose
from executor.pair.order_facts import about_leg
from executor.pair.pricing import touch_e8
from executor.pair.state import is_naked
from runtime.clock import unix_ms
from venues.contract import OffGrid, OrderRequest

URGENCY_OF: Final[Mapping[Purpose, Urgency]] = {
    Purpose.ENTRY: Urgency.OPEN,
    Purpose.EXIT: Urgency.CLOSE,
    Purpose.COMPLETE: Urgency.HEDGE,
    Purpose.UNWIND: Urgency.HEDGE,
}
assert set(URGENCY_OF) == set(Purpose)


class Wire:
    """Turns ``Send`` commands into bytes. Nothing here is awaited."""

    def __init__(self, desk: Desk, tell_failed: Callable[[Pair, SendFailed], None]) -> None:
        self._desk = desk
        self._tell_failed = tell_failed  # of an order that was held back and then did not leave
        self._held: set[int] = set()  # client order ids

    def render(self, pair: Pair, send: Send, at: At) -> ReadyOrder | NotSent:
        """The bytes of an order, armed or made now; NotSent as a value when it cannot be made."""
        instrument = pair.rules.instruments[send.leg]
        gateway = self._desk.gateways[instrument.venue]
        armed = pair.presigned.take(
            Slot(send.leg, send.side, send.size_e8, send.reduce_only),
            client_order_id=send.client_order_id,
            worst_price_e8=send.limit_price_e8,
            touch_e8=touch_e8(at.markets[send.leg], send.side),
            now_unix_ms=unix_ms(gateway.clock),
        )
        if armed is not None:
            self._desk.reports.count("template_hits_total")
            return armed
        self._desk.reports.count("template_misses_total")
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
        late_ns = self._desk.clock.mono_ns() - at.now_mono_ns
        if late_ns > SIGNING_SPARE_MS * 1_000_000:  # this process was stopped in between
            return NotSent(f"signed {late_ns / 1e6:.0f} ms after it was decided")
        return order

    def keep_warm(self, pair: Pair, sends: Sequence[Send], at: At) -> None:
        """Look at what ``render`` and ``write`` look at, and do nothing."""
        now_mono_ns = self._desk.clock.mono_ns()
        for send in sends:
            gateway = self._desk.gateways[pair.rules.instruments[send.leg].venue]
            pair.presigned.find(
                Slot(send.leg, send.side, send.size_e8, send.reduce_only),
                client_order_id=send.client_order_id,
                worst_price_e8=send.limit_price_e8,
                touch_e8=touch_e8(at.markets[send.leg], send.side),
                now_unix_ms=unix_ms(gateway.clock),
            )
            gateway.budget.has_room(URGENCY_OF[send.purpose], now_mono_ns)
        self._hold(pair)

    def write(
        self, pair: Pair, sends: Sequence[Send], orders: Sequence[ReadyOrder | NotSent]
    ) -> list[SendFailed]:
        """Write a batch. Returns what did not leave.

        Closing and mending orders leave one without the other; an entry's first leg does not leave
        when the second is known not to. With ``execution.stagger`` the faster venue's leg of an entry
        is held back for a moment: it leaves by itself, and nobody waits for it.
        """
        failed: list[tuple[Send, str]] = []
        written: list[tuple[Send, int]] = []
        is_entry = any(send.purpose is Purpose.ENTRY for send in sends)
        withheld = (
            next((str(order) for order in orders if isinstance(order, NotSent)), "") if is_entry else ""
        )
        withheld = withheld or self._no_room_for(pair, sends)
        hold = self._hold(pair) if is_entry and len(sends) == 2 and not withheld else None
        for send, order in zip(sends, orders, strict=True):
            if hold is not None and send.leg == hold.leg and isinstance(order, ReadyOrder):
                continue
            try:
                if isinstance(order, NotSent):
                    raise order
                if withheld:
                    raise NotSent(f"withheld: {withheld}")
                self._desk.gateways[pair.rules.instruments[send.leg].venue].send(order)
            except NotSent as error:
                failed.append((send, str(error)))
                if is_entry and not written:
                    withheld = withheld or str(error)
            else:
                written.append((send, self._desk.clock.mono_ns()))
        self._account(pair, written)
        if hold is not None:
            send, order = next(item for item in zip(sends, orders, strict=True) if item[0].leg == hold.leg)
            assert isinstance(order, ReadyOrder)
            if written:
                self._send_later(pair, send, order, hold)
            else:  # an entry leaves whole or not at all
                failed.append((send, f"the other leg cannot leave: {withheld}"))
        return [SendFailed(self._desk.at(pair), send.client_order_id, reason) for send, reason in failed]

    def _no_room_for(self, pair: Pair, sends: Sequence[Send]) -> str:
        """Why a venue's rate limit withholds the whole batch, empty when it does not: a close of one leg
        that the other's limit stopped would leave that one alone. Legs that differ already do not wait:
        what is left of an exit mends them, whatever it is called."""
        if is_naked(pair.rules, pair.state):
            return ""
        now_mono_ns = self._desk.clock.mono_ns()
        for send in sends:
            venue = pair.rules.instruments[send.leg].venue
            if not self._desk.gateways[venue].budget.has_room(URGENCY_OF[send.purpose], now_mono_ns):
                self._desk.reports.count("orders_withheld_total", len(sends))
                return f"only the reserve of {venue}'s rate limit is left"
        return ""

    def _hold(self, pair: Pair) -> Hold | None:
        first, second = pair.rules.instruments
        return self._desk.stagger.hold((first.venue, second.venue))

    def _send_later(self, pair: Pair, send: Send, order: ReadyOrder, hold: Hold) -> None:
        self._held.add(send.client_order_id)
        stages = pair.fresh
        if stages is not None:
            stages.client_order_ids[send.leg] = send.client_order_id
        asyncio.get_running_loop().call_later(
            hold.duration_ns / 1e9, self._send_held, pair, send, order, stages
        )

    def _send_held(self, pair: Pair, send: Send, order: ReadyOrder, stages: SignalTimestamps | None) -> None:
        """The held leg's moment. It stays when the other leg is known dead or its own has been given up."""
        self._held.discard(send.client_order_id)
        try:
            if not self._is_still_wanted(pair, send):
                raise NotSent("the other leg ended before this one had left")
            self._desk.gateways[pair.rules.instruments[send.leg].venue].send(order)
        except NotSent as error:
            self._tell_failed(pair, SendFailed(self._desk.at(pair), send.client_order_id, str(error)))
        else:
            self._account(pair, [(send, self._desk.clock.mono_ns())], stages)
            if stages is not None and all(stages.sent):
                self._desk.ledger.both_sent(stages)
            self.tell_sent(pair, [send], [])

    def _is_still_wanted(self, pair: Pair, send: Send) -> bool:
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
        self, pair: Pair, written: Sequence[tuple[Send, int]], stages: SignalTimestamps | None = None
    ) -> None:
        desk, stages = self._desk, stages or pair.fresh
        for send, sent_mono_ns in written:
            desk.rate.count(sent_mono_ns)
            desk.reports.count("orders_sent_total")
            desk.ledger.sent(send.client_order_id, sent_mono_ns)
            if stages is not None:
                stages.client_order_ids[send.leg] = send.client_order_id
                stages.sent[send.leg] = sent_mono_ns
        if len(written) == 2 and stages is not None:
            desk.ledger.both_sent(stages)

    def tell_sent(self, pair: Pair, sends: Sequence[Send], failed: Sequence[SendFailed]) -> None:
        """Report what was sent, once there is time for it."""
        unsent = {item.client_order_id for item in failed}
        for send in sends:
            if send.client_order_id in unsent or send.client_order_id in self._held:
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
            sent_mono_ns = self._desk.ledger.sent_mono_ns(send.client_order_id)
            self._desk.reports.report(LegSent(**about, sent_mono_ns=sent_mono_ns))
