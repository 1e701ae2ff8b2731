"""What Hyperliquid's answers about one account say, in the contract's words.

Source: the venue's documentation, "Info endpoint" and "Perpetuals", read in November 2026.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from venues.contract import (
    E8,
    Account,
    HttpResponse,
    OrderAck,
    OrderRef,
    OrderStatus,
    OrderUpdate,
    Outcome,
    Position,
    TransportError,
    parse_e8,
)
from venues.hyperliquid import errors
from venues.hyperliquid.hosts import NAME
from venues.hyperliquid.messages import (
    ClearinghouseState,
    Executions,
    OrderNews,
    PositionRow,
    client_order_id,
    decode,
    exact_e8,
    order_status,
    report_e8,
)

_NS_PER_MS: Final = 1_000_000

R = TypeVar("R")


class SpotBalance(msgspec.Struct):
    coin: str
    total: str


class SpotState(msgspec.Struct):
    balances: list[SpotBalance]


def reading(make: Callable[[], R], what: str) -> R:
    """What ``make`` makes of an answer's figures. TransportError where they are none."""
    try:
        return make()
    except ValueError as error:
        raise TransportError(f"{NAME}: {what}: {error}") from None


def update_of(news: OrderNews, instrument_id: int, fills: Executions) -> OrderUpdate:
    """An order as it stands, with what its fills add up to. ValueError for figures that cannot be."""
    row, status = news.order, order_status(news.status)
    size_e8, left_e8 = exact_e8(row.origSz), exact_e8(row.sz)
    if left_e8 > size_e8:
        raise ValueError(f"order {row.oid}: {left_e8} of {size_e8} e8 remain")
    filled_e8: int | None = 0 if status is OrderStatus.REJECTED else size_e8 - left_e8
    is_settled = fills.size_e8 == filled_e8
    if status.is_final and row.reduceOnly and not is_settled:
        # The venue may have cut it to the position: what remains of it does not say what it filled.
        filled_e8, status = None, OrderStatus.CANCELLED
    if status is OrderStatus.FILLED and filled_e8 != size_e8:
        status = OrderStatus.CANCELLED  # the rest of an IOC was given back
    return OrderUpdate(
        client_order_id=client_order_id(row.cloid),
        venue_order_id=str(row.oid),
        instrument_id=instrument_id,
        status=status,
        size_e8=size_e8,
        filled_e8=filled_e8,
        average_price_e8=(fills.average_price_e8 or None) if is_settled else None,
        fee_e8=fills.fee_e8 if is_settled else None,
        reason="" if status in (OrderStatus.OPEN, OrderStatus.FILLED) else news.status[:40],
        venue_unix_ns=news.statusTimestamp * _NS_PER_MS,
    )


def voided(ref: OrderRef, size_e8: int) -> OrderUpdate:
    """An order that another action has taken the nonce of: it was never executed and never will be."""
    return OrderUpdate(
        client_order_id=ref.client_order_id,
        venue_order_id="",
        instrument_id=ref.instrument.instrument_id,
        status=OrderStatus.REJECTED,
        size_e8=size_e8,
        filled_e8=0,
        average_price_e8=None,
        fee_e8=0,
        reason="its nonce was voided",
        venue_unix_ns=0,
    )


def position_of(row: PositionRow, instrument_id: int) -> Position:
    size_e8 = parse_e8(row.szi)
    value_e8 = report_e8(row.positionValue or "0")
    return Position(
        instrument_id=instrument_id,
        size_e8=size_e8,
        entry_price_e8=report_e8(row.entryPx or "0"),
        mark_price_e8=abs(value_e8) * E8 // abs(size_e8) if size_e8 else 0,
        liquidation_price_e8=max(report_e8(row.liquidationPx or "0"), 0),
    )


def account_of(state: ClearinghouseState, spot: SpotState | None) -> Account:
    """The cross margin account; with one balance for everything, the value is the USDC held on spot."""
    value_e8 = report_e8(state.crossMarginSummary.accountValue)
    if spot is not None:
        value_e8 = sum(report_e8(item.total) for item in spot.balances if item.coin == "USDC")
    return Account(
        value_e8=value_e8,
        free_e8=max(value_e8 - report_e8(state.crossMarginSummary.totalMarginUsed), 0),
        maintenance_margin_e8=report_e8(state.crossMaintenanceMarginUsed),
    )


def cancel_ack(ref: OrderRef, response: HttpResponse) -> OrderAck:
    """What the answer to a cancel settles. Never raises. REFUSED: nothing of it is open."""
    number = ref.client_order_id
    if not 200 <= response.status < 300:
        wait_ms = errors.retry_after_ms(response)
        return errors.http_ack(number, response.status, errors.excerpt_of(response), wait_ms)
    try:
        answer = decode(errors.ANSWER_DECODER, response.body)
        if refusal := answer.refusal:
            return errors.ack_of(number, errors.of_action(refusal), refusal)
        status = answer.only_status()
    except ValueError as error:
        return OrderAck(number, Outcome.IN_DOUBT, code=str(response.status), text=str(error))
    if isinstance(status, errors.Status):
        text = status.error or "the answer does not say what became of the cancel"
        return errors.ack_of(number, errors.of_order(text), text)
    return OrderAck(number, Outcome.ACCEPTED, ref.venue_order_id)
