"""Starts a process: arguments, memory, log, CPU core, signals.

The supervisor writes ``launch.json`` into the memory directory, and anew when settings are reloaded
(``publish_settings``); every process is started as
``python -m <package> --memory DIR --bells detector=5,executor=6 [--venue NAME]`` and so works with
exactly the settings the supervisor validated. It holds no secret.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from observability.logs import Reporter
from observability.redaction import guard_stderr
from observability.standard_streams import open_standard_streams
from runtime import tuning
from runtime.atomic_file import write_atomically
from runtime.clock import Clock, SystemClock
from settings import PROJECT, Settings, parse_settings
from shm.counters import CounterTable
from shm.layout import Memory
from shm.queue import QueueWriter
from venues.contract import Instrument

_LAUNCH = "launch.json"
_PR_SET_PDEATHSIG = 1
_EVENTS_REFUSED = "events_refused_total"
_IN_STATES = ("shm/records.py", "venues/contract.py")  # whose enumerations and records a state holds
EXIT_UNUSABLE = 2  # configuration or environment: restarting cannot help, the supervisor stops


@dataclass(slots=True)
class Stop:
    """Counts SIGTERMs: 1 asks to finish, more ask to hurry."""

    requests: int = 0

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self.requests > 0


@dataclass(frozen=True, slots=True)
class Launch:
    """One process's start: everything it needs, resolved."""

    process: str  # "feed-vest", "detector", …
    venue: str  # "" unless the process serves one venue
    settings: Settings
    run_id: str
    epoch: int  # of this incarnation: grows with every start, part of client order ids
    instruments: tuple[Instrument, ...]  # by instrument_id
    env_file: Path  # for settings.read_secrets, in the processes that need one
    memory: Memory
    counters: CounterTable
    events: QueueWriter | None
    reporter: Reporter
    accounts: tuple[str, ...] = ()  # public names of the accounts traded on
    suspended: Mapping[str, str] = field(default_factory=dict)  # pair id -> why nothing is opened on it
    generation: int = 0  # of the settings: how often they had been reloaded before this start
    stop: Stop = field(default_factory=Stop)
    clock: Clock = field(default_factory=SystemClock)

    def is_queue_crowded(self) -> bool:
        """Whether persistence has fallen so far behind that what happens next might not fit its queue."""
        return self.events is not None and self.events.used > self.events.capacity // 2


