"""The states of one order, from the instant it is handed to the wire until nobody doubts what it did.

                 ack, OPEN, a fill                       final, amount reported
        SENT ───────────────────────► OPEN ──────────────────────────────────► FILLED
         │ │                          │  ▲                                     CANCELLED
         │ └── silence, lost reply ┐  │  │ the venue knows it                  REJECTED
         │                         ▼  ▼  │                                        ▲
         │                        IN_DOUBT ───────────────────────────────────────┤
         │                           │   final, amount not reported                   │
         ├── never left ► UNSENT     ├──────────────► UNCOUNTED ── query/positions┘
         └── refused ► REJECTED      └── asked often enough, long enough, and the
                                         position did not move ► ABSENT

Only the venue's report ends doubt. ABSENT is the one verdict drawn from its silence, so it is not
believed for ever: an ABSENT order that speaks after all is alive again. A refusal by the answer to its
create alone is the venue's report as well, and yet may have been meant for somebody else: such an order is
asked for until it can no longer come into being, and may explain a position for as long as it is known.

What an order filled is the largest of what the venue reported in total and what single executions add
up to. Both only grow, so doubled, late and reordered messages change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import IntEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from venues.contract import E8, Outcome, Side


class OrderState(IntEnum):
    SENT = 0
    OPEN = 1
    IN_DOUBT = 2
    UNCOUNTED = 3  # over at the venue, which did not say how much it filled
    FILLED = 4
    CANCELLED = 5
    REJECTED = 6
    UNSENT = 7  # certainly never left
    ABSENT = 8  # held to have never reached the venue


_S = OrderState
_VENUE_FINAL: Final = frozenset({_S.FILLED, _S.CANCELLED, _S.REJECTED})
ORDER_STEPS: Final[Mapping[OrderState, Set[OrderState]]] = {
    _S.SENT: {_S.OPEN, _S.IN_DOUBT, _S.UNCOUNTED, _S.UNSENT, *_VENUE_FINAL},
    _S.OPEN: {_S.IN_DOUBT, _S.UNCOUNTED, *_VENUE_FINAL},
    _S.IN_DOUBT: {_S.OPEN, _S.UNCOUNTED, _S.UNSENT, _S.ABSENT, *_VENUE_FINAL},
    _S.UNCOUNTED: {*_VENUE_FINAL},
    _S.FILLED: set(),
    _S.CANCELLED: {_S.FILLED},  # an execution that was reported after the end
    # refused, and yet the venue speaks of it, or holds what it made
    _S.REJECTED: {_S.FILLED, _S.CANCELLED, _S.UNCOUNTED, _S.IN_DOUBT},
    _S.UNSENT: {_S.IN_DOUBT},  # the same for an order we believed unsent
    _S.ABSENT: {_S.OPEN, _S.IN_DOUBT, _S.UNCOUNTED, *_VENUE_FINAL},
}
assert set(ORDER_STEPS) == set(OrderState)

ENDED: Final = frozenset({*_VENUE_FINAL, _S.UNSENT, _S.ABSENT})
DOUBTFUL: Final = frozenset({_S.IN_DOUBT, _S.UNCOUNTED})


class Order(Struct, frozen=True, array_like=True, gc=False):
    """One order and everything the venue has reported about it."""

    client_order_id: int
    leg: int
    side: Side
    size_e8: int
    limit_price_e8: int
    reduce_only: bool
    purpose: Purpose
    attempt: int
    trade_id: int
    sent_mono_ns: int
    gone_mono_ns: int  # from then on it can no longer come into being: the end of its validity
    state: OrderState = OrderState.SENT
    due_mono_ns: int = 0  # silence until then, and the venue is asked
    doubt_mono_ns: int = 0  # since when it is in doubt; 0 when it is not
    venue_order_id: str = ""
    reported_e8: int = 0  # largest cumulative amount reported
    reported_quote_e8: int = 0  # its value at the average price reported with it; 0 when none was reported
    reported_fee_e8: int | None = None
    fill_ids: tuple[str, ...] = ()  # each as ``fill_key`` makes it
    fills_e8: int = 0
    fills_quote_e8: int = 0
    fills_fee_e8: int = 0
    counted_e8: int = 0  # read off the position, where the venue reports no amount
    is_reported: bool = False  # the venue reported the final amount
    is_refused: bool = False  # rejected by the answer to its create alone, not by an update
    questions: int = 0  # queries since it last came into doubt, or since it was refused
    unknown_answers: int = 0  # spaced answers "no such order" since then
    unknown_mono_ns: int = 0  # when the last of them was asked
    late_denials: int = 0  # of them, asked when it could no longer come into being
    retry_after_ns: int = 0  # how long the venue wants to be left alone after refusing it

    @property
    def filled_e8(self) -> int:
        """How much it has filled, as far as is known. Asked dozens of times a step: no calls here."""
        filled_e8 = self.reported_e8 if self.reported_e8 > self.fills_e8 else self.fills_e8
        # Executions reported again under other names, after a reconnect, must not make it larger than it is.
        if filled_e8 > self.size_e8:
            filled_e8 = self.size_e8
        return filled_e8 if self.is_reported or filled_e8 > self.counted_e8 else self.counted_e8

    @property
    def leaves_e8(self) -> int:
        return max(0, self.size_e8 - self.filled_e8)

    @property
    def signed_filled_e8(self) -> int:
        return self.side * self.filled_e8

    @property
    def quote_e8(self) -> int:
        """Value of what it filled; what was reported without a price is valued at the limit."""
        filled_e8 = self.filled_e8
        if self.fills_e8 == filled_e8:  # exact, where an average reported with the total is rounded
            return self.fills_quote_e8
        if self.reported_quote_e8 and self.reported_e8 == filled_e8:
            return self.reported_quote_e8
        return self.fills_quote_e8 + (filled_e8 - self.fills_e8) * self.limit_price_e8 // E8

    @property
    def fee_e8(self) -> int:
        return max(self.reported_fee_e8 or 0, self.fills_fee_e8, key=abs)

    @property
    def is_accounted(self) -> bool:
        """Whether price and fee of everything it filled were reported. Until then they are estimates."""
        filled_e8 = self.filled_e8
        if self.fills_e8 == filled_e8:
            return True
        return (
            bool(self.reported_quote_e8)
            and self.reported_e8 == filled_e8
            and self.reported_fee_e8 is not None
        )

    @property
    def is_certain(self) -> bool:
        """Whether its amount is the venue's own report and not our conclusion from its silence, or from
        an answer that may have been meant for another."""
        is_reported = self.is_reported and not self.is_refused
        return is_reported or self.fills_e8 >= self.size_e8 or self.state is OrderState.UNSENT


def moved(order: Order, state: OrderState, now_mono_ns: int) -> Order:
    """The order in another state, its doubt started or ended. AssertionError off the table."""
    if state is order.state:
        return order
    assert state in ORDER_STEPS[order.state], f"{order.state.name} -> {state.name}"
    order = replace(order, state=state)
    if state not in DOUBTFUL:
        return replace(order, doubt_mono_ns=0)
    if order.doubt_mono_ns:
        return order
    return replace(
        order,
        doubt_mono_ns=now_mono_ns,
        due_mono_ns=now_mono_ns,
        questions=0,
        unknown_answers=0,
        unknown_mono_ns=0,
        late_denials=0,
    )


def after_ack(order: Order, outcome: Outcome, *, now_mono_ns: int, wait_ns: int) -> Order:
    """What the direct answer to its create makes of an order."""
    match outcome:
        case Outcome.ACCEPTED:
            return known_open(order, now_mono_ns, wait_ns)
        case Outcome.REFUSED if order.state in (OrderState.SENT, OrderState.IN_DOUBT):
            if order.filled_e8:  # refused, yet executions were reported: believe neither, ask
                return moved(order, OrderState.IN_DOUBT, now_mono_ns)
            asked_anew = {"due_mono_ns": now_mono_ns, "questions": 0, "unknown_answers": 0, "late_denials": 0}
            order = replace(order, is_reported=True, is_refused=True, unknown_mono_ns=0, **asked_anew)
            return moved(order, OrderState.REJECTED, now_mono_ns)
        case Outcome.REFUSED if order.state is OrderState.OPEN:
            return moved(order, OrderState.IN_DOUBT, now_mono_ns)
        case Outcome.IN_DOUBT if order.state is OrderState.SENT:
            return moved(order, OrderState.IN_DOUBT, now_mono_ns)
    return order


def is_fill_of(order: Order, *, leg: int, side: Side, size_e8: int) -> bool:
    """Whether an execution can be one of this order's."""
    return (leg, side) == (order.leg, order.side) and size_e8 <= order.size_e8


