"""``make run`` on machines as people have them: odd paths, no python3-venv, two users."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from settings import PROJECT

# Debian's python3 without python3-venv: it complains on standard output, and pip is noisy there, too.
PYTHON_WITHOUT_VENV = """#!/bin/sh
echo "noise on standard output: $*"
case "$*" in
  "-m venv --without-pip "*) mkdir -p "$4/bin" && ln -s "$REAL_PYTHON" "$4/bin/python" ;;
  "-m venv "*) echo "The virtual environment was not created: ensurepip is not available"; exit 1 ;;
esac
"""
MAKES_OWN = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
SUPERVISOR = "import json, os; print(json.dumps({'event': 'starting', 'cwd': os.getcwd()}))\n"


@pytest.fixture(params=["plain", "with space's & $HOME; 100%", "für 漢字", os.fsdecode(b"latin\xe9")])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The Makefile with what it starts replaced by something short."""
    path = tmp_path / str(request.param)
    (path / "runtime").mkdir(parents=True)
    (path / "venues").mkdir()
    shutil.copy(PROJECT / "Makefile", path)
    (path / "requirements.lock").write_text("")
    (path / "supervisor.py").write_text(SUPERVISOR)
    (path / "runtime" / "native.py").write_text("print('built')\n")
    (path / "python").write_text(PYTHON_WITHOUT_VENV)
    (path / "python").chmod(0o755)
    return path


def make(checkout: Path, *words: str, **more: object) -> subprocess.CompletedProcess[bytes]:
    # The suite runs below a make: the one tested here would know it, and name its directory.
    ours = {name: value for name, value in os.environ.items() if name not in MAKES_OWN}
    environment = {**ours, "REAL_PYTHON": os.path.realpath(sys.executable)}
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        ["make", *words, "PYTHON=./python"],
        **{"cwd": checkout, "env": environment, "capture_output": True, "timeout": 120, **more},  # type: ignore[call-overload]
    )
    return done


def test_nothing_but_json_comes_out_wherever_the_checkout_lies(checkout: Path) -> None:
    """Whoever pipes ``make run`` into ``jq`` reads a complaint of Debian's as a line of the log."""
    for _ in range(2):  # the second time nothing is made
        done = make(checkout, "run")

        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["starting"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_root_touches_nothing_in_a_checkout_of_a_user(checkout: Path) -> None:
    """``sudo make run``: afterwards the user could not run it himself."""
    os.chown(checkout, 12_345, 12_345)
    before = sorted(checkout.rglob("*"))

    done = make(checkout, "run")

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"without sudo" in done.stderr
    assert sorted(checkout.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
@pytest.mark.parametrize("has_environment", [False, True])
def test_a_user_is_told_what_root_has_made(has_environment: bool) -> None:
    """Run as root once, then as a user: what is root's cannot be made anew."""
    path = Path(f"/var/tmp/tandem-test-{os.getpid()}")
    path.mkdir(mode=0o755)
    try:
        for name in ("runtime", "venues"):
            (path / name).mkdir()
        shutil.copy(PROJECT / "Makefile", path)
        for name in ("requirements.lock", "supervisor.py", "runtime/native.py", "python"):
            (path / name).write_text("")
        if has_environment:
            (path / ".venv").mkdir()
        before = sorted(path.rglob("*"))

        done = make(path, "run", user=65_534, group=65_534)

        assert (done.returncode, done.stdout) == (2, b"")
        assert b"belongs to root" in done.stderr
        assert b"rm:" not in done.stderr
        assert sorted(path.rglob("*")) == before
    finally:
        shutil.rmtree(path)
