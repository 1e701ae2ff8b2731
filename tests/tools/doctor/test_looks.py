"""Single looks of the doctor, each at a world made for it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from executor.metrics.slippage_model import learned_file
from persistence.server import start_server
from persistence.store import Store
from runtime.kill_switch import kill_file
from runtime.operator_orders import (
    Instruction,
    Instructions,
    instructions_file,
    pause_file,
    write_instructions,
)
from settings import PROJECT, Settings, load_raw, parse_settings
from shm.layout import Memory
from supervision.memory_plan import memory_plan, process_counters
from tests.instance import a_directory
from tools.doctor.edge import look_at_edge
from tools.doctor.finding import Finding, Grade
from tools.doctor.host import clock, look_at_host
from tools.doctor.keeping import look_at_keeping, memory_needed_mib
from tools.doctor.online import Offset, _Sample, offset_of
from tools.doctor.software import look_at_software
from venues.contract import Instrument

Make = Callable[..., Settings]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Settings with a memory and a disk of their own; changes as ``section={key: value}``."""
    memory = Path("/dev/shm") / f"test-{os.getpid()}-{tmp_path.name}"
    memory.mkdir()

    def make_settings(**changes: dict[str, Any]) -> Settings:
        raw = load_raw(PROJECT / "config.yaml")
        raw["persistence"]["var_dir"] = str(tmp_path / "var")
        raw["runtime"]["memory_dir"] = str(memory)
        for section, values in changes.items():
            raw[section] = {**raw.get(section, {}), **values}
        return parse_settings(raw, "test")

    yield make_settings
    shutil.rmtree(memory)


def of(findings: list[Finding], check: str) -> list[tuple[Grade, str]]:
    return [(finding.grade, finding.found) for finding in findings if finding.check == check]


def kept(settings: Settings, check: str) -> list[tuple[Grade, str]]:
    return of(look_at_keeping(settings, PROJECT / "no.env"), check)


# --- the machine ---


def a_machine(root: Path, *, isolated: str, nohz_full: str, governors: tuple[str, ...]) -> Path:
    cpu = root / "sys/devices/system/cpu"
    for number, governor in enumerate(governors):
        (cpu / f"cpu{number}/cpufreq").mkdir(parents=True)
        (cpu / f"cpu{number}/cpufreq/scaling_governor").write_text(f"{governor}\n")
    cpu.mkdir(parents=True, exist_ok=True)
    (cpu / "isolated").write_text(f"{isolated}\n")
    (cpu / "nohz_full").write_text(f"{nohz_full}\n")
    return root


def test_pinned_cores_are_held_against_what_the_kernel_keeps_free(make: Make, tmp_path: Path) -> None:
    settings = make(runtime={"pin": {"detector": 0, "executor": 1}})
    good = a_machine(tmp_path / "good", isolated="0-1,3", nohz_full="0-3", governors=("performance",) * 2)
    bad = a_machine(
        tmp_path / "bad", isolated="1", nohz_full="(null)", governors=("performance", "powersave")
    )
    assert [grade for grade, _ in of(look_at_host(settings, good), "isolation")] == [Grade.OK]
    assert of(look_at_host(settings, good), "governor") == [(Grade.OK, "performance")]
    ((grade, found),) = of(look_at_host(settings, bad), "isolation")
    assert (grade, "pinned cores 0,1 are shared" in found) == (Grade.WARNING, True)
    ((grade, found),) = of(look_at_host(settings, bad), "governor")
    assert (grade, found.startswith("performance, powersave")) == (Grade.WARNING, True)
    assert of(look_at_host(make(runtime={"pin": {}}), bad), "isolation")[0][0] is Grade.OK


def test_cores_that_are_not_there_or_shared_by_two_are_named(make: Make) -> None:
    first = min(os.sched_getaffinity(0))
    away = make(runtime={"pin": {"detector": 4_095}})
    assert of(look_at_host(away), "cores")[0][1].startswith("detector is pinned to core 4095")
    shared = make(runtime={"pin": {"detector": first, "executor": first}, "idle": {"detector": "spin"}})
    logged = [found for _, found in of(look_at_host(shared), "cores")]
    assert any(f"core {first} is shared by detector, executor" in found for found in logged)
    assert any("detector spins without a core to itself" in found for found in logged)


