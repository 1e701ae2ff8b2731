"""Keeps one venue connected for as long as the process lives.

Liveness is the age of data, see ``feeds.connection``: when none came for ``stale_after_ms`` every
quote is flagged at once and the connection replaced, whatever its socket says. An instrument that alone
falls silent is resubscribed, see ``feeds.liveness``.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from picows import WSError, WSInvalidStatusError, ws_connect

from events.market_data import FeedConnected, FeedDisconnected, QuoteStale
from feeds.connection import FRAME_BYTES_MAX, Connection
from feeds.liveness import Liveness
from feeds.native import NativeFeed
from feeds.publisher import Publisher
from observability.logs import Reporter
from runtime.backoff import Backoff
from runtime.clock import ms_to_ns
from shm.counters import CounterTable
from venues.contract import MarketData

BEAT_INTERVAL_S: Final = 0.25
# TCP, TLS and upgrade together. Vest has been seen to take up to 3 s to accept a connection.
CONNECT_TIMEOUT_S: Final = 5.0
COLLECT_INTERVAL_S: Final = 60.0
# A handshake below 5 s: trading resumes within 5 s of the venue coming back.
_LONGEST_PAUSE_S: Final = 4.0
_STEADY_NS: Final = 5_000_000_000  # a connection that lasted this long owes nothing to the failures before it


class FeedSession:
    """One venue's connection, replaced as often as needed. ``run`` returns after SIGTERM."""

    def __init__(
        self,
        protocol: MarketData,
        publisher: Publisher,
        counters: CounterTable,
        reporter: Reporter,
        *,
        symbols: Mapping[int, str],
        stale_after_ms: float,
        is_stopping: Callable[[], bool],
        random: Random,
        native: NativeFeed | None = None,
    ) -> None:
        self._protocol = protocol
        self._native = native
        self._publisher = publisher
        self._counters = counters
        self._reporter = reporter
        self._symbols = symbols
        self._stale_after_ns = ms_to_ns(stale_after_ms)
        self._liveness = Liveness(symbols, self._stale_after_ns)
        self._is_stopping = is_stopping
        self._backoff = Backoff(longest_s=_LONGEST_PAUSE_S, is_first_immediate=True, rng=random)
        self._heartbeat = counters.index("heartbeat_mono_ns")
        self._connected = counters.index("connected")
        self._reconnects = counters.index("reconnects_total")
        self._stopping = asyncio.Event()
        self._connection: Connection | None = None

    async def run(self) -> None:
        """Stay connected until ``is_stopping``; leave every quote flagged stale.

        An error of our own, wherever it happens, ends the process; its successor starts clean.
        """
        self._counters.set(self._connected, 0)
        self._publisher.flag_stale()  # what a predecessor left
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_house())
            await self._stay_connected()

    async def _keep_house(self) -> None:
        """Beat, let the protocol ping, collect garbage by hand, notice that a stop was asked for."""
        collect_at = time.monotonic() + COLLECT_INTERVAL_S
        while not self._is_stopping():
            now_mono_ns = time.monotonic_ns()
            self._counters.set(self._heartbeat, now_mono_ns)
            if self._connection is not None:
                self._connection.tick(now_mono_ns)
            if time.monotonic() >= collect_at:
                gc.collect()
                collect_at = time.monotonic() + COLLECT_INTERVAL_S
            await asyncio.sleep(BEAT_INTERVAL_S)
        self._stopping.set()

    async def _stay_connected(self) -> None:
        while not self._stopping.is_set():
            connection = Connection(
                self._protocol,
                self._publisher,
                self._liveness,
                self._counters,
                self._reporter,
                symbols=self._symbols,
                stale_after_ns=self._stale_after_ns,
                native=self._native,
            )
            await self._connect_and_stay(connection)
            if self._stopping.is_set():
                return
            if connection.live_ns >= _STEADY_NS:
                self._backoff.reset()
            delay_s = self._backoff.next_pause_s()
            self._counters.add(self._reconnects)
            self._reporter.report(
                FeedDisconnected(
                    venue=self._publisher.venue,
                    reason=connection.ended_because,
                    live_s=round(connection.live_ns / 1e9, 3),
                    retry_in_ms=round(delay_s * 1_000),
                )
            )
            await self._sleep(delay_s)

    async def _connect_and_stay(self, connection: Connection) -> None:
        """Connect and return when that connection is over; ``ended_because`` then says why."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                # No compression is offered: inflating costs up to 4 µs a message.
                transport, _ = await ws_connect(
                    lambda: connection,
                    self._protocol.url,
                    websocket_handshake_timeout=CONNECT_TIMEOUT_S,
                    max_frame_size=FRAME_BYTES_MAX,
                    max_redirects=0,
                )
        except TimeoutError:
            connection.end(f"no connection within {CONNECT_TIMEOUT_S:g} s")
            return
        except WSInvalidStatusError as error:
            status = int(error.response.status) if error.response else 0
            change = self._protocol.refused(status)
            connection.end(f"upgrade refused: HTTP {status}" + (f"; {change} comes next" if change else ""))
            return
        except (OSError, WSError) as error:
            connection.end(f"cannot connect: {error}")
            return
        self._reporter.report(FeedConnected(venue=self._publisher.venue))
        self._connection = connection
        watch = asyncio.create_task(self._watch(connection))
        try:
            # Raises what our own code raised in a callback, and a breach of the WebSocket protocol.
            await transport.wait_disconnected()
        except WSError as error:
            connection.end(f"WebSocket protocol broken: {error}")
        finally:
            self._connection = None
            watch.cancel()

    async def _watch(self, connection: Connection) -> None:
        """End the connection when its data has become too old, or when the process shall stop."""
        while not self._stopping.is_set():
            silent_ns = time.monotonic_ns() - connection.last_data_mono_ns
            if silent_ns >= self._stale_after_ns:
                connection.end(f"no data for {silent_ns / 1_000_000:.0f} ms")
                self._reporter.report(
                    QuoteStale(
                        venue=self._publisher.venue,
                        silent_ms=silent_ns / 1_000_000,
                        limit_ms=self._stale_after_ns / 1_000_000,
                    )
                )
                return
            await self._sleep((self._stale_after_ns - silent_ns) / 1e9)
        connection.end("stopping", close_politely=True)

    async def _sleep(self, delay_s: float) -> None:
        """Sleep, but not past the moment a stop was asked for."""
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return
