"""What must hold before anything is started: symbols, grids and sizes, asked of the venues.

Public REST only, no keys. Every problem found is reported at once, by configuration key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from math import lcm
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from events.instance import CostsAboveThresholds
from executor.pair.config import taker_fee_bps
from runtime.venue_hosts import venue_hosts
from settings import E8, PairSettings, Problem, Settings, SettingsError, parse_settings
from supervision.same_asset import asset_problems
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
        bids_e8 = asyncio.run(_fetch_bids(settings, found.values()))
        for number, pair in enumerate(settings.pairs):
            legs = found[2 * number], found[2 * number + 1]
            problems += pair_problems(number, pair, *legs)
            problems += notional_problems(number, pair, legs, bids_e8)
    if problems:
        raise SettingsError(source, problems)
    return tuple(found[number] for number in range(len(settings.legs)))


async def _fetch_bids(settings: Settings, instruments: Iterable[Instrument]) -> dict[int, int]:
    """Best bids of the instruments whose venue has a least notional, by instrument_id.

    Where nobody bids or answers there is none: then the first order tells.
    """
    bids_e8: dict[int, int] = {}
    async with aiohttp.ClientSession() as session:
        for item in instruments:
            if item.min_notional_e8:
                with suppress(VenueError, TransportError):
                    call = venue(item.venue).fetch_touch(item.symbol)
                    rest_url = venue_hosts(settings, item.venue).rest_url
                    touch = await perform(session, rest_url, call, timeout_s=_TIMEOUT_S)
                    bids_e8[item.instrument_id] = touch.bid_e8
    return bids_e8


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


def notional_problems(
    number: int, pair: PairSettings, legs: Sequence[Instrument], bids_e8: Mapping[int, int]
) -> list[Problem]:
    """Legs whose smallest entry is worth less than their venue takes, by its best bid where it is known."""
    layers = pair.strategy.layers
    least_e8 = pair.size_base_e8 // _parts(layers)
    why = f" with {layers} layers" if layers > 1 else ""
    return [
        Problem(
            f"pairs[{number}].size_base",
            f"{pair.size_base_e8 / E8:g}",
            f"makes orders{why} of {least_e8 * bid_e8 / E8**2:.2f} at {leg.venue}, whose smallest is "
            f"{leg.min_notional_e8 / E8:.2f} (at its bid of {bid_e8 / E8:g}): raise size_base",
        )
        for leg in legs
        if (bid_e8 := bids_e8.get(leg.instrument_id, 0)) and least_e8 * bid_e8 // E8 < leg.min_notional_e8
    ]


def _parts(layers: int) -> int:
    """Into how many parts a size is divided: layers are 1:4:9:16:25 of it, the first is the smallest."""
    return sum(layer * layer for layer in range(1, layers + 1))


def unpaid_costs(settings: Settings, instruments: Sequence[Instrument]) -> list[CostsAboveThresholds]:
    """What there is to say of pairs whose thresholds earn less than a round trip costs."""
    found = []
    for number, pair in enumerate(settings.pairs):
        strategy = pair.strategy
        legs = instruments[2 * number], instruments[2 * number + 1]
        fees_bps = round_trip_fees_bps(settings, legs)
        if detail := unpaid(pair, fees_bps + strategy.expected_slippage_bps):
            found.append(
                CostsAboveThresholds(
                    pair=pair.id,
                    fees_bps=round(fees_bps, 3),
                    slippage_bps=strategy.expected_slippage_bps,
                    entry_bps=strategy.entry_bps,
                    exit_bps=strategy.exit_bps,
                    detail=detail,
                )
            )
    return found


def round_trip_fees_bps(settings: Settings, legs: Sequence[Instrument]) -> float:
    """Both legs' taker fees, going in and coming out."""
    return 2 * sum(taker_fee_bps(settings, leg) for leg in legs)


def unpaid(pair: PairSettings, costs_bps: float) -> str:
    """Why a round trip that costs this much does not pay by the pair's thresholds, and what does; or ""."""
    strategy = pair.strategy
    gained_bps = strategy.entry_bps - strategy.exit_bps
    if strategy.entry_bps < costs_bps:
        return (
            f"a round trip costs {costs_bps:.2f} bps, above entry_bps {strategy.entry_bps:g}: that gap does "
            f"not pay; set entry_bps above {costs_bps:.2f}, and above what exit_bps gives back"
        )
    if gained_bps < costs_bps:
        return (
            f"a round trip costs {costs_bps:.2f} bps, and from entry_bps to exit_bps a trade gains "
            f"{gained_bps:g}: raise entry_bps or lower exit_bps"
        )
    return ""


def pair_problems(number: int, pair: PairSettings, first: Instrument, second: Instrument) -> list[Problem]:
    """What of the venues' contracts and grids this pair's configuration offends."""
    problems = asset_problems(number, pair, first, second)
    problems += [
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
    parts = _parts(layers)
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
