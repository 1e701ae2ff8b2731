"""The one command: config → memory → processes → watch → stop.

    python supervisor.py [--config FILE] [--check] [--live] [--clean]

Exit codes: 0 stopped as asked · 1 a process could not be kept alive, or the executor did not end in
order · 2 the configuration or the environment does not allow a start · 3 a venue does not answer or is
closed, the same start may do later.
"""

from __future__ import annotations

import argparse
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import yaml

from claim import LAST_WORDS_S, Inheritance, account_locks, instance_directory
from control.channel import Channel
from control.commands import Commands
from control.keys import keys_of
from epochs import Epochs
from executor.accounts import account_names, register_keys
from launch import EXIT_UNUSABLE, instruments_in, read_launch, write_launch
from logs import Log, make_log
from observability.standard_streams import open_standard_streams, run_command
from persistence.server import stop_server
from redaction import guard_stderr
from service_manager import ServiceManager
from settings import (
    KNOWN_VENUES,
    PROJECT,
    Problem,
    Reload,
    Settings,
    SettingsError,
    load_raw,
    read_secrets,
)
from shm import names
from shm.counters import CounterTable
from shm.memory import DOORBELLS, Memory, MemoryPlan
from shm.segment import SegmentError
from simulator.fault_scripts import ScriptError
from simulator.fault_scripts import parse as parse_fault
from tools.preflight import load_instruments, pair_problems, resolve
from tuning import cores_kept_awake
from venues.contract import format_e8
from venues.registry import secrets_of

EXIT_NOT_YET: Final = 3  # a venue does not answer or is closed: the same start may do later
VERSION: Final = "0.1.0"
_BOOT_TIMEOUT_S = 60.0  # initdb of the embedded database is the slowest boot
_STEADY_S = 10.0  # a process that lived this long did not die young
_BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)  # before the n-th restart after quick deaths
_ASIDE_BACKOFF_S = 60.0  # before any further restart of a process that trading does not need
_TURN_S = 0.1
_KILL_AFTER_S = 5.0  # patience with a process that has nothing to finish


class ProcessState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"
    FATAL = "fatal"


# STARTING becomes RUNNING with the first heartbeat. A death leads to BACKOFF and back to STARTING;
# too many quick deaths, or exit code 2 (it says itself that restarting cannot help), to FATAL,
# which stops the whole. EXITED is a death that was asked for.
STEPS: Final[Mapping[ProcessState, Set[ProcessState]]] = {
    ProcessState.STOPPED: {ProcessState.STARTING},
    ProcessState.STARTING: {
        ProcessState.RUNNING,
        ProcessState.BACKOFF,
        ProcessState.STOPPING,
        ProcessState.FATAL,
    },
    ProcessState.RUNNING: {ProcessState.BACKOFF, ProcessState.STOPPING, ProcessState.FATAL},
    ProcessState.BACKOFF: {ProcessState.STARTING, ProcessState.STOPPING},
    ProcessState.STOPPING: {ProcessState.EXITED},
    ProcessState.EXITED: set(),
    ProcessState.FATAL: set(),
}
assert set(STEPS) == set(ProcessState)
assert tuple(state.value for state in ProcessState) == names.PROCESS_STATES


@dataclass(slots=True)
class Child:
    """One process as the supervisor sees it."""

    name: str
    command: Sequence[str]
    secrets: frozenset[str]  # environment names this process alone may see
    counters: CounterTable
    bell_fds: tuple[int, ...] = ()
    is_vital: bool = True  # False: trading goes on without it, however often it dies
    state: ProcessState = ProcessState.STOPPED
    process: subprocess.Popen[bytes] | None = None
    started_mono_s: float = 0.0
    retry_mono_s: float = 0.0
    quick_deaths: int = 0
    lives: int = 0
    exit_code: int | None = None  # of the last life, once it has ended
    last_stderr: str = ""
    stderr: IO[bytes] | None = None
    partial: bytes = b""
    heartbeat: int = field(init=False)

    def __post_init__(self) -> None:
        self.heartbeat = self.counters.index("heartbeat_mono_ns")

    def heartbeat_age_s(self) -> float:
        """Seconds since the last beat of this life; since its start when it has not beaten."""
        beat_s = self.counters.get(self.heartbeat) / 1e9
        return time.monotonic() - max(beat_s, self.started_mono_s)

    def has_beaten(self) -> bool:
        return self.counters.get(self.heartbeat) / 1e9 > self.started_mono_s


