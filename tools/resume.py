"""Let entries through again: lifts the pause and every forced exit, or that of one pair.

Exit code 1 where something else of the operator's still stops entries, such as the pause file. The kill
latch is not lifted by this: ``python -m tools kill --release``.
"""

from __future__ import annotations

import argparse

from tools.control_client import add_request_arguments, print_answer, send


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pair", nargs="?", default="", help="lift this pair's forced exit alone")
    add_request_arguments(parser, 10.0)


def run(arguments: argparse.Namespace) -> int:
    return print_answer(arguments, send(arguments, "resume", pair=arguments.pair))
