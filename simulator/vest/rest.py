"""Vest's REST calls (v2): the handlers, each named as faults and logs know it.

Source: Vest v2 API documentation. Handlers return the JSON value of the answer or raise VestError;
faults, latency, headers and error bodies are the gate's (``gate.py``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from simulator.exchange import Exchange, Refused, SimOrder
from simulator.execution import execute_later
from simulator.faults import FaultPlan, shown_positions
from simulator.vest import messages
from simulator.vest.errors import Code, VestError, from_refusal
from simulator.vest.public_feed import PublicFeed
from simulator.vest.requests import (
    OrderFields,
    Signed,
    check_window,
    member,
    parse_object,
    parse_signed,
    to_new_order,
)
from simulator.vest.session import Client, Clients
from simulator.vest.settings import VestSettings
from simulator.vest.signing import CANCEL, register_signer, request_digest, request_signer
from simulator.vest.sockets import group_number

Handler = Callable[[web.Request], Awaitable[Any]]
_ROWS_MAX = 1_000
_DIGESTS_MAX = 100_000


class RestApi:
    """All calls of one venue."""

    def __init__(
        self,
        exchange: Exchange,
        clients: Clients,
        faults: FaultPlan,
        feed: PublicFeed,
        settings: VestSettings,
    ) -> None:
        self._exchange = exchange
        self._clients = clients
        self._faults = faults
        self._feed = feed
        self._settings = settings
        self._digests: set[bytes] = set()  # of accepted requests: an identical one is a duplicate
        self._digest_ages: deque[bytes] = deque()
        self._pending: set[asyncio.TimerHandle] = set()

    def routes(self) -> list[tuple[str, str, str, Handler]]:
        """(method, path, name, handler) of every call."""
        return [
            ("POST", "/v2/register", "register", self.register),
            ("GET", "/v2/account", "account", self.account),
            ("GET", "/v2/account/nonce", "account.nonce", self.nonce),
            ("POST", "/v2/account/leverage", "account.leverage", self.leverage),
            ("POST", "/v2/account/listenKey", "listenKey.create", self.open_listen_key),
            ("PUT", "/v2/account/listenKey", "listenKey.renew", self.extend_listen_key),
            ("DELETE", "/v2/account/listenKey", "listenKey.delete", self.close_listen_key),
            ("POST", "/v2/orders", "orders.create", self.create_order),
            ("POST", "/v2/orders/cancel", "orders.cancel", self.cancel_order),
            ("GET", "/v2/orders", "orders.query", self.orders),
            ("GET", "/v2/exchangeInfo", "exchangeInfo", self.exchange_info),
            ("GET", "/v2/ticker/latest", "ticker.latest", self.ticker_latest),
            ("GET", "/v2/depth", "depth", self.depth),
            ("GET", "/v2/trades", "trades", self.trades),
        ]

    def stop(self) -> None:
        """Forget orders that were accepted and not yet executed."""
        for handle in self._pending:
            handle.cancel()
        self._pending.clear()

    # --- registration and account ---

    async def register(self, request: web.Request) -> Any:
        body = parse_object(await request.read())
        signer, primary = (member(body, name, str).lower() for name in ("signingAddr", "primaryAddr"))
        signature, expiry_ms = member(body, "signature", str), member(body, "expiryTime", int)
        if member(body, "networkType", int) != self._settings.network_type:
            raise VestError(Code.INVALID_NETWORK_TYPE)
        if expiry_ms <= self._now_unix_ms():
            raise VestError(Code.INVALID_PARAMETER, "expiryTime has passed")
        if register_signer(self._settings.verifying_contract, signer, expiry_ms, signature) != primary:
            raise VestError(Code.INVALID_SIGNATURE)
        self._exchange.open_account(primary, self._settings.starting_collateral_e8)
        api_key = self._clients.register(primary, signer, self._settings.account_group, expiry_ms)
        return {"apiKey": api_key, "accGroup": self._settings.account_group}

    async def account(self, request: web.Request) -> Any:
        client = self._client(request)
        account = self._exchange.account(client.primary)
        positions = shown_positions(self._faults, self._exchange.positions(client.primary))
        return messages.account_body(account, positions, self._exchange, self._now_unix_ms())

    async def nonce(self, request: web.Request) -> Any:
        return {"lastNonce": self._client(request).last_nonce}

    async def leverage(self, request: web.Request) -> Any:
        client = self._client(request)
        body = parse_object(await request.read())
        member(body, "time", int)
        symbol, value = member(body, "symbol", str), member(body, "value", int)
        try:
            self._exchange.set_leverage(client.primary, symbol, value)
        except Refused as refused:
            raise from_refusal(refused) from None
        return {"symbol": symbol, "value": value}

    async def open_listen_key(self, request: web.Request) -> Any:
        return {"listenKey": self._clients.open_listen_key(self._client(request), self._now_unix_ms())}

    async def extend_listen_key(self, request: web.Request) -> Any:
        return {"listenKey": self._clients.extend_listen_key(self._client(request), self._now_unix_ms())}

    async def close_listen_key(self, request: web.Request) -> Any:
        self._clients.close_listen_key(self._client(request))
        return {}

    # --- orders ---

    async def create_order(self, request: web.Request) -> Any:
        client = self._client(request)
        signed = parse_signed(await request.read(), self._settings.recv_window_ms)
        fields = OrderFields.parse(signed.fields)
        check_window(signed, self._now_unix_ms())
        if fields.symbol not in self._exchange.symbols:
            raise VestError(Code.BAD_SYMBOL, fields.symbol[:40])
        if not self._exchange.is_trading(fields.symbol):
            raise VestError(Code.MARKET_CLOSED, fields.symbol)
        instrument = self._exchange.instrument(fields.symbol)
        new = to_new_order(fields, signed, instrument, strict=self._settings.strict_padding)
        self._check_signature(client, signed, lambda: fields.digest(signed))
        try:
            order = self._exchange.submit(client.primary, new)
        except Refused as refused:
            raise from_refusal(refused) from None
        client.last_nonce = max(client.last_nonce, signed.nonce)
        latency_ms = self._settings.execution_latency_ms
        execute_later(self._exchange, self._faults, order, latency_ms=latency_ms, later=self._later)
        return {"id": order.order_id}

    async def cancel_order(self, request: web.Request) -> Any:
        client = self._client(request)
        signed = parse_signed(await request.read(), self._settings.recv_window_ms)
        order_id = member(signed.fields, "id", str)
        check_window(signed, self._now_unix_ms())
        self._check_signature(
            client, signed, lambda: request_digest(CANCEL, (signed.time_ms, signed.nonce, order_id))
        )
        order = self._exchange.order(order_id)
        if order is None or order.account_id != client.primary or order.status.is_final:
            raise VestError(Code.ORDER_NOT_FOUND)
        self._later(self._settings.execution_latency_ms, lambda: self._cancel(order_id))
        return {"id": order_id}

    async def orders(self, request: web.Request) -> Any:
        client = self._client(request)
        query = request.query
        ids = set(query["id"].split(",")) if "id" in query else None
        start_ms = _query_integer(query.get("startTime"), "startTime", 0)
        end_ms = _query_integer(query.get("endTime"), "endTime", self._now_unix_ms())
        limit = min(_query_integer(query.get("limit"), "limit", _ROWS_MAX), _ROWS_MAX)
        rows = []
        for order in self._candidates(client, query):
            row = messages.order_row(order, self._exchange.instrument(order.symbol))
            if (
                (ids is None or row["id"] in ids)
                and query.get("symbol", row["symbol"]) == row["symbol"]
                and start_ms <= row["postTime"] <= end_ms
                and query.get("nonce", str(row["nonce"])) == str(row["nonce"])
                and query.get("orderType", row["orderType"]) == row["orderType"]
                and query.get("status", row["status"]) == row["status"]
            ):
                rows.append(row)
                if len(rows) == limit:
                    break
        return rows

    # --- public ---

    async def exchange_info(self, request: web.Request) -> Any:
        rows = [
            messages.symbol_row(self._exchange.instrument(symbol), self._exchange.is_trading(symbol))
            for symbol in self._query_symbols(request)
        ]
        return {
            "symbols": rows,
            "exchange": {"lp": "0.000000", "insurance": "0.000000", "collateralDecimals": 6},
        }

    async def ticker_latest(self, request: web.Request) -> Any:
        rows = self._feed.tickers(self._query_symbols(request))
        for row in rows:
            del row["priceChange"], row["priceChangePercent"]
        return {"tickers": rows}

    async def depth(self, request: web.Request) -> Any:
        symbol = self._query_symbol(request)
        limit = min(_query_integer(request.query.get("limit"), "limit", 20), 100)
        bids, asks = self._exchange.depth(symbol, limit)
        sides = messages.book_sides(bids, asks, self._exchange.instrument(symbol))
        return {**sides, "ts_ms": self._now_unix_ms()}

    async def trades(self, request: web.Request) -> Any:
        symbol = self._query_symbol(request)
        limit = min(_query_integer(request.query.get("limit"), "limit", _ROWS_MAX), _ROWS_MAX)
        instrument = self._exchange.instrument(symbol)
        return [
            messages.trade_row(trade, instrument) for trade in self._exchange.recent_trades(symbol, limit)
        ]

    # --- helpers ---

    def _candidates(self, client: Client, query: Mapping[str, str]) -> list[SimOrder]:
        """Orders worth looking at for a query, newest first: few if it names a nonce."""
        if "nonce" in query:
            order = self._exchange.order_by_client_id(client.primary, query["nonce"])
            return [order] if order else []
        return self._exchange.orders(client.primary)[::-1]

    def _client(self, request: web.Request) -> Client:
        """The caller of a private call: account group first, API key second. Raises VestError."""
        group = group_number(request.headers.get("xrestservermm", ""))
        if group not in self._settings.account_groups:
            raise VestError(Code.INVALID_ACCOUNT_GROUP)
        client = self._clients.by_api_key(request.headers.get("X-API-KEY", ""), self._now_unix_ms())
        if client is None:
            raise VestError(Code.UNAUTHORIZED)
        if client.group != group:
            raise VestError(Code.INVALID_ACCOUNT_GROUP)
        return client

    def _check_signature(self, client: Client, signed: Signed, make_digest: Callable[[], bytes]) -> None:
        """Raise VestError unless the account signed this, and had not sent the same before."""
        try:
            digest = make_digest()
        except ValueError:
            raise VestError(Code.INVALID_SIGNATURE, "a signed field is out of range") from None
        if not client.may_sign(request_signer(digest, signed.signature), self._now_unix_ms()):
            raise VestError(Code.INVALID_SIGNATURE)
        if digest in self._digests:
            raise VestError(Code.DUPLICATE)
        self._digests.add(digest)
        self._digest_ages.append(digest)
        if len(self._digest_ages) > _DIGESTS_MAX:
            self._digests.discard(self._digest_ages.popleft())

    def _cancel(self, order_id: str) -> SimOrder | None:
        """Cancel an order that was open when it was asked for; it may have ended since."""
        order = self._exchange.order(order_id)
        if order is None or order.status.is_final:
            return order
        return self._exchange.cancel(order_id)

    def _later(self, delay_ms: float, call: Callable[[], Any]) -> None:
        """Call after a delay, and never within the present request."""

        def arrive() -> None:
            self._pending.discard(handle)
            call()

        handle = asyncio.get_running_loop().call_later(delay_ms / 1e3, arrive)
        self._pending.add(handle)

    def _query_symbols(self, request: web.Request) -> list[str]:
        text = request.query.get("symbols")
        symbols = self._exchange.symbols if text is None else text.split(",")
        for symbol in symbols:
            if symbol not in self._exchange.symbols:
                raise VestError(Code.BAD_SYMBOL, symbol[:40])
        return symbols

    def _query_symbol(self, request: web.Request) -> str:
        symbol = request.query.get("symbol", "")
        if symbol not in self._exchange.symbols:
            raise VestError(Code.BAD_SYMBOL, symbol[:40], status=404)
        return symbol

    def _now_unix_ms(self) -> int:
        return self._exchange.now_unix_ns() // 1_000_000


def _query_integer(text: str | None, name: str, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise VestError(Code.INVALID_PARAMETER, f"{name} must be an integer")
    return int(text)
