"""What Hyperliquid tells of one account: answers to posted orders, order updates, fills, funding.

There is no private stream: an address is subscribed to in clear. Answer, update and fills of one order come
in any order, and each of them may be lost:

- the answer to an IOC order is final and complete: size and average price;
- an update tells what remains of it, and no price. What remains of a reduce-only order says nothing of what
  it filled, because the venue may have cut it to the position;
- fills tell price and fee of each execution.

What all of them told of an order is kept here, and every update handed over says as much as is known then.

Source: the venue's documentation, "Subscriptions" and "Post requests", read in November 2026.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from venues.contract import (
    Fill,
    FrameError,
    OrderAck,
    OrderRequest,
    OrderStatus,
    OrderUpdate,
    Outcome,
    PrivateEvent,
    StreamReady,
    TimeInForce,
)
from venues.hyperliquid import errors
from venues.hyperliquid.assumptions import PING_INTERVAL_NS
from venues.hyperliquid.errors import ActionAnswer, Filled, Status, ack_of, post_error_ack
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.market_data import GREETING, PING_FRAME, subscribe_frame
from venues.hyperliquid.messages import (
    Executions,
    FillRow,
    FundingRow,
    OrderNews,
    client_order_id,
    decode,
    exact_e8,
    order_status,
    report_e8,
    side_of,
)

_NS_PER_MS: Final = 1_000_000
_UNKNOWN_INSTRUMENT: Final = -1
_ORDERS_KEPT: Final = 4_096
_FILLS_KEPT: Final = 16_384
CHANNELS: Final = ("orderUpdates", "userFills", "userFundings")


class Sent(NamedTuple):
    """What we know of an order that was signed, or has left, here."""

    nonce: int
    instrument_id: int
    size_e8: int
    reduce_only: bool
    can_rest: bool

    @classmethod
    def of(cls, request: OrderRequest, nonce: int) -> Sent:
        can_rest = request.time_in_force is TimeInForce.GTC
        return cls(nonce, request.instrument.instrument_id, request.size_e8, request.reduce_only, can_rest)


class SentOrders:
    """Orders that left here, by client order id; the oldest are forgotten.

    Several are signed under one id and one of them leaves, each with a nonce of its own: what is signed is
    kept by its bytes until these leave. It is signed in two threads, a single call each.
    """

    def __init__(self) -> None:
        self._signed: OrderedDict[bytes, Sent] = OrderedDict()
        self._by_id: OrderedDict[int, Sent] = OrderedDict()

    def signed(self, wire: bytes, sent: Sent) -> None:
        """Bytes that may leave."""
        self._signed[wire] = sent
        while len(self._signed) > _ORDERS_KEPT:
            self._signed.popitem(last=False)

    def leaves(self, number: int, wire: bytes) -> None:
        """These bytes are the order of that id."""
        sent = self._signed.pop(wire, None)
        if sent is None:  # forgotten, or written twice: what left first stays the order
            return
        self._by_id[number] = sent
        while len(self._by_id) > _ORDERS_KEPT:
            self._by_id.popitem(last=False)

    def get(self, number: int) -> Sent | None:
        """The order that left under this id; None where none is known to have."""
        return self._by_id.get(number)


class _Known(msgspec.Struct):
    """What was told of one order so far."""

    client_order_id: int
    instrument_id: int
    size_e8: int = 0
    status: OrderStatus = OrderStatus.OPEN
    told_e8: int = 0  # filled, by update or answer
    told_price_e8: int = 0
    is_amount_sure: bool = True  # False: what remains of it does not say what it filled
    reason: str = ""
    unix_ns: int = 0
    last: OrderUpdate | None = None  # as it was handed over
    fills: Executions = msgspec.field(default_factory=Executions)

    def news(self, oid: int) -> list[OrderUpdate]:
        """All that is known, as one update; nothing if it was handed over already."""
        update = self._update(oid)
        if self.last is not None and update == self.last._replace(venue_unix_ns=update.venue_unix_ns):
            return []
        self.last = update
        return [update]

    def _update(self, oid: int) -> OrderUpdate:
        fills, told_e8, status = self.fills, self.told_e8, self.status
        is_settled = fills.size_e8 == told_e8
        if status.is_final and not self.is_amount_sure and not is_settled:
            # It ended, having filled an amount nobody told: more fills, the answer or a query will tell.
            status, told_e8 = OrderStatus.OPEN, fills.size_e8
            is_settled = True
        if status is OrderStatus.FILLED and told_e8 < self.size_e8:
            status = OrderStatus.CANCELLED  # the rest of an IOC was given back
        return OrderUpdate(
            client_order_id=self.client_order_id,
            venue_order_id=str(oid),
            instrument_id=self.instrument_id,
            status=status,
            size_e8=self.size_e8,
            filled_e8=told_e8,
            average_price_e8=(fills.average_price_e8 if is_settled else self.told_price_e8) or None,
            fee_e8=fills.fee_e8 if is_settled else None,
            reason=self.reason,
            venue_unix_ns=self.unix_ns,
        )


class _PostError(msgspec.Struct, tag_field="type", tag="error"):
    payload: str


class _PostAction(msgspec.Struct, tag_field="type", tag="action"):
    payload: ActionAnswer


class _Post(msgspec.Struct):
    id: int
    response: _PostError | _PostAction


class _Fills(msgspec.Struct):
    fills: list[FillRow]
    user: str = ""
    isSnapshot: bool = False


class _Fundings(msgspec.Struct):
    fundings: list[FundingRow]
    user: str = ""
    isSnapshot: bool = False


class _Subscription(msgspec.Struct):
    type: str
    user: str = ""


class _Acknowledged(msgspec.Struct):
    method: str
    subscription: _Subscription


class _PostFrame(msgspec.Struct, tag_field="channel", tag="post"):
    data: _Post


class _OrdersFrame(msgspec.Struct, tag_field="channel", tag="orderUpdates"):
    data: list[OrderNews]


class _FillsFrame(msgspec.Struct, tag_field="channel", tag="userFills"):
    data: _Fills


class _FundingsFrame(msgspec.Struct, tag_field="channel", tag="userFundings"):
    data: _Fundings


class _AcknowledgedFrame(msgspec.Struct, tag_field="channel", tag="subscriptionResponse"):
    data: _Acknowledged


class _ErrorFrame(msgspec.Struct, tag_field="channel", tag="error"):
    data: str


class _PongFrame(msgspec.Struct, tag_field="channel", tag="pong"):
    pass


_decoder = msgspec.json.Decoder(
    _PostFrame | _OrdersFrame | _FillsFrame | _FundingsFrame | _AcknowledgedFrame | _ErrorFrame | _PongFrame
)


class PrivateStream:
    """The sans-I/O half of ``Trading`` that owns the socket's frames.

    ``instrument_ids`` (coin -> instrument_id) and ``sent`` are shared with its owner and may grow.
    """

    def __init__(self, instrument_ids: Mapping[str, int], sent: SentOrders) -> None:
        self._instrument_ids = instrument_ids
        self._sent = sent
        self._user = ""
        self._awaited: set[str] = set()
        self._ping_due_mono_ns = 0
        self._known: OrderedDict[int, _Known] = OrderedDict()  # by oid, past the order's end
        self._fill_ids: OrderedDict[str, None] = OrderedDict()
        self._fundings: dict[str, dict[int, int]] = {}  # coin -> time -> usdc_e8, since its last fill
        self._filled_unix_ms: dict[str, int] = {}  # coin -> time of its last fill
        self._frames: list[bytes] = []
        self._events: list[PrivateEvent] = []

    def connected(self, user: str, now_mono_ns: int) -> None:
        """A new connection stands: subscribe to everything of one account."""
        self._user = user
        self._frames.clear()
        self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
        self._awaited = set(CHANNELS)
        self._frames += [subscribe_frame("subscribe", type=channel, user=user) for channel in CHANNELS]

    def tick(self, now_mono_ns: int) -> None:
        if now_mono_ns >= self._ping_due_mono_ns:
            self._ping_due_mono_ns = now_mono_ns + PING_INTERVAL_NS
            self._frames.append(PING_FRAME)

    def take_frames(self) -> list[bytes]:
        taken, self._frames = self._frames, []
        return taken

    def take_events(self) -> list[PrivateEvent]:
        taken, self._events = self._events, []
        return taken

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError, and then nothing of it was used."""
        before = len(self._events)
        try:
            if is_binary:
                raise ValueError("a binary frame")
            if frame == GREETING:
                return
            self._take(decode(_decoder, frame), recv_mono_ns)
        except ValueError as error:
            del self._events[before:]
            # An error frame quotes the request it refuses, and with it a signature.
            raise FrameError(NAME, str(error), frame[:40]) from None

    def _take(
        self,
        content: _PostFrame
        | _OrdersFrame
        | _FillsFrame
        | _FundingsFrame
        | _AcknowledgedFrame
        | _ErrorFrame
        | _PongFrame,
        recv_mono_ns: int,
    ) -> None:
        match content:
            case _PostFrame():
                self._take_answer(content.data)
            case _OrdersFrame():
                for news in content.data:
                    _check_order(news)
                for news in content.data:
                    self._take_order(news)
            case _FillsFrame():
                self._take_fills(content.data)
            case _FundingsFrame():
                self._take_fundings(content.data.fundings)
            case _AcknowledgedFrame():
                self._take_acknowledgement(content.data, recv_mono_ns)
            case _ErrorFrame():
                # It quotes what we sent, signature included, and names no request: the text is cut where
                # the quotation begins, and whoever waits for an answer will ask for the order.
                raise ValueError(f"refused: {content.data.partition(':')[0][:80]}")

    def _take_acknowledgement(self, echo: _Acknowledged, recv_mono_ns: int) -> None:
        channel = echo.subscription.type
        if echo.method != "subscribe" or channel not in CHANNELS:
            raise ValueError(f"{echo.method[:20]} of {channel[:40]} acknowledged, never asked for")
        if channel in self._awaited:
            self._awaited.remove(channel)
            if not self._awaited:
                self._events.append(StreamReady(recv_mono_ns))

    # --- answers to posted orders ---

    def _take_answer(self, post: _Post) -> None:
        number, response = post.id, post.response
        if isinstance(response, _PostError):
            self._events.append(post_error_ack(number, response.payload))
            return
        self._events.append(acknowledge(number, response.payload))
        sent = self._sent.get(number)
        if sent is None or response.payload.refusal:
            return
        status_told = response.payload.only_status()
        if isinstance(status_told, Status) and status_told.filled is not None:
            self._take_filled(number, sent, status_told.filled)
        elif isinstance(status_told, Status) and status_told.error is not None:
            self._take_refused(number, sent, status_told.error)

    def _take_filled(self, number: int, sent: Sent, filled: Filled) -> None:
        """What an order took at once: for an IOC its whole fate."""
        size_e8 = exact_e8(filled.totalSz)
        if size_e8 > sent.size_e8:
            raise ValueError(f"order {number} is said to have filled more than it was for")
        known = self._order(filled.oid, number, sent.instrument_id)
        known.size_e8 = sent.size_e8
        known.told_e8 = max(known.told_e8, size_e8)
        known.told_price_e8 = report_e8(filled.avgPx)
        known.is_amount_sure = True
        if not sent.can_rest or size_e8 >= sent.size_e8:
            known.told_e8 = size_e8
            known.status = OrderStatus.FILLED
        self._events += known.news(filled.oid)

    def _take_refused(self, number: int, sent: Sent, text: str) -> None:
        """An IOC that found nothing is over, as an order that was never filled."""
        if errors.of_order(text).code == errors.IOC_FOUND_NOTHING:
            self._events.append(
                OrderUpdate(
                    client_order_id=number,
                    venue_order_id="",
                    instrument_id=sent.instrument_id,
                    status=OrderStatus.CANCELLED,
                    size_e8=sent.size_e8,
                    filled_e8=0,
                    average_price_e8=None,
                    fee_e8=0,
                    reason=text[:80],
                    venue_unix_ns=0,
                )
            )

    # --- updates ---

    def _take_order(self, news: OrderNews) -> None:
        row = news.order
        instrument_id = self._instrument_ids.get(row.coin)
        if instrument_id is None:
            return  # another market of the account: not Tandem's
        number = client_order_id(row.cloid)
        size_e8, left_e8 = exact_e8(row.origSz), exact_e8(row.sz)
        known = self._order(row.oid, number, instrument_id)
        sent, status = self._sent.get(number), order_status(news.status)
        if not known.status.is_final or status.is_final:
            is_answered = known.status.is_final
            known.size_e8, known.status = size_e8, status
            known.reason = "" if status in (OrderStatus.OPEN, OrderStatus.FILLED) else news.status[:40]
            if status is OrderStatus.REJECTED:
                left_e8 = size_e8
            if not is_answered:
                known.told_e8 = max(known.told_e8, size_e8 - left_e8)
                known.is_amount_sure = not (row.reduceOnly or (sent is not None and sent.reduce_only))
        known.unix_ns = news.statusTimestamp * _NS_PER_MS
        self._events += known.news(row.oid)

    def _order(self, oid: int, number: int, instrument_id: int) -> _Known:
        known = self._known.get(oid)
        if known is None:
            known = self._known[oid] = _Known(number, instrument_id)
            if len(self._known) > _ORDERS_KEPT:
                self._known.popitem(last=False)
        return known

    # --- fills ---

    def _take_fills(self, message: _Fills) -> None:
        """A snapshot repeats what was filled long ago: of it only our own orders' fills are news."""
        for row in message.fills:
            _check_fill(row)
        for row in sorted(message.fills, key=lambda row: row.time):
            instrument_id = self._instrument_ids.get(row.coin)
            if instrument_id is None:
                continue
            fill_id = f"{row.coin}:{row.time}:{row.tid}"
            number = client_order_id(row.cloid)
            if fill_id in self._fill_ids or (message.isSnapshot and self._sent.get(number) is None):
                self._note_fill(row)
                continue
            fill = self._fill(row, fill_id, number, instrument_id)
            known = self._order(row.oid, number, instrument_id)
            known.fills.add(row)
            self._fill_ids[fill_id] = None
            if len(self._fill_ids) > _FILLS_KEPT:
                self._fill_ids.popitem(last=False)
            if known.status.is_final:
                self._events += known.news(row.oid)  # first: it completes what the fill is part of
            self._events.append(fill)

    def _fill(self, row: FillRow, fill_id: str, number: int, instrument_id: int) -> Fill:
        return Fill(
            fill_id=fill_id,
            client_order_id=number,
            venue_order_id=str(row.oid),
            instrument_id=instrument_id,
            side=side_of(row.side),
            price_e8=exact_e8(row.px),
            size_e8=exact_e8(row.sz),
            fee_e8=report_e8(row.fee),
            venue_unix_ns=row.time * _NS_PER_MS,
            funding_e8=self._note_fill(row),
        )

    # --- funding: paid every hour by itself, reported with the next fill of the position ---

    def _note_fill(self, row: FillRow) -> int:
        """Funding settled since the last fill of this coin, up to this one."""
        paid = self._fundings.get(row.coin, {})
        due = [time for time in paid if time <= row.time]
        self._filled_unix_ms[row.coin] = max(self._filled_unix_ms.get(row.coin, 0), row.time)
        return sum(paid.pop(time) for time in due)

    def _take_fundings(self, rows: list[FundingRow]) -> None:
        for row in rows:
            if row.coin in self._instrument_ids and row.time > self._filled_unix_ms.get(row.coin, 0):
                self._fundings.setdefault(row.coin, {})[row.time] = report_e8(row.usdc)


