"""Journals the events that a killed instance left in its memory, before the memory is removed.

An instance killed as a whole leaves in its queue rings what persistence had not read yet: a few milliseconds
of events, or all since the disk was full. Among them may be the intent of an order that did leave, so they
are journalled as persistence would have done it: behind what the journal has of that run, no event
twice. While the disk does not take them the memory is kept beside that of the next run, whose persistence
journals them first when there is room.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from persistence.journal import Journal, journal_directory
from runtime.bootstrap import launch_file, read_launch
from settings import parse_settings
from shm.layout import EVENTS, PLAN, Memory

UNREADABLE = (FileNotFoundError, ValueError)  # and SegmentError: unfinished memory, or another version's


def salvage(directory: Path, epoch: int) -> int:
    """Move the events of the memory in ``directory`` into its run's journal; return how many.

    ``epoch``: as for ``Journal``. No other process may have the memory open. Raises
    SegmentError or ValueError for memory that is unfinished or of another version, JournalError for a
    journal that cannot be read, OSError when the disk refuses.
    """
    journal, events = _left(directory, epoch)
    for source, cursor, line in events:
        journal.append(source, cursor, line)
    journal.close()
    return len(events)


def lines_left(directory: Path, epoch: int, journal_dir: Path) -> Sequence[tuple[str, bytes]]:
    """Source and line of the same events, where they belong into that journal. Nothing is written."""
    journal, events = _left(directory, epoch)
    return [(source, line) for source, _, line in events] if journal.directory == journal_dir else ()


def unread_memories(directory: Path) -> Sequence[Path]:
    """What was kept beside an instance's memory because the disk did not take it, oldest first."""
    return sorted(directory.parent.glob(f"{directory.name}.unread-*"))


def keep_unread(left: Path, directory: Path, number: int) -> Path:
    """Keep a memory's events, and nothing else of it, until the disk takes them. ``number`` grows."""
    kept = directory.with_name(f"{directory.name}.unread-{number:012d}")
    left.rename(kept)
    needed = {PLAN, launch_file(kept).name}
    for path in kept.iterdir():
        if path.name not in needed and not path.name.startswith(EVENTS):
            path.unlink()
    return kept


def remove_memory(directory: Path) -> None:
    """Remove a memory directory, or what there is of it."""
    shutil.rmtree(directory, ignore_errors=True)


def _left(directory: Path, epoch: int) -> tuple[Journal, list[tuple[str, int, bytes]]]:
    """The journal of the run that had this memory, and what it has not got: source, cursor, line."""
    memory = Memory(directory)
    content = read_launch(directory)
    settings = parse_settings(content["settings"], str(directory))
    journal = Journal(journal_directory(settings), content["run_id"], epoch)
    events = []
    for source in memory.plan.event_sources:
        queue = memory.events_reader(source)
        queue.resume_at(journal.cursors.get(source, 0))
        while (line := queue.poll()) is not None:
            events.append((source, queue.cursor, line))
        queue.close()
    return journal, events
