"""What the journal says we hold and why: the executor's lines, folded into one ``HeldPair`` per pair.

The executor tells ``holding`` after every change of what a pair holds, and every order from its intent
to its end. Folding those lines in order gives the last known position of each leg, its price and
trade, and the orders whose end was never told. ``journal_checkpoint`` is such a fold written down: every
journal file begins with one, so a start reads no more than the newest file, and files may go.

The same fold reads the ``events`` table: a line is a line, wherever it was kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from persistence.journal import Entry, files, read_file
from runtime.carried_positions import HeldFunding, HeldOrder, HeldPair, HeldResult, pair_from, plain

SOURCE: Final = "persistence"  # whose lines checkpoints are
CHECKPOINT: Final = "journal_checkpoint"
_ENDED: Final = frozenset({"filled", "cancelled", "rejected", "unsent", "absent"})
_RESULTS: Final = frozenset({"trade_closed", "trade_corrected", "trade_retold"})
_REDUCING: Final = frozenset({"exit", "unwind"})
_TELLERS: Final = frozenset({SOURCE, "executor"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
_E8: Final = 10**8
_OWED_MAX: Final = 64  # older orders whose price or fee never came are let be, and their trades with them
_FUNDING_MAX: Final = 32  # older questions about funding are let be: a venue that never answers them
T = TypeVar("T")


class Holdings:
    """The fold. ``pairs`` by id; ``told_unix_ms`` is the time of the newest line seen."""

    def __init__(self) -> None:
        self.pairs: dict[str, HeldPair] = {}
        self.told_unix_ms = 0
        self.broken: list[str] = []  # lines that were not what their event promises

    def held(self) -> list[HeldPair]:
        """The pairs that hold something, have an order under way or not accounted for, realised something, or
        may be paid."""
        return [
            pair
            for pair in self.pairs.values()
            if is_held(pair) or pair.result_e8 or pair.best_e8 or pair.funding_due or pair.unaccounted
        ]

    def adopt(self, other: Holdings) -> None:
        """Take what another fold says in place of our own."""
        self.pairs, self.told_unix_ms = dict(other.pairs), other.told_unix_ms
        self.broken += other.broken

    def checkpoint(self, bot_id: str, mode: str) -> dict[str, Any]:
        """The fold as the fields of a ``journal_checkpoint``."""
        return {
            "bot_id": bot_id,
            "mode": mode,
            "told_unix_ms": self.told_unix_ms,
            "pairs": [plain(pair) for pair in self.held()],
        }

    def take_entry(self, entry: Entry) -> None:
        """Fold in a journalled line; those of processes that hold nothing are not even parsed."""
        self.take_line(entry.source, entry.payload)

    def take_line(self, source: str, payload: bytes) -> None:
        """The same for a line on its own. One that cannot be read is remembered and passed over:
        a start that knows the rest is better than none, and the venues have the last word."""
        if source not in _TELLERS:
            return
        try:
            self.take(orjson.loads(payload))
        except (KeyError, TypeError, ValueError) as error:
            self.broken.append(f"{type(error).__name__} {error} in {payload[:300].decode(errors='replace')}")

    def take(self, line: Mapping[str, Any]) -> None:
        """Fold in one log line. Raises KeyError, TypeError or ValueError if it breaks its promise."""
        event = line["event"]
        if event == CHECKPOINT:
            self.pairs = {fields["pair"]: pair_from(fields) for fields in line["pairs"]}
            self.told_unix_ms = max(line["told_unix_ms"], self.told_unix_ms)
            return
        pair = line.get("pair")
        if line["proc"] != "executor" or not pair:
            return
        before = self.pairs.get(pair, HeldPair(pair))
        after = _after(before, line)
        if after is not before:
            self.told_unix_ms = _unix_ms(line["ts"])
            self.pairs[pair] = after._replace(told_unix_ms=self.told_unix_ms)
            if event in _RESULTS:
                self.pairs[pair] = self.pairs[pair]._replace(best_e8=self._best_e8(after.result_day))

    def _best_e8(self, day: int) -> int:
        """The best that all pairs together had realised on a day, as of now."""
        parts = [pair for pair in self.pairs.values() if pair.result_day == day]
        return max(0, sum(pair.result_e8 for pair in parts), *(pair.best_e8 for pair in parts))


def is_held(pair: HeldPair) -> bool:
    """Whether there is something to look after: a position, or an order whose end is not known."""
    return pair.sizes_e8 != (0, 0) or bool(pair.orders)


def holdings_of(directory: Path) -> Holdings:
    """What the journal in ``directory`` says last. Reads back to the newest checkpoint.

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


