"""Instruments of the simulated Paradex, with the grid, limits, ratios and fees that the live venue publishes.

Source: ``GET /markets`` of the live venue and the documentation's fee page (API profile, no volume
discount), late 2026. They change; an adapter reads them from the endpoint.
"""

from __future__ import annotations

from simulator.orders import SimInstrument
from venues.contract import E8

LISTING = (
    SimInstrument(
        symbol="BTC-USD-PERP",
        base="BTC",
        tick_e8=E8 // 10,
        lot_e8=E8 // 100_000,
        min_size_e8=E8 // 100_000,
        min_notional_e8=10 * E8,
        max_size_e8=100 * E8,
        price_decimals=1,
        size_decimals=5,
        taker_fee_bps=4.5,
        maker_fee_bps=0.3,
        initial_margin_ratio_e8=E8 // 50,
        maintenance_margin_ratio_e8=E8 // 100,
        position_limit_e8=300 * E8,
        max_open_orders=150,
        price_band_e8=E8 // 20,
    ),
    SimInstrument(
        symbol="ETH-USD-PERP",
        base="ETH",
        tick_e8=E8 // 100,
        lot_e8=E8 // 10_000,
        min_size_e8=E8 // 10_000,
        min_notional_e8=10 * E8,
        max_size_e8=2_000 * E8,
        price_decimals=2,
        size_decimals=4,
        taker_fee_bps=4.5,
        maker_fee_bps=0.3,
        initial_margin_ratio_e8=E8 // 50,
        maintenance_margin_ratio_e8=E8 // 100,
        position_limit_e8=6_000 * E8,
        max_open_orders=150,
        price_band_e8=E8 // 20,
    ),
    SimInstrument(
        symbol="SOL-USD-PERP",
        base="SOL",
        tick_e8=E8 // 1_000,
        lot_e8=E8 // 1_000,
        min_size_e8=E8 // 1_000,
        min_notional_e8=10 * E8,
        max_size_e8=20_000 * E8,
        price_decimals=3,
        size_decimals=3,
        taker_fee_bps=4.5,
        maker_fee_bps=0.3,
        initial_margin_ratio_e8=E8 // 20,
        maintenance_margin_ratio_e8=E8 // 40,
        position_limit_e8=60_000 * E8,
        max_open_orders=150,
        price_band_e8=E8 // 20,
    ),
    # Invented: for trying a live rate between the two quote currencies (``quote`` in config.yaml).
    SimInstrument(
        symbol="USDC-USD-PERP",
        base="USDC",
        tick_e8=E8 // 100_000,
        lot_e8=E8,
        min_size_e8=E8,
        min_notional_e8=10 * E8,
        max_size_e8=1_000_000 * E8,
        price_decimals=5,
        size_decimals=0,
        taker_fee_bps=4.5,
        maker_fee_bps=0.3,
        initial_margin_ratio_e8=E8 // 20,
        maintenance_margin_ratio_e8=E8 // 40,
        position_limit_e8=3_000_000 * E8,
        max_open_orders=150,
        price_band_e8=E8 // 20,
    ),
)
