"""Reads the venue's messages about our orders, fills, positions and account into the contract's types.

The same objects come from REST and from the private channels as JSON, and from the private channels
as SBE on connections that ask for it; the documentation and the schema disagree about which, so all
are taken everywhere.

An order is never FILLED or CANCELLED in the venue's terms: it is ``CLOSED``, and ``cancel_reason``
with ``remaining_size`` show what happened. The published reasons are not all there are, so any reason
but "none" ends as cancelled unless it is one of the risk check's own.

Source: Paradex documentation, "WebSocket channels" and OpenAPI schemas, read in October 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from observability.redaction import redact
from venues.contract import (
    VENUE_ID_CHARS_MAX,
    Account,
    Fill,
    OrderStatus,
    OrderUpdate,
    Position,
    PrivateEvent,
    Side,
    VenueId,
)
from venues.paradex import sbe
from venues.paradex.messages import UNIX_US_BOUND, PayloadError, UnixMs, exact_e8, read_json, reported_e8

CLIENT_ORDER_ID_BOUND: Final = 2**53

# After these the order has never been in the book; they are verdicts of the risk check.
REJECT_REASONS: Final = frozenset(
    {"NOT_ENOUGH_MARGIN", "ORDER_EXCEEDS_POSITION_LIMIT", "POST_ONLY_WOULD_CROSS"}
)
_NO_REASON: Final = ("", "NONE")  # "NONE" on older feeds


class PrivateReader:
    """Turns the venue's private objects into events.

    instrument_ids: the venue's symbols to ours; it may grow while in use. What concerns another
    market gives None: it is not Tandem's. client_id_prefix: how our client ids begin.
    """

    def __init__(self, instrument_ids: Mapping[str, int], client_id_prefix: str) -> None:
        self._instrument_ids = instrument_ids
        self._client_id_start = client_id_prefix + "-"

    def client_id(self, client_order_id: int) -> str:
        """Return our id as the venue carries it, such as ``td-17``."""
        if not 0 < client_order_id < CLIENT_ORDER_ID_BOUND:
            raise ValueError(f"client order id {client_order_id} is not between 1 and 2**53 - 1")
        return f"{self._client_id_start}{client_order_id}"

    def client_order_id(self, client_id: str | None) -> int:
        """Return our id from the venue's text; 0 for an order that another program has named."""
        digits = (client_id or "").removeprefix(self._client_id_start)
        is_ours = digits != client_id and digits.isascii() and digits.isdigit() and len(digits) <= 16
        number = int(digits) if is_ours else 0
        return number if str(number) == digits and number < CLIENT_ORDER_ID_BOUND else 0

    # --- JSON ---

    def order(self, content: bytes | msgspec.Raw) -> OrderUpdate | None:
        """Raises PayloadError, as all of these do, if the object is not as documented."""
        return self._order(read_json(_ORDER_DECODER, content))

    def orders(self, content: bytes | msgspec.Raw) -> list[OrderUpdate]:
        """The orders of a page on our markets. Raises PayloadError."""
        updates = (self._order(order) for order in read_json(_ORDERS_DECODER, content).results)
        return [update for update in updates if update is not None]

    def order_in_history(self, content: bytes | msgspec.Raw, client_order_id: int) -> OrderUpdate | None:
        """Our order on a page of the history; None where the history has no such order and no other page."""
        page = read_json(_ORDERS_DECODER, content)
        ours = (order for order in page.results if self.client_order_id(order.client_id) == client_order_id)
        found = next((update for order in ours if (update := self._order(order)) is not None), None)
        if found is None and page.next:  # we asked by its name: there is no second page of one order
            raise PayloadError("a history that goes on without the order that was asked for")
        return found

    def fill(self, content: bytes | msgspec.Raw) -> Fill | None:
        """One execution; None on another market. Raises PayloadError."""
        return self._fill(read_json(_FILL_DECODER, content))

    def fills(self, content: bytes | msgspec.Raw) -> FillsPage:
        """The executions of a page on our markets, and where the next page begins. Raises PayloadError."""
        page = read_json(_FILLS_DECODER, content)
        fills = (self._fill(fill) for fill in page.results)
        return FillsPage([fill for fill in fills if fill is not None], page.next or "")

    def _fill(self, fill: _FillJson) -> Fill | None:
        instrument_id = self._instrument_ids.get(fill.market)
        if instrument_id is None:
            return None
        return Fill(
            fill_id=_name(fill.id),
            client_order_id=self.client_order_id(fill.client_id),
            venue_order_id=fill.order_id or "",
            instrument_id=instrument_id,
            side=Side[fill.side],
            price_e8=_positive(exact_e8(fill.price)),
            size_e8=_positive(exact_e8(fill.size)),
            fee_e8=reported_e8(fill.fee),
            venue_unix_ns=fill.created_at * 1_000_000,
            funding_e8=reported_e8(fill.realized_funding),
        )

    def position(self, content: bytes | msgspec.Raw) -> Position | None:
        """One position; None on another market. Raises PayloadError."""
        return self._position(read_json(_POSITION_DECODER, content))

    def positions(self, content: bytes | msgspec.Raw) -> list[Position]:
        """The positions on our markets; closed ones have size 0. Raises PayloadError."""
        positions = (self._position(one) for one in read_json(_POSITIONS_DECODER, content).results)
        return [position for position in positions if position is not None]

    def account(self, content: bytes | msgspec.Raw) -> Account:
        """The margin account. Raises PayloadError."""
        account = read_json(_ACCOUNT_DECODER, content)
        return Account(
            value_e8=reported_e8(account.account_value),
            free_e8=reported_e8(account.free_collateral),
            maintenance_margin_e8=reported_e8(account.maintenance_margin_requirement),
        )

    def _order(self, order: _OrderJson) -> OrderUpdate | None:
        return self._update(
            market=order.market,
            side=Side[order.side],
            client_id=order.client_id,
            venue_order_id=order.id,
            state=sbe.OrderStateCode[order.status],
            size_e8=exact_e8(order.size),
            remaining_e8=exact_e8(order.remaining_size),
            average_price_e8=reported_e8(order.avg_fill_price),
            reason=order.cancel_reason or "",
            unix_us=order.last_updated_at * 1_000,
        )

    def _position(self, position: _PositionJson) -> Position | None:
        instrument_id = self._instrument_ids.get(position.market)
        if instrument_id is None:
            return None
        signed_e8 = exact_e8(position.size)
        side = sbe.PositionSide[position.side]
        # Documented as signed beside its side. Where the two disagree the exposure is a guess.
        if side is sbe.PositionSide.LONG and signed_e8 < 0:
            raise PayloadError(f"a LONG position of {position.size}")
        return Position(
            instrument_id=instrument_id,
            size_e8=_signed(side, abs(signed_e8), is_closed=position.status == "CLOSED"),
            entry_price_e8=_price(reported_e8(position.average_entry_price)),
            mark_price_e8=0,  # not among the fields
            liquidation_price_e8=_price(reported_e8(position.liquidation_price)),
        )

    # --- SBE ---

    def event(self, message: sbe.Message) -> PrivateEvent | None:
        """The event of a binary private message; None for other markets and other messages."""
        if isinstance(message, sbe.AccountMessage):
            return Account(
                message.account_value_e8, message.free_collateral_e8, message.maintenance_margin_e8
            )
        if isinstance(message, sbe.OrderMessage):
            return self._update(
                market=message.market,
                side=Side[_enum(sbe.OrderSide, message.side).name],
                client_id=message.client_id,
                venue_order_id=_venue_id(message.venue_order_id),
                state=_enum(sbe.OrderStateCode, message.state),
                size_e8=message.size_e8,
                remaining_e8=message.remaining_e8,
                average_price_e8=message.average_price_e8 or 0,
                reason=message.cancel_reason,
                unix_us=message.updated_unix_us,
            )
        if not isinstance(message, sbe.FillMessage | sbe.PositionMessage):
            return None
        instrument_id = self._instrument_ids.get(message.market)
        if instrument_id is None:
            return None
        if isinstance(message, sbe.FillMessage):
            return Fill(
                fill_id=_name(message.fill_id),
                client_order_id=self.client_order_id(message.client_id),
                venue_order_id=_venue_id(message.venue_order_id),
                instrument_id=instrument_id,
                side=Side[_enum(sbe.OrderSide, message.side).name],
                price_e8=_positive(message.price_e8),
                size_e8=_positive(message.size_e8),
                fee_e8=message.fee_e8,
                venue_unix_ns=_unix_ns(message.created_unix_us),
                funding_e8=message.realized_funding_e8,
            )
        is_closed = _enum(sbe.PositionState, message.state) is sbe.PositionState.CLOSED
        return Position(
            instrument_id=instrument_id,
            size_e8=_signed(_enum(sbe.PositionSide, message.side), message.size_e8, is_closed=is_closed),
            entry_price_e8=_price(message.entry_price_e8),
            mark_price_e8=_price(message.mark_price_e8 or 0),
            liquidation_price_e8=_price(message.liquidation_price_e8 or 0),
        )

    def _update(
        self,
        *,
        market: str,
        side: Side,
        client_id: str | None,
        venue_order_id: str,
        state: sbe.OrderStateCode,
        size_e8: int,
        remaining_e8: int,
        average_price_e8: int,
        reason: str,
        unix_us: int,
    ) -> OrderUpdate | None:
        instrument_id = self._instrument_ids.get(market)
        if instrument_id is None:
            return None
        if not 0 <= remaining_e8 <= size_e8:
            raise PayloadError(f"order {venue_order_id[:40]}: {remaining_e8} of {size_e8} e8 remaining")
        filled_e8 = size_e8 - remaining_e8
        return OrderUpdate(
            client_order_id=self.client_order_id(client_id),
            venue_order_id=venue_order_id,
            instrument_id=instrument_id,
            status=_status(state, filled_e8, remaining_e8, reason),
            size_e8=size_e8,
            filled_e8=filled_e8,
            average_price_e8=_price(average_price_e8) or None,
            fee_e8=None,  # reported by the fills alone
            reason="" if reason in _NO_REASON else redact(reason),
            venue_unix_ns=_unix_ns(unix_us),
            side=side,
        )


