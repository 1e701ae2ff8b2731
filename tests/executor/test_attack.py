"""What a hostile day does to the executor: its own process between both simulated venues.

Every test here is a way in which a leg was lost, doubled or left alone before it was closed, or a
place where that was looked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import SIZE_E8, Harness, a_harness


def a_full_pipe() -> tuple[int, int]:
    """(reader, writer) of a pipe that takes nothing more until somebody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("is_read_later", [False, True])
async def test_a_reader_of_stdout_who_stopped_does_not_stop_the_executor(is_read_later: bool) -> None:
    """``python supervisor.py | less`` shows a page and reads no more; a write that waits for it would
    leave whatever the executor was about to do undone."""
    reader, writer = a_full_pipe()
    async with a_harness() as harness:
        await harness.start(stdout=writer)
        os.close(writer)
        await harness.open()
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        if not is_read_later:
            assert await harness.terminate() == 0
        else:
            os.set_blocking(reader, False)
            reported = b""

            def read_on() -> bool:
                nonlocal reported
                with contextlib.suppress(BlockingIOError):
                    reported += os.read(reader, 1 << 20)
                return b'"trade_closed"' in reported

            await harness.until(read_on, "what was kept for the reader")
            assert reported.count(b'"intent_written"') == 4
    os.close(reader)


async def test_a_reader_of_stdout_who_went_away_does_not_end_the_executor() -> None:
    """``python supervisor.py | head``: an error in a log line is no reason to leave a position alone."""
    reader, writer = os.pipe()
    async with a_harness() as harness:
        await harness.start(stdout=writer)
        os.close(writer)
        os.close(reader)
        await harness.open()
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        assert await harness.terminate() == 0
        assert harness.errors == b""


async def test_a_token_the_venue_has_forgotten_does_not_leave_an_order_in_doubt() -> None:
    """Paradex: the stream stands and tells nothing, and every question is answered with 401."""
    async with a_harness() as harness:
        await harness.start()
        front: Any = harness.simulator.fronts["paradex"]
        front._mint._sessions.clear()
        for channel in ("orders", "fills"):
            front.faults.add(Fault(f"push.{channel}*", times=None, drop=True))
        harness.enter()
        await harness.until_logged("leg_unknown", venue="paradex")
        await harness.until_logged("leg_resolved", venue="paradex")
        await harness.until_phase(PairPhase.HEDGED)
        assert harness.logged("venue_lost", venue="paradex")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)


async def test_an_api_key_the_venue_has_forgotten_does_not_leave_a_leg_alone() -> None:
    """Vest: every order is refused for the key, which is registered anew at once and not in its last day."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        front: Any = harness.simulator.fronts["vest"]
        for primary in list(front.clients._by_primary):
            front.clients.expire_api_keys(primary)
        harness.exit()
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        assert not harness.logged("halted")


async def test_signals_of_a_later_detector_life_are_newer() -> None:
    """Whatever the numbers of the two lives: made of them once more, an id could fall behind the last
    one taken, and every entry of the new life was refused as seen."""
    async with a_harness() as harness:
        await harness.start()
        for harness.detector_epoch in (513, 514):
            await harness.open()
            harness.exit()
            await harness.until_phase(PairPhase.FLAT)
        assert len(harness.logged("trade_opened")) == 2


# ------------------------------------------------------------------------------ death, to the byte

DIE = "import os, signal\ndef die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
MOMENTS = {
    "while the journal is being written": """
from shm.slot import SlotTable
write = SlotTable.write
def half(table, index, body):
    if table.path.name == "machines" and b"\\xffmark" not in body and len(body) > ARMED[0]:
        word = index * table._stride >> 3
        table._words[word] = table._words[word] | 1
        table._data[index * table._stride + 24 : index * table._stride + 60] = body[:36]
        die()
    write(table, index, body)
ARMED = [1 << 30]
SlotTable.write = half
from executor.orders.sender import Sender
render = Sender.render
def armed(wire, pair, send, at):
    ARMED[0] = 0
    return render(wire, pair, send, at)
