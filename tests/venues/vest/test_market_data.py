"""Vest's public frames become tops, depths and named faults, or a FrameError; nothing else."""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shm.records import DEPTH_LEVELS
from venues.contract import E8, Depth, FaultKind, FrameError, MarketData, TopOfBook, VenueHosts
from venues.vest import PRODUCTION_HOSTS, V3_HOSTS, VestMarketData
from venues.vest.assumptions import PING_INTERVAL_NS

BTC, NDX = 7, 9
INSTRUMENTS = {"BTC-PERP": BTC, "NDX-USD-PERP": NDX}

# The shapes of v3, numbers invented; genuine frames are in ``tests/venues/test_captures.py``.
V3_DEPTH = (
    b'{"channel":"NDX-USD-PERP@depth","data":{"bids":[["30000.75","4.5000"],["30000.25","3.2500"],'
    b'["30000.00","3.2500"]],"asks":[["30002.00","4.5000"],["30002.50","3.2500"],["30002.75","3.2500"]]},'
    b'"tsMs":1790000000123}'
)
V3_TICKER = (
    b'{"channel":"NDX-USD-PERP@ticker","data":{"symbol":"NDX-USD-PERP","oneHrFundingRate":"0.00001",'
    b'"indexPrice":"30000.12","markPrice":"30001.37","status":"TRADING"},"tsMs":1790000000123}'
)
V3_TRADE = (
    b'{"channel":"NDX-USD-PERP@trades","data":{"id":"0123:4:0","price":"30001.75","qty":"0.0008",'
    b'"quoteQty":"24.0014","side":"buy","time":1790000000123},"tsMs":1790000000123}'
)


def a_feed(**changes: Any) -> VestMarketData:
    feed = VestMarketData(PRODUCTION_HOSTS, INSTRUMENTS, **changes)
    feed.connected(now_mono_ns=0)
    return feed


def a_depth(*, bids: Any = (("88720.56", "0.0014"),), asks: Any = (("88782.60", "0.0024"),)) -> bytes:
    return json.dumps({"channel": "BTC-PERP@depth", "data": {"bids": bids, "asks": asks}}).encode()


def received(*frames: bytes) -> VestMarketData:
    feed = a_feed()
    for frame in frames:
        feed.receive(frame, True, 1)
    return feed


def test_it_offers_what_the_contract_asks() -> None:
    feed: MarketData = a_feed()
    assert feed.venue == "vest"


@pytest.mark.parametrize(
    ("base", "generation", "host", "query"),
    [
        (PRODUCTION_HOSTS, "v2", "ws-prod.hz.vestmarkets.com", ["1.0", "restserver0"]),
        (V3_HOSTS, "v3", "ws.hz.vestmarkets.com", ["1.0", None]),
        (VenueHosts("", "ws://127.0.0.1:9/ws-api", ""), "v2", "127.0.0.1", ["1.0", "restserver0"]),
        (VenueHosts("", "ws://[::1]:9/ws-api?version=2.0", ""), "v2", "::1", ["2.0", "restserver0"]),
    ],
)
def test_the_url_carries_version_and_route(base: VenueHosts, generation: Any, host: str, query: Any) -> None:
    """Without a version the server closes with 4000; what the operator wrote wins."""
    parts = urlsplit(VestMarketData(base, INSTRUMENTS, generation=generation).url)
    found = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert parts.hostname == host
    assert [found.get("version"), found.get("xwebsocketserver")] == query


def test_each_channel_is_subscribed_by_a_request_of_its_own() -> None:
    """A channel the server dislikes must not take the others with it."""
    feed = a_feed()
    requests = [json.loads(frame) for frame in feed.take_frames()]
    assert [request["params"] for request in requests] == [["BTC-PERP@depth"], ["NDX-USD-PERP@depth"]]
    assert {request["method"] for request in requests} == {"SUBSCRIBE"}
    assert feed.take_frames() == []


def test_request_ids_stay_unique_over_connections() -> None:
    feed = a_feed()
    first = {json.loads(frame)["id"] for frame in feed.take_frames()}
    feed.connected(now_mono_ns=5)
    second = {json.loads(frame)["id"] for frame in feed.take_frames()}
    assert not first & second


