"""The state of each instrument on one market-data connection."""

from __future__ import annotations

from shm.records import DEPTH_LEVELS
from venues.contract import Depth
from venues.paradex.order_book import OrderBook
from venues.usual_frames import ChannelState


class Subscription:
    """One channel of one market."""

    def __init__(self, channel: str, market: MarketFeed) -> None:
        self.channel = channel
        self.market = market
        self.awaiting_since_mono_ns: int | None = None  # bbo: for its reply; book: for its snapshot
        self.asked_mono_ns = 0  # when it was last subscribed to


class MarketFeed:
    """One instrument: its two subscriptions, the state of its bbo, its book.

    ``bbo_state``: its newest sequence, -1 before the first; plain while it has two usable sides.
    """

    def __init__(self, symbol: str, instrument_id: int, book_channel: str, bbo_state: ChannelState) -> None:
        self.symbol = symbol
        self.instrument_id = instrument_id
        self.bbo = Subscription(f"bbo.{symbol}", self)
        self.depth = Subscription(book_channel, self)
        self.bbo_state = bbo_state
        self.book = OrderBook()
        self.forget()

    def forget(self) -> None:
        """Drop prices, book and sequence numbers: a new connection sends them again."""
        self.bbo_state.newest = -1
        self.bbo_state.is_plain = True
        self.book.forget()
        self.book_unix_ns = 0
        self.book_was_two_sided = True

    def as_depth(self) -> Depth:
        """The best levels of the book as they are published."""
        return Depth(
            self.instrument_id,
            self.book.best_bids(DEPTH_LEVELS),
            self.book.best_asks(DEPTH_LEVELS),
            self.book_unix_ns,
            self.book.sequence,
            self.book.is_two_sided(),  # a book given up has no sides
        )
