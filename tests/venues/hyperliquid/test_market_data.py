"""Hyperliquid's own rules of public data; what holds for every venue is in the conformance suite."""

from __future__ import annotations

import json

import pytest

from tests.venues.hyperliquid.builders import HOSTS
from tests.venues.hyperliquid.venue_case import TIME, acknowledge, book, frame
from venues.contract import E8, FaultKind
from venues.hyperliquid import HyperliquidMarketData

SECOND_NS = 10**9


def subscribed() -> HyperliquidMarketData:
    feed = HyperliquidMarketData(HOSTS, {"BTC": 7, "ETH": 8})
    feed.connected(0)
    return feed


def receive(feed: HyperliquidMarketData, *numbers: int) -> None:
    for number in numbers:
        for content, is_binary in book(100 + number, 101 + number, number):
            feed.receive(content, is_binary, 1)


def test_it_subscribes_to_top_and_depth_of_every_coin() -> None:
    wanted = [json.loads(item)["subscription"] for item in subscribed().take_frames()]
    assert {(item["type"], item["coin"]) for item in wanted} == {
        (channel, coin) for channel in ("bbo", "l2Book") for coin in ("BTC", "ETH")
    }


def test_a_frame_from_a_server_that_lags_is_passed_over() -> None:
    """Its time goes back: it is older than what is known."""
    feed = subscribed()
    receive(feed, 5, 3, 6)
    assert [top.bid_e8 // E8 for top in feed.take_tops()] == [105, 106]
    assert feed.take_depths()[-1].bids[0][0] == 106 * E8
    assert feed.take_faults() == []


def test_a_clock_that_was_set_back_is_believed() -> None:
    """Seconds are no lag: passing over everything from then on would leave the feed blind."""
    feed = subscribed()
    receive(feed, 8_000, 1)
    assert [top.bid_e8 // E8 for top in feed.take_tops()] == [8_100, 101]


def test_an_empty_side_is_named_once() -> None:
    feed = subscribed()
    bbo = {"coin": "BTC", "time": TIME, "bbo": [None, {"px": "101.0", "sz": "1.0", "n": 1}]}
    for _ in range(3):
        feed.receive(frame({"channel": "bbo", "data": bbo}).content, False, 1)
    assert [fault.kind for fault in feed.take_faults()] == [FaultKind.EMPTY_SIDE]
    tops = feed.take_tops()
    assert [(top.bid_e8, top.ask_e8, top.is_valid) for top in tops] == [(0, 101 * E8, False)] * 3


@pytest.mark.parametrize(
    "frame_",
    [
        b'{"channel":"bbo","data":{"coin":"ETH","time":1,"bbo":[{"px":"1e3","sz":"1","n":1},null]}}',
        b'{"channel":"bbo","data":{"coin":"ETH","time":1,"bbo":[{"px":NaN,"sz":"1","n":1},null]}}',
        b'{"channel":"l2Book","data":{"coin":"ETH","time":-1,"levels":[[],[]]}}',
        b'{"channel":"l2Book","data":{"coin":"ETH","time":1}}',
        b'{"channel":"l2Book","data":{"coin":"ETH","time":1,"levels":[[{"px":"9","sz":"1","n":1},'
        b'{"px":"9","sz":"2","n":1}],[]]}}',
        b'{"data":{"coin":"ETH"},"channel":"l3Book"}',
        b'{"channel":"l2Book","data":{"coin":"ETH","time":1,"lev',
    ],
)
def test_a_frame_that_names_its_coin_voids_that_one_alone(frame_: bytes) -> None:
    feed = subscribed()
    feed.receive(frame_, False, 1)
    assert [(fault.kind, fault.instrument_id) for fault in feed.take_faults()] == [(FaultKind.UNREADABLE, 8)]
    assert (feed.take_tops(), feed.take_depths()) == ([], [])


def test_a_silent_coin_is_asked_for_anew_on_both_channels() -> None:
    feed = subscribed()
    feed.take_frames()
    feed.renew(8, 1)
    sent = [json.loads(item) for item in feed.take_frames()]
    assert [
        (item["method"], item["subscription"]["type"], item["subscription"]["coin"]) for item in sent
    ] == [
        ("unsubscribe", "bbo", "ETH"),
        ("subscribe", "bbo", "ETH"),
        ("unsubscribe", "l2Book", "ETH"),
        ("subscribe", "l2Book", "ETH"),
    ]


def test_a_coin_that_is_acknowledged_and_silent_is_named_and_asked_for_again() -> None:
    """An unknown or delisted coin is not refused: nothing ever comes."""
    feed = subscribed()
    for request in feed.take_frames():
        feed.receive(*acknowledge(request), 1)
    receive(feed, 1)

    feed.tick(9 * SECOND_NS)
    assert feed.take_faults() == []
    feed.tick(11 * SECOND_NS)

    faults = feed.take_faults()
    assert {(fault.kind, fault.instrument_id) for fault in faults} == {(FaultKind.REFUSED, 8)}
    assert len(faults) == 2
    assert "ETH" in faults[0].detail
    asked = [json.loads(item) for item in feed.take_frames()]
    assert [item["method"] for item in asked] == ["unsubscribe", "subscribe"] * 2
