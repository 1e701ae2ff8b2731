"""``python -m tools report``: what a period earned and why, as HTML, pictures and CSV.

Reads the database the instance writes, whether it runs or not. The HTML file is whole in itself:
it can be mailed or opened on a phone without a network.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import astuple, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from configuration.arguments import path_argument
from observability.plain_text import plain, plain_lines
from settings import PROJECT, load_raw, parse_settings
from tools.database import reading
from tools.report.queries import Facts, Period, Trade, Whose, gather


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="begin", type=_moment, metavar="TIME", help="default: a week before --to"
    )
    parser.add_argument("--to", dest="end", type=_moment, metavar="TIME", help="default: now")
    parser.add_argument("--out", type=path_argument, metavar="DIR", help="default: var/reports/<from>_<to>")
    parser.add_argument(
        "--env-file", type=path_argument, default=PROJECT / ".env", help="where DATABASE_URL is; .env"
    )
    parser.add_argument("--bot-id", metavar="ID", help="whose; default: that of the configuration")
    parser.add_argument(
        "--mode", choices=("sim", "paper", "live"), help="which mode's; default: that of the configuration"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; an empty period is a report that says so."""
    settings = parse_settings(load_raw(arguments.config), str(arguments.config))
    end = arguments.end or datetime.now(UTC)
    period = Period(arguments.begin or end - timedelta(days=7), end)
    if period.begin >= period.end:
        sys.stderr.write(f"--from {period.begin} must be before --to {period.end}\n")
        return 2
    name = "_".join(f"{moment:%Y%m%dT%H%M%S}" for moment in period)
    directory = arguments.out or PROJECT / settings.persistence.var_dir / "reports" / name
    with reading(settings, arguments.env_file) as connection:
        whose = Whose(arguments.bot_id or settings.bot_id, arguments.mode or settings.mode)
        facts = gather(connection, period, whose)
    directory.mkdir(parents=True, exist_ok=True)
    write(facts, directory)
    print(
        f"{directory / 'report.html'}: {len(facts.trades):,} trades of {len(facts.runs)} runs of "
        f"{facts.whose.bot_id} in mode {facts.whose.mode}"
    )
    return 0


def write(facts: Facts, directory: Path) -> None:
    """Everything the report consists of into one directory."""
    from tools.report.figures import draw_all  # matplotlib takes half a second
    from tools.report.page import render

    pictures = draw_all(facts)
    for picture, data in pictures.items():
        (directory / f"{picture}.png").write_bytes(data)
    # Escaped by ``render``; what reorders or hides a text on the page is no matter of HTML.
    (directory / "report.html").write_text(plain_lines(render(facts, pictures)), encoding="utf-8")
    write_tables(facts, directory)


def write_tables(facts: Facts, directory: Path) -> None:
    """One CSV file per table that has rows; trades always."""
    _write_csv(directory / "trades.csv", [field.name for field in fields(Trade)], map(astuple, facts.trades))
    for name in ("fills", "venues", "slippage", "funding", "incidents"):
        rows: Sequence[Any] = getattr(facts, name)
        if rows:
            _write_csv(directory / f"{name}.csv", rows[0]._fields, rows)


def _write_csv(path: Path, head: Sequence[str], rows: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Text as it may be shown; zero with eight decimals is no ``0E-8`` for a spreadsheet."""
    if isinstance(value, str):
        return plain(value)
    return f"{value:f}" if isinstance(value, Decimal) else value


def _moment(text: str) -> datetime:
    """An ISO date or time; UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
