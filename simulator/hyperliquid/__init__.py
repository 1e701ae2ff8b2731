"""The simulated Hyperliquid: ``/info``, ``/exchange`` and ``/ws`` on one port, around one matching engine.

Written from the venue's documentation and its SDK alone; it shares no protocol code with
``venues.hyperliquid``, so a misreading on one side shows up as a refusal on the other.
"""

from simulator.front import SimulatedVenue
from simulator.hyperliquid.front import HyperliquidFront
from simulator.hyperliquid.instruments import LISTING
from simulator.hyperliquid.settings import HyperliquidSettings
from simulator.hyperliquid.trading import make_id

__all__ = ["LISTING", "VENUE", "HyperliquidFront", "HyperliquidSettings", "make_id"]

VENUE = SimulatedVenue(
    listing=LISTING, make_id=make_id, settings=HyperliquidSettings(), make_front=HyperliquidFront
)
