"""Templates are signed beside the loop: it stays free, and what was signed is armed where it fits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from executor.gateways.contract import NotSent, ReadyOrder
from executor.market import Prices
from executor.orders.presigned import PresignedOrders
from executor.orders.presigner import Presigner
from executor.pair.pricing import LegMarket
from executor.pair.state import new_state
from executor.pairs import PairRuntime
from runtime.clock import SystemClock
from tests.executor.pair.model import SIZE_E8, some_rules
from venues.contract import E8, OrderRequest, TimeInForce

BID_E8, ASK_E8 = 100 * E8, 101 * E8
FAR_FUTURE_MS = 1 << 60
Sign = Callable[[OrderRequest], ReadyOrder]


def presigned_orders() -> PresignedOrders:
    return PresignedOrders(band_bps=10, rearm_bps=2)


@asynccontextmanager
async def signing(sign: Sign) -> AsyncIterator[tuple[Presigner, Any]]:
    """A signer whose venues sign like that, and a flat pair that may be entered in either direction."""
    rules = some_rules()
    pair = SimpleNamespace(
        rules=rules,
        state=new_state(rules, 1),
        presigned=presigned_orders(),
        layer_sizes_e8={0: SIZE_E8},
        entries_stopped="",
        max_age_ns=1_000_000_000,
    )
    gateway = SimpleNamespace(is_up=True, time_in_force=TimeInForce.IOC, sign=sign, clock=SystemClock())
    prices = SimpleNamespace(touch=lambda *_: LegMarket(True, BID_E8, ASK_E8))
    gateways = dict.fromkeys((instrument.venue for instrument in rules.instruments), gateway)
    signer = Presigner(cast(Any, gateways), cast(Prices, prices), SystemClock())
    try:
        yield signer, cast(PairRuntime, pair)
    finally:
        signer.close()


def kept(presigned: PresignedOrders) -> list[ReadyOrder]:
    return list(presigned._templates.values())


def signed(request: OrderRequest) -> ReadyOrder:
    return ReadyOrder(request, b"signed", FAR_FUTURE_MS)


async def test_the_loop_goes_on_while_an_order_is_signed() -> None:
    """A signal that comes in that millisecond must not wait for it."""
    may_finish = threading.Event()

    def slowly(request: OrderRequest) -> ReadyOrder:
        assert may_finish.wait(10)
        return signed(request)

    async with signing(slowly) as (signer, pair):
        future = signer.presign_one(pair)
        assert future is not None
        for _ in range(10):
            await asyncio.sleep(0)
        assert not future.done()
        assert kept(pair.presigned) == []
        may_finish.set()
        order = await future

        assert kept(pair.presigned) == [order]


async def test_one_after_the_other_until_nothing_is_stale() -> None:
    async with signing(signed) as (signer, pair):
        while (future := signer.presign_one(pair)) is not None:
            await future

        assert len(kept(pair.presigned)) == 4  # both legs, both directions


async def test_what_was_signed_under_rules_that_went_is_armed_for_nobody() -> None:
    """A reload gives the pair another presigned while the thread signs."""
    may_finish = threading.Event()

    def slowly(request: OrderRequest) -> ReadyOrder:
        assert may_finish.wait(10)
        return signed(request)

    async with signing(slowly) as (signer, pair):
        future = signer.presign_one(pair)
        assert future is not None
        pair.presigned = presigned_orders()
        may_finish.set()
        await future

        assert kept(pair.presigned) == []


@pytest.mark.parametrize(("error", "is_heard"), [(NotSent("lost"), False), (RuntimeError("ours"), True)])
async def test_a_venue_that_is_lost_meanwhile_arms_nothing_and_a_mistake_of_ours_is_heard(
    error: Exception, is_heard: bool
) -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))

    def failing(_: OrderRequest) -> ReadyOrder:
        raise error

    async with signing(failing) as (signer, pair):
        future = signer.presign_one(pair)
        assert future is not None
        await asyncio.wait([future])
        await asyncio.sleep(0)

        assert kept(pair.presigned) == []
        assert (heard == [error]) is is_heard
