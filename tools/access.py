"""An account at a venue over REST alone: for commands that must work when nothing else does.

No shared memory, no process of ours, no stream: keys from where the executor has them, one connection
of its own, questions and orders as plain requests. Nothing here is fast, and nothing needs to be.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import aiohttp

from executor.accounts import make_trading
from runtime.clock import SystemClock, unix_ms
from runtime.venue_clock import VenueClock
from runtime.venue_hosts import venue_hosts
from settings import PROJECT, Problem, Settings, SettingsError
from venues import registry
from venues.contract import (
    Account,
    AccountDetails,
    Call,
    DescribesAccount,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Touch,
    VenueError,
)
from venues.rest_client import InsecureUrl, perform, require_secure

TIMEOUT_S = 5.0
T = TypeVar("T")


class VenueAccess:
    """One account. Every question raises TransportError or VenueError when it is not answered."""

    def __init__(
        self, settings: Settings, env_file: Path, venue: str, session: aiohttp.ClientSession
    ) -> None:
        """Raises SettingsError when keys or URLs do not allow it."""
        self.venue = venue
        self.instruments: dict[int, Instrument] = {}  # of the configured legs, by instrument_id; after login
        self._wanted = settings.instrument_ids(venue)
        self._session = session
        where = venue_hosts(settings, venue)
        self._rest_url = where.rest_url
        try:
            require_secure(where.rest_url)
            self._trading = make_trading(settings, env_file, venue, where, over_http=True)
        except KeyError as error:
            name = str(error.args[0])
            raise SettingsError(str(env_file), [Problem(name, "", "is missing: set it there")]) from None
        except (InsecureUrl, ValueError) as error:
            raise SettingsError(str(env_file), [Problem(f"venues.{venue}", "", str(error))]) from None
        self._clock = VenueClock(SystemClock())
        self.time_in_force = self._trading.taker_time_in_force

    async def login(self) -> None:
        found = await self._perform(self._trading.fetch_instruments(self._wanted))
        self.instruments = {item.instrument_id: item for item in found}
        await self._perform(self._trading.login(unix_ms(self._clock)))

    async def open_orders(self) -> list[OrderUpdate]:
        return await self._perform(self._trading.query_open_orders(unix_ms(self._clock)))

    async def account(self) -> Account:
        return await self._perform(self._trading.query_account(unix_ms(self._clock)))

    async def details(self) -> AccountDetails | None:
        """What the venue says of the account beside its money; None where it has nothing to say."""
        if not isinstance(self._trading, DescribesAccount):
            return None
        return await self._perform(self._trading.describe_account(unix_ms(self._clock)))

    async def positions_e8(self) -> dict[int, int]:
        """Signed size of every configured leg that is not flat, by instrument_id."""
        positions = await self._perform(self._trading.query_positions(unix_ms(self._clock)))
        return {
            item.instrument_id: item.size_e8
            for item in positions
            if item.size_e8 and item.instrument_id in self.instruments
        }

    async def cancel(self, update: OrderUpdate) -> OrderAck:
        instrument = self.instruments.get(update.instrument_id)
        if instrument is None:
            raise VenueError(self.venue, "", f"order {update.venue_order_id} is on no configured instrument")
        ref = OrderRef(update.client_order_id, instrument, update.venue_order_id)
        return await self._perform(self._trading.cancel_order(ref, unix_ms(self._clock)))

    async def touch(self, instrument: Instrument) -> Touch:
        call = registry.venue(self.venue).fetch_touch(instrument.symbol)
        return await self._perform(call)

    async def send(self, request: OrderRequest) -> OrderAck:
        """Send an order and return the direct answer. TransportError: it may have been executed."""
        return await self._perform(self._create(request))

    def _create(self, request: OrderRequest) -> Call[OrderAck]:
        signed = self._trading.sign_create(request, unix_ms(self._clock))
        self._trading.order_leaves(request, signed.wire)
        response = yield self._trading.create_over_http(signed.wire)
        return self._trading.parse_create_response(request, response)

    async def _perform(self, call: Call[T]) -> T:
        return await perform(self._session, self._rest_url, call, timeout_s=TIMEOUT_S, clock=self._clock)


def var_path(settings: Settings) -> Path:
    return PROJECT / settings.persistence.var_dir
