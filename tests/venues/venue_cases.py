"""The venues under test. The conformance suite, and whatever else holds for all, runs over these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.venues.hyperliquid.venue_case import KIT as HYPERLIQUID
from tests.venues.paradex.venue_case import KIT as PARADEX
from tests.venues.venue_case import Kit
from tests.venues.vest.venue_case import KIT as VEST

KITS: Final[Mapping[str, Kit]] = {kit.venue: kit for kit in (VEST, PARADEX, HYPERLIQUID)}
