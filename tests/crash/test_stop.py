"""A stop of the whole instance whose cancels a venue does not confirm."""

from __future__ import annotations

from simulator.orders import NewOrder
from simulator.process import RunningSimulator
from tests.crash.stage import HOLD_BPS, SIZE_E8, SYMBOLS, WIDE_BPS, a_stage
from venues.contract import E8


def test_a_stop_with_an_order_left_open_says_where_and_ends_with_another_code() -> None:
    with a_stage() as stage:
        instance = stage.start()
        instance.wait_for("running", 200.0)
        stage.market.gap_bps = WIDE_BPS
        instance.wait_for("trade_opened", 100.0)
        stage.market.gap_bps = HOLD_BPS
        ours = int(stage.orders("vest")[0].client_id) >> 18 << 18 | 1 << 17

        def rest(simulator: RunningSimulator) -> None:
            vest = simulator.exchanges["vest"]
            new = NewOrder(SYMBOLS["vest"], 1, SIZE_E8, 40_000 * E8, client_id=str(ours))
            vest.execute(vest.submit(vest.account_ids[0], new).order_id)

        stage.add_fault("vest", "rest.orders.cancel", times=None, status=503, body=b"away")
        stage.ask(rest)

        assert instance.stop() == 1

        (done,) = instance.events("shutdown_done")
        assert (done["level"], done["exit_code"]) == ("error", 1)
        assert done["unconfirmed"] == ["vest: open orders"]
        assert "vest: open orders" in done["detail"]
