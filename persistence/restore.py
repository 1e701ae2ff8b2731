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
from runtime.carried_positions import HeldFunding, HeldOrder, HeldPair, pair_from, plain

SOURCE: Final = "persistence"  # whose lines checkpoints are
CHECKPOINT: Final = "journal_checkpoint"
_ENDED: Final = frozenset({"filled", "cancelled", "rejected", "unsent", "absent"})
_REDUCING: Final = frozenset({"exit", "unwind"})
_TELLERS: Final = frozenset({SOURCE, "executor"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
_FUNDING_MAX: Final = 32  # older questions about funding are let be: a venue that never answers them
T = TypeVar("T")


class Holdings:
    """The fold. ``pairs`` by id; ``told_unix_ms`` is the time of the newest line seen."""

    def __init__(self) -> None:
        self.pairs: dict[str, HeldPair] = {}
        self.told_unix_ms = 0
        self.broken: list[str] = []  # lines that were not what their event promises

    def held(self) -> list[HeldPair]:
        """The pairs that hold something, have an order under way, realised something, or may be paid."""
        return [
            pair
            for pair in self.pairs.values()
            if is_held(pair) or pair.result_e8 or pair.best_e8 or pair.funding_due
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
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
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
            if event == "trade_closed":
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
    if entry.source != SOURCE or CHECKPOINT.encode() not in entry.payload:
        return False
    try:
        return bool(orjson.loads(entry.payload)["event"] == CHECKPOINT)
    except (LookupError, TypeError, ValueError):  # no line: passed over, as ``take_line`` does
        return False


def _after(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    match line["event"]:
        case "intent_written":
            return _with_intent(pair, line)
        case "holding":
            return _with_holding(pair, line)
        case "trade_closed":
            return _with_result(pair, line)
        case "fill" if line.get("is_funding_due"):
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
    if before is None and is_over:
        return pair  # over since long; what its late word changes is told by ``holding``
    if before is None:  # killed between its bytes and its intent's line, or alive after all
        before = _order(line, limit_price_e8=0, reduce_only=line["purpose"] in _REDUCING)
        pair = pair._replace(orders=(*pair.orders, before))
    after = before._replace(
        state=line["order_state"],
        venue_order_id=line["venue_order_id"],
        filled_e8=line["filled_e8"],
        average_price_e8=line["average_price_e8"],
        fee_e8=line["fee_e8"],
    )
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
        is_estimated=line["is_estimated"],
        orders=tuple(order for order in pair.orders if order.client_order_id in live),
    )


def _with_result(pair: HeldPair, line: Mapping[str, Any]) -> HeldPair:
    day = _unix_ms(line["ts"]) // _DAY_MS
    before_e8 = pair.result_e8 if pair.result_day == day else 0
    return pair._replace(
        trade_id=0,
        direction=0,
        layers=0,
        result_day=day,
        result_e8=before_e8 + line["net_e8"],
        best_e8=pair.best_e8 if pair.result_day == day else 0,
    )


def _put(pair: tuple[T, T], leg: int, value: T) -> tuple[T, T]:
    return (value, pair[1]) if leg == 0 else (pair[0], value)


def _sign(side: str) -> int:
    return 1 if side == "BUY" else -1


def _unix_ms(ts: str) -> int:
    return (datetime.fromisoformat(ts) - _EPOCH) // timedelta(milliseconds=1)
