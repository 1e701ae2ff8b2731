"""The newest events of the journal, without reading what came before: for the monitor's last lines."""

from __future__ import annotations

from collections import deque
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from persistence.journal import JournalEntry, files, first_number, read_entries, read_file_head, record_after

_REACH = 1 << 18  # bytes looked back into; several hundred events


class _Place(NamedTuple):
    """Behind a record: its number and checksum are what the next one follows."""

    offset: int
    number: int
    checksum: int


class JournalTail:
    """Follows a journal from its last ``keep`` events on; None: all that follow, to be taken away.

    Only ever reads.
    """

    def __init__(self, directory: Path, keep: int | None) -> None:
        self._directory = directory
        self.entries: deque[JournalEntry] = deque(maxlen=keep)
        self._path: Path | None = None
        self._has_begun = False
        self._place: _Place | None = None  # None: at the beginning of the file

    @property
    def payloads(self) -> list[bytes]:
        """Log lines, oldest first."""
        return [entry.payload for entry in self.entries]

    def poll(self) -> None:
        """Take in what was written since the last call."""
        paths = files(self._directory)
        if self._path is None and paths:
            # A journal that was empty at first is all news.
            self._path = paths[0] if self._has_begun else paths[-1]
            self._place = None if self._has_begun else _near_the_end(self._path)
        self._has_begun = True
        for path in paths:
            if self._path is None or path < self._path:
                continue
            if path > self._path:
                self._path, self._place = path, None
            self._take(path)

    def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                if self._place is None:
                    head = read_file_head(path, file)
                    self._place = _Place(file.tell(), first_number(path) - 1, head.previous_checksum)
                file.seek(self._place.offset)
                for entry in read_entries(file, self._place.number + 1, self._place.checksum):
                    self.entries.append(entry)
                    self._place = _Place(entry.end, entry.number, entry.checksum)
        except FileNotFoundError:
            return  # stored and removed meanwhile


def _near_the_end(path: Path) -> _Place | None:
    """A place between two records no more than the reach before the end; None for the beginning."""
    begin = path.stat().st_size - _REACH
    if begin <= 0:
        return None
    with path.open("rb") as file:
        file.seek(begin)
        data = file.read()
    for start in range(len(data)):
        found = record_after(BytesIO(data[start : start + 65_536]))
        if found is not None:
            return _Place(begin + start + found.end, found.number, found.checksum)
    return None
