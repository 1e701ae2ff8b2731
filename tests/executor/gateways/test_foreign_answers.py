"""Answers that are not the venue's own, over real sockets and the executor's gateway: each leaves its order
in doubt, whatever its status, and the gateway goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import pytest

from executor.accounts import make_trading
from executor.gateways.live import LiveGateway
from observability.logs import Reporter
from runtime.clock import SystemClock
from runtime.venue_hosts import venue_hosts
from simulator.faults import Fault, FaultPlan
from tests.executor.harness import LEGS, SIZE_E8, a_harness
from tests.venues.test_believed_refusals import FOREIGN, OWN, STATUSES
from tests.waiting import DEADLINE_S, eventually
from venues import registry
from venues.contract import (
    E8,
    Account,
    Fill,
    OrderAck,
    OrderRequest,
    OrderUpdate,
    Outcome,
    Position,
    Side,
)

Road = Literal["http", "ws"]
ROADS: tuple[tuple[str, Road], ...] = (("vest", "http"), ("paradex", "http"), ("paradex", "ws"))
_NO_BODY = (204, 304)  # a server cannot send one with these
_FIRST_ID = 1 << 50


class Listening:
    """Keeps the acknowledgements by our id."""

    def __init__(self) -> None:
        self.acks: dict[int, asyncio.Future[OrderAck]] = {}
        self.is_up = asyncio.Event()

    def on_ack(self, venue: str, ack: OrderAck, recv_mono_ns: int) -> None:
        future = self.acks.get(ack.client_order_id)
        if future is not None and not future.done():
            future.set_result(ack)

    def on_report(
        self, venue: str, report: OrderUpdate | Fill | Position | Account, recv_mono_ns: int
    ) -> None:
        """Not what is asked here."""

    def on_up(self, venue: str) -> None:
        self.is_up.set()

    def on_down(self, venue: str, reason: str) -> None:
        self.is_up.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        await eventually(condition)


class Placing:
    """Sends one order after the other through a gateway, each met by a fault."""

    def __init__(self, gateway: LiveGateway, heard: Listening, faults: FaultPlan, instrument: Any) -> None:
        self._gateway, self._heard, self._faults, self._instrument = gateway, heard, faults, instrument
        self._next_id = _FIRST_ID

    async def answered(self, **fault: Any) -> OrderAck:
        self._next_id += 1
        number = self._next_id
        future = self._heard.acks[number] = asyncio.get_running_loop().create_future()
        price_e8, taking = 49_000 * E8, self._gateway.time_in_force
        request = OrderRequest(number, self._instrument, Side.BUY, SIZE_E8, price_e8, False, taking)
        await self._heard.until(lambda: self._gateway.can_send)
        armed = self._faults.add(Fault("rest.orders.create|ws.order.create", **fault))
        self._gateway.send(self._gateway.sign(request))
        try:
            return await asyncio.wait_for(future, DEADLINE_S)
        finally:
            self._faults.remove(armed)


@asynccontextmanager
async def placing(venue: str, road: Road) -> AsyncIterator[Placing]:
    async with a_harness() as harness:
        where, settings = venue_hosts(harness.settings, venue), harness.settings
        trading = make_trading(settings, Path("none.env"), venue, where, over_http=road == "http")
        heard = Listening()
        instrument = harness.instruments[LEGS[venue]]
        gateway = LiveGateway(
            trading,
            where.rest_url,
            (instrument,),
            heard,
            cast(Reporter, SimpleNamespace(report=lambda _: True)),
            SystemClock(),
            connections=2,
            answer_limit_s=30.0,
            may_give_up=False,
            warm_request=registry.venue(venue).warm_request,
        )
        running = asyncio.create_task(gateway.run())
        try:
            await asyncio.wait_for(heard.is_up.wait(), DEADLINE_S)
            yield Placing(gateway, heard, harness.simulator.fronts[venue].faults, instrument)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(("venue", "road"), ROADS)
async def test_no_foreign_answer_passes_for_the_venues_refusal(venue: str, road: Road) -> None:
    """Every kind of body, and every status with the edge's page, its JSON, and nothing."""
    async with placing(venue, road) as place:
        wrong = []
        kinds = [(403, name) for name in FOREIGN]
        kinds += [(status, name) for status in STATUSES for name in ("page", "empty", "edge")]
        for status, name in kinds:
            if status in _NO_BODY or (road == "ws" and status < 300):
                continue
            is_rate_limit = road == "ws" and status == 429  # its documented number answers in place of a page
            ack = await place.answered(status=status, body=FOREIGN[name])
            if ack.outcome is not (Outcome.REFUSED if is_rate_limit else Outcome.IN_DOUBT):
                wrong.append((status, name, ack.outcome.name, ack.code))
        assert not wrong


@pytest.mark.parametrize(("venue", "road"), ROADS)
async def test_the_venues_own_error_is_believed_and_what_breaks_off_or_is_lost_is_not(
    venue: str, road: Road
) -> None:
    async with placing(venue, road) as place:
        code = {"vest": "3002", "paradex": "INVALID_ORDER_SIZE"}[venue]
        assert (await place.answered(code=code)).outcome is Outcome.REFUSED
        # Vest's answer is an id and nothing else: whose it is shows only when it is asked for.
        crossed = {"vest": Outcome.ACCEPTED, "paradex": Outcome.IN_DOUBT}[venue]
        assert (await place.answered(is_crossed=True)).outcome is crossed
        if road == "http":  # half a frame names no order: there the machine's own time-out has to do
            assert (await place.answered(garble=True)).outcome is Outcome.IN_DOUBT
            assert (await place.answered(status=405, body=OWN[venue])).outcome is Outcome.IN_DOUBT
            assert (await place.answered(drop_reply=True)).outcome is Outcome.IN_DOUBT
