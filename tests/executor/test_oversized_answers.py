"""Texts and figures of a venue that no state has room for: they are not believed, and end nothing."""

from __future__ import annotations

import pytest

from executor.pair import machine
from executor.pair.messages import EntriesStopped, FlattenRequested, OrderReport
from executor.pair.order_updates import QUOTE_E8_MAX
from executor.pair.state import REASON_CHARS_MAX, dump
from shm.records import PairPhase
from simulator.faults import Fault
from simulator.paradex.front import ParadexFront
from tests.executor.harness import SIZE_E8, a_harness
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import some_rules
from venues.contract import E8, OrderStatus, parse_e8

LONG = 140_000  # characters; a whole state has room for 131,072 bytes


async def test_a_venues_long_status_stops_entries_and_ends_nothing() -> None:
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        paradex = harness.simulator.fronts["paradex"]
        assert isinstance(paradex, ParadexFront)
        paradex.system_status = "x" * LONG  # type: ignore[assignment]
        await harness.until(
            lambda: harness.view is not None and not harness.view.entries_allowed, "the status"
        )
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)


async def test_an_answer_with_an_endless_order_id_is_doubt() -> None:
    async with a_harness() as harness:
        await harness.start()
        body = b'{"id":"' + b"y" * LONG + b'"}'
        harness.simulator.fronts["vest"].faults.add(Fault("rest.orders.create", status=200, body=body))
        harness.enter()
        await harness.until_logged("leg_unknown", venue="vest")
        await harness.until_logged("naked_end")  # asked by our own id, the venue knew of none
        assert sum(harness.positions_e8) == 0


async def test_an_exit_of_what_no_trade_holds_is_measured_by_none() -> None:
    """What a trade left on both legs has no direction, and an exit of it neither."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        harness.exit(direction=0)
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)


@pytest.mark.parametrize("event", [EntriesStopped, FlattenRequested])
def test_a_reason_is_kept_as_far_as_there_is_room(event: type[EntriesStopped | FlattenRequested]) -> None:
    pair = Pair(some_rules()).hedged()
    pair.feed(event(pair.at, "r" * LONG))

    assert (pair.state.entries_stopped or pair.state.flatten) == "r" * REASON_CHARS_MAX
    assert len(dump(pair.state)) < 10_000


@pytest.mark.parametrize("size_e8", [SIZE_E8, 100 * E8, 10_000 * E8])
@pytest.mark.parametrize("price", ["92233720368", "20000000", "-20000000"])
def test_a_price_that_cannot_be_leaves_the_amount_and_an_estimate(size_e8: int, price: str) -> None:
    pair = Pair(some_rules())
    first, _ = pair.enter(size_e8=size_e8)
    price_e8 = parse_e8(price)

    state, _ = machine.step(
        pair.rules,
        pair.state,
        OrderReport(pair.at, first.client_order_id, OrderStatus.FILLED, size_e8, price_e8, 0),
    )

    assert state.legs[0].position_e8 == size_e8
    dump(state)
    trade = state.trade
    assert trade is not None
    assert 0 <= trade.books[0].bought_quote_e8 <= QUOTE_E8_MAX


def test_a_position_beyond_all_money_can_still_be_stored() -> None:
    pair = Pair(some_rules()).hedged()
    pair.read_twice(0, 2**62)

    dump(pair.state)
    assert pair.phase() is PairPhase.HALTED
