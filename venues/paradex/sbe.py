"""Paradex's binary payloads: Simple Binary Encoding, schema id 1, versions 0 to 3.

Little-endian. A frame is an 8-byte header (block length, template, schema, version), a fixed block,
for books two groups (entry length, count, entries), then strings (length byte, UTF-8). Versions
only append, to the block and to the strings, so a message is read by the header's block length and
by what bytes are left, never by the version; templates this module does not know are skipped.

Numbers stay as they come: decimals scaled by 10**8 (``_e8``), times in Unix microseconds
(``_unix_us``), enumerations as their code. -2**63 means "none" and becomes ``None`` in the fields
declared so; anywhere else it is an error.

Source: Paradex documentation, "Binary encoding (SBE)", and the schema file ``paradex_1_0.xml`` in
paradex-py 0.8.2; version 3 from ccxt 4.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple, get_type_hints

from venues.paradex.messages import PayloadError

NULL: Final = -(2**63)
SCHEMA_ID: Final = 1
HEADER: Final = Struct("<4H")  # block length, template id, schema id, version

# The one message on the hot path; market_data reads it without the generic decoder.
BBO_TEMPLATE: Final = 2
BBO_BLOCK: Final = Struct("<6q")
BBO_HEADER_START: Final = HEADER.pack(BBO_BLOCK.size, BBO_TEMPLATE, SCHEMA_ID, 0)[:6]  # any version
BBO_TAIL: Final = HEADER.size + BBO_BLOCK.size  # where the market's length and name begin


class SbeError(PayloadError):
    """A frame is not laid out as its header and the schema say."""


class OrderSide(IntEnum):
    BUY = 1
    SELL = 2


class PositionSide(IntEnum):
    LONG = 1
    SHORT = 2


class OrderStateCode(IntEnum):
    NEW = 1
    UNTRIGGERED = 2
    OPEN = 3
    CLOSED = 4


class PositionState(IntEnum):
    OPEN = 1
    CLOSED = 2


class BookPackage(IntEnum):
    SNAPSHOT = 0
    DELTA = 1


Levels = tuple[tuple[int, int], ...]  # (price_e8, size_e8); size 0 removes the level


class TradeMessage(NamedTuple):
    unix_us: int
    sequence: int
    trade_id: int  # low 64 bits, deprecated
    side: int
    price_e8: int
    size_e8: int
    created_unix_us: int
    trade_type: int
    market: str
    trade_id_text: str | None = None


class BboMessage(NamedTuple):
    unix_us: int
    sequence: int
    bid_e8: int | None
    bid_size_e8: int | None
    ask_e8: int | None
    ask_size_e8: int | None
    market: str


class BookMessage(NamedTuple):
    unix_us: int
    sequence: int
    package: int  # BookPackage
    best_bid_e8: int | None  # the "interactive" best levels, on interactive feeds only
    best_bid_size_e8: int | None
    best_ask_e8: int | None
    best_ask_size_e8: int | None
    relative_spread_e8: int | None
    best_bid_api_e8: int | None
    best_bid_api_size_e8: int | None
    best_ask_api_e8: int | None
    best_ask_api_size_e8: int | None
    bids: Levels
    asks: Levels
    market: str


class MarketSummary(NamedTuple):
    unix_us: int
    sequence: int
    mark_price_e8: int
    index_price_e8: int
    last_price_e8: int
    volume_usd_24h_e8: int
    open_interest_e8: int
    funding_rate_e8: int
    bid_e8: int | None
    ask_e8: int | None
    total_volume_e8: int
    price_change_rate_24h_e8: int
    mark_iv_e8: int | None
    bid_iv_e8: int | None
    ask_iv_e8: int | None
    last_iv_e8: int | None
    delta_e8: int | None
    gamma_e8: int | None
    vega_e8: int | None
    theta_e8: int | None
    rho_e8: int | None
    volga_e8: int | None
    vanna_e8: int | None
    future_funding_rate_e8: int | None
    external_fair_price_e8: int | None
    bid_size_e8: int | None
    ask_size_e8: int | None
    forward_rate_e8: int | None
    risk_free_rate_e8: int | None
    funding_rate_e12: int | None
    settlement_twap_estimate_e8: int | None
    market: str


class FundingData(NamedTuple):
    unix_us: int
    sequence: int
    funding_rate_e8: int
    funding_index_e8: int
    created_unix_us: int
    funding_premium_e8: int
    funding_rate_8h_e8: int
    funding_period_hours: int
    impact_premium_rate_e8: int | None
    market: str


class OrderMessage(NamedTuple):
    unix_us: int
    sequence: int
    state: int  # OrderState
    side: int  # OrderSide
    order_type: int
    time_in_force: int
    price_e8: int | None
    trigger_price_e8: int | None
    size_e8: int
    remaining_e8: int
    average_price_e8: int | None
    created_unix_us: int
    updated_unix_us: int
    account: bytes  # 32, big-endian
    received_unix_us: int
    published_unix_us: int
    self_trade_prevention: int
    flags: int
    request_status: int | None
    request_type: int | None
    venue_order_id: str
    client_id: str
    market: str
    cancel_reason: str
    request_id: str | None = None
    request_message: str | None = None


class FillMessage(NamedTuple):
    unix_us: int
    sequence: int | None
    fill_type: int
    side: int  # OrderSide
    liquidity: int
    price_e8: int
    size_e8: int
    fee_e8: int
    realized_pnl_e8: int | None
    created_unix_us: int
    account: bytes
    underlying_price_e8: int
    realized_funding_e8: int
    flags: int | None
    book_sequence: int | None
    fill_id: str
    venue_order_id: str
    client_id: str
    trade_id: str
    market: str
    fee_currency: str | None = None


class PositionMessage(NamedTuple):
    unix_us: int
    sequence: int
    side: int  # PositionSide
    size_e8: int  # unsigned here, signed in the JSON form
    entry_price_e8: int
    unrealized_pnl_e8: int
    realized_pnl_e8: int
    mark_price_e8: int | None
    liquidation_price_e8: int | None
    leverage_e8: int
    updated_unix_us: int
    account: bytes
    entry_price_usd_e8: int
    cost_e8: int
    cost_usd_e8: int
    cached_funding_index_e8: int
    unrealized_funding_pnl_e8: int
    state: int  # PositionState
    market: str
    last_fill_id: str


class AccountMessage(NamedTuple):
    unix_us: int
    sequence: int
    total_collateral_e8: int
    free_collateral_e8: int
    initial_margin_e8: int
    maintenance_margin_e8: int
    account_value_e8: int
    unrealized_pnl_e8: int | None
    updated_unix_us: int
    account: bytes
    margin_cushion_e8: int
    state: int
    last_seen_notification: int | None
    settlement_asset: str


class Heartbeat(NamedTuple):
    unix_us: int
    sequence: int


Message = (
    TradeMessage
    | BboMessage
    | BookMessage
    | MarketSummary
    | FundingData
    | OrderMessage
    | FillMessage
    | PositionMessage
    | AccountMessage
    | Heartbeat
)


def decode(frame: bytes) -> Message | None:
    """Return the message of one binary frame, or None for a template this module does not know.

    Raises SbeError when the frame is not as documented.
    """
    if len(frame) < HEADER.size:
        raise SbeError(f"{len(frame)} bytes are no header")
    block_length, template, schema_id, _version = HEADER.unpack_from(frame)
    if schema_id != SCHEMA_ID:
        raise SbeError(f"schema id {schema_id} instead of {SCHEMA_ID}")
    layout = _LAYOUTS.get(template)
    if layout is None:
        return None
    block_end = HEADER.size + block_length
    if len(frame) < block_end:
        raise SbeError(f"template {template} ends inside its block of {block_length}")
    values = layout.block(frame, block_length)
    rest = _Rest(frame, block_end)
    if layout.has_levels:
        values += (rest.levels(), rest.levels())
    values += tuple(rest.string() for _ in range(layout.strings))
    # Strings added by later versions are absent, not empty, when the frame ends before them.
    values += tuple(rest.string() for _ in range(layout.optional_strings) if not rest.is_at_end())
    message: Message = layout.message(*values)
    return message


class _Rest:
    """What follows the block, read front to back."""

    def __init__(self, frame: bytes, position: int) -> None:
        self._frame = frame
        self._position = position

    def is_at_end(self) -> bool:
        return self._position >= len(self._frame)

    def string(self) -> str:
        if self.is_at_end():
            raise SbeError("the frame ends before a string")
        length = self._frame[self._position]
        text = self._take(1 + length)[1:]
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise SbeError(f"a string is not UTF-8: {text!r}") from None

    def levels(self) -> Levels:
        entry_length, count = _GROUP.unpack(self._take(_GROUP.size))
        if entry_length < _LEVEL.size:
            raise SbeError(f"book entries of {entry_length} bytes")
        entries = self._take(entry_length * count)
        if entry_length == _LEVEL.size:
            levels = tuple(_LEVEL.iter_unpack(entries))
        else:  # a later version appended to the entry
            levels = tuple(_LEVEL.unpack_from(entries, index * entry_length) for index in range(count))
        return levels

    def _take(self, length: int) -> bytes:
        taken = self._frame[self._position : self._position + length]
        if len(taken) < length:
            raise SbeError(f"the frame ends {length - len(taken)} bytes early")
        self._position += length
        return taken


_GROUP: Final = Struct("<2H")
_LEVEL: Final = Struct("<2q")


@dataclass(frozen=True)
class _Layout:
    """One template: the block's layouts by version, oldest first, and what comes after it."""

    message: Callable[..., Any]
    blocks: tuple[Struct, ...]
    nullable: tuple[bool, ...]  # per block field of the newest version
    strings: int
    optional_strings: int
    has_levels: bool

    def block(self, frame: bytes, block_length: int) -> tuple[Any, ...]:
        """Read the fields of the newest layout that fits; those of later versions are None."""
        struct = next((known for known in reversed(self.blocks) if known.size <= block_length), None)
        if struct is None:
            raise SbeError(f"a block of {block_length} bytes, shorter than {self.blocks[0].size}")
        values = struct.unpack_from(frame, HEADER.size)
        if NULL in values:
            for value, is_nullable in zip(values, self.nullable, strict=False):
                if value == NULL and not is_nullable:
                    raise SbeError("a required number is null")
            values = tuple(None if value == NULL else value for value in values)
        return values + (None,) * (len(self.nullable) - len(values))


