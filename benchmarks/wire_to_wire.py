"""From the frame that should trade to both orders' bytes at the venues.

    python -m benchmarks.wire_to_wire [--trades 300] [--runs 3] [--only "tandem park"]

Two loopback venues send real-sized frames at recorded rates; now and then one frame crosses the
threshold. Measured is the time from that frame leaving the venue to each order's arrival, for
Tandem as it is shipped (every process, real signing) and for the baselines in ``baselines/``. See
``benchmarks/README.md`` for what was found and what was tried and rejected.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import RESULTS, machine
from benchmarks.wire.analysis import Summary, as_dict, print_run, stages, wire_to_wire
from benchmarks.wire.contenders import BOTS, NotReady, Variant, bot_python, read_log, run_bot, tandem
from benchmarks.wire.plot import draw
from settings import PROJECT

HISTORY: Final = Path(__file__).parent / "history.jsonl"
_PARK = Variant("tandem", tls=False, idle="park", awake=False)
_FREE = Variant("asyncio-free", tls=False, idle="", awake=False)
VARIANTS: Final = (
    *(_PARK, _PARK._replace(awake=True), _PARK._replace(awake=True, warm_ms=1.0)),
    *(_PARK._replace(tls=True), _PARK._replace(tls=True, awake=True, warm_ms=1.0)),
    *(_PARK._replace(awake=True, warm_ms=1.0, busy=500, tls=tls) for tls in (False, True)),
    *(_PARK._replace(beside=tool) for tool in ("monitor", "record")),
    _PARK._replace(idle="spin"),
    *(_FREE, _FREE._replace(awake=True), _FREE._replace(tls=True, awake=True)),
    *(_FREE._replace(awake=True, busy=500), _FREE._replace(awake=True, busy=500, tls=True)),
    Variant("asyncio", tls=False, idle="", awake=False),
    Variant("ccxt", tls=False, idle="", awake=False),
    Variant("ccxt-sbe", tls=False, idle="", awake=False),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=300, help="per run and variant")
    parser.add_argument("--warm-up", type=int, default=40, help="trades before those that count; even")
    parser.add_argument("--runs", type=int, default=1, help="of everything; medians are told")
    parser.add_argument("--gap-ms", type=float, default=50.0, help="pause around a trade")
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument("--keep", type=Path, help="keep the logs in this directory")
    arguments = parser.parse_args()
    wanted = [variant for variant in VARIANTS if arguments.only in variant.name]
    results: dict[str, list[dict[str, Any]]] = {}
    failed = False
    for run in range(arguments.runs):
        for variant in wanted:
            reason = why_not(variant)
            if reason:
                print(f"\n{variant.name}: left out: {reason}")
                continue
            try:
                found = measure(variant, arguments)
            except NotReady as error:
                print(f"\n{variant.name}: {error}")
                failed = True
                continue
            results.setdefault(variant.name, []).append(found)
            print(f"  run {run + 1} of {arguments.runs}; load {os.getloadavg()[0]:.1f}", flush=True)
    if not results:
        return 1
    record(results, arguments)
    return int(failed)


def why_not(variant: Variant) -> str:
    """Why a variant cannot run here; empty if it can."""
    if variant.awake and not os.access("/dev/cpu_dma_latency", os.W_OK):
        return "/dev/cpu_dma_latency cannot be written: needs root on a machine that has it"
    if variant.tls and shutil.which("openssl") is None:
        return "openssl, which makes the certificate, is not installed"
    bot = BOTS.get(variant.contender)
    if bot is not None and not bot_python(bot).exists():
        return f"{bot.venv} is not there: make {bot.venv}/.ready"
    return ""


def measure(variant: Variant, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run of one variant; prints its table and returns it."""
    with tempfile.TemporaryDirectory(prefix="wire-", dir="/dev/shm") as name:
        directory = Path(name)
        out = directory / "trades.json"
        certificate, ca_file = make_certificate(directory) if variant.tls else (None, None)
        # Signing as shipped takes a tenth of a second a trade, and as much precision as is told.
        trades_wanted = (
            max(20, arguments.trades // 10) if variant.contender == "asyncio" else arguments.trades
        )
        command = [
            *(sys.executable, "-m", "benchmarks.wire.venues", "--trades", str(trades_wanted)),
            *("--warm-up", str(arguments.warm_up), "--busy", str(variant.busy)),
            *("--gap-ms", str(arguments.gap_ms), "--pairs", str(variant.pairs), "--out", str(out)),
            *(("--certificate", str(certificate)) if certificate else ()),
        ]
        venues = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True
        )
        try:
            assert venues.stdin is not None
            assert venues.stdout is not None
            ports = json.loads(venues.stdout.readline())
            log: list[dict[str, Any]] = []
            if variant.contender == "tandem":
                try:
                    with tandem(variant, ports, directory, ca_file):
                        _trade(venues)
                finally:
                    log = keep_log(directory, variant, arguments.keep)
            else:
                with run_bot(variant, ports, ca_file):
                    _trade(venues)
            trades = json.loads(out.read_text())
        finally:
            venues.kill()
            venues.wait()
    found, parts = wire_to_wire(trades), stages(trades, log)
    hits, misses = armed_orders(log)
    print_run(variant.name, found, parts, f"{hits} armed orders taken, {misses} missed" if log else "")
    return {"wire": as_dict(found), "stages": as_dict(parts), "hits": hits, "misses": misses}


