"""Publishes an account's data: the engine's orders, fills, positions and margins as the venue reports them.

Source: Paradex documentation, channels "orders", "fills", "positions" and "account". For one fill
the order of events is fills, orders, positions, account.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from simulator.exchange import Exchange
from simulator.orders import SimFill, SimOrder, SimOrderStatus, SimPosition
from simulator.paradex import messages, sbe
from simulator.paradex.errors import cancel_reason
from simulator.paradex.hub import JSON, Hub, private_topic
from simulator.paradex.records import AccountRecord, FillRecord, OrderRecord, PositionRecord, RequestInfo
from simulator.paradex.requests import OrderSpec
from venues.contract import E8

R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class _SbeEncoder(Protocol[R_contra]):
    def __call__(self, record: R_contra, /, *, version: int, now_us: int) -> bytes: ...


ORDERS_REMEMBERED = 100_000

STATUS = {
    SimOrderStatus.NEW: "NEW",
    SimOrderStatus.OPEN: "OPEN",
    SimOrderStatus.FILLED: "CLOSED",
    SimOrderStatus.CANCELLED: "CLOSED",
    SimOrderStatus.REJECTED: "CLOSED",
}
assert set(STATUS) == set(SimOrderStatus)


def _status(order: SimOrder) -> str:
    """The venue's status. Its NEW is unfilled: an order that the engine fills in steps is OPEN meanwhile."""
    return "OPEN" if order.filled_e8 and not order.status.is_final else STATUS[order.status]


