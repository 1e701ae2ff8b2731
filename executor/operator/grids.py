"""The contracts' grids as their venues publish them: a venue may change tick, lot, minimum or maximum while
we hold.

Read at the start, now and then, and at once when an order was refused for its price or size. A change is
adopted between two steps, like settings: the next order is on the new grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from events.instance import InstrumentChanged
from executor.operator.resolve import Configuration
from executor.pairs import Report
from venues.contract import Instrument

READ_S: Final = 60.0
# What an order must fit. Fees and states of a market are not part of it and stay as the start found them.
_GRID: Final = (
    *("tick_e8", "lot_e8", "min_size_e8", "min_notional_e8", "max_size_e8"),
    *("price_decimals", "size_decimals", "significant_figures"),
)


def adopt_grids(found: Sequence[Instrument], configuration: Configuration, report: Report) -> None:
    """Have every pair concerned go by what a venue publishes now, and report what is new."""
    instruments = list(configuration.instruments)
    for item in found:
        before = instruments[item.instrument_id]
        was, now = _grid(before), _grid(item)
        if was == now:
            continue
        names = [name for name in _GRID if was[name] != now[name]]
        report(
            InstrumentChanged(
                venue=item.venue,
                symbol=item.symbol,
                was={name: was[name] for name in names},
                now={name: now[name] for name in names},
            )
        )
        instruments[item.instrument_id] = before._replace(**now)
    configuration.adopt_grids(instruments)


def _grid(instrument: Instrument) -> dict[str, Any]:
    return {name: getattr(instrument, name) for name in _GRID}
