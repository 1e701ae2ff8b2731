"""Asks the operating system for speed: a core, a priority, locked pages, cores that do not idle.

Each request may be refused: that is logged with what would allow it, and the process runs without. None
of it changes what is traded, only how soon.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from events.instance import PinRefused, TuningRefused
from observability.logs import Reporter

DMA_LATENCY: Final = Path("/dev/cpu_dma_latency")
_MCL_CURRENT, _MCL_FUTURE = 1, 2


def pin(core: int, reporter: Reporter) -> None:
    """Run on this core alone."""
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        detail = (
            f"{error.strerror}; cores allowed here: {sorted(os.sched_getaffinity(0))}. "
            "The process runs unpinned; correct runtime.pin"
        )
        reporter.report(PinRefused(core=core, detail=detail))


def prioritise(nice: int, reporter: Reporter) -> None:
    """Set the scheduler's nice value, from -20 (first) to 19."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    except OSError as error:
        _refused(reporter, "priority", nice, error, "run as root, give CAP_SYS_NICE, or correct runtime.nice")


def lock_memory(reporter: Reporter) -> None:
    """Keep every page of the process in memory, those mapped already at once: no page fault on the way."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        number = ctypes.get_errno()
        error = OSError(number, os.strerror(number))
        _refused(
            reporter,
            "lock_memory",
            True,
            error,
            "raise the limit (ulimit -l unlimited) or give CAP_IPC_LOCK",
        )


@contextmanager
def cores_kept_awake(wanted: bool, reporter: Reporter) -> Iterator[None]:
    """Forbid idle states that take time to leave, while the context lasts: the kernel ties that to an
    open file. It costs power."""
    if not wanted:
        yield
        return
    try:
        fd = os.open(DMA_LATENCY, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        _refused(reporter, "keep_cores_awake", True, error, f"run as root, or allow writing {DMA_LATENCY}")
        yield
        return
    try:
        os.write(fd, (0).to_bytes(4, "little"))  # microseconds that leaving an idle state may take
        yield
    finally:
        os.close(fd)


def _refused(reporter: Reporter, what: str, wanted: int, error: OSError, remedy: str) -> None:
    detail = f"{error.strerror or error}; {remedy}. The process runs without"
    reporter.report(TuningRefused(what=what, wanted=wanted, detail=detail))
