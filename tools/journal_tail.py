"""The newest events of the journal, without reading what came before: for the monitor's last lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from persistence.journal import Entry, files, read_entries

_REACH = 1 << 18  # bytes looked back into; several hundred events


class JournalTail:
    """Follows a journal from its last ``keep`` events on. Only ever reads."""

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self.payloads: deque[bytes] = deque(maxlen=keep)
        self._path: Path | None = None
        self._offset = 0

    def poll(self) -> None:
        """Take in what was written since the last call."""
        paths = files(self._directory)
        if self._path is None and paths:
            self._path, self._offset = paths[-1], max(0, paths[-1].stat().st_size - _REACH)
        for path in paths:
            if self._path is None or path < self._path:
                continue
            if path > self._path:
                self._path, self._offset = path, 0
            self._take(path)

    def _take(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return  # stored and removed meanwhile
        taken = 0
        for entry in _resynchronised(data):
            self.payloads.append(entry.payload)
            taken = entry.end
        self._offset += taken


def _resynchronised(data: bytes) -> Iterator[Entry]:
    """Whole records in bytes cut off anywhere: from the first place where a checksum fits."""
    for start in range(len(data)):
        found = next(read_entries(BytesIO(data[start : start + 65_536])), None)
        if found is not None:
            for entry in read_entries(BytesIO(data[start:])):
                yield entry._replace(end=start + entry.end)
            return