@pytest.mark.parametrize("is_binary", [True, False])
def test_a_snapshot_is_read_from_binary_and_text_frames_alike(is_binary: bool) -> None:
    """The live service sends JSON in binary frames; a client that knew only text found it dead."""
    feed = a_feed()
    feed.receive(a_depth(), is_binary, 1)
    assert feed.take_tops() == [TopOfBook(BTC, 88_720_56000000, 140000, 88_782_60000000, 240000, 0, 0, True)]
    assert feed.take_depths() == [
        Depth(BTC, [(88_720_56000000, 140000)], [(88_782_60000000, 240000)], 0, 0, True)
    ]
    assert feed.take_faults() == []


def test_a_v3_snapshot_decodes_to_its_levels_and_time() -> None:
    feed = a_feed(generation="v3")
    feed.receive(V3_DEPTH, False, 1)
    [top], [depth] = feed.take_tops(), feed.take_depths()
    assert top == TopOfBook(
        NDX, 30_000_75000000, 4_50000000, 30_002_00000000, 4_50000000, 1_790_000_000_123_000_000, 0, True
    )
    assert [price for price, _ in depth.bids] == [30_000_75000000, 30_000_25000000, 30_000_00000000]
    assert [size for _, size in depth.asks] == [4_50000000, 3_25000000, 3_25000000]
    assert depth.venue_unix_ns == 1_790_000_000_123_000_000


@pytest.mark.parametrize("frame", [V3_TICKER, V3_TRADE])
def test_a_channel_that_was_not_asked_for_is_refused(frame: bytes) -> None:
    with pytest.raises(FrameError, match="vest: "):
        received(frame)


def test_depth_of_a_symbol_not_subscribed_is_named() -> None:
    feed = received(a_depth().replace(b"BTC-PERP", b"ETH-PERP"))
    [fault] = feed.take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.UNKNOWN, -1)
    assert "ETH-PERP@depth" in fault.detail
    assert feed.take_tops() == []


def test_every_top_is_kept_and_only_the_newest_depth() -> None:
    """The detector wants every quote in order; depth is a latest value."""
    feed = received(a_depth(), a_depth(bids=[["88721.00", "1"]]), V3_DEPTH)
    assert [top.bid_e8 for top in feed.take_tops()] == [88_720_56000000, 88_721_00000000, 30_000_75000000]
    assert {depth.instrument_id: depth.bids[0][0] for depth in feed.take_depths()} == {
        BTC: 88_721_00000000,
        NDX: 30_000_75000000,
    }
    assert (feed.take_tops(), feed.take_depths()) == ([], [])


def test_a_crossed_book_is_invalid_and_named() -> None:
    feed = received(a_depth(bids=[["100.01", "1"]], asks=[["100.00", "1"]]))
    [fault], [top], [depth] = feed.take_faults(), feed.take_tops(), feed.take_depths()
    assert (fault.kind, fault.instrument_id) == (FaultKind.CROSSED, BTC)
    assert (top.is_valid, depth.is_valid) == (False, False)


def test_a_locked_book_is_real() -> None:
    feed = received(a_depth(bids=[["100.00", "1"]], asks=[["100.00", "1"]]))
    assert feed.take_faults() == []
    assert feed.take_tops()[0].is_valid


@pytest.mark.parametrize(
    ("bids", "asks", "prices"),
    [
        ([], [["100", "1"]], (0, 100 * E8)),
        ([["99", "1"]], [], (99 * E8, 0)),
        ([], [], (0, 0)),
        ([["99", "0.0000"]], [["100", "1"]], (0, 100 * E8)),
    ],
)
def test_an_empty_side_is_invalid_and_named(bids: Any, asks: Any, prices: tuple[int, int]) -> None:
    """A level without size holds nothing, so a side of such levels is empty."""
    feed = received(a_depth(bids=bids, asks=asks))
    [fault], [top] = feed.take_faults(), feed.take_tops()
    assert fault.kind is FaultKind.EMPTY_SIDE
    assert ((top.bid_e8, top.ask_e8), top.is_valid) == (prices, False)


def test_the_next_snapshot_mends_a_bad_one() -> None:
    """Snapshots replace: nothing of the crossed book may linger."""
    feed = received(a_depth(bids=[["99999", "1"]]), a_depth())
    assert [top.is_valid for top in feed.take_tops()] == [False, True]
    assert feed.take_depths()[0].is_valid


def test_depth_stops_at_what_shared_memory_holds() -> None:
    bids = [[f"{1000 - level}", "1"] for level in range(40)]
    asks = [[f"{1001 + level}", "1"] for level in range(40)]
    [depth] = received(a_depth(bids=bids, asks=asks)).take_depths()
    assert (len(depth.bids), len(depth.asks)) == (DEPTH_LEVELS, DEPTH_LEVELS)
    assert (depth.bids[-1][0], depth.asks[-1][0]) == (981 * E8, 1020 * E8)


