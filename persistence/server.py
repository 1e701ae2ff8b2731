"""Runs the embedded PostgreSQL: a real server from a pip wheel, under ``var/postgres``.

Only the bot's user reaches it. It listens on a Unix socket in a folder that no other user can enter, and
checks the client's user with the kernel (``peer``). Paths are never part of a shell's command line or of
the server's configuration: the server is started *in* its folder as its working directory. So a path may have
any length and any characters, and as root the folder may lie below others that the server's account cannot
enter.

The server outlives a killed persistence process, whose successor finds it running. Persistence stops it at
the end, or the supervisor does.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from persistence.server_account import (
    ServerAccount,
    ServerError,
    account_of_the_server,
    programs,
    unavailable,
)

__all__ = ["ServerError", "is_running", "start_server", "stop_server"]

_DIRECTORY: Final = "postgres"
_SOCKET: Final = ".s.PGSQL.5432"
# The server's working directory, whatever its path: no folder above it needs to be entered for that.
_HERE: Final = "/proc/self/cwd"
_SOCKET_FOLDER_PREFIX: Final = "tandem-postgres-"
# sun_path holds 107 bytes; a comma separates hosts for libpq, and everything else odd stays out of URLs.
_PLAIN: Final = re.compile(r"/[A-Za-z0-9._/+-]{,90}")
_START_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 10.0
_LOOK_S: Final = 0.02
# Nobody but the user the bot runs as, who may take every role: he owns the server anyway.
_HBA: Final = "# Written by Tandem at every start.\nlocal all all peer map=tandem\n"


def start_server(var_dir: Path) -> str:
    """Start the embedded server, or find it running, and return its connection string.

    The first start makes the database cluster (about a second). Raises ServerError.
    """
    directory = _folder(var_dir)
    try:
        account = account_of_the_server()
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _alone(directory.parent):
            if _postmaster_pid(directory) is not None and _host_of(directory) is None:
                _stop(directory)  # an older version of ours ran it, for everybody
            if _postmaster_pid(directory) is None:
                _forget_dead_server(directory)
                _wait_for_orphans(directory)
                _make_cluster(directory, account)
                _run(directory, account)
            _wait_until_ready(directory)
            host = _host_of(directory)
    except OSError as error:
        raise unavailable(f"{type(error).__name__}: {error}") from error
    if host is None:
        raise unavailable("its socket has gone", is_lasting=False)
    return f"postgresql://postgres:@/postgres?host={quote(str(host))}"


def stop_server(var_dir: Path) -> bool:
    """Stop the server of this directory if one runs. True if one was stopped."""
    return _stop(_folder(var_dir))


def is_running(var_dir: Path) -> bool:
    """Whether the embedded server of this directory runs now."""
    return _postmaster_pid(_folder(var_dir)) is not None


def _folder(var_dir: Path) -> Path:
    """Where the cluster lies: an operator may have put a link to another disk there."""
    return (var_dir / _DIRECTORY).resolve()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A tool and the persistence process may start at once. The lock is on the folder: it leaves no file."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


# --- start ---


def _make_cluster(directory: Path, account: ServerAccount) -> None:
    """Make the cluster where there is none, and let in whom it is to let in, whoever made it."""
    if not (directory / "PG_VERSION").exists():
        if directory.is_dir() and any(directory.iterdir()):
            raise unavailable(f"{directory} holds something else than a database: move it away")
        # Beside its place first: killed halfway, it is no cluster that a later start would take for one.
        unfinished = directory.with_name(f"{directory.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        account.give(unfinished)
        _initdb(unfinished, account)
        unfinished.rename(directory)
    account.take_over(directory)
    caller = pwd.getpwuid(os.geteuid()).pw_name.replace('"', '""')
    for name, content in (("pg_hba.conf", _HBA), ("pg_ident.conf", f'tandem "{caller}" all\n')):
        with suppress(FileNotFoundError):
            if (directory / name).read_text(errors="replace") == content:
                continue  # on a full disk it could not be written again
        new = directory / f"{name}.tandem"
        new.unlink(missing_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(content)
            os.fchown(file.fileno(), account.uid, account.gid)
        new.rename(directory / name)


def _initdb(directory: Path, account: ServerAccount) -> None:
    command = [str(programs(account) / "initdb"), "--pgdata", _HERE, "--username=postgres", "--auth=peer"]
    command += ["--encoding=UTF8", "--no-locale", "--no-instructions"]
    done = subprocess.run(
        command,
        cwd=directory,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        **account.arguments(),
    )
    if done.returncode:
        raise unavailable(f"initdb failed: {_shown(done.stdout) or f'exit code {done.returncode}'}")


def _run(directory: Path, account: ServerAccount) -> None:
    """Start the server's first process and wait until it has its lock file, or has ended."""
    version = (directory / "PG_VERSION").read_text().strip()
    command = [str(programs(account, version) / "postgres"), "-D", _HERE]
    for setting in (
        "listen_addresses=",
        "port=5432",
        f"unix_socket_directories={_make_socket_folder(directory, account)}",
        "unix_socket_permissions=0700",
        # In its own folder: what a killed server leaves in /dev/shm stays there until the next reboot.
        "dynamic_shared_memory_type=mmap",
    ):
        command += ["-c", setting]
    log_path = directory / "log"
    log = os.open(log_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchown(log, account.uid, account.gid)
        log_begin = os.fstat(log).st_size
        server = subprocess.Popen(
            command,
            cwd=directory,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives us, and Ctrl-C is not for it
            **account.arguments(),
        )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while _postmaster_pid(directory) != server.pid and time.monotonic() < deadline_s:
            if server.poll() is not None:
                raise unavailable(f"it ended at once: {_shown(os.pread(log, 65_536, log_begin))}")
            time.sleep(_LOOK_S)
    finally:
        os.close(log)
    threading.Thread(target=server.wait, name="embedded-server", daemon=True).start()  # reaps it


def _wait_until_ready(directory: Path) -> None:
    """Recovering from a crash may take its time: another try finds it running."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while (_lock_file(directory) + [""] * 8)[7].strip() != "ready":
        if _postmaster_pid(directory) is None:
            text = _shown((directory / "log").read_bytes()[-4_096:])
            raise unavailable(f"it ended while it started: {text}", is_lasting=False)
        if time.monotonic() > deadline_s:
            raise unavailable(f"it is not ready after {_START_TIMEOUT_S:g} s", is_lasting=False)
        time.sleep(_LOOK_S)


def _environment() -> dict[str, str]:
    """Nothing of ours: PGPORT and its like would change the server, and the operator's language its words."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def _shown(output: bytes) -> str:
    """The end of what a program has written, on one line."""
    return " ".join(output.decode(errors="replace").split())[-300:]


# --- where its socket lies ---


def _make_socket_folder(directory: Path, account: ServerAccount) -> str:
    """For the server: its own folder, or where a client could not name that, a new one that is as closed."""
    if _PLAIN.fullmatch(str(directory)):
        return _HERE
    for place in (tempfile.gettempdir(), "/tmp"):
        if _PLAIN.fullmatch(place):
            folder = Path(tempfile.mkdtemp(prefix=_SOCKET_FOLDER_PREFIX, dir=place))
            account.give(folder)
            return str(folder)
    raise unavailable("no folder for temporary files has a plain, short path: set TMPDIR")


def _host_of(directory: Path) -> Path | None:
    """Where clients of the running server find its socket; None where it is not as we start it."""
    place = (_lock_file(directory) + [""] * 8)[4].strip()
    if place == _HERE:
        return directory
    folder = Path(place)
    if not _is_socket_folder(folder, directory) or not (folder / _SOCKET).is_socket():
        return None
    return folder


def _is_socket_folder(folder: Path, directory: Path) -> bool:
    """Whether this is a folder of ours that nobody else can enter: the lock file only names it."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    is_ours = folder.name.startswith(_SOCKET_FOLDER_PREFIX) and status.st_uid == directory.stat().st_uid
    return is_ours and status.st_mode & 0o170_777 == 0o040_700


def _remove_socket_folder(folder: Path, directory: Path) -> None:
    if _is_socket_folder(folder, directory):
        for name in (_SOCKET, f"{_SOCKET}.lock"):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # somebody has put something into it
            folder.rmdir()


# --- the running server ---


def _stop(directory: Path) -> bool:
    """SIGINT is PostgreSQL's fast shutdown: open transactions are rolled back, files left clean."""
    pid = _postmaster_pid(directory)
    if pid is None:
        return False
    socket_folder = Path((_lock_file(directory) + [""] * 8)[4].strip())
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    os.kill(pid, signal.SIGINT)
    while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
        if time.monotonic() > deadline_s:
            os.kill(pid, signal.SIGQUIT)  # immediate: the next start recovers from its log
            deadline_s += _STOP_TIMEOUT_S
        time.sleep(_LOOK_S)
    _remove_socket_folder(socket_folder, directory)
    return True


def _lock_file(directory: Path) -> list[str]:
    """Lines of the server's lock file, none without one: pid, data, start time, port, socket's folder, host,
    shared memory, status (https://www.postgresql.org/docs/18/storage-file-layout.html)."""
    try:
        return (directory / "postmaster.pid").read_text(errors="replace").split("\n")
    except OSError:
        return []


def _postmaster_pid(directory: Path) -> int | None:
    """Pid of the server that runs on this directory, if it does."""
    try:
        pid = int(_lock_file(directory)[0])
    except (IndexError, ValueError):
        return None
    # A pid left in the file may meanwhile be another program's, or another directory's server.
    return pid if _works_in(pid, directory) else None


def _works_in(pid: int, directory: Path) -> bool:
    """Whether this is a living process of a server that works in the directory."""
    process = Path(f"/proc/{pid}")
    try:
        if (process / "comm").read_text().strip() != "postgres" or _is_zombie(pid):
            return False
        return (process / "cwd").samefile(directory)
    except PermissionError:  # root without the right to look at other users' processes, as in containers
        with suppress(OSError):
            return process.stat().st_uid == directory.stat().st_uid != os.geteuid()
        return False
    except OSError:
        return False


def _forget_dead_server(directory: Path) -> None:
    """Remove the lock files of a server that was killed and that nobody has reaped.

    Its pid still exists, so the next one would believe it running. Whether a process of it still has
    the data open, PostgreSQL finds out by its shared memory, not by these files.
    """
    lines = _lock_file(directory)
    if len(lines) > 4:
        _remove_socket_folder(Path(lines[4].strip()), directory)
    for name in ("postmaster.pid", f"{_SOCKET}.lock"):
        (directory / name).unlink(missing_ok=True)


def _wait_for_orphans(directory: Path) -> None:
    """Give processes of a server that was killed the time to notice: while one of them has the shared
    memory, no other server can start, and that is no reason for the operator to correct anything."""
    deadline_s = time.monotonic() + _STOP_TIMEOUT_S
    while _orphans(directory) and time.monotonic() < deadline_s:
        time.sleep(0.05)


def _orphans(directory: Path) -> list[int]:
    """Pids of server processes that work in this directory."""
    pids = (int(path.parent.name) for path in Path("/proc").glob("[0-9]*/comm"))
    return [pid for pid in pids if _works_in(pid, directory)]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
