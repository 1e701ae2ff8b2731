"""Hands accepted orders to the engine after their latency, with what a fault makes of them."""

from __future__ import annotations

from collections.abc import Callable

from simulator.exchange import Exchange, Reason, SimOrder
from simulator.faults import Fault, FaultPlan

Later = Callable[[float, Callable[[], object]], object]  # (milliseconds, what to do then)


def execute_later(
    exchange: Exchange, faults: FaultPlan, order: SimOrder, *, latency_ms: float, later: Later
) -> None:
    """Execute a NEW order after the engine's latency, as the plan's faults at ``execute`` let it."""
    fault = faults.take(f"execute.{order.symbol}", order.symbol)
    if fault is None:
        later(latency_ms, lambda: exchange.execute(order.order_id))
    elif fault.steps > 1:
        _execute_in_steps(exchange, order, fault, latency_ms=latency_ms, later=later)
    else:
        later(latency_ms + fault.delay_ms, lambda: _execute(exchange, order, fault))


def _execute(exchange: Exchange, order: SimOrder, fault: Fault) -> None:
    if fault.reason is not None:
        _give_back(exchange, order, fault.reason)
    elif fault.share < 1:
        exchange.execute_part(order.order_id, _on_lot(exchange, order, fault.share))
        _give_back(exchange, order, Reason.NO_LIQUIDITY)
    else:
        exchange.execute(order.order_id)


def _execute_in_steps(
    exchange: Exchange, order: SimOrder, fault: Fault, *, latency_ms: float, later: Later
) -> None:
    """Fill equal parts ``delay_ms`` apart; the last step is what any order meets, for what remains."""
    part_e8 = _on_lot(exchange, order, 1 / fault.steps)
    for step in range(fault.steps - 1):
        wait_ms = latency_ms + step * fault.delay_ms
        later(wait_ms, lambda: exchange.execute_part(order.order_id, part_e8))
    last_ms = latency_ms + (fault.steps - 1) * fault.delay_ms
    later(last_ms, lambda: exchange.execute(order.order_id))


def _give_back(exchange: Exchange, order: SimOrder, reason: Reason) -> None:
    now = exchange.order(order.order_id)
    if now is not None and not now.status.is_final:
        exchange.cancel(order.order_id, reason)


def _on_lot(exchange: Exchange, order: SimOrder, share: float) -> int:
    """This part of an order's size in whole lots, at least one."""
    lot_e8 = exchange.instrument(order.symbol).lot_e8
    return max(round(order.size_e8 * share) // lot_e8, 1) * lot_e8
