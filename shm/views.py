"""Publishes the executor's views of its pairs: the latest in a slot, and all in order in a ring.

The detector decides by the slot; a recorder reads the ring and misses nothing between two of its polls.
"""

from __future__ import annotations

from shm.broadcast import BroadcastWriter
from shm.records import PAIR_VIEW, PairView
from shm.slot import RecordSlots


class ViewWriter:
    """The one writer of both."""

    def __init__(self, slots: RecordSlots[PairView], ring: BroadcastWriter) -> None:
        self._slots = slots
        self._ring = ring

    def write(self, pair_id: int, view: PairView) -> None:
        """Publish a pair's view: its slot first, then the ring."""
        body = PAIR_VIEW.pack(*view)
        self._slots.table.write(pair_id, body)
        self._ring.publish(body)

    def close(self) -> None:
        """Unmap both."""
        self._slots.close()
        self._ring.close()
