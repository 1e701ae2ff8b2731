"""One step under way: the state so far and the commands so far.

``machine.step`` makes a ``Transition``, its rules write into it, and what it holds at the end is the
answer. It never outlives the step, so the machine as a whole stays a pure function.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from events.event import Event
from events.orders import (
    LegAcked,
    LegCancelled,
    LegCorrected,
    LegFilled,
    LegRejected,
    LegResolved,
    LegUnknown,
)
from events.positions import Halted
from events.trades import TradeCorrected
from executor.pair.client_order_id import leg_of
from executor.pair.messages import At, Cancel, Command, Query, Send
from executor.pair.order import DOUBTFUL, ENDED, Order, OrderState, Purpose, is_refusal_open
from executor.pair.order_facts import about_leg, about_order, fate
from executor.pair.rules import PairRules
from executor.pair.state import (
    OWED_ORDERS,
    PAST_ORDERS,
    Halt,
    Leg,
    PairState,
    Plan,
    Trade,
    is_estimated,
    next_client_order_id,
    result_of,
)
from venues.contract import E8, PAR_E8, Side, converted_e8


class Transition:
    """The scratch pad of one step."""

    __slots__ = ("before", "markets", "now_mono_ns", "others", "rate_e8", "rules", "sends", "state")

    def __init__(self, rules: PairRules, state: PairState, at: At) -> None:
        self.rules = rules
        self.before = self.state = state
        self.now_mono_ns = at.now_mono_ns
        self.markets = at.markets
        # Not known now: the one that the trade began with is nearer than none.
        self.rate_e8 = at.rate_e8 or (state.trade.rate_e8 if state.trade else PAR_E8)
        self.sends: list[Send] = []
        self.others: list[Command] = []

    # --- changing the state ---

    def change(self, **fields: Any) -> None:
        self.state = replace(self.state, **fields)

    def change_leg(self, leg: int, **fields: Any) -> None:
        assert leg in (0, 1), "a pair has two legs"
        first, second = self.state.legs
        if leg == 0:
            first = replace(first, **fields)
        else:
            second = replace(second, **fields)
        self.state = replace(self.state, legs=(first, second))

    def change_trade(self, **fields: Any) -> None:
        assert self.state.trade is not None
        self.state = replace(self.state, trade=replace(self.state.trade, **fields))

    def distrust_reads(self, leg: int) -> None:
        """Something changed on the leg: positions asked for before now say nothing about it."""
        self._forget_reads(leg, self.now_mono_ns)

    def doubt_position(self, leg: int) -> None:
        """The venue is asked at once what the leg holds; until it confirms that, nothing is opened."""
        self._forget_reads(leg, self.now_mono_ns)
        self.change_leg(leg, is_verified=False)
        self.change(next_read_mono_ns=self.now_mono_ns)

    def _forget_reads(self, leg: int, changed_mono_ns: int) -> None:
        self.change_leg(leg, changed_mono_ns=changed_mono_ns, reads=0, disputed_mono_ns=0)

    # --- orders ---

    def live_orders(self) -> list[Order]:
        return [order for leg in self.state.legs for order in leg.live]

    def open_refusals(self) -> list[Order]:
        """Orders that only the answer to their create called refused, and that may yet have been taken."""
        return [order for leg in self.state.legs for order in open_refusals(leg)]

    def find(self, client_order_id: int) -> Order | None:
        """One of our orders, live or past; None for a stranger's or a long forgotten one."""
        leg = self.state.legs[leg_of(client_order_id)]
        for order in (*leg.live, *leg.past):
            if order.client_order_id == client_order_id:
                return order
        return None

    def send(
        self,
        *,
        leg: int,
        side: Side,
        size_e8: int,
        limit_price_e8: int,
        purpose: Purpose,
        attempt: int,
        trade_id: int,
    ) -> None:
        """Add an order to the batch, with a fresh id. Whatever shrinks a position is reduce-only."""
        assert size_e8 > 0
        assert limit_price_e8 > 0, "an order has a size and a limit"
        assert attempt >= 0
        assert trade_id > 0, "an order belongs to a trade"
        reduce_only = is_reducing(purpose)
        order = Order(
            client_order_id=next_client_order_id(self.rules, self.state, leg),
            leg=leg,
            side=side,
            size_e8=size_e8,
            limit_price_e8=limit_price_e8,
            reduce_only=reduce_only,
            purpose=purpose,
            attempt=attempt,
            trade_id=trade_id,
            sent_mono_ns=self.now_mono_ns,
            gone_mono_ns=self.now_mono_ns + self.rules.appear_ns,
            state=OrderState.SENT,
            due_mono_ns=self.now_mono_ns + self.rules.reply_timeout_ns,
        )
        before = self.state.legs[leg]
        self.change_leg(leg, live=(*before.live, order), sequence=before.sequence + 1)
        self.sends.append(
            Send(
                client_order_id=order.client_order_id,
                leg=leg,
                side=side,
                size_e8=size_e8,
                limit_price_e8=limit_price_e8,
                reduce_only=reduce_only,
                purpose=purpose,
                attempt=attempt,
            )
        )

    def query(self, order: Order) -> None:
        self.others.append(Query(order.client_order_id, order.leg, order.venue_order_id))

    def cancel(self, order: Order) -> None:
        self.others.append(Cancel(order.client_order_id, order.leg, order.venue_order_id))

    def put(self, old: Order, new: Order, **reported: Any) -> None:
        """Replace an order by what it has become: position, trade and events follow.

        reported: what the venue reported with it, for the events.
        """
        if new == old:
            return
        assert new.client_order_id == old.client_order_id
        assert new.leg == old.leg, "an order stays the same one"
        assert new.filled_e8 <= new.size_e8, "an order fills no more than its size"
        leg = self.state.legs[old.leg]
        was_live = old in leg.live
        self._account(old, new)
        if was_live:
            self.change_leg(old.leg, live=_replaced(leg.live, old, new))
        elif new.state in ENDED:
            moved_e8 = new.signed_filled_e8 - old.signed_filled_e8
            self.change_leg(
                old.leg, past=_replaced(leg.past, old, new), position_e8=leg.position_e8 + moved_e8
            )
        else:  # it was written off, and it lives: nothing else may be sent before it has ended
            self.change_leg(
                old.leg,
                past=_replaced(leg.past, old),
                live=(*leg.live, new),
                position_e8=leg.position_e8 - old.signed_filled_e8,
            )
        if new.filled_e8 == old.filled_e8 and new.state is OrderState.IN_DOUBT:
            if old.state is not OrderState.IN_DOUBT:  # what was read before it was sent knows nothing of it
                self._forget_reads(old.leg, max(leg.changed_mono_ns, new.sent_mono_ns))
        elif new.filled_e8 != old.filled_e8 or (new.state is not old.state and not _moved_nothing(old, new)):
            self.distrust_reads(old.leg)
        if new.filled_e8 != old.filled_e8:
            self.change_leg(old.leg, filled_mono_ns=self.now_mono_ns)
        if new.state is OrderState.UNCOUNTED and old.state is not OrderState.UNCOUNTED:
            self.change(next_read_mono_ns=self.now_mono_ns)  # the position is all there is to ask
        if has_closed_nothing(new) and not has_closed_nothing(old):
            self.change(next_read_mono_ns=self.now_mono_ns)  # is there anything to close?
        if is_laid_to_rest(old, new) or (new.is_refused and not old.is_refused):
            self.have_confirmed(old.leg)
        self._report_change(old, new, reported)
        self._correct_closed_trade(old, new)

    def have_confirmed(self, leg: int) -> None:
        """Have the venue say what the leg holds before anything is opened."""
        self.distrust_reads(leg)
        self.change_leg(leg, is_to_confirm=True)
        self.change(next_read_mono_ns=self.now_mono_ns)

    def retire_ended(self) -> None:
        """Move the live orders that ended to the past and into the position."""
        for number, leg in enumerate(self.state.legs):
            if not leg.live:
                continue
            ended = tuple(order for order in leg.live if order.state in ENDED)
            if not ended:
                continue
            self.change_leg(
                number,
                live=tuple(order for order in leg.live if order.state not in ENDED),
                past=_remembered((*leg.past, *ended)),
                position_e8=leg.position_e8 + sum(order.signed_filled_e8 for order in ended),
            )
            assert all(order.leg == number for order in ended), "a leg holds its own orders alone"
            self.change(settled_mono_ns=self.now_mono_ns)
            wait_ns = min(max(order.retry_after_ns for order in ended), self.rules.retry_after_max_ns)
            if wait_ns:
                self.change_leg(number, not_before_mono_ns=self.now_mono_ns + wait_ns)

    # --- trade ---

    def ensure_trade(self, trade_id: int, direction: int) -> Trade:
        """The current trade; a late execution without one begins it again under its old id."""
        if self.state.trade is None or self.state.trade.closed_mono_ns:
            assert direction in (1, -1), "a trade is long on one leg"
            trade = self.state.trade or Trade(trade_id, direction, 0, 0.0, (0, 0), rate_e8=self.rate_e8)
            self.change(trade=replace(trade, closed_mono_ns=0))
        assert self.state.trade is not None
        return self.state.trade

    def book(self, leg: int, side: Side, size_e8: int, quote_e8: int, fee_e8: int) -> None:
        """Add to what the current trade has bought or sold on a leg."""
        assert self.state.trade is not None
        books = list(self.state.trade.books)
        book = books[leg]
        if side is Side.BUY:
            book = replace(
                book, bought_e8=book.bought_e8 + size_e8, bought_quote_e8=book.bought_quote_e8 + quote_e8
            )
        else:
            book = replace(book, sold_e8=book.sold_e8 + size_e8, sold_quote_e8=book.sold_quote_e8 + quote_e8)
        books[leg] = replace(book, fee_e8=book.fee_e8 + fee_e8)
        self.change_trade(books=(books[0], books[1]))

    def _account(self, old: Order, new: Order) -> None:
        size_e8 = new.filled_e8 - old.filled_e8
        quote_e8, fee_e8 = new.quote_e8 - old.quote_e8, new.fee_e8 - old.fee_e8
        if size_e8:
            self.ensure_trade(old.trade_id, old.side if old.leg == 0 else -old.side)
        # Whatever the pair holds belongs to its current trade; a price or fee that comes after the books
        # were closed corrects them.
        trade = self.state.trade
        if trade is not None and (size_e8 or (trade.trade_id == old.trade_id and (quote_e8 or fee_e8))):
            self.book(old.leg, old.side, size_e8, quote_e8, fee_e8)

    def _correct_closed_trade(self, old: Order, new: Order) -> None:
        """Put into a trade whose books are closed what is reported late about an order of it."""
        trade = self.state.trade
        if new.filled_e8 != old.filled_e8 or (trade is not None and trade.trade_id == old.trade_id):
            return  # booked in the current trade
        was = next((trade for trade in self.state.closed if trade.trade_id == old.trade_id), None)
        gross_e8, fees_e8 = old.side * (old.quote_e8 - new.quote_e8), new.fee_e8 - old.fee_e8
        if was is None or (not gross_e8 and not fees_e8 and old.is_accounted == new.is_accounted):
            return
        if new.leg == 1:
            gross_e8, fees_e8 = converted_e8(gross_e8, was.rate_e8), converted_e8(fees_e8, was.rate_e8)
        was_estimated = is_estimated(self.state, was) or not old.is_accounted
        now = replace(was, gross_e8=was.gross_e8 + gross_e8, fees_e8=was.fees_e8 + fees_e8)
        self.change(closed=tuple(now if trade is was else trade for trade in self.state.closed))
        self.others.append(
            TradeCorrected(
                **result_of(self.rules, self.state, now, self.now_mono_ns),
                was_estimated=was_estimated,
                gross_change_e8=gross_e8,
                fees_change_e8=fees_e8,
                net_change_e8=gross_e8 - fees_e8,
                **about_leg(self.rules, new.leg),
                client_order_id=new.client_order_id,
            )
        )

    # --- events ---

    def report(self, kind: type[Event], **fields: Any) -> None:
        """Report an event of this pair and of its trade, unless ``trade_id`` names another."""
        trade_id = fields.pop("trade_id", 0) or self.trade_id
        self.others.append(kind(pair=self.rules.pair, trade_id=trade_id, **fields))

    def report_leg(self, kind: type[Event], leg: int, **fields: Any) -> None:
        """The same of one leg."""
        self.report(kind, **about_leg(self.rules, leg), **fields)

    @property
    def trade_id(self) -> int:
        """Of the current trade; 0 without one."""
        return self.state.trade.trade_id if self.state.trade else 0

    def _report_change(self, old: Order, new: Order, reported: dict[str, Any]) -> None:
        facts = {**about_order(self.rules, new), **fate(new)}
        facts.update((name, value) for name, value in reported.items() if value not in ("", None))
        report, reported_before = self.others.append, len(self.others)
        if new.state is not old.state:
            if new.state in DOUBTFUL:
                if old.state not in DOUBTFUL:
                    report(LegUnknown(**facts))
            elif old.state in DOUBTFUL or old.state is OrderState.ABSENT:
                asked_ns = self.now_mono_ns - (old.doubt_mono_ns or old.sent_mono_ns)
                report(LegResolved(doubt_ms=asked_ns / 1e6, questions=old.questions, **facts))
            elif new.state is OrderState.OPEN:
                report(LegAcked(**facts))
        if new.filled_e8 != old.filled_e8:
            report(LegFilled(**facts))
        if new.state is not old.state:
            if new.state is OrderState.CANCELLED:
                report(LegCancelled(**facts))
            elif new.state in (OrderState.REJECTED, OrderState.UNSENT):
                report(LegRejected(**facts))
        if len(self.others) == reported_before and _account_of(new) != _account_of(old):
            report(LegCorrected(**facts))


