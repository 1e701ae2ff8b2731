"""The supervisor's record of each process: its state, and the steps allowed between states."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import IO, Final

from shm import counter_names
from shm.counters import CounterTable


class ProcessState(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    EXITED = "exited"
    FATAL = "fatal"


# STARTING becomes RUNNING with the first heartbeat. A death leads to BACKOFF and back to STARTING. Too many
# quick deaths, or exit code 2 (restarting cannot help), lead to FATAL, which stops the instance. EXITED is a
# death that was asked for.
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


assert tuple(state.value for state in ProcessState) == counter_names.PROCESS_STATES


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
    incarnations: int = 0  # how often it was started
    exit_code: int | None = None  # of the last incarnation, once it has ended
    last_stderr: str = ""
    stderr: IO[bytes] | None = None
    partial: bytes = b""
    heartbeat: int = field(init=False)

    def __post_init__(self) -> None:
        self.heartbeat = self.counters.index("heartbeat_mono_ns")

    def heartbeat_age_s(self) -> float:
        """Seconds since this incarnation's last heartbeat, or since its start before the first."""
        beat_s = self.counters.get(self.heartbeat) / 1e9
        return time.monotonic() - max(beat_s, self.started_mono_s)

    def has_beaten(self) -> bool:
        """Whether this incarnation has set its heartbeat at least once."""
        return self.counters.get(self.heartbeat) / 1e9 > self.started_mono_s