Sender.render = armed
""",
    "after the journal, before the first byte": (
        "from executor.orders.sender import Sender\nSender.write = die\n"
    ),
    "between the two writes": """
from executor.gateways.live import LiveGateway
send, sent = LiveGateway.send, []
def one(gateway, order):
    if sent: die()
    sent.append(order)
    send(gateway, order)
LiveGateway.send = one
""",
    "after both writes, before anything else": (
        "from executor.orders.sender import Sender\nSender._account = die\n"
    ),
}


async def settled(harness: Harness) -> None:
    """The newest life has found out what is, and nothing is left to be done."""
    assert harness.process is not None
    await harness.until_logged("process_started", pid=harness.process.pid)
    at_rest = (PairPhase.FLAT, PairPhase.HEDGED)
    await harness.until(lambda: harness.counter("ready") == 1 and harness.phase in at_rest, "settled")


def assert_nothing_was_sent_twice(harness: Harness) -> None:
    for venue in ("vest", "paradex"):
        ids = [order.client_id for order in harness.orders(venue)]
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("purpose", "moment"), [*(("entry", moment) for moment in MOMENTS), ("exit", "between the two writes")]
)
async def test_a_death_at_any_byte_is_mended_by_the_next_life(moment: str, purpose: str) -> None:
    """Killed -9 exactly there; the next life asks about what may have left and believes only the venues."""
    async with a_harness() as harness:
        if purpose == "exit":
            await harness.start()
            await harness.open()
            assert await harness.terminate() == 0  # keeps the pair
        await harness.start(prelude=DIE + MOMENTS[moment])
        (harness.exit if purpose == "exit" else harness.enter)()
        assert harness.process is not None
        await harness.process.wait()
        assert harness.process.returncode == -9

        await harness.start(wait_ready=False)
        await settled(harness)

        assert harness.positions_e8 in ((0, 0), (SIZE_E8, -SIZE_E8))
        assert harness.phase is (PairPhase.HEDGED if harness.positions_e8[0] else PairPhase.FLAT)
        assert_nothing_was_sent_twice(harness)
        assert not harness.logged("halted")


# ------------------------------------------------------------------- what lies between us and a venue


class Way:
    """The way to one venue's REST: it may hold back the orders that pass, or be cut."""

    def __init__(self, port: int) -> None:
        self.is_open = asyncio.Event()  # while it is clear, orders wait here
        self.is_open.set()
        self.cut_orders_after: int | None = None  # bytes of a create that pass before the way ends
        self.held = 0
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._pump(there, writer))
        try:
            while data := await reader.read(65_536):
                if data.startswith(b"POST /v2/orders "):
                    if self.cut_orders_after is not None:
                        self.held += 1
                        back.write(data[: self.cut_orders_after])
                        await back.drain()
                        writer.transport.abort()
                        return
                    if not self.is_open.is_set():
                        self.held += 1
                        await self.is_open.wait()
                back.write(data)
                await back.drain()
        finally:
            answers.cancel()
            back.close()
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def a_way_to_vest(harness: Harness) -> AsyncIterator[Way]:
    way = Way(harness.simulator.ports["vest"])
    server = await asyncio.start_server(way.serve, "127.0.0.1", 0)
    venues = harness.raw["venues"]
    rest_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v2"
    harness.rewrite_launch(venues={**venues, "vest": {**venues["vest"], "rest_url": rest_url}})
    try:
        yield way
    finally:
        server.close()


