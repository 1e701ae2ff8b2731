"""Plans an instance's shared memory: its size, and the counters of each process."""

from __future__ import annotations

from collections.abc import Sequence

from settings import Settings
from shm import counter_names
from shm.layout import MemoryPlan


def memory_plan(settings: Settings) -> MemoryPlan:
    """How much shared memory an instance of these settings needs."""
    feeds = tuple(f"feed-{venue}" for venue in settings.venue_names)
    return MemoryPlan(
        venues=settings.venue_names,
        instrument_count=len(settings.watched),
        pair_count=len(settings.pairs),
        ring_cells=settings.runtime.ring_cells,
        signal_queue_bytes=65_536,
        event_queue_bytes=settings.runtime.event_queue_kib * 1024,
        event_sources=(
            *("supervisor", *feeds, "detector", "executor"),
            *(("alerts",) if settings.alerts.has_target else ()),
        ),
    )


def process_counters(settings: Settings) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Every process's counters and histograms."""
    tables: dict[str, tuple[Sequence[str], Sequence[str]]] = {
        f"feed-{venue}": (list(counter_names.FEED_COUNTERS), list(counter_names.FEED_HISTOGRAMS))
        for venue in settings.venue_names
    }
    tables["detector"] = (
        counter_names.detector_counters([pair.id for pair in settings.pairs]),
        list(counter_names.DETECTOR_HISTOGRAMS),
    )
    tables["executor"] = (list(counter_names.EXECUTOR_COUNTERS), list(counter_names.EXECUTOR_HISTOGRAMS))
    tables["persistence"] = (list(counter_names.PERSISTENCE_COUNTERS), [])
    if settings.alerts.has_target:
        tables["alerts"] = (list(counter_names.ALERTS_COUNTERS), [])
    if settings.mode == "sim":
        tables["simulator"] = (list(counter_names.SIMULATOR_COUNTERS), [])
    return {**tables, "supervisor": (counter_names.supervisor_counters(tables), [])}
