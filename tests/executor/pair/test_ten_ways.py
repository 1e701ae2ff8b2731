"""Ten ways in which public arbitrage bots lose a leg, each with the real machine, or the real process.

The titles are theirs; what follows the colon of a docstring is what happens here instead.
"""

from __future__ import annotations

import pytest

from executor.pair.machine import due_mono_ns
from executor.pair.messages import Acked, OrderReport, Send, SendFailed
from executor.pair.order import OrderState, Purpose
from executor.pair.state import Halt
from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import SIZE_E8 as WORLD_SIZE_E8
from tests.executor.harness import a_harness
from tests.executor.pair.driver import Pair
from tests.executor.pair.model import LOT_E8, MARKETS, MS, PRICES_E8, SIZE_E8, an_instrument, some_rules
from venues.contract import E8, OrderStatus, Outcome


def test_1_a_failed_leg_is_sent_again_without_a_price_check_and_then_abandoned() -> None:
    """Each try has a limit of its own, from the market as it is then; the last one ends in closing."""
    fine = (an_instrument(0, tick_e8=E8 // 1_000), an_instrument(1, tick_e8=E8 // 1_000))
    pair = Pair(some_rules(instruments=fine, max_retries=3, price_band_bps=5, widen_bps=5))
    first, second = pair.enter()
    pair.fill(first)
    pair.refuse(second)
    limits: list[float] = []
    closes: list[Send] = []
    for fallen_e8 in (0, E8 // 10, 2 * E8 // 10):
        other = MARKETS[1]._replace(bid_e8=MARKETS[1].bid_e8 - fallen_e8)
        pair.markets = (MARKETS[0], other)
        (retry,) = pair.wait(pair.rules.retry_delay_ns / MS)
        assert (retry.purpose, retry.leg) == (Purpose.COMPLETE, 1)
        limits.append(10_000 * (1 - retry.limit_price_e8 / other.bid_e8))
        closes += pair.refuse(retry)
    (close,) = closes

    assert limits == pytest.approx([10, 15, 20], abs=0.1)  # bps from the touch of that instant
    assert [(line["attempt"], line["limit"]) for line in pair.logged("order_retry")] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]
    assert (close.purpose, close.leg, close.reduce_only) == (Purpose.UNWIND, 0, True)
    pair.fill(close)
    assert pair.phase() is PairPhase.FLAT


def test_2_a_partial_fill_on_a_cancelled_order_is_forgotten() -> None:
    """CANCELLED with one lot filled: the lot is there, and the other leg is brought to it."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    pair.fill(first)

    (unwind,) = pair.fill(second, LOT_E8)

    assert pair.positions_e8 == (SIZE_E8, -LOT_E8)
    assert (unwind.leg, unwind.size_e8, unwind.reduce_only) == (0, SIZE_E8 - LOT_E8, True)
    pair.fill(unwind)
    assert pair.positions_e8 == (LOT_E8, -LOT_E8)
    assert pair.phase() is PairPhase.HEDGED


def test_3_an_odd_sized_position_is_there_at_the_start() -> None:
    """Nobody here can explain it: it is told, nothing is opened, and nothing of it is touched."""
    pair = Pair(confirmed=(LOT_E8 + 7, 0))
    pair.now_mono_ns += pair.rules.query_interval_ns

    assert pair.read(0, LOT_E8 + 7) == []

    assert pair.state.halt is Halt.UNEXPLAINED
    assert pair.logged("reconcile_diff")[0]["position_e8"] == LOT_E8 + 7
    assert not pair.enter()
    assert not pair.wait(60_000)


def test_4_an_order_is_not_found_four_times_and_then_filled() -> None:
    """Four denials within the time in which it may still come into being prove nothing."""
    pair = Pair(some_rules(unknown_answers_min=4, appear_ns=6_000 * MS))
    first, second = pair.enter()
    pair.fill(first)
    assert not pair.wait(pair.rules.reply_timeout_ns / MS)
    for _ in range(4):
        assert not pair.unknown(second)
        assert not pair.wait(pair.rules.query_interval_ns / MS)

    pair.fill(second)

    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)
    assert pair.phase() is PairPhase.HEDGED
    assert not pair.logged("order_retry")


def test_5_an_unanswered_order_is_declared_dead_and_then_fills() -> None:
    """Even the verdict that everything speaks for is taken back: the late leg is closed, the pair flat."""
    pair = Pair(some_rules(on_single_leg="unwind", unknown_answers_min=2, appear_ns=1_000 * MS))
    first, second = pair.enter()
    pair.fill(first)
    unwound = pair.wait(1_000)
    for _ in range(8):
        pair.unknown(second)
        unwound += pair.wait(260)
        unwound += pair.read(1, 0)
    (unwind,) = unwound
    assert pair.state.legs[1].past[-1].state is OrderState.ABSENT
    pair.fill(unwind)
    assert pair.phase() is PairPhase.FLAT

    sends = pair.fill(second) + pair.wait(1_000)

    assert [(send.leg, send.size_e8, send.reduce_only) for send in sends] == [(1, SIZE_E8, True)]
    pair.fill(sends[0])
    assert pair.positions_e8 == (0, 0)
    assert pair.phase() is PairPhase.FLAT


def test_6_one_send_throws_while_the_other_leg_is_live() -> None:
    """One leg known never to have left, the other under way: it is awaited, then closed."""
    pair = Pair(some_rules(on_single_leg="unwind"))
    first, second = pair.enter()
    assert not pair.feed(SendFailed(pair.at, second.client_order_id, "connection reset"))
    assert pair.phase() is not PairPhase.FLAT

    (unwind,) = pair.fill(first)

    assert (unwind.leg, unwind.size_e8, unwind.reduce_only) == (0, SIZE_E8, True)


async def test_6_one_send_throws_while_the_other_leg_is_live_over_sockets() -> None:
    """Vest's bytes are out when Paradex' socket breaks under the write: the real process mends it."""
    broken = """
from executor.gateways import live
send = live.LiveGateway.send
struck = []
def once(gateway, order):
    if gateway.venue == "paradex" and not struck:
        struck.append(order)
        from executor.gateways.contract import NotSent
        raise NotSent("the socket broke under the write")
    send(gateway, order)
live.LiveGateway.send = once
"""
    async with a_harness(execution__on_single_leg="unwind") as harness:
        await harness.start(prelude=broken)
        harness.enter()
        await harness.until_logged("leg_rejected", venue="paradex")
        await harness.until_logged("leg_auto_close", venue="vest")
        await harness.until_phase(PairPhase.FLAT)
        await harness.until_logged("flat_confirmed", venue="vest")
        assert harness.positions_e8 == (0, 0)
        assert (len(harness.orders("vest")), len(harness.orders("paradex"))) == (2, 0)


async def test_7_an_exception_on_the_reply_path_erases_the_position() -> None:
    """Our own error while a reply is read ends the process, never the position: its state is in memory,
    and the next life asks both venues what became of what it had sent."""
    broken = """
from executor.venue_events import VenueEvents
def on_ack(hearing, venue, ack, recv_mono_ns):
    raise KeyError("a reply with a field nobody expected")
VenueEvents.on_ack = on_ack
"""
    async with a_harness() as harness:
        await harness.start(prelude=broken)
        harness.enter()
        assert harness.process is not None
        await harness.process.wait()
        assert harness.process.returncode != 0
        await harness.start(wait_ready=False)
        await harness.until_logged("process_started", pid=harness.process.pid, restored=["btc"])
        at_rest = (PairPhase.FLAT, PairPhase.HEDGED)
        await harness.until(lambda: harness.counter("ready") == 1 and harness.phase in at_rest, "settled")
        # A venue may drop what a connection had asked for when that is cut: then the other leg is closed.
        is_hedged = harness.phase is PairPhase.HEDGED
        assert harness.positions_e8 == ((WORLD_SIZE_E8, -WORLD_SIZE_E8) if is_hedged else (0, 0))
        for venue in ("vest", "paradex"):
            ids = [order.client_id for order in harness.orders(venue)]
            assert len(ids) == len(set(ids)) <= 2


def test_7_a_reply_that_contradicts_the_fills_erases_no_position() -> None:
    """Executions were told, then the answer says refused: what was filled stays, and the venue is asked."""
    pair = Pair()
    first, _ = pair.enter()
    pair.execution(first, "e1", LOT_E8)

    pair.feed(Acked(pair.at, first.client_order_id, Outcome.REFUSED, code="UNEXPECTED"))

    assert pair.positions_e8[0] == LOT_E8
    assert [query.client_order_id for query in pair.queries()] == [first.client_order_id]


def test_8_one_leg_is_waited_for_for_ever() -> None:
    """Whatever the venue does not say, there is always a next moment at which something is done, and
    after a bounded time the operator has the exposure."""
    pair = Pair(some_rules(max_doubt_ns=4_000 * MS))
    first, _ = pair.enter()
    pair.fill(first)

    for _ in range(40):
        assert due_mono_ns(pair.rules, pair.state) <= pair.now_mono_ns + 10_000 * MS
        pair.wait(250)

    assert pair.phase() is PairPhase.HALTED
    assert pair.logged("halted")[0]["positions_e8"] == [SIZE_E8, 0]
    assert pair.logged("halted")[0]["under_way_e8"] == [0, -SIZE_E8]


def test_9_silence_is_taken_for_a_fill() -> None:
    """Accepted, and then nothing: no amount is believed before the venue has said one."""
    pair = Pair()
    for send in pair.enter():
        pair.feed(Acked(pair.at, send.client_order_id, Outcome.ACCEPTED))

    assert not pair.wait(3_000)

    assert pair.positions_e8 == (0, 0)
    assert pair.phase() is not PairPhase.HEDGED
    assert not pair.logged("trade_opened")


def test_10_the_retry_of_a_lost_reply_doubles_the_leg() -> None:
    """The reply is lost, the order was executed: it is asked for, not sent again."""
    pair = Pair()
    first, second = pair.enter()
    pair.fill(first)

    assert pair.feed(Acked(pair.at, second.client_order_id, Outcome.IN_DOUBT)) == []
    assert [query.client_order_id for query in pair.queries()] == [second.client_order_id]
    assert not pair.wait(2_000)
    reported = OrderReport(pair.at, second.client_order_id, OrderStatus.FILLED, SIZE_E8, PRICES_E8[1])
    assert pair.feed(reported) == []

    assert pair.positions_e8 == (SIZE_E8, -SIZE_E8)
    assert pair.phase() is PairPhase.HEDGED


async def test_10_the_retry_of_a_lost_reply_doubles_the_leg_over_sockets() -> None:
    """Vest executes and its answer never comes: one order there, one hedged pair."""
    async with a_harness() as harness:
        await harness.start()
        faults = harness.simulator.fronts["vest"].faults
        faults.add(Fault("rest.orders.create", drop_reply=True))
        faults.add(Fault("push.*", times=4, drop=True))
        harness.enter()
        await harness.until_logged("leg_unknown", venue="vest")
        await harness.until_phase(PairPhase.HEDGED)
        assert harness.positions_e8 == (WORLD_SIZE_E8, -WORLD_SIZE_E8)
        assert len(harness.orders("vest")) == len(harness.orders("paradex")) == 1
