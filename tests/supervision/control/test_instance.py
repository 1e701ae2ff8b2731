"""The operator's commands against a whole instance, as typed: real supervisor, processes and venues."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from monitoring.snapshot import Snapshot, Watcher
from runtime.operator_orders import pause_file
from settings import load_raw, parse_settings
from shm.records import PairPhase
from tests.instance import Instance, a_directory, memory_dir, write_config
from tests.waiting import DEADLINE_S, wait_until
from tools.__main__ import main


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory:
        # Where the recording's gaps come thick: three trades within half a minute.
        path = write_config(directory, simulator__start_s=26.0)
        yield path
        shutil.rmtree(memory_dir(path), ignore_errors=True)


def look(config: Path) -> Snapshot:
    settings = parse_settings(load_raw(config), str(config))
    return Watcher(settings, memory_dir(config) / f"tandem-{settings.bot_id}").read()


def may_enter(config: Path) -> bool:
    return any(pair.view.entries_allowed for pair in look(config).pairs if pair.view)


def state_of(config: Path, process: str) -> str:
    return next(item.state for item in look(config).processes if item.name == process)


def run(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """A command with --json: its exit code and its answer."""
    code = main([words[0], "--config", str(config), "--json", "--timeout-s", "200", *words[1:]])
    return code, json.loads(capsys.readouterr().out)


def test_pause_force_exit_and_resume_as_typed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("trade_opened", timeout_s=DEADLINE_S)

        code, answer = run(config, capsys, "pause", "--reason", "lunch")
        assert (code, answer["paused"]["reason"]) == (0, "lunch")
        assert not any(pair["entries_allowed"] for pair in answer["pairs"])
        paused = look(config)
        assert paused.is_paused
        assert paused.operator.paused_by == ["control"]
        assert not any(pair.view.entries_allowed for pair in paused.pairs if pair.view)

        code, answer = run(config, capsys, "force-exit", "--all")
        assert code == 0, answer
        assert {pair["phase"] for pair in answer["pairs"]} == {"FLAT"}
        assert sorted(answer["forced_exits"]) == ["btc", "eth"]

        # Both outlive the executor, and then the whole instance.
        killed = instance.pid_of("executor")
        os.kill(killed, signal.SIGKILL)
        instance.wait_for(
            lambda line: line["event"] == "forced_exit" and line["pid"] != killed, timeout_s=DEADLINE_S
        )
        instance.process.kill()
        instance.process.wait()
    except BaseException:
        instance.stop()
        raise
    later = Instance(config)
    try:
        later.wait_for("running", timeout_s=DEADLINE_S)
        wait_until(lambda: bool(look(config).executor["ready"]), "readiness")
        still = look(config)
        assert still.is_paused
        assert sorted(still.operator.forced) == ["btc", "eth"]
        assert not any(pair.view.entries_allowed for pair in still.pairs if pair.view)
        assert main(["status", "--config", str(config), "--json"]) == 1  # a pause waits for its resume
        status = json.loads(capsys.readouterr().out)
        assert status["operator"]["paused_by"] == ["control"]
        assert {item["block"] for item in status["obstacles"]} >= {"paused", "forced_exit"}

        pause_file(parse_settings(load_raw(config), str(config))).touch()
        later.wait_for(
            lambda line: line["event"] == "paused" and line["switch"] == "file", timeout_s=DEADLINE_S
        )
        code, answer = run(config, capsys, "resume")
        assert code == 1
        assert "pause-test: remove that file" in answer["summary"]
        assert look(config).is_paused

        pause_file(parse_settings(load_raw(config), str(config))).unlink()
        later.wait_for(
            lambda line: line["event"] == "resumed" and line.get("switch") == "file", timeout_s=DEADLINE_S
        )
        code, answer = run(config, capsys, "resume")
        assert (code, answer["paused"], answer["forced_exits"]) == (0, None, {})
        stops = {pair["entries_stopped"] for pair in answer["pairs"]}
        assert stops.isdisjoint({"paused", "forced exit"}), (
            "answered, and yet it is stopped by what was lifted"
        )
        wait_until(lambda: may_enter(config), "entries")
    finally:
        exit_code = later.stop()
    assert exit_code == 0
    assert list(memory_dir(config).iterdir()) == []


def test_a_wrong_request_says_what_is_known(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("running", timeout_s=DEADLINE_S)
        code, answer = run(config, capsys, "force-exit", "doge")
        assert (code, answer["ok"]) == (1, False)
        assert "known are btc, eth" in answer["summary"]
        code, answer = run(config, capsys, "resume", "btc")
        assert "there is no forced exit of 'btc'" in answer["summary"]
        assert all(pair.phase is not PairPhase.UNKNOWN for pair in look(config).pairs)
    finally:
        assert instance.stop() == 0
    assert main(["pause", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert "no instance runs under bot_id 'test'" in error
    assert "touch" in error


def edit(config: Path, **changes: Any) -> None:
    """Change the file as an editor would; keys by "section__key"."""
    content = yaml.safe_load(config.read_text())
    for name, value in changes.items():
        section, _, key = name.partition("__")
        content[section][key] = value
    config.write_text(yaml.safe_dump(content))


def names(changes: list[dict[str, Any]]) -> set[str]:
    return {change["key"] for change in changes}


def test_reload_as_typed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thresholds at once, sizes once flat, the rest with a restart; of rubbish nothing at all."""
    edit(config, strategy__max_hold_s=3600.0, strategy__exit_bps=-900.0)  # what is open stays open
    content = yaml.safe_load(config.read_text())
    content["pairs"][1].pop("strategy")  # both pairs go by the shared thresholds
    config.write_text(yaml.safe_dump(content))
    started_with = config.read_text()
    instance = Instance(config)
    try:
        instance.wait_for("trade_opened", timeout_s=DEADLINE_S)

        edit(config, strategy__entry_bps=950.0, risk__max_leverage=-1.0, execution__on_single_leg="pray")
        code, answer = run(config, capsys, "reload")
        assert (code, answer["ok"]) == (1, False)
        assert names(answer["problems"]) == {"risk.max_leverage", "execution.on_single_leg"}
        code, answer = run(config, capsys, "show-config", "pairs[btc].strategy.entry_bps")
        assert answer["keys"] == [{"key": "pairs[btc].strategy.entry_bps", "value": 1.5, "reload": "hot"}]

        config.write_text(started_with)
        edit(config, strategy__entry_bps=950.0, execution__price_band_bps=4.0, runtime__ring_cells=8192)
        code, answer = run(config, capsys, "reload", "--dry-run")
        expected = {"pairs[btc].strategy.entry_bps", "pairs[eth].strategy.entry_bps"}
        assert (code, answer["generation"], names(answer["changed"])) == (0, 0, expected)

        code, answer = run(config, capsys, "reload")
        assert (code, answer["generation"], names(answer["changed"])) == (0, 1, expected), answer
        assert names(answer["waiting"]) == {"execution.price_band_bps"}
        assert names(answer["restart"]) == {"runtime.ring_cells"}
        reported = instance.wait_for("reloaded", timeout_s=DEADLINE_S)
        assert {"key": "pairs[btc].strategy.entry_bps", "old": 1.5, "new": 950.0} in reported["changes"]

        # What waits is taken up when the last pair is flat, and outlives the executor.
        code, answer = run(config, capsys, "show-config", "price_band_bps")
        assert (answer["keys"][0]["value"], answer["keys"][0]["waiting"]) == (3.0, 4.0)
        code, answer = run(config, capsys, "force-exit", "--all")
        assert code == 0, answer
        instance.wait_for(
            lambda line: line["event"] == "reloaded" and line["generation"] == 2, timeout_s=DEADLINE_S
        )
        killed = instance.pid_of("executor")
        os.kill(killed, signal.SIGKILL)
        was = {line["pid"] for line in instance.lines}
        instance.wait_for(
            lambda line: line["event"] == "process_started" and line["pid"] not in was, timeout_s=DEADLINE_S
        )
        wait_until(lambda: state_of(config, "executor") == "running", "the executor")
        assert look(config).executor["settings_generation"] == 2
        assert look(config).reloads == 2

        # Two at once, and one that finds nothing to do.
        config.write_text(started_with)
        codes: list[int] = []
        both = [Thread(target=lambda: codes.append(main(["reload", "-c", str(config)]))) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(DEADLINE_S)
        assert codes == [0, 0]
        assert "the file says what is in force already" in capsys.readouterr().out
        assert main(["resume", "-c", str(config)]) == 0
        wait_until(lambda: may_enter(config), "entries")
    finally:
        exit_code = instance.stop()
    assert exit_code == 0
