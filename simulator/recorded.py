"""The recorded market shipped in ``simulator/data``: real quotes of two perpetuals on two markets.

Origin, licence and honest limits: ``simulator/data/ORIGIN.md``.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from collections import deque
from collections.abc import Iterator
from heapq import merge
from pathlib import Path
from typing import NamedTuple

from simulator.market import Top
from venues.contract import E8, parse_e8

DATA = Path(__file__).parent / "data"
_HEAD = b"recv_ns,bid_px,bid_qty,ask_px,ask_qty"


class Track(NamedTuple):
    """One recorded file and the contract it plays."""

    venue: str
    symbol: str
    file: str
    contract_quote: int = 0  # quote currency per contract; 0 where quantities are coins
    late_s: float = 0.0  # played so much later than it was recorded


SHIPPED = (
    Track("paradex", "BTC-USD-PERP", "usdm_BTCUSDT.bbo.csv.gz"),
    Track("vest", "BTC-PERP", "coinm_BTCUSD_PERP.bbo.csv.gz", contract_quote=100),
    Track("paradex", "ETH-USD-PERP", "usdm_ETHUSDT.bbo.csv.gz"),
    Track("vest", "ETH-PERP", "coinm_ETHUSD_PERP.bbo.csv.gz", contract_quote=10),
    # A third market was not recorded. This one is Paradex's, two seconds late: its quotes are real, its gaps
    # to the others are those of a venue that lags.
    Track("hyperliquid", "BTC", "usdm_BTCUSDT.bbo.csv.gz", late_s=2.0),
    Track("hyperliquid", "ETH", "usdm_ETHUSDT.bbo.csv.gz", late_s=2.0),
)


class _Row(NamedTuple):
    recv_ns: int
    track_index: int
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int


class RecordingTooShort(ValueError):
    """The playing was to begin after the end of the recording."""

    def __init__(self, start_s: float, length_s: float) -> None:
        super().__init__(start_s, length_s)
        self.start_s = start_s
        self.length_s = length_s

    def __str__(self) -> str:
        return f"start {self.start_s:g} s is beyond the end of the recording ({self.length_s:.1f} s)"


class RecordingDamaged(ValueError):
    """A recorded file is missing, cut short, or holds something else than quotes."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        return f"{self.path}: {self.why}. Get it again with the program, or set simulator.source: synthetic"


class RecordedMarket:
    """All tracks on one clock, their receive times, played forwards, then backwards, and so on.

    Backwards, because a loop back to the beginning would jump: two venues would learn of the
    jump at different moments, and a gap would show that no market ever had.
    """

    def __init__(
        self, tracks: tuple[Track, ...] = SHIPPED, *, directory: Path = DATA, start_s: float = 0.0
    ) -> None:
        self._tracks = tracks
        self._directory = directory
        self._start_ns = int(start_s * 1e9)
        self._columns = tuple(array("q") for _ in _Row._fields)
        self._previous = array("q")  # row -> the row of the same track before it, or -1

    def check(self) -> None:
        """Read every file through, so that one cut short is named at the start and not found while playing.
        Raises RecordingDamaged."""
        for track in self._tracks:
            path = self._directory / track.file
            try:
                content = gzip.decompress(path.read_bytes())
            except (OSError, EOFError, zlib.error) as error:
                raise RecordingDamaged(path, f"cannot be read: {error}") from error
            if not content.startswith(_HEAD) or content.count(b"\n") < 2 or not content.endswith(b"\n"):
                raise RecordingDamaged(path, "is no whole recording of quotes")

    def tops(self) -> Iterator[Top]:
        """Tops from the start offset on, for ever. Raises RecordingTooShort, and RecordingDamaged."""
        # Rows are kept as they are first played, so the first quote does not wait for a parse.
        rows = self._columns
        for column in rows:
            del column[:]
        del self._previous[:]
        newest = [-1] * len(self._tracks)
        first_ns = end_ns = 0
        opening: dict[int, _Row] = {}  # what each track showed when the playing began
        is_playing = False
        for row in merge(*(self._read(index) for index in range(len(self._tracks)))):
            if not len(rows[0]):
                first_ns = row.recv_ns
            for column, value in zip(rows, row, strict=True):
                column.append(value)
            self._previous.append(newest[row.track_index])
            newest[row.track_index] = len(self._previous) - 1
            at_ns = row.recv_ns - first_ns - self._start_ns
            if at_ns < 0:
                opening[row.track_index] = row
                continue
            if not is_playing:
                is_playing = True
                for before in opening.values():
                    yield self._top(0, before)
            end_ns = at_ns
            yield self._top(at_ns, row)
        if not is_playing:
            raise RecordingTooShort(self._start_ns / 1e9, (rows[0][-1] - first_ns) / 1e9)
        while True:
            last_ns = rows[0][-1]
            for index in range(len(rows[0]) - 1, -1, -1):
                # Between two rows of a track the earlier one stood: going back past a row shows it.
                if self._previous[index] >= 0:
                    yield self._top(end_ns + last_ns - rows[0][index], self._row(self._previous[index]))
            end_ns += last_ns - first_ns
            for index in range(len(rows[0])):
                yield self._top(end_ns + rows[0][index] - first_ns, self._row(index))
            end_ns += last_ns - first_ns

    def _row(self, index: int) -> _Row:
        return _Row(*(column[index] for column in self._columns))

    def _top(self, at_ns: int, row: _Row) -> Top:
        track = self._tracks[row.track_index]
        return Top(at_ns, track.venue, track.symbol, *row[2:])

    def _read(self, track_index: int) -> Iterator[_Row]:
        """A track's rows; of a late one those whose time comes before the file ends."""
        late_ns = int(self._tracks[track_index].late_s * 1e9)
        if not late_ns:
            yield from self._recorded(track_index)
            return
        waiting: deque[_Row] = deque()
        for row in self._recorded(track_index):
            waiting.append(row._replace(recv_ns=row.recv_ns + late_ns))
            while waiting and waiting[0].recv_ns <= row.recv_ns:
                yield waiting.popleft()

    def _recorded(self, track_index: int) -> Iterator[_Row]:
        track = self._tracks[track_index]
        with gzip.open(self._directory / track.file, "rt", newline="") as file:
            rows = csv.reader(file)
            next(rows)
            for values in rows:
                try:
                    recv_ns, bid, bid_size, ask, ask_size = values
                    bid_e8, ask_e8 = parse_e8(bid), parse_e8(ask)
                    row = _Row(
                        int(recv_ns),
                        track_index,
                        bid_e8,
                        _coins_e8(parse_e8(bid_size), bid_e8, track.contract_quote),
                        ask_e8,
                        _coins_e8(parse_e8(ask_size), ask_e8, track.contract_quote),
                    )
                except (ValueError, ZeroDivisionError) as error:
                    where = f"line {rows.line_num} is no quote: {error}"
                    raise RecordingDamaged(self._directory / track.file, where) from error
                yield row


def _coins_e8(quantity_e8: int, price_e8: int, contract_quote: int) -> int:
    """Return a recorded quantity in coins; contracts are worth a fixed amount of quote currency."""
    return quantity_e8 * contract_quote * E8 // price_e8 if contract_quote else quantity_e8
