"""The kill switch: while it is engaged no position is opened, whatever else allows it. Exits go on.

It has two places, because each survives what the other does not. A file outlives processes, instances and
reboots and can be made with nothing but ``touch``; the executor polls it a few times a second. A flag in
the running instance's memory is seen by the very next entry, without a system call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from observability.plain_text import plain
from settings import PROJECT, Settings
from shm.counters import CounterTable
from shm.layout import Memory

_FLAG: Final = 0


def kill_file(settings: Settings) -> Path:
    """The kill switch's file: ``kill-<bot_id>`` under ``persistence.var_dir``."""
    return PROJECT / settings.persistence.var_dir / f"kill-{settings.bot_id}"


class KillSwitch:
    """The kill switch as the executor reads it."""

    def __init__(self, path: Path, flag: CounterTable) -> None:
        self.path = path
        self._flag = flag
        self._is_file_there = True  # until the first poll
        self.look()

    @property
    def is_engaged(self) -> bool:
        """Whether file or flag is there; one read of memory."""
        return self._is_file_there or self._flag.get(_FLAG) != 0

    def look(self) -> None:
        """Look for the file; not on the hot path.

        A disk that cannot say whether it exists counts as engaged: to end the process instead would leave its
        positions unattended.
        """
        try:
            self._is_file_there = self.path.exists()
        except OSError:
            self._is_file_there = True

    def close(self) -> None:
        """Unmap the flag."""
        self._flag.close()


def engage(path: Path, memory: Memory | None, reason: str) -> None:
    """Engage the switch, in the running instance too where there is one. Raises OSError or SegmentError.

    The file comes first: should this process end in between, the switch is engaged all the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{plain(reason)}\n", encoding="utf-8")
    if memory is not None:
        _set_flag(memory, 1)


def release(path: Path, memory: Memory | None) -> None:
    """Allow entries again, where nothing else stops them. Raises OSError or SegmentError."""
    path.unlink(missing_ok=True)
    if memory is not None:
        _set_flag(memory, 0)


def _set_flag(memory: Memory, value: int) -> None:
    flag = memory.latch(writer=True)
    flag.set(_FLAG, value)
    flag.close()
