"""The REST API under ``/v1``.

Every handler returns a JSON value and raises ApiError; one wrapper gives each call its rate limits,
its authentication, its faults and its error object.

Source: Paradex documentation, REST API reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import orjson
from aiohttp import web

from simulator.exchange import Exchange
from simulator.faults import Fault, FaultPlan, shown_positions
from simulator.orders import SimOrder
from simulator.paradex import messages, signing
from simulator.paradex.errors import ApiError
from simulator.paradex.limits import RateLimiter
from simulator.paradex.market_feed import MarketFeed
from simulator.paradex.private_stream import PrivateFeed
from simulator.paradex.requests import order_market
from simulator.paradex.session import Members, account_id, address_of
from simulator.paradex.settings import (
    ACCOUNT_CLASS_HASH,
    PROXY_CLASS_HASH,
    ParadexSettings,
    system_config,
)
from simulator.paradex.summaries import Summaries
from simulator.paradex.tokens import Session, TokenMint
from simulator.paradex.trading import Admitted, OrderEntry

PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 5_000
TRADES_PAGE_SIZE_MAX: Final = 1_000

Group = Literal["public", "onboarding", "auth", "private_get", "orders"]
Handler = Callable[[web.Request], Awaitable["Answer"]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response; ``value`` None has an empty body."""

    value: Any = None
    status: int = 200


SESSION: Final = web.RequestKey("session", Session)
RECEIVED_US: Final = web.RequestKey("received_us", int)


