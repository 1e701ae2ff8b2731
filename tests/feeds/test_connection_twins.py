"""Two connections hear the same in one time: one reads in Python alone, one as the compiled listener does.

Whatever happens to them, both publish the same, say the same, ask the same and end for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from picows import WSMsgType

from runtime import native
from tests.feeds.test_connection import SECOND_NS, Played
from tests.venues.paradex.samples import bbo_frame, book_frame
from tests.venues.random_frames import RANDOM_FRAMES, SYMBOLS, broken
from tests.venues.venue_case import Frame
from venues.contract import E8

MS = 1_000_000


class World:
    """A venue's market with its lapses: gaps, crossed and empty books, times that go back, muted channels."""

    def __init__(self, venue: str, rng: Random) -> None:
        self.venue, self.rng = venue, rng
        self.unix_ms = 1_000_000
        self.muted: set[tuple[str, str]] = set()
        self.forget()

    def forget(self) -> None:
        """A new connection: whole books come first."""
        self._prices = dict.fromkeys(SYMBOLS[self.venue], 100)
        self._sequences: dict[str, int] = {}

    def frames(self) -> Iterator[Frame]:
        for symbol in SYMBOLS[self.venue]:
            if self.rng.random() < 0.3:
                self._prices[symbol] = self.rng.randrange(99, 103)
            for channel, chance in (("top", 0.7), ("depth", 0.5)):
                if (symbol, channel) not in self.muted and self.rng.random() < chance:
                    yield from self._frame(symbol, channel, self._prices[symbol])

    def _seldom(self, usual: int, *others: int) -> int:
        return self.rng.choice((*[usual] * 20, *others))

    def _frame(self, symbol: str, channel: str, bid: int) -> Iterator[Frame]:
        ask, size = bid + self._seldom(1, 0, -1), self.rng.randrange(1, 4)
        match self.venue, channel:
            case "vest", "top":
                sides = f'"bids":[["{bid}","1"]],"asks":[["{ask}","{size}"]]'
                yield Frame(f'{{"channel":"{symbol}@depth","data":{{{sides}}}}}'.encode(), is_binary=True)
            case "hyperliquid", _:
                unix_ms = self.unix_ms - self._seldom(0, 1, 100, 6_000)
                levels = [f'{{"px":"{price}","sz":"{size}","n":1}}' for price in (bid, ask)]
                kind = "bbo" if channel == "top" else "l2Book"
                body = f'"bbo":[{",".join(levels)}]'
                if channel == "depth":
                    body = f'"levels":[[{levels[0]}],[{levels[1]}]]'
                yield Frame(
                    f'{{"channel":"{kind}","data":{{"coin":"{symbol}","time":{unix_ms},{body}}}}}'.encode()
                )
            case "paradex", "top":
                number = self._next(f"{symbol} top", self._seldom(1, 0, -1, 5))
                sizes = {"bid_size_e8": self._seldom(E8, 0)}
                yield Frame(
                    bbo_frame(number, bid_e8=bid * E8, ask_e8=ask * E8, symbol=symbol, **sizes),
                    is_binary=True,
                )
            case "paradex", _:
                is_new = f"{symbol} depth" not in self._sequences
                number = self._next(f"{symbol} depth", self._seldom(1, 2))
                yield Frame(
                    book_frame(
                        number,
                        bids=[(bid, size)],
                        asks=[(bid + 1, 1)],
                        is_snapshot=is_new or self.rng.random() < 0.1,
                        symbol=symbol,
                    ),
                    is_binary=True,
                )

    def _next(self, name: str, step: int) -> int:
        self._sequences[name] = self._sequences.get(name, 0) + step
        return self._sequences[name]


