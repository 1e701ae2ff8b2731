"""The venues under test. The conformance suite, and whatever else holds for all, runs over these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.venues.hyperliquid.venue_case import VENUE_CASE as HYPERLIQUID
from tests.venues.paradex.venue_case import VENUE_CASE as PARADEX
from tests.venues.venue_case import VenueCase
from tests.venues.vest.venue_case import VENUE_CASE as VEST

VENUE_CASES: Final[Mapping[str, VenueCase]] = {
    venue_case.venue: venue_case for venue_case in (VEST, PARADEX, HYPERLIQUID)
}
