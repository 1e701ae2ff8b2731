"""Carries the executor's acknowledgement of the operator's instructions to the supervisor and tools.

It is one small JSON file in the instance's memory, written whenever it changes. The supervisor answers a
command when the acknowledgement says that it is in force.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from runtime.atomic_file import write_atomically

_FILE = "acknowledged.json"


class Acknowledgement(NamedTuple):
    """What is in force in the executor. ``instructions`` is the number of the newest ones applied."""

    instructions: int = 0
    entries_suspended: int = 0  # the counter ``entries_held`` as seen; 0 while entries are not suspended
    paused_by: Sequence[str] = ()  # "control", "file": empty while entries are not paused
    forced: Sequence[str] = ()  # pairs that are closed and kept closed
    entries_stopped: Mapping[str, str] = {}  # pair -> why nothing is opened on it, "" when nothing stops it


def write_acknowledgement(directory: Path, acknowledged: Acknowledgement) -> None:
    """Replace the acknowledgement as a whole. The executor alone writes it."""
    write_atomically(directory / _FILE, json.dumps(acknowledged._asdict()))


def read_acknowledgement(directory: Path) -> Acknowledgement:
    """The newest acknowledgement; an empty one before the first."""
    try:
        return Acknowledgement(**json.loads((directory / _FILE).read_text()))
    except FileNotFoundError:
        return Acknowledgement()
