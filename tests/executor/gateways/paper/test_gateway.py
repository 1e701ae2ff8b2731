"""Mode paper in the executor as it runs: its own process, prices from shared memory, no venue at all."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor.gateways.paper.journal import PaperOrder
from executor.gateways.paper.wire import OneWay
from runtime.clock import SystemClock
from shm.records import PairPhase
from tests.executor.harness import LEGS, SIZE_E8, Harness, a_harness
from tests.waiting import DEADLINE_S
from venues.contract import E8

QUICK = {"latency_ms": 5.0, "jitter_ms": 2.0, "slippage_bps": 0.0}


def account_file(directory: Path, venue: str) -> Path:
    return directory / f"paper-test-{venue}.journal"


def kept(directory: Path, venue: str) -> list[PaperOrder]:
    """The virtual venue's own record of its orders."""
    path = account_file(directory, venue)
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return [msgspec.json.decode(line.partition(b" ")[2], type=PaperOrder) for line in lines]


def position_e8(directory: Path, venue: str) -> int:
    return sum(order.side * order.filled_e8 for order in kept(directory, venue))


@asynccontextmanager
async def a_paper_harness(
    directory: Path, *, latency: Mapping[str, Any] = QUICK, max_price_age_ms: float = 60_000.0, **changes: Any
) -> AsyncIterator[Harness]:
    """As ``a_world``, whose simulator only tells the instruments; the mode is paper."""
    paper = {"max_price_age_ms": max_price_age_ms, "venues": {venue: dict(latency) for venue in LEGS}}
    async with a_harness(**changes) as harness:
        harness.rewrite_launch(mode="paper", paper=paper, persistence={"var_dir": str(directory)})
        yield harness
        assert all(not harness.exchange(venue).account_ids for venue in LEGS), "a venue was spoken to"


async def test_a_signal_opens_both_legs_and_an_exit_closes_them(tmp_path: Path) -> None:
    """The very same lines as in the other modes, and the same result from the same prices."""
    async with a_paper_harness(tmp_path) as harness:
        await harness.start()
        await harness.open()
        assert (position_e8(tmp_path, "vest"), position_e8(tmp_path, "paradex")) == (SIZE_E8, -SIZE_E8)

        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        await harness.until_phase(PairPhase.FLAT)

        # 49 = 50 050 - 50 001 gained on the way in, 2 x 0.5 given to each spread on the way out.
        assert closed["net_e8"] == (49 - 1) * SIZE_E8 - closed["fees_e8"]
        orders = {venue: kept(tmp_path, venue) for venue in LEGS}
        fees_e8 = sum(fill.fee_e8 for venue in LEGS for order in orders[venue] for fill in order.fills)
        assert closed["fees_e8"] == fees_e8 > 0
        assert [order.time_in_force for order in orders["vest"]] == ["FOK", "FOK"]
        assert [order.time_in_force for order in orders["paradex"]] == ["IOC", "IOC"]
        assert [order.reduce_only for order in orders["vest"]] == [False, True]
        # Out and back take two latencies of five to seven milliseconds each.
        assert all(line["fill_us"] >= 10_000 for line in harness.logged("leg_filled"))
        balances_e8 = [harness.logged("paper_account", venue=venue)[-1]["balance_e8"] for venue in LEGS]
        assert sum(balances_e8) == 2 * 10_000 * E8 + closed["net_e8"]
        assert await harness.terminate() == 0
        assert harness.errors == b""


