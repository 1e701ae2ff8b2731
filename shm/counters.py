"""Counters: one word each, one writing process, read by anyone at any time.

A table carries its own names, so a tool prints it without knowing who wrote it. A histogram is a
run of words: the maximum, then log-linear buckets (eight per power of two from 256 ns to about
137 s, so a percentile in between is at most one eighth too high).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from shm.segment import Segment, SegmentError

KIND_COUNTERS = 4
_SUB_BITS = 3
_SUB = 1 << _SUB_BITS
_LOWEST_BITS = 8  # everything up to 256 ns shares the first bucket
_HIGHEST_BITS = 37
_BUCKETS = 1 + (_HIGHEST_BITS - _LOWEST_BITS) * _SUB + 1  # the last one takes what is longer
_MAX, _FIRST_BUCKET = 0, 1
HISTOGRAM_WORDS = _FIRST_BUCKET + _BUCKETS
_PLACE_OF_0 = _FIRST_BUCKET + 1 - (_LOWEST_BITS + 1) * _SUB - _SUB


class CounterTable:
    """Named words of one process. ``add``/``set`` by its owner only."""

    def __init__(self, segment: Segment) -> None:
        counters, histograms, names_size = segment.geometry
        self._segment = segment
        names = json.loads(bytes(segment.data[:names_size]).rstrip(b"\0"))
        self.names: tuple[str, ...] = tuple(names["counters"])
        self.histogram_names: tuple[str, ...] = tuple(names["histograms"])
        assert (len(self.names), len(self.histogram_names)) == (counters, histograms)
        base = names_size >> 3
        self._words = segment.words[base : base + counters]
        self._index = {name: place for place, name in enumerate(self.names)}
        first = base + counters
        self._histograms = {
            name: Histogram(segment.words[start : start + HISTOGRAM_WORDS])
            for place, name in enumerate(self.histogram_names)
            for start in (first + place * HISTOGRAM_WORDS,)
        }

    @classmethod
    def create(cls, path: Path, counters: Sequence[str], histograms: Sequence[str] = ()) -> None:
        """Create a table with these names, every word 0. Raises SegmentError if it exists already."""
        names = json.dumps({"counters": list(counters), "histograms": list(histograms)}).encode()
        names += b"\0" * (-len(names) % 64)
        body_size = len(names) + 8 * (len(counters) + len(histograms) * HISTOGRAM_WORDS)
        geometry = (len(counters), len(histograms), len(names))
        Segment.create(path, KIND_COUNTERS, geometry, body_size, content=names)

    @classmethod
    def attach(cls, path: Path, *, writer: bool = False, readonly: bool = False) -> CounterTable:
        """Map an existing table. Raises SegmentError, as ``Segment.attach`` does."""
        return cls(Segment.attach(path, KIND_COUNTERS, writer=writer, readonly=readonly))

    def index(self, name: str) -> int:
        """Place of a counter, for ``add``/``set``/``get`` on a hot path. SegmentError if unknown."""
        try:
            return self._index[name]
        except KeyError:
            raise SegmentError(f"{self._segment.path} has no counter {name!r}") from None

    def add(self, index: int, amount: int = 1) -> None:
        """Raise a counter; the owning process only."""
        self._words[index] += amount

    def set(self, index: int, value: int) -> None:
        """Store a counter's value; the owning process only."""
        self._words[index] = value

    def get(self, index: int) -> int:
        """A counter's value now."""
        return self._words[index]

    def histogram(self, name: str) -> Histogram:
        """A histogram by name; its own object may record. SegmentError if unknown."""
        try:
            return self._histograms[name]
        except KeyError:
            raise SegmentError(f"{self._segment.path} has no histogram {name!r}") from None

    def snapshot(self) -> dict[str, int]:
        """Every counter by name; each is read whole, but not all at one moment."""
        return dict(zip(self.names, self._words.tolist(), strict=True))

    def close(self) -> None:
        """Unmap the table, its histograms included."""
        for histogram in self._histograms.values():
            histogram.release()
        self._words.release()
        self._segment.close()


class Histogram:
    """A latency histogram over shared words; recording allocates nothing that stays."""

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words

    def record(self, value_ns: int) -> None:
        """Count one duration. A negative one (clocks crossed) counts as 0."""
        # Every quote passes here, twice: ``_bucket`` written out, for a third less.
        words = self._words
        if value_ns > words[_MAX]:
            words[_MAX] = value_ns
        length = value_ns.bit_length()
        if _LOWEST_BITS < length <= _HIGHEST_BITS and value_ns > 0:
            words[_PLACE_OF_0 + (length << _SUB_BITS) + (value_ns >> length - 1 - _SUB_BITS)] += 1
        else:
            words[_FIRST_BUCKET + _bucket(value_ns)] += 1

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self._words[_FIRST_BUCKET:].tolist())

    @property
    def max_ns(self) -> int:
        """The longest duration recorded, exact; 0 when there is none."""
        return self._words[_MAX]

    def buckets(self) -> list[tuple[int, int]]:
        """Upper bound in ns and count of every bucket that holds something, ascending."""
        counts = self._words[_FIRST_BUCKET:].tolist()
        return [
            (min(_upper_bound_ns(bucket), self.max_ns), count) for bucket, count in enumerate(counts) if count
        ]

    def percentile_ns(self, percent: float) -> int:
        """Upper bound of the bucket that holds the percentile; 0 when nothing was recorded.

        The percentile is the smallest recorded value that at least ``percent`` of all do not
        exceed, to a thousandth of a percent.
        """
        buckets = self._words[_FIRST_BUCKET:].tolist()
        wanted = max(1, -(-sum(buckets) * round(percent * 1000) // 100_000))
        for bucket, seen in enumerate(accumulate(buckets[:-1])):
            if seen >= wanted:
                return min(_upper_bound_ns(bucket), self._words[_MAX])
        return self._words[_MAX]

    def release(self) -> None:
        """Give back the shared words, so that the table can be unmapped."""
        self._words.release()


def _bucket(value_ns: int) -> int:
    if value_ns < 1 << _LOWEST_BITS:
        return 0
    bits = value_ns.bit_length() - 1
    if bits >= _HIGHEST_BITS:
        return _BUCKETS - 1
    return 1 + (bits - _LOWEST_BITS) * _SUB + (value_ns >> bits - _SUB_BITS) - _SUB


def _upper_bound_ns(bucket: int) -> int:
    if bucket == 0:
        return 1 << _LOWEST_BITS
    octave, sub = divmod(bucket - 1, _SUB)
    return (_SUB + sub + 1) << octave + _LOWEST_BITS - _SUB_BITS
