"""One batch of orders onto the wire: rendered together, written together, an entry whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence

from executor.desk import Desk, Pair, touch_e8
from executor.gateway import NotSent, ReadyOrder
from executor.messages import At, Purpose, Send, SendFailed
from executor.rate_budget import URGENCY_OF
from executor.templates import Slot
from venues.contract import OffGrid, OrderRequest


class Wire:
    """Turns ``Send`` commands into bytes. Nothing here is awaited."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def render(self, pair: Pair, send: Send, at: At) -> ReadyOrder | NotSent:
        """The bytes of an order, armed or made now; NotSent as a value when it cannot be made."""
        armed = pair.armoury.take(
            Slot(send.leg, send.side, send.size_e8, send.reduce_only),
            client_order_id=send.client_order_id,
            worst_price_e8=send.limit_price_e8,
            touch_e8=touch_e8(at.markets[send.leg], send.side),
            now_unix_ms=time.time_ns() // 1_000_000,
        )
        if armed is not None:
            self._desk.reports.count("template_hits_total")
            return armed
        self._desk.reports.count("template_misses_total")
        instrument = pair.rules.instruments[send.leg]
        gateway = self._desk.gateways[instrument.venue]
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
        except OffGrid as error:
            return NotSent(str(error))
        except NotSent as error:
            return error

    def write(
        self, pair: Pair, sends: Sequence[Send], orders: Sequence[ReadyOrder | NotSent]
    ) -> list[SendFailed]:
        """Write a batch. Returns what did not leave.

        Closing and mending orders leave one without the other; an entry's first leg does not leave
        when the second is known not to.
        """
        failed: list[tuple[Send, str]] = []
        written: list[tuple[Send, int]] = []
        is_entry = any(send.purpose is Purpose.ENTRY for send in sends)
        withheld = (
            next((str(order) for order in orders if isinstance(order, NotSent)), "") if is_entry else ""
        )
        withheld = withheld or self._no_room_for(pair, sends)
        for send, order in zip(sends, orders, strict=True):
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
                written.append((send, time.monotonic_ns()))
        self._account(pair, written)
        return [SendFailed(self._desk.at(pair), send.client_order_id, reason) for send, reason in failed]

    def _no_room_for(self, pair: Pair, sends: Sequence[Send]) -> str:
        """Why a venue's rate limit withholds the whole batch, empty when it does not: a close of one leg
        that the other's limit stopped would leave that one alone."""
        now_mono_ns = time.monotonic_ns()
        for send in sends:
            venue = pair.rules.instruments[send.leg].venue
            if not self._desk.gateways[venue].budget.has_room(URGENCY_OF[send.purpose], now_mono_ns):
                self._desk.reports.count("orders_withheld_total", len(sends))
                return f"only the reserve of {venue}'s rate limit is left"
        return ""

    def _account(self, pair: Pair, written: Sequence[tuple[Send, int]]) -> None:
        desk, stages = self._desk, pair.fresh
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
        """The ``leg_sent`` lines, once there is time for them."""
        unsent = {item.client_order_id for item in failed}
        for send in sends:
            if send.client_order_id in unsent:
                continue
            instrument = pair.rules.instruments[send.leg]
            fields = {
                "pair": pair.rules.pair,
                "trade_id": pair.state.trade.trade_id if pair.state.trade else 0,
                "leg": send.leg,
                "venue": instrument.venue,
                "symbol": instrument.symbol,
                "client_order_id": send.client_order_id,
                "side": send.side.name,
                "purpose": send.purpose.name.lower(),
                "attempt": send.attempt,
                "sent_mono_ns": self._desk.ledger.sent_mono_ns(send.client_order_id),
            }
            self._desk.reports.log("info", "leg_sent", fields)
