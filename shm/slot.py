"""Slots: the latest value of each of a fixed number of things, one writer, many readers.

A slot is a seqlock. Writer: sequence odd, body, checksum, sequence even. Reader: sequence, body,
checksum, sequence again. On x86-64 stores become visible in program order, so an unchanged even
sequence proves the body whole. On a machine with weaker ordering the checksum, which covers the
body *and* the sequence it was written under, refuses a mixed body instead of believing it.

A writer killed half-way leaves an odd sequence. Readers get None, never "old but fine", until
its successor attaches and repairs the slot; a repaired slot is empty until written again.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Generic, NamedTuple, TypeVar
from zlib import crc32

from shm.segment import Segment, wrong_record_size

KIND_SLOTS = 1
_CACHE_LINE = 64
_OVERHEAD = 24  # sequence, length, checksum
_READ_ATTEMPTS = 64  # a write takes about a microsecond; past this the writer is dead or stopped
_NO_CHECKSUM = -1  # no crc32 is negative: nothing matches it


class SlotTable:
    """A table of byte slots: ``write`` by the one writer, ``read`` by anyone."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self.path = segment.path
        self.count, self.capacity, self._stride = segment.geometry
        self._words = segment.words
        self._data = segment.data

    @classmethod
    def create(cls, path: Path, *, count: int, capacity: int) -> None:
        """Create a table of ``count`` slots holding up to ``capacity`` bytes each."""
        stride = -(-(_OVERHEAD + capacity) // _CACHE_LINE) * _CACHE_LINE
        Segment.create(path, KIND_SLOTS, (count, capacity, stride), count * stride)

    @classmethod
    def attach(cls, path: Path, *, writer: bool = False, readonly: bool = False) -> SlotTable:
        """Attach; as the writer also repair what a killed predecessor left half-written."""
        table = cls(Segment.attach(path, KIND_SLOTS, writer=writer, readonly=readonly))
        if writer:
            table._repair()
        return table

    @property
    def epoch(self) -> int:
        """How many writers have attached so far."""
        return self._segment.epoch

    def sequence(self, index: int) -> int:
        """The slot's sequence word: changes with every write; odd while one is under way."""
        return self._words[index * self._stride >> 3]

    def write(self, index: int, body: bytes) -> None:
        """Replace the slot's value. AssertionError if it does not fit: our own bug."""
        size = len(body)
        assert size <= self.capacity
        assert index >= 0
        start = index * self._stride
        word = start >> 3
        words = self._words
        sequence = words[word] | 1  # not + 1: a write of ours that raised half-way left it odd
        words[word] = sequence  # odd: readers keep away
        words[word + 1] = size
        words[word + 2] = crc32(body, sequence + 1)  # crc32 takes the low 32 bits of its start
        start += _OVERHEAD
        self._data[start : start + size] = body
        # SYNC: published last. x86-64 keeps stores in order; elsewhere a release fence belongs
        # here and its acquire twin in read(); without them the checksum refuses what is mixed.
        words[word] = sequence + 1

    def read(self, index: int) -> bytes | None:
        """The latest value, or None: never written, being written by a dead writer, or repaired."""
        assert index >= 0
        start = index * self._stride
        word = start >> 3
        start += _OVERHEAD
        words = self._words
        for _ in range(_READ_ATTEMPTS):
            sequence = words[word]
            if sequence == 0:
                return None
            if sequence & 1:
                continue
            size = words[word + 1]
            if not 0 <= size <= self.capacity:
                continue  # torn: the length belongs to another write
            body = self._data[start : start + size].tobytes()
            checksum = words[word + 2]
            if words[word] != sequence:
                continue
            if checksum == crc32(body, sequence):
                return body
            if checksum == _NO_CHECKSUM:
                return None
        return None

    def close(self) -> None:
        """Unmap the table."""
        del self._words, self._data
        self._segment.close()

    def _repair(self) -> None:
        for index in range(self.count):
            word = index * self._stride >> 3
            if self._words[word] & 1:
                self._words[word + 2] = _NO_CHECKSUM
                self._words[word] += 1


R = TypeVar("R", bound=NamedTuple)


class RecordSlots(Generic[R]):
    """A slot table of one record type: packs and unpacks with the record's struct."""

    def __init__(self, table: SlotTable, struct: Struct, record: type[R]) -> None:
        if table.capacity != struct.size:
            table.close()
            raise wrong_record_size(table.path, table.capacity, struct.size)
        self.table = table
        self._struct = struct
        self._make = record._make

    def write(self, index: int, record: R) -> None:
        """Replace the record at ``index``; the one writer only."""
        self.table.write(index, self._struct.pack(*record))

    def read(self, index: int) -> R | None:
        """The latest record, or None where ``SlotTable.read`` has none."""
        body = self.table.read(index)
        return None if body is None else self._make(self._struct.unpack(body))

    def close(self) -> None:
        """Unmap the table."""
        self.table.close()
