"""Restores what is held from the journal: the executor's events, folded into one ``CarriedPair`` per pair.

The executor reports ``holding`` after every change of what a pair holds, and every order from its intent
to its end. Folding those events in order gives the last known position of each leg, its price and
trade, and the orders whose end was never reported. ``journal_checkpoint`` is such a fold written down: every
journal file begins with one, so a start reads only the newest file, and older files may be removed.

The same fold reads the ``events`` table of the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeVar

from msgspec import UNSET, convert, to_builtins

from events.codec import NotAnEvent, Reported, UnknownEvent, decode
from events.fills import FillReported, FundingRead
from events.orders import IntentWritten, OrderChanged, OrderEvent
from events.persistence import CheckpointPair, JournalCheckpoint
from events.positions import HoldingChanged
from events.trades import TradeClosed, TradeCorrected, TradeResult, TradeRetold
from persistence.journal import JournalEntry, files, read_file
from runtime.carried_positions import (
    CarriedFunding,
    CarriedOrder,
    CarriedPair,
    CarriedResult,
    pair_from,
    plain,
)
from runtime.clock import NS_PER_MS
from venues.contract import PAR_E8

SOURCE: Final = "persistence"  # whose events checkpoints are
EXECUTOR: Final = "executor"
_REDUCING: Final = frozenset({"exit", "unwind"})
_REPORTERS: Final = frozenset({SOURCE, EXECUTOR})
_RESULTS: Final = (TradeClosed, TradeCorrected, TradeRetold)
_HELD_BY: Final = (IntentWritten, OrderChanged, HoldingChanged, *_RESULTS, FillReported, FundingRead)
_DAY_MS: Final = 86_400_000
_E8: Final = 10**8
_OWED_MAX: Final = 64  # older orders whose price or fee never came are given up, and their trades with them
_FUNDING_MAX: Final = 32  # older questions about funding are given up: some venues never answer them
T = TypeVar("T")


class Holdings:
    """The fold. ``pairs`` by id; ``told_unix_ms`` is the time of the newest event folded in."""

    def __init__(self) -> None:
        self.pairs: dict[str, CarriedPair] = {}
        self.told_unix_ms = 0
        self.broken: list[str] = []  # events that were not what their name promises

    def held(self) -> list[CarriedPair]:
        """The pairs that matter to a later run: with a position, an order that is open or lacks its price or
        fee, a result of the day, or funding still to be asked for."""
        return [
            pair
            for pair in self.pairs.values()
            if is_held(pair) or pair.result_e8 or pair.best_e8 or pair.funding_due or pair.unaccounted
        ]

    def adopt(self, other: Holdings) -> None:
        """Take over another fold's content in place of our own."""
        self.pairs, self.told_unix_ms = dict(other.pairs), other.told_unix_ms
        self.broken += other.broken

    def checkpoint(self, bot_id: str, mode: str) -> JournalCheckpoint:
        """The fold as an event."""
        pairs = convert([plain(pair) for pair in self.held()], tuple[CheckpointPair, ...])
        return JournalCheckpoint(bot_id=bot_id, mode=mode, told_unix_ms=self.told_unix_ms, pairs=pairs)

    def take_entry(self, entry: JournalEntry) -> None:
        """Fold in a journalled event; those of processes that hold nothing are not parsed."""
        self.take_line(entry.source, entry.payload)

    def take_line(self, source: str, payload: bytes) -> None:
        """Fold in one line. An unreadable one is kept in ``broken`` and skipped: a start that knows the rest
        is better than none, and the venues decide in the end."""
        if source not in _REPORTERS:
            return
        try:
            self.take(decode(payload))
        except UnknownEvent:
            return  # of a version that had more types
        except NotAnEvent as error:
            self.broken.append(f"{error} in {payload[:300].decode(errors='replace')}")

    def take(self, reported: Reported) -> None:
        """Fold in one event."""
        event = reported.event
        if isinstance(event, JournalCheckpoint):
            self.pairs = {pair.pair: pair_from(to_builtins(pair)) for pair in event.pairs}
            self.told_unix_ms = max(event.told_unix_ms, self.told_unix_ms)
            return
        if reported.proc != EXECUTOR or not isinstance(event, _HELD_BY):
            return
        before = self.pairs.get(event.pair, CarriedPair(event.pair))
        after = _after(before, reported)
        if after is not before:
            self.told_unix_ms = reported.unix_ms
            self.pairs[event.pair] = after._replace(told_unix_ms=self.told_unix_ms)
            if isinstance(event, _RESULTS):
                best_e8 = self._best_e8(after.result_day)
                self.pairs[event.pair] = self.pairs[event.pair]._replace(best_e8=best_e8)

    def _best_e8(self, day: int) -> int:
        """The highest result that all pairs together have had on a day."""
        parts = [pair for pair in self.pairs.values() if pair.result_day == day]
        return max(0, sum(pair.result_e8 for pair in parts), *(pair.best_e8 for pair in parts))


