"""Fuzz every reader of foreign bytes: ``python -m verification.fuzz [--seconds 30] [NAME ...]``.

Needs atheris (``make fuzz`` brings it). Each target runs in a process of its own for the given time,
from its seeds and from the inputs that earlier runs found interesting (``var/fuzz/<name>/corpus``). An
exception, an input that takes over five seconds or 2 GB is a finding: it is kept beside the corpus
and the run fails. Replay one with ``python -m verification.fuzz.one NAME FILE``.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from verification.fuzz.registry import TARGETS

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "var" / "fuzz"
INPUT_BYTES_MAX: Final = 4_096
INPUT_S_MAX: Final = 5
OVERTIME_S: Final = 60  # for starting, and for the last input
LOG_LINES: Final = 25
EDGES: Final = {
    b"null", b"true", b"[]", b"{}", b"-1", b"1e400", b"9223372036854775807", b"9223372036854775808",
    b"18446744073709551616", b'"-1"', b'"0"', b'""', b'"0.000000001"', b'"92233720368.54775808"',
    b'"99999999999999999999"', rb"\u000a", rb"\ud800", b'"1e5"', b'"NaN"',
}  # fmt: skip


class Report(NamedTuple):
    name: str
    executions: int
    seconds: float
    findings: list[Path]


def fuzz(name: str, seconds: int) -> Report:
    """Run one target; its log goes to ``var/fuzz/<name>/log``."""
    folder = FOLDER / name
    corpus, findings = folder / "corpus", folder / "findings"
    for needed in (corpus, findings):
        needed.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    (folder / "words").write_text(words(TARGETS[name].seeds()))
    known = set(findings.iterdir())
    started = time.monotonic()
    log = folder / "log"
    with log.open("wb") as output:
        code = subprocess.run(
            [
                sys.executable, "-m", "verification.fuzz.one", name, str(corpus),
                f"-max_total_time={seconds}", f"-timeout={INPUT_S_MAX}", f"-max_len={INPUT_BYTES_MAX}",
                "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={findings}/",
                f"-dict={folder / 'words'}",
            ],
            cwd=ROOT, stdout=output, stderr=output, timeout=seconds + OVERTIME_S,
        ).returncode  # fmt: skip
    text = log.read_text(errors="replace")
    # Written at the end; after a crash only the numbers along the way are there.
    counts = re.findall(r"number_of_executed_units: (\d+)", text) or re.findall(
        r"^#(\d+)\s", text, re.MULTILINE
    )
    found = sorted(set(findings.iterdir()) - known)
    if code and not found:
        found = [log]  # it did not even start
    if found:
        print("\n".join(text.splitlines()[-LOG_LINES:]), file=sys.stderr)
    return Report(name, int(counts[-1]) if counts else 0, time.monotonic() - started, found)


def words(seeds: Sequence[bytes]) -> str:
    """A libFuzzer dictionary: the words of the seeds, and the values that trip readers of JSON."""
    found = {word for seed in seeds for word in re.findall(rb'"[ -!#-\[\]-~]{1,40}"', seed)}
    found |= {word for seed in seeds for word in re.findall(rb"[A-Za-z_-]{4,40}", seed)}
    lines = []
    for word in sorted(found | EDGES):
        escaped = word.replace(b"\\", rb"\\").replace(b'"', rb"\"")
        lines.append(f'"{escaped.decode()}"\n')
    return "".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=30, help="for each target")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; all by default")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in TARGETS]
    if unknown:
        parser.error(f"no target {', '.join(unknown)}; there are: {', '.join(TARGETS)}")

    reports = []
    for name in arguments.names or TARGETS:
        report = fuzz(name, arguments.seconds)
        reports.append(report)
        where = f": {', '.join(str(path) for path in report.findings)}" if report.findings else ""
        print(
            f"{name:26} {report.executions:>10,} executions {report.seconds:5.0f} s"
            f" {len(report.findings)} findings{where}",
            flush=True,
        )
    executions, seconds = sum(r.executions for r in reports), sum(r.seconds for r in reports)
    findings = sum(len(report.findings) for report in reports)
    print(f"{'all':26} {executions:>10,} executions {seconds:5.0f} s {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
