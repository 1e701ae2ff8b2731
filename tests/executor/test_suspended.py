"""A pair whose contracts do not fit its settings any more: it opens nothing, and what it holds is closed."""

from __future__ import annotations

import time

from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, a_world


async def test_a_suspended_pair_opens_nothing_and_lets_what_it_holds_go() -> None:
    async with a_world() as world:
        await world.start()
        await world.open()
        await world.kill()
        world.rewrite_launch(suspended={"btc": "pairs[0].size_base does not fit"})
        await world.start(wait_ready=False)
        await world.until_told("positions_restored")
        await world.until(lambda: world.phase is PairPhase.HEDGED, "hedged again")
        assert world.positions_e8 == (SIZE_E8, -SIZE_E8)
        world.show("paradex", 50_000, 50_001)
        world.exit()
        await world.until_told("trade_closed")
        await world.until_phase(PairPhase.FLAT)
        assert world.positions_e8 == (0, 0)
        world.show("paradex", 50_050, 50_051)
        world.enter()
        began_s = time.monotonic()
        await world.until(lambda: time.monotonic() > began_s + 1)
        assert world.positions_e8 == (0, 0)
        assert world.view is not None
        assert world.view.entries_allowed == 0
