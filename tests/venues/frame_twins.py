"""A venue's two readers of market data beside each other: the protocol in Python, and the compiled one.

The compiled one accepts less. What it takes, Python alone must read alike; what it leaves, Python must find
in the state that it would have itself.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final, NamedTuple

from feeds.native import channels_in_c
from runtime.native import load, reader
from shm.counter_names import FRAMES_HANDED_OVER
from shm.records import DEPTH_CAPACITY, QUOTE, Quote, unpack_depth
from venues.contract import Depth, FeedFault, FrameError, MarketData, TopOfBook

# By the reader's number for it.
UNREAD: Final = ("read", *FRAMES_HANDED_OVER)


class ReadingC(ctypes.Structure):
    _fields_ = (
        ("has_quote", ctypes.c_bool),
        ("has_depth", ctypes.c_bool),
        ("quote", ctypes.c_int64 * (QUOTE.size // 8)),
        ("depth", ctypes.c_int64 * (DEPTH_CAPACITY // 8)),
    )


class Made(NamedTuple):
    """Everything a protocol makes of one frame, and what it keeps of its channels after."""

    refusal: str
    tops: list[TopOfBook]
    depths: list[Depth]
    faults: list[FeedFault]
    frames: list[bytes]
    state: list[int]


class Twins:
    """Two protocols of a venue on a connection each: one reads all by itself, one what C leaves."""

    def __init__(self, make: Callable[[], MarketData]) -> None:
        self.alone, self.helped = make(), make()
        for protocol in (self.alone, self.helped):
            protocol.connected(0)
            protocol.take_frames()
        self._library = load(reader(self.helped.venue))
        self._library.read_frame.argtypes = (
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_bool, ctypes.c_void_p),
        )
        self._channels = channels_in_c(self.helped.usual_frames)
        self._reading = ReadingC()
        self.outcomes = dict.fromkeys(UNREAD, 0)

    def take(self, frame: bytes, is_binary: bool, now_mono_ns: int = 1) -> tuple[Made, Made]:
        """What the one in Python makes of a frame, and what both of the other's readers do."""
        wanted = made_in_python(self.alone, frame, is_binary, now_mono_ns)
        number = self._library.read_frame(
            ctypes.addressof(self._channels),
            frame,
            len(frame),
            is_binary,
            ctypes.addressof(self._reading),
        )
        self.outcomes[UNREAD[number]] += 1
        if number:
            return wanted, made_in_python(self.helped, frame, is_binary, now_mono_ns)
        return wanted, read_in_c(self._reading, wanted, self.helped)


def read_in_c(reading: ReadingC, wanted: Made, protocol: MarketData) -> Made:
    """What the compiled reader has made of a frame, as a protocol hands it over."""
    quote, tops, depths = Quote(*reading.quote), [], []
    if reading.has_quote:
        tops.append(
            TopOfBook(
                instrument_id=quote.instrument_id,
                bid_e8=quote.bid_e8,
                bid_size_e8=quote.bid_size_e8,
                ask_e8=quote.ask_e8,
                ask_size_e8=quote.ask_size_e8,
                venue_unix_ns=quote.venue_unix_ns,
                venue_sequence=quote.venue_sequence,
                is_valid=True,
            )
        )
    if reading.has_depth:
        size = 40 + 16 * (reading.depth[0] + reading.depth[1])
        book = unpack_depth(ctypes.string_at(ctypes.addressof(reading.depth), size))
        # Nobody publishes a depth's own time, so C does not bring it.
        unix_ns = wanted.depths[0].venue_unix_ns if wanted.depths else 0
        depths.append(
            Depth(quote.instrument_id, book.bids, book.asks, unix_ns, book.venue_sequence, is_valid=True)
        )
    return Made("", tops, depths, [], [], protocol.usual_frames.words.tolist())


def made_in_python(protocol: MarketData, frame: bytes, is_binary: bool, now_mono_ns: int) -> Made:
    refusal = ""
    try:
        protocol.receive(frame, is_binary, now_mono_ns)
    except FrameError as error:
        refusal = error.detail
    return Made(
        refusal,
        protocol.take_tops(),
        [depth._replace(bids=list(depth.bids), asks=list(depth.asks)) for depth in protocol.take_depths()],
        protocol.take_faults(),
        protocol.take_frames(),
        protocol.usual_frames.words.tolist(),
    )
