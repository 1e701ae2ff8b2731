"""Signature timestamps: no two alike while they are valid."""

from __future__ import annotations

import sys
import threading

from venues.paradex.orders import DistinctTimestamps


def test_two_threads_never_date_two_orders_alike() -> None:
    """Templates are signed in a thread, what was not armed in the loop's."""
    timestamps, switch_s = DistinctTimestamps(valid_ms=100_000), sys.getswitchinterval()
    taken: list[int] = []

    def take_many() -> None:
        for _ in range(3_000):
            taken.append(timestamps.take(1_000_000))

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=take_many) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch_s)

    assert len(set(taken)) == len(taken) == 12_000