def _account_of(order: Order) -> tuple[int, int, bool]:
    return order.quote_e8, order.fee_e8, order.is_accounted


def _remembered(past: tuple[Order, ...]) -> tuple[Order, ...]:
    """The newest ended orders, and of older ones those whose price or fee is not known yet."""
    assert all(order.state in ENDED for order in past), "what is under way is not past"
    owed = tuple(order for order in past[:-PAST_ORDERS] if not order.is_accounted)
    return (*owed[-OWED_ORDERS:], *past[-PAST_ORDERS:])


def _replaced(orders: tuple[Order, ...], old: Order, new: Order | None = None) -> tuple[Order, ...]:
    return tuple(kept for order in orders if (kept := new if order is old else order) is not None)


def _moved_nothing(old: Order, new: Order) -> bool:
    """Whether an order's new state leaves the position where it was before it: reads of it stay true."""
    if new.filled_e8 or old.state not in (OrderState.SENT, OrderState.OPEN):
        return False
    return new.state is OrderState.OPEN or (new.state in ENDED and new.is_certain)


def has_closed_nothing(order: Order) -> bool:
    """Whether a venue did not fill an order that was to shrink a position: perhaps none is left."""
    return (
        order.reduce_only
        and order.state in (OrderState.REJECTED, OrderState.CANCELLED)
        and order.is_reported
        and not order.filled_e8
    )


