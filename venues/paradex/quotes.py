"""Public payloads in numbers, whichever encoding they came in: a bbo, a change of the book.

Source: Paradex documentation, "WebSocket channels" (JSON) and "Binary encoding (SBE)".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from venues.paradex import sbe
from venues.paradex.messages import UNIX_US_BOUND, PayloadError, UnixMs, exact_e8, read_json
from venues.paradex.messages import Sequence as SequenceNumber

# Of a bbo, in SBE's order: unix_us, sequence, bid_e8, bid_size_e8, ask_e8, ask_size_e8. A side is
# empty where a number is zero, or SBE's null. A bare tuple: it is what ``struct`` hands over, and
# naming it would cost the hot path a fifth of its time.
BboFields = tuple[int, int, int, int, int, int]


class BookUpdate(NamedTuple):
    unix_us: int
    sequence: int
    is_snapshot: bool
    bids: Sequence[tuple[int, int]]
    asks: Sequence[tuple[int, int]]


def bbo_from_sbe(message: sbe.BboMessage) -> BboFields:
    """The same six numbers as ``bbo_from_json``, with 0 for SBE's null."""
    return (
        message.unix_us,
        message.sequence,
        message.bid_e8 or 0,
        message.bid_size_e8 or 0,
        message.ask_e8 or 0,
        message.ask_size_e8 or 0,
    )


def bbo_from_json(payload: msgspec.Raw) -> BboFields:
    """Raises PayloadError if the payload is not as documented."""
    bbo = read_json(_BBO_DECODER, payload)
    # An empty text is an empty side, as in the venue's market summaries.
    texts = (bbo.bid, bbo.bid_size, bbo.ask, bbo.ask_size)
    bid_e8, bid_size_e8, ask_e8, ask_size_e8 = (exact_e8(text or "0") for text in texts)
    return bbo.last_updated_at * 1_000, bbo.seq_no, bid_e8, bid_size_e8, ask_e8, ask_size_e8


def book_from_sbe(message: sbe.BookMessage) -> BookUpdate:
    """Raises PayloadError if the payload is neither snapshot nor delta, or holds an impossible number."""
    if message.package not in (sbe.BookPackage.SNAPSHOT, sbe.BookPackage.DELTA):
        raise PayloadError(f"book package {message.package}")
    is_snapshot = message.package == sbe.BookPackage.SNAPSHOT
    update = BookUpdate(message.unix_us, message.sequence, is_snapshot, message.bids, message.asks)
    return _checked(update)


def book_from_json(payload: msgspec.Raw) -> BookUpdate:
    """Raises PayloadError if the payload is not as documented, or holds an impossible number."""
    book = read_json(_BOOK_DECODER, payload)
    sides: dict[str, list[tuple[int, int]]] = {"BUY": [], "SELL": []}
    for level in book.deletes:
        sides[level.side].append((exact_e8(level.price), 0))
    for level in (*book.updates, *book.inserts):
        sides[level.side].append((exact_e8(level.price), exact_e8(level.size)))
    update = BookUpdate(
        book.last_updated_at * 1_000, book.seq_no, book.update_type == "s", sides["BUY"], sides["SELL"]
    )
    return _checked(update)


def _checked(update: BookUpdate) -> BookUpdate:
    if not 0 <= update.unix_us < UNIX_US_BOUND:
        raise PayloadError(f"book time {update.unix_us} us")
    if any(price <= 0 or size < 0 for levels in (update.bids, update.asks) for price, size in levels):
        raise PayloadError("a book level with a price or size below zero")
    if update.is_snapshot and any(
        len({price for price, _ in levels}) != len(levels) for levels in (update.bids, update.asks)
    ):
        raise PayloadError("a snapshot that names a price twice")
    return update


class _BboJson(msgspec.Struct, frozen=True):
    seq_no: SequenceNumber
    last_updated_at: UnixMs
    bid: str
    bid_size: str
    ask: str
    ask_size: str


class _LevelJson(msgspec.Struct, frozen=True):
    side: Literal["BUY", "SELL"]
    price: str
    size: str


class _BookJson(msgspec.Struct, frozen=True):
    seq_no: SequenceNumber
    last_updated_at: UnixMs
    update_type: Literal["s", "d"]
    inserts: tuple[_LevelJson, ...] = ()
    updates: tuple[_LevelJson, ...] = ()
    deletes: tuple[_LevelJson, ...] = ()


_BBO_DECODER: Final = msgspec.json.Decoder(_BboJson)
_BOOK_DECODER: Final = msgspec.json.Decoder(_BookJson)
