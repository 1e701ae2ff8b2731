"""Broadcast ring: every record in order, one writer, any number of readers, no back-pressure.

Record number n (from 1) lives in cell n mod N. Its sequence word is 2n - 1 while it is being
written and 2n when it is whole; the ``tail`` word then says n. A reader that wants n and finds a
larger sequence was overtaken: it counts what it missed and resumes at the newest record. The
writer never waits and never knows its readers.

The same ordering argument and checksum as in ``shm.slot``.
"""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from zlib import crc32

from shm.segment import Segment, wrong_record_size

KIND_BROADCAST = 2
_CURSOR_WORDS = 8  # the tail has a cache line to itself
_CELL_OVERHEAD = 16  # sequence, checksum


class _Ring:
    def __init__(self, segment: Segment, struct: Struct) -> None:
        cells, record_size, stride = segment.geometry
        if record_size != struct.size:
            segment.close()
            raise wrong_record_size(segment.path, record_size, struct.size)
        self._segment = segment
        self._words = segment.words
        self._data = segment.data
        self._mask = cells - 1
        self._stride_words = stride >> 3
        # One C call copies a body without building a slice and a view of it: a third of the cost.
        self._body = Struct(f"{record_size}s")

    @property
    def tail(self) -> int:
        """Number of the newest record; 0 before the first."""
        return self._words[0]

    @property
    def epoch(self) -> int:
        return self._segment.epoch

    def close(self) -> None:
        del self._words, self._data
        self._segment.close()

    def _cell_word(self, number: int) -> int:
        return _CURSOR_WORDS + (number & self._mask) * self._stride_words


class BroadcastWriter(_Ring):
    """The one writer. Attaching takes over where a killed predecessor stopped."""

    def __init__(self, segment: Segment, struct: Struct) -> None:
        super().__init__(segment, struct)
        following = self.tail + 1
        # Killed between the cell's last store and the tail's: the record is whole, keep it.
        if self._words[self._cell_word(following)] == 2 * following:
            self._words[0] = following

    @staticmethod
    def create(path: Path, *, cells: int, struct: Struct) -> None:
        """Create a ring of ``cells`` records; ``cells`` is a power of two."""
        assert cells & (cells - 1) == 0
        stride = -(-(_CELL_OVERHEAD + struct.size) // 64) * 64
        body_size = _CURSOR_WORDS * 8 + cells * stride
        Segment.create(path, KIND_BROADCAST, (cells, struct.size, stride), body_size)

    @classmethod
    def attach(cls, path: Path, struct: Struct) -> BroadcastWriter:
        """Take the writer's place. Raises SegmentError, as ``Segment.attach`` does."""
        return cls(Segment.attach(path, KIND_BROADCAST, writer=True), struct)

    def publish(self, body: bytes) -> int:
        """Append one packed record; return its number."""
        assert len(body) == self._body.size
        words = self._words
        number = words[0] + 1
        word = self._cell_word(number)
        words[word] = 2 * number - 1  # odd: readers keep away
        words[word + 1] = crc32(body, number)  # crc32 takes the low 32 bits of its start
        self._body.pack_into(self._data, (word << 3) + _CELL_OVERHEAD, body)
        words[word] = 2 * number  # SYNC: after the body
        words[0] = number  # SYNC: after the cell
        return number


class BroadcastReader(_Ring):
    """One reader's place in the ring. Starts behind the newest record.

    ``overtaken`` counts the records it missed, ``torn`` the reads refused by the checksum.
    """

    def __init__(self, segment: Segment, struct: Struct) -> None:
        super().__init__(segment, struct)
        self.overtaken = 0
        self.torn = 0
        self._next = self.tail + 1

    @classmethod
    def attach(cls, path: Path, struct: Struct, *, readonly: bool = False) -> BroadcastReader:
        """Begin behind the newest record. Raises SegmentError, as ``Segment.attach`` does."""
        return cls(Segment.attach(path, KIND_BROADCAST, readonly=readonly), struct)

    @property
    def position(self) -> int:
        """Number of the record polled last, or of the newest one when this reader began."""
        return self._next - 1

    def has_more(self) -> bool:
        """Whether ``poll`` would return a record, or count one as overtaken."""
        return self._words[self._cell_word(self._next)] >= 2 * self._next

    def poll(self) -> bytes | None:
        """The next record, packed, or None when there is none yet."""
        words = self._words
        while True:
            number = self._next
            word = self._cell_word(number)
            sequence = words[word]
            if sequence < 2 * number:
                return None
            if sequence == 2 * number:
                body: bytes = self._body.unpack_from(self._data, (word << 3) + _CELL_OVERHEAD)[0]
                checksum = words[word + 1]
                if words[word] == sequence:
                    if checksum == crc32(body, number):
                        self._next = number + 1
                        return body
                    # Cannot happen where stores stay in order; elsewhere the body lags behind.
                    self.torn += 1
                    return None
            self._resume_at_newest(number)

    def _resume_at_newest(self, number: int) -> None:
        # The tail may lag behind the cell that overtook us; at least one record is lost.
        newest = max(self.tail, number + 1)
        self.overtaken += newest - number
        self._next = newest
