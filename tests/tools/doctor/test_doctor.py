"""``python -m tools doctor`` as a process, against the real simulator and its faults."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from settings import PROJECT, load_raw
from tests.instance import free_ports
from tests.waiting import DEADLINE_S

MARK = "TANDEM_TEST_MARK"  # in the environment of whatever a doctor starts
Findings = list[dict[str, str]]


@pytest.fixture
def raw(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The shipped configuration with a memory, a disk and ports of its own, for two of its venues."""
    config: dict[str, Any] = load_raw(PROJECT / "config.yaml")
    memory = Path("/dev/shm") / f"test-{os.getpid()}-{tmp_path.name}"
    memory.mkdir()
    config["bot_id"] = "test"
    config["pairs"] = config["pairs"][:2]  # of Vest and Paradex
    config["persistence"]["var_dir"] = str(tmp_path / "var")
    config["runtime"] |= {"memory_dir": str(memory), "pin": {}}
    config["simulator"]["ports"] = dict(zip(("vest", "paradex"), free_ports(2), strict=True))
    yield config
    shutil.rmtree(memory)


def doctor(raw: dict[str, Any], directory: Path, *arguments: str, env: str = "") -> tuple[int, Findings]:
    """Exit code and findings."""
    config, env_file = directory / "config.yaml", directory / ".env"
    config.write_text(yaml.safe_dump(raw))
    env_file.touch(mode=0o600)
    env_file.write_text(env)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tools", "doctor", "--config", str(config), "--env-file", str(env_file)),
            *("--json", *arguments),
        ],
        cwd=PROJECT,
        env={
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            MARK: str(directory),
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.stderr == "", done.stderr
    reported = json.loads(done.stdout)
    findings: Findings = reported.pop("findings")
    for grade, count in reported.items():
        assert sum(finding["grade"] == grade for finding in findings) == count
    assert all(finding["remedy"] for finding in findings if finding["grade"] != "ok")
    return done.returncode, findings


def _processes_of(directory: Path) -> Iterator[str]:
    mark = f"{MARK}={directory}\0".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes():
                yield path.parent.name
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def of(findings: Findings, check: str) -> list[tuple[str, str]]:
    return [(finding["grade"], finding["found"]) for finding in findings if finding["check"] == check]


def problems(findings: Findings) -> list[str]:
    return [f"{item['check']}: {item['found']}" for item in findings if item["grade"] == "problem"]


@contextmanager
def a_simulator(raw: dict[str, Any], *arguments: str) -> Iterator[None]:
    ports = raw["simulator"]["ports"]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "simulator", "--taker-fee-bps", "0.1", *arguments),
            *("--vest-port", str(ports["vest"]), "--paradex-port", str(ports["paradex"])),
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert b"simulator_ready" in process.stdout.readline()
        yield
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def test_without_an_instance_it_asks_venues_of_its_own_and_leaves_nothing(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """The shipped configuration has no problem; every question was asked; nothing runs or lies about."""
    code, findings = doctor(raw, tmp_path)
    assert (code, problems(findings)) == (0, [])
    assert {finding["check"] for finding in findings} >= {
        *("python", "libraries", "compiled parts", "configuration", "cores", "isolation", "governor"),
        *("permissions", "clock", "credentials", "alerts", "shared memory", "disk", "database", "instance"),
        *("switches", "simulator", "pairs", "edge", "paradex state"),
        *(
            f"{venue} {what}"
            for venue in ("vest", "paradex")
            for what in ("reach", "clock", "markets", "account")
        ),
    }
    assert "one was started" in of(findings, "simulator")[0][1]
    for venue in ("vest", "paradex"):
        assert (
            "takes our keys; value 100000.00, free 100000.00, maintenance margin 0.00; flat"
            in of(findings, f"{venue} account")[0][1]
        )
    assert list(_processes_of(tmp_path)) == []
    assert list(Path(raw["runtime"]["memory_dir"]).iterdir()) == []
    assert not (tmp_path / "var").exists()


def test_a_clock_that_is_ahead_and_a_venue_in_maintenance_are_told(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """Orders signed in another time are refused one by one: better told before the first."""
    faults = ("clock_skew:venue=paradex,ahead_ms=8000", "maintenance:venue=paradex,for_s=none")
    with a_simulator(raw, *(part for fault in faults for part in ("--fault", fault))):
        code, findings = doctor(raw, tmp_path)
    assert code == 1
    ((grade, found),) = of(findings, "paradex clock")
    assert grade == "problem"
    assert 7_000 < float(found.partition(" ms")[0]) < 9_000
    assert of(findings, "vest clock")[0][0] == "ok"
    assert of(findings, "paradex state") == [("warning", "maintenance")]
    assert "answers on ports" in of(findings, "simulator")[0][1]


def test_what_the_configuration_says_of_grids_fees_and_edge_is_held_against_the_venues(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    raw["pairs"][0]["size_base"] = "0.02005"
    raw["venues"]["vest"]["taker_fee_bps"] = 1.0
    raw["strategy"] |= {"entry_bps": 1.5, "expected_slippage_bps": 0.25}
    code, findings = doctor(raw, tmp_path)
    assert code == 1
    assert [line for line in problems(findings) if "size_base" in line and "common grid" in line]
    assert of(findings, "vest markets")[0] == (
        "warning",
        "BTC-PERP: taker fee 0.1 bps published, 1 configured",
    )
    btc, eth = of(findings, "edge")
    assert btc[0] == "warning"
    assert "four fees 2.20 and expected_slippage_bps 0.25 make 2.45 bps, above entry_bps 1.5" in btc[1]
    assert eth[0] == "warning"
    assert "from entry_bps to exit_bps a trade gains 1.2" in eth[1]


def test_a_venue_that_does_not_answer_is_one_problem_and_the_other_is_asked(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    """Both in paper, where no key is needed and the account is not asked for."""
    ports = raw["simulator"]["ports"]
    raw["mode"] = "paper"
    for venue, version in (("vest", "v2"), ("paradex", "v1")):
        raw["venues"][venue]["rest_url"] = f"http://127.0.0.1:{ports[venue]}/{version}"
    raw["venues"]["vest"]["rest_url"] = f"http://127.0.0.1:{free_ports(1)[0]}/v2"
    with a_simulator(raw):
        code, findings = doctor(raw, tmp_path)
    assert code == 1
    ((grade, found),) = of(findings, "vest")
    assert grade == "problem"
    assert "gives no answer" in found
    assert [grade for grade, _ in of(findings, "paradex markets")] == ["ok", "ok"]
    assert of(findings, "paradex account") == of(findings, "pairs") == of(findings, "edge") == []


@pytest.mark.parametrize(
    ("rate", "grade", "text"),
    [
        ({"symbol": "USDC-USD-PERP"}, "ok", "usd_per_usdc: USDC-USD-PERP at "),
        ({"symbol": "USDC-USD-PERP", "inverse": True}, "problem", "set inverse: false"),
        ({"symbol": "USDC-USD-PERP", "max_off_par_bps": 0}, "problem", "too far from one for one"),
        ({"symbol": "USDT-USD-PERP"}, "problem", "USDT-USD-PERP"),
    ],
)
def test_the_instrument_of_a_quote_rate_is_asked_for(
    raw: dict[str, Any], tmp_path: Path, rate: dict[str, Any], grade: str, text: str
) -> None:
    raw["quote"] = {"usd_per_usdc": {"venue": "paradex", **rate}}
    with a_simulator(raw):
        _, findings = doctor(raw, tmp_path)
    ((found_grade, found),) = of(findings, "paradex quote rate")
    assert found_grade == grade
    assert text in found


def test_beside_a_running_instance_nobody_logs_in_again(raw: dict[str, Any], tmp_path: Path) -> None:
    """What a venue makes of a second session is not written down; a position hangs on the first one."""
    lock_path = Path(raw["runtime"]["memory_dir"]) / f"tandem-{raw['bot_id']}.lock"
    with a_simulator(raw), lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, findings = doctor(raw, tmp_path)
    assert of(findings, "instance") == [("ok", "one runs under bot_id 'test'")]
    assert of(findings, "vest account") == of(findings, "paradex account") == []
    assert of(findings, "accounts") == [("warning", "the running instance is not ready")]


def test_live_keys_are_judged_by_their_form_and_never_shown(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["mode"] = "live"
    raw["alerts"] = {"webhook_env": "HOOK"}
    canary = "0xcanary-that-is-no-key"
    env = f"VEST_PRIMARY_PRIVATE_KEY={canary}\nHOOK=ftp://{canary}\nDATABASE_URL=postgresql://u:{canary}@127.0.0.1:1/x"
    code, findings = doctor(raw, tmp_path, "--offline", env=env)
    assert code == 1
    assert canary not in json.dumps(findings)
    (paradex, vest) = sorted(of(findings, "credentials"), key=lambda item: item[1])
    assert (paradex[0], vest[0]) == ("problem", "problem")
    assert "PARADEX_L2_PRIVATE_KEY is missing" in paradex[1]
    assert vest[1].startswith("vest: ")
    assert of(findings, "alerts")[0][0] == "problem"
    ((grade, found),) = of(findings, "database")
    assert grade == "problem"
    assert "does not answer" in found


def test_offline_asks_no_venue(raw: dict[str, Any], tmp_path: Path) -> None:
    code, findings = doctor(raw, tmp_path, "--offline")
    assert code == 0
    assert not [finding for finding in findings if finding["check"].startswith(("vest", "paradex", "sim"))]


def test_a_configuration_that_cannot_be_read_is_a_problem_and_not_an_end(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    raw["strategy"]["entry_bsp"] = 1
    code, findings = doctor(raw, tmp_path)
    assert code == 1
    assert [found for _, found in of(findings, "configuration") if "entry_bsp" in found]
    assert of(findings, "python")[0][0] == "ok"