def after_not_sent(order: Order, now_mono_ns: int) -> Order:
    """The wire says that no byte of it left."""
    if order.state not in (OrderState.SENT, OrderState.IN_DOUBT):
        return order  # the venue spoke of it, so it did leave
    if order.filled_e8:
        return moved(order, OrderState.IN_DOUBT, now_mono_ns)
    return moved(order, OrderState.UNSENT, now_mono_ns)


def after_unknown(order: Order, *, asked_mono_ns: int, spacing_ns: int) -> Order:
    """The venue answered that it does not know the order. Only spaced answers count, and the first one
    past its validity, whatever was answered shortly before."""
    if order.state is not OrderState.IN_DOUBT and not order.is_refused:
        return order
    if asked_mono_ns < order.doubt_mono_ns:
        return order
    is_late = asked_mono_ns >= order.gone_mono_ns
    has_one_to_space_from = order.late_denials > 0 if is_late else order.unknown_answers > 0
    if has_one_to_space_from and asked_mono_ns < order.unknown_mono_ns + spacing_ns:
        return order
    return replace(
        order,
        unknown_answers=order.unknown_answers + 1,
        unknown_mono_ns=asked_mono_ns,
        late_denials=order.late_denials + is_late,
    )


def after_difference(order: Order, filled_e8: int, now_mono_ns: int) -> Order:
    """A position nobody can explain otherwise reports that an order which is over filled after all."""
    assert order.state in ENDED, "what is under way is not explained by a position"
    assert 0 <= filled_e8 <= order.size_e8, "an order fills no more than its size"
    state = OrderState.FILLED if filled_e8 == order.size_e8 else OrderState.CANCELLED
    order = replace(order, counted_e8=filled_e8, is_reported=False, is_refused=False)
    return moved(order, state, now_mono_ns)


