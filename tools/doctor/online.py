"""The venues: how far away they are, what time they have, what they say of themselves and of our account."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import aiohttp

from executor.risk.clock_watch import LIMIT_NS
from runtime.fees import taker_fee_bps
from runtime.venue_hosts import venue_hosts
from settings import E8, Settings, SettingsError
from supervision.preflight import pair_problems, rate_problems
from tools.access import VenueAccess
from tools.doctor.finding import Finding, from_settings_error, ok, problem, warning
from venues import registry
from venues.contract import (
    AccountDetails,
    Call,
    Instrument,
    TransportError,
    VenueError,
    common_lot_e8,
)
from venues.rest_client import InsecureUrl, perform

TIMEOUT_S: Final = 10.0
_OFFSET_WARNING_MS: Final = 250.0
_SLOW_MS: Final = 250.0
_APART_S: Final = 0.13
_DATE_MS: Final = 1_000.0  # a Date header has whole seconds
_FEE_BPS: Final = 0.001
T = TypeVar("T")


class Offset(NamedTuple):
    """A venue's clock minus ours: at least and at most, in milliseconds."""

    least_ms: float
    most_ms: float

    @property
    def middle_ms(self) -> float:
        return (self.least_ms + self.most_ms) / 2

    @property
    def doubt_ms(self) -> float:
        return (self.most_ms - self.least_ms) / 2


class _Sample(NamedTuple):
    round_trip_ms: float
    sent_unix_ms: float  # ours, when the request left
    venue_unix_ms: float  # the venue's; 0 when it sent none


