"""The one command as an operator uses it, and what it says when it cannot start."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from settings import PROJECT
from supervision.preflight import loopback_urls
from tests.instance import Instance, a_directory, descendants, free_ports, memory_dir, write_config
from tests.waiting import DEADLINE_S
from venues import registry


@pytest.fixture
def config() -> Iterator[Path]:
    with a_directory() as directory:
        path = write_config(directory)
        yield path
        shutil.rmtree(memory_dir(path), ignore_errors=True)


def supervisor(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROJECT / "supervisor.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=env, check=False)


def refusals(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    """The config_error lines of a start that was refused as it should be."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in lines if line["event"] == "config_error"]


def test_help_names_every_switch() -> None:
    done = supervisor("--help")

    assert done.returncode == 0
    assert {"--config", "--check", "--live", "--clean", "--env-file"} <= set(
        done.stdout.replace("[", " ").split()
    )


def test_check_prints_the_resolved_settings_and_masks_secrets(config: Path, tmp_path: Path) -> None:
    env_file = tmp_path / "secrets.env"
    env_file.write_text("PARADEX_L2_PRIVATE_KEY=0xdeadbeefcafe\n")

    done = supervisor("--check", "--config", str(config), "--env-file", str(env_file))

    assert done.returncode == 0, done.stdout + done.stderr
    shown = yaml.safe_load(done.stdout)
    assert shown["secrets"]["PARADEX_L2_PRIVATE_KEY"] == "********"
    assert shown["secrets"]["VEST_PRIMARY_PRIVATE_KEY"] == "not set"
    assert shown["execution"]["max_retries"] == 3
    assert "risk.max_daily_loss_quote" in shown["reload"]["hot"]
    assert "execution.max_retries" in shown["reload"]["when flat"]
    assert shown["venues"]["vest"]["rest_url"].startswith("http://127.0.0.1:")
    assert "deadbeef" not in done.stdout + done.stderr


def test_check_starts_nothing(config: Path) -> None:
    supervisor("--check", "--config", str(config))

    assert list(memory_dir(config).iterdir()) == []


def test_an_unreadable_config_is_named() -> None:
    (problem,) = refusals(supervisor("--config", "/nowhere/config.yaml"))

    assert "--config FILE" in problem["detail"]


def test_every_wrong_key_is_reported_in_one_go(tmp_path: Path) -> None:
    path = write_config(tmp_path, mode="fast", log_level="loud")
    try:
        problems = refusals(supervisor("--config", str(path)))
    finally:
        shutil.rmtree(memory_dir(path))

    assert {problem["key"] for problem in problems} == {"mode", "log_level"}


@pytest.mark.parametrize("switches", [(), ("--live",)])
def test_live_needs_both_switches_and_its_keys(tmp_path: Path, switches: tuple[str, ...]) -> None:
    path = write_config(tmp_path, mode="live")
    empty = tmp_path / "none.env"
    try:
        problems = refusals(supervisor("--config", str(path), "--env-file", str(empty), *switches, env={}))
    finally:
        shutil.rmtree(memory_dir(path))

    keys = {problem["key"] for problem in problems}
    assert {"VEST_PRIMARY_PRIVATE_KEY", "PARADEX_L2_PRIVATE_KEY"} <= keys
    assert ("mode" in keys) == (not switches)


@pytest.mark.parametrize("mode", ["sim", "paper"])
def test_live_switch_without_mode_live_is_refused(config: Path, mode: str) -> None:
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "mode": mode}))
    (problem,) = refusals(supervisor("--config", str(config), "--live"))

    assert problem["key"] == "mode"


@pytest.mark.parametrize("mode", ["sim", "paper"])
def test_without_mode_live_no_key_is_needed(config: Path, tmp_path: Path, mode: str) -> None:
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "mode": mode}))
    empty = tmp_path / "none.env"

    done = supervisor("--check", "--config", str(config), "--env-file", str(empty), env={})

    assert done.returncode == 0, done.stdout + done.stderr
    assert yaml.safe_load(done.stdout)["mode"] == mode


def test_a_taken_port_is_named_and_nothing_is_left(config: Path) -> None:
    port = yaml.safe_load(config.read_text())["simulator"]["ports"]["vest"]
    with socket.create_server(("127.0.0.1", port)):
        done = supervisor("--config", str(config))

    assert done.returncode == 2
    last = json.loads(done.stdout.splitlines()[-1])
    assert f"127.0.0.1:{port}" in last["detail"]
    assert list(memory_dir(config).iterdir()) == []
    assert list(descendants(str(config.parent))) == []


