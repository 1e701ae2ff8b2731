"""Checks shared memory, disk, database and keys for what would prevent a start."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

import psycopg

from configuration.env_file import exposure_of
from executor.accounts import make_trading
from monitoring.alerts.targets import make_targets
from persistence.address import Address, AddressError, connect
from persistence.server import is_running, start_server
from persistence.store import MIGRATIONS
from runtime.kill_switch import kill_file
from runtime.operator_orders import instructions_file, pause_file, read_instructions
from runtime.venue_hosts import venue_hosts
from settings import PROJECT, Settings, SettingsError, read_secrets
from shm.layout import MACHINE_CAPACITY
from shm.ownership import is_own_file, is_own_folder
from shm.segment import SegmentError
from supervision.takeover import processes_of
from tools.doctor.finding import Finding, from_settings_error, ok, problem, warning
from venues import registry

_MIB: Final = 1 << 20
_SPARE_MIB: Final = 16  # slots, counters and what the system rounds up
_DISK_MIB_MIN: Final = 256
_CONNECT_S: Final = 5


def look_at_keeping(settings: Settings, env_file: Path) -> list[Finding]:
    return [
        *_env_file(settings, env_file),
        *_credentials(settings, env_file),
        _alerts(settings, env_file),
        _shared_memory(settings),
        _disk(settings),
        _database(settings, env_file),
        *_leftovers(settings),
        *_switches(settings),
    ]


def _env_file(settings: Settings, env_file: Path) -> list[Finding]:
    """Whether others can read it. Raises SettingsError where we cannot."""
    read_secrets((), env_file)
    if exposure := exposure_of(env_file):
        finding = problem if settings.mode == "live" else warning
        return [finding("credentials", f"{env_file} {exposure}", f"chmod 600 {env_file}")]
    if env_file.exists() and env_file.stat().st_mode & 0o077:
        text = f"{env_file} can be read by others as soon as its directory lets them in"
        return [warning("credentials", text, f"chmod 600 {env_file}")]
    return []


def _credentials(settings: Settings, env_file: Path) -> list[Finding]:
    """Present and well-formed; whether a venue takes them is asked online."""
    if settings.mode != "live":
        return [ok("credentials", f"mode {settings.mode} needs none")]
    findings = []
    for venue in settings.venue_names:
        names = [item.name for item in registry.venue(venue).secrets]
        try:
            make_trading(settings, env_file, venue, venue_hosts(settings, venue))
        except KeyError as error:
            text = f"{venue}: {error.args[0]} is missing"
            findings.append(problem("credentials", text, f"set it in {env_file} or the environment"))
        except ValueError as error:
            findings.append(problem("credentials", f"{venue}: {error}", "copy the key anew"))
        else:
            present = sorted(read_secrets(tuple(names), env_file))
            findings.append(ok("credentials", f"{venue}: {', '.join(present)} well-formed"))
    return findings


def _alerts(settings: Settings, env_file: Path) -> Finding:
    if not settings.alerts.has_target:
        remedy = "name one under alerts in config.yaml"
        text = "no target: no person is alerted when the instance needs one"
        return warning("alerts", text, remedy) if settings.mode == "live" else ok("alerts", text)
    try:
        targets = make_targets(settings.alerts, env_file)
    except SettingsError as error:
        return from_settings_error("alerts", error)[0]
    names = ", ".join(target.name for target in targets)
    return ok("alerts", f"{names}; python -m tools alerts --test sends one message to each")


def _shared_memory(settings: Settings) -> Finding:
    directory = Path(settings.runtime.memory_dir)
    if not os.access(directory, os.W_OK | os.X_OK):
        text = f"runtime.memory_dir {directory} cannot be written"
        return problem("shared memory", text, "name a directory in memory you own")
    needed_mib, free_mib = memory_needed_mib(settings), shutil.disk_usage(directory).free // _MIB
    is_running = (directory / f"tandem-{settings.bot_id}").is_dir()
    if free_mib < needed_mib and not is_running:
        text = f"{directory} has {free_mib} MiB free, an instance takes about {needed_mib}"
        return problem("shared memory", text, "give it room (docker --shm-size), or smaller rings (runtime)")
    if _file_system(directory) != "tmpfs":
        text = f"{directory} is not in memory ({_file_system(directory)})"
        return warning("shared memory", text, "use /dev/shm: a disk behind it makes latencies unsteady")
    return ok("shared memory", f"{directory}: {free_mib} MiB free, about {needed_mib} needed")


def memory_needed_mib(settings: Settings) -> int:
    """About what an instance's memory takes: the large parts, and some room."""
    sources = len(settings.venue_names) + 3 + settings.alerts.has_target
    rings = len(settings.venue_names) * settings.runtime.ring_cells * 128
    machines = 2 * len(settings.pairs) * MACHINE_CAPACITY
    return (sources * settings.runtime.event_queue_kib * 1024 + rings + machines) // _MIB + _SPARE_MIB