def test_more_spinners_than_cores_is_a_problem(make: Make) -> None:
    """They would take turns of milliseconds each, and nobody else would get one."""
    spinning = {"detector": "spin", "executor": "spin", "feed": "spin"}
    settings = make(runtime={"pin": {}, "idle": spinning})
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        findings = look_at_host(settings)
    finally:
        os.sched_setaffinity(0, before)
    assert Grade.PROBLEM in [grade for grade, _ in of(findings, "cores")]


@pytest.mark.parametrize(
    ("reported", "grade"), [((True, 0.01), "ok"), ((True, 1.5), "warning"), ((False, 0.0), "warning")]
)
def test_a_clock_nobody_keeps_is_told(reported: tuple[bool, float], grade: str) -> None:
    assert clock(*reported).grade == grade


# --- libraries ---


def test_a_library_that_is_missing_or_another_is_told(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\ndependencies = ["orjson>=3", "psycopg[binary]>=3", "no-such-thing>1"]\n'
    )
    (tmp_path / "requirements.lock").write_text(
        "orjson==0.0.1 \\\n    --hash=x\npsycopg==3.0\nno-such-thing==1\n"
    )
    found = of(look_at_software(tmp_path), "libraries")
    assert (Grade.PROBLEM, "no-such-thing is not installed") in found
    assert sum(grade is Grade.WARNING and "tested with" in text for grade, text in found) == 2


# --- what is kept ---