def a_file_where_the_journal_should_be(var_dir: Path) -> None:
    var_dir.write_text("not a directory")


def a_broken_cluster(var_dir: Path) -> None:
    (var_dir / "postgres").mkdir(parents=True)
    (var_dir / "postgres" / "PG_VERSION").write_text("999")


@pytest.mark.parametrize(
    ("spoil", "logged"),
    [
        (a_file_where_the_journal_should_be, "persistence.var_dir"),
        (a_broken_cluster, "Set DATABASE_URL in .env"),
    ],
)
def test_without_any_database_nothing_that_trades_is_started(
    config: Path, spoil: Callable[[Path], None], logged: str
) -> None:
    spoil(config.parent / "var")

    done = supervisor("--config", str(config))

    assert done.returncode == 2, done.stdout
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert logged in lines[-1].get("key", "") + lines[-1]["detail"]
    assert not any(line.get("process") in ("executor", "detector", "feed-vest") for line in lines)
    assert list(memory_dir(config).iterdir()) == []


def test_a_venue_without_a_simulator_port_is_given_one(tmp_path: Path) -> None:
    path = write_config(tmp_path, simulator__ports={"vest": 8701})
    try:
        done = supervisor("--check", "--config", str(path))
    finally:
        shutil.rmtree(memory_dir(path), ignore_errors=True)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "key", "logged"),
    [
        ({"legs": {"vest": "NOPE-PERP", "paradex": "BTC-USD-PERP"}}, "pairs[0].legs.vest", "NOPE-PERP"),
        ({"size_base": "0.00015"}, "pairs[0].size_base", "common grid"),
        ({"size_base": "500"}, "pairs[0].size_base", "largest order"),
        (
            {"size_base": "0.0005", "strategy": {"layers": 5, "entry_max_bps": 9.0}},
            "pairs[0].size_base",
            "smallest order",
        ),
    ],
)
def test_what_the_venues_would_refuse_stops_the_start(
    tmp_path: Path, changes: dict[str, object], key: str, logged: str
) -> None:
    """Before any process that trades is started."""
    shipped = yaml.safe_load((PROJECT / "config.yaml").read_text())["pairs"]
    path = write_config(tmp_path, pairs=[{**shipped[0], **changes}, shipped[1]])
    try:
        problems = refusals(supervisor("--config", str(path)))
        left = list(memory_dir(path).iterdir())
    finally:
        shutil.rmtree(memory_dir(path))

    assert {problem["key"] for problem in problems} == {key}
    assert any(logged in problem["value"] + problem["detail"] for problem in problems)
    assert left == []


def test_a_second_instance_is_told_who_runs(config: Path) -> None:
    instance = Instance(config)
    try:
        instance.wait_for("starting")
        (problem,) = refusals(supervisor("--config", str(config)))
        assert f"pid {instance.process.pid}" in problem["detail"]
    finally:
        assert instance.stop() == 0


def test_a_fault_that_does_not_exist_is_named_at_check(config: Path) -> None:
    """Found before anything starts, not by a simulator that ends at once."""
    raw = yaml.safe_load(config.read_text())
    raw.setdefault("simulator", {})["faults"] = ["stall:colour=red"]
    config.write_text(yaml.safe_dump(raw))

    done = supervisor("--check", "--config", str(config))

    assert done.returncode == 2
    assert "simulator.faults" in done.stdout
    assert "colour" in done.stdout


def test_a_venue_that_does_not_answer_is_worth_another_try(config: Path) -> None:
    """A reboot during a venue's maintenance: what starts us is to try again, not to give up."""
    nobody = free_ports(2)
    urls = {
        venue: loopback_urls(registry.venue(venue).production_hosts, port)
        for venue, port in zip(("vest", "paradex"), nobody, strict=True)
    }
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "mode": "paper", "venues": urls}))

    done = supervisor("--config", str(config))

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3, done.stdout
    problems = [line for line in lines if line["event"] == "config_error"]
    assert {line["key"] for line in problems} == {"venues.vest.rest_url", "venues.paradex.rest_url"}
    assert lines[-1]["exit_code"] == 3
    assert list(memory_dir(config).iterdir()) == []