async def a_round_trip(harness: Harness) -> list[Mapping[str, Any]]:
    """Open and close a pair; what was told of it, without names and times.

    Fees to 10**-5, because Vest tells them rounded.
    """
    await harness.start()
    await harness.open()
    harness.show("paradex", 50_000, 50_001)
    harness.exit()
    await harness.until_logged("trade_closed")
    await harness.until(lambda: len(harness.logged("fill")) >= 4, "every fill told")
    facts = {
        "intent_written": ("venue", "side", "purpose", "size_e8", "limit_price_e8", "reduce_only"),
        "fill": ("venue", "side", "price_e8", "size_e8", "fee_e8"),
        "leg_filled": ("venue", "order_state", "filled_e8", "average_price_e8", "purpose"),
        "trade_opened": ("size_e8", "entry_spread_bps"),
        "trade_closed": ("net_e8", "gross_e8", "fees_e8", "entry_spread_bps", "exit_spread_bps"),
    }

    def reported(line: Mapping[str, Any], name: str) -> Any:
        return round(line[name], -3) if name in ("fee_e8", "fees_e8", "net_e8") else line.get(name)

    return sorted(
        (
            {"event": line["event"], **{name: reported(line, name) for name in facts[line["event"]]}}
            for line in harness.lines
            if line["event"] in facts
        ),
        key=str,
    )


async def test_paper_and_a_venue_tell_the_same_story(tmp_path: Path) -> None:
    """The live gateway against the simulator and the paper one: same market, same orders, same money."""
    async with a_harness() as harness:
        told_by_venue = await a_round_trip(harness)
    async with a_paper_harness(tmp_path) as harness:
        told_by_paper = await a_round_trip(harness)

    assert len([line for line in told_by_venue if line["event"] == "leg_filled"]) >= 4
    assert told_by_paper == told_by_venue


async def test_an_order_meets_the_book_that_stands_when_it_arrives(tmp_path: Path) -> None:
    """Sent at 50 001, it finds 50 010 and its limit allows that: what latency costs."""
    slow = {**QUICK, "latency_ms": 400.0}
    timings = {"execution__reply_timeout_ms": 2_000.0, "execution__order_validity_ms": 5_000}
    async with a_paper_harness(tmp_path, latency=slow, **timings) as harness:
        await harness.start()
        harness.enter()
        # The counter is in shared memory: no log line could be read this soon on a busy machine.
        await harness.until(lambda: harness.counter("orders_sent_total") == 2, "sent")
        harness.show("vest", 50_009, 50_010)
        fill = await harness.until_logged("fill", venue="vest")
        assert fill["price_e8"] == 50_010 * E8


async def test_an_order_that_meets_old_depth_is_refused_by_name(tmp_path: Path) -> None:
    """The strategy's own limit is an hour here: it is the virtual venue that says no."""
    async with a_paper_harness(tmp_path, max_price_age_ms=1.0) as harness:
        await harness.start()
        shown_mono_ns = time.monotonic_ns()
        await harness.until(lambda: time.monotonic_ns() - shown_mono_ns > 2_000_000, "older than the limit")
        harness.enter()
        refused = await harness.until_logged("leg_rejected")
        assert refused["code"] == "PAPER_STALE_BOOK"
        assert "the limit is 1 ms" in refused["text"]
        await harness.until_phase(PairPhase.FLAT)
        assert position_e8(tmp_path, "vest") == position_e8(tmp_path, "paradex") == 0


async def test_a_leg_that_finds_too_little_is_mended_by_the_same_machine(tmp_path: Path) -> None:
    """Paradex fills a part: the pair is naked, and ends with both legs equal."""
    slow = {**QUICK, "latency_ms": 400.0}
    timings = {"execution__retry_delay_ms": 10.0, "execution__reply_timeout_ms": 2_000.0}
    timings["execution__order_validity_ms"] = 5_000
    async with a_paper_harness(tmp_path, latency=slow, **timings) as harness:
        await harness.start()
        harness.enter()
        await harness.until_logged("leg_sent", venue="paradex")
        harness.show("paradex", 50_050, 50_051, size=0.005)  # the gates saw more than the order meets
        await harness.until_logged("naked_start")
        await harness.until(lambda: harness.phase in (PairPhase.FLAT, PairPhase.HEDGED), "mended")
        assert position_e8(tmp_path, "vest") == -position_e8(tmp_path, "paradex")


