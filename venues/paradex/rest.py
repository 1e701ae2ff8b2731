"""Reading REST answers, and the public calls that need no account.

Source: Paradex OpenAPI file, "System" and "Markets", read in October 2026.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from venues.contract import E8, Call, HttpRequest, HttpResponse, Instrument, Touch, TransportError, VenueError
from venues.paradex.errors import error_of
from venues.paradex.hosts import NAME
from venues.paradex.messages import PayloadError, exact_e8, read_json

# The base tier of API ("Pro") accounts, taken where a market states no fees of its own.
DEFAULT_TAKER_FEE_BPS: Final = 4.5

T = TypeVar("T")


def read_answer(read: Callable[[bytes], T], response: HttpResponse, *, status: int = 0) -> T:
    """Return what ``read`` makes of a 2xx body, or of one with that very status where one is given.

    Raises VenueError for the venue's own error, TransportError for any other answer outside 2xx and where
    ``read`` raises PayloadError: an answer that is not the venue's, or cannot be read, settles nothing.
    """
    if not 200 <= response.status < 300:
        raise error_of(response)
    if status and response.status != status:
        raise TransportError(f"{NAME}: HTTP {response.status} where {status} is documented")
    try:
        return read(response.body)
    except PayloadError as error:
        raise TransportError(f"{NAME}: HTTP {response.status}, {error}") from None


def json_as(kind: type[T]) -> Callable[[bytes], T]:
    """Return a reader of JSON objects of one type, for ``read_answer``."""
    return partial(read_json, msgspec.json.Decoder(kind))


def fetch_instruments(wanted: Mapping[str, int]) -> Call[list[Instrument]]:
    """Grids and fees of the wanted symbols (symbol -> instrument_id), in that order.

    Raises VenueError, naming what the venue does list, if one is unknown.
    """
    response = yield HttpRequest("GET", "/markets")
    listed = read_answer(_READ_MARKETS, response).results
    try:
        # Hundreds of options are listed too, with fields of their own: only the wanted are read whole.
        markets = {read_json(_SYMBOL_DECODER, market).symbol: market for market in listed}
        missing = [symbol for symbol in wanted if symbol not in markets]
        if missing:
            raise _unknown(missing, markets)
        return [
            _instrument(read_json(_MARKET_DECODER, markets[symbol]), instrument_id)
            for symbol, instrument_id in wanted.items()
        ]
    except PayloadError as error:
        raise TransportError(f"{NAME}: /markets: {error}") from None


def fetch_touch(symbol: str) -> Call[Touch]:
    """Best bid and ask now, for who has no feed. Source: Paradex OpenAPI file, ``GET /bbo/{market}``."""
    response = yield HttpRequest("GET", f"/bbo/{quote(symbol, safe='')}")
    bbo = read_answer(_READ_BBO, response)
    try:
        return Touch(exact_e8(bbo.bid or "0"), exact_e8(bbo.ask or "0"))
    except PayloadError as error:
        raise TransportError(f"{NAME}: /bbo/{symbol}: {error}") from None


def fetch_system_state() -> Call[str]:
    """``ok``, ``maintenance``, ``cancel_only`` or ``post_only``; the last two last about two minutes."""
    response = yield HttpRequest("GET", "/system/state")
    return read_answer(_READ_STATE, response).status


def fetch_server_time_ms() -> Call[int]:
    """The venue's clock in Unix milliseconds, to compare with ours."""
    response = yield HttpRequest("GET", "/system/time")
    server_time = read_answer(_READ_TIME, response).server_time
    try:
        return int(server_time)
    except ValueError:
        raise TransportError(f"{NAME}: /system/time says {server_time!r}") from None


class _Fee(msgspec.Struct, frozen=True):
    fee: str


class _Fees(msgspec.Struct, frozen=True):
    taker_fee: _Fee


class _FeeConfig(msgspec.Struct, frozen=True):
    api_fee: _Fees | None = None


class _SymbolJson(msgspec.Struct, frozen=True):
    symbol: str


class _MarketJson(msgspec.Struct, frozen=True):
    symbol: str
    base_currency: str
    price_tick_size: str
    order_size_increment: str
    min_notional: str = ""
    max_order_size: str = ""
    trading_mode: str = ""
    quote_currency: str = "USD"  # it settles in USDC, at the rate of its own oracle
    fee_config: _FeeConfig | None = None


class _MarketsJson(msgspec.Struct, frozen=True):
    results: list[msgspec.Raw]


class _BboJson(msgspec.Struct, frozen=True):
    bid: str = ""  # empty without a bid
    ask: str = ""


class _StateJson(msgspec.Struct, frozen=True):
    status: str


class _TimeJson(msgspec.Struct, frozen=True):
    server_time: str | int  # a text by the specification, a number in one capture


_READ_MARKETS: Final = json_as(_MarketsJson)
_SYMBOL_DECODER: Final = msgspec.json.Decoder(_SymbolJson)
_MARKET_DECODER: Final = msgspec.json.Decoder(_MarketJson)
_READ_BBO: Final = json_as(_BboJson)
_READ_STATE: Final = json_as(_StateJson)
_READ_TIME: Final = json_as(_TimeJson)


def _unknown(missing: list[str], listed: Iterable[str]) -> VenueError:
    known = list(listed)
    near = [match for symbol in missing for match in get_close_matches(symbol, known, n=3, cutoff=0.5)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return VenueError(NAME, "MARKET_NOT_FOUND", f"lists no market {', '.join(missing)}{hint}", status=200)


def _instrument(market: _MarketJson, instrument_id: int) -> Instrument:
    tick_e8, lot_e8 = exact_e8(market.price_tick_size), exact_e8(market.order_size_increment)
    if tick_e8 <= 0 or lot_e8 <= 0:
        raise PayloadError(
            f"{market.symbol} has tick {market.price_tick_size}, lot {market.order_size_increment}"
        )
    api_fee = market.fee_config.api_fee if market.fee_config else None
    return Instrument(
        instrument_id=instrument_id,
        venue=NAME,
        symbol=market.symbol,
        base=market.base_currency,
        tick_e8=tick_e8,
        lot_e8=lot_e8,
        min_size_e8=lot_e8,  # the venue states a minimum in notional only
        min_notional_e8=exact_e8(market.min_notional or "0"),
        max_size_e8=exact_e8(market.max_order_size or "0"),
        price_decimals=_decimals(tick_e8),
        size_decimals=_decimals(lot_e8),
        taker_fee_bps=_bps(api_fee.taker_fee.fee) if api_fee else DEFAULT_TAKER_FEE_BPS,
        quote=market.quote_currency,
        is_trading=market.trading_mode in ("", "STANDARD"),
    )


def _decimals(step_e8: int) -> int:
    """Decimals of prices or sizes that are multiples of a step: 1 for 0.1 and for 0.5."""
    decimals = 8
    while decimals and step_e8 % 10 == 0:
        step_e8 //= 10
        decimals -= 1
    return decimals


def _bps(rate: str) -> float:
    return exact_e8(rate) * 10_000 / E8
