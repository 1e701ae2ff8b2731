"""The operator's commands against a whole instance, as typed: real supervisor, processes and venues."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from settings import load_raw, parse_settings
from shm.records import PairPhase
from standing import pause_file
from tests.instance import Instance, a_directory, memory_dir, write_config
from tools.__main__ import main
from tools.snapshot import Snapshot, Watcher

DEADLINE_S = 60.0


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


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def run(config: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """A command with --json: its exit code and its answer."""
    code = main([words[0], "--config", str(config), "--json", "--timeout-s", "60", *words[1:]])
    return code, json.loads(capsys.readouterr().out)


def test_pause_force_exit_and_resume_as_typed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("trade_opened", timeout_s=90)

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
        os.kill(instance.pid_of("executor"), signal.SIGKILL)
        instance.wait_for(lambda line: line["event"] == "forced_exit" and line["pair"] == "btc")
        instance.process.kill()
        instance.process.wait()
    except BaseException:
        instance.stop()
        raise
    later = Instance(config)
    try:
        later.wait_for("running")
        until(lambda: bool(look(config).executor["ready"]), "readiness")
        still = look(config)
        assert still.is_paused
        assert sorted(still.operator.forced) == ["btc", "eth"]
        assert not any(pair.view.entries_allowed for pair in still.pairs if pair.view)
        assert main(["status", "--config", str(config), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["operator"]["paused_by"] == ["control"]

        pause_file(parse_settings(load_raw(config), str(config))).touch()
        later.wait_for(lambda line: line["event"] == "paused" and line["switch"] == "file")
        code, answer = run(config, capsys, "resume")
        assert code == 1
        assert "pause-test: remove that file" in answer["summary"]
        assert look(config).is_paused

        pause_file(parse_settings(load_raw(config), str(config))).unlink()
        later.wait_for(lambda line: line["event"] == "resumed" and line.get("switch") == "file")
        code, answer = run(config, capsys, "resume")
        assert (code, answer["paused"], answer["forced_exits"]) == (0, None, {})
        later.wait_for("trade_opened", timeout_s=90)
    finally:
        exit_code = later.stop()
    assert exit_code == 0
    assert list(memory_dir(config).iterdir()) == []


def test_a_wrong_request_says_what_is_known(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("running")
        code, answer = run(config, capsys, "force-exit", "doge")
        assert (code, answer["ok"]) == (1, False)
        assert "known are btc, eth" in answer["summary"]
        code, answer = run(config, capsys, "resume", "btc")
        assert "no forced exit stands for 'btc'" in answer["summary"]
        assert all(pair.phase is not PairPhase.UNKNOWN for pair in look(config).pairs)
    finally:
        assert instance.stop() == 0
    assert main(["pause", "--config", str(config)]) == 2
    error = capsys.readouterr().err
    assert "no instance runs under bot_id 'test'" in error
    assert "touch" in error