class Fatal(Exception):
    """The whole must stop: ``exit_code`` and a last line for the operator."""

    def __init__(self, exit_code: int, detail: str) -> None:
        super().__init__(detail)
        self.exit_code = exit_code


class Supervisor:
    """Starts children in order, replaces the dead and the silent, stops them in order."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        counters: CounterTable,
        epochs: Epochs,
        service_manager: ServiceManager | None = None,
    ) -> None:
        self._settings = settings
        self._secret_names = all_secret_names() | set(settings.alerts.secret_names)
        self._log = log
        self._counters = counters
        self._heartbeat = counters.index("heartbeat_mono_ns")
        counters.set(counters.index("started_mono_ns"), time.monotonic_ns())
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._stop_requests = 0
        self._is_stopping = False
        self._is_everything_started = False
        self._service_manager = service_manager or ServiceManager()
        self.has_executor_ended_in_order = True
        self._epochs = epochs
        self._channel: Channel | None = None

    # --- signals: the handler only counts; the loop acts ---
    def listen_for_signals(self) -> None:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)
        self._selector.register(reader, selectors.EVENT_READ, None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._count_stop)

    def _count_stop(self, _signum: int, _frame: object) -> None:
        self._stop_requests += 1

    def listen_to(self, channel: Channel) -> None:
        """Let the operator ask, from here on in every turn."""
        self._selector.register(channel.fd, selectors.EVENT_READ, channel)
        self._channel = channel

    @property
    def stop_requested(self) -> bool:
        return self._stop_requests > 0

    @property
    def has_executor_told_all(self) -> bool:
        """Whether an executor ran and came to its orderly end."""
        return any(child.name == "executor" and child.exit_code == 0 for child in self._children)

    def begin_epochs_above(self, epoch: int) -> None:
        """Give every process from here on a larger number."""
        self._epochs.raise_to(epoch)

    # --- one child ---
    def start(self, child: Child) -> None:
        """Start a child and remember it. Its standard error is ours to log."""
        if child not in self._children:
            self._children.append(child)
        child.lives += 1
        child.started_mono_s = time.monotonic()
        child.last_stderr = ""
        self._show(child, "restarts", child.lives - 1)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in self._secret_names or name in child.secrets
        }
        child.process = subprocess.Popen(
            [*child.command, "--epoch", str(self._epochs.next())],
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=child.bell_fds,
            process_group=0,  # Ctrl-C is the supervisor's to answer, in order
        )
        assert child.process.stderr is not None
        child.stderr = child.process.stderr
        os.set_blocking(child.stderr.fileno(), False)
        self._selector.register(child.stderr, selectors.EVENT_READ, child)
        self._show(child, "pid", child.process.pid)
        self._enter(child, ProcessState.STARTING, child_pid=child.process.pid)

    def _enter(self, child: Child, state: ProcessState, **fields: object) -> None:
        assert state in STEPS[child.state], f"{child.name}: {child.state} -> {state}"
        previous, child.state = child.state, state
        self._show(child, "state", names.PROCESS_STATES.index(state.value))
        level = self._log.warning if state in (ProcessState.BACKOFF, ProcessState.FATAL) else self._log.info
        level("process_state", process=child.name, state=state, was=previous, **fields)

    def _show(self, child: Child, what: str, value: int) -> None:
        """Let tools see how a child is."""
        self._counters.set(self._counters.index(f"{what}.{child.name}"), value)

    def _reap(self, child: Child) -> None:
        """Deal with a child that has ended."""
        assert child.process is not None
        code = child.exit_code = child.process.returncode
        self._drain_stderr(child)
        assert child.stderr is not None
        self._selector.unregister(child.stderr)
        child.stderr.close()
        child.process = None
        if child.state is ProcessState.STOPPING:
            self._enter(child, ProcessState.EXITED, exit_code=code)
            return
        lived_s = time.monotonic() - child.started_mono_s
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _STEADY_S else 1
        is_hopeless = code == EXIT_UNUSABLE or child.quick_deaths > len(_BACKOFF_S)
        if is_hopeless and child.is_vital:
            self._enter(child, ProcessState.FATAL, exit_code=code, detail=child.last_stderr)
            if self._is_stopping:
                return  # told; the others are to end in their order all the same
            why = child.last_stderr or f"ended with exit code {code}"
            exit_code = EXIT_UNUSABLE if code == EXIT_UNUSABLE else 1
            raise Fatal(exit_code, f"{child.name}: {why}")
        delay_s = _ASIDE_BACKOFF_S if is_hopeless else _BACKOFF_S[child.quick_deaths - 1]
        child.retry_mono_s = time.monotonic() + delay_s
        self._counters.add(self._counters.index("restarts_total"))
        self._enter(
            child,
            ProcessState.BACKOFF,
            exit_code=code,
            lived_s=round(lived_s, 3),
            retry_in_s=delay_s,
            detail=child.last_stderr,
        )

    def _drain_stderr(self, child: Child) -> None:
        assert child.stderr is not None
        data = child.stderr.read()
        whole, _, child.partial = (child.partial + (data or b"")).rpartition(b"\n")
        lines = [line for line in whole.decode(errors="replace").splitlines() if line.strip()]
        if lines:  # a traceback is one event, on one line
            child.last_stderr = lines[-1]
            self._log.warning("process_stderr", process=child.name, detail=" | ".join(lines)[-3000:])

    # --- all children ---
    def turn(self, timeout_s: float = _TURN_S) -> None:
        """Wait a moment, then reap, replace and restart what needs it. Raises Fatal."""
        if self._channel is not None:
            timeout_s = self._channel.patience_s(timeout_s)
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                os.read(key.fd, 4096)
            elif isinstance(key.data, Child):
                self._drain_stderr(key.data)
        if self._channel is not None:
            self._channel.turn()
        self._counters.set(self._heartbeat, time.monotonic_ns())
        now = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._reap(child)
            elif child.state is ProcessState.STARTING and child.has_beaten():
                self._enter(child, ProcessState.RUNNING, boot_ms=round((now - child.started_mono_s) * 1e3))
            elif child.state is ProcessState.BACKOFF and now >= child.retry_mono_s:
                self.start(child)
            elif child.state in (ProcessState.STARTING, ProcessState.RUNNING):
                self._replace_if_silent(child)
        status, is_ready = self._standing()
        self._service_manager.turned(self._log, status, is_ready=is_ready)

    def _standing(self) -> tuple[str, bool]:
        """How the instance stands, as a line, and whether it can trade."""
        absent = [child for child in self._children if child.state is not ProcessState.RUNNING]
        named = ", ".join(f"{child.name} ({child.state.value})" for child in absent)
        if self._is_stopping:
            left = [child.name for child in self._children if child.process is not None]
            return f"stopping: {', '.join(left) or 'the last words'}", False
        if not self._is_everything_started:
            return f"starting: {named or 'the next process'}", False
        if absent:
            return f"not trading: {named}", False
        executor = next(child for child in self._children if child.name == "executor")
        if not executor.counters.get(executor.counters.index("ready")):
            return "not trading: the executor waits for a venue, `tools status` says which", False
        pairs = ", ".join(pair.id for pair in self._settings.pairs)
        return f"mode {self._settings.mode}: ready to trade {pairs}", True

    def everything_is_started(self) -> None:
        """From now on a process that does not run is missed."""
        self._is_everything_started = True

    def _replace_if_silent(self, child: Child) -> None:
        starting = child.state is ProcessState.STARTING
        limit_s = _BOOT_TIMEOUT_S if starting else self._settings.runtime.heartbeat_timeout_ms / 1e3
        silent_s = child.heartbeat_age_s()
        if silent_s > limit_s and child.process is not None:
            detail = f"no heartbeat for {silent_s:.1f} s (limit {limit_s:g} s): killed to be replaced"
            child.last_stderr = detail
            self._log.warning("process_stderr", process=child.name, detail=detail)
            child.process.kill()

    def wait_until_running(self, wanted: Sequence[str]) -> bool:
        """Turn until these run. False when a stop was asked for meanwhile."""
        children = [child for child in self._children if child.name in wanted]
        return self.wait_until(lambda: all(child.state is ProcessState.RUNNING for child in children))

    def wait_until(self, is_so: Callable[[], bool]) -> bool:
        """Turn until it is so. False when a stop was asked for meanwhile."""
        while not is_so():
            self.turn()
            if self.stop_requested:
                return False
        return True

    def watch(self) -> None:
        """Until a stop is asked for."""
        while not self.stop_requested:
            self.turn()

    def stop(self, exit_code: int) -> int:
        """Stop in the order in which nothing is lost. Returns the exit code when no child is left."""
        self._is_stopping = True
        self._counters.set(self._counters.index("stopping"), 1)
        self._service_manager.stopping(self._log, 0.0)
        patience_s = self._settings.runtime.shutdown_timeout_s
        on_shutdown = self._settings.runtime.on_shutdown
        self._log.info(
            "shutdown_started",
            detail="no new entries; finishing trades and cancelling orders, then feeds, then queues. "
            "A second signal shortens the wait, a third ends every process at once",
            patience_s=patience_s,
            on_shutdown=on_shutdown,
        )
        # The executor first, while prices and venues are still there to finish with.
        self.has_executor_ended_in_order = self._end_executor(patience_s + LAST_WORDS_S)
        if not self.has_executor_ended_in_order:
            exit_code = exit_code or 1
        self._end({child.name for child in self._children if child.name.startswith("feed-")}, _KILL_AFTER_S)
        self._end({"detector"}, _KILL_AFTER_S)
        self._end({"simulator"}, _KILL_AFTER_S)
        self._log.info("processes_stopped", exit_code=exit_code)
        # Last of all, when nobody emits any more: the queues are drained to disk.
        self._end({"persistence"}, patience_s)
        self._end({"alerts"}, _KILL_AFTER_S)  # it tells how the others have ended
        return exit_code

    def _end_executor(self, patience_s: float) -> bool:
        """Let the executor finish what is under way; False when it could not, or did not say so."""
        executor = next((child for child in self._children if child.name == "executor"), None)
        if executor is None:
            return True
        if executor.state is ProcessState.BACKOFF:
            # Dead in the middle of something, perhaps: only a new life of it can find out and mend it.
            self.start(executor)
        deadline_s = time.monotonic() + patience_s
        coming_up = (ProcessState.STARTING, ProcessState.BACKOFF)
        while executor.lives > 1 and executor.state in coming_up and time.monotonic() < deadline_s:
            self.turn(0.02)  # told to end before it listens for it, it would just be gone
            if self._stop_requests > 1:
                break
        self._end({"executor"}, patience_s)
        had_not_begun = executor.lives == 1 and executor.exit_code == -signal.SIGTERM
        if executor.exit_code in (0, EXIT_UNUSABLE) or had_not_begun:
            return True
        self._log.error(
            "shutdown_step",
            process="executor",
            exit_code=executor.exit_code,
            detail="it did not end in order: look at both venues for open positions and orders; its memory "
            "stays for the next start",
        )
        return False

    def _end(self, group: Set[str], patience_s: float) -> None:
        children = [child for child in self._children if child.name in group]
        for child in children:
            if child.state in (ProcessState.STARTING, ProcessState.RUNNING, ProcessState.BACKOFF):
                self._enter(child, ProcessState.STOPPING)
                if child.process is None:
                    self._enter(child, ProcessState.EXITED)
                else:
                    child.process.terminate()
        seen_requests = self._stop_requests
        deadline_s = time.monotonic() + patience_s
        while any(child.process is not None for child in children):
            self.turn(0.02)
            if self._stop_requests > seen_requests:
                seen_requests = self._stop_requests
                for child in children:
                    if child.process is not None:
                        child.process.terminate()
            if self._stop_requests >= 3 or time.monotonic() > deadline_s:
                self._kill(children)
                deadline_s = time.monotonic() + _KILL_AFTER_S

    def _kill(self, children: Sequence[Child]) -> None:
        for child in children:
            if child.process is not None and child.process.poll() is None:
                left = "positions and orders as they are on the venues" if child.name == "executor" else ""
                self._log.warning(
                    "shutdown_step",
                    process=child.name,
                    detail="did not finish in time and was killed" + (f"; it leaves {left}" if left else ""),
                )
                child.process.kill()

    def kill_all(self) -> None:
        """After a failure of our own: leave no process behind, and no leg that the executor can mend."""
        patience_s = self._settings.runtime.shutdown_timeout_s + LAST_WORDS_S
        self._service_manager.stopping(self._log, patience_s)
        for child in self._children:
            if child.process is not None and child.name == "executor":
                child.process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    child.process.wait(patience_s)
        for child in self._children:
            if child.process is not None:
                child.process.kill()
                child.process.wait()


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parse_arguments(argv)
    log = make_log("supervisor", run_id="-")
    register_keys(arguments.env_file)
    try:
        settings, resolved = resolve(load_raw(arguments.config), str(arguments.config))
        check_mode(settings, arguments)
        if arguments.check:
            print_resolved(settings, arguments.env_file)
            return 0
        return run(settings, resolved, arguments)
    except SettingsError as error:
        for problem in error.problems:
            log.error("config_error", key=problem.key, value=problem.value, detail=problem.allowed)
        return EXIT_UNUSABLE
    except SegmentError as error:
        log.error("config_error", detail=str(error))
        return EXIT_UNUSABLE


def _parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python supervisor.py",
        description="Trade the gap between two perpetual-futures venues. Logs JSON lines to standard output; "
        "Ctrl-C stops in order.",
        epilog="Exit codes: 0 stopped as asked, 1 a process could not be kept alive or end in order, "
        "2 the configuration or the environment does not allow a start, 3 a venue does not answer or is "
        "closed: try again.",
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=PROJECT / "config.yaml", help="default: config.yaml"
    )
    parser.add_argument("--env-file", type=Path, default=PROJECT / ".env", help="secrets; default: .env")
    parser.add_argument("--check", action="store_true", help="validate, print the resolved settings, stop")
    parser.add_argument("--live", action="store_true", help="second switch for real orders, with mode: live")
    parser.add_argument(
        "--clean", action="store_true", help="remove what a killed instance left in memory unread"
    )
    parser.add_argument("--version", action="version", version=f"tandem {VERSION}")
    return parser.parse_args(argv)


def check_mode(settings: Settings, arguments: argparse.Namespace) -> None:
    """Live needs both switches and its keys, the other modes neither. Raises SettingsError."""
    problems: list[Problem] = []
    if settings.mode == "live":
        if not arguments.live:
            problems.append(
                Problem(
                    "mode", "'live'", "needs --live on the command line too: two switches for real orders"
                )
            )
        present = present_secrets(settings, arguments.env_file)
        problems += [
            Problem(
                name,
                "",
                f"is missing and mode live needs it: set it in {arguments.env_file} or the environment",
            )
            for name, is_required in needed_secrets(settings)
            if is_required and name not in present
        ]
    elif arguments.live:
        problems.append(Problem("mode", repr(settings.mode), "with --live it must be live"))
    problems += fault_problems(settings.simulator.faults)
    problems += alert_problems(settings, arguments.env_file)
    if problems:
        raise SettingsError(str(arguments.config), problems)


def fault_problems(faults: Sequence[str]) -> list[Problem]:
    """What is wrong with ``simulator.faults``, entry by entry."""
    problems: list[Problem] = []
    for text in faults:
        try:
            parse_fault(text)
        except ScriptError as error:
            problems.append(Problem("simulator.faults", repr(text), str(error)))
    return problems


def alert_problems(settings: Settings, env_file: Path) -> list[Problem]:
    """Secrets that ``alerts`` names and that are not there, or that belong to somebody else."""
    wanted = settings.alerts.secret_names
    present = read_secrets(wanted, env_file)
    taken = all_secret_names()
    return [
        Problem("alerts", name, "is a key of trading or of the database; alerts need a name of their own")
        if name in taken
        else Problem(name, "", f"is named in alerts and missing: set it in {env_file} or the environment")
        for name in wanted
        if name in taken or name not in present
    ]


def needed_secrets(settings: Settings) -> list[tuple[str, bool]]:
    """Environment names the venues of these settings read, and whether each must be there."""
    return [
        (secret.name, secret.is_required) for venue in settings.venue_names for secret in secrets_of(venue)
    ]


def present_secrets(settings: Settings, env_file: Path) -> frozenset[str]:
    """Which of the secrets are set. Their values are dropped at once."""
    wanted = (*(name for name, _ in needed_secrets(settings)), "DATABASE_URL", *settings.alerts.secret_names)
    return frozenset(read_secrets(wanted, env_file))


def all_secret_names() -> frozenset[str]:
    return frozenset(
        {"DATABASE_URL"} | {secret.name for venue in KNOWN_VENUES for secret in secrets_of(venue)}
    )


def print_resolved(settings: Settings, env_file: Path) -> None:
    """The settings as they would be used, defaults included; of secrets only whether they are set."""
    present = present_secrets(settings, env_file)
    names_wanted = [name for name, _ in needed_secrets(settings)] + ["DATABASE_URL"]
    names_wanted += settings.alerts.secret_names
    shown = settings.model_dump(mode="json", by_alias=False)
    shown["secrets"] = {name: "********" if name in present else "not set" for name in names_wanted}
    shown["reload"] = {**changeable(settings), Reload.RESTART.value: "everything else"}
    sys.stdout.write(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True))


def changeable(settings: Settings) -> dict[str, list[str]]:
    """The keys that may change while it runs, by when they do; a pair's once for all pairs."""
    return {
        reload.value: list(
            dict.fromkeys(
                re.sub(r"^pairs\[.*?\]", "pairs[]", key.name)
                for key in keys_of(settings).values()
                if key.reload is reload
            )
        )
        for reload in (Reload.HOT, Reload.WHEN_FLAT)
    }


