"""Binary frames of schema 1 as the venue encodes them (Simple Binary Encoding, little-endian).

A frame is an 8-byte header (block length, template, schema, version), a fixed block, groups, then
strings. Versions only append: version 2 adds fields to orders, fills, accounts and trades, version
3 one field to the market summary. The caller passes the version its connection asked for.

Every number is an integer: prices and sizes ``_e8``, times Unix microseconds (``_us``), ``None``
is the schema's null. Written from the venue's documentation page "Binary encoding (SBE)" and the
schema file ``paradex_1_0.xml`` of its Python SDK; shares no code with the decoder in ``venues``.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final

from simulator.paradex.records import (
    AccountRecord,
    FillRecord,
    OrderRecord,
    PositionRecord,
    SummaryRecord,
    TradeRecord,
)

SCHEMA_ID: Final = 1
NULL: Final = -(2**63)
UNREPRESENTABLE: Final = 254  # enum value for what the schema has no number for

TRADE, BBO, BOOK, SUMMARY = 1, 2, 3, 4
ORDER, FILL, POSITION, ACCOUNT, HEARTBEAT = 20, 21, 22, 23, 40

SIDES: Final = {"BUY": 1, "SELL": 2}
ORDER_TYPES: Final = {
    "LIMIT": 1,
    "MARKET": 2,
    "STOP_LIMIT": 3,
    "STOP_MARKET": 4,
    "TAKE_PROFIT_LIMIT": 5,
    "TAKE_PROFIT_MARKET": 6,
    "STOP_LOSS_LIMIT": 7,
    "STOP_LOSS_MARKET": 8,
}
STATUSES: Final = {"NEW": 1, "UNTRIGGERED": 2, "OPEN": 3, "CLOSED": 4}
INSTRUCTIONS: Final = {"GTC": 1, "IOC": 2, "POST_ONLY": 3, "RPI": 4}
TRADE_TYPES: Final = {
    "FILL": 1,
    "LIQUIDATION": 2,
    "UNWIND_TRANSFER": 3,
    "SETTLE_MARKET": 4,
    "RPI": 5,
    "BLOCK_TRADE": 6,
}
LIQUIDITIES: Final = {"MAKER": 1, "TAKER": 2}
STP_MODES: Final = {"": 0, "EXPIRE_MAKER": 1, "EXPIRE_TAKER": 2, "EXPIRE_BOTH": 3}
ORDER_FLAGS: Final = {
    "REDUCE_ONLY": 1,
    "STOP_CONDITION_BELOW_TRIGGER": 2,
    "STOP_CONDITION_ABOVE_TRIGGER": 4,
    "INTERACTIVE": 8,
    "TARGET_STRATEGY_VWAP": 16,
    "MMP": 32,
}
REQUEST_STATUSES: Final = {"PENDING": 1, "PROCESSED": 2, "REJECTED": 3, "SUCCESS": 4}
MODIFY_ORDER: Final = 1

_HEADER = struct.Struct("<4H")
_GROUP = struct.Struct("<2H")
_LEVEL = struct.Struct("<2q")
_BBO = struct.Struct("<4H6q")  # header and block in one call: this is the hot frame
_TRADE = struct.Struct("<qqqBqqqB")
_BOOK = struct.Struct("<qqB9q")
_SUMMARY_V1 = struct.Struct("<30q")
_SUMMARY_V3 = struct.Struct("<31q")
_ORDER_V1 = struct.Struct("<qqBBBB7q32sqqBB")
_ORDER_V2 = struct.Struct("<qqBBBB7q32sqqBBBB")
_FILL_V1 = struct.Struct("<qqBBB5q32sqq")
_FILL_V2 = struct.Struct("<qqBBB5q32sqqBQ")
_POSITION = struct.Struct("<qqB8q32s5qB")
_ACCOUNT_V1 = struct.Struct("<9q32sqB")
_ACCOUNT_V2 = struct.Struct("<9q32sqBq")
_HEARTBEAT = struct.Struct("<2q")
assert _BBO.size == _HEADER.size + 48
assert (_TRADE.size, _BOOK.size) == (50, 89)
assert (_SUMMARY_V1.size, _SUMMARY_V3.size) == (240, 248)
assert (_ORDER_V1.size, _ORDER_V2.size) == (126, 128)
assert (_FILL_V1.size, _FILL_V2.size) == (107, 116)
assert (_POSITION.size, _ACCOUNT_V1.size, _ACCOUNT_V2.size) == (154, 113, 121)

_NO_BEST_PRICES = (NULL,) * 5  # best bid/ask and relative spread: interactive feeds only


def bbo(
    market: str,
    *,
    version: int,
    now_us: int,
    seq_no: int,
    bid_e8: int | None,
    bid_size_e8: int | None,
    ask_e8: int | None,
    ask_size_e8: int | None,
) -> bytes:
    """Best bid and offer; an empty side is null in price and size."""
    frame = _BBO.pack(
        48,
        BBO,
        SCHEMA_ID,
        version,
        now_us,
        seq_no,
        _nullable(bid_e8),
        _nullable(bid_size_e8),
        _nullable(ask_e8),
        _nullable(ask_size_e8),
    )
    return frame + _text(market)


def book(
    market: str,
    *,
    version: int,
    now_us: int,
    seq_no: int,
    is_delta: bool,
    bids: Sequence[tuple[int, int]],
    asks: Sequence[tuple[int, int]],
) -> bytes:
    """A whole book or a change to one. Levels are (price, size); size 0 in a delta removes.

    A snapshot names its best API prices, which are the first levels; a delta leaves them null.
    """
    best = (NULL,) * 4 if is_delta else (*_best(bids), *_best(asks))
    block = _BOOK.pack(now_us, seq_no, int(is_delta), *_NO_BEST_PRICES, *best)
    return _frame(BOOK, version, block) + _levels(bids) + _levels(asks) + _text(market)


def trade(record: TradeRecord, *, version: int, now_us: int) -> bytes:
    # The numeric trade id is deprecated: it holds the low 64 bits of the id, read as signed.
    low_bits = int.from_bytes(
        (int(record.trade_id) & (2**64 - 1)).to_bytes(8, "little"), "little", signed=True
    )
    block = _TRADE.pack(
        now_us,
        record.book_seq_no,
        low_bits,
        SIDES[record.taker_side],
        record.price_e8,
        record.size_e8,
        record.created_us,
        TRADE_TYPES.get(record.trade_type, UNREPRESENTABLE),
    )
    trade_id = _text(record.trade_id) if version >= 2 else b""
    return _frame(TRADE, version, block) + _text(record.market) + trade_id


def summary(record: SummaryRecord, *, version: int, now_us: int) -> bytes:
    """Market summary of a perpetual: every option field is null."""
    values = (
        now_us,
        record.seq_no,
        record.mark_price_e8,
        record.index_price_e8,
        record.last_price_e8,
        record.volume_24h_e8,
        record.open_interest_e8,
        record.funding_rate_e12 // 10_000,
        _nullable(record.bid_e8),
        _nullable(record.ask_e8),
        record.total_volume_e8,
        record.change_24h_e8,
        *(NULL,) * 12,  # implied volatilities, greeks, future funding rate
        record.fair_price_e8,
        _nullable(record.bid_size_e8),
        _nullable(record.ask_size_e8),
        *(NULL,) * 2,  # forward and risk-free rate
        record.funding_rate_e12,
    )
    block = _SUMMARY_V3.pack(*values, NULL) if version >= 3 else _SUMMARY_V1.pack(*values)
    return _frame(SUMMARY, version, block) + _text(record.market)


def order(record: OrderRecord, *, version: int, now_us: int) -> bytes:
    values = (
        now_us,
        record.seq_no,
        STATUSES[record.status],
        SIDES[record.side],
        ORDER_TYPES[record.order_type],
        INSTRUCTIONS[record.instruction],
        _nullable(record.price_e8),
        _nullable(record.trigger_price_e8),
        record.size_e8,
        record.remaining_e8,
        _nullable(record.average_price_e8),
        record.created_us,
        record.updated_us,
        _address(record.account),
        record.received_us,
        record.published_us,
        STP_MODES.get(record.stp, UNREPRESENTABLE),
        _bits(ORDER_FLAGS, record.flags),
    )
    request = record.request
    if version >= 2:
        status = REQUEST_STATUSES[request.status] if request else 0
        block = _ORDER_V2.pack(*values, status, MODIFY_ORDER if request else 0)
    else:
        block = _ORDER_V1.pack(*values)
    frame = (
        _frame(ORDER, version, block)
        + _text(record.order_id)
        + _text(record.client_id)
        + _text(record.market)
        + _text(record.cancel_reason)
    )
    if version >= 2:
        frame += _text(request.request_id if request else "") + _text(request.message if request else "")
    return frame


def fill(record: FillRecord, *, version: int, now_us: int) -> bytes:
    values = (
        now_us,
        record.book_seq_no,
        TRADE_TYPES[record.fill_type],
        SIDES[record.side],
        LIQUIDITIES[record.liquidity],
        record.price_e8,
        record.size_e8,
        record.fee_e8,
        record.realized_pnl_e8,
        record.created_us,
        _address(record.account),
        record.underlying_price_e8,
        record.realized_funding_e8,
    )
    no_flags = 0
    block = _FILL_V2.pack(*values, no_flags, record.book_seq_no) if version >= 2 else _FILL_V1.pack(*values)
    frame = (
        _frame(FILL, version, block)
        + _text(record.fill_id)
        + _text(record.order_id)
        + _text(record.client_id)
        + _text(record.trade_id)
        + _text(record.market)
    )
    return frame + _text("USDC") if version >= 2 else frame


def position(record: PositionRecord, *, version: int, now_us: int) -> bytes:
    block = _POSITION.pack(
        now_us,
        record.seq_no,
        SIDES["SELL" if record.size_e8 < 0 else "BUY"],
        abs(record.size_e8),  # unsigned here, signed in JSON
        record.average_entry_price_e8,
        record.unrealized_pnl_e8,
        record.realized_pnl_e8,
        NULL,  # mark price is never filled in
        _nullable(record.liquidation_price_e8),
        record.leverage_e8,
        record.updated_us,
        _address(record.account),
        record.average_entry_price_usd_e8,
        record.cost_e8,
        record.cost_usd_e8,
        record.funding_index_e8,
        record.unrealized_funding_e8,
        1 if record.size_e8 else 2,
    )
    return _frame(POSITION, version, block) + _text(record.market) + _text(record.last_fill_id)


def account(record: AccountRecord, *, version: int, now_us: int) -> bytes:
    values = (
        now_us,
        record.seq_no,
        record.total_collateral_e8,
        record.free_collateral_e8,
        record.initial_margin_e8,
        record.maintenance_margin_e8,
        record.account_value_e8,
        NULL,  # unrealised result is never filled in
        record.updated_us,
        _address(record.account),
        record.account_value_e8 - record.maintenance_margin_e8,
        2 if record.is_liquidating else 1,
    )
    last_seen_notification = 0
    block = _ACCOUNT_V2.pack(*values, last_seen_notification) if version >= 2 else _ACCOUNT_V1.pack(*values)
    return _frame(ACCOUNT, version, block) + _text("USDC")


def heartbeat(*, version: int, now_us: int) -> bytes:
    return _frame(HEARTBEAT, version, _HEARTBEAT.pack(now_us, 0))


def _frame(template: int, version: int, block: bytes) -> bytes:
    return _HEADER.pack(len(block), template, SCHEMA_ID, version) + block


def _levels(levels: Sequence[tuple[int, int]]) -> bytes:
    head = _GROUP.pack(_LEVEL.size, len(levels))
    return head + b"".join([_LEVEL.pack(price, size) for price, size in levels])


def _best(levels: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return levels[0] if levels else (NULL, NULL)


def _text(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _nullable(value: int | None) -> int:
    return NULL if value is None else value


def _address(account: int) -> bytes:
    return account.to_bytes(32, "big")


def _bits(table: Mapping[str, int], names: Sequence[str]) -> int:
    bits = 0
    for name in names:
        bits |= table[name]
    return bits
