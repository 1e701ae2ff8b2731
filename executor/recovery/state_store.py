"""Where each pair's state survives ``kill -9``: two slots per pair, written in transition.

A write begins with a version number that only grows. A process killed half-way through a write
leaves that copy invalid and the other one whole, so its successor always finds the state before the
last step or after it, never none.

A signal whose orders leave before its step is journalled with those orders, a fraction of a state's
bytes, and with the version of the state it meets. The machine being a pure function, state and event are
as good as the state after: a successor that finds an event for the newest state takes that step first.
The orders are kept beside it because the successor's settings may be others, and its step with them.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from shm.slot import SlotTable

_HEAD = Struct("<6q")  # version, day, result_e8, best_e8, naked_ns, estimated
_VERSION = Struct("<q")


class StoredPair(NamedTuple):
    """What is kept of one pair."""

    state: bytes  # executor.pair.state.dump
    day: int  # UTC day (days since 1970) that the result belongs to
    result_e8: int  # realised on that day, quote currency
    best_e8: int = 0  # the best the whole instance's result had been on that day
    naked_ns: int = 0  # how long its legs stood alone on that day
    estimated: int = 0  # trades in ``result_e8`` of which a price or fee is not known yet


class StateStore:
    """The executor's own copy of ``Memory.machines`` and ``Memory.taken``."""

    def __init__(self, table: SlotTable, events: SlotTable) -> None:
        self._table = table
        self._events = events
        assert table.count % 2 == 0
        assert events.count == table.count // 2, "two slots a pair, and one for its signal"
        pairs = table.count // 2
        self._versions = [max(self._version(2 * pair), self._version(2 * pair + 1)) for pair in range(pairs)]

    def write(self, pair_id: int, entry: StoredPair) -> None:
        assert 0 <= pair_id < len(self._versions), "each pair has its two slots"
        version = self._versions[pair_id] = self._versions[pair_id] + 1
        head = _HEAD.pack(version, *entry[1:])
        self._table.write(2 * pair_id + version % 2, head + entry.state)

    def write_event(self, pair_id: int, event: bytes) -> None:
        """Keep a signal and its orders before they leave; the next ``write`` settles it."""
        self._events.write(pair_id, _VERSION.pack(self._versions[pair_id]) + event)

    def read_event(self, pair_id: int) -> bytes | None:
        """An event whose orders may have left, and whose step the newest state does not hold."""
        body = self._events.read(pair_id)
        if body is None or _VERSION.unpack_from(body)[0] != self._versions[pair_id]:
            return None
        return body[_VERSION.size :]

    def read(self, pair_id: int) -> StoredPair | None:
        """The newest whole copy; None if there is none."""
        bodies = [self._table.read(2 * pair_id + copy) for copy in (0, 1)]
        newest = max(
            (body for body in bodies if body), key=lambda body: _HEAD.unpack_from(body)[0], default=None
        )
        if newest is None:
            return None
        assert len(newest) > _HEAD.size, "a state is never empty"
        _, *day = _HEAD.unpack_from(newest)
        return StoredPair(newest[_HEAD.size :], *day)

    def close(self) -> None:
        self._table.close()
        self._events.close()

    def _version(self, index: int) -> int:
        body = self._table.read(index)
        version: int = _HEAD.unpack_from(body)[0] if body else 0
        return version
