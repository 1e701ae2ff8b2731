"""Runs a feed's process: attach, build the venue's protocol, keep it connected until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from random import Random

import uvloop

from events.instance import NativeAbsent, ProcessStarted, ProcessStopped
from feeds.connection import STOOD_STILL_NS_MAX
from feeds.native import NativeFeed
from feeds.publisher import Publisher
from feeds.session import FeedSession
from runtime.bootstrap import Launch, refuse, start
from runtime.native import NotNative
from runtime.venue_hosts import venue_hosts
from shm.agent import quiet_garbage_collector
from venues.contract import FeedOptions, MarketData
from venues.registry import venue
from venues.rest_client import InsecureUrl, require_secure


def main(argv: Sequence[str] | None = None) -> None:
    """Run until SIGTERM. Exit code 2 when the venue's URL is neither encrypted nor loopback."""
    launch = start("feed", argv)
    if not launch.venue:
        refuse("feeds: --venue NAME is missing: one process serves one venue")
    protocol = market_data(launch)
    try:
        require_secure(protocol.url)
    except InsecureUrl as error:
        refuse(f"feeds: venues.{launch.venue}.public_ws_url: {error}")
    uvloop.run(_run(launch, protocol))


def market_data(launch: Launch) -> MarketData:
    """The venue's public protocol for the instruments that the pairs use."""
    configured = launch.settings.venue(launch.venue)
    options = FeedOptions(prefers_json=configured.public_encoding == "json")
    where = venue_hosts(launch.settings, launch.venue)
    return venue(launch.venue).market_data(where, launch.settings.watched_ids(launch.venue), options)


async def _run(launch: Launch, protocol: MarketData) -> None:
    symbols = {number: name for name, number in launch.settings.watched_ids(launch.venue).items()}
    publisher = Publisher(launch.memory, launch.venue, symbols, launch.counters, time.monotonic_ns)
    native = _native(launch, protocol, publisher)
    launch.counters.set(launch.counters.index("native"), int(native is not None))
    session = FeedSession(
        protocol,
        publisher,
        launch.counters,
        launch.reporter,
        symbols=symbols,
        stale_after_ms=launch.settings.venue(launch.venue).stale_after_ms,
        is_stopping=launch.stop.is_set,
        random=Random(),
        native=native,
    )
    waiting = launch.settings.idle_strategy(launch.process)
    started = ProcessStarted(
        venue=launch.venue,
        idle=waiting,
        instruments=len(publisher.awaited),
        is_native=native is not None,
    )
    launch.reporter.report(started)
    quiet_garbage_collector()
    keep_awake(waiting)
    await session.run()
    publisher.close()
    launch.reporter.report(ProcessStopped(venue=launch.venue))


def _native(launch: Launch, protocol: MarketData, publisher: Publisher) -> NativeFeed | None:
    """The compiled way of usual frames where it is wanted and can be used; None where Python reads all."""
    if not launch.settings.runtime.native or not protocol.usual_frames.channels:
        return None
    try:
        return NativeFeed(protocol.usual_frames, publisher, launch.counters, still_ns_max=STOOD_STILL_NS_MAX)
    except NotNative as error:
        launch.reporter.report(NativeAbsent(part=f"listener of {launch.venue}", detail=str(error)))
        return None


def keep_awake(waiting: str) -> None:
    """Let the running loop wait as configured: ``park`` in the kernel, ``spin`` and ``yield`` never.

    A callback that always has its successor scheduled makes the loop poll without sleeping.
    """
    loop = asyncio.get_running_loop()

    def spin() -> None:
        loop.call_soon(spin)

    def yield_core() -> None:
        os.sched_yield()
        loop.call_soon(yield_core)

    if waiting == "spin":
        spin()
    elif waiting == "yield":
        yield_core()
