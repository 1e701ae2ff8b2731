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
from tests.executor.harness import HYPERLIQUID_PAIRS, SIZE_E8, Harness, a_harness, symbols_of
from venues.contract import Side
from venues.hyperliquid import errors

PAIRS = {f"{pair[0]} first": symbols_of(pair) for pair in HYPERLIQUID_PAIRS}
each_pair = pytest.mark.parametrize("symbols", PAIRS.values(), ids=PAIRS.keys())
OURS = "hyperliquid"


def surprises(harness: Harness) -> list[str]:
    events = ("halted", "position_mismatch", "orphaned_position", "frame_refused")
    return [str(line) for event in events for line in harness.logged(event)]


@each_pair
async def test_it_opens_and_closes(symbols: dict[str, str]) -> None:
    async with a_harness(symbols) as harness:
        await harness.start()
        await harness.open()
        assert [abs(held) for held in harness.positions_e8] == [SIZE_E8, SIZE_E8]
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        fills = harness.logged("fill")
        assert {line["venue"] for line in fills} == set(symbols)
        assert all(line["fee_e8"] > 0 for line in fills)
        assert surprises(harness) == []


@each_pair
async def test_a_lost_answer_is_found_by_the_orders_name(symbols: dict[str, str]) -> None:
    """The fills tell it first; the question by cloid has the last word."""
    async with a_harness(symbols) as harness:
        await harness.start()
        faults = FaultRuns(harness.simulator)
        for script in ("reply_lost", "event_lost:count=4"):
            await faults.start(fault_scripts.parse(f"{script}{',' if ':' in script else ':'}venue={OURS}"))
        harness.enter()
        await harness.until_phase(PairPhase.HEDGED)
        assert [abs(held) for held in harness.positions_e8] == [SIZE_E8, SIZE_E8]
        await faults.stop()
        assert surprises(harness) == []


async def test_an_order_that_never_arrived_is_made_never_to_arrive() -> None:
    """Refused by a frame that names nobody, it is in doubt, unknown, and then voided: no waiting for its
    time to be over (six seconds), and the other leg is mended well before."""
    async with a_harness(PAIRS["hyperliquid first"]) as harness:
        await harness.start()
        front = harness.simulator.fronts[OURS]
        faults = FaultRuns(harness.simulator)
        await faults.start(fault_scripts.parse(f"answer_without_id:venue={OURS}"))
        harness.enter()
        await harness.until_logged("leg_unknown", venue=OURS)
        resolved = await harness.until_logged("leg_resolved", venue=OURS)
        assert resolved["order_state"] == "rejected"
        assert resolved["questions"] <= 2
        assert (
            front.exchange.orders(front.exchange.account_ids[0]) == [] or harness.phase is not PairPhase.FLAT
        )
        await harness.until(lambda: harness.phase in (PairPhase.FLAT, PairPhase.HEDGED), "mended")
        assert abs(harness.positions_e8[0]) == abs(harness.positions_e8[1])
        await faults.stop()


@pytest.mark.parametrize(
    "script",
    [
        *("budget_used_up", "wallet_unknown", "nonce_too_old", "upgrade", "post_only"),
        *("refused_in_other_words", "agent_expired", "delisted"),
    ],
)
async def test_what_is_particular_to_it_leaves_no_leg_alone(script: str) -> None:
    async with a_harness(PAIRS["vest first"]) as harness:
        await harness.start()
        faults = FaultRuns(harness.simulator)
        runs = await faults.start(fault_scripts.parse(f"{script}:venue={OURS}"))
        harness.enter()
        await harness.until(
            lambda: runs[0].struck > 0 and bool(harness.logged("leg_sent", venue="vest")), script
        )
        await harness.until(
            lambda: harness.phase in (PairPhase.FLAT, PairPhase.HEDGED, PairPhase.HALTED), "at rest"
        )
        await faults.stop()
        rest = (PairPhase.FLAT, PairPhase.HEDGED)
        await harness.until(lambda: sum(harness.positions_e8) == 0 and harness.phase in rest, "hedged")
        assert not harness.logged("halted")


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
    async with a_harness(symbols) as harness:
        await harness.start()
        await harness.open()
        faults = FaultRuns(harness.simulator)
        await faults.start(fault_scripts.parse(f"budget_used_up:venue={OURS}"))
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert not harness.logged("halted")
        await faults.stop()


async def test_a_reduce_only_close_is_cut_to_what_is_left_and_the_rest_is_not_believed() -> None:
    """Somebody else closed half of the leg: the venue cuts our close, and says less than it seems."""
    async with a_harness(PAIRS["hyperliquid first"]) as harness:
        await harness.start()
        await harness.open()
        exchange = harness.exchange(OURS)
        exchange.close_out(exchange.account_ids[0], "BTC", SIZE_E8 // 2)
        harness.exit()
        await harness.until(lambda: harness.positions_e8 == (0, 0), "flat at both venues")
        await harness.until_phase(PairPhase.FLAT)


async def test_the_limits_of_its_orders_are_on_its_grid() -> None:
    """Five figures: whole dollars at this price, though its finest step is a tenth of one."""
    async with a_harness(PAIRS["vest first"], execution__price_band_bps=3.3) as harness:
        await harness.start()
        await harness.open()
        orders = harness.orders(OURS)
        assert orders
        for order in orders:
            assert order.limit_price_e8 is not None
            assert order.limit_price_e8 % 10**8 == 0
        assert Side(orders[0].side) is Side.SELL