def _check_order(news: OrderNews) -> None:
    """ValueError if its figures cannot be: then nothing of its frame is used."""
    row = news.order
    side_of(row.side)
    size_e8, left_e8 = exact_e8(row.origSz), exact_e8(row.sz)
    if left_e8 > size_e8:
        raise ValueError(f"order {row.oid}: {left_e8} of {size_e8} e8 remain")


def _check_fill(row: FillRow) -> None:
    side_of(row.side)
    report_e8(row.fee)
    if not exact_e8(row.px) or not exact_e8(row.sz):
        raise ValueError(f"a fill of {row.sz[:40]} at {row.px[:40]}")


def acknowledge(number: int, answer: ActionAnswer) -> OrderAck:
    """What the answer to a create means for its order. ValueError if it does not name its fate."""
    if refusal := answer.refusal:
        return ack_of(number, errors.of_action(refusal), refusal)
    status = answer.only_status()
    if isinstance(status, str):
        return OrderAck(number, Outcome.ACCEPTED, "", "", status)  # parked: only trigger orders are
    if status.error is not None:
        rule = errors.of_order(status.error)
        if rule.code == errors.IOC_FOUND_NOTHING:
            return OrderAck(number, Outcome.ACCEPTED, "", rule.code, status.error[:200])
        return ack_of(number, rule, status.error)
    accepted = status.filled or status.resting
    if accepted is None:
        raise ValueError("the answer names no fate of the order")
    return OrderAck(number, Outcome.ACCEPTED, str(accepted.oid))
