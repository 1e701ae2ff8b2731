"""``python -m tools why``: why it does not trade, or not more often.

    python -m tools why                     the running instance, since it began
    python -m tools why --since 2h          a period, from the journal
    python -m tools why --recording DIR     a recording: exact misses, and what one setting would have done

The funnel counts every evaluation once: the first gate that refused, or a signal. One sentence for each pair
says what the gap needs to be and the widest that there was: since the instance began, or in the period. Of a
recording, each setting that was short is tried alone, relaxed to just what was missing.
Exit code 1: the counts do not add up.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from configuration.arguments import path_argument
from detector.layers import SizeError
from events.codec import NotAnEvent, decode
from events.decisions import Refusals
from monitoring.funnel import Funnel, of_counters, of_events, rows_of
from monitoring.gap import GapShown, of_detector, of_period
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
from tools.replay.simulate import ReplayResult, simulate
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


class Level(NamedTuple):
    """What a pair's gap needs to be, and how wide it has been."""

    pair: str
    gap: GapShown | None  # None: nothing is known of it


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    attach_arguments(parser)
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--since", type=moment, metavar="TIME", help="2026-01-02T12:00:00Z, or 90s, 10m, 2h, 3d"
    )
    what.add_argument("--recording", type=path_argument, metavar="DIR", help="what tools record has made")


def run(arguments: argparse.Namespace) -> int:
    """Print funnels and levels; the exit code."""
    if arguments.recording is not None:
        return _of_recording(Recording(arguments.recording), arguments.json)
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    pairs = [pair.id for pair in settings.pairs]
    if arguments.since is not None:
        reports = [refusals for refusals, ts in _refusals(settings) if ts >= arguments.since]
        levels = [Level(pair, of_period([item for item in reports if item.pair == pair])) for pair in pairs]
        return _show(of_events(reports), levels, [], arguments.json)
    table = Memory(attached_directory(arguments)).counters(DETECTOR)
    funnels, counted = of_counters(table, pairs), table.snapshot()
    return _show(funnels, [Level(pair, of_detector(counted, pair)) for pair in pairs], [], arguments.json)


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
                outcome = simulate(recording, changed(raw, {key: value}), bar(f"{key}={value}"))
                result = str(len(outcome.trades)), _gained(outcome, unchanged)
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
    levels = [Level(pair, of_detector(unchanged.counted, pair)) for pair in pairs]
    return _show(funnels, levels, remedies, as_json)


def _show(
    funnels: Sequence[Funnel], levels: Sequence[Level], remedies: Sequence[Remedy], as_json: bool
) -> int:
    is_exact = all(funnel.is_exact for funnel in funnels)
    if as_json:
        plain = {
            "funnels": [{**funnel._asdict(), "is_exact": funnel.is_exact} for funnel in funnels],
            "levels": [_as_plain(level) for level in levels],
            "nearest": [item._asdict() for item in remedies],
        }
        sys.stdout.write(json.dumps(plain) + "\n")
    else:
        for level in levels:
            sys.stdout.write(f"{level.pair}: {level.gap.sentence() if level.gap else 'no figures yet'}\n")
        for funnel in funnels:
            sys.stdout.write(f"\n{funnel.pair}: {funnel.evaluations:,} evaluations\n")
            sys.stdout.write(as_table(list(rows_of(funnel)), left=2))
        if remedies:
            sys.stdout.write("\none setting alone, tried\n")
            sys.stdout.write(as_table(list(remedies), left=3))
    return 0 if is_exact else 1


def _as_plain(level: Level) -> dict[str, Any]:
    if level.gap is None:
        return {"pair": level.pair}
    return {"pair": level.pair, **level.gap._asdict(), "sentence": level.gap.sentence()}


def _refusals(settings: Settings) -> Iterator[tuple[Refusals, str]]:
    """The detector's reports in the journal, oldest first, each with its time."""
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
            yield reported.event, reported.ts


def _instant(recording: Recording, miss: Miss) -> str:
    unix_s = (miss.at_mono_ns + recording.unix_minus_mono_ns) / 1e9
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gained(outcome: ReplayResult, unchanged: ReplayResult) -> str:
    return f"{(outcome.equity_change_e8 - unchanged.equity_change_e8) / E8:+,.4f}"
