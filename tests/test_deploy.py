"""What is shipped to run Tandem as a service names what exists and grants what a stop may take."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import supervisor
from persistence.server import _STOP_TIMEOUT_S
from settings import PROJECT, load_raw, parse_settings
from supervision.instance_lock import LAST_WORDS_S
from supervision.supervisor import _KILL_AFTER_S
from tools.__main__ import COMMANDS

SYSTEMD = PROJECT / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))


def unit(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_every_line_of_the_units(path: Path, tmp_path: Path) -> None:
    """A misspelt directive is ignored by systemd, and with it what it was to protect."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = path.read_text().replace("/opt/tandem/.venv/bin/python", sys.executable)
    copy = tmp_path / path.name
    copy.write_text(text.replace("/opt/tandem", str(PROJECT)))

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    said = [line for line in done.stderr.splitlines() if path.stem in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_what_a_unit_starts_and_refers_to_is_in_the_repository(path: Path) -> None:
    service = unit(path)["Service"]
    for line in (service["ExecStart"], service.get("ExecReload", service["ExecStart"])):
        words = shlex.split(line)
        assert words[0] == "/opt/tandem/.venv/bin/python"
        if words[1] == "-m":
            assert words[2] == "tools"
            assert words[3] in COMMANDS
        else:
            assert words[1] == f"/opt/tandem/{Path(supervisor.__file__).name}"
    for document in unit(path)["Unit"]["Documentation"].split():
        assert (PROJECT / document.removeprefix("file:///opt/tandem/")).is_file()


def test_a_stop_has_the_time_that_it_may_take() -> None:
    """SIGKILL in the middle would leave the leg that is being mended."""
    settings = parse_settings(load_raw(PROJECT / "config.yaml"), "config.yaml")
    patience_s = settings.runtime.shutdown_timeout_s
    executor_s = 2 * (patience_s + LAST_WORDS_S) + _KILL_AFTER_S  # coming up again first, at worst
    others_s = 3 * 2 * _KILL_AFTER_S  # feeds, detector, simulator: asked, then killed
    persistence_s = patience_s + _KILL_AFTER_S + 2 * _STOP_TIMEOUT_S
    service = unit(SYSTEMD / "tandem.service")["Service"]

    assert int(service["TimeoutStopSec"]) > executor_s + others_s + persistence_s
    # A supervisor that has died leaves an executor that is still mending: it alone is ever signalled.
    assert service["KillMode"] == "process"


def test_secrets_are_neither_in_the_unit_nor_readable_by_others() -> None:
    service = unit(SYSTEMD / "tandem.service")["Service"]
    assert service["EnvironmentFile"] == "-/etc/tandem/secrets.env"
    assert service["UMask"] == "0077"
    names = re.findall(r"^([A-Z0-9_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE)
    assert len(names) > 3
    for path in UNITS:
        assert not any(name in path.read_text() for name in names)


def test_shared_memory_outlives_a_killed_service() -> None:
    """What a killed instance leaves in /dev/shm is what its successor mends by."""
    for path in UNITS:
        service = unit(path)["Service"]
        assert service["RemoveIPC"] == "no"
        assert service.get("PrivateDevices", "no") == "no"
        assert "ProcSubset" not in service  # boot_id lies in /proc/sys