@pytest.mark.parametrize("moment", ["arrived", "leg_sent", "trade_opened"])
async def test_an_executor_killed_in_mid_trade_finds_its_virtual_positions_again(
    tmp_path: Path, moment: str
) -> None:
    """kill -9: the venue's truth outlives the process, also where nothing of it had been told."""
    # "arrived": the fill is on record and its answer still on the way.
    latency = {**QUICK, "latency_ms": 600.0} if moment == "arrived" else QUICK
    timeouts = {"execution__reply_timeout_ms": 3_000.0, "execution__query_interval_ms": 100.0}
    timeouts["execution__order_validity_ms"] = 5_000
    async with a_paper_harness(tmp_path, latency=latency, **timeouts) as harness:
        await harness.start()
        harness.enter()
        if moment == "arrived":
            await harness.until(lambda: all(kept(tmp_path, venue) for venue in LEGS), "both arrived")
            assert not harness.logged("leg_acked")
        else:
            await harness.until_logged(moment)
        await harness.kill()
        before = {venue: position_e8(tmp_path, venue) for venue in LEGS}
        await harness.start(wait_ready=False)
        assert harness.process is not None
        await harness.until_logged("process_started", pid=harness.process.pid, restored=["btc"])
        reported = await harness.until_logged("paper_account", venue="vest", pid=harness.process.pid)
        found_e8 = sum(item["size_e8"] for item in reported["positions"].values())
        assert found_e8 == before["vest"]
        await harness.until(
            lambda: harness.counter("ready") == 1 and harness.phase in (PairPhase.FLAT, PairPhase.HEDGED),
            "settled after restart",
        )
        if moment == "arrived":  # told in words: a position alone would not say at which price
            for venue, price in (("vest", 50_001), ("paradex", 50_050)):
                resolved = await harness.until_logged("leg_resolved", venue=venue)
                assert resolved["average_price_e8"] == price * E8
        held = (position_e8(tmp_path, "vest"), position_e8(tmp_path, "paradex"))
        assert held in ((0, 0), (SIZE_E8, -SIZE_E8))
        assert moment == "leg_sent" or held != (0, 0)
        if held != (0, 0):
            harness.exit()
            await harness.until_phase(PairPhase.FLAT)
        for venue in LEGS:
            ids = [order.client_order_id for order in kept(tmp_path, venue)]
            assert len(set(ids)) == len(ids) <= 2
            assert position_e8(tmp_path, venue) == 0
        assert not harness.logged("halted")


async def test_a_damaged_account_ends_the_start_with_its_name(tmp_path: Path) -> None:
    account_file(tmp_path, "paradex").write_text("not an account\n")
    async with a_paper_harness(tmp_path) as harness:
        await harness.start(wait_ready=False)
        assert harness.process is not None
        assert await harness.process.wait() == 2
        wanted = f"{account_file(tmp_path, 'paradex')}: line 1 is damaged".encode()
        await harness.until(lambda: wanted in harness.errors)


async def test_messages_of_one_way_keep_their_order_and_take_their_time() -> None:
    """However the draws fall: a fill is never told before an earlier one."""
    way = OneWay(random.Random(3), SystemClock(), latency_ms=5, jitter_ms=30)
    began_mono_ns = time.monotonic_ns()
    arrived: list[tuple[int, int]] = []
    all_there = asyncio.Event()

    def arrive(number: int) -> None:
        arrived.append((number, time.monotonic_ns() - began_mono_ns))
        if number == 49:
            all_there.set()

    for number in range(50):
        way.carry(partial(arrive, number))
    await asyncio.wait_for(all_there.wait(), DEADLINE_S)

    assert [number for number, _ in arrived] == list(range(50))
    assert arrived[0][1] >= 5_000_000
    assert arrived[-1][1] >= 15_000_000  # of fifty draws one is far above the least

    later = OneWay(random.Random(3), SystemClock(), latency_ms=40, jitter_ms=0)
    is_later = asyncio.Event()
    way.carry(partial(arrive, -1))  # due before what goes by the other way
    later.carry(is_later.set)
    way.close()
    await asyncio.wait_for(is_later.wait(), DEADLINE_S)
    assert len(arrived) == 50
