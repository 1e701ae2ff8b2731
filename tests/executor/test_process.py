"""The executor as it runs: its own process, both simulated venues over real sockets."""

from __future__ import annotations

from shm.records import PairPhase
from tests.executor.world import SIZE_E8, a_world


async def test_a_signal_opens_both_legs_and_an_exit_closes_them() -> None:
    """The whole of its work, once."""
    async with a_world() as world:
        await world.start()
        await world.open()
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)

        world.show("paradex", 50_000, 50_001)
        world.exit()
        await world.until_told("trade_closed")
        await world.until_phase(PairPhase.FLAT)

        assert world.positions_e8 == (0, 0)
        assert len(world.orders("vest")) == len(world.orders("paradex")) == 2
        assert world.counter("orders_sent_total") == 4
        assert await world.terminate() == 0
        assert world.errors == b""