def write_launch(
    directory: Path,
    raw_settings: dict[str, Any],
    run_id: str,
    instruments: Sequence[Instrument],
    env_file: Path = PROJECT / ".env",
    accounts: Sequence[str] = (),
    suspended: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write what processes start from. ``raw_settings`` is the parsed, already validated file.

    accounts: public names of the accounts traded on, see ``executor.accounts``.
    """
    content = {
        "settings": raw_settings,
        "run_id": run_id,
        "instruments": [list(item) for item in instruments],
        "env_file": str(env_file),
        "boot_id": boot_id(),
        "machine_code_id": machine_code_id(),
        "accounts": list(accounts),
        "suspended": dict(suspended),
        "generation": 0,
    }
    _write(directory / _LAUNCH, content)


def publish_settings(directory: Path, raw_settings: dict[str, Any]) -> int:
    """Publish settings to processes that start or poll from now on; return their generation."""
    before = read_launch(directory)
    generation: int = before["generation"] + 1
    _write(directory / _LAUNCH, {**before, "settings": raw_settings, "generation": generation})
    return generation


def _write(path: Path, content: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(content))


def pass_on_launch(directory: Path, content: Mapping[str, Any], run_id: str) -> None:
    """Keep a predecessor's launch beside the machines taken over from it until this run writes its own.

    A start that ends before that leaves both to the next one.
    """
    path = directory / _LAUNCH
    path.touch(mode=0o600)
    path.write_text(json.dumps({**content, "run_id": run_id}))


def boot_id() -> str:
    """The kernel's id of this boot: monotonic times compare within one boot alone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def machine_code_id() -> str:
    """A hash of the executor's code: a pair machine's bytes mean the same to the same code alone."""
    digest = hashlib.sha256()
    for path in (*sorted((PROJECT / "executor").rglob("*.py")), *(PROJECT / name for name in _IN_STATES)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def launch_file(directory: Path) -> Path:
    """The file that processes start from; replaced as a whole whenever settings change."""
    return directory / _LAUNCH


def read_launch(directory: Path) -> dict[str, Any]:
    """What ``write_launch`` wrote. FileNotFoundError, or ValueError if it was not written to the end."""
    content: dict[str, Any] = json.loads((directory / _LAUNCH).read_text())
    return content


def instruments_in(content: dict[str, Any]) -> tuple[Instrument, ...]:
    """The instruments of what ``write_launch`` wrote, by instrument_id."""
    return tuple(Instrument(*item) for item in content["instruments"])


def remember_instruments(path: Path, instruments: Sequence[Instrument]) -> None:
    """Keep what the venues list now, for a later start when one of them has delisted a contract."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(path, {"instruments": [list(item) for item in instruments]})


def remembered_instruments(path: Path) -> tuple[Instrument, ...]:
    """What an earlier start has kept; empty where there is no such file, or an unreadable one."""
    try:
        return instruments_in(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


class SettingsWatch:
    """Gives a running process the newest settings.

    Call ``take``, apply the change, call ``done``, with nothing in between: the counter that ``done`` sets
    is the generation of settings by which the process decides.
    """

    def __init__(self, process: Launch) -> None:
        self._directory = process.memory.directory
        self._supervisor = process.memory.counters("supervisor")
        self._newest = self._supervisor.index("settings_generation")
        self._counters = process.counters
        self._applied = process.counters.index("settings_generation")
        self._generation = process.generation

    def has_news(self) -> bool:
        """Whether newer settings were published than this process works with."""
        return self._supervisor.get(self._newest) > self._generation

    def take(self) -> Settings:
        """The newest settings."""
        content = read_launch(self._directory)
        self._generation = content["generation"]
        return parse_settings(content["settings"], _LAUNCH)

    def done(self) -> None:
        """Publish that this process works with the settings taken last."""
        self._counters.set(self._applied, self._generation)

    def close(self) -> None:
        """Unmap the supervisor's counters."""
        self._supervisor.close()


def start(package: str, argv: Sequence[str] | None = None, *, log_to_stdout: bool = True) -> Launch:
    """Parse the command line and attach. ``package`` is the process's kind: "feed", "detector", …"""
    parser = argparse.ArgumentParser(prog=f"python -m {package}", description=__doc__)
    parser.add_argument("--memory", type=Path, required=True, help="memory directory of the running instance")
    parser.add_argument("--bells", default="", help="inherited doorbells: name=fd,name=fd")
    parser.add_argument("--venue", default="", help="the venue this process serves")
    parser.add_argument("--epoch", type=int, default=0, help="epoch of this incarnation, from the supervisor")
    arguments = parser.parse_args(argv)
    process = f"{package}-{arguments.venue}" if arguments.venue else package
    open_standard_streams()
    guard_stderr()  # tracebacks quote arguments
    if "TANDEM_CRASH_AT" in os.environ:  # the crash matrix; nobody else pays for it
        from runtime import crash_points

        crash_points.arm(process)
    stop = Stop()
    _listen_for_signals(stop)
    bells = dict(item.split("=") for item in arguments.bells.split(",") if item)
    memory = Memory(arguments.memory, {name: int(fd) for name, fd in bells.items()})
    content = read_launch(arguments.memory)
    settings = parse_settings(content["settings"], "launch.json")
    events = memory.events_writer(process) if process in memory.plan.event_sources else None
    counters = memory.counters(process, writer=True)
    reporter = Reporter(
        process,
        run_id=content["run_id"],
        level=settings.log_level if log_to_stdout else None,
        to_queue=events.push if events else None,
        on_refused=_count_refused(counters),
    )
    _tune(process, settings, reporter)
    return Launch(
        process=process,
        venue=arguments.venue,
        settings=settings,
        run_id=content["run_id"],
        epoch=arguments.epoch,
        instruments=instruments_in(content),
        env_file=Path(content["env_file"]),
        memory=memory,
        counters=counters,
        events=events,
        reporter=reporter,
        accounts=tuple(content["accounts"]),
        suspended=content["suspended"],
        generation=content["generation"],
        stop=stop,
    )


def end_with_supervisor() -> None:
    """Have the kernel send us SIGTERM when our parent dies: a killed supervisor must leave no orphans."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before it could be asked for
        os.kill(os.getpid(), signal.SIGTERM)


def refuse(message: str) -> NoReturn:
    """End a process that cannot start: its error is the last line, its exit code 2."""
    sys.stderr.write(message.rstrip() + "\n")
    sys.stderr.flush()
    raise SystemExit(EXIT_UNUSABLE)


def _listen_for_signals(stop: Stop) -> None:
    # Ctrl-C reaches the whole terminal group; the supervisor alone answers it, in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal is gone: the same holds

    def request(_signum: int, _frame: object) -> None:
        stop.requests += 1

    signal.signal(signal.SIGTERM, request)
    end_with_supervisor()


def _count_refused(counters: CounterTable) -> Callable[[], None] | None:
    """Count events that the queue to persistence had no room for, in processes that have the counter."""
    if _EVENTS_REFUSED not in counters.names:
        return None
    refused = counters.index(_EVENTS_REFUSED)
    return lambda: counters.add(refused)


def _tune(process: str, settings: Settings, reporter: Reporter) -> None:
    """Apply the configured CPU core, priority and memory lock."""
    core, nice = settings.pinned_core(process), settings.nice_value(process)
    if core is not None:
        tuning.pin(core, reporter)
    if nice is not None:
        tuning.prioritise(nice, reporter)
    if settings.runtime.lock_memory and process not in ("persistence", "alerts"):
        tuning.lock_memory(reporter)
