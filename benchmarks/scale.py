"""Raises the quote rate and the number of pairs: the newest quote is never lost, and nothing grows.

    python -m benchmarks.scale [--pairs 1 10 50] [--rates 100 1000 5000 10000]
    python -m benchmarks.scale --pairs 1 --rates 10000 --total 10000000      (make endurance)

For each number of pairs the whole product runs against a flood of quotes, each rate for some
seconds on both venues at once, and then a burst of 300 in 100 ms. Told per rate: what was
published and decided on, what the detector passed over (conflated: it resumes at the newest), how
far it was behind at most, the processor time a quote takes, and each process's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.measure import write_results
from benchmarks.wire.contenders import Variant, tandem
from benchmarks.wire.flood import is_newest
from settings import PROJECT
from shm.layout import Memory

VENUES: Final = ("vest", "paradex")
BURST: Final = (3_000.0, 0.1)
_CAUGHT_UP_WITHIN_S: Final = 10.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class Usage(NamedTuple):
    """Of one process so far."""

    cpu_s: float
    rss_mib: float


class Watched:
    """A running instance, looked at from outside."""

    def __init__(self, directory: Path) -> None:
        self.memory = Memory(next(path for path in directory.glob("tandem-*") if path.is_dir()))
        self._feeds = {venue: self.memory.counters(f"feed-{venue}") for venue in VENUES}
        self._detector = self.memory.counters("detector")
        self._tops = self.memory.tops("paradex")

    def published(self) -> dict[str, int]:
        return {venue: table.get(table.index("quotes_total")) for venue, table in self._feeds.items()}

    def decided(self) -> int:
        return self._detector.get(self._detector.index("quotes_total"))

    def conflated(self) -> int:
        return self._detector.get(self._detector.index("overtaken_total"))

    def behind(self) -> int:
        """Quotes published that the detector has neither seen nor passed over; a moment's reading."""
        return sum(self.published().values()) - self.decided() - self.conflated()

    def has_newest(self, pairs: int, count: int) -> bool:
        quote = self._tops.read(2 * (count % pairs) + 1)
        return quote is not None and is_newest(quote, count)

    def usage(self) -> dict[str, Usage]:
        """Of every process of the instance that lives now; a replaced one begins anew."""
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(self.memory.directory) not in line or "-m " not in line:
                    continue
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # no process, or one that has just ended
            name = line.split("-m ")[1].split()[0] + line.partition("--venue ")[2].partition(" ")[0]
            cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            found[name] = Usage(cpu_s, int(fields[21]) * os.sysconf("SC_PAGESIZE") / 2**20)
        return found


def measure(
    watched: Watched, flood: subprocess.Popen[str], pairs: int, rate: float, seconds: float
) -> dict[str, Any]:
    """One stretch at one rate."""
    assert flood.stdin is not None
    assert flood.stdout is not None
    before, decided, conflated = watched.published(), watched.decided(), watched.conflated()
    used, base_behind = watched.usage(), watched.behind()
    flood.stdin.write(f"{rate} {seconds}\n")
    flood.stdin.flush()
    os.set_blocking(flood.stdout.fileno(), False)
    behind_max, answer = 0, ""
    while not answer:
        behind_max = max(behind_max, watched.behind() - base_behind)
        answer = flood.stdout.readline()
        time.sleep(0.001)
    ended_s = time.monotonic()
    os.set_blocking(flood.stdout.fileno(), True)
    sent = json.loads(answer)
    deadline_s = ended_s + _CAUGHT_UP_WITHIN_S
    while not watched.has_newest(pairs, sent["last"]) and time.monotonic() < deadline_s:
        time.sleep(0.0005)
    while time.monotonic() < deadline_s and (
        watched.behind() > base_behind
        or any(count - before[venue] < sent["sent"] for venue, count in watched.published().items())
    ):
        time.sleep(0.0005)
    caught_up_ms = (time.monotonic() - ended_s) * 1e3
    published = {venue: count - before[venue] for venue, count in watched.published().items()}
    now = watched.usage()
    per_quote_us = {
        name: round((usage.cpu_s - used[name].cpu_s) * 1e6 / max(1, sent["sent"]), 1)
        for name, usage in now.items()
        if name in used
    }
    return {
        "pairs": pairs,
        "rate": rate,
        "sent": sent["sent"],
        "published": published,
        "decided": watched.decided() - decided,
        "conflated": watched.conflated() - conflated,
        "behind_max": behind_max,
        "caught_up_ms": round(caught_up_ms, 1),
        "newest_is_there": watched.has_newest(pairs, sent["last"]),
        "cpu_us_per_quote": per_quote_us,
        "rss_mib": {name: round(usage.rss_mib, 1) for name, usage in now.items()},
    }


_HEAD: Final = """
                                                                       newest  CPU µs per quote
pairs quotes/s each        sent   decided conflated  behind  caught up  there   vest paradex detector  MiB"""


def tell(row: dict[str, Any], what: str) -> None:
    rss, cpu = max(row["rss_mib"].values()), row["cpu_us_per_quote"]
    vest, paradex, detector = (cpu.get(name, 0.0) for name in ("feedsvest", "feedsparadex", "detector"))
    print(
        f"{row['pairs']:5} {what:>13} {row['sent']:11} {row['decided']:9} {row['conflated']:9} "
        f"{row['behind_max']:7} {row['caught_up_ms']:7.1f} ms {'yes' if row['newest_is_there'] else 'NO':>6} "
        f"{vest:6.1f} {paradex:7.1f} {detector:8.1f} {rss:6.1f}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[1, 10, 50])
    rates = [100, 1_000, 5_000, 10_000]
    parser.add_argument("--rates", type=float, nargs="+", default=rates, help="quotes a second on each venue")
    parser.add_argument("--seconds", type=float, default=4.0, help="at each rate")
    parser.add_argument("--total", type=int, default=0, help="at the last rate until this many quotes")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(_HEAD)
    for pairs in arguments.pairs:
        with tempfile.TemporaryDirectory(prefix="scale-", dir="/dev/shm") as name:
            command = [sys.executable, "-m", "benchmarks.wire.flood", "--pairs", str(pairs)]
            flood = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True
            )
            try:
                assert flood.stdout is not None
                ports = json.loads(flood.stdout.readline())
                variant = Variant("tandem", tls=False, idle="park", awake=False, pairs=pairs)
                with tandem(variant, ports, Path(name), None):
                    watched = Watched(Path(name))
                    for rate in arguments.rates:
                        rows.append(measure(watched, flood, pairs, rate, arguments.seconds))
                        tell(rows[-1], f"{rate:,.0f}")
                    while sum(row["decided"] + row["conflated"] for row in rows) < arguments.total:
                        rows.append(measure(watched, flood, pairs, arguments.rates[-1], 60.0))
                        tell(rows[-1], f"{arguments.rates[-1]:,.0f}")
                    rows.append(measure(watched, flood, pairs, *BURST))
                    tell(rows[-1], "300 in 0.1 s")
            finally:
                flood.kill()
                flood.wait()
    print(f"\nwritten to {write_results('scale', {'rows': rows})}")
    return int(not all(row["newest_is_there"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
