"""The taker fee of an instrument, as it is configured or as the venue publishes it."""

from __future__ import annotations

from settings import Settings
from venues.contract import Instrument


def taker_fee_bps(settings: Settings, instrument: Instrument) -> float:
    """What taking costs on an instrument: as configured, else what the venue publishes."""
    configured = settings.venue(instrument.venue).taker_fee_bps
    return instrument.taker_fee_bps if configured == "auto" else configured
