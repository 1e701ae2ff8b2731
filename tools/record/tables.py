"""Declares a recording's tables and columns, and turns rows in memory into Arrow batches.

Every table's first column orders it. ``position`` counts within the source and shows what is missing.

    quotes.<venue>  every quote in the ring's order; position is the ring's number, 0 what stood at the start
    depth           depth books as they changed; body as in shared memory (``shm.records.unpack_depth``)
    views           everything the executor published of its pairs; position is the ring's number
    slippage        learned slippage as it changed; ``place`` is its slot
    funding         funding rates as they changed; ``place`` is the instrument
    feeds           what a feed says of itself, as it changed
    signals         every signal the detector pushed
    events          the instance's journal lines: orders, fills, trades, refusals
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, Final, NamedTuple

import pyarrow as pa

from shm.records import (
    FUNDING_VIEW,
    PAIR_VIEW,
    QUOTE,
    SIGNAL,
    SLIPPAGE_VIEW,
    FundingView,
    PairView,
    Quote,
    Signal,
    SlippageView,
)

_TYPES: Final = {"q": pa.int64(), "d": pa.float64()}
# Values that repeat: a dictionary of them is smaller than their differences.
_REPEATING: Final = frozenset(
    {"instrument_id", "flags", "writer_epoch", "venue_number", "is_connected", "pair_id", "place", "phase"}
)


class Table(NamedTuple):
    """One kind of row: words of 8 bytes, and at the end perhaps bytes of any length."""

    name: str
    struct: Struct
    columns: tuple[str, ...]
    body: str = ""  # the name of the column of bytes, if there is one

    @property
    def schema(self) -> pa.Schema:
        fields = [
            pa.field(name, _TYPES[code], nullable=False)
            for name, code in zip(self.columns, _codes(self.struct), strict=True)
        ]
        return pa.schema(fields + ([pa.field(self.body, pa.binary(), nullable=False)] if self.body else []))

    @property
    def encodings(self) -> dict[str, Any]:
        """How Parquet stores the columns: differences of what grows, dictionaries of what repeats."""
        integers = [name for name, code in zip(self.columns, _codes(self.struct), strict=True) if code == "q"]
        return {
            "use_dictionary": [name for name in self.columns if name in _REPEATING],
            "column_encoding": {name: "DELTA_BINARY_PACKED" for name in integers if name not in _REPEATING},
        }


def _codes(struct: Struct) -> str:
    """``<7q1d5q`` as one letter per column."""
    return "".join(code * int(count or 1) for count, code in re.findall(r"(\d*)([qd])", struct.format))


def _of_record(name: str, head: Sequence[str], struct: Struct, record: type[tuple[Any, ...]]) -> Table:
    """Rows that are a record of shared memory behind some words of our own."""
    columns = (*head, *record._fields)  # type: ignore[attr-defined]
    return Table(name, Struct(f"<{len(head)}q{struct.format.removeprefix('<')}"), columns)


def quotes_table(venue: str) -> Table:
    return _of_record(f"quotes.{venue}", ["position"], QUOTE, Quote)


DEPTH: Final = Table("depth", Struct("<3q"), ("at_mono_ns", "position", "instrument_id"), "body")
VIEWS: Final = _of_record("views", ["position"], PAIR_VIEW, PairView)
SLIPPAGE: Final = _of_record("slippage", ["at_mono_ns", "place"], SLIPPAGE_VIEW, SlippageView)
FUNDING: Final = _of_record("funding", ["at_mono_ns", "place"], FUNDING_VIEW, FundingView)
FEEDS: Final = Table("feeds", Struct("<4q"), ("at_mono_ns", "venue_number", "is_connected", "beat_mono_ns"))
SIGNALS: Final = _of_record("signals", ["at_mono_ns"], SIGNAL, Signal)
EVENTS: Final = Table("events", Struct("<1q"), ("at_mono_ns",), "line")


def tables(venues: Iterable[str]) -> tuple[Table, ...]:
    """Every table of a recording of these venues."""
    return (
        *(quotes_table(venue) for venue in venues),
        DEPTH,
        VIEWS,
        SLIPPAGE,
        FUNDING,
        FEEDS,
        SIGNALS,
        EVENTS,
    )


class Rows:
    """Rows waiting to be written, as the bytes they came in: taking one costs a copy."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._words = bytearray()
        self._bodies: list[bytes] = []

    def __len__(self) -> int:
        return len(self._words) // self.table.struct.size

    def add(self, words: bytes, body: bytes | None = None) -> None:
        self._words += words
        if body is not None:
            self._bodies.append(body)

    def take(self) -> pa.RecordBatch:
        """Everything added since the last call."""
        schema = self.table.schema
        columns: list[Sequence[Any]] = list(zip(*self.table.struct.iter_unpack(self._words), strict=True))
        if self.table.body:
            columns.append(self._bodies)
        batch = pa.RecordBatch.from_arrays(
            [pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)],
            schema=schema,
        )
        self._words, self._bodies = bytearray(), []
        return batch
