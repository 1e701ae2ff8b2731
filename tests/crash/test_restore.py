"""The whole instance is killed, or the machine reboots, with a hedged pair open: the next start knows it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from events.codec import decode
from events.fills import FillReported
from persistence.restore import holdings_of
from persistence.verify import read_all
from tests.crash.stage import CLOSED_BPS, SIZE_E8, SYMBOLS, WIDE_BPS, Stage, a_stage, children_of, kill_all
from tests.instance import Instance, descendants, free_ports, memory_dir
from tests.waiting import wait_until

HEDGED = {"vest": SIZE_E8, "paradex": -SIZE_E8}
FLAT = {"vest": 0, "paradex": 0}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with a_stage() as made:
        yield made


def open_pair(stage: Stage) -> Instance:
    instance = stage.start()
    instance.wait_for("running")
    stage.market.gap_bps = WIDE_BPS
    instance.wait_for("trade_opened")
    assert stage.positions_e8 == HEDGED
    return instance


def kill(stage: Stage, instance: Instance) -> None:
    """Everything at once: nobody is left to finish anything."""
    kill_all([instance.process.pid, *children_of(stage)], signal.SIGKILL)
    instance.process.wait(20)


@pytest.mark.parametrize("reboots", [False, True])
def test_a_pair_held_when_everything_was_killed_is_adopted_and_closed(stage: Stage, reboots: bool) -> None:
    opened = open_pair(stage)
    trade_id = opened.events("trade_opened")[-1]["trade_id"]
    kill(stage, opened)
    if reboots:
        shutil.rmtree(memory_dir(stage.config) / "tandem-test")

    instance = stage.start()
    try:
        restored = instance.wait_for(lambda line: line["event"] == "positions_restored" and "count" in line)
        assert restored["count"] == 2
        assert stage.positions_e8 == HEDGED
        stage.market.gap_bps = CLOSED_BPS
        closed = instance.wait_for("trade_closed")
    finally:
        exit_code = instance.stop()

    assert exit_code == 0
    assert closed["trade_id"] == trade_id
    assert stage.positions_e8 == FLAT
    assert stage.doubled_ids() == []
    assert len(instance.events("taking_over")) == (not reboots)
    assert not instance.events("halted")


def test_a_quiet_log_forgets_nothing(stage: Stage) -> None:
    """Nothing of a trade is an error: at this level none of it is printed, and all of it is kept."""
    loud = stage.config.read_text()
    raw = yaml.safe_load(loud)
    stage.config.write_text(yaml.safe_dump({**raw, "log_level": "error"}))
    quiet = stage.start()
    stage.wait_for_accounts()
    stage.market.gap_bps = WIDE_BPS
    wait_until(lambda: stage.positions_e8 == HEDGED, "hedged", 120)
    assert quiet.stop() == 0
    assert [line for line in quiet.lines if line["level"] != "error"] == []
    directory = Path(raw["persistence"]["var_dir"]) / "journal" / "test-live"
    kept = [decode(entry.payload).event for entry in read_all(directory)]
    assert sum(isinstance(event, FillReported) for event in kept) >= 2
    (pair,) = holdings_of(directory).held()
    assert dict(zip(pair.legs, pair.sizes_e8, strict=True)) == {
        f"{venue}:{SYMBOLS[venue]}": size_e8 for venue, size_e8 in HEDGED.items()
    }

    stage.config.write_text(loud)
    instance = stage.start()
    try:
        restored = instance.wait_for(lambda line: line["event"] == "positions_restored" and "count" in line)
        assert restored["count"] == 2
        stage.market.gap_bps = CLOSED_BPS
        assert instance.wait_for("trade_closed")["trade_id"] == pair.trade_id
    finally:
        assert instance.stop() == 0
    assert not instance.events("reconcile_diff")


def test_what_was_left_outlives_a_start_that_cannot_reach_a_venue(stage: Stage) -> None:
    """It ends cleanly and has begun nothing: what it took over must be there for the start after it."""
    opened = open_pair(stage)
    trade_id = opened.events("trade_opened")[-1]["trade_id"]
    kill(stage, opened)
    machines = memory_dir(stage.config) / "tandem-test" / "machines"
    left = machines.read_bytes()
    raw = yaml.safe_load(stage.config.read_text())
    raw["venues"]["vest"]["rest_url"] = f"http://127.0.0.1:{free_ports(1)[0]}/v2"
    unreachable = stage.config.with_name("unreachable.yaml")
    unreachable.write_text(yaml.safe_dump(raw))
    failed = Instance(unreachable, "--live", "--env-file", str(stage.env_file))

    assert failed.finish() == 3
    assert machines.read_bytes() == left
    instance = stage.start()
    try:
        instance.wait_for(lambda line: line["event"] == "positions_restored" and "count" in line)
        stage.market.gap_bps = CLOSED_BPS
        closed = instance.wait_for("trade_closed")
    finally:
        exit_code = instance.stop()

    assert exit_code == 0
    assert closed["trade_id"] == trade_id
    assert not closed["is_estimated"]
    assert not machines.exists()


def test_processes_that_outlive_a_killed_supervisor_are_waited_for(stage: Stage) -> None:
    """The kernel tells them to end, and the executor may be mending a leg: two of them must never trade."""
    opened = open_pair(stage)
    opened.process.kill()
    instance = stage.start()
    try:
        took_over = instance.wait_for("taking_over")
        instance.wait_for(lambda line: line["event"] == "positions_restored" and "count" in line)
    finally:
        exit_code = instance.stop()

    assert took_over["killed"] == []
    assert exit_code == 0
    assert stage.positions_e8 == HEDGED
    assert list(descendants(str(memory_dir(stage.config)))) == []


def test_a_second_start_says_who_holds_the_instance(stage: Stage) -> None:
    instance = stage.start()
    try:
        instance.wait_for("running")
        second = stage.start()
        assert second.finish() == 3  # the first one may hold something: a service manager tries again
        (refused,) = second.events("config_error")
    finally:
        instance.stop()

    assert f"pid {instance.process.pid} on " in refused["detail"]
    assert " since 20" in refused["detail"]
