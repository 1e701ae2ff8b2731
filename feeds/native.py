"""What the compiled listener publishes a venue's usual frames with: the ``Feed`` of ``_publish.h``.

It is open while every instrument has had a valid quote on a connection that lives. What C has published,
Python reads where every reader does: in the slots.
"""

from __future__ import annotations

import ctypes
from typing import Final

from feeds.listener import not_compiled_because
from feeds.publisher import Publisher
from runtime.native import LISTENER, NotNative, load, load_extension, reader
from shm.counter_names import FRAMES_HANDED_OVER, handed_over
from shm.counters import CounterTable
from shm.native_access import (
    BellC,
    RingWriterC,
    SlotsC,
    address_of,
    counter_address,
    histogram_address,
)
from venues.usual_frames import WORDS_PER_CHANNEL, UsualFrames

_I64: Final = ctypes.c_int64


class ChannelC(ctypes.Structure):
    _fields_ = (
        ("instrument_id", _I64),
        ("name", ctypes.c_char_p),
        ("name_size", _I64),
        ("state", ctypes.c_void_p),
    )


class ChannelsC(ctypes.Structure):
    _fields_ = (("channels", ctypes.POINTER(ChannelC)), ("count", _I64))


class FeedC(ctypes.Structure):
    _fields_ = (
        ("read_frame", ctypes.c_void_p),
        ("channels", ChannelsC),
        ("is_open", _I64),
        ("tick_mono_ns", _I64),
        ("still_ns_max", _I64),
        ("last_data_mono_ns", _I64),
        ("writer_epoch", _I64),
        ("tops", SlotsC),
        ("depths", SlotsC),
        ("ring", RingWriterC),
        ("bell", BellC),
        *(
            (name, ctypes.c_void_p)
            for name in ("frames_total", "quotes_total", "depths_total", "last_data", "recv_to_publish")
        ),
        ("handed_over", ctypes.c_void_p * (1 + len(FRAMES_HANDED_OVER))),
    )


def _layout() -> dict[str, int]:
    """As the listener tells its own."""
    fields = {
        f"{kind}.{name}": getattr(structure, name).offset
        for kind, structure, names in (
            ("Feed", FeedC, [field[0] for field in FeedC._fields_]),
            ("Channel", ChannelC, ["name", "name_size", "state"]),
        )
        for name in names
    }
    return fields | {"Feed": ctypes.sizeof(FeedC), "Channel": ctypes.sizeof(ChannelC)}


def channels_in_c(frames: UsualFrames) -> ChannelsC:
    """Points into ``frames``, which has to live as long."""
    first = address_of(frames.words)
    rows = [
        ChannelC(instrument_id, name, len(name), first + 8 * WORDS_PER_CHANNEL * place)
        for place, (instrument_id, name) in enumerate(frames.channels)
    ]
    return ChannelsC((ChannelC * len(rows))(*rows), len(rows))


class NativeFeed:
    """One feed's way from a frame to shared memory, in C. Raises NotNative where that cannot be used."""

    def __init__(
        self, frames: UsualFrames, publisher: Publisher, counters: CounterTable, *, still_ns_max: int
    ) -> None:
        if not_compiled_because:
            raise NotNative(not_compiled_because)
        if load_extension(LISTENER).layout() != _layout():
            raise NotNative(f"{LISTENER.path.name} has other structures; run python -m runtime.native")
        self._library = load(reader(publisher.venue))
        self._frames = frames  # C points into it
        memory = publisher.memory_in_c()
        names = ("frames_total", "quotes_total", "depths_total", "last_data_mono_ns")
        totals = [counter_address(counters, counters.index(name)) for name in names]
        reasons = [
            counter_address(counters, counters.index(handed_over(name))) for name in FRAMES_HANDED_OVER
        ]
        self._feed = FeedC(
            read_frame=ctypes.cast(self._library.read_frame, ctypes.c_void_p),
            channels=channels_in_c(frames),
            still_ns_max=still_ns_max,
            writer_epoch=memory.epoch,
            tops=memory.tops,
            depths=memory.depths,
            ring=memory.ring,
            bell=memory.bell,
            frames_total=totals[0],
            quotes_total=totals[1],
            depths_total=totals[2],
            last_data=totals[3],
            recv_to_publish=histogram_address(counters.histogram("recv_to_publish")),
            handed_over=(ctypes.c_void_p * (1 + len(reasons)))(None, *reasons),
        )

    @property
    def address(self) -> int:
        """Where the ``Feed`` lies."""
        return ctypes.addressof(self._feed)

    @property
    def last_data_mono_ns(self) -> int:
        """When the last frame came that C has published."""
        return int(self._feed.last_data_mono_ns)

    def open(self) -> None:
        """From now on usual frames are C's."""
        self._feed.is_open = 1

    def close(self) -> None:
        """From now on every frame is Python's."""
        self._feed.is_open = 0

    def tick(self, now_mono_ns: int) -> None:
        """This process runs: what waits in its socket is new."""
        self._feed.tick_mono_ns = now_mono_ns
