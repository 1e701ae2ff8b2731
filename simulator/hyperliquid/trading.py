"""Orders and other actions: checked, put into blocks, executed, answered.

Source: the venue's documentation, "Exchange endpoint" and "Order book". An answer comes after the execution:
what an IOC did is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from simulator.exchange import Exchange, Refused, SimOrder, SimOrderStatus
from simulator.faults import Fault, FaultPlan
from simulator.hyperliquid import messages, requests
from simulator.hyperliquid.errors import (
    CANNOT_MODIFY,
    NEVER_PLACED,
    POST_ONLY_WINDOW,
    ActionRefused,
    NotParsed,
    OrderRefused,
    refusal,
)
from simulator.hyperliquid.instruments import MIN_NOTIONAL_E8, NAME_OF
from simulator.hyperliquid.messages import MS_NS, Record
from simulator.hyperliquid.private_stream import PrivateFeed
from simulator.hyperliquid.requests import Envelope, OrderSpec
from simulator.hyperliquid.session import Members
from simulator.hyperliquid.settings import HyperliquidSettings
from simulator.hyperliquid.signing import USER_SIGNED, action_digest, action_hash, recover, user_digest
from simulator.orders import BUY, SELL, NewOrder, Reason
from venues.contract import E8

_ORDERS_MAX: Final = 200  # of one action
_EXPIRED_COST: Final = 5
Run = Callable[[str], Awaitable[dict[str, Any]]]  # for an account
_DEFAULT: Final[dict[str, Any]] = {"status": "ok", "response": {"type": "default"}}


class Blocks:
    """The venue's block clock: what waits for a block is let through with it, in the venue's order."""

    OTHERS, CANCELS, TAKERS = range(3)

    def __init__(self, interval_ms: float) -> None:
        self._interval_s = interval_ms / 1e3
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    async def next(self, kind: int) -> None:
        """Wait for the block that an action of this kind, arriving now, is part of."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.append((kind, waiter))
        if self._timer is None:
            self._timer = loop.call_later(self._interval_s, self._close)
        await waiter

    def _close(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, []
        for _, waiter in sorted(waiting, key=lambda item: item[0]):
            if not waiter.done():
                waiter.set_result(None)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class OrderEntry:
    """Takes actions of every account by every road. Belongs to the event loop's thread."""

    def __init__(
        self,
        exchange: Exchange,
        members: Members,
        feed: PrivateFeed,
        faults: FaultPlan,
        settings: HyperliquidSettings,
    ) -> None:
        self._exchange = exchange
        self._members = members
        self._feed = feed
        self._faults = faults
        self._settings = settings
        self._refused_orders = 0
        self.blocks = Blocks(settings.ack_latency_ms)
        self.takes_only_post_only = False

    async def act(self, body: Any) -> dict[str, Any]:
        """Carry out a signed action; return its answer. Raises NotParsed and ActionRefused."""
        envelope = Envelope.parse(body)
        if envelope.kind in USER_SIGNED:
            return self._act_for_user(envelope)
        run, kind, weight = self._parse(envelope)
        account = self._admit(envelope)
        self._members.spend(account, weight, is_cancel=kind == Blocks.CANCELS)
        await self.blocks.next(kind)
        return await run(account)

    def _admit(self, envelope: Envelope) -> str:
        """The account an action is for, its nonce used up. Raises ActionRefused."""
        now_ms = self._now_ms()
        try:
            hashed = action_hash(envelope.action, envelope.nonce, envelope.vault, envelope.expires_after)
        except ValueError:
            raise NotParsed from None
        digest = action_digest(hashed, is_mainnet=self._settings.is_mainnet)
        signer = recover(digest, envelope.signature)
        account = self._members.account_of(signer, envelope.vault, now_ms)
        assert signer is not None
        self._members.take_nonce(signer, envelope.nonce, now_ms)
        if envelope.expires_after is not None and envelope.expires_after <= now_ms:
            self._members.spend(account, _EXPIRED_COST, is_cancel=False)
            raise ActionRefused("Action already expired")
        return account

    def _act_for_user(self, envelope: Envelope) -> dict[str, Any]:
        """An action that only the account's own key may sign."""
        action, now_ms = envelope.action, self._now_ms()
        if envelope.vault is not None or envelope.expires_after is not None:
            raise NotParsed
        try:
            signer = recover(user_digest(action), envelope.signature)
        except ValueError:
            raise NotParsed from None
        chain = "Mainnet" if self._settings.is_mainnet else "Testnet"
        if signer is None or action["hyperliquidChain"] != chain:
            raise ActionRefused("Unable to recover signer.")
        if signer in self._members.agents or not self._exchange.has_account(signer):
            raise ActionRefused(f"Must deposit before performing actions. User: {signer}")
        self._members.take_nonce(signer, envelope.nonce, now_ms)
        if envelope.kind != "approveAgent":
            raise ActionRefused(f"{envelope.kind} is not simulated")
        agent = requests.address(action["agentAddress"])
        self._members.approve(signer, agent, str(action.get("agentName", "")), now_ms)
        return _DEFAULT

    def _parse(self, envelope: Envelope) -> tuple[Run, int, int]:
        """What to run for an account, its place in a block, and how many requests it counts as."""
        action, kind = envelope.action, envelope.kind
        match kind:
            case "order":
                specs = requests.orders(action)
                place = Blocks.TAKERS if any(spec.takes for spec in specs) else Blocks.OTHERS
                return (lambda account: self._place_all(account, specs)), place, len(specs)
            case "cancel" | "cancelByCloid":
                wanted = requests.cancels(action)
                if len(wanted) > _ORDERS_MAX:
                    raise ActionRefused(f"Signed action over weight limit of {_ORDERS_MAX}.")
                return (lambda account: self._cancel_all(account, wanted)), Blocks.CANCELS, len(wanted)
            case "modify" | "batchModify":
                changes = requests.modifies(action)
                is_single = kind == "modify"
                return (
                    (lambda account: self._modify_all(account, changes, is_single=is_single)),
                    Blocks.TAKERS,
                    len(changes),
                )
            case "scheduleCancel":
                requests.fields(action, {"type": str}, {"time": int})
                return (lambda account: self._schedule_cancel(account, action.get("time"))), Blocks.OTHERS, 1
            case "updateLeverage":
                requests.fields(action, {"type": str, "asset": int, "isCross": bool, "leverage": int})
                return (lambda account: self._set_leverage(account, action)), Blocks.OTHERS, 1
            case "noop":
                requests.fields(action, {"type": str})
                return _nothing, Blocks.OTHERS, 1
        raise NotParsed

    # --- orders ---

    async def _place_all(self, account: str, specs: list[OrderSpec]) -> dict[str, Any]:
        statuses = [await self._placed(account, spec) for spec in specs]
        return {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}

    async def _placed(self, account: str, spec: OrderSpec) -> dict[str, Any]:
        """What became of one order: resting, filled, or an error."""
        coin = NAME_OF.get(spec.asset)
        if coin is None or coin not in self._exchange.symbols:
            # A delisted coin keeps its number and takes no orders.
            return {"error": f"Order has invalid asset. asset={spec.asset}"}
        try:
            order, record = self._submit(account, coin, spec)
            order = await self._execute(order, coin)
            return self._fate(order, record)
        except OrderRefused as error:
            return {"error": f"{error.text} asset={spec.asset}"}

    def _submit(self, account: str, coin: str, spec: OrderSpec) -> tuple[SimOrder, Record]:
        """Register an order with engine and records. Raises OrderRefused, and then it has a status, too."""
        side = BUY if spec.is_buy else SELL
        try:
            size_e8 = self._check(account, coin, side, spec)
            new = NewOrder(
                coin,
                side,
                size_e8,
                spec.price_e8,
                "IOC" if spec.tif == "Ioc" else "GTC",
                post_only=spec.tif == "Alo",
                reduce_only=spec.reduce_only,
                client_id=spec.cloid or "",
            )
            self._cancel_own(account, coin, side, spec)
            try:
                order = self._exchange.submit(account, new)
            except Refused as refused:
                raise refusal(refused.reason) from None
        except OrderRefused as error:
            now_ms, self._refused_orders = self._now_ms(), self._refused_orders + 1
            record = self._record(account, coin, spec, oid=own_id(now_ms, self._refused_orders))
            record.word = error.word
            self._feed.refused(record)
            raise
        record = self._record(account, coin, spec, oid=int(order.order_id))
        self._feed.keep(record)
        return order, record

    def _record(self, account: str, coin: str, spec: OrderSpec, *, oid: int) -> Record:
        now_ms = self._now_ms()
        return Record(
            oid=oid,
            account=account,
            coin=coin,
            side=BUY if spec.is_buy else SELL,
            limit_e8=spec.price_e8,
            asked_e8=spec.size_e8,
            left_e8=spec.size_e8,
            tif=spec.tif,
            reduce_only=spec.reduce_only,
            cloid=spec.cloid,
            created_ms=now_ms,
            word_ms=now_ms,
        )

    def _check(self, account: str, coin: str, side: int, spec: OrderSpec) -> int:
        """The size an order is taken with. Raises OrderRefused."""
        instrument = self._exchange.instrument(coin)
        if self.takes_only_post_only and spec.takes:
            raise OrderRefused(POST_ONLY_WINDOW, "rejected")
        if not spec.price_e8 or spec.price_e8 % instrument.tick_e8:
            raise OrderRefused("Order has invalid price.", "tickRejected")
        if spec.price_e8 % instrument.price_step_e8(spec.price_e8):
            raise OrderRefused("Price must be divisible by tick size.", "tickRejected")
        if not spec.size_e8:
            raise OrderRefused("Order has zero size.", "rejected")
        if spec.size_e8 % instrument.lot_e8:
            raise OrderRefused("Order has invalid size.", "rejected")
        if spec.cloid is not None:
            known = self._feed.find(account, spec.cloid)
            if known is not None and known.word == "open":  # assumed: only while one is open
                raise OrderRefused("Duplicate client order id.", "rejected")
        position_e8 = self._position_e8(account, coin)
        size_e8 = spec.size_e8
        if spec.reduce_only:
            if side * position_e8 >= 0:
                raise refusal(Reason.REDUCE_ONLY_INCREASES)
            size_e8 = min(size_e8, abs(position_e8))
        is_whole_close = spec.reduce_only and size_e8 == abs(position_e8)
        if spec.size_e8 * spec.price_e8 // E8 < MIN_NOTIONAL_E8 and not is_whole_close:
            raise OrderRefused("Order must have minimum value of $10.", "minTradeNtlRejected")
        return size_e8

    def _position_e8(self, account: str, coin: str) -> int:
        held = {position.symbol: position.size_e8 for position in self._exchange.positions(account)}
        return held.get(coin, 0)

    def _cancel_own(self, account: str, coin: str, side: int, spec: OrderSpec) -> None:
        """A taker that would meet its own account's order cancels that one and goes on."""
        if not spec.takes:
            return
        for resting in self._exchange.open_orders(account, coin):
            assert resting.limit_price_e8 is not None
            if resting.side == -side and side * (spec.price_e8 - resting.limit_price_e8) >= 0:
                self._exchange.cancel(resting.order_id, Reason.SELF_TRADE)

    async def _execute(self, order: SimOrder, coin: str) -> SimOrder:
        """Through risk and matching, as the plan's faults at ``execute`` let it."""
        fault = self._faults.take(f"execute.{coin}", coin)
        if fault is None:
            return self._exchange.execute(order.order_id)
        if fault.steps > 1:
            part_e8 = self._on_lot(order, 1 / fault.steps)
            for _ in range(fault.steps - 1):
                self._exchange.execute_part(order.order_id, part_e8)
                await asyncio.sleep(fault.delay_ms / 1e3)
            return self._exchange.execute(order.order_id)
        if fault.delay_ms:
            await asyncio.sleep(fault.delay_ms / 1e3)
        return self._execute_faulty(order, fault)

    def _execute_faulty(self, order: SimOrder, fault: Fault) -> SimOrder:
        if fault.reason is not None:
            return self._exchange.cancel(order.order_id, fault.reason)
        if fault.share < 1:
            self._exchange.execute_part(order.order_id, self._on_lot(order, fault.share))
            now = self._exchange.order(order.order_id)
            if now is not None and not now.status.is_final:
                return self._exchange.cancel(order.order_id, Reason.NO_LIQUIDITY)
        return self._exchange.execute(order.order_id)

    def _on_lot(self, order: SimOrder, share: float) -> int:
        lot_e8 = self._exchange.instrument(order.symbol).lot_e8
        return max(round(order.size_e8 * share) // lot_e8, 1) * lot_e8

    def _fate(self, order: SimOrder, record: Record) -> dict[str, Any]:
        """An order's own answer. Raises OrderRefused for one that neither filled nor rests."""
        named = {"oid": record.oid} | ({"cloid": record.cloid} if record.cloid is not None else {})
        if order.filled_e8:
            size, price = messages.number(order.filled_e8), messages.number(order.average_price_e8)
            return {"filled": {"totalSz": size, "avgPx": price, **named}}
        if order.status is SimOrderStatus.OPEN:
            return {"resting": named}
        assert order.reason is not None
        bids, asks = self._exchange.depth(order.symbol, 1)
        bbo = "@".join(messages.number(side[0][0]) if side else "none" for side in (bids, asks))
        raise refusal(order.reason, bbo=bbo)

    # --- cancels and changes ---

    async def _cancel_all(self, account: str, wanted: list[tuple[int, int | str]]) -> dict[str, Any]:
        statuses = [self._cancelled(account, asset, name) for asset, name in wanted]
        return {"status": "ok", "response": {"type": "cancel", "data": {"statuses": statuses}}}

    def _cancelled(self, account: str, asset: int, name: int | str) -> Any:
        record = self._feed.find(account, name)
        if record is None or record.word != "open" or NAME_OF.get(asset) != record.coin:
            return {"error": f"{NEVER_PLACED} asset={asset}"}
        try:
            self._exchange.cancel(str(record.oid))
        except Refused:
            return {"error": f"{NEVER_PLACED} asset={asset}"}
        return "success"

    async def _modify_all(
        self, account: str, changes: list[tuple[int | str, OrderSpec]], *, is_single: bool
    ) -> dict[str, Any]:
        """Cancel and place anew, under a new number and the same client's text."""
        statuses = []
        for name, spec in changes:
            record = self._feed.find(account, name)
            if record is None or record.word != "open":
                statuses.append({"error": f"{CANNOT_MODIFY} asset={spec.asset}"})
                continue
            self._exchange.cancel(str(record.oid))
            statuses.append(await self._placed(account, spec))
        if not is_single:
            return {"status": "ok", "response": {"type": "order", "data": {"statuses": statuses}}}
        if "error" in statuses[0]:
            raise ActionRefused(str(statuses[0]["error"]))
        return _DEFAULT

    async def _schedule_cancel(self, account: str, at_ms: int | None) -> dict[str, Any]:
        member, now_ms = self._members.member(account), self._now_ms()
        if member.volume_e8 < self._settings.schedule_cancel_volume_e8:
            raise ActionRefused(
                "Cannot set scheduled cancel time until enough volume traded. Required: $1000000. Traded:"
                f" ${member.volume_e8 / E8:.2f}."
            )
        if at_ms is not None and at_ms < now_ms + 5_000:
            raise ActionRefused("Scheduled cancel time too early, must be at least 5 seconds from now.")
        member.cancel_at_ms = at_ms
        return _DEFAULT

    def cancel_scheduled(self) -> None:
        """Cancel every open order of the accounts whose time has come. Called about once a second."""
        now_ms = self._now_ms()
        for address, member in self._members.by_address.items():
            if member.cancel_at_ms is not None and member.cancel_at_ms <= now_ms:
                member.cancel_at_ms = None
                self._exchange.cancel_all(address)

    async def _set_leverage(self, account: str, action: dict[str, Any]) -> dict[str, Any]:
        coin = NAME_OF.get(action["asset"])
        if coin is None or coin not in self._exchange.symbols:
            raise ActionRefused("Invalid asset.")
        if not 1 <= action["leverage"] <= E8 // self._exchange.instrument(coin).initial_margin_ratio_e8:
            raise ActionRefused("Invalid leverage value.")
        try:
            self._exchange.set_leverage(account, coin, action["leverage"])
        except Refused:
            raise ActionRefused("Insufficient margin to change leverage.") from None
        return _DEFAULT

    def _now_ms(self) -> int:
        return self._exchange.now_unix_ns() // MS_NS


async def _nothing(account: str) -> dict[str, Any]:
    return _DEFAULT


def make_id(now_unix_ns: int, sequence: int) -> str:
    """Order, trade and fill ids: numbers that fit 2^53 and rise with time, so unique over restarts."""
    return str(_id(now_unix_ns // MS_NS, 2 * sequence))


def own_id(now_ms: int, sequence: int) -> int:
    """The number of an order that never reached the engine."""
    return _id(now_ms, 2 * sequence + 1)


def _id(now_ms: int, number: int) -> int:
    return (now_ms - 1_600_000_000_000) * 1_000 + number % 1_000
