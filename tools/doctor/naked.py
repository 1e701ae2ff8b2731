"""Compares how long a leg may be unhedged when a request is lost with what the configuration asks for."""

from __future__ import annotations

from executor.pair.config import compare_naked_bound
from settings import Settings
from tools.doctor.finding import Finding, ok, warning


def look_at_naked_bound(settings: Settings) -> Finding:
    """A warning where ``execution.max_naked_ms`` is less than what these settings can keep."""
    found, remedy = compare_naked_bound(settings)
    return warning("naked legs", found, remedy) if remedy else ok("naked legs", found)
