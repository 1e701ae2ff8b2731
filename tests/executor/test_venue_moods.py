"""Rate limits, maintenance and a socket that is gone: the executor's process on simulated venues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shm.records import PairPhase
from simulator.faults import Fault
from tests.executor.harness import SIZE_E8, Harness, a_harness


def paradex(harness: Harness) -> Any:
    return harness.simulator.fronts["paradex"]


RATE_LIMITS = {
    "paradex": Fault("ws.order.create", code="RATE_LIMITED"),
    "vest": Fault(
        "rest.orders.create",
        status=429,
        body=b'{"code":429,"msg":"rate limited"}',
        headers={"Retry-After": "1"},
    ),
}


@pytest.mark.parametrize("venue", RATE_LIMITS)
async def test_after_a_rate_limit_the_other_leg_is_mended_and_nothing_opens(venue: str) -> None:
    """The refused leg is mended at once or when the venue allows; the next entry meets its own gate."""
    async with a_harness() as harness:
        await harness.start()
        fault = replace(RATE_LIMITS[venue])
        fault.headers = {"Retry-After": "3"} if venue == "vest" else {}
        harness.simulator.fronts[venue].faults.add(fault)
        harness.enter()
        await harness.until_logged("leg_rejected", venue=venue)
        await harness.until(lambda: harness.phase in (PairPhase.FLAT, PairPhase.HEDGED), "mended")
        assert not harness.logged("halted")
        assert abs(harness.positions_e8[0]) == abs(harness.positions_e8[1])


async def test_an_entry_during_a_venues_pause_is_refused_by_its_own_gate() -> None:
    """Named and counted; and it passes once the pause is over."""
    async with a_harness() as harness:
        await harness.start()
        fault = Fault(
            "rest.orders.create",
            status=429,
            body=b'{"code":429,"msg":"rate limited"}',
            headers={"Retry-After": "600"},
        )
        harness.simulator.fronts["vest"].faults.add(fault)
        harness.enter()
        await harness.until_logged("leg_rejected", venue="vest")
        await harness.until_phase(PairPhase.FLAT)
        harness.enter()
        line = await harness.until_logged("signal_refused")
        assert line["gate"] in ("rate_budget", "pair_state")
        while not harness.logged("signal_refused", gate="rate_budget"):
            assert harness.phase is PairPhase.FLAT
            refused = len(harness.logged("signal_refused"))
            harness.enter()
            await harness.until(
                lambda count=refused: len(harness.logged("signal_refused")) > count,  # type: ignore[misc]
                "a refusal",
            )
        assert harness.counter("signals_refused_total") >= 1


@pytest.mark.parametrize("status", ["cancel_only", "post_only", "maintenance"])
async def test_a_venue_that_takes_no_entries_is_believed_and_said(status: str) -> None:
    """The detector is told within seconds, without an order having been refused first."""
    async with a_harness() as harness:
        await harness.start()
        paradex(harness).system_status = status
        line = await harness.until_logged("venue_status", venue="paradex", status=status)
        assert line["level"] == "warning"
        await harness.until(lambda: harness.view is not None and not harness.view.entries_allowed, "stopped")
        harness.enter()
        await harness.until(lambda: harness.counter("signals_total") == 1, "the signal taken")
        assert harness.counter("orders_sent_total") == 0

        paradex(harness).system_status = "ok"
        await harness.until_logged("venue_status", venue="paradex", status="open")
        await harness.until(lambda: harness.view is not None and harness.view.entries_allowed == 1, "again")


async def refuse_sockets(harness: Harness) -> None:
    """Paradex ends its sockets and lets nobody in again; REST goes on."""
    front = paradex(harness)
    front._settings = replace(front._settings, sbe_versions=(), require_sbe=True)
    await front.close_sockets("all")
    await harness.until_logged("venue_lost", venue="paradex", what="private stream")


async def test_a_position_is_closed_over_http_while_the_socket_is_gone() -> None:
    """The order has not touched a socket, so it may take another way; nothing opens meanwhile."""
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await refuse_sockets(harness)
        harness.exit()
        await harness.until(lambda: harness.positions_e8 == (0, 0), "closed on both venues")
        await harness.until(lambda: len(harness.orders("paradex")) == 2, "one order each way")
        harness.enter()
        await harness.until(lambda: harness.counter("signals_total") == 3, "the signal taken")
        assert harness.positions_e8 == (0, 0)
        assert len(harness.orders("paradex")) == 2


async def test_an_order_written_to_a_socket_that_dies_is_never_sent_over_http() -> None:
    """In doubt is asked about. A second order, over whatever way, would be a second position."""
    async with a_harness() as harness:
        await harness.start()
        front = paradex(harness)
        front.faults.add(Fault("ws.order.create", drop_reply=True))
        for channel in ("orders", "fills"):
            front.faults.add(Fault(f"push.{channel}*", times=None, drop=True))
        harness.enter()
        await harness.until(lambda: len(harness.orders("paradex")) == 1, "the order at the venue")
        await refuse_sockets(harness)
        await harness.until_logged("leg_unknown", venue="paradex")
        await harness.until_logged("leg_resolved", venue="paradex")
        await harness.until(lambda: harness.phase is PairPhase.HEDGED, "hedged")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        assert len(harness.orders("paradex")) == 1


async def test_cancel_on_disconnect_is_armed_on_every_new_connection() -> None:
    """The venue remembers nothing of the last connection."""
    async with a_harness() as harness:
        await harness.start()
        front = paradex(harness)
        seen: list[object] = []

        def armed_anew() -> list[object]:
            return [item for item in front._sockets if item._cancels_on_disconnect and item not in seen]

        for _ in range(3):
            await harness.until(lambda: bool(armed_anew()), "armed")
            seen += armed_anew()
            await front.close_sockets("private")
