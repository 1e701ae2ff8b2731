"""All fuzz targets by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verification.fuzz import hyperliquid, processes, simulators, venues
from verification.fuzz.target import Target

TARGETS: Final[Mapping[str, Target]] = {
    target.name: target
    for target in (*venues.TARGETS, *hyperliquid.TARGETS, *processes.TARGETS, *simulators.TARGETS)
}
