"""What the process tests cannot show: our own errors, and venues that accept but never answer."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

import feeds.session
from feeds.publisher import Publisher
from feeds.session import FeedSession
from observability.logs import Reporter
from tests.feeds.instance import Instance
from tests.feeds.venue import scripted_venue
from tests.waiting import DEADLINE_S
from venues.contract import VenueHosts
from venues.vest import VestMarketData


class Broken(VestMarketData):
    """A venue's protocol with a bug of ours in it."""

    def receive(self, frame: bytes, is_binary: bool, recv_mono_ns: int) -> None:
        raise ZeroDivisionError


@contextmanager
def a_session(
    instance: Instance, url: str, kind: type[VestMarketData], is_stopping: Callable[[], bool]
) -> Iterator[FeedSession]:
    counters = instance.memory.counters("feed-vest", writer=True)
    publisher = Publisher(instance.memory, "vest", [0, 2], counters, time.monotonic_ns)
    events = instance.memory.events_writer("feed-vest")
    yield FeedSession(
        kind(VenueHosts("", url, ""), {"BTC-PERP": 0, "ETH-PERP": 2}),
        publisher,
        counters,
        Reporter("feed-vest", run_id="test", to_queue=events.push, level=None),
        symbols={0: "BTC-PERP", 2: "ETH-PERP"},
        stale_after_ms=60_000,
        is_stopping=is_stopping,
        random=Random(1),
    )
    publisher.close()
    events.close()
    counters.close()


async def test_an_error_of_our_own_ends_the_process(instance: Instance) -> None:
    """Reconnecting would repeat it for ever and hide it; the supervisor starts a clean one."""
    with (
        scripted_venue() as venue,
        a_session(instance, venue.url, Broken, lambda: False) as session,
        pytest.raises(ExceptionGroup) as caught,
    ):
        await session.run()

    assert caught.group_contains(ZeroDivisionError)


async def test_a_venue_that_accepts_but_never_answers_is_given_up(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel accepts for a process that hangs; the handshake's limit is ours."""
    monkeypatch.setattr(feeds.session, "CONNECT_TIMEOUT_S", 0.05)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"

    def has_retried() -> bool:
        return instance.count("reconnects_total") >= 2

    with listener, a_session(instance, url, VestMarketData, has_retried) as session:
        async with asyncio.timeout(DEADLINE_S):
            await session.run()

    reasons = {event["reason"] for event in instance.events_named("feed_disconnected")}
    assert reasons == {"no connection within 0.05 s"}
