"""What is read in C must be what is read in Python: both see the same frames, whole and broken, in a row."""

from __future__ import annotations

from random import Random

import pytest

from runtime import native
from tests.venues.frame_twins import Twins
from tests.venues.paradex.samples import captured_session
from tests.venues.random_frames import RANDOM_FRAMES, SYMBOLS, broken
from tests.venues.venue_case import Frame, VenueCase
from tests.venues.venue_cases import VENUE_CASES
from venues.contract import FeedOptions, VenueHosts
from venues.registry import venue as venue_of

HOSTS = VenueHosts("http://127.0.0.1:1", "ws://127.0.0.1:1/ws", "ws://127.0.0.1:1/ws")


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Built for this run, so that what is tested is what stands in the source."""
    if native.no_compiler():
        pytest.skip(native.no_compiler())
    assert native.main() == 0


def twins_of(venue: str) -> Twins:
    ids = {symbol: number for number, symbol in enumerate(SYMBOLS[venue])}
    return Twins(lambda: venue_of(venue).market_data(HOSTS, ids, FeedOptions()))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("venue", sorted(VENUE_CASES))
def test_both_twins_make_the_same_of_every_frame(venue: str, seed: int) -> None:
    """Frames of every shape and the same with a few bytes wrong, on connections made anew now and then."""
    rng, twins = Random(seed), twins_of(venue)
    for number in range(700):
        frame = RANDOM_FRAMES[venue](rng)
        for candidate in (frame, *(broken(frame, rng) for _ in range(rng.randrange(3)))):
            alone, helped = twins.take(candidate.content, candidate.is_binary, number)
            assert helped == alone, candidate
        if number % 100 == 99:
            for protocol in (twins.alone, twins.helped):
                protocol.connected(number)
                protocol.take_frames()

    assert twins.outcomes["read"] > 30, twins.outcomes  # otherwise this compared Python with itself
    assert twins.outcomes["closed"] == 0, "whether a way is open is not a reader's to say"
    assert min(twins.outcomes[reason] for reason in ("kind", "number", "sides")) > 0, twins.outcomes


@pytest.mark.parametrize("case", VENUE_CASES.values(), ids=lambda case: case.venue)
def test_documented_frames_are_read_alike(case: VenueCase) -> None:
    twins = Twins(lambda: case.market_data(HOSTS))
    frames = [frame for _, frame, _ in case.public_frames]
    books = [frame for number in range(1, 5) for frame in case.book(100 + number, 104, number)]
    for frame in [*books, *frames, *case.book(0, 101, 6), *case.book(103, 101, 7), *case.book(100, 101, 8)]:
        alone, helped = twins.take(frame.content, frame.is_binary)
        assert helped == alone, frame


ODD_NUMBERS = (
    "1.123456789",
    "1.12345678000",
    "46116860184.27387904",
    "46116860184.27387903",
    "92233720368.54775808",
    "50000000000",
    "99999999999",
    "9999999999999999999",
    "01",
    "1.",
    ".5",
    "-1",
    "1e3",
    "",
    "0",
    "0.00000001",
    "123456789012345678901",
)


@pytest.mark.parametrize("number", ODD_NUMBERS)
@pytest.mark.parametrize("place", ["price", "size"])
def test_every_odd_number_is_read_alike(number: str, place: str) -> None:
    """The venues that write numbers as texts."""
    price, size = (number, "1") if place == "price" else ("5", number)
    data = f'{{"bids":[["{price}","{size}"]],"asks":[["99999999999","1"]]}}'
    vest = f'{{"channel":"BTC-PERP@depth","data":{data}}}'
    level = f'{{"px":"{price}","sz":"{size}","n":1}}'
    other = '{"px":"92233720368","sz":"1","n":2}'
    bbo = f'{{"channel":"bbo","data":{{"coin":"BTC","time":17,"bbo":[{level},{other}]}}}}'
    book = f'{{"channel":"l2Book","data":{{"coin":"BTC","time":17,"levels":[[{level}],[{other}]]}}}}'
    for venue, text in (("vest", vest), ("hyperliquid", bbo), ("hyperliquid", bbo), ("hyperliquid", book)):
        twins = twins_of(venue)
        for frame in (Frame(text.replace(number, "5").encode()), Frame(text.encode())):
            alone, helped = twins.take(frame.content, frame.is_binary)
            assert helped == alone


@pytest.mark.parametrize("count", ["0", "48", "048", "-1", "1.0", "1234567890", "null", '"1"', ""])
def test_every_odd_count_of_orders_is_read_alike(count: str) -> None:
    """Hyperliquid's third field of a level, which nobody needs."""
    twins = twins_of("hyperliquid")
    bid, ask = (f'{{"px":"{price}","sz":"1","n":{count}}}' for price in (5, 6))
    for unix_ms in (17, 18):
        frame = f'{{"channel":"bbo","data":{{"coin":"BTC","time":{unix_ms},"bbo":[{bid},{ask}]}}}}'.encode()
        alone, helped = twins.take(frame, False)
        assert helped == alone


