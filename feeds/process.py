"""A feed's process: attach, build the venue's protocol, keep it connected until SIGTERM."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from inspect import signature
from random import Random

import uvloop

from feeds.publisher import Publisher
from feeds.session import Session
from runtime.bootstrap import Launch, refuse, start
from shm.agent import quiet_garbage_collector
from venues.contract import MarketData
from venues.registry import hosts, venue_module
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
    where = hosts(
        launch.venue,
        rest_url=configured.rest_url,
        public_ws_url=configured.public_ws_url,
        private_ws_url=configured.private_ws_url,
    )
    make = venue_module(launch.venue).MarketData
    # A venue with a binary encoding offers it as ``sbe``; the others speak JSON anyway.
    use_json = configured.public_encoding == "json" and "sbe" in signature(make).parameters
    options = {"sbe": False} if use_json else {}
    protocol: MarketData = make(where, launch.settings.instrument_ids(launch.venue), **options)
    return protocol


async def _run(launch: Launch, protocol: MarketData) -> None:
    instrument_ids = launch.settings.instrument_ids(launch.venue).values()
    publisher = Publisher(launch.memory, launch.venue, instrument_ids, launch.counters, time.monotonic_ns)
    log = launch.log.bind(venue=launch.venue)
    session = Session(
        protocol,
        publisher,
        launch.counters,
        log,
        stale_after_ms=launch.settings.venue(launch.venue).stale_after_ms,
        is_stopping=launch.stop.is_set,
        random=Random(),
    )
    waiting = launch.settings.idle_strategy(launch.process)
    log.info("process_started", idle=waiting, instruments=len(publisher.awaited))
    quiet_garbage_collector()
    keep_awake(waiting)
    await session.run()
    publisher.close()
    log.info("process_stopped")


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
