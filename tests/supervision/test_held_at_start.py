"""What a venue has changed meanwhile must not keep a start from what is held."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from settings import Settings, SettingsError, parse_settings
from simulator.config import SimulatorConfig
from simulator.process import RunningSimulator, serve
from supervision.preflight import load_instruments, resolve
from tests.executor.harness import StandingStill
from venues.contract import E8

MISSING = "SOL-PERP"


def settings_of(simulator: RunningSimulator, *, eth: str = "ETH-PERP") -> Settings:
    pairs = [
        {"id": base.lower(), "base": base, "legs": {"vest": vest, "paradex": paradex}, "size_base": "0.02"}
        for base, vest, paradex in (("BTC", "BTC-PERP", "BTC-USD-PERP"), ("ETH", eth, "ETH-USD-PERP"))
    ]
    raw: dict[str, Any] = {
        "version": 1,
        "mode": "sim",
        "bot_id": "test",
        "pairs": pairs,
        "strategy": {"entry_bps": 2.0, "exit_bps": 0.0},
        "quote": {"usdc_per_usd": "par"},
        "risk": {
            "max_order_notional_quote": "5000",
            "max_position_notional_quote": "10000",
            "max_daily_loss_quote": "200",
        },
        "simulator": {"ports": dict(simulator.ports)},
    }
    return parse_settings(resolve(raw, "test")[1], "test")


def spoil(simulator: RunningSimulator, how: str) -> None:
    exchange = simulator.exchanges["paradex"]
    listing = exchange._ledger.listings["BTC-USD-PERP"]
    match how:
        case "lot":
            changed = replace(listing.instrument, lot_e8=3_000_000, min_size_e8=3_000_000)
            listing.instrument = changed
        case "maximum":
            listing.instrument = replace(listing.instrument, max_size_e8=E8 // 100)


@pytest.mark.parametrize("how", ["lot", "maximum", "unknown"])
async def test_what_does_not_fit_is_suspended_where_something_is_held_and_else_refused(how: str) -> None:
    simulator = await serve(SimulatorConfig(), source=StandingStill())
    try:
        first = await asyncio.to_thread(
            load_instruments, settings_of(simulator), "test", is_any_held=lambda: False
        )
        assert first.suspended == {}
        spoil(simulator, how)
        settings = settings_of(simulator, eth=MISSING if how == "unknown" else "ETH-PERP")
        concerned = "eth" if how == "unknown" else "btc"
        with pytest.raises(SettingsError) as refused:
            await asyncio.to_thread(load_instruments, settings, "test", is_any_held=lambda: False)
        [problem] = refused.value.problems

        loaded = await asyncio.to_thread(
            load_instruments, settings, "test", is_any_held=lambda: True, remembered=first.instruments
        )
        assert loaded.suspended == {concerned: str(problem)}
        assert [item.instrument_id for item in loaded.instruments] == [0, 1, 2, 3]
        assert [item.symbol for item in loaded.instruments] == [leg.symbol for leg in settings.legs]
    finally:
        await simulator.stop()


async def test_a_contract_that_is_listed_no_more_keeps_the_grid_of_the_last_start() -> None:
    """Its position can be asked for, and what closes it is on the grid that the venue had."""
    simulator = await serve(SimulatorConfig(), source=StandingStill())
    try:
        settings = settings_of(simulator)
        first = await asyncio.to_thread(load_instruments, settings, "test", is_any_held=lambda: False)
        kept = tuple(
            item._replace(symbol=MISSING) if item.symbol == "ETH-PERP" else item for item in first[0]
        )
        gone = settings_of(simulator, eth=MISSING)
        loaded = await asyncio.to_thread(
            load_instruments, gone, "test", is_any_held=lambda: True, remembered=kept
        )
        assert loaded.instruments[2] == kept[2]._replace(is_trading=False)
        assert set(loaded.suspended) == {"eth"}
    finally:
        await simulator.stop()


async def test_a_venue_that_is_away_is_waited_for_whatever_is_held() -> None:
    """Exit code 3: the service manager tries again; nothing could be looked after there anyway."""
    simulator = await serve(SimulatorConfig(), source=StandingStill())
    settings = settings_of(simulator)
    await simulator.stop()
    with pytest.raises(SettingsError) as refused:
        await asyncio.to_thread(load_instruments, settings, "test", is_any_held=lambda: True)
    assert all(problem.may_pass for problem in refused.value.problems)
