"""Paradex's public market data: best bid and offer, and the full book, over one WebSocket.

``bbo.{market}`` is the venue's fastest top of book and comes on every change; its sequence rises but
skips numbers, because it is the book's counter. ``order_book.{market}.deltas`` is the fastest depth
and skips nothing: see ``book``. The live service sends both as binary SBE on a connection that asks
for it in its URL; JSON, for hosts that still serve it, is the documented fallback (``sbe=False``).
Every payload is taken in either form, whichever the connection was opened for.

Source: Paradex documentation, "WebSocket channels" and "Binary encoding (SBE)", read in October 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from venues.contract import Depth, FaultKind, FeedFault, FrameError, TopOfBook, VenueHosts
from venues.paradex import sbe
from venues.paradex.hosts import NAME, Encoding
from venues.paradex.jsonrpc import (
    FIRST_SESSION_ID,
    SESSION_ID_STEP,
    RpcMessage,
    parse_rpc,
    render_request,
)
from venues.paradex.markets import MarketFeed, Subscription
from venues.paradex.messages import UNIX_US_BOUND, PayloadError
from venues.paradex.quotes import (
    BboFields,
    BookUpdate,
    bbo_from_json,
    bbo_from_sbe,
    book_from_json,
    book_from_sbe,
)
from venues.usual_frames import UsualFrames

# A subscription that brings neither acknowledgement nor snapshot is asked for again after this.
ANSWER_TIMEOUT_NS: Final = 5_000_000_000
# Found in a frame that is no JSON, too: inside a JSON text its quotes would be escaped.
_CHANNEL: Final = re.compile(rb'"channel"\s*:\s*"([^"\\]*)"')


class ParadexMarketData:
    """One market-data connection for a fixed set of instruments.

    Answers no pings: the venue's are protocol-level and answered by the socket library.
    ``schema_version`` is what the service is asked for first; see ``Encoding`` for what follows.
    """

    venue = NAME

    def __init__(
        self,
        hosts: VenueHosts,
        instruments: Mapping[str, int],
        *,
        sbe: bool = True,
        schema_version: int = 2,
    ) -> None:
        self._encoding = Encoding(hosts.public_ws_url, sbe=sbe, schema_version=schema_version)
        self._instruments = dict(instruments)
        # A bbo frame ends in its market's length and name: the whole tail is the key.
        self.usual_frames = UsualFrames(
            (number, _sbe_string(symbol)) for symbol, number in instruments.items()
        )
        self._next_id = FIRST_SESSION_ID
        self._requests: dict[int, tuple[_Method, Subscription]] = {}
        self._frames: list[bytes] = []
        self._tops: list[TopOfBook] = []
        self._changed: dict[int, MarketFeed] = {}  # by instrument id: markets whose depth to hand over
        self._faults: list[FeedFault] = []
        self._make_markets()

    def _make_markets(self) -> None:
        # On an SBE connection the deltas take no parameters. The JSON form of the deltas is not
        # settled; the snapshots every client knows stand alone and need no guess.
        book_channel = "order_book.{}.deltas" if self._encoding.is_sbe else "order_book.{}.snapshot@15@100ms"
        self._markets = {
            symbol: MarketFeed(
                symbol, instrument_id, book_channel.format(symbol), self.usual_frames.state(place)
            )
            for place, (symbol, instrument_id) in enumerate(self._instruments.items())
        }
        tails = (tail for _, tail in self.usual_frames.channels)
        self._by_tail = dict(zip(tails, self._markets.values(), strict=True))
        self._by_channel = {
            subscription.channel: subscription
            for market in self._markets.values()
            for subscription in (market.bbo, market.depth)
        }

    @property
    def url(self) -> str:
        """The public WebSocket, in the encoding asked for now."""
        return self._encoding.url

    def refused(self, status: int) -> str:
        """The upgrade got this HTTP status. Returns what the URL asks for instead now, if anything."""
        change = self._encoding.refused(status)
        if change:
            self._make_markets()  # channels are named differently
        return change

    def connected(self, now_mono_ns: int) -> None:
        """A new connection stands: forget all books, queue the subscriptions."""
        self._requests.clear()
        self._frames.clear()
        self._tops.clear()
        self._changed.clear()
        for market in self._markets.values():
            market.forget()
        for subscription in self._by_channel.values():
            self._subscribe(subscription, now_mono_ns)

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        """Take one frame. Raises FrameError if it is not as documented and names no instrument of ours;
        never anything else."""
        try:
            if is_binary:
                self._receive_binary(frame, recv_mono_ns)
            else:
                self._receive_text(frame, recv_mono_ns)
        except PayloadError as error:
            subscription = self._named_in_binary(frame) if is_binary else self._named_in_text(frame)
            if subscription is None:
                raise FrameError(NAME, str(error), frame) from None
            self._refuse(subscription, str(error), recv_mono_ns)

    def renew(self, instrument_id: int, now_mono_ns: int) -> None:
        """Subscribe anew to both channels of an instrument that has fallen silent."""
        for market in self._markets.values():
            if market.instrument_id == instrument_id:
                market.bbo_state.newest = -1  # the venue may have started counting anew
                market.book.forget()
                self._resubscribe(market.bbo, now_mono_ns)
                self._resubscribe(market.depth, now_mono_ns)

    def tick(self, now_mono_ns: int) -> None:
        """Ask again for subscriptions that were never answered."""
        for subscription in self._by_channel.values():
            since = subscription.awaiting_since_mono_ns
            if since is not None and now_mono_ns - since >= ANSWER_TIMEOUT_NS:
                detail = f"{subscription.channel} not standing after {ANSWER_TIMEOUT_NS // 10**9} s"
                self._fault(FaultKind.REFUSED, subscription.market.instrument_id, detail)
                self._resubscribe(subscription, now_mono_ns)

    def take_frames(self) -> list[bytes]:
        """Text frames to send, oldest first."""
        frames, self._frames = self._frames, []
        return frames

    def take_tops(self) -> list[TopOfBook]:
        """Tops of book gathered since the last call, oldest first."""
        tops, self._tops = self._tops, []
        return tops

    def take_depths(self) -> list[Depth]:
        """The newest depth of each instrument that changed since the last call."""
        if not self._changed:
            return []
        depths = [market.as_depth() for market in self._changed.values()]
        self._changed.clear()
        return depths

    def take_faults(self) -> list[FeedFault]:
        """What was wrong. The frames that mend it are already queued."""
        faults, self._faults = self._faults, []
        return faults

    # --- frames ---

    def _receive_binary(self, frame: bytes, recv_mono_ns: int) -> None:
        # The hot path: two comparisons and one look-up show that this is a plain bbo of ours, and
        # that it is as long as it should be; one unpack reads it.
        if frame.startswith(sbe.BBO_HEADER_START):
            market = self._by_tail.get(frame[sbe.BBO_TAIL :])
            if market is not None:
                self._take_bbo(market, sbe.BBO_BLOCK.unpack_from(frame, sbe.HEADER.size), recv_mono_ns)
                return
        message = sbe.decode(frame)
        if isinstance(message, sbe.BboMessage):
            market = self._market(message.market, message)
            if market is not None:
                self._take_bbo(market, bbo_from_sbe(message), recv_mono_ns)
        elif isinstance(message, sbe.BookMessage):
            market = self._market(message.market, message)
            if market is not None:
                self._take_book(market, book_from_sbe(message), recv_mono_ns)
        elif message is None:
            template = sbe.HEADER.unpack_from(frame)[1]
            self._fault(FaultKind.UNKNOWN, -1, f"SBE template {template}, skipped")
        elif not isinstance(message, sbe.Heartbeat):
            self._fault(FaultKind.UNKNOWN, -1, f"a {type(message).__name__}, never subscribed")

    def _receive_text(self, frame: bytes, recv_mono_ns: int) -> None:
        message = parse_rpc(frame)
        if message.params is None:
            self._receive_reply(message)
            return
        channel = message.params.channel
        subscription = self._by_channel.get(channel)
        if subscription is None:
            self._fault(FaultKind.UNKNOWN, -1, f"a message on {channel[:60]!r}, never subscribed")
        elif subscription is subscription.market.bbo:
            self._take_bbo(subscription.market, bbo_from_json(message.params.data), recv_mono_ns)
        else:
            self._take_book(subscription.market, book_from_json(message.params.data), recv_mono_ns)

    def _receive_reply(self, message: RpcMessage) -> None:
        method, subscription = self._requests.pop(message.id or 0, (None, None))
        if message.error is not None:
            # A refused subscription keeps waiting, and so is asked for again by tick.
            instrument_id = subscription.market.instrument_id if subscription else -1
            what = f"{method} {subscription.channel}" if subscription else f"request {message.id}"
            self._fault(
                FaultKind.REFUSED, instrument_id, f"{what}: {message.error.code} {message.error.text}"
            )
        elif subscription is None:
            self._fault(FaultKind.UNKNOWN, -1, f"a reply to request {message.id}, never made")
        elif method == "subscribe" and subscription is subscription.market.bbo:
            subscription.awaiting_since_mono_ns = None  # the first bbo comes with the next change

    def _market(self, symbol: str, message: sbe.Message) -> MarketFeed | None:
        market = self._markets.get(symbol)
        if market is None:
            self._fault(
                FaultKind.UNKNOWN, -1, f"a {type(message).__name__} of {symbol[:40]!r}, never subscribed"
            )
        return market

    # --- frames that cannot be read ---

    def _named_in_binary(self, frame: bytes) -> Subscription | None:
        """What an SBE frame is about: its template's channel of the market it ends in."""
        market = next((found for tail, found in self._by_tail.items() if frame.endswith(tail)), None)
        if market is None:
            return None
        return market.bbo if frame.startswith(sbe.BBO_HEADER_START) else market.depth

    def _named_in_text(self, frame: bytes) -> Subscription | None:
        """The one channel of ours a text frame names; None where it names none, or several."""
        channels = set(_CHANNEL.findall(frame))
        return self._by_channel.get(channels.pop().decode("utf-8", "replace")) if len(channels) == 1 else None

    def _refuse(self, subscription: Subscription, detail: str, now_mono_ns: int) -> None:
        """Void one market for a frame of it that cannot be read. A bbo stands alone, but the book has lost
        a change and needs its snapshot: asked for at once, and again by tick while it does not come."""
        market = subscription.market
        self._fault(FaultKind.UNREADABLE, market.instrument_id, detail)
        if subscription is market.depth and market.book.is_synchronised:
            market.book.forget()
            if now_mono_ns - subscription.asked_mono_ns < ANSWER_TIMEOUT_NS:
                subscription.awaiting_since_mono_ns = now_mono_ns  # each snapshot may be followed by the same
            else:
                self._resubscribe(subscription, now_mono_ns)

    # --- what they say ---

    def _take_bbo(self, market: MarketFeed, bbo: BboFields, recv_mono_ns: int) -> None:
        unix_us, sequence, bid_e8, bid_size_e8, ask_e8, ask_size_e8 = bbo
        if not 0 <= unix_us < UNIX_US_BOUND:
            raise PayloadError(f"bbo time {unix_us} us")
        is_valid = bid_e8 > 0 and bid_size_e8 > 0 and ask_size_e8 > 0 and bid_e8 <= ask_e8
        if not is_valid:
            bid_e8, bid_size_e8 = _side(bid_e8, bid_size_e8)
            ask_e8, ask_size_e8 = _side(ask_e8, ask_size_e8)
        if sequence <= market.bbo_state.newest:
            self._lose_bbo(market, unix_us, sequence, recv_mono_ns)
            return
        if not is_valid:
            self._name_bad_bbo(market, bid_e8, ask_e8, recv_mono_ns)
        market.bbo_state.newest = sequence
        market.bbo_state.is_plain = is_valid
        self._tops.append(
            TopOfBook(
                instrument_id=market.instrument_id,
                bid_e8=bid_e8,
                bid_size_e8=bid_size_e8,
                ask_e8=ask_e8,
                ask_size_e8=ask_size_e8,
                venue_unix_ns=unix_us * 1_000,
                venue_sequence=sequence,
                is_valid=is_valid,
            )
        )

    def _lose_bbo(self, market: MarketFeed, unix_us: int, sequence: int, recv_mono_ns: int) -> None:
        """A sequence that does not rise: say that the last prices are void and subscribe anew."""
        detail = f"{market.symbol} bbo {sequence} after {market.bbo_state.newest}"
        self._fault(FaultKind.GAP, market.instrument_id, detail)
        self._tops.append(
            TopOfBook(
                instrument_id=market.instrument_id,
                bid_e8=0,
                bid_size_e8=0,
                ask_e8=0,
                ask_size_e8=0,
                venue_unix_ns=unix_us * 1_000,
                venue_sequence=market.bbo_state.newest,
                is_valid=False,
            )
        )
        market.bbo_state.newest = -1  # the venue may have started counting anew
        self._resubscribe(market.bbo, recv_mono_ns)

    def _name_bad_bbo(self, market: MarketFeed, bid_e8: int, ask_e8: int, recv_mono_ns: int) -> None:
        """Name what is wrong with a bbo that has no two usable sides."""
        if bid_e8 and ask_e8:
            self._fault(FaultKind.CROSSED, market.instrument_id, f"bbo bid {bid_e8} above ask {ask_e8} e8")
            if market.bbo_state.is_plain:  # asked once: every bbo stands alone, more asking mends no more
                self._resubscribe(market.bbo, recv_mono_ns)
        elif market.bbo_state.is_plain:  # named once: an empty side is a state, not an event
            self._fault(FaultKind.EMPTY_SIDE, market.instrument_id, f"bbo bid {bid_e8}, ask {ask_e8} e8")

    def _take_book(self, market: MarketFeed, update: BookUpdate, recv_mono_ns: int) -> None:
        book = market.book
        if update.is_snapshot:
            if book.is_synchronised and update.sequence <= book.sequence:
                self._lose_book(market, FaultKind.GAP, update, recv_mono_ns)
                return
            book.replace(update.sequence, bids=update.bids, asks=update.asks)
            market.depth.awaiting_since_mono_ns = None
        elif not book.is_synchronised:
            return  # the rest of a feed already given up: its snapshot is on the way
        elif update.sequence != book.sequence + 1:
            self._lose_book(market, FaultKind.GAP, update, recv_mono_ns)
            return
        else:
            book.apply(update.sequence, bids=update.bids, asks=update.asks)
        market.book_unix_ns = update.unix_us * 1_000
        if book.is_crossed():
            self._lose_book(market, FaultKind.CROSSED, update, recv_mono_ns)
            return
        is_two_sided = book.is_two_sided()
        if market.book_was_two_sided and not is_two_sided:
            self._fault(FaultKind.EMPTY_SIDE, market.instrument_id, f"{market.symbol} book")
        market.book_was_two_sided = is_two_sided
        self._changed[market.instrument_id] = market

    def _lose_book(self, market: MarketFeed, kind: FaultKind, update: BookUpdate, now_mono_ns: int) -> None:
        """Drop a book that cannot be right and ask for a new snapshot; there is no replay."""
        what = f"{market.symbol} book at {market.book.sequence}, then {update.sequence}"
        self._fault(kind, market.instrument_id, what)
        market.book.forget()
        self._changed[market.instrument_id] = market
        if update.is_snapshot and kind is FaultKind.CROSSED:
            # Wrong from its first frame: the same again at once would loop. Tick asks after a pause.
            market.depth.awaiting_since_mono_ns = now_mono_ns
        else:
            self._resubscribe(market.depth, now_mono_ns)

    def _fault(self, kind: FaultKind, instrument_id: int, detail: str) -> None:
        self._faults.append(FeedFault(kind, instrument_id, detail))

    # --- subscriptions ---

    def _resubscribe(self, subscription: Subscription, now_mono_ns: int) -> None:
        since = subscription.awaiting_since_mono_ns
        if since is not None and now_mono_ns - since < ANSWER_TIMEOUT_NS:
            return  # one is on the way; asking at every bad frame would be a storm
        self._request("unsubscribe", subscription)
        self._subscribe(subscription, now_mono_ns)

    def _subscribe(self, subscription: Subscription, now_mono_ns: int) -> None:
        subscription.awaiting_since_mono_ns = subscription.asked_mono_ns = now_mono_ns
        self._request("subscribe", subscription)

    def _request(self, method: _Method, subscription: Subscription) -> None:
        self._frames.append(render_request(self._next_id, method, {"channel": subscription.channel}))
        self._requests[self._next_id] = (method, subscription)
        self._next_id += SESSION_ID_STEP


_Method = Literal["subscribe", "unsubscribe"]


def _sbe_string(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _side(price_e8: int, size_e8: int) -> tuple[int, int]:
    """Return one side of a bbo, (0, 0) when it is empty. Raises PayloadError for a negative number."""
    for value in (price_e8, size_e8):
        if value < 0 and value != sbe.NULL:
            raise PayloadError(f"bbo holds {value}")
    return (price_e8, size_e8) if price_e8 > 0 and size_e8 > 0 else (0, 0)
