"""A start that another user's files would stop in the middle is refused before it makes any."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import Settings, parse_settings
from supervision.ownership import ownership_problems
from tests.test_settings import a_config

USER = 65_534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    path = Path(f"/var/tmp/tandem-owners-{os.getpid()}")
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


def some_settings(var_dir: Path) -> Settings:
    return parse_settings(a_config(persistence={"var_dir": str(var_dir)}), "t")


def test_a_place_of_ones_own_is_no_problem(tmp_path: Path) -> None:
    for var_dir in (tmp_path, tmp_path / "not" / "there"):
        assert ownership_problems(some_settings(var_dir)) == []


@as_root
@pytest.mark.parametrize("is_made", [False, True])
def test_root_keeps_nothing_in_a_place_of_a_user(is_made: bool, place: Path) -> None:
    os.chown(place, USER, USER)
    var_dir = place / "var"
    if is_made:
        var_dir.mkdir()
        os.chown(var_dir, USER, USER)

    problems = ownership_problems(some_settings(var_dir))

    assert [problem.key for problem in problems] == ["persistence.var_dir"]
    assert "without sudo" in problems[0].allowed
    assert var_dir.exists() is is_made


@as_root
def test_a_user_is_told_whose_directory_it_is(place: Path) -> None:
    (place / "var").mkdir()
    os.seteuid(USER)
    try:
        found = [ownership_problems(some_settings(place / name)) for name in ("var", "none")]
    finally:
        os.seteuid(0)

    assert all("belongs to root" in problems[0].allowed for problems in found)


@as_root
@pytest.mark.parametrize("name", ["epoch-t1", "instance-t1.lock", "postgres/"])
def test_a_user_is_told_what_root_has_left_in_his_directory(name: str, place: Path) -> None:
    os.chown(place, USER, USER)
    path = place / name
    path.mkdir(mode=0o700) if name.endswith("/") else path.touch(mode=0o600)
    os.seteuid(USER)
    try:
        problems = ownership_problems(some_settings(place))
    finally:
        os.seteuid(0)

    assert f"root has made {path}" in problems[0].allowed
    assert f"chown -R nobody {place}" in problems[0].allowed


@as_root
def test_what_is_nothing_of_ours_stops_nobody(place: Path) -> None:
    os.chown(place, USER, USER)
    (place / "notes.txt").touch(mode=0o600)
    (place / "kill-t1").touch(mode=0o600)
    os.seteuid(USER)
    try:
        assert ownership_problems(some_settings(place)) == []
    finally:
        os.seteuid(0)
