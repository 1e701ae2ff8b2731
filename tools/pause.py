"""No entries until ``resume``: on disk, so that it outlives every restart. Exits and repairs go on.

Exit code 0 once no pair may enter any more; 1 when the executor has not acknowledged it in time (the pause
holds all the same). With only SSH: ``touch var/pause-<bot_id>``.
"""

from __future__ import annotations

import argparse

from observability.plain_text import plain
from tools.control_client import add_request_arguments, print_answer, send


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", type=plain, default="", help="kept with it, and logged")
    add_request_arguments(parser, 10.0)


def run(arguments: argparse.Namespace) -> int:
    return print_answer(arguments, send(arguments, "pause", reason=arguments.reason))
