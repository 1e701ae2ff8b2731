"""``python -m tools replay DIR``: a recording through the same detector and executor once more.

    python -m tools replay DIR                               proof of identity, and the trades on paper
    python -m tools replay DIR --set entry_bps=2             what other settings had done
    python -m tools replay DIR --set eth.exit_bps=0 --set paper.venues.vest.latency_ms=5
    python -m tools replay DIR --sweep entry_bps=2:6:0.5     a table and a picture over many values

Two things are done. First the detector sees what it saw, with what the executor published then, and its
signals are compared with the recorded ones. Then detector and executor trade the recorded market anew
on virtual venues, as mode paper does (README); its fills are a model, and the same every time. The hash
at the end of a line is that of every decision before it: equal hashes, equal histories.
Exit code 1 with --strict: a recorded signal was not given again, or one more was given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from configuration.arguments import path_argument
from detector.layers import SizeError
from settings import E8, Problem, SettingsError, parse_settings
from tools.bars import replay_bars
from tools.record.reader import Coverage, Recording, missing_text
from tools.replay.overrides import changed, parse_set, parse_sweep
from tools.replay.simulate import ReplayResult, recorded_trades, simulate
from tools.replay.tables import OutcomeRow, outcome_row, recorded_row
from tools.replay.verify import Verification, verify
from tools.table import as_table


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("directory", type=path_argument, metavar="DIR", help="what tools record has made")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="what if (repeatable)"
    )
    parser.add_argument("--sweep", metavar="KEY=FIRST:LAST:STEP", help="one replay per value")
    parser.add_argument(
        "--plot", type=path_argument, metavar="PNG", help="picture of the sweep; DIR/sweep-<key>.png"
    )
    parser.add_argument("--strict", action="store_true", help="exit code 1 unless all signals are the same")
    parser.add_argument("--json", action="store_true", help="JSON instead of tables")


def run(arguments: argparse.Namespace) -> int:
    changes = dict(parse_set(text) for text in arguments.set)
    sweep = parse_sweep(arguments.sweep) if arguments.sweep else None
    recording = Recording(arguments.directory)
    coverage = recording.coverage()
    if not coverage.quotes:
        raise SettingsError(str(arguments.directory), [Problem("", "", "holds no quote to be replayed")])
    raw = recording.raw_settings
    plans: list[tuple[str, dict[str, Any]]] = [("unchanged", raw)]
    if changes:
        plans.append((" ".join(f"{key}={value}" for key, value in changes.items()), changed(raw, changes)))
    if sweep is not None:
        base = changed(raw, changes)
        plans += [(f"{sweep.key}={value:g}", changed(base, {sweep.key: value})) for value in sweep.values]
    _refuse_impossible(plans)
    with replay_bars(coverage.quotes) as bar:
        verification = verify(recording, bar("recorded signals"))
        outcomes = [(label, _simulated(recording, label, wanted, bar(label))) for label, wanted in plans]
    rows = [recorded_row(recorded_trades(recording), coverage)]
    rows += [outcome_row(label, outcome, outcomes[0][1]) for label, outcome in outcomes]
    picture = None
    if sweep is not None:
        from tools.replay.picture import draw_sweep  # matplotlib takes half a second

        picture = arguments.plot or arguments.directory / f"sweep-{sweep.key}.png"
        swept = [outcome for _, outcome in outcomes[-len(sweep.values) :]]
        picture.write_bytes(draw_sweep(sweep.key, sweep.values, swept))
    if arguments.json:
        print(json.dumps(_plain(recording, coverage, verification, outcomes, rows, picture)))
    else:
        _print(recording, coverage, verification, outcomes, rows, picture)
    return 1 if arguments.strict and not verification.is_identical else 0


def _refuse_impossible(plans: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Say all that is wrong, of every value of a sweep, before anything long is begun."""
    problems = []
    for label, wanted in plans:
        try:
            parse_settings(wanted, label)
        except SettingsError as error:
            problems += [item._replace(key=f"{label}: {item.key}") for item in error.problems]
    if problems:
        raise SettingsError("replay", problems)


def _simulated(
    recording: Recording, label: str, raw: dict[str, Any], progress: Callable[[int], None]
) -> ReplayResult:
    try:
        return simulate(recording, raw, progress)
    except SizeError as error:
        raise SettingsError(label, [Problem("", "", str(error))]) from error


def _print(
    recording: Recording,
    coverage: Coverage,
    verification: Verification,
    outcomes: list[tuple[str, ReplayResult]],
    rows: list[OutcomeRow],
    picture: Path | None,
) -> None:
    out = sys.stdout.write
    out(
        f"{recording.run_id}: {coverage.seconds:,.0f} s, {coverage.quotes:,} quotes "
        f"({coverage.lost_quotes:,} lost, {coverage.quote_bytes / coverage.quotes:.1f} bytes each)\n\n"
    )
    out(missing_text(recording))
    out(
        f"recorded signals  {verification.same:,} of {verification.recorded:,} the same, "
        f"{len(verification.different)} different, {len(verification.missing)} not given again, "
        f"{len(verification.extra)} more   chain {verification.head}\n\n"
    )
    if not verification.is_identical:
        out(
            "Not recorded is when a quote was seen of which no signal came, and depth that was replaced "
            "between two looks of the recorder: signals differ where that mattered.\n\n"
        )
    out(as_table(rows, left=1))
    out("\n")
    for label, outcome in outcomes:
        out(f"chain {outcome.head}  {outcome.links:,} links, {outcome.speed:,.0f} times as fast  {label}\n")
    if picture is not None:
        out(f"\n{picture}\n")


def _plain(
    recording: Recording,
    coverage: Coverage,
    verification: Verification,
    outcomes: list[tuple[str, ReplayResult]],
    rows: list[OutcomeRow],
    picture: Path | None,
) -> dict[str, Any]:
    return {
        "recording": {
            **coverage._asdict(),
            "seconds": coverage.seconds,
            "missing": list(recording.missing),
        },
        "signals": {
            "recorded": verification.recorded,
            "same": verification.same,
            "different": [[item._asdict() for item in pair] for pair in verification.different],
            "missing": [item._asdict() for item in verification.missing],
            "extra": [item._asdict() for item in verification.extra],
            "chain": verification.head,
        },
        "table": [row._asdict() for row in rows],
        "replays": [
            {
                "settings": label,
                "chain": outcome.head,
                "links": outcome.links,
                "speed": round(outcome.speed, 1),
                "evaluations": outcome.evaluations,
                "signals": outcome.signals,
                "gates": outcome.gates,
                "refused_before_the_wire": dict(outcome.refused),
                "trades": [trade._asdict() for trade in outcome.trades],
                "net_quote": outcome.net_e8 / E8,
            }
            for label, outcome in outcomes
        ],
        "picture": str(picture) if picture else None,
    }