def _layout(message: type[Any], *blocks: str, strings: int = 1, optional_strings: int = 0) -> _Layout:
    """Declare a template: its message class and each version's block, as ``struct`` writes it."""
    structs = tuple(Struct("<" + block) for block in blocks)
    field_count = len(structs[-1].unpack(bytes(structs[-1].size)))
    hints = get_type_hints(message)
    has_levels = "bids" in hints
    assert len(hints) == field_count + 2 * has_levels + strings + optional_strings
    return _Layout(
        message=message,
        blocks=structs,
        nullable=tuple(hints[name] == int | None for name in list(hints)[:field_count]),
        strings=strings,
        optional_strings=optional_strings,
        has_levels=has_levels,
    )


_LAYOUTS: Final = {
    1: _layout(TradeMessage, "qqqBqqqB", optional_strings=1),
    BBO_TEMPLATE: _layout(BboMessage, "6q"),
    3: _layout(BookMessage, "qqB9q"),
    4: _layout(MarketSummary, "27q", "30q", "31q"),
    5: _layout(FundingData, "7qh", "7qhq"),
    20: _layout(OrderMessage, "qqBBBB7q32sqqBB", "qqBBBB7q32sqqBBBB", strings=4, optional_strings=2),
    21: _layout(FillMessage, "qqBBB5q32sqq", "qqBBB5q32sqqBQ", strings=5, optional_strings=1),
    22: _layout(PositionMessage, "qqB8q32s5qB", strings=2),
    23: _layout(AccountMessage, "9q32sqB", "9q32sqBq"),
    40: _layout(Heartbeat, "qq", strings=0),
}
