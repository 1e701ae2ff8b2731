"""Paradex's funding rates. Source: Paradex documentation, "Get markets summary" and "Funding mechanism"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from venues.contract import Call, FundingRate, HttpRequest, TransportError, funding_bps
from venues.paradex.hosts import NAME
from venues.paradex.rest import json_as, read_answer

# The rate is that of one funding period, eight hours for the perpetuals; it accrues every second.
_PERIOD_HOURS: Final = 8


class _Summary(msgspec.Struct):
    symbol: str
    funding_rate: str


class _Summaries(msgspec.Struct):
    results: list[_Summary]


_READ = json_as(_Summaries)


def fetch_funding(wanted: Mapping[str, int]) -> Call[list[FundingRate]]:
    """The current rates of the wanted symbols (symbol -> instrument_id); needs no credentials."""
    rates = []
    for symbol, instrument_id in wanted.items():
        response = yield HttpRequest("GET", f"/markets/summary?market={quote(symbol, safe='')}")
        for row in read_answer(_READ, response).results:
            if row.symbol == symbol:
                try:
                    hourly_bps = funding_bps(row.funding_rate, hours=_PERIOD_HOURS)
                except ValueError as error:
                    raise TransportError(f"{NAME}: /markets/summary: {error}") from None
                rates.append(FundingRate(instrument_id, hourly_bps))
    return rates