def is_held(pair: CarriedPair) -> bool:
    """Whether the pair has a position, or an order whose end is not known."""
    return pair.sizes_e8 != (0, 0) or bool(pair.orders)


def holdings_of(directory: Path) -> Holdings:
    """The holdings at the journal's end. Reads from the newest checkpoint on.

    Raises JournalError for a file that is no journal.
    """
    paths = files(directory)
    start = len(paths)
    while start > 0:
        start -= 1
        if any(_is_checkpoint(entry) for entry in read_file(paths[start])):
            break
    holdings = Holdings()
    for path in paths[start:]:
        for entry in read_file(path):
            holdings.take_entry(entry)
    return holdings


def fold(reported: Iterable[Reported]) -> Holdings:
    """Fold events, oldest first."""
    holdings = Holdings()
    for one in reported:
        holdings.take(one)
    return holdings


def _is_checkpoint(entry: JournalEntry) -> bool:
    if entry.source != SOURCE or JournalCheckpoint.name().encode() not in entry.payload:
        return False
    try:
        return isinstance(decode(entry.payload).event, JournalCheckpoint)
    except NotAnEvent:  # passed over, as ``take_line`` does
        return False


def _after(pair: CarriedPair, reported: Reported) -> CarriedPair:
    event = reported.event
    match event:
        case IntentWritten():
            return _with_intent(pair, event, reported.unix_ms)
        case HoldingChanged():
            return _with_holding(pair, event, reported)
        case TradeClosed():
            return _with_result(pair, event, reported.unix_ms)
        case TradeResult():
            return _with_correction(pair, event, reported.unix_ms)
        case FillReported():
            pair = _with_fill(pair, event)
            if event.is_funding_due is not True:
                return pair
            due = CarriedFunding(event.leg, event.client_order_id, event.venue_order_id)
            return pair._replace(funding_due=(*_without(pair, due.client_order_id), due)[-_FUNDING_MAX:])
        case FundingRead():
            return pair._replace(funding_due=_without(pair, event.client_order_id))
        case OrderChanged():
            return _with_order(pair, event, reported.unix_ms)
    return pair


def _without(pair: CarriedPair, client_order_id: int) -> tuple[CarriedFunding, ...]:
    return tuple(due for due in pair.funding_due if due.client_order_id != client_order_id)


def _with_intent(pair: CarriedPair, event: IntentWritten, unix_ms: int) -> CarriedPair:
    order = _order(event, event.size_e8, event.limit_price_e8, unix_ms, reduce_only=event.reduce_only)
    direction = _sign(order.side) * (1 if order.leg == 0 else -1)
    if order.purpose == "entry":  # whatever else is held, a remainder or layers, is of its trade
        pair = pair._replace(trade_id=order.trade_id, direction=direction)
    legs = _put(pair.legs, order.leg, f"{event.venue}:{event.symbol}")
    return pair._replace(legs=legs, orders=(*pair.orders, order))


