"""The kill latch: while it is pulled nothing is opened, whatever else says it may. Exits go on.

Two places, because each survives what the other does not. A file outlives processes, instances and
reboots and can be made with nothing but ``touch``; the executor looks for it a few times a second. A
word in the running instance's memory is seen by the very next entry, without a system call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from observability.plain_text import plain
from settings import PROJECT, Settings
from shm.counters import CounterTable
from shm.layout import Memory

_WORD: Final = 0


def kill_file(settings: Settings) -> Path:
    """Where an instance's latch lies: ``kill-<bot_id>`` under ``persistence.var_dir``."""
    return PROJECT / settings.persistence.var_dir / f"kill-{settings.bot_id}"


class KillSwitch:
    """The latch as the executor sees it."""

    def __init__(self, path: Path, word: CounterTable) -> None:
        self.path = path
        self._word = word
        self._is_file_there = True  # until it was looked for
        self.look()

    @property
    def is_pulled(self) -> bool:
        return self._is_file_there or self._word.get(_WORD) != 0

    def look(self) -> None:
        """Look for the file; off the hot path. A disk that does not say whether it is there lets nothing be
        opened, and ends nobody who has positions to look after."""
        try:
            self._is_file_there = self.path.exists()
        except OSError:
            self._is_file_there = True

    def close(self) -> None:
        """Unmap the word in memory."""
        self._word.close()


def pull(path: Path, memory: Memory | None, reason: str) -> None:
    """Pull the latch, in the running instance too where there is one. Raises OSError or SegmentError.

    The file comes first: should this process end in between, the latch is pulled all the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(f"{plain(reason)}\n", encoding="utf-8")
    if memory is not None:
        _set_word(memory, 1)


def release(path: Path, memory: Memory | None) -> None:
    """Let entries through again, where nothing else stops them. Raises OSError or SegmentError."""
    path.unlink(missing_ok=True)
    if memory is not None:
        _set_word(memory, 0)


def _set_word(memory: Memory, value: int) -> None:
    word = memory.latch(writer=True)
    word.set(_WORD, value)
    word.close()
