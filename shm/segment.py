"""One mapped file: a header both sides check, then a body of aligned 8-byte words.

Header, eight words: ready mark, layout version, kind, body size in bytes, writer epoch, and three
words of geometry whose meaning belongs to the kind. The ready mark is stored last, so nobody
attaches to half a segment. Only the supervisor creates and removes files; processes attach.

Everything two processes share word by word (sequences, cursors, flags, heartbeats) goes through
``words``, a ``memoryview.cast("q")``: CPython stores such an item as one aligned 8-byte move.
``struct.pack_into`` zeroes before it writes and is never used on a polled word.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path
from struct import Struct

LAYOUT_VERSION = 1  # raise with any change of a record, a header or a table below
READY = 0x4D45444E4154  # "TANDEM"
HEADER_WORDS = 8
HEADER_SIZE = HEADER_WORDS * 8
_READY, _VERSION, _KIND, _BODY_SIZE, _EPOCH, _GEOMETRY = 0, 1, 2, 3, 4, 5
GEOMETRY_WORDS = 3

# Locks of the open file description on one byte of the file per place. Unlike fcntl.lockf's they
# survive this process closing another descriptor of the file, and they end with the mapping: at
# close, at death, never later, because no program started with exec inherits the descriptor. A
# fork without exec would share them, as it shares the memory; our processes do not fork.
_WRITER_PLACE, _READER_PLACE = 0, 1
_STRUCT_FLOCK = Struct("hhqqi")  # type, whence, start, length, pid


class SegmentError(Exception):
    """A shared-memory file cannot be used as asked; the text says which and what to do."""


class Segment:
    """A mapped shared-memory file.

    ``words`` covers the body as signed 64-bit items, ``data`` the same bytes. ``geometry`` is
    what the creator wrote. ``epoch`` counts writers: 0 before the first one attached.
    """

    def __init__(self, path: Path, mapping: mmap.mmap, lock_fd: int | None) -> None:
        self.path = path
        self._mapping = mapping
        self._lock_fd = lock_fd
        self._view = memoryview(mapping)
        self._header = self._view[:HEADER_SIZE].cast("q")
        self.data = self._view[HEADER_SIZE:]
        self.words = self.data.cast("q")
        self.geometry = tuple(self._header[_GEOMETRY : _GEOMETRY + GEOMETRY_WORDS])

    @property
    def epoch(self) -> int:
        """How many writers have attached so far."""
        return self._header[_EPOCH]

    @classmethod
    def create(
        cls,
        path: Path,
        kind: int,
        geometry: tuple[int, int, int],
        body_size: int,
        content: bytes = b"",
    ) -> None:
        """Create the file; its body begins with ``content``, the rest is zero.

        Raises SegmentError if it exists already or there is no room; then nothing is left of it.
        """
        assert body_size % 8 == 0
        assert len(content) <= body_size
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileExistsError as error:
            raise SegmentError(
                f"{path} exists already: stop the instance that uses it, or remove it if that crashed"
            ) from error
        try:
            # posix_fallocate, not truncate: a full /dev/shm fails here, not as SIGBUS on first touch.
            try:
                os.posix_fallocate(fd, 0, HEADER_SIZE + body_size)
            except OSError as error:
                os.unlink(path)
                raise SegmentError(
                    f"{path}: no room for {HEADER_SIZE + body_size} bytes ({error.strerror}); "
                    f"free some of {path.parent} or enlarge it"
                ) from error
            with mmap.mmap(fd, HEADER_SIZE + body_size) as mapping:
                header = memoryview(mapping)[:HEADER_SIZE].cast("q")
                header[_VERSION], header[_KIND], header[_BODY_SIZE] = LAYOUT_VERSION, kind, body_size
                header[_GEOMETRY], header[_GEOMETRY + 1], header[_GEOMETRY + 2] = geometry
                mapping[HEADER_SIZE : HEADER_SIZE + len(content)] = content
                header[_READY] = READY  # SYNC: last, see the module's docstring
                header.release()
        finally:
            os.close(fd)

    @classmethod
    def attach(
        cls, path: Path, kind: int, *, writer: bool = False, reader: bool = False, readonly: bool = False
    ) -> Segment:
        """Map an existing file.

        ``writer`` takes the writer's place until close or death, so a second writer is refused,
        and raises the epoch. ``reader`` takes the reader's place where there is one reader only;
        without either, anyone may attach. Raises SegmentError for a missing, half-made or foreign
        file, another layout version or kind, or a place already taken.
        """
        assert not (readonly and (writer or reader))
        try:
            fd = os.open(path, (os.O_RDONLY if readonly else os.O_RDWR) | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise SegmentError(f"{path} does not exist: the supervisor creates it at start") from error
        except PermissionError as error:
            raise SegmentError(f"{path} belongs to another user: run as the one who started it") from error
        keep_fd = False
        try:
            size = os.fstat(fd).st_size
            if size < HEADER_SIZE:
                raise SegmentError(
                    f"{path} is not a finished Tandem segment ({size} bytes are less than a header): "
                    "its creator is still at work, or died; then remove the directory and start again"
                )
            access = mmap.ACCESS_READ if readonly else mmap.ACCESS_WRITE
            mapping = mmap.mmap(fd, size, access=access)
            try:
                _check_header(path, mapping, kind, size)
                if writer:
                    _take_place(path, fd, _WRITER_PLACE, "writer")
                if reader:
                    _take_place(path, fd, _READER_PLACE, "reader")
                keep_fd = writer or reader
            except SegmentError:
                mapping.close()
                raise
        finally:
            if not keep_fd:
                os.close(fd)
        segment = cls(path, mapping, fd if keep_fd else None)
        if writer:
            segment._header[_EPOCH] += 1
        return segment

    def close(self) -> None:
        """Unmap. The objects built on this segment must not be used any more."""
        for view in (self.words, self.data, self._header, self._view):
            view.release()
        self._mapping.close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None


def wrong_record_size(path: Path, found: int, expected: int) -> SegmentError:
    """The error for a file whose records are not the size this code packs."""
    return SegmentError(
        f"{path} holds records of {found} bytes, this code has {expected}: "
        "stop the running instance before starting another version"
    )


def _check_header(path: Path, mapping: mmap.mmap, kind: int, size: int) -> None:
    with memoryview(mapping)[:HEADER_SIZE].cast("q") as header:
        if header[_READY] != READY:
            raise SegmentError(
                f"{path} is not a finished Tandem segment (no ready mark): "
                "its creator is still at work, or died; then remove the directory and start again"
            )
        if header[_VERSION] != LAYOUT_VERSION:
            raise SegmentError(
                f"{path} has layout version {header[_VERSION]}, this code speaks {LAYOUT_VERSION}: "
                "stop the running instance before starting another version"
            )
        if header[_KIND] != kind:
            raise SegmentError(
                f"{path} holds kind {header[_KIND]}, expected {kind}: "
                "the file was swapped; stop the instance, remove the directory and start again"
            )
        if HEADER_SIZE + header[_BODY_SIZE] != size:
            raise SegmentError(
                f"{path} has {size} bytes, its header promises {HEADER_SIZE + header[_BODY_SIZE]}: "
                "the file was cut or replaced; stop the instance, remove the directory and start again"
            )


def _take_place(path: Path, fd: int, place: int, who: str) -> None:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _STRUCT_FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
    except BlockingIOError as error:
        raise SegmentError(
            f"{path} has a living {who} already: stop that process before starting another"
        ) from error
