"""The JSON objects of the REST API and of the JSON channels.

Decimals are strings without trailing zeros, times are Unix milliseconds unless a key says
otherwise. Source: Paradex documentation, REST API reference and WebSocket channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from simulator.orders import SimInstrument
from simulator.paradex.records import (
    AccountRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    SummaryRecord,
    TradeRecord,
)
from venues.contract import E8

Level = tuple[int, int]

# What a create is answered with that meets another connection's answer, where none of ours came before.
STRANGERS_CREATED: Final[dict[str, Any]] = {
    "order": {
        "id": "1790000000118201709277900001",
        "client_id": "q-17",
        "market": "ETH-USD-PERP",
        "side": "BUY",
        "type": "LIMIT",
        "size": "1",
        "remaining_size": "1",
        "price": "3000",
        "status": "NEW",
    },
    "created_at": 1_790_000_000_131,
    "received_at": 1_790_000_000_130_000_000,
}


def decimal(value_e8: int, scale: int = 8) -> str:
    """A scaled integer as the shortest exact decimal text."""
    sign = "-" if value_e8 < 0 else ""
    whole, fraction = divmod(abs(value_e8), 10**scale)
    digits = f"{fraction:0{scale}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def _or_empty(value_e8: int | None) -> str:
    return "" if value_e8 is None else decimal(value_e8)


def notification(channel: str, data: dict[str, Any]) -> bytes:
    """A channel's text frame; the venue ends its text frames with a newline."""
    frame = {"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}}
    return orjson.dumps(frame) + b"\n"


# --- market data ---


def market(instrument: SimInstrument) -> dict[str, Any]:
    fees = {
        "maker_fee": _fee(instrument.maker_fee_rate_e8),
        "taker_fee": _fee(instrument.taker_fee_rate_e8),
    }
    mmf_factor_e8 = instrument.maintenance_margin_ratio_e8 * E8 // instrument.initial_margin_ratio_e8
    return {
        "symbol": instrument.symbol,
        "base_currency": instrument.base,
        "quote_currency": "USD",
        "settlement_currency": "USDC",
        "order_size_increment": decimal(instrument.lot_e8),
        "price_tick_size": decimal(instrument.tick_e8),
        "min_notional": decimal(instrument.min_notional_e8),
        "max_order_size": decimal(instrument.max_size_e8),
        "position_limit": decimal(instrument.position_limit_e8),
        "max_open_orders": str(instrument.max_open_orders),
        "price_bands_width": decimal(instrument.price_band_e8),
        "max_slippage": decimal(instrument.price_band_e8),
        "asset_kind": "PERP",
        "market_kind": "cross",
        "trading_mode": "STANDARD",
        "delta1_cross_margin_params": {
            "imf_base": decimal(instrument.initial_margin_ratio_e8),
            "imf_factor": "0",
            "imf_shift": "0",
            "mmf_factor": decimal(mmf_factor_e8),
        },
        "fee_config": {"api_fee": fees, "interactive_fee": fees, "rpi_fee": fees},
        "funding_period_hours": 8,
        "funding_multiplier": "1",
        "interest_rate": "0.0001",
        "clamp_rate": "0.0005",
        "max_funding_rate": "0.02",
        "max_funding_rate_change": "0.0005",
        "oracle_ewma_factor": "0.2",
        "max_tob_spread": "0.2",
        "open_at": 0,
        "expiry_at": 0,
        "tags": [],
        "price_feed_id": "",
    }


def _fee(rate_e8: int) -> dict[str, str]:
    return {"fee": decimal(rate_e8), "fee_cap": decimal(rate_e8), "fee_floor": decimal(rate_e8)}


def bbo(market: str, *, seq_no: int, bid: Level | None, ask: Level | None, now_us: int) -> dict[str, Any]:
    return {
        "market": market,
        "seq_no": seq_no,
        "bid": _or_empty(bid and bid[0]),
        "bid_size": _or_empty(bid and bid[1]),
        "ask": _or_empty(ask and ask[0]),
        "ask_size": _or_empty(ask and ask[1]),
        "last_updated_at": now_us // 1000,
    }


def book_snapshot(
    market: str, *, seq_no: int, bids: Sequence[Level], asks: Sequence[Level], now_us: int
) -> dict[str, Any]:
    """A channel's whole book."""
    inserts = [_level("BUY", level) for level in bids] + [_level("SELL", level) for level in asks]
    payload = {**_book_head(market, seq_no, "s", now_us), "inserts": inserts, "updates": [], "deletes": []}
    if bids:
        payload["best_bid_api"] = _level("BUY", bids[0])
    if asks:
        payload["best_ask_api"] = _level("SELL", asks[0])
    return payload


def book_delta(
    market: str,
    *,
    seq_no: int,
    inserts: Sequence[tuple[str, Level]],
    updates: Sequence[tuple[str, Level]],
    deletes: Sequence[tuple[str, Level]],
    now_us: int,
) -> dict[str, Any]:
    """A channel's change to a book; levels come with their side."""
    return {
        **_book_head(market, seq_no, "d", now_us),
        "inserts": [_level(side, level) for side, level in inserts],
        "updates": [_level(side, level) for side, level in updates],
        "deletes": [_level(side, level) for side, level in deletes],
    }


def _book_head(market: str, seq_no: int, update_type: str, now_us: int) -> dict[str, Any]:
    return {
        "market": market,
        "seq_no": seq_no,
        "last_updated_at": now_us // 1000,
        "update_type": update_type,
    }


def _level(side: str, level: Level) -> dict[str, str]:
    return {"side": side, "price": decimal(level[0]), "size": decimal(level[1])}


def orderbook(
    market: str, *, seq_no: int, bids: Sequence[Level], asks: Sequence[Level], now_us: int
) -> dict[str, Any]:
    """Body of ``GET /orderbook/{market}``."""
    bid_texts, ask_texts = [_pair(level) for level in bids], [_pair(level) for level in asks]
    best_bid, best_ask = bid_texts[:1], ask_texts[:1]
    return {
        "market": market,
        "seq_no": seq_no,
        "last_updated_at": now_us // 1000,
        "bids": bid_texts,
        "asks": ask_texts,
        "best_bid_api": best_bid[0] if best_bid else [],
        "best_ask_api": best_ask[0] if best_ask else [],
        "best_bid_interactive": best_bid[0] if best_bid else [],
        "best_ask_interactive": best_ask[0] if best_ask else [],
    }


def _pair(level: Level) -> list[str]:
    return [decimal(level[0]), decimal(level[1])]


def trade(record: TradeRecord) -> dict[str, Any]:
    return {
        "id": record.trade_id,
        "market": record.market,
        "side": record.taker_side,
        "size": decimal(record.size_e8),
        "price": decimal(record.price_e8),
        "created_at": record.created_us // 1000,
        "trade_type": record.trade_type,
    }


def summary(record: SummaryRecord) -> dict[str, Any]:
    return {
        "symbol": record.market,
        "mark_price": decimal(record.mark_price_e8),
        "underlying_price": decimal(record.index_price_e8),
        "last_traded_price": decimal(record.last_price_e8),
        "bid": _or_empty(record.bid_e8),
        "bid_size": _or_empty(record.bid_size_e8),
        "ask": _or_empty(record.ask_e8),
        "ask_size": _or_empty(record.ask_size_e8),
        "volume_24h": decimal(record.volume_24h_e8),
        "total_volume": decimal(record.total_volume_e8),
        "open_interest": decimal(record.open_interest_e8),
        "funding_rate": decimal(record.funding_rate_e12, 12),
        "future_funding_rate": decimal(record.funding_rate_e12, 12),
        "external_fair_price": decimal(record.fair_price_e8),
        "price_change_rate_24h": decimal(record.change_24h_e8),
        "created_at": record.created_us // 1000,
    }


# --- private ---


def order(record: OrderRecord) -> dict[str, Any]:
    request = record.request
    return {
        "id": record.order_id,
        "account": hex(record.account),
        "market": record.market,
        "side": record.side,
        "type": record.order_type,
        "size": decimal(record.size_e8),
        "remaining_size": decimal(record.remaining_e8),
        "price": decimal(record.price_e8 or 0),
        "status": record.status,
        "created_at": record.created_us // 1000,
        "last_updated_at": record.updated_us // 1000,
        "timestamp": record.signed_unix_ms,
        "cancel_reason": record.cancel_reason,
        "client_id": record.client_id,
        "seq_no": record.seq_no,
        "instruction": record.instruction,
        "avg_fill_price": _or_empty(record.average_price_e8),
        "stp": record.stp,
        "received_at": record.received_us // 1000,
        "published_at": record.published_us // 1000,
        "flags": list(record.flags),
        "trigger_price": decimal(record.trigger_price_e8 or 0),
        "request_info": request
        and {
            "id": request.request_id,
            "request_type": "MODIFY_ORDER",
            "status": request.status,
            "message": request.message,
        },
    }


def fill(record: FillRecord) -> dict[str, Any]:
    return {
        "id": record.fill_id,
        "order_id": record.order_id,
        "client_id": record.client_id,
        "trade_id": record.trade_id,
        "account": hex(record.account),
        "market": record.market,
        "side": record.side,
        "liquidity": record.liquidity,
        "price": decimal(record.price_e8),
        "size": decimal(record.size_e8),
        "remaining_size": decimal(record.remaining_e8),
        "fee": decimal(record.fee_e8),
        "fee_currency": "USDC",
        "fill_type": record.fill_type,
        "flags": [],
        "realized_pnl": decimal(record.realized_pnl_e8),
        "realized_funding": decimal(record.realized_funding_e8),
        "underlying_price": decimal(record.underlying_price_e8),
        "orderbook_seq_no": record.book_seq_no,
        "created_at": record.created_us // 1000,
    }


def position(record: PositionRecord) -> dict[str, Any]:
    return {
        "id": f"{hex(record.account)}-{record.market}",
        "account": hex(record.account),
        "market": record.market,
        "status": "OPEN" if record.size_e8 else "CLOSED",
        "side": "SHORT" if record.size_e8 < 0 else "LONG",
        "size": decimal(record.size_e8),
        "average_entry_price": decimal(record.average_entry_price_e8),
        "average_entry_price_usd": decimal(record.average_entry_price_usd_e8),
        "average_exit_price": "0",
        "unrealized_pnl": decimal(record.unrealized_pnl_e8),
        "unrealized_funding_pnl": decimal(record.unrealized_funding_e8),
        "realized_positional_pnl": decimal(record.realized_pnl_e8),
        "realized_positional_funding_pnl": decimal(record.realized_funding_e8),
        "cost": decimal(record.cost_e8),
        "cost_usd": decimal(record.cost_usd_e8),
        "cached_funding_index": decimal(record.funding_index_e8),
        "liquidation_price": _or_empty(record.liquidation_price_e8),
        "leverage": decimal(record.leverage_e8),
        "last_fill_id": record.last_fill_id,
        "seq_no": record.seq_no,
        "created_at": record.created_us // 1000,
        "closed_at": record.closed_us // 1000,
        "last_updated_at": record.updated_us // 1000,
    }


def account(record: AccountRecord) -> dict[str, Any]:
    return {
        "account": hex(record.account),
        "account_value": decimal(record.account_value_e8),
        "total_collateral": decimal(record.total_collateral_e8),
        "free_collateral": decimal(record.free_collateral_e8),
        "initial_margin_requirement": decimal(record.initial_margin_e8),
        "maintenance_margin_requirement": decimal(record.maintenance_margin_e8),
        "margin_cushion": decimal(record.account_value_e8 - record.maintenance_margin_e8),
        "settlement_asset": "USDC",
        "status": "LIQUIDATION" if record.is_liquidating else "ACTIVE",
        "updated_at": record.updated_us // 1000,
        "seq_no": record.seq_no,
    }


def balance(record: AccountRecord) -> dict[str, Any]:
    return {
        "token": "USDC",
        "size": decimal(record.total_collateral_e8),
        "last_updated_at": record.updated_us // 1000,
    }
