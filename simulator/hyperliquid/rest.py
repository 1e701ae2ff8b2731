"""``POST /info`` and ``POST /exchange``, and the same by a socket's post: one door, one fault plan.

Source: the venue's documentation, "Info endpoint" and "Exchange endpoint". Every read takes an address in
clear and answers for anybody's account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from simulator.exchange import Exchange
from simulator.faults import Fault, FaultPlan, shown_positions
from simulator.hyperliquid import instruments, messages, requests
from simulator.hyperliquid.errors import (
    CODES,
    DESERIALIZE,
    ActionRefused,
    NotParsed,
)
from simulator.hyperliquid.market_data import MarketFeed
from simulator.hyperliquid.messages import MS_NS
from simulator.hyperliquid.private_stream import PrivateFeed
from simulator.hyperliquid.session import Members, Weights
from simulator.hyperliquid.settings import HyperliquidSettings
from simulator.hyperliquid.trading import OrderEntry
from venues.contract import E8

Road = Literal["rest", "ws"]
_PAGE: Final = 2_000
_LIGHT: Final = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
_HEAVY: Final = frozenset({"userRole"})
# What faults call an action.
_VERBS: Final = {"order": "create", "cancel": "cancel", "cancelByCloid": "cancel", "noop": "void"}


class Reply(NamedTuple):
    """What a request is answered: JSON, or a status with a plain text."""

    status: int
    body: Any
    fault: Fault | None = None

    @property
    def is_json(self) -> bool:
        return self.status == 200


class Api:
    """Everything that can be asked of the venue."""

    def __init__(
        self,
        exchange: Exchange,
        order_entry: OrderEntry,
        members: Members,
        feed: PrivateFeed,
        market: MarketFeed,
        faults: FaultPlan,
        settings: HyperliquidSettings,
        rate_e12: Callable[[str], int],
    ) -> None:
        self._exchange = exchange
        self._order_entry = order_entry
        self._members = members
        self._feed = feed
        self._market = market
        self._faults = faults
        self._settings = settings
        self._rate_e12 = rate_e12
        self._weights = Weights(settings.ip_weight_per_minute)
        self.special_status = ""  # what exchangeStatus says; actions are then not taken
        self._answers: Mapping[str, Callable[[dict[str, Any]], Any]] = {
            "meta": lambda body: instruments.meta(exchange.is_trading),
            "spotMeta": lambda body: instruments.spot_meta(),
            "metaAndAssetCtxs": lambda body: [instruments.meta(exchange.is_trading), self._contexts()],
            "spotMetaAndAssetCtxs": lambda body: [instruments.spot_meta(), self._spot_contexts()],
            "perpDexs": lambda body: [None],
            "allMids": lambda body: market.mids(),
            "l2Book": self._book,
            "clearinghouseState": lambda body: self.state(self._user(body)),
            "spotClearinghouseState": self._spot_state,
            "openOrders": lambda body: [item.row() for item in feed.open_records(self._user(body))],
            "frontendOpenOrders": lambda body: [item.whole() for item in feed.open_records(self._user(body))],
            "orderStatus": self._order_status,
            "historicalOrders": lambda body: [item.history() for item in feed.records(self._user(body))][
                :_PAGE
            ],
            "userFills": lambda body: feed.fills(self._user(body))[:_PAGE],
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._fundings,
            "fundingHistory": self._funding_history,
            "userFees": self._fees,
            "userRateLimit": self._rate_limit,
            "userRole": lambda body: members.role(requests.address(body.get("user"))),
            "userAbstraction": lambda body: members.member(self._user(body)).mode,
            "extraAgents": self._agents,
            "subAccounts": lambda body: None,
            "activeAssetData": self._asset_data,
            "exchangeStatus": lambda body: {
                "time": self._now_ms(),
                "specialStatuses": self.special_status or None,
            },
        }

    # --- both roads ---

    async def info(self, road: Road, body: Any, remote: str) -> Reply:
        """Answer a question."""
        kind = body.get("type") if isinstance(body, dict) else None
        answer = self._answers.get(kind) if isinstance(kind, str) else None
        if answer is None:
            return Reply(422, DESERIALIZE)
        if road == "rest" and not self._weights.spend(
            remote, weight_of(str(kind)), self._exchange.now_unix_ns()
        ):
            return Reply(429, "Too Many Requests")
        name = {"orderStatus": "orders.query", "openOrders": "orders.open"}.get(str(kind), f"info.{kind}")
        fault = self._faults.take(f"{road}.{name}")
        if fault is not None and fault.answers_instead:
            return _instead(fault, "order")
        try:
            return Reply(200, answer(body), fault)
        except NotParsed:
            return Reply(422, DESERIALIZE)

    async def exchange(self, road: Road, body: Any, remote: str) -> Reply:
        """Carry out an action."""
        action = body.get("action") if isinstance(body, dict) else None
        kind = str(action.get("type")) if isinstance(action, dict) else ""
        verb = _VERBS.get(kind, kind)
        point = f"rest.orders.{verb}" if road == "rest" else f"ws.order.{verb}"
        fault = self._faults.take(point, _coin(action))
        if fault is not None and fault.answers_instead:
            if fault.is_carried_out:
                await self._act(body)
            return _instead(fault, "cancel" if verb == "cancel" else "order")
        if self.special_status:
            return Reply(500, "null", fault)
        if road == "rest" and not self._weights.spend(remote, 1, self._exchange.now_unix_ns()):
            return Reply(429, "Too Many Requests", fault)
        reply = await self._act(body)
        if fault is not None and fault.duplicate:
            again = await self._act(body)
            reply = again if fault.answers_last else reply
        return reply._replace(fault=fault)

    async def _act(self, body: Any) -> Reply:
        try:
            return Reply(200, await self._order_entry.act(body))
        except ActionRefused as refused:
            return Reply(200, refused.body)
        except NotParsed:
            return Reply(422, DESERIALIZE)

    # --- answers ---

    def _user(self, body: dict[str, Any]) -> str:
        """The account asked about: it exists from then on, where this run opens accounts."""
        address = requests.address(body.get("user"))
        self._members.asked_about(address)
        return address

    def state(self, user: str) -> dict[str, Any]:
        """The answer to ``clearinghouseState``, and the data of its channel."""
        summary = {
            "accountValue": "0.0",
            "totalNtlPos": "0.0",
            "totalRawUsd": "0.0",
            "totalMarginUsed": "0.0",
        }
        maintenance, withdrawable, positions = "0.0", "0.0", []
        if self._exchange.has_account(user):
            account = self._exchange.account(user)
            held = [item for item in self._exchange.positions(user) if item.size_e8]
            shown = [item for item in shown_positions(self._faults, held) if item.size_e8]
            value_e8 = sum(abs(item.size_e8) * item.mark_price_e8 // E8 for item in held)
            used_e8 = account.initial_margin_e8 - account.order_margin_e8
            summary = {
                "accountValue": messages.number(account.value_e8),
                "totalNtlPos": messages.number(value_e8),
                "totalRawUsd": messages.number(account.collateral_e8 - sum(item.cost_e8 for item in held)),
                "totalMarginUsed": messages.number(used_e8),
            }
            maintenance = messages.number(account.maintenance_margin_e8)
            withdrawable = messages.number(max(account.value_e8 - max(used_e8, value_e8 // 10), 0))
            positions = [
                messages.position_entry(
                    item, self._leverage(user, item.symbol), self._max_leverage(item.symbol)
                )
                for item in shown
            ]
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": maintenance,
            "withdrawable": withdrawable,
            "assetPositions": positions,
            "time": self._now_ms(),
        }

    def _max_leverage(self, coin: str) -> int:
        return E8 // self._exchange.instrument(coin).initial_margin_ratio_e8

    def _leverage(self, user: str, coin: str) -> int:
        return self._exchange.leverages(user).get(coin, self._max_leverage(coin))

    def _contexts(self) -> list[dict[str, Any]]:
        return [
            self._market.context(
                item.name if item.name in self._exchange.symbols else self._exchange.symbols[0]
            )
            for item in instruments.UNIVERSE
        ]

    def _spot_contexts(self) -> list[dict[str, Any]]:
        return [
            {
                "prevDayPx": messages.number(self._exchange.mark_e8(pair.name)),
                "dayNtlVlm": messages.number(self._market.volume_e8[pair.name]),
                "markPx": messages.number(self._exchange.mark_e8(pair.name)),
                "midPx": messages.number(self._exchange.mark_e8(pair.name)),
                "circulatingSupply": "0.0",
                "coin": pair.name,
                "totalSupply": "0.0",
                "dayBaseVlm": "0.0",
            }
            for pair in instruments.SPOT_PAIRS
        ]

    def _book(self, body: dict[str, Any]) -> Any:
        coin, figures = body.get("coin"), body.get("nSigFigs")
        if not isinstance(coin, str) or figures not in (None, 2, 3, 4, 5):
            raise NotParsed
        return self._market.book(coin, figures) if coin in self._exchange.symbols else None

    def _spot_state(self, body: dict[str, Any]) -> Any:
        user = self._user(body)
        total = "0.0"
        if self._members.member(user).mode in ("unifiedAccount", "portfolioMargin"):
            total = messages.number(self._exchange.account(user).value_e8)
        row = {"coin": "USDC", "token": 0, "total": total, "hold": "0.0", "entryNtl": "0.0"}
        return {"balances": [row]}

    def _order_status(self, body: dict[str, Any]) -> Any:
        user, name = self._user(body), body.get("oid")
        record = self._feed.find(user, requests.order_name(name))
        return {"status": "order", "order": record.history()} if record else {"status": "unknownOid"}

    def _history(self, body: dict[str, Any]) -> Any:
        return [record.history() for record in self._feed.records(self._user(body))][:_PAGE]

    def _fills_by_time(self, body: dict[str, Any]) -> Any:
        since, until = requests.unsigned(body.get("startTime")), body.get("endTime")
        rows = [row for row in self._feed.fills(self._user(body)) if since <= row["time"]]
        return [row for row in reversed(rows) if until is None or row["time"] <= until][:_PAGE]

    def _fundings(self, body: dict[str, Any]) -> Any:
        since = requests.unsigned(body.get("startTime", 0))  # ccxt leaves it out
        return [row for row in self._feed.fundings(self._user(body)) if row["time"] >= since]

    def _funding_history(self, body: dict[str, Any]) -> Any:
        coin = body.get("coin")
        if coin not in self._exchange.symbols:
            return None
        rate = messages.rate(self._rate_e12(coin))
        hour_ms = self._now_ms() // 3_600_000 * 3_600_000
        return [{"coin": coin, "fundingRate": rate, "premium": "0.0", "time": hour_ms}]

    def _fees(self, body: dict[str, Any]) -> Any:
        requests.address(body.get("user"))
        # The venue has one rate for all perpetuals. Where a run gives them several, it is the highest: an
        # account that reckons with it is not surprised.
        listed = [item.name for item in instruments.UNIVERSE if item.name in self._exchange.symbols]
        perpetuals = [self._exchange.instrument(name) for name in listed]
        taker = messages.number(max(item.taker_fee_rate_e8 for item in perpetuals))
        maker = messages.number(max(item.maker_fee_rate_e8 for item in perpetuals))
        return {
            "dailyUserVlm": [],
            "feeSchedule": {"cross": taker, "add": maker, "spotCross": "0.0007", "spotAdd": "0.0004"},
            "userCrossRate": taker,
            "userAddRate": maker,
            "userSpotCrossRate": "0.0007",
            "userSpotAddRate": "0.0004",
            "activeReferralDiscount": "0.0",
        }

    def _rate_limit(self, body: dict[str, Any]) -> Any:
        user = self._user(body)
        member = self._members.member(user)
        return {
            "cumVlm": messages.number(member.volume_e8),
            "nRequestsUsed": member.requests,
            "nRequestsCap": self._members.budget(user),
            "nRequestsSurplus": 0,
        }

    def _agents(self, body: dict[str, Any]) -> Any:
        user = self._user(body)
        return [
            {"name": agent.name, "address": address, "validUntil": agent.until_ms}
            for address, agent in self._members.agents.items()
            if agent.account == user and agent.name
        ]

    def _asset_data(self, body: dict[str, Any]) -> Any:
        user, coin = self._user(body), body.get("coin")
        if coin not in self._exchange.symbols:
            raise NotParsed
        mark = messages.number(self._exchange.mark_e8(coin))
        leverage = {"type": "cross", "value": self._leverage(user, coin)}
        return {"user": user, "coin": coin, "leverage": leverage, "maxTradeSzs": ["0.0", "0.0"],
                "availableToTrade": ["0.0", "0.0"], "markPx": mark}  # fmt: skip

    def _now_ms(self) -> int:
        return self._exchange.now_unix_ns() // MS_NS


def weight_of(kind: str) -> int:
    """What a question costs of the weight that an address has each minute."""
    return 2 if kind in _LIGHT else 60 if kind in _HEAVY else 20


def _coin(action: Any) -> str:
    """The coin of an action's first order, for faults that are limited to one; "" of every other."""
    try:
        return instruments.NAME_OF.get(action["orders"][0]["a"], "")
    except (KeyError, IndexError, TypeError):
        return ""


def _instead(fault: Fault, kind: str) -> Reply:
    """What a fault answers in place of the venue."""
    if not fault.code:
        if fault.status == 200:
            return Reply(200, fault.body, fault)
        return Reply(fault.status, fault.body.decode(), fault)
    shape, text = CODES[fault.code]
    if shape == "http":
        status, _, reason = text.partition(" ")
        return Reply(int(status), reason, fault)
    if shape == "action":
        return Reply(200, {"status": "err", "response": text}, fault)
    data = {"statuses": [{"error": text}]}
    return Reply(200, {"status": "ok", "response": {"type": kind, "data": data}}, fault)
