"""Executions that were not heard: asked for until they are known, and their trade corrected."""

from __future__ import annotations

from events.codec import from_fields
from persistence.restore import fold
from runtime.carried_positions import write_carried
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import World, a_world


def paid_e8(world: World) -> int:
    """Fees as the venues have booked them and tell them: Vest's money has six decimals."""
    vest, paradex = (sum(order.fee_e8 for order in world.orders(venue)) for venue in ("vest", "paradex"))
    return vest - vest % 100 + paradex


def newest_result(world: World) -> tuple[int, bool]:
    """Fees of the trade, and whether they are an estimate, as told last."""
    told = [line for line in world.lines if line["event"] in ("trade_closed", "trade_corrected")]
    return told[-1]["fees_e8"], told[-1]["is_estimated"]


async def close_without_fills(world: World) -> None:
    """A round trip whose last execution on Paradex is not heard, and that the venue does not list either."""
    faults = world.simulator.fronts["paradex"].faults
    faults.add(Fault("push.fills.*", drop=True))
    faults.add(Fault("rest.fills", times=None, status=503))
    world.show("paradex", 50_000, 50_001)
    world.exit()
    await world.until_told("trade_closed")


def the_venue_answers(world: World) -> None:
    world.simulator.fronts["paradex"].faults.clear()


async def test_a_lost_execution_is_asked_for_before_its_trade_is_closed() -> None:
    """Lost at the entry, its price and fee are known long before the exit."""
    async with a_world() as world:
        await world.start()
        world.simulator.fronts["paradex"].faults.add(Fault("push.fills.*", drop=True))
        await world.open()
        corrected = await world.until_told("leg_corrected", venue="paradex")
        assert "is_estimated" not in corrected
        assert corrected["fee_e8"] == world.orders("paradex")[0].fee_e8
        await world.until_told("fill", venue="paradex")
        world.show("paradex", 50_000, 50_001)
        world.exit()
        closed = await world.until_told("trade_closed")
        assert closed["fees_e8"] == paid_e8(world)
        assert not closed["is_estimated"]


async def test_a_trade_closed_without_a_fee_is_an_estimate_until_the_venue_tells_it() -> None:
    """Fees are missing always in our favour: results, limits and tables must not go by that for good."""
    async with a_world() as world:
        await world.start()
        await world.open()
        await close_without_fills(world)
        closed_fees_e8, is_estimated = newest_result(world)
        assert is_estimated
        assert closed_fees_e8 < paid_e8(world)
        await world.until(lambda: world.counter("estimated_today") == 1, "an estimated day")
        today_e8 = world.counter("result_today_e8")

        the_venue_answers(world)
        corrected = await world.until_told("trade_corrected")

        missing_e8 = paid_e8(world) - closed_fees_e8
        assert newest_result(world) == (paid_e8(world), False)
        assert (corrected["net_change_e8"], corrected["fees_change_e8"]) == (-missing_e8, missing_e8)
        await world.until(lambda: world.counter("estimated_today") == 0, "a day that is known")
        assert world.counter("result_today_e8") == today_e8 - missing_e8 == world.counter("net_e8_total")
        await world.until(lambda: len(world.told("fill")) == 4, "the execution's own line")


async def test_an_execution_that_comes_late_is_put_into_its_trade_once() -> None:
    """Told after the trade was closed, then listed too: it counts once."""
    async with a_world() as world:
        await world.start()
        await world.open()
        faults = world.simulator.fronts["paradex"].faults
        faults.add(Fault("push.fills.*", delay_ms=3_000))
        faults.add(Fault("rest.fills", times=None, status=503))
        world.show("paradex", 50_000, 50_001)
        world.exit()
        await world.until_told("trade_closed")
        assert newest_result(world)[1]

        await world.until_told("trade_corrected")

        assert newest_result(world) == (paid_e8(world), False)
        the_venue_answers(world)
        await world.settle_templates()
        assert len(world.told("trade_corrected")) == 1
        assert len(world.told("fill")) == 4


async def test_the_question_outlives_the_executor() -> None:
    async with a_world() as world:
        await world.start()
        await world.open()
        await close_without_fills(world)
        await world.kill()
        the_venue_answers(world)

        await world.start()

        await world.until_told("trade_corrected")
        assert newest_result(world) == (paid_e8(world), False)
        await world.until(lambda: world.counter("estimated_today") == 0, "a day that is known")


async def test_the_question_outlives_the_machine() -> None:
    """After a reboot only the journal knows what was still asked for."""
    async with a_world() as world:
        await world.start()
        await world.open()
        await close_without_fills(world)
        await world.kill()
        world.forget_journal()
        holdings = fold(map(from_fields, world.lines))
        write_carried(world.directory, holdings.held())
        the_venue_answers(world)

        await world.start()

        await world.until_told("trade_corrected")
        assert newest_result(world) == (paid_e8(world), False)
        (pair,) = fold(map(from_fields, world.lines)).held()
        assert not pair.unaccounted
        assert pair.estimated == 0
        await world.until(lambda: world.counter("result_today_e8") == pair.result_e8, "the day's result")


async def test_what_an_interrupted_question_found_is_not_told_twice() -> None:
    """Lost in the middle of an order that fills in steps: what was heard and what is listed overlap."""
    async with a_world() as world:
        await world.start()
        faults = world.simulator.fronts["paradex"].faults
        faults.add(Fault("execute.*", steps=4, delay_ms=20))
        faults.add(Fault("push.fills.*", drop=True))
        await world.open()
        await world.until(
            lambda: any("is_estimated" not in line for line in world.told("leg_corrected", venue="paradex")),
            "an account of all four",
        )
        await world.until(lambda: len(world.told("fill", venue="paradex")) == 4, "all four")
        told = world.told("fill", venue="paradex")
        assert len({line["fill_id"] for line in told}) == len(told) == 4
        assert sum(line["fee_e8"] for line in told) == world.orders("paradex")[0].fee_e8


async def test_an_amount_read_off_a_position_is_an_estimate_and_says_so() -> None:
    """Nobody says what the order filled: neither its event, nor the venue when asked, only the position."""
    async with a_world() as world:
        await world.start()
        paradex = world.simulator.fronts["paradex"].faults
        paradex.add(Fault("push.orders.*|push.fills.*", times=None, drop=True))
        paradex.add(Fault("rest.orders.get", times=None, code="ORDER_ID_NOT_FOUND"))
        nothing = b'{"next":null,"prev":null,"results":[]}'
        paradex.add(Fault("rest.orders.history|rest.fills", times=None, status=200, body=nothing))
        world.enter()
        await world.until(
            lambda: any(line["filled_e8"] for line in world.told("leg_resolved", venue="paradex")),
            "an amount read off the position",
            60.0,
        )
        (resolved,) = [line for line in world.told("leg_resolved", venue="paradex") if line["filled_e8"]]
        assert resolved["is_estimated"]
        await world.until_phase(PairPhase.HEDGED)
        assert world.told("trade_opened")[-1].get("is_estimated")
        assert world.told("holding")[-1]["is_estimated"]

        the_venue_answers(world)

        await world.until(lambda: not world.told("holding")[-1]["is_estimated"], "an account of it")
        assert world.told("leg_corrected", venue="paradex")[-1]["fee_e8"] == world.orders("paradex")[0].fee_e8