def run(settings: Settings, raw: dict[str, Any], arguments: argparse.Namespace) -> int:
    """Everything from the lock to the last line."""
    run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S") + f"-{os.getpid()}"
    source = str(arguments.config)
    with ExitStack() as stack:
        service_manager = stack.enter_context(closing(ServiceManager.from_environment(os.environ)))
        epochs = stack.enter_context(closing(open_epochs(settings)))
        accounts = account_names(settings, arguments.env_file)
        stack.enter_context(account_locks(settings, accounts))
        inheritance = Inheritance()
        directory = stack.enter_context(
            instance_directory(settings, epochs, inheritance, clean=arguments.clean)
        )
        Memory.create(directory, memory_plan(settings), counter_names(settings))
        inheritance.hand_over(directory, run_id)
        memory = Memory(directory)
        counters = memory.counters("supervisor", writer=True)
        log = make_log(
            "supervisor",
            run_id=run_id,
            level=settings.log_level,
            to_queue=memory.events_writer("supervisor").push,
        )
        log.info("starting", version=VERSION, mode=settings.mode, config=source, memory=str(directory))
        if inheritance.processes or inheritance.events is not None:
            log.warning("taking_over", **inheritance.fields())
        supervisor = Supervisor(settings, log, counters, epochs, service_manager)
        supervisor.listen_for_signals()
        reread = partial(read_again, arguments, memory.directory)
        commands = stack.enter_context(closing(Commands(settings, memory, counters, log, reread)))
        channel = Channel(memory.directory, commands.handle, commands.tell_refused)
        stack.enter_context(closing(channel))
        supervisor.listen_to(channel)
        stack.enter_context(cores_kept_awake(settings.runtime.keep_cores_awake, log))
        bells = {name: os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for name in DOORBELLS}
        for fd in bells.values():
            stack.callback(os.close, fd)
        stack.callback(supervisor.kill_all)
        exit_code, last_words = 0, "nothing is left running"
        try:
            _start_all(
                supervisor, settings, raw, run_id, source, memory, bells, arguments.env_file, accounts, log
            )
            supervisor.watch()
        except Fatal as error:
            exit_code, last_words = error.exit_code, str(error)
        except SettingsError as error:
            for problem in error.problems:
                log.error("config_error", key=problem.key, value=problem.value, detail=problem.allowed)
            may_pass = all(problem.may_pass for problem in error.problems)
            exit_code = EXIT_NOT_YET if may_pass else EXIT_UNUSABLE
            last_words = f"{source}: {len(error.problems)} problem(s), see above"
        if supervisor.stop(exit_code) and not exit_code:
            exit_code, last_words = 1, "the executor did not end in order: look at both venues"
        # Its machines know more than was told of them: a signal's orders may have left untold. So do those
        # that were taken over from a run before, until an executor has told all of it and ended.
        is_untold = bool(inheritance.machines) and not supervisor.has_executor_told_all
        inheritance.is_left_in_turn = is_untold or not supervisor.has_executor_ended_in_order
        supervisor.kill_all()
        stop_server(PROJECT / settings.persistence.var_dir)
        (log.error if exit_code else log.info)("shutdown_done", exit_code=exit_code, detail=last_words)
    return exit_code


