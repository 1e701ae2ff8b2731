"""The detector's process: attach, resolve the rules, run the duty cycle."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence

from detector.agent import Detector
from detector.layers import SizeError
from detector.native import NativeDetector
from detector.rules import rules_for
from detector.structures import load_detector
from events.instance import NativeAbsent, ProcessStarted, ProcessStopped
from runtime.bootstrap import Launch, SettingsWatch, refuse, start
from runtime.native import NotNative
from shm.agent import MAX_PARK_MS, idle_strategy, quiet_garbage_collector, run_agent


def main(argv: Sequence[str] | None = None) -> None:
    """Run until SIGTERM. Exit code 2 when the configured sizes do not suit the venues."""
    # The detector never writes to a descriptor: its lines go to its queue, persistence prints them.
    launch = start("detector", argv, log_to_stdout=False)
    try:
        rules = [
            rules_for(launch.settings, pair_id, launch.instruments, is_suspended=pair.id in launch.suspended)
            for pair_id, pair in enumerate(launch.settings.pairs)
        ]
    except SizeError as error:
        refuse(f"detector: {error}")
    waiting = launch.settings.idle_strategy(launch.process)
    watch = SettingsWatch(launch)
    watch.done()
    given = (launch.memory, launch.counters, launch.settings, rules, launch.reporter)
    bell = launch.memory.doorbell("detector")
    max_park_ms = launch.settings.runtime.keep_warm_ms or MAX_PARK_MS
    idle = idle_strategy(waiting, bell, max_park_ms=max_park_ms)
    library = _library(launch)
    launch.counters.set(launch.counters.index("native"), int(library is not None))
    if library is None:
        detector = Detector(*given, epoch=launch.epoch, watch=watch)
    else:
        detector = native = NativeDetector(library, bell, *given, epoch=launch.epoch, watch=watch)
        if waiting == "park":
            idle = native.park(max_park_ms)
    heartbeat = launch.counters.index("heartbeat_mono_ns")
    started = ProcessStarted(
        idle=waiting, pairs=tuple(rule.name for rule in rules), is_native=library is not None
    )
    launch.reporter.report(started)
    quiet_garbage_collector()
    run_agent(
        detector,
        clock_mono_ns=time.monotonic_ns,
        idle=idle,
        beat=lambda now_mono_ns: launch.counters.set(heartbeat, now_mono_ns),
        is_stopping=launch.stop.is_set,
    )
    launch.reporter.report(ProcessStopped())


def _library(launch: Launch) -> ctypes.CDLL | None:
    """The compiled twin where it is wanted and can be used; None where Python decides."""
    if not launch.settings.runtime.native:
        return None
    try:
        return load_detector()
    except NotNative as error:
        launch.reporter.report(NativeAbsent(part="detector", detail=str(error)))
        return None
