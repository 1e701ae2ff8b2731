"""Counters and latency histograms of a running instance, read from its memory."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from configuration.arguments import path_argument
from settings import Settings, load_raw, parse_settings
from shm.counters import CounterTable
from shm.layout import Memory
from shm.segment import SegmentError


class LatencyRow(NamedTuple):
    """Percentiles of one stage in one process."""

    process: str
    stage: str
    samples: int
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float


class CounterRow(NamedTuple):
    """One counter of one process."""

    process: str
    counter: str
    value: int


def attach_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that looks at a running instance."""
    parser.add_argument(
        "--memory", type=path_argument, help="memory directory, instead of the configuration's"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")


def attached_directory(arguments: argparse.Namespace) -> Path:
    """The memory those arguments mean. Raises SettingsError or SegmentError."""
    if arguments.memory is not None:
        return Path(arguments.memory)
    return instance_directory(parse_settings(load_raw(arguments.config), str(arguments.config)))


def instance_directory(settings: Settings) -> Path:
    """Where an instance of these settings keeps its memory. SegmentError if none runs."""
    directory = Path(settings.runtime.memory_dir) / f"tandem-{settings.bot_id}"
    if not directory.is_dir():
        raise SegmentError(f"no instance runs under bot_id {settings.bot_id!r} (no {directory})")
    return directory


def _tables(directory: Path) -> list[tuple[str, CounterTable]]:
    memory = Memory(directory)
    processes = sorted(path.name.removeprefix("counters.") for path in directory.glob("counters.*"))
    return [(process, memory.counters(process)) for process in processes]


def latency_rows(directory: Path) -> Sequence[LatencyRow]:
    """Every histogram that has recorded something, in the order a quote takes."""
    order = {"feed": 0, "detector": 1, "executor": 2}
    tables = sorted(_tables(directory), key=lambda item: order.get(item[0].partition("-")[0], 3))
    return [
        LatencyRow(
            process,
            name,
            histogram.count,
            histogram.percentile_ns(50) / 1e3,
            histogram.percentile_ns(90) / 1e3,
            histogram.percentile_ns(99) / 1e3,
            histogram.max_ns / 1e3,
        )
        for process, table in tables
        for name in table.histogram_names
        for histogram in (table.histogram(name),)
        if histogram.count
    ]


def counter_rows(directory: Path) -> Sequence[CounterRow]:
    """Every counter of every process."""
    return [
        CounterRow(process, name, value)
        for process, table in _tables(directory)
        for name, value in table.snapshot().items()
    ]
