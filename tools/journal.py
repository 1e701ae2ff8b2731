"""``python -m tools journal``: what the journal holds, as JSON lines for ``jq``.

    python -m tools journal --trade 7564123 | jq -r '[.ts, .event, .order_state] | @tsv'
    python -m tools journal --event halted --event naked_start --since 2h
    python -m tools journal --held        what it says is held now, and why, one pair per line
    python -m tools journal --verify      every checksum and number, one object

It only reads, also while an instance writes. Exit code 1: with ``--verify``, the journal is damaged.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from configuration.arguments import path_argument
from events.persistence import EventUnstorable
from observability.logs import render
from persistence.journal import JournalEntry, JournalError, journal_directory
from persistence.restore import holdings_of, is_held
from persistence.verify import read_all, verify
from runtime.carried_positions import plain
from settings import load_raw, parse_settings

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--directory", type=path_argument, help="the journal, instead of the configuration's")
    parser.add_argument("--trade", type=int, metavar="ID", help="only lines of this trade")
    parser.add_argument("--event", action="append", metavar="NAME", help="only these events (repeatable)")
    parser.add_argument("--pair", metavar="ID", help="only lines of this pair")
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="2026-01-02T12:00:00Z, or 90s, 10m, 2h, 3d ago"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--held", action="store_true", help="what is held, and which orders have no end")
    what.add_argument("--verify", action="store_true", help="check every record and how files follow")


def run(arguments: argparse.Namespace) -> int:
    directory = arguments.directory or _configured(arguments.config)
    if not directory.is_dir():
        sys.stderr.write(f"{directory} is no journal: no instance of this configuration has run here\n")
        return 2
    try:
        if arguments.verify:
            findings = verify(directory)
            _print(json.dumps(findings._asdict()))
            return 1 if findings.problems else 0
        if arguments.held:
            for pair in holdings_of(directory).held():
                _print(json.dumps({**plain(pair), "is_held": is_held(pair)}))
            return 0
        for line in _lines(directory, _filter(arguments)):
            _print(line)
    except JournalError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough: head, or a pager that was left
    return 0


def _configured(config: Path) -> Path:
    settings = parse_settings(load_raw(config), str(config))
    return journal_directory(settings)


def _lines(directory: Path, is_wanted: Callable[[Mapping[str, Any]], bool]) -> Iterator[str]:
    for entry in read_all(directory):
        line = _parsed(entry)
        if is_wanted(line):
            yield render(orjson.dumps({"number": entry.number, **line})).decode()


def _parsed(entry: JournalEntry) -> Mapping[str, Any]:
    """The line, or what is there in its place."""
    try:
        line = orjson.loads(entry.payload)
    except orjson.JSONDecodeError:
        line = None
    if isinstance(line, dict):
        return line
    return {"event": EventUnstorable.name(), "raw": entry.payload.decode("ascii", "backslashreplace")}


def _filter(arguments: argparse.Namespace) -> Callable[[Mapping[str, Any]], bool]:
    events = frozenset(arguments.event or ())

    def is_wanted(line: Mapping[str, Any]) -> bool:
        return (
            (not events or line.get("event") in events)
            and (arguments.trade is None or line.get("trade_id") == arguments.trade)
            and (arguments.pair is None or line.get("pair") == arguments.pair)
            and (arguments.since is None or str(line.get("ts", "")) >= arguments.since)
        )

    return is_wanted


def moment(text: str) -> str:
    """The instant as lines have it: UTC, RFC 3339, so that text compares as time."""
    ago = re.fullmatch(r"(\d+)([smhd])", text)
    try:
        if ago:
            at = datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            at = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: write 2026-01-02T12:00:00Z, or 90s, 10m, 2h, 3d"
        ) from error
    at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _print(line: str) -> None:
    sys.stdout.write(line + "\n")
