"""The recorded signals against those that the same detector gives when it sees the recording.

The detector is shown what it was shown: quotes, depth, feeds, learned slippage, and what the executor
published of each pair then. When it saw a quote is known where a signal came of it, and otherwise taken
to be the usual time after it was published. A detector that wakes late empties one venue's ring before
the other's; that order is not known either, nor is depth that was replaced between two looks of the
recorder. So a signal can differ only where that mattered; on a host with a core to spare it seldom does.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from detector.agent import Detector
from detector.native_strategy import strategy_kind
from detector.rules import rules_for
from observability.logs import Reporter
from settings import Settings
from shm.records import SIGNAL, PairView, Signal
from tools.record.reader import Kind, Recording, Row
from tools.replay.memory import RecordedExecutor, recorded_executor
from tools.replay.virtual_time import RecordedClock, second_after
from tools.replay.watching import Chain, Watch

_Key = tuple[int, int, int, int, int]
_OF_THE_LIFE: Final = dict.fromkeys(
    ("signal_id", "writer_epoch", "seen_mono_ns", "decided_mono_ns", "expires_mono_ns"), 0
)


class Verification(NamedTuple):
    """``same`` signals agree in every field but the number and times of the epoch that gave them."""

    recorded: int
    same: int
    different: list[tuple[Signal, Signal]]  # recorded, replayed
    missing: list[Signal]  # recorded only
    extra: list[Signal]  # replayed only
    head: str  # of the hash chain over every evaluation

    @property
    def is_identical(self) -> bool:
        return not (self.different or self.missing or self.extra)


def verify(recording: Recording, progress: Callable[[int], None] = lambda quotes: None) -> Verification:
    """Replay the detector against the recorded executor."""
    with recorded_executor(recording, recording.settings) as played:
        return _Verifier(recording, recording.settings, played).run(progress)


class _Verifier:
    def __init__(self, recording: Recording, settings: Settings, played: RecordedExecutor) -> None:
        self._recording = recording
        self._settings = settings
        self._stage = played
        self._clock = RecordedClock(0, recording.unix_minus_mono_ns)
        self._chain = Chain()
        signals = list(recording.signals())
        self._theirs = {_key(signal): signal for signal in signals}
        self._shown: set[_Key] = set()
        self._keys_of = _by_quote(signals)
        # Signals of then and now that are the same, as views name the newest one consumed.
        self._ids: dict[int, tuple[list[int], list[int]]] = {
            pair_id: ([], []) for pair_id in range(len(settings.pairs))
        }
        self._mine: dict[_Key, Signal] = {}

    def run(self, progress: Callable[[int], None]) -> Verification:
        queue = self._stage.memory.signals_reader()
        detector: Detector | None = None
        quotes = next_second_ns = 0
        for row in self._recording.rows(with_views=True):
            if row.at_mono_ns > next_second_ns and detector is not None:
                self._clock.set(next_second_ns)
                detector.do_work(next_second_ns)  # it looks at its clock then, quotes or not
            next_second_ns = second_after(row.at_mono_ns)
            self._clock.set(row.at_mono_ns)
            if row.kind is Kind.QUOTE and detector is None:
                detector = self._detector()  # after what stood at the beginning
            self._stage.put(self._in_our_numbers(row) if row.kind is Kind.VIEW else row)
            if row.kind is not Kind.QUOTE:
                continue
            assert detector is not None
            detector.do_work(self._clock.mono_ns())
            self._shown.update(self._keys_of.get((row.values[6], row.values[7]), ()))
            while (body := queue.poll()) is not None:
                queue.commit()
                self._heard(Signal(*SIGNAL.unpack(body)))
            quotes += 1
            if quotes % 1_000 == 0:
                progress(quotes)
        progress(quotes)
        queue.close()
        if detector is not None:
            detector.on_close()
        return self._compared()

    def _detector(self) -> Detector:
        memory, settings = self._stage.memory, self._settings
        rules = [
            rules_for(settings, pair, self._recording.instruments) for pair in range(len(settings.pairs))
        ]
        return Detector(
            memory,
            memory.counters("detector", writer=True),
            settings,
            rules,
            Reporter("detector", run_id=self._recording.run_id, level=None),
            epoch=1,
            clock_mono_ns=self._clock.mono_ns,
            clock_unix_s=self._clock.unix_s,
            make_strategy=Watch(self._chain, strategy_kind(settings)).strategy,
        )

    def _heard(self, signal: Signal) -> None:
        key = _key(signal)
        self._mine[key] = signal
        if key in self._theirs:
            theirs, mine = self._ids[signal.pair_id]
            theirs.append(self._theirs[key].signal_id)
            mine.append(signal.signal_id)

    def _in_our_numbers(self, row: Row) -> Row:
        """A view that says our number of the signal it has consumed."""
        view = PairView(*row.values)
        theirs, mine = self._ids[view.pair_id]
        known = bisect_right(theirs, view.last_signal_id)
        return row._replace(values=view._replace(last_signal_id=mine[known - 1] if known else 0))

    def _compared(self) -> Verification:
        theirs = {key: signal for key, signal in self._theirs.items() if key in self._shown}
        both = theirs.keys() & self._mine.keys()
        different = [
            (theirs[key], self._mine[key])
            for key in sorted(both)
            if _decision(theirs[key]) != _decision(self._mine[key])
        ]
        return Verification(
            recorded=len(theirs),
            same=len(both) - len(different),
            different=different,
            missing=[theirs[key] for key in sorted(theirs.keys() - both)],
            extra=[self._mine[key] for key in sorted(self._mine.keys() - both)],
            head=self._chain.head,
        )


def _key(signal: Signal) -> _Key:
    return signal.recv_mono_ns, signal.publish_mono_ns, signal.pair_id, signal.kind, signal.direction


def _by_quote(signals: list[Signal]) -> dict[tuple[int, int], list[_Key]]:
    keys: dict[tuple[int, int], list[_Key]] = {}
    for signal in signals:
        keys.setdefault((signal.recv_mono_ns, signal.publish_mono_ns), []).append(_key(signal))
    return keys


def _decision(signal: Signal) -> tuple[Any, ...]:
    return tuple(signal._replace(**_OF_THE_LIFE))
