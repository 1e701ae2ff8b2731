"""Finds venues by name. A new venue is one folder, one case here, and one name in ``settings``."""

from __future__ import annotations

from typing import Any

from venues.contract import Venue


def venue(name: str) -> Venue[Any]:
    """The venue of a name. ValueError if there is none; settings have checked the name.

    Only the venue that is asked for is imported: a feed has no use for another venue's signatures.
    """
    match name:
        case "vest":
            from venues import vest

            return vest.VENUE
        case "paradex":
            from venues import paradex

            return paradex.VENUE
        case "hyperliquid":
            from venues import hyperliquid

            return hyperliquid.VENUE
        case _:
            raise ValueError(f"no venue is called {name!r}")
