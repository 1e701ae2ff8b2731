"""Which encoding Paradex is asked for after it refused one: the real session on the simulated venue."""

from __future__ import annotations

import asyncio
import time
from random import Random

import pytest

from feeds.publisher import Publisher
from feeds.session import FeedSession
from observability.logs import Reporter
from simulator.paradex import ParadexFront, ParadexSettings
from tests.feeds.instance import Instance
from tests.venues.account import a_venue_harness
from tests.venues.paradex.venue_case import VENUE_CASE
from tests.waiting import DEADLINE_S
from venues.contract import E8
from venues.paradex import ParadexMarketData
from venues.paradex.hosts import Encoding


@pytest.mark.parametrize(
    ("served", "reported"),
    [
        ((1, 2, 3), []),
        ((1,), ["upgrade refused: HTTP 400; SBE schema version 1 comes next"]),
        (
            (),
            [
                "upgrade refused: HTTP 400; SBE schema version 1 comes next",
                "upgrade refused: HTTP 400; JSON comes next",
            ],
        ),
    ],
)
async def test_the_feed_finds_the_encoding_that_is_served(
    instance: Instance, served: tuple[int, ...], reported: list[str]
) -> None:
    """Its book arrives in the end, whatever was refused before."""
    settings = ParadexSettings(sbe_versions=served)
    instance.watch("paradex")
    counters = instance.memory.counters("feed-paradex", writer=True)
    publisher = Publisher(instance.memory, "paradex", [1], counters, time.monotonic_ns)
    events = instance.memory.events_writer("feed-paradex")
    # The account's own socket is not what is tested, and needs an encoding that is served.
    async with a_venue_harness(
        VENUE_CASE, make_front=lambda exchange: ParadexFront(exchange, ParadexSettings())
    ) as harness:
        harness.front._settings = settings  # type: ignore[attr-defined]
        session = FeedSession(
            ParadexMarketData(harness.hosts, {VENUE_CASE.symbol: 1}),
            publisher,
            counters,
            Reporter("feed-paradex", run_id="test", to_queue=events.push, level=None),
            symbols={1: VENUE_CASE.symbol},
            stale_after_ms=60_000,
            is_stopping=lambda: (
                (book := instance.depth(1)) is not None and list(book.bids)[:1] == [(60_000 * E8, E8)]
            ),
            random=Random(1),
        )
        async with asyncio.timeout(DEADLINE_S):
            await session.run()
        await harness.socket.close()
    assert [event["reason"] for event in instance.events_named("feed_disconnected")] == reported
    for closing in (publisher, events, counters):
        closing.close()


def test_in_json_the_book_is_asked_for_in_its_json_form() -> None:
    """``order_book.{market}.deltas`` is the SBE channel; its JSON form is not settled."""
    feed = ParadexMarketData(VENUE_CASE.hosts(1), {VENUE_CASE.symbol: 1})
    asked = []
    for _ in range(3):
        feed.connected(0)
        asked.append(b"".join(feed.take_frames()))
        feed.refused(400)

    assert [b".deltas" in frames for frames in asked] == [True, True, False]
    assert [b".snapshot@15@100ms" in frames for frames in asked] == [False, False, True]


def test_after_json_the_newest_is_asked_for_again() -> None:
    """A service that refuses everything for a while must not leave us with the poorest encoding."""
    encoding = Encoding("wss://x/v1", sbe=True, schema_version=2)

    assert [encoding.refused(400) for _ in range(3)] == [
        "SBE schema version 1",
        "JSON",
        "SBE schema version 2",
    ]
    assert encoding.url == "wss://x/v1?sbeSchemaId=1&sbeSchemaVersion=2"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_only_a_bad_request_is_about_the_encoding(status: int) -> None:
    """Anything else would be refused in every encoding."""
    encoding = Encoding("wss://x/v1", sbe=True, schema_version=2)

    assert encoding.refused(status) == ""
    assert encoding.url.endswith("sbeSchemaVersion=2")