def _status(state: sbe.OrderStateCode, filled_e8: int, remaining_e8: int, reason: str) -> OrderStatus:
    """NEW waits for the risk check and UNTRIGGERED for its price: both can still be executed."""
    if state is not sbe.OrderStateCode.CLOSED:
        return OrderStatus.OPEN
    if remaining_e8 == 0:
        return OrderStatus.FILLED
    if filled_e8 == 0 and reason in REJECT_REASONS:
        return OrderStatus.REJECTED
    return OrderStatus.CANCELLED


def _signed(side: sbe.PositionSide, size_e8: int, *, is_closed: bool) -> int:
    if size_e8 < 0 or (is_closed and size_e8):
        raise PayloadError(f"a position of {size_e8} e8, {'closed' if is_closed else 'open'}")
    return -size_e8 if side is sbe.PositionSide.SHORT else size_e8


def _positive(value_e8: int) -> int:
    if value_e8 <= 0:
        raise PayloadError(f"a fill with a price or size of {value_e8} e8")
    return value_e8


def _venue_id(order_id: str) -> str:
    """An order's id that has room in what is kept of it. Raises PayloadError."""
    if len(order_id) > VENUE_ID_CHARS_MAX:
        raise PayloadError(f"an order's id of {len(order_id)} characters")
    return order_id