@pytest.mark.parametrize(
    ("bids", "why"),
    [
        ([["99", "1"], ["99.5", "1"]], "not best first"),
        ([["99", "2"], ["99", "1"]], "each price once"),
        ([[f"{99 - level}", "1"] for level in range(30)] + [["1", "1e-05"]], "plain decimal"),
        ([[f"{99 - level}", "1"] for level in range(30)] + [["80", "1"]], "not best first"),
        ([["1e5", "1"]], "plain decimal"),
        ([["NaN", "1"]], "plain decimal"),
        ([["99", "-1"]], "negative"),
        ([["-99", "1"]], "negative"),
        ([["0.00", "1"]], "price 0"),
        ([["99.123456789", "1"]], "eight decimals"),
        ([["9" * 40, "1"]], "64 bits"),
        ([["99"]], "length 2"),
        ([[99.5, 1]], "Expected `str`"),
        ("99", "Expected `array`"),
    ],
)
def test_a_bad_snapshot_is_refused_whole(bids: Any, why: str) -> None:
    [fault] = (feed := received(a_depth(bids=bids))).take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.UNREADABLE, BTC)
    assert why in fault.detail
    assert (feed.take_tops(), feed.take_depths()) == ([], [])


@pytest.mark.parametrize("sent_ms", [-1, 9 * 10**12, 2**62])
def test_a_time_that_no_record_can_hold_is_refused(sent_ms: int) -> None:
    """In nanoseconds it would not fit 64 bits, and end the feed where it is packed."""
    [fault] = received(V3_DEPTH.replace(b"1790000000123", b"%d" % sent_ms)).take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.UNREADABLE, NDX)
    assert "tsMs" in fault.detail


BOOK = b'{"bids":[["99","1"]],"asks":[["100","1"]]}'


@pytest.mark.parametrize(
    "frame",
    [
        b'{"channel":"BTC-PERP@depth"}',
        b'{"channel":"BTC-PERP@depth","data":null}',
        b'{"channel":"BTC-PERP@depth","data":"away"}',
        b'{"channel":"BTC-PERP@depth","data":{"data":%s}}' % BOOK,
        b'{"channel":"BTC-PERP@depth","data":{"bids":[["99","1"]]}}',
        b'{"channel":"BTC-PERP@depth","data":{"bids":[["99",NaN]],"asks":[]}}',
        b'{"channel":"BTC-PERP@depth","data":{"bids":[["99","1"',
        b'{"data":{"bids":{},"asks":[]}, "channel" : "BTC-PERP@depth"}',
        b'[{"channel":"BTC-PERP@depth","data":%s}]' % BOOK,
        b'{"push":{"channel":"BTC-PERP@depth","data":%s}}' % BOOK,
        b'{"channel":"BTC-PERP@depth","data":' + b"[" * 100_000,
    ],
)
def test_a_frame_that_names_its_symbol_voids_that_one_alone(frame: bytes) -> None:
    """Whatever else is wrong with it: the other symbols of the connection are as good as before."""
    feed = received(frame)
    [fault] = feed.take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.UNREADABLE, BTC)
    assert (feed.take_tops(), feed.take_depths()) == ([], [])


@pytest.mark.parametrize(
    "frame",
    [
        b'{"channel":"ETH-PERP@depth","data":1}',
        b'{"channel":"BTC-PERP@depth","x":{"channel":"NDX-USD-PERP@depth"',
    ],
)
def test_a_frame_of_nobody_or_of_two_speaks_for_the_connection(frame: bytes) -> None:
    with pytest.raises(FrameError):
        received(frame)


def test_a_silent_symbol_is_asked_for_anew_and_the_answers_are_expected() -> None:
    feed = a_feed()
    feed.take_frames()
    feed.renew(NDX, 1)
    requests = [json.loads(frame) for frame in feed.take_frames()]
    assert [(request["method"], request["params"]) for request in requests] == [
        ("UNSUBSCRIBE", ["NDX-USD-PERP@depth"]),
        ("SUBSCRIBE", ["NDX-USD-PERP@depth"]),
    ]
    for request in requests:
        feed.receive(b'{"result":null,"id":%d}' % request["id"], True, 1)
    assert feed.take_faults() == []


def test_acknowledgements_and_pongs_are_no_news() -> None:
    feed = received(b'{"result":null,"id":1}', b'{"data":"PONG"}', b'{"result":null,"id":2}')
    assert (feed.take_tops(), feed.take_faults(), feed.take_frames()[2:]) == ([], [], [])


