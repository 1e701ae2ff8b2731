"""``python -m tools record``: keep everything a running instance sees and does, to be replayed.

    python -m tools record                     until Ctrl-C or the instance's end
    python -m tools record --seconds 600

A process of its own that only reads. The recording is a directory, <var_dir>/recordings/<run_id>;
``python -m tools replay`` needs nothing beside it. Exit code 1: quotes were lost on the way.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from typing import Any

import pyarrow as pa
from rich.console import Console

from configuration.arguments import path_argument
from monitoring.instance import attach_arguments, attached_directory
from observability.standard_streams import for_drawing
from tools.record.recorder import Limits, Recorder

_POLITE = 10  # nice: the trading processes go first
_SAY_S = 1.0


def configure(parser: argparse.ArgumentParser) -> None:
    attach_arguments(parser)
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--out", type=path_argument, metavar="DIR", help="parent of the recording's directory"
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="end after this long")
    parser.add_argument("--interval-ms", type=float, default=2.0, metavar="MS", help="between looks (2)")
    parser.add_argument("--flush-s", type=float, default=5.0, metavar="S", help="a kill loses this much (5)")
    parser.add_argument("--piece-s", type=float, default=3_600.0, metavar="S", help="length of a file (3600)")
    parser.add_argument("--piece-mib", type=float, default=64.0, metavar="MIB", help="size of all open files")


def run(arguments: argparse.Namespace) -> int:
    directory = attached_directory(arguments)
    os.nice(_POLITE)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    limits = Limits(arguments.flush_s, arguments.piece_s, int(arguments.piece_mib * (1 << 20)))
    recorder = Recorder(directory, arguments.out, limits)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _: stopping.append(received))
    console = Console(file=for_drawing(sys.stderr), highlight=False)
    began_s = said_s = time.monotonic()
    with console.status(f"recording to {recorder.directory}") as status:
        while not stopping and directory.exists():
            recorder.poll()
            recorder.write_if_due()
            time.sleep(arguments.interval_ms / 1e3)
            now_s = time.monotonic()
            if now_s - said_s >= _SAY_S:
                said_s = now_s
                status.update(f"recording to {recorder.directory}: {_progress(recorder, now_s - began_s)}")
            if arguments.seconds and now_s - began_s >= arguments.seconds:
                break
        recorder.close()
    facts = {
        "directory": str(recorder.directory),
        "seconds": round(time.monotonic() - began_s, 1),
        "rows": recorder.taken,
        "missed": recorder.missed,
        "bytes": recorder.bytes_written,
        "quote_bytes": round(recorder.quote_bytes, 2),
        "cpu_s": round(time.process_time(), 2),
    }
    sys.stdout.write(json.dumps(facts) + "\n" if arguments.json else _summary(facts))
    return 1 if recorder.overtaken else 0


def _progress(recorder: Recorder, seconds: float) -> str:
    quotes = sum(count for name, count in recorder.taken.items() if name.startswith("quotes."))
    return f"{seconds:,.0f} s, {quotes:,} quotes written, {recorder.overtaken:,} lost"


def _summary(facts: dict[str, Any]) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in facts["rows"].items())
    missed = ", ".join(f"{name} {count:,}" for name, count in facts["missed"].items())
    return (
        f"{facts['directory']}\n"
        f"  {facts['seconds']:,.0f} s   {facts['bytes']:,} bytes, {facts['quote_bytes']} per quote"
        f"   {facts['cpu_s']} s of processor time\n"
        f"  rows    {rows}\n"
        f"  missed  {missed}\n"
    )
