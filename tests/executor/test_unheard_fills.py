"""Executions that were not heard: asked for until they are known, and their trade corrected."""

from __future__ import annotations

from events.codec import from_fields
from persistence.restore import fold
from runtime.carried_positions import write_carried
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import Harness, a_harness


def paid_e8(harness: Harness) -> int:
    """Fees as the venues have booked them and tell them: Vest's money has six decimals."""
    vest, paradex = (sum(order.fee_e8 for order in harness.orders(venue)) for venue in ("vest", "paradex"))
    return vest - vest % 100 + paradex


def newest_result(harness: Harness) -> tuple[int, bool]:
    """Fees of the trade, and whether they are an estimate, as told last."""
    reported = [line for line in harness.lines if line["event"] in ("trade_closed", "trade_corrected")]
    return reported[-1]["fees_e8"], reported[-1]["is_estimated"]


async def close_without_fills(harness: Harness) -> None:
    """A round trip whose last execution on Paradex is not heard, and that the venue does not list either."""
    faults = harness.simulator.fronts["paradex"].faults
    faults.add(Fault("push.fills.*", drop=True))
    faults.add(Fault("rest.fills", times=None, status=503))
    harness.show("paradex", 50_000, 50_001)
    harness.exit()
    await harness.until_logged("trade_closed")


def the_venue_answers(harness: Harness) -> None:
    harness.simulator.fronts["paradex"].faults.clear()


async def test_a_lost_execution_is_asked_for_before_its_trade_is_closed() -> None:
    """Lost at the entry, its price and fee are known long before the exit."""
    async with a_harness() as harness:
        await harness.start()
        harness.simulator.fronts["paradex"].faults.add(Fault("push.fills.*", drop=True))
        await harness.open()
        corrected = await harness.until_logged("leg_corrected", venue="paradex")
        assert "is_estimated" not in corrected
        assert corrected["fee_e8"] == harness.orders("paradex")[0].fee_e8
        await harness.until_logged("fill", venue="paradex")
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        closed = await harness.until_logged("trade_closed")
        assert closed["fees_e8"] == paid_e8(harness)
        assert not closed["is_estimated"]


async def test_a_trade_closed_without_a_fee_is_an_estimate_until_the_venue_tells_it() -> None:
    """Fees are missing always in our favour: results, limits and tables must not go by that for good."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await close_without_fills(harness)
        closed_fees_e8, is_estimated = newest_result(harness)
        assert is_estimated
        assert closed_fees_e8 < paid_e8(harness)
        await harness.until(lambda: harness.counter("estimated_today") == 1, "an estimated day")
        today_e8 = harness.counter("result_today_e8")

        the_venue_answers(harness)
        corrected = await harness.until_logged("trade_corrected")

        missing_e8 = paid_e8(harness) - closed_fees_e8
        assert newest_result(harness) == (paid_e8(harness), False)
        assert (corrected["net_change_e8"], corrected["fees_change_e8"]) == (-missing_e8, missing_e8)
        await harness.until(lambda: harness.counter("estimated_today") == 0, "a day that is known")
        assert harness.counter("result_today_e8") == today_e8 - missing_e8 == harness.counter("net_e8_total")
        await harness.until(lambda: len(harness.logged("fill")) == 4, "the execution's own line")


async def test_an_execution_that_comes_late_is_put_into_its_trade_once() -> None:
    """Told after the trade was closed, then listed too: it counts once."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        faults = harness.simulator.fronts["paradex"].faults
        faults.add(Fault("push.fills.*", delay_ms=3_000))
        faults.add(Fault("rest.fills", times=None, status=503))
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        await harness.until_logged("trade_closed")
        assert newest_result(harness)[1]

        await harness.until_logged("trade_corrected")

        assert newest_result(harness) == (paid_e8(harness), False)
        the_venue_answers(harness)
        await harness.settle_templates()
        assert len(harness.logged("trade_corrected")) == 1
        assert len(harness.logged("fill")) == 4


async def test_the_question_outlives_the_executor() -> None:
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await close_without_fills(harness)
        await harness.kill()
        the_venue_answers(harness)

        await harness.start()

        await harness.until_logged("trade_corrected")
        assert newest_result(harness) == (paid_e8(harness), False)
        await harness.until(lambda: harness.counter("estimated_today") == 0, "a day that is known")


async def test_the_question_outlives_the_machine() -> None:
    """After a reboot only the journal knows what was still asked for."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await close_without_fills(harness)
        await harness.kill()
        harness.forget_journal()
        holdings = fold(map(from_fields, harness.lines))
        write_carried(harness.directory, holdings.held())
        the_venue_answers(harness)

        await harness.start()

        await harness.until_logged("trade_corrected")
        assert newest_result(harness) == (paid_e8(harness), False)
        (pair,) = fold(map(from_fields, harness.lines)).held()
        assert not pair.unaccounted
        assert pair.estimated == 0
        await harness.until(lambda: harness.counter("result_today_e8") == pair.result_e8, "the day's result")


async def test_what_an_interrupted_question_found_is_not_told_twice() -> None:
    """Lost in the middle of an order that fills in steps: what was heard and what is listed overlap."""
    async with a_harness() as harness:
        await harness.start()
        faults = harness.simulator.fronts["paradex"].faults
        faults.add(Fault("execute.*", steps=4, delay_ms=20))
        faults.add(Fault("push.fills.*", drop=True))
        await harness.open()
        await harness.until(
            lambda: any(
                "is_estimated" not in line for line in harness.logged("leg_corrected", venue="paradex")
            ),
            "an account of all four",
        )
        await harness.until(lambda: len(harness.logged("fill", venue="paradex")) == 4, "all four")
        reported = harness.logged("fill", venue="paradex")
        assert len({line["fill_id"] for line in reported}) == len(reported) == 4
        assert sum(line["fee_e8"] for line in reported) == harness.orders("paradex")[0].fee_e8


async def test_an_amount_read_off_a_position_is_an_estimate_and_says_so() -> None:
    """Nobody says what the order filled: neither its event, nor the venue when asked, only the position."""
    async with a_harness() as harness:
        await harness.start()
        paradex = harness.simulator.fronts["paradex"].faults
        paradex.add(Fault("push.orders.*|push.fills.*", times=None, drop=True))
        paradex.add(Fault("rest.orders.get", times=None, code="ORDER_ID_NOT_FOUND"))
        nothing = b'{"next":null,"prev":null,"results":[]}'
        paradex.add(Fault("rest.orders.history|rest.fills", times=None, status=200, body=nothing))
        harness.enter()
        await harness.until(
            lambda: any(line["filled_e8"] for line in harness.logged("leg_resolved", venue="paradex")),
            "an amount read off the position",
            60.0,
        )
        (resolved,) = [line for line in harness.logged("leg_resolved", venue="paradex") if line["filled_e8"]]
        assert resolved["is_estimated"]
        await harness.until_phase(PairPhase.HEDGED)
        assert harness.logged("trade_opened")[-1].get("is_estimated")
        assert harness.logged("holding")[-1]["is_estimated"]

        the_venue_answers(harness)

        await harness.until(lambda: not harness.logged("holding")[-1]["is_estimated"], "an account of it")
        assert (
            harness.logged("leg_corrected", venue="paradex")[-1]["fee_e8"]
            == harness.orders("paradex")[0].fee_e8
        )
