"""One Hyperliquid account: conversations, order rendering, and the stream of what becomes of orders.

Orders go out as posts over the WebSocket; ``POST /exchange`` is the second road, with the same signed bytes
and the same nonce, so the venue executes them at most once by whichever they arrive. That also lets doubt be
ended: an action that does nothing, with the nonce of an order nobody answered for, takes its place.

Source: the venue's documentation, "Exchange endpoint", "Info endpoint", "Nonces and API wallets", and
hyperliquid-python-sdk 0.24.0, read in November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import orjson

from venues.contract import (
    Account,
    AccountDetails,
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
    SignedOrder,
    TimeInForce,
    TransportError,
    VenueError,
    VenueHosts,
    check_grid,
)
from venues.hyperliquid import errors, instruments
from venues.hyperliquid.assumptions import (
    FILLS_SINCE_MS,
    ORDER_LIMITS,
    SCHEDULE_CANCEL_AFTER_MS,
    SEND_MARGIN_MS,
)
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.messages import (
    NOOP_ACTION,
    ClearinghouseState,
    Executions,
    FillRow,
    OrderNews,
    OrderRow,
    OrderStatusAnswer,
    PerpetualRow,
    cancel_action,
    client_order_id,
    cloid_text,
    decode,
    executions_of,
    leverage_action,
    order_action,
    schedule_cancel_action,
)
from venues.hyperliquid.private_stream import PrivateStream, Sent, SentOrders, acknowledge
from venues.hyperliquid.responses import (
    SpotState,
    account_of,
    cancel_ack,
    position_of,
    reading,
    update_of,
    voided,
)
from venues.hyperliquid.rest import ask, exchange_request
from venues.hyperliquid.session import HyperliquidCredentials, Session


class _Post(msgspec.Struct):
    payload: msgspec.Raw


class _PostFrame(msgspec.Struct):
    request: _Post


_order_decoder: Final = msgspec.json.Decoder(OrderStatusAnswer)
_open_orders_decoder: Final = msgspec.json.Decoder(list[OrderRow])
_fills_decoder: Final = msgspec.json.Decoder(list[FillRow])
_state_decoder: Final = msgspec.json.Decoder(ClearinghouseState)
_spot_decoder: Final = msgspec.json.Decoder(SpotState)
_frame_decoder: Final = msgspec.json.Decoder(_PostFrame)


class HyperliquidTrading:
    """One account on Hyperliquid. See ``contract.Trading``.

    ``recv_window_ms`` is how long after signing the venue may still execute an action (``expiresAfter``).
    Raises ValueError for keys and addresses that are none, without showing a key.
    """

    venue: str = NAME
    create_transport: Literal["http", "ws"] = "ws"
    taker_time_in_force = TimeInForce.IOC  # there is no FOK
    order_limits = ORDER_LIMITS

    def __init__(
        self, hosts: VenueHosts, credentials: HyperliquidCredentials, *, recv_window_ms: int = 5_000
    ) -> None:
        if recv_window_ms <= 0:
            raise ValueError(f"{NAME}: recv_window_ms {recv_window_ms} must be above 0")
        self._ws_url = hosts.private_ws_url
        self._recv_window_ms = recv_window_ms
        self._session = Session(hosts, credentials)
        self._assets: dict[str, int] = {}  # coin -> the number actions know it by
        self._delisted: frozenset[str] = frozenset()
        self._instrument_ids: dict[str, int] = {}
        self._sent = SentOrders()
        self._stream = PrivateStream(self._instrument_ids, self._sent)

    def __repr__(self) -> str:
        return f"HyperliquidTrading({self._session!r})"

    # --- session ---

    def fetch_instruments(self, wanted: Mapping[str, int]) -> Call[list[Instrument]]:
        """Grids of the wanted coins (coin -> instrument_id). VenueError if one is unknown."""
        listing = yield from self._listing()
        found = yield from instruments.grids(wanted, listing)
        self._instrument_ids.update(wanted)
        return found

    def _listing(self) -> Call[list[PerpetualRow]]:
        """Asset ids are places in the listing, and differ between the networks."""
        listing = yield from instruments.fetch_listing()
        self._assets = {row.name: place for place, row in enumerate(listing)}
        self._delisted = frozenset(row.name for row in listing if row.isDelisted)
        return listing

    def login(self, now_unix_ms: int) -> Call[None]:
        """Find out whether our signatures will be taken for this account."""
        yield from self._session.login(now_unix_ms)

    def renew(self, now_unix_ms: int) -> Call[None]:
        """Look at request budget and listing, and set the dead man's switch anew where there may be one."""
        yield from self._session.renew(now_unix_ms)
        yield from self._listing()
        if self._session.may_schedule_cancel:
            action = schedule_cancel_action(now_unix_ms + SCHEDULE_CANCEL_AFTER_MS)
            yield from self._act(action, now_unix_ms)

    def describe_account(self, now_unix_ms: int) -> Call[AccountDetails]:
        """Agent, account mode, request budget and the account's own fee. RuntimeError before ``login``."""
        fee_bps = yield from instruments.fetch_taker_fee_bps(self._session.user)
        return AccountDetails(self._session.facts(now_unix_ms), fee_bps)

    @property
    def renew_due_unix_ms(self) -> int:
        return self._session.renew_due_unix_ms

    # --- reading ---

    def query_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """The order by our id, with what its fills add up to. None: the venue does not know it *now*."""
        found = yield from self._find(ref.client_order_id)
        if found is None:
            return None
        fills = Executions()
        if found.status != "open" and not found.status.endswith("ejected"):
            rows = yield from ask(
                _fills_decoder,
                "userFillsByTime",
                user=self._session.user,
                startTime=max(found.order.timestamp - FILLS_SINCE_MS, 0),
            )
            fills = reading(lambda: executions_of(rows, found.order.oid), "userFillsByTime")
        return reading(lambda: update_of(found, ref.instrument.instrument_id, fills), "orderStatus")

    def _find(self, number: int) -> Call[OrderNews | None]:
        answer = yield from ask(
            _order_decoder, "orderStatus", user=self._session.user, oid=cloid_text(number)
        )
        if answer.status == "unknownOid":
            return None
        found = answer.order
        if found is None or client_order_id(found.order.cloid) != number:
            whose = "names no order" if found is None else "names another order than was asked for"
            raise TransportError(f"{NAME}: orderStatus says {answer.status[:40]!r} and {whose}")
        return found

    def void_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderUpdate | None]:
        """End the doubt about an order that left here and that the venue does not know.

        An action that does nothing is sent with the order's nonce. Where it is taken, the order was never
        executed and never will be. Where the nonce is used or too old, nothing with it can arrive any more,
        and the venue's word about the order is its last: what it does not know then never ran. None where
        the order is not ours to void, or the venue's answer settles nothing.
        """
        sent = self._sent.get(ref.client_order_id)
        if sent is None:
            return None
        try:
            yield from self._act(NOOP_ACTION, now_unix_ms, nonce=sent.nonce)
        except VenueError as error:
            if error.code == errors.NONCE_TOO_LOW and (yield from self._find(ref.client_order_id)) is None:
                return voided(ref, sent.size_e8)
            if error.code == errors.DUPLICATE_NONCE:
                return (yield from self.query_order(ref, now_unix_ms))
            return None
        return voided(ref, sent.size_e8)

    def query_fills(self, ref: OrderRef, since_unix_ms: int, now_unix_ms: int) -> Call[list[Fill] | None]:
        """Nothing of their own: an order that is asked for comes with what its executions sum up to."""
        return None
        yield  # a conversation that asks nothing

    def query_open_orders(self, now_unix_ms: int) -> Call[list[OrderUpdate]]:
        """Every open order of the account on the known instruments."""
        known = self._known_instruments
        rows = yield from ask(_open_orders_decoder, "openOrders", user=self._session.user)
        return reading(
            lambda: [
                update_of(OrderNews(row, "open", row.timestamp), known[row.coin], Executions())
                for row in rows
                if row.coin in known
            ],
            "openOrders",
        )

    def query_positions(self, now_unix_ms: int) -> Call[list[Position]]:
        known = self._known_instruments
        state = yield from self._state()
        return reading(
            lambda: [
                position_of(entry.position, known[entry.position.coin])
                for entry in state.assetPositions
                if entry.position.coin in known
            ],
            "clearinghouseState",
        )

    def query_account(self, now_unix_ms: int) -> Call[Account]:
        """The cross margin account. With one balance for everything, the money is the USDC held on spot."""
        state = yield from self._state()
        spot = None
        if self._session.is_unified:
            spot = yield from ask(_spot_decoder, "spotClearinghouseState", user=self._session.user)
        return reading(lambda: account_of(state, spot), "clearinghouseState")

    def _state(self) -> Call[ClearinghouseState]:
        return (yield from ask(_state_decoder, "clearinghouseState", user=self._session.user))

    @property
    def _known_instruments(self) -> Mapping[str, int]:
        if not self._instrument_ids:
            raise RuntimeError(f"{NAME}: no instruments are known: drive fetch_instruments() first")
        return self._instrument_ids

    def query_closed(self) -> Call[str]:
        """What the venue says is special, a delisted coin of ours, or a budget or an agent at its end."""
        state = yield from instruments.fetch_system_state()
        if state != "ok":
            return state
        halted = sorted(self._delisted & self._known_instruments.keys())
        return f"DELISTED {' '.join(halted)}" if halted else self._session.closed()

    # --- acting ---

    def _act(
        self, action: dict[str, Any], now_unix_ms: int, *, nonce: int | None = None
    ) -> Call[errors.ActionAnswer]:
        """Carry out an action over HTTP. VenueError when it was refused as a whole."""
        if nonce is None:
            nonce = self._session.next_nonce(now_unix_ms)
        response = yield exchange_request(orjson.dumps(self._session.sign(action, nonce)))
        answer = errors.read(response, errors.ANSWER_DECODER, str(action["type"]))
        if refusal := reading(lambda: answer.refusal, str(action["type"])):
            raise errors.venue_error(errors.of_action(refusal), refusal)
        return answer

    def set_leverage(self, instrument: Instrument, leverage: int, now_unix_ms: int) -> Call[int]:
        """Set the leverage of one coin, cross margin, and return it. VenueError when it is refused."""
        yield from self._act(leverage_action(self._asset(instrument), leverage), now_unix_ms)
        return leverage

    def cancel_order(self, ref: OrderRef, now_unix_ms: int) -> Call[OrderAck]:
        """Cancel by our id. REFUSED: it is not open, whatever became of it."""
        number = ref.client_order_id
        action = cancel_action(self._asset(ref.instrument), cloid_text(number))
        body = orjson.dumps(self._session.sign(action, self._session.next_nonce(now_unix_ms)))
        try:
            response = yield exchange_request(body)
        except TransportError as error:
            return OrderAck(number, Outcome.IN_DOUBT, ref.venue_order_id, text=str(error))
        return cancel_ack(ref, response)

    def _asset(self, instrument: Instrument) -> int:
        asset = self._assets.get(instrument.symbol)
        if asset is None:
            assert self._session.user  # not logged in is the clearer error
            raise RuntimeError(f"{NAME}: {instrument.symbol} is unknown: drive fetch_instruments() first")
        return asset

    def sign_create(self, request: OrderRequest, now_unix_ms: int) -> SignedOrder:
        """Check the grid, render, sign. Raises OffGrid."""
        assert self._session.user
        check_grid(request)
        action = order_action(request, self._asset(request.instrument))
        nonce = self._session.next_nonce(now_unix_ms)
        expires_unix_ms = now_unix_ms + self._recv_window_ms
        signed = self._session.sign(action, nonce, expires_unix_ms=expires_unix_ms)
        number = request.client_order_id
        frame = {"method": "post", "id": number, "request": {"type": "action", "payload": signed}}
        wire = orjson.dumps(frame)
        self._sent.signed(wire, Sent.of(request, nonce))
        margin_ms = min(SEND_MARGIN_MS, self._recv_window_ms // 2)
        return SignedOrder(request, wire, expires_unix_ms - margin_ms)

    def order_leaves(self, request: OrderRequest, wire: HttpRequest | bytes) -> None:
        """Remember which nonce the order has: the one that can be used up in its place."""
        assert isinstance(wire, bytes), "orders are posts over the socket"
        self._sent.leaves(request.client_order_id, wire)

    def create_over_http(self, wire: HttpRequest | bytes) -> HttpRequest:
        """The same signed action as a request: by whichever road it comes, it is executed at most once."""
        assert isinstance(wire, bytes), "orders are posts over the socket"
        return exchange_request(bytes(_frame_decoder.decode(wire).request.payload))

    def parse_create_response(self, request: OrderRequest, response: HttpResponse) -> OrderAck:
        number = request.client_order_id
        if not 200 <= response.status < 300:
            wait_ms = errors.retry_after_ms(response)
            return errors.http_ack(number, response.status, errors.excerpt_of(response), wait_ms)
        try:
            ack = acknowledge(number, decode(errors.ANSWER_DECODER, response.body))
        except ValueError as error:
            return OrderAck(number, Outcome.IN_DOUBT, code=str(response.status), text=str(error))
        # Here no update follows the answer: nothing was filled, and nothing stands.
        return ack._replace(outcome=Outcome.REFUSED) if ack.code == errors.IOC_FOUND_NOTHING else ack

    # --- private stream ---

    def stream_url(self) -> str:
        assert self._session.user
        return self._ws_url

    def stream_refused(self, status: int) -> str:
        """There is nothing else to ask for."""
        return ""

    def stream_connected(self, now_mono_ns: int) -> None:
        self._stream.connected(self._session.user, now_mono_ns)

    def stream_receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError; never anything else."""
        self._stream.receive(frame, is_binary, recv_mono_ns)

    def stream_tick(self, now_mono_ns: int) -> None:
        self._stream.tick(now_mono_ns)

    def stream_take_frames(self) -> list[bytes]:
        return self._stream.take_frames()

    def stream_take_events(self) -> list[PrivateEvent]:
        return self._stream.take_events()
