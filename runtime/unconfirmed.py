"""What a stop asked of the venues and they did not confirm: from the executor, which ends, to the supervisor.

One small JSON file in the instance's memory directory, written once, as the executor's last deed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_FILE = "unconfirmed.json"


def write_unconfirmed(directory: Path, what: Sequence[str]) -> None:
    """Leave what was not confirmed, a few words each; nothing at all is a word, too."""
    new = directory / f"{_FILE}.new"
    new.write_text(json.dumps(list(what)))
    new.rename(directory / _FILE)


def read_unconfirmed(directory: Path) -> list[str]:
    """What the executor left; empty when it confirmed everything, or did not come to its end."""
    try:
        return [str(item) for item in json.loads((directory / _FILE).read_text())]
    except FileNotFoundError:
        return []
