"""What ``status`` says of a real instance that is stopped from entering, killed in parts and started anew."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime import kill_switch
from settings import load_raw, parse_settings
from shm.layout import Memory
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.waiting import DEADLINE_S, wait_until
from tools.__main__ import main


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory:
        yield write_config(directory, venues__paradex__maintenance=[])


def status(config: Path, capfd: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    capfd.readouterr()
    code = main(["status", "--json", "--config", str(config)])
    return code, json.loads(capfd.readouterr().out)


def blocks(found: dict[str, Any]) -> list[str]:
    return [item["block"] for item in found["obstacles"]]


def test_the_kill_switch_is_shown_through_a_dead_executor_and_a_new_instance(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = kill_switch.kill_file(parse_settings(load_raw(config), str(config)))
    instance = Instance(config)
    try:
        instance.wait_for("running", timeout_s=DEADLINE_S)
        wait_until(lambda: "kill_latch" not in blocks(status(config, capfd)[1]), "a first look")
        memory = Memory(memory_dir(config) / "tandem-test")
        kill_switch.engage(path, memory, "test")
        code, found = status(config, capfd)
        assert (code, found["is_killed"], blocks(found)[0]) == (1, True, "kill_latch")
        wait_until(
            lambda: "kill latch" in status(config, capfd)[1]["operator"]["entries_stopped"].values(),
            "the executor's word",
        )
        assert main(["status", "--config", str(config)]) == 1
        shown = capfd.readouterr().out
        assert "KILL SWITCH" in shown.splitlines()[0]
        assert "! kill switch: engaged until python -m tools kill --release" in shown

        os.kill(instance.pid_of("executor"), signal.SIGSTOP)  # away, and nobody has noticed
        kill_switch.release(path, memory)
        kill_switch.engage(path, None, "by touch alone")
        code, found = status(config, capfd)
        assert (code, found["is_killed"], blocks(found)[0]) == (1, True, "kill_latch")
        with suppress(ProcessLookupError):  # the supervisor may have replaced it by now
            os.kill(instance.pid_of("executor"), signal.SIGCONT)
    finally:
        instance.stop()

    later = Instance(config)
    try:
        wait_until(lambda: (memory_dir(config) / "tandem-test" / "launch.json").exists(), "the memory")
        later.wait_for("running", timeout_s=DEADLINE_S)
        code, found = status(config, capfd)
        assert (code, found["is_killed"], blocks(found)[0]) == (1, True, "kill_latch")
        kill_switch.release(path, Memory(memory_dir(config) / "tandem-test"))
        wait_until(lambda: not status(config, capfd)[1]["obstacles"], "nothing that stops entries")
        assert status(config, capfd)[0] == 0
    finally:
        assert later.stop() == 0


def test_why_and_status_say_the_level_and_the_events_what_decided(
    config: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From real trades: no figure here was made by a test."""
    raw = yaml.safe_load(config.read_text())
    raw["simulator"]["start_s"] = 26.0  # where the recording's gaps come thick
    config.write_text(yaml.safe_dump(raw))
    instance = Instance(config)
    try:
        opened = instance.wait_for("trade_opened", timeout_s=DEADLINE_S)
        closed = instance.wait_for("trade_closed", timeout_s=DEADLINE_S)
        pair, venues = opened["pair"], {leg["venue"] for leg in opened["legs"]}
        (entry, *_) = [line for line in instance.events("signal") if line["signal_id"] == opened["signal_id"]]
        assert (entry["buy_venue"], entry["sell_venue"]) == (opened["long_venue"], opened["short_venue"])
        assert {entry["buy_venue"], entry["sell_venue"]} == venues
        assert entry["spread_bps"] >= entry["threshold_bps"]
        assert opened["latency_us"] > 0
        assert closed["why"]

        _, found = status(config, capfd)
        (gap,) = [item["gap"] for item in found["pairs"] if item["pair"] == pair]
        assert main(["why", "--json", "--config", str(config)]) == 0
        reported = json.loads(capfd.readouterr().out)
        assert all(funnel["is_exact"] for funnel in reported["funnels"])
        (level,) = [item for item in reported["levels"] if item["pair"] == pair]
        assert level["needed_bps"] == gap["needed_bps"]
        assert level["sentence"].startswith("needs ")
        assert level["best_bps"][0 if opened["direction"] > 0 else 1] >= round(entry["spread_bps"], 3) - 0.001
    finally:
        instance.stop()
