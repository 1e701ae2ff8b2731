"""Checks that a journal is whole: every checksum, every number, and the order of its files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from persistence.journal import (
    JournalEntry,
    JournalError,
    files,
    first_number,
    foreign_files,
    read_entries,
    read_file_head,
)


class Findings(NamedTuple):
    """``problems`` is empty for a journal that is whole."""

    files: int
    events: int
    first_number: int  # 0 without an event; larger than the very first once old files were removed
    last_number: int
    bytes: int
    unfinished_bytes: int  # at the very end: being written, or torn by a power failure; never counted on
    problems: Sequence[str]
    foreign: Sequence[str] = ()  # names of files that are none of the journal's, and were let be


def verify(directory: Path) -> Findings:
    """Read the whole journal. Nothing is changed; an instance may be writing meanwhile."""
    paths = files(directory)
    problems: list[str] = []
    events = first = unfinished = size = 0
    last = 0, 0  # number and checksum
    for path in paths:
        content_bytes = path.stat().st_size
        size += content_bytes
        end, previous = 0, last
        try:
            with path.open("rb") as file:
                head = read_file_head(path, file)
                end = file.tell()
                for entry in read_entries(file, first_number(path), head.previous_checksum):
                    events += 1
                    first = first or entry.number
                    end, last = entry.end, (entry.number, entry.checksum)
        except JournalError as error:
            problems.append(str(error))
            continue
        except FileNotFoundError:
            continue  # stored and removed meanwhile
        if previous[0] and end and (head.previous_number, head.previous_checksum) != previous:
            problems.append(
                f"{path.name} follows event {head.previous_number}, but the file before it ends with "
                f"{previous[0]}: a file is missing, or one was exchanged"
            )
        if end < content_bytes and path == paths[-1]:
            unfinished = content_bytes - end
        elif end < content_bytes:
            problems.append(
                f"{path.name} is damaged at byte {end}: {content_bytes - end} bytes cannot be read"
            )
    foreign = foreign_files(directory)
    return Findings(
        files=len(paths),
        events=events,
        first_number=first,
        last_number=last[0],
        bytes=size,
        unfinished_bytes=unfinished,
        problems=problems,
        foreign=foreign,
    )


def read_all(directory: Path) -> Iterator[JournalEntry]:
    """Every whole record, oldest first; what lies behind damage within a file is left out."""
    for path in files(directory):
        try:
            with path.open("rb") as file:
                head = read_file_head(path, file)
                yield from read_entries(file, first_number(path), head.previous_checksum)
        except FileNotFoundError:
            continue  # stored and removed meanwhile
