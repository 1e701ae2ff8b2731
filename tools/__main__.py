"""Look at a running instance: ``python -m tools latency`` and ``python -m tools counters``.

Both attach read-only to the instance's memory and disturb nothing. ``--json`` prints one object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from settings import PROJECT, SettingsError, load_raw, parse_settings
from shm.segment import SegmentError
from tools.instance import Row, counter_rows, instance_directory, latency_rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit code 2 when there is no running instance to look at."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    parser.add_argument("command", choices=("latency", "counters"))
    parser.add_argument("-c", "--config", type=Path, default=PROJECT / "config.yaml")
    parser.add_argument("--memory", type=Path, help="memory directory, instead of the configuration's")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args(argv)
    try:
        directory = arguments.memory or instance_directory(
            parse_settings(load_raw(arguments.config), str(arguments.config))
        )
        rows = latency_rows(directory) if arguments.command == "latency" else counter_rows(directory)
    except (SettingsError, SegmentError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(_json(rows) if arguments.json else _table(rows))
    return 0


def _json(rows: Sequence[Row]) -> str:
    return json.dumps([row._asdict() for row in rows]) + "\n"


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return "nothing recorded yet\n"
    cells = [rows[0]._fields, *[[_text(value) for value in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines) + "\n"


def _text(value: str | int | float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    sys.exit(main())