def read_again(arguments: argparse.Namespace, directory: Path) -> tuple[Settings, dict[str, Any]]:
    """The configuration as it stands in its file now. Raises SettingsError with all that is wrong with it."""
    source = str(arguments.config)
    settings, resolved = resolve(load_raw(arguments.config), source)
    instruments = {(item.venue, item.symbol): item for item in instruments_in(read_launch(directory))}
    problems = fault_problems(settings.simulator.faults)
    for number, pair in enumerate(settings.pairs):
        legs = [instruments.get(leg) for leg in pair.legs]
        if None not in legs:  # others are asked for at the restart that they need
            problems += pair_problems(number, pair, *(leg for leg in legs if leg is not None))
    if problems:
        raise SettingsError(source, problems)
    return settings, resolved


def open_epochs(settings: Settings) -> Epochs:
    """The numbers of process lives, kept beside the journal. Raises SegmentError where they cannot be."""
    path = PROJECT / settings.persistence.var_dir / f"epoch-{settings.bot_id}"
    try:
        return Epochs(path)
    except OSError as error:
        raise SegmentError(
            f"persistence.var_dir: {path}: {error.strerror}; name a directory you own"
        ) from error
    except ValueError as error:
        raise SegmentError(str(error)) from error


def memory_plan(settings: Settings) -> MemoryPlan:
    feeds = tuple(f"feed-{venue}" for venue in settings.venue_names)
    return MemoryPlan(
        venues=settings.venue_names,
        instrument_count=len(settings.legs),
        pair_count=len(settings.pairs),
        ring_cells=settings.runtime.ring_cells,
        signal_queue_bytes=65_536,
        event_queue_bytes=settings.runtime.event_queue_kib * 1024,
        event_sources=(
            *("supervisor", *feeds, "detector", "executor"),
            *(("alerts",) if settings.alerts.has_target else ()),
        ),
    )


