"""Finds the simulated venues: each is a folder here, and nothing else lists it.

``simulator/<venue>/__init__.py`` offers ``KIT``, a ``VenueKit``.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

import simulator
from simulator.front import VenueKit


def venue_kits() -> dict[str, VenueKit]:
    """Every simulated venue's parts, by venue, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(simulator.__path__) if module.ispkg)
    return {name: import_module(f"simulator.{name}").KIT for name in names}
