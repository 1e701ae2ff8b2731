"""Finds the simulated venues: each is a folder here, and nothing else lists it.

``simulator/<venue>/__init__.py`` offers ``VENUE``, a ``SimulatedVenue``.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import simulator
from simulator.front import SimulatedVenue


def simulated_venues() -> dict[str, SimulatedVenue]:
    """Every simulated venue's parts, by venue, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(simulator.__path__) if module.ispkg)
    return {name: import_module(f"simulator.{name}").VENUE for name in names}