def is_reducing(purpose: Purpose) -> bool:
    """Whether an order may only shrink a position."""
    return purpose in (Purpose.EXIT, Purpose.UNWIND)


def leg_is_ready(rules: PairRules, leg: Leg) -> bool:
    """Whether what happens on the leg is received, its position confirmed, its grid known, and nothing on its
    way to it."""
    is_confirmed = leg.is_stream_up and leg.is_verified and not leg.is_to_confirm
    return is_confirmed and is_grid_known(leg) and not (leg.past and open_refusals(leg))


def is_grid_known(leg: Leg) -> bool:
    """Whether the venue has not complained of a price or a size since it published what it takes."""
    return not leg.grid_doubted_mono_ns


def open_refusals(leg: Leg) -> list[Order]:
    """Orders on the leg that only the answer to their create called refused: another one that opens could
    come on top of them."""
    return [order for order in leg.past if is_refusal_open(order)]


def is_laid_to_rest(old: Order, new: Order) -> bool:
    """Whether a refused order is known by now to come into being no more."""
    return is_refusal_open(old) and not is_refusal_open(new)


def have_confirmed(transition: Transition) -> None:
    """What was mended or closed is known by the fills of single orders; now the venues say what is held."""
    for number in (0, 1):
        transition.have_confirmed(number)


