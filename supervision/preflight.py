"""Checks symbols, grids and sizes with the venues before anything is started.

Public REST only, no keys. Every problem found is reported at once, by configuration key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from events.instance import CostsAboveThresholds
from runtime.fees import taker_fee_bps
from runtime.venue_hosts import venue_hosts
from settings import E8, Leg, PairSettings, Problem, Settings, SettingsError, parse_settings
from supervision.same_asset import asset_problems
from venues.contract import Instrument, TransportError, VenueError, VenueHosts, common_lot_e8
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


class Loaded(NamedTuple):
    """Every leg's instrument by instrument_id, and the pairs on which nothing may be opened: why, by id."""

    instruments: tuple[Instrument, ...]
    suspended: dict[str, str]


def load_instruments(
    settings: Settings, source: str, *, is_any_held: Callable[[], bool], remembered: Sequence[Instrument] = ()
) -> Loaded:
    """Fetch the instruments from the venues. Raises SettingsError naming all that does not fit.

    Where a position may be open it does not raise, for a position without its executor is worse than a pair
    that cannot be opened: then pairs that do not fit are suspended, and the start goes on. What a venue does
    not list any more is taken from ``remembered``, of an earlier start.
    """
    found, problems = asyncio.run(_fetch_all(settings))
    legs_found = {number: item for number, item in found.items() if number < len(settings.legs)}
    missing = set(range(len(settings.legs))) - legs_found.keys()
    bids_e8 = asyncio.run(_fetch_bids(settings, legs_found.values()))
    problems += rate_problems(settings, found)
    for number, pair in enumerate(settings.pairs):
        if not missing & {2 * number, 2 * number + 1}:
            legs = found[2 * number], found[2 * number + 1]
            problems += pair_problems(number, pair, *legs)
            problems += quote_problems(settings, number, (legs[0].quote, legs[1].quote))
            problems += notional_problems(number, pair, legs, bids_e8)
    if not problems:
        return Loaded(tuple(found[number] for number in range(len(settings.legs))), {})
    is_unanswered = any(problem.key.startswith("venues.") or "…" in problem.key for problem in problems)
    if is_unanswered or not is_any_held():
        raise SettingsError(source, problems)
    known = {(item.venue, item.symbol): item for item in remembered}
    for number in missing:
        leg = settings.legs[number]
        last = known.get(leg) or _unknown(leg, settings.pairs[number // 2].base)
        found[number] = last._replace(instrument_id=number, is_trading=False)
    suspended: dict[str, str] = {}
    for number, pair in enumerate(settings.pairs):
        own = [problem for problem in problems if problem.key.startswith(f"pairs[{number}].")]
        rate = settings.rate_name(*(found[2 * number + leg].quote for leg in (0, 1)))
        own += [problem for problem in problems if problem.key == f"quote.{rate}"]
        if own:
            suspended[pair.id] = "; ".join(str(problem) for problem in own)
    return Loaded(tuple(found[number] for number in range(len(settings.legs))), suspended)


def _unknown(leg: Leg, base: str) -> Instrument:
    """A contract without description: its positions can be read by its name, and no order of it fits."""
    return Instrument(
        instrument_id=0,
        venue=leg.venue,
        symbol=leg.symbol,
        base=base,
        tick_e8=1,
        lot_e8=1,
        min_size_e8=1,
        min_notional_e8=0,
        max_size_e8=0,
        price_decimals=8,
        size_decimals=8,
        taker_fee_bps=0.0,
        is_trading=False,
    )


async def _fetch_bids(settings: Settings, instruments: Iterable[Instrument]) -> dict[int, int]:
    """Best bids of the instruments whose venue has a least notional, by instrument_id.

    An instrument without a bid or an answer has none: then the first order will show.
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
            wanted = settings.watched_ids(name)
            try:
                call = venue(name).fetch_instruments(wanted)
                instruments = await perform(session, rest_url, call, timeout_s=_TIMEOUT_S)
            except VenueError as error:
                if error.retry_after_ms is not None:
                    problems.append(Problem(_leg_key(settings, name), ", ".join(wanted), str(error), True))
                    continue
                singly, refused = await _fetch_singly(session, rest_url, settings, name)
                found.update(singly)
                problems += refused
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


async def _fetch_singly(
    session: aiohttp.ClientSession, rest_url: str, settings: Settings, name: str
) -> tuple[dict[int, Instrument], list[Problem]]:
    """Which symbols a venue knows, one by one, after it refused them together. Raises TransportError."""
    found: dict[int, Instrument] = {}
    problems: list[Problem] = []
    for symbol, number in settings.watched_ids(name).items():
        try:
            call = venue(name).fetch_instruments({symbol: number})
            for instrument in await perform(session, rest_url, call, timeout_s=_TIMEOUT_S):
                found[instrument.instrument_id] = instrument
        except VenueError as error:
            problems.append(Problem(_key_of(settings, number), symbol, str(error)))
    return found, problems


def _key_of(settings: Settings, instrument_id: int) -> str:
    """Where the configuration names an instrument."""
    if instrument_id < len(settings.legs):
        return f"pairs[{instrument_id // 2}].legs.{settings.legs[instrument_id].venue}"
    leg = settings.watched[instrument_id]
    return next(f"quote.{name}" for name, rate in settings.quote.items() if rate != "par" and rate.leg == leg)


def _leg_key(settings: Settings, venue: str) -> str:
    places = [
        number for number, pair in enumerate(settings.pairs) if venue in {leg.venue for leg in pair.legs}
    ]
    return f"pairs[{places[0]}].legs.{venue}" if len(places) == 1 else f"pairs[…].legs.{venue}"


def quote_problems(settings: Settings, number: int, quotes: tuple[str, str]) -> list[Problem]:
    """A problem where a pair's legs have two quote currencies without a configured rate."""
    if settings.compares(*quotes):
        return []
    pair = settings.pairs[number]
    names = "_per_".join(sorted((quote.lower() for quote in quotes), key=len, reverse=True))
    shown = ", ".join(f"{leg.venue} in {quote}" for leg, quote in zip(pair.legs, quotes, strict=True))
    remedy = f"say how they compare, one for one for example: quote: {{{names}: par}}"
    return [Problem(f"pairs[{number}].legs", shown, f"have prices in different currencies: {remedy}")]


def rate_problems(settings: Settings, found: Mapping[int, Instrument]) -> list[Problem]:
    """Live rates whose instrument does not tell that rate."""
    problems: list[Problem] = []
    for name, rate in settings.quote.items():
        instrument = None if rate == "par" else found.get(settings.rate_instrument_id(name))
        if rate == "par" or instrument is None:
            continue
        one, other = name.split("_per_")
        wanted, reverse = (other, one) if rate.inverse else (one, other)
        quote, shown = instrument.quote.lower(), f"{rate.venue}:{rate.symbol}"
        if instrument.is_delisted:
            problems.append(Problem(f"quote.{name}", shown, "is listed no more; name another instrument"))
        elif quote != wanted:
            remedy = (
                f"set inverse: {'false' if rate.inverse else 'true'}"
                if quote == reverse
                else f"name one in {wanted.upper()}, or one in {reverse.upper()} with inverse"
            )
            text = f"has its price in {instrument.quote}, and this rate is one in {wanted.upper()}: {remedy}"
            problems.append(Problem(f"quote.{name}", shown, text))
    return problems


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
    """One event for each pair whose thresholds earn less than a round trip costs."""
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
    """Where this pair's configuration does not fit the venues' contracts and grids."""
    problems = asset_problems(number, pair, first, second)
    problems += [
        Problem(
            f"pairs[{number}].legs.{leg.venue}",
            leg.symbol,
            f"is listed no more on {leg.venue}; take the pair out"
            if instrument.is_delisted
            else f"is not open for trading on {leg.venue} now; wait or take the pair out",
            may_pass=not instrument.is_delisted,
        )
        for leg, instrument in zip(pair.legs, (first, second), strict=True)
        if not instrument.is_trading
    ]
    problems += [
        Problem(
            f"pairs[{number}].legs.{leg.venue}",
            leg.symbol,
            f"is a spot pair, and Tandem trades perpetuals: name one such as {pair.base}; a spot pair can "
            "be the price of a quote rate (quote)",
        )
        for leg, instrument in zip(pair.legs, (first, second), strict=True)
        if instrument.is_spot
    ]
    lot_e8 = common_lot_e8(first, second)
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
