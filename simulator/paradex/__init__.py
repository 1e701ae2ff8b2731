"""The simulated Paradex: REST and WebSocket under ``/v1`` on one port, around one matching engine.

Written from the venue's documentation alone; it shares no protocol code with ``venues.paradex``,
so a misreading on one side shows up as a refusal on the other.
"""

from simulator.front import SimulatedVenue
from simulator.paradex.front import ParadexFront, make_id
from simulator.paradex.instruments import LISTING
from simulator.paradex.settings import ParadexSettings

__all__ = ["LISTING", "VENUE", "ParadexFront", "ParadexSettings", "make_id"]

VENUE = SimulatedVenue(listing=LISTING, make_id=make_id, settings=ParadexSettings(), make_front=ParadexFront)
