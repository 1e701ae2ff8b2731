"""Where the markets come from: the shipped recording, the seeded process, the depth behind a top."""

from __future__ import annotations

import asyncio
import csv
import gzip
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise, takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.__main__ import main as simulator_main
from simulator.exchange import Exchange
from simulator.market import LEVELS, Ladder, Top, play
from simulator.recorded import DATA, SHIPPED, RecordedMarket, RecordingDamaged, RecordingTooShort, Track
from simulator.synthetic import SyntheticMarket, SyntheticRules
from simulator.vest import LISTING
from tests.waiting import DEADLINE_S
from venues.contract import E8, parse_e8

VEST_BTC = LISTING[0]


def a_recording(directory: Path, name: str, rows: list[tuple[int, str, str, str, str]]) -> None:
    with gzip.open(directory / name, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["recv_ns", "bid_px", "bid_qty", "ask_px", "ask_qty"])
        writer.writerows(rows)


@pytest.fixture
def two_tracks(tmp_path: Path) -> tuple[Track, ...]:
    """Track "a" changes at 0, 10, 40; track "b" (contracts of 100) at 0 and 30."""
    a_recording(tmp_path, "a", [(1_000 + at, str(price), "1", str(price + 1), "2") for at, price in A_ROWS])
    a_recording(tmp_path, "b", [(1_000 + at, str(price), "10", str(price + 1), "20") for at, price in B_ROWS])
    return (Track("paradex", "A", "a"), Track("vest", "B", "b", contract_quote=100))


A_ROWS = [(0, 100), (10, 101), (40, 102)]
B_ROWS = [(0, 200), (30, 201)]


