"""Records of orders, fills, positions and accounts, before they are rendered as JSON or SBE.

JSON (``payloads``) and SBE (``sbe``) render the same records, so the two encodings cannot drift
apart. Prices, sizes and money are integers scaled by 10**8 (``_e8``), times are Unix microseconds
(``_us``), ``None`` is the wire's null. Addresses are integers.
"""

from __future__ import annotations

from typing import NamedTuple


class RequestInfo(NamedTuple):
    """The newest modify request of an order."""

    request_id: str
    status: str  # PENDING, PROCESSED, REJECTED, SUCCESS
    message: str


class OrderRecord(NamedTuple):
    order_id: str
    client_id: str  # "" when the client gave none
    account: int
    market: str
    side: str  # BUY, SELL
    order_type: str
    instruction: str  # GTC, IOC, POST_ONLY, RPI
    status: str  # NEW, UNTRIGGERED, OPEN, CLOSED
    price_e8: int | None  # None for market orders
    trigger_price_e8: int | None
    size_e8: int
    remaining_e8: int
    average_price_e8: int | None
    cancel_reason: str
    flags: tuple[str, ...]
    stp: str
    seq_no: int
    signed_unix_ms: int  # the client's signature_timestamp
    received_us: int
    created_us: int
    updated_us: int
    published_us: int
    request: RequestInfo | None


class FillRecord(NamedTuple):
    fill_id: str
    order_id: str
    client_id: str
    trade_id: str
    account: int
    market: str
    side: str  # the account's own side
    liquidity: str  # MAKER, TAKER
    price_e8: int
    size_e8: int
    remaining_e8: int
    fee_e8: int  # positive = paid
    fill_type: str  # FILL, LIQUIDATION
    realized_pnl_e8: int
    realized_funding_e8: int
    underlying_price_e8: int
    book_seq_no: int
    created_us: int


class PositionRecord(NamedTuple):
    account: int
    market: str
    size_e8: int  # signed, long positive
    average_entry_price_e8: int
    average_entry_price_usd_e8: int
    cost_e8: int  # signed, like the size
    cost_usd_e8: int
    unrealized_pnl_e8: int  # running funding included
    unrealized_funding_e8: int
    realized_pnl_e8: int
    realized_funding_e8: int
    funding_index_e8: int  # as of the last fill
    liquidation_price_e8: int | None
    leverage_e8: int
    last_fill_id: str
    seq_no: int
    created_us: int
    closed_us: int  # 0 while open
    updated_us: int


class AccountRecord(NamedTuple):
    account: int
    total_collateral_e8: int
    account_value_e8: int
    free_collateral_e8: int
    initial_margin_e8: int
    maintenance_margin_e8: int
    is_liquidating: bool
    seq_no: int
    updated_us: int


class TradeRecord(NamedTuple):
    trade_id: str
    market: str
    taker_side: str
    price_e8: int
    size_e8: int
    trade_type: str
    book_seq_no: int
    created_us: int


class SummaryRecord(NamedTuple):
    market: str
    seq_no: int
    mark_price_e8: int
    index_price_e8: int
    fair_price_e8: int
    last_price_e8: int
    bid_e8: int | None
    bid_size_e8: int | None
    ask_e8: int | None
    ask_size_e8: int | None
    volume_24h_e8: int
    total_volume_e8: int
    open_interest_e8: int
    funding_rate_e12: int
    change_24h_e8: int
    created_us: int
