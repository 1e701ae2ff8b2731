"""The simulated Vest (v2): REST under ``/v2``, WebSocket at ``/ws-api``, on one port."""

from simulator.front import VenueKit
from simulator.vest.front import VestFront, make_id
from simulator.vest.listing import LISTING
from simulator.vest.settings import VestSettings

__all__ = ["KIT", "LISTING", "VestFront", "VestSettings", "make_id"]

KIT = VenueKit(listing=LISTING, make_id=make_id, settings=VestSettings(), make_front=VestFront)
