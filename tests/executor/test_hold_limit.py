"""A pair whose leg has lost its feed is closed by ``max_hold_s`` all the same."""

from __future__ import annotations

import time

import pytest

from shm.records import PairPhase, QuoteFlags
from simulator.faults import Fault
from tests.executor.harness import LEGS, World, a_world


def silence(world: World, venue: str) -> None:
    """What a feed publishes of a symbol that has fallen silent."""
    quote = world._tops[venue].read(LEGS[venue])
    assert quote is not None
    world._tops[venue].write(LEGS[venue], quote._replace(flags=int(QuoteFlags.STALE)))


@pytest.mark.parametrize("silent", [("vest",), ("paradex",), ("vest", "paradex")])
async def test_a_leg_without_a_price_is_priced_by_its_venue_and_closed(silent: tuple[str, ...]) -> None:
    """Far from the last price that was known: the venue is asked for its touch."""
    async with a_world(strategy__max_hold_s=1.0) as world:
        await world.start()
        await world.open()
        for venue in silent:
            silence(world, venue)
            world.show(venue, 51_000, 51_001, to_feed=False)
        closed = await world.until_told("trade_closed")
        assert world.positions_e8 == (0, 0)
        told = world.told("hold_exceeded")[0]
        assert {key.partition(":")[0]: how for key, how in told["priced_by"].items()} == {
            venue: "asked" if venue in silent else "feed" for venue in ("vest", "paradex")
        }
        assert told["held_s"] >= told["limit_s"] == 1.0
        assert closed["reason"] == "max_hold_s"
        for venue in silent:
            world.show(venue, 50_000 if venue == "vest" else 50_050, 50_051)
        await world.until_next_beat()
        await world.open()  # the wish to close has ended with what it was about


async def test_where_the_venue_does_not_answer_the_last_known_price_serves() -> None:
    async with a_world(strategy__max_hold_s=1.0) as world:
        await world.start()
        await world.open()
        fault = Fault("rest.depth*", times=None, status=503)
        world.simulator.fronts["vest"].faults.add(fault)
        silence(world, "vest")
        await world.until_told("trade_closed")
        assert world.positions_e8 == (0, 0)
        assert world.told("hold_exceeded")[0]["priced_by"]["vest:BTC-PERP"] == "last known"


async def test_with_both_prices_the_detector_is_not_forestalled() -> None:
    """And neither is a pair closed whose time has not come."""
    async with a_world(strategy__max_hold_s=1.0) as world:
        await world.start()
        await world.open()
        opened_s = time.monotonic()
        await world.until(lambda: time.monotonic() > opened_s + 3)
        assert world.phase is PairPhase.HEDGED
        assert world.told("hold_exceeded") == []
