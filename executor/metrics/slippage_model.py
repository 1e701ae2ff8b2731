"""What orders cost against the price seen, learned per contract and side, and shown to the detector.

An average that forgets: every new sample weighs a twentieth, the first ones evenly. A sample is cut to
a cap first, so that one bad minute does not speak for a day. What is learned is used while it is
recent: if it keeps the detector from trading, nothing new would ever be learned.

Published in shared memory; kept in a file, so that no restart of anything forgets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from runtime.clock import Clock, unix_s
from settings import PROJECT, Settings
from shm.records import SlippageView, slippage_index
from shm.slot import RecordSlots
from venues.contract import Instrument, Side

_MEMORY = 20  # samples that matter
_CAP_BPS = 20.0


def learned_file(settings: Settings) -> Path:
    """Simulated, virtual and real venues teach different things."""
    return PROJECT / settings.persistence.var_dir / f"slippage-{settings.mode}-{settings.bot_id}.json"


def read_kept(path: Path) -> dict[str, SlippageView]:
    """What was learned, by ``venue:symbol:SIDE``; nothing without a file. Raises OSError or ValueError."""
    if not path.exists():
        return {}
    kept = json.loads(path.read_text())
    if not isinstance(kept, dict):
        raise ValueError("is no mapping of contracts and sides")
    views = {}
    for name, entry in kept.items():
        if not (isinstance(entry, list) and len(entry) == 3):
            raise ValueError(f"{name} has not the three figures it should have")
        samples, mean_bps, updated_unix_s = entry
        is_whole = isinstance(samples, int) and 0 < samples < 2**31 and isinstance(updated_unix_s, int)
        if not (is_whole and isinstance(mean_bps, int | float) and abs(mean_bps) <= _CAP_BPS):
            raise ValueError(f"{name} has figures that cannot be: {entry}")
        views[name] = SlippageView(samples, float(mean_bps), updated_unix_s)
    return views


class SlippageModel:
    """The one writer of the slots and of the file."""

    def __init__(
        self,
        slots: RecordSlots[SlippageView],
        instruments: Sequence[Instrument],
        path: Path,
        clock: Clock,
    ) -> None:
        self._slots = slots
        self._instruments = instruments
        self._path = path
        self._clock = clock
        self._views: dict[int, SlippageView] = {}

    def load(self) -> None:
        """Adopt what earlier processes learned. Raises OSError or ValueError for an unusable file."""
        kept = read_kept(self._path)
        for instrument in self._instruments:
            for side in Side:
                view = kept.get(_name(instrument, side))
                if view is not None:
                    self._put(_index(instrument, side), view)

    def observe(self, instrument: Instrument, side: Side, worse_bps: float) -> SlippageView:
        """Learn from one filled leg; return what is known now."""
        index = _index(instrument, side)
        before = self._views.get(index, SlippageView(0, 0.0, 0))
        sample_bps = max(-_CAP_BPS, min(worse_bps, _CAP_BPS))
        samples = before.samples + 1
        mean_bps = before.mean_bps + (sample_bps - before.mean_bps) / min(samples, _MEMORY)
        assert samples > 0
        assert abs(mean_bps) <= _CAP_BPS + 1e-6, "an average lies among its samples"
        view = SlippageView(samples, mean_bps, int(unix_s(self._clock)))
        self._put(index, view)
        return view

    def save(self) -> None:
        """Replace the file. Raises OSError where there is no room or right to."""
        kept = {
            _name(instrument, side): list(view)
            for instrument in self._instruments
            for side in Side
            if (view := self._views.get(_index(instrument, side)))
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(kept, indent=1))
        unfinished.replace(self._path)

    def close(self) -> None:
        self._slots.close()

    def _put(self, index: int, view: SlippageView) -> None:
        self._views[index] = view
        self._slots.write(index, view)


def _index(instrument: Instrument, side: Side) -> int:
    return slippage_index(instrument.instrument_id, is_sale=side is Side.SELL)


def _name(instrument: Instrument, side: Side) -> str:
    return f"{instrument.venue}:{instrument.symbol}:{side.name}"
