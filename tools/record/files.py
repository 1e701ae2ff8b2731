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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from settings import Problem, SettingsError
from tools.record.tables import Table

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
_GROWING, _DONE = ".arrows", ".parquet"
_ROWS_PER_GROUP: Final = 1 << 16
_COMPRESSED: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class Piece:
    """One growing piece of one table."""

    def __init__(self, directory: Path, table: Table, number: int) -> None:
        self._table = table
        self._path = directory / f"{table.name}.{number:06}{_GROWING}"
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
    done = path.with_suffix(_DONE)
    unfinished = done.with_suffix(".tmp")
    whole = pa.Table.from_batches(list(_batches_of_stream(path)), schema=table.schema)
    # One row group lies in one stretch of time, and its statistics say which.
    pq.write_table(
        whole.combine_chunks(),
        unfinished,
        compression="zstd",
        row_group_size=_ROWS_PER_GROUP,
        **table.encodings,
    )
    unfinished.replace(done)
    return done.stat().st_size


def finish_left_over(directory: Path, tables: tuple[Table, ...]) -> None:
    """Make Parquet of what an earlier recorder left growing."""
    for table in tables:
        for path in sorted(directory.glob(f"{table.name}.*{_GROWING}")):
            if not path.with_suffix(_DONE).exists() and any(_batches_of_stream(path)):
                pack(path, table)
            path.unlink()


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
    names = [path.name for path in directory.iterdir() if path.suffix in (_GROWING, _DONE)]
    return 1 + max((int(name.split(".")[-2]) for name in names), default=0)


def read_batches(directory: Path, table: Table) -> Iterator[pa.RecordBatch]:
    """Every batch of a table, oldest first; a recorder may be writing meanwhile."""
    stems = sorted({path.stem for path in directory.glob(f"{table.name}.*") if path.suffix != ".tmp"})
    for stem in stems:
        done = directory / (stem + _DONE)
        if done.exists():
            with pq.ParquetFile(done) as file:
                yield from file.iter_batches()
        else:
            yield from _batches_of_stream(directory / (stem + _GROWING))


def size_of(directory: Path, table: Table) -> int:
    """Bytes a table takes on disk."""
    return sum(path.stat().st_size for path in directory.glob(f"{table.name}.*"))


def _batches_of_stream(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a growing piece; what was cut off by its writer's death is left out."""
    with path.open("rb") as file:
        try:
            yield from pa.ipc.open_stream(file)
        except (pa.ArrowInvalid, OSError, EOFError):
            return  # cut short within a batch, or before the head was whole


def write_manifest(directory: Path, manifest: dict[str, Any]) -> None:
    unfinished = directory / "manifest.tmp"
    unfinished.write_text(json.dumps({"format": FORMAT, **manifest}, indent=1) + "\n")
    unfinished.replace(directory / MANIFEST)


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
