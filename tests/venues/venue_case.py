"""What the conformance suite knows a venue by: the ``Venue`` itself, and samples of what it speaks.

Another venue is one more ``VenueCase`` in ``venue_cases``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from simulator.exchange import Exchange
from simulator.faults import Fault
from simulator.front import Front, SimulatedVenue
from venues.contract import (
    AccountOptions,
    FeedOptions,
    HttpResponse,
    Instrument,
    MarketData,
    OrderRequest,
    OrderStatus,
    Outcome,
    Trading,
    Venue,
    VenueHosts,
)

INSTRUMENT_ID = 7
NOW_UNIX_MS = 1_790_000_000_123


class Frame(NamedTuple):
    content: bytes
    is_binary: bool = False


class Effect(Enum):
    """What a public frame must lead to. There is no fifth way."""

    NEWS = "news"  # a top of book or a depth
    NAMED = "named"  # a fault says what was wrong
    ERROR = "error"  # FrameError, and nothing of it is used
    NO_NEWS = "no news"  # documented to say nothing about the market


class Answer(NamedTuple):
    """The venue's answer to a create, and what the contract calls it."""

    name: str
    answer: HttpResponse | Frame
    outcome: Outcome
    names_pause: bool = False  # after it, what was refused may be made again; doubt stays doubt


class OrderEvent(NamedTuple):
    """Private frames about the order of ``VenueCase.order``, and what they make of it."""

    name: str
    frames: Sequence[Frame]
    status: OrderStatus
    filled_e8: int | None  # of the last update; None where the venue does not say


class Strikes(NamedTuple):
    """Faults of the simulated venue, by what they do to the next create."""

    rate_limit: Fault
    doubt: Fault  # an answer that settles nothing
    lost_answer: Fault  # carried out, and no answer
    lost_push: Fault  # one message of the book never sent


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueCase:
    """One venue under test. Prices in builders are whole dollars, sizes one unit."""

    value: Venue[Any]
    symbol: str
    instrument: Instrument  # as ``listing`` describes it, under INSTRUMENT_ID
    order: OrderRequest  # a buy of that instrument, as the venue is taken from safely
    secrets: Sequence[str]  # keys and tokens of ``trading`` once it has logged in: never shown

    # --- without sockets ---
    environment: Mapping[str, str]  # the account's secrets, as ``value`` reads them
    login: Sequence[HttpResponse]  # answers to a login, with the tokens in ``secrets``
    renewal: Sequence[HttpResponse]
    listing: Sequence[HttpResponse]  # answers to the question for instruments
    refusal: HttpResponse  # of any call
    acknowledge: Callable[[bytes], Frame]  # the venue's reply to a request of a socket
    book: Callable[[int, int, int], Sequence[Frame]]  # bid, ask, message number; 0 is an empty side
    public_frames: Sequence[tuple[str, Frame, Effect]]
    is_no_news: Callable[[Mapping[str, Any]], bool]  # of a public JSON object: documented to be none
    create_answers: Sequence[Answer]
    order_events: Sequence[OrderEvent]
    private_rubbish: Sequence[Frame]

    # --- against the simulated venue ---
    simulator: SimulatedVenue
    front: Callable[[Exchange], Front]
    hosts: Callable[[int], VenueHosts]  # of the simulator's port
    strikes: Callable[[], Strikes]
    counts_messages: bool  # a lost message of the book shows, as a gap
    pings_by_itself: bool  # pings of the application, beside those of the protocol
    tells_partial_fills: bool  # of an order that was cancelled after a part of it
    late_ms: int  # an order signed so long ago is past its window

    @property
    def venue(self) -> str:
        return self.value.name

    def market_data(self, hosts: VenueHosts) -> MarketData:
        """The public protocol for ``symbol``."""
        return self.value.market_data(hosts, {self.symbol: INSTRUMENT_ID}, FeedOptions())

    def trading(self, hosts: VenueHosts) -> Trading:
        """The account's protocol, before its login."""
        return self.value.open_account(hosts, self.environment, AccountOptions())
