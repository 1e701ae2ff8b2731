"""Locks that keep two instances apart: by bot_id, by journal, by account.

A lock is a file held with ``flock``, so it ends with the process that holds it, however that ends.
Another holder is named, with its host and since when, and left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from settings import PROJECT, Settings
from shm.ownership import open_own
from shm.segment import SegmentError


def memory_directory(settings: Settings) -> Path:
    """Where the shared memory of the instance with this bot_id lies."""
    return Path(settings.runtime.memory_dir) / f"tandem-{settings.bot_id}"


@contextmanager
def instance_locks(settings: Settings) -> Iterator[None]:
    """Hold the bot_id's memory and its journal against other supervisors on this host.

    The journal has a lock of its own: another instance may use the same one from another memory_dir.
    Raises SegmentError naming the other supervisor.
    """
    directory, var_dir = memory_directory(settings), PROJECT / settings.persistence.var_dir
    what = f"another instance with bot_id {settings.bot_id!r} runs"
    memory_lock = _locked(
        directory.with_name(f"{directory.name}.lock"),
        "runtime.memory_dir",
        what,
        "give this one another bot_id",
    )
    journal_lock = _locked(
        var_dir / f"instance-{settings.bot_id}.lock",
        "persistence.var_dir",
        f"{what} on persistence.var_dir {var_dir}",
        "give this one another bot_id or another persistence.var_dir",
    )
    with memory_lock, journal_lock:
        yield


@contextmanager
def account_locks(settings: Settings, accounts: Sequence[str]) -> Iterator[None]:
    """Hold every account against other instances on this host, whatever their bot_id.

    Raises SegmentError naming who has one. Across hosts there is the lease in the database.
    """
    with ExitStack() as stack:
        for account in sorted(accounts):
            name = hashlib.sha256(account.encode()).hexdigest()[:16]
            path = Path(settings.runtime.memory_dir) / f"tandem-account-{name}.lock"
            what = f"another instance trades on {account}"
            lock = _locked(path, "runtime.memory_dir", what, "give this one another account")
            stack.enter_context(lock)
        yield


@contextmanager
def _locked(path: Path, setting: str, what: str, otherwise: str) -> Iterator[None]:
    """Hold a lock file in the directory that ``setting`` names."""
    try:
        lock_fd = open_own(path)
    except OSError as error:
        raise SegmentError(f"{setting} {path.parent}: {error.strerror}; name a directory you own") from error
    try:
        _take(lock_fd, what, otherwise)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(lock_fd)


def _take(lock_fd: int, what: str, otherwise: str) -> None:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SegmentError(f"{what}: {_holder(lock_fd)}; stop it, or {otherwise}") from None
    if os.fstat(lock_fd).st_nlink == 0:
        raise SegmentError(f"{what}: it has just ended; start again")
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat()}
    with suppress(OSError):  # a full disk: it is for people alone
        os.truncate(lock_fd, 0)
        os.pwrite(lock_fd, json.dumps(about).encode(), 0)


def _holder(lock_fd: int) -> str:
    try:
        about = json.loads(os.pread(lock_fd, 1_000, 0))
        return f"pid {about['pid']} on {about['host']} since {about['since']}"
    except (ValueError, KeyError, TypeError):
        return "its pid is not written yet"
