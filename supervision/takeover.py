"""Takes over from a predecessor that was killed: its processes, its events, its pair machines.

A start after anything just works. Processes that outlived their supervisor get the time to finish what
they have under way. Memory that outlived its processes is read into the journal and removed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from events.instance import TakingOver
from persistence.journal import JournalError
from persistence.salvage import (
    UNREADABLE,
    keep_unread,
    remove_memory,
    salvage,
    unread_memories,
)
from runtime.bootstrap import boot_id, machine_code_id, pass_on_launch, read_launch
from runtime.epochs import Epochs
from settings import Settings, SettingsError, parse_settings
from shm.ownership import is_own_folder
from shm.segment import SegmentError
from supervision.instance_lock import instance_locks, memory_directory

FINAL_REPORT_S: Final = 10.0  # for the executor, beyond its trades: cancels, and what the venues say is left
_POLL_S = 0.05
_KILL_PATIENCE_S = 5.0
_MACHINES: Final = ("machines", "taken")
_PACKAGES: Final = frozenset({"executor", "feeds", "detector", "persistence", "simulator"})


class Takeover:
    """What a start found of its predecessor, until there is a log to report it to."""

    def __init__(self) -> None:
        self.processes: list[int] = []  # that were still ending
        self.killed: list[int] = []  # of these, the ones that did not end by themselves
        self.events: int | None = None  # moved into the journal; None when there was no memory
        self.problem = ""  # why the memory could not be read
        self.machines: dict[str, bytes] = {}  # what the executor left to its successor, by file
        self.launch: dict[str, Any] = {}  # and what it had been started from
        self.is_left_in_turn = False  # this run leaves its memory to the next one
        self.refused = ""  # by the disk: why events of earlier runs wait in their memories
        self.number = 0  # of this start, for the name of a memory that waits

    @property
    def may_hold(self) -> bool:
        """Whether a killed run may hold something that the journal does not know."""
        return bool(self.machines or self.refused)

    def hand_over(self, directory: Path, run_id: str) -> None:
        """Put the pair machines into the new memory, where it has room for just these.

        They know more than the journal: a signal's orders may have left before they were reported. Only
        then the old memory is removed: a start that is killed before leaves it to the next one.
        """
        if self.machines:
            for name, content in self.machines.items():
                path = directory / name
                if path.stat().st_size == len(content):
                    path.write_bytes(content)
            pass_on_launch(directory, self.launch, run_id)
        self.let_go(directory)

    def let_go(self, directory: Path) -> None:
        """Remove the old memory, unless the disk has not taken its events."""
        left = _left(directory)
        if self.refused and left.exists():
            keep_unread(left, directory, self.number)
        else:
            remove_memory(left)

    def event(self) -> TakingOver:
        """What was taken over, as the log has it."""
        return TakingOver(
            processes=tuple(self.processes),
            killed=tuple(self.killed),
            events_kept=self.events or 0,
            detail=self.problem or self.refused or "its memory is read into the journal and removed",
        )


@contextmanager
def instance_directory(
    settings: Settings, epochs: Epochs, takeover: Takeover, *, clean: bool = False
) -> Iterator[Path]:
    """Take over from a predecessor under the locks; yield the memory directory, not yet created.

    At the end the directory is removed. After a failure of our own, or with ``is_left_in_turn``, it stays, as
    after a kill, and the next start reads it. With ``clean`` a predecessor's memory is removed unread. Where
    the disk does not take its events it is kept: no start is refused for that. Raises SegmentError when
    another supervisor runs under this bot_id, or when the journal cannot be read.
    """
    directory = memory_directory(settings)
    left = _left(directory)
    with instance_locks(settings):
        is_there, is_left = is_own_folder(directory), is_own_folder(left)
        _end_orphans(directory, settings.runtime.shutdown_timeout_s + FINAL_REPORT_S, takeover)
        takeover.number = epochs.next()
        for earlier in unread_memories(directory):
            if is_own_folder(earlier) and not clean:
                _read_left_memory(earlier, takeover)
            if clean or not takeover.refused:
                remove_memory(earlier)
        if is_left:  # killed before it had handed that over: its own memory was not in use yet
            remove_memory(directory)
        elif is_there:
            directory.rename(left)
        if is_left or is_there:
            if not clean:
                _read_left_memory(left, takeover)
                # Memory of another version has other machines, or not all that belongs to them.
                if not takeover.problem and _is_compatible(settings, left):
                    takeover.machines = {name: (left / name).read_bytes() for name in _MACHINES}
                    takeover.launch = read_launch(left)
            if not takeover.machines:
                takeover.let_go(directory)
        yield directory
        if not takeover.is_left_in_turn:
            remove_memory(directory)
            takeover.let_go(directory)


def _left(directory: Path) -> Path:
    """Where a predecessor's memory waits until its machines are in the new one."""
    return directory.with_name(f"{directory.name}.left")


