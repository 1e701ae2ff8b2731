"""Replaces a file as a whole: a reader finds the old content or the new one, never a part of either."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o600, is_durable: bool = False) -> None:
    """Write ``path`` beside itself and rename. Raises OSError; then the old content stays.

    ``is_durable`` waits until content and name are on disk, so that both survive a power failure.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC
    with open(os.open(unfinished, flags, mode), "w", encoding="utf-8") as file:
        file.write(text)
        if is_durable:
            file.flush()
            os.fsync(file.fileno())
    unfinished.rename(path)
    if is_durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Wait until the names in ``directory`` are on disk: renames and removals survive a power failure."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