def is_refusal_open(order: Order) -> bool:
    """Whether an order that only the answer to its create called refused may still come into being: until
    the venue does not know it at a time when it could no longer take it."""
    return order.is_refused and not order.late_denials


def after_count(order: Order, filled_e8: int, now_mono_ns: int) -> Order:
    """The position reported how much a doubtful order filled."""
    assert order.filled_e8 <= filled_e8 <= order.size_e8
    order = replace(order, counted_e8=filled_e8)
    if filled_e8 == 0 and order.state is OrderState.IN_DOUBT:
        return moved(order, OrderState.ABSENT, now_mono_ns)
    return ended(order, OrderState.CANCELLED, now_mono_ns)


def known_open(order: Order, now_mono_ns: int, wait_ns: int) -> Order:
    """The venue has it. An order that was over by the venue's own report stays over."""
    match order.state:
        case OrderState.SENT | OrderState.IN_DOUBT | OrderState.ABSENT:
            order = moved(order, OrderState.OPEN, now_mono_ns)
            return replace(order, due_mono_ns=now_mono_ns + wait_ns)
        case OrderState.REJECTED | OrderState.UNSENT if order.is_refused or not order.is_reported:
            order = replace(order, is_reported=False, is_refused=False)
            return moved(order, OrderState.IN_DOUBT, now_mono_ns)
    return order


def ended(order: Order, state: OrderState, now_mono_ns: int) -> Order:
    assert state in ENDED, f"{state.name} is no end"
    if order.filled_e8 >= order.size_e8:
        state = OrderState.FILLED
    if state not in ORDER_STEPS[order.state]:
        return order  # it had ended before; the numbers are merged all the same
    return moved(order, state, now_mono_ns)


class Purpose(IntEnum):
    """Why an order is sent; also its class in the venue's rate budget."""

    ENTRY = 0
    COMPLETE = 1  # bring the shorter leg up to the longer one
    UNWIND = 2  # bring the longer leg down to the shorter one; always reduce-only
    EXIT = 3  # close a leg; always reduce-only
