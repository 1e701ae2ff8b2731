"""The last gates before an entry's bytes leave. Exits, repairs and cancels never pass here.

Each gate is a small function of one ``EntryCheck`` and says no with a ``Refusal``: the gate's name,
the value and the limit. The order is from the cheapest and most decisive to the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from settings import RiskSettings
from venues.contract import E8


class Gate(StrEnum):
    STOPPING = "stopping"  # the instance is being stopped
    PAUSED = "paused"  # the operator has paused entries
    SIGNAL_AGE = "signal_age"  # decided too long ago
    VENUE_READY = "venue_ready"  # a venue is not logged in, silent, or has no connection free
    LEG_PRICE = "leg_price"  # a leg has no usable price now
    BREAKER = "breaker"  # too many failures in a row
    DAILY_LOSS = "daily_loss"  # today's realised loss
    ORDERS_PER_MINUTE = "orders_per_minute"
    ORDER_NOTIONAL = "order_notional"  # of one leg's order
    POSITION_NOTIONAL = "position_notional"  # of everything held on one venue, with this order
    PRICE_COLLAR = "price_collar"  # a limit against the other venue's price


class Refusal(NamedTuple):
    """Why not. Amounts in quote currency, ages in ms, prices in bps."""

    gate: Gate
    value: float
    limit: float


class EntryLeg(NamedTuple):
    """One leg of an entry, as it would be sent."""

    limit_price_e8: int
    size_e8: int
    venue_notional_e8: int  # absolute positions on this leg's venue now, at present prices
    other_mid_e8: int  # middle of the other leg's touch; 0 when it has no usable one
    can_send: bool


class EntryCheck(NamedTuple):
    """Everything the gates look at, taken at one instant."""

    now_mono_ns: int
    decided_mono_ns: int
    expires_mono_ns: int
    is_stopping: bool
    is_paused: bool
    is_breaker_open: bool
    failures: int
    orders_last_minute: int
    result_today_e8: int
    legs: tuple[EntryLeg, EntryLeg]


def refuse_entry(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    """The first gate that says no, or None when the entry may leave."""
    for gate in _GATES:
        refusal = gate(check, risk)
        if refusal is not None:
            return refusal
    return None


def _stopping(check: EntryCheck, _: RiskSettings) -> Refusal | None:
    return Refusal(Gate.STOPPING, 1, 0) if check.is_stopping else None


def _paused(check: EntryCheck, _: RiskSettings) -> Refusal | None:
    return Refusal(Gate.PAUSED, 1, 0) if check.is_paused else None


def _signal_age(check: EntryCheck, _: RiskSettings) -> Refusal | None:
    if check.now_mono_ns <= check.expires_mono_ns:
        return None
    age_ms = (check.now_mono_ns - check.decided_mono_ns) / 1e6
    return Refusal(Gate.SIGNAL_AGE, age_ms, (check.expires_mono_ns - check.decided_mono_ns) / 1e6)


def _venue_ready(check: EntryCheck, _: RiskSettings) -> Refusal | None:
    ready = sum(leg.can_send for leg in check.legs)
    return None if ready == 2 else Refusal(Gate.VENUE_READY, ready, 2)


def _leg_price(check: EntryCheck, _: RiskSettings) -> Refusal | None:
    priced = sum(leg.other_mid_e8 > 0 for leg in check.legs)
    return None if priced == 2 else Refusal(Gate.LEG_PRICE, priced, 2)


def _breaker(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    if not check.is_breaker_open:
        return None
    return Refusal(Gate.BREAKER, check.failures, risk.max_consecutive_failures)


def _daily_loss(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    loss_e8 = -check.result_today_e8
    if loss_e8 < risk.max_daily_loss_quote_e8:
        return None
    return Refusal(Gate.DAILY_LOSS, loss_e8 / E8, risk.max_daily_loss_quote_e8 / E8)


def _orders_per_minute(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    orders = check.orders_last_minute + len(check.legs)
    if orders <= risk.max_orders_per_minute:
        return None
    return Refusal(Gate.ORDERS_PER_MINUTE, orders, risk.max_orders_per_minute)


def _order_notional(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    largest_e8 = max(_notional_e8(leg) for leg in check.legs)
    if largest_e8 <= risk.max_order_notional_quote_e8:
        return None
    return Refusal(Gate.ORDER_NOTIONAL, largest_e8 / E8, risk.max_order_notional_quote_e8 / E8)


def _position_notional(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    largest_e8 = max(leg.venue_notional_e8 + _notional_e8(leg) for leg in check.legs)
    if largest_e8 <= risk.max_position_notional_quote_e8:
        return None
    return Refusal(Gate.POSITION_NOTIONAL, largest_e8 / E8, risk.max_position_notional_quote_e8 / E8)


def _price_collar(check: EntryCheck, risk: RiskSettings) -> Refusal | None:
    furthest_bps = max(
        10_000 * abs(leg.limit_price_e8 - leg.other_mid_e8) / leg.other_mid_e8 for leg in check.legs
    )
    if furthest_bps <= risk.price_collar_bps:
        return None
    return Refusal(Gate.PRICE_COLLAR, furthest_bps, risk.price_collar_bps)


def _notional_e8(leg: EntryLeg) -> int:
    return leg.size_e8 * leg.limit_price_e8 // E8


_GATES: tuple[Callable[[EntryCheck, RiskSettings], Refusal | None], ...] = (
    _stopping,
    _paused,
    _signal_age,
    _venue_ready,
    _leg_price,  # before the collar, which divides by it
    _breaker,
    _daily_loss,
    _orders_per_minute,
    _order_notional,
    _position_notional,
    _price_collar,
)


class OrderRate:
    """How many orders were written in the last minute."""

    _MINUTE_NS = 60_000_000_000

    def __init__(self) -> None:
        self._sent_mono_ns: deque[int] = deque()

    def count(self, now_mono_ns: int) -> None:
        self._sent_mono_ns.append(now_mono_ns)

    def last_minute(self, now_mono_ns: int) -> int:
        while self._sent_mono_ns and self._sent_mono_ns[0] <= now_mono_ns - self._MINUTE_NS:
            self._sent_mono_ns.popleft()
        return len(self._sent_mono_ns)


class Breaker:
    """Stops entries after too many failures in a row.

    After the pause it is half open: one entry is let through. Its success closes the breaker, its
    failure opens it for another pause. A method returns True when it changed what is allowed.
    """

    def __init__(self, risk: RiskSettings) -> None:
        self._failures_max = risk.max_consecutive_failures
        self._pause_ns = int(risk.breaker_pause_s * 1e9)
        self._open_until_mono_ns = 0  # 0: closed
        self._is_trying = False  # half open, and the one entry is under way
        self.failures = 0

    @property
    def has_tripped(self) -> bool:
        """Since the last success: open or half open."""
        return self._open_until_mono_ns > 0

    def is_open(self, now_mono_ns: int) -> bool:
        """Whether an entry must not leave now."""
        return self._is_trying or now_mono_ns < self._open_until_mono_ns

    def entry_left(self) -> None:
        """An entry was sent; in the half-open state it is the only one until it is decided."""
        self._is_trying = self.has_tripped

    def failed(self, now_mono_ns: int) -> bool:
        self.failures += 1
        if not self._is_trying and (self.has_tripped or self.failures < self._failures_max):
            return False
        self._is_trying = False
        self._open_until_mono_ns = now_mono_ns + self._pause_ns
        return True

    def undecided(self) -> None:
        """The entry ended with nothing to judge by: neither leg filled. Another may try."""
        self._is_trying = False

    def succeeded(self) -> bool:
        had_tripped = self.has_tripped
        self.failures = 0
        self._is_trying = False
        self._open_until_mono_ns = 0
        return had_tripped
