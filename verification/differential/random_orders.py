"""Random orders of any venue: prices and sizes on random grids, the edges of every number among them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from venues.contract import Instrument, OrderRequest, Side, TimeInForce

EDGES_E8: Final = (1, 9, 10, 10**8 - 1, 10**8, 10**8 + 1, 2**53 - 1, 2**53 + 1, 2**62, 2**63 - 1, 123_456_789)


def random_order(
    dice: random.Random,
    *,
    venue: str,
    client_order_id: int,
    symbols: Sequence[str],
    times_in_force: Sequence[TimeInForce],
) -> OrderRequest:
    price_e8, tick_e8, price_decimals = _on_a_grid(dice)
    size_e8, lot_e8, size_decimals = _on_a_grid(dice)
    instrument = Instrument(
        instrument_id=7,
        venue=venue,
        symbol=dice.choice(symbols),
        base="X",
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        min_size_e8=lot_e8,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        taker_fee_bps=1.0,
        is_trading=True,
    )
    return OrderRequest(
        client_order_id=client_order_id,
        instrument=instrument,
        side=dice.choice([Side.BUY, Side.SELL]),
        size_e8=size_e8,
        limit_price_e8=price_e8,
        reduce_only=dice.random() < 0.5,
        time_in_force=dice.choice(times_in_force),
    )


def _on_a_grid(dice: random.Random) -> tuple[int, int, int]:
    """A number, a step it is a multiple of, and the decimals such numbers are written with."""
    if dice.random() < 0.3:
        return dice.choice(EDGES_E8), 1, 8
    decimals = dice.randrange(9)
    step_e8 = dice.choice([1, 5]) * 10 ** (8 - decimals)
    value_e8 = dice.choice([dice.randrange(1, 10**16), dice.randrange(1, 2**63)])
    return max(value_e8 - value_e8 % step_e8, step_e8), step_e8, decimals
