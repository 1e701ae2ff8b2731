"""The kernel's own stamps of what a socket received and sent, as ``CLOCK_MONOTONIC``.

The kernel stamps by the wall clock; the two clocks are read one within the other at that moment, so that a
process that loses its core in between does not shift a stamp.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from typing import Final

# Numbers of asm-generic/socket.h and linux/net_tstamp.h; the socket module does not name them.
SO_TIMESTAMPNS: Final = 35
_SO_TIMESTAMPING: Final = 37
_TX_SOFTWARE, _SOFTWARE, _TIMESTAMP_ONLY = 1 << 1, 1 << 4, 1 << 11
_MSG_ERRQUEUE: Final = 0x2000

_TIMESPEC: Final = struct.Struct("<2q")
_FLAGS: Final = struct.Struct("<I")
_APART_NS_MAX: Final = 2_000  # of two readings of a clock with another one between them
_READINGS_MAX: Final = 100

Ancillary = Sequence[tuple[int, int, bytes]]


def stamp_arrivals(sock: socket.socket) -> None:
    """From now on every message comes with the time its last segment arrived."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def arrival_mono_ns(ancillary: Ancillary) -> int | None:
    """When a message came, or None when the kernel has not stamped it."""
    return _stamp(ancillary, SO_TIMESTAMPNS)


def report_departures(sock: socket.socket) -> None:
    """From now on ``departing`` has an effect. Costs nothing for what is sent without it."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _SOFTWARE | _TIMESTAMP_ONLY)


def departing() -> list[tuple[int, int, bytes]]:
    """What ``sendmsg`` is given, so that these bytes' departure is stamped."""
    return [(socket.SOL_SOCKET, _SO_TIMESTAMPING, _FLAGS.pack(_TX_SOFTWARE))]


def departure_mono_ns(sock: socket.socket) -> int | None:
    """When the bytes sent last with ``departing`` went to the device, or None when that was not stamped."""
    try:
        _, ancillary, _, _ = sock.recvmsg(0, 512, _MSG_ERRQUEUE)
    except BlockingIOError:
        return None
    return _stamp(ancillary, _SO_TIMESTAMPING)


def _stamp(ancillary: Ancillary, wanted: int) -> int | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == wanted:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return mono_of(seconds * 10**9 + nanoseconds)
    return None


def mono_of(unix_ns: int) -> int:
    """A recent time of the wall clock as monotonic time."""
    narrowest: tuple[int, int] | None = None
    for _ in range(_READINGS_MAX):
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if narrowest is None or after - before < narrowest[0]:
            narrowest = after - before, before + (after - before) // 2 - wall
        if narrowest[0] <= _APART_NS_MAX:
            break
    assert narrowest is not None
    return unix_ns + narrowest[1]