def test_a_refused_subscription_names_its_instrument() -> None:
    """The v2 refusal is not documented; a code beside our request id is the least it must hold."""
    [fault] = received(b'{"id":2,"code":1121,"msg":"BAD_SYMBOL"}').take_faults()
    assert (fault.kind, fault.instrument_id, fault.detail) == (FaultKind.REFUSED, NDX, "1121 BAD_SYMBOL")


def test_v3_outcomes_name_the_rejected_stream_alone() -> None:
    frame = (
        b'{"subscription_outcomes":[{"requested":"NDX-USD-PERP@depth","status":"registered"},'
        b'{"requested":"BTC-PERP@depth","status":"rejected","reason":"invalid_stream"}]}'
    )
    [fault] = received(frame).take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.REFUSED, BTC)
    assert "invalid_stream" in fault.detail


@pytest.mark.parametrize(
    "frame", [b"{}", b'{"data":"PING"}', b'{"hello":"world"}', b'{"result":null,"id":99}']
)
def test_an_undocumented_message_is_named(frame: bytes) -> None:
    [fault] = received(frame).take_faults()
    assert (fault.kind, fault.instrument_id) == (FaultKind.UNKNOWN, -1)


def test_it_pings_every_fifteen_seconds_and_not_sooner() -> None:
    feed = a_feed()
    feed.take_frames()
    feed.tick(PING_INTERVAL_NS - 1)
    assert feed.take_frames() == []
    feed.tick(PING_INTERVAL_NS)
    feed.tick(PING_INTERVAL_NS + 1)
    assert [json.loads(frame) for frame in feed.take_frames()] == [{"method": "PING", "params": [], "id": 0}]
    feed.tick(2 * PING_INTERVAL_NS)
    assert len(feed.take_frames()) == 1
    assert PING_INTERVAL_NS == 15_000_000_000


def test_a_new_connection_forgets_the_books_of_the_last() -> None:
    feed = received(a_depth(bids=[["99999", "1"]]))
    feed.connected(now_mono_ns=1)
    assert (feed.take_tops(), feed.take_depths(), feed.take_faults()) == ([], [], [])
    assert len(feed.take_frames()) == len(INSTRUMENTS)


def test_the_memory_of_decimals_is_bounded_and_stays_right() -> None:
    """More texts than it holds pass through; each value is still its own."""
    feed = a_feed()
    for cents in range(20_000):
        feed.receive(a_depth(bids=[[f"{cents // 100 + 1}.{cents % 100:02d}", f"0.{cents + 1:05d}"]]), True, 1)
        [top] = feed.take_tops()
        assert (top.bid_e8, top.bid_size_e8) == ((cents + 100) * 10**6, (cents + 1) * 10**3)
    assert len(feed._decimals) <= 16_384


rubbish = st.one_of(
    st.binary(max_size=400),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["channel", "data", "bids", "asks", "id", "code", "tsMs", "x"]), inner
            )
        ),
    ).map(lambda content: json.dumps(content).encode()),
    st.builds(
        lambda rows, tail: a_depth(bids=rows)[:tail],
        st.lists(st.tuples(st.text("0123456789.-eN", max_size=14), st.text("0123456789.", max_size=9))),
        st.integers(0, 400),
    ),
)


@given(rubbish)
def test_any_bytes_are_a_result_or_a_frame_error(frame: bytes) -> None:
    """Whatever a venue sends, the feed lives and every published price can stand."""
    feed = a_feed()
    try:
        feed.receive(frame, True, 1)
    except FrameError:
        assert feed.take_tops() == []
    for top in feed.take_tops():
        assert not top.is_valid or 0 < top.bid_e8 <= top.ask_e8 < 2**63


@pytest.mark.parametrize(
    "frame",
    [b"[" * 100_000, b'{"data":' * 100_000, b'{"x":' + b"[" * 100_000, b'{"x":[' * 50_000, b"[" * 3_999],
)
def test_deep_nesting_is_a_frame_error_even_without_a_recursion_limit(frame: bytes) -> None:
    """eth-account raises Python's limit for the whole process; the decoder then ran into the stack's end."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with pytest.raises(FrameError) as caught:
            received(frame)
    finally:
        sys.setrecursionlimit(limit)
    assert len(caught.value.frame) <= 200


def test_a_compressed_frame_is_a_frame_error() -> None:
    """The payloads of 2024 were Brotli; guessing at them is not reading."""
    with pytest.raises(FrameError):
        received(b"\x1b\x00\x00")
