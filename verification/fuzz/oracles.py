"""Invariants that hold after any input from a venue. A breach is a finding."""

from __future__ import annotations

import json
from collections.abc import Iterable

from shm.records import DEPTH_LEVELS, QUOTE, DepthBook, Quote, pack_depth
from venues.contract import (
    Account,
    Depth,
    Fill,
    HttpRequest,
    Instrument,
    MarketData,
    OrderAck,
    OrderUpdate,
    Position,
    PrivateEvent,
    TopOfBook,
    VenueError,
)


def fits(*values: object) -> bool:
    """Whether every whole number among the values fits 64 bits."""
    return all(-(2**63) <= value < 2**63 for value in values if isinstance(value, int))


def check_error(error: Exception) -> None:
    """A documented error says something, and no waiting time beyond reason."""
    assert str(error)
    if isinstance(error, VenueError):
        assert error.retry_after_ms is None or 0 <= error.retry_after_ms < 10**9, error


def check_market_data(feed: MarketData) -> bool:
    """Take all a feed has to hand over and check it; return whether there was anything."""
    tops, depths, faults, frames = (
        feed.take_tops(),
        feed.take_depths(),
        feed.take_faults(),
        feed.take_frames(),
    )
    for top in tops:
        check_top(top)
    for depth in depths:
        check_depth(depth)
    check_frames(frames)
    return bool(tops or depths or faults or frames)


def check_top(top: TopOfBook) -> None:
    # The very packing a feed does; it raises struct.error for what does not fit 64 bits.
    QUOTE.pack(
        *Quote(
            top.instrument_id, top.bid_e8, top.ask_e8, top.bid_size_e8, top.ask_size_e8,
            top.venue_unix_ns, 0, 0, top.venue_sequence, 0, 0,
        )
    )  # fmt: skip
    assert min(top.bid_e8, top.ask_e8, top.bid_size_e8, top.ask_size_e8) >= 0, top
    assert top.venue_unix_ns >= 0, top
    if top.is_valid:
        assert 0 < top.bid_e8 <= top.ask_e8, top
        assert min(top.bid_size_e8, top.ask_size_e8) > 0, top


def check_depth(depth: Depth) -> None:
    pack_depth(DepthBook(depth.bids, depth.asks, 0, depth.venue_sequence, depth.is_valid))
    assert fits(depth.venue_unix_ns), depth
    assert depth.venue_unix_ns >= 0, depth
    assert max(len(depth.bids), len(depth.asks)) <= DEPTH_LEVELS
    for levels, is_bid in ((list(depth.bids), True), (list(depth.asks), False)):
        assert levels == sorted(levels, reverse=is_bid), depth
        assert all(price_e8 > 0 and size_e8 > 0 for price_e8, size_e8 in levels), depth
    if depth.is_valid:
        assert depth.bids[0][0] <= depth.asks[0][0], depth


def check_frames(frames: Iterable[bytes]) -> None:
    """What is sent is JSON, whatever was received."""
    for frame in frames:
        json.loads(frame)


def check_event(event: PrivateEvent) -> None:
    assert fits(*event), event
    if isinstance(event, OrderUpdate):
        check_update(event)
    elif isinstance(event, Fill):
        assert min(event.price_e8, event.size_e8) > 0, event
        assert event.fill_id, event
        assert min(event.client_order_id, event.venue_unix_ns) >= 0, event
    elif isinstance(event, Position):
        check_position(event)
    elif isinstance(event, OrderAck):
        check_ack(event)


def check_update(update: OrderUpdate) -> None:
    assert min(update.client_order_id, update.venue_unix_ns) >= 0, update
    size_e8, filled_e8 = update.size_e8, update.filled_e8
    assert size_e8 is None or size_e8 >= 0, update
    assert filled_e8 is None or filled_e8 >= 0, update
    assert size_e8 is None or filled_e8 is None or filled_e8 <= size_e8, update
    assert (update.average_price_e8 or 0) >= 0, update
    assert fits(*update), update


def check_position(position: Position) -> None:
    assert fits(*position), position
    assert min(position.entry_price_e8, position.mark_price_e8, position.liquidation_price_e8) >= 0, position


def check_account(account: Account) -> None:
    assert fits(*account), account


def check_ack(ack: OrderAck) -> None:
    assert isinstance(ack.code, str), ack
    assert isinstance(ack.text, str), ack
    assert ack.retry_after_ms is None or 0 <= ack.retry_after_ms < 10**9, ack


def check_instrument(instrument: Instrument) -> None:
    assert min(instrument.tick_e8, instrument.lot_e8) > 0, instrument
    assert 0 <= instrument.price_decimals <= 8, instrument
    assert 0 <= instrument.size_decimals <= 8, instrument
    assert min(instrument.min_size_e8, instrument.min_notional_e8, instrument.max_size_e8) >= 0, instrument


def check_request(request: HttpRequest) -> None:
    """Nothing a venue sent may break out of a line of the next request."""
    for text in (request.method, request.path, *(part for header in request.headers for part in header)):
        assert text.isascii(), text
        assert text.isprintable(), text
    assert request.path.startswith("/"), request.path
    assert " " not in request.path, request.path