class VenueLook:
    """Everything asked of one venue. ``instruments`` are of its configured legs, once they are known."""

    def __init__(self, settings: Settings, venue: str, session: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.instruments: dict[int, Instrument] = {}
        self._settings = settings
        self._session = session
        self._rest_url = venue_hosts(settings, venue).rest_url

    async def look(self, calls: int, env_file: Path, *, may_log_in: bool) -> list[Finding]:
        """Findings in the order of what they build on; a venue that does not answer has only one."""
        try:
            samples = await self._samples(calls)
        except (TransportError, InsecureUrl) as error:
            remedy = "look at the network and at the venue's status page"
            return [problem(self.venue, f"gives no answer: {error}", remedy)]
        findings = [self._reach(samples), await self._clock(samples)]
        findings += await self._state()
        findings += await self._grids()
        findings += await self._rates()
        if self._settings.mode != "paper" and self.instruments:
            findings += await self._account(env_file) if may_log_in else []
        return findings

    async def _samples(self, calls: int) -> list[_Sample]:
        """The first one connects. They are spread over a second, so that whole seconds bound it better."""
        samples = []
        for _ in range(calls + 1):
            samples.append(await self._sample(_ask_date(self.venue)))
            await asyncio.sleep(_APART_S)
        return samples

    async def _sample(self, call: Call[float]) -> _Sample:
        sent_unix_ms, began_s = time.time() * 1e3, time.perf_counter()
        venue_unix_ms = await self._perform(call)
        return _Sample((time.perf_counter() - began_s) * 1e3, sent_unix_ms, venue_unix_ms)

    def _reach(self, samples: Sequence[_Sample]) -> Finding:
        first, *others = [sample.round_trip_ms for sample in samples]
        p50_ms, max_ms = statistics.median(others), max(others)
        found = f"{len(others)} calls: p50 {p50_ms:.1f} ms, max {max_ms:.1f} ms; connecting {first:.0f} ms"
        check = f"{self.venue} reach"
        if p50_ms > _SLOW_MS:
            return warning(check, found, "run nearer to the venue: the other one's price will be gone")
        return ok(check, found)

    async def _clock(self, samples: Sequence[_Sample]) -> Finding:
        check = f"{self.venue} clock"
        fetch = registry.venue(self.venue).fetch_server_time_ms
        try:
            if fetch is not None:
                offset = offset_of([await self._sample(fetch())], 1.0)
            else:
                offset = offset_of([sample for sample in samples if sample.venue_unix_ms], _DATE_MS)
        except (TransportError, VenueError) as error:
            return warning(check, f"its time is unknown: {error}", "compare by hand: chronyc tracking")
        if offset is None:
            return warning(check, "its answers carry no usable time", "compare by hand: chronyc tracking")
        found = f"{offset.middle_ms:+.0f} ms against ours, give or take {offset.doubt_ms:.0f}"
        # Beyond this the executor opens nothing; an order's validity is counted in the venue's time.
        limit_ms = min(LIMIT_NS / 1e6, self._settings.execution.order_validity_ms / 2)
        if max(-offset.most_ms, offset.least_ms) > limit_ms:
            return problem(
                check, found, "set this machine's clock (chrony): orders would be refused as expired"
            )
        if max(-offset.most_ms, offset.least_ms) > _OFFSET_WARNING_MS:
            return warning(check, found, "look at this machine's clock: chronyc tracking")
        return ok(check, found)

    async def _state(self) -> list[Finding]:
        """Only where the venue publishes one state for all markets; ``_grids`` has each market's."""
        fetch = registry.venue(self.venue).fetch_system_state
        if fetch is None:
            return []
        check = f"{self.venue} state"
        try:
            state = await self._perform(fetch())
        except (TransportError, VenueError) as error:
            return [warning(check, f"is unknown: {error}", "look at the venue's status page")]
        if state != "ok":
            return [warning(check, state, "wait: nothing is opened until it is ok")]
        return [ok(check, state)]

    async def _grids(self) -> list[Finding]:
        check, settings = f"{self.venue} markets", self._settings
        try:
            found = await self._perform(
                registry.venue(self.venue).fetch_instruments(settings.instrument_ids(self.venue))
            )
        except (TransportError, VenueError) as error:
            return [problem(check, str(error), "correct the pairs' legs, or wait for the venue")]
        self.instruments = {item.instrument_id: item for item in found}
        findings = []
        for item in found:
            published_bps, configured_bps = item.taker_fee_bps, taker_fee_bps(settings, item)
            if abs(published_bps - configured_bps) > _FEE_BPS:
                text = (
                    f"{item.symbol}: taker fee {published_bps:g} bps published, {configured_bps:g} configured"
                )
                remedy = f"venues.{self.venue}.taker_fee_bps: auto, unless your account pays that"
                findings.append(warning(check, text, remedy))
            else:
                text = f"{item.symbol}: lot {item.lot_e8 / E8:g}, tick {item.tick_e8 / E8:g}"
                findings.append(ok(check, f"{text}, taker fee {published_bps:g} bps"))
        return findings

    async def _rates(self) -> list[Finding]:
        """The instruments here whose price is a quote rate: what it is in, and what it is now."""
        settings, findings = self._settings, []
        for name, rate in settings.quote.items():
            if rate == "par" or rate.venue != self.venue:
                continue
            check, number = f"{self.venue} quote rate", settings.rate_instrument_id(name)
            try:
                (found,) = await self._perform(
                    registry.venue(self.venue).fetch_instruments({rate.symbol: number})
                )
                touch = await self._perform(registry.venue(self.venue).fetch_touch(rate.symbol))
            except (TransportError, VenueError) as error:
                findings.append(problem(check, str(error), f"correct quote.{name}, or wait for the venue"))
                continue
            refused = [
                item for item in rate_problems(settings, {number: found}) if item.key == f"quote.{name}"
            ]
            text = f"{name}: {rate.symbol} at {touch.bid_e8 / E8:g} / {touch.ask_e8 / E8:g} {found.quote}"
            off_bps = 10_000 * abs((touch.bid_e8 + touch.ask_e8) / 2 - E8) / E8
            if refused:
                findings.append(problem(check, f"{text}, {refused[0].allowed}", f"correct quote.{name}"))
            elif off_bps > rate.max_off_par_bps:
                remedy = f"look whether it is the right instrument; quote.{name}.max_off_par_bps"
                findings.append(problem(check, f"{text}: too far from one for one, opens nothing", remedy))
            else:
                findings.append(ok(check, text))
        return findings

    async def _account(self, env_file: Path) -> list[Finding]:
        """Log in and read. Nothing is sent, changed or cancelled."""
        check = f"{self.venue} account"
        try:
            access = VenueAccess(self._settings, env_file, self.venue, self._session)
            await access.login()
            account = await access.account()
            positions, orders = await access.positions_e8(), await access.open_orders()
            details = await access.details()
        except SettingsError as error:
            return from_settings_error(check, error)
        except (TransportError, VenueError) as error:
            return [problem(check, f"does not take our keys: {error}", "look at keys, account and venue")]
        held = ", ".join(
            f"{self.instruments[number].symbol} {size_e8 / E8:+g}" for number, size_e8 in positions.items()
        )
        value, free, needed = (
            amount / E8 for amount in (account.value_e8, account.free_e8, account.maintenance_margin_e8)
        )
        found = (
            f"takes our keys; value {value:.2f}, free {free:.2f}, maintenance margin {needed:.2f};"
            f" {held or 'flat'}; {len(orders)} open orders"
        )
        if account.value_e8 <= 0:
            findings = [problem(check, found, "deposit: there is nothing to trade with")]
        else:
            findings = [ok(check, found)]
        return findings + (self._details(details) if details is not None else [])

    def _details(self, details: AccountDetails) -> list[Finding]:
        """The venue's own points, and what the account pays against what is reckoned with."""
        findings = []
        for fact in details.facts:
            check = f"{self.venue} {fact.what}"
            if not fact.remedy:
                findings.append(ok(check, fact.found))
            else:
                findings.append((problem if fact.stops_entries else warning)(check, fact.found, fact.remedy))
        if details.taker_fee_bps is not None:
            findings += [self._own_fee(item, details.taker_fee_bps) for item in self.instruments.values()]
        return findings

    def _own_fee(self, item: Instrument, own_bps: float) -> Finding:
        check = f"{self.venue} own fee"
        configured_bps = taker_fee_bps(self._settings, item)
        found = f"{item.symbol}: this account pays {own_bps:g} bps, {configured_bps:g} configured"
        if abs(own_bps - configured_bps) > _FEE_BPS:
            return warning(check, found, f"venues.{self.venue}.taker_fee_bps: {own_bps:g}")
        return ok(check, found)

    async def _perform(self, call: Call[T]) -> T:
        return await perform(self._session, self._rest_url, call, timeout_s=TIMEOUT_S)


async def look_at_venues(
    settings: Settings, env_file: Path, calls: int, *, may_log_in: bool
) -> tuple[list[Finding], dict[int, Instrument]]:
    """Every venue side by side, then what pairs make of both; instruments by instrument_id.

    ``may_log_in``: False beside a running instance. No venue says in writing that a second login leaves
    the first one's session alone.
    """
    async with aiohttp.ClientSession() as session:
        looks = [VenueLook(settings, venue, session) for venue in settings.venue_names]
        by_venue = await asyncio.gather(
            *(look.look(calls, env_file, may_log_in=may_log_in) for look in looks)
        )
    findings = [finding for venue in by_venue for finding in venue]
    instruments = {number: item for look in looks for number, item in look.instruments.items()}
    for number, pair in enumerate(settings.pairs):
        legs = instruments.get(2 * number), instruments.get(2 * number + 1)
        if legs[0] is not None and legs[1] is not None:
            found = pair_problems(number, pair, legs[0], legs[1])
            findings += [problem("pairs", str(item), "correct it in config.yaml") for item in found]
            if not found:
                lot = common_lot_e8(legs[0], legs[1]) / E8
                findings.append(ok("pairs", f"{pair.id}: size fits the common lot {lot:g}"))
    return findings, instruments


def offset_of(samples: Sequence[_Sample], grain_ms: float) -> Offset | None:
    """What all samples together allow. ``grain_ms``: a venue's time is the beginning of so long a span.

    The venue read its clock while a request was under way, we do not know when: half the round trip is the
    likeliest, all of it the doubt. None without samples, or where the samples contradict each other.
    """
    if not samples:
        return None
    least_ms = max(item.venue_unix_ms - item.sent_unix_ms - item.round_trip_ms for item in samples)
    most_ms = min(item.venue_unix_ms + grain_ms - item.sent_unix_ms for item in samples)
    return Offset(least_ms, most_ms) if least_ms <= most_ms else None


def _ask_date(venue: str) -> Call[float]:
    """The answer's ``Date`` in Unix milliseconds; 0 where it has none. Any status will do."""
    response = yield registry.venue(venue).warm_request
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp() * 1e3
    except ValueError:
        return 0.0
