"""One Vest v2 account: REST conversations, order rendering, private stream.

The client order id travels as the order's ``nonce``; ``time`` is the moment of signing. Source:
Vest API v2 documentation; what it leaves open is in ``assumptions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlencode

import msgspec

from venues.contract import (
    Account,
    Call,
    Fill,
    HttpRequest,
    HttpResponse,
    Instrument,
    OrderAck,
    OrderRef,
    OrderRequest,
    OrderUpdate,
    Outcome,
    Position,
    PrivateEvent,
    Side,
    SignedOrder,
    TimeInForce,
    TransportError,
    VenueError,
    VenueHosts,
    check_grid,
    format_e8,
    parse_e8,
)
from venues.vest import instruments
from venues.vest.assumptions import (
    IOC_ORDER_TYPE,
    ORDER_LIMITS,
    ORDERS_PAGE_ROWS,
    RETRY_AFTER_MS,
    SEND_MARGIN_MS,
)
from venues.vest.errors import DUPLICATE, Request
from venues.vest.hosts import NAME
from venues.vest.messages import (
    AccountRow,
    OrderRow,
    PositionRow,
    order_update,
    report_e8,
    unsigned_e8,
)
from venues.vest.private_stream import PrivateStream
from venues.vest.responses import acknowledge, read
from venues.vest.session import VestCredentials, VestSession
from venues.vest.signing import encode_cancel, encode_order, sign_fields

_account_decoder = msgspec.json.Decoder(AccountRow)
_orders_decoder = msgspec.json.Decoder(list[OrderRow])


class VestTrading:
    """One account on Vest. See ``contract.Trading``.

    ``recv_window_ms`` is how long after signing the venue may still accept a request.
    Raises ValueError for keys that are none, without showing them.
    """

    venue: str = NAME
    create_transport: Literal["http", "ws"] = "http"
    # Documented, and all or nothing: Vest's CANCELLED events have no filled size.
    taker_time_in_force = TimeInForce.FOK
    order_limits = ORDER_LIMITS

    def __init__(
        self, hosts: VenueHosts, credentials: VestCredentials, *, recv_window_ms: int = 5_000
    ) -> None:
        if recv_window_ms <= 0:
            raise ValueError(f"vest: recv_window_ms {recv_window_ms} must be above 0")
        self._recv_window_ms = recv_window_ms
        self._session = VestSession(hosts, credentials)
        self._instruments: dict[str, int] = {}
        self._stream = PrivateStream(self._instruments)

    def __repr__(self) -> str:
        return f"VestTrading({self._session!r})"

    # --- session ---

    def fetch_instruments(self, wanted: Mapping[str, int]) -> Call[list[Instrument]]:
        """Grids of the wanted symbols (symbol -> instrument_id). VenueError if one is unknown."""
        found = yield from instruments.fetch_instruments(wanted)
        self._instruments.update(wanted)
        return found

    def login(self, now_unix_ms: int) -> Call[None]:
        """Register the signing key and get a listen key; see ``VestSession.login``."""
        yield from self._session.login(now_unix_ms)

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Prolong the listen key, and register anew where the key was refused or expires."""
        yield from self._session.renew(now_unix_ms)

    @property
    def renew_due_unix_ms(self) -> int:
        """When ``renew`` is due; see ``VestSession``."""
        return self._session.renew_due_unix_ms

    # --- reading ---

    def query_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """The order by the venue's id where we have it, else by nonce. None: not known *now*.

        A row that comes under the id and has another nonce is another order, and no answer either.
        """
        wanted = {"id": ref.venue_order_id} if ref.venue_order_id else {"nonce": str(ref.client_order_id)}
        rows = yield from self._fetch_orders(wanted, now_unix_ms)
        matching = [
            row
            for row in rows
            if _is_order(row, ref)
            # A rejected double is not the order it doubled.
            and not (row.status == "REJECTED" and row.code == DUPLICATE)
        ]
        if not matching:
            return None
        if len(matching) > 1:
            raise VenueError(
                NAME, "ambiguous", f"{len(matching)} orders have the nonce {ref.client_order_id}"
            )
        return _update(matching[0], ref.instrument.instrument_id)

    def query_fills(self, ref: OrderRef, since_unix_ms: int, now_unix_ms: int) -> Call[list[Fill] | None]:
        """Vest lists no executions: an order's row has its average price and its fees in sum."""
        return None
        yield  # a conversation that asks nothing

    def query_open_orders(self, now_unix_ms: int) -> Call[list[OrderUpdate]]:
        """Every open order on the known instruments.

        NEW is asked before PARTIALLY_FILLED, so an order that moves on between the two answers is
        seen twice, not missed; the later row counts.
        """
        known = self._known_instruments
        by_id: dict[str, OrderUpdate] = {}
        for status in ("NEW", "PARTIALLY_FILLED"):
            for row in (yield from self._fetch_every_order({"status": status}, now_unix_ms)):
                if row.status == status and row.symbol is not None and row.symbol in known:
                    by_id[row.id] = _update(row, known[row.symbol])
        return list(by_id.values())

    def _fetch_every_order(self, wanted: Mapping[str, str], now_unix_ms: int) -> Call[list[OrderRow]]:
        """All rows, page by page: a page is the newest 1000 up to ``endTime``."""
        rows: dict[str, OrderRow] = {}
        page_end: dict[str, str] = {}
        while True:
            page = yield from self._fetch_orders(
                {**wanted, **page_end, "limit": str(ORDERS_PAGE_ROWS)}, now_unix_ms
            )
            is_news = any(row.id not in rows for row in page)
            rows |= {row.id: row for row in page}
            if len(page) < ORDERS_PAGE_ROWS or not is_news:
                return list(rows.values())
            # The end is taken as inclusive, so rows of the same millisecond are met again, not lost.
            page_end = {"endTime": str(min(row.post_time or now_unix_ms for row in page))}

    def _fetch_orders(self, wanted: Mapping[str, str], now_unix_ms: int) -> Call[list[OrderRow]]:
        query = urlencode({**wanted, "time": now_unix_ms})
        response = yield from self._session.ask("GET", f"/orders?{query}")
        return read(response, _orders_decoder, "GET /orders")

    def query_positions(self, now_unix_ms: int) -> Call[list[Position]]:
        """Positions on the known instruments, from ``GET /account``; the stream reports none."""
        known = self._known_instruments
        account = yield from self._fetch_account(now_unix_ms)
        return [_position(row, known[row.symbol]) for row in account.positions if row.symbol in known]

    def query_account(self, now_unix_ms: int) -> Call[Account]:
        """Account value, withdrawable amount and maintenance margin, from ``GET /account``."""
        row = yield from self._fetch_account(now_unix_ms)
        try:
            return Account(
                value_e8=report_e8(row.total_account_value) or 0,
                free_e8=report_e8(row.withdrawable) or 0,
                maintenance_margin_e8=report_e8(row.total_maint_margin) or 0,
            )
        except ValueError as error:
            raise TransportError(f"{NAME}: GET /account: {error}") from None

    def _fetch_account(self, now_unix_ms: int) -> Call[AccountRow]:
        response = yield from self._session.ask("GET", f"/account?time={now_unix_ms}")
        return read(response, _account_decoder, "GET /account")

    @property
    def _known_instruments(self) -> Mapping[str, int]:
        if not self._instruments:
            raise RuntimeError("vest: no instruments are known: drive fetch_instruments() first")
        return self._instruments

    def query_closed(self) -> Call[str]:
        """Which of our symbols are not ``TRADING``. No state of the whole venue is published."""
        found = yield from instruments.fetch_instruments(self._known_instruments)
        halted = [item.symbol for item in found if not item.is_trading]
        return f"HALT {' '.join(halted)}" if halted else ""

    # --- acting ---

    def cancel_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderAck]:
        """Cancel by the venue's id, looked up by nonce first where we have none.

        IN_DOUBT when no usable answer came, and when the venue does not know the nonce (yet).
        VenueError when the venue refuses to look the order up.
        """
        try:
            venue_order_id = ref.venue_order_id
            if not venue_order_id:
                order = yield from self.query_order(ref, now_unix_ms)
                if order is None:
                    text = f"no order has the nonce {ref.client_order_id}"
                    return OrderAck(ref.client_order_id, Outcome.IN_DOUBT, text=text)
                venue_order_id = order.venue_order_id
            response = yield from self._session.ask(
                "POST", "/orders/cancel", self._render_cancel(venue_order_id, now_unix_ms)
            )
        except TransportError as error:
            return OrderAck(ref.client_order_id, Outcome.IN_DOUBT, ref.venue_order_id, text=str(error))
        ack = acknowledge(ref.client_order_id, response, Request.CANCEL, venue_order_id)
        return ack._replace(venue_order_id=venue_order_id)

    def _render_cancel(self, venue_order_id: str, now_unix_ms: int) -> bytes:
        encoded = encode_cancel(time_ms=now_unix_ms, nonce=now_unix_ms, venue_order_id=venue_order_id)
        order = {"time": now_unix_ms, "nonce": now_unix_ms, "id": venue_order_id}
        return self._render_signed(order, encoded)

    def _render_signed(self, order: Mapping[str, object], encoded: bytes) -> bytes:
        signature = sign_fields(self._session.signer, encoded)
        return msgspec.json.encode(
            {"order": order, "recvWindow": self._recv_window_ms, "signature": signature}
        )

    def sign_create(self, request: OrderRequest, now_unix_ms: int) -> SignedOrder:
        """Check the grid, render, sign. Raises OffGrid. The signed texts are the sent texts."""
        check_grid(request)
        instrument = request.instrument
        assert instrument.venue == NAME, "an order is signed for its own venue"
        is_ioc = request.time_in_force is TimeInForce.IOC
        order_type = IOC_ORDER_TYPE if is_ioc else "LIMIT"
        size = format_e8(request.size_e8, instrument.size_decimals)
        limit_price = format_e8(request.limit_price_e8, instrument.price_decimals)
        is_buy = request.side is Side.BUY
        encoded = encode_order(
            time_ms=now_unix_ms,
            nonce=request.client_order_id,
            order_type=order_type,
            symbol=instrument.symbol,
            is_buy=is_buy,
            size=size,
            limit_price=limit_price,
            reduce_only=request.reduce_only,
        )
        order: dict[str, object] = {
            "time": now_unix_ms,
            "nonce": request.client_order_id,
            "symbol": instrument.symbol,
            "isBuy": is_buy,
            "size": size,
            "orderType": order_type,
            "limitPrice": limit_price,
            "reduceOnly": request.reduce_only,
        }
        if not is_ioc:
            order["timeInForce"] = request.time_in_force.value
        return SignedOrder(
            request=request,
            wire=self._session.request("POST", "/orders", self._render_signed(order, encoded)),
            valid_until_unix_ms=now_unix_ms
            + self._recv_window_ms
            - min(SEND_MARGIN_MS, self._recv_window_ms // 2),
        )

    def create_over_http(self, wire: HttpRequest | bytes) -> HttpRequest:
        """The same request: v2 takes orders over HTTP alone."""
        assert isinstance(wire, HttpRequest), "v2 takes orders over HTTP alone"
        return wire

    def order_leaves(self, request: OrderRequest, wire: HttpRequest | bytes) -> None:
        """Answers come with their request here, so nothing has to be remembered."""

    def parse_create_response(self, request: OrderRequest, response: HttpResponse) -> OrderAck:
        """The answer to a create. A refused API key counts as "not now": the order may be sent again."""
        ack = acknowledge(request.client_order_id, response)
        if self._session.takes_grant(response) or ack.outcome is not Outcome.REFUSED:
            return ack
        return ack._replace(retry_after_ms=RETRY_AFTER_MS)  # with a new key, which is on its way

    # --- private stream ---

    def stream_url(self) -> str:
        """Complete URL, valid after ``login``. It holds the listen key: never log it."""
        return self._session.stream_url()

    def stream_refused(self, status: int) -> str:
        """There is nothing else to ask for."""
        return ""

    def stream_connected(self, now_mono_ns: int) -> None:
        """A new private connection stands: queue its subscription."""
        self._stream.connected(now_mono_ns)

    def stream_receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one private frame, text or binary alike. Raises FrameError."""
        self._stream.receive(frame, recv_mono_ns)

    def stream_tick(self, now_mono_ns: int) -> None:
        """Queue a ping when one is due."""
        self._stream.tick(now_mono_ns)

    def stream_take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first."""
        return self._stream.take_frames()

    def stream_take_events(self) -> list[PrivateEvent]:
        """Order updates and fills, oldest first."""
        return self._stream.take_events()


def _is_order(row: OrderRow, ref: OrderRef) -> bool:
    is_asked_for = ref.venue_order_id in ("", row.id)
    return is_asked_for and row.nonce == ref.client_order_id and row.symbol in (ref.instrument.symbol, None)


def _update(row: OrderRow, instrument_id: int) -> OrderUpdate:
    try:
        return order_update(row, instrument_id)
    except ValueError as error:
        raise TransportError(f"{NAME}: GET /orders: {error}") from None


def _position(row: PositionRow, instrument_id: int) -> Position:
    try:
        size_e8 = parse_e8(row.size)
        if size_e8 < 0:  # beside its side: which of the two is right would be a guess
            raise ValueError(f"a position of {row.size}, {'long' if row.is_long else 'short'}")
        return Position(
            instrument_id=instrument_id,
            size_e8=size_e8 if row.is_long else -size_e8,
            entry_price_e8=unsigned_e8(row.entry_price) or 0,
            mark_price_e8=unsigned_e8(row.mark_price) or 0,
            liquidation_price_e8=unsigned_e8(row.liq_price) or 0,
        )
    except ValueError as error:
        raise TransportError(f"{NAME}: GET /account: {error}") from None