def test_what_a_dead_instance_left_is_told_and_a_living_one_is_none(make: Make) -> None:
    settings = make()
    base = Path(settings.runtime.memory_dir)
    assert kept(settings, "instance") == [(Grade.OK, "none runs, and none has left anything")]
    (base / f"tandem-{settings.bot_id}").mkdir()
    ((grade, found),) = kept(settings, "instance")
    assert (grade, "left its memory" in found) == (Grade.WARNING, True)
    with (base / f"tandem-{settings.bot_id}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert kept(settings, "instance") == [(Grade.OK, f"one runs under bot_id {settings.bot_id!r}")]


def test_every_switch_that_stops_entries_is_told(make: Make) -> None:
    """The usual answer to: why does it not trade?"""
    settings = make()
    kill_file(settings).parent.mkdir(parents=True)
    assert kept(settings, "switches")[0][0] is Grade.OK
    kill_file(settings).touch()
    pause_file(settings).touch()
    instructions = Instructions(1, Instruction("me", "now"), {"btc": Instruction("me", "now")})
    write_instructions(instructions_file(settings), instructions)
    logged = kept(settings, "switches")
    assert [grade for grade, _ in logged] == [Grade.WARNING] * 4
    assert [
        "latch" in logged[0][1],
        "pause" in logged[1][1],
        "by me" in logged[2][1],
        "btc" in logged[3][1],
    ] == [True] * 4


def test_an_env_file_that_others_can_read_is_told(make: Make, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.touch(mode=0o644)
    os.chmod(env_file, 0o644)
    assert of(look_at_keeping(make(), env_file), "credentials")[0][0] is Grade.WARNING
    os.chmod(env_file, 0o600)
    assert of(look_at_keeping(make(), env_file), "credentials")[0][0] is Grade.OK


def test_a_memory_that_is_no_memory_or_too_small_is_told(make: Make, tmp_path: Path) -> None:
    on_disk = make(runtime={"memory_dir": str(PROJECT)})
    assert kept(on_disk, "shared memory")[0][0] is Grade.WARNING
    large = make(runtime={"event_queue_kib": 1 << 20, "ring_cells": 1 << 20})
    assert memory_needed_mib(large) > 5_000
    free_mib = shutil.disk_usage(large.runtime.memory_dir).free >> 20
    expected = Grade.PROBLEM if free_mib < memory_needed_mib(large) else Grade.OK
    assert kept(large, "shared memory")[0][0] is expected
    assert kept(make(runtime={"memory_dir": "/proc/nowhere"}), "shared memory")[0][0] is Grade.PROBLEM


def test_the_need_for_memory_is_not_less_than_an_instance_takes(make: Make, tmp_path: Path) -> None:
    """Counted on a memory that was really made."""
    settings = make()
    directory = Path(settings.runtime.memory_dir) / "made"
    Memory.create(directory, memory_plan(settings), process_counters(settings))
    taken_mib = sum(path.stat().st_size for path in directory.iterdir()) / (1 << 20)
    assert taken_mib < memory_needed_mib(settings) < 2 * taken_mib + 20


def test_a_database_is_asked_for_its_migrations(make: Make) -> None:
    """A real server: before its tables, with them, and after somebody else's newer version."""
    with a_directory() as directory:
        settings = make(persistence={"var_dir": str(directory / "var")})
        assert "has not been made" in kept(settings, "database")[0][1]
        url = start_server(directory / "var")
        assert "the first start makes its tables" in kept(settings, "database")[0][1]
        store = Store(url, "journal")
        store.migrate()
        store.close()
        ((grade, found),) = kept(settings, "database")
        assert (grade, found.endswith("migrated")) == (Grade.OK, True)
        with psycopg.connect(url) as connection:
            connection.execute("insert into migrations (name) values ('9999_of_tomorrow')")
        ((grade, found),) = kept(settings, "database")
        assert (grade, "9999_of_tomorrow" in found) == (Grade.WARNING, True)


# --- venues ---


def test_whole_seconds_of_several_answers_tell_a_clock_to_fractions() -> None:
    """A venue 400 ms ahead, asked five times over a second."""
    ahead_ms, round_trip_ms = 400.0, 20.0
    samples = []
    for sent_ms in (100_000.0, 100_210.0, 100_420.0, 100_630.0, 100_840.0):
        theirs_ms = sent_ms + round_trip_ms / 2 + ahead_ms
        samples.append(_Sample(round_trip_ms, sent_ms, theirs_ms // 1_000 * 1_000))
    offset = offset_of(samples, 1_000.0)
    assert offset is not None
    assert offset.least_ms <= ahead_ms <= offset.most_ms
    assert offset.doubt_ms < 130
    (first, *_) = samples
    assert offset_of([first], 1_000.0) == Offset(100_000 - 100_020, 101_000 - 100_000)


def test_answers_that_contradict_each_other_tell_nothing() -> None:
    assert offset_of([_Sample(1.0, 0.0, 100.0), _Sample(1.0, 0.0, 200.0)], 1.0) is None
    assert offset_of([], 1.0) is None


# --- thresholds ---


def an_instrument(number: int, venue: str, symbol: str) -> Instrument:
    return Instrument(number, venue, symbol, "BTC", 1, 1, 1, 0, 0, 8, 8, 0.5, True)


def test_slippage_is_taken_as_learned_once_all_four_are_known_and_recent(make: Make) -> None:
    settings = make(strategy={"entry_bps": 3.0, "exit_bps": 0.0, "expected_slippage_bps": 0.5})
    pair = settings.pairs[0]
    instruments = {
        number: an_instrument(number, leg.venue, leg.symbol) for number, leg in enumerate(pair.legs)
    }
    path = learned_file(settings)
    path.parent.mkdir(parents=True)
    names = [f"{leg.venue}:{leg.symbol}:{side}" for leg in pair.legs for side in ("BUY", "SELL")]
    now_s = int(time.time())

    def found(samples: int, age_s: int) -> tuple[Grade, str]:
        path.write_text(json.dumps({name: [samples, 0.4, now_s - age_s] for name in names}))
        ((grade, text),) = of(look_at_edge(settings, instruments), "edge")
        return grade, text

    assert "learned slippage 1.60 make 3.60 bps, above entry_bps 3" in found(10, 60)[1]
    assert found(10, 60)[0] is Grade.WARNING
    assert "expected_slippage_bps 0.50 make 2.50" in found(9, 60)[1]
    assert "expected_slippage_bps 0.50 make 2.50" in found(10, 7_200)[1]
    assert found(9, 60)[0] is Grade.OK
    path.write_text("[]")
    assert [grade for grade, _ in of(look_at_edge(settings, instruments), "edge")] == [
        Grade.WARNING,
        Grade.OK,
    ]
