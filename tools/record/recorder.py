"""Reads a running instance's memory and keeps all of it: quotes, depth, views, signals, events.

Attached read-only: rings are read beside their readers, slots are read when their sequence word has
changed, the signal queue is looked at over the executor's shoulder, and what happened to orders comes
from the journal. Taking a row is a copy of its bytes; everything else is done a few seconds later.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa

from monitoring.journal_tail import JournalTail
from persistence.journal import journal_directory
from runtime.clock import Clock, SystemClock
from settings import PROJECT, parse_settings
from shm.layout import Memory
from shm.records import QUOTE
from shm.slot import SlotTable
from tools.record.files import (
    DONE,
    MANIFEST,
    Piece,
    checksum_of,
    finish_left_over,
    next_number,
    read_manifest,
    take_place,
    write_manifest,
)
from tools.record.integrity import PIECES
from tools.record.tables import Rows, tables

_WORD, _TWO, _THREE, _FOUR = (Struct(f"<{count}q") for count in (1, 2, 3, 4))
_SELDOM_NS: Final = 20_000_000  # beats come four times a second, slippage with each trade
_JOURNAL_NS: Final = 1_000_000_000


class Limits(NamedTuple):
    """When rows are written, and when pieces are done."""

    flush_s: float = 5.0
    piece_s: float = 3_600.0
    piece_bytes: int = 64 << 20


class _Slots:
    """Slots of one table, each read when it has changed."""

    def __init__(self, table: SlotTable, places: tuple[int, ...]) -> None:
        self._table = table
        self._places = places
        self._seen = dict.fromkeys(places, 0)
        self.missed = 0

    def changed(self, take: Callable[[int, int, bytes], None]) -> None:
        """``take(place, number of the write, body)`` for each slot written since it was read."""
        for place in self._places:
            sequence = self._table.sequence(place)
            if sequence == self._seen[place] or sequence & 1:
                continue
            body = self._table.read(place)
            sequence = self._table.sequence(place) & ~1
            if self._seen[place]:
                self.missed += max(0, (sequence - self._seen[place]) // 2 - 1)
            self._seen[place] = sequence
            if body is not None:
                take(place, sequence // 2, body)

    def close(self) -> None:
        self._table.close()


class Recorder:
    """One recording of one instance. ``poll`` often, ``write_if_due`` after it, ``close`` at the end."""

    def __init__(
        self, memory_directory: Path, parent: Path | None, limits: Limits, clock: Clock | None = None
    ) -> None:
        """``parent`` None: recordings/ beside the instance's journal. SegmentError without an instance."""
        self._clock = clock or SystemClock()
        memory = Memory(memory_directory)
        self._launch = json.loads((memory_directory / "launch.json").read_text())
        settings = parse_settings(self._launch["settings"], "launch.json")
        var_dir = PROJECT / settings.persistence.var_dir
        self.run_id: str = self._launch["run_id"]
        self.directory = (parent or var_dir / "recordings") / self.run_id
        self._limits = limits
        self._venues = settings.venue_names
        self._rings = {venue: memory.quotes_reader(venue, readonly=True) for venue in self._venues}
        ids = {venue: tuple(settings.watched_ids(venue).values()) for venue in self._venues}
        self._depth = {venue: _Slots(memory.depth(venue), ids[venue]) for venue in self._venues}
        self._views = memory.views_reader()
        self._funding = _Slots(memory.funding().table, tuple(range(memory.plan.instrument_count)))
        self._slippage = _Slots(memory.slippage().table, tuple(range(2 * memory.plan.instrument_count)))
        self._signals = memory.signals_tap()
        self._feeds = {venue: memory.counters(f"feed-{venue}") for venue in self._venues}
        self._feeds_seen: dict[str, tuple[int, int]] = {}
        self._began_mono_ns = self._clock.mono_ns()
        self._journal = JournalTail(journal_directory(settings), None)
        self._tables = tables(self._venues)
        self._rows = {table.name: Rows(table) for table in self._tables}
        self.taken: dict[str, int] = dict.fromkeys(self._rows, 0)
        self.bytes_written = 0
        self._quote_bytes = 0
        self._next_seldom_ns = self._next_journal_ns = self._next_flush_ns = 0
        self._open()
        self._take_what_stands(memory, ids)
        self._begin_pieces()

    @property
    def overtaken(self) -> int:
        """Quotes that were overwritten before they could be read."""
        return sum(ring.overtaken for ring in self._rings.values())

    @property
    def quote_bytes(self) -> float:
        """Bytes on disk per quote, of the pieces that are done."""
        quotes = sum(self.taken[f"quotes.{venue}"] for venue in self._venues)
        return self._quote_bytes / quotes if quotes else 0.0

    @property
    def missed(self) -> dict[str, int]:
        """What was lost or replaced before it could be read."""
        return {
            "quotes": self.overtaken,
            "depth": sum(slots.missed for slots in self._depth.values()),
            "views": self._views.overtaken,
            "signal_bytes": self._signals.missed_bytes,
        }

    def poll(self) -> None:
        """Take what is there now."""
        now_mono_ns = self._clock.mono_ns()
        for venue, ring in self._rings.items():
            if ring.has_more():
                rows = self._rows[f"quotes.{venue}"]
                while (body := ring.poll()) is not None:
                    rows.add(_WORD.pack(ring.position) + body)
        views = self._rows["views"]
        while (body := self._views.poll()) is not None:
            views.add(_WORD.pack(self._views.position) + body)
        depth, signals = self._rows["depth"], self._rows["signals"]
        for slots in self._depth.values():
            slots.changed(
                lambda place, number, body: depth.add(_THREE.pack(now_mono_ns, number, place), body)
            )
        while (body := self._signals.poll()) is not None:
            signals.add(_WORD.pack(now_mono_ns) + body)
        if now_mono_ns >= self._next_seldom_ns:
            self._next_seldom_ns = now_mono_ns + _SELDOM_NS
            self._poll_seldom(now_mono_ns)

    def write_if_due(self) -> None:
        """Write what was taken once ``flush_s`` have passed, and begin new pieces when it is time."""
        now_mono_ns = self._clock.mono_ns()
        if now_mono_ns < self._next_flush_ns:
            return
        self._next_flush_ns = now_mono_ns + int(self._limits.flush_s * 1e9)
        self._flush()
        is_old = now_mono_ns - self._pieces_began_mono_ns >= self._limits.piece_s * 1e9
        if is_old or sum(piece.size for piece in self._pieces.values()) >= self._limits.piece_bytes:
            self._finish_pieces()
            self._begin_pieces()

    def close(self) -> None:
        """Take the last, write all, and leave nothing growing."""
        self.poll()
        self._poll_journal()
        self._flush()
        self._finish_pieces()
        for ring in self._rings.values():
            ring.close()
        self._views.close()
        for slots in (*self._depth.values(), self._slippage, self._funding):
            slots.close()
        for counters in self._feeds.values():
            counters.close()
        self._signals.close()
        os.close(self._place)

    # --- beginning ---

    def _open(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._place = take_place(self.directory)
        left = finish_left_over(self.directory, self._tables)
        if (self.directory / MANIFEST).exists():  # an earlier recorder of the same run
            self._list_pieces(left)
            return
        manifest: dict[str, Any] = {
            "run_id": self.run_id,
            "settings": self._launch["settings"],
            "instruments": self._launch["instruments"],
            "venues": list(self._venues),
            # Both clocks at one instant: maintenance windows and days go by the second.
            "began_mono_ns": self._began_mono_ns,
            "began_unix_ns": self._clock.unix_ns() - (self._clock.mono_ns() - self._began_mono_ns),
            PIECES: {},
            "versions": {"python": platform.python_version(), "pyarrow": pa.__version__},
        }
        write_manifest(self.directory, manifest)

    def _take_what_stands(self, memory: Memory, ids: dict[str, tuple[int, ...]]) -> None:
        """What stands before the first quote of the rings; position 0 says that it is no news."""
        for venue in self._venues:
            tops = memory.tops(venue)
            for instrument_id in ids[venue]:
                quote = tops.read(instrument_id)
                if quote is not None:
                    self._rows[f"quotes.{venue}"].add(_WORD.pack(0) + QUOTE.pack(*quote))
            tops.close()
        pairs = memory.pairs()
        for pair_id in range(memory.plan.pair_count):
            view = pairs.table.read(pair_id)
            if view is not None:
                self._rows["views"].add(_WORD.pack(0) + view)
        pairs.close()

    def _begin_pieces(self) -> None:
        now_mono_ns = self._clock.mono_ns()
        number = next_number(self.directory)
        self._pieces = {table.name: Piece(self.directory, table, number) for table in self._tables}
        self._list_pieces([piece.name for piece in self._pieces.values()], are_growing=True)
        self._pieces_began_mono_ns = now_mono_ns
        self._next_flush_ns = now_mono_ns + int(self._limits.flush_s * 1e9)

    # --- now and then ---

    def _poll_seldom(self, now_mono_ns: int) -> None:
        slippage, funding, feeds = self._rows["slippage"], self._rows["funding"], self._rows["feeds"]
        self._funding.changed(lambda place, _, body: funding.add(_TWO.pack(now_mono_ns, place) + body))
        self._slippage.changed(lambda place, _, body: slippage.add(_TWO.pack(now_mono_ns, place) + body))
        for number, (venue, counters) in enumerate(self._feeds.items()):
            state = (
                counters.get(counters.index("connected")),
                counters.get(counters.index("heartbeat_mono_ns")),
            )
            if self._feeds_seen.get(venue) != state:
                self._feeds_seen[venue] = state
                feeds.add(_FOUR.pack(now_mono_ns, number, *state))
        if now_mono_ns >= self._next_journal_ns:
            self._next_journal_ns = now_mono_ns + _JOURNAL_NS
            self._poll_journal()

    def _poll_journal(self) -> None:
        """Lines of this run since the recording began."""
        self._journal.poll()
        entries = self._journal.entries
        while entries:
            line = entries.popleft().payload
            fields = orjson.loads(line)
            at_mono_ns = fields.get("mono_ns", 0)
            if fields.get("run_id") == self.run_id and at_mono_ns >= self._began_mono_ns:
                self._rows["events"].add(_WORD.pack(at_mono_ns), line)

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            if len(rows):
                self.taken[name] += len(rows)
                self._pieces[name].append(rows.take())

    def _finish_pieces(self) -> None:
        for name, piece in self._pieces.items():
            size = piece.finish()
            self.bytes_written += size
            self._quote_bytes += size if name.startswith("quotes.") else 0
        self._list_pieces([piece.name for piece in self._pieces.values()])

    def _list_pieces(self, names: Sequence[str], *, are_growing: bool = False) -> None:
        """Have the manifest say which files there are, and with what in them, so that one that is lost or
        damaged is missed. One without rows has left no file."""
        manifest = read_manifest(self.directory)
        if PIECES not in manifest:
            return  # begun by a version that kept no list: one without its first files would be a lie
        for name in names:
            path = self.directory / (name + DONE)
            manifest[PIECES].pop(name, None)
            if are_growing:
                manifest[PIECES][name] = None
            elif path.exists():
                manifest[PIECES][name] = checksum_of(path)
        write_manifest(self.directory, manifest)
