"""One Paradex account: REST conversations, order rendering, and the private stream.

Orders go out over the private WebSocket (``order.create``), which saves a request's round of HTTP; a
REST create is the fallback (``create_transport="http"``). An answer to either means *queued for risk
checks*; the order's outcome is reported on ``orders``, in any order relative to the answer.

The private socket is a sequence, run anew on every connection because the venue remembers nothing of
the last: authenticate, wait for the reply, arm cancel-on-disconnect, subscribe, and only when the
venue has confirmed all of it, ``StreamReady``. The venue sends no initial state: reconcile by REST.

Source: Paradex documentation, OpenAPI and OpenRPC files, read in October 2026.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec
import orjson

from observability.redaction import redact
from venues.contract import (
    Account,
    Call,
    Fill,
    FrameError,
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
    RateLimit,
    SignedOrder,
    StreamReady,
    TimeInForce,
    TransportError,
    VenueError,
    VenueHosts,
    VenueId,
    check_grid,
)
from venues.paradex import rest, sbe
from venues.paradex.errors import ORDER_UNKNOWN, TOKEN_REFUSED, Request, ack_of_error, rule_rpc
from venues.paradex.hosts import NAME, Encoding
from venues.paradex.jsonrpc import (
    FIRST_SESSION_ID,
    SESSION_ID_STEP,
    Params,
    RpcMessage,
    id_of,
    parse_rpc,
    render_request,
)
from venues.paradex.messages import PayloadError, exact_e8, read_json
from venues.paradex.orders import DistinctTimestamps, create_params
from venues.paradex.private_stream import PrivateReader
from venues.paradex.session import ParadexCredentials, Session

CHANNELS: Final = ("orders.ALL", "fills.ALL", "positions", "account")
_FILLS_PAGE_ROWS: Final = 1_000  # the venue gives 5000 at most
_FILLS_PAGES_MAX: Final = 100
_SENT_KEPT: Final = 512
_RECV_WINDOW_MS_MIN: Final = 10  # as the venue documents it
_WRITE_MARGIN_MS: Final = 1_000  # for the way to the venue and its clock; half of a shorter validity


class ParadexTrading:
    """One account on Paradex.

    client_id_prefix: how the client ids of this instance begin; orders named otherwise, by a person
    or another program, are reported with ``client_order_id`` 0. recv_window_ms: how long after
    signing the venue may still take an order, which also bounds how long a presigned one is used. The
    venue's default of five minutes would let an order lost in a network act on a price long gone.
    """

    venue = NAME
    # The venue has no FOK, and IOC only with LIMIT, which is all we send.
    taker_time_in_force = TimeInForce.IOC
    # Creates and cancels, REST and WebSocket together. Source: documentation, "Rate limits".
    order_limits: tuple[RateLimit, ...] = (RateLimit(800, 1_000), RateLimit(17_250, 60_000))

    def __init__(
        self,
        hosts: VenueHosts,
        credentials: ParadexCredentials,
        *,
        client_id_prefix: str = "td",
        create_transport: Literal["http", "ws"] = "ws",
        recv_window_ms: int = 60_000,
        sbe: bool = True,
        schema_version: int = 2,
    ) -> None:
        if recv_window_ms < _RECV_WINDOW_MS_MIN:
            raise ValueError(f"recv_window_ms {recv_window_ms} is below the venue's {_RECV_WINDOW_MS_MIN}")
        if not (client_id_prefix.isascii() and client_id_prefix.isalnum() and len(client_id_prefix) <= 40):
            raise ValueError(f"client_id_prefix {client_id_prefix!r} is not 1 to 40 ASCII letters and digits")
        self.create_transport = create_transport
        self._encoding = Encoding(hosts.private_ws_url, sbe=sbe, schema_version=schema_version)
        self._recv_window_ms = recv_window_ms
        self._session = Session(credentials)
        self._instrument_ids: dict[str, int] = {}
        self._reader = PrivateReader(self._instrument_ids, client_id_prefix)
        self._timestamps = DistinctTimestamps(recv_window_ms)
        # What answers over the socket are held against; by client order id, the newest of them.
        self._sent: OrderedDict[int, OrderRequest] = OrderedDict()  # by client order id
        self._next_id = FIRST_SESSION_ID
        self._awaited: dict[int, str] = {}  # session requests of this connection without a reply
        self._frames: list[bytes] = []
        self._events: list[PrivateEvent] = []

    def __repr__(self) -> str:
        return f"ParadexTrading({self._session!r})"

    # --- REST conversations ---

    def fetch_instruments(self, wanted: Mapping[str, int]) -> Call[list[Instrument]]:
        """Grids of the wanted symbols (symbol -> instrument_id). VenueError if one is unknown."""
        instruments = yield from rest.fetch_instruments(wanted)
        self._instrument_ids.update(wanted)
        return instruments

    def login(self, now_unix_ms: int) -> Call[None]:
        """Read the chain's constants, onboard the account if it is new, get a token."""
        yield from self._session.login()

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Get a new token. Streams that stand stay authenticated by the old one."""
        yield from self._session.renew(now_unix_ms)

    @property
    def renew_due_unix_ms(self) -> int:
        """When the token must be renewed; see ``Session``."""
        return self._session.renew_due_unix_ms

    def query_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """The order by our id. None: the venue does not know it *now*; it may still appear.

        The open endpoint first, because it is the newest; it does not show closed orders, and by
        client id not even new ones, so the history has the last word. It also has it where the id that
        the venue is believed to have given turns out to be another order's.
        """
        self._know(ref.instrument)
        try:
            order = yield from self._session.ask(self._reader.order, "GET", self._order_path(ref))
            if order is not None and order.client_order_id == ref.client_order_id:
                return order
        except VenueError as error:
            if error.code not in ORDER_UNKNOWN:
                raise
        filters = {"client_id": self._reader.client_id(ref.client_order_id), "market": ref.instrument.symbol}
        path = f"/orders-history?{urlencode(filters)}"
        read = partial(self._reader.order_in_history, client_order_id=ref.client_order_id)
        return (yield from self._session.ask(read, "GET", path))

    def query_fills(self, ref: OrderRef, since_unix_ms: int, now_unix_ms: int) -> Call[list[Fill] | None]:
        """Every execution of an order: the market's fills since then, of which its own are picked out here,
        because the venue filters by market and time alone."""
        self._know(ref.instrument)
        found: list[Fill] = []
        filters: dict[str, str | int] = {
            "market": ref.instrument.symbol,
            "start_at": since_unix_ms,
            "page_size": _FILLS_PAGE_ROWS,
        }
        for _ in range(_FILLS_PAGES_MAX):
            path = f"/fills?{urlencode(filters)}"
            page = yield from self._session.ask(self._reader.fills, "GET", path)
            found += [fill for fill in page.fills if fill.client_order_id == ref.client_order_id]
            if not page.next:
                return found
            filters["cursor"] = page.next
        raise TransportError(f"{NAME}: GET /fills: more than {_FILLS_PAGES_MAX} pages")

    def query_open_orders(self, now_unix_ms: int) -> Call[list[OrderUpdate]]:
        """Every open order of the account on the known instruments."""
        return (yield from self._session.ask(self._reader.orders, "GET", "/orders"))

    def query_positions(self, now_unix_ms: int) -> Call[list[Position]]:
        """Positions on the known instruments; closed ones, size 0, may be among them."""
        return (yield from self._session.ask(self._reader.positions, "GET", "/positions"))

    def query_account(self, now_unix_ms: int) -> Call[Account]:
        """Account value, free collateral and maintenance margin, in USDC."""
        return (yield from self._session.ask(self._reader.account, "GET", "/account"))

    def query_closed(self) -> Call[str]:
        """``maintenance``, ``cancel_only`` or ``post_only``; empty when the system state is ``ok``."""
        state = yield from rest.fetch_system_state()
        return "" if state == "ok" else state

    def cancel_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderAck]:
        """Cancel by our own id where the venue's is not known yet.

        ACCEPTED means queued: the truth follows on the stream or by query.
        """
        try:
            yield from self._session.ask(_read_nothing, "DELETE", self._order_path(ref), status=204)
        except (VenueError, TransportError) as error:
            ack = ack_of_error(ref.client_order_id, error, Request.CANCEL)
            return ack._replace(venue_order_id=ref.venue_order_id)
        return OrderAck(ref.client_order_id, Outcome.ACCEPTED, ref.venue_order_id)

    def _order_path(self, ref: OrderRef) -> str:
        if ref.venue_order_id:
            return f"/orders/{quote(ref.venue_order_id, safe='')}"
        client_id = self._reader.client_id(ref.client_order_id)
        return f"/orders/by_client_id/{client_id}?market={quote(ref.instrument.symbol)}"

    def _know(self, instrument: Instrument) -> None:
        """An instrument we are asked about is ours: the stream reports on it from now on."""
        self._instrument_ids[instrument.symbol] = instrument.instrument_id

    # --- orders ---

    def sign_create(self, request: OrderRequest, now_unix_ms: int) -> SignedOrder:
        """Check the grid, render, sign. Raises OffGrid, or ValueError for FOK."""
        check_grid(request)
        if request.time_in_force is TimeInForce.FOK:
            raise ValueError(f"{NAME} has no FOK; use {self.taker_time_in_force.value}")
        assert request.instrument.venue == NAME, "an order is signed for its own venue"
        self._know(request.instrument)
        timestamp_ms = self._timestamps.take(now_unix_ms)
        params = create_params(
            request,
            signer=self._session.signer,
            client_id=self._reader.client_id(request.client_order_id),
            timestamp_ms=timestamp_ms,
            recv_window_ms=self._recv_window_ms,
        )
        margin_ms = min(_WRITE_MARGIN_MS, self._recv_window_ms // 2)
        valid_until_unix_ms = timestamp_ms + self._recv_window_ms - margin_ms
        if self.create_transport == "ws":
            frame = render_request(request.client_order_id, "order.create", params)
            return SignedOrder(request, frame, valid_until_unix_ms)
        # The end before the token: renewed in between by another thread, it is understated, never overstated.
        token_good_until = self._session.token_expires_unix_ms - _WRITE_MARGIN_MS
        wire = self._create_request(orjson.dumps(params))
        return SignedOrder(request, wire, min(valid_until_unix_ms, token_good_until))

    def order_leaves(self, request: OrderRequest, wire: HttpRequest | bytes) -> None:
        """Remember the order that answers on the socket are compared with."""
        self._sent[request.client_order_id] = request
        if len(self._sent) > _SENT_KEPT:
            self._sent.popitem(last=False)

    def create_over_http(self, wire: HttpRequest | bytes) -> HttpRequest:
        """The signature does not cover the way an order takes: the same parameters, another envelope."""
        if isinstance(wire, HttpRequest):
            return wire
        return self._create_request(bytes(_FRAME_DECODER.decode(wire).params))

    def _create_request(self, body: bytes) -> HttpRequest:
        headers = (self._session.authorization(), ("Content-Type", "application/json"))
        return HttpRequest("POST", "/orders", headers, body)

    def parse_create_response(self, request: OrderRequest, response: HttpResponse) -> OrderAck:
        """The answer to a create sent over HTTP."""
        try:
            order = rest.read_answer(_READ_CREATED_ORDER, response)
        except (VenueError, TransportError) as error:
            if isinstance(error, VenueError) and error.code in TOKEN_REFUSED:
                self._session.token_refused()
            return ack_of_error(request.client_order_id, error, Request.CREATE)
        return self._ack_of_created(request.client_order_id, order, request)

    # --- private stream ---

    def stream_url(self) -> str:
        """The same for every account; the token travels in the first frame, not in the URL."""
        return self._encoding.url

    def stream_refused(self, status: int) -> str:
        """Both encodings are read on any connection, so nothing else changes with the URL."""
        return self._encoding.refused(status)

    def stream_connected(self, now_mono_ns: int) -> None:
        """A new private connection stands: queue authentication; the rest follows its reply."""
        self._awaited.clear()
        self._frames.clear()
        self._request("auth", {"bearer": self._session.token})

    def stream_receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one private frame. Raises FrameError; never anything else.

        A refused session request is one too: without it the stream would not report everything.
        """
        try:
            if is_binary:
                message = sbe.decode(frame)
                self._report(self._reader.event(message) if message is not None else None)
            else:
                self._receive_text(parse_rpc(frame), recv_mono_ns)
        except PayloadError as error:
            answered = None if is_binary else id_of(frame)
            if (
                answered is not None and 0 < answered < FIRST_SESSION_ID
            ):  # to a create, and it settles nothing
                self._events.append(OrderAck(answered, Outcome.IN_DOUBT, text=str(error)))
                return
            raise FrameError(NAME, str(error), frame) from None

    def stream_tick(self, now_mono_ns: int) -> None:
        """Nothing is due: the venue pings on the protocol level, which the socket library answers."""

    def stream_take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first: session requests only, orders are written by the gateway."""
        frames, self._frames = self._frames, []
        return frames

    def stream_take_events(self) -> list[PrivateEvent]:
        """Acks of creates sent over the socket, order updates, fills, positions; oldest first."""
        events, self._events = self._events, []
        return events

    def _receive_text(self, message: RpcMessage, recv_mono_ns: int) -> None:
        if message.params is not None:
            self._receive_notification(message.params)
        elif message.id in self._awaited:
            self._receive_session_reply(message, self._awaited.pop(message.id), recv_mono_ns)
        elif message.id is not None and 0 < message.id < FIRST_SESSION_ID:
            self._events.append(self._create_ack(message.id, message))
        else:
            error = f": {message.error.code} {message.error.text}" if message.error else ""
            raise PayloadError(f"a reply to request {message.id}, never made{error}")

    def _receive_notification(self, params: Params) -> None:
        kind = params.channel.partition(".")[0]
        if kind == "orders":
            self._report(self._reader.order(params.data))
        elif kind == "fills":
            self._report(self._reader.fill(params.data))
        elif kind == "positions":
            self._report(self._reader.position(params.data))
        elif kind == "account":
            self._report(self._reader.account(params.data))
        else:
            raise PayloadError(f"a message on {params.channel[:60]!r}, never subscribed")

    def _receive_session_reply(self, message: RpcMessage, name: str, recv_mono_ns: int) -> None:
        if message.error is not None:
            if str(message.error.code) in TOKEN_REFUSED:
                self._session.token_refused()
            raise PayloadError(f"{name} refused: {message.error.code} {message.error.text}")
        if name == "auth":
            self._request("order.cancel_on_disconnect", {"enabled": True})
            for channel in CHANNELS:
                self._request("subscribe", {"channel": channel})
        elif not self._awaited:
            self._events.append(StreamReady(recv_mono_ns))

    def _create_ack(self, client_order_id: int, message: RpcMessage) -> OrderAck:
        request = self._sent.get(client_order_id)
        if message.error is None:
            order = read_json(_CREATED_DECODER, message.result).order
            return self._ack_of_created(client_order_id, order, request)
        error = message.error
        ruling = rule_rpc(error)
        return OrderAck(
            client_order_id,
            ruling.outcome if message.jsonrpc == "2.0" else Outcome.IN_DOUBT,
            code=str(error.code),
            text=error.text,
            retry_after_ms=ruling.retry_after_ms,
            is_of_grid=ruling.is_of_grid,
        )

    def _ack_of_created(
        self, client_order_id: int, order: _CreatedOrderJson, request: OrderRequest | None
    ) -> OrderAck:
        """Accepted, if the order in the answer is the one that was sent; otherwise nothing is settled."""
        named = self._reader.client_order_id(order.client_id) if order.client_id else client_order_id
        is_same = named == client_order_id and (
            request is None
            or (
                (order.market, order.side) == (request.instrument.symbol, request.side.name)
                and exact_e8(order.size) == request.size_e8
            )
        )
        if not is_same or not order.id:
            text = f"about another order: {order.client_id} {order.side} {order.size} {order.market}"
            return OrderAck(client_order_id, Outcome.IN_DOUBT, text=redact(text[:200]))
        return OrderAck(client_order_id, Outcome.ACCEPTED, order.id)

    def _report(self, event: PrivateEvent | None) -> None:
        if event is not None:
            self._events.append(event)

    def _request(self, method: str, params: dict[str, Any]) -> None:
        self._frames.append(render_request(self._next_id, method, params))
        self._awaited[self._next_id] = f"{method} {params['channel']}" if "channel" in params else method
        self._next_id += SESSION_ID_STEP


def _read_nothing(body: bytes) -> None:
    """A queued cancellation is answered with an empty body; a page says nothing about it."""
    if body:
        raise PayloadError(f"a body where none is documented: {body[:60]!r}")


class _CreatedOrderJson(msgspec.Struct, frozen=True):
    id: VenueId
    market: str
    side: str
    size: str
    client_id: str | None = None


class _CreatedJson(msgspec.Struct, frozen=True):
    order: _CreatedOrderJson


class _FrameJson(msgspec.Struct, frozen=True):
    params: msgspec.Raw


_FRAME_DECODER: Final = msgspec.json.Decoder(_FrameJson)
_READ_CREATED_ORDER: Final = rest.json_as(_CreatedOrderJson)
_CREATED_DECODER: Final = msgspec.json.Decoder(_CreatedJson)
