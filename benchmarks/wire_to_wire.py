"""Measures the time from a frame that should trade to both orders' bytes at the venues.

    python -m benchmarks.wire_to_wire [--trades 300] [--runs 3] [--only "tandem park"] [--referee]

Two loopback venues send real-sized frames at recorded rates; now and then one frame crosses the
threshold. Measured is the time from that frame leaving the venue to each order's arrival, for
Tandem as it is shipped (every process, real signing), for the floor (``floor/``: the same shape in
C and nothing else) and for the baselines in ``baselines/``. See ``benchmarks/README.md`` for what
was found and what was tried and rejected.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import RESULTS, machine
from benchmarks.wire import floor, load, referee
from benchmarks.wire.analysis import Summary, as_dict, print_run, stages, wire_to_wire
from benchmarks.wire.contenders import BOTS, NotReady, Variant, bot_python, read_log, run_bot, tandem
from benchmarks.wire.plot import draw
from benchmarks.wire.ratios import FIGURES, Ratio, print_ratios, ratios
from settings import PROJECT

HISTORY: Final = Path(__file__).parent / "history.jsonl"
_PARK = Variant("tandem", tls=False, idle="park", awake=False)
_FREE = Variant("asyncio-free", tls=False, idle="", awake=False)
_FLOORS = tuple(Variant(name, tls=False, idle="", awake=False) for name in floor.FLOORS)
_WARM_MS: Final = 1.0
_BUSY: Final = 500


def _settings(contender: Variant, *, warm_ms: Sequence[float] = (0.0, _WARM_MS)) -> Iterator[Variant]:
    """As it comes, and with cores awake: calm and busy, as it comes and kept warm; plain and TLS."""
    for tls in (False, True):
        yield contender._replace(tls=tls)
        for busy in (0, _BUSY):
            for warm in warm_ms:
                yield contender._replace(awake=True, tls=tls, busy=busy, warm_ms=warm)


VARIANTS: Final = (
    *_settings(_PARK),
    *(_PARK._replace(beside=tool) for tool in ("monitor", "record")),
    *(variant for one in _FLOORS for variant in _settings(one)),
    *(
        one._replace(awake=True, warm_ms=_WARM_MS, fifo=True, tls=tls)
        for one in _FLOORS
        for tls in (False, True)
    ),
    *_settings(_FREE, warm_ms=(0.0,)),
    Variant("asyncio", tls=False, idle="", awake=False),
    Variant("ccxt", tls=False, idle="", awake=False),
    Variant("ccxt-sbe", tls=False, idle="", awake=False),
    _PARK._replace(idle="spin"),  # last: the load average remembers it for minutes
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=300, help="per run and variant")
    parser.add_argument("--warm-up", type=int, default=40, help="trades before those that count; even")
    parser.add_argument("--runs", type=int, default=1, help="of everything; medians are printed")
    parser.add_argument("--gap-ms", type=float, default=50.0, help="pause around a trade")
    parser.add_argument("--only", default="", help="variants whose name contains this")
    parser.add_argument(
        "--venues",
        default="vest,paradex",
        choices=("vest,paradex", "hyperliquid,paradex"),
        help="the legs; with Hyperliquid Tandem alone is measured, whose baselines speak Vest",
    )
    parser.add_argument("--keep", type=Path, help="keep the logs in this directory")
    parser.add_argument("--load-max", type=float, default=load.LOAD_MAX, help="a run at more does not count")
    parser.add_argument("--referee", action="store_true", help="capture the plain runs, and compare (root)")
    arguments = parser.parse_args()
    first = arguments.venues.partition(",")[0]
    contenders = VARIANTS if first == "vest" else (one for one in VARIANTS if one.contender == "tandem")
    wanted = [
        one for one in (each._replace(first=first) for each in contenders) if arguments.only in one.name
    ]
    results: dict[str, list[dict[str, Any]]] = {}
    failed = False
    for run in range(arguments.runs):
        for variant in wanted:
            reason = why_not(variant)
            if reason:
                print(f"\n{variant.name}: left out: {reason}")
                continue
            load_before = load.settled(arguments.load_max)
            try:
                found = measure(variant, arguments)
            except NotReady as error:
                print(f"\n{variant.name}: {error}")
                failed = True
                continue
            seen = load.of_run(load_before, spins=variant.idle == "spin")
            print(f"  run {run + 1} of {arguments.runs}; load {seen:.1f}", flush=True)
            if seen > arguments.load_max:
                print(f"  does not count: the load is above {arguments.load_max:g}", flush=True)
                failed = True
                continue
            results.setdefault(variant.name, []).append({**found, "load": seen})
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
    return floor.why_not(variant) if variant.contender in floor.FLOORS else ""


def measure(variant: Variant, arguments: argparse.Namespace) -> dict[str, Any]:
    """One run of one variant; prints its table and returns it."""
    with tempfile.TemporaryDirectory(prefix="wire-", dir="/dev/shm") as name:
        directory = Path(name)
        out = directory / "trades.json"
        certificate, ca_file = make_certificate(directory) if variant.tls else (None, None)
        # Signing as shipped takes a tenth of a second a trade, and as much precision as is printed.
        trades_wanted = (
            max(20, arguments.trades // 10) if variant.contender == "asyncio" else arguments.trades
        )
        command = [
            *(sys.executable, "-m", "benchmarks.wire.venues", "--trades", str(trades_wanted)),
            *("--warm-up", str(arguments.warm_up), "--busy", str(variant.busy)),
            *("--first", variant.first),
            *("--gap-ms", str(arguments.gap_ms), "--pairs", str(variant.pairs), "--out", str(out)),
            *(("--certificate", str(certificate)) if certificate else ()),
            *(("--stamp-departures",) if arguments.referee else ()),
        ]
        venues = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True
        )
        try:
            assert venues.stdin is not None
            assert venues.stdout is not None
            ports = json.loads(venues.stdout.readline())
            path = directory / "log.jsonl"
            with captured(variant, ports, arguments) as packets, contender(variant, ports, path, ca_file):
                _trade(venues)
            trades = json.loads(out.read_text())
        finally:
            venues.kill()
            venues.wait()
            log = keep_log(path, variant, arguments.keep)
    found, parts = wire_to_wire(trades), stages(trades, log)
    hits, misses = armed_orders(log)
    print_run(variant.name, found, parts, f"{hits} armed orders taken, {misses} missed" if log else "")
    results = {"wire": as_dict(found), "stages": as_dict(parts), "hits": hits, "misses": misses}
    if packets:
        verdict = referee.judge(trades, packets, ports)
        referee.print_verdict(verdict)
        results["referee"] = {**verdict.apart, "missed": verdict.missed, "agrees": verdict.agrees}
    return results


@contextmanager
def contender(variant: Variant, ports: Mapping[str, int], log: Path, ca_file: Path | None) -> Iterator[None]:
    """Run it until the context ends; what it stamps itself is then in ``log``."""
    if variant.contender == "tandem":
        running = tandem(variant, ports, log.parent, ca_file)
    elif variant.contender in floor.FLOORS:
        running = floor.run_floor(variant, ports, log, ca_file)
    else:
        running = run_bot(variant, ports, ca_file)
    with running:
        yield


@contextmanager
def captured(
    variant: Variant, ports: Mapping[str, int], arguments: argparse.Namespace
) -> Iterator[list[referee.Packet]]:
    """The packets of a run once it is over; none where no referee is wanted, or TLS hides the contents."""
    if not arguments.referee or variant.tls:
        yield []
        return
    with referee.Capture(ports) as capture:
        yield capture.packets


def keep_log(path: Path, variant: Variant, keep: Path | None) -> list[dict[str, Any]]:
    """A contender's log, whole or as far as it came; copied where it shall be kept."""
    if not path.exists():
        return []
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
    """Write everything as JSON, a line of history and the plot, and print the ratios."""
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
    found = list(ratios(VARIANTS, medians))
    path = RESULTS / "wire_to_wire.json"
    path.write_text(json.dumps({**head, "medians": medians, "results": results}, indent=1) + "\n")
    if not arguments.only and arguments.venues == "vest,paradex":  # a glance at one variant is no history
        with HISTORY.open("a") as file:
            file.write(json.dumps({**head, **history(results, medians, found)}) + "\n")
    plot = draw(
        RESULTS / "wire_to_wire.svg", {name: runs["wire"]["both legs"] for name, runs in medians.items()}
    )
    print(f"\nwritten: {path}, {plot}")
    print_ratios(found)


def history(
    results: Mapping[str, Sequence[Mapping[str, Any]]],
    medians: Mapping[str, Mapping[str, Any]],
    found: Sequence[Ratio],
) -> dict[str, Any]:
    """What a line of history keeps of each variant, and of each ratio."""
    return {
        "loads": {name: [round(run["load"], 2) for run in runs] for name, runs in results.items()},
        "p50_p90_p99_us": {
            name: {label: [row[figure] for figure in FIGURES] for label, row in runs["wire"].items()}
            for name, runs in medians.items()
        },
        "p50_p90_p99_ratios": {ratio.name: [ratio.p50, ratio.p90, ratio.p99] for ratio in found},
    }


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


if __name__ == "__main__":
    sys.exit(main())
