"""Rows of named tuples as a table for people or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def as_json(rows: Sequence[Any]) -> str:
    """One JSON array of objects, one per named tuple."""
    return json.dumps([row._asdict() for row in rows]) + "\n"


def as_table(rows: Sequence[Any], *, left: int = 2) -> str:
    """A column per field, the first ``left`` columns flush left and the others right."""
    if not rows:
        return "nothing recorded yet\n"
    cells = [rows[0]._fields, *[[_text(value) for value in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if column < left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines) + "\n"


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
