"""A pair with a leg on Hyperliquid: the executor's process on simulated venues, on either side."""

from __future__ import annotations

import pytest

from executor.gateways.rate_limit import RateBudget
from executor.pair.messages import At
from executor.pair.pricing import NO_MARKET
from executor.venue_events import acked
from shm.records import PairPhase
from simulator import fault_scripts
from simulator.fault_runs import FaultRuns
from tests.executor.harness import HYPERLIQUID_PAIRS, SIZE_E8, World, a_world, symbols_of
from venues.contract import Side
from venues.hyperliquid import errors

PAIRS = {f"{pair[0]} first": symbols_of(pair) for pair in HYPERLIQUID_PAIRS}
each_pair = pytest.mark.parametrize("symbols", PAIRS.values(), ids=PAIRS.keys())
OURS = "hyperliquid"


def surprises(world: World) -> list[str]:
    events = ("halted", "position_mismatch", "orphaned_position", "frame_refused")
    return [str(line) for event in events for line in world.told(event)]


@each_pair
async def test_it_opens_and_closes(symbols: dict[str, str]) -> None:
    async with a_world(symbols) as world:
        await world.start()
        await world.open()
        assert [abs(held) for held in world.positions_e8] == [SIZE_E8, SIZE_E8]
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        fills = world.told("fill")
        assert {line["venue"] for line in fills} == set(symbols)
        assert all(line["fee_e8"] > 0 for line in fills)
        assert surprises(world) == []


@each_pair
async def test_a_lost_answer_is_found_by_the_orders_name(symbols: dict[str, str]) -> None:
    """The fills tell it first; the question by cloid has the last word."""
    async with a_world(symbols) as world:
        await world.start()
        faults = FaultRuns(world.simulator)
        for script in ("reply_lost", "event_lost:count=4"):
            await faults.start(fault_scripts.parse(f"{script}{',' if ':' in script else ':'}venue={OURS}"))
        world.enter()
        await world.until_phase(PairPhase.HEDGED)
        assert [abs(held) for held in world.positions_e8] == [SIZE_E8, SIZE_E8]
        await faults.stop()
        assert surprises(world) == []


async def test_an_order_that_never_arrived_is_made_never_to_arrive() -> None:
    """Refused by a frame that names nobody, it is in doubt, unknown, and then voided: no waiting for its
    time to be over (six seconds), and the other leg is mended well before."""
    async with a_world(PAIRS["hyperliquid first"]) as world:
        await world.start()
        front = world.simulator.fronts[OURS]
        faults = FaultRuns(world.simulator)
        await faults.start(fault_scripts.parse(f"answer_without_id:venue={OURS}"))
        world.enter()
        await world.until_told("leg_unknown", venue=OURS)
        resolved = await world.until_told("leg_resolved", venue=OURS)
        assert resolved["order_state"] == "rejected"
        assert resolved["questions"] <= 2
        assert front.exchange.orders(front.exchange.account_ids[0]) == [] or world.phase is not PairPhase.FLAT
        await world.until(lambda: world.phase in (PairPhase.FLAT, PairPhase.HEDGED), "mended")
        assert abs(world.positions_e8[0]) == abs(world.positions_e8[1])
        await faults.stop()


@pytest.mark.parametrize(
    "script",
    [
        *("budget_used_up", "wallet_unknown", "nonce_too_old", "upgrade", "post_only"),
        *("refused_in_other_words", "agent_expired", "delisted"),
    ],
)
async def test_what_is_particular_to_it_leaves_no_leg_alone(script: str) -> None:
    async with a_world(PAIRS["vest first"]) as world:
        await world.start()
        faults = FaultRuns(world.simulator)
        runs = await faults.start(fault_scripts.parse(f"{script}:venue={OURS}"))
        world.enter()
        await world.until(lambda: runs[0].struck > 0 and bool(world.told("leg_sent", venue="vest")), script)
        await world.until(
            lambda: world.phase in (PairPhase.FLAT, PairPhase.HEDGED, PairPhase.HALTED), "at rest"
        )
        await faults.stop()
        rest = (PairPhase.FLAT, PairPhase.HEDGED)
        await world.until(lambda: sum(world.positions_e8) == 0 and world.phase in rest, "hedged")
        assert not world.told("halted")


def test_a_close_refused_for_the_request_budget_does_not_wait_as_long_as_entries() -> None:
    """What is refused costs nothing there. The other leg is closed already: it must not stand alone for ten
    seconds because entries have to wait that long."""
    text = "Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.00."
    ack = errors.ack_of(1, errors.of_action(text), text)
    budget = RateBudget(())
    assert ack.retry_after_ms is not None
    budget.refused(ack.retry_after_ms, 0)
    assert budget.opens_from_mono_ns == 10_000_000_000
    assert acked(At(0, (NO_MARKET, NO_MARKET)), ack).retry_after_ms == 3_000
    assert acked(At(0, (NO_MARKET, NO_MARKET)), ack._replace(mends_after_ms=None)).retry_after_ms == 10_000


@each_pair
async def test_a_close_refused_for_the_request_budget_is_closed_all_the_same(symbols: dict[str, str]) -> None:
    """Refused twice, as in the script: HALTED before, because two pauses are longer than anybody waits."""
    async with a_world(symbols) as world:
        await world.start()
        await world.open()
        faults = FaultRuns(world.simulator)
        await faults.start(fault_scripts.parse(f"budget_used_up:venue={OURS}"))
        world.exit()
        await world.until_phase(PairPhase.FLAT)
        assert not world.told("halted")
        await faults.stop()


async def test_a_reduce_only_close_is_cut_to_what_is_left_and_the_rest_is_not_believed() -> None:
    """Somebody else closed half of the leg: the venue cuts our close, and says less than it seems."""
    async with a_world(PAIRS["hyperliquid first"]) as world:
        await world.start()
        await world.open()
        exchange = world.exchange(OURS)
        exchange.close_out(exchange.account_ids[0], "BTC", SIZE_E8 // 2)
        world.exit()
        await world.until(lambda: world.positions_e8 == (0, 0), "flat at both venues")
        await world.until_phase(PairPhase.FLAT)


async def test_the_limits_of_its_orders_are_on_its_grid() -> None:
    """Five figures: whole dollars at this price, though its finest step is a tenth of one."""
    async with a_world(PAIRS["vest first"], execution__price_band_bps=3.3) as world:
        await world.start()
        await world.open()
        orders = world.orders(OURS)
        assert orders
        for order in orders:
            assert order.limit_price_e8 is not None
            assert order.limit_price_e8 % 10**8 == 0
        assert Side(orders[0].side) is Side.SELL
