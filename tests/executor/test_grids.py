"""A venue changes tick and lot of a contract while the executor runs, over real sockets."""

from __future__ import annotations

import pytest

from shm.records import PairPhase
from tests.executor.harness import LEGS, SIZE_E8, SYMBOLS, Harness, a_harness
from venues.contract import E8

OFTEN = "import executor.housekeeping as housekeeping\nhousekeeping.READ_S = 0.2\n"


def relist(harness: Harness, venue: str) -> None:
    """Ticks a hundred times and lots ten times as coarse, as the venue's listing says from now on."""
    harness.exchange(venue).relist(SYMBOLS[venue], tick_factor=100, lot_factor=10)


@pytest.mark.parametrize("venue", LEGS)
async def test_what_is_held_is_closed_on_the_new_grid(venue: str) -> None:
    """The first try is refused; the grid is read, and the next one fits it."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        relist(harness, venue)

        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)

        line = await harness.until_logged("instrument_changed", venue=venue)
        instrument = harness.exchange(venue).instrument(SYMBOLS[venue])
        assert (line["symbol"], line["now"]["tick_e8"]) == (SYMBOLS[venue], instrument.tick_e8)
        assert line["was"]["tick_e8"] * 100 == instrument.tick_e8
        limit_e8 = harness.orders(venue)[-1].limit_price_e8
        assert limit_e8 is not None
        assert limit_e8 % instrument.tick_e8 == 0
        assert len(harness.logged("leg_rejected")) == 1
        assert harness.positions_e8 == (0, 0)
        assert not harness.logged("halted")


async def test_a_change_that_no_order_met_is_found_and_entries_fit_the_new_lots() -> None:
    """The detector still goes by the lots of the start: what does not fit is cut off, never added."""
    async with a_harness() as harness:
        await harness.start(prelude=OFTEN)
        relist(harness, "vest")
        await harness.until_logged("instrument_changed", venue="vest")

        lot_e8 = harness.exchange("vest").instrument(SYMBOLS["vest"]).lot_e8
        harness.enter(size_e8=SIZE_E8 + lot_e8 // 10)
        await harness.until_phase(PairPhase.HEDGED)

        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert not harness.logged("leg_rejected")
        limit_e8 = harness.orders("vest")[-1].limit_price_e8
        assert limit_e8 is not None
        assert limit_e8 % E8 == 0
