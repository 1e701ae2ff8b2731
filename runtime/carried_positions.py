"""Carries what the journal says we hold, and why, from persistence to the first executor of a run.

Shared memory outlives a killed process but not a reboot; the journal does. Before anything that
trades is started, persistence reads the journal (or the database, where that knows something newer)
and leaves the answer here, as one small JSON file in the instance's memory directory. It says why a
position may be ours; the venues say what is.

Sizes are base currency, prices and fees quote currency, all scaled by 10**8 (``_e8``); positions are
signed, order sizes are not. ``_unix_ms`` is this host's wall clock: a monotonic one ends at a reboot.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runtime.atomic_file import write_atomically
from venues.contract import PAR_E8

_FILE = "held.json"


class CarriedOrder(NamedTuple):
    """An order whose end, price or fee the journal does not have."""

    client_order_id: int
    leg: int
    side: str  # BUY, SELL
    size_e8: int
    limit_price_e8: int  # 0 when its intent's line was lost
    reduce_only: bool
    purpose: str  # entry, complete, unwind, exit
    attempt: int
    trade_id: int
    sent_unix_ms: int
    state: str = "sent"  # sent, open, in_doubt, uncounted; of one that is over: how it ended
    venue_order_id: str = ""
    filled_e8: int = 0  # reported so far
    average_price_e8: int = 0
    fee_e8: int = 0
    # Of that, what was reported as single executions, each once.
    fill_ids: tuple[str, ...] = ()
    fills_e8: int = 0
    fills_quote_e8: int = 0
    fills_fee_e8: int = 0


class CarriedResult(NamedTuple):
    """A closed trade's result. Late fills and fees of its orders still correct it."""

    trade_id: int
    direction: int
    closed_unix_ms: int
    gross_e8: int
    fees_e8: int
    happened_outside: bool  # part of it happened outside our orders
    is_estimated: bool  # for that reason, or because a price or fee is not known yet
    quote_rate_e8: int = PAR_E8  # at the close, see ``CarriedPair``


class CarriedFunding(NamedTuple):
    """An order whose fills may have settled funding that the venue has not reported yet."""

    leg: int
    client_order_id: int
    venue_order_id: str


class CarriedPair(NamedTuple):
    """One pair as the journal knows it last."""

    pair: str  # its id in config.yaml
    legs: tuple[str, str] = ("", "")  # "venue:SYMBOL"; "" for one the journal has not mentioned
    trade_id: int = 0  # of the open trade; 0 when there is none
    direction: int = 0  # +1: long the first leg, short the second
    layers: int = 0
    sizes_e8: tuple[int, int] = (0, 0)  # held on each leg, what orders under way have filled included
    entry_prices_e8: tuple[int, int] = (0, 0)  # average; 0 where nothing was bought or sold
    fees_e8: tuple[int, int] = (0, 0)  # paid in this trade so far
    opened_unix_ms: int = 0  # when it was first hedged; 0 before
    is_estimated: bool = False  # part of it happened outside our orders: prices are estimates
    orders: tuple[CarriedOrder, ...] = ()
    told_unix_ms: int = 0  # time of the newest event that this comes from
    result_day: int = 0  # UTC day (days since 1970) that the result belongs to
    result_e8: int = 0  # realised on that day, quote currency
    best_e8: int = 0  # the best the whole instance's result had been on that day
    funding_due: tuple[CarriedFunding, ...] = ()
    unaccounted: tuple[CarriedOrder, ...] = ()  # over, and a price or fee is still asked for
    closed: tuple[CarriedResult, ...] = ()  # the newest last
    estimated: int = 0  # trades of ``result_day`` whose result is an estimate
    # What one unit of the second leg's quote currency was worth in the first's when the open trade began.
    quote_rate_e8: int = PAR_E8


def pair_from(fields: dict[str, Any]) -> CarriedPair:
    """The pair that ``CarriedPair._asdict()`` became, after its way through JSON."""
    pairs_of_legs = ("legs", "sizes_e8", "entry_prices_e8", "fees_e8")
    orders = tuple(map(_order_from, fields["orders"]))
    unaccounted = tuple(map(_order_from, fields.get("unaccounted", ())))
    closed = tuple(CarriedResult(**result) for result in fields.get("closed", ()))
    due = tuple(CarriedFunding(*funding) for funding in fields.get("funding_due", ()))
    legs = {name: tuple(fields[name]) for name in pairs_of_legs}
    lists = {"orders": orders, "funding_due": due, "unaccounted": unaccounted, "closed": closed}
    return CarriedPair(**{**fields, **legs, **lists})


def _order_from(fields: dict[str, Any] | list[Any]) -> CarriedOrder:
    order = CarriedOrder(**fields) if isinstance(fields, dict) else CarriedOrder(*fields)
    return order._replace(fill_ids=tuple(order.fill_ids))


def plain(pair: CarriedPair) -> dict[str, Any]:
    """The pair as JSON takes it, by every library; orders by field name too."""
    return {
        **pair._asdict(),
        "orders": [order._asdict() for order in pair.orders],
        "funding_due": [list(funding) for funding in pair.funding_due],
        "unaccounted": [order._asdict() for order in pair.unaccounted],
        "closed": [result._asdict() for result in pair.closed],
    }


def write_carried(directory: Path, pairs: Sequence[CarriedPair]) -> None:
    """Write what is carried over into the memory directory; persistence alone does."""
    write_atomically(directory / _FILE, json.dumps([plain(pair) for pair in pairs]))


def is_written(directory: Path) -> bool:
    """Whether persistence has already written what this run began with."""
    return (directory / _FILE).exists()


def read_carried(directory: Path) -> tuple[CarriedPair, ...]:
    """What was held when this run began, flat pairs left out; () where persistence found nothing."""
    try:
        text = (directory / _FILE).read_text()
    except FileNotFoundError:
        return ()
    return tuple(pair_from(fields) for fields in json.loads(text))
