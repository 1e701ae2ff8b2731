"""What Hyperliquid's documents call an order, a fill, a position: our engine's values as its JSON.

Source: the venue's documentation and frames recorded from it in October 2026. Decimals are texts with one
decimal at the least, times are milliseconds, sides are B and A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from simulator.exchange import Exchange
from simulator.hyperliquid.instruments import SIGNIFICANT_FIGURES
from simulator.orders import BUY, Levels, SimFill, SimOrder, SimPosition, SimTrade
from venues.contract import E8

MS_NS: Final = 1_000_000
NO_HASH: Final = "0x" + 64 * "0"


def number(value_e8: int) -> str:
    """Decimal text without trailing zeros, but with one decimal at the least."""
    sign = "-" if value_e8 < 0 else ""
    whole, fraction = divmod(abs(value_e8), E8)
    return f"{sign}{whole}.{f'{fraction:08d}'.rstrip('0') or '0'}"


def side(sign: int) -> str:
    return "B" if sign == BUY else "A"


def hash_of(text: str) -> str:
    """A transaction's name that looks like one."""
    return f"0x{int(text):064x}"


@dataclass(slots=True)
class Record:
    """What the venue keeps of an order beside what the engine knows: as it was asked, and its last word."""

    oid: int
    account: str
    coin: str
    side: int
    limit_e8: int
    asked_e8: int
    left_e8: int
    tif: str
    reduce_only: bool
    cloid: str | None
    created_ms: int
    word: str = "open"
    word_ms: int = 0

    def row(self) -> dict[str, Any]:
        """As ``openOrders`` and ``orderUpdates`` have it."""
        row: dict[str, Any] = {
            "coin": self.coin,
            "side": side(self.side),
            "limitPx": number(self.limit_e8),
            "sz": number(self.left_e8),
            "oid": self.oid,
            "timestamp": self.created_ms,
            "origSz": number(self.asked_e8),
        }
        if self.reduce_only:
            row["reduceOnly"] = True
        if self.cloid is not None:
            row["cloid"] = self.cloid
        return row

    def whole(self) -> dict[str, Any]:
        """As ``frontendOpenOrders``, ``orderStatus`` and ``historicalOrders`` have it."""
        return self.row() | {
            "triggerCondition": "N/A",
            "isTrigger": False,
            "triggerPx": "0.0",
            "children": [],
            "isPositionTpsl": False,
            "reduceOnly": self.reduce_only,
            "orderType": "Limit",
            "tif": self.tif,
            "cloid": self.cloid,
        }

    def news(self) -> dict[str, Any]:
        return {"order": self.row(), "status": self.word, "statusTimestamp": self.word_ms}

    def history(self) -> dict[str, Any]:
        return {"order": self.whole(), "status": self.word, "statusTimestamp": self.word_ms}

    def take(self, order: SimOrder, word: str) -> None:
        """Keep what became of it."""
        self.left_e8 = order.remaining_e8
        self.word, self.word_ms = word, order.updated_unix_ns // MS_NS


def fill_row(
    fill: SimFill, *, cloid: str | None, start_e8: int, liquidation: dict[str, Any] | None
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "coin": fill.symbol,
        "px": number(fill.price_e8),
        "sz": number(fill.size_e8),
        "side": side(fill.side),
        "time": fill.unix_ns // MS_NS,
        "startPosition": number(start_e8),
        "dir": _direction(start_e8, fill.side, fill.size_e8),
        "closedPnl": number(fill.realised_e8),
        "hash": NO_HASH if liquidation else hash_of(fill.trade_id),
        "oid": int(fill.order_id),
        "crossed": not fill.is_maker,
        "fee": number(fill.fee_e8),
        "tid": int(fill.fill_id),
        "feeToken": "USDC",
        "twapId": None,
    }
    if cloid is not None:
        row["cloid"] = cloid
    if liquidation is not None:
        row["liquidation"] = liquidation
    return row


