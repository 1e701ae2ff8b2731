"""Which of our orders a venue's own order id belongs to, as far as the venue has said."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from executor.pairs import Pairs

_KEPT: Final = 4_096  # hours of trading; an older id that comes again is noticed by the order it names


class VenueIds:
    """Learns from answers, updates and fills; knows what the machines remember from earlier epochs."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._owners: OrderedDict[tuple[str, str], int] = OrderedDict()

    def learn(self, venue: str, venue_order_id: str, client_order_id: int) -> None:
        """Keep what a message says that names an order both ways; the newest message counts."""
        if venue_order_id and client_order_id:
            self._owners[venue, venue_order_id] = client_order_id
            self._owners.move_to_end((venue, venue_order_id))
            if len(self._owners) > _KEPT:
                self._owners.popitem(last=False)

    def owner(self, venue: str, venue_order_id: str) -> int:
        """Our id of the order that the venue calls so; 0 when we do not know it."""
        if not venue_order_id:
            return 0
        assert len(self._owners) <= _KEPT, "the oldest are forgotten"
        known = self._owners.get((venue, venue_order_id))
        if known is not None:
            return known
        for pair, leg in self._pairs.legs_on(venue):
            for order in (*pair.state.legs[leg].live, *pair.state.legs[leg].past):
                if order.venue_order_id == venue_order_id:
                    return order.client_order_id
        return 0
