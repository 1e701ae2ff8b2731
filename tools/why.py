"""``python -m tools why``: why it does not trade, or not more often.

    python -m tools why                     the running instance, since it began
    python -m tools why --since 2h          a period, from the journal
    python -m tools why --recording DIR     a recording: exact misses, and what one setting would have done

The funnel counts every evaluation once: the first gate that said no, or a signal. The nearest miss is
exact for a recording, where each setting that was short is tried alone, relaxed to just what was
missing. Otherwise it is an estimate from what the detector says every ten seconds.
Exit code 1: the counts do not add up.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from configuration.arguments import path_argument
from detector.layers import SizeError
from events.codec import NotAnEvent, decode
from events.decisions import Refusals
from monitoring.funnel import Funnel, of_counters, of_events, rows_of
from monitoring.instance import attach_arguments, attached_directory
from persistence.journal import journal_directory
from persistence.verify import read_all
from settings import E8, Settings, SettingsError, load_raw, parse_settings
from shm.layout import Memory
from tools.bars import replay_bars
from tools.journal import moment
from tools.record.reader import Recording, missing_text
from tools.replay.overrides import changed
from tools.replay.relax import configured, relaxed
from tools.replay.simulate import Course, simulate
from tools.replay.watching import Miss
from tools.table import as_table

DETECTOR: Final = "detector"


class Remedy(NamedTuple):
    """One setting, relaxed to just admit the nearest refusal of its gate; everything else as it was."""

    pair: str
    gate: str
    setting: str
    was: str
    needed: str
    at: str
    trades: str  # round trips in all, or why it cannot be tried
    versus: str  # result against the unchanged replay


class Estimate(NamedTuple):
    """The widest gap that was said, against the first layer's threshold."""

    pair: str
    widest_bps: float
    entry_bps: float
    short_bps: float  # 0 or less: wide enough, something else refused
    at: str


def configure(parser: argparse.ArgumentParser) -> None:
    attach_arguments(parser)
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--since", type=moment, metavar="TIME", help="2026-01-02T12:00:00Z, or 90s, 10m, 2h, 3d"
    )
    what.add_argument("--recording", type=path_argument, metavar="DIR", help="what tools record has made")


def run(arguments: argparse.Namespace) -> int:
    if arguments.recording is not None:
        return _of_recording(Recording(arguments.recording), arguments.json)
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    if arguments.since is not None:
        events = [reported for reported in _refusals(settings) if reported.ts >= arguments.since]
        funnels = of_events(one.refusals for one in events)
    else:
        directory = attached_directory(arguments)
        funnels = of_counters(Memory(directory).counters("detector"), [pair.id for pair in settings.pairs])
        run_id = json.loads((directory / "launch.json").read_text())["run_id"]
        events = [reported for reported in _refusals(settings) if reported.run_id == run_id]
    return _tell(funnels, _estimates(settings, events), arguments.json)


def _of_recording(recording: Recording, as_json: bool) -> int:
    raw, settings = recording.raw_settings, recording.settings
    sys.stderr.write(missing_text(recording))
    pairs = {pair.id: pair for pair in settings.pairs}
    with replay_bars(recording.coverage().quotes) as bar:
        unchanged = simulate(recording, raw, bar("unchanged"))
        remedies = []
        for miss in unchanged.nearest:
            key, value = relaxed(miss, pairs[miss.pair])
            at = _instant(recording, miss)
            try:
                course = simulate(recording, changed(raw, {key: value}), bar(f"{key}={value}"))
                result = str(len(course.trades)), _gained(course, unchanged)
            except (SettingsError, SizeError) as error:
                result = f"not possible: {' '.join(str(error).split())}", ""
            was = configured(miss, pairs[miss.pair])
            remedies.append(Remedy(miss.pair, miss.gate, key, was, f"{value}", at, *result))
    funnels = [
        Funnel(pair, unchanged.evaluations[pair], unchanged.gates[pair], unchanged.signals[pair])
        for pair in pairs
    ]
    if not as_json:
        sys.stdout.write(f"{len(unchanged.trades)} round trips unchanged, before the wire: ")
        sys.stdout.write(f"{dict(unchanged.refused) or 'nothing refused'}\n\n")
    return _tell(funnels, remedies, as_json)


def _tell(funnels: Sequence[Funnel], nearest: Sequence[Remedy] | Sequence[Estimate], as_json: bool) -> int:
    is_exact = all(funnel.is_exact for funnel in funnels)
    if as_json:
        told = {
            "funnels": [{**funnel._asdict(), "is_exact": funnel.is_exact} for funnel in funnels],
            "nearest": [item._asdict() for item in nearest],
        }
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        for funnel in funnels:
            sys.stdout.write(f"{funnel.pair}: {funnel.evaluations:,} evaluations\n")
            sys.stdout.write(as_table(list(rows_of(funnel)), left=2) + "\n")
        if nearest:
            is_tried = isinstance(nearest[0], Remedy)
            sys.stdout.write("one setting alone, tried\n" if is_tried else "widest gaps, estimated\n")
            sys.stdout.write(as_table(list(nearest), left=3 if is_tried else 1))
    return 0 if is_exact else 1


class _Refused(NamedTuple):
    refusals: Refusals
    ts: str
    run_id: str


def _refusals(settings: Settings) -> Iterator[_Refused]:
    directory = journal_directory(settings)
    if not directory.is_dir():
        return
    for entry in read_all(directory):
        if entry.source != DETECTOR:  # of the others nothing is decoded
            continue
        try:
            reported = decode(entry.payload)
        except NotAnEvent:
            continue
        if isinstance(reported.event, Refusals):
            yield _Refused(reported.event, reported.ts, reported.run_id)


def _estimates(settings: Settings, events: Sequence[_Refused]) -> list[Estimate]:
    estimates = []
    for pair in settings.pairs:
        said = [
            (max(refusals.spreads_bps), ts)
            for refusals, ts, _ in events
            if refusals.pair == pair.id and refusals.spreads_bps
        ]
        if said:
            widest_bps, at = max(said)
            entry_bps = pair.strategy.entry_bps
            estimates.append(Estimate(pair.id, widest_bps, entry_bps, entry_bps - widest_bps, at))
    return estimates


def _instant(recording: Recording, miss: Miss) -> str:
    unix_s = (miss.at_mono_ns + recording.unix_minus_mono_ns) / 1e9
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gained(course: Course, unchanged: Course) -> str:
    return f"{(course.equity_change_e8 - unchanged.equity_change_e8) / E8:+,.4f}"
