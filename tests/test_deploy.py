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
import yaml

import supervisor
from persistence.address import Address
from persistence.server import _STOP_TIMEOUT_S
from settings import PROJECT, load_raw, parse_settings
from supervision.supervisor import _KILL_AFTER_S
from supervision.takeover import FINAL_REPORT_S
from tests.waiting import DEADLINE_S
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
        timeout=DEADLINE_S,
        check=False,
    )

    logged = [line for line in done.stderr.splitlines() if path.stem in line]
    assert (done.returncode, logged) == (0, [])


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
    executor_s = 2 * (patience_s + FINAL_REPORT_S) + _KILL_AFTER_S  # coming up again first, at worst
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


# --- the image ---


def in_the_build(path: str) -> bool:
    """Whether Docker takes a file of the tree into the build, by .dockerignore.

    The last pattern that fits the path, or a folder above it, decides
    (https://docs.docker.com/build/concepts/context/#dockerignore-files).
    """
    is_in = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        pattern = line.strip().removeprefix("!").strip("/")
        if not pattern or pattern.startswith("#"):
            continue
        parts = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.replace("**/", "\0").split("\0"))
        if re.fullmatch("(.*/)?".join(parts) + "(/.*)?", path):
            is_in = line.strip().startswith("!")
    return is_in


SECRETS = (
    ".env", ".env.live", "secrets.env", "deploy/docker/secrets.env", "deploy/docker/database-password",
    "deploy/docker/config.yaml", "tools/.env", "venues/vest/private.pem", "executor/keys.json", "id_ed25519",
    "simulator/scripts/.env", "persistence/dump.sql", "config.live.yaml", "notes.py.txt",
    "simulator/data/mine.parquet", "var/journal/demo-live/0000000000000000001.journal", "var/epoch-demo",
    "recordings/a.parquet", ".git/config", ".ssh/id_rsa", "supervisor.py.swp", "tests/vectors/key.py",
    ".venv/bin/python", "venues/vest/_depth.so",
)  # fmt: skip


@pytest.mark.parametrize("path", SECRETS)
def test_nothing_but_the_program_gets_into_the_image(path: str) -> None:
    """A list of what stays out forgets what nobody thought of: secrets.env beside compose.yaml was copied."""
    assert not in_the_build(path)


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("the tree is no repository")
    return done.stdout.splitlines()


def test_the_whole_program_gets_into_the_image() -> None:
    outside = ("tests", "verification", "benchmarks", "docs", "deploy")
    kinds = (".py", ".sql", ".c", ".yaml", ".gz", ".lock")  # what the program runs by
    program = {path for path in tracked() if path.endswith(kinds) and path.split("/")[0] not in outside}
    assert {path for path in program if not in_the_build(path)} == set()
    assert in_the_build("persistence/migrations/0001_tables.sql")


def test_the_secrets_of_compose_stay_out_of_the_repository() -> None:
    compose = yaml.safe_load((PROJECT / "deploy/docker/compose.yaml").read_text())
    service, database = compose["services"]["tandem"], compose["services"]["database"]
    files = [*service["env_file"], *(secret["file"] for secret in compose["secrets"].values())]
    files += [
        volume.split(":")[0].removeprefix("./") for volume in service["volumes"] if volume.startswith("./")
    ]
    for file in files:
        path = f"deploy/docker/{file}"
        assert path not in tracked()
        done = subprocess.run(["git", "check-ignore", "-q", path], cwd=PROJECT, check=False)
        assert done.returncode == 0, f"{path} could be committed"
        assert not in_the_build(path)
    assert "environment" not in service
    assert not any("PASSWORD" in name and not name.endswith("_FILE") for name in database["environment"])


def test_composes_address_is_one_that_mode_live_takes() -> None:
    """Its first one went in clear over a network."""
    text = (PROJECT / "deploy/docker/compose.yaml").read_text()
    found = re.search(r"DATABASE_URL=(\S+?)\)", text)
    assert found is not None
    assert Address.parse(found[1]).exposure() == ""
