"""How the two quote currencies of a pair compare: at par, or by the price of an instrument.

A rate here is what one unit of the second leg's currency is worth in the first's, times 10**8. Its source
is the configuration (``quote``); which way round an instrument's price is, ``--check`` has asked its venue.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from runtime.clock import ms_to_ns
from settings import Settings
from venues.contract import E8, PAR_E8, Instrument

_E4: Final = 10_000


class QuoteRate(NamedTuple):
    """Where a pair's live rate is read, and what is believed of it."""

    instrument_id: int
    venue: str
    is_inverse: bool  # the instrument's price is the rate of the first currency in the second's
    age_ns_max: int
    off_par_e8_max: int

    def value_e8(self, bid_e8: int, ask_e8: int) -> int:
        """The rate by the middle of the instrument's touch; 0 for one that cannot be a rate."""
        if bid_e8 <= 0 or ask_e8 < bid_e8:
            return 0
        rate_e8 = 2 * E8 * E8 // (bid_e8 + ask_e8) if self.is_inverse else (bid_e8 + ask_e8) // 2
        return rate_e8 if abs(rate_e8 - PAR_E8) <= self.off_par_e8_max else 0


def quote_rate(settings: Settings, first: Instrument, second: Instrument) -> QuoteRate | None:
    """The live rate of two legs; None where their currencies are one, or count as one for one."""
    is_one = first.quote.lower() == second.quote.lower()
    name = "" if is_one else settings.rate_name(first.quote, second.quote)
    source = settings.quote.get(name, "par")
    if source == "par":
        return None
    is_other_way = name.split("_per_")[0] != first.quote.lower()
    return QuoteRate(
        instrument_id=settings.rate_instrument_id(name),
        venue=source.venue,
        is_inverse=source.inverse is not is_other_way,
        age_ns_max=ms_to_ns(source.max_age_ms),
        off_par_e8_max=round(source.max_off_par_bps * E8 / _E4),
    )
