"""What accounts are told: order updates, fills, user events, funding, and whole states after changes.

There is no sequence and no user in order updates; a snapshot comes first of fills and funding alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from simulator.exchange import Exchange
from simulator.hyperliquid import messages
from simulator.hyperliquid.errors import status_word
from simulator.hyperliquid.messages import MS_NS, Record
from simulator.hyperliquid.session import Members
from simulator.hyperliquid.sockets import Hub, Session, Topic
from simulator.orders import SimFill, SimOrder, SimOrderStatus
from venues.contract import E8

PRIVATE: Final = (
    *("orderUpdates", "userFills", "userEvents", "userFundings", "clearinghouseState", "spotState"),
    *("openOrders", "activeAssetData", "userNonFundingLedgerUpdates", "notification", "userHistoricalOrders"),
)
_PAGE: Final = 2_000


class PrivateFeed:
    """Keeps the venue's records of orders and fills, and publishes them."""

    def __init__(
        self, exchange: Exchange, hub: Hub, members: Members, state: Callable[[str], dict[str, Any]]
    ) -> None:
        self._exchange = exchange
        self._hub = hub
        self._members = members
        self._state = state
        self._records: dict[str, dict[int, Record]] = {}  # account -> oid -> record, oldest first
        self._by_cloid: dict[tuple[str, str], Record] = {}
        self._fills: dict[str, deque[dict[str, Any]]] = {}
        self._fundings: dict[str, deque[dict[str, Any]]] = {}
        self._held_e8: dict[tuple[str, str], int] = {}
        exchange.on_order(self._order_changed)
        exchange.on_fill(self._filled)

    # --- records ---

    def keep(self, record: Record) -> None:
        records = self._records.setdefault(record.account, {})
        records[record.oid] = record
        while len(records) > _PAGE:
            del records[next(iter(records))]
        if record.cloid is None:
            return
        known = self._by_cloid.get((record.account, record.cloid))
        if known is None or known.word != "open":  # a refused double does not hide the order that stands
            self._by_cloid[record.account, record.cloid] = record

    def find(self, account: str, name: int | str) -> Record | None:
        """An order by the venue's number or the client's text."""
        if isinstance(name, int):
            return self._records.get(account, {}).get(name)
        return self._by_cloid.get((account, name.lower()))

    def records(self, account: str) -> list[Record]:
        """Newest first."""
        return list(reversed(self._records.get(account, {}).values()))

    def open_records(self, account: str) -> list[Record]:
        return [record for record in self.records(account) if record.word == "open"]

    def fills(self, account: str) -> list[dict[str, Any]]:
        """Newest first."""
        return list(reversed(self._fills.get(account, ())))

    def fundings(self, account: str) -> list[dict[str, Any]]:
        return list(self._fundings.get(account, ()))

    # --- subscribers ---

    def greet(self, session: Session, topic: Topic) -> None:
        """Send a new subscriber what the venue sends first."""
        kind, user = topic
        if kind == "userFills":
            data: dict[str, Any] = {"isSnapshot": True, "user": user, "fills": self.fills(user)}
            self._hub.first(session, {"channel": kind, "data": data})
        elif kind == "userFundings":
            rows = [self._funding_row(row) for row in self.fundings(user)]
            data = {"isSnapshot": True, "user": user, "fundings": rows}
            self._hub.first(session, {"channel": kind, "data": data})
        elif kind == "clearinghouseState":
            self._hub.first(session, self._state_message(user))
        elif kind == "openOrders":
            self._hub.first(session, self._orders_message(user))

    # --- from the engine ---

    def refused(self, record: Record) -> None:
        """An order that was refused at once has a status, too."""
        self.keep(record)
        self._tell_order(record)

    def _order_changed(self, order: SimOrder) -> None:
        if order.status is SimOrderStatus.NEW:
            return  # nobody has heard of it yet: its fills and its end are told
        record = self.find(order.account_id, int(order.order_id)) or self._venue_record(order)
        record.take(order, status_word(order))
        self._tell_order(record)

    def _venue_record(self, order: SimOrder) -> Record:
        """The record of an order that the venue itself placed: a liquidation."""
        record = Record(
            oid=int(order.order_id),
            account=order.account_id,
            coin=order.symbol,
            side=order.side,
            limit_e8=order.limit_price_e8 or order.mark_price_e8,
            asked_e8=order.size_e8,
            left_e8=order.remaining_e8,
            tif="LiquidationMarket",
            reduce_only=True,
            cloid=None,
            created_ms=order.created_unix_ns // MS_NS,
        )
        self.keep(record)
        return record

    def _tell_order(self, record: Record) -> None:
        user = record.account
        message = {"channel": "orderUpdates", "data": [record.news()]}
        point = f"push.orders.{record.coin}"
        self._hub.publish(("orderUpdates", user), message, point=point, symbol=record.coin)
        if record.word not in ("open", "filled", "canceled") and "ancel" in record.word:
            event = {"nonUserCancel": [{"coin": record.coin, "oid": record.oid}]}
            self._tell_event(user, event, record.coin)
        if self._hub.listeners(("openOrders", user)):
            self._publish_newest("openOrders", user, self._orders_message(user))
        self.tell_state(user)

    def tell_state(self, user: str) -> None:
        if self._hub.listeners(("clearinghouseState", user)):
            self._publish_newest("clearinghouseState", user, self._state_message(user))

    def _publish_newest(self, kind: str, user: str, message: dict[str, Any]) -> None:
        self._hub.publish((kind, user), message, point=f"push.{kind}", symbol="", is_newest=True)

    def _tell_event(self, user: str, event: dict[str, Any], coin: str) -> None:
        message = {"channel": "user", "data": event}
        self._hub.publish(("userEvents", user), message, point=f"push.events.{coin}", symbol=coin)

    def _filled(self, fill: SimFill, order: SimOrder) -> None:
        user, coin = fill.account_id, fill.symbol
        start_e8 = self._held_e8.get((user, coin), 0)
        self._held_e8[user, coin] = start_e8 + fill.side * fill.size_e8
        self._members.member(user).volume_e8 += fill.price_e8 * fill.size_e8 // E8
        record = self.find(user, int(order.order_id)) or self._venue_record(order)
        liquidation = None
        if fill.is_liquidation:
            mark = messages.number(self._exchange.mark_e8(coin))
            liquidation = {"liquidatedUser": user, "markPx": mark, "method": "market"}
        row = messages.fill_row(fill, cloid=record.cloid, start_e8=start_e8, liquidation=liquidation)
        self._fills.setdefault(user, deque(maxlen=_PAGE)).append(row)
        message = {"channel": "userFills", "data": {"user": user, "fills": [row]}}
        self._hub.publish(("userFills", user), message, point=f"push.fills.{coin}", symbol=coin)
        self._tell_event(user, {"fills": [row]}, coin)

    # --- funding ---

    def settle_funding(self, rate_e12: Callable[[str], int]) -> None:
        """Pay every position's funding into its account, and tell it. Called once the hour has struck."""
        now_ms = self._exchange.now_unix_ns() // MS_NS
        for user in self._exchange.account_ids:
            for position in self._exchange.positions(user):
                if not position.size_e8:
                    continue
                paid_e8 = self._exchange.settle_funding(user, position.symbol)
                row = {
                    "time": now_ms,
                    "hash": messages.NO_HASH,
                    "delta": {
                        "type": "funding",
                        "coin": position.symbol,
                        "usdc": messages.number(paid_e8),
                        "szi": messages.number(position.size_e8),
                        "fundingRate": messages.rate(rate_e12(position.symbol)),
                        "nSamples": None,
                    },
                }
                self._fundings.setdefault(user, deque(maxlen=_PAGE)).append(row)
                data = {"user": user, "fundings": [self._funding_row(row)]}
                self._hub.publish(
                    ("userFundings", user),
                    {"channel": "userFundings", "data": data},
                    point=f"push.fundings.{position.symbol}",
                    symbol=position.symbol,
                )
            self.tell_state(user)

    @staticmethod
    def _funding_row(row: dict[str, Any]) -> dict[str, Any]:
        delta = {key: value for key, value in row["delta"].items() if key != "type"}
        return {"time": row["time"], **delta}

    def _state_message(self, user: str) -> dict[str, Any]:
        data = {"dex": "", "user": user, "clearinghouseState": self._state(user)}
        return {"channel": "clearinghouseState", "data": data}

    def _orders_message(self, user: str) -> dict[str, Any]:
        rows = [record.whole() for record in self.open_records(user)]
        return {"channel": "openOrders", "data": {"dex": "", "user": user, "orders": rows}}
