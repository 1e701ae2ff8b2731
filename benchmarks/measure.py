"""Timing, percentiles, a table and a JSON file: what every benchmark here needs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"


class Timing(NamedTuple):
    """Percentiles of one thing measured, in nanoseconds."""

    name: str
    p50_ns: int
    p99_ns: int
    samples: int


def percentiles(name: str, samples_ns: Sequence[int]) -> Timing:
    """Nearest-rank percentiles of the samples."""
    ordered = sorted(samples_ns)
    return Timing(
        name,
        ordered[len(ordered) // 2],
        ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
        len(ordered),
    )


def time_calls(
    operation: Callable[[], object], rounds: int, after: Callable[[], object] | None = None
) -> list[int]:
    """Nanoseconds of each of ``rounds`` calls; ``after`` makes room for the next one, untimed.

    Each sample holds one reading of the clock and one call of a Python function; subtract the
    median of an empty operation measured the same way.
    """
    clock = time.perf_counter_ns
    for _ in range(min(rounds, 1000)):  # warm up: caches, and the interpreter's specialised bytecode
        operation()
        if after is not None:
            after()
    samples = []
    for _ in range(rounds):
        started = clock()
        operation()
        samples.append(clock() - started)
        if after is not None:
            after()
    return samples


def print_table(title: str, timings: Sequence[Timing], *, unit_ns: int, unit: str) -> None:
    width = max(len(timing.name) for timing in timings)
    print(f"\n{title}\n{'':{width}}  {'p50':>9} {'p99':>9}  {unit}")
    for timing in timings:
        print(f"{timing.name:{width}}  {timing.p50_ns / unit_ns:9.2f} {timing.p99_ns / unit_ns:9.2f}")


def write_results(name: str, figures: Mapping[str, Any]) -> Path:
    """Write one benchmark's figures with the machine they come from; return the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **figures}, indent=1) + "\n")
    return path


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),  # above 0 before the start: somebody else was measured, too
    }
