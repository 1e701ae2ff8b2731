"""Instruments of the simulated Vest, with the decimals, ratios and fee that the live venue publishes.

Source: Vest v2 ``GET /exchangeInfo`` and the documentation's fee page, late 2025.
"""

from __future__ import annotations

from simulator.orders import SimInstrument
from venues.contract import E8

LISTING = (
    SimInstrument(
        symbol="BTC-PERP",
        base="BTC",
        tick_e8=E8 // 100,
        lot_e8=E8 // 10_000,
        min_size_e8=E8 // 10_000,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=2,
        size_decimals=4,
        taker_fee_bps=1.0,
        maker_fee_bps=1.0,
        initial_margin_ratio_e8=E8 // 50,
        maintenance_margin_ratio_e8=E8 // 100,
    ),
    SimInstrument(
        symbol="ETH-PERP",
        base="ETH",
        tick_e8=E8 // 1_000,
        lot_e8=E8 // 1_000,
        min_size_e8=E8 // 1_000,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=3,
        size_decimals=3,
        taker_fee_bps=1.0,
        maker_fee_bps=1.0,
        initial_margin_ratio_e8=E8 // 50,
        maintenance_margin_ratio_e8=E8 // 100,
    ),
)
