"""Carries one WebSocket connection: frames to the venue's protocol, its quotes to shared memory.

Only what became a quote or a depth counts as data. Pongs, heartbeats (the binary protocol's template 40,
too), acknowledgements and errors prove that the socket works, not that prices are current: a venue whose
matching has stopped goes on sending them. An order book that repeats itself *is* data: on a calm market
the top of book may not move for seconds, and the book confirms it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from picows import WSFrame, WSMsgType, WSTransport

from events.market_data import BookInvalid, FeedLive, FrameRefused, QuoteStale
from feeds.listener import Listener
from feeds.liveness import Liveness, Remedy
from feeds.native import NativeFeed
from feeds.publisher import Publisher
from observability.logs import Reporter
from shm.counters import CounterTable
from venues.contract import FaultKind, FeedFault, FrameError, MarketData

# One unreadable frame is a frame, several in a row are a connection gone wrong.
BAD_FRAMES_MAX: Final = 3
BAD_FRAMES_WINDOW_NS: Final = 10_000_000_000
# A connection on which nothing but unreadable frames came for so long is gone wrong, too.
UNREADABLE_NS_MAX: Final = 60_000_000_000
# Twice what both venues' largest books need; more is refused by picows with close code 1009.
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
# A process that did not run (stopped, swapped out, its machine paused) finds its socket full of prices as
# old as that. Read late they would be stamped as received just now, so the connection is replaced.
STOOD_STILL_NS_MAX: Final = 2_000_000_000

_FAULT_COUNTERS: Final = {FaultKind.GAP: "gaps_total", FaultKind.CROSSED: "crossed_total"}


class Connection(Listener):
    """A listener for one connection. ``end`` closes it; ``ended_because`` says why it is over.

    ``native`` publishes usual frames without a look from here, while every instrument is known and the
    connection lives; without it all of them come to ``on_frame``.
    """

    def __init__(
        self,
        protocol: MarketData,
        publisher: Publisher,
        liveness: Liveness,
        counters: CounterTable,
        reporter: Reporter,
        *,
        symbols: Mapping[int, str],
        stale_after_ns: int,
        native: NativeFeed | None = None,
        clock_mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._protocol = protocol
        self._clock_mono_ns = clock_mono_ns
        self._native = native
        self._publisher = publisher
        self._liveness = liveness
        self._symbols = symbols
        self._stale_after_ns = stale_after_ns
        self._counters = counters
        self._reporter = reporter
        self._transport: WSTransport | None = None
        self._fragments: list[bytes] = []
        self._is_binary = False
        self._is_live = False
        self._is_complete = False
        self._bad_frames: deque[int] = deque(maxlen=BAD_FRAMES_MAX)
        self._frames_total = counters.index("frames_total")
        self._last_data = counters.index("last_data_mono_ns")
        self._connected = counters.index("connected")
        self.ended_because = ""
        self.connected_mono_ns = 0
        self._ticked_mono_ns = 0
        self.first_data_mono_ns = 0  # 0: none yet
        self._data_mono_ns = 0
        self._readable_mono_ns = 0  # when the last frame came that could be read
        if native is not None:
            native.close()
            self.lend(native.address)

    # --- picows ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows: forget the last connection's books and subscribe."""
        self._transport = transport
        now_mono_ns = self._clock_mono_ns()
        self.connected_mono_ns = self._data_mono_ns = now_mono_ns
        self._readable_mono_ns = now_mono_ns
        self._tick(now_mono_ns)
        self._publisher.await_snapshots()
        self._liveness.connected(now_mono_ns)
        self._protocol.connected(self.connected_mono_ns)
        self._send(self._protocol.take_frames())

    def on_frame(self, frame: WSFrame, recv_mono_ns: int) -> None:
        """Called by the listener with every frame that is not taken natively, and when it was received."""
        if self.ended_because:
            return  # what was still in the buffer of a connection given up
        if recv_mono_ns - self._ticked_mono_ns > STOOD_STILL_NS_MAX:
            self._end_after_standing_still(recv_mono_ns)
            return
        kind = frame.msg_type
        if kind == WSMsgType.CLOSE:
            self.end(f"closed by the venue: {_close_text(frame.get_payload_as_bytes())}")
        elif kind in (WSMsgType.PONG, WSMsgType.PING):
            return  # picows has answered a ping already
        elif frame.fin and kind != WSMsgType.CONTINUATION:
            self._receive(frame.get_payload_as_bytes(), kind == WSMsgType.BINARY, recv_mono_ns)
        else:
            self._collect(frame, recv_mono_ns)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows when the socket is gone."""
        self.end("the connection broke")

    # --- for the session ---

    @property
    def last_data_mono_ns(self) -> int:
        """When the last frame came that became a quote or a depth."""
        return max(self._data_mono_ns, self._native_mono_ns)

    @property
    def _native_mono_ns(self) -> int:
        """When the last frame came that C has published; 0: none."""
        return 0 if self._native is None else self._native.last_data_mono_ns

    @property
    def live_ns(self) -> int:
        """From the first data to the last."""
        return self.last_data_mono_ns - self.first_data_mono_ns if self.first_data_mono_ns else 0

    def tick(self, now_mono_ns: int) -> None:
        """Let the protocol send what is due. Called several times a second."""
        if self._transport is None or self.ended_because:
            return
        if now_mono_ns - self._ticked_mono_ns > STOOD_STILL_NS_MAX:
            self._end_after_standing_still(now_mono_ns)
        else:
            self._tick(now_mono_ns)
            self._protocol.tick(now_mono_ns)
            self._say_faults(self._protocol.take_faults(), now_mono_ns)
            self._mend_silence(now_mono_ns)
            self._send(self._protocol.take_frames())

    def end(self, reason: str, *, close_politely: bool = False) -> None:
        """Give the connection up: flag its quotes at once, then let go of the socket."""
        if self.ended_because:
            return
        self.ended_because = reason
        if self._native is not None:
            self._native.close()
            self.lend(0)
        self._counters.set(self._connected, 0)
        self._publisher.flag_stale()
        if self._transport is not None:
            if close_politely:
                self._transport.send_close()
            self._transport.disconnect(graceful=close_politely)

    def _tick(self, now_mono_ns: int) -> None:
        self._ticked_mono_ns = now_mono_ns
        if self._native is not None:
            self._native.tick(now_mono_ns)
            self._note_published()

    def _note_published(self) -> None:
        """Learn what C has published, before anything of it is flagged or void."""
        if self._native is not None:
            for instrument_id in self._symbols:
                self._liveness.take_published(instrument_id, self._publisher.published(instrument_id))

    def _mend_silence(self, now_mono_ns: int) -> None:
        """Flag each instrument that has fallen silent, and ask for it anew."""
        if now_mono_ns - self.last_data_mono_ns >= self._stale_after_ns:
            return  # all of them: the session replaces the connection
        unreadable_ns = now_mono_ns - max(self._readable_mono_ns, self._native_mono_ns)
        if unreadable_ns >= UNREADABLE_NS_MAX:
            self.end(f"no readable frame for {unreadable_ns / 1e9:.0f} s")
            return
        for instrument_id, silent_ns, remedy in self._liveness.silent(now_mono_ns):
            if remedy is Remedy.NONE:
                continue
            self._publisher.flag_stale(instrument_id)
            symbol = self._symbols[instrument_id]
            self._reporter.report(
                QuoteStale(
                    venue=self._publisher.venue,
                    symbol=symbol,
                    silent_ms=silent_ns / 1_000_000,
                    limit_ms=self._stale_after_ns / 1_000_000,
                    detail=remedy.value,
                )
            )
            if remedy is Remedy.RENEW:
                self._protocol.renew(instrument_id, now_mono_ns)
            else:
                self.end(f"{symbol} is silent, though it was asked for anew")
                return

    def _end_after_standing_still(self, now_mono_ns: int) -> None:
        stood_ms = (now_mono_ns - self._ticked_mono_ns) / 1_000_000
        self.end(f"this process stood still for {stood_ms:.0f} ms: what waits in its socket is old")

    # --- frames ---

    def _receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        protocol, publisher = self._protocol, self._publisher
        self._counters.add(self._frames_total)
        try:
            protocol.receive(frame, is_binary, recv_mono_ns)
        except FrameError as error:
            self._refuse(error, recv_mono_ns)
            return
        tops = protocol.take_tops()
        for top in tops:
            publisher.publish(top, recv_mono_ns)
        depths = protocol.take_depths()
        for depth in depths:
            publisher.publish_depth(depth, recv_mono_ns)
        for top in tops:
            self._liveness.take_top(top, recv_mono_ns)
        for depth in depths:
            self._liveness.take_depth(depth, recv_mono_ns)
        if tops or depths:
            self._data_mono_ns = self._readable_mono_ns = recv_mono_ns
            self._counters.set(self._last_data, recv_mono_ns)
            if not self._is_complete:
                self._note_progress(recv_mono_ns)
        faults = protocol.take_faults()
        if faults:
            self._say_faults(faults, recv_mono_ns)
        frames = protocol.take_frames()
        if frames:
            self._send(frames)

    def _collect(self, frame: WSFrame, recv_mono_ns: int) -> None:
        """A message in pieces: RFC 6455 allows it of any text or binary message."""
        if frame.msg_type != WSMsgType.CONTINUATION:
            self._is_binary = frame.msg_type == WSMsgType.BINARY
        self._fragments.append(frame.get_payload_as_bytes())
        if sum(map(len, self._fragments)) > FRAME_BYTES_MAX:
            self.end(f"a message in pieces exceeds {FRAME_BYTES_MAX} bytes")
        elif frame.fin:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._receive(message, self._is_binary, recv_mono_ns)

    def _note_progress(self, recv_mono_ns: int) -> None:
        if not self._is_live:
            self._is_live = True
            self.first_data_mono_ns = recv_mono_ns
            self._counters.set(self._connected, 1)
        if not self._publisher.awaited:
            self._is_complete = True
            if self._native is not None:
                self._native.open()
            since_ms = (recv_mono_ns - self.connected_mono_ns) / 1_000_000
            self._reporter.report(FeedLive(venue=self._publisher.venue, since_connected_ms=since_ms))

    def _refuse(self, error: FrameError, recv_mono_ns: int) -> None:
        self._counters.add(self._counters.index("bad_frames_total"))
        self._note_published()
        self._publisher.flag_invalid()
        self._reporter.report(FrameRefused(venue=self._publisher.venue, kind="unreadable", detail=str(error)))
        self._bad_frames.append(recv_mono_ns)
        window_is_full = len(self._bad_frames) == BAD_FRAMES_MAX
        if window_is_full and recv_mono_ns - self._bad_frames[0] <= BAD_FRAMES_WINDOW_NS:
            self.end(f"{BAD_FRAMES_MAX} unreadable frames within {BAD_FRAMES_WINDOW_NS // 10**9} s")

    def _say_faults(self, faults: list[FeedFault], now_mono_ns: int) -> None:
        # The protocol has marked what it hands over as invalid and queued the frames that mend it.
        for fault in faults:
            if fault.kind is FaultKind.UNREADABLE:
                self._void(fault, now_mono_ns)
                continue
            counters = self._counters
            counters.add(counters.index(_FAULT_COUNTERS.get(fault.kind, "faults_total")))
            self._reporter.report(
                BookInvalid(
                    venue=self._publisher.venue,
                    symbol=self._symbols.get(fault.instrument_id, ""),
                    kind=fault.kind.value,
                    instrument_id=fault.instrument_id,
                    detail=fault.detail,
                )
            )

    def _void(self, fault: FeedFault, recv_mono_ns: int) -> None:
        """A frame about this instrument cannot be read: its prices are void, its subscription works."""
        self._counters.add(self._counters.index("bad_frames_total"))
        self._note_published()
        self._publisher.flag_invalid(fault.instrument_id)
        self._liveness.take_unreadable(fault.instrument_id, recv_mono_ns)
        self._data_mono_ns = recv_mono_ns
        venue, symbol = self._publisher.venue, self._symbols[fault.instrument_id]
        kind = fault.kind.value
        self._reporter.report(FrameRefused(venue=venue, symbol=symbol, kind=kind, detail=fault.detail))

    def _send(self, frames: list[bytes]) -> None:
        assert self._transport is not None
        for frame in frames:
            self._transport.send(WSMsgType.TEXT, frame)


def _close_text(payload: bytes) -> str:
    """Code and reason of a close frame. Venues use codes of their own, such as 4031."""
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005  # RFC 6455: none given
    return f"{code} {payload[2:102].decode('utf-8', 'replace')}".rstrip()
