"""What must hold before anything is started: symbols, grids and sizes, asked of the venues.

Public REST only, no keys. Every problem found is reported at once, by configuration key.
"""

from __future__ import annotations

import asyncio
from math import lcm
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from runtime.venue_hosts import venue_hosts
from settings import E8, PairSettings, Problem, Settings, SettingsError, parse_settings
from venues.contract import Instrument, TransportError, VenueError, VenueHosts
from venues.registry import venue
from venues.rest_client import perform

_TIMEOUT_S = 10.0


def resolve(raw: Any, source: str) -> tuple[Settings, dict[str, Any]]:
    """Validate; in mode sim every venue is the simulator. Returns settings and what they came from.

    The simulator keeps each venue's own paths, so its URLs are production's on a loopback port.
    Raises SettingsError.
    """
    settings = parse_settings(raw, source)
    if settings.mode != "sim":
        return settings, raw
    ports = settings.simulator.ports
    venues = {
        name: {
            **(raw.get("venues") or {}).get(name, {}),
            **loopback_urls(venue(name).production_hosts, ports[name]),
        }
        for name in settings.venue_names
    }
    resolved = {**raw, "venues": venues}
    return parse_settings(resolved, source), resolved


def loopback_urls(production: VenueHosts, port: int) -> dict[str, str]:
    """The venue's URLs with scheme and host replaced."""
    return {
        name: urlunsplit(urlsplit(url)._replace(scheme=scheme, netloc=f"127.0.0.1:{port}"))
        for name, scheme, url in (
            ("rest_url", "http", production.rest_url),
            ("public_ws_url", "ws", production.public_ws_url),
            ("private_ws_url", "ws", production.private_ws_url),
        )
    }


def load_instruments(settings: Settings, source: str) -> tuple[Instrument, ...]:
    """Every leg's instrument by instrument_id. Raises SettingsError naming all that does not fit."""
    found, problems = asyncio.run(_fetch_all(settings))
    if not problems:
        problems = [
            problem
            for number, pair in enumerate(settings.pairs)
            for problem in pair_problems(number, pair, found[2 * number], found[2 * number + 1])
        ]
    if problems:
        raise SettingsError(source, problems)
    return tuple(found[number] for number in range(len(settings.legs)))


async def _fetch_all(settings: Settings) -> tuple[dict[int, Instrument], list[Problem]]:
    found: dict[int, Instrument] = {}
    problems: list[Problem] = []
    async with aiohttp.ClientSession() as session:
        for name in settings.venue_names:
            rest_url = venue_hosts(settings, name).rest_url
            wanted = settings.instrument_ids(name)
            try:
                call = venue(name).fetch_instruments(wanted)
                instruments = await perform(session, rest_url, call, timeout_s=_TIMEOUT_S)
            except VenueError as error:
                may_pass = error.retry_after_ms is not None
                problems.append(Problem(_leg_key(settings, name), ", ".join(wanted), str(error), may_pass))
            except TransportError as error:
                problems.append(
                    Problem(
                        f"venues.{name}.rest_url",
                        rest_url,
                        f"gives no answer ({error}); check the network and the venue's status",
                        may_pass=True,
                    )
                )
            else:
                found.update({instrument.instrument_id: instrument for instrument in instruments})
    return found, problems


def _leg_key(settings: Settings, venue: str) -> str:
    places = [
        number for number, pair in enumerate(settings.pairs) if venue in {leg.venue for leg in pair.legs}
    ]
    return f"pairs[{places[0]}].legs.{venue}" if len(places) == 1 else f"pairs[…].legs.{venue}"


def pair_problems(number: int, pair: PairSettings, first: Instrument, second: Instrument) -> list[Problem]:
    """What of the venues' grids this pair's configuration offends."""
    problems = [
        Problem(
            f"pairs[{number}].legs.{leg.venue}",
            leg.symbol,
            f"is not open for trading on {leg.venue} now; wait or take the pair out",
            may_pass=True,
        )
        for leg, instrument in zip(pair.legs, (first, second), strict=True)
        if not instrument.is_trading
    ]
    lot_e8 = lcm(first.lot_e8, second.lot_e8)
    least_e8 = max(first.min_size_e8, second.min_size_e8, lot_e8)
    least_e8 = -(-least_e8 // lot_e8) * lot_e8
    layers = pair.strategy.layers
    # Layers are sized 1:4:9:16:25 of the total; the first is the smallest.
    parts = sum(layer * layer for layer in range(1, layers + 1))
    key, shown = f"pairs[{number}].size_base", f"{pair.size_base_e8 / E8:g}"
    if pair.size_base_e8 % lot_e8:
        below = pair.size_base_e8 // lot_e8 * lot_e8
        problems.append(
            Problem(
                key,
                shown,
                f"is not on the common grid of {first.venue} (lot {first.lot_e8 / E8:g}) and {second.venue} "
                f"(lot {second.lot_e8 / E8:g}); nearest are {below / E8:g} and {(below + lot_e8) / E8:g}",
            )
        )
    elif pair.size_base_e8 < least_e8 * parts:
        why = f" with {layers} layers" if layers > 1 else ""
        problems.append(
            Problem(
                key, shown, f"is below the smallest order both venues take{why}: {least_e8 * parts / E8:g}"
            )
        )
    for instrument in (first, second):
        if instrument.max_size_e8 and pair.size_base_e8 > instrument.max_size_e8:
            problems.append(
                Problem(
                    key, shown, f"is above {instrument.venue}'s largest order {instrument.max_size_e8 / E8:g}"
                )
            )
    return problems
