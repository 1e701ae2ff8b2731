"""Counter tables name themselves; a histogram's percentiles stay within an eighth of the truth."""

from __future__ import annotations

from fractions import Fraction
from itertools import count
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import shm.counters
from shm.counters import HISTOGRAM_WORDS, CounterTable, Histogram, _bucket
from shm.segment import SegmentError
from tests.shm.processes import died_at_bytecode, peer

LOWEST_NS, HIGHEST_NS = 2**8, 2**37


def a_table(directory: Path) -> Path:
    path = directory / "counters"
    CounterTable.create(path, ("heartbeat_mono_ns", "frames_total"), ("recv_to_publish", "naked"))
    return path


def a_histogram() -> Histogram:
    return Histogram(memoryview(bytearray(8 * HISTOGRAM_WORDS)).cast("q"))


def test_a_table_is_read_by_name_without_knowing_who_wrote_it(directory: Path) -> None:
    path = a_table(directory)
    writer, reader = CounterTable.attach(path, writer=True), CounterTable.attach(path, readonly=True)

    writer.set(writer.index("heartbeat_mono_ns"), 2**62)
    writer.add(writer.index("frames_total"))
    writer.add(writer.index("frames_total"), 41)
    writer.histogram("naked").record(1000)

    assert reader.snapshot() == {"heartbeat_mono_ns": 2**62, "frames_total": 42}
    assert reader.get(reader.index("frames_total")) == 42
    assert reader.histogram_names == ("recv_to_publish", "naked")
    assert [reader.histogram(name).count for name in reader.histogram_names] == [0, 1]
    assert reader.histogram("naked").max_ns == 1000
    for table in (writer, reader):
        table.close()


@pytest.mark.parametrize("counters", [(), ("a",), tuple(f"counter_{number}" for number in range(50))])
@pytest.mark.parametrize("histograms", [(), ("one", "two")])
def test_neighbours_never_share_a_word(
    directory: Path, counters: tuple[str, ...], histograms: tuple[str, ...]
) -> None:
    """Whatever the length of the names in front of them."""
    path = directory / "counters"
    CounterTable.create(path, counters, histograms)
    table = CounterTable.attach(path, writer=True)
    for place, name in enumerate(counters):
        table.set(table.index(name), place + 1)
    for name in histograms:
        table.histogram(name).record(2**40)
        table.histogram(name).record(0)

    assert list(table.snapshot().values()) == list(range(1, len(counters) + 1))
    for name in histograms:
        histogram = table.histogram(name)
        assert (histogram.count, histogram.max_ns) == (2, 2**40)
        assert [histogram.percentile_ns(percent) for percent in (50, 100)] == [LOWEST_NS, 2**40]
    assert CounterTable.attach(path, readonly=True).names == counters


def test_an_unknown_name_is_reported_with_the_file(directory: Path) -> None:
    table = CounterTable.attach(a_table(directory))
    with pytest.raises(SegmentError, match=f"{directory}/counters has no counter 'frames'"):
        table.index("frames")
    with pytest.raises(SegmentError, match=f"{directory}/counters has no histogram 'nake'"):
        table.histogram("nake")


def count_and_die(pipe: Connection, path: Path, times: int) -> None:
    table = CounterTable.attach(path, writer=True)
    frames = table.index("frames_total")
    for _ in range(times):
        table.add(frames)
    pipe.send("counted")
    pipe.poll(None)


def test_counts_outlive_the_process_that_made_them(directory: Path) -> None:
    path = a_table(directory)
    reader = CounterTable.attach(path, readonly=True)
    for total in (1000, 2000):
        with peer(count_and_die, path, 1000) as writer:
            writer.receive()
            writer.kill()
        assert reader.snapshot()["frames_total"] == total


def test_a_record_killed_at_any_point_leaves_usable_percentiles(directory: Path) -> None:
    for place in count():
        path = a_table(directory)
        reader = CounterTable.attach(path, readonly=True).histogram("naked")

        def attach_and_record(path: Path = path) -> None:
            histogram = CounterTable.attach(path, writer=True).histogram("naked")
            for _ in range(2):
                histogram.record(1_000_000)

        died = died_at_bytecode(place, shm.counters, attach_and_record)
        counted = reader.count
        assert counted in ((0, 1, 2) if died else (2,))
        for percent in (0, 50, 99, 100):
            assert reader.percentile_ns(percent) in ((0, 1_000_000) if counted <= 1 else (1_000_000,))
        path.unlink()
        if not died:
            return


durations = st.lists(
    st.one_of(
        st.integers(0, 2**38),
        st.integers(0, 40).map(lambda bits: 2**bits),
        st.integers(1, 40).map(lambda bits: 2**bits - 1),
        st.integers(LOWEST_NS, 100_000),
    ),
    min_size=1,
    max_size=300,
)


@settings(max_examples=300)
@given(values=durations, percent=st.one_of(st.sampled_from([0, 50, 99, 99.9, 100]), st.floats(0, 100)))
def test_a_percentile_is_at_most_one_eighth_above_the_recorded_value(
    values: list[int], percent: float
) -> None:
    histogram = a_histogram()
    for value in values:
        histogram.record(value)

    percent = round(percent, 3)
    rank = max(1, ceil(len(values) * Fraction(str(percent)) / 100))
    truth = sorted(values)[rank - 1]
    answer = histogram.percentile_ns(percent)

    assert histogram.count == len(values)
    assert histogram.max_ns == max(values)
    if truth < LOWEST_NS:
        assert truth <= answer <= LOWEST_NS
    elif truth >= HIGHEST_NS:
        assert answer == max(values)
    else:
        assert truth <= answer <= truth * 9 / 8


def test_percentiles_do_not_slip_a_rank_for_the_binary_fraction() -> None:
    """39.648 % of 3125 are exactly 1239, and a little more as binary fractions."""
    histogram = a_histogram()
    for value in [1_000] * 1239 + [1_000_000] * (3125 - 1239):
        histogram.record(value)

    assert histogram.percentile_ns(39.648) <= 1_125
    assert histogram.percentile_ns(39.649) == 1_000_000


def test_an_empty_histogram_says_zero_and_a_negative_duration_counts_as_zero() -> None:
    histogram = a_histogram()
    assert [histogram.percentile_ns(percent) for percent in (0, 50, 100)] == [0, 0, 0]

    for value in (-1, -300, -(2**36), -(2**40)):
        histogram.record(value)

    assert (histogram.count, histogram.max_ns, histogram.percentile_ns(50)) == (4, 0, 0)


def test_the_short_way_into_a_bucket_is_the_bucket() -> None:
    """``record`` computes the place by itself: at every bound, just below and just above it."""
    bounds = {1 << bits for bits in range(40)} | {
        (8 + sub) << bits for bits in range(4, 36) for sub in range(8)
    }
    for value_ns in sorted({bound + step for bound in bounds for step in (-1, 0, 1)} | {-5, 0}):
        words = memoryview(bytearray(8 * HISTOGRAM_WORDS)).cast("q")
        Histogram(words).record(value_ns)
        filled = [place for place in range(1, HISTOGRAM_WORDS) if words[place]]
        assert filled == [1 + _bucket(value_ns)], value_ns