def fold(lines: Iterable[Mapping[str, Any]]) -> Holdings:
    """What lines in order amount to."""
    holdings = Holdings()
    for line in lines:
        holdings.take(line)
    return holdings


def _is_checkpoint(entry: Entry) -> bool:
    return entry.source == SOURCE and orjson.loads(entry.payload)["event"] == CHECKPOINT


def _after(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    match line["event"]:
        case "intent_written":
            return _with_intent(pair, line)
        case "holding":
            return _with_holding(pair, line)
        case "trade_closed":
            return _with_result(pair, line)
        case "trade_corrected" | "trade_retold":
            return _with_correction(pair, line)
        case "fill":
            pair = _with_fill(pair, line)
            if not line.get("is_funding_due"):
                return pair
            due = HeldFunding(line["leg"], line["client_order_id"], line["venue_order_id"])
            return pair._replace(funding_due=(*_without(pair, due.client_order_id), due)[-_FUNDING_MAX:])
        case "funding_read":
            return pair._replace(funding_due=_without(pair, line["client_order_id"]))
    return _with_order(pair, line) if "order_state" in line else pair


def _without(pair: HeldPair, client_order_id: int) -> tuple[HeldFunding, ...]:
    return tuple(due for due in pair.funding_due if due.client_order_id != client_order_id)


def _with_intent(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    order = _order(line, limit_price_e8=line["limit_price_e8"], reduce_only=line["reduce_only"])
    direction = _sign(order.side) * (1 if order.leg == 0 else -1)
    if order.purpose == "entry":  # whatever else is held, a remainder or layers, is of its trade
        pair = pair._replace(trade_id=order.trade_id, direction=direction)
    legs = _put(pair.legs, order.leg, f"{line['venue']}:{line['symbol']}")
    return pair._replace(legs=legs, orders=(*pair.orders, order))


def _order(line: Mapping[str, Any], *, limit_price_e8: int, reduce_only: bool) -> HeldOrder:
    return HeldOrder(
        client_order_id=line["client_order_id"],
        leg=line["leg"],
        side=line["side"],
        size_e8=line["size_e8"],
        limit_price_e8=limit_price_e8,
        reduce_only=reduce_only,
        purpose=line["purpose"],
        attempt=line["attempt"],
        trade_id=line["trade_id"],
        sent_unix_ms=_unix_ms(line["ts"]),
    )


def _with_order(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    """An order's change. What it filled counts at once: the ``holding`` that follows may be lost."""
    client_order_id, is_over = line["client_order_id"], line["order_state"] in _ENDED
    before = next((order for order in pair.orders if order.client_order_id == client_order_id), None)
    if is_over:
        pair = _with_account(pair, before, line)
    if before is None and is_over:
        return pair  # over since long; what its late word changes is told by ``holding``
    if before is None:  # killed between its bytes and its intent's line, or alive after all
        before = _order(line, limit_price_e8=0, reduce_only=line["purpose"] in _REDUCING)
        pair = pair._replace(orders=(*pair.orders, before))
    after = _told(before, line)
    others = tuple(order for order in pair.orders if order is not before)
    pair = pair._replace(orders=others if is_over else (*others, after))
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


def _told(order: HeldOrder, line: Mapping[str, Any]) -> HeldOrder:
    return order._replace(
        state=line["order_state"],
        venue_order_id=line["venue_order_id"],
        filled_e8=line["filled_e8"],
        average_price_e8=line["average_price_e8"],
        fee_e8=line["fee_e8"],
    )


def _with_account(pair: HeldPair, before: HeldOrder | None, line: Mapping[str, Any]) -> HeldPair:
    """Remember an order that is over for as long as its price or fee is an estimate, and no longer."""
    client_order_id = line["client_order_id"]
    others = tuple(order for order in pair.unaccounted if order.client_order_id != client_order_id)
    if not line.get("is_estimated"):
        return pair if len(others) == len(pair.unaccounted) else pair._replace(unaccounted=others)
    known = next((order for order in pair.unaccounted if order.client_order_id == client_order_id), before)
    if known is None:
        known = _order(line, limit_price_e8=0, reduce_only=line["purpose"] in _REDUCING)
    return pair._replace(unaccounted=(*others, _told(known, line))[-_OWED_MAX:])


def _with_fill(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    """Count an execution in its order, once, while that one is under way or not accounted for."""

    def counted(order: HeldOrder) -> HeldOrder:
        if order.client_order_id != line["client_order_id"] or line["fill_id"] in order.fill_ids:
            return order
        return order._replace(
            fill_ids=(*order.fill_ids, line["fill_id"]),
            fills_e8=order.fills_e8 + line["size_e8"],
            fills_quote_e8=order.fills_quote_e8 + line["size_e8"] * line["price_e8"] // _E8,
            fills_fee_e8=order.fills_fee_e8 + line["fee_e8"],
        )

    orders, unaccounted = tuple(map(counted, pair.orders)), tuple(map(counted, pair.unaccounted))
    if orders == pair.orders and unaccounted == pair.unaccounted:
        return pair
    return pair._replace(orders=orders, unaccounted=unaccounted)


def _with_holding(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    first, second = line["legs"]
    # Of an order that is over here, the end may never have been told: killed before its line.
    live = line.get("live", [order.client_order_id for order in pair.orders])
    age_ms = (line["mono_ns"] - line["opened_mono_ns"]) // 1_000_000
    return pair._replace(
        legs=(f"{first['venue']}:{first['symbol']}", f"{second['venue']}:{second['symbol']}"),
        trade_id=line["trade_id"],
        direction=line["direction"],
        layers=line["layers"],
        sizes_e8=(first["size_e8"], second["size_e8"]),
        entry_prices_e8=(first["entry_price_e8"], second["entry_price_e8"]),
        fees_e8=(first["fee_e8"], second["fee_e8"]),
        opened_unix_ms=_unix_ms(line["ts"]) - age_ms if line["opened_mono_ns"] else 0,
        is_estimated=line.get("happened_outside", line["is_estimated"]),
        orders=tuple(order for order in pair.orders if order.client_order_id in live),
    )


def _with_result(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    closed_unix_ms = _unix_ms(line["ts"])
    result = HeldResult(
        line["trade_id"],
        line.get("direction", pair.direction),
        closed_unix_ms,
        line.get("gross_e8", line["net_e8"]),
        line.get("fees_e8", 0),
        pair.is_estimated,
        line.get("is_estimated", False),
    )
    before = _result_of(pair, result.trade_id)
    if before is not None:  # closed before, and begun again by an execution that was told late
        result = result._replace(
            gross_e8=before.gross_e8 + result.gross_e8, fees_e8=before.fees_e8 + result.fees_e8
        )
    pair = _with_change(pair, closed_unix_ms // _DAY_MS, line["net_e8"], before, result)
    return pair._replace(trade_id=0, direction=0, layers=0, is_estimated=False)


def _with_correction(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    """A closed trade's result as it is now; of one whose closing was not told, the closing too."""
    closed_unix_ms = _unix_ms(line["ts"]) - int(line["closed_ago_ms"])
    before = _result_of(pair, line["trade_id"])
    result = HeldResult(
        line["trade_id"],
        line["direction"],
        before.closed_unix_ms if before else closed_unix_ms,
        line["gross_e8"],
        line["fees_e8"],
        before.happened_outside if before else pair.is_estimated,
        line["is_estimated"],
    )
    if before is None and pair.trade_id != result.trade_id:
        return pair  # closed so long ago that it was let be
    change_e8 = line["net_e8"] - (before.gross_e8 - before.fees_e8 if before else 0)
    pair = _with_change(pair, result.closed_unix_ms // _DAY_MS, change_e8, before, result)
    return pair._replace(trade_id=0, direction=0, layers=0) if before is None else pair


def _result_of(pair: HeldPair, trade_id: int) -> HeldResult | None:
    return next((result for result in pair.closed if result.trade_id == trade_id), None)


def _with_change(
    pair: HeldPair, day: int, change_e8: int, before: HeldResult | None, result: HeldResult
) -> HeldPair:
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


def _unix_ms(ts: str) -> int:
    return (datetime.fromisoformat(ts) - _EPOCH) // timedelta(milliseconds=1)
