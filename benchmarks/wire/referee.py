"""An independent referee: a capture of the loopback device, against what the venues have stamped.

It sees packets, not sockets: a packet socket gets a copy of each on its way out and on its way in, stamped by
the kernel when the copy is made, as ``tcpdump`` does. Which are a trade's is known by their contents: the
frame's bytes, and the client order ids in the orders. So it judges plain connections alone, and needs root.

Compared is the way from the frame's departure to the last order's arrival. The venues' own figures begin a
little earlier, when their process is about to send: that share is shown as well.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, NamedTuple

from benchmarks.wire.analysis import Summary, summarise
from benchmarks.wire.stamps import arrival_mono_ns, stamp_arrivals

APART_MAX: Final = 0.05  # of the whole way, at every percentile that is compared
FIGURES: Final = ("p50", "p90", "p99")
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 64 << 20
_LOOK_EVERY_S: Final = 0.05  # the kernel stamps and keeps; looking seldom disturbs nobody
_EVERY_PROTOCOL: Final = 0x0003  # with one protocol alone the copy is made behind TCP, 20 µs later
_IPV4: Final = 0x0800
_PORTS: Final = struct.Struct("!2H")


class Packet(NamedTuple):
    """One segment with contents, as it left or arrived: each is there twice."""

    stamp_mono_ns: int
    is_leaving: bool
    source: int  # ports
    target: int
    payload: bytes


class Capture:
    """Everything to and from these ports while the context lasts."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self.packets: list[Packet] = []
        self._ports = set(ports.values())
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_EVERY_PROTOCOL))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
        stamp_arrivals(self._socket)
        self._socket.bind(("lo", _EVERY_PROTOCOL))
        self._socket.setblocking(False)
        self._is_over = Event()
        self._reader = Thread(target=self._read, daemon=True)

    def __enter__(self) -> Capture:
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._reader.join()
        self._socket.close()

    def _read(self) -> None:
        while not self._is_over.wait(_LOOK_EVERY_S):
            self._drain()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                packet, ancillary, _, address = self._socket.recvmsg(1 << 16, 128)
            except BlockingIOError:
                return
            stamp_mono_ns = arrival_mono_ns(ancillary)
            segment = _segment(packet) if address[1] == _IPV4 else None
            if segment is None or stamp_mono_ns is None:
                continue
            source, target, payload = segment
            if payload and {source, target} & self._ports:
                is_leaving = address[2] == socket.PACKET_OUTGOING
                self.packets.append(Packet(stamp_mono_ns, is_leaving, source, target, payload))


def _segment(packet: bytes) -> tuple[int, int, bytes] | None:
    """(source port, target port, contents) of an IPv4 packet, or None where it holds no TCP."""
    head = (packet[0] & 0x0F) * 4
    if packet[9] != socket.IPPROTO_TCP:
        return None
    source, target = _PORTS.unpack_from(packet, head)
    contents = head + (packet[head + 12] >> 4) * 4
    return source, target, packet[contents : int.from_bytes(packet[2:4], "big")]


class Verdict(NamedTuple):
    """The way as the venues stamped it and as it was captured; ``apart`` is by percentile."""

    ours: Summary
    captured: Summary
    venue: Summary  # from the venue's clock to the network: in every figure of the benchmark
    apart: dict[str, float]
    trades: int
    missed: int  # whose packets were not all found

    @property
    def agrees(self) -> bool:
        return self.missed == 0 and max(self.apart.values()) <= APART_MAX


def judge(
    trades: Sequence[Mapping[str, Any]], packets: Sequence[Packet], ports: Mapping[str, int]
) -> Verdict:
    """Compare the frame's departure → the last order's arrival, trade by trade."""
    ours, captured = [], []
    readable = [packet._replace(payload=_unmasked(packet.payload)) for packet in packets]
    for trade in trades:
        way_ns = _captured_way_ns(trade, readable, ports)
        if way_ns is not None:
            ours.append(max(trade["arrived_mono_ns"].values()) - trade["left_mono_ns"])
            captured.append(way_ns)
    if not captured:
        raise LookupError(f"not one of {len(trades)} trades is in the {len(packets)} captured packets")
    mine, theirs = summarise(ours), summarise(captured)
    apart = {figure: getattr(mine, figure) / getattr(theirs, figure) - 1 for figure in FIGURES}
    return Verdict(
        mine,
        theirs,
        summarise([trade["left_mono_ns"] - trade["sent_mono_ns"] for trade in trades]),
        {figure: abs(value) for figure, value in apart.items()},
        len(trades),
        len(trades) - len(captured),
    )


def _captured_way_ns(
    trade: Mapping[str, Any], packets: Sequence[Packet], ports: Mapping[str, int]
) -> int | None:
    frame, venue_port = bytes.fromhex(trade["frame"]), ports[trade["venue"]]
    left = [p for p in packets if p.is_leaving and p.source == venue_port and frame in p.payload]
    orders = [
        [
            p
            for p in packets
            if not p.is_leaving and p.target == ports[venue] and client_id.encode() in p.payload
        ]
        for venue, client_id in trade["client_order_ids"].items()
    ]
    if not left or not all(orders):
        return None
    # An order may be asked for by its id later: the first packet is the order.
    return max(order[0].stamp_mono_ns for order in orders) - left[0].stamp_mono_ns


def _unmasked(payload: bytes) -> bytes:
    """A client's WebSocket frame without its mask; anything else as it is."""
    if len(payload) < 8 or payload[0] not in (0x81, 0x82) or not payload[1] & 0x80:
        return payload
    at = 4 if payload[1] & 0x7F == 126 else 2
    mask, body = payload[at : at + 4], payload[at + 4 :]
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(body))


def print_verdict(verdict: Verdict) -> None:
    rows = {
        "departure to arrival, as stamped": verdict.ours,
        "the same, as captured": verdict.captured,
        "before it: venue's clock to departure": verdict.venue,
    }
    for name, row in rows.items():
        print(f"{name:40} {row.p50:9.1f} {row.p90:9.1f} {row.p99:9.1f}")
    apart = ", ".join(f"{figure} {value:.1%}" for figure, value in verdict.apart.items())
    word = "agree" if verdict.agrees else "DISAGREE"
    print(f"  referee: {word} ({apart} apart; {verdict.missed} of {verdict.trades} trades not found)")
