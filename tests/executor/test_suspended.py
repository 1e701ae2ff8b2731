"""A pair whose contracts do not fit its settings any more: it opens nothing, and what it holds is closed."""

from __future__ import annotations

import time

from shm.records import PairPhase
from tests.executor.harness import SIZE_E8, a_harness


async def test_a_suspended_pair_opens_nothing_and_lets_what_it_holds_go() -> None:
    async with a_harness() as harness:
        await harness.start()
        await harness.open()
        await harness.kill()
        harness.rewrite_launch(suspended={"btc": "pairs[0].size_base does not fit"})
        await harness.start(wait_ready=False)
        await harness.until_logged("positions_restored")
        await harness.until(lambda: harness.phase is PairPhase.HEDGED, "hedged again")
        assert harness.positions_e8 == (SIZE_E8, -SIZE_E8)
        harness.show("paradex", 50_000, 50_001)
        harness.exit()
        await harness.until_logged("trade_closed")
        await harness.until_phase(PairPhase.FLAT)
        assert harness.positions_e8 == (0, 0)
        harness.show("paradex", 50_050, 50_051)
        harness.enter()
        began_s = time.monotonic()
        await harness.until(lambda: time.monotonic() > began_s + 1)
        assert harness.positions_e8 == (0, 0)
        assert harness.view is not None
        assert harness.view.entries_allowed == 0
