"""Journals what killed runs left in memory while the disk was full, before anything of this run."""

from __future__ import annotations

from pathlib import Path

from events.persistence import LeftMemoryRead
from observability.logs import Reporter
from persistence.journal import Journal, JournalError
from persistence.restore import Holdings
from persistence.salvage import UNREADABLE, lines_left, remove_memory, salvage, unread_memories
from settings import SettingsError
from shm.segment import SegmentError


class Backlog:
    """The memories of earlier runs, oldest first. ``epoch`` is this process's."""

    def __init__(self, directory: Path, journal: Journal, epoch: int, reporter: Reporter) -> None:
        self._waiting = list(unread_memories(directory))
        self._journal = journal
        self._epoch = epoch
        self._reporter = reporter

    def fold_into(self, holdings: Holdings) -> None:
        """Fold the waiting events into ``holdings``: they can be read, even if not journalled yet."""
        for directory in self._waiting:
            try:
                lines = lines_left(directory, self._epoch, self._journal.directory)
            except (SegmentError, SettingsError, JournalError, OSError, ValueError):
                continue  # ``take_in`` reports it
            for source, line in lines:
                holdings.take_line(source, line)

    def take_in(self) -> None:
        """Move the events into the journal, oldest memory first, for it keeps the order of what happened.

        Raises OSError when the disk refuses; then they wait on.
        """
        while self._waiting:
            directory = self._waiting[0]
            try:
                moved = salvage(directory, self._epoch)
            except JournalError as error:  # another mode's journal, which its own next start names
                self._report(directory, 0, str(error))
            except (SegmentError, SettingsError, *UNREADABLE) as error:
                self._report(directory, 0, f"it cannot be read and is removed: {error}")
                remove_memory(directory)
            else:
                self._report(directory, moved, "its events are in the journal")
                remove_memory(directory)
            self._waiting.pop(0)
            self._journal.reread()

    def _report(self, directory: Path, moved: int, detail: str) -> None:
        self._reporter.report(LeftMemoryRead(memory=str(directory), events_kept=moved, detail=detail))
