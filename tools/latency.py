"""``python -m tools latency``: percentiles of every stage of a running instance, in a quote's order."""

from __future__ import annotations

import argparse
import sys

from monitoring.instance import attach_arguments, attached_directory, latency_rows
from tools.table import as_json, as_table

configure = attach_arguments


def run(arguments: argparse.Namespace) -> int:
    rows = latency_rows(attached_directory(arguments))
    sys.stdout.write(as_json(rows) if arguments.json else as_table(rows))
    return 0
