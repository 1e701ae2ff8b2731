"""The real feed process where one symbol of a connection goes wrong and the others do not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shm.records import QuoteFlags
from tests.feeds.instance import Instance
from tests.feeds.test_feed_paradex import a_bbo
from tests.feeds.venue import ScriptedVenue, a_book_frame, scripted_venue
from tests.venues.paradex.samples import book_frame
from tests.waiting import wait_until

VEST_BTC, VEST_ETH, PARADEX_BTC, PARADEX_ETH = 0, 2, 1, 3
GOOD_LEVEL = ["10", "1"]


@pytest.fixture
def venue() -> Iterator[ScriptedVenue]:
    with scripted_venue() as listening:
        yield listening


def is_valid(instance: Instance, instrument_id: int) -> bool:
    top = instance.top(instrument_id)
    return top is not None and bool(top.flags & QuoteFlags.VALID)


def an_eth_frame(data: Any) -> bytes:
    return json.dumps({"channel": "ETH-PERP@depth", "data": data}).encode()


ODD = [
    {"bids": [GOOD_LEVEL, ["9", "1e-05"]], "asks": [["11", "1"]]},
    {"bids": [["-10", "1"]], "asks": [["11", "1"]]},
    {"bids": [["NaN", "1"]], "asks": [["11", "1"]]},
    {"bids": [[float("nan"), "1"]], "asks": [["11", "1"]]},
    {"bids": [GOOD_LEVEL]},
    {"book": {"bids": [GOOD_LEVEL], "asks": [["11", "1"]]}},
    {"bids": [["9" * 400, "1"]], "asks": [["11", "1"]]},
    {"bids": [[10, 1]], "asks": [["11", "1"]]},
    {"bids": [GOOD_LEVEL, ["10", "2"]], "asks": [["11", "1"]]},
    {"bids": [["9", "1"], GOOD_LEVEL], "asks": [["11", "1"]]},
    None,
]


def test_odd_frames_of_one_symbol_void_that_symbol_alone(instance: Instance, venue: ScriptedVenue) -> None:
    """Three unreadable ones used to end the connection, and with it every symbol's prices, each second."""
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(2)
        for round_, data in enumerate(ODD, 1):
            venue.quote("BTC-PERP", 100.0, 100.1)
            venue.quote("ETH-PERP", 10.0, 11.0)
            wait_until(lambda: is_valid(instance, VEST_BTC) and is_valid(instance, VEST_ETH))
            for _ in range(4):
                venue.send(an_eth_frame(data))
            wait_until(lambda count=4 * round_: instance.count("bad_frames_total") == count)  # type: ignore[misc]
            assert not is_valid(instance, VEST_ETH)
            depth, last = instance.depth(VEST_ETH), instance.top(VEST_ETH)
            assert depth is not None
            assert not depth.is_valid
            assert last is not None
            assert last.bid_e8 == 10 * 10**8  # what was last known stays to be seen
            assert is_valid(instance, VEST_BTC)
        lines = instance.events_named("frame_refused")

    assert venue.connections == 1
    assert {line["symbol"] for line in lines} == {"ETH-PERP"}
    assert len(lines) == 4 * len(ODD)
    assert instance.events_named("feed_disconnected") == []


def test_odd_binary_frames_of_one_market_void_that_market_alone(
    instance: Instance, venue: ScriptedVenue
) -> None:
    instance.watch("paradex")
    with instance.feed(venue.url):
        venue.wait_for_subscriptions(4)
        venue.send(a_bbo(1, 100.0, 100.1))
        venue.send(a_bbo(1, 10.0, 10.1, "ETH-USD-PERP"))
        wait_until(lambda: is_valid(instance, PARADEX_BTC) and is_valid(instance, PARADEX_ETH))
        good = a_bbo(2, 10.0, 10.1, "ETH-USD-PERP")
        for count in range(1, 6):
            venue.send(good[:8] + good[16:])  # its time is missing
            wait_until(lambda count=count: instance.count("bad_frames_total") == count)  # type: ignore[misc]
        assert not is_valid(instance, PARADEX_ETH)
        assert is_valid(instance, PARADEX_BTC)
        venue.send(good)
        wait_until(lambda: is_valid(instance, PARADEX_ETH))
        assert instance.events_named("frame_refused")[0]["symbol"] == "ETH-USD-PERP"

    assert venue.connections == 1


def all_of_vest(symbol: str, number: int) -> list[bytes]:
    return [a_book_frame(symbol, [("10", str(number))], [("11", "1")])]


def all_of_paradex(market: str, number: int) -> list[bytes]:
    levels: Any = {"bids": [(10, number)], "asks": [(11, 1)], "is_snapshot": True}
    return [a_bbo(number, 10.0, 11.0, market), book_frame(number, symbol=market, **levels)]


@pytest.mark.parametrize(
    ("name", "say", "symbols", "number", "unsubscribe"),
    [
        ("vest", all_of_vest, ("BTC-PERP", "ETH-PERP"), VEST_ETH, "UNSUBSCRIBE"),
        ("paradex", all_of_paradex, ("BTC-USD-PERP", "ETH-USD-PERP"), PARADEX_ETH, "unsubscribe"),
    ],
)
def test_a_symbol_that_falls_silent_is_missed_told_and_asked_for_anew(
    instance: Instance,
    venue: ScriptedVenue,
    name: str,
    say: Callable[[str, int], list[bytes]],
    symbols: tuple[str, str],
    number: int,
    unsubscribe: str,
) -> None:
    """The connection lives on another symbol. Silent still, it costs the connection once."""
    if name != instance.venue:
        instance.watch(name)
    living, silent = symbols
    spoken = itertools.count(1)

    def soon(condition: Callable[[], bool], *, speaks: str = living) -> None:
        """While this one is heard."""

        def is_so() -> bool:
            for frame in say(speaks, next(spoken)):
                venue.send_to_all(frame)
            return condition()

        wait_until(is_so)

    def missed() -> list[dict[str, Any]]:
        return [line for line in instance.events_named("quote_stale") if line.get("symbol") == silent]

    with instance.feed(venue.url, stale_after_ms=1_500):
        venue.wait_for_subscriptions(2)
        soon(lambda: is_valid(instance, number), speaks=silent)
        soon(lambda: missed() != [])
        top = instance.top(number)
        assert top is not None
        assert top.flags & QuoteFlags.STALE
        assert top.bid_e8 == 10 * 10**8
        soon(lambda: any(r["method"] == unsubscribe and silent in str(r["params"]) for r in venue.requests))
        soon(lambda: any(silent in line["reason"] for line in instance.events_named("feed_disconnected")))
        soon(lambda: is_valid(instance, number), speaks=silent)

    assert missed()[0]["venue"] == name
    assert missed()[0]["silent_ms"] >= 1_500
