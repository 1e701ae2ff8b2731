"""An executor whose pair has prices in two currencies, with a live rate between them, over real sockets."""

from __future__ import annotations

import pytest

from tests.executor.harness import Harness, a_harness
from venues.contract import E8

RATE = {
    "venue": "paradex",
    "symbol": "USDC-USD-PERP",
}  # dollars of a USDC: Vest's prices in Paradex' currency


async def refused(harness: Harness) -> str:
    """The gate that refuses an entry."""
    await harness.until(
        lambda: harness.view is not None and harness.view.entries_allowed == 1, "leave to enter"
    )
    harness.enter()
    line = await harness.until_logged("signal_refused")
    return str(line["gate"])


async def test_a_trade_is_compared_and_told_by_the_rate_of_its_own_time() -> None:
    """A dollar is worth 1.0417 USDC at 0.96: Paradex' 48 050 are 50 052 there, a gap of 10 bps."""
    async with a_harness(quote__usd_per_usdc=RATE) as harness:
        harness.show("paradex", 48_050, 48_051)
        harness.show_rate(0.96)
        await harness.start()
        await harness.open()
        opened = await harness.until_logged("trade_opened")
        assert opened["quote_rate_e8"] == 104_166_666
        assert opened["entry_spread_bps"] == pytest.approx(10.2, abs=0.3)
        holding = harness.logged("holding")[-1]
        assert holding["quote_rate_e8"] == 104_166_666

        harness.show_rate(1.0)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        assert closed["quote_rates_e8"] == [104_166_666, E8]
        # Paradex' leg was sold at 48 050 for 0.02: 961 dollars, and a dollar is worth 0.0417 USDC less now.
        assert closed["rate_move_e8"] == pytest.approx(-961 * 0.0416666 * E8, rel=1e-4)


async def test_a_limit_is_held_against_the_other_venue_in_one_currency() -> None:
    """The same figures at both venues are 400 bps apart, and refused at 100."""
    async with a_harness(quote__usd_per_usdc=RATE) as harness:
        harness.show_rate(0.96)
        await harness.start()
        assert await refused(harness) == "price_collar"


async def test_without_a_rate_nothing_is_opened_and_the_last_one_serves_until_the_next() -> None:
    async with a_harness(quote__usd_per_usdc=RATE) as harness:
        await harness.start()
        assert await refused(harness) == "quote_rate"
        harness.show_rate(1.0)
        await harness.open()
        harness.show_rate(2.0)  # no rate: too far from one
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        assert closed["quote_rates_e8"] == [E8, E8]
