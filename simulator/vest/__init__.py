"""The simulated Vest (v2): REST under ``/v2``, WebSocket at ``/ws-api``, on one port."""

from simulator.front import SimulatedVenue
from simulator.vest.front import VestFront, make_id
from simulator.vest.instruments import LISTING
from simulator.vest.settings import VestSettings

__all__ = ["LISTING", "VENUE", "VestFront", "VestSettings", "make_id"]

VENUE = SimulatedVenue(listing=LISTING, make_id=make_id, settings=VestSettings(), make_front=VestFront)
