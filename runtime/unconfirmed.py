"""Carries what the venues did not confirm at a stop from the ending executor to the supervisor.

It is one small JSON file in the instance's memory directory, written as the executor's last step.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from runtime.atomic_file import write_atomically

_FILE = "unconfirmed.json"


def write_unconfirmed(directory: Path, what: Sequence[str]) -> None:
    """Write what was not confirmed, a short text each; an empty list says that all was confirmed."""
    write_atomically(directory / _FILE, json.dumps(list(what)))


def read_unconfirmed(directory: Path) -> list[str]:
    """What the executor wrote; empty when all was confirmed, or when it did not reach that step."""
    try:
        return [str(item) for item in json.loads((directory / _FILE).read_text())]
    except FileNotFoundError:
        return []