def _is_compatible(settings: Settings, directory: Path) -> bool:
    """Whether the memory's machines belong to these settings: the same pairs at the same venues.

    Nothing is carried over from simulated venues, which end with their instance; nor from before a reboot,
    where the memory lies on a disk, because the monotonic clock began anew; nor from other code, which would
    read other things from the same bytes.
    """
    try:
        content = read_launch(directory)
        before = parse_settings(content["settings"], str(directory))
    except (FileNotFoundError, SettingsError, ValueError):
        return False
    is_of_now = content.get("boot_id") == boot_id() and content.get("machine_code_id") == machine_code_id()
    if not is_of_now or not all((directory / name).exists() for name in _MACHINES):
        return False
    is_same = [(pair.id, pair.legs) for pair in before.pairs] == [
        (pair.id, pair.legs) for pair in settings.pairs
    ]
    return is_same and before.mode == settings.mode and settings.mode != "sim"


def processes_of(directory: Path) -> list[int]:
    """Pids of the processes that our supervisor started with this memory, tools left out.

    Another user may give a process of his any arguments.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
            is_ending = (path.parent / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
            is_ours = path.stat().st_uid == os.geteuid()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        if (
            is_ending
            or not is_ours
            or arguments[1:2] != [b"-m"]
            or arguments[2].decode(errors="replace") not in _PACKAGES
        ):
            continue
        if b"--memory" in arguments and arguments[arguments.index(b"--memory") + 1] == os.fsencode(directory):
            found.append(int(path.parent.name))
    return sorted(found)


def _end_orphans(directory: Path, patience_s: float, takeover: Takeover) -> None:
    """Wait for processes whose supervisor is dead: the kernel has sent them SIGTERM, and the executor
    may be hedging a leg. What does not end in time is hung, and killed."""
    takeover.processes = processes_of(directory)
    deadline_s = time.monotonic() + patience_s
    while left := processes_of(directory):
        if time.monotonic() > deadline_s:
            if takeover.killed:
                raise SegmentError(f"processes {left} of a killed instance cannot be ended; reboot")
            takeover.killed = left
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            deadline_s = time.monotonic() + _KILL_PATIENCE_S
        time.sleep(_POLL_S)


def _read_left_memory(directory: Path, takeover: Takeover) -> None:
    """Journal a memory's events. After one that the disk refused all later ones wait, too: the journal keeps
    the order of what happened."""
    takeover.events = takeover.events or 0
    if takeover.refused:
        return
    try:
        takeover.events += salvage(directory, takeover.number)
    except (SegmentError, *UNREADABLE, SettingsError) as error:
        # Unfinished, or of another version: the journal on disk and the venues know the rest.
        takeover.problem = f"its memory cannot be read and is removed: {error}"
    except OSError as error:
        takeover.refused = (
            f"the disk does not take its events ({error}): they are kept in {directory.parent} and read when "
            "there is room; nothing is opened until then"
        )
    except JournalError as error:
        raise SegmentError(str(error)) from error
