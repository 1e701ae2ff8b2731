"""No start ends with a code that nobody tries again while something may be held."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from persistence.journal import Journal
from settings import PROJECT
from supervision.unattended import config_in, is_unattended, may_be_held

LEGS = ((0, "vest", 1), (1, "paradex", -1))


def a_config(directory: Path, **changes: Any) -> Path:
    raw = yaml.safe_load((PROJECT / "config.yaml").read_text()) | {"bot_id": "held", "mode": "live"} | changes
    raw["persistence"] |= {"var_dir": str(directory / "var")}
    raw["runtime"] |= {"memory_dir": str(directory)}
    path = directory / "config.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def hold(directory: Path, size_e8: int = 5, mode: str = "live") -> Path:
    """A journal that tells of two legs."""
    journal = Journal(directory / "var" / "journal" / f"held-{mode}", "run", 1)
    legs = [
        {
            "leg": leg,
            "venue": venue,
            "symbol": "A",
            "size_e8": size_e8 and size,
            "entry_price_e8": 7,
            "fee_e8": 0,
        }
        for leg, venue, size in LEGS
    ]
    line = {
        "ts": "2026-01-02T03:04:05.000000Z", "level": "info", "event": "holding", "proc": "executor",
        "pid": 1, "run_id": "run", "mono_ns": 9, "pair": "btc", "trade_id": 7, "direction": 1, "layers": 1,
        "opened_mono_ns": 0, "is_estimated": False, "legs": legs,
    }  # fmt: skip
    journal.append("executor", 8, orjson.dumps(line))
    journal.close()
    return journal.directory


def exit_code(*arguments: str) -> int:
    command = [sys.executable, str(PROJECT / "supervisor.py"), *arguments]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    return done.returncode


@pytest.mark.parametrize(
    "changes", [{}, {"pairs": "none"}, {"bot_id": 5}, {"mode": "lve"}, {"no such key": 1}, {"mode": "sim"}]
)
def test_a_start_that_is_refused_is_tried_again_while_something_is_held(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    """A slip in the configuration, keys that are missing, and systemd gave up with a position open."""
    config = a_config(tmp_path, **changes)
    switch = ["--live"] if changes.get("mode") == "sim" else []  # which is none for that mode
    arguments = ["--config", str(config), "--env-file", str(tmp_path / "none.env"), *switch]
    assert exit_code(*arguments) == 2
    hold(tmp_path, size_e8=0)
    assert exit_code(*arguments) == 2
    hold(tmp_path)
    assert exit_code(*arguments) == 3
    assert exit_code(*arguments, "--check") == 2  # it starts nothing


def test_a_command_line_that_is_none_is_no_reason_either(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    assert exit_code("--config", str(config), "--lvie") == 2
    hold(tmp_path)
    assert exit_code("--config", str(config), "--lvie") == 3


def test_a_file_that_cannot_be_parsed_is_no_reason_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not said where the journal lies: it is looked for where it lies if nothing is said."""
    monkeypatch.setattr("supervision.unattended.PROJECT", tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("{")
    assert not is_unattended(config)
    hold(tmp_path)
    assert is_unattended(config)
    assert is_unattended(tmp_path / "none.yaml")


def test_a_journal_that_cannot_be_read_may_hold_anything(tmp_path: Path) -> None:
    assert not may_be_held(tmp_path / "none")
    journal = hold(tmp_path, size_e8=0)
    assert not may_be_held(journal)
    (journal / "0000000000000000001.journal").write_bytes(b"x" * 200)
    assert may_be_held(journal)


def test_memory_of_a_killed_run_may_hold_anything(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    (tmp_path / "tandem-held").mkdir()
    assert is_unattended(config)
    assert not is_unattended(a_config(tmp_path, mode="sim"))  # its venues are gone with it


def test_the_configuration_of_a_command_line_with_a_slip_is_found() -> None:
    assert config_in(["--lvie", "-c", "a.yaml"]) == Path("a.yaml")
    assert config_in(["--config=b.yaml"]) == Path("b.yaml")
    assert config_in(["--config"]) == Path("")
    assert config_in([]) == PROJECT / "config.yaml"
