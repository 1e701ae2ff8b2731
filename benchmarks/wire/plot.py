"""A bar chart as SVG, without a plotting library: one bar per variant from p50 to p99."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import log10
from pathlib import Path
from typing import Final

_ROW, _LEFT, _WIDTH, _TOP = 26, 230, 620, 40
_LOW_US, _HIGH_US = 10.0, 1_000_000.0
_COLOURS: Final = {"tandem": "#1f77b4", "asyncio": "#d62728", "ccxt": "#7f7f7f"}


def draw(path: Path, rows: Mapping[str, Mapping[str, float]]) -> Path:
    """Write the chart; each row has ``p50``, ``p90`` and ``p99`` in microseconds."""
    height = _TOP + _ROW * len(rows) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 140}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">frame leaves the venue → both orders at the venues, µs '
        "(bar: p50 to p99, mark: p90, logarithmic)</text>",
    ]
    decade = _LOW_US
    while decade <= _HIGH_US:
        x = _x(decade)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP - 8}" y2="{height - 30}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{height - 14}" text-anchor="middle">{decade:,.0f}</text>')
        decade *= 10
    for number, (name, row) in enumerate(rows.items()):
        y = _TOP + number * _ROW
        left, mark, right = (_x(row[figure]) for figure in ("p50", "p90", "p99"))
        colour = next((shade for start, shade in _COLOURS.items() if name.startswith(start)), "#333")
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>')
        parts.append(
            f'<rect x="{left}" y="{y + 3}" width="{max(right - left, 2)}" height="14" fill="{colour}"/>'
        )
        parts.append(f'<line x1="{mark}" x2="{mark}" y1="{y + 1}" y2="{y + 19}" stroke="black"/>')
        parts.append(f'<text x="{right + 6}" y="{y + 14}">{row["p50"]:.0f} / {row["p99"]:.0f}</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
    return path


def _x(value_us: float) -> float:
    part = (log10(min(max(value_us, _LOW_US), _HIGH_US)) - log10(_LOW_US)) / (
        log10(_HIGH_US) - log10(_LOW_US)
    )
    return round(_LEFT + part * _WIDTH, 1)
