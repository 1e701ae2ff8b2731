"""Hyperliquid's perpetuals and spot pairs, their grids, and the public calls that need no account.

Source: the venue's documentation, "Info endpoint", "Tick and lot size" and "Fees", read in November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from venues.contract import E8, Call, Instrument, Touch, TransportError, VenueError
from venues.hyperliquid.assumptions import (
    MAX_DECIMALS,
    MAX_SPOT_DECIMALS,
    MIN_NOTIONAL_E8,
    NOBODY,
    SIGNIFICANT_FIGURES,
)
from venues.hyperliquid.hosts import NAME, QUOTE
from venues.hyperliquid.messages import (
    Level,
    Meta,
    PerpetualRow,
    SpotMeta,
    TokenRow,
    UnixMs,
    exact_e8,
    report_e8,
)
from venues.hyperliquid.rest import ask


class _Book(msgspec.Struct):
    coin: str
    levels: tuple[list[Level], list[Level]]


class _Fees(msgspec.Struct):
    userCrossRate: str


class _ExchangeStatus(msgspec.Struct):
    time: UnixMs
    specialStatuses: Any = None


_meta_decoder: Final = msgspec.json.Decoder(Meta)
_spot_meta_decoder: Final = msgspec.json.Decoder(SpotMeta)
_book_decoder: Final = msgspec.json.Decoder(_Book | None)
_fees_decoder: Final = msgspec.json.Decoder(_Fees)
_status_decoder: Final = msgspec.json.Decoder(_ExchangeStatus)


def fetch_listing() -> Call[list[PerpetualRow]]:
    """Every perpetual of the main dex; its place is its asset id, for ever."""
    meta = yield from ask(_meta_decoder, "meta")
    return meta.universe


def fetch_instruments(wanted: Mapping[str, int]) -> Call[list[Instrument]]:
    """Grids of the wanted instruments (symbol -> instrument_id), in that order.

    Spot pairs, which can be watched, go by their name on the wire: @107. Raises VenueError naming every
    symbol that is not listed.
    """
    spot = {symbol: number for symbol, number in wanted.items() if _is_spot(symbol)}
    perpetuals = {symbol: number for symbol, number in wanted.items() if symbol not in spot}
    found: list[Instrument] = []
    if perpetuals:
        listing = yield from fetch_listing()
        found += yield from grids(perpetuals, listing)
    if spot:
        found += yield from _fetch_spot(spot)
    order = list(wanted.values())
    return sorted(found, key=lambda instrument: order.index(instrument.instrument_id))


def _is_spot(symbol: str) -> bool:
    return "/" in symbol or symbol.startswith("@")


def _fetch_spot(wanted: Mapping[str, int]) -> Call[list[Instrument]]:
    meta = yield from ask(_spot_meta_decoder, "spotMeta")
    pairs = {pair.name: pair for pair in meta.universe}
    tokens = {token.index: token for token in meta.tokens}
    if missing := sorted(set(wanted) - set(pairs)):
        hint = "spot pairs go by their name on the wire, such as @107; spotMeta lists them"
        raise VenueError(NAME, "UNKNOWN_COIN", f"lists no {', '.join(missing)}: {hint}", status=200)
    found = []
    for symbol, number in wanted.items():
        legs = [tokens.get(index) for index in pairs[symbol].tokens]
        if legs[0] is None or legs[1] is None:
            raise TransportError(f"{NAME}: spotMeta: {symbol} names a token that is not there")
        found.append(_spot_instrument(symbol, number, legs[0], legs[1]))
    return found


def grids(wanted: Mapping[str, int], listing: Sequence[PerpetualRow]) -> Call[list[Instrument]]:
    """The wanted perpetuals of a listing, with the base tier's fee.

    Raises VenueError naming every symbol that is not listed.
    """
    check_listed(wanted, listing)
    fee_bps = yield from fetch_taker_fee_bps(NOBODY)
    rows = {row.name: row for row in listing}
    return [_instrument(rows[symbol], number, fee_bps) for symbol, number in wanted.items()]


def check_listed(wanted: Mapping[str, int], listing: Sequence[PerpetualRow]) -> None:
    """Raise VenueError naming the symbols that are no perpetuals here, and what may have been meant."""
    names = [row.name for row in listing]
    missing = sorted(set(wanted) - set(names))
    if not missing:
        return
    if spot := [symbol for symbol in missing if _is_spot(symbol)]:
        text = f"{', '.join(spot)}: spot is not traded by Tandem; name a perpetual such as BTC"
        raise VenueError(NAME, "UNKNOWN_COIN", text, status=200)
    near = [match for symbol in missing for match in get_close_matches(symbol, names, n=3, cutoff=0.5)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ": perpetuals go by their coin, such as BTC"
    raise VenueError(NAME, "UNKNOWN_COIN", f"lists no perpetual {', '.join(missing)}{hint}", status=200)


def fetch_taker_fee_bps(user: str) -> Call[float]:
    """What taking costs an account; a stranger pays the lowest tier's rate."""
    fees = yield from ask(_fees_decoder, "userFees", user=user)
    try:
        return report_e8(fees.userCrossRate) * 10_000 / E8
    except ValueError as error:
        raise TransportError(f"{NAME}: userFees: {error}") from None


