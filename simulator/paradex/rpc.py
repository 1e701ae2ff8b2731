"""A WebSocket client's session: JSON-RPC requests in, replies and subscriptions out.

Source: Paradex documentation, WebSocket "JSON-RPC", session and order methods, error codes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

import orjson

from simulator.faults import Fault, FaultPlan
from simulator.orders import SimOrder
from simulator.paradex import messages
from simulator.paradex.channels import Channel, InvalidChannel, parse_channel
from simulator.paradex.errors import ApiError
from simulator.paradex.hub import JSON, Hub, private_topic
from simulator.paradex.market_feed import MarketFeed
from simulator.paradex.requests import order_market
from simulator.paradex.settings import ParadexSettings
from simulator.paradex.sockets import Socket
from simulator.paradex.tokens import Session, TokenMint
from simulator.paradex.trading import Admitted, OrderEntry

PARSE_ERROR, INVALID_REQUEST, NO_SUCH_METHOD, INVALID_PARAMS = -32700, -32600, -32601, -32602
INTERNAL_ERROR: Final = -32603
METHOD_ERROR: Final = 100  # order errors: the venue publishes no mapping of its REST codes
MALFORMED_BEARER, INVALID_BEARER, FORBIDDEN, RATE_LIMITED = 40110, 40111, 40300, 42901
NODE_ID: Final = "a1b2c3d4"

Params = Mapping[str, Any]
Reply = Callable[[dict[str, Any]], None]
Method = Callable[["RpcSession", Any, Reply, int], Awaitable[None]]


class RpcError(Exception):
    """A request is refused with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data

    @property
    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