def counter_names(settings: Settings) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Every process's counters and histograms."""
    tables: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        f"feed-{venue}": (list(names.FEED_COUNTERS), list(names.FEED_HISTOGRAMS))
        for venue in settings.venue_names
    }
    tables["detector"] = (
        names.detector_counters([pair.id for pair in settings.pairs]),
        list(names.DETECTOR_HISTOGRAMS),
    )
    tables["executor"] = (list(names.EXECUTOR_COUNTERS), list(names.EXECUTOR_HISTOGRAMS))
    tables["persistence"] = (list(names.PERSISTENCE_COUNTERS), [])
    if settings.alerts.has_target:
        tables["alerts"] = (list(names.ALERTS_COUNTERS), [])
    if settings.mode == "sim":
        tables["simulator"] = (list(names.SIMULATOR_COUNTERS), [])
    return {**tables, "supervisor": (names.supervisor_counters(tables), [])}


def _start_all(
    supervisor: Supervisor,
    settings: Settings,
    raw: dict[str, Any],
    run_id: str,
    source: str,
    memory: Memory,
    bells: Mapping[str, int],
    env_file: Path,
    accounts: Sequence[str],
    log: Log,
) -> None:
    """Start everything in order; returns when all run or a stop was asked for."""

    def child(
        package: str, *, venue: str = "", extra: Sequence[str] = (), secrets: Set[str] = frozenset()
    ) -> Child:
        name = f"{package.rstrip('s')}-{venue}" if venue else package
        command = [sys.executable, "-m", package, "--memory", str(memory.directory), *extra]
        if venue:
            command += ["--venue", venue]
        if package != "simulator":
            command += ["--bells", ",".join(f"{bell}={fd}" for bell, fd in bells.items())]
        fds = tuple(bells.values())
        return Child(name, command, frozenset(secrets), memory.counters(name), fds)

    if settings.mode == "sim":
        supervisor.start(child("simulator", extra=_simulator_arguments(settings)))
        if not supervisor.wait_until_running(["simulator"]):
            return
    instruments = load_instruments(settings, source)
    write_launch(memory.directory, raw, run_id, instruments, env_file, accounts)
    log.info("settings_loaded", **summary(settings))
    for instrument in instruments:
        log.info("instrument_loaded", **instrument._asdict())
    # Alone, until the database has answered or is known to be away: without any nothing is started.
    persistence = child("persistence", secrets={"DATABASE_URL"})
    supervisor.start(persistence)
    database = persistence.counters.index("database_state")
    if not supervisor.wait_until(lambda: persistence.counters.get(database) != names.DATABASE_UNTRIED):
        return
    if settings.alerts.has_target:
        command = [sys.executable, "-m", "tools", "alerts", "--memory", str(memory.directory)]
        secrets = frozenset(settings.alerts.secret_names)
        supervisor.start(Child("alerts", command, secrets, memory.counters("alerts"), is_vital=False))
    # Another host may have traded on these accounts, by a clock that is ahead of ours.
    supervisor.begin_epochs_above(persistence.counters.get(persistence.counters.index("lease_epoch")))
    # Paper has no use for keys, so it cannot lose them.
    keys = set() if settings.mode == "paper" else {name for name, _ in needed_secrets(settings)}
    supervisor.start(child("executor", secrets=keys))
    for venue in settings.venue_names:
        supervisor.start(child("feeds", venue=venue))
    supervisor.start(child("detector"))
    everyone = ["persistence", "executor", "detector", *(f"feed-{venue}" for venue in settings.venue_names)]
    if supervisor.wait_until_running(everyone):
        supervisor.everything_is_started()
        log.info("running", mode=settings.mode, detail="trading begins when both venues are ready")


