"""Whether journal and database tell what the venues' own books say: positions, orders, executions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psycopg

from persistence.restore import holdings_of
from runtime.carried_positions import CarriedPair
from simulator.orders import SimOrder
from venues.contract import E8


def differences(
    journal: Path, url: str, pair: str, held_e8: Mapping[str, int], orders: Mapping[str, Sequence[SimOrder]]
) -> Iterator[str]:
    """What the journal or the database does not tell as the venues do; nothing when they agree.

    held_e8: what each venue holds for ``pair``. orders: all of each venue's orders, ended ones, too.
    """
    kept = holdings_of(journal).pairs.get(pair, CarriedPair(pair))
    journalled = {leg.partition(":")[0]: size for leg, size in zip(kept.legs, kept.sizes_e8, strict=True)}
    if {venue: journalled.get(venue, 0) for venue in held_e8} != held_e8:
        yield f"positions: the journal says {journalled}, the venues {dict(held_e8)}"
    with psycopg.connect(url) as connection:
        rows = connection.execute("select venue, size_base from positions").fetchall()
        stored = {venue: int(size * E8) for venue, size in rows}
        if {venue: stored.get(venue, 0) for venue in held_e8} != held_e8:
            yield f"positions: the database says {stored}, the venues {dict(held_e8)}"
        ids = {str(row[0]) for row in connection.execute("select client_order_id from orders")}
        sums = "select client_order_id, sum(size_base) from fills group by client_order_id"
        fills_e8 = {str(name): int(size * E8) for name, size in connection.execute(sums.encode())}
    for venue, reported in orders.items():
        filled = {_our_id(order) for order in reported if order.filled_e8}
        unknown = sorted(name for name in filled if not any(name.endswith(known) for known in ids))
        if unknown:
            yield f"{venue} filled orders that the database does not know: {unknown}"
        for order in reported:
            sum_e8 = sum(size for name, size in fills_e8.items() if _our_id(order).endswith(name))
            if sum_e8 != order.filled_e8:
                yield f"{venue} filled {order.filled_e8} of {order.client_id}, our fills are {sum_e8}"


def _our_id(order: SimOrder) -> str:
    """Our number of an order, as each venue spells it: after a prefix of ours, or in hexadecimal."""
    return str(int(order.client_id, 16)) if order.client_id.startswith("0x") else order.client_id