def _order(
    event: OrderEvent, size_e8: int, limit_price_e8: int, unix_ms: int, *, reduce_only: bool
) -> CarriedOrder:
    return CarriedOrder(
        client_order_id=event.client_order_id,
        leg=event.leg,
        side=event.side,
        size_e8=size_e8,
        limit_price_e8=limit_price_e8,
        reduce_only=reduce_only,
        purpose=event.purpose,
        attempt=event.attempt,
        trade_id=event.trade_id,
        sent_unix_ms=unix_ms,
    )


def _with_order(pair: CarriedPair, event: OrderChanged, unix_ms: int) -> CarriedPair:
    """An order's change. What it filled counts at once: the ``holding`` that follows may be lost."""
    client_order_id = event.client_order_id
    before = next((order for order in pair.orders if order.client_order_id == client_order_id), None)
    if event.is_ended:
        pair = _with_account(pair, before, event, unix_ms)
    if before is None and event.is_ended:
        return pair  # ended long ago; a late change is reported by ``holding``
    if before is None:  # killed between its bytes and its intent's event, or still open after all
        before = _order(event, event.size_e8, 0, unix_ms, reduce_only=event.purpose in _REDUCING)
        pair = pair._replace(orders=(*pair.orders, before))
    after = _updated(before, event)
    others = tuple(order for order in pair.orders if order is not before)
    pair = pair._replace(orders=others if event.is_ended else (*others, after))
    filled_e8 = after.filled_e8 - before.filled_e8
    if not filled_e8:
        return pair
    leg = before.leg
    if not pair.entry_prices_e8[leg]:
        prices_e8 = _put(pair.entry_prices_e8, leg, after.average_price_e8)
        pair = pair._replace(entry_prices_e8=prices_e8)
    size_e8 = pair.sizes_e8[leg] + _sign(before.side) * filled_e8
    fees_e8 = _put(pair.fees_e8, leg, pair.fees_e8[leg] + after.fee_e8 - before.fee_e8)
    return pair._replace(sizes_e8=_put(pair.sizes_e8, leg, size_e8), fees_e8=fees_e8)


def _updated(order: CarriedOrder, event: OrderChanged) -> CarriedOrder:
    return order._replace(
        state=event.order_state,
        venue_order_id=event.venue_order_id,
        filled_e8=event.filled_e8,
        average_price_e8=event.average_price_e8,
        fee_e8=event.fee_e8,
    )


def _with_account(
    pair: CarriedPair, before: CarriedOrder | None, event: OrderChanged, unix_ms: int
) -> CarriedPair:
    """Remember an order that is over for as long as its price or fee is an estimate, and no longer."""
    client_order_id = event.client_order_id
    others = tuple(order for order in pair.unaccounted if order.client_order_id != client_order_id)
    if not event.is_estimated:
        return pair if len(others) == len(pair.unaccounted) else pair._replace(unaccounted=others)
    known = next((order for order in pair.unaccounted if order.client_order_id == client_order_id), before)
    if known is None:
        known = _order(event, event.size_e8, 0, unix_ms, reduce_only=event.purpose in _REDUCING)
    return pair._replace(unaccounted=(*others, _updated(known, event))[-_OWED_MAX:])


def _with_fill(pair: CarriedPair, event: FillReported) -> CarriedPair:
    """Count an execution in its order, once, while that one is under way or not accounted for."""

    def counted(order: CarriedOrder) -> CarriedOrder:
        if order.client_order_id != event.client_order_id or event.fill_id in order.fill_ids:
            return order
        return order._replace(
            fill_ids=(*order.fill_ids, event.fill_id),
            fills_e8=order.fills_e8 + event.size_e8,
            fills_quote_e8=order.fills_quote_e8 + event.size_e8 * event.price_e8 // _E8,
            fills_fee_e8=order.fills_fee_e8 + event.fee_e8,
        )

    orders, unaccounted = tuple(map(counted, pair.orders)), tuple(map(counted, pair.unaccounted))
    if orders == pair.orders and unaccounted == pair.unaccounted:
        return pair
    return pair._replace(orders=orders, unaccounted=unaccounted)


