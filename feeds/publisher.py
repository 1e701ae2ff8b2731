"""Publishes a venue's market data as quotes and depth in shared memory.

Order of one quote: slot, ring, doorbell. A reader that saw it in the ring finds it, or a newer one, in
the slot. A quote that can no longer be trusted is published again with its flags changed, so readers of
the ring see that in order and readers of the slot at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from shm.broadcast import BroadcastWriter
from shm.counters import CounterTable
from shm.doorbell import Doorbell
from shm.layout import Memory
from shm.native_access import BellC, RingWriterC, SlotsC, bell_in_c, ring_writer_in_c, slots_in_c
from shm.records import QUOTE, DepthBook, Quote, QuoteFlags, pack_depth, unpack_depth
from shm.slot import SlotTable
from venues.contract import Depth, TopOfBook

# Plain ints: arithmetic on IntFlag members makes a new member each time.
_VALID = int(QuoteFlags.VALID)
_SNAPSHOT = int(QuoteFlags.SNAPSHOT)
_STALE = int(QuoteFlags.STALE)
_CROSSED = int(QuoteFlags.CROSSED)


class Published(NamedTuple):
    """The latest top and depth of an instrument, and when their frames were received; None and 0: none."""

    top: TopOfBook | None
    top_mono_ns: int
    depth: Depth | None
    depth_mono_ns: int


class PublishedC(NamedTuple):
    """A venue's ring and slots as C has them."""

    tops: SlotsC
    depths: SlotsC
    ring: RingWriterC
    bell: BellC
    epoch: int


class Publisher:
    """The one writer of a venue's ring and slots.

    ``awaited`` holds the instruments without a valid quote since the connection; the first valid
    one of each carries SNAPSHOT.
    """

    def __init__(
        self,
        memory: Memory,
        venue: str,
        instrument_ids: Iterable[int],
        counters: CounterTable,
        clock_mono_ns: Callable[[], int],
    ) -> None:
        self.venue = venue
        self._instrument_ids = tuple(instrument_ids)
        self._ring: BroadcastWriter = memory.quotes_writer(venue)
        self._tops = memory.tops(venue, writer=True)
        self._top_slots: SlotTable = self._tops.table
        self._depth_slots = memory.depth(venue, writer=True)
        self._bell: Doorbell = memory.doorbell("detector")
        self._epoch = self._ring.epoch
        self._clock_mono_ns = clock_mono_ns
        self._counters = counters
        self._quotes_total = counters.index("quotes_total")
        self._depths_total = counters.index("depths_total")
        self._recv_to_publish = counters.histogram("recv_to_publish")
        self.awaited = set(self._instrument_ids)

    def publish(self, top: TopOfBook, recv_mono_ns: int) -> None:
        """Publish one top of book. A crossed or one-sided one is never marked valid."""
        instrument_id, bid_e8, bid_size_e8, ask_e8, ask_size_e8, venue_unix_ns, sequence, is_valid = top
        if is_valid and 0 < bid_e8 <= ask_e8:
            flags = _VALID
            if self.awaited and instrument_id in self.awaited:
                self.awaited.discard(instrument_id)
                flags |= _SNAPSHOT
        else:
            flags = _CROSSED if bid_e8 > ask_e8 > 0 else 0
        publish_mono_ns = self._clock_mono_ns()
        body = QUOTE.pack(
            instrument_id,
            bid_e8,
            ask_e8,
            bid_size_e8,
            ask_size_e8,
            venue_unix_ns,
            recv_mono_ns,
            publish_mono_ns,
            sequence,
            flags,
            self._epoch,
        )
        self._put(instrument_id, body)
        self._recv_to_publish.record(publish_mono_ns - recv_mono_ns)

    def publish_depth(self, depth: Depth, recv_mono_ns: int) -> None:
        """Replace an instrument's depth."""
        book = DepthBook(depth.bids, depth.asks, recv_mono_ns, depth.venue_sequence, depth.is_valid)
        self._depth_slots.write(depth.instrument_id, pack_depth(book))
        self._counters.add(self._depths_total)

    def flag_stale(self, instrument_id: int | None = None) -> None:
        """The venue, or one instrument, is silent: its last quotes may not be traded on any more."""
        self._flag(_STALE, instrument_id)

    def flag_invalid(self, instrument_id: int | None = None) -> None:
        """Something unreadable arrived, of one instrument where it says so: its last prices are void until
        the next."""
        self._flag(0, instrument_id)

    def published(self, instrument_id: int) -> Published:
        """What every reader finds of an instrument, whichever of two writers put it there."""
        quote, body = self._tops.read(instrument_id), self._depth_slots.read(instrument_id)
        top = depth = None
        top_mono_ns = depth_mono_ns = 0
        if quote is not None:
            top_mono_ns = quote.recv_mono_ns
            top = TopOfBook(
                instrument_id=instrument_id,
                bid_e8=quote.bid_e8,
                bid_size_e8=quote.bid_size_e8,
                ask_e8=quote.ask_e8,
                ask_size_e8=quote.ask_size_e8,
                venue_unix_ns=quote.venue_unix_ns,
                venue_sequence=quote.venue_sequence,
                is_valid=bool(quote.flags & _VALID),
            )
        if body is not None:
            book = unpack_depth(body)
            depth_mono_ns = book.recv_mono_ns
            depth = Depth(instrument_id, book.bids, book.asks, 0, book.venue_sequence, book.is_valid)
        return Published(top, top_mono_ns, depth, depth_mono_ns)

    def memory_in_c(self) -> PublishedC:
        """The same memory for a compiled writer: either of the two may write, never both at once."""
        return PublishedC(
            slots_in_c(self._top_slots),
            slots_in_c(self._depth_slots),
            ring_writer_in_c(self._ring),
            bell_in_c(self._bell),
            self._epoch,
        )

    def await_snapshots(self) -> None:
        """A new connection begins."""
        self.awaited.update(self._instrument_ids)

    def close(self) -> None:
        """Unmap ring and slots."""
        self._ring.close()
        self._tops.close()
        self._depth_slots.close()

    def _flag(self, flag: int, only_id: int | None) -> None:
        """Publish the last quote of one instrument or of every one again, not valid and with ``flag``, and
        void its depth.

        The last quote is read from the slot, so what a killed predecessor left is flagged too,
        also where its slot was torn: then without prices.
        """
        for instrument_id in self._instrument_ids if only_id is None else (only_id,):
            last = self._tops.read(instrument_id) or Quote(instrument_id, *([0] * (len(Quote._fields) - 1)))
            quote = last._replace(
                publish_mono_ns=self._clock_mono_ns(),
                flags=last.flags & ~(_VALID | _SNAPSHOT) | flag,
                writer_epoch=self._epoch,
            )
            self._put(instrument_id, QUOTE.pack(*quote))
            void = DepthBook((), (), last.recv_mono_ns, last.venue_sequence, is_valid=False)
            self._depth_slots.write(instrument_id, pack_depth(void))

    def _put(self, instrument_id: int, body: bytes) -> None:
        self._top_slots.write(instrument_id, body)
        self._ring.publish(body)
        self._bell.ring()
        self._counters.add(self._quotes_total)
