"""A recording, read back in the order in which things happened."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import pyarrow.compute as pc

from settings import Settings, parse_settings
from shm.records import Quote, Signal
from tools.record.files import MANIFEST, read_batches, read_manifest, size_of, unreadable
from tools.record.integrity import what_is_missing
from tools.record.tables import (
    DEPTH,
    EVENTS,
    FEEDS,
    FUNDING,
    SIGNALS,
    SLIPPAGE,
    VIEWS,
    Table,
    quotes_table,
    tables,
)
from venues.contract import Instrument

_DEPTH_RECV: Final = slice(16, 24)  # recv_mono_ns within a packed depth book, see shm.records


class Kind(IntEnum):
    """What a row is. At one instant they come in this order.

    A quote is decided on what stood before it; a view published in the same instant came of it.
    """

    FEED = 0  # venue, is_connected, beat_mono_ns
    FUNDING = 1  # place, FundingView's values
    SLIPPAGE = 2  # place, SlippageView's values
    DEPTH = 3  # instrument_id, body
    STANDING = 4  # a Quote that stood when the recording began: nothing is decided on it
    QUOTE = 5  # Quote's values
    VIEW = 6  # PairView's values


class Row(NamedTuple):
    at_mono_ns: int
    kind: Kind
    values: Any


class Coverage(NamedTuple):
    """What a recording holds. ``lost_quotes`` were overtaken, or passed while no recorder ran."""

    begin_mono_ns: int
    end_mono_ns: int
    quotes: int
    lost_quotes: int
    signals: int
    quote_bytes: int

    @property
    def seconds(self) -> float:
        return (self.end_mono_ns - self.begin_mono_ns) / 1e9


class Recording:
    """One directory of ``tools record``. Raises SettingsError for anything else, and for what is damaged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        manifest = read_manifest(directory)
        try:
            self.run_id: str = manifest["run_id"]
            self.raw_settings: dict[str, Any] = manifest["settings"]
            self.settings: Settings = parse_settings(self.raw_settings, str(directory))
            self.instruments = tuple(Instrument(*item) for item in manifest["instruments"])
            self.unix_minus_mono_ns: int = manifest["began_unix_ns"] - manifest["began_mono_ns"]
            self.venues: tuple[str, ...] = tuple(manifest["venues"])
        except (KeyError, TypeError, AttributeError) as error:
            raise unreadable(directory / MANIFEST, f"{type(error).__name__}: {error}") from error
        # What was recorded and is not there, one sentence each, printed beside the figures.
        self.missing = what_is_missing(directory, manifest, self.venues, tables(self.venues))
        self._seen_mono_ns: Mapping[tuple[int, int], int] | None = None

    def signals(self) -> Iterator[Signal]:
        for values in self._values(SIGNALS):
            yield Signal(*values[1:])

    def events(self) -> Iterator[tuple[int, bytes]]:
        """The journal's lines with their time, as they were written."""
        yield from self._values(EVENTS)

    def coverage(self) -> Coverage:
        begin, end, count, lost, size = 0, 0, 0, 0, 0
        for venue in self.venues:
            table, before = quotes_table(venue), 0
            size += size_of(self.directory, table)
            for batch in read_batches(self.directory, table):
                live = batch.filter(pc.greater(batch["position"], 0))
                if not live.num_rows:
                    continue
                first, last = live["position"][0].as_py(), live["position"][-1].as_py()
                lost += last - (before or first - 1) - live.num_rows
                before = last
                count += live.num_rows
                published = live["publish_mono_ns"]
                begin = min(begin or published[0].as_py(), published[0].as_py())
                end = max(end, published[-1].as_py())
        return Coverage(begin, end, count, lost, sum(1 for _ in self.signals()), size)

    def rows(self, *, with_views: bool) -> Iterator[Row]:
        """Everything that was seen, in order. ``with_views``: what the recorded executor published, too.

        A quote's time is when the detector saw it: that is known where a signal came of it, and
        otherwise taken to be the usual time after it was published.
        """
        funding = self._records(FUNDING, Kind.FUNDING, "at_mono_ns", 1)
        streams = [self._feeds(), funding, self._depth(), *(self._quotes(venue) for venue in self.venues)]
        if with_views:
            streams += [self._records(VIEWS, Kind.VIEW, "updated_mono_ns", 1)]
            streams += [self._records(SLIPPAGE, Kind.SLIPPAGE, "at_mono_ns", 1)]
        return heapq.merge(*streams, key=lambda row: row[:2])

    def first_slippage(self) -> list[tuple[int, Any]]:
        """Place and values of what had been learned when the recording began."""
        found: dict[int, Any] = {}
        for _, place, *values in self._values(SLIPPAGE):
            if place in found:
                break
            found[place] = values
        return sorted(found.items())

    # --- streams, each in the order of its times ---

    def _quotes(self, venue: str) -> Iterator[Row]:
        seen_mono_ns, usual_ns = self._seen()
        publish = Quote._fields.index("publish_mono_ns") + 1
        recv = Quote._fields.index("recv_mono_ns") + 1
        last_ns = 0
        for values in self._values(quotes_table(venue)):
            published_ns = values[publish]
            if not values[0]:
                yield Row(last_ns, Kind.STANDING, values[1:])
                continue
            at_ns = seen_mono_ns.get((values[recv], published_ns), published_ns + usual_ns)
            last_ns = max(last_ns, at_ns)
            yield Row(last_ns, Kind.QUOTE, values[1:])

    def _seen(self) -> tuple[Mapping[tuple[int, int], int], int]:
        """When the detector saw the quotes that became signals, and how long that usually took."""
        if self._seen_mono_ns is None:
            signals = list(self.signals())
            self._seen_mono_ns = {
                (signal.recv_mono_ns, signal.publish_mono_ns): signal.seen_mono_ns for signal in signals
            }
        waits = [seen - published for (_, published), seen in self._seen_mono_ns.items()]
        return self._seen_mono_ns, int(median(waits)) if waits else 0

    def _depth(self) -> Iterator[Row]:
        last_ns = 0
        for at_mono_ns, _, instrument_id, body in self._values(DEPTH):
            # In the slot since shortly after its frame came, and no later than it was found there.
            recv_mono_ns = int.from_bytes(body[_DEPTH_RECV], "little")
            last_ns = max(last_ns, min(recv_mono_ns or at_mono_ns, at_mono_ns))
            yield Row(last_ns, Kind.DEPTH, (instrument_id, body))

    def _feeds(self) -> Iterator[Row]:
        for at_mono_ns, number, is_connected, beat_mono_ns in self._values(FEEDS):
            yield Row(at_mono_ns, Kind.FEED, (self.venues[number], is_connected, beat_mono_ns))

    def _records(self, table: Table, kind: Kind, time_column: str, head: int) -> Iterator[Row]:
        place, last_ns = table.columns.index(time_column), 0
        for values in self._values(table):
            last_ns = max(last_ns, values[place])
            yield Row(last_ns, kind, values[head:])

    def _values(self, table: Table) -> Iterator[Any]:
        for batch in read_batches(self.directory, table):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def missing_text(recording: Recording) -> str:
    """What is missing as lines to be printed beside the figures; empty where all is there."""
    if not recording.missing:
        return ""
    lines = "".join(f"  {item}\n" for item in recording.missing)
    return f"INCOMPLETE: these figures are of what is left; not there is\n{lines}\n"