def _name(fill_id: str) -> str:
    """A fill's own name. Without one the next such fill would pass for the same one repeated."""
    if not fill_id:
        raise PayloadError("a fill without an id")
    return fill_id


def _price(value_e8: int) -> int:
    """A price that may be 0 for "none"."""
    if value_e8 < 0:
        raise PayloadError(f"a price of {value_e8} e8")
    return value_e8


def _unix_ns(unix_us: int) -> int:
    if not 0 <= unix_us < UNIX_US_BOUND:
        raise PayloadError(f"time {unix_us} us")
    return unix_us * 1_000


_EnumT = TypeVar("_EnumT", bound=IntEnum)


def _enum(kind: type[_EnumT], code: int) -> _EnumT:
    try:
        return kind(code)
    except ValueError:  # 254 is the venue's "not representable"
        raise PayloadError(f"{kind.__name__} {code}") from None


class FillsPage(NamedTuple):
    """One page of the account's executions; ``next`` is the cursor of the following one, "" at the end."""

    fills: list[Fill]
    next: str


class _OrderJson(msgspec.Struct, frozen=True):
    id: VenueId
    market: str
    side: Literal["BUY", "SELL"]
    status: Literal["NEW", "UNTRIGGERED", "OPEN", "CLOSED"]
    size: str
    remaining_size: str
    avg_fill_price: str | None = None  # empty or "0" before the first fill
    cancel_reason: str | None = None
    client_id: str | None = None
    last_updated_at: UnixMs = 0


class _FillJson(msgspec.Struct, frozen=True):
    id: str
    market: str
    # Documented as the taker's side; every client takes it as the account's own, and so do we.
    side: Literal["BUY", "SELL"]
    price: str
    size: str
    # In the settlement asset: paying in another token is an option of each order, never used here.
    fee: str
    order_id: VenueId | None = None  # none for transfers and settlements
    client_id: str | None = None
    created_at: UnixMs = 0
    realized_funding: str = "0"


class _PositionJson(msgspec.Struct, frozen=True):
    market: str
    status: Literal["OPEN", "CLOSED"]
    side: Literal["LONG", "SHORT"]
    size: str
    average_entry_price: str | None = None
    liquidation_price: str | None = None


class _AccountJson(msgspec.Struct, frozen=True):
    account_value: str
    free_collateral: str
    maintenance_margin_requirement: str


class _OrdersJson(msgspec.Struct, frozen=True):
    results: list[_OrderJson]
    next: str | None = None


class _FillsJson(msgspec.Struct, frozen=True):
    results: list[_FillJson]
    next: str | None = None


class _PositionsJson(msgspec.Struct, frozen=True):
    results: list[_PositionJson]


_ORDER_DECODER: Final = msgspec.json.Decoder(_OrderJson)
_ORDERS_DECODER: Final = msgspec.json.Decoder(_OrdersJson)
_FILL_DECODER: Final = msgspec.json.Decoder(_FillJson)
_FILLS_DECODER: Final = msgspec.json.Decoder(_FillsJson)
_POSITION_DECODER: Final = msgspec.json.Decoder(_PositionJson)
_POSITIONS_DECODER: Final = msgspec.json.Decoder(_PositionsJson)
_ACCOUNT_DECODER: Final = msgspec.json.Decoder(_AccountJson)
