"""Two instances, one account, one database: the second does not start, and a lost lease stops entries."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import psycopg
import yaml

from persistence.server import start_server
from tests.crash.stage import CLOSED_BPS, HOLD_BPS, SIZE_E8, WIDE_BPS, Stage, a_stage
from tests.instance import Instance, memory_dir

TAKE = (
    "update leases set holder = 'other', host = 'elsewhere', pid = 4711, expires_at = now() + interval '1 h'"
)


def another_host(stage: Stage, url: str) -> Instance:
    """The same keys and the same database, with a disk and a memory of its own."""
    raw = yaml.safe_load(stage.config.read_text())
    directory = stage.config.parent / "elsewhere"
    memory = memory_dir(stage.config) / "elsewhere"
    for path in (directory, memory):
        path.mkdir()
    raw["bot_id"] = "second"
    raw["persistence"]["var_dir"] = str(directory / "var")
    raw["runtime"]["memory_dir"] = str(memory)
    config = directory / "config.yaml"
    config.write_text(yaml.safe_dump(raw))
    return Instance(config, "--live", "--env-file", str(stage.env_file), env={"DATABASE_URL": url})


def test_a_second_host_does_not_start_and_a_lost_lease_stops_entries_but_not_exits() -> None:
    with a_stage() as stage:
        instance = stage.start()
        try:
            instance.wait_for("running")
            url = start_server(stage.config.parent / "var")
            second = another_host(stage, url)
            assert second.finish() == 2
            last = second.events("shutdown_done")[-1]["detail"]
            assert f"pid {instance.process.pid}" in last
            assert f"on {os.uname().nodename}" in last

            stage.market.gap_bps = WIDE_BPS
            instance.wait_for("trade_opened")
            stage.market.gap_bps = HOLD_BPS
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(TAKE)
                lost = instance.wait_for("lease_lost")
                assert "elsewhere (pid 4711)" in lost["detail"]
                stage.market.gap_bps = CLOSED_BPS
                instance.wait_for("trade_closed")
                stage.market.gap_bps = WIDE_BPS
                stage.let_the_market_go_on()
                assert stage.positions_e8 == {"vest": 0, "paradex": 0}
                connection.execute("update leases set expires_at = now()")
                instance.wait_for("lease_held")
            instance.wait_for("trade_opened")
            assert abs(stage.positions_e8["vest"]) == SIZE_E8
        finally:
            exit_code = instance.stop()
        assert exit_code == 0
        # Stopped in order, the account is free at once.
        third = another_host_again(stage)
        try:
            while len(third.events("venue_ready")) < 2:  # what has not logged in cannot end in order
                third.wait_for("venue_ready")
        finally:
            assert third.stop() == 0


def another_host_again(stage: Stage) -> Instance:
    for path in (stage.config.parent / "elsewhere", memory_dir(stage.config) / "elsewhere"):
        shutil.rmtree(Path(path))
    return another_host(stage, start_server(stage.config.parent / "var"))