class RestApi:
    """Handlers for every served path. Belongs to the event loop's thread."""

    def __init__(
        self,
        *,
        exchange: Exchange,
        order_entry: OrderEntry,
        members: Members,
        mint: TokenMint,
        limiter: RateLimiter,
        private: PrivateFeed,
        feeds: dict[str, MarketFeed],
        summaries: Summaries,
        faults: FaultPlan,
        settings: ParadexSettings,
    ) -> None:
        self._exchange = exchange
        self._order_entry = order_entry
        self._members = members
        self._mint = mint
        self._limiter = limiter
        self._private = private
        self._feeds = feeds
        self._summaries = summaries
        self._faults = faults
        self._settings = settings

    def add_routes(self, router: web.UrlDispatcher) -> None:
        routes: Sequence[tuple[str, str, str, Group, Handler]] = (
            ("GET", "/system/time", "system.time", "public", self._system_time),
            ("GET", "/system/state", "system.state", "public", self._system_state),
            ("GET", "/system/config", "system.config", "public", self._system_config),
            ("GET", "/markets", "markets", "public", self._markets),
            ("GET", "/markets/summary", "markets.summary", "public", self._markets_summary),
            ("GET", "/bbo/{market}", "bbo", "public", self._bbo),
            ("GET", "/bbo/{market}/interactive", "bbo", "public", self._bbo),
            ("GET", "/orderbook/{market}", "orderbook", "public", self._orderbook),
            ("GET", "/orderbook/{market}/interactive", "orderbook", "public", self._orderbook),
            ("GET", "/trades", "trades", "public", self._trades),
            ("GET", "/jwks.json", "jwks", "public", self._jwks),
            ("GET", "/onboarding", "onboarding.get", "public", self._onboarding_get),
            ("POST", "/onboarding", "onboarding", "onboarding", self._onboarding),
            ("POST", "/auth", "auth", "auth", self._auth),
            ("POST", "/auth/{public_key}", "auth", "auth", self._auth),
            ("POST", "/orders", "orders.create", "orders", self._order_create),
            ("POST", "/orders/batch", "orders.create_batch", "orders", self._order_create_batch),
            ("PUT", "/orders/{id}", "orders.modify", "orders", self._order_modify),
            ("DELETE", "/orders", "orders.cancel_all", "orders", self._order_cancel_all),
            ("DELETE", "/orders/batch", "orders.cancel_batch", "orders", self._order_cancel_batch),
            ("DELETE", "/orders/{id}", "orders.cancel", "orders", self._order_cancel),
            (
                "DELETE",
                "/orders/by_client_id/{client_id}",
                "orders.cancel",
                "orders",
                self._order_cancel_by_client_id,
            ),
            ("GET", "/orders", "orders.open", "private_get", self._orders_open),
            ("GET", "/orders/{id}", "orders.get", "private_get", self._order_get),
            (
                "GET",
                "/orders/by_client_id/{client_id}",
                "orders.get",
                "private_get",
                self._order_get_by_client_id,
            ),
            ("GET", "/orders-history", "orders.history", "private_get", self._orders_history),
            ("GET", "/account", "account", "private_get", self._account),
            ("GET", "/account/info", "account.info", "private_get", self._account_info),
            ("GET", "/balance", "balance", "private_get", self._balance),
            ("GET", "/positions", "positions", "private_get", self._positions),
            ("GET", "/fills", "fills", "private_get", self._fills),
        )
        for method, path, name, group, handler in routes:
            router.add_route(method, f"/v1{path}", self._wrap(name, group, handler))

    # --- what every call has in common ---

    def _wrap(
        self, name: str, group: Group, handler: Handler
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answered(request: web.Request) -> web.Response:
            headers: dict[str, str] = {}
            try:
                headers = self._admit(request, group)
                answer = await handler(request)
                return _json(answer.value, answer.status, headers)
            except ApiError as error:
                return _json(error.body, error.status, {**headers, **error.headers})

        async def call(request: web.Request) -> web.StreamResponse:
            request[RECEIVED_US] = self._now_us()
            fault = self._faults.take(f"rest.{name}", await self._symbol(request, name))
            if fault is not None and fault.answers_instead and not fault.is_carried_out:
                return await _deliver(request, _instead(fault), fault)
            response = await answered(request)
            if fault is not None and fault.duplicate:
                again = await answered(request)
                response = again if fault.answers_last else response
            if fault is not None and fault.answers_instead:
                response = _instead(fault)
            return await _deliver(request, response, fault)

        return call

    async def _symbol(self, request: web.Request, name: str) -> str:
        """The market of a create, for faults that are limited to one; "" of every other call."""
        if name != "orders.create" or not self._faults.is_armed:
            return ""
        try:
            return order_market(orjson.loads(await request.read()))
        except orjson.JSONDecodeError:
            return ""

    def _admit(self, request: web.Request, group: Group) -> dict[str, str]:
        """Spend the call's budgets and authenticate it; return its rate limit headers."""
        budgets = self._settings.rate_limits
        address = request.remote or ""
        if group == "public":
            return self._limiter.spend("public", address, budgets.public_rest)
        if group == "onboarding":
            return self._limiter.spend("onboarding", address, budgets.onboarding)
        if group == "auth":
            return self._limiter.spend("auth", address, budgets.auth)
        session = self._authenticate(request)
        request[SESSION] = session
        self._limiter.spend("private", address, budgets.private_rest)
        if group == "orders":
            return self._order_entry.spend(session)
        return self._limiter.spend("private_get", account_id(session.account), budgets.private_get)

    def _authenticate(self, request: web.Request) -> Session:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise ApiError("UNAUTHORIZED_ERROR", "the header Authorization: Bearer is required")
        return self._mint.session(token.strip())

    # --- public ---

    async def _system_time(self, request: web.Request) -> Answer:
        return Answer({"server_time": str(self._exchange.now_unix_ns() // 1_000_000)})

    async def _system_state(self, request: web.Request) -> Answer:
        return Answer({"status": self._order_entry.system_status})

    async def _system_config(self, request: web.Request) -> Answer:
        return Answer(system_config(self._settings.chain_id))

    async def _jwks(self, request: web.Request) -> Answer:
        return Answer(self._mint.public_keys())

    async def _markets(self, request: web.Request) -> Answer:
        wanted = request.query.get("market")
        symbols = [self._market(wanted).symbol] if wanted else self._exchange.symbols
        return Answer({"results": [messages.market(self._exchange.instrument(name)) for name in symbols]})

    async def _markets_summary(self, request: web.Request) -> Answer:
        wanted = request.query.get("market")
        if not wanted:
            raise ApiError("VALIDATION_ERROR", "market: a market or ALL is required")
        symbols = self._exchange.symbols if wanted == "ALL" else [self._market(wanted).symbol]
        return Answer({"results": [messages.summary(self._summaries.record(name)) for name in symbols]})

    async def _bbo(self, request: web.Request) -> Answer:
        feed = self._market(request.match_info["market"])
        seq_no = feed.flushed_seq_no()
        bids, asks = self._exchange.depth(feed.symbol, 1)
        return Answer(
            messages.bbo(
                feed.symbol,
                seq_no=seq_no,
                bid=bids[0] if bids else None,
                ask=asks[0] if asks else None,
                now_us=self._now_us(),
            )
        )

    async def _orderbook(self, request: web.Request) -> Answer:
        feed = self._market(request.match_info["market"])
        depth = _whole_number(request, "depth", default=20, maximum=self._settings.book_levels)
        seq_no = feed.flushed_seq_no()
        bids, asks = self._exchange.depth(feed.symbol, depth)
        return Answer(
            messages.orderbook(feed.symbol, seq_no=seq_no, bids=bids, asks=asks, now_us=self._now_us())
        )

    async def _trades(self, request: web.Request) -> Answer:
        market = request.query.get("market")
        if not market:
            raise ApiError("VALIDATION_ERROR", "market: a market is required")
        feed = self._market(market)
        newest_first = self._exchange.recent_trades(feed.symbol, TRADES_PAGE_SIZE_MAX)
        page = _page(request, newest_first, lambda trade: trade.trade_id, lambda trade: trade.unix_ns)
        return Answer(
            {**page.cursors, "results": [messages.trade(feed.trade_record(t)) for t in page.entries]}
        )

    def _market(self, name: str) -> MarketFeed:
        feed = self._feeds.get(name)
        if feed is None:
            raise ApiError("MARKET_NOT_FOUND", f"market {name[:40]!r} is not listed")
        return feed

    # --- identity ---

    async def _onboarding_get(self, request: web.Request) -> Answer:
        key_type = request.query.get("account_signer_type", "starknet")
        public_key = signing.parse_felt(request.query.get("public_key", ""))
        if key_type != "starknet" or public_key is None or not signing.is_curve_key(public_key):
            raise ApiError("PUBLIC_KEY_INVALID", "public_key is not a key of the STARK curve")
        address = address_of(public_key)
        return Answer(
            {
                "account_signer_type": "starknet",
                "address": hex(address),
                "exists": self._members.is_onboarded(address),
                "derivation_info": {
                    "class_hash": hex(ACCOUNT_CLASS_HASH),
                    "proxy_class_hash": hex(PROXY_CLASS_HASH),
                },
            }
        )

    async def _onboarding(self, request: web.Request) -> Answer:
        body = await _body(request)
        text = body.get("public_key") if isinstance(body, dict) else None
        await self._members.onboard(
            request.headers, signing.parse_felt(text) if isinstance(text, str) else None
        )
        return Answer()

    async def _auth(self, request: web.Request) -> Answer:
        path_key = None
        if "public_key" in request.match_info:
            path_key = signing.parse_felt(request.match_info["public_key"])
            if path_key is None:
                raise ApiError("PUBLIC_KEY_INVALID", "the path's public key is not a field element")
        account, public_key = await self._members.log_in(
            request.headers, path_key, self._exchange.now_unix_ns
        )
        is_retail = request.query.get("token_usage") == "interactive"
        return Answer({"jwt_token": self._mint.issue(account, public_key, is_retail=is_retail)})

    # --- orders ---

    async def _order_create(self, request: web.Request) -> Answer:
        body = await _body(request)
        acked: asyncio.Future[SimOrder] = asyncio.get_running_loop().create_future()
        await self._order_entry.create(request[SESSION], body, request[RECEIVED_US], acked.set_result)
        return Answer(self._order_body(await acked), status=201)

    async def _order_create_batch(self, request: web.Request) -> Answer:
        body = await _body(request)
        acked: asyncio.Future[list[Admitted]] = asyncio.get_running_loop().create_future()
        await self._order_entry.create_batch(request[SESSION], body, request[RECEIVED_US], acked.set_result)
        admitted = await acked
        orders = [None if isinstance(entry, ApiError) else self._order_body(entry) for entry in admitted]
        errors = [
            {"error": entry.code, "message": entry.message} if isinstance(entry, ApiError) else None
            for entry in admitted
        ]
        return Answer({"orders": orders, "errors": errors}, status=201)

    async def _order_modify(self, request: web.Request) -> Answer:
        body = await _body(request)
        order_id = request.match_info["id"]
        if isinstance(body, dict) and body.get("id", order_id) != order_id:
            raise ApiError("VALIDATION_ERROR", "id: the path and the body name different orders")
        acked: asyncio.Future[SimOrder] = asyncio.get_running_loop().create_future()
        await self._order_entry.modify(
            request[SESSION], order_id, body, request[RECEIVED_US], acked.set_result
        )
        return Answer(self._order_body(await acked))

    async def _order_cancel(self, request: web.Request) -> Answer:
        order = self._order_entry.find(request[SESSION], request.match_info["id"])
        return await self._cancel(request, order)

    async def _order_cancel_by_client_id(self, request: web.Request) -> Answer:
        order = self._order_entry.find_by_client_id(request[SESSION], request.match_info["client_id"])
        return await self._cancel(request, order)

    async def _cancel(self, request: web.Request, order: SimOrder) -> Answer:
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order_entry.cancel(request[SESSION], order, lambda: acked.set_result(None))
        await acked
        return Answer(status=204)

    async def _order_cancel_all(self, request: web.Request) -> Answer:
        acked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        market = request.query.get("market")
        self._order_entry.cancel_all(request[SESSION], market, lambda: acked.set_result(None))
        await acked
        return Answer({})

    async def _order_cancel_batch(self, request: web.Request) -> Answer:
        body = await _body(request)
        if not isinstance(body, dict):
            raise ApiError("BINDING_ERROR", "a JSON object is required")
        acked: asyncio.Future[list[dict[str, str]]] = asyncio.get_running_loop().create_future()
        self._order_entry.cancel_batch(
            request[SESSION], body.get("order_ids"), body.get("client_order_ids"), acked.set_result
        )
        return Answer({"results": await acked})

    async def _orders_open(self, request: web.Request) -> Answer:
        orders = self._exchange.open_orders(_account(request), request.query.get("market"))
        return Answer({"results": [self._order_body(order) for order in orders]})

    async def _order_get(self, request: web.Request) -> Answer:
        order = self._order_entry.find(request[SESSION], request.match_info["id"])
        if order.status.is_final:
            raise ApiError("ORDER_ID_NOT_FOUND", f"order {order.order_id} is not open")
        return Answer(self._order_body(order))

    async def _order_get_by_client_id(self, request: web.Request) -> Answer:
        order = self._order_entry.find_by_client_id(request[SESSION], request.match_info["client_id"])
        if order.status.is_final:
            raise ApiError("CLIENT_ORDER_ID_NOT_FOUND", f"client_id {order.client_id} is not open")
        return Answer(self._order_body(order))

    async def _orders_history(self, request: web.Request) -> Answer:
        orders = self._exchange.orders(_account(request), request.query.get("market"))
        client_id = request.query.get("client_id")
        if client_id:
            orders = [order for order in orders if order.client_id == client_id]
        filters = {key: request.query[key] for key in ("side", "status", "type") if request.query.get(key)}
        bodies = [self._order_body(order) for order in reversed(orders)]
        matching = [body for body in bodies if all(body[key] == filters[key] for key in filters)]
        page = _page(request, matching, lambda body: str(body["id"]), lambda body: body["created_at"] * 10**6)
        return Answer({**page.cursors, "results": page.entries})

    def _order_body(self, order: SimOrder) -> dict[str, Any]:
        return messages.order(self._private.order_record(order))

    # --- account ---

    async def _account(self, request: web.Request) -> Answer:
        return Answer(messages.account(self._private.account_record(_account(request))))

    async def _account_info(self, request: web.Request) -> Answer:
        session = request[SESSION]
        rates = {
            symbol: messages.market(self._exchange.instrument(symbol))["fee_config"]["api_fee"]
            for symbol in self._exchange.symbols
        }
        fees = next(iter(rates.values()))
        info = {
            "account": hex(session.account),
            "kind": "main",
            "public_key": hex(self._members.public_key(session.account)),
            "parent_account": "",
            "fees": {"maker_rate": fees["maker_fee"]["fee"], "taker_rate": fees["taker_fee"]["fee"]},
        }
        return Answer({"results": [info]})

    async def _balance(self, request: web.Request) -> Answer:
        return Answer({"results": [messages.balance(self._private.account_record(_account(request)))]})

    async def _positions(self, request: web.Request) -> Answer:
        account = _account(request)
        shown = shown_positions(self._faults, self._exchange.positions(account))
        records = [self._private.position_record(account, position) for position in shown]
        return Answer({"results": [messages.position(record) for record in records]})

    async def _fills(self, request: web.Request) -> Answer:
        fills = self._exchange.fills(_account(request), request.query.get("market"))
        page = _page(request, fills[::-1], lambda fill: fill.fill_id, lambda fill: fill.unix_ns)
        bodies = [messages.fill(self._private.fill_record(fill)) for fill in page.entries]
        return Answer({**page.cursors, "results": bodies})

    def _now_us(self) -> int:
        return self._exchange.now_unix_ns() // 1000


# --- requests and responses ---


def _account(request: web.Request) -> str:
    return account_id(request[SESSION].account)


async def _body(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise ApiError("BINDING_ERROR", "the body is not JSON") from None


def _json(value: Any, status: int, headers: dict[str, str]) -> web.Response:
    if value is None:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status, headers=headers, body=orjson.dumps(value), content_type="application/json"
    )


def _instead(fault: Fault) -> web.Response:
    """What a fault answers in place of the call's own answer."""
    if fault.is_crossed:
        return _json(messages.STRANGERS_CREATED["order"], 201, {})
    if fault.code:
        error = ApiError(fault.code, "refused by a fault script", headers=fault.headers)
        return _json(error.body, fault.status or error.status, error.headers)
    return web.Response(status=fault.status, body=fault.body, headers=fault.headers)


async def _deliver(request: web.Request, response: web.Response, fault: Fault | None) -> web.StreamResponse:
    """Hand the response over, unless a fault delays it, spoils it or loses it on the way."""
    if fault is None:
        return response
    if fault.delay_ms:
        await asyncio.sleep(fault.delay_ms / 1000)
    if isinstance(response.body, bytes):
        response.body = fault.spoil(response.body)
    if fault.drop_reply and request.transport is not None:
        request.transport.abort()
    return response


def _whole_number(request: web.Request, name: str, *, default: int, maximum: int, minimum: int = 1) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16 and minimum <= int(text) <= maximum):
        raise ApiError("INVALID_REQUEST_PARAMETER", f"{name}: a whole number from {minimum} to {maximum}")
    return int(text)


@dataclass(frozen=True, slots=True)
class Page:
    entries: list[Any]
    cursors: dict[str, str | None]


def _page(
    request: web.Request, newest_first: Iterable[T], id_of: Callable[[T], str], time_of: Callable[[T], int]
) -> Page:
    """One page of a list; ``time_of`` gives Unix ns. The cursor is the id of the last entry before it."""
    size = _whole_number(request, "page_size", default=PAGE_SIZE_DEFAULT, maximum=PAGE_SIZE_MAX)
    latest_ms = 10**15
    start_ms = _whole_number(request, "start_at", default=0, maximum=latest_ms, minimum=0)
    end_ms = _whole_number(request, "end_at", default=latest_ms, maximum=latest_ms, minimum=0)
    entries = [entry for entry in newest_first if start_ms <= time_of(entry) // 10**6 <= end_ms]
    cursor = request.query.get("cursor")
    if cursor:
        ids = [id_of(entry) for entry in entries]
        if cursor not in ids:
            raise ApiError("INVALID_REQUEST_PARAMETER", "cursor: unknown")
        entries = entries[ids.index(cursor) + 1 :]
    following = id_of(entries[size - 1]) if len(entries) > size else None
    return Page(entries[:size], {"next": following, "prev": None})
