"""Scaling in: a pair's size cut into layers, each with the spread that opens it.

Triggers are evenly spaced between ``entry_bps`` and ``entry_max_bps``; sizes grow as squares
(1:4:9:16:25), so most of the size waits for the widest gap.
"""

from __future__ import annotations

from typing import NamedTuple

from venues.contract import E8, Instrument, common_lot_e8


class Layer(NamedTuple):
    """One step into a position."""

    trigger_bps: float  # entry spread that opens it
    size_e8: int  # on the pair's common lot


class SizeError(ValueError):
    """A pair's size cannot be cut into orders that both venues accept; the text has the remedy."""


def trigger_spreads_bps(entry_bps: float, entry_max_bps: float, count: int) -> tuple[float, ...]:
    """``count`` triggers evenly spaced from ``entry_bps`` to ``entry_max_bps``, both included."""
    if count == 1:
        return (entry_bps,)
    step = (entry_max_bps - entry_bps) / (count - 1)
    return tuple(entry_bps + step * place for place in range(count))


def layer_sizes_e8(total_e8: int, count: int, lot_e8: int) -> tuple[int, ...]:
    """``total_e8`` rounded down to the lot, cut 1:4:9:… into ``count`` sizes on the lot.

    The cuts are rounded, not the sizes, so the sizes always add up to the whole. The first may
    be 0 when the total is small.
    """
    squares = [place * place for place in range(1, count + 1)]
    lots = total_e8 // lot_e8
    cuts = [lots * sum(squares[:place]) // sum(squares) for place in range(count + 1)]
    return tuple((cuts[place + 1] - cuts[place]) * lot_e8 for place in range(count))


def cut_layers(
    pair: str,
    first: Instrument,
    second: Instrument,
    *,
    size_e8: int,
    count: int,
    entry_bps: float,
    entry_max_bps: float,
    must_fit: bool = True,
) -> tuple[Layer, ...]:
    """A pair's layers. SizeError when one that must fit is below a venue's minimum or above its maximum."""
    sizes = layer_sizes_e8(size_e8, count, common_lot_e8(first, second))
    for instrument in (first, second) if must_fit else ():
        where = f"{instrument.venue} {instrument.symbol}"
        if sizes[0] < max(instrument.min_size_e8, 1):
            raise SizeError(
                f"pair {pair}: layer 1 of {count} is {sizes[0] / E8:.8f} {instrument.base}, below the "
                f"minimum {instrument.min_size_e8 / E8:.8f} of {where}; raise size_base or use fewer layers"
            )
        if instrument.max_size_e8 and sizes[-1] > instrument.max_size_e8:
            raise SizeError(
                f"pair {pair}: layer {count} of {count} is {sizes[-1] / E8:.8f} {instrument.base}, above the "
                f"maximum {instrument.max_size_e8 / E8:.8f} of {where}; lower size_base or use more layers"
            )
    triggers = trigger_spreads_bps(entry_bps, entry_max_bps, count)
    return tuple(Layer(trigger, size) for trigger, size in zip(triggers, sizes, strict=True))
