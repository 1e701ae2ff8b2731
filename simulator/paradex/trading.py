"""Creates, modifies and cancels orders, for REST and WebSocket alike.

A create and its signature are checked on arrival. It is registered as NEW, acknowledged after the venue's
latency and executed after that; its outcome is reported on the ``orders`` channel alone. A cancel and a
modification are queued in the same way.

Source: Paradex documentation, "Orders", "Modify order", "Order lifecycle" and "Rate limits".
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulator.exchange import Exchange
from simulator.execution import execute_later
from simulator.faults import FaultPlan
from simulator.orders import Amendment, Reason, Refused, SimOrder, SimOrderStatus
from simulator.paradex.errors import ApiError, from_refused, from_refused_modify
from simulator.paradex.limits import RateLimiter
from simulator.paradex.private_stream import OrderDetails, PrivateFeed
from simulator.paradex.records import RequestInfo
from simulator.paradex.requests import RECV_WINDOW_MS_DEFAULT, OrderSpec, parse_order
from simulator.paradex.session import account_id
from simulator.paradex.settings import ParadexSettings, SystemStatus
from simulator.paradex.signing import Message, Verifier, modify_message
from simulator.paradex.tokens import Session

Admitted = SimOrder | ApiError
# Remembered orders beyond this have those whose window is over forgotten.
_TAKEN_MAX: Final = 50_000


@dataclass(slots=True)
class OrderEntry:
    """Belongs to the event loop's thread."""

    exchange: Exchange
    verifier: Verifier
    limiter: RateLimiter
    feed: PrivateFeed
    faults: FaultPlan
    settings: ParadexSettings
    system_status: SystemStatus = "ok"
    # What was signed and taken, by account, until when it could be sent again (Unix ms).
    _taken: dict[tuple[int, Message], int] = field(default_factory=dict)
    _request_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def spend(self, session: Session) -> dict[str, str]:
        """Count one order call of an account; REST and WebSocket share the budget."""
        return self.limiter.spend("orders", account_id(session.account), self.settings.rate_limits.orders)

    # --- creating ---

    async def create(
        self, session: Session, body: object, received_us: int, on_ack: Callable[[SimOrder], None]
    ) -> None:
        """Admit one order; ``on_ack`` is called when its acknowledgement is due. Raises ApiError."""

        def acknowledge(admitted: list[Admitted]) -> None:
            assert isinstance(admitted[0], SimOrder)
            on_ack(admitted[0])

        admitted = await self._admit(session, [body], received_us)
        if isinstance(admitted[0], ApiError):
            raise admitted[0]
        self._later(self._ack_delay_ms(session), lambda: self._arrive(admitted, acknowledge))

    async def create_batch(
        self, session: Session, bodies: object, received_us: int, on_ack: Callable[[list[Admitted]], None]
    ) -> None:
        """Admit several orders, each by itself once all are well-formed and signed. Raises ApiError."""
        if not isinstance(bodies, list) or not 1 <= len(bodies) <= self.settings.batch_max:
            raise ApiError("BATCH_SIZE_OUT_OF_RANGE", f"a batch holds 1 to {self.settings.batch_max} orders")
        admitted = await self._admit(session, bodies, received_us)
        self._later(self._ack_delay_ms(session), lambda: self._arrive(admitted, on_ack))

    async def _admit(self, session: Session, bodies: Sequence[object], received_us: int) -> list[Admitted]:
        specs = [parse_order(body) for body in bodies]
        for spec in specs:
            self._check_admissible(spec, spec.instruction, received_us)
            await self._check_signature(session, spec.message, spec.signature)
        return [self._register(session, spec, received_us) for spec in specs]

    async def _check_signature(self, session: Session, message: Message, signature: str) -> None:
        if not await self.verifier.check_order(session.public_key, session.account, message, signature):
            raise ApiError("INVALID_ORDER_SIGNATURE", "the order's signature is not valid")

    def _check_admissible(self, spec: OrderSpec, instruction: str, received_us: int) -> None:
        if spec.market not in self.exchange.symbols:
            raise ApiError("MARKET_NOT_FOUND", f"market {spec.market[:40]!r} is not listed")
        if self.system_status == "maintenance":
            raise ApiError("SERVICE_UNAVAILABLE", "the venue is under maintenance")
        if self.system_status == "cancel_only":
            raise ApiError("SYSTEM_STATUS_CANCEL_ONLY", "only cancels are taken now")
        if self.system_status == "post_only" and instruction != "POST_ONLY":
            raise ApiError("SYSTEM_STATUS_POST_ONLY", "only POST_ONLY orders are taken now")
        now_ms = received_us // 1000
        if now_ms > spec.signed_unix_ms + spec.recv_window_ms:
            raise ApiError("INVALID_TIMESTAMP", "signature_timestamp is older than recv_window allows")
        if spec.signed_unix_ms > now_ms + self.settings.signature_skew_ms:
            raise ApiError("INVALID_TIMESTAMP", "signature_timestamp lies in the future")

    def _register(self, session: Session, spec: OrderSpec, received_us: int) -> Admitted:
        account = account_id(session.account)
        if replayed := self._replayed(session, spec.message, spec):
            return replayed
        if spec.client_id:
            twin = self.exchange.order_by_client_id(account, spec.client_id)
            if twin is not None and not twin.status.is_final:
                return ApiError("DUPLICATED_CLIENT_ID", f"client_id {spec.client_id!r} has an open order")
        try:
            order = self.exchange.submit(account, spec.to_new_order())
        except Refused as refused:
            return from_refused(refused)
        self.feed.remember(order.order_id, OrderDetails.of(spec, received_us))
        self._note_taken(session, spec.message, spec)
        return order

    def _replayed(self, session: Session, message: Message, spec: OrderSpec) -> ApiError | None:
        """Why a signed message is not taken twice: its hash, of these fields alone, was taken before.

        The client id is not signed, so another one makes no other order of it."""
        now_ms = self.exchange.now_unix_ns() // 1_000_000
        if self.settings.takes_replays or self._taken.get((session.account, message), 0) < now_ms:
            return None
        fault = self.faults.take("admit.replay", spec.market)
        if fault is not None and fault.duplicate:
            return None
        return ApiError("DUPLICATED_CLIENT_ID", "this signed order was taken already: one hash, one order")

    def _note_taken(self, session: Session, message: Message, spec: OrderSpec) -> None:
        now_ms = self.exchange.now_unix_ns() // 1_000_000
        if len(self._taken) >= _TAKEN_MAX:
            self._taken = {key: until_ms for key, until_ms in self._taken.items() if until_ms >= now_ms}
        window_ms = max(spec.recv_window_ms, RECV_WINDOW_MS_DEFAULT)
        self._taken[session.account, message] = spec.signed_unix_ms + window_ms

    def _arrive(self, admitted: list[Admitted], on_ack: Callable[[list[Admitted]], None]) -> None:
        """Acknowledge, announce as NEW, and send on to risk and matching."""
        on_ack(admitted)
        for entry in admitted:
            if isinstance(entry, ApiError):
                continue
            order = self.exchange.order(entry.order_id)
            if order is not None and order.status is SimOrderStatus.NEW:
                self.feed.publish_order(order)
                latency_ms = self.settings.execution_latency_ms
                execute_later(self.exchange, self.faults, order, latency_ms=latency_ms, later=self._later)

    # --- modifying ---

    async def modify(
        self,
        session: Session,
        order_id: object,
        body: object,
        received_us: int,
        on_ack: Callable[[SimOrder], None],
    ) -> None:
        """Queue a change of an open order; ``on_ack`` gets the order, its request PENDING.

        The request's outcome is reported on the ``orders`` channel. Raises ApiError.
        """
        spec = parse_order(body)
        order = self.find(session, order_id)
        details = self.feed.details(order)
        to = _amendment(order, details, spec)
        self._check_admissible(spec, details.instruction, received_us)
        message = modify_message(spec.message, order.order_id)
        await self._check_signature(session, message, spec.signature)
        if replayed := self._replayed(session, message, spec):
            raise replayed
        try:
            self.exchange.check_amendment(order.order_id, to)
        except Refused as refused:
            raise from_refused_modify(refused) from None
        self._note_taken(session, message, spec)
        request = RequestInfo(f"{order.order_id}-{next(self._request_numbers)}", "PENDING", "")
        self.feed.note_request(order, request)

        def arrive() -> None:
            on_ack(self.exchange.order(order.order_id) or order)
            delay_ms = self._execution_delay_ms(order.symbol)
            self._later(delay_ms, lambda: self._modify_now(order, to, spec, request))

        self._later(self._ack_delay_ms(session), arrive)

    def _modify_now(self, order: SimOrder, to: Amendment, spec: OrderSpec, request: RequestInfo) -> None:
        """Amend the order in the engine; report the outcome on ``orders``."""
        before = self.feed.details(order)
        # The engine reports an order while it amends it, so its details come first.
        self.feed.remember(
            order.order_id,
            before._replace(
                price_e8=to.limit_price_e8,
                signed_unix_ms=spec.signed_unix_ms,
                request=request._replace(status="SUCCESS"),
            ),
        )
        try:
            self.exchange.amend(order.order_id, to)
        except Refused as refused:
            error = from_refused_modify(refused)
            rejected = request._replace(status="REJECTED", message=f"{error.code}: {error.message}")
            self.feed.remember(order.order_id, before._replace(request=rejected))
            now = self.exchange.order(order.order_id)
            if now is not None:  # not forgotten meanwhile
                self.feed.publish_order(now)

    # --- finding and cancelling ---

    def find(self, session: Session, order_id: object) -> SimOrder:
        """The account's own order, finished or not. Raises ApiError."""
        order = self.exchange.order(order_id) if isinstance(order_id, str) else None
        if order is None or order.account_id != account_id(session.account):
            raise ApiError("ORDER_ID_NOT_FOUND", f"order {str(order_id)[:40]!r} is not known")
        return order

    def find_by_client_id(self, session: Session, client_id: object) -> SimOrder:
        """The account's newest order with a client id. Raises ApiError."""
        account = account_id(session.account)
        order = self.exchange.order_by_client_id(account, client_id) if isinstance(client_id, str) else None
        if order is None:
            raise ApiError("CLIENT_ORDER_ID_NOT_FOUND", f"client_id {str(client_id)[:40]!r} is not known")
        return order

    def cancel(self, session: Session, order: SimOrder, on_ack: Callable[[], None]) -> None:
        """Queue the cancellation of an open order. Raises ApiError if it is finished."""
        if order.status.is_final:
            raise ApiError("ORDER_IS_CLOSED", f"order {order.order_id} is closed")
        self.cancel_many(session, [order.order_id], on_ack)

    def cancel_all(self, session: Session, market: str | None, on_ack: Callable[[], None]) -> None:
        """Queue the cancellation of every open order of an account, on one market or on all."""
        open_orders = self.exchange.open_orders(account_id(session.account), market)
        self.cancel_many(session, [order.order_id for order in open_orders], on_ack)

    def cancel_batch(
        self,
        session: Session,
        order_ids: object,
        client_ids: object,
        on_ack: Callable[[list[dict[str, str]]], None],
    ) -> None:
        """Queue the cancellation of those that are open; ``on_ack`` gets each one's outcome."""
        wanted = [("id", order_id) for order_id in _list(order_ids)]
        wanted += [("client_id", client_id) for client_id in _list(client_ids)]
        results = []
        open_ids = []
        for key, value in wanted:
            try:
                order = (self.find if key == "id" else self.find_by_client_id)(session, value)
            except ApiError:
                results.append({key: str(value), "status": "NOT_FOUND"})
                continue
            if not order.status.is_final:
                open_ids.append(order.order_id)
            results.append(
                {
                    "id": order.order_id,
                    "client_id": order.client_id,
                    "account": order.account_id,
                    "market": order.symbol,
                    "status": "ALREADY_CLOSED" if order.status.is_final else "QUEUED_FOR_CANCELLATION",
                }
            )
        self.cancel_many(session, open_ids, lambda: on_ack(results))

    def cancel_many(self, session: Session, order_ids: Iterable[str], on_ack: Callable[[], None]) -> None:
        def arrive() -> None:
            on_ack()
            self._later(self.settings.execution_latency_ms, lambda: self.cancel_now(order_ids))

        self._later(self._ack_delay_ms(session), arrive)

    def cancel_now(self, order_ids: Iterable[str]) -> None:
        """Cancel those of the orders that still stand."""
        for order_id in order_ids:
            order = self.exchange.order(order_id)
            if order is not None and not order.status.is_final:
                self.exchange.cancel(order_id, Reason.USER_CANCELLED)

    # --- latency ---

    def _ack_delay_ms(self, session: Session) -> float:
        bump_ms = self.settings.retail_delay_ms if session.is_retail else 0.0
        return self.settings.ack_latency_ms + bump_ms

    def _execution_delay_ms(self, market: str) -> float:
        fault = self.faults.take(f"execute.{market}", market)
        return self.settings.execution_latency_ms + (fault.delay_ms if fault else 0.0)

    @staticmethod
    def _later(delay_ms: float, action: Callable[[], object]) -> None:
        asyncio.get_running_loop().call_later(delay_ms / 1000, action)


def _amendment(order: SimOrder, details: OrderDetails, spec: OrderSpec) -> Amendment:
    """What a modification asks for. Raises ApiError where it speaks of another order than it names."""
    side = "BUY" if order.side > 0 else "SELL"
    for name, asked, stands in (
        ("market", spec.market, order.symbol),
        ("side", spec.side, side),
        ("type", spec.order_type, details.order_type),
    ):
        if asked != stands:
            raise ApiError("INVALID_REQUEST_PARAMETER", f"{name}: the order's is {stands}")
    if spec.price_e8 is None:
        raise ApiError("INVALID_REQUEST_PARAMETER", "type: a market order cannot be modified")
    return Amendment(spec.size_e8, spec.price_e8)


def _list(value: object) -> list[object]:
    if value is not None and not isinstance(value, list):
        raise ApiError("BINDING_ERROR", "order_ids, client_order_ids: lists of texts")
    return value or []
