"""Checks that a recording is complete: its manifest against its directory.

A file that is not as it was written ends the reading with its name. One that is missing is named beside every
figure that comes of the rest: a market without its depth gives other trades.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from tools.record.files import DONE, checksum_of, is_ended, pieces_of, unreadable
from tools.record.tables import DEPTH, FEEDS, VIEWS, Table, quotes_table

PIECES: Final = "pieces"  # in the manifest: name of a piece -> its file's checksum, None while it grows


def what_is_missing(
    directory: Path, manifest: dict[str, Any], venues: Iterable[str], all_tables: Iterable[Table]
) -> tuple[str, ...]:
    """One sentence for each thing that was recorded and is not there. Raises SettingsError for a file that
    is not as it was written."""
    found = {path.stem: path for table in all_tables for path in pieces_of(directory, table)}
    written: dict[str, int | None] | None = manifest.get(PIECES)
    if written is None:  # of an earlier version, which kept no list: what no recording is without
        always = (*map(quotes_table, venues), DEPTH, VIEWS, FEEDS)
        return tuple(f"{item.name}: no file of it" for item in always if not pieces_of(directory, item))
    lost = [f"{name}: the file is missing" for name in sorted(written.keys() - found.keys())]
    for name, path in sorted(found.items()):
        if name not in written:
            raise unreadable(path, "the manifest does not list it")
        if path.suffix == DONE:
            if written[name] not in (None, checksum_of(path)):
                raise unreadable(path, "it is not as it was written, its checksum differs")
        elif not is_ended(path):
            lost.append(f"{path.name}: its end is not written: the recorder was killed, or records still")
    return tuple(lost)
