"""Vest's contracts and their grids. Source: Vest API v2 documentation, ``GET /exchangeInfo``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from venues.contract import (
    E8,
    Call,
    HttpRequest,
    Instrument,
    Touch,
    TransportError,
    VenueError,
    parse_e8,
)
from venues.vest.assumptions import MAX_SIZE_E8, MIN_NOTIONAL_E8, TRADING_STATUS_WHEN_ABSENT
from venues.vest.hosts import NAME
from venues.vest.messages import DepthSides, ExchangeInfo, SymbolRow
from venues.vest.responses import read

PUBLIC_HEADERS: Final = (("xrestservermm", "restserver0"),)

_depth_decoder = msgspec.json.Decoder(DepthSides)
_exchange_info_decoder = msgspec.json.Decoder(ExchangeInfo)


def fetch_instruments(wanted: Mapping[str, int]) -> Call[list[Instrument]]:
    """Return the grids of the wanted symbols (symbol -> instrument_id), in that order.

    Needs no credentials. Raises VenueError naming every symbol Vest does not list, and for a row
    whose decimals do not fit eight.
    """
    symbols = ",".join(quote(symbol, safe="") for symbol in wanted)
    response = yield HttpRequest("GET", f"/exchangeInfo?symbols={symbols}", PUBLIC_HEADERS)
    rows = {row.symbol: row for row in read(response, _exchange_info_decoder, "GET /exchangeInfo").symbols}
    missing = sorted(set(wanted) - set(rows))
    if missing:
        raise VenueError(
            NAME, "unknown symbol", f"Vest does not list {', '.join(missing)}: check the pair's legs"
        )
    return [_instrument(rows[symbol], instrument_id) for symbol, instrument_id in wanted.items()]


def fetch_touch(symbol: str) -> Call[Touch]:
    """Best bid and ask now, for who has no feed. Source: Vest API v2 documentation, ``GET /depth``."""
    response = yield HttpRequest("GET", f"/depth?symbol={quote(symbol, safe='')}&limit=1", PUBLIC_HEADERS)
    sides = read(response, _depth_decoder, "GET /depth")
    try:
        bid_e8, ask_e8 = (parse_e8(side[0][0]) if side else 0 for side in (sides.bids, sides.asks))
    except ValueError as error:
        raise TransportError(f"{NAME}: GET /depth of {symbol}: {error}") from None
    return Touch(bid_e8, ask_e8)


def _instrument(row: SymbolRow, instrument_id: int) -> Instrument:
    if not (0 <= row.price_decimals <= 8 and 0 <= row.size_decimals <= 8):
        raise VenueError(
            NAME,
            "unusable grid",
            f"{row.symbol} has {row.price_decimals} price and {row.size_decimals} size decimals: 0 to 8 fit",
        )
    try:
        taker_fee_e8 = parse_e8(row.taker_fee)
    except ValueError as error:
        raise VenueError(NAME, "unusable fee", f"{row.symbol} takerFee: {error}") from None
    lot_e8 = 10 ** (8 - row.size_decimals)
    return Instrument(
        instrument_id=instrument_id,
        venue=NAME,
        symbol=row.symbol,
        base=row.base,
        tick_e8=10 ** (8 - row.price_decimals),
        lot_e8=lot_e8,
        min_size_e8=lot_e8,
        min_notional_e8=MIN_NOTIONAL_E8,
        max_size_e8=MAX_SIZE_E8,
        price_decimals=row.price_decimals,
        size_decimals=row.size_decimals,
        taker_fee_bps=taker_fee_e8 * 10_000 / E8,
        quote=row.quote,
        is_trading=(row.trading_status or TRADING_STATUS_WHEN_ABSENT) == "TRADING",
    )