def shown(tops: Iterator[Top], count: int) -> list[tuple[int, str, int]]:
    return [(top.at_ns, top.symbol, top.bid_e8 // E8) for top in islice(tops, count)]


def test_a_recording_plays_forwards_then_backwards_on_one_clock(
    tmp_path: Path, two_tracks: tuple[Track, ...]
) -> None:
    """Going back, passing a quote shows the one before it: what stood between two stands again."""
    tops = RecordedMarket(two_tracks, directory=tmp_path).tops()

    assert shown(tops, 5) == [(0, "A", 100), (0, "B", 200), (10, "A", 101), (30, "B", 201), (40, "A", 102)]
    assert shown(tops, 3) == [(40, "A", 101), (50, "B", 200), (70, "A", 100)]
    assert shown(tops, 5) == [
        (80, "A", 100),
        (80, "B", 200),
        (90, "A", 101),
        (110, "B", 201),
        (120, "A", 102),
    ]
    assert shown(tops, 1) == [(120, "A", 101)]


def test_a_start_inside_shows_every_track_from_its_first_instant(
    tmp_path: Path, two_tracks: tuple[Track, ...]
) -> None:
    """What stood at that moment, then what follows."""
    tops = RecordedMarket(two_tracks, directory=tmp_path, start_s=20e-9).tops()

    assert shown(tops, 4) == [(0, "A", 101), (0, "B", 200), (10, "B", 201), (20, "A", 102)]


def test_a_start_beyond_the_end_names_the_length(tmp_path: Path, two_tracks: tuple[Track, ...]) -> None:
    """Nothing would ever be shown."""
    with pytest.raises(RecordingTooShort, match="start 9 s is beyond the end"):
        next(RecordedMarket(two_tracks, directory=tmp_path, start_s=9).tops())


@pytest.mark.parametrize("spoil", ["cut", "gone", "other", "nonsense"])
def test_a_damaged_file_is_named_before_anything_is_played(
    tmp_path: Path, spoil: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to be found where the playing came to it, by a traceback that names no file."""
    for track in SHIPPED:
        shutil.copy(DATA / track.file, tmp_path)
    path = tmp_path / SHIPPED[2].file
    match spoil:
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "gone":
            path.unlink()
        case "other":
            path.write_bytes(gzip.compress(b"a,b\n1,2\n"))
        case _:
            path.write_bytes(path.read_bytes()[::-1])
    monkeypatch.setattr("simulator.config.RecordedMarket", partial(RecordedMarket, directory=tmp_path))

    assert simulator_main([]) == 2

    logged = capsys.readouterr().err
    assert logged.count("\n") == 1
    assert path.name in logged


def test_a_line_that_is_no_quote_is_named(tmp_path: Path, two_tracks: tuple[Track, ...]) -> None:
    path = tmp_path / two_tracks[0].file
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"1,nan,1,2,1\n"))
    with pytest.raises(RecordingDamaged, match=path.name):
        list(islice(RecordedMarket(two_tracks, directory=tmp_path).tops(), 50))


def test_contracts_become_coins(tmp_path: Path, two_tracks: tuple[Track, ...]) -> None:
    """Ten contracts of 100 at a price of 200 are five coins."""
    tops = list(islice(RecordedMarket(two_tracks, directory=tmp_path).tops(), 2))

    assert (tops[0].bid_size_e8, tops[0].ask_size_e8) == (1 * E8, 2 * E8)
    assert (tops[1].bid_size_e8, tops[1].ask_size_e8) == (5 * E8, 2_000 * E8 // 201)


@pytest.mark.parametrize("base", ["BTC", "ETH"])
def test_the_shipped_pair_covers_one_window_of_343_seconds(base: str) -> None:
    """Both files begin at the same instant, stay uncrossed, and end together; the rows are all there."""
    expected = {"BTC": {65_825, 19_117}, "ETH": {53_833, 15_810}}[base]
    counts, firsts, lasts = set(), set(), []
    for track in SHIPPED:
        if track.symbol.startswith(base):
            with gzip.open(DATA / track.file, "rt") as file:
                rows = list(csv.DictReader(file))
            times = [int(row["recv_ns"]) for row in rows]
            assert times == sorted(times)
            assert all(parse_e8(row["bid_px"]) < parse_e8(row["ask_px"]) for row in rows)
            counts.add(len(rows))
            firsts.add(times[0])
            lasts.append(times[-1])
    assert counts == expected
    assert len(firsts) == 1
    assert max(lasts) - min(lasts) < 1_000_000_000
    assert 343 < (max(lasts) - firsts.pop()) / 1e9 < 344


def test_the_shipped_market_quotes_every_contract_in_order() -> None:
    """The first second already has every contract of both venues; time never goes back."""
    tops = list(takewhile(lambda top: top.at_ns < 20_000_000_000, RecordedMarket().tops()))

    assert {(top.venue, top.symbol) for top in tops if top.at_ns < 10**9} == {
        ("paradex", "BTC-USD-PERP"),
        ("paradex", "ETH-USD-PERP"),
        ("vest", "BTC-PERP"),
        ("vest", "ETH-PERP"),
    }
    assert all(before.at_ns <= after.at_ns for before, after in pairwise(tops))


@given(
    bid_e8=st.integers(50_000 * E8, 70_000 * E8),
    gap_e8=st.integers(1, 100 * E8),
    size_e8=st.integers(0, 50 * E8),
)
def test_a_ladder_rounds_outward_and_stays_on_the_grid(bid_e8: int, gap_e8: int, size_e8: int) -> None:
    """Twenty levels, strictly worse one by one, never better than the source's price."""
    bids = Ladder(VEST_BTC, 1).behind(bid_e8, size_e8)
    asks = Ladder(VEST_BTC, -1).behind(bid_e8 + gap_e8, size_e8)

    assert len(bids) == len(asks) == LEVELS
    assert bid_e8 - VEST_BTC.tick_e8 < bids[0][0] <= bid_e8
    assert bid_e8 + gap_e8 <= asks[0][0] < bid_e8 + gap_e8 + VEST_BTC.tick_e8
    assert all(worse[0] < better[0] for better, worse in pairwise(bids))
    assert all(better[0] < worse[0] for better, worse in pairwise(asks))
    for price, size in [*bids, *asks]:
        assert price % VEST_BTC.tick_e8 == 0
        assert size % VEST_BTC.lot_e8 == 0
        assert size > 0


def test_the_levels_behind_stay_when_the_top_moves_within_a_step() -> None:
    """A delta feed would otherwise resend the whole book for every tick."""
    ladder = Ladder(VEST_BTC, 1)
    first = ladder.behind(60_000 * E8 + E8 // 2, E8)
    second = ladder.behind(60_000 * E8 + E8 // 4, 3 * E8)

    assert first[0] != second[0]
    assert first[1:] == second[1:]
    assert ladder.behind(60_010 * E8, E8)[1:] != first[1:]


def test_the_synthetic_market_is_its_seed() -> None:
    """The same seed replays, another does not."""
    first = list(islice(SyntheticMarket(7).tops(), 2_000))

    assert first == list(islice(SyntheticMarket(7).tops(), 2_000))
    assert first != list(islice(SyntheticMarket(8).tops(), 2_000))
    assert all(top.bid_e8 < top.ask_e8 for top in first)


def test_the_synthetic_gap_opens_and_closes_at_the_set_rates() -> None:
    """Ten minutes: jumps beyond 5 bps both ways, and a return to small gaps in between."""
    rules = SyntheticRules(updates_per_s=(40.0, 20.0))
    mids: dict[str, float] = {}
    gaps: list[float] = []
    count = {"paradex": 0, "vest": 0}
    for top in takewhile(lambda top: top.at_ns < 600 * 10**9, SyntheticMarket(3, rules).tops()):
        if top.symbol.startswith("BTC"):
            count[top.venue] += 1
            mids[top.venue] = (top.bid_e8 + top.ask_e8) / 2
            if len(mids) == 2:
                gaps.append((mids["vest"] / mids["paradex"] - 1) * 1e4)

    assert count["paradex"] == pytest.approx(24_000, rel=0.05)
    assert count["vest"] == pytest.approx(12_000, rel=0.05)
    assert max(gaps) > 5
    assert min(gaps) < -5
    assert sum(abs(gap) < 3 for gap in gaps) > len(gaps) / 2


class Script:
    """A source with given tops; it ends, as no real one does."""

    def __init__(self, *at_ms: int) -> None:
        self._at_ms = at_ms

    def tops(self) -> Iterator[Top]:
        for index, at_ms in enumerate(self._at_ms):
            price_e8 = (60_000 + index) * E8
            yield Top(at_ms * 1_000_000, "vest", "BTC-PERP", price_e8, E8, price_e8 + E8, E8)
            yield Top(at_ms * 1_000_000, "nowhere", "BTC-PERP", 1, 1, 2, 1)


async def test_playing_keeps_market_time_at_the_set_speed() -> None:
    """400 ms of market at fourfold speed take 100 ms, long before those of a market at its own speed."""
    exchange, slower = (
        Exchange(LISTING, now_unix_ns=time.time_ns, make_id=lambda now, sequence: str(sequence))
        for _ in range(2)
    )
    seen_s: list[float] = []
    slower_seen_s: list[float] = []
    exchange.on_book(lambda symbol: seen_s.append(time.monotonic()))
    slower.on_book(lambda symbol: slower_seen_s.append(time.monotonic()))

    began_s = time.monotonic()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(
            play(Script(0, 0, 240, 400), {"vest": exchange}, speed=4.0),
            play(Script(0, 0, 240, 400), {"vest": slower}, speed=1.0),
        )

    assert len(seen_s) == len(slower_seen_s) == 4  # tops of unknown venues are passed over
    assert seen_s[2] - began_s >= 0.06
    assert seen_s[3] - began_s >= 0.1
    assert seen_s[3] < slower_seen_s[3]
    assert exchange.mark_e8("BTC-PERP") == 60_003 * E8 + E8 // 2


@pytest.mark.parametrize("price", ["9999.93", "10000.4", "99.9994", "0.0123456"])
def test_a_ladder_stands_on_a_grid_of_significant_figures(price: str) -> None:
    """The step changes with the price, and the ladder with it."""
    instrument = replace(VEST_BTC, tick_e8=100, lot_e8=E8, significant_figures=5)
    bids, asks = Ladder(instrument, 1), Ladder(instrument, -1)
    for shown in (parse_e8(price), 10 * parse_e8(price)):
        for ladder in (bids, asks):
            for level_e8, _ in ladder.behind(shown, E8)[:2]:
                assert level_e8 % instrument.price_step_e8(level_e8) == 0