def adopt_plan(transition: Transition, plan: Plan) -> None:
    """Change the plan; its tries are counted anew."""
    if transition.state.plan is not plan:
        transition.change(plan=plan, attempt=0)


def halt(transition: Transition, reason: Halt) -> None:
    """HALTED until the operator says otherwise, with the exact exposure in the alert."""
    assert reason is not Halt.NONE, "a halt has a reason"
    if transition.state.halt is reason:
        return
    transition.change(halt=reason)
    log_halted(transition)


def log_halted(transition: Transition) -> None:
    """What the pair holds as we know it, and beside it what the venues showed last: None before a read."""
    legs = transition.state.legs
    first, second = (leg.read_e8 if leg.reads else None for leg in legs)
    transition.report(
        Halted,
        reason=transition.state.halt.name.lower(),
        **exposure(transition),
        venue_positions_e8=(first, second),
    )


def exposure(transition: Transition) -> dict[str, Any]:
    """What the pair holds, and what may come on top of it from orders not yet known to be over."""
    held = [leg.held_e8 for leg in transition.state.legs]
    under_way = [sum(order.side * order.leaves_e8 for order in leg.live) for leg in transition.state.legs]
    touches = [leg.bid_e8 or leg.ask_e8 for leg in transition.state.legs]
    return {
        "positions_e8": (held[0], held[1]),
        "under_way_e8": (under_way[0], under_way[1]),
        "net_e8": sum(held),
        "net_notional_e8": abs(sum(held)) * max(touches) // E8,
    }