@pytest.mark.parametrize("is_executed", [True, False])
async def test_an_order_stuck_on_its_way_is_not_sent_again(is_executed: bool) -> None:
    """Its bytes wait in somebody's buffer. Vest takes it within its window of five seconds; whoever
    has sent a second one by then has both. Later it comes as well, and Vest refuses it."""
    async with a_harness(execution__order_validity_ms=5_000) as harness, a_way_to_vest(harness) as way:
        await harness.start()
        faults = harness.simulator.fronts["vest"].faults
        asked = faults.add(Fault("rest.orders.query", times=None))  # does nothing but count
        way.is_open.clear()
        harness.enter()
        await harness.until_logged("leg_unknown", venue="vest")
        if is_executed:
            await harness.until(lambda: asked.struck >= 2, "two questions about it")
        else:
            await harness.until_logged("leg_resolved", venue="vest")
        arrived = faults.add(Fault("rest.orders.create", times=None))
        way.is_open.set()
        await harness.until(lambda: arrived.struck == 1, "the stuck order at the venue")
        await harness.until_logged("leg_resolved", venue="vest")
        await harness.until_phase(PairPhase.HEDGED if is_executed else PairPhase.FLAT)

        assert harness.positions_e8 == ((SIZE_E8, -SIZE_E8) if is_executed else (0, 0))
        assert len(harness.orders("vest")) == int(is_executed)
        assert len(harness.orders("paradex")) == 2 - int(is_executed)
        assert not harness.logged("halted")


async def test_a_request_cut_in_its_middle_is_doubt_and_then_nothing() -> None:
    """Some bytes left, so nobody here may say that the order does not exist."""
    async with a_harness(execution__order_validity_ms=5_000) as harness, a_way_to_vest(harness) as way:
        await harness.start()
        way.cut_orders_after = 300
        harness.enter()
        resolved = await harness.until_logged("leg_resolved", venue="vest")
        assert resolved["order_state"] == "absent"
        assert resolved["doubt_ms"] > 5_000
        await harness.until_phase(PairPhase.FLAT)
        assert way.held == 1
        assert harness.positions_e8 == (0, 0)
        assert (len(harness.orders("vest")), len(harness.orders("paradex"))) == (0, 2)


async def test_a_venue_that_falls_silent_after_the_write_is_waited_for() -> None:
    """Paradex: no reply, no event, no answer to any question. The other leg stands alone meanwhile:
    that is told at once, the pair is HALTED after a while, and nothing is sent twice."""
    async with a_harness() as harness:
        await harness.start()
        faults = harness.simulator.fronts["paradex"].faults
        faults.add(Fault("push.*", times=None, drop=True))
        faults.add(Fault("ws.order.create", drop_reply=True))
        down = faults.add(Fault("rest.*", times=None, status=503))
        harness.enter()
        await harness.until_logged("naked_start")
        await harness.until_logged("halted", reason="in_doubt")
        assert len(harness.orders("paradex")) == 1
        assert len(harness.orders("vest")) == 1
        faults.remove(down)
        await harness.until_logged("leg_resolved", venue="paradex")
        await harness.until_logged("naked_end")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert len(harness.orders("paradex")) == 1


async def test_too_many_requests_on_one_leg_have_the_other_unwound_at_once() -> None:
    """Half a minute of Retry-After was half a minute with one leg."""
    async with a_harness() as harness:
        await harness.start()
        busy = Fault("rest.orders.create", times=None, status=429, headers={"Retry-After": "30"})
        harness.simulator.fronts["vest"].faults.add(busy)
        harness.enter()
        await harness.until_logged("leg_auto_close", venue="paradex")
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        assert busy.struck == 1
        end = await harness.until_logged("naked_end")
        assert end["naked_ms"] < 30_000  # the venue's wait: the other leg did not sit it out


async def test_a_venue_that_shows_no_positions_for_a_moment_costs_nothing() -> None:
    """Vest answers, and its list is empty: once that was a liquidation, and Paradex' leg was closed."""
    async with a_harness(execution__query_interval_ms=100.0) as harness:
        await harness.start()
        await harness.open()
        body = b'{"totalAccountValue":"1","withdrawable":"1","totalMaintMargin":"0","positions":[]}'
        empty = harness.simulator.fronts["vest"].faults.add(
            Fault("rest.account", times=4, status=200, body=body)
        )
        await harness.until(lambda: empty.struck == 4)
        await harness.until(lambda: harness.counter("ready") == 1)
        await harness.settle_templates()
        assert harness.phase is PairPhase.HEDGED
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert not harness.logged("reconcile_diff")
