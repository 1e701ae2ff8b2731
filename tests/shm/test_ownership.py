"""What somebody else has put under one of our names is refused by name, and stays as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shm.layout import Memory
from shm.ownership import is_own_folder, open_own
from shm.segment import SegmentError

NOBODY = 65_534


def another_users(path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to make another user's file")
    path.write_text("theirs")
    os.chown(path, NOBODY, NOBODY)


def a_link(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("something valuable")
    path.symlink_to(victim)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("made"))


def a_hard_link(path: Path) -> None:
    path.with_name("victim").write_text("something valuable")
    path.hardlink_to(path.with_name("victim"))


def writable_for_all(path: Path) -> None:
    path.write_text('{"pid": 1, "host": "evil", "since": "now"}')
    path.chmod(0o666)


def a_folder(path: Path) -> None:
    path.mkdir()


REFUSED: dict[Callable[[Path], None], str] = {
    another_users: r"x\.lock belongs to another user \(uid 65534\): have it removed",
    a_link: r"x\.lock is a link, and Tandem follows none",
    a_link_to_nothing: r"x\.lock is a link",
    a_hard_link: r"x\.lock is also another file's name",
    writable_for_all: r"x\.lock can be changed by other users: chmod go-w",
    a_folder: r"x\.lock is not a file",
    os.mkfifo: r"x\.lock is not a file",
}


@pytest.mark.parametrize(("make", "text"), REFUSED.items(), ids=lambda item: getattr(item, "__name__", ""))
def test_a_file_that_is_not_ours_alone_is_refused_by_name(
    make: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    """A link at a name that anybody can guess had the start overwrite any file of ours."""
    path = tmp_path / "x.lock"
    make(path)
    before = {item: item.read_bytes() for item in tmp_path.iterdir() if item.is_file()}
    with pytest.raises(SegmentError, match=text):
        open_own(path)
    assert {item: item.read_bytes() for item in tmp_path.iterdir() if item.is_file()} == before
    assert not (tmp_path / "made").exists()


def test_a_folder_where_all_may_replace_our_files_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(SegmentError, match=r"chmod \+t"):
        open_own(tmp_path / "x.lock")


def test_memory_that_another_user_has_made_is_not_attached(tmp_path: Path) -> None:
    """Its plan and its launch file would be read as ours: var_dir, and so what is written, is said there."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o700)
    link.symlink_to(folder)
    assert is_own_folder(folder)
    for check in (is_own_folder, Memory):
        with pytest.raises(SegmentError, match="link is a link"):
            check(link)
    folder.chmod(0o777)
    for check in (is_own_folder, Memory):
        with pytest.raises(SegmentError, match="can be changed by other users"):
            check(folder)
