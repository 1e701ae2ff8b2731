"""Funding rates: asked for once a minute where no key is needed, shown to the detector."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp

from events.event import Event
from events.positions import VenueLost
from runtime.clock import Clock
from settings import Settings
from shm.records import FundingView
from shm.slot import RecordSlots
from venues import registry
from venues.contract import TransportError, VenueError, VenueHosts
from venues.rest_client import perform

INTERVAL_S = 60.0  # rates move by the minute at most
_TIMEOUT_S = 5.0


class Funding:
    """The one writer of the ``funding`` slots. Missing rates grow old there; nobody waits for them."""

    def __init__(
        self,
        settings: Settings,
        slots: RecordSlots[FundingView],
        report: Callable[[Event], object],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._report = report
        self._clock = clock

    async def run(self, hosts: dict[str, VenueHosts]) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession() as session:
            while True:
                for venue, where in hosts.items():
                    await self._read(session, venue, where.rest_url)
                await asyncio.sleep(INTERVAL_S)

    async def _read(self, session: aiohttp.ClientSession, venue: str, rest_url: str) -> None:
        asked_mono_ns = self._clock.mono_ns()
        wanted = self._settings.instrument_ids(venue)
        try:
            call = registry.venue(venue).fetch_funding(wanted)
            rates = await perform(session, rest_url, call, timeout_s=_TIMEOUT_S)
        except (TransportError, VenueError) as error:
            self._report(VenueLost(venue=venue, what="funding", detail=str(error)))
            return
        for instrument_id, hourly_bps in rates:
            self._slots.write(instrument_id, FundingView(hourly_bps, asked_mono_ns))

    def close(self) -> None:
        self._slots.close()
