"""``make frames``: the compiled readers of frames under AddressSanitizer and UBSan, on 10^8 changed frames.

    python -m verification.native.frames [--executions N] [--venues VENUE ...]

Frames of every shape are changed at random, most beyond what a reader takes. What it does take is read in
Python too, one in so many that this takes minutes, and has to be the same. Exit code 1 if a sanitizer reports
or anything differs; 2 where the compiler has no sanitizer.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from feeds.native import ChannelsC, channels_in_c
from runtime import native
from settings import PROJECT
from shm.native_access import address_of
from tests.venues.frame_twins import UNREAD, ReadingC, made_in_python, read_in_c
from tests.venues.random_frames import RANDOM_FRAMES, SYMBOLS
from venues.contract import FeedOptions, VenueHosts
from venues.registry import venue as venue_of
from venues.usual_frames import WORDS_PER_CHANNEL
from verification.native.sanitize import sanitizing, taken_reports

_I64: Final = ctypes.c_int64
_HOSTS: Final = VenueHosts("http://127.0.0.1:1", "ws://127.0.0.1:1/ws", "ws://127.0.0.1:1/ws")
_SOURCE: Final = PROJECT / "verification/native/frames.c"
_SEEDS: Final = 400
_SEED_BYTES_MAX: Final = 4_000
_JUDGED_MAX: Final = 400_000  # of a venue: a minute or two of Python
_DIRECTORY: Final = "TANDEM_FRAMES_DIRECTORY"


class SeedC(ctypes.Structure):
    _fields_ = (("content", ctypes.c_char_p), ("size", _I64), ("is_binary", _I64))


JUDGE: Final = ctypes.CFUNCTYPE(
    _I64, ctypes.c_void_p, _I64, _I64, ctypes.POINTER(_I64), ctypes.POINTER(ReadingC)
)


def fuzz(venue: str, library: ctypes.CDLL, executions: int, seed: int) -> tuple[int, list[int], int]:
    """One venue's reader; how many frames were read otherwise, all by reason, and how many were judged."""
    ids = {symbol: number for number, symbol in enumerate(SYMBOLS[venue])}
    alone, helped = (venue_of(venue).market_data(_HOSTS, ids, FeedOptions()) for _ in range(2))
    for protocol in (alone, helped):
        protocol.connected(0)
        protocol.take_frames()
    rng = Random(seed)
    frames = [
        frame
        for frame in (RANDOM_FRAMES[venue](rng) for _ in range(20 * _SEEDS))
        if len(frame.content) <= _SEED_BYTES_MAX
    ][:_SEEDS]
    seeds = (SeedC * len(frames))(*(SeedC(one.content, len(one.content), one.is_binary) for one in frames))
    channels: ChannelsC = channels_in_c(helped.usual_frames)
    words = WORDS_PER_CHANNEL * len(helped.usual_frames.channels)
    judged = 0

    def judge(at: int, size: int, is_binary: int, before: Any, reading: Sequence[ReadingC]) -> int:
        nonlocal judged
        judged += 1
        alone.usual_frames.words[:words] = memoryview(bytearray(ctypes.string_at(before, 8 * words))).cast(
            "q"
        )
        wanted = made_in_python(alone, ctypes.string_at(at, size), bool(is_binary), judged)
        made = read_in_c(reading[0], wanted, helped)
        if made != wanted:
            print(f"{venue}: {ctypes.string_at(at, size)!r}\n  C      {made}\n  Python {wanted}", flush=True)
        return int(made == wanted)

    taken = (_I64 * len(UNREAD))()
    library.fuzz.restype = _I64
    differ = 0
    # Some first, to know how many are taken.
    for count, every in ((executions // 100, 50), (executions - executions // 100, 0)):
        every = every or max(1, taken[0] * 100 // _JUDGED_MAX)
        differ += library.fuzz(
            *(ctypes.byref(channels), ctypes.c_void_p(address_of(helped.usual_frames.words)), seeds),
            *(_I64(len(frames)), _I64(count), ctypes.c_uint64(seed * 7919 + count), _I64(every)),
            *(JUDGE(judge), taken),
        )
    return differ, list(taken), judged


def _inside(executions: int, venues: Sequence[str]) -> int:
    """In the process that bears what is built with sanitizers."""
    compiler = native.compiler()
    assert compiler is not None, "looked for outside"
    differ = 0
    for venue in venues:
        reader = native.reader(venue)
        path = Path(os.environ[_DIRECTORY]) / f"{venue}.so"
        part = reader._replace(sources=(*reader.sources, _SOURCE), path=path)
        native.build(part, compiler)
        began_s = time.monotonic()
        wrong, taken, judged = fuzz(venue, ctypes.CDLL(str(path)), executions // len(venues), 1)
        differ += wrong
        figures = ", ".join(f"{count:,} {name}" for name, count in zip(UNREAD, taken, strict=True) if count)
        took_s = time.monotonic() - began_s
        print(f"{venue}: {sum(taken):,} frames in {took_s:.0f} s: {figures}", flush=True)
        print(f"{venue}: {judged:,} of those read were read in Python too, {wrong} otherwise", flush=True)
    return int(bool(differ))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m verification.native.frames", description=__doc__)
    parser.add_argument("--executions", type=int, default=100_000_000)
    parser.add_argument("--venues", nargs="*", default=sorted(RANDOM_FRAMES), choices=sorted(RANDOM_FRAMES))
    arguments = parser.parse_args()
    if _DIRECTORY in os.environ:
        return _inside(arguments.executions, arguments.venues)
    compiler = native.compiler()
    if compiler is None:
        print(native.no_compiler(), file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="tandem-frames-") as directory:
        try:
            environment = sanitizing(Path(directory), compiler)
        except LookupError as error:
            print(error, file=sys.stderr)
            return 2
        command = [sys.executable, "-m", "verification.native.frames", *sys.argv[1:]]
        given = {**os.environ, **environment, _DIRECTORY: directory}
        done = subprocess.run(command, cwd=PROJECT, env=given, check=False)
        reports = taken_reports(Path(directory))
    print(*reports, f"reports: {len(reports)}", sep="\n")
    return int(bool(done.returncode or reports))


if __name__ == "__main__":
    sys.exit(main())