def _with_holding(pair: CarriedPair, event: HoldingChanged, reported: Reported) -> CarriedPair:
    first, second = event.legs
    # The end of an order that is over may never have been reported: killed before its event.
    live = event.live
    age_ms = (reported.mono_ns - event.opened_mono_ns) // NS_PER_MS
    return pair._replace(
        legs=(f"{first.venue}:{first.symbol}", f"{second.venue}:{second.symbol}"),
        trade_id=event.trade_id,
        direction=event.direction,
        layers=event.layers,
        sizes_e8=(first.size_e8, second.size_e8),
        entry_prices_e8=(first.entry_price_e8, second.entry_price_e8),
        fees_e8=(first.fee_e8, second.fee_e8),
        opened_unix_ms=reported.unix_ms - age_ms if event.opened_mono_ns else 0,
        is_estimated=event.is_estimated if event.happened_outside is UNSET else event.happened_outside,
        orders=tuple(order for order in pair.orders if live is UNSET or order.client_order_id in live),
        quote_rate_e8=PAR_E8 if event.quote_rate_e8 is UNSET else event.quote_rate_e8,
    )


def _with_result(pair: CarriedPair, event: TradeClosed, unix_ms: int) -> CarriedPair:
    before = _result_of(pair, event.trade_id)
    result = CarriedResult(
        trade_id=event.trade_id,
        direction=event.direction,
        closed_unix_ms=unix_ms,
        # A trade closed before was reopened by an execution that became known late.
        gross_e8=event.gross_e8 + (before.gross_e8 if before else 0),
        fees_e8=event.fees_e8 + (before.fees_e8 if before else 0),
        happened_outside=pair.is_estimated,
        is_estimated=event.is_estimated,
        quote_rate_e8=event.quote_rates_e8[1] if event.quote_rates_e8 else PAR_E8,
    )
    pair = _with_change(pair, unix_ms // _DAY_MS, event.net_e8, before, result)
    return pair._replace(trade_id=0, direction=0, layers=0, is_estimated=False)


def _with_correction(pair: CarriedPair, event: TradeResult, unix_ms: int) -> CarriedPair:
    """A closed trade's result as it is now; of one whose closing was not reported, the closing too."""
    before = _result_of(pair, event.trade_id)
    if before is None and pair.trade_id != event.trade_id:
        return pair  # closed so long ago that it was given up
    result = CarriedResult(
        trade_id=event.trade_id,
        direction=event.direction,
        closed_unix_ms=before.closed_unix_ms if before else unix_ms - int(event.closed_ago_ms),
        gross_e8=event.gross_e8,
        fees_e8=event.fees_e8,
        happened_outside=before.happened_outside if before else pair.is_estimated,
        is_estimated=event.is_estimated,
        quote_rate_e8=before.quote_rate_e8 if before else pair.quote_rate_e8,
    )
    change_e8 = event.net_e8 - (before.gross_e8 - before.fees_e8 if before else 0)
    pair = _with_change(pair, result.closed_unix_ms // _DAY_MS, change_e8, before, result)
    return pair if before else pair._replace(trade_id=0, direction=0, layers=0)


def _result_of(pair: CarriedPair, trade_id: int) -> CarriedResult | None:
    return next((result for result in pair.closed if result.trade_id == trade_id), None)


def _with_change(
    pair: CarriedPair, day: int, change_e8: int, before: CarriedResult | None, result: CarriedResult
) -> CarriedPair:
    """Put a trade's result in the place of what it was, and add the difference to the day it belongs to."""
    if day > pair.result_day:
        pair = pair._replace(result_day=day, result_e8=0, best_e8=0, estimated=0)
    if day == pair.result_day:
        estimated = pair.estimated + result.is_estimated - (before.is_estimated if before else False)
        pair = pair._replace(result_e8=pair.result_e8 + change_e8, estimated=estimated)
    others = tuple(known for known in pair.closed if known.trade_id != result.trade_id)
    return pair._replace(closed=(*others, result)[-_OWED_MAX:])


def _put(pair: tuple[T, T], leg: int, value: T) -> tuple[T, T]:
    return (value, pair[1]) if leg == 0 else (pair[0], value)


def _sign(side: str) -> int:
    return 1 if side == "BUY" else -1
