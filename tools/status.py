"""``python -m tools status``: one look at the running instance; ``--json`` for programs.

The first lines say what stops entries and how it ends. Exit code 1 while anything waits for a person: the
kill switch, a pause, a limit of the day, a halted pair, a process, a venue or one symbol of it away.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from enum import Enum
from typing import Any

import orjson
from rich.console import Console

from monitoring.instance import attach_arguments, attached_directory
from monitoring.obstacles import needs_person, obstacles_of
from monitoring.snapshot import PairShown, Watcher
from observability.standard_streams import for_drawing
from settings import load_raw, parse_settings
from tools.screen import draw

configure = attach_arguments


def run(arguments: argparse.Namespace) -> int:
    """Print one look; the exit code."""
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    snapshot = Watcher(settings, attached_directory(arguments)).read()
    if arguments.json:
        obstacles = [{**item._asdict(), "block": item.block.value} for item in obstacles_of(snapshot)]
        sys.stdout.buffer.write(orjson.dumps({**as_plain(snapshot), "obstacles": obstacles}) + b"\n")
    else:
        console = Console(file=for_drawing(sys.stdout), highlight=False)
        console.print(draw(snapshot, snapshot, [], console.width, console.height - 1))
    return int(needs_person(snapshot))


def as_plain(value: Any) -> Any:
    """Dataclasses, named tuples and enums as what JSON knows; a pair is named, its settings left out."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, PairShown):
        head = {"pair": value.settings.id, "phase": value.phase.name}
        names = (item.name for item in dataclasses.fields(value) if item.name != "settings")
        return {**head, **{name: as_plain(getattr(value, name)) for name in names}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: as_plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: as_plain(item) for name, item in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): as_plain(item) for name, item in value.items()}
    return value