def _simulator_arguments(settings: Settings) -> list[str]:
    chosen = settings.simulator
    return [
        *(part for venue, port in chosen.ports.items() for part in (f"--{venue}-port", str(port))),
        *("--source", chosen.source, "--seed", str(chosen.seed), "--speed", str(chosen.speed)),
        *("--start-s", str(chosen.start_s), "--taker-fee-bps", str(chosen.taker_fee_bps)),
        *("--ack-latency-ms", str(chosen.ack_latency_ms)),
        *("--collateral", format_e8(chosen.collateral_quote_e8, 2)),
        *(part for fault in chosen.faults for part in ("--fault", fault)),
    ]


def summary(settings: Settings) -> dict[str, Any]:
    """What an operator wants to see of the settings at start."""
    return {
        "mode": settings.mode,
        "version": VERSION,
        "bot_id": settings.bot_id,
        "pairs": [
            {
                "pair": pair.id,
                "legs": [f"{leg.venue}:{leg.symbol}" for leg in pair.legs],
                "size_base_e8": pair.size_base_e8,
                "entry_bps": pair.strategy.entry_bps,
                "exit_bps": pair.strategy.exit_bps,
                "layers": pair.strategy.layers,
                "confirm_ticks": pair.strategy.confirm_ticks,
            }
            for pair in settings.pairs
        ],
        "pin": dict(settings.runtime.pin),
        "idle": {process: settings.idle_strategy(process) for process in ("feed", "detector", "executor")},
        "ring_cells": settings.runtime.ring_cells,
        "http_connections": settings.execution.http_connections,
        "on_shutdown": settings.runtime.on_shutdown,
        "paper": settings.paper.model_dump() if settings.mode == "paper" else None,
    }


if __name__ == "__main__":
    open_standard_streams()
    guard_stderr()
    run_command(main)