class RpcSession:
    """One connection's authentication, subscriptions and orders."""

    def __init__(
        self,
        socket: Socket,
        *,
        order_entry: OrderEntry,
        hub: Hub,
        mint: TokenMint,
        feeds: Mapping[str, MarketFeed],
        faults: FaultPlan,
        settings: ParadexSettings,
    ) -> None:
        self.socket = socket
        self.session: Session | None = None
        self._order_entry = order_entry
        self._hub = hub
        self._mint = mint
        self._feeds = feeds
        self._faults = faults
        self._settings = settings
        self._subscriptions: dict[str, tuple[Channel, str, int]] = {}  # name -> channel, topic, encoding
        self._order_ids: set[str] = set()  # placed on this connection
        self._created_before = messages.STRANGERS_CREATED
        self._cancels_on_disconnect = False
        self._has_cancelled = False

    async def handle(self, data: str | bytes) -> None:
        """Answer one frame, now or when its acknowledgement is due."""
        received_us = self._now_us()
        try:
            request = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._send_error(0, RpcError(PARSE_ERROR, "Parse error"), received_us)
            return
        request_id = request.get("id", 0) if isinstance(request, dict) else 0
        try:
            await self._dispatch(request, request_id, received_us)
        except RpcError as error:
            self._send_error(request_id, error, received_us)
        except ApiError as error:
            self._send_error(request_id, _as_rpc_error(error), received_us)

    def ended(self, *, is_unexpected: bool) -> None:
        """The connection is gone: forget its subscriptions, cancel its orders if it asked for that."""
        for _, topic, encoding in self._subscriptions.values():
            if topic:
                self._hub.remove(topic, encoding, self.socket)
        self._subscriptions.clear()
        if self._cancels_on_disconnect and is_unexpected:
            self._has_cancelled = True
            self._order_entry.cancel_now(sorted(self._order_ids))

    @property
    def is_private(self) -> bool:
        return self.session is not None

    async def _dispatch(self, request: object, request_id: object, received_us: int) -> None:
        if not isinstance(request, dict) or not isinstance(request.get("method"), str):
            raise RpcError(INVALID_REQUEST, "Invalid Request")
        name = request["method"]
        method = METHODS.get(name)
        if method is None:
            raise RpcError(NO_SUCH_METHOD, "Method not found", "method does not exist")
        params = request.get("params") or {}
        fault = self._faults.take(f"ws.{name}", order_market(params))
        if fault is not None and fault.is_crossed and not fault.is_carried_out:
            self._send_result(request_id, self._created_before, received_us)
            return
        if fault is not None and fault.answers_instead and not fault.is_carried_out:
            raise _refusal(fault)

        def reply(result: dict[str, Any]) -> None:
            if fault is None:
                if name == "order.create":
                    self._created_before = result
                self._send_result(request_id, result, received_us)
            elif fault.is_crossed:
                self._send_result(request_id, self._created_before, received_us)
            elif not fault.drop_reply:
                self._send_faulty(request_id, result, received_us, fault)

        is_repeated = fault is not None and fault.duplicate
        if is_repeated and fault is not None and fault.answers_last:
            await self._unheard(method, params, received_us)
        await method(self, params, reply, received_us)
        if is_repeated and fault is not None and not fault.answers_last:
            await self._unheard(method, params, received_us)

    async def _unheard(self, method: Method, params: Any, received_us: int) -> None:
        """Carry out a request without sending its answer."""
        with suppress(ApiError, RpcError):
            await method(self, params, lambda result: None, received_us)

    # --- session methods ---

    async def _auth(self, params: Any, reply: Reply, received_us: int) -> None:
        bearer = _mapping(params).get("bearer")
        if not isinstance(bearer, str) or bearer.count(".") != 2:
            raise RpcError(MALFORMED_BEARER, "malformed bearer token")
        if self.session is not None:
            raise RpcError(INVALID_REQUEST, "already authenticated")
        try:
            self.session = self._mint.session(bearer)
        except ApiError as error:
            raise RpcError(INVALID_BEARER, "invalid bearer token", error.message) from None
        reply({"node_id": NODE_ID})

    async def _subscribe(self, params: Any, reply: Reply, received_us: int) -> None:
        channel = self._channel(params)
        if channel.name in self._subscriptions:
            raise RpcError(INVALID_REQUEST, "invalid subscribe request", "already subscribed")
        topic, encoding = self._route(channel)
        self._subscriptions[channel.name] = (channel, topic, encoding)
        reply({"channel": channel.name})
        if channel.kind == "deltas":
            self._feeds[channel.market].start_deltas(channel.name, encoding, self.socket)
        elif channel.kind == "snapshots":
            feed = self._feeds[channel.market]
            feed.start_snapshots(channel.name, channel.rate_ms, encoding, self.socket)
        elif topic:
            self._hub.add(topic, encoding, self.socket)

    async def _unsubscribe(self, params: Any, reply: Reply, received_us: int) -> None:
        name = _mapping(params).get("channel")
        subscription = self._subscriptions.pop(name, None) if isinstance(name, str) else None
        if subscription is None:
            raise RpcError(INVALID_REQUEST, "invalid unsubscribe request", "not subscribed")
        _, topic, encoding = subscription
        if topic:
            self._hub.remove(topic, encoding, self.socket)
        reply({"channel": name})

    def _channel(self, params: Any) -> Channel:
        try:
            channel = parse_channel(_mapping(params).get("channel"), self.socket.encoding, self._feeds)
        except InvalidChannel as invalid:
            raise RpcError(INVALID_REQUEST, "invalid subscribe request", invalid.data) from None
        if channel.is_private:
            self._account()
        if self.socket.encoding != JSON and channel.market:
            followed = (other.market for other, _, _ in self._subscriptions.values() if other != channel)
            if channel.market in followed:
                raise RpcError(INVALID_REQUEST, "invalid subscribe request", "cannot share an SBE session")
        return channel

    def _route(self, channel: Channel) -> tuple[str, int]:
        """Topic and encoding of a subscription; the topic of silent channels is empty."""
        if channel.kind == "silent":
            return "", JSON
        if channel.kind == "private":
            encoding = self.socket.encoding if self._settings.sbe_private else JSON
            return private_topic(channel.name, self._account().account), encoding
        return channel.name, self.socket.encoding

    # --- order methods ---

    async def _order_create(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        await self._order_entry.create(
            session, params, received_us, lambda order: reply(self._created(order, received_us))
        )

    async def _order_create_batch(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        # By the specification an object with "orders"; the venue's SDK sends the bare array.
        bodies = params.get("orders") if isinstance(params, dict) else params

        def acknowledge(admitted: list[Admitted]) -> None:
            reply({"results": [self._batch_entry(entry, received_us) for entry in admitted]})

        await self._order_entry.create_batch(session, bodies, received_us, acknowledge)

    async def _order_modify(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        body = _mapping(params)

        def acknowledge(order: SimOrder) -> None:
            reply({"order": self._order_body(order)})

        await self._order_entry.modify(session, body.get("id"), body, received_us, acknowledge)

    async def _order_cancel(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        body = _mapping(params)
        if body.get("id"):
            order = self._order_entry.find(session, body["id"])
        else:
            order = self._order_entry.find_by_client_id(session, body.get("client_id"))
        result = {"order_id": order.order_id, "status": "QUEUED_FOR_CANCELLATION"}
        self._order_entry.cancel(session, order, lambda: reply(result))

    async def _order_cancel_batch(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        body = _mapping(params)
        if body.get("client_order_ids"):
            raise RpcError(INVALID_PARAMS, "Invalid params", "client_order_ids: not currently supported")
        self._order_entry.cancel_batch(
            session, body.get("order_ids"), [], lambda results: reply({"results": results})
        )

    async def _order_cancel_all(self, params: Any, reply: Reply, received_us: int) -> None:
        session = self._account()
        self._order_entry.spend(session)
        market = _mapping(params).get("market") or None
        self._order_entry.cancel_all(session, market, lambda: reply({"status": "ok"}))

    async def _order_cancel_on_disconnect(self, params: Any, reply: Reply, received_us: int) -> None:
        self._account()
        enabled = _mapping(params).get("enabled")
        if not isinstance(enabled, bool):
            raise RpcError(INVALID_PARAMS, "Invalid params", "enabled: true or false")
        self._cancels_on_disconnect = enabled
        reply({"enabled": enabled})

    def _created(self, order: SimOrder, received_us: int) -> dict[str, Any]:
        self._order_ids.add(order.order_id)
        if self._has_cancelled:  # the connection broke between the request and its acknowledgement
            self._order_entry.cancel_now([order.order_id])
        return {
            "order": self._order_body(order),
            "created_at": order.created_unix_ns // 1_000_000,
            "received_at": received_us * 1000,  # ns here, unlike everywhere else
        }

    def _batch_entry(self, entry: Admitted, received_us: int) -> dict[str, Any]:
        if isinstance(entry, ApiError):
            return {"error": f"{entry.code}: {entry.message}"}
        return self._created(entry, received_us)

    def _order_body(self, order: SimOrder) -> dict[str, Any]:
        return messages.order(self._order_entry.feed.order_record(order))

    # --- replies ---

    def _account(self) -> Session:
        if self.session is None:
            raise RpcError(FORBIDDEN, "permission denied", "not authenticated")
        return self.session

    def _send_result(self, request_id: object, result: dict[str, Any], received_us: int) -> None:
        self._send({"jsonrpc": "2.0", "id": request_id, "result": result}, received_us)

    def _send_error(self, request_id: object, error: RpcError, received_us: int) -> None:
        self._send({"jsonrpc": "2.0", "id": request_id, "error": error.body}, received_us)

    def _send_faulty(
        self, request_id: object, result: dict[str, Any], received_us: int, fault: Fault
    ) -> None:
        """Send what a fault makes of the answer to a request that was carried out."""
        frame: dict[str, Any] = {"jsonrpc": "2.0", "id": request_id, "result": result}
        if fault.answers_instead:
            frame = {"jsonrpc": "2.0", "id": request_id, "error": _refusal(fault).body}
        send = partial(self._send, frame, received_us, fault)
        if fault.delay_ms:
            asyncio.get_running_loop().call_later(fault.delay_ms / 1000, send)
        else:
            send()

    def _send(self, frame: dict[str, Any], received_us: int, fault: Fault | None = None) -> None:
        sent_us = self._now_us()
        frame.update(usIn=received_us, usDiff=sent_us - received_us, usOut=sent_us)
        data = orjson.dumps(frame) + b"\n"
        self.socket.send(data if fault is None else fault.spoil(data), is_binary=False)

    def _now_us(self) -> int:
        return self._order_entry.exchange.now_unix_ns() // 1000


METHODS: Final[Mapping[str, Method]] = {
    "auth": RpcSession._auth,
    "subscribe": RpcSession._subscribe,
    "unsubscribe": RpcSession._unsubscribe,
    "order.create": RpcSession._order_create,
    "order.create_batch": RpcSession._order_create_batch,
    "order.modify": RpcSession._order_modify,
    "order.cancel": RpcSession._order_cancel,
    "order.cancel_batch": RpcSession._order_cancel_batch,
    "order.cancel_all": RpcSession._order_cancel_all,
    "order.cancel_on_disconnect": RpcSession._order_cancel_on_disconnect,
}


def _mapping(params: Any) -> Params:
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "Invalid params", "params: a JSON object is required")
    return params


def _refusal(fault: Fault) -> RpcError:
    """What a fault says of a request: by JSON-RPC number, by the REST code, or by the HTTP status."""
    text = "refused by a fault script"
    if fault.code.lstrip("-").isdigit():
        return RpcError(int(fault.code), text)
    if fault.code:
        return _as_rpc_error(ApiError(fault.code, text))
    if 400 <= fault.status < 500 and fault.status != 429:
        return RpcError(fault.status, "Forbidden", text)  # no number of the venue's
    if fault.status == 429:
        return RpcError(RATE_LIMITED, "rate limited", text)
    return RpcError(INTERNAL_ERROR, "Internal error", text)


def _as_rpc_error(error: ApiError) -> RpcError:
    if error.code == "RATE_LIMITED":
        return RpcError(RATE_LIMITED, "rate limited", error.message)
    return RpcError(METHOD_ERROR, error.code, error.message)
