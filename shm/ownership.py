"""Opens files of ours in shared folders: the file is ours, or it is refused by name.

``/dev/shm`` and ``/tmp`` are open to every user of the host, and our names there can be guessed. Whatever is
found under one of them is opened without following links, and used only if nobody else has put it there
and nobody else can change it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from shm.segment import SegmentError

_REMEDY: Final = "have it removed by its owner or root, or set runtime.memory_dir to a folder of your own"


def open_own(path: Path) -> int:
    """Open a file for reading and writing, made where there is none; its descriptor.

    Raises SegmentError for what is not a file of ours, OSError where it cannot be opened or made. Nothing
    that is refused has been changed.
    """
    folder = path.parent.stat()
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        raise SegmentError(
            f"{path.parent} lets every user replace the files of others: chmod +t {path.parent}"
        )
    flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would make us wait
    try:
        fd = os.open(path, flags, 0o600)
    except OSError:
        if os.path.lexists(path):
            _refuse(path, path.lstat(), stat.S_IFREG)
        raise
    try:
        _refuse(path, os.fstat(fd), stat.S_IFREG)
    except SegmentError:
        os.close(fd)
        raise
    return fd


def is_own_file(path: Path) -> bool:
    """Whether there is a file; SegmentError where that path is anything but a file of ours."""
    return _is_own(path, stat.S_IFREG)


def is_own_folder(path: Path) -> bool:
    """Whether there is a folder; SegmentError where that path is anything but a folder of ours."""
    return _is_own(path, stat.S_IFDIR)


def check_readable_folder(path: Path) -> None:
    """For whoever only looks: root may look at another user's. Raises SegmentError, or FileNotFoundError."""
    status = path.lstat()
    owner = os.geteuid() or status.st_uid
    _refuse(path, status, stat.S_IFDIR, owner, "run as the one who started it")


def _is_own(path: Path, kind: int) -> bool:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    _refuse(path, status, kind)
    return True


def _refuse(
    path: Path, status: os.stat_result, kind: int, owner: int | None = None, remedy: str = _REMEDY
) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise SegmentError(f"{path} is a link, and Tandem follows none there: {_REMEDY}")
    if status.st_uid != (os.geteuid() if owner is None else owner):
        raise SegmentError(f"{path} belongs to another user (uid {status.st_uid}): {remedy}")
    if stat.S_IFMT(status.st_mode) != kind:
        wanted = "a folder" if kind == stat.S_IFDIR else "a file"
        raise SegmentError(f"{path} is not {wanted}: {_REMEDY}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SegmentError(f"{path} can be changed by other users: chmod go-w {path}, or remove it")
    if kind == stat.S_IFREG and status.st_nlink > 1:
        raise SegmentError(f"{path} is also another file's name (a hard link): {_REMEDY}")
