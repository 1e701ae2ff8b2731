"""A pair whose leg has lost its feed is closed by ``max_hold_s`` all the same."""

from __future__ import annotations

import time

import pytest

from shm.records import PairPhase, QuoteFlags
from simulator.faults import Fault
from tests.executor.harness import LEGS, Harness, a_harness


def silence(harness: Harness, venue: str) -> None:
    """What a feed publishes of a symbol that has fallen silent."""
    quote = harness._tops[venue].read(LEGS[venue])
    assert quote is not None
    harness._tops[venue].write(LEGS[venue], quote._replace(flags=int(QuoteFlags.STALE)))


@pytest.mark.parametrize("silent", [("vest",), ("paradex",), ("vest", "paradex")])
async def test_a_leg_without_a_price_is_priced_by_its_venue_and_closed(silent: tuple[str, ...]) -> None:
    """Far from the last price that was known: the venue is asked for its touch."""
    async with a_harness(strategy__max_hold_s=1.0) as harness:
        await harness.start()
        await harness.open()
        for venue in silent:
            silence(harness, venue)
            harness.show(venue, 51_000, 51_001, to_feed=False)
        closed = await harness.until_logged("trade_closed")
        assert harness.positions_e8 == (0, 0)
        reported = harness.logged("hold_exceeded")[0]
        assert {key.partition(":")[0]: how for key, how in reported["priced_by"].items()} == {
            venue: "asked" if venue in silent else "feed" for venue in ("vest", "paradex")
        }
        assert reported["held_s"] >= reported["limit_s"] == 1.0
        assert closed["reason"] == "max_hold_s"
        for venue in silent:
            harness.show(venue, 50_000 if venue == "vest" else 50_050, 50_051)
        await harness.until_next_beat()
        await harness.open()  # the wish to close has ended with what it was about


async def test_where_the_venue_does_not_answer_the_last_known_price_serves() -> None:
    async with a_harness(strategy__max_hold_s=1.0) as harness:
        await harness.start()
        await harness.open()
        fault = Fault("rest.depth*", times=None, status=503)
        harness.simulator.fronts["vest"].faults.add(fault)
        silence(harness, "vest")
        await harness.until_logged("trade_closed")
        assert harness.positions_e8 == (0, 0)
        assert harness.logged("hold_exceeded")[0]["priced_by"]["vest:BTC-PERP"] == "last known"


async def test_with_both_prices_the_detector_is_not_forestalled() -> None:
    """And neither is a pair closed whose time has not come."""
    async with a_harness(strategy__max_hold_s=1.0) as harness:
        await harness.start()
        await harness.open()
        opened_s = time.monotonic()
        await harness.until(lambda: time.monotonic() > opened_s + 3)
        assert harness.phase is PairPhase.HEDGED
        assert harness.logged("hold_exceeded") == []
