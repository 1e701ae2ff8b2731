"""Renders the engine's values as Vest's JSON: orders, positions, tickers.

Source: Vest v2 API documentation. Decimals are texts padded to what the contract or the currency
has; times are milliseconds. Orders are MARKET when they cannot rest (IOC), LIMIT otherwise.
"""

from __future__ import annotations

from typing import Any

from simulator.exchange import BUY, Exchange, SimAccount, SimInstrument, SimOrder, SimOrderStatus, SimPosition
from simulator.orders import Levels, SimTrade
from simulator.vest.errors import REJECTED, Code
from venues.contract import E8, format_e8

_MONEY_DECIMALS = 6  # USDC
_MS_NS = 1_000_000


def rounded(value_e8: int, decimals: int) -> str:
    """Return a value as text, rounded half up to ``decimals``."""
    unit = 10 ** (8 - decimals)
    return format_e8((value_e8 + unit // 2) // unit * unit, decimals)


def money(value_e8: int) -> str:
    return rounded(value_e8, _MONEY_DECIMALS)


def e12(value_e12: int) -> str:
    """A funding rate, or cumulative funding per base unit, as text with twelve decimals."""
    whole, fraction = divmod(abs(value_e12), 10**12)
    return f"{'-' if value_e12 < 0 else ''}{whole}.{fraction:012d}"


def order_type(order: SimOrder) -> str:
    if order.is_liquidation:
        return "LIQUIDATION"
    return "MARKET" if order.time_in_force == "IOC" else "LIMIT"


def rejection(order: SimOrder) -> Code | None:
    """The code of an order that Vest calls REJECTED: it ended unfilled for a reason with a code."""
    if not order.status.is_final or order.filled_e8 or order.reason is None:
        return None
    if order.status is SimOrderStatus.CANCELLED and order.reason.name.startswith("REDUCE_ONLY"):
        return None  # it rested and lost its position: cancelled, not rejected
    return REJECTED.get(order.reason)


def order_status(order: SimOrder) -> str:
    if order.status is SimOrderStatus.FILLED:
        return "FILLED"
    if order.status.is_final:
        return "CANCELLED" if rejection(order) is None else "REJECTED"
    return "PARTIALLY_FILLED" if order.filled_e8 else "NEW"


def _nonce(order: SimOrder) -> int:
    return int(order.client_id) if order.client_id else 0  # the venue's own liquidations have none


def _limit_price(order: SimOrder, instrument: SimInstrument) -> str:
    return format_e8(order.limit_price_e8 or 0, instrument.price_decimals)


def order_row(order: SimOrder, instrument: SimInstrument) -> dict[str, Any]:
    """One row of ``GET /orders``. Fill members are null until a fill, and again once cancelled."""
    price, size = instrument.price_decimals, instrument.size_decimals
    status = order_status(order)
    has_fills = status in ("FILLED", "PARTIALLY_FILLED")
    code = rejection(order)
    result_e8 = order.realised_e8 + order.funding_e8 - order.fee_e8
    return {
        "id": order.order_id,
        "nonce": _nonce(order),
        "symbol": order.symbol,
        "isBuy": order.side == BUY,
        "orderType": order_type(order),
        "limitPrice": _limit_price(order, instrument),
        "markPrice": rounded(order.mark_price_e8, price),
        "size": format_e8(order.size_e8, size),
        "status": status,
        "reduceOnly": order.reduce_only,
        "initMarginRatio": rounded(order.initial_margin_ratio_e8, 4),
        "code": None if code is None else int(code),
        "lastFilledSize": format_e8(order.last_fill_size_e8, size) if has_fills else None,
        "lastFilledPrice": format_e8(order.last_fill_price_e8, price) if has_fills else None,
        "lastFilledTime": order.last_fill_unix_ns // _MS_NS if has_fills else None,
        "avgFilledPrice": rounded(order.average_price_e8, price) if has_fills else None,
        "settledFunding": money(order.funding_e8) if has_fills else None,
        "fees": money(order.fee_e8),
        "realizedPnl": money(result_e8) if has_fills else None,
        "postTime": order.created_unix_ns // _MS_NS,
        "tpPrice": None,
        "slPrice": None,
    }


def order_event(order: SimOrder, instrument: SimInstrument, funding_index_e12: int) -> dict[str, Any]:
    """The ``args`` of one ORDER event. CANCELLED and REJECTED name neither symbol nor size."""
    status = order_status(order)
    post_time, nonce = order.created_unix_ns // _MS_NS, _nonce(order)
    if status == "CANCELLED":
        return {"id": order.order_id, "status": status, "postTime": post_time, "nonce": nonce}
    if status == "REJECTED":
        code = rejection(order)
        assert code is not None
        return {
            "id": order.order_id,
            "status": status,
            "code": int(code),
            "postTime": post_time,
            "nonce": nonce,
        }
    args: dict[str, Any] = {
        "id": order.order_id,
        "symbol": order.symbol,
        "isBuy": order.side == BUY,
        "orderType": order_type(order),
        "limitPrice": _limit_price(order, instrument),
        "size": format_e8(order.size_e8, instrument.size_decimals),
        "reduceOnly": order.reduce_only,
        "initMarginRatio": rounded(order.initial_margin_ratio_e8, 4),
        "status": status,
        "postTime": post_time,
        "nonce": nonce,
    }
    if order.filled_e8:
        args |= {
            "lastFilledSize": format_e8(order.last_fill_size_e8, instrument.size_decimals),
            "lastFilledPrice": format_e8(order.last_fill_price_e8, instrument.price_decimals),
            "lastFilledTime": order.last_fill_unix_ns // _MS_NS,
            "avgFilledPrice": rounded(order.average_price_e8, instrument.price_decimals),
            "cumFunding": e12(funding_index_e12),
            "fees": money(order.fee_e8),
        }
    return args


def position_row(position: SimPosition, instrument: SimInstrument) -> dict[str, Any]:
    price = instrument.price_decimals
    mark = rounded(position.mark_price_e8, price)
    return {
        "symbol": position.symbol,
        "isLong": position.size_e8 > 0,
        "size": format_e8(abs(position.size_e8), instrument.size_decimals),
        "entryPrice": rounded(position.entry_price_e8, price),
        "entryFunding": e12(position.entry_funding_e12),
        "unrealizedPnl": money(position.unrealised_e8 + position.unrealised_funding_e8),
        "settledFunding": money(position.realised_funding_e8),
        "markPrice": mark,
        "indexPrice": mark,
        "liqPrice": rounded(position.liquidation_price_e8, price),
        "initMargin": money(position.initial_margin_e8),
        "maintMargin": money(position.maintenance_margin_e8),
        "initMarginRatio": rounded(position.initial_margin_ratio_e8, 4),
    }


def account_body(
    account: SimAccount,
    positions: list[SimPosition],
    exchange: Exchange,
    now_unix_ms: int,
) -> dict[str, Any]:
    """The answer of ``GET /account``."""
    chosen = exchange.leverages(account.account_id)
    leverages = [
        {"symbol": s, "value": chosen.get(s, E8 // exchange.instrument(s).initial_margin_ratio_e8)}
        for s in exchange.symbols
    ]
    return {
        "address": account.account_id,
        "balances": [{"asset": "USDC", "total": money(account.collateral_e8), "locked": money(0)}],
        "collateral": money(account.collateral_e8),
        "withdrawable": money(account.free_e8),
        "totalAccountValue": money(account.value_e8),
        "openOrderMargin": money(account.order_margin_e8),
        "totalMaintMargin": money(account.maintenance_margin_e8),
        "positions": [position_row(p, exchange.instrument(p.symbol)) for p in positions if p.size_e8],
        "leverages": leverages,
        "lp": {"balance": money(0), "shares": money(0), "unrealizedPnl": money(0)},
        "time": now_unix_ms,
        "twitterUsername": None,
        "discordUsername": None,
    }


def symbol_row(instrument: SimInstrument, is_trading: bool) -> dict[str, Any]:
    """One symbol of ``GET /exchangeInfo``."""
    return {
        "symbol": instrument.symbol,
        "displayName": instrument.symbol,
        "base": instrument.base,
        "quote": "USDC",
        "sizeDecimals": instrument.size_decimals,
        "priceDecimals": instrument.price_decimals,
        "initMarginRatio": money(instrument.initial_margin_ratio_e8),
        "maintMarginRatio": money(instrument.maintenance_margin_ratio_e8),
        "takerFee": format_e8(instrument.taker_fee_rate_e8, 8).rstrip("0").rstrip("."),
        "isolated": False,
        "asset": "crypto",
        "tradingStatus": "TRADING" if is_trading else "HALT",
    }


def book_sides(bids: Levels, asks: Levels, instrument: SimInstrument) -> dict[str, Any]:
    """Both sides, best first, as padded texts."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return {
        "bids": [[format_e8(p, price), format_e8(q, size)] for p, q in bids],
        "asks": [[format_e8(p, price), format_e8(q, size)] for p, q in asks],
    }


def trade_row(trade: SimTrade, instrument: SimInstrument) -> dict[str, Any]:
    """One print. It has no side; a negative quantity is a sell."""
    sign = "" if trade.taker_side == BUY else "-"
    return {
        "id": trade.trade_id,
        "price": format_e8(trade.price_e8, instrument.price_decimals),
        "qty": sign + format_e8(trade.size_e8, instrument.size_decimals),
        "quoteQty": sign + money(trade.price_e8 * trade.size_e8 // E8),
        "time": trade.unix_ns // _MS_NS,
    }
