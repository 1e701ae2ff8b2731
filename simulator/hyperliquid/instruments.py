"""What the simulated Hyperliquid lists, with the grid, leverage and fees the live venue publishes.

Source: ``{"type":"meta"}`` of the main net in October 2026 and the documentation's fee page, lowest tier. A
delisted perpetual stands among them: an asset's id is its place, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

from simulator.orders import SimInstrument
from venues.contract import E8

MAX_DECIMALS: Final = 6
MAX_SPOT_DECIMALS: Final = 8
SIGNIFICANT_FIGURES: Final = 5
MIN_NOTIONAL_E8: Final = 10 * E8  # checked by the front: its exemption and its price are the venue's own


class Perpetual(NamedTuple):
    """One entry of ``meta.universe``."""

    name: str
    size_decimals: int
    max_leverage: int
    is_delisted: bool = False


UNIVERSE: Final = (
    Perpetual("BTC", 5, 40),
    Perpetual("ETH", 4, 25),
    Perpetual("MATIC", 1, 20, is_delisted=True),
    Perpetual("SOL", 2, 20),
)


class Token(NamedTuple):
    """One entry of ``spotMeta.tokens``. Place and index agree, as clients differ in which they take."""

    name: str
    size_decimals: int
    wei_decimals: int


class SpotPair(NamedTuple):
    """One entry of ``spotMeta.universe``; only the first has a name that says what it is."""

    name: str
    base: int  # tokens
    quote: int


# Spot pairs have books like everything else; orders for them are refused here, like those for no asset.
TOKENS: Final = (Token("USDC", 8, 8), Token("PURR", 0, 5), Token("HYPE", 2, 8), Token("USDT0", 2, 8))
SPOT_PAIRS: Final = (SpotPair("PURR/USDC", 1, 0), SpotPair("@1", 2, 0), SpotPair("@2", 3, 0))


def _instrument(perpetual: Perpetual) -> SimInstrument:
    initial_e8 = E8 // perpetual.max_leverage
    return replace(
        _on_grid(perpetual.name, perpetual.name, MAX_DECIMALS, perpetual.size_decimals),
        initial_margin_ratio_e8=initial_e8,
        maintenance_margin_ratio_e8=initial_e8 // 2,
    )


def _spot_instrument(pair: SpotPair) -> SimInstrument:
    base = TOKENS[pair.base]
    made = _on_grid(pair.name, base.name, MAX_SPOT_DECIMALS, base.size_decimals)
    return replace(made, taker_fee_bps=7.0, maker_fee_bps=4.0)


def _on_grid(symbol: str, base: str, decimals_max: int, size_decimals: int) -> SimInstrument:
    """Something without leverage, with the grid that follows from how many decimals its sizes have."""
    decimals = decimals_max - size_decimals
    lot_e8: int = 10 ** (8 - size_decimals)
    return SimInstrument(
        symbol=symbol,
        base=base,
        tick_e8=10 ** (8 - decimals),
        lot_e8=lot_e8,
        min_size_e8=lot_e8,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=decimals,
        size_decimals=size_decimals,
        taker_fee_bps=4.5,
        maker_fee_bps=1.5,
        initial_margin_ratio_e8=E8,
        maintenance_margin_ratio_e8=E8,
        max_open_orders=1_000,
        price_band_e8=8 * E8 // 10,
        significant_figures=SIGNIFICANT_FIGURES,
    )


LISTING: Final = (
    *(_instrument(item) for item in UNIVERSE if not item.is_delisted),
    *map(_spot_instrument, SPOT_PAIRS),
)
ASSET_OF: Final = {item.name: place for place, item in enumerate(UNIVERSE)}
NAME_OF: Final = {place: item.name for place, item in enumerate(UNIVERSE)}


def meta(is_trading: Callable[[str], bool]) -> dict[str, Any]:
    """The answer to ``meta``. A coin that was delisted keeps its place."""
    rows: list[dict[str, Any]] = []
    for item in UNIVERSE:
        row = {
            "szDecimals": item.size_decimals,
            "name": item.name,
            "maxLeverage": item.max_leverage,
            "marginTableId": item.max_leverage,
        }
        is_delisted = item.is_delisted or not is_trading(item.name)
        rows.append(row | ({"isDelisted": True} if is_delisted else {}))
    return {"universe": rows, "marginTables": [], "collateralToken": 0}


def spot_meta() -> dict[str, Any]:
    """The answer to ``spotMeta``."""
    return {
        "universe": [
            {"tokens": [pair.base, pair.quote], "name": pair.name, "index": index, "isCanonical": index == 0}
            for index, pair in enumerate(SPOT_PAIRS)
        ],
        "tokens": [
            {
                "name": token.name,
                "szDecimals": token.size_decimals,
                "weiDecimals": token.wei_decimals,
                "index": index,
                "tokenId": f"0x{index + 1:032x}",
                "isCanonical": index < 2,
                "evmContract": None,
                "fullName": None,
                "deployerTradingFeeShare": "0.0",
            }
            for index, token in enumerate(TOKENS)
        ],
    }
