"""What the executor needs of a venue, whoever fills the orders.

``live`` speaks to the venue itself. A gateway that fills orders by walking recorded depth fits
behind the same contract: the process knows nothing else of a venue.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple, Protocol

from runtime.clock import Clock
from venues.contract import (
    Account,
    Fill,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Position,
    TimeInForce,
    Touch,
)


class Urgency(IntEnum):
    """Classes of orders, the one that goes first highest."""

    OPEN = 0
    CLOSE = 1
    CANCEL = 2
    HEDGE = 3  # a leg is naked


class Budget(Protocol):
    """What a venue's rate limits leave us. Asking spends nothing."""

    @property
    def opens_from_mono_ns(self) -> int:
        """When an order that opens a position may leave, should nothing more be spent until then."""

    def has_room(self, urgency: Urgency, now_mono_ns: int) -> bool:
        """Whether an order of this class may leave now. Always, for hedges and cancels."""


class NotSent(Exception):
    """The order was not sent: not a byte of it left. It does not exist at the venue."""


class LoginRefused(Exception):
    """The venue does not accept our credentials; trying again cannot help."""


class ReadyOrder(NamedTuple):
    """A signed order as the very bytes to write."""

    request: OrderRequest
    wire: bytes
    valid_until_unix_ms: int

    def __repr__(self) -> str:
        # The wire holds the signature, and over HTTP the API key.
        return f"ReadyOrder({self.request}, valid_until_unix_ms={self.valid_until_unix_ms})"


class Listener(Protocol):
    """Who hears what a gateway learns. Called on the event loop, never from inside ``send``."""

    def on_ack(self, venue: str, ack: OrderAck, recv_mono_ns: int) -> None:
        """The answer to a create, or IN_DOUBT as soon as none can come any more."""

    def on_report(
        self, venue: str, report: OrderUpdate | Fill | Position | Account, recv_mono_ns: int
    ) -> None:
        """News from the private stream."""

    def on_up(self, venue: str) -> None:
        """Logged in, and the private stream reports everything from now on."""

    def on_down(self, venue: str, reason: str) -> None:
        """The private stream is silent until the next ``on_up``."""


class OrderGateway(Protocol):
    """One account on one venue."""

    venue: str
    time_in_force: TimeInForce  # how this venue is taken from

    @property
    def is_up(self) -> bool:
        """The stream stands: what becomes of an order will be reported."""

    @property
    def can_ask(self) -> bool:
        """Logged in: questions reach the venue, whatever the stream does."""

    @property
    def can_send(self) -> bool:
        """An order would leave at once if it were sent now."""

    @property
    def closed(self) -> str:
        """Why the venue itself takes no order that opens now, in its own word; empty when it does."""

    @property
    def budget(self) -> Budget:
        """What the venue's rate limits leave us."""

    @property
    def clock(self) -> Clock:
        """The venue's clock as far as it is known: what is signed is stamped by it."""

    async def run(self) -> None:
        """Log in and stay logged in, until cancelled. Raises LoginRefused."""

    def sign(self, request: OrderRequest) -> ReadyOrder:
        """Render and sign, in any thread. Raises OffGrid, and NotSent before the first login."""

    def send(self, order: ReadyOrder) -> None:
        """Write it now. Raises NotSent when certainly not a byte left."""

    def count_sent(self, now_mono_ns: int) -> None:
        """Spend what an order that was written costs of the venue's rate limits."""

    async def query_order(self, ref: OrderRef) -> OrderUpdate | None:
        """The order as the venue knows it now. Raises TransportError or VenueError."""

    async def query_fills(self, ref: OrderRef, age_ms: int) -> list[Fill] | None:
        """Every execution of an order sent that long ago, as far as the venue lists them by now; None where
        it reports them with the order alone. Raises as above."""

    async def query_open_orders(self) -> list[OrderUpdate]:
        """Every open order of the account. Raises TransportError or VenueError."""

    async def query_positions(self) -> dict[int, int]:
        """Signed size_e8 by instrument_id of every leg, 0 where flat. Raises as above."""

    async def query_instruments(self) -> list[Instrument]:
        """The legs' contracts as the venue publishes them now. Raises as above."""

    async def query_margin(self) -> tuple[Account, list[Position]]:
        """The margin account and what is held. Raises as above."""

    async def query_touch(self, instrument: Instrument) -> Touch:
        """Best bid and ask without the feed. Raises as above."""

    async def cancel_order(self, ref: OrderRef) -> OrderAck:
        """Ask for a cancel. Raises as above."""
