"""Chooses each venue's hosts by an instance's settings."""

from __future__ import annotations

from settings import Settings
from venues.contract import VenueHosts
from venues.registry import venue


def venue_hosts(settings: Settings, name: str) -> VenueHosts:
    """The venue's hosts: production's, unless the configuration names others."""
    chosen = settings.venue(name)
    return venue(name).hosts(
        rest_url=chosen.rest_url, public_ws_url=chosen.public_ws_url, private_ws_url=chosen.private_ws_url
    )
