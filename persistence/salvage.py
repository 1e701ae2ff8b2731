"""Events a killed instance left in its memory: into the journal, before the memory goes.

Killed whole, an instance leaves in its queue rings what persistence had not taken yet, a few
milliseconds of it. Among them may be the intent of an order that did leave, so they are journalled as
persistence would have done it: behind what the journal has of that run, and no event twice.
"""

from __future__ import annotations

from pathlib import Path

from persistence.journal import Journal, journal_directory
from runtime.bootstrap import read_launch
from settings import parse_settings
from shm.layout import Memory


def salvage(directory: Path, epoch: int) -> int:
    """Move the events of the memory in ``directory`` into its run's journal; return how many.

    ``epoch``: number of this life, as for ``Journal``. Nobody else may have the memory open. Raises
    SegmentError or ValueError for memory that is unfinished or of another version, JournalError for a
    journal that cannot be read, OSError when the disk refuses.
    """
    memory = Memory(directory)
    content = read_launch(directory)
    settings = parse_settings(content["settings"], str(directory))
    journal = Journal(journal_directory(settings), content["run_id"], epoch)
    moved = 0
    for source in memory.plan.event_sources:
        queue = memory.events_reader(source)
        queue.resume_at(journal.cursors.get(source, 0))
        while (line := queue.poll()) is not None:
            journal.append(source, queue.cursor, line)
            moved += 1
        queue.close()
    journal.close()
    return moved