class OrderDetails(NamedTuple):
    """What the venue keeps of a create request beside what the engine knows."""

    order_type: str
    instruction: str
    price_e8: int | None
    flags: tuple[str, ...]
    stp: str
    signed_unix_ms: int
    received_us: int
    request: RequestInfo | None = None

    @staticmethod
    def of(spec: OrderSpec, received_us: int) -> OrderDetails:
        return OrderDetails(
            order_type=spec.order_type,
            # A market order takes and goes, whatever instruction its client sent along.
            instruction="IOC" if spec.order_type == "MARKET" else spec.instruction,
            price_e8=spec.price_e8,
            flags=spec.flags,
            stp=spec.stp,
            signed_unix_ms=spec.signed_unix_ms,
            received_us=received_us,
        )

    @staticmethod
    def of_venue_order(order: SimOrder) -> OrderDetails:
        """Details of an order the venue itself placed: a liquidation."""
        created_us = order.created_unix_ns // 1000
        return OrderDetails("MARKET", "IOC", None, ("REDUCE_ONLY",), "", created_us // 1000, created_us)


class PrivateFeed:
    """Turns engine values into records and publishes them. Belongs to the event loop's thread."""

    def __init__(self, exchange: Exchange, hub: Hub, book_seq_no: Callable[[str], int]) -> None:
        self._exchange = exchange
        self._hub = hub
        self._book_seq_no = book_seq_no  # market -> number of its book
        self._details: dict[str, OrderDetails] = {}
        self._touched: set[tuple[str, str]] = set()  # (account, market) filled since last reported
        self._last_seq_no = 0

    def remember(self, order_id: str, details: OrderDetails) -> None:
        self._details[order_id] = details
        while len(self._details) > ORDERS_REMEMBERED:
            del self._details[next(iter(self._details))]  # oldest first

    def note_request(self, order: SimOrder, request: RequestInfo) -> None:
        """Keep the newest modify request of an order with its details."""
        self.remember(order.order_id, self.details(order)._replace(request=request))

    def details(self, order: SimOrder) -> OrderDetails:
        return self._details.get(order.order_id) or OrderDetails.of_venue_order(order)

    # --- from the engine ---

    def order_changed(self, order: SimOrder) -> None:
        """Publish an order's new state and what it did to the account. ``OrderEntry`` reports NEW."""
        if order.status is SimOrderStatus.NEW and not order.filled_e8:
            return
        self.publish_order(order)
        if (order.account_id, order.symbol) in self._touched:
            self._touched.remove((order.account_id, order.symbol))
            self._publish_position(order.account_id, order.symbol)
        self._publish_account(order.account_id)

    def filled(self, fill: SimFill, order: SimOrder) -> None:
        self._touched.add((fill.account_id, fill.symbol))
        self._publish(
            ("fills.ALL", f"fills.{fill.symbol}"),
            fill.account_id,
            fill.symbol,
            lambda: self.fill_record(fill),
            messages.fill,
            sbe.fill,
        )

    def publish_order(self, order: SimOrder) -> None:
        self._publish(
            ("orders.ALL", f"orders.{order.symbol}"),
            order.account_id,
            order.symbol,
            lambda: self.order_record(order),
            messages.order,
            sbe.order,
        )

    def _publish_position(self, account: str, symbol: str) -> None:
        def record() -> PositionRecord:
            positions = {position.symbol: position for position in self._exchange.positions(account)}
            return self.position_record(account, positions[symbol])

        self._publish(("positions",), account, symbol, record, messages.position, sbe.position)

    def _publish_account(self, account: str) -> None:
        self._publish(
            ("account",), account, "", lambda: self.account_record(account), messages.account, sbe.account
        )

    def _publish(
        self,
        channels: tuple[str, ...],
        account: str,
        symbol: str,
        make_record: Callable[[], R],
        to_json: Callable[[R], dict[str, Any]],
        to_sbe: _SbeEncoder[R],
    ) -> None:
        """Publish one record on an account's channels; it is made only if a socket is subscribed."""
        address = int(account, 16)
        wanted = [name for name in channels if self._hub.is_wanted(private_topic(name, address))]
        if not wanted:
            return
        record = make_record()
        now_us = self._exchange.now_unix_ns() // 1000

        def render(channel: str, encoding: int) -> bytes:
            if encoding == JSON:
                return messages.notification(channel, to_json(record))
            return to_sbe(record, version=encoding, now_us=now_us)

        for channel in wanted:
            topic = private_topic(channel, address)
            self._hub.publish(topic, channel, partial(render, channel), symbol=symbol)

    # --- records ---

    def order_record(self, order: SimOrder) -> OrderRecord:
        details = self.details(order)
        return OrderRecord(
            order_id=order.order_id,
            client_id=order.client_id,
            account=int(order.account_id, 16),
            market=order.symbol,
            side="BUY" if order.side > 0 else "SELL",
            order_type=details.order_type,
            instruction=details.instruction,
            status=_status(order),
            price_e8=details.price_e8,
            trigger_price_e8=None,
            size_e8=order.size_e8,
            remaining_e8=order.remaining_e8,
            average_price_e8=order.average_price_e8 or None,
            cancel_reason=cancel_reason(order.reason),
            flags=details.flags,
            stp=details.stp,
            seq_no=self._next_seq_no(),
            signed_unix_ms=details.signed_unix_ms,
            received_us=details.received_us,
            created_us=order.created_unix_ns // 1000,
            updated_us=order.updated_unix_ns // 1000,
            published_us=self._exchange.now_unix_ns() // 1000,
            request=details.request,
        )

    def fill_record(self, fill: SimFill) -> FillRecord:
        return FillRecord(
            fill_id=fill.fill_id,
            order_id=fill.order_id,
            client_id=fill.client_id,
            trade_id=fill.trade_id,
            account=int(fill.account_id, 16),
            market=fill.symbol,
            side="BUY" if fill.side > 0 else "SELL",
            liquidity="MAKER" if fill.is_maker else "TAKER",
            price_e8=fill.price_e8,
            size_e8=fill.size_e8,
            remaining_e8=fill.remaining_e8,
            fee_e8=fill.fee_e8,
            fill_type="LIQUIDATION" if fill.is_liquidation else "FILL",
            realized_pnl_e8=fill.realised_e8,
            realized_funding_e8=fill.funding_e8,
            underlying_price_e8=self._exchange.mark_e8(fill.symbol),
            book_seq_no=self._book_seq_no(fill.symbol) + 1,  # the fill's change follows it
            created_us=fill.unix_ns // 1000,
        )

    def position_record(self, account: str, position: SimPosition) -> PositionRecord:
        updated_us = position.updated_unix_ns // 1000
        return PositionRecord(
            account=int(account, 16),
            market=position.symbol,
            size_e8=position.size_e8,
            average_entry_price_e8=position.entry_price_e8,
            average_entry_price_usd_e8=position.entry_price_e8,  # the settlement asset is taken at par
            cost_e8=position.cost_e8,
            cost_usd_e8=position.cost_e8,
            unrealized_pnl_e8=position.unrealised_e8 + position.unrealised_funding_e8,
            unrealized_funding_e8=position.unrealised_funding_e8,
            realized_pnl_e8=position.realised_e8,
            realized_funding_e8=position.realised_funding_e8,
            funding_index_e8=position.entry_funding_e12 // 10_000,
            liquidation_price_e8=position.liquidation_price_e8 or None,
            leverage_e8=E8 * E8 // position.initial_margin_ratio_e8,
            last_fill_id=position.last_fill_id,
            seq_no=self._next_seq_no(),
            created_us=position.opened_unix_ns // 1000,
            closed_us=0 if position.size_e8 else updated_us,
            updated_us=updated_us,
        )

    def account_record(self, account: str) -> AccountRecord:
        value = self._exchange.account(account)
        return AccountRecord(
            account=int(account, 16),
            total_collateral_e8=value.collateral_e8,
            account_value_e8=value.value_e8,
            free_collateral_e8=value.free_e8,
            initial_margin_e8=value.initial_margin_e8,
            maintenance_margin_e8=value.maintenance_margin_e8,
            is_liquidating=value.maintenance_margin_e8 > value.value_e8,
            seq_no=self._next_seq_no(),
            updated_us=value.updated_unix_ns // 1000,
        )

    def _next_seq_no(self) -> int:
        """A nanosecond-like number that only rises, over all private data."""
        self._last_seq_no = max(self._last_seq_no + 1, self._exchange.now_unix_ns())
        return self._last_seq_no