def _direction(start_e8: int, sign: int, size_e8: int) -> str:
    end_e8 = start_e8 + sign * size_e8
    if start_e8 * end_e8 < 0:
        return "Long > Short" if start_e8 > 0 else "Short > Long"
    verb = "Open" if abs(end_e8) > abs(start_e8) else "Close"
    return f"{verb} {'Long' if (end_e8 or start_e8) > 0 else 'Short'}"


def level(price_e8: int, size_e8: int) -> dict[str, Any]:
    return {"px": number(price_e8), "sz": number(size_e8), "n": 1}


def book(coin: str, sides: tuple[Levels, Levels], now_ms: int) -> dict[str, Any]:
    return {"coin": coin, "time": now_ms, "levels": [[level(*item) for item in side] for side in sides]}


def coarse(levels: Levels, sign: int, figures: int) -> Levels:
    """Levels gathered on prices of so many figures: bids downwards, asks upwards."""
    gathered: dict[int, int] = {}
    for price_e8, size_e8 in levels:
        step_e8: int = 10 ** max(len(str(price_e8)) - figures, 0)
        price_e8 = price_e8 // step_e8 * step_e8 if sign > 0 else -(-price_e8 // step_e8) * step_e8
        gathered[price_e8] = gathered.get(price_e8, 0) + size_e8
    return list(gathered.items())


def trade_row(trade: SimTrade) -> dict[str, Any]:
    return {
        "coin": trade.symbol,
        "side": side(trade.taker_side),
        "px": number(trade.price_e8),
        "sz": number(trade.size_e8),
        "time": trade.unix_ns // MS_NS,
        "hash": hash_of(trade.trade_id),
        "tid": int(trade.trade_id),
        "users": ["0x" + 40 * "1", "0x" + 40 * "2"],
    }


def rate(value_e12: int) -> str:
    """A funding rate as text."""
    whole, fraction = divmod(abs(value_e12), 10**12)
    return f"{'-' if value_e12 < 0 else ''}{whole}.{fraction:012d}".rstrip("0") + (
        "0" if not fraction else ""
    )


def context(exchange: Exchange, coin: str, funding_e12: int, day_volume_e8: int) -> dict[str, Any]:
    """One perpetual as ``metaAndAssetCtxs`` and ``activeAssetCtx`` have it."""
    bids, asks = exchange.depth(coin, 1)
    mark = number(_figures(exchange.mark_e8(coin)))
    is_two_sided = bool(bids and asks)
    return {
        "funding": rate(funding_e12),
        "openInterest": "0.0",
        "prevDayPx": mark,
        "dayNtlVlm": number(day_volume_e8),
        "premium": "0.0",
        "oraclePx": mark,
        "markPx": mark,
        "midPx": number((bids[0][0] + asks[0][0]) // 2) if is_two_sided else None,
        "impactPxs": [number(bids[0][0]), number(asks[0][0])] if is_two_sided else None,
        "dayBaseVlm": "0.0",
    }


def _figures(price_e8: int) -> int:
    """A price of at most five figures and a bit, as marks are told."""
    step_e8: int = 10 ** max(len(str(price_e8)) - SIGNIFICANT_FIGURES - 1, 0)
    return price_e8 - price_e8 % step_e8


def position_entry(position: SimPosition, leverage: int, max_leverage: int) -> dict[str, Any]:
    value_e8 = abs(position.size_e8) * position.mark_price_e8 // E8
    liquidation = number(position.liquidation_price_e8) if position.liquidation_price_e8 else None
    funding = number(-position.realised_funding_e8)
    return {
        "type": "oneWay",
        "position": {
            "coin": position.symbol,
            "szi": number(position.size_e8),
            "leverage": {"type": "cross", "value": leverage},
            "entryPx": number(position.entry_price_e8),
            "positionValue": number(value_e8),
            "unrealizedPnl": number(position.unrealised_e8),
            "returnOnEquity": "0.0",
            "liquidationPx": liquidation,
            "marginUsed": number(position.initial_margin_e8),
            "maxLeverage": max_leverage,
            "cumFunding": {"allTime": funding, "sinceOpen": funding, "sinceChange": funding},
        },
    }
