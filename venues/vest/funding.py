"""Vest's funding rates. Source: Vest API v2 documentation, ``GET /ticker/latest``."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from venues.contract import Call, FundingRate, HttpRequest, TransportError, funding_bps
from venues.vest.hosts import NAME
from venues.vest.instruments import PUBLIC_HEADERS
from venues.vest.responses import read


class _Ticker(msgspec.Struct):
    symbol: str
    oneHrFundingRate: str


class _Tickers(msgspec.Struct):
    tickers: list[_Ticker]


_decoder = msgspec.json.Decoder(_Tickers)


def fetch_funding(wanted: Mapping[str, int]) -> Call[list[FundingRate]]:
    """The current rates of the wanted symbols (symbol -> instrument_id); needs no credentials."""
    symbols = ",".join(quote(symbol, safe="") for symbol in wanted)
    response = yield HttpRequest("GET", f"/ticker/latest?symbols={symbols}", PUBLIC_HEADERS)
    rows = read(response, _decoder, "GET /ticker/latest").tickers
    try:
        return [
            FundingRate(wanted[row.symbol], funding_bps(row.oneHrFundingRate, hours=1))
            for row in rows
            if row.symbol in wanted
        ]
    except ValueError as error:
        raise TransportError(f"{NAME}: GET /ticker/latest: {error}") from None