@pytest.mark.parametrize(
    "unix_ms", ["17", "16", "017", "017000", "00", "5018", "-1", "9000000000000", "1.7e3", "null"]
)
def test_every_odd_time_is_read_alike(unix_ms: str) -> None:
    """Behind a frame of 17 ms: an older one is none of ours, one from long before begins anew."""
    twins = twins_of("hyperliquid")
    for time in ("10000", unix_ms, "10001"):
        level = '{"px":"5","sz":"1","n":1}'
        frame = f'{{"channel":"bbo","data":{{"coin":"BTC","time":{time},"bbo":[{level},{level}]}}}}'.encode()
        alone, helped = twins.take(frame, False)
        assert helped == alone


@pytest.mark.parametrize("count", [250, 256, 257, 2_100])
def test_a_long_book_is_read_alike(count: int) -> None:
    """Python refuses a text that opens more than 4,000 brackets."""
    bids, asks = [5_000 - number for number in range(count)], [5_001 + number for number in range(count)]
    rows = [",".join(f'["{price}","1"]' for price in side) for side in (bids, asks)]
    vest = f'{{"channel":"BTC-PERP@depth","data":{{"bids":[{rows[0]}],"asks":[{rows[1]}]}}}}'.encode()
    rows = [",".join(f'{{"px":"{price}","sz":"1","n":1}}' for price in side) for side in (bids, asks)]
    data = f'{{"coin":"BTC","time":17,"levels":[[{rows[0]}],[{rows[1]}]]}}'
    for venue, frame in (("vest", vest), ("hyperliquid", f'{{"channel":"l2Book","data":{data}}}'.encode())):
        twins = twins_of(venue)
        for _ in range(2):
            alone, helped = twins.take(frame, False)
            assert helped == alone
        assert (twins.outcomes["number"] == 0) == (count <= 256)


def test_a_book_in_a_frame_of_the_other_channel_is_read_alike() -> None:
    """Found by ``make frames``: Hyperliquid's two channels have their contents under different keys."""
    twins = twins_of("hyperliquid")
    level = '{"px":"5","sz":"1","n":1}'
    bodies = {"bbo": f'"bbo":[{level},{level}]', "l2Book": f'"levels":[[{level}],[{level}]]'}
    for kind, body in (
        *bodies.items(),
        *bodies.items(),
        *zip(bodies, reversed(bodies.values()), strict=True),
    ):
        frame = f'{{"channel":"{kind}","data":{{"coin":"BTC","time":17,{body}}}}}'.encode()
        alone, helped = twins.take(frame, False)
        assert helped == alone

    assert twins.outcomes["number"] == 2


# As heard from the venue's servers (documentation of the protocol, "Public frames").
HYPERLIQUID_LIVE = (
    b'{"channel":"l2Book","data":{"coin":"BTC","time":1791480444439,"levels":[[{"px":"80459.0","sz":"16.87185",'
    b'"n":49}],[{"px":"80460.0","sz":"1.59648","n":9}]]}}',
    b'{"channel":"bbo","data":{"coin":"BTC","time":1791480444656,"bbo":[{"px":"80459.0","sz":"18.36712","n":48},'
    b'{"px":"80460.0","sz":"1.59648","n":9}]}}',
)


def test_genuine_frames_go_the_compiled_way() -> None:
    """Once a channel is known to be as usual; what was made up for a test might not be written so."""
    paradex = twins_of("paradex")
    _, captured = captured_session()
    for number, bbo in enumerate(captured):
        alone, helped = paradex.take(bbo.frame, True, number)
        assert helped == alone
    assert paradex.outcomes["read"] == len(captured) == 103

    hyperliquid = twins_of("hyperliquid")
    for frame in HYPERLIQUID_LIVE * 3:
        alone, helped = hyperliquid.take(frame, False)
        assert helped == alone
    assert (hyperliquid.outcomes["order"], hyperliquid.outcomes["read"]) == (2, 4)
