"""Compares what the executor's repeated questions cost each venue with what the venue lets be asked."""

from __future__ import annotations

from executor.gateways.read_load import read_loads
from settings import Settings
from tools.doctor.finding import Finding, ok, warning


def look_at_read_loads(settings: Settings) -> list[Finding]:
    """One finding for each venue that publishes a budget; a warning where an interval is too short for it."""
    check = "request budget"
    return [
        warning(check, load.found, load.remedy) if load.remedy else ok(check, load.found)
        for load in read_loads(settings)
    ]
