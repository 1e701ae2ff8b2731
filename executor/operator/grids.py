"""The contracts' grids as their venues publish them: a venue may change tick, lot, minimum or maximum while
we hold.

Read at the start, now and then, and at once when an order was refused for its price or size. A change is
taken up between two steps, like settings: the next order is on the new grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from events.instance import InstrumentChanged
from executor.desk import Desk, Pair
from executor.operator.resolve import resolve_pair, take_up
from executor.pair.messages import Event, GridRead
from venues.contract import Instrument, TransportError, VenueError

READ_S: Final = 60.0
# What an order must fit. Fees and states of a market are not part of it and stay as the start found them.
_GRID: Final = (
    *("tick_e8", "lot_e8", "min_size_e8", "min_notional_e8", "max_size_e8"),
    *("price_decimals", "size_decimals", "significant_figures"),
)


class Grids:
    """Reads them and has every pair concerned go by them."""

    def __init__(self, desk: Desk, feed: Callable[[Pair, Event], None]) -> None:
        self._desk = desk
        self._feed = feed

    async def read(self, venue: str) -> None:
        """One read of a venue's contracts. One that fails is none: the machine asks again by itself."""
        asked_mono_ns = self._desk.clock.mono_ns()
        try:
            found = await self._desk.gateways[venue].query_instruments()
        except (TransportError, VenueError) as error:
            self._desk.reports.venue_lost(venue, "instruments", error)
            return
        self._take_up(found)
        for pair, leg in self._desk.legs_on(venue):
            self._feed(pair, GridRead(self._desk.at(pair), leg, asked_mono_ns))

    def _take_up(self, found: Sequence[Instrument]) -> None:
        desk, changed = self._desk, set()
        instruments = list(desk.instruments)
        for item in found:
            before = instruments[item.instrument_id]
            was, now = _grid(before), _grid(item)
            if was == now:
                continue
            names = [name for name in _GRID if was[name] != now[name]]
            desk.reports.report(
                InstrumentChanged(
                    venue=item.venue,
                    symbol=item.symbol,
                    was={name: was[name] for name in names},
                    now={name: now[name] for name in names},
                )
            )
            instruments[item.instrument_id] = before._replace(**now)
            changed.add(item.instrument_id // 2)
        desk.instruments = tuple(instruments)
        for number in changed:
            take_up(desk.pairs[number], resolve_pair(desk.settings, desk.instruments, number))


def _grid(instrument: Instrument) -> dict[str, Any]:
    return {name: getattr(instrument, name) for name in _GRID}
