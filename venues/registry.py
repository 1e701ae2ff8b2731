"""Finds a venue's package by its name: a venue is a folder here, and nothing else lists it.

Each ``venues/<name>/__init__.py`` offers ``MarketData``, ``Trading``, ``Credentials``,
``account_name``, ``fetch_instruments``, ``fetch_touch`` and ``PRODUCTION_HOSTS``, in the shapes of
``venues.contract``; where the venue tells them, also ``fetch_server_time_ms`` and ``fetch_system_state``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any, NamedTuple

from venues.contract import VenueHosts


class Secret(NamedTuple):
    """One credential of a venue: its environment variable and whether it must be there."""

    name: str
    field: str
    is_required: bool


def venue_module(venue: str) -> Any:
    """The venue's package. ModuleNotFoundError if there is none: settings have checked the name."""
    return import_module(f"venues.{venue}")


def secrets_of(venue: str) -> tuple[Secret, ...]:
    """The venue's credentials as environment variables: ``VEST_PRIMARY_PRIVATE_KEY``, …"""
    return tuple(
        Secret(f"{venue}_{field.name}".upper(), field.name, field.default is MISSING)
        for field in fields(venue_module(venue).Credentials)
    )


def credentials(venue: str, secrets: Mapping[str, str]) -> Any:
    """The venue's ``Credentials`` from secrets by environment name. KeyError if one is missing."""
    wanted = secrets_of(venue)
    values = {item.field: secrets[item.name] for item in wanted if item.is_required or item.name in secrets}
    return venue_module(venue).Credentials(**values)


def hosts(venue: str, *, rest_url: str = "", public_ws_url: str = "", private_ws_url: str = "") -> VenueHosts:
    """The venue's hosts; what is left empty is production's."""
    production: VenueHosts = venue_module(venue).PRODUCTION_HOSTS
    return VenueHosts(
        rest_url or production.rest_url,
        public_ws_url or production.public_ws_url,
        private_ws_url or production.private_ws_url,
    )