def keep_log(directory: Path, variant: Variant, keep: Path | None) -> list[dict[str, Any]]:
    """Tandem's log, whole or as far as it came; copied where it shall be kept."""
    path = directory / "log.jsonl"
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, keep / f"{variant.name.replace(' ', '-')}.jsonl")
    return read_log(path)


def _trade(venues: subprocess.Popen[str]) -> None:
    """Let them trade. Raises NotReady when they gave up; why is on standard error."""
    assert venues.stdin is not None
    assert venues.stdout is not None
    venues.stdin.write("go\n")
    venues.stdin.flush()
    if venues.stdout.readline().strip() != "done":
        raise NotReady("the venues gave up, see above")


def armed_orders(log: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Armed orders taken and missed, from Tandem's last ``latency`` line."""
    last: dict[str, Any] = next((line for line in reversed(log) if line["event"] == "latency"), {})
    return last.get("template_hits", 0), last.get("template_misses", 0)


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself: (with its key, without)."""
    key, certificate, both = (directory / name for name in ("key.pem", "ca.pem", "server.pem"))
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
    ]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(key.read_text() + certificate.read_text())
    return both, certificate


def record(results: dict[str, list[dict[str, Any]]], arguments: argparse.Namespace) -> None:
    """JSON with everything, a line of history, the plot, and the ratios."""
    medians = {name: median_run(runs) for name, runs in results.items()}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.strip()
    head = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "runs": arguments.runs,
        "trades": arguments.trades,
        "machine": machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "wire_to_wire.json"
    path.write_text(json.dumps({**head, "medians": medians, "runs": results}, indent=1) + "\n")
    short = {
        name: {label: [row["p50"], row["p99"]] for label, row in runs["wire"].items()}
        for name, runs in medians.items()
    }
    if not arguments.only:  # a glance at one variant is no history
        with HISTORY.open("a") as file:
            file.write(json.dumps({**head, "p50_p99_us": short}) + "\n")
    plot = draw(
        RESULTS / "wire_to_wire.svg", {name: runs["wire"]["both legs"] for name, runs in medians.items()}
    )
    print(f"\nwritten: {path}, {plot}")
    tell_ratios(medians)


def median_run(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of every figure over the runs."""
    return {
        part: {
            label: {
                figure: median(run[part][label][figure] for run in runs if label in run[part])
                for figure in Summary._fields
            }
            for label in runs[0][part]
        }
        for part in ("wire", "stages")
    }


def tell_ratios(medians: dict[str, dict[str, Any]]) -> None:
    """How many times faster Tandem is at the median than each baseline set up alike."""
    p50_us = {name: found["wire"]["both legs"]["p50"] for name, found in medians.items()}
    print("\nbaseline, times as long at the median as Tandem parked and set up alike (both legs):")
    for name, theirs_us in p50_us.items():
        bot, idle, *what = name.split()
        for setting in ([], ["warm"]):
            ours_us = p50_us.get(" ".join(["tandem", "park", idle, *setting, *what]))
            if bot != "tandem" and ours_us is not None:
                ratio = theirs_us / ours_us
                print(f"  {name:32} {theirs_us:9.1f} / {' '.join(setting):4} {ours_us:7.1f} = {ratio:6.1f}")


if __name__ == "__main__":
    sys.exit(main())