class Twins:
    """The two connections, and what both make of everything that happens."""

    def __init__(self, directory: Path, venue: str, stale_ns: int) -> None:
        self.both = [
            Played(directory / name, venue, is_native=name == "native", stale_ns=stale_ns)
            for name in ("python", "native")
        ]

    def hear(self, frame: Frame, kind: WSMsgType | None = None, *, fin: bool = True) -> None:
        usual = WSMsgType.BINARY if frame.is_binary else WSMsgType.TEXT
        for one in self.both:
            one.hear(frame.content, usual if kind is None else kind, fin=fin)

    def pass_ns(self, time_ns: int) -> None:
        for one in self.both:
            one.now_mono_ns += time_ns

    def tick(self) -> None:
        for one in self.both:
            one.tick()

    @property
    def is_over(self) -> bool:
        return any(one.connection.ended_because for one in self.both)

    def check(self) -> None:
        alone, helped = (one.state() for one in self.both)
        assert helped == alone


@contextmanager
def twins(directory: Path, venue: str, stale_ns: int) -> Iterator[Twins]:
    made = Twins(directory, venue, stale_ns)
    try:
        yield made
    finally:
        for one in made.both:
            one.close()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("venue", sorted(SYMBOLS))
def test_whatever_happens_both_connections_do_the_same(venue: str, seed: int, tmp_path: Path) -> None:
    if native.missing():
        pytest.skip(native.missing())
    rng = Random(seed)
    world, ended = World(venue, rng), 0
    with twins(tmp_path, venue, rng.choice((1_500, 5_000, 8_000)) * MS) as pair:
        for _ in range(400):
            passed_ms = rng.choice((1, 5, 20, 50, 100))
            pair.pass_ns(passed_ms * MS)
            world.unix_ms += passed_ms
            happen(pair, world, rng)
            if pair.is_over:
                ended += 1
                pair.check()
                for frame in world.frames():  # what waits behind the end is nobody's
                    pair.hear(frame)
                pair.check()
                pair.pass_ns(rng.choice((1, 300, 3_000)) * MS)
                world.forget()
                world.muted.clear()
                for one in pair.both:
                    one.connect()
            pair.check()
        taken = pair.both[1].taken

    assert taken > 40
    assert ended > 0


def happen(pair: Twins, world: World, rng: Random) -> None:
    """One thing, and mostly a look at the time."""
    symbols: Sequence[str] = SYMBOLS[world.venue]
    chance = rng.random()
    if chance < 0.6:
        for frame in world.frames():
            pair.hear(frame)
    elif chance < 0.63:
        frame = RANDOM_FRAMES[world.venue](rng)
        pair.hear(broken(frame, rng) if rng.random() < 0.3 else frame)
    elif chance < 0.635:
        pair.hear(Frame(b"rubbish"))
    elif chance < 0.645:
        world.muted ^= {(rng.choice(symbols), rng.choice(("top", "depth")))}
    elif chance < 0.65:
        pair.pass_ns(rng.choice((900, 1_900, 2_100)) * MS)
    elif chance < 0.655:
        for one in pair.both:
            one.connection.end("by the test")
    elif chance < 0.66:
        for number, frame in enumerate(world.frames()):
            half = len(frame.content) // 2
            if number == 0:
                pair.hear(frame._replace(content=frame.content[:half]), fin=False)
                pair.hear(frame._replace(content=frame.content[half:]), WSMsgType.CONTINUATION)
            else:
                pair.hear(frame)
    elif chance < 0.665:
        pair.hear(Frame(b""), rng.choice((WSMsgType.PING, WSMsgType.PONG)))
    if rng.random() < 0.6:
        pair.tick()


def test_a_channel_that_is_silent_is_noticed_behind_a_bad_frame(tmp_path: Path) -> None:
    """What Python voids has not been heard: the books of Hyperliquid have stopped, its tops go on."""
    if native.missing():
        pytest.skip(native.missing())
    world = World("hyperliquid", Random(1))
    with twins(tmp_path, "hyperliquid", 5 * SECOND_NS) as pair:
        for _ in range(200):
            pair.pass_ns(50 * MS)
            world.unix_ms += 50
            for frame in world.frames():
                pair.hear(frame)
            pair.tick()
            if pair.is_over:
                break
            world.muted = {("BTC", "depth")}
            if world.unix_ms == 1_003_000:
                pair.hear(Frame(b"rubbish"))
            pair.check()
        said = [event for one in pair.both for event in one.events if "QuoteStale" in event]

    assert len(said) >= 2
