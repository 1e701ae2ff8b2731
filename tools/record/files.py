"""The files of a recording: pieces that grow, and pieces that are done.

A piece that grows (``<table>.<number>.arrows``) is an Arrow stream: every batch written is whole by
itself, so a recorder killed at any instruction has lost what it had not yet written and no more. A
piece that is done becomes Parquet, by rename; then the stream is removed. Where both are found, the
recorder died in between, and the Parquet file is the whole of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from runtime.atomic_file import write_atomically
from settings import Problem, SettingsError
from tools.record.tables import Table

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_GROWING, DONE = ".arrows", ".parquet"
_NUMBER: Final = re.compile(r"\.(\d{6,})(?:\.arrows|\.parquet)\Z")
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ROWS_PER_GROUP: Final = 1 << 16
_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class Piece:
    """One growing piece of one table."""

    def __init__(self, directory: Path, table: Table, number: int) -> None:
        self._table = table
        self.name = f"{table.name}.{number:06}"
        self._path = directory / (self.name + _GROWING)
        self._file = self._path.open("xb")
        self._stream = pa.ipc.new_stream(self._file, table.schema, options=_COMPRESSED)
        self.rows = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """The batch is with the kernel when this returns."""
        self._stream.write_batch(batch)
        self._file.flush()
        self.rows += batch.num_rows

    @property
    def size(self) -> int:
        return self._file.tell()

    def finish(self) -> int:
        """Make it Parquet; return that file's size. A piece without rows leaves nothing."""
        self._stream.close()
        self._file.close()
        size = pack(self._path, self._table) if self.rows else 0
        self._path.unlink()
        return size


def pack(path: Path, table: Table) -> int:
    """Write what a growing piece holds as Parquet, whole or not at all; return the size."""
    done = path.with_suffix(DONE)
    unfinished = done.with_suffix(".tmp")
    whole = pa.Table.from_batches(list(_batches_of_stream(path)), schema=table.schema)
    # One row group lies in one stretch of time, and its statistics say which.
    pq.write_table(
        whole.combine_chunks(),
        unfinished,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
        write_page_checksum=True,
        **table.encodings,
    )
    unfinished.replace(done)
    return done.stat().st_size


def finish_left_over(directory: Path, tables: tuple[Table, ...]) -> list[str]:
    """Make Parquet of what an earlier recorder left growing; return the names of these pieces."""
    names = []
    for table in tables:
        for path in directory.glob(f"{table.name}.*{_GROWING}"):
            done = path.with_suffix(DONE)
            if not done.exists() and any(_batches_of_stream(path)):
                pack(path, table)
            names.append(path.stem)
            path.unlink()
    return names


def take_place(directory: Path) -> int:
    """Be the one recorder of a directory, until the descriptor is closed. Raises SettingsError."""
    fd = os.open(directory / "recorder.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        problem = Problem("", "", "is being recorded already: stop the other recorder, or give --out DIR")
        raise SettingsError(str(directory), [problem]) from None
    return fd


def next_number(directory: Path) -> int:
    """The number of the next pieces."""
    numbers = [int(found[1]) for path in directory.iterdir() if (found := _NUMBER.search(path.name))]
    return 1 + max(numbers, default=0)


def pieces_of(directory: Path, table: Table) -> list[Path]:
    """A table's pieces, oldest first, each once; files with other names are not ours."""
    found: dict[int, Path] = {}
    for path in sorted(directory.glob(f"{table.name}.*")):  # the Parquet file comes after its stream
        number = _NUMBER.search(path.name)
        if number and path.name.startswith(f"{table.name}.{number[1]}."):
            found[int(number[1])] = path
    return [found[number] for number in sorted(found)]


def read_batches(directory: Path, table: Table) -> Iterator[pa.RecordBatch]:
    """Every batch of a table, oldest first; a recorder may be writing meanwhile. Raises SettingsError for a
    file that is not as it was written."""
    for path in pieces_of(directory, table):
        try:
            if path.suffix == DONE:
                with pq.ParquetFile(path, page_checksum_verification=True) as file:
                    for batch in file.iter_batches():
                        if batch.schema.remove_metadata() != table.schema:
                            raise unreadable(path, f"holds other columns than {table.name}")
                        yield batch
            else:
                yield from _batches_of_stream(path)
        except FileNotFoundError:
            raise unreadable(path, "was taken away while it was read") from None
        except (pa.ArrowException, OSError, EOFError) as error:
            raise unreadable(path, str(error)) from error


def checksum_of(path: Path) -> int:
    """CRC-32 of a whole file."""
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return checksum


def is_ended(path: Path) -> bool:
    """Whether a piece was written to its end."""
    if path.suffix == DONE:
        return True
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(_END_OF_STREAM)))
        return file.read() == _END_OF_STREAM


def unreadable(path: Path, why: str) -> SettingsError:
    """A file of a recording that cannot be read, with what to do about it."""
    why = " ".join(why.split())[:200]
    remedy = f"cannot be read: {why}. Copy it again from where it was recorded, or remove it to read the rest"
    return SettingsError(str(path), [Problem("", "", remedy)])


def size_of(directory: Path, table: Table) -> int:
    """Bytes a table takes on disk."""
    return sum(path.stat().st_size for path in directory.glob(f"{table.name}.*"))


def _batches_of_stream(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a growing piece; what was cut off by its writer's death is left out."""
    with path.open("rb") as file:
        try:
            yield from pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError, EOFError):
            return  # cut short within a batch, or before the head was whole: ``is_ended`` says so


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    """Replace the recording's manifest; a recording may be shared, so its mode is the user's own."""
    text = json.dumps({"format": FORMAT, **manifest}, indent=1) + "\n"
    write_atomically(directory / MANIFEST, text, mode=0o666)


def read_manifest(directory: Path) -> dict[str, Any]:
    """Raises SettingsError for what is no recording, or one of another format."""
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        remedy = "is no recording: give a directory that python -m tools record has made"
        raise SettingsError(str(directory), [Problem(MANIFEST, "", remedy)]) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        problem = Problem("format", repr(found), f"this version reads format {FORMAT}")
        raise SettingsError(str(path), [problem])
    return manifest