def fetch_touch(symbol: str) -> Call[Touch]:
    """Best bid and ask now, for who has no feed."""
    book = yield from ask(_book_decoder, "l2Book", coin=symbol)
    if book is None:
        raise VenueError(NAME, "UNKNOWN_COIN", f"has no book of {symbol}", status=200)
    try:
        bid_e8, ask_e8 = (exact_e8(side[0].px) if side else 0 for side in book.levels)
    except ValueError as error:
        raise TransportError(f"{NAME}: l2Book of {symbol}: {error}") from None
    return Touch(bid_e8, ask_e8)


def fetch_server_time_ms() -> Call[int]:
    """The venue's clock in Unix milliseconds: that of its newest block."""
    status = yield from ask(_status_decoder, "exchangeStatus")
    return status.time


def fetch_system_state() -> Call[str]:
    """``ok``, or whatever the venue says is special now."""
    status = yield from ask(_status_decoder, "exchangeStatus")
    return "ok" if not status.specialStatuses else str(status.specialStatuses)[:100]


def _instrument(row: PerpetualRow, instrument_id: int, taker_fee_bps: float) -> Instrument:
    made = _on_grid(row.name, instrument_id, MAX_DECIMALS, row.szDecimals)
    return made._replace(
        base=row.name,
        quote=QUOTE,
        taker_fee_bps=taker_fee_bps,
        is_trading=not row.isDelisted,
        is_delisted=row.isDelisted,
    )


def _spot_instrument(symbol: str, instrument_id: int, base: TokenRow, quote: TokenRow) -> Instrument:
    made = _on_grid(symbol, instrument_id, MAX_SPOT_DECIMALS, base.szDecimals)
    return made._replace(base=base.name, quote=quote.name, is_spot=True)


def _on_grid(symbol: str, instrument_id: int, decimals_max: int, size_decimals: int) -> Instrument:
    """An instrument with the grid that follows from how many decimals its sizes have."""
    assert 0 <= size_decimals <= decimals_max, "the decoder has seen to it"
    decimals = decimals_max - size_decimals
    lot_e8: int = 10 ** (8 - size_decimals)
    return Instrument(
        instrument_id=instrument_id,
        venue=NAME,
        symbol=symbol,
        base="",
        tick_e8=10 ** (8 - decimals),
        lot_e8=lot_e8,
        min_size_e8=lot_e8,
        min_notional_e8=MIN_NOTIONAL_E8,
        max_size_e8=0,  # the venue's largest order is a value, not a size
        price_decimals=decimals,
        size_decimals=size_decimals,
        taker_fee_bps=0.0,
        is_trading=True,
        significant_figures=SIGNIFICANT_FIGURES,
    )
