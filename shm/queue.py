"""Queue ring: messages from one process to one other, in order, nothing ever overwritten.

``tail`` counts the bytes ever written, ``head`` the bytes ever consumed; both only grow, and each
has one writer. A message is one word (length and checksum) and its bytes, padded to 8; a message
that would straddle the end is preceded by a skip mark. A full ring refuses the message, and
``refused`` counts it: what then happens is the sender's decision, never silence.

The tail is stored after the message, and x86-64 keeps stores in order. Checksum and skip mark
also cover the position, so where stores are reordered neither half a message nor one left from
the ring's previous round is believed: the reader tries again.

A killed writer loses only the message it had not published. A reader advances ``head`` when it
has dealt with what it read (``commit``), so a killed reader's successor reads that again.
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

from shm.segment import Segment

KIND_QUEUE = 3
_TAIL, _REFUSED, _HEAD = 0, 1, 8  # writer's and reader's words on different cache lines
_CURSOR_WORDS = 16
_LENGTH_BITS = 24
_LENGTH_MASK = (1 << _LENGTH_BITS) - 1


class _Queue:
    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._words = segment.words
        self._data = segment.data
        self.capacity = segment.geometry[0]
        self._mask = self.capacity - 1

    @property
    def used(self) -> int:
        """Bytes waiting; a reading, exact only in the writer or the reader itself."""
        return self._words[_TAIL] - self._words[_HEAD]

    @property
    def refused(self) -> int:
        """Messages refused because the ring was full."""
        return self._words[_REFUSED]

    def close(self) -> None:
        del self._words, self._data
        self._segment.close()


class QueueWriter(_Queue):
    @staticmethod
    def create(path: Path, *, capacity: int) -> None:
        """Create a ring of ``capacity`` bytes, a power of two."""
        assert capacity & (capacity - 1) == 0
        Segment.create(path, KIND_QUEUE, (capacity, 0, 0), _CURSOR_WORDS * 8 + capacity)

    @classmethod
    def attach(cls, path: Path) -> QueueWriter:
        """Take the writer's place. Raises SegmentError, as ``Segment.attach`` does."""
        return cls(Segment.attach(path, KIND_QUEUE, writer=True))

    def push(self, message: bytes) -> bool:
        """Append; False when it does not fit now (counted in ``refused``).

        Raises ValueError for an empty message or one the ring could never hold.
        """
        length = len(message)
        needed = 8 + (length + 7 & ~7)
        if not 0 < length <= _LENGTH_MASK or needed > self.capacity // 2:
            raise ValueError(f"{self._segment.path}: a message of {length} bytes cannot be queued")
        words = self._words
        tail = words[_TAIL]
        to_end = self.capacity - (tail & self._mask)
        skipped = to_end if needed > to_end else 0
        if tail + skipped + needed - words[_HEAD] > self.capacity:
            words[_REFUSED] += 1
            return False
        if skipped:
            words[_CURSOR_WORDS + ((tail & self._mask) >> 3)] = ~tail  # the skip mark: no message is < 0
            tail += skipped
        offset = tail & self._mask
        start = _CURSOR_WORDS * 8 + offset + 8
        self._data[start : start + length] = message
        words[_CURSOR_WORDS + (offset >> 3)] = crc32(message, tail) << _LENGTH_BITS | length
        words[_TAIL] = tail + needed  # SYNC: after the message
        return True


class _Follower(_Queue):
    """A place in the ring. ``torn`` counts the reads refused by the checksum."""

    def __init__(self, segment: Segment, first_word: int) -> None:
        super().__init__(segment)
        self.torn = 0
        self._cursor = self._words[first_word]

    def has_more(self) -> bool:
        return self._words[_TAIL] != self._cursor

    def poll(self) -> bytes | None:
        """The next message, or None."""
        words = self._words
        cursor = self._cursor
        if words[_TAIL] == cursor:
            return None
        offset = cursor & self._mask
        word = words[_CURSOR_WORDS + (offset >> 3)]
        if word == ~cursor:
            cursor += self.capacity - offset
            offset = 0
            word = words[_CURSOR_WORDS]
        length = word & _LENGTH_MASK
        start = _CURSOR_WORDS * 8 + offset + 8
        message = self._data[start : start + length].tobytes()
        if crc32(message, cursor) != word >> _LENGTH_BITS:
            # Cannot happen where stores stay in order; elsewhere the bytes lag behind the tail.
            self.torn += 1
            return None
        self._cursor = cursor + 8 + (length + 7 & ~7)
        return message


class QueueReader(_Follower):
    """The one reader. What it has polled counts as unread until ``commit``."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _HEAD)

    @classmethod
    def attach(cls, path: Path) -> QueueReader:
        """Take the reader's place, behind what was read last. Raises SegmentError, as ``Segment.attach``
        does."""
        return cls(Segment.attach(path, KIND_QUEUE, reader=True))

    def commit(self) -> None:
        """Give the space of everything polled so far back to the writer."""
        self._words[_HEAD] = self._cursor

    @property
    def cursor(self) -> int:
        """Bytes polled so far: the place to ``resume_at`` for who has kept everything until here."""
        return self._cursor

    def resume_at(self, cursor: int) -> None:
        """Poll on from a ``cursor`` noted by an earlier reader, if it is ahead of what was committed."""
        if self._words[_HEAD] <= cursor <= self._words[_TAIL]:
            self._cursor = cursor


class QueueTap(_Follower):
    """Looks over the reader's shoulder: takes no place and gives no space back. Begins at the newest message.

    What the reader has taken may be overwritten before the tap has seen it: ``missed_bytes`` counts that.
    """

    def __init__(self, segment: Segment) -> None:
        super().__init__(segment, _TAIL)
        self.missed_bytes = 0

    @classmethod
    def attach(cls, path: Path) -> QueueTap:
        """Look at a queue from its newest record on. Raises SegmentError, as ``Segment.attach`` does."""
        return cls(Segment.attach(path, KIND_QUEUE, readonly=True))

    def poll(self) -> bytes | None:
        """The next message, or None: there is none, or it was overwritten while it was looked at."""
        behind = self._words[_TAIL] - self._cursor
        if behind > self.capacity:
            self.missed_bytes += behind
            self._cursor += behind
        return super().poll()