def _file_system(directory: Path) -> str:
    """Kind of the file system a directory lies on, by the longest mount point above it."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    path = directory.resolve()
    above = [(point, kind) for point, kind in mounts if path.is_relative_to(point)]
    return max(above, key=lambda mount: len(mount[0]))[1] if above else "unknown"


def _disk(settings: Settings) -> Finding:
    var_dir = PROJECT / settings.persistence.var_dir
    there = next(path for path in (var_dir, *var_dir.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return problem("disk", f"persistence.var_dir {var_dir} cannot be written", "name a directory you own")
    free_mib, journal_mib = shutil.disk_usage(there).free // _MIB, settings.persistence.journal_max_mib
    found = f"{var_dir}: {free_mib} MiB free, the journal may take {journal_mib}"
    if free_mib < _DISK_MIB_MIN:
        return problem("disk", found, "make room: entries stop when the disk refuses the journal")
    if free_mib < journal_mib:
        return warning("disk", found, "make room, or lower persistence.journal_max_mib")
    return ok("disk", found)


def _database(settings: Settings, env_file: Path) -> Finding:
    var_dir = PROJECT / settings.persistence.var_dir
    try:
        address = Address.parse(read_secrets(("DATABASE_URL",), env_file).get("DATABASE_URL", ""))
    except AddressError as error:
        return problem("database", str(error), "correct it in .env")
    if not address.url and not is_running(var_dir):
        state = "does not run" if (var_dir / "postgres").is_dir() else "has not been made"
        return ok("database", f"the embedded one {state} yet: the instance starts it")
    url = address.url or start_server(var_dir)  # it runs: this only finds its socket
    try:
        with connect(url, connect_timeout=_CONNECT_S, application_name="tandem doctor") as connection:
            connection.read_only = True
            version = connection.info.server_version // 10_000
            applied = {str(row[0]) for row in connection.execute("select name from migrations")}
    except psycopg.errors.UndefinedTable:
        return ok(
            "database", f"{address.kind} answers (PostgreSQL {version}); the first start makes its tables"
        )
    except psycopg.Error as error:
        remedy = "correct DATABASE_URL or the server; a start does not wait for a server that refuses"
        return problem("database", f"does not answer: {address.explain(error)}", remedy)
    ours = {path.stem for path in MIGRATIONS.glob("*.sql")}
    if unknown := sorted(applied - ours):
        text = f"it was migrated by a newer version ({unknown[-1]})"
        return warning("database", text, "run that version, or a database of its own")
    if exposure := address.exposure():
        return (problem if settings.mode == "live" else warning)("database", *exposure.split(": ", 1))
    missing = len(ours - applied)
    state = f"{missing} migrations are applied by the next start" if missing else "migrated"
    return ok("database", f"{address.kind} answers (PostgreSQL {version}), {state}")


def _leftovers(settings: Settings) -> list[Finding]:
    base = Path(settings.runtime.memory_dir)
    directory = base / f"tandem-{settings.bot_id}"
    try:
        is_own_folder(directory)
        is_own_file(base / f"{directory.name}.lock")
    except SegmentError as error:
        what, _, remedy = str(error).partition(": ")
        return [problem("instance", what, remedy)]
    if is_instance_running(settings):
        return [ok("instance", f"one runs under bot_id {settings.bot_id!r}")]
    findings = []
    if orphans := processes_of(directory):
        text = f"processes {orphans} of a dead instance still run"
        findings.append(warning("instance", text, "the next start waits for them to finish, then ends them"))
    if directory.is_dir():
        remedy = "the next start reads it; look at both venues if that is not soon"
        findings.append(warning("instance", f"a dead instance left its memory in {directory}", remedy))
    return findings or [ok("instance", "none runs, and none has left anything")]


def is_instance_running(settings: Settings) -> bool:
    """Whether a supervisor holds the lock of this bot_id. The file is neither made nor changed."""
    path = Path(settings.runtime.memory_dir) / f"tandem-{settings.bot_id}.lock"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _switches(settings: Settings) -> list[Finding]:
    findings = []
    if (latch := kill_file(settings)).exists():
        text = f"the kill latch is pulled ({latch}): nothing is opened"
        findings.append(warning("switches", text, "python -m tools kill --release"))
    if (pause := pause_file(settings)).exists():
        findings.append(warning("switches", f"entries are paused by {pause}", f"rm {pause}"))
    instructions = read_instructions(instructions_file(settings))
    if instructions.paused is not None:
        text = f"entries are paused by {instructions.paused.by} since {instructions.paused.since}"
        findings.append(warning("switches", text, "python -m tools resume"))
    if instructions.forced:
        text = f"kept closed: {', '.join(instructions.forced)}"
        findings.append(warning("switches", text, "python -m tools resume"))
    return findings or [ok("switches", "no latch, no pause, no standing order")]
