"""What the executor has taken up of the operator's orders, in its own words: one small JSON file in the
instance's memory, written when it changes. The supervisor answers by it, tools show it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

_FILE = "heeded.json"


class Heeded(NamedTuple):
    """What is in force in the executor. ``standing`` is the number of the newest orders taken up."""

    standing: int = 0
    held: int = 0  # the supervisor's word ``entries_held``, 0 while entries are not held back
    paused_by: Sequence[str] = ()  # "control", "file": empty while entries are not paused
    forced: Sequence[str] = ()  # pairs that are closed and kept closed
    entries_stopped: Mapping[str, str] = {}  # pair -> why nothing is opened on it, "" when nothing stops it


def write_heeded(directory: Path, heeded: Heeded) -> None:
    """Leave it in the memory directory, whole or not at all. The executor alone does."""
    unfinished = directory / f"{_FILE}.tmp"
    unfinished.touch(mode=0o600)
    unfinished.write_text(json.dumps(heeded._asdict()))
    unfinished.rename(directory / _FILE)


def read_heeded(directory: Path) -> Heeded:
    """What the executor has said last; nothing before its first word."""
    try:
        return Heeded(**json.loads((directory / _FILE).read_text()))
    except FileNotFoundError:
        return Heeded()
